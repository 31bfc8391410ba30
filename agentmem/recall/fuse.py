"""Fusion: many signals' scores become one, as a weighted sum of per-question z-scores.

Summing scores keeps what rank fusion throws away: how far ahead of the others a record is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows
from agentmem.recall.signals import Evidence, Signal

__all__ = ["Asked", "pool", "weigh"]

_NOISE = 1e-6  # float32: equal vectors differ by 1e-8 in their cosines, by their row in the product

Asked = Sequence[tuple[Signal, Evidence]]


def pool(asked: Asked, depth: int) -> Rows:
    """The candidates: every signal's best rows, each once, ascending."""
    named = np.sort(np.concatenate([evidence.best(depth) for _, evidence in asked]))
    # np.unique hashes, which takes ten times as long for so few.
    return named[np.concatenate([[True], named[1:] != named[:-1]])] if len(named) else named


def weigh(asked: Asked, rows: Rows) -> NDArray[np.float64]:
    """float64[signals, rows]: what each signal adds to each candidate; a row it does not know counts as average."""
    parts = np.zeros((len(asked), len(rows)))
    for i, (signal, evidence) in enumerate(asked):
        if evidence.deviation > _NOISE:
            z = (evidence.scores(rows).astype(np.float64) - evidence.mean) / evidence.deviation
            parts[i] = signal.weight * np.where(np.isnan(z), 0.0, z)
    return parts
