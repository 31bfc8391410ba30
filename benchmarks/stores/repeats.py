"""What RepeatMemory shows: how well it tells what says the same, what a hundred copies do to recall, and what it costs.

    python -m benchmarks.stores.repeats

Seeded, on one core, two minutes; of the embedders, the rows on sense and on copies take MiniLM, the others none.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from agentmem import Memory
from agentmem.embedding import embed_checked, embedding_text
from agentmem.recall.presets import DEFAULT, Preset, preset
from agentmem.recall.signals.repeated import Repeated, once
from agentmem.records import Record
from agentmem_stores.minhash import estimate, jaccard, shingles, signature
from agentmem_stores.repeats import BONDS, RepeatMemory
from benchmarks.mixed import START, World, suite
from benchmarks.mixed_words import OUTER, SLOTS
from benchmarks.stores.row import Row

__all__ = ["EDITS", "confused", "edited", "measure", "spammed"]

NAME: Final = "repeats"
PAPER: Final = "Hernandez et al. 2022, arXiv 2205.10487"
BROTHERS: Final = "Broder 1997; Li and König 2010"
COPIES: Final = 100
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ADVERT: Final = (
    "Where do you live now, who do you work for these days, what do you drink in the morning, which instrument are you "
    "learning to play? Something cheaper waits at Bolt's counter!"
)


class _Told(NamedTuple):
    """A sentence, and the same in another order, denied, and in other words."""

    plain: str
    reordered: str
    denied: str
    reworded: str


TOLD: Final = (
    _Told(
        "On {day} {who} left {load} by the door of the {room} and paid {n} euros for it",
        "{who} left {load} by the door of the {room} and paid {n} euros for it on {day}",
        "On {day} {who} did not leave {load} by the door of the {room} and paid {n} euros for it",
        "{who} paid {n} euros on {day} for {load} and left it at the {room} door",
    ),
    _Told(
        "Last week {who} waited {n} minutes on {day} at the harbour with {load} for the ferry",
        "{who} waited {n} minutes for the ferry on {day} last week at the harbour with {load}",
        "Last week {who} never waited {n} minutes on {day} at the harbour with {load} for the ferry",
        "Last week {who} stood at the harbour {n} minutes on {day}, waiting for the ferry with {load}",
    ),
    _Told(
        "Since {day} {who} has kept {load} in the {room}, next to {n} boxes full of papers",
        "In the {room} {who} has kept {load}, next to {n} boxes full of papers, since {day}",
        "Since {day} {who} has not kept {load} in the {room}, next to {n} boxes full of papers",
        "{who} has stored {load} in the {room} since {day}, next to {n} boxes of papers",
    ),
)


def _slip(text: str, chance: random.Random) -> str:
    """Two letters change places within one of the long words."""
    words = list(re.finditer(r"\b[a-z]{5,}\b", text))
    word = chance.choice(words)
    at = chance.choice([i for i in range(1, len(word[0]) - 2) if word[0][i] != word[0][i + 1]])
    slipped = word[0][:at] + word[0][at + 1] + word[0][at] + word[0][at + 2 :]
    return text[: word.start()] + slipped + text[word.end() :]


Edit = Callable[[_Told, dict[str, str], random.Random], str]


def _other(slot: str, values: Sequence[str]) -> Edit:
    def edit(told: _Told, fixed: dict[str, str], chance: random.Random) -> str:
        others = [value for value in values if value != fixed[slot]]
        return told.plain.format(**{**fixed, slot: chance.choice(others)})

    return edit


# What is done to a sentence, and whether it says the same afterwards.
EDITS: Final[Mapping[str, tuple[bool, Edit]]] = {
    "case and signs": (True, lambda told, fixed, _: f"  {told.plain.format(**fixed).upper()}!"),
    "a slip": (True, lambda told, fixed, chance: _slip(told.plain.format(**fixed), chance)),
    "idle words": (True, lambda told, fixed, _: "Oh, " + told.plain.format(**fixed).replace(" and ", " and just ")),
    "another order": (True, lambda told, fixed, _: told.reordered.format(**fixed)),
    "other words": (True, lambda told, fixed, _: told.reworded.format(**fixed)),
    "denied": (False, lambda told, fixed, _: told.denied.format(**fixed)),
    "another number": (False, _other("n", [str(n) for n in range(3, 99)])),
    "another day": (False, _other("day", DAYS)),
    "another name": (False, _other("who", OUTER)),
    "another thing": (False, _other("load", SLOTS["load"])),
    "a question": (False, lambda told, fixed, _: f"{told.plain.format(**fixed)}?"),
}


def edited(number: int = 120, seed: int = 5) -> list[tuple[str, dict[str, str]]]:
    """Sentences, and what each becomes by each edit."""
    chance = random.Random(seed)
    names = chance.sample(OUTER, min(number, len(OUTER)))
    found = []
    for n in range(number):
        told = TOLD[n % len(TOLD)]
        fixed = {
            "who": names[n % len(names)],
            "day": chance.choice(DAYS),
            "n": str(chance.randrange(3, 99)),
            "load": chance.choice(SLOTS["load"]),
            "room": chance.choice(SLOTS["room"]),
        }
        found.append(
            (told.plain.format(**fixed), {name: edit(told, fixed, chance) for name, (_, edit) in EDITS.items()})
        )
    return found


def confused(embedder: str = "minilm", number: int = 120) -> dict[str, dict[str, float]]:
    """Edit → the shares of sentences that were taken for the one they were made from, by bond."""
    pairs = edited(number)
    found: dict[str, Counter[str]] = {name: Counter() for name in EDITS}
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        held = memory.add_many({"text": plain, "speaker": "Bea", "at": START} for plain, _ in pairs)
        repeats = _attached(memory)
        for (_, edits), record in zip(pairs, held, strict=True):
            vectors = _vectors(memory, record, list(edits.values()))
            for (name, text), vector in zip(edits.items(), vectors, strict=True):
                same = repeats.repeated(text, vector, speaker="Bea")
                if same is not None:
                    found[name][same.kind] += 1
    return {name: {bond: counts[bond] / len(pairs) for bond in BONDS} for name, counts in found.items()}


def _vectors(memory: Memory, record: Record, texts: Sequence[str]) -> list[list[float]]:
    """Of these texts, had they been added in place of the record's."""
    written = [embedding_text(replace(record, text=text)) for text in texts]
    return [row.tolist() for row in embed_checked(memory.embedder, written)]


def _attached(memory: Memory) -> RepeatMemory:
    """Following, and not heard."""
    memory.flush()
    memory.attach("measured", RepeatMemory)
    store = memory.stores["measured"]
    assert isinstance(store, RepeatMemory)
    return store


def spammed(embedder: str = "minilm", kind: str = "person") -> dict[str, float]:
    """Recall@5 of the mixed suite's questions of a kind that a text of their words was thrown among."""
    world, chance = suite(), random.Random(6)
    adverts = {
        "with 100 copies": [ADVERT] * COPIES,
        "with 100 that have a slip": [ADVERT, *(_slip(ADVERT, chance) for _ in range(COPIES))],
    }
    found = {"without": _recalled(world, [], embedder, kind)[0]}
    for name, texts in adverts.items():
        found[name], found[f"{name}, each said once"] = _recalled(world, texts, embedder, kind)
    return found


def _recalled(world: World, adverts: Sequence[str], embedder: str, kind: str) -> tuple[float, float]:
    """By the engine alone, and by the same when what is said again gives way."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        memory.add_many(world.records)
        at = [START + timedelta(days=2 * n) for n in range(len(adverts))]
        memory.add_many(
            {"text": text, "speaker": "Bolt", "session": "adverts", "at": when}
            for text, when in zip(adverts, at, strict=True)
        )
        repeats = _attached(memory)
        plain = replace(preset(DEFAULT), stores=False)
        engines = (plain, once(plain, Repeated(repeats.together)))
        one, other = (_share(world, memory, engine, kind) for engine in engines)
        return one, other


def _share(world: World, memory: Memory, engine: Preset, kind: str) -> float:
    shares = []
    for q in world.questions:
        if q.kind == kind:
            ids = {hit.record.id for hit in memory.recall(q.cue, 5, engine=engine)}
            shares.append(len(q.gold & ids) / len(q.gold))
    return float(np.mean(shares))


def _errors(draws: int = 300) -> dict[str, float]:
    """Of the estimate for two texts of 200 shingles, as the Jaccard index is; and how far the worst was off."""
    chance = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz    "
    found: dict[str, float] = {}
    for edits in (1, 4, 12):
        errors, shares = [], []
        for _ in range(draws):
            text = [chance.choice(letters) for _ in range(204)]
            other = list(text)
            for at in chance.sample(range(len(text)), edits):
                other[at] = "#"
            sets = shingles("".join(text)), shingles("".join(other))
            shares.append(jaccard(*sets))
            errors.append(float(estimate(signature(sets[0]), signature(sets[1]))) - shares[-1])
        found[f"J {np.mean(shares):.2f}: root mean square error"] = float(np.sqrt(np.mean(np.square(errors))))
        found[f"worst of {draws} at {np.mean(shares):.2f}"] = float(np.abs(errors).max())
    return found


def _costs() -> dict[str, float]:
    """Of the mixed suite and three more towns, 6,000 turns."""
    records: list[dict[str, Any]] = []
    for seed in range(4):
        records += [{**record, "id": f"{seed}-{record['id']}"} for record in suite(seed).records]
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder="hash:64") as memory:
        memory.add_many(records)
        memory.flush()
        begun = time.process_time()
        repeats = _attached(memory)
        took = time.process_time() - begun
        asked = [record["text"] for record in records[:500]]
        begun = time.process_time()
        for text in asked:
            repeats.repeated(text, speaker="nobody")
        asking = time.process_time() - begun
        size = repeats.inspect()
    return {
        "bytes a record": float(str(size["bytes"])) / len(records),
        "us of CPU a record, reading it included": took / len(records) * 1e6,
        "us of CPU to ask who says a text": asking / len(asked) * 1e6,
    }


def measure() -> list[Row]:
    found = [Row(NAME, "MinHash of 128 orders, a byte each", _errors(), f"{BROTHERS}: standard error .044 at most")]
    for name, shares in confused().items():
        same = "says the same" if EDITS[name][0] else "says something else"
        found.append(Row(NAME, f"120 sentences, {name}", shares, "", same))
    claim = f"{PAPER}: a tenth of repeated data, a hundred times each, does most harm"
    for embedder in ("hash", "minilm"):
        found.append(Row(NAME, f"recall@5, 40 questions, {embedder}", spammed(embedder), claim))
    return [*found, Row(NAME, "6,000 turns", _costs())]


if __name__ == "__main__":
    for row in measure():
        print(row.what, {label: round(figure, 3) for label, figure in row.measured.items()}, row.source, row.remark)
