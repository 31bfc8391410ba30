"""How much of the evidence a packed context holds: `memory.context` in a budget of tokens, on both sets.

    python -m benchmarks.packs --locomo FILE --beam FOLDER [--embedder minilm] [--budgets 1500 4000] [--json FILE]

Evidence is counted as recall is: the share of a question's turns that are quoted, averaged over all questions that have
any. By the training-free engine: the default one was learned on these very questions. LoCoMo and BEAM are not part of
the project.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agentmem import Memory, Scope
from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError
from agentmem.recall.presets import TRAINING_FREE
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Dataset
from agentmem_apps.importers.run import write
from benchmarks.measure import keep, machine_line, options

__all__ = ["packed"]


def packed(dataset: Dataset, embedder: Embedder, budgets: Sequence[int]) -> dict[str, Any]:
    """By budget: the evidence in the pack, all of it in how many, the memories quoted, and the tokens they take."""
    totals = {budget: {"evidence": 0.0, "whole": 0.0, "quoted": 0.0, "tokens": 0.0} for budget in budgets}
    n = 0
    for conversation in dataset.conversations:
        with (
            TemporaryDirectory(prefix="agentmem-packs-") as folder,
            Memory.open(Path(folder) / "m", embedder=embedder) as memory,
        ):
            write(memory, conversation.records(Scope("default")), cause="packs")
            memory.flush()
            for question in conversation.questions:
                gold, n = frozenset(question.gold), n + 1
                for budget, total in totals.items():
                    context = memory.context(question.text, budget, engine=TRAINING_FREE)
                    held = gold & {conversation.id_of(hit.record) for hit in context.hits}
                    total["evidence"] += len(held) / len(gold)
                    total["whole"] += held == gold
                    total["quoted"] += len(context.hits)
                    total["tokens"] += context.tokens
    return {
        "sha256": dataset.sha256,
        "embedder": embedder.id,
        "n": n,
        "budgets": {
            str(budget): {name: value / n for name, value in total.items()} for budget, total in totals.items()
        },
    }


def main() -> int:
    parser = options(__doc__, "locomo", "beam")
    parser.add_argument("--budgets", type=int, nargs="+", default=[1500, 4000], metavar="TOKENS")
    asked = parser.parse_args()
    result: dict[str, Any] = {}
    try:
        embedder = open_embedder(asked.embedder)
        for dataset in (locomo.load(asked.locomo), beam.load(asked.beam)):
            result[dataset.name] = found = packed(dataset, embedder, asked.budgets)
            for budget, shares in found["budgets"].items():
                print(
                    f"{dataset.name:7} {int(budget):>6,} tokens: {100 * shares['evidence']:5.1f} % of the evidence, "
                    f"all of it in {100 * shares['whole']:5.1f} %; {shares['quoted']:5.1f} memories, "
                    f"{shares['tokens']:6,.0f} tokens",
                    flush=True,
                )
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    print(machine_line())
    keep(asked.json, "packs", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
