"""MinHash: how much two texts share, from a few bytes of each, and which of many texts share much with one.

The resemblance of two sets is J = |A ∩ B| / |A ∪ B|, and a random order of all elements gives both sets the same least
one with probability J (Broder 1997, "On the resemblance and containment of documents"). Of each of 128 orders the
least element is kept, and of that one byte (b-bit minwise hashing, Li and König 2010): 128 bytes a text. They are at
the same time the keys of 32 bands of four orders each, under one of which two texts meet with probability
1 - (1 - J⁴)³² (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4).

It knows texts as runs of characters, and keys; what they stand for is the caller's business.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BYTES", "SHINGLE", "Bands", "estimate", "jaccard", "shingles", "signature"]

PERMUTATIONS: Final = 128
BANDS: Final = 32
SHINGLE: Final = 5  # characters: of words, one slip of the pen would change every second run in a chat turn
BYTES: Final = PERMUTATIONS  # of a signature
_BLOCK: Final = 4_096  # shingles hashed at once: 4 MB
_TAIL: Final = 512  # texts that are compared one by one before they are sorted in: 20 us

Hashes = NDArray[np.uint64]
Signature = NDArray[np.uint8]


def _drawn(name: str) -> Hashes:
    """128 numbers of 64 bits from a digest: what is kept of a text must mean the same to every release of numpy."""
    drawn = hashlib.shake_128(f"agentmem minhash {name}".encode()).digest(8 * PERMUTATIONS)
    return np.frombuffer(drawn, "<u8").astype(np.uint64)


_FACTORS: Final = _drawn("factors") | np.uint64(1)
_TERMS: Final = _drawn("terms")
_POWERS: Final = _drawn("powers")[:SHINGLE] | np.uint64(1)


def _mixed(numbers: Hashes) -> Hashes:
    """The finaliser of MurmurHash3 (Appleby): each bit of a number has a part in each bit of what comes out."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


def shingles(text: str) -> Hashes:
    """uint64[n], ascending: a hash of each run of five characters, once; of a shorter text none."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    if len(characters) < SHINGLE:
        return np.empty(0, np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(characters, SHINGLE)
    return np.unique(_mixed((runs * _POWERS).sum(axis=1, dtype=np.uint64)))


def signature(elements: Hashes) -> Signature:
    """uint8[128] of a set of hashes that is not empty: of each order one byte of the least element."""
    least = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(elements), _BLOCK):
        block = elements[start : start + _BLOCK]
        least = np.minimum(least, (block[:, None] * _FACTORS + _TERMS).min(axis=0))
    return (least >> np.uint64(24)).astype(np.uint8)


def estimate(one: Signature, other: Signature) -> NDArray[np.float64]:
    """float64[...]: J of two sets, from signatures[..., 128]; a byte is the same by accident once in 256.

    The standard error is √((p (1 - p)) / 128) · 256/255 with p the share of bytes that are the same: .044 at most.
    """
    same = (np.asarray(one) == np.asarray(other)).mean(axis=-1)
    found: NDArray[np.float64] = np.clip((same * 256 - 1) / 255, 0.0, 1.0)
    return found


def jaccard(one: Hashes, other: Hashes) -> float:
    """J of two ascending arrays without repeats; 1 of two empty ones."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared) if len(one) or len(other) else 1.0


class Bands:
    """Which texts share a band, and a key, with another one. The texts are numbered as they are put in, from 0."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.uint64)
        self._signatures: Signature = np.empty((0, BYTES), np.uint8)
        self._number = 0
        self._sorted = 0  # texts whose bands are in `_bands`
        self._bands = np.empty(0, np.uint64)
        self._of = np.empty(0, np.int32)

    def __len__(self) -> int:
        return self._number

    @property
    def keys(self) -> NDArray[np.uint64]:
        """uint64[texts]"""
        return self._keys[: self._number]

    @property
    def signatures(self) -> Signature:
        """uint8[texts, 128]"""
        return self._signatures[: self._number]

    def add(self, key: int, signed: Signature) -> None:
        if self._number == len(self._keys):
            room = max(64, self._number // 2)
            self._keys = np.concatenate([self._keys, np.empty(room, np.uint64)])
            self._signatures = np.concatenate([self._signatures, np.empty((room, BYTES), np.uint8)])
        self._keys[self._number], self._signatures[self._number] = key, signed
        self._number += 1

    @classmethod
    def of(cls, keys: NDArray[Any], signatures: NDArray[Any]) -> Bands:
        """As if they had been added one by one. ValueError for arrays that are no such."""
        if keys.dtype != np.uint64 or signatures.dtype != np.uint8 or signatures.shape != (*keys.shape, BYTES):
            raise ValueError("these are no signatures")
        made = cls()
        made._keys, made._signatures, made._number = keys.copy(), signatures.copy(), len(keys)
        return made

    def alike(self, key: int, signed: Signature, least: float, most: int = 16) -> NDArray[np.intp]:
        """The texts of that key which meet this one in a band and have an estimated J of `least` or more, the highest
        first, ties by number; at most so many, lest texts made from one pattern are each compared with all."""
        if self._number - self._sorted > max(_TAIL, self._sorted // 8):
            self._sort()
        wanted = _banded(np.uint64(key), signed)
        starts = np.searchsorted(self._bands, wanted)
        ends = np.searchsorted(self._bands, wanted, side="right")
        met = [self._of[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if start < end]
        tail = np.flatnonzero(self._keys[self._sorted : self._number] == np.uint64(key)) + self._sorted
        shared = self._signatures[tail].view("<u4") == np.ascontiguousarray(signed).view("<u4")
        found = np.unique(np.concatenate([*met, tail[shared.any(axis=1)]])).astype(np.intp)
        resembling = estimate(self._signatures[found], signed)
        order = np.argsort(-resembling, kind="stable")
        close: NDArray[np.intp] = found[order[resembling[order] >= least]]
        return close[:most]

    def _sort(self) -> None:
        bands = _banded(self.keys[:, None], self.signatures)
        order = np.argsort(bands, axis=None, kind="stable")
        self._bands = bands.reshape(-1)[order]
        self._of = (order // BANDS).astype(np.int32)
        self._sorted = self._number


def _banded(key: Any, signed: Signature) -> Hashes:
    """uint64[..., 32]: each band of four bytes, with its number and the key of its text mixed in."""
    bands = np.ascontiguousarray(signed).view("<u4").astype(np.uint64)
    return _mixed((bands | (np.arange(BANDS, dtype=np.uint64) << np.uint64(32))) ^ key)
