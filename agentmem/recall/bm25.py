"""BM25: of one term, for whatever holds it, records or whole sessions; and of several, for each row of a corpus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Corpus

__all__ = ["bm25", "idf", "scored"]

# Anserini's defaults for passages: a turn is short, and its length says little.
_K1 = 0.9
_B = 0.4


def idf(holding: int, total: int) -> float:
    """How much a term tells that `holding` of `total` hold: Lucene's, which never goes below zero."""
    return math.log(1 + (total - holding + 0.5) / (holding + 0.5))


def bm25(
    counts: NDArray[Any], lengths: NDArray[Any], mean_length: float, holding: int, total: int
) -> NDArray[np.float64]:
    """ln(1 + (N - df + ½) / (df + ½)) · tf / (tf + k1 · (1 - b + b · |d| / mean |d|)) (Robertson and Zaragoza 2009,
    "The Probabilistic Relevance Framework", eq. 3.15).

    `counts` is how often each of them holds the term, `lengths` how many terms each has; `holding` of `total` hold it.
    """
    scores: NDArray[np.float64] = idf(holding, total) * counts / (counts + _K1 * (1 - _B + _B * lengths / mean_length))
    return scores


def scored(
    corpus: Corpus,
    terms: Mapping[tuple[str, ...], int],
    found: Mapping[tuple[str, ...], tuple[NDArray[np.intc], NDArray[np.intc]]],
) -> NDArray[np.float32]:
    """Each row's sum over the terms, as often as each is asked; `found` is which rows hold a term, and how often."""
    total = np.zeros(corpus.rows, np.float32)
    lengths = corpus.lengths()
    for stems, (rows, counts) in found.items():
        scores = bm25(counts, lengths[rows], corpus.mean_length, len(rows), len(corpus))
        total[rows] += (terms[stems] * scores).astype(np.float32)
    return total
