"""Which model of a role is asked first: what the user's policy says, what the prompt needs, what was learned.

What was learned is counted evidence that fades: how often a model's answers could be used, and how long they took. A
model that nobody has asked yet is taken to be good, so that it is tried. What earlier processes learned is read out of
the ledger by `ModelPool`, and fades as if it had been seen here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentmem.address import offline
from agentmem.models.settings import ModelSettings, Policy, Terms
from agentmem.records import Scope

__all__ = ["Breaker", "Candidate", "ModelChoice", "Need", "Standing", "choose"]

_HALF_LIFE_S: Final = 3_600.0  # of an outcome: an hour after a bad spell, a model is half-way back to being tried
_GOOD: Final = 4.0  # answers that count as usable before the first, against one that is not
_BAD: Final = 0.5
_LOST_S: Final = 10.0  # that a failure counts for, of a model that gave no answer: it would stand first, taking no time
_FAILURES: Final = 3  # in a row, until a model is left alone
_REST_S: Final = 15.0  # at first; doubled with each failure of the trial that ends it
_LONGEST_REST_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Need:
    """What a question takes: its role, the tokens of the prompt and, at most, of the answer, as estimated, and the
    kinds of memories whose words are in it."""

    role: str
    tokens_in: int = 0
    tokens_out: int = 0
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model and why it stands where it stands; with `refused`, why it is not asked at all."""

    model: str
    why: str
    local: bool = False
    refused: bool = False


class Standing:
    """How a model did in a role: `success`, from 0 to 1; `failures`, as many as have not faded; and `seconds` an answer
    took, 0 for one that gave none yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._good = 0.0
        self._bad = 0.0
        self._seconds = 0.0
        self._lock = threading.Lock()

    def saw(self, good: bool, seconds: float = 0.0, *, age: float = 0.0) -> None:
        """An outcome, of `age` seconds ago."""
        with self._lock:
            self._fade()
            if good:
                self._seconds += seconds * _left(age)
                self._good += _left(age)
            else:
                self._bad += _left(age)

    def _fade(self) -> None:
        at = self._clock()
        left = _left(at - self._at)
        self._at = at
        self._good, self._bad, self._seconds = self._good * left, self._bad * left, self._seconds * left

    @property
    def success(self) -> float:
        with self._lock:
            self._fade()
            return (self._good + _GOOD) / (self._good + self._bad + _GOOD + _BAD)

    @property
    def failures(self) -> float:
        with self._lock:
            self._fade()
            return self._bad

    @property
    def seconds(self) -> float:
        with self._lock:
            return self._seconds / self._good if self._good > 0 else 0.0


def _left(age: float) -> float:
    """The share of an outcome that still counts; of one that a wrong clock puts into the future, all of it."""
    return float(0.5 ** (max(age, 0.0) / _HALF_LIFE_S))


class Breaker:
    """Leaves a model alone that failed several times in a row; one question then tries whether it is back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._rest = _REST_S
        self._trying = False

    @property
    def rests(self) -> float:
        """Seconds for which it is still left alone; 0 when it may be asked."""
        with self._lock:
            return max(self._until - self._clock(), 0.0) if self._failures >= _FAILURES else 0.0

    def enter(self) -> bool:
        """Whether it may be asked now. After a rest one caller may, and the others when that one is answered."""
        with self._lock:
            if self._failures < _FAILURES:
                return True
            if self._trying or self._clock() < self._until:
                return False
            self._trying = True
            return True

    def leave(self, good: bool | None, wait: float | None = None) -> None:
        """How it went, None for a question that was not put after all; `wait`: seconds for which the model itself
        asked to be left alone."""
        with self._lock:
            tried, self._trying = self._trying, False
            if good is None:
                return
            if good:
                self._failures, self._rest = 0, _REST_S
                return
            self._failures += 1
            if self._failures >= _FAILURES:
                self._rest = min(self._rest * 2, _LONGEST_REST_S) if tried else self._rest
                self._until = self._clock() + max(self._rest, wait or 0.0)


@dataclass
class Candidate:
    """A model of the pool, or an embedder, as far as choosing it goes. `priced`: what it costs is known."""

    model: str
    local: bool
    terms: Terms
    context: int | None
    priced: bool = False
    breaker: Breaker = field(default_factory=Breaker)
    standings: dict[str, Standing] = field(default_factory=dict)

    def standing(self, role: str) -> Standing:
        return self.standings.setdefault(role, Standing())


def choose(need: Need, scope: Scope, candidates: Sequence[Candidate], settings: ModelSettings) -> list[ModelChoice]:
    """All candidates: those that may be asked, in order; then those that may not, each with the reason."""
    policy = settings.policy(need.role)
    refused = {one.model: why for one in candidates if (why := _refused(need, scope, one, settings))}
    asked = [one for one in candidates if one.model not in refused]
    # sorted() keeps the user's own order among equals.
    asked.sort(key=lambda one: _rank(policy, need, one))
    resting = [one for one in asked if one.breaker.rests]
    asked = [one for one in asked if not one.breaker.rests]
    return [
        *(ModelChoice(one.model, _why(policy, need, one, at), one.local) for at, one in enumerate(asked)),
        *(
            ModelChoice(one.model, f"it failed, and is left alone for {one.breaker.rests:.0f} s", one.local, True)
            for one in resting
        ),
        *(ModelChoice(one.model, refused[one.model], one.local, True) for one in candidates if one.model in refused),
    ]


def _refused(need: Need, scope: Scope, one: Candidate, settings: ModelSettings) -> str:
    if not one.local and offline():
        return "it is not on this machine, and AGENTMEM_OFFLINE is on"
    if not one.local and (why := settings.private.forbids(scope, need.kinds)):
        return why
    if not one.local and not one.priced and settings.counts_money(scope):
        return "money is budgeted, and what it costs is not known"
    if one.context is not None and (over := need.tokens_in + need.tokens_out - one.context) > 0:
        return f"the prompt is {over:,} tokens over its {one.context:,}"
    return ""


def _rank(policy: Policy, need: Need, one: Candidate) -> tuple[float, ...]:
    if policy == "order":
        return ()
    standing = one.standing(need.role)
    learned = (standing.seconds or standing.failures * _LOST_S) / standing.success, -standing.success
    if policy == "learned":
        return learned
    if policy == "cheapest":
        return (one.terms.picos(need.tokens_in, need.tokens_out) / standing.success, *learned)
    return (float(one.local != (policy == "local-first")), *learned)


def _why(policy: Policy, need: Need, one: Candidate, at: int) -> str:
    place = "local" if one.local else "remote"
    said: Mapping[Policy, str] = {
        "order": "it stands first" if not at else f"it stands {at + 1}. in the order given",
        "local-first": f"{place}, and local ones go first",
        "remote-first": f"{place}, and remote ones go first",
        "cheapest": "it costs the least" if not at else "it costs more",
        "learned": "it did best" if not at else "it did less well",
    }
    standing = one.standing(need.role)
    if policy == "order" or not (standing.seconds or standing.failures):
        return said[policy]
    took = f", {standing.seconds:.1f} s an answer" if standing.seconds else ""
    return f"{said[policy]}; {standing.success:.0%} usable{took}"
