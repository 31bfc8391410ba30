"""What a record does: it asks itself, tells a time, or says how its speaker wants things."""

from __future__ import annotations

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Form"]


class Form:
    """1 for a record of this form; with `answer`, only when the cue asks for an answer of that kind."""

    relative = False

    def __init__(self, name: str, form: str, *, answer: str = "", reason: str = "") -> None:
        self.name = name
        self._form = form
        self._answer = answer
        self._reason = reason

    def ask(self, question: Question) -> Evidence | None:
        if self._answer and question.reading.answer != self._answer:
            return None
        rows = question.corpus.labelled("form", self._form)
        return Labelled(rows, self._reason) if len(rows) else None
