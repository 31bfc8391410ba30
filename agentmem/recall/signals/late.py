"""Late interaction: every word of the cue, in its context, looks for the likest word of a record in that one's context.

A sentence's vector blurs what a word by itself still tells; a word by itself does not tell what it stands for.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.bm25 import idf
from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Said, Scores
from agentmem.recall.text import WORD, asked_terms

__all__ = ["Late"]

_COMMON = 0.5  # what a word weighs that is too common to be indexed; a rare one in 600 turns weighs 6
_NEAR = 0.6  # a cosine from which a word of the cue is said to be met


class Late:
    """MaxSim (Khattab and Zaharia 2020, ColBERT, eq. 3) with each token of the cue weighted by how rare its word is in
    the scope: Σ w · max cosine / Σ w. With `window` a token may find its like in the turn before, too.

    It brings up no records: token vectors are looked at for candidates only.
    """

    relative = True

    def __init__(self, *, window: bool = False) -> None:
        self.name = "late window" if window else "late"
        self._window = window

    def ask(self, question: Question) -> Evidence | None:
        if question.said is None or not len(question.said.spans) or question.vector is None:
            return None
        return _LateEvidence(question, question.said, self._window)


class _LateEvidence:
    def __init__(self, question: Question, said: Said, window: bool) -> None:
        self._question = question
        self._said = said
        self._window = window

    @cached_property
    def _words(self) -> list[tuple[str, float, NDArray[np.bool_]]]:
        """Each word of the cue, how rare it is, and which tokens are pieces of it."""
        question, spans = self._question, self._said.spans
        languages, number = question.corpus.languages(), len(question.corpus)
        found = []
        for word in WORD.finditer(question.cue.text, 0, int(spans.max())):
            inside = (spans[:, 0] < word.end()) & (spans[:, 1] > word.start())
            stems = asked_terms(word[0], languages)
            if inside.any() and stems:
                holding = [question.found[stem][0] if stem in question.found else () for stem in stems]
                found.append((word[0], float(np.mean([idf(len(rows), number) for rows in holding])), inside))
        return found

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        """One a token, of sum 1; all pieces of a word weigh alike."""
        weights = np.full(len(self._said.spans), _COMMON)
        for _, rarity, inside in self._words:
            weights[inside] = rarity
        shares: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
        return shares

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        with np.errstate(invalid="ignore"):  # a NaN is a record whose tokens are not known, and some BLAS warn of it
            scores: Scores = self._matched(rows) @ self._weights
        return scores

    def _matched(self, rows: Rows) -> NDArray[np.float32]:
        matched = self._own(rows)
        if self._window:
            before = self._question.corpus.beside(rows, 1)[:, 0]
            there = before >= 0
            if self._question.filtered:
                there &= np.isin(before, self._question.allowed)
            matched[there] = np.fmax(matched[there], self._own(before[there]))
        return matched

    def _own(self, rows: Rows) -> NDArray[np.float32]:
        """float32[rows, tokens]; NaN where a record has no vector now, or no tokens."""
        positions = self._question.corpus.positions(rows)
        matched = self._said.matches.best(positions.tolist())
        assert self._question.vector is not None
        order = np.argsort(positions)
        # An edit takes the vector of the old words away at once, and their tokens with the new one.
        stale = np.isnan(self._question.index.cosines(self._question.vector, positions[order]))
        matched[order[stale]] = np.nan
        return matched

    def reasons(self, rows: Rows) -> list[str]:
        """The words of the cue that a record has the like of, up to four, those that are rarest."""
        if self._window or not self._words:
            return [""] * len(rows)
        pieces = np.array([inside / inside.sum() for _, _, inside in self._words]).T
        with np.errstate(invalid="ignore"):
            met = self._matched(rows) @ pieces >= _NEAR
        rarest = sorted(range(len(self._words)), key=lambda i: -self._words[i][1])
        told = [dict.fromkeys(self._words[i][0] for i in rarest if near[i]) for near in met]
        return [f"in context: {', '.join(list(words)[:4])}" if words else "" for words in told]
