"""The index protocol: vectors in, nearest positions out.

An index is a projection: it is fed from the ledger, may be thrown away at any time, and is never the only copy of a
vector. Positions (the ledger's integers for records) are its keys, so a result needs no translation on its way into
the recall engine's arrays. It knows nothing of texts, scopes or filters: the engine hands it the positions to search
among.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Index", "Matches"]


class Matches(NamedTuple):
    """Cosines, best first, ties by position.

    `mean` and `deviation` describe the cosines of ALL the vectors searched, returned or not (an approximate index
    may estimate them): they put the scores on the common scale on which signals are summed.
    """

    positions: NDArray[np.int64]
    scores: NDArray[np.float32]
    mean: float
    deviation: float


class Index(Protocol):
    """One scope's vectors of one embedder. The caller serialises calls."""

    @property
    def cursor(self) -> int:
        """The journal's `seq` up to which this index has been fed; 0 when it is empty or was cleared."""
        ...

    def __len__(self) -> int: ...

    def apply(
        self, positions: NDArray[np.int64], matrix: NDArray[np.float32], gone: Sequence[int], cursor: int
    ) -> None:
        """Insert or replace unit vectors (float32[n, dimension]), drop `gone`, move the cursor. Idempotent."""
        ...

    def search(self, vector: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None) -> Matches:
        """The `k` nearest by cosine among these positions (ascending; None: all). `vector` has length 1."""
        ...

    def cosines(self, vector: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosine of each of these positions (ascending), NaN where there is no vector."""
        ...

    def clear(self) -> None:
        """Forget everything, and the cursor."""
        ...
