"""What each signal of the default engine is worth: the engine without it, on both sets.

    python -m benchmarks.ablation --locomo FILE --beam FOLDER [--embedder minilm] [--json FILE]

A signal that takes nothing away from either set when it is left out has no place in the engine. LoCoMo and BEAM are not
part of the project.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentmem.errors import AgentMemError
from agentmem.recall.fuse import NEIGHBOURS
from agentmem.recall.presets import PRESETS, TRAINING_FREE, Preset
from agentmem.recall.weights import of_itself
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.run import EvalReport, compare
from agentmem_apps.evaluate.table import comparison
from benchmarks.measure import keep, machine_line, options

__all__ = ["ablations"]

FIGURES = ("recall@5", "recall@10", "recall@20", "mrr")


def ablations(whole: Preset) -> dict[str, Preset]:
    """The engine, and the engine without each of its signals, by what is missing."""
    found = {"everything": whole}
    for signal in whole.signals:
        left = tuple(other for other in whole.signals if other is not signal)
        found[f"without {signal.name}"] = replace(whole, signals=left)
    found[f"without {NEIGHBOURS}"] = replace(whole, weighting=of_itself(whole.weighting))
    return found


def _figures(reports: Sequence[EvalReport]) -> dict[str, Any]:
    first = reports[0]
    return {
        "sha256": first.sha256,
        "embedder": first.embedder,
        "n": first.n,
        "engines": {report.engine: {name: report.turn[name] for name in FIGURES} for report in reports},
    }


def main() -> int:
    asked = options(__doc__, "locomo", "beam").parse_args()
    engines, result = ablations(PRESETS[TRAINING_FREE]), dict[str, Any]()
    try:
        for dataset in (locomo.load(asked.locomo), beam.load(asked.beam)):
            reports = compare(dataset, engines, embedder=asked.embedder)
            print(comparison(reports), end="\n\n", flush=True)
            result[dataset.name] = _figures(reports)
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    print(machine_line())
    keep(asked.json, "ablation", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
