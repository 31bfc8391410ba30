"""Cutting a stream of records into chunks, and keeping the cut up when the past is edited.

Where a chunk ends depends on what is in it and on the few items after it, and on nothing before. So when an item comes,
goes or changes, the chunk it stands in and the one before are cut again, and those after until a boundary falls where
one was: what results is what cutting the whole stream anew would give, to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ITEM", "Rule", "Stream", "print_of"]

Rows: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float32]]
# What is known of a record: where it was written, when it happened (microseconds), which filters it passes (a number),
# the digest of what it says, and whether an episode ended with it.
ITEM: Final = np.dtype([("position", "<i8"), ("at", "<i8"), ("label", "<i4"), ("mark", "<u8"), ("ends", "?")])
_RECENT: Final = 4  # items whose mean stands for what is spoken of now
_BEFORE: Final = 8  # items from which a chunk is known to have a topic
_BLOCK: Final = 128  # vectors read at once while cutting


def print_of(marks: NDArray[np.uint64]) -> str:
    """16 hexadecimal digits that tell whether a chunk holds the same records, saying the same."""
    return hashlib.blake2b(marks.tobytes(), digest_size=8).hexdigest()


class Cut(NamedTuple):
    length: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """When the open chunk closes: at `size` items; when `gap` microseconds lie between two; when the topic shifts; or
    with an episode.

    The topic shifts when the last 4 items are less than `shift` times as near to those before them as those are to each
    other (mean cosines of pairs). It is relative to the chunk because embedders differ: turns of one LoCoMo session
    have a mean cosine of 0.52 by MiniLM and of 0.26 by hashed words. It is a weak sign: on four LoCoMo conversations
    told without dates, 48 % of the shifts (37 % by hashed words) lie within two turns of where a session began, and
    22 % of as many places drawn at random.
    """

    size: int
    gap: int
    shift: float

    def cut(self, items: NDArray[Any], vectors: NDArray[np.float32]) -> Cut:
        """How many of the items the chunk takes that begins with the first. Of the stream's rest `size` are enough."""
        taken = min(len(items), self.size)
        at = items["at"][:taken]
        gaps = np.flatnonzero(np.abs(np.diff(at)) > self.gap) + 1
        ends = np.flatnonzero(items["ends"][:taken]) + 1
        length = int(min([taken, *gaps[:1], *ends[:1]]))
        shifts = self._shifts(vectors[:length])
        if len(shifts):
            return Cut(int(shifts[0]), True)
        return Cut(length, length == self.size or len(gaps) + len(ends) > 0)

    def _shifts(self, vectors: NDArray[np.float32]) -> NDArray[np.intp]:
        """How many items precede each shift. Sums run from the chunk's first item on, so that they do not depend on
        how far the rest was read."""
        if len(vectors) < _BEFORE + _RECENT:
            return np.empty(0, np.intp)
        sums = np.cumsum(vectors, axis=0, dtype=np.float64)
        counts = np.cumsum(vectors.any(axis=1))  # an item without a vector says nothing of the topic
        before, held = sums[_BEFORE - 1 : -_RECENT], counts[_BEFORE - 1 : -_RECENT]
        recent = sums[_BEFORE + _RECENT - 1 :] - before
        new: NDArray[np.intp] = counts[_BEFORE + _RECENT - 1 :] - held
        within = ((before * before).sum(axis=1) - held) / np.maximum(1, held * (held - 1))
        across = (recent * before).sum(axis=1) / np.maximum(1, new * held)
        shifted = (within > 0) & (new > 0) & (held > 1) & (across < self.shift * within)
        return np.flatnonzero(shifted) + _BEFORE


class Stream:
    """One session's items in order of writing, cut into chunks: chunk j begins at item `starts[j]`, `keys[j]` is the
    mean of its items' unit vectors. Only the last may be open."""

    def __init__(self, dimension: int) -> None:
        self.items: NDArray[Any] = np.empty(0, ITEM)
        self.starts: NDArray[np.int64] = np.empty(0, np.int64)
        self.keys: NDArray[np.float32] = np.empty((0, dimension), np.float32)
        self.open = False

    def __len__(self) -> int:
        """Chunks."""
        return len(self.starts)

    @property
    def bounds(self) -> NDArray[np.int64]:
        """int64[chunks + 1]: where each chunk begins, and the number of items."""
        return np.append(self.starts, len(self.items))

    def chunk(self, position: int) -> int:
        """The chunk that holds the item, which must be here."""
        return int(np.searchsorted(self.items["position"][self.starts], position, side="right")) - 1

    def check(self, labels: int) -> None:
        """ValueError unless the parts fit each other."""
        position, bounds = self.items["position"], self.bounds
        if not len(position) or bool((np.diff(position) <= 0).any()):
            raise ValueError("its items are not in order")
        if not len(self) or bounds[0] != 0 or bool((np.diff(bounds) <= 0).any()):
            raise ValueError("its chunks do not fit its items")
        if len(self.keys) != len(self) or not bool(np.isfinite(self.keys).all()):
            raise ValueError("its keys do not fit its chunks")
        if not bool(((self.items["label"] >= 0) & (self.items["label"] < labels)).all()):
            raise ValueError("an item's label is unknown")

    def alter(self, gone: Iterable[int], put: NDArray[Any], vectors: Rows, rule: Rule) -> None:
        """Take out the items at `gone`, put in others (in place of those of the same position), and cut again."""
        put = put[np.argsort(put["position"])]
        touched = np.unique(np.concatenate([np.array(sorted(gone), np.int64), put["position"]]))
        held = self.items["position"]
        places = np.searchsorted(held, touched)
        there = places < len(held)
        there[there] = held[places[there]] == touched[there]
        rest = np.delete(self.items, places[there])
        items = np.insert(rest, np.searchsorted(rest["position"], put["position"]), put)
        self._recut(items, touched, vectors, rule)

    def _recut(self, items: NDArray[Any], touched: NDArray[np.int64], vectors: Rows, rule: Rule) -> None:
        old = self.bounds
        first = self.items["position"][self.starts]
        standing = np.searchsorted(first, touched, side="right") - 1
        # Where the chunk before ends may hang on the first items of this one.
        dirty = set(np.maximum(0, np.concatenate([standing, standing - 1])).tolist())
        begin, last = min(dirty, default=0), max(dirty, default=-1)
        starts: list[int] = self.starts[:begin].tolist()
        keys = list(self.keys[:begin])
        read = _Reader(items["position"], vectors)
        at, opened = int(old[begin]) if len(self) else 0, False
        while at < len(items):
            known = int(np.searchsorted(first, items["position"][at]))
            clean = known < len(self) and first[known] == items["position"][at] and known not in dirty
            if clean and known > last:  # from here on all is as it was
                starts += (self.starts[known:] + (at - old[known])).tolist()
                keys += list(self.keys[known:])
                opened = self.open
                break
            starts.append(at)
            if clean:
                keys.append(self.keys[known])
                length, opened = int(old[known + 1] - old[known]), False
            else:
                ahead = read(at, min(len(items), at + rule.size))
                length, closed = rule.cut(items[at : at + rule.size], ahead)
                keys.append(ahead[:length].mean(axis=0, dtype=np.float64).astype(np.float32))
                opened = not closed
            at += length
        self.items, self.open = items, opened
        self.starts = np.array(starts, np.int64)
        self.keys = np.array(keys, np.float32).reshape(len(starts), self.keys.shape[1])


class _Reader:
    """The vectors of items, a block at a time."""

    def __init__(self, positions: NDArray[np.int64], vectors: Rows) -> None:
        self._positions = positions
        self._vectors = vectors
        self._from = self._to = 0
        self._block: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def __call__(self, start: int, end: int) -> NDArray[np.float32]:
        if not self._from <= start or not end <= self._to:
            self._from, self._to = start, min(len(self._positions), max(end, start + _BLOCK))
            self._block = self._vectors(self._positions[self._from : self._to])
        return self._block[start - self._from : end - self._from]
