"""What an exam is: promises, the subjects who claim to keep them, and the report on how they did.

It needs no test framework: `examine(subject)` runs everything and says what it saw; `promise.check(subject)` runs one
promise and raises AssertionError, which is what any framework wants. It knows neither ledgers nor indexes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from reprlib import Repr
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar

from agentmem.errors import AgentMemError, InvalidInput

__all__ = ["CASES", "Exam", "Outcome", "Promise", "Report", "Subject", "equal", "examine", "holds", "refuses"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Check = Callable[[R], None]

CASES = 60  # of each random promise: a second or two on a ledger that is slow
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 160
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 8


class Subject(Protocol[R_co]):
    """Who is examined: a backend, with what it claims, and a room to be examined in."""

    @property
    def name(self) -> str: ...

    @property
    def claims(self) -> Collection[str]: ...

    @property
    def exam(self) -> Exam[Any]: ...

    def room(self, seed: int, cases: int) -> AbstractContextManager[R_co]:
        """A fresh backend and whatever a check needs beside it, gone afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Promise(Generic[R]):
    """One thing that a backend keeps, in a sentence, under the capability it belongs to."""

    name: str
    capability: str
    keep: Check[R]

    def __str__(self) -> str:
        return self.name

    def check(self, subject: Subject[R], *, seed: int = 0, cases: int = CASES) -> None:
        """AssertionError, or whatever the backend raises, unless the promise is kept. `cases`: how often it is tried,
        where it is tried at random; `seed` chooses them."""
        with subject.room(seed, cases) as room:
            self.keep(room)


class Exam(Generic[R]):
    """The promises of one kind of backend. Some capabilities are every backend's, others a backend may claim."""

    def __init__(self, of: str, *, required: Mapping[str, str], optional: Mapping[str, str]) -> None:
        self.of = of
        self.required = required
        self.optional = optional
        self._entered: list[Promise[R]] = []

    @property
    def capabilities(self) -> dict[str, str]:
        """Each capability with the sentence that says what it means."""
        return {**self.required, **self.optional}

    @property
    def promises(self) -> list[Promise[R]]:
        """All of them, by capability."""
        order = list(self.capabilities)
        return sorted(self._entered, key=lambda promise: order.index(promise.capability))

    def promise(self, capability: str) -> Callable[[Check[R]], Check[R]]:
        """Enter a check under its own name, which is a sentence with underscores."""
        assert capability in self.capabilities

        def enter(keep: Check[R]) -> Check[R]:
            self._entered.append(Promise(keep.__name__.strip("_").replace("_", " "), capability, keep))
            return keep

        return enter

    def claimed(self, given: Collection[str]) -> frozenset[str]:
        """All that is required, and what is claimed beside it. InvalidInput for a word that is no capability."""
        unknown = sorted(set(given) - self.capabilities.keys())
        if unknown:
            raise InvalidInput(
                f"{unknown[0]!r} is no capability of an {self.of}", way_out=f"Claim of: {', '.join(self.optional)}."
            )
        return frozenset({*self.required, *given})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one promise fared. `reason` says what was seen instead, or what was not claimed."""

    promise: str
    capability: str
    verdict: Literal["passed", "failed", "not claimed"]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """An exam's outcomes. As text: a line a capability, with every failure in full; `table()` has a line a promise."""

    subject: str
    of: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was claimed was kept."""
        return not self.failed

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.verdict == "failed"]

    def to_json(self) -> dict[str, Any]:
        return {"subject": self.subject, "of": self.of, "ok": self.ok, "outcomes": [asdict(o) for o in self.outcomes]}

    def _heading(self) -> str:
        counts = dict.fromkeys(("passed", "failed", "not claimed"), 0)
        for outcome in self.outcomes:
            counts[outcome.verdict] += 1
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        return f"{self.subject} ({self.of}): {', '.join(f'{n} {v}' for v, n in counts.items())}; {seconds:.1f} s"

    def __str__(self) -> str:
        groups: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            groups.setdefault(outcome.capability, []).append(outcome)
        lines = [self._heading()]
        for capability, outcomes in groups.items():
            failed = [outcome for outcome in outcomes if outcome.verdict == "failed"]
            verdict = "failed" if failed else outcomes[0].verdict
            seconds = sum(outcome.seconds for outcome in outcomes)
            count = f"{len(outcomes):2} promise{'' if len(outcomes) == 1 else 's'}"
            said = outcomes[0].reason if verdict == "not claimed" else f"{count:<12}{seconds:6.2f} s"
            lines.append(f"  {capability:<17}{verdict:<13}{said}")
            lines += [f"    {outcome.promise}\n      {outcome.reason}" for outcome in failed]
        return "\n".join(lines)

    def table(self) -> str:
        """A line a promise."""
        widest = max(len(outcome.promise) for outcome in self.outcomes)
        lines = [self._heading()]
        for o in self.outcomes:
            said = "" if o.verdict == "not claimed" else f"{o.seconds:6.2f} s"
            lines.append(f"  {o.capability:<17}{o.promise:<{widest + 2}}{o.verdict:<12}{said}".rstrip())
            lines += [f"      {o.reason}"] if o.verdict == "failed" else []
        return "\n".join(lines)


def examine(
    subject: Subject[Any], *, seed: int = 0, cases: int = CASES, told: Callable[[Outcome], None] = lambda _: None
) -> Report:
    """Put every promise to the test that the subject claims to keep. Nothing that it raises ends the exam.

    `told` hears of each outcome as it comes.
    """
    outcomes = []
    for outcome in _outcomes(subject, seed, cases):
        outcomes.append(outcome)
        told(outcome)
    return Report(subject.name, subject.exam.of, tuple(outcomes))


def _outcomes(subject: Subject[Any], seed: int, cases: int) -> Iterator[Outcome]:
    for promise in subject.exam.promises:
        if promise.capability not in subject.claims:
            reason = subject.exam.capabilities[promise.capability]
            yield Outcome(promise.name, promise.capability, "not claimed", reason)
            continue
        began = time.perf_counter()
        with _Watched() as seen:
            promise.check(subject, seed=seed, cases=cases)
        seconds = round(time.perf_counter() - began, 4)
        yield Outcome(promise.name, promise.capability, "failed" if seen.reason else "passed", seen.reason, seconds)


class _Watched:
    """Takes down what is raised inside it: what a stranger's code may raise cannot be listed."""

    reason = ""

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        said = str(error) or "nothing more"
        self.reason = said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"
        return True


def equal(found: object, wanted: object, what: str) -> None:
    """AssertionError unless both are equal; said with the first place where two lists differ."""
    if found == wanted:
        return
    if isinstance(found, list) and isinstance(wanted, list):
        at = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), None)
        if at is not None:
            raise AssertionError(
                f"{what}: entry {at} is {_SHORT.repr(found[at])}, where {_SHORT.repr(wanted[at])} was expected"
            )
        what = f"{what}, {len(found)} entries for {len(wanted)}"
    raise AssertionError(f"{what}: {_SHORT.repr(found)}, where {_SHORT.repr(wanted)} was expected")


def holds(truth: object, what: str) -> None:
    """AssertionError that says `what` was expected, unless it is so."""
    if not truth:
        raise AssertionError(f"expected: {what}")


def refuses(kind: type[AgentMemError], call: Callable[[], object], what: str) -> None:
    """AssertionError unless the call raises an error of this kind."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected: {what} raises {kind.__name__}; it raised nothing")
