"""Which thoughts are near to a vector: among all of them, or among those that a hash puts into the same buckets.

Exact search holds the vectors (1.5 KB each at 384 dimensions). Hashing holds 72 bytes and reads the vectors of those it
compares from the ledger: it is what Think-in-Memory does, finds less, and saves room and not time below 100,000.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agentmem.index import Among, Matches
from agentmem.store import Host
from agentmem_stores.lsh import Buckets, Hyperplanes
from agentmem_stores.thinking.statements import digest, key
from agentmem_stores.vectors.exact import ExactIndex, row_by_row

__all__ = ["Near", "grams"]

_BATCH: Final = 4_096  # vectors read at once
_GRAM: Final = 4  # words of a name
_MOST_WORDS: Final = 256  # of a text that is searched for names
_WORD = re.compile(r"[\w'’-]+")
Positions = NDArray[np.int64]


class Near:
    """Fed when it is asked. `hashes`: by buckets, and exactly when fewer than `fewest` are found so; `numbers` are
    those of the hash, as `lsh.Hyperplanes` has them."""

    def __init__(self, host: Host, numbers: dict[str, int], *, hashes: bool, fewest: int) -> None:
        self._host = host
        self._numbers = numbers
        self._hashes = hashes
        self._fewest = fewest
        self.clear()

    def clear(self) -> None:
        self._waiting: dict[int, int] = {}  # position → the `seq` from which its vector is the right one
        self._gone: set[int] = set()
        self._exact: ExactIndex | None = None
        self._buckets: Buckets | None = None

    def changed(self, positions: Iterable[int], seq: int) -> None:
        for position in positions:
            self._waiting[position] = seq
            self._gone.discard(position)

    def gone(self, positions: Iterable[int]) -> None:
        for position in positions:
            self._waiting.pop(position, None)
            self._gone.add(position)

    def search(self, vector: NDArray[np.float32], k: int, positions: Positions) -> Matches:
        """The `k` nearest of these positions, which ascend; those without a vector are none of them."""
        if not self._hashes:
            return self._fed_index().search(vector, k, Among(positions))
        if not vector.any():
            return Matches(positions[:0], np.empty(0, np.float32))
        among = np.intersect1d(self._fed_buckets().candidates(vector), positions)
        if len(among) < self._fewest:
            among = positions
        best = Matches(positions[:0], np.empty(0, np.float32))
        for start in range(0, len(among), _BATCH):
            some = among[start : start + _BATCH]
            rows = self._host.vectors(some.tolist())
            there = rows.any(axis=1)
            found = np.concatenate([best.positions, some[there]])
            scores = np.concatenate([best.scores, row_by_row(rows[there], vector)])
            order = np.lexsort((found, -scores))[:k]
            best = Matches(found[order], scores[order])
        return best

    def best(
        self, vector: NDArray[np.float32] | None, k: int, positions: NDArray[np.int64], boost: NDArray[np.float64]
    ) -> dict[int, float]:
        """Cosines of all that can be among the best `k`: the best `k` of each boost, within which cosines decide."""
        best: dict[int, float] = {}
        for value in np.unique(boost).tolist():
            alike = positions[boost == value]
            found: list[int] = []
            if vector is not None and vector.any():
                matches = self.search(vector, k, alike)
                found = matches.positions.tolist()
                best.update(zip(found, matches.scores.tolist(), strict=True))
            if value > 0 and len(found) < k:  # named, and without a vector yet
                bare = alike[~np.isin(alike, found)][len(found) - k :]
                best.update(dict.fromkeys(bare.tolist(), 0.0))
        return best

    def bucket(self, position: int, positions: Positions) -> Positions:
        """Those of these positions that share a bucket with one, in any table. Read from the ledger, for a screen."""
        [mine] = self._host.vectors([position])
        if not mine.any():
            return positions[:0]
        buckets = Buckets(Hyperplanes(self._host.embedder.dimension, **{**self._numbers, "probes": 1}))
        for start in range(0, len(positions), _BATCH):
            some = positions[start : start + _BATCH]
            rows = self._host.vectors(some.tolist())
            there = rows.any(axis=1)
            buckets.add(some[there], rows[there])
        return buckets.candidates(mine)

    def _fed_buckets(self) -> Buckets:
        buckets = self._buckets
        if buckets is None:
            buckets = self._buckets = Buckets(Hyperplanes(self._host.embedder.dimension, **self._numbers))
        buckets.remove(np.array(sorted(self._gone), np.int64))
        self._gone.clear()
        for some, rows in self._due():
            there = rows.any(axis=1)
            buckets.remove(some[~there])
            buckets.add(some[there], rows[there])
        return buckets

    def _fed_index(self) -> ExactIndex:
        index = self._exact
        if index is None:
            index = self._exact = ExactIndex(self._host.embedder.dimension)
        none = np.empty((0, index.dimension), np.float32)
        index.apply(np.empty(0, np.int64), none, sorted(self._gone), 0)
        self._gone.clear()
        for some, rows in self._due():
            there = rows.any(axis=1)
            index.apply(some[there], rows[there], some[~there].tolist(), 0)
        return index

    def _due(self) -> Iterable[tuple[Positions, NDArray[np.float32]]]:
        if not self._waiting:
            return
        reach = self._host.reach
        due = np.array(sorted(position for position, seq in self._waiting.items() if seq <= reach), np.int64)
        for start in range(0, len(due), _BATCH):
            some = due[start : start + _BATCH]
            yield some, self._host.vectors(some.tolist())
            for position in some.tolist():
                del self._waiting[position]


def grams(text: str) -> NDArray[np.int64]:
    """Digests of the runs of up to four words of a text: what the names in it may be."""
    words = [word.strip("'’-") for word in _WORD.findall(text)[:_MOST_WORDS]]
    plain = [re.sub(r"['’]s$", "", word) for word in words]
    grams = {
        digest(key(" ".join([*words[start : end - 1], last])))
        for start in range(len(words))
        for end in range(start + 1, min(start + _GRAM, len(words)) + 1)
        for last in (words[end - 1], plain[end - 1])
    }
    return np.array(sorted(grams), np.int64)
