"""How strong a record is, and how late it happened: what decides between two that fit a question alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import STEPS, Rows, micros
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.signals.labelled import Labelled

__all__ = ["Prior"]

_DAY = 86_400e6  # microseconds
_STEPS = {str(step): step / STEPS for step in range(-STEPS, STEPS + 1)}


class Prior:
    """Half strength, half recency: ½ (s - 1) / (s + 1) + ½ (1 + days)^-½, where days are counted back from the last
    that happened in the scope (a power law of forgetting, as in Wixted and Carpenter 2007).

    It lies between -½ and 1, whatever the strength and the age, and weighs so little that it only breaks ties: no
    record can be too weak or too old to be found.
    """

    name = "prior"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        return _PriorEvidence(question)


class _PriorEvidence:
    def __init__(self, question: Question) -> None:
        self._corpus = question.corpus

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        days = (micros(self._corpus.span[1]) - self._corpus.times()[rows]) / _DAY
        scores: Scores = (self._strength(rows) / 2 + (1 + days) ** -0.5 / 2).astype(np.float32)
        return scores

    def _strength(self, rows: Rows) -> NDArray[np.float64]:
        """From -1 for none over 0 for what is usual."""
        found = np.zeros(len(rows))
        for step in _STEPS.keys() & self._corpus.values("strength"):
            found += _STEPS[step] * Labelled(self._corpus.labelled("strength", step), "").scores(rows)
        return found

    def reasons(self, rows: Rows) -> list[str]:
        return [""] * len(rows)
