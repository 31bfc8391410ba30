"""An evaluation as a plain-text table, percent with one decimal, or several as one table or a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentmem.errors import InvalidInput
from agentmem_apps.evaluate.metrics import METRICS
from agentmem_apps.evaluate.run import EvalReport
from agentmem_apps.evaluate.sort import SortReport

__all__ = ["comparison", "draw", "render", "render_sort"]

_HEADS: Final = {"recall": "R", "ndcg": "N", "hit": "hit", "all": "all", "mrr": "MRR"}


def render(report: EvalReport) -> str:
    """Ready to print, without a newline at its end."""
    head = f"{_head(report)}  engine {report.engine}\n{_counts(report)}; {report.seconds:.1f} s"
    everything = {"n": report.n, "turn": report.turn, "session": report.session}
    parts = {"all": everything, **report.groups, **report.categories}
    blocks = [head]
    for level in ("turn", "session"):
        rows = [[name, str(part["n"]), *_cells(part[level])] for name, part in parts.items()]
        blocks.append(_table([f"{level} level, %", "n", *map(_short, METRICS)], rows))
    return "\n\n".join(blocks)


def comparison(reports: Sequence[EvalReport]) -> str:
    """Engines beside each other: all metrics, then recall@10 of each group and category. Ready to print."""
    first = reports[0]
    blocks = [f"{_head(first)}\n{_counts(first)}"]
    for level in ("turn", "session"):
        rows = [[one.engine, *_cells(getattr(one, level)), f"{one.seconds:.1f}"] for one in reports]
        blocks.append(_table([f"{level} level, %", *map(_short, METRICS), "s"], rows))
    parts = {**first.groups, **first.categories}
    rows = [
        [name, str(part["n"]), *(f"{100 * _recall_10(one, name):.1f}" for one in reports)]
        for name, part in parts.items()
    ]
    blocks.append(_table(["turn R@10, %", "n", *(one.engine for one in reports)], rows))
    return "\n\n".join(blocks)


def render_sort(report: SortReport) -> str:
    """Ready to print, without a newline at its end."""
    head = (
        f"sort  {report.books} books, {report.words:,} words, sha256 {report.sha256[:12]}  embedder {report.embedder}\n"
        f"{report.n:,} pairs of segments of {report.segment} words; {report.seconds:.1f} s"
    )
    rows = [[distance, f"{n:,}", f"{100 * accuracy:.1f}"] for distance, n, accuracy in report.by_distance]
    rows.append(["all", f"{report.n:,}", f"{100 * report.accuracy:.1f}"])
    rows.append(["written in a shuffled order", f"{report.n:,}", f"{100 * report.control:.1f}"])
    said = f"the one shown first is said to be the earlier in {100 * report.said_first:.1f} %"
    return "\n\n".join([head, _table(["words between them", "pairs", "right, %"], rows), said])


def draw(reports: Sequence[EvalReport], file: Path) -> None:
    """Turn recall of each engine, as PNG. InvalidInput when it cannot be drawn or written."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise InvalidInput(
            "drawing needs matplotlib, which is not installed", way_out="pip install matplotlib"
        ) from error
    mpl.use("Agg")
    from matplotlib import pyplot

    names = ["recall@5", "recall@10", "recall@20"]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.55 * len(reports)), layout="constrained")
    for place, name in enumerate(names):
        heights = [row + 0.25 * (1 - place) for row in range(len(reports))]
        bars = axes.barh(heights, [100 * one.turn[name] for one in reports], height=0.23, label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=2)
    axes.set_yticks(range(len(reports)), [one.engine for one in reports])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"percent of the gold turns, {reports[0].dataset}, {reports[0].n:,} questions")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(names), fontsize=8, frameon=False)  # above the bars
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(file, dpi=150, format="png")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InvalidInput(f"{file} cannot be written: {error}", way_out="Name another file.") from error
    finally:
        pyplot.close(figure)


def _head(report: EvalReport) -> str:
    return f"{report.dataset}  {report.file}  sha256 {report.sha256[:12]}  embedder {report.embedder}"


def _counts(report: EvalReport) -> str:
    turns = f"{report.conversations} conversations, {report.records} turns"
    return f"{turns}, {report.n} questions of {report.asked} have gold"


def _recall_10(report: EvalReport, name: str) -> float:
    part: Any = report.groups.get(name) or report.categories[name]
    return float(part["turn"].get("recall@10", 0.0))


def _table(heads: list[str], rows: list[list[str]]) -> str:
    rows = [heads, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    return "\n".join(_row(row, widths) for row in rows)


def _short(metric: str) -> str:
    name, at, k = metric.partition("@")
    return f"{_HEADS[name]}{at}{k}"


def _cells(figures: Any) -> list[str]:
    found: Mapping[str, float] = figures
    return [f"{100 * found[metric]:.1f}" if metric in found else "-" for metric in METRICS]


def _row(cells: list[str], widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *numbers])
