"""What a memory of limited size lets go: strategies of eviction, a buffer that follows them, and a bandit that learns
which of them serves a task (adaptive memory allocation; Spatially-Aware Transformers, arXiv 2402.15160).

Each strategy is the better one for some task and none for all: what comes last is kept by `fifo`, what came first by
`lifo`, the usual places by `lvfo`, the rare ones by `mvfo`. The module knows no records and no journal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem.values import Json, number, plain_text

__all__ = ["FIELDS", "QUOTAS", "STRATEGIES", "AdaptiveMemoryAllocator", "Buffer", "Quota", "Strategy", "budgets"]

Rows: TypeAlias = NDArray[np.intp]
Items: TypeAlias = NDArray[np.void]  # rows of FIELDS
Quota: TypeAlias = Literal["equal", "sqrt_visits", "visits"]
_POWERS: Final[Mapping[Quota, float]] = {"equal": 0.0, "sqrt_visits": 0.5, "visits": 1.0}
QUOTAS: Final = tuple(_POWERS)

FIELDS: Final = np.dtype(
    [
        ("position", np.int64),  # the ledger's number for the record: the order of writing
        ("place", np.int64),
        ("at", np.int64),  # microseconds since 1970
        ("used", np.int64),  # the change by which it was written, or last found useful
        ("uses", np.int64),
        ("strength", np.float64),
        ("familiar", np.float64),  # cosine to the nearest other of its place when it was written; -1 for the first
        ("holders", np.int64),  # one bit for each share of the buffer that holds it
    ]
)


# ── strategies ───────────────────────────────────────────────────────────────────────────────────────────────────


class Strategy(Protocol):
    """Which item goes when there is one too many."""

    def evict(self, items: Items, among: Rows) -> int:
        """The row that goes, of those in `among`. The incoming item has the highest position, and may be it."""
        ...


class Least:
    """The item with the least of one column, or with `most` the greatest; of those that tie the oldest."""

    def __init__(self, field: str, *, most: bool = False) -> None:
        self._field = field
        self._most = most

    def evict(self, items: Items, among: Rows) -> int:
        values = items[self._field][among]
        return _oldest(items, among[values == (values.max() if self._most else values.min())])


class Visited:
    """The oldest item of the place with the fewest items in memory, or with `most` the most; of places that tie the one
    whose oldest item is the oldest."""

    def __init__(self, *, most: bool) -> None:
        self._most = most

    def evict(self, items: Items, among: Rows) -> int:
        place = items["place"][among]
        visits = np.bincount(place)[place]
        return _oldest(items, among[visits == (visits.max() if self._most else visits.min())])


def _oldest(items: Items, rows: Rows) -> int:
    return int(rows[items["position"][rows].argmin()])


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "fifo": Least("position"),  # the oldest goes
    "lifo": Least("position", most=True),  # the newcomer goes: the first are kept
    "lvfo": Visited(most=False),
    "mvfo": Visited(most=True),
    "lru": Least("used"),
    "lfu": Least("uses"),
    "importance": Least("strength"),
    "surprise": Least("familiar", most=True),  # what could have been foretold goes
}


# ── the buffer ───────────────────────────────────────────────────────────────────────────────────────────────────


def budgets(capacity: int, shares: Mapping[str, float]) -> dict[str, int]:
    """The capacity split by weights, whole items that add up to it (largest remainders; ties by order)."""
    largest = max(shares.values())  # by which they are divided first, so that no sum of them is infinite
    total = sum(share / largest for share in shares.values())
    exact = {name: capacity * (share / largest / total) for name, share in shares.items()}
    whole = {name: math.floor(size) for name, size in exact.items()}
    for name in sorted(exact, key=lambda name: whole[name] - exact[name])[: capacity - sum(whole.values())]:
        whole[name] += 1
    return {name: size for name, size in whole.items() if size}


class Buffer:
    """Items in memory, each held by one or more strategies, every one of which has a budget of its own.

    With one strategy this is a buffer of that capacity. With several it is the union of what each would keep by itself,
    which never has more items than the budgets together; what several hold counts once. With a quota the place that is
    most over its share gives an item, and the strategy says which; without, the strategy looks at all of them.

    Shares are as Adams apportions seats: the place with the greatest (items - 1) / weight gives, so that none loses its
    last item while another has two. A place weighs as much as all others (`equal`), as often as it was visited
    (`visits`), or the root of that (`sqrt_visits`).
    """

    def __init__(self, budgets: Mapping[str, int], quota: Quota | None) -> None:
        self._budgets = dict(budgets)
        self._quota = quota
        self._all = np.zeros(16, FIELDS)
        self._size = 0
        self._vectors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def items(self) -> Items:
        """FIELDS[size], in any order. A view."""
        return self._all[: self._size]

    def held_by(self, strategy: str) -> Rows:
        """The rows of what the strategy keeps."""
        bit = 1 << list(self._budgets).index(strategy)
        return np.flatnonzero(self.items["holders"] & bit)

    def take(self, item: Mapping[str, float], vector: NDArray[np.float32], visits: NDArray[np.int64]) -> None:
        """Put an item in, and out what is too much then. `item` has FIELDS but `holders`; `visits`: int64[places], how
        often each was visited so far, this time included; `vector`: float32[dimension]."""
        self._append((*(item[name] for name in cast("tuple[str, ...]", FIELDS.names)[:-1]), self._everybody), vector)
        holders, left = self.items["holders"], set[int]()
        for n, (name, budget) in enumerate(self._budgets.items()):
            rows = np.arange(self._size) if len(self._budgets) == 1 else np.flatnonzero(holders & (1 << n))
            if len(rows) > budget:
                row = STRATEGIES[name].evict(self.items, self._over(rows, visits))
                holders[row] &= ~(1 << n)
                left.add(row)
        for row in sorted(left, reverse=True):
            if not holders[row]:
                self._remove(row)

    @property
    def _everybody(self) -> int:
        return (1 << len(self._budgets)) - 1

    def _over(self, rows: Rows, visits: NDArray[np.int64]) -> Rows:
        """Those of the places that are most over their share."""
        if self._quota is None:
            return rows
        place = self.items["place"][rows]
        counts = np.bincount(place, minlength=len(visits)).astype(np.float64)
        over = (counts - 1) / np.maximum(visits, 1) ** _POWERS[self._quota]
        most: Rows = rows[(over == over.max())[place]]
        return most

    def _append(self, row: tuple[float, ...], vector: NDArray[np.float32]) -> None:
        if self._size == len(self._all):
            self._all = np.concatenate([self._all, np.zeros_like(self._all)])
        self._all[self._size] = row
        if self._vectors is not None:
            if self._size >= len(self._vectors):
                self._vectors = np.concatenate([self._vectors, np.zeros((len(self._all), len(vector)), np.float32)])
            self._vectors[self._size] = vector
        self._size += 1

    def _remove(self, row: int) -> None:
        self._size -= 1
        self._all[row] = self._all[self._size]
        if self._vectors is not None:
            self._vectors[row] = self._vectors[self._size]

    def use(self, position: int, change: int) -> None:
        """What is at this position was found useful. Nothing, if it is not in memory."""
        for row in np.flatnonzero(self.items["position"] == position):
            self._all[row]["uses"] += 1
            self._all[row]["used"] = change

    def move(self, gone: int, to: int) -> None:
        """Items of one place belong to another from now on."""
        place = self.items["place"]
        place[place == gone] = to

    def vectors(self, read: Callable[[Sequence[int]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32[size, dimension], by row; `read` gives those of positions, and is asked once."""
        if self._vectors is None:
            self._vectors = read(self.items["position"].tolist())
        return self._vectors[: self._size]

    def restore(self, items: Items, places: int) -> None:
        """Hold these, of so many places; ValueError for what cannot have been held under these budgets."""
        if items.dtype != FIELDS or items.ndim != 1:
            raise ValueError("items do not fit")
        holders, place = items["holders"], items["place"]
        if not ((place >= 0) & (place < places) & (holders > 0) & (holders <= self._everybody)).all():
            raise ValueError("an item is nowhere, or nobody's")
        if not (np.isfinite(items["strength"]) & np.isfinite(items["familiar"])).all():
            raise ValueError("an item has no number")
        if len(np.unique(items["position"])) < len(items):
            raise ValueError("an item is there twice")
        if any((holders >> n & 1).sum() > budget for n, budget in enumerate(self._budgets.values())):
            raise ValueError("there are more items than there is room for")
        self._all, self._size, self._vectors = items.copy(), len(items), None
        if not len(items):
            self._all = np.zeros(16, FIELDS)


# ── the bandit ───────────────────────────────────────────────────────────────────────────────────────────────────

_WIDTH: Final = 64  # numbers of a task's vector that are learned from: a product of two keeps within ±0.12 (1/√64)


class AdaptiveMemoryAllocator:
    """Learns from rewards which strategy serves a task.

    Without `embed` a task is its name, and the value of a strategy the mean of its rewards there (ε-greedy: ε falls
    from 1 to 0.2 over the first `explored` rewards, as in the source). With `embed`, which gives float32[n, dimension],
    a task is what it says, and similar ones learn from each other (LinUCB with disjoint models; Li, Chu, Langford and
    Schapire 2010, algorithm 1, ridge 1): a strategy's value is θ·x, and while it explores α√(xᵀA⁻¹x) is added. Without
    `explore` the choice is greedy, and among strategies that were tried.
    """

    def __init__(
        self,
        strategies: Sequence[str] = tuple(STRATEGIES),
        *,
        embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
        seed: int = 0,
        explored: int = 1_000,
        alpha: float = 1.0,
    ) -> None:
        self.strategies = tuple(dict.fromkeys(_known(name) for name in strategies))
        if not self.strategies:
            raise InvalidInput("an allocator needs a strategy", way_out=f"There are {', '.join(STRATEGIES)}.")
        self._embed = embed
        self._random = np.random.default_rng(seed)
        self._seed = seed
        self._explored = max(explored, 1)
        self._alpha = number(alpha, "alpha")
        self._seen = 0
        arms = len(self.strategies)
        self._tasks: dict[str, int] = {}
        self._sums = np.zeros((0, arms))  # of rewards, by task and strategy
        self._times = np.zeros((0, arms), np.int64)
        self._inverse = np.zeros((arms, _WIDTH + 1, _WIDTH + 1)) + np.eye(_WIDTH + 1)
        self._rewarded = np.zeros((arms, _WIDTH + 1))
        self._basis: NDArray[np.float64] | None = None
        self._known: dict[str, NDArray[np.float64]] = {}

    @property
    def epsilon(self) -> float:
        """How often it tries anything, while it explores."""
        return 1.0 - 0.8 * min(1.0, self._seen / self._explored)

    def choose(self, task: str, *, explore: bool = False) -> str:
        """The strategy for a task, by its name or its words. One without any reward yet is given the first."""
        values, times = self._values(task)
        if explore and self._embed is None and self._random.random() < self.epsilon:
            return self.strategies[int(self._random.integers(len(self.strategies)))]
        if explore and self._embed is not None:
            x = self._features(task)
            values = values + self._alpha * np.sqrt(np.einsum("aij,i,j->a", self._inverse, x, x))
        elif times.any():
            values = np.where(times > 0, values, -np.inf)
        return self.strategies[int(values.argmax())]

    def observe(self, task: str, strategy: str, reward: float) -> None:
        """What came of it: any finite number, the more the better (a hit or a miss, or minus a loss)."""
        if strategy not in self.strategies:
            raise InvalidInput(f"{strategy!r} is not weighed here", way_out=f"Weighed: {', '.join(self.strategies)}.")
        arm, reward, row = self.strategies.index(strategy), number(reward, "reward"), self._row(task)
        self._seen += 1
        self._sums[row, arm] += reward
        self._times[row, arm] += 1
        if self._embed is not None:
            x = self._features(task)
            ahead = self._inverse[arm] @ x  # A⁻¹ after A + xxᵀ, by Sherman and Morrison
            self._inverse[arm] -= np.outer(ahead, ahead) / (1 + x @ ahead)
            self._rewarded[arm] += reward * x

    def values(self, task: str) -> dict[str, float]:
        """What reward is expected of each strategy; one that was not tried has 0."""
        return dict(zip(self.strategies, self._values(task)[0].tolist(), strict=True))

    def shares(self, task: str | None = None, *, temperature: float = 0.1) -> dict[str, float]:
        """Shares of a budget by softmax(value / temperature), which add up to 1: for a memory that must be filled
        before it is known what will be asked of it. None stands for the mean over the tasks seen."""
        if not number(temperature, "temperature") > 0:
            raise InvalidInput(f"a temperature is more than 0, not {temperature!r}")
        values = self._usual() if task is None else self._values(task)[0]
        with np.errstate(over="ignore"):  # a temperature near 0 leaves the best alone
            weights = np.exp((values - values.max()) / temperature)
        return dict(zip(self.strategies, (weights / weights.sum()).tolist(), strict=True))

    def _usual(self) -> NDArray[np.float64]:
        seen = self._sums / np.maximum(self._times, 1)
        return seen.mean(axis=0) if len(seen) else np.zeros(len(self.strategies))

    def _values(self, task: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """float64[strategies], and how often each was tried, for tasks like it."""
        plain_text(task, "a task")
        if self._embed is not None:
            thetas = np.einsum("aij,aj->ai", self._inverse, self._rewarded)
            return thetas @ self._features(task), self._times.sum(axis=0)
        row = self._tasks.get(task)
        if row is None:
            return self._usual(), self._times.sum(axis=0)
        return self._sums[row] / np.maximum(self._times[row], 1), self._times[row]

    def _row(self, task: str) -> int:
        plain_text(task, "a task")
        if task not in self._tasks:
            self._tasks[task] = len(self._tasks)
            self._sums = np.vstack([self._sums, np.zeros((1, len(self.strategies)))])
            self._times = np.vstack([self._times, np.zeros((1, len(self.strategies)), np.int64)])
        return self._tasks[task]

    def _features(self, task: str) -> NDArray[np.float64]:
        """float64[65] of length 1: half of it is the same for all, so that an unknown task has the usual values."""
        found = self._known.get(task)
        if found is None:
            assert self._embed is not None
            vector = np.asarray(self._embed([plain_text(task, "a task")]), np.float64)
            if vector.ndim != 2 or len(vector) != 1 or not np.isfinite(vector).all():
                raise InvalidInput("a task's vector must be one row of finite numbers", way_out="Check `embed`.")
            if self._basis is None:
                self._basis = np.random.default_rng(self._seed).normal(size=(vector.shape[1], _WIDTH))
            if len(self._basis) != vector.shape[1]:
                raise InvalidInput(f"a task's vector has {vector.shape[1]} numbers, not {len(self._basis)} as before")
            seen = vector[0] @ self._basis
            found = np.append(seen / (np.linalg.norm(seen) or 1.0), 1.0) / math.sqrt(2)
            if len(self._known) < 1_024:
                self._known[task] = found
        return found

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> tuple[Json, dict[str, NDArray[Any]]]:
        """What was learned, as JSON and arrays; how it explores goes on where it was."""
        told: Json = {
            "strategies": list(self.strategies),
            "tasks": list(self._tasks),
            "seen": self._seen,
            "seed": self._seed,
            "random": cast(Json, self._random.bit_generator.state),
        }
        arrays = {"sums": self._sums, "times": self._times, "inverse": self._inverse, "rewarded": self._rewarded}
        return told, {name: array.copy() for name, array in arrays.items()}

    def restore(self, told: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `dump` gave; ValueError, KeyError or TypeError when it is not that."""
        if tuple(told["strategies"]) != self.strategies:
            raise ValueError(f"it was learned about {', '.join(map(str, told['strategies']))}")
        if told["seed"] != self._seed:
            raise ValueError(f"it was learned with the seed {told['seed']}, which a task's numbers depend on")
        tasks = {str(task): row for row, task in enumerate(told["tasks"])}
        for name, like in self.dump()[1].items():
            shape = (len(tasks), *like.shape[1:]) if name in ("sums", "times") else like.shape
            held = arrays[name]
            if held.shape != shape or held.dtype != like.dtype or not np.isfinite(held).all():
                raise ValueError(f"{name} does not fit")
        self._random.bit_generator.state = told["random"]
        self._tasks, self._seen = tasks, int(told["seen"])
        self._sums, self._times = arrays["sums"].copy(), arrays["times"].copy()
        self._inverse, self._rewarded = arrays["inverse"].copy(), arrays["rewarded"].copy()


def _known(name: str) -> str:
    if name not in STRATEGIES:
        raise InvalidInput(f"no strategy is called {name!r}", way_out=f"There are {', '.join(STRATEGIES)}.")
    return name
