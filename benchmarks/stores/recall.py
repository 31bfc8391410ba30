"""What each store adds to recall: the development halves of LoCoMo and BEAM, with and without it.

    python -m benchmarks.stores.recall --locomo FILE --beam FOLDER [--embedder minilm] [--json FILE]

The same memories and the same learned weights; a store is one signal more, asked by every question and not only by
those that its route concerns. `routed` is what a user has: each store where its route leads; `consolidated` is the same
once thoughts have been drawn from the turns: they are records too, and take the place of turns among the first ten.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from agentmem import Memory
from agentmem.embedding import Embedder, open_embedder
from agentmem.recall.presets import DEFAULT, Preset, preset
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Conversation, Dataset
from agentmem_apps.evaluate.metrics import mean, score
from agentmem_apps.importers.run import write
from benchmarks.measure import keep

WEIGHTS: Final = (0.1, 0.3, 1.0)
STORES: Final = ("working", "longterm", "chunks", "links")  # neither set names a place
_DEPTH: Final = 50
Found = dict[str, float]


def engines(memory: Memory) -> Iterator[tuple[str, Preset]]:
    """The default engine alone, as routed, and with each store at each weight; a store is attached while it is out."""
    whole = preset(DEFAULT)
    alone = replace(whole, stores=False)
    yield "without", alone
    yield "routed", whole
    for name in STORES:
        for weight in WEIGHTS:
            memory.attach(name, weight=weight)
            yield f"{name} × {weight}", alone
            memory.detach(name)


def asked(conversation: Conversation, embedder: Embedder) -> dict[str, list[tuple[str, Mapping[str, float]]]]:
    """Engine → a category and the figures of each question."""
    with TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        write(memory, conversation.records(memory.bound), cause="evaluate")
        memory.flush()
        found = {name: _scored(memory, conversation, engine) for name, engine in engines(memory)}
        memory.consolidate("thoughts")
        memory.flush()
        return {**found, "consolidated": _scored(memory, conversation, preset(DEFAULT))}


def _scored(memory: Memory, conversation: Conversation, engine: Preset) -> list[tuple[str, Mapping[str, float]]]:
    scored: list[tuple[str, Mapping[str, float]]] = []
    for question in conversation.questions:
        hits = memory.recall(question.text, _DEPTH, engine=engine)
        ids = [hit.record.id if hit.record.kind == "thought" else conversation.id_of(hit.record) for hit in hits]
        scored.append((question.category, score(ids, frozenset(question.gold))))
    return scored


def measured(dataset: Dataset, embedder: Embedder) -> dict[str, Any]:
    """Engine → recall@10 of all questions, and of each category."""
    gathered: dict[str, list[tuple[str, Mapping[str, float]]]] = {}
    for conversation in dataset.conversations:
        for name, scored in asked(conversation, embedder).items():
            gathered.setdefault(name, []).extend(scored)
        sys.stderr.write(f"{dataset.name} {conversation.id}\n")
    return {name: _figures(scored) for name, scored in gathered.items()}


def _figures(scored: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, Any]:
    categories = sorted({category for category, _ in scored})
    return {
        "n": len(scored),
        **{name: value for name, value in mean([one for _, one in scored]).items() if name.startswith("recall")},
        "categories": {
            category: mean([one for name, one in scored if name == category])["recall@10"] for category in categories
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--locomo", type=Path, required=True)
    parser.add_argument("--beam", type=Path, required=True)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args()
    embedder = open_embedder(given.embedder)
    found = {}
    for dataset in (locomo.load(given.locomo), beam.load(given.beam)):
        found[dataset.name] = measured(dataset, embedder)
        for name, figures in found[dataset.name].items():
            print(f"{dataset.name:12}{name:20}" + "".join(f"{100 * figures[f'recall@{k}']:8.1f}" for k in (5, 10, 20)))
    keep(given.json, "stores-recall", {"embedder": embedder.id, "sets": found}, ("agentmem-framework", "numpy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
