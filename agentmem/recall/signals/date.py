"""When it happened: a question that names a day, a month or a year is about what was told then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows, micros
from agentmem.recall.dates import Span
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Date"]

_DAY = 86_400e6  # microseconds
_FADING = 7.0  # days: what happened is often told some days later


class Date:
    """1 for what happened in a time that the cue names, less with every day before it or after, e⁻¹ of it in a week."""

    name = "date"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        return _DateEvidence(question.reading.dates, question) if question.reading.dates else None


class _DateEvidence:
    def __init__(self, spans: tuple[Span, ...], question: Question) -> None:
        self._spans = spans
        self._corpus = question.corpus

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        scores: Scores = self._near(rows).max(axis=0).astype(np.float32)
        return scores

    def _near(self, rows: Rows) -> NDArray[np.float64]:
        """float64[spans, rows]"""
        at = self._corpus.times()[rows].astype(np.float64)
        away = [np.maximum(micros(span.start) - at, at - micros(span.end)).clip(0) for span in self._spans]
        return np.exp(-np.array(away) / _DAY / _FADING)

    def reasons(self, rows: Rows) -> list[str]:
        near = self._near(rows)
        best = near.argmax(axis=0)
        return [f"when: {self._spans[i].phrase}" if near[i, n] == 1 else "" for n, i in enumerate(best)]
