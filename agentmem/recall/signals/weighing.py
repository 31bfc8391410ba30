"""Evidence that only weighs what others bring up, and says nothing of it in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Scores

__all__ = ["Weighing"]


class Weighing:
    """What `scores` gives for rows."""

    def __init__(self, scores: Callable[[Rows], NDArray[Any]]) -> None:
        self._scores = scores

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        scores: Scores = self._scores(rows).astype(np.float32)
        return scores

    def reasons(self, rows: Rows) -> list[str]:
        return [""] * len(rows)
