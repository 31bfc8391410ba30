"""Fusion: what several signals say of a record, as one number that is the sum of its parts.

Candidates are the best few of each signal that brings any up, and the turns beside those. A relative signal counts by
how far a record stands from the mean, in deviations: of the candidates and of a few others, which show what is usual
here, and not of all there is, so that a question weighs the same in a scope of six hundred records and in one of a
hundred thousand. (LoCoMo, development half, recall@10 without learning: 83.7 against 82.4 with a scale of 256 a signal;
all conversations in one scope: 82.4 against 81.4.)

A record then inherits from the turns beside it in its session: an answer often stands next to the words of its
question. And it gives way: a little to other sessions for each better record of its own, because what is asked for is
often told in several, and to other places in the conversation when the turn beside it is better. (Held out, recall@10:
LoCoMo 88.3 without this and 88.7 with it, its multi-hop questions 58.6 and 60.4; BEAM 67.9 and 68.2, its questions over
several sessions 55.1 and 57.4.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Corpus, Rows, distinct
from agentmem.recall.signal import Evidence, Question, Signal
from agentmem.recall.weights import COVERAGE, Table, Weights

__all__ = [
    "NEIGHBOURS",
    "Asked",
    "Candidates",
    "Valued",
    "again",
    "fuse",
    "fuse_ranks",
    "outdone",
    "values",
]

NEIGHBOURS = "neighbours"  # the part that a record has from the turns beside it
_CORE = 32  # of each signal: by these and those beside them the scales are set, however many are wanted
_REACH = 2
_RANKED = 100  # of each signal, when ranks are fused
_OTHERS = 32  # taken evenly: the best of a signal alone would make one that it does not name look impossible
_NOISE = 1e-6  # float32: equal vectors differ by 1e-8 in their cosines, by their row in the product

Asked: TypeAlias = Sequence[tuple[Signal, Evidence]]
Parts: TypeAlias = NDArray[np.float64]


class Valued(NamedTuple):
    """Candidates, and those of them that are so however many are wanted; as `Corpus.beside` those beside them, -1 for
    none; and float64[signals, scored] for all that are in `scored`. All are ascending."""

    rows: Rows
    core: Rows
    neighbours: NDArray[np.intp]
    scored: Rows
    values: Parts

    def of(self, rows: Rows) -> Parts:
        """float64[signals, rows]"""
        found: Parts = self.values[:, np.searchsorted(self.scored, rows)]
        return found

    def next_to(self) -> NDArray[np.intp]:
        """intp[rows, 2]: where the turns before and after each candidate stand among the candidates, -1 for nowhere."""
        beside = self.neighbours[:, [0, _REACH]]
        places = np.minimum(np.searchsorted(self.rows, beside), len(self.rows) - 1)
        return np.where(self.rows[places] == beside, places, -1)

    def beside(self) -> NDArray[np.float64]:
        """float64[3, signals, rows]: of the turn before each candidate, the turn after, and the two that are two away;
        zero where there is none."""
        found = np.where(
            self.neighbours >= 0,
            self.values[:, np.searchsorted(self.scored, np.maximum(self.neighbours, self.scored[:1]))],
            0.0,
        )
        before, second, after, fourth = np.moveaxis(found, 2, 0)
        return np.array([before, after, second + fourth])


class Candidates(NamedTuple):
    """`parts` is float64[names, rows]: what each signal, and at the end the neighbours, add to each row."""

    rows: Rows
    names: list[str]
    parts: Parts

    @property
    def total(self) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = self.parts.sum(axis=0)
        return summed


def fuse(question: Question, asked: Asked, wanted: int, table: Table) -> Candidates:
    """At least `wanted` rows, if so many are allowed and any signal knows of them. A row's parts do not depend on
    `wanted`: fewer hits are the first of more."""
    valued = values(question, asked, wanted)
    weights = np.array([table.get(signal.name, Weights(0.0)) for signal, _ in asked])
    parts = weights[:, :1] * valued.of(valued.rows) + 0.0  # no "-0.0"
    names = [signal.name for signal, _ in asked]
    # A scope without sessions has neither part; one with some has both for every hit, however few are wanted.
    if len(valued.rows) and question.corpus.sessions.number:
        if weights[:, 1:].any():
            inherited = (weights[:, 1:].T[:, :, None] * valued.beside()).sum(axis=(0, 1))
            names, parts = [*names, NEIGHBOURS], np.vstack([parts, inherited + 0.0])
        covering = table.get(COVERAGE, Weights(0.0))
        if any(covering):
            shown = _shown(question.corpus, valued, parts.sum(axis=0))
            names, parts = [*names, COVERAGE], np.vstack([parts, np.array(covering[:3]) @ shown + 0.0])
    return Candidates(valued.rows, names, parts)


def again(session: NDArray[Any], total: NDArray[np.float64], counting: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each row, how many of those that count stand before it in its session (-1: in none), ties by their order.

    What was shown of a session need not be shown again before others are. When each costs the same, the order by what
    is left is that of a greedy choice, best first.
    """
    order = np.lexsort((-total, session))
    counts = counting[order].astype(np.intp)
    before: NDArray[np.intp] = np.cumsum(counts) - counts
    opens = np.concatenate([[True], session[order][1:] != session[order][:-1]])
    start = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    found = np.zeros(len(session))
    found[order] = before - before[start]
    return np.where(session >= 0, found, 0.0)


def outdone(beside: NDArray[np.intp], total: NDArray[np.float64], counting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool[2, rows]: whether the turn before each row, and the turn after it, counts and is the better of the two; of
    two that are as good the earlier. `beside` is intp[rows, 2], their places among the rows, -1 for none.

    A place in a conversation is shown once before it is shown again: what a turn inherits from the one beside it would
    else bring both.
    """
    there = (beside >= 0) & counting[beside]
    before, after = total[beside].T
    found: NDArray[np.bool_] = there.T & np.array([before >= total, after > total])
    return found


def _shown(corpus: Corpus, valued: Valued, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[3, rows]: how many better rows each has in its session, right before it, and right after it."""
    rows = valued.rows
    core = np.isin(rows, valued.core)
    by_writing = np.argsort(corpus.positions(rows), kind="stable")
    told = np.empty(len(rows))
    told[by_writing] = again(corpus.sessions.of[rows][by_writing], total[by_writing], core[by_writing])
    return np.vstack([told, outdone(valued.next_to(), total, core)])


def values(question: Question, asked: Asked, wanted: int = _CORE) -> Valued:
    """What each signal says of the candidates and of those beside them, before anything is weighed."""
    near = _Near(question)
    more = _seeds(asked, wanted) if wanted > _CORE else None  # first: a deep search tells what a shallow one would
    core = near.with_beside(_seeds(asked, _CORE))
    allowed = question.allowed
    usual = distinct(core, allowed[np.linspace(0, len(allowed) - 1, min(_OTHERS, len(allowed))).astype(np.intp)])
    rows = core if more is None else near.with_beside(distinct(core, more))
    beside = near.beside(rows)
    scored = distinct(_and(rows, beside), usual)
    return Valued(rows, core, beside, scored, np.array([_value(*one, usual, scored) for one in asked]))


def fuse_ranks(asked: Asked, wanted: int, table: Table) -> Candidates:
    """Reciprocal rank fusion, Σ 1 / (60 + rank) (Cormack, Clarke and Buettcher 2009), to compare with.

    It forgets how far ahead of the others a record is."""
    depth = max(_RANKED, wanted)
    rows = _seeds(asked, depth)
    parts = np.zeros((len(asked), len(rows)))
    for i, (signal, evidence) in enumerate(asked):
        named = evidence.best(depth)
        ranked = named[np.argsort(-evidence.scores(named), kind="stable")]
        parts[i, np.searchsorted(rows, ranked)] = table[signal.name].own / (60 + 1 + np.arange(len(ranked)))
    return Candidates(rows, [signal.name for signal, _ in asked], parts)


def _and(rows: Rows, beside: NDArray[np.intp]) -> Rows:
    """These and all beside them, ascending."""
    return distinct(rows, beside[beside >= 0])


def _seeds(asked: Asked, depth: int) -> Rows:
    return distinct(*(evidence.best(depth) for _, evidence in asked))


def _value(signal: Signal, evidence: Evidence, usual: Rows, rows: Rows) -> NDArray[np.float64]:
    """What the signal says of each of the rows, on a scale of its own; one that it does not know counts as average."""
    scores = evidence.scores(rows).astype(np.float64)
    if signal.relative:
        among = scores[np.searchsorted(rows, usual)]
        among = np.sort(among[~np.isnan(among)])  # rows stand as they came, and a sum depends on the order
        deviation = float(among.std()) if len(among) else 0.0
        scores = (scores - among.mean()) / deviation if deviation > _NOISE else np.zeros_like(scores)
    return np.where(np.isnan(scores), 0.0, scores)


class _Near:
    """Which allowed rows stand beside which."""

    def __init__(self, question: Question) -> None:
        self._corpus: Corpus = question.corpus
        self._allowed: NDArray[np.bool_] | None = None
        if question.filtered:
            self._allowed = np.zeros(question.corpus.rows, np.bool_)
            self._allowed[question.allowed] = True

    def beside(self, rows: Rows) -> NDArray[np.intp]:
        """As `Corpus.beside`; -1 also for those that the filters do not allow."""
        found = self._corpus.beside(rows, _REACH)
        return found if self._allowed is None else np.where(self._allowed[found], found, -1)

    def with_beside(self, rows: Rows) -> Rows:
        return _and(rows, self.beside(rows))
