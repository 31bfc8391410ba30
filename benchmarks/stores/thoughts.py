"""What ThoughtMemory shows: how much its hash finds, what forgetting and merging are worth, and what searching costs.

    python -m benchmarks.stores.thoughts

Seeded, on one core, two minutes; of the embedders, the sentences of the last row take MiniLM, the others none.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.embedding import embed_checked, open_embedder, unit_rows
from agentmem_stores.lsh import Buckets, Hyperplanes
from agentmem_stores.thinking.validity import LIVE, ONE, ROW, derive
from agentmem_stores.thoughts import ThoughtMemory
from agentmem_stores.vectors.exact import ExactIndex
from benchmarks.stores.row import Row

__all__ = ["Found", "Told", "facts", "hashed_recall", "measure", "values_found"]

NAME: Final = "thoughts"
PAPER: Final = "TiM, arXiv 2311.08719"
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
CELLS: Final = ((8, 1, 1), (32, 1, 1), (32, 1, 3), (32, 4, 1), (128, 4, 1), (32, 4, 2))
CITIES: Final = "Rome Oslo Lima Kyoto Leeds Accra Quito Perth Turin Cairo Seoul Porto".split()  # noqa: SIM905
FOODS: Final = "mango ramen paella figs tofu olives rye plums dal kimchi okra squash".split()  # noqa: SIM905


class Found(NamedTuple):
    """Shares: of questions whose item is a candidate, of the ten nearest that are, of the items compared."""

    found: float
    overlap: float
    compared: float


def clustered(rows: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors in a hundred clusters; two of one have a cosine of about 0.6."""
    chance = np.random.default_rng(seed)
    centres = unit_rows(chance.standard_normal((100, dimension)).astype(np.float32))
    around = unit_rows(chance.standard_normal((rows, dimension)).astype(np.float32))
    return unit_rows(centres[chance.integers(0, 100, rows)] + np.float32(0.8) * around)


def hashed_recall(
    buckets: int, tables: int, probes: int, noise: float, *, questions: int = 300, items: int = 2_000, draws: int = 5
) -> Found:
    """A question is an item with noise of that norm, the item's being 1. The mean over so many draws of the planes."""
    dimension = 384
    held = clustered(items, dimension, 1)
    chance = np.random.default_rng(2)
    wanted = chance.choice(items, questions, replace=False)
    drift = unit_rows(chance.standard_normal((questions, dimension)).astype(np.float32))
    asked = held[wanted] + np.float32(noise) * drift
    nearest = np.argsort(-(asked @ held.T), axis=1)[:, :10]
    shares = []
    for draw in range(draws):
        index = Buckets(Hyperplanes(dimension, buckets=buckets, tables=tables, probes=probes, seed=draw))
        index.add(np.arange(items), held)
        for item, question, ten in zip(wanted, asked, nearest, strict=True):
            candidates = index.candidates(question)
            shares.append((np.isin(item, candidates), np.isin(ten, candidates).mean(), len(candidates) / items))
    return Found(*np.mean(np.array(shares, np.float64), axis=0).tolist())


class Told(NamedTuple):
    """Of a head by a relation, the values in the order of telling, and the question for them. `several`: all hold."""

    head: str
    relation: str
    values: tuple[str, ...]
    question: str
    several: bool


def facts(number: int = 200, updated: float = 0.3, several: float = 0.2, seed: int = 7) -> list[Told]:
    chance = random.Random(seed)
    made = []
    for n in range(number):
        head = f"{chance.choice(['Ana', 'Ben', 'Cleo', 'Dan', 'Eva', 'Finn'])} {chr(65 + n % 26)}{n}"
        if n < several * number:
            made.append(Told(head, "likes", tuple(chance.sample(FOODS, 8)), f"what does {head} like?", True))
        else:
            moves = 2 if n < (several + updated) * number else 1
            cities = tuple(chance.sample(CITIES, moves))
            made.append(Told(head, "lives in", cities, f"where does {head} live?", False))
    chance.shuffle(made)
    return made


def tell(thoughts: ThoughtMemory, told: Sequence[Told], seed: int = 8) -> None:
    sayings = [(n, fact, value) for fact in told for n, value in enumerate(fact.values)]
    random.Random(seed).shuffle(sayings)
    for n, fact, value in sayings:
        thoughts.insert(fact.head, fact.relation, value, at=START + timedelta(days=30 * n))


def values_found(memory: Memory, fact: Told, k: int) -> list[set[str]]:
    """Which values of the fact each of the best `k` thoughts of a plain recall says, best first."""
    hits = memory.recall(fact.question, k, kinds="thought")
    return [{v for v in fact.values if fact.head in hit.record.text and v in hit.record.text} for hit in hits]


def _organised(*, forget: bool, merge: bool) -> dict[str, float]:
    """On 200 facts, 30 % updated, 20 % with eight values."""
    told = facts()
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder="hash") as memory:
        memory.attach("benchmark", ThoughtMemory)
        thoughts = memory.stores["benchmark"]
        assert isinstance(thoughts, ThoughtMemory)
        tell(thoughts, told)
        if forget:
            thoughts.forget()
        if merge:
            thoughts.merge()
        single = [fact for fact in told if not fact.several]
        top = {fact: values_found(memory, fact, 5) for fact in told}
        stale = [bool(top[fact] and top[fact][0] & set(fact.values[:-1])) for fact in single]
        shown = [any(said & set(fact.values[:-1]) for said in top[fact]) for fact in single]
        kept = [len(set().union(*top[fact])) / len(fact.values) for fact in told if fact.several]
        return {
            "first answer stale": sum(stale) / len(told),
            "an old value among five": sum(shown) / len(told),
            "recall@5 of several": float(np.mean(kept)),
        }


def _costs() -> dict[str, float]:
    measured: dict[str, float] = {}
    for items in (1_000, 10_000, 100_000):
        held = clustered(items, 384, 4)
        questions = held[:100] + 0.5 * clustered(100, 384, 5)
        exact = ExactIndex(384)
        exact.apply(np.arange(items), held, [], 1)
        index = Buckets(Hyperplanes(384))
        index.add(np.arange(items), held)
        index.candidates(questions[0])
        measured[f"exact ms, {items:,}"] = _median_ms(lambda q, e=exact: e.search(q, 10), questions)
        measured[f"LSH ms, {items:,}"] = _median_ms(lambda q, i=index, h=held: _hashed(i, h, q), questions)
    measured["LSH compares, 100,000"] = float(np.mean([len(index.candidates(q)) / items for q in questions[:30]]))
    return measured


def _hashed(index: Buckets, held: NDArray[np.float32], question: NDArray[np.float32]) -> NDArray[np.int64]:
    candidates = index.candidates(question)
    scores = held[candidates] @ question
    best: NDArray[np.int64] = candidates[np.argsort(-scores)[:10]]
    return best


def _median_ms(search: Any, questions: NDArray[np.float32]) -> float:
    took = []
    for question in questions:
        begun = time.perf_counter()
        search(question)
        took.append(time.perf_counter() - begun)
    return float(np.median(took)) * 1e3


def _same_bucket() -> dict[str, float]:
    """Of thoughts of one head and relation, how many pairs a hash with one table puts into one bucket."""
    told = [fact for fact in facts() if fact.several]
    embedder = open_embedder("minilm")
    sentences = [[f"{fact.head} {fact.relation} {value}" for value in fact.values] for fact in told]
    rows = [embed_checked(embedder, some) for some in sentences]
    shares = {}
    for buckets in (8, 32):
        planes = Hyperplanes(embedder.dimension, buckets=buckets, tables=1, probes=1)
        codes = [planes.hash(some)[:, 0] for some in rows]
        pairs = [a == b for some in codes for i, a in enumerate(some) for b in some[:i]]
        shares[f"pairs in one of {buckets} buckets"] = float(np.mean(pairs))
    return shares


def _one_head(number: int = 1_000_000, seed: int = 9) -> dict[str, float]:
    """So many thoughts of one head, by a thousand relations of which every second has one tail at a time."""
    random = np.random.default_rng(seed)
    rows = np.zeros(number, ROW)
    rows["position"] = rows["at"] = rows["last"] = np.arange(1, number + 1)
    rows["group"] = random.integers(1_000, size=number)
    rows["flags"] = np.where(rows["group"] % 2, LIVE | ONE, LIVE)
    for name in ("id", "tail", "value"):
        rows[name] = random.integers(1 << 62, size=number)
    begun = time.perf_counter()
    holding = int(derive(rows).holds.sum())
    seconds = time.perf_counter() - begun
    assert holding == 500 + int((rows["group"] % 2 == 0).sum()), (
        "the newest of each such relation, and all of the others"
    )
    return {"s until it is known what holds": round(seconds, 2), "MB of columns": rows.nbytes / 1e6, "hold": holding}


def measure() -> list[Row]:
    found = []
    for buckets, tables, probes in CELLS:
        cells: dict[str, float] = {}
        for noise in (0.1, 0.5, 1.0):
            cell = hashed_recall(buckets, tables, probes, noise)
            cells |= {f"found, noise {noise}": cell.found, f"of the ten nearest, {noise}": cell.overlap}
        cells["compared"] = cell.compared
        what = f"LSH, {buckets} buckets, {tables} × {probes}"
        paper = "one table, one probe" if tables == probes == 1 else ""
        found.append(Row(NAME, what, cells, paper and f"{PAPER}: {paper}"))
    for what, forget, merge in (
        ("200 facts, neither", False, False),
        ("200 facts, forget", True, False),
        ("200 facts, forget and merge", True, True),
    ):
        found.append(Row(NAME, what, _organised(forget=forget, merge=merge)))
    remark = "did not reproduce: comparing with all was faster, and is the default (the hash's time is without reading)"
    claim = f"{PAPER}: by buckets retrieval is faster than by comparing with all"
    found.append(Row(NAME, "one question, 384 dimensions", _costs(), claim, remark))
    found.append(Row(NAME, "a million thoughts on one head", _one_head()))
    remark = "what a merge within one bucket, as published, can reach; by head it reaches all"
    return [*found, Row(NAME, "thoughts of one head and relation", _same_bucket(), PAPER, remark)]


if __name__ == "__main__":
    for row in measure():
        print(row.what, {label: round(figure, 3) for label, figure in row.measured.items()}, row.source, row.remark)
