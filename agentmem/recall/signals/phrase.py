"""Words in quotation marks: they are meant to the letter."""

from __future__ import annotations

import numpy as np

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.text import asked_terms, fold

__all__ = ["Phrase"]

_LOOKED_AT = 256  # texts read for a phrase: of those that hold all its words, the newest


class Phrase:
    """The share of the cue's quoted phrases that stand in a record, word for word, whatever their case and accents."""

    name = "phrase"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        held: dict[int, list[str]] = {}
        for phrase in question.reading.phrases:
            rows = _holding(question, phrase)
            wanted = " ".join(fold(phrase).split())
            for row, text in zip(rows.tolist(), question.texts(rows), strict=True):
                if wanted in " ".join(fold(text).split()):
                    held.setdefault(row, []).append(phrase)
        return _PhraseEvidence(held, len(question.reading.phrases)) if held else None


def _holding(question: Question, phrase: str) -> Rows:
    """Allowed rows that hold all the words of the phrase."""
    rows: Rows | None = None
    for stems in asked_terms(phrase, question.corpus.languages()):
        found = question.corpus.postings(*stems)[0]
        rows = np.asarray(found, np.intp) if rows is None else rows[np.isin(rows, found)]
    if rows is None:  # of words that are not indexed
        return np.empty(0, np.intp)
    if question.filtered:
        rows = rows[np.isin(rows, question.allowed)]
    return rows[-_LOOKED_AT:]


class _PhraseEvidence:
    def __init__(self, held: dict[int, list[str]], phrases: int) -> None:
        self._held = held
        self._phrases = phrases

    def best(self, depth: int) -> Rows:
        first = sorted(self._held, key=lambda row: (-len(self._held[row]), row))[:depth]
        return np.array(first, np.intp)

    def scores(self, rows: Rows) -> Scores:
        return np.array([len(self._held.get(row, ())) / self._phrases for row in rows.tolist()], np.float32)

    def reasons(self, rows: Rows) -> list[str]:
        found = [self._held.get(row, []) for row in rows.tolist()]
        return [f"word for word: {', '.join(phrases)}" if phrases else "" for phrases in found]
