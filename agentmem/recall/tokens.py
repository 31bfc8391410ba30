"""Token vectors as the ledger keeps them, and how near a question's tokens come to those of records.

A byte a number: int8 of a unit vector differs from float32 by less than what it is compared with differs between two
runs of a model. It knows neither signals nor weights; which rows are looked at is the caller's, and it is meant for a
few hundred.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agentmem.blas import product

__all__ = ["Matches", "TokenCache", "packed"]

_SCALE: Final = 127.0
_CACHED: Final = 64 << 20  # bytes: about 20,000 turns of MiniLM's


def packed(tokens: NDArray[np.float32]) -> bytes:
    """Rows of length 1, float32[n, width], as `Matches` reads them."""
    numbers: NDArray[np.int8] = np.rint(tokens * _SCALE).astype(np.int8)
    return numbers.tobytes()


class TokenCache:
    """A scope's token vectors, those asked last in memory. Not safe to use from several threads."""

    def __init__(self, read: Callable[[Sequence[int]], Mapping[int, bytes]]) -> None:
        self._read = read
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    def forget(self, positions: Iterable[int]) -> None:
        """They have changed, or are gone."""
        for position in positions:
            self._size -= len(self._held.pop(position, b""))

    def clear(self) -> None:
        self._held.clear()
        self._size = 0

    def at(self, positions: Sequence[int]) -> list[bytes]:
        """In the order asked; empty for those of which nothing is known."""
        missing = [position for position in positions if position not in self._held]
        if missing:
            found = self._read(missing)
            for position in missing:
                self._held[position] = found.get(position, b"")
                self._size += len(self._held[position])
        for position in positions:
            self._held.move_to_end(position)
        answer = [self._held[position] for position in positions]
        while self._size > _CACHED:
            self._size -= len(self._held.popitem(last=False)[1])
        return answer


class Matches:
    """The best cosine of each of a question's tokens (float32[asked, width], of length 1) with any of a record's."""

    def __init__(self, asked: NDArray[np.float32], cache: TokenCache) -> None:
        self._asked = np.ascontiguousarray(asked.T / _SCALE)
        self._cache = cache
        self._known: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        """The question's tokens."""
        return int(self._asked.shape[1])

    def best(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """float32[records, asked]; NaN for records whose tokens are not known. Each is looked at once a question."""
        missing = [position for position in positions if position not in self._known]
        if missing:
            self._known |= zip(missing, self._compared(missing), strict=True)
        none = np.empty((0, len(self)), np.float32)
        return np.array([self._known[position] for position in positions], np.float32) if positions else none

    def _compared(self, positions: Sequence[int]) -> NDArray[np.float32]:
        width = len(self._asked)
        bodies = self._cache.at(positions)
        told = np.array([len(body) if len(body) % width == 0 else 0 for body in bodies]) // width
        best = np.full((len(bodies), len(self)), np.nan, np.float32)
        known = np.flatnonzero(told)
        if len(known):
            held = np.frombuffer(b"".join([bodies[i] for i in known]), np.int8).reshape(-1, width)
            cosines = product(held.astype(np.float32), self._asked)
            starts = np.concatenate([[0], np.cumsum(told[known])[:-1]])
            best[known] = np.maximum.reduceat(cosines, starts, axis=0)
        return best
