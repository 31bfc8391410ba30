"""Working and long-term memory: what comes back of what was held together, what returns after it was pushed out, and
whether a hundred thousand steps stay bounded.

Texts are seeded sentences such as "Marta mended the brass lantern.", put to the stores of real memories, a minute after
one another, with the hash embedder; what is asked is the sentence, without its date: "Marta mended the brass lantern?"
`python -m benchmarks.stores.pmi` prints the rows.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from agentmem import Memory
from agentmem.blas import one_thread
from agentmem.cues import Cue
from agentmem.recall.stores import Attached
from agentmem_stores.longterm import Associations, LongTermMemory, context
from agentmem_stores.projection import pack
from agentmem_stores.slots import Slots
from benchmarks.stores.row import Row

__all__ = ["bounded", "measure", "pushed_out", "together"]

NAMES: Final = [
    "Ana",
    "Ben",
    "Carla",
    "Dev",
    "Elif",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Liam",
    "Marta",
    "Nils",
    "Olga",
    "Pavel",
]
VERBS: Final = [
    "mended",
    "painted",
    "sold",
    "carried",
    "lost",
    "hid",
    "polished",
    "borrowed",
    "found",
    "wrapped",
    "dropped",
    "counted",
]
KINDS: Final = [
    "brass", "copper", "velvet", "wooden", "striped", "broken", "golden", "narrow", "dusty", "hollow", "crimson",
    "silver", "woollen", "paper", "frozen", "marble", "bamboo", "rusty", "ivory", "leather", "purple", "linen",
    "square", "tiny",
]  # fmt: skip
THINGS: Final = [
    "lantern", "violin", "ladder", "kettle", "anchor", "saddle", "mirror", "compass", "basket", "trumpet",
    "blanket", "candle", "hammer", "teapot", "bicycle", "curtain", "drum", "pillow", "sledge", "barrel", "chimney",
    "fountain", "umbrella", "telescope", "suitcase", "carpet", "wheel", "bottle", "statue", "feather", "bell",
    "crate", "hinge", "kite", "loom", "mask", "needle", "oar", "pulley", "quilt", "rake", "scarf", "tent", "urn",
    "vase", "whistle", "yoke", "zither",
]  # fmt: skip
MODES: Final = {
    "associations": {},
    "official": {"mode": "official"},
    "official with bias 1/√d": {"mode": "official", "bias": 512**-0.5},
}
PAIRS: Final = 8  # of a memory
MEMORIES: Final = 10
FIRST: Final = 5  # hits looked at
MORNING: Final = datetime(2024, 5, 1, 9, tzinfo=UTC)


class Told(NamedTuple):
    """A sentence, and what is asked."""

    text: str
    question: str


def sentences(random: np.random.Generator) -> Iterator[Told]:
    """Each about a thing of its own."""
    places = random.permutation(len(KINDS) * len(THINGS))
    for place in places.tolist():
        kind, thing = KINDS[place // len(THINGS)], THINGS[place % len(THINGS)]
        name, verb = (words[random.integers(len(words))] for words in (NAMES, VERBS))
        yield Told(f"{name} {verb} the {kind} {thing}.", f"{name} {verb} the {kind} {thing}?")


@contextmanager
def told(conversations: Sequence[Sequence[Told]]) -> Iterator[Memory]:
    """A memory to which these were told, a session each, a minute after another."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder="hash") as memory:
        at = MORNING
        for n, conversation in enumerate(conversations):
            memory.add_many(
                {"text": one.text, "session": str(n), "at": at + timedelta(minutes=m)}
                for m, one in enumerate(conversation)
            )
            at += timedelta(hours=1)
        memory.flush()
        yield memory


def following(memory: Memory, mode: str) -> LongTermMemory:
    store = LongTermMemory(memory.host, **MODES[mode])
    Attached("longterm", store, memory.host, 1.0).follow()
    return store


def together(meetings: int, seed: int = 4_001) -> dict[str, float]:
    """Of 80 pairs that were told one after the other so many times, for how many the second is among the first five
    hits when the first is asked for; by mode, and by the cosine alone."""
    random = np.random.default_rng(seed)
    found = dict.fromkeys([*MODES, "cosine alone"], 0)
    for _ in range(MEMORIES):
        stock = sentences(random)
        pairs = [(next(stock), next(stock)) for _ in range(PAIRS)]
        rounds = [pairs[n] for _ in range(meetings) for n in random.permutation(PAIRS)]
        conversations = [[*(next(stock) for _ in range(6)), *pair, *(next(stock) for _ in range(6))] for pair in rounds]
        with told(conversations) as memory:
            for mode in MODES:
                store = following(memory, mode)
                for first, second in pairs:
                    hits = store.recall(Cue(first.question), FIRST + meetings)
                    others = [hit.record.text for hit in hits if hit.record.text != first.text]
                    found[mode] += second.text in others[:FIRST]
            for first, second in pairs:
                [vector] = memory.host.embed([first.question])
                near = memory.host.nearest(vector, FIRST + meetings).positions.tolist()
                others = [record.text for record in memory.host.ledger.at(near) if record.text != first.text]
                found["cosine alone"] += second.text in others[:FIRST]
    return {label: number / (MEMORIES * PAIRS) for label, number in found.items()}


def pushed_out(distractors: int, seed: int = 4_002) -> dict[str, float]:
    """Of 80 things told once before so many others: how many are among the first five hits, by mode, and by the slots
    alone; and of 80 things never told, how many questions bring up anything."""
    random = np.random.default_rng(seed)
    found = {f"{mode}: {what}": 0 for mode in MODES for what in ("returns", "slots alone", "made up")}
    for _ in range(MEMORIES):
        stock = sentences(random)
        items, strange = ([next(stock) for _ in range(PAIRS)] for _ in range(2))
        others = [next(stock) for _ in range(distractors)]
        with told([items, *(others[n : n + 20] for n in range(0, distractors, 20))]) as memory:
            for mode in MODES:
                store = following(memory, mode)
                for item in items:
                    for what, whole in (("returns", True), ("slots alone", False)):
                        hits = store.recall(Cue(item.question), FIRST, use_longterm=whole)
                        found[f"{mode}: {what}"] += item.text in [hit.record.text for hit in hits]
                for item in strange:
                    found[f"{mode}: made up"] += bool(store.recall(Cue(item.question), FIRST))
    return {label: number / (MEMORIES * PAIRS) for label, number in found.items()}


def bounded(steps: int = 100_000, dimension: int = 384, seed: int = 4_003) -> dict[str, float]:
    """Steps over vectors of a thousand drifting themes: the greatest Frobenius norm of a segment, in norms of the
    identity, and the bytes kept, halfway and at the end; microseconds of CPU for a step of each part."""
    random = np.random.default_rng(seed)
    slots, learnt = Slots(dimension), Associations(dimension)
    themes = random.standard_normal((1000, dimension)).astype(np.float32) + np.float32(0.5)
    unit = math.sqrt(learnt.matrices.shape[1])
    norms, sizes, took = [], [], {"slots": 0.0, "associations": 0.0}
    with one_thread():
        for n in range(steps):
            row = themes[int(random.integers(40)) + n // 120 % 960]
            row = row + random.standard_normal(dimension, np.float32)
            start = time.process_time()
            writes = slots.perceive(f"{n:036}", row / np.float32(np.linalg.norm(row)), session=str(n // 200))
            between = time.process_time()
            for write in writes:
                learnt.learn(write.vector, slots.matters(), context(slots, write.slot))
            took["slots"] += between - start
            took["associations"] += time.process_time() - between
            if n % 500 == 499:
                norms.append(float(np.linalg.norm(learnt.matrices, axis=(1, 2)).max()) / unit)
                state, arrays = slots.dump()
                sizes.append(len(pack(state, **arrays, **learnt.arrays())))
    half = len(norms) // 2
    return {
        "greatest norm, first half": round(max(norms[:half]), 3),
        "second half": round(max(norms[half:]), 3),
        "bytes, at most, first half": max(sizes[:half]),
        "second half, bytes": max(sizes[half:]),
        **{f"us a step, {part}": round(seconds / steps * 1e6) for part, seconds in took.items()},
    }


def measure() -> list[Row]:
    """The rows of both stores; a minute on one core."""
    row = partial(Row, "longterm")
    return [
        *(
            row(
                f"the second of a pair, cued with the first, told together {often}: among the first five",
                together(meetings),
                source="what is recalled is bound by outer products, and corrected by what is held; trained end to end",
                remark="nothing is trained here; the published rank-1 form did not reproduce without its training",
            )
            for meetings, often in ((1, "once"), (2, "twice"), (4, "four times"))
        ),
        *(
            row(
                f"told once, then {distractors} other things: among the first five",
                pushed_out(distractors),
                source="long-term memory answers when working memory no longer can",
                remark="the more was told, the more a strange thing is like something told",
            )
            for distractors in (40, 400)
        ),
        row(
            "100,000 steps",
            bounded(),
            source="a layer norm bounds it",
            remark="384 dimensions, 8 slots, 5 segments of 96 x 96",
        ),
    ]


if __name__ == "__main__":
    for one in measure():
        print(f"{one.what}: " + ", ".join(f"{label} {value:g}" for label, value in one.measured.items()))
