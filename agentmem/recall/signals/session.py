"""The conversation a record belongs to: a turn of one that is about the question is likelier to answer it.

The first of the two levels of HCAM (Lampinen et al. 2021), which attends to a chunk before what is in it (`levels`);
the other signals are the second. All sessions are attended to: of the 16 best alone it is the same (83.8 against 83.7,
LoCoMo's development half, recall@10), of the 4 best less (82.1). The means of a session's vectors, as `ChunkMemory` has
them, add nothing to it here (88.6 against 88.7, held out).
"""

from __future__ import annotations

import numpy as np

from agentmem.recall.bm25 import bm25
from agentmem.recall.levels import attend
from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.weighing import Weighing

__all__ = ["Session"]


class Session:
    """The logarithm of a session's share of attention, by BM25 as in `Lexical`, over whole sessions."""

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
        attention = attend(total, len(total))
        shares = np.empty(len(total) + 1)
        shares[attention.indices] = attention.logs
        shares[-1] = np.nan  # for records of no session
        return Weighing(lambda rows: shares[sessions.of[rows]])
