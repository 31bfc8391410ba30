"""Words: BM25 over each record's text with its date and speaker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.bm25 import scored
from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores

__all__ = ["Lexical"]


class Lexical:
    """BM25 over stemmed words; one that stands in the cue twice counts twice.

    How rare a word is, and how long a text is on average, are the scope's to say, whatever the filters.
    """

    name = "lexical"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        corpus = question.corpus
        if not question.found:
            return None
        total = scored(corpus, question.terms, question.found)
        among = total[question.allowed]
        found = {"/".join(stems): rows for stems, (rows, _) in question.found.items()}
        return _LexicalEvidence(total, question.allowed, among, found) if among.any() else None


class _LexicalEvidence:
    def __init__(self, total: Scores, allowed: Rows, among: Scores, found: dict[str, NDArray[np.intc]]) -> None:
        self._total = total
        self._allowed = allowed
        self._among = among
        self._found = found
        self._deepest = 0, np.empty(0, np.intp)  # how deep it was asked, and the rows it brought up, best first

    def best(self, depth: int) -> Rows:
        if depth > self._deepest[0]:  # one look serves all that ask for less
            self._deepest = depth, self._best(depth)
        return self._deepest[1][:depth]

    def _best(self, depth: int) -> Rows:
        scores, least = self._among, 0.0
        if depth < len(scores):
            least = float(np.partition(scores, len(scores) - depth)[len(scores) - depth])
        # All that tie with the last, then the earliest of them: not the partition's whim. BM25 is never below zero.
        tied = np.flatnonzero(scores >= least if least > 0 else scores > 0)
        return self._allowed[tied[np.argsort(-scores[tied], kind="stable")[:depth]]]

    def scores(self, rows: Rows) -> Scores:
        return self._total[rows]

    def reasons(self, rows: Rows) -> list[str]:
        shared: list[list[str]] = [[] for _ in rows]
        for term, holding in self._found.items():
            nearest = np.minimum(np.searchsorted(holding, rows), len(holding) - 1)
            for i in np.flatnonzero(holding[nearest] == rows):
                shared[i].append(term)
        return [f"words: {', '.join(listed)}" if listed else "" for listed in shared]
