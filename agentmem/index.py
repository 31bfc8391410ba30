"""The index protocol: vectors in, nearest positions out.

An index is a projection: it is fed from the ledger, may be thrown away at any time, and is never the only copy of a
vector. Positions (the ledger's integers for records) are its keys, so a result needs no translation on its way into
the recall engine's arrays. It knows nothing of texts; the filters of a cue reach it as the positions they allow, and,
for an index that keeps its own metadata, as the kinds and times they name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ledger import ScopedLedger

__all__ = ["Among", "Index", "Matches", "Progress", "Site"]

Progress = Callable[[int, int], None]  # done, and of how many


@dataclass(frozen=True, slots=True)
class Site:
    """What an index is told about the scope it will serve; the one argument of every index that is installed.

    `ledger` is there to be read: for vectors, and for what an index wants to know of a record (its kind, its time).
    `owner` tells this memory from every other one, a copy of its files included: the name under which to keep
    anything on a shared server. `argument` is what the user wrote behind the index's name, as in `chroma:http://…`.
    `anew`: whatever an earlier index left is to be thrown away, readable or not.
    """

    ledger: ScopedLedger
    embedder: str
    dimension: int
    owner: str
    folder: Path | None = None
    argument: str = ""
    anew: bool = False


class Among(NamedTuple):
    """Where to look: int64 positions of live records, ascending, and the part of the filter that kinds and times say.

    The positions are what counts; the rest (`since <= at < until`, in microseconds) lets an index narrow its search
    by its own metadata. `whole` says that it leaves exactly these positions.
    """

    positions: NDArray[np.int64]
    kinds: Sequence[str] | None = None
    since: int | None = None
    until: int | None = None
    whole: bool = False


class Matches(NamedTuple):
    """Cosines, best first, ties by position."""

    positions: NDArray[np.int64]
    scores: NDArray[np.float32]


class Index(Protocol):
    """One scope's vectors of one embedder. The caller serialises calls, save `sync`, which may run beside them.

    Any of them may raise IndexUnavailable: recall then goes on with an exact index fed from the ledger.
    """

    @property
    def name(self) -> str:
        """What it is called, in `agentmem reindex NAME` and wherever a person is told of it."""
        ...

    @property
    def cursor(self) -> int:
        """The journal's `seq` up to which this index has been fed; 0 when it is empty or was cleared."""
        ...

    @property
    def waiting(self) -> int:
        """Vectors and deletions that are searched already and that `sync` has still to put where they are kept."""
        ...

    def __len__(self) -> int: ...

    def apply(
        self, positions: NDArray[np.int64], matrix: NDArray[np.float32], gone: Sequence[int], cursor: int
    ) -> None:
        """Insert or replace unit vectors (float32[n, dimension]), drop `gone`, move the cursor.

        Idempotent, and at once visible to `search`.
        """
        ...

    def search(self, vector: NDArray[np.float32], k: int, among: Among | None = None) -> Matches:
        """The `k` nearest by cosine among these positions (None: all). `vector` has length 1."""
        ...

    def cosines(self, vector: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosine of each of these positions (ascending), NaN where there is no vector.

        A position's is the same whichever others are asked for with it: else fewer hits were not the first of more.
        """
        ...

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        """Put what waits where it is kept, batch by batch, until done or `stop`; how many. Nothing to do in memory."""
        ...

    def clear(self) -> None:
        """Forget everything, and the cursor."""
        ...

    def close(self) -> None:
        """Release files and connections; twice is fine."""
        ...
