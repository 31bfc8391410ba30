"""The conversation a record belongs to: a turn of one that is about the question is likelier to answer it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.bm25 import bm25
from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Session"]


class Session:
    """BM25 as in `Lexical`, over whole sessions: the first of the two levels of HCAM (Lampinen et al. 2021), which
    attends to a chunk before what is in it."""

    name = "session"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        sessions = question.corpus.sessions
        if sessions.number < 2:
            return None
        total = np.zeros(len(sessions.lengths))
        for stems, (rows, counts) in question.found.items():
            of = sessions.of[rows]
            told = np.bincount(of[of >= 0], weights=counts[of >= 0], minlength=len(total))
            holding = np.flatnonzero(told)
            scores = bm25(told[holding], sessions.lengths[holding], sessions.mean_length, len(holding), sessions.number)
            total[holding] += question.terms[stems] * scores
        return _SessionEvidence(total, sessions.of) if total.any() else None


class _SessionEvidence:
    def __init__(self, total: NDArray[np.float64], of: NDArray[np.intc]) -> None:
        self._total = np.append(total, np.nan).astype(np.float32)  # the last, for records of no session
        self._of = of

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        return self._total[self._of[rows]]

    def reasons(self, rows: Rows) -> list[str]:
        return [""] * len(rows)
