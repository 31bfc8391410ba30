"""Ranking metrics with binary relevance: pure functions of a ranking and its gold.

Every function takes ids best first, and a set of gold ids that is not empty. An id that comes up twice counts where
it came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from math import log2
from typing import Final

__all__ = ["METRICS", "hit", "mean", "ndcg", "recall", "reciprocal_rank", "score", "whole"]

METRICS: Final = (
    *("recall@5", "recall@10", "recall@20", "mrr", "ndcg@5", "ndcg@10"),
    *("hit@1", "hit@5", "hit@10", "all@5", "all@10"),
)


def recall(ranked: Sequence[str], gold: Set[str], k: int) -> float:
    """The share of the gold that is among the first k."""
    return len(gold & set(ranked[:k])) / len(gold)


def reciprocal_rank(ranked: Sequence[str], gold: Set[str]) -> float:
    """1 / rank of the first gold id; 0 if none is there."""
    return next((1 / rank for rank, id in enumerate(ranked, start=1) if id in gold), 0.0)


def ndcg(ranked: Sequence[str], gold: Set[str], k: int) -> float:
    """Discounted cumulative gain of the first k, over that of the best order there could be."""
    gain = sum(1 / log2(rank + 1) for rank, id in enumerate(ranked[:k], start=1) if id in gold)
    return gain / sum(1 / log2(rank + 1) for rank in range(1, min(len(gold), k) + 1))


def hit(ranked: Sequence[str], gold: Set[str], k: int = 1) -> float:
    """1 if any gold id is among the first k."""
    return float(any(id in gold for id in ranked[:k]))


def whole(ranked: Sequence[str], gold: Set[str], k: int) -> float:
    """1 if all the gold is among the first k: what LongMemEval calls recall_all, beside recall_any, which is `hit`."""
    return float(gold <= set(ranked[:k]))


def score(ranked: Iterable[str], gold: Set[str]) -> dict[str, float]:
    """All of METRICS for one question."""
    once = list(dict.fromkeys(ranked))
    return {
        "recall@5": recall(once, gold, 5),
        "recall@10": recall(once, gold, 10),
        "recall@20": recall(once, gold, 20),
        "mrr": reciprocal_rank(once, gold),
        "ndcg@5": ndcg(once, gold, 5),
        "ndcg@10": ndcg(once, gold, 10),
        "hit@1": hit(once, gold),
        "hit@5": hit(once, gold, 5),
        "hit@10": hit(once, gold, 10),
        "all@5": whole(once, gold, 5),
        "all@10": whole(once, gold, 10),
    }


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The average over questions, each counting once; of none, an empty mapping."""
    return {name: sum(one[name] for one in scores) / len(scores) for name in METRICS} if scores else {}
