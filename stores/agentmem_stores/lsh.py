"""Hashing by random hyperplanes: vectors that point alike fall into the same bucket, more often the nearer they are.

It knows vectors and integer keys; what they stand for is the caller's business.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem.blas import one_thread
from agentmem.errors import InvalidInput
from agentmem.values import whole_number

__all__ = ["Buckets", "Hyperplanes"]

Codes = NDArray[np.int32]
Keys = NDArray[np.int64]

_MOST: Final = 65_536  # buckets of a table, tables, dimensions: beyond is a slip, and would take gigabytes


class Hyperplanes:
    """F(x) = argmax([xR; −xR]) with R ∈ R^{d × b/2}, N(0, 1): one of `buckets` a table (cross-polytope hashing as in
    Think-in-Memory, Liu et al. 2023, arXiv 2311.08719, which has one table and looks into one bucket).

    F(cx) = F(x) for c > 0, and F(−x) lies b/2 from F(x). `tables` are drawn apart; a question looks into the `probes`
    buckets whose column is highest. InvalidInput for an odd number of buckets, or more probes than buckets.
    """

    def __init__(self, dimension: int, *, buckets: int = 32, tables: int = 4, probes: int = 2, seed: int = 0) -> None:
        for name, value in (("dimension", dimension), ("buckets", buckets), ("tables", tables), ("probes", probes)):
            if whole_number(value, name, 1) > _MOST:
                raise InvalidInput(f"{name} is {value}, and {_MOST:,} are the most")
        if buckets % 2:
            raise InvalidInput(f"buckets come in pairs, x's and −x's: {buckets} is odd")
        if probes > buckets:
            raise InvalidInput(f"{probes} probes of {buckets} buckets", way_out="Compare with all instead: exact mode.")
        self.dimension, self.buckets, self.tables, self.probes = dimension, buckets, tables, probes
        drawn = np.random.default_rng(whole_number(seed, "seed")).standard_normal((dimension, tables * buckets // 2))
        self._planes: NDArray[np.float32] = drawn.astype(np.float32)

    def hash(self, vectors: NDArray[Any]) -> Codes:
        """int32[n, tables] of vectors[n, dimension]. InvalidInput for another shape, numbers that are not finite, and
        a row of zeros, which points nowhere."""
        codes: Codes = self._columns(vectors).argmax(axis=2).astype(np.int32)
        return codes

    def probed(self, vectors: NDArray[Any]) -> Codes:
        """int32[n, tables, probes]: the buckets to look into, the vector's own first. InvalidInput as in `hash`."""
        columns = self._columns(vectors)
        return np.argsort(-columns, axis=2, kind="stable")[:, :, : self.probes].astype(np.int32)

    def _columns(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """[xR; −xR]: float32[n, tables, buckets]"""
        given = np.asarray(vectors)
        if given.ndim != 2 or given.shape[1] != self.dimension or given.dtype.kind not in "fiu":
            raise InvalidInput(f"vectors must be numbers[n, {self.dimension}], not {given.dtype}{list(given.shape)}")
        rows = given.astype(np.float32)
        bad = ~np.isfinite(rows).all(axis=1) | ~rows.any(axis=1)
        if bad.any():
            raise InvalidInput(
                f"vector {int(np.flatnonzero(bad)[0])} is all zeros, or holds a number that is not finite",
                way_out="Leave it out: it has no direction.",
            )
        with one_thread():
            along = (rows @ self._planes).reshape(len(rows), self.tables, self.buckets // 2)
        return np.concatenate([along, -along], axis=2)


class Buckets:
    """Which keys (int64) lie in which bucket of each table: 8 bytes and 4 a table for a key, and as much again for the
    order by which they are found."""

    def __init__(self, planes: Hyperplanes) -> None:
        self.planes = planes
        self._keys: Keys = np.empty(0, np.int64)
        self._codes: Codes = np.empty((0, planes.tables), np.int32)
        self._found_by: list[tuple[NDArray[np.intp], Codes]] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Keys, vectors: NDArray[Any]) -> None:
        """Put keys where their vectors say; one that is here already moves. InvalidInput as `Hyperplanes.hash`."""
        codes = self.planes.hash(vectors)
        if len(codes) != len(keys):
            raise InvalidInput(f"{len(keys)} keys and {len(codes)} vectors")
        self.remove(keys)
        self._keys = np.concatenate([self._keys, np.asarray(keys, np.int64)])
        self._codes = np.concatenate([self._codes, codes])

    def remove(self, keys: Keys) -> None:
        """Those that are not here are passed over."""
        stays = ~np.isin(self._keys, keys)
        self._keys, self._codes, self._found_by = self._keys[stays], self._codes[stays], None

    def candidates(self, vector: NDArray[Any]) -> Keys:
        """Ascending: all keys in the buckets that a vector[dimension] is looked for in."""
        [probed] = self.planes.probed(np.asarray(vector)[None])
        found = [np.empty(0, np.int64)]
        for (order, codes), buckets in zip(self._sorted(), probed, strict=True):
            starts, ends = np.searchsorted(codes, buckets), np.searchsorted(codes, buckets, side="right")
            found += [self._keys[order[start:end]] for start, end in zip(starts, ends, strict=True)]
        return np.unique(np.concatenate(found))

    def sizes(self) -> NDArray[np.int64]:
        """int64[tables, buckets]: how many keys lie in each."""
        counted = [np.bincount(codes, minlength=self.planes.buckets) for codes in self._codes.T]
        return np.array(counted, np.int64)

    def _sorted(self) -> list[tuple[NDArray[np.intp], Codes]]:
        """For each table the rows by bucket, and their buckets; made when it is first asked for after a change."""
        if self._found_by is None:
            orders = [np.argsort(codes, kind="stable") for codes in self._codes.T]
            self._found_by = [(order, codes[order]) for order, codes in zip(orders, self._codes.T, strict=True)]
        return self._found_by
