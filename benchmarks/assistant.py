"""Does a question about what the assistant said find the assistant's message? Thirty of them, on chats of BEAM.

    python -m benchmarks.assistant --beam FOLDER [--embedder minilm] [--json FILE]

The questions are ours (`benchmarks/data/beam_assistant.json`), three on each of ten chats, written from single messages
of the assistant that were drawn by lot; BEAM is not part of the project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from agentmem import Scope
from agentmem.cues import Hit
from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError, InvalidInput
from agentmem.recall.presets import PRESETS, TRAINING_FREE, Preset
from agentmem_apps.evaluate import beam
from agentmem_apps.evaluate.dataset import Conversation, Dataset
from agentmem_apps.evaluate.run import rank
from benchmarks.measure import keep, machine_line, options

__all__ = ["Asked", "engines", "found", "questions"]

QUESTIONS = Path(__file__).parent / "data" / "beam_assistant.json"


class Asked(NamedTuple):
    chat: str
    message: str
    text: str


def questions() -> list[Asked]:
    return [Asked(*one) for one in json.loads(QUESTIONS.read_text(encoding="utf-8"))["questions"]]


def engines() -> dict[str, Preset]:
    """The engine that nothing was learned for, with and without the signal that turns to the assistant when asked; and
    words or vectors alone."""
    whole = PRESETS[TRAINING_FREE]
    without = replace(whole, signals=tuple(signal for signal in whole.signals if signal.name != "role"))
    return {TRAINING_FREE: whole, "without role": without, "bm25": PRESETS["bm25"], "dense": PRESETS["dense"]}


def found(dataset: Dataset, asked: Sequence[Asked], embedder: Embedder) -> dict[str, Any]:
    """By engine: how many of the questions find their message among the first k, and the assistant's first of all."""
    chats = {conversation.id: conversation for conversation in dataset.conversations}
    if missing := sorted({one.chat for one in asked} - chats.keys()):
        raise InvalidInput(
            f"there is no chat {', '.join(missing)} in it", way_out="Name the development half's folder."
        )
    places: dict[str, list[tuple[int | None, bool]]] = {name: [] for name in engines()}
    for chat in dict.fromkeys(one.chat for one in asked):
        conversation, here = chats[chat], [one for one in asked if one.chat == chat]
        records = conversation.records(Scope("assistant"))
        for name, rankings in rank(records, [one.text for one in here], embedder, engines()).items():
            told = zip(here, rankings.hits, strict=True)
            places[name] += [(_place(conversation, one, hits), _assistant_first(hits)) for one, hits in told]
    return {
        name: {
            **{f"hit@{k}": sum(at is not None and at <= k for at, _ in of) / len(of) for k in (1, 5, 10)},
            "assistant first": sum(first for _, first in of) / len(of),
        }
        for name, of in places.items()
    }


def _assistant_first(hits: Sequence[Hit]) -> bool:
    return bool(hits) and hits[0].record.role == "assistant"


def _place(conversation: Conversation, asked: Asked, hits: Sequence[Hit]) -> int | None:
    """Counted from 1; None if the message is not among the hits."""
    ids = [conversation.id_of(hit.record) for hit in hits]
    return ids.index(asked.message) + 1 if asked.message in ids else None


def main() -> int:
    asked = options(__doc__, "beam").parse_args()
    try:
        embedder, dataset = open_embedder(asked.embedder), beam.load(asked.beam)
        shares = found(dataset, questions(), embedder)
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    for name, told in shares.items():
        print(f"{name:14} " + "  ".join(f"{what} {100 * share:5.1f}" for what, share in told.items()))
    print(machine_line())
    result = {"sha256": dataset.sha256, "embedder": embedder.id, "n": len(questions()), "engines": shares}
    keep(asked.json, "assistant", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
