"""agentmem against the floor under it, in one run: what a durable add, a batch, a recall and a vector search cost.

    python -m benchmarks.floor [--repetitions 7] [--folder DIR] [--json FILE]

Four questions, each with its target:
  single   one durable add against one raw SQLite commit of the same id, text and time (BEGIN IMMEDIATE, WAL,
           synchronous=NORMAL): at most 8 times its mean time by the clock, and at least 500 a second. The blocks
           alternate and the checkpoints of both are within them. Shown and not judged: the median latency, which
           leaves the checkpoints out and so is a larger ratio; CPU; and durability="power", an fsync a commit.
  batched  add_many of 1,000 records with vectors of 384 dimensions given: at least 10,000 records a second.
  recall   words and vectors together over 5,000 records, the embedding of the question included: p50 of CPU at most
           5 ms. The texts are made from a seed: words by Zipf's law, about 20 to a text, as in a long chat.
  vectors  ExactIndex.search of 10 among 20,000 of 384 dimensions against `matrix @ vector` and argpartition on one
           BLAS thread: at most 1.5 times its CPU time.

The ratios hold on a busy machine, since both sides alternate; the clock times do not. Exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from agentmem import Memory
from agentmem.values import new_id
from agentmem_stores.vectors.exact import ExactIndex
from benchmarks.measure import Took, alternating, keep, machine_line, median, percentile, rounded, timed

BLOCK = 500  # adds between two changes of side
BATCH, BATCHES = 1_000, 5
RECORDS, QUESTIONS = 5_000, 200
VECTORS, DIMENSION, K, SEARCHES = 20_000, 384, 10, 40
TARGETS = {"single": 8.0, "single_rate": 500.0, "batched_rate": 10_000.0, "recall_p50": 5.0, "vectors": 1.5}
_BLAS = ThreadpoolController().select(user_api="blas")


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_COMMON = "the i and to a you it of that in my was for is so me with have on but we be at this".split()  # noqa: SIM905
_SPEAKERS = ("Caroline", "Melanie", "Jon", "Gina")


class Talk:
    """A chat of any length: words by Zipf's law, the commonest of them English function words."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvw", "aeiou")]
        rare = ["".join(self._random.choices(syllables, k=self._random.randint(2, 4))) for _ in range(8_000)]
        self._words = [*_COMMON, *rare]
        self._reach = list(itertools.accumulate(1 / rank for rank in range(1, len(self._words) + 1)))

    def turns(self, count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            length = max(4, round(self._random.gauss(20, 8)))
            text = " ".join(self._random.choices(self._words, cum_weights=self._reach, k=length))
            day, minute = n // 60, n % 60
            yield {
                "text": text,
                "speaker": self._random.choice(_SPEAKERS),
                "session": f"session {n // 30}",
                "at": f"2023-{1 + day // 28 % 12:02}-{1 + day % 28:02}T10:{minute:02}:00+00:00",
            }

    def question(self, turn: dict[str, Any]) -> str:
        """What somebody may ask who remembers a few words of a turn."""
        words = [word for word in turn["text"].split() if word not in _COMMON]
        told = self._random.sample(words, min(len(words), self._random.randint(2, 4)))
        return f"When did {turn['speaker']} {' '.join(told)}?"


# ── a single add ─────────────────────────────────────────────────────────────────────────────────────────────────────


class RawCommits:
    """The floor: one table, one commit an add, nothing else."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, text TEXT, at INTEGER)")

    def add(self, text: str) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO records VALUES (?, ?, ?)", (new_id(), text, time.time_ns() // 1_000))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


def each(add: Callable[[str], object], texts: Sequence[str], latencies: list[float]) -> None:
    for text in texts:
        start = time.perf_counter()
        add(text)
        latencies.append(time.perf_counter() - start)


def singles(folder: Path, repetitions: int) -> dict[str, Any]:
    texts = [turn["text"] for turn in Talk(1).turns(BLOCK)]
    latencies: dict[str, list[float]] = {"raw commit": [], "add": [], "add, power": []}
    with (
        closing(RawCommits(folder / "raw.sqlite3")) as raw,
        Memory.open(folder / "single.mem", embedder="hash") as memory,
        Memory.open(folder / "power.mem", embedder="hash", durability="power") as powered,
    ):

        def adding(into: Memory, name: str) -> Took:
            took = timed(lambda: each(into.add, texts, latencies[name]))
            into.flush()  # what the embedding thread would do in the other side's block
            return took

        cases: dict[str, Callable[[], Took]] = {
            "raw commit": lambda: timed(lambda: each(raw.add, texts, latencies["raw commit"])),
            "add": lambda: adding(memory, "add"),
            "add, power": lambda: adding(powered, "add, power"),
        }
        for warm_up in cases.values():  # caches, compiled statements, the first pages
            warm_up()
        for listed in latencies.values():
            listed.clear()
        took = alternating(repetitions, cases)
    rows: dict[str, Any] = {}
    for name, blocks in took.items():
        rows[name] = {
            "mean_ms": 1e3 * median([block.wall for block in blocks]) / BLOCK,
            "latency_p50_ms": 1e3 * median(latencies[name]),
            "latency_p99_ms": 1e3 * percentile(latencies[name], 0.99),
            "cpu_ms": 1e3 * median([block.cpu for block in blocks]) / BLOCK,
            "per_second": BLOCK / median([block.wall for block in blocks]),
        }
    ratios = {
        "mean": median([a.wall / b.wall for a, b in zip(took["add"], took["raw commit"], strict=True)]),
        "latency_p50": rows["add"]["latency_p50_ms"] / rows["raw commit"]["latency_p50_ms"],
        "cpu": median([a.cpu / b.cpu for a, b in zip(took["add"], took["raw commit"], strict=True)]),
    }
    met = ratios["mean"] <= TARGETS["single"] and rows["add"]["per_second"] >= TARGETS["single_rate"]
    return {"rows": rows, "ratio": ratios, "met": met}


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class GivenVectors:
    """An embedder that is never asked: every vector comes with its record."""

    id = f"given-{DIMENSION}-v1"
    dimension = DIMENSION
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise RuntimeError(f"{len(texts)} texts came without a vector")


def batches(folder: Path, repetitions: int) -> dict[str, Any]:
    turns = list(Talk(2).turns(BATCH))
    vectors = np.random.default_rng(2).normal(size=(BATCH, DIMENSION)).astype(np.float32)
    forms: dict[str, list[dict[str, Any]]] = {
        "numpy rows": [{**turn, "vector": row} for turn, row in zip(turns, vectors, strict=True)],
        "lists": [{**turn, "vector": row.tolist()} for turn, row in zip(turns, vectors, strict=True)],
    }
    with Memory.open(folder / "batched.mem", embedder=GivenVectors()) as memory:

        def add(items: list[dict[str, Any]]) -> None:
            for _ in range(BATCHES):
                memory.add_many(items)

        def adding(items: list[dict[str, Any]]) -> Took:
            took = timed(lambda: add(items))
            memory.flush()
            return took

        memory.add_many(forms["lists"])
        took = alternating(repetitions, {form: lambda items=items: adding(items) for form, items in forms.items()})  # type: ignore[misc]
    rows = {
        form: {
            "per_second": BATCH * BATCHES / median([block.wall for block in blocks]),
            "cpu_ms": 1e3 * median([block.cpu for block in blocks]) / (BATCH * BATCHES),
        }
        for form, blocks in took.items()
    }
    return {"rows": rows, "met": min(row["per_second"] for row in rows.values()) >= TARGETS["batched_rate"]}


# ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def recalls(folder: Path, repetitions: int) -> dict[str, Any]:
    talk = Talk(3)
    turns = list(talk.turns(RECORDS))
    chosen = random.Random(3)
    asked = [talk.question(chosen.choice(turns)) for _ in range(QUESTIONS)]
    path = folder / "recalled.mem"
    with Memory.open(path, embedder="hash") as memory:
        memory.add_many(turns)
        memory.flush()
    cold: list[Took] = []
    warm: list[Took] = []
    for _ in range(max(5, repetitions)):
        with Memory.open(path, embedder="hash", create=False) as memory:
            cold.append(timed(lambda: memory.recall(asked[0])))  # called here and now
            for question in asked[1:]:
                warm.append(timed(lambda: memory.recall(question)))  # noqa: B023
    cpu, wall = [1e3 * took.cpu for took in warm], [1e3 * took.wall for took in warm]
    row = {
        "cpu_p50_ms": median(cpu),
        "cpu_p95_ms": percentile(cpu, 0.95),
        "wall_p50_ms": median(wall),
        "wall_p95_ms": percentile(wall, 0.95),
        "cold_cpu_ms": 1e3 * median([took.cpu for took in cold]),
        "cold_wall_ms": 1e3 * median([took.wall for took in cold]),
    }
    return {"rows": {"recall": row}, "n": len(warm), "met": row["cpu_p50_ms"] <= TARGETS["recall_p50"]}


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def searches(repetitions: int) -> dict[str, Any]:
    random_numbers = np.random.default_rng(4)
    matrix = random_numbers.normal(size=(VECTORS, DIMENSION)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    asked = matrix[random_numbers.choice(VECTORS, SEARCHES)] + 0.05
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    index = ExactIndex(DIMENSION)
    index.apply(np.arange(1, VECTORS + 1), matrix, [], 1)

    def floor(vector: NDArray[np.float32]) -> NDArray[np.intp]:
        scores = matrix @ vector
        return np.argpartition(scores, VECTORS - K)[VECTORS - K :]

    for vector in asked:
        with _BLAS.limit(limits=1):
            wanted = floor(vector)
        assert set(index.search(vector, K).positions.tolist()) == {int(row) + 1 for row in wanted}

    def on_one_thread() -> Took:
        with _BLAS.limit(limits=1):
            return timed(lambda: [floor(vector) for vector in asked])

    cases = {"numpy": on_one_thread, "ExactIndex": lambda: timed(lambda: [index.search(v, K) for v in asked])}
    took = alternating(3 * repetitions, cases)
    rows = {
        name: {
            "cpu_ms": 1e3 * median([block.cpu for block in blocks]) / SEARCHES,
            "wall_ms": 1e3 * median([block.wall for block in blocks]) / SEARCHES,
        }
        for name, blocks in took.items()
    }
    ratios = {
        kind: median([getattr(a, kind) / getattr(b, kind) for a, b in zip(*reversed(took.values()), strict=True)])
        for kind in ("cpu", "wall")
    }
    return {"rows": rows, "ratio": ratios, "met": ratios["cpu"] <= TARGETS["vectors"]}


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def shown(name: str, target: str, result: dict[str, Any]) -> None:
    print(f"\n{name}: {target}: {'met' if result['met'] else 'MISSED'}")
    for case, row in result["rows"].items():
        listed = "  ".join(f"{unit} {rounded(value, 3):,}" for unit, value in row.items())
        print(f"  {case:12} {listed}")
    if "ratio" in result:
        print("  ratio        " + "  ".join(f"{of} {value:.2f}x" for of, value in result["ratio"].items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7, metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the ledgers are made, and removed again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as base:
        folder = Path(base)
        result = {
            "single": singles(folder, options.repetitions),
            "batched": batches(folder, options.repetitions),
            "recall": recalls(folder, options.repetitions),
            "vectors": searches(options.repetitions),
        }
    print(machine_line())
    print(f"medians of {options.repetitions} alternating repetitions")
    shown("single add", f"mean by the clock <= {TARGETS['single']:.0f}x raw, >= 500/s", result["single"])
    shown(f"add_many, {BATCH:,} with vectors", ">= 10,000/s", result["batched"])
    shown(f"hybrid recall, {RECORDS:,} records", "CPU p50 <= 5 ms", result["recall"])
    shown(f"search {K} of {VECTORS:,} x {DIMENSION}", "<= 1.5x numpy, CPU", result["vectors"])
    met = all(part["met"] for part in result.values())
    keep(options.json, "floor", {"repetitions": options.repetitions, "targets": TARGETS, "met": met, **result})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
