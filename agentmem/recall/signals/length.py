"""How much a record says: a turn of few words seldom answers anything."""

from __future__ import annotations

import numpy as np

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.weighing import Weighing

__all__ = ["Length"]


class Length:
    """The logarithm of a record's number of words."""

    name = "length"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        lengths = question.corpus.lengths()
        return Weighing(lambda rows: np.log1p(lengths[rows]))
