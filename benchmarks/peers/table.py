"""A run as a table of plain text, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.peers.run import AGENTMEM, FLOOR
from benchmarks.peers.system import K

__all__ = ["draw", "table"]

Rows = Mapping[str, Mapping[str, Any]]
_HEAD = (
    "",
    "add/s",
    "batch/s",
    "CPU ms",
    "survives",
    "p50 ms",
    "p95 ms",
    "CPU p50",
    "CPU p95",
    "first",
    "filt. p50",
    "CPU p50",
    "hit@1",
    f"hit@{K}",
    "all h@10",
    "MB",
    "disk MB",
)
_LEGEND = f"""add/s: adds a second, one by one; batch/s: in batches; CPU ms: of an add one by one, what it puts off
included. p50, p95, CPU: ms of a search over all turns, vector given; first: ms of the first search; filt.: filtered to
one conversation. hit: the share of questions with an answering turn among the first 1 or {K}, filtered; all: over all
turns. MB: resident memory beyond the bare process, its libraries included."""


def table(rows: Rows) -> str:
    cells = [list(_HEAD)]
    reasons = []
    for name, row in rows.items():
        if "failure" in row:
            reasons.append(f"{name}: {row['failure']}")
        if row.get("note"):
            reasons.append(f"{name}: {row['note']}")
        listed = list(_lines(name, row))
        cells += listed or [[name, *["failed"], *[""] * (len(_HEAD) - 2)]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    lines = ("  ".join([line[0].ljust(widths[0]), *_right(line[1:], widths[1:])]) for line in cells)
    return "\n".join([*lines, "", _LEGEND, *reasons])


def _right(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _lines(name: str, row: Mapping[str, Any]) -> Iterator[list[str]]:
    """A line a mode of recall; what concerns adds and memory stands on the first."""
    single, batched = row.get("single_adds", {}), row.get("batched_adds", {})
    adding = [
        _number(single.get("per_second")),
        _number(batched.get("per_second")),
        _number(single.get("cpu_ms")),
        row.get("survives", ""),
    ]
    holding = [_number(row.get("memory_mb")), _number(row.get("disk_mb"))]
    if single and not row["recall"]:
        yield [name, *adding, *[""] * (len(_HEAD) - 5 - len(holding)), *holding]
    for number, (mode, found) in enumerate(row["recall"].items()):
        whole, filtered = found.get("whole", {}), found.get("filtered", {})
        times = [_number(whole.get(key)) for key in ("wall_p50_ms", "wall_p95_ms", "cpu_p50_ms", "cpu_p95_ms")]
        times += [_number(row.get("first_search_ms"))] if not number else [""]
        times += [_number(filtered.get(key)) for key in ("wall_p50_ms", "cpu_p50_ms")]
        hits = [_share(filtered.get("hit@1")), _share(filtered.get(f"hit@{K}")), _share(whole.get(f"hit@{K}"))]
        title = f"{name}: {mode}" if len(row["recall"]) > 1 else name
        yield [title, *(adding if not number else [""] * 4), *times, *hits, *(holding if not number else ["", ""])]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def draw(rows: Rows, turns: int, file: Path) -> None:
    """A PNG: a point a system, adds a second against milliseconds of a recall; hollow where a kill loses an add."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    shown = {name: row for name, row in rows.items() if row["recall"]}
    colors = cycle(mpl.color_sequences["Dark2"][:-1])  # the last is grey
    for name, row in shown.items():
        color = "0.5" if name == FLOOR else "black" if name == AGENTMEM else next(colors)
        for mode, found in row["recall"].items():
            if "single_adds" not in row or "whole" not in found:
                continue
            x, y = row["single_adds"]["per_second"], found["whole"]["wall_p50_ms"]
            kept = row["survives"] != "nothing"
            axes.plot(x, y, "o", ms=9, mew=1.8, color=color, mfc=color if kept else "white")
            title = f"{name}: {mode}" if len(row["recall"]) > 1 else name
            axes.annotate(title, (x, y), xytext=(9, 3), textcoords="offset points", fontsize=9, color=color)
    axes.set(xscale="log", yscale="log", xlabel="adds a second, one by one", ylabel="recall of 10, median, ms")
    axes.set_title(
        f"{turns:,} turns in one memory (hollow: a kill of the process loses acknowledged adds)", fontsize=11
    )
    axes.grid(visible=True, which="major", alpha=0.3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,g}")
    axes.margins(x=0.3, y=0.12)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)
