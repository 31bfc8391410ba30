"""Words that are meant to the letter: in quotation marks, or a record's own."""

from __future__ import annotations

import numpy as np

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.text import asked_terms, fold

__all__ = ["Phrase"]

_PHRASES = 8  # of a cue
_LONGEST = 16_000  # characters of a cue that is one phrase
_LOOKED_AT = 256  # texts read for a phrase: of those that hold all its words, the newest
_WORDS = 100_000  # and no more words in them than this


class Phrase:
    """The share of the cue's quoted phrases that stand in a record, word for word, whatever their case and accents.

    A cue without any that has several words is one phrase itself: who gives a record's own words means that one.
    """

    name = "phrase"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        quoted = tuple(dict.fromkeys(question.reading.phrases))[:_PHRASES]
        text = question.cue.text.strip()
        phrases = quoted or ((text,) if len(question.terms) > 1 and len(text) <= _LONGEST else ())
        held: dict[int, list[str]] = {}
        for phrase in phrases:
            rows = _holding(question, phrase)
            if not quoted and len(rows) > _LOOKED_AT:  # words that so many hold tell none of them apart
                continue
            wanted, rows = " ".join(fold(phrase).split()), _looked_at(question, rows)
            for row, text in zip(rows.tolist(), question.texts(rows), strict=True):
                if wanted in " ".join(fold(text).split()):
                    held.setdefault(row, []).append(phrase)
        return _PhraseEvidence(held, len(phrases)) if held else None


def _holding(question: Question, phrase: str) -> Rows:
    """Allowed rows that hold all the words of the phrase, ascending; none for words that are not indexed."""
    none = np.empty(0, np.intp)
    lists = []
    for stems in asked_terms(phrase, question.corpus.languages()):
        found = question.found.get(stems) or question.corpus.postings(*stems)
        if not len(found[0]):
            return none
        lists.append(found[0])
    lists.sort(key=len)
    rows = np.asarray(lists[0], np.intp) if lists else none
    for held in lists[1:]:
        rows = rows[held[np.minimum(np.searchsorted(held, rows), len(held) - 1)] == rows]
    return rows[np.isin(rows, question.allowed)] if question.filtered else rows


def _looked_at(question: Question, rows: Rows) -> Rows:
    """The newest of them, as far as their texts can be read in a moment."""
    newest = rows[-_LOOKED_AT:]
    after = np.cumsum(question.corpus.lengths()[newest][::-1])[::-1]
    return newest[after <= _WORDS]


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
