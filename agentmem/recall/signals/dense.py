"""Meaning: the cosine between the cue's vector and each record's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.index import Among
from agentmem.recall.corpus import Rows, micros
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Dense", "among"]


class Dense:
    """Cosine between the cue's vector and each record's."""

    name = "dense"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        if question.vector is None or not len(question.index) or not question.vector.any():
            return None
        return _DenseEvidence(question.vector, question)


def among(question: Question, positions: NDArray[np.int64]) -> Among:
    """These positions, with as much of the cue's filters as an index's own metadata can say."""
    cue = question.cue
    whole = cue.speaker is None and cue.place is None and cue.tags is None and not question.partly
    return Among(
        positions,
        cue.kinds,
        None if cue.since is None else micros(cue.since),
        None if cue.until is None else micros(cue.until),
        whole=whole,
    )


class _DenseEvidence:
    def __init__(self, vector: NDArray[np.float32], question: Question) -> None:
        self._vector = vector
        self._question = question
        positions = question.corpus.positions(question.allowed)
        self._among = among(question, positions) if question.filtered else None
        self._searched = 0, np.empty(0, np.int64)  # how deep, and the positions found, best first

    def best(self, depth: int) -> Rows:
        if depth > self._searched[0]:  # one search serves all that ask for less
            self._searched = depth, self._question.index.search(self._vector, depth, self._among).positions
        rows = self._question.corpus.rows_of(self._searched[1][:depth])
        return rows[rows >= 0]

    def scores(self, rows: Rows) -> Scores:
        """Asked of the index again, also where its search has said them: a search may round otherwise."""
        positions = self._question.corpus.positions(rows)
        order = np.argsort(positions)
        cosines = np.empty(len(rows), np.float32)
        cosines[order] = self._question.index.cosines(self._vector, positions[order])
        return cosines

    def reasons(self, rows: Rows) -> list[str]:
        return ["" if np.isnan(cosine) else f"cosine {cosine:.2f}" for cosine in self.scores(rows)]
