"""The tables of docs/stores.md, from the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["measured_table", "recall_table", "routing_table"]

RESULTS: Final = Path(__file__).parents[1] / "results"
SETS: Final = (("locomo", "LoCoMo"), ("beam", "BEAM-100K"))


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def measured_table() -> list[str]:
    """A line for each row of `benchmarks.stores`."""
    lines = [
        "Each store on the tasks of its source (`python -m benchmarks.stores`; seeded; shares of 1 where no unit is",
        "named). The third column has what a paper or its code says of the same, the last what did not come out as",
        "said, or only under conditions.",
        "",
        "| store | what | the source says | measured | remarks |",
        "|---|---|---|---|---|",
    ]
    for row in _result("stores")["rows"]:
        said = "; ".join(f"{label} **{_number(value)}**" for label, value in row["measured"].items())
        lines.append(f"| `{row['store']}` | {row['what']} | {row['source'] or '–'} | {said} | {row['remark']} |")
    return lines


def recall_table() -> list[str]:
    """What each store adds."""
    found = _result("stores-recall")["sets"]
    lines = [
        "What each store adds to the recall of turns (`python -m benchmarks.stores.recall`; development halves,",
        "MiniLM, the same weights with and without; percent of the gold turns). A store is asked by every question",
        "here, and its best hit adds so much to a score. `routed` asks only where its route leads, and is what a",
        "recall does; `consolidated` is the same once thoughts were drawn from the turns, which then stand among the",
        "hits:",
        "",
        "| store × weight | " + " | ".join(f"{title} @5 | @10 | @20" for _, title in SETS) + " |",
        "|---|" + "---|" * (3 * len(SETS)),
    ]
    for name in next(iter(found.values())):
        cells = [f"{100 * found[data][name][f'recall@{k}']:.1f}" for data, _ in SETS for k in (5, 10, 20)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def routing_table() -> list[str]:
    """Who finds what of six kinds of questions, and what the gate learns."""
    found = _result("routing")["embedders"]
    kinds = list(next(iter(found.values()))["arms"]["engine"]["kinds"])
    lines = [
        "Whom to ask (`python -m benchmarks.routing`; questions of six kinds about an invented town; the rules were",
        "written with such questions in view; recall@10 in percent; of a question, how many stores were asked, and how",
        "many milliseconds they took together). Each store alone, the engine alone, what the router asks, everything",
        "asked of everybody. Then another town, of which half of the questions teach and the other half is asked: by",
        "the rules, by rules turned round so that each leads to a wrong store, and by both once they were taught:",
        "",
        "| embedder | who | mean | " + " | ".join(kinds) + " | asked | ms |",
        "|---|---|---|" + "---|" * (len(kinds) + 2),
    ]
    for embedder, told in found.items():
        for part in ("arms", "learning"):
            for name, one in told[part].items():
                if isinstance(one, dict):
                    shares = " | ".join(f"{100 * one['kinds'][kind]:.1f}" for kind in kinds)
                    cost = f"{one['asked']:.1f} | {one['stores_ms']:.1f}" if one["asked"] else "– | –"
                    lines.append(f"| `{embedder}` | {name} | {100 * one['mean']:.1f} | {shares} | {cost} |")
    return lines
