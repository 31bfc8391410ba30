"""The conversation a record belongs to: a turn of one that is about the question is likelier to answer it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.text import terms

__all__ = ["Session"]


class Session:
    """BM25 as in `Lexical`, over whole sessions: the first of the two levels of HCAM (Lampinen et al. 2021), which
    attends to a chunk before what is in it."""

    name = "session"
    relative, inherited = True, False

    def __init__(self, weight: float = 1.0, k1: float = 0.9, b: float = 0.4) -> None:
        self.weight = weight
        self.k1 = k1
        self.b = b

    def ask(self, question: Question) -> Evidence | None:
        corpus, sessions = question.corpus, question.corpus.sessions
        if sessions.number < 2:
            return None
        total = np.zeros(len(sessions.lengths))
        norm = self.k1 * (1 - self.b + self.b * sessions.lengths / sessions.mean_length)
        for term, times in Counter(terms(question.cue.text)).items():
            rows, counts = corpus.postings(term)
            of = sessions.of[rows]
            told = np.bincount(of[of >= 0], weights=counts[of >= 0], minlength=len(total))
            holding = int(np.count_nonzero(told))
            idf = math.log(1 + (sessions.number - holding + 0.5) / (holding + 0.5))
            total += times * idf * told / (told + norm)
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
