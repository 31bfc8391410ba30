"""Where in its session a record stands: the first turn greets, or asks for everything that follows."""

from __future__ import annotations

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.weighing import Weighing

__all__ = ["Opening"]


class Opening:
    """1 for the first record of a session."""

    name = "opening"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        corpus = question.corpus
        if not corpus.sessions.number:
            return None
        return Weighing(lambda rows: (corpus.beside(rows, 1)[:, 0] < 0) & (corpus.sessions.of[rows] >= 0))
