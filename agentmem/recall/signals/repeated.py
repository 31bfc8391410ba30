"""What another record says too: each saying is shown once, by its last record, before any is shown again.

It takes both: `Repeated` lets the others give way, and `once` has the other signals bring up something else in their
place. A hundred copies would else be the hundred best of each signal, and nothing would be left to give way to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows, distinct, moment
from agentmem.recall.signal import Evidence, Question, Scores, Signal
from agentmem.recall.weights import Weights

if TYPE_CHECKING:
    from agentmem.recall.presets import Preset

__all__ = ["Repeated", "Together", "once"]

Positions: TypeAlias = NDArray[np.int64]
# The positions of all records that say what another says too, and of each the position of the first that said it.
Together: TypeAlias = Callable[[], tuple[Positions, Positions]]
# With -2 copies still stood before what fits a little less; LoCoMo and BEAM are the same from -1 to -8 (development
# halves, recall@10 88.5 and 69.0 with and without).
WEIGHT: Final = -8.0


class _Again(NamedTuple):
    """Of a question: by row when the same was said last, for those that said it before; and how often it was said, for
    those that stand for it. `fresh` is the question without the former."""

    later: dict[int, int]
    times: dict[int, int]
    fresh: Question


class Repeated:
    """1 for a record that says what a later one says too, of those that the question's filters allow."""

    name = "repeated"
    relative = False

    def __init__(self, together: Together, weight: float = WEIGHT) -> None:
        self._together = together
        self.weights = Weights(weight)
        self._last: tuple[Question, _Again] | None = None

    def again(self, question: Question) -> _Again:
        """Worked out once a question, however many ask."""
        last = self._last
        if last is None or (question is not last[0] and question is not last[1].fresh):
            last = self._last = question, _found(question, *self._together())
        return last[1]

    def ask(self, question: Question) -> Evidence | None:
        again = self.again(question)
        return _Evidence(again) if again.later else None


def _found(question: Question, positions: Positions, firsts: Positions) -> _Again:
    corpus = question.corpus
    rows = corpus.rows_of(positions)
    allowed = np.isin(rows, question.allowed)
    rows, firsts = rows[allowed], firsts[allowed]
    times = corpus.times()[rows]
    order = np.lexsort((corpus.positions(rows), times, firsts))
    rows, firsts, times = rows[order], firsts[order], times[order]
    newest = np.searchsorted(firsts, firsts, side="right") - 1  # of each saying, where its last record stands
    spent = newest != np.arange(len(rows))
    if not spent.any():
        return _Again({}, {}, question)
    later = dict(zip(rows[spent].tolist(), times[newest[spent]].tolist(), strict=True))
    counts = {row: number for row, number in Counter(rows[newest].tolist()).items() if number > 1}
    return _Again(later, counts, replace(question, allowed=question.allowed[~np.isin(question.allowed, rows[spent])]))


class _Evidence:
    def __init__(self, again: _Again) -> None:
        self._again = again

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        return np.array([row in self._again.later for row in rows.tolist()], np.float32)

    def reasons(self, rows: Rows) -> list[str]:
        return [self._reason(row) for row in rows.tolist()]

    def _reason(self, row: int) -> str:
        if row in self._again.later:
            return f"said again on {moment(self._again.later[row]):%Y-%m-%d}"
        return f"said {self._again.times[row]} times" if row in self._again.times else ""


class _Once:
    """A signal that brings up each saying by its last record, and by others where there is room."""

    def __init__(self, signal: Signal, repeated: Repeated) -> None:
        self.name = signal.name
        self.relative = signal.relative
        self._signal = signal
        self._repeated = repeated

    def ask(self, question: Question) -> Evidence | None:
        fresh = self._repeated.again(question).fresh
        if fresh is question:
            return self._signal.ask(question)
        evidence = self._signal.ask(fresh)
        return None if evidence is None else _Brought(evidence, lambda: self._signal.ask(question))


class _Brought:
    def __init__(self, evidence: Evidence, whole: Callable[[], Evidence | None]) -> None:
        self._evidence = evidence
        self._whole = whole
        self.scores = evidence.scores
        self.reasons = evidence.reasons

    def best(self, depth: int) -> Rows:
        rows = self._evidence.best(depth)
        if not 0 < len(rows) < depth or (whole := self._whole()) is None:
            return rows
        return distinct(rows, whole.best(depth))


def once(chosen: Preset, repeated: Repeated) -> Preset:
    """The same engine, which brings up each saying once and lets what repeats it give way.

    A record that is said again still lends what it says to the turns beside it, and comes with them.
    """
    signals: tuple[Signal, ...] = (*(_Once(signal, repeated) for signal in chosen.signals), repeated)
    own = {repeated.name: repeated.weights}
    return replace(chosen, signals=signals, weighting=lambda question: {**chosen.weighting(question), **own})
