"""Where it happened: a question that names a place is about what happened there."""

from __future__ import annotations

import numpy as np

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Place"]


class Place:
    """1 for what happened in a place of this scope that the cue names, or inside it."""

    name = "place"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        places = question.reading.places
        if not places:
            return None
        rows = np.unique(np.concatenate([question.corpus.labelled("place", place) for place in places]))
        return Labelled(rows, f"at {', '.join(places)}")
