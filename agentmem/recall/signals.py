"""Signals: each looks at a cue from one side and scores records. The engine sums them; adding one is one class.

A signal answers with an `Evidence`: its own best rows, a score for any row it is asked about, and the mean and
deviation of its scores over all allowed rows, which put different signals on one scale.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.index import Among
from agentmem.recall.corpus import Corpus, Rows, micros
from agentmem.recall.text import terms

if TYPE_CHECKING:
    from agentmem.cues import Cue
    from agentmem.index import Index

__all__ = ["Dense", "Evidence", "Lexical", "Question", "Signal"]

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    """What every signal is asked with: the cue, its unit vector if it has one, and the rows its filters allow."""

    cue: Cue
    vector: NDArray[np.float32] | None
    corpus: Corpus
    index: Index
    allowed: Rows


class Evidence(Protocol):
    """One signal's view of one question. `mean` and `deviation` are over all allowed rows."""

    mean: float
    deviation: float

    def best(self, depth: int) -> Rows:
        """Up to `depth` rows that this signal would bring up, in no order."""
        ...

    def scores(self, rows: Rows) -> Scores:
        """float32[len(rows)]; NaN where the signal knows nothing of a row."""
        ...

    def reasons(self, rows: Rows) -> list[str]:
        """Why each of these rows scored, in a few words; "" where there is nothing to say."""
        ...


class Signal(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    def ask(self, question: Question) -> Evidence | None:
        """None when the cue says nothing to this signal."""
        ...


class Lexical:
    """BM25 over stemmed words, with Lucene's idf, which never goes below zero.

    score(d) = Σ_t qf(t) · ln(1 + (N - df + ½) / (df + ½)) · tf / (tf + k1 · (1 - b + b · |d| / mean |d|))
    (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.15, with qf(t) the term's count in
    the cue.) N, df and the mean length are those of the scope, whatever the filters. k1 = 0.9 and b = 0.4, Anserini's
    defaults for passages: a turn is short, and its length says little.
    """

    name = "lexical"

    def __init__(self, weight: float = 1.0, k1: float = 0.9, b: float = 0.4) -> None:
        self.weight = weight
        self.k1 = k1
        self.b = b

    def ask(self, question: Question) -> Evidence | None:
        asked = Counter(terms(question.cue.text))
        corpus = question.corpus
        if not asked or not len(corpus):
            return None
        total = np.zeros(corpus.rows, np.float32)
        lengths = corpus.lengths()
        found: dict[str, NDArray[np.intc]] = {}
        for term, times in asked.items():
            rows, counts = corpus.postings(term)
            if not len(rows):
                continue
            found[term] = rows
            idf = math.log(1 + (len(corpus) - len(rows) + 0.5) / (len(rows) + 0.5))
            norm = self.k1 * (1 - self.b + self.b * lengths[rows] / corpus.mean_length)
            total[rows] += (times * idf * counts / (counts + norm)).astype(np.float32)
        among = total[question.allowed]
        return _LexicalEvidence(total, question.allowed, among, found) if among.any() else None


class _LexicalEvidence:
    def __init__(self, total: Scores, allowed: Rows, among: Scores, found: dict[str, NDArray[np.intc]]) -> None:
        self._total = total
        self._allowed = allowed
        self._among = among
        self._found = found
        self.mean = float(among.mean())
        self.deviation = float(among.std())

    def best(self, depth: int) -> Rows:
        scoring = np.flatnonzero(self._among)  # BM25 is never below zero
        rows = self._allowed[scoring]
        if len(rows) <= depth:
            return rows
        scores = self._among[scoring]
        return rows[np.argpartition(scores, len(rows) - depth)[len(rows) - depth :]]

    def scores(self, rows: Rows) -> Scores:
        return self._total[rows]

    def reasons(self, rows: Rows) -> list[str]:
        shared: list[list[str]] = [[] for _ in rows]
        for term, holding in self._found.items():
            nearest = np.minimum(np.searchsorted(holding, rows), len(holding) - 1)
            for i in np.flatnonzero(holding[nearest] == rows):
                shared[i].append(term)
        return [f"words: {', '.join(listed)}" if listed else "" for listed in shared]


class Dense:
    """Cosine between the cue's vector and each record's."""

    name = "dense"

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def ask(self, question: Question) -> Evidence | None:
        if question.vector is None or not len(question.index) or not question.vector.any():
            return None
        return _DenseEvidence(question.vector, question)


def among(cue: Cue, positions: NDArray[np.int64]) -> Among:
    """These positions, with as much of the cue's filters as an index's own metadata can say."""
    return Among(
        positions,
        cue.kinds,
        None if cue.since is None else micros(cue.since),
        None if cue.until is None else micros(cue.until),
        whole=cue.speaker is None and cue.place is None and cue.tags is None,
    )


class _DenseEvidence:
    def __init__(self, vector: NDArray[np.float32], question: Question) -> None:
        self._vector = vector
        self._question = question
        corpus = question.corpus
        everything = len(question.allowed) == len(corpus)
        self._among = None if everything else among(question.cue, corpus.positions(question.allowed))
        self.mean = self.deviation = 0.0
        self._best = self._search(256)

    def _search(self, depth: int) -> Rows:
        self._depth = depth
        found = self._question.index.search(self._vector, depth, self._among)
        self.mean, self.deviation = found.mean, found.deviation
        rows = self._question.corpus.rows_of(found.positions)
        known = rows >= 0
        order = np.argsort(rows[known], kind="stable")
        self._known, self._cosines = rows[known][order], found.scores[known][order]
        return rows[known]

    def best(self, depth: int) -> Rows:
        if depth > self._depth:
            self._best = self._search(depth)
        return self._best[:depth]

    def scores(self, rows: Rows) -> Scores:
        cosines = np.full(len(rows), np.nan, np.float32)
        found = np.zeros(len(rows), np.bool_)
        if len(self._known):
            nearest = np.minimum(np.searchsorted(self._known, rows), len(self._known) - 1)
            found = self._known[nearest] == rows
            cosines[found] = self._cosines[nearest[found]]
        others = np.flatnonzero(~found)
        if len(others):
            positions = self._question.corpus.positions(rows[others])
            order = np.argsort(positions)
            cosines[others[order]] = self._question.index.cosines(self._vector, positions[order])
        return cosines

    def reasons(self, rows: Rows) -> list[str]:
        return ["" if np.isnan(cosine) else f"cosine {cosine:.2f}" for cosine in self.scores(rows)]
