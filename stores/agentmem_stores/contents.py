"""The contents of a scope's records: the terms of each as the bits that its position is joined to, and which records
hold most of a fragment."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem_stores.ca3 import SparseCAM
from agentmem_stores.fragments import Part, Vocabulary, bit_of

__all__ = ["SAME", "Candidates", "Contents", "share"]

SAME: Final = 1e-9  # sums of weights that differ by less are equal
_WEIGHED: Final = 64  # parts of a fragment, the rarest: a page has hundreds, and these tell it from all others


class Candidates(NamedTuple):
    """Positions of records that hold enough of a fragment, those with most of it first, of equals the newest; and how
    many hold as much as the first."""

    positions: list[int]
    equal: int


class Contents:
    """Terms by position. Of memory, a record of 18 terms takes about 300 bytes."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self._cam = SparseCAM()
        # Cues are numbered without gaps, so that sums go by arrays.
        self._cues: dict[int, int] = {}
        self._positions = array("q")
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._cues)

    def put(self, position: int, terms: Iterable[str]) -> bool:
        """Let the record there hold these terms and no others; whether that changes anything."""
        cue = self._cues.get(position)
        if cue is None:
            cue = self._cues[position] = self._free.pop() if self._free else len(self._positions)
            self._positions[cue : cue + 1] = array("q", [position])
        return self._overwrite(cue, {self.vocabulary.add(term) for term in terms})

    def drop(self, position: int) -> bool:
        """Let it hold nothing; whether it did."""
        cue = self._cues.pop(position, None)
        if cue is None:
            return False
        self._free.append(cue)
        return self._overwrite(cue, set())

    def _overwrite(self, cue: int, content: set[int]) -> bool:
        before = set(self._cam.recall_cue(cue).tolist())
        if before == content:
            return False
        self._cam.learn(cue, content)
        for bit in before - content:
            if not self._cam.held_by(bit):
                self.vocabulary.discard(bit)
        return True

    def knows(self, part: Part) -> bool:
        """Whether any record holds it."""
        return any(term in self.vocabulary for term in part)

    # ── completing ───────────────────────────────────────────────────────────────────────────────────────────────

    def weights(self, parts: Sequence[Part]) -> list[float]:
        """What each part of a fragment counts: log(1 + records / those that hold it), as in BM25. One that no record
        holds counts as if half a record did; one that may be several terms as the commonest of them."""
        held = [max((self._cam.held_by(bit_of(term)) for term in part), default=0) for part in parts]
        return [math.log1p(len(self) / (number + 0.5)) for number in held]

    def candidates(self, parts: Sequence[Part], weights: Sequence[float], least: float, most: int) -> Candidates:
        """The records that hold the share `least` of the parts, by their 64 rarest, and `most` of those at most."""
        rarest = sorted(range(len(parts)), key=lambda i: -weights[i])[:_WEIGHED]
        total = sum(weights[i] for i in rarest)
        sums = np.zeros(len(self._positions))
        for i in rarest:
            cues, held = self._holding(parts[i])
            sums[cues] += weights[i] * held
        shares = np.round(sums / total, 9) if total > 0 else sums
        found = np.flatnonzero((shares >= least - SAME) & (shares > 0))
        positions = np.frombuffer(self._positions, np.int64)[found]
        order = np.lexsort((-positions, -shares[found]))
        equal = int((shares[found] >= shares[found].max(initial=0.0) - SAME).sum())
        return Candidates(positions[order[:most]].tolist(), equal)

    def _holding(self, part: Part) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The cues of records that hold a part, each once, and how much of it."""
        cues = [self._cam.holding(bit_of(term)) for term in part]
        held = [np.full(len(some), much) for some, much in zip(cues, part.values(), strict=True)]
        if len(part) == 1:
            return cues[0], held[0]
        together, much = np.concatenate(cues), np.concatenate(held)
        order = np.lexsort((-much, together))
        together, much = together[order], much[order]
        first = np.diff(together, prepend=-1) > 0
        return together[first], much[first]

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def columns(self, positions: Sequence[int]) -> tuple[list[str], NDArray[np.int64], NDArray[np.uint32]]:
        """Of these records: all their terms, the number of each one's, and the bits, one's behind the other's."""
        contents = [self._cam.recall_cue(self._cues[position]) for position in positions]
        bits = np.concatenate([np.zeros(0, np.int64), *contents]).astype(np.uint32)
        terms = [self.vocabulary[bit] for bit in np.unique(bits).tolist()]
        return terms, np.array([len(content) for content in contents], np.int64), bits

    @classmethod
    def restored(
        cls, positions: NDArray[np.int64], terms: Collection[str], counts: NDArray[Any], bits: NDArray[Any]
    ) -> Contents:
        """From what `columns` gave, `terms` in any order. ValueError for what it cannot have given."""
        if counts.dtype != np.int64 or bits.dtype != np.uint32 or counts.ndim != 1 or bits.ndim != 1:
            raise ValueError("its contents are of other kinds")
        found = cls()
        found.vocabulary = Vocabulary(terms)
        found._cam.restore(np.arange(len(positions)), counts, bits)
        if len(found._cam) != len(positions) or set(np.unique(bits).tolist()) != found.vocabulary.bits():
            raise ValueError("its terms are not those of its contents")
        found._positions = array("q", positions.tobytes())
        found._cues = {position: cue for cue, position in enumerate(found._positions)}
        return found


def share(parts: Sequence[Part], weights: Sequence[float], terms: Collection[str]) -> tuple[float, int]:
    """What a record with these terms holds of a fragment, 0 to 1, and how many of its parts."""
    held = [max((much for term, much in part.items() if term in terms), default=0.0) for part in parts]
    total = math.fsum(weights)
    got = math.fsum(weight * much for weight, much in zip(weights, held, strict=True))
    return (got / total if total > 0 else 0.0), sum(much > 0 for much in held)
