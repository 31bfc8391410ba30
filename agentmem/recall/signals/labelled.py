"""Evidence of a label: a record has it or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Scores

__all__ = ["Labelled"]


class Labelled:
    """1 for these rows (ascending), 0 for others. It brings up none."""

    def __init__(self, rows: NDArray[np.intc], reason: str) -> None:
        self._rows = rows
        self._reason = reason

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        if not len(self._rows):
            return np.zeros(len(rows), np.float32)
        nearest = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        same: NDArray[np.bool_] = self._rows[nearest] == rows
        return same.astype(np.float32)

    def reasons(self, rows: Rows) -> list[str]:
        return [self._reason if score else "" for score in self.scores(rows)]
