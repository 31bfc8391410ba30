"""`ExactIndex`: every vector in one float32 matrix, searched by one product. No recall is ever lost.

Fed from the ledger, it is as fresh as the ledger, and 100,000 vectors of 384 dimensions take 154 MB. The product runs
on one BLAS thread: two threads wait on each other on a busy machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from agentmem.index import Among, Matches, Progress, Site

Positions: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]

# Found once: looking for the BLAS libraries costs 0.2 ms, setting their threads 9 us.
_BLAS = ThreadpoolController().select(user_api="blas")
_GROWTH = 1.5  # rows reserved beyond those in use when the matrix must grow
_GATHER_BELOW = 0.25  # copy the rows asked for when they are fewer than this share; else multiply all and pick


def product(matrix: Floats, vector: Floats) -> Floats:
    """`matrix @ vector` on one BLAS thread."""
    with _BLAS.limit(limits=1):
        return cast(Floats, matrix @ vector)


def open_exact(site: Site) -> ExactIndex:
    """The index of a scope, empty: it is filled from the ledger at the first question."""
    return ExactIndex(site.dimension)


class ExactIndex:
    """One scope's vectors of one embedder, in memory. Rows are kept in ascending order of position."""

    name = "exact"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._count = 0
        self._cursor = 0
        self._positions: Positions = np.empty(0, np.int64)
        self._matrix: Floats = np.empty((0, dimension), np.float32)

    @property
    def cursor(self) -> int:
        return self._cursor

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        self.__init__(self.dimension)  # type: ignore[misc]  # the empty state has one description

    @property
    def waiting(self) -> int:
        return 0

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        return 0

    def close(self) -> None:
        self.clear()

    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        if matrix.shape != (len(positions), self.dimension):
            raise ValueError(f"{len(positions)} positions, a matrix of {matrix.shape}, dimension {self.dimension}")
        order = np.argsort(positions, kind="stable")
        positions, matrix = positions[order], matrix[order]
        rows = np.searchsorted(self._held, positions)
        known = self._known(rows, positions)
        self._matrix[rows[known]] = matrix[known]
        if not known.all():
            self._insert(positions[~known], matrix[~known])
        if len(gone):
            self._keep(~np.isin(self._held, np.asarray(gone, np.int64)))
        self._cursor = cursor

    @property
    def _held(self) -> Positions:
        return self._positions[: self._count]

    def _known(self, rows: NDArray[np.intp], positions: Positions) -> NDArray[np.bool_]:
        """Which of the positions stand at the rows where they would have to."""
        if not self._count:
            return np.zeros(len(positions), np.bool_)
        return np.equal(self._held[np.minimum(rows, self._count - 1)], positions)

    def _insert(self, positions: Positions, matrix: Floats) -> None:
        """New rows, ascending. The usual case, later than all that are held, copies nothing but them."""
        start, end = self._count, self._count + len(positions)
        if end > len(self._positions):
            room = max(end, int(len(self._positions) * _GROWTH))
            self._positions = np.concatenate([self._positions, np.empty(room - len(self._positions), np.int64)])
            more = np.empty((room - len(self._matrix), self.dimension), np.float32)
            self._matrix = np.concatenate([self._matrix, more])
        self._positions[start:end] = positions
        self._matrix[start:end] = matrix
        self._count = end
        if start and positions[0] < self._positions[start - 1]:  # a record that a redo or a restore brought back
            order = np.argsort(self._held, kind="stable")
            self._positions[:end] = self._held[order]
            self._matrix[:end] = self._matrix[:end][order]

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        kept = int(mask.sum())
        self._positions[:kept] = self._held[mask]
        self._matrix[:kept] = self._matrix[: self._count][mask]
        self._count = kept

    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        rows = np.searchsorted(self._held, positions)
        scores = np.full(len(positions), np.nan, np.float32)
        known = self._known(rows, positions)
        if known.any():
            scores[known] = product(self._matrix[rows[known]], vector)
        return scores

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        held, matrix = self._held, self._matrix[: self._count]
        rows: NDArray[np.intp] | None = None
        if among is not None:
            found = np.searchsorted(held, among.positions)
            rows = found[self._known(found, among.positions)]
        if rows is None:
            scores = product(matrix, vector)
        elif len(rows) < _GATHER_BELOW * self._count:
            scores = product(matrix[rows], vector)
        else:
            scores = product(matrix, vector)[rows]
        positions = held if rows is None else held[rows]
        if not len(scores):
            return Matches(np.empty(0, np.int64), np.empty(0, np.float32), 0.0, 0.0)
        if 0 < k < len(scores):
            # All that tie with the k-th, so that ties fall to the earliest and not to the partition's whim.
            threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
            best = np.flatnonzero(scores >= threshold)
        else:
            best = np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")][:k]
        return Matches(positions[best], scores[best], float(scores.mean()), float(scores.std()))
