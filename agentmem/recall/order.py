"""Where words stand in a memory's time, and which of two things came first.

What SORT asks of a memory (Sequence Order Recall Tasks, Pink et al. 2024, arXiv 2410.08133): given two segments of a
long text, which one came first? A record tells when; where in it the words begin tells the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low
from typing import Final, NamedTuple

import numpy as np

from agentmem.cues import Hit
from agentmem.recall.text import WORD, fold
from agentmem.records import Record

__all__ = ["Located", "before", "located"]

_RUN: Final = 3  # words
_LONGEST: Final = 1_000  # words of a text that are looked for: a pasted book begins where its first pages do
_VERBATIM: Final = 10.0  # more than any engine's best hit is ahead of its others


class Located(NamedTuple):
    """A record in which a text may stand: with what probability, and at which of its words the text would begin.

    `start` is below 0 for a text that began before the record.
    """

    record: Record
    probability: float
    start: int

    @property
    def _time(self) -> tuple[float, int, int]:
        return self.record.at.timestamp(), self.record.position, self.start


def located(text: str, hits: Sequence[Hit]) -> list[Located]:
    """Where the text may stand, likeliest first.

    A hit's probability is its share of the sum of all exp(score + 10 · found), where `found` is the share of the
    text's runs of three words that stand in the record: where they do, the words decide.
    """
    words = _words(text)[:_LONGEST]
    placed = [(hit, *_placed(words, _words(hit.record.text))) for hit in hits]
    weights = np.array([hit.score + _VERBATIM * found for hit, _, found in placed])
    shares = np.exp(weights - weights.max(initial=0.0))
    shares /= shares.sum() or 1.0
    told = [Located(hit.record, float(share), start) for (hit, start, _), share in zip(placed, shares, strict=True)]
    return sorted(told, key=lambda one: -one.probability)


def before(one: Sequence[Located], other: Sequence[Located]) -> float:
    """The probability that one stands before the other; a half where they stand at the same place, or nowhere."""
    if not one or not other:
        return 0.5
    return sum(
        a.probability * b.probability * (0.5 if a._time == b._time else float(a._time < b._time))
        for a in one
        for b in other
    )


def _words(text: str) -> list[str]:
    return WORD.findall(fold(text))


def _placed(words: Sequence[str], held: Sequence[str]) -> tuple[int, float]:
    """At which of the held words these would begin, and which share of their runs of three is there. As most of those
    runs say, else most words; 0 if none is there."""
    start, found = 0, 0.0
    for width in (1, _RUN):
        runs = [tuple(words[place : place + width]) for place in range(len(words) - width + 1)]
        wanted, at = set(runs), dict[tuple[str, ...], int]()
        for place in range(len(held) - width + 1):
            if (run := tuple(held[place : place + width])) in wanted:
                at.setdefault(run, place)  # the first of several
        said = [at[run] - place for place, run in enumerate(runs) if run in at]
        if said:
            start = median_low(said)
        found = len(said) / max(1, len(runs)) if width == _RUN else 0.0
    return start, found
