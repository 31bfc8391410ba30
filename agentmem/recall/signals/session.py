"""The conversation a record belongs to: a turn of one that is about the question is likelier to answer it."""

from __future__ import annotations

import numpy as np

from agentmem.recall.bm25 import bm25
from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.weighing import Weighing

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
        if not total.any():
            return None
        of_none = np.append(total, np.nan)  # the last, for records of no session
        return Weighing(lambda rows: of_none[sessions.of[rows]])
