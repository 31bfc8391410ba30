"""Whether a record asks something itself."""

from __future__ import annotations

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Asking"]


class Asking:
    """1 for a record that ends in a question: it seldom holds the answer. Its weight is negative."""

    name = "asking"
    relative = inherited = False

    def __init__(self, weight: float = -0.8) -> None:
        self.weight = weight

    def ask(self, question: Question) -> Evidence | None:
        rows = question.corpus.labelled("form", "question")
        return Labelled(rows, "") if len(rows) else None
