"""`ExactIndex`: every vector in one float32 matrix, none ever missed.

Fed from the ledger, it is as fresh as the ledger, and 100,000 vectors of 384 dimensions take 154 MB, and a third more
for their sketch: each vector along the axes in which vectors of its kind differ most. A search multiplies the sketch,
and in full only those whose cosine might still be among the best: by Cauchy and Schwarz it is the sketch's product and
at most the product of what the sketch leaves out of either. Of 20,000 MiniLM vectors these are 7 in 100.

Products run on one BLAS thread: two threads wait on each other on a busy machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.blas import one_thread, product
from agentmem.index import Among, Matches, Progress, Site

Positions: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]

_GROWTH = 1.5  # rows reserved beyond those in use when the matrix must grow
_GATHER_BELOW = 0.25  # copy the rows asked for when they are fewer than this share; else multiply all and pick
_SKETCH_FROM = 4_096  # rows that show which axes matter; below, a search takes 0.3 ms without
_SKETCH_SHARE = 3  # a third of the dimensions
_TRIED = 16  # rows that are searched for, to see whether the sketch pays
_PROMISING = 4  # times as many as are wanted are multiplied in full, for a bound to hold the others against
_PATIENCE = 8  # searches in vain, until it is drawn anew
_SLACK = 1e-5  # of a sum of float32 products: what rounding may take from a bound


def row_by_row(matrix: Floats, vector: Floats) -> Floats:
    """`matrix @ vector`, where a row's product does not depend on which other rows there are, as BLAS has it."""
    return cast(Floats, np.einsum("ij,j->i", matrix, vector))


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
        self._sketch: _Sketch | None = None
        self._drawn_at = _SKETCH_FROM // 2  # rows there were when a sketch was last tried
        self._in_vain = 0  # searches in a row that it spared little

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
        if self._sketch is not None and known.any():
            self._sketch.replace(rows[known], matrix[known])
        if not known.all():
            self._insert(positions[~known], matrix[~known])
        if len(gone):
            self._keep(~np.isin(self._held, np.asarray(gone, np.int64)))
        if self._count >= 2 * self._drawn_at:  # what came later may lie along other axes
            self._draw()
        self._cursor = cursor

    def _draw(self) -> None:
        self._sketch, self._drawn_at, self._in_vain = _Sketch.of(self._matrix[: self._count]), self._count, 0

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
            if self._sketch is not None:
                self._sketch.append(matrix)
                self._sketch.keep(order)
        elif self._sketch is not None:
            self._sketch.append(matrix)

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        kept = int(mask.sum())
        self._positions[:kept] = self._held[mask]
        self._matrix[:kept] = self._matrix[: self._count][mask]
        if self._sketch is not None:
            self._sketch.keep(mask)
        self._count = kept

    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        rows = np.searchsorted(self._held, positions)
        scores = np.full(len(positions), np.nan, np.float32)
        known = self._known(rows, positions)
        if known.any():
            scores[known] = row_by_row(self._matrix[rows[known]], vector)
        return scores

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        held, matrix = self._held, self._matrix[: self._count]
        few = _GATHER_BELOW * self._count
        rows: NDArray[np.intp] | None = None
        if among is not None:
            found = np.searchsorted(held, among.positions)
            rows = found[self._known(found, among.positions)]
        if self._sketch is not None and 0 < k < few and (rows is None or len(rows) >= few):
            rows = self._sketch.candidates(matrix, vector, k, rows)
            self._in_vain = 0 if len(rows) < few else self._in_vain + 1
            if self._in_vain == _PATIENCE:
                if self._drawn_at == self._count:  # newly drawn, and no better: not before there is twice as much
                    self._sketch = None
                else:
                    self._draw()
        if rows is not None and len(rows) < few:
            scores = product(matrix[rows], vector)
        else:
            scores = product(matrix, vector) if rows is None else product(matrix, vector)[rows]
        positions = held if rows is None else held[rows]
        if 0 < k < len(scores):
            # All that tie with the k-th, so that ties fall to the earliest and not to the partition's whim.
            threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
            best = np.flatnonzero(scores >= threshold)
        else:
            best = np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")][:k]
        return Matches(positions[best], scores[best])


class _Sketch:
    """The rows of a matrix along the axes that hold most of them, and how long what is left out of each is."""

    def __init__(self, axes: Floats, matrix: Floats) -> None:
        self._axes = axes  # float32[dimension, width], orthonormal
        self._count = 0
        self._along: Floats = np.empty((0, axes.shape[1]), np.float32)
        self._left: Floats = np.empty(0, np.float32)
        self.append(matrix)

    @classmethod
    def of(cls, matrix: Floats) -> _Sketch | None:
        """None when it would leave too many rows in question to pay."""
        sample = matrix[:: max(1, len(matrix) // _SKETCH_FROM)][: 2 * _SKETCH_FROM]
        with one_thread():
            _, axes = np.linalg.eigh(sample.T @ sample)  # ascending
        width = max(1, matrix.shape[1] // _SKETCH_SHARE)
        sketch = cls(np.ascontiguousarray(axes[:, ::-1][:, :width]), sample)
        rows = range(0, len(sample), max(1, len(sample) // _TRIED))
        left = [len(sketch.candidates(sample, sample[row], 10, None)) for row in rows]
        if float(np.mean(left)) > _GATHER_BELOW * len(sample):
            return None
        return cls(sketch._axes, matrix)

    def _drawn(self, matrix: Floats) -> tuple[Floats, Floats]:
        with one_thread():
            along = matrix @ self._axes
        squares = np.einsum("ij,ij->i", matrix, matrix) - np.einsum("ij,ij->i", along, along)
        return along, np.sqrt(np.maximum(squares, 0.0))

    def append(self, matrix: Floats) -> None:
        end = self._count + len(matrix)
        if end > len(self._left):
            room = max(end, int(len(self._left) * _GROWTH)) - len(self._left)
            self._along = np.concatenate([self._along, np.empty((room, self._along.shape[1]), np.float32)])
            self._left = np.concatenate([self._left, np.empty(room, np.float32)])
        self._along[self._count : end], self._left[self._count : end] = self._drawn(matrix)
        self._count = end

    def replace(self, rows: NDArray[np.intp], matrix: Floats) -> None:
        self._along[rows], self._left[rows] = self._drawn(matrix)

    def keep(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> None:
        """These rows, or all in this order."""
        along, left = self._along[: self._count][which], self._left[: self._count][which]
        self._count = len(left)
        self._along[: self._count], self._left[: self._count] = along, left

    def candidates(self, matrix: Floats, vector: Floats, k: int, rows: NDArray[np.intp] | None) -> NDArray[np.intp]:
        """Rows, ascending, of which the `k` nearest to the vector are some; among `rows`, if they are given."""
        [asked], [left] = self._drawn(vector[None])
        along = product(self._along[: self._count], asked)
        beyond = self._left[: self._count] * left
        if rows is not None:
            along, beyond = along[rows], beyond[rows]
        several = _PROMISING * k
        if len(along) <= several:
            return np.arange(len(along)) if rows is None else rows
        # The k-th best of several that look best: no more than k are better than it.
        promising = np.argpartition(along, len(along) - several)[len(along) - several :]
        exact = product(matrix[promising if rows is None else rows[promising]], vector)
        least = np.partition(exact, several - k)[several - k]
        within = np.flatnonzero(along + beyond >= least - _SLACK)
        return within if rows is None else rows[within]
