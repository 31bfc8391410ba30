"""How much a record says: a turn of few words seldom answers anything."""

from __future__ import annotations

import numpy as np

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Length"]


class Length:
    """The logarithm of a record's number of words."""

    name = "length"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        return _LengthEvidence(question)


class _LengthEvidence:
    def __init__(self, question: Question) -> None:
        self._lengths = question.corpus.lengths()

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        scores: Scores = np.log1p(self._lengths[rows]).astype(np.float32)
        return scores

    def reasons(self, rows: Rows) -> list[str]:
        return [""] * len(rows)
