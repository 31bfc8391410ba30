"""An evaluation as a plain-text table: percent with one decimal, a line a category."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agentmem_apps.evaluate.metrics import METRICS
from agentmem_apps.evaluate.run import EvalReport

__all__ = ["render"]

_HEADS: Final = {"recall": "R", "ndcg": "N", "hit": "hit", "mrr": "MRR"}


def render(report: EvalReport) -> str:
    """Ready to print, without a newline at its end."""
    head = (
        f"{report.dataset}  {report.file}  sha256 {report.sha256[:12]}  embedder {report.embedder}\n"
        f"{report.conversations} conversations, {report.records} turns, "
        f"{report.n} questions of {report.asked} have gold; {report.seconds:.1f} s"
    )
    everything = {"n": report.n, "turn": report.turn, "session": report.session}
    parts = {"all": everything, **report.groups, **report.categories}
    blocks = [head]
    for level in ("turn", "session"):
        rows = [[f"{level} level, %", "n", *map(_short, METRICS)]]
        rows += [[name, str(part["n"]), *_cells(part[level])] for name, part in parts.items()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        blocks.append("\n".join(_row(row, widths) for row in rows))
    return "\n\n".join(blocks)


def _short(metric: str) -> str:
    name, at, k = metric.partition("@")
    return f"{_HEADS[name]}{at}{k}"


def _cells(figures: Any) -> list[str]:
    found: Mapping[str, float] = figures
    return [f"{100 * found[metric]:.1f}" if metric in found else "-" for metric in METRICS]


def _row(cells: list[str], widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *numbers])
