"""Strength in time, forgetting, and when to look at a memory again: pure functions of when it was used.

What was used often and of late is likely to be needed again: the chance falls as a power of the time since each use
(Anderson and Schooler 1991, "Reflections of the environment in memory"), and ACT-R takes the sum of those powers for a
memory's need. Nothing here hides a memory from recall: need says what fades first, when somebody lets things fade.

Times are microseconds since 1970, as in the recall engine. A time after `now` (a clock jumped back, or a plan) counts
as now. This module knows no ledger, and not how uses are noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem.recall.corpus import micros, moment
from agentmem.records import Record
from agentmem.values import moment as checked_moment
from agentmem.values import number

__all__ = [
    "BELOW",
    "DECAY",
    "FLOOR",
    "NEVER",
    "POLICIES",
    "SCHEDULES",
    "Fading",
    "Policy",
    "Schedule",
    "Spacing",
    "Uses",
    "fading",
    "need",
    "needs",
    "strengths",
    "when_below",
]

Times: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]

DECAY: Final = 0.5  # d, as in ACT-R
UNIT: Final = timedelta(days=1)
FLOOR: Final = 0.01  # of a strength in time: a memory of usual strength comes to it 27 years after its only use
CEILING: Final = 100.0
BELOW: Final = 0.05  # a memory of usual strength comes to it 13 months after its only use
DUE: Final = 0.8  # of retention
NEVER: Final = np.iinfo(np.int64).max
_LAST: Final = micros(checked_moment("9999-12-31T00:00:00+00:00"))


# ── need ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class Uses:
    """When each of n records was used.

    `times` int64[total], microseconds, each of the record `owners` intp[total] counts. `older` int64[n] uses are known
    by their number alone; they lie somewhere in `span` int64[n, 2].
    """

    times: Times
    owners: NDArray[np.intp]
    older: Times
    span: Times

    @classmethod
    def of(cls, uses: Sequence[Iterable[datetime]]) -> Self:
        """Each record's, of which every one is known."""
        listed = [[micros(checked_moment(at, name="a use")) for at in one] for one in uses]
        owners = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
        times = np.array([at for one in listed for at in one], np.int64)
        return cls(times, owners, np.zeros(len(listed), np.int64), np.zeros((len(listed), 2), np.int64))

    def __len__(self) -> int:
        return len(self.older)

    def counts(self) -> Times:
        """int64[n]"""
        found: Times = np.bincount(self.owners, minlength=len(self)) + self.older
        return found

    def last(self) -> Times:
        """int64[n]: the latest of each; of one that was never used, the earliest time there is."""
        found = np.full(len(self), np.iinfo(np.int64).min)
        np.maximum.at(found, self.owners, self.times)
        return np.where(self.older > 0, np.maximum(found, self.span[:, 1]), found)

    def chosen(self, rows: NDArray[np.intp]) -> Uses:
        """Those of these records, in this order; none may come twice."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        owners = place[self.owners]
        return Uses(self.times[owners >= 0], owners[owners >= 0], self.older[rows], self.span[rows])


def needs(uses: Uses, now: int | Times, *, decay: float = DECAY, unit: timedelta = UNIT) -> Numbers:
    """float64[n]: Σ_j (1 + (now - t_j) / unit)^-d, between 0 and the number of uses, falling as time goes by.

    `now` may differ by record. Uses known by number alone count as spread evenly over their span, by the integral of
    Petrov (2006), "Computationally efficient approximation of the base-level learning equation in ACT-R"; so each
    counts for no less than one at the span's beginning and no more than one at its end.
    """
    moments = np.broadcast_to(np.asarray(now, np.int64), (len(uses),))
    powers = _distance(moments[uses.owners], uses.times, unit) ** -decay
    summed: Numbers = np.bincount(uses.owners, powers, minlength=len(uses)).astype(np.float64)
    counted = np.flatnonzero(uses.older)
    if len(counted):
        far, near = (_distance(moments[counted], uses.span[counted, end], unit) for end in (0, 1))
        summed[counted] += uses.older[counted] * _mean_power(near, far, decay)
    return summed


def _distance(now: Times, then: Times, unit: timedelta) -> Numbers:
    """1 + the time between in units."""
    found: Numbers = 1 + np.maximum(now - then, 0) / (unit / timedelta(microseconds=1))
    return found


def _mean_power(near: Numbers, far: Numbers, decay: float) -> Numbers:
    """The mean of x^-d over near <= x <= far, near at least 1."""
    width = far - near
    wide = width > 1e-6 * near  # narrower than that the difference of the powers is rounding alone
    safe = np.where(wide, width, 1)
    integral = np.log(far / near) if decay == 1 else (far ** (1 - decay) - near ** (1 - decay)) / (1 - decay)
    found: Numbers = np.where(wide, np.clip(integral / safe, far**-decay, near**-decay), near**-decay)
    return found


def need(uses: Iterable[datetime], now: datetime, *, decay: float = DECAY, unit: timedelta = UNIT) -> float:
    """How likely one memory is to be needed: see `needs`. InvalidInput for a time without a zone."""
    _positive(unit / UNIT, "unit")
    at = micros(checked_moment(now, name="now"))
    return float(needs(Uses.of([uses]), at, decay=_positive(decay, "decay"), unit=unit)[0])


def strengths(given: Numbers, uses: Uses, now: int | Times) -> Numbers:
    """float64[n]: strength in time, which is the strength a record was given times its need, from FLOOR to CEILING."""
    with np.errstate(over="ignore"):  # a strength may be as great as a float can be
        found: Numbers = np.clip(given * needs(uses, now), FLOOR, CEILING)
    return found


def _first_below(given: Numbers, uses: Uses, threshold: float, now: int) -> Times:
    """int64[n]: the first moment from now on at which the strength in time is below the threshold; NEVER before the
    year 9999. By bisection, to the microsecond: the strength never rises while nothing is used."""
    low, high = np.full(len(uses), now), np.full(len(uses), max(now, _LAST))
    found = np.where(strengths(given, uses, now) < threshold, now, NEVER)
    rows = np.flatnonzero((found > now) & (strengths(given, uses, high) < threshold))
    uses, given, low, high = uses.chosen(rows), given[rows], low[rows], high[rows]
    while len(rows) and (high - low).max() > 1:
        middle = low + (high - low) // 2
        below = strengths(given, uses, middle) < threshold
        low, high = np.where(below, low, middle), np.where(below, middle, high)
    found[rows] = high
    return found


def when_below(uses: Iterable[datetime], strength: float, threshold: float, now: datetime) -> datetime | None:
    """When a memory's strength in time falls below the threshold if it is not used again: `now` if it is there by now,
    None if it never will be, as with a threshold that is no higher than FLOOR."""
    given = np.array([number(strength, "strength")])
    at = micros(checked_moment(now, name="now"))
    found = int(_first_below(given, Uses.of([uses]), number(threshold, "threshold"), at)[0])
    return None if found == NEVER else moment(found)


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Fading:
    """A record that fades at `at`, its strength in time now, and why, in words."""

    record: Record
    strength: float
    at: datetime
    why: str


class _Rows(NamedTuple):
    """What a policy goes by."""

    records: Sequence[Record]
    strengths: Numbers  # in time
    given: Numbers
    counts: Times  # of uses
    last: Times  # use
    now: int

    def used(self, row: int) -> str:
        days, times = max(0, self.now - int(self.last[row])) // (UNIT // timedelta(microseconds=1)), self.counts[row]
        return f"used {times:,} time{'' if times == 1 else 's'}, last {days:,} day{'' if days == 1 else 's'} ago"


@dataclass(frozen=True, slots=True)
class Policy:
    """What fades first. `order` gives arrays of n numbers, the weightiest first: the lowest fade first, and of two that
    are alike the one written first. `why` says it of a row."""

    order: Callable[[_Rows], Sequence[NDArray[Any]]]
    why: Callable[[_Rows, int], str]


def _lot(record: Record) -> int:
    return int.from_bytes(blake2b(record.id.encode(), digest_size=7).digest())


POLICIES: Final[Mapping[str, Policy]] = {
    "need": Policy(
        lambda rows: [rows.strengths],
        lambda rows, row: f"strength {rows.strengths[row]:.3f}: {rows.used(row)}",
    ),
    "recency": Policy(lambda rows: [rows.last], _Rows.used),
    "fifo": Policy(lambda rows: [], lambda rows, row: "written before the others"),
    "uniform": Policy(
        lambda rows: [np.array([_lot(record) for record in rows.records], np.int64)],
        lambda rows, row: "drawn by lot",
    ),
    "importance": Policy(
        lambda rows: [rows.given, rows.counts],
        lambda rows, row: f"given strength {rows.given[row]:g}, {rows.used(row)}",
    ),
}


def fading(
    records: Sequence[Record],
    uses: Uses,
    now: datetime,
    *,
    policy: str = "need",
    keep: float | None = None,
    below: float = BELOW,
    within: timedelta = timedelta(0),
) -> list[Fading]:
    """What fades of these records, of which row i of `uses` is record i's; the first to fade first.

    With `keep`, as many as leave that share of them (rounded), the lowest by the policy. Without, all whose strength in
    time is `below` that, and those that will be `within` that time, each with the moment it happens: that is the policy
    `need`. A pinned record never fades, and counts as kept. InvalidInput for a policy that is not in POLICIES, and for
    one other than `need` without `keep`.
    """
    if not isinstance(policy, str) or policy not in POLICIES:
        raise InvalidInput(f"there is no policy {policy!r:.40}", way_out=f"One of: {', '.join(POLICIES)}.")
    if keep is None and policy != "need":
        raise InvalidInput(
            f"by {policy} nothing fades of itself", way_out="Say how much is to stay: keep=0.9 keeps nine of ten."
        )
    if keep is not None and not 0 <= number(keep, "keep") <= 1:
        raise InvalidInput(f"keep must be a share from 0 to 1, not {keep!r:.40}")
    at = micros(checked_moment(now, name="now"))
    loose = np.flatnonzero([not record.pinned for record in records])
    listed = [records[i] for i in loose.tolist()]
    uses = uses.chosen(loose)
    given = np.array([record.strength for record in listed])
    rows = _Rows(listed, strengths(given, uses, at), given, uses.counts(), uses.last(), at)
    told = POLICIES[policy]
    written = np.array([record.position for record in listed], np.int64)
    order = np.lexsort((written, *reversed(told.order(rows))))
    moments = np.full(len(listed), at)
    if keep is not None:
        order = order[: max(0, len(records) - round(keep * len(records)))]
    else:
        moments = _first_below(given, uses, number(below, "below"), at)
        last = at + max(within, timedelta(0)) // timedelta(microseconds=1)
        order = order[moments[order] <= min(last, _LAST)]
        order = order[np.argsort(moments[order], kind="stable")]
    return [Fading(listed[i], float(rows.strengths[i]), moment(int(moments[i])), told.why(rows, i)) for i in order]


# ── spacing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Spacing:
    """When a memory is looked at again: the intervals grow while it is found, I' = I g, and shrink when it is not,
    within `least` and `most`.

    Retention is R(t) = (1 + t / S)^-c, a power law of forgetting (Wixted and Carpenter 2007), and a memory is due when
    it falls below DUE; so S = I / (DUE^(-1/c) - 1), and S grows and shrinks with I. All views of a visit come at once,
    and then it rests: the same number of looks at wider intervals (view-batch replay, "Do your best and get enough
    rest", CVPR 2025).
    """

    first: timedelta = timedelta(days=1)
    growth: float = 2.0
    shrink: float = 0.5
    least: timedelta = timedelta(days=1)
    most: timedelta = timedelta(days=365)
    decay: float = 0.5  # c

    def __post_init__(self) -> None:
        if not timedelta(0) < self.least <= self.first <= self.most:
            raise InvalidInput("the intervals must be 0 < least <= first <= most")
        if not (number(self.growth, "growth") >= 1 >= number(self.shrink, "shrink") > 0):
            raise InvalidInput("growth must be 1 or more, and shrink between 0 and 1")
        _positive(self.decay, "decay")

    def after(self, interval: timedelta, *, found: bool) -> timedelta:
        """The next interval, after one at whose end the memory was found, or was not."""
        days = interval / UNIT * (self.growth if found else self.shrink)
        return min(max(days, self.least / UNIT), self.most / UNIT) * UNIT

    def retention(self, since: Numbers, interval: Numbers) -> Numbers:
        """float64[n]: R, so long after each was last met, at these intervals, both in the same unit: 1 at once, and DUE
        when the interval is over."""
        growing = DUE ** (-1 / self.decay) - 1
        found: Numbers = (1 + growing * np.maximum(since, 0) / interval) ** -self.decay
        return found


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which ages a fixed budget of rehearsals goes to: p(a) ~ a^-b by a power law, e^(-b a) by an exponential. A power
    law with b = 0 is uniform, with b = inf it is the most recent alone."""

    law: Literal["power", "exponential"] = "power"
    b: float = 1.0

    def __post_init__(self) -> None:
        if self.law not in ("power", "exponential"):
            raise InvalidInput(f"the law must be power or exponential, not {self.law!r:.40}")
        if not self.b >= 0 or isinstance(self.b, bool):
            raise InvalidInput(f"b must be 0 or more, not {self.b!r:.40}")

    def chances(self, ages: NDArray[Any]) -> Numbers:
        """float64[n], summing to 1, of ages of 1 or more in any unit."""
        weights = np.exp(self._logs(ages))
        found: Numbers = weights / weights.sum()
        return found

    def _logs(self, ages: NDArray[Any]) -> Numbers:
        """Logarithms of the chances but for a constant: 0 for the youngest."""
        span = np.log(ages / ages.min()) if self.law == "power" else ages - ages.min()
        with np.errstate(invalid="ignore"):  # the youngest, at b = inf
            found: Numbers = np.where(span > 0, -self.b * span, 0.0)
        return found

    def draw(self, ages: NDArray[Any], budget: int, random: np.random.Generator) -> NDArray[np.intp]:
        """Which ages, so many times: the same may come again, as in a batch of rehearsals."""
        found: NDArray[np.intp] = random.choice(len(ages), budget, p=self.chances(ages))
        return found

    def choose(self, ages: NDArray[Any], budget: int, random: np.random.Generator) -> NDArray[np.intp]:
        """Which ages, each at most once, as one after another would be drawn: the `budget` greatest of the logarithms
        with Gumbel noise (Vieira 2014). Where a law leaves fewer than `budget` a chance, the youngest."""
        likely = random.gumbel(size=len(ages))
        if len(ages):
            likely += self._logs(ages)
        order: NDArray[np.intp] = np.lexsort((ages, -likely))
        return order[: max(0, budget)]


SCHEDULES: Final[Mapping[str, Schedule]] = {
    "power": Schedule("power", 1.0),
    "exponential": Schedule("exponential", 1.0),
    "uniform": Schedule("power", 0.0),
    "recent": Schedule("power", math.inf),
}


def _positive(value: float, name: str) -> float:
    if not number(value, name) > 0:
        raise InvalidInput(f"{name} must be above 0, not {value!r:.40}")
    return value
