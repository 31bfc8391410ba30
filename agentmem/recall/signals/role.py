"""Whose words they are: what a person said of themselves, or what an assistant answered."""

from __future__ import annotations

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Role"]


class Role:
    """1 for what an assistant said, or, when the cue asks for just that, for what a user said; silent when it asks for
    a summary, which is of both.

    An assistant's replies are long and hold every word of the question they answer; what is to be remembered is mostly
    what the user told. (BEAM-100K, development half: recall@10 is 56.9 with this signal and 46.3 without; of all its
    evidence, 77 % is the user's.)
    """

    name = "role"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        if question.reading.answer == "summary" and not question.reading.of_assistant:
            return None
        other = "user" if question.reading.of_assistant else "assistant"
        rows = question.corpus.labelled("role", other)
        return Labelled(rows, "") if len(rows) else None
