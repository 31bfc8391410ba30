"""Rehearsal: which old things a fixed budget of rehearsals should go to, and how many views of one at once.

What is learned is learned one after another, and what came before is overwritten unless it is rehearsed. Two learners:
the associations of long-term memory, taught pairs of random vectors, and a perceptron of one hidden layer, taught ten
tasks of telling ten noisy patterns apart, each task with the pixels in another order (as permuted MNIST, with made-up
patterns). Plain means count all ages alike; those weighted by need count age a by 1 / a.

`python -m benchmarks.stores.rehearsal` prints the rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.blas import one_thread
from agentmem.dynamics import SCHEDULES, Schedule
from agentmem.values import now
from agentmem_stores.longterm import Associations
from agentmem_stores.rehearsal import RehearsalMemory
from benchmarks.stores.pmi import sentences
from benchmarks.stores.row import Row

__all__ = ["associated", "came_back", "chosen", "measure", "permuted", "spaced_pairs", "spaced_patterns"]

Floats = NDArray[np.float32]
KINDS: Final[Mapping[str, Schedule | None]] = {
    "none": None,
    "most recent": SCHEDULES["recent"],
    "exponential": SCHEDULES["exponential"],
    "power": SCHEDULES["power"],
    "uniform": SCHEDULES["uniform"],
}
SEEDS: Final = 5
PAIRS: Final = 150  # taught one after another, in 96 dimensions
BUDGET: Final = 2  # rehearsals after each
TASKS: Final = 10
CLASSES: Final = 10
STEPS: Final = 150  # of a task
BATCH: Final = 32
REHEARSED: Final = 10  # of a batch
NOISE: Final = 0.9  # a pixel's, where patterns have deviation 1
VIEWS: Final = (1, 2, 4, 8, 16)


def _units(random: np.random.Generator, number: int, dimension: int) -> Floats:
    rows: Floats = random.standard_normal((number, dimension), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _summed(right: NDArray[Any]) -> dict[str, float]:
    """Of what is right by age, the oldest first."""
    weights = 1 / np.arange(len(right), 0, -1)
    return {"plain": float(right.mean()), "by need": float((right * weights).sum() / weights.sum())}


# ── associations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _taught(learner: Associations, first: Floats, second: Floats) -> None:
    learner.learn(second, first[None], np.ones(1, np.float32))


def _right(learner: Associations, first: Floats, second: Floats) -> NDArray[np.bool_]:
    """bool[n]: whether the first of a pair brings up its second before any other."""
    found = np.array([learner.says(cue, second).argmax() for cue in first])
    right: NDArray[np.bool_] = found == np.arange(len(first))
    return right


def associated(schedule: Schedule | None, seed: int) -> dict[str, float]:
    """Pairs one after another, each followed by BUDGET rehearsals of older ones."""
    random = np.random.default_rng(seed)
    first, second = _units(random, PAIRS, 96), _units(random, PAIRS, 96)
    learner = Associations(96, segments=1, near=1)
    for n in range(PAIRS):
        _taught(learner, first[n], second[n])
        if n and schedule is not None:
            for age in schedule.draw(np.arange(1, n + 1), BUDGET, random) + 1:
                _taught(learner, first[n - age], second[n - age])
    return _summed(_right(learner, first, second))


def chosen(every: int, seed: int, *, few: int = 10) -> dict[str, float]:
    """Pairs one after another; after every so many of them one of the first few is rehearsed, in turns (0: never)."""
    random = np.random.default_rng(seed)
    first, second = _units(random, PAIRS, 96), _units(random, PAIRS, 96)
    learner = Associations(96, segments=1, near=1)
    for n in range(PAIRS):
        _taught(learner, first[n], second[n])
        if every and n >= few and n % every == 0:
            _taught(learner, first[n // every % few], second[n // every % few])
    right = _right(learner, first, second)
    return {"those": float(right[:few].mean()), "the others": float(right[few:].mean())}


def _seen(rows: Floats, random: np.random.Generator) -> Floats:
    """Noisy views of them."""
    found: Floats = rows + np.float32(0.35) * _units(random, len(rows), rows.shape[1])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def spaced_pairs(views: int, seed: int, *, looks: int = 16, number: int = 60) -> float:
    """Pairs of which noisy views are seen, the same number of each, `views` at once and then at rest until all others
    had theirs; then twice as many other pairs. How many firsts still bring up their seconds."""
    random = np.random.default_rng(seed)
    first, second = _units(random, number, 96), _units(random, number, 96)
    learner = Associations(96, segments=1, near=1)
    for _ in range(looks // views):
        rows = np.repeat(random.permutation(number), views)
        for cue, value in zip(_seen(first[rows], random), _seen(second[rows], random), strict=True):
            _taught(learner, cue, value)
    for cue, value in zip(_units(random, 2 * number, 96), _units(random, 2 * number, 96), strict=True):
        _taught(learner, cue, value)
    return float(_right(learner, first, second).mean())


# ── a perceptron ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Perceptron:
    """64 pixels, 64 rectified units, ten classes; gradient descent on the cross entropy."""

    def __init__(self, random: np.random.Generator, hidden: int = 64, rate: float = 0.1) -> None:
        self._rate = rate
        self._into = (random.standard_normal((65, hidden)) / 8).astype(np.float32)
        self._out = (random.standard_normal((hidden + 1, CLASSES)) / 8).astype(np.float32)

    def _passed(self, pixels: Floats) -> tuple[Floats, Floats, Floats]:
        ones = np.ones((len(pixels), 1), np.float32)
        given = np.hstack([pixels, ones])
        hidden = np.hstack([np.maximum(given @ self._into, 0), ones])
        logits = hidden @ self._out
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        return given, hidden, share / share.sum(axis=1, keepdims=True)

    def learn(self, pixels: Floats, classes: NDArray[np.intp]) -> None:
        given, hidden, share = self._passed(pixels)
        share[np.arange(len(classes)), classes] -= 1
        share /= np.float32(len(classes))
        back = (share @ self._out[:-1].T) * (hidden[:, :-1] > 0)
        self._out -= np.float32(self._rate) * (hidden.T @ share)
        self._into -= np.float32(self._rate) * (given.T @ back)

    def right(self, pixels: Floats, classes: NDArray[np.intp]) -> float:
        return float((self._passed(pixels)[2].argmax(axis=1) == classes).mean())


def permuted(schedule: Schedule | None, seed: int) -> dict[str, float]:
    """Ten tasks one after another; REHEARSED of each batch of BATCH go to older ones."""
    random = np.random.default_rng(seed)
    patterns = random.standard_normal((CLASSES, 64)).astype(np.float32)
    orders = [random.permutation(64) for _ in range(TASKS)]
    learner = Perceptron(random)

    def drawn(tasks: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp]]:
        classes = random.integers(CLASSES, size=len(tasks))
        pixels = patterns[classes] + NOISE * random.standard_normal((len(tasks), 64), np.float32)
        return np.array([row[orders[task]] for row, task in zip(pixels, tasks, strict=True)], np.float32), classes

    for task in range(TASKS):
        for _ in range(STEPS):
            batch = np.full(BATCH, task)
            if task and schedule is not None:
                batch[:REHEARSED] -= 1 + schedule.draw(np.arange(1, task + 1), REHEARSED, random)
            learner.learn(*drawn(batch))
    return _summed(np.array([learner.right(*drawn(np.full(300, task))) for task in range(TASKS)]))


def spaced_patterns(views: int, seed: int, *, looks: int = 16, number: int = 100) -> float:
    """Patterns with a class each, of which as many noisy views are seen, `views` of one in a batch; then as many
    others. How many of the first are still told right."""
    random = np.random.default_rng(seed)
    learner, sets = Perceptron(random), []
    for _ in range(2):
        patterns = random.standard_normal((number, 64)).astype(np.float32)
        sets.append((patterns, random.integers(CLASSES, size=number)))
        for _ in range(looks // views):
            rows = np.repeat(random.permutation(number), views)
            for batch in np.split(rows, range(BATCH, len(rows), BATCH)):
                noise = NOISE * random.standard_normal((len(batch), 64), np.float32)
                learner.learn(patterns[batch] + noise, sets[-1][1][batch])
    return learner.right(*sets[0])


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────


def came_back(number: int = 1_000, days: int = 120) -> dict[str, float]:
    """So many sentences told at once, and rehearsed whenever they are due: the store's own views, and its spacing."""
    random = np.random.default_rng(6_001)
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder="hash") as memory:
        stock = sentences(random)
        memory.add_many(next(stock).text for _ in range(number))
        memory.flush()
        store = RehearsalMemory(memory.host, budget=number)
        begin, took, counts = now(), time.process_time(), []
        for day in range(1, days + 1):
            counts.append(store.consolidate(begin + timedelta(days=day, minutes=1)).counts)
        took = time.process_time() - took
        rehearsed = sum(one["rehearsed"] for one in counts)
        return {
            "rehearsals of a memory": rehearsed / number,
            "came back": sum(one["found"] for one in counts) / rehearsed,
            "by no view": sum(one["lost"] for one in counts) / rehearsed,
            "ms of CPU each": round(1e3 * took / rehearsed, 2),
        }


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 3)


def _scheduled(
    task: str, run: Callable[[Schedule | None, int], dict[str, float]], remarks: tuple[str, str]
) -> list[Row]:
    results = {name: [run(schedule, seed) for seed in range(SEEDS)] for name, schedule in KINDS.items()}
    return [
        Row(
            "rehearsal",
            f"{task}, {weighing}",
            {name: _mean([one[what] for one in found]) for name, found in results.items()},
            "power-law rehearsal does as well as uniform, or better (arXiv 2401.10393, networks on permuted MNIST)",
            remark,
        )
        for what, weighing, remark in zip(
            ("plain", "by need"), ("all ages alike", "weighted by need"), remarks, strict=True
        )
    ]


def measure() -> list[Row]:
    """The rows; half a minute on one core."""
    rows = []
    with one_thread():
        rows += _scheduled(
            f"ten permuted tasks one after another, {REHEARSED} of {BATCH} rehearsed: right",
            permuted,
            (
                "a power law beats an exponential; that it does as well as uniform did not reproduce",
                "a power law beats an exponential and is as good as uniform; better it is not",
            ),
        )
        rows += _scheduled(
            f"{PAIRS} pairs one after another, {BUDGET} rehearsed after each: the right second of all comes first",
            associated,
            ("did not reproduce: associations of constant size lose more by rehearsing everything than they keep",) * 2,
        )
        few = {
            f"{who}, {how}": _mean([chosen(every, seed)[who] for seed in range(SEEDS)])
            for who in ("those", "the others")
            for how, every in (("rehearsed", 8), ("not rehearsed", 0))
        }
        title = f"{PAIRS} pairs one after another, one of the first ten rehearsed after every eighth: right"
        rows.append(Row("rehearsal", title, few, "", "a few that are chosen last, at little cost to the others"))
        for task, spaced, remark in (
            (
                "16 noisy views of 100 patterns, V at once, then 100 others: the first still right",
                spaced_patterns,
                "the best is where it was said to be, by two or three points over V = 1",
            ),
            (
                "16 noisy views of 60 pairs, V at once, then 120 others: the second still comes first",
                spaced_pairs,
                "did not reproduce for associations: the more at once, the less is kept",
            ),
        ):
            figures = {f"V = {views}": _mean([spaced(views, seed) for seed in range(4 * SEEDS)]) for views in VIEWS}
            rows.append(Row("rehearsal", task, figures, "V = 4 forgets least (view-batch replay, CVPR 2025)", remark))
    rows.append(Row("rehearsal", "1,000 sentences over 120 days", came_back(), "", "hash embedder; four views each"))
    return rows


if __name__ == "__main__":
    for one in measure():
        print(f"{one.what}: " + ", ".join(f"{label} {value:g}" for label, value in one.measured.items()))
