"""What LinkGraph shows: two steps through a name, what feedback adds, how ties fade and are bounded, what recall costs.

    python -m benchmarks.stores.links

Seeded, on one core, two to three minutes; the chained questions take MiniLM, the rest no model.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import Cue, Memory
from agentmem.embedding import unit_rows
from agentmem.recall.stores import Attached
from agentmem_stores.links import LinkGraph
from agentmem_stores.resonance import DEGREE, ETA, HALF_LIFE, MOST, Resonance
from benchmarks.stores.row import Row

__all__ = ["Chain", "chains", "measure"]

NAME: Final = "links"
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
PAPER: Final = "Synaptic Resonance, Applegarth et al. 2025 (rebuilt: no equations are public)"
_SYLLABLES: Final = (
    "ka",
    "lo",
    "mi",
    "ru",
    "te",
    "vo",
    "sa",
    "ne",
    "pi",
    "du",
    "bel",
    "tor",
    "fin",
    "gar",
    "zel",
    "mon",
)
_THINGS: Final = (
    "bicycle",
    "violin",
    "kettle",
    "lantern",
    "saddle",
    "clock",
    "kayak",
    "typewriter",
    "telescope",
    "loom",
)
_TRIVIA: Final = (
    "{} likes figs and strong coffee.",
    "They saw {} at the market on a rainy day.",
    "Last week {} lost an umbrella on the tram.",
    "It was {} who sang at the wedding.",
    "Everybody says that {} cooks well.",
)
_ASKED: Final = ("Where can {0} pick up the {1} again?", "In which town is the {1} that belongs to {0}?")


class Chain(NamedTuple):
    """What is told in two memories that share one name, and asked for by the other end, in two ways."""

    first: str
    answer: str
    trivia: tuple[str, ...]
    asked: tuple[str, str]


def chains(number: int = 120, seed: int = 5) -> list[Chain]:
    """Each of the keepers is named in five more memories, so a name alone does not tell which memory answers."""
    chance = random.Random(seed)
    names: set[str] = set()
    while len(names) < 3 * number:
        names.add("".join(chance.sample(_SYLLABLES, 3)).capitalize())
    drawn = iter(chance.sample(sorted(names), len(names)))
    made = []
    for n in range(number):
        owner, keeper, town = next(drawn), next(drawn), next(drawn)
        thing = _THINGS[n % len(_THINGS)]
        first = f"The {thing} of {owner} was left for repair with {keeper}."
        answer = f"For years the workshop of {keeper} has been in {town}."
        trivia = tuple(line.format(keeper) for line in _TRIVIA)
        made.append(Chain(first, answer, trivia, (_ASKED[0].format(owner, thing), _ASKED[1].format(owner, thing))))
    return made


@contextmanager
def opened(texts: Sequence[str], embedder: str) -> Iterator[tuple[Memory, dict[str, str]]]:
    """A memory of these texts, and their ids."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        ids: dict[str, str] = {}
        for begin in range(0, len(texts), 1_000):
            ids |= {record.text: record.id for record in memory.add_many(texts[begin : begin + 1_000])}
        memory.flush()
        yield memory, ids


def followed(memory: Memory) -> LinkGraph:
    store = LinkGraph(memory.host)
    Attached(NAME, store, memory.host, 1.0).follow()
    return store


# ── two steps ────────────────────────────────────────────────────────────────────────────────────────────────────


def chained(rounds: Sequence[int] = (1, 3)) -> list[Row]:
    """recall@5 of the second memory of each chain: by words, and by a vector alone that is off by noise of that norm,
    the cue's being 1. Feedback is given on every second chain, in another wording than the one that is asked."""
    told = chains()
    texts = [text for chain in told for text in (chain.first, chain.answer, *chain.trivia)]
    random.Random(7).shuffle(texts)
    with opened(texts, "minilm") as (memory, ids):
        asked = unit_rows(np.asarray(memory.host.embedder.embed([chain.asked[1] for chain in told]), np.float32))
        drift = unit_rows(np.random.default_rng(3).standard_normal(asked.shape).astype(np.float32))
        cues = {"in words": [Cue(chain.asked[1]) for chain in told]}
        for noise in (0.5, 1.0, 1.5):
            rows = unit_rows(asked + np.float32(noise) * drift)
            cues[f"vector, noise {noise}"] = [Cue(vector=tuple(row.tolist())) for row in rows]
        wanted = [ids[chain.answer] for chain in told]

        def nearest(cue: Cue) -> list[str]:
            vector = memory.host.asked(cue)
            assert vector is not None
            return [one.id for one in memory.host.ledger.at(memory.host.nearest(vector, 5).positions.tolist())]

        store = followed(memory)
        attached = Attached(NAME, store, memory.host, 1.0)

        def linked(cue: Cue) -> list[str]:
            return [hit.record.id for hit in store.recall(cue, 5)]

        found = [
            _row("nearest by vector", nearest, cues, wanted),
            _row("links, no feedback", linked, cues, wanted),
        ]
        for number in rounds:
            for chain in told[::2] * (number - (0 if number == rounds[0] else rounds[0])):
                for text in (chain.first, chain.answer):
                    memory.feedback(ids[text], useful=True, cue=chain.asked[0])
            attached.follow()
            what = f"links, {number} × feedback on every second"
            found.append(_row(what, linked, cues, wanted, f"{PAPER}: pathways that are used are reinforced"))
    return found


def _row(
    what: str, recall: Callable[[Cue], list[str]], cues: Mapping[str, list[Cue]], wanted: Sequence[str], claim: str = ""
) -> Row:
    figures: dict[str, float] = {}
    for label, asked in cues.items():
        hits = [id in recall(cue) for cue, id in zip(asked, wanted, strict=True)]
        figures |= {
            f"{label}, every second": float(np.mean(hits[::2])),
            f"{label}, the others": float(np.mean(hits[1::2])),
        }
    return Row(NAME, f"two steps, recall@5: {what}", figures, claim)


# ── ties ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def fading() -> Row:
    resonance = Resonance()
    resonance.change(1, 2, MOST, 0)
    after = {f"after {n} half-lives": resonance.weight(1, 2, n * HALF_LIFE) for n in (1, 2, 5, 9)}
    off = max(abs(weight - 2.0**-n) for n, weight in zip((1, 2, 5, 9), after.values(), strict=True))
    days = timedelta(microseconds=HALF_LIFE) / timedelta(days=1)
    return Row(NAME, f"a tie fades, half-life {days:g} days", {**after, "off by, at most": off})


def bounded(number: int = 100_000, nodes: int = 2_000, seed: int = 11) -> Row:
    """Ties of few memories at random, a quarter of the changes for the worse, an hour apart, and the clock set back
    now and then."""
    chance = np.random.default_rng(seed)
    pairs = np.minimum(nodes, chance.zipf(1.4, (number, 2))).tolist()
    changes = chance.choice([ETA, ETA, ETA, -ETA], number).tolist()
    hour = HALF_LIFE // 720
    times = np.cumsum(np.where(chance.random(number) < 0.05, -hour, hour // 10)).tolist()
    resonance = Resonance()
    begun = time.process_time()
    for (one, other), by, at in zip(pairs, changes, times, strict=True):
        resonance.change(one, other, by, at)
    took = time.process_time() - begun
    held = [resonance.of(node, times[-1]) for node in range(1, nodes + 1)]
    figures = {
        "ties": float(len(resonance)),
        "largest weight": max(weight for ties in held for weight in ties.values()),
        "most of one": float(max(map(len, held))),
        "bytes as kept": 32.0 * len(resonance),
        "us a change": 1e6 * took / number,
    }
    return Row(NAME, f"{number:,} changes of ties, bounds {MOST:g} and {DEGREE}", figures)


# ── costs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def costs(sizes: Sequence[int] = (1_000, 10_000, 100_000), questions: int = 100) -> Row:
    """A memory names three of as many people as a fifth of all memories, common ones more often (Zipf's law)."""
    figures: dict[str, float] = {}
    for size in sizes:
        chance = np.random.default_rng(size)
        people = max(100, size // 5)
        odds = 1 / np.arange(1, people + 1)
        picked = chance.choice(people, (size, 3), p=odds / odds.sum()).tolist()
        said = [
            f"That day {_person(a)} met {_person(b)} near the house of {_person(c)}, and they talked ({n})"
            for n, (a, b, c) in enumerate(picked)
        ]
        with opened(said, "hash:64") as (memory, ids):
            begun = time.process_time()
            store = followed(memory)
            figures[f"us a record taken in, {size:,}"] = 1e6 * (time.process_time() - begun) / size
            listed = list(ids.values())
            for n in range(0, min(size, 2_000), 2):
                for id in (listed[n], listed[n + 1]):
                    memory.feedback(id, useful=True, cue=f"cue {n}")
            Attached(NAME, store, memory.host, 1.0).follow()
            rare = chance.integers(people // 10, people, questions).tolist()
            asked = [Cue(f"Where did {_person(a)} go with {_person(a // 2)}?") for a in rare]
            store.recall(asked[0], 5)  # the first reads the vectors
            took = [_took(store, cue) for cue in asked]
            figures[f"ms a recall, {size:,}"] = 1e3 * float(np.median(took))
            figures[f"95 %, {size:,}"] = 1e3 * float(np.quantile(took, 0.95))
            store.rebuild()
            [segment] = memory.host.ledger.segments(NAME)
            figures[f"bytes a record, {size:,}"] = len(segment.data) / size
    remark = "CPU time of one core; 64 hits asked; with the search for the eight nearest, without embedding the cue"
    return Row(NAME, "what a recall costs", figures, remark=remark)


def _took(store: LinkGraph, cue: Cue) -> float:
    vector: NDArray[np.float32] | None = store.host.asked(cue)
    assert vector is not None
    given = Cue(cue.text, vector=tuple(vector.tolist()))
    begun = time.process_time()
    store.recall(given, 64)
    return time.process_time() - begun


def _person(number: int) -> str:
    """A name for each number: its digits as syllables."""
    parts = [_SYLLABLES[number % 16], _SYLLABLES[number // 16 % 16], _SYLLABLES[number // 256 % 16]]
    return "".join([*parts, *(["x" * (number // 4096)] if number >= 4096 else [])]).capitalize()


def measure() -> list[Row]:
    return [*chained(), fading(), bounded(), costs()]


if __name__ == "__main__":
    for row in measure():
        print(row.what, {label: round(figure, 4) for label, figure in row.measured.items()}, row.source, row.remark)
