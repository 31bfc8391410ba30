"""Where in its session a record stands: the first turn greets, or asks for everything that follows."""

from __future__ import annotations

import numpy as np

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Opening"]


class Opening:
    """1 for the first record of a session."""

    name = "opening"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        return _OpeningEvidence(question) if question.corpus.sessions.number else None


class _OpeningEvidence:
    def __init__(self, question: Question) -> None:
        self._corpus = question.corpus

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        alone = self._corpus.beside(rows, 1)[:, 0] < 0
        inside = self._corpus.sessions.of[rows] >= 0
        scores: Scores = (alone & inside).astype(np.float32)
        return scores

    def reasons(self, rows: Rows) -> list[str]:
        return [""] * len(rows)
