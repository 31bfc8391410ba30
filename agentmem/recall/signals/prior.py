"""How strong a record is, and how late it happened: what decides between two that fit a question alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import STEPS, Corpus, Rows, micros
from agentmem.recall.signal import Evidence, Question
from agentmem.recall.signals.labelled import Labelled
from agentmem.recall.signals.weighing import Weighing

__all__ = ["Prior"]

_DAY = 86_400_000_000  # microseconds
_STEPS = {str(step): step / STEPS for step in range(-STEPS, STEPS + 1)}


class Prior:
    """Half strength, half recency: ½ (s - 1) / (s + 1) + ½ (1 + days)^-½, where whole days are counted back from
    the last that happened in the scope (a power law of forgetting, as in Wixted and Carpenter 2007).

    It lies between -½ and 1, whatever the strength and the age, and weighs so little that it only breaks ties: no
    record can be too weak or too old to be found.
    """

    name = "prior"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        corpus = question.corpus
        latest, times = micros(corpus.span[1]), corpus.times()
        return Weighing(lambda rows: (_strength(corpus, rows) + (1 + (latest - times[rows]) // _DAY) ** -0.5) / 2)


def _strength(corpus: Corpus, rows: Rows) -> NDArray[np.float64]:
    """From -1 for none over 0 for what is usual."""
    found = np.zeros(len(rows))
    for step in _STEPS.keys() & corpus.values("strength"):
        found += _STEPS[step] * Labelled(corpus.labelled("strength", step), "").scores(rows)
    return found
