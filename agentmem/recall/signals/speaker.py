"""Who said it: a question that names one speaker is more often about what that one said."""

from __future__ import annotations

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Speaker"]


class Speaker:
    """1 for what the one speaker said whom the cue names; a cue that names several says nothing."""

    name = "speaker"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        if len(question.reading.speakers) != 1:
            return None
        [speaker] = question.reading.speakers
        return Labelled(question.corpus.labelled("speaker", speaker), f"said by {speaker.title()}")
