"""Content-addressed memory as the hippocampal CA3 model has it (arXiv 2310.05868): a cue and a binary content are
learned at once, and then either brings back the other.

Two plastic projections with weights of 0 or 1 join them: F ∈ {0,1}^{cues × contents} from a cue to its content, and
B = Fᵀ back. Learning a cue again sets its weights to the new content and all others to 0, so it overwrites exactly;
what a recall finds depends on the weights alone, and no recall changes one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem.values import many, whole_number

__all__ = ["BinaryCAM", "Bits", "Mode", "SparseCAM"]

Bits: TypeAlias = NDArray[np.int64]  # ascending
Mode = Literal["all", "any", "wta"]

_MOST = 2**32  # cues, and contents: both are kept in 32 bits


def _threshold(mode: Mode, asked: int) -> Callable[[NDArray[Any]], Any]:
    """How many of the `asked` bits a cue must hold: all, one, or as many as any other does (winner takes all)."""
    rules: dict[str, Callable[[NDArray[Any]], Any]] = {
        "all": lambda sums: asked,
        "any": lambda sums: 1,
        "wta": lambda sums: max(1, int(sums.max(initial=0))),
    }
    if mode not in rules:
        raise InvalidInput(f"mode must be {', '.join(rules)}, not {mode!r:.40}")
    return rules[mode]


def _bits(given: Iterable[int], size: int, name: str) -> Bits:
    """Different numbers below `size`, ascending. InvalidInput."""
    bits = sorted({whole_number(bit, name) for bit in many(given, name)})
    if bits and bits[-1] >= size:
        raise InvalidInput(f"{name}: {bits[-1]} is out of range", way_out=f"There are {size:,}, counted from 0.")
    return np.array(bits, np.int64)


def _fragment(given: Iterable[int], size: int) -> Bits:
    bits = _bits(given, size, "a fragment's bit")
    if not len(bits):
        raise InvalidInput("the fragment is empty: it is part of everything", way_out="Give one bit or more.")
    return bits


class BinaryCAM:
    """The weights as a matrix: one byte for each pair of `cues` and `contents`. The oracle of `SparseCAM`, whose
    results it shares; InvalidInput for a cue or a bit that is out of range, and for an empty fragment."""

    def __init__(self, cues: int, contents: int) -> None:
        self.cues, self.contents = whole_number(cues, "cues", 1), whole_number(contents, "contents", 1)
        self.weights = np.zeros((self.cues, self.contents), np.bool_)  # F; its transpose is B

    def learn(self, cue: int, content: Iterable[int]) -> None:
        """Join a cue to the bits of a content, in place of what it was joined to."""
        bits = _bits(content, self.contents, "a content's bit")
        row = self.weights[self._cue(cue)]
        row[:] = False
        row[bits] = True

    def forget(self, cue: int) -> None:
        """Let go of the cue's content; nothing happens if it has none."""
        self.weights[self._cue(cue)] = False

    def recall_cue(self, cue: int) -> Bits:
        """The bits of its content, ascending; none when it has none."""
        return np.flatnonzero(self.weights[self._cue(cue)]).astype(np.int64)

    def recall_content(self, fragment: Iterable[int], mode: Mode = "all") -> Bits:
        """The cues whose content holds all of the fragment's bits, any, or ("wta") the most of them; ascending."""
        bits = _fragment(fragment, self.contents)
        threshold = _threshold(mode, len(bits))
        sums = self.weights[:, bits].sum(axis=1)
        return np.flatnonzero(sums >= threshold(sums)).astype(np.int64)

    def _cue(self, cue: int) -> int:
        if whole_number(cue, "cue") >= self.cues:
            raise InvalidInput(f"cue {cue} is out of range", way_out=f"There are {self.cues:,}, counted from 0.")
        return cue


class SparseCAM:
    """The same weights, those that are 1: F by cue, and B by bit, 4 bytes each. Room and work go with the bits that
    contents have and not with how many there could be: 2³² cues and 2³² bits at most."""

    def __init__(self, contents: int = _MOST) -> None:
        self.contents = whole_number(contents, "contents", 1)
        if contents > _MOST:
            raise InvalidInput(f"{contents:,} bits", way_out=f"{_MOST:,} are the most.")
        self._forth: dict[int, bytes] = {}  # uint32 each
        self._back: dict[int, array[int]] = {}  # ascending

    def __len__(self) -> int:
        """The cues that have a content."""
        return len(self._forth)

    def learn(self, cue: int, content: Iterable[int]) -> None:
        """As `BinaryCAM.learn`."""
        bits = _bits(content, self.contents, "a content's bit")
        self.forget(cue)
        if not len(bits):
            return
        self._forth[cue] = bits.astype(np.uint32).tobytes()
        for bit in bits.tolist():
            cues = self._back.setdefault(bit, array("I"))
            if not cues or cues[-1] < cue:
                cues.append(cue)
            else:
                cues.insert(bisect_left(cues, cue), cue)

    def forget(self, cue: int) -> None:
        """As `BinaryCAM.forget`."""
        for bit in np.frombuffer(self._forth.pop(self._cue(cue), b""), np.uint32).tolist():
            cues = self._back[bit]
            del cues[bisect_left(cues, cue)]
            if not cues:
                del self._back[bit]

    def recall_cue(self, cue: int) -> Bits:
        """As `BinaryCAM.recall_cue`."""
        return np.frombuffer(self._forth.get(self._cue(cue), b""), np.uint32).astype(np.int64)

    def recall_content(self, fragment: Iterable[int], mode: Mode = "all") -> Bits:
        """As `BinaryCAM.recall_content`."""
        bits = _fragment(fragment, self.contents)
        threshold = _threshold(mode, len(bits))
        cues, sums = np.unique(np.concatenate([self.holding(bit) for bit in bits.tolist()]), return_counts=True)
        found: Bits = cues[sums >= threshold(sums)]
        return found

    def holding(self, bit: int) -> Bits:
        """The cues whose content has the bit, ascending."""
        return np.array(self._back.get(bit, ()), np.int64)

    def held_by(self, bit: int) -> int:
        """How many those are."""
        return len(self._back.get(bit, ()))

    def restore(self, cues: NDArray[Any], counts: NDArray[Any], bits: NDArray[Any]) -> None:
        """As learning each cue, in place of all that was learned: int[n], and int[n] bits of each, one cue's behind the
        other's. ValueError for what that cannot be."""
        if len(cues) != len(counts) or bool((counts < 0).any()) or int(counts.sum()) != len(bits):
            raise ValueError("its cues do not fit their bits")
        for numbers, limit in ((cues, _MOST), (bits, self.contents)):
            if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < limit:
                raise ValueError("a number of it is out of range")
        owners, stored = np.repeat(cues, counts).astype(np.uint32), bits.astype(np.uint32)
        order = np.lexsort((owners, stored))
        by, of = owners[order], stored[order]
        if len(np.unique(cues)) < len(cues) or bool(((of[1:] == of[:-1]) & (by[1:] == by[:-1])).any()):
            raise ValueError("a cue has two contents, or a bit twice")
        ends = np.cumsum(counts).tolist()
        self._forth = {
            cue: np.sort(stored[start:end]).tobytes()
            for cue, start, end in zip(cues.tolist(), [0, *ends], ends, strict=False)
            if end > start
        }
        firsts = np.flatnonzero(np.diff(of.astype(np.int64), prepend=-1))
        lasts = np.append(firsts, len(of))[1:]
        self._back = {
            bit: array("I", by[first:last].tobytes())
            for bit, first, last in zip(of[firsts].tolist(), firsts.tolist(), lasts.tolist(), strict=True)
        }

    def _cue(self, cue: int) -> int:
        if whole_number(cue, "cue") >= _MOST:
            raise InvalidInput(f"cue {cue} is out of range", way_out=f"There are {_MOST:,}, counted from 0.")
        return cue
