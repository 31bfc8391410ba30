"""Sparsey: single-trial memory in sparse codes that tells how familiar an input is (Rinkus, arXiv 1710.07829).

A `Mac` (a coding field) has Q winner-take-all modules of K binary units; a code is one winner a module. The code
selection algorithm draws the winners the more at random the less familiar the input is, so that like inputs get like
codes and new ones get new codes. Whatever is stored lies in one field of binary weights, of a size that does not grow,
and storing and recognising cost the same however much is in it.

What it can hold depends on its input: few bits on of many, always as many, and each about as often as any other. A
`Sparsifier` makes such an input of a vector, a `MinHash` of a set; denser ones are refused, since they fill the weights
within a few hundred items, and then everything is familiar.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.blas import product
from agentmem.errors import InvalidInput
from agentmem.values import number, whole_number

__all__ = ["Mac", "MinHash", "Recognised", "Sparsifier", "familiarities"]

Active: TypeAlias = NDArray[np.uint16]  # the bits that are on, ascending
Code: TypeAlias = NDArray[np.uint8]  # the winner of each module

_MOST: Final = 65_536  # bits of an input: their numbers are kept in 16 bits
_SPARSE: Final = 8  # one bit in so many may be on
_WORDS: Final = {8: "<u1", 16: "<u2", 32: "<u4", 64: "<u8"}  # a module's units, a bit each
_AT_ONCE: Final = 4_096  # features hashed at once: a book has a million
_PROBES: Final = 16  # random inputs by which a floor is estimated,
_EVERY: Final = 64  # and after how many items it is estimated again: 0.01 ms an item


class Sparsifier:
    """Vectors as sparse codes: centred, projected at random, and the `active` highest of `size` sums are on.

    Every code has as many bits on; of vectors at a small angle it has most in common, and of unrelated ones
    `active`²/`size` by chance. `centre` is what the vectors have in common, float[dimension] (None: nothing).
    InvalidInput for a code with more than one bit in 8 on.
    """

    def __init__(
        self, dimension: int, *, size: int = 4_096, active: int = 20, seed: int = 0, centre: NDArray[Any] | None = None
    ) -> None:
        self.dimension = whole_number(dimension, "dimension", 1)
        self.size, self.active = _sparse(size, active)
        drawn = np.random.default_rng(whole_number(seed, "seed")).standard_normal((self.size, self.dimension))
        self._planes: NDArray[np.float32] = drawn.astype(np.float32)
        self._centre = self._rows(np.zeros((1, dimension)) if centre is None else np.asarray(centre)[None])[0]

    def encode(self, vectors: NDArray[Any]) -> Active:
        """uint16[n, active] of vectors[n, dimension], ascending. InvalidInput for another shape, numbers that are not
        finite, and a row that has no direction once it is centred."""
        rows = self._rows(vectors) - self._centre
        if not rows.any(axis=1).all():
            raise InvalidInput(
                f"vector {int(np.flatnonzero(~rows.any(axis=1))[0])} has no direction", way_out="Leave it out."
            )
        codes = np.empty((len(rows), self.active), np.uint16)
        for code, row in zip(codes, rows, strict=True):
            # One by one: the last bit of a sum depends on how many rows are multiplied at once, and a code on it.
            sums = product(self._planes, row)
            code[:] = np.sort(np.argpartition(-sums, self.active - 1)[: self.active])
        return codes

    def _rows(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        given = np.asarray(vectors)
        if given.ndim != 2 or given.shape[1] != self.dimension or given.dtype.kind not in "fiu":
            raise InvalidInput(f"vectors must be numbers[n, {self.dimension}], not {given.dtype}{list(given.shape)}")
        if not np.isfinite(given).all():
            raise InvalidInput("a vector holds a number that is not finite")
        return given.astype(np.float32)


class MinHash:
    """Sets of words as sparse codes: each of `active` hash functions has its share of the `size` bits, and turns on the
    one where the least of the set's hashes falls (Broder, On the resemblance and containment of documents, 1997).

    Two sets have the share |A∩B| / |A∪B| of their bits in common on average, equal sets all. Every bit is on as often
    as any other unless some features are, so there is nothing to centre. InvalidInput for a code that is too dense.
    """

    def __init__(self, *, size: int = 16_384, active: int = 32, seed: int = 0) -> None:
        self.size, self.active = _sparse(size, active)
        first = np.uint64(whole_number(seed, "seed") * active + 1)
        self._salts = _mixed(first + np.arange(active, dtype=np.uint64))
        self._share = np.uint64(size // active)
        self._begin = np.arange(active, dtype=np.uint64) * self._share

    def encode(self, features: Collection[str]) -> Active:
        """uint16[active], ascending. InvalidInput for an empty set."""
        if not features:
            raise InvalidInput("an empty set has no code", way_out="Leave it out.")
        hashes = np.array([zlib.crc32(feature.encode("utf-8", "surrogatepass")) for feature in features], np.uint64)
        pieces = range(0, len(hashes), _AT_ONCE)
        least = np.min([_mixed(hashes[i : i + _AT_ONCE, None] ^ self._salts).min(axis=0) for i in pieces], axis=0)
        bits: Active = (self._begin + _mixed(least) % self._share).astype(np.uint16)
        return bits


class Recognised(NamedTuple):
    """An input's code, uint8[modules], and how familiar it was: G in 0..1."""

    code: Code
    familiarity: float


class Mac:
    """One coding field over inputs of which always `active` of `inputs` bits are on.

    V of a unit is the share of the active bits from which it has a weight; G, the familiarity, is the mean over the
    modules of their highest V: 1 for what was stored. A unit wins its module with a probability in proportion to
    1 + η·σ(slope·V − shift), where η = expansivity·max(0, (G − floor) / (1 − floor))^exponent: by chance while G is
    no more than `floor`, nearly always the best one when G is 1.

    `floor` "auto" estimates the familiarity of random inputs as the weights fill up. A unit of which more than the
    share `freeze` of the weights is set learns nothing more (None: none does freeze), and then G of what was stored
    may be below 1. InvalidInput for numbers that no field has.
    """

    def __init__(
        self,
        inputs: int = 4_096,
        active: int = 20,
        *,
        modules: int = 32,
        units: int = 32,
        floor: float | Literal["auto"] = 0.6,
        expansivity: float = 300.0,
        exponent: float = 2.0,
        slope: float = 28.0,
        shift: float = 14.0,
        freeze: float | None = None,
    ) -> None:
        self.inputs, self.active = _sparse(inputs, active)
        self.modules = whole_number(modules, "modules", 1)
        if whole_number(units, "units", 1) not in _WORDS:
            raise InvalidInput(f"a module cannot have {units} units", way_out="It has 8, 16, 32 or 64.")
        self.units = units
        self.adapts = floor == "auto"
        self.floor = 0.0 if floor == "auto" else number(floor, "floor")
        self._expansivity, self._exponent = number(expansivity, "expansivity"), number(exponent, "exponent")
        self._slope, self._shift = number(slope, "slope"), number(shift, "shift")
        self._freeze = None if freeze is None else number(freeze, "freeze")
        if not 0 <= self.floor < 1 or self._expansivity < 0 or self._exponent <= 0:
            raise InvalidInput("floor lies in 0..1, without 1; expansivity is not below 0, and exponent is above it")
        self.clear()

    def clear(self) -> None:
        """Nothing was stored."""
        self.weights = np.zeros((self.inputs, self.modules), _WORDS[self.units])  # a bit for each unit
        self.learned = 0
        if self.adapts:
            self.floor = 0.0

    # ── learning and recognising ─────────────────────────────────────────────────────────────────────────────────

    def recognise(self, active: Any) -> Recognised:
        """The code of the most familiar units, and G. It changes nothing. InvalidInput for another number of bits."""
        sums = self._sums(self._input(active))
        return Recognised(sums.argmax(axis=1).astype(np.uint8), self._familiarity(sums))

    def learn(self, active: Any, seed: int) -> Recognised:
        """Store an input at once; its code, and how familiar it was before. The winners are drawn by `seed`, so the
        same inputs and seeds give the same field. InvalidInput as `recognise`."""
        on = self._input(active)
        sums = self._sums(on)
        found = Recognised(self._drawn(sums, seed), self._familiarity(sums))
        self._store(on, found.code)
        return found

    def _drawn(self, sums: NDArray[np.uint16], seed: int) -> Code:
        """A winner for each module; the raw numbers of PCG64 are the same in every version of numpy."""
        over = max(0.0, (self._familiarity(sums) - self.floor) / (1 - self.floor))
        rise = self._expansivity * over**self._exponent
        odds = 1 + rise / (1 + np.exp(self._shift - self._slope / self.active * sums))
        until = np.cumsum(odds, axis=1)
        drawn = (np.random.PCG64(seed).random_raw(self.modules) >> np.uint64(11)) / 2.0**53
        winners: Code = (until <= drawn[:, None] * until[:, -1:]).sum(axis=1).astype(np.uint8)
        return winners

    def _store(self, on: Active, code: Code) -> None:
        modules = np.arange(self.modules)
        if self._freeze is not None:
            thawed = self._counts()[modules, code] <= self._freeze * self.inputs
            modules, code = modules[thawed], code[thawed]
        self.weights[on[:, None], modules] |= self._bits(code)
        self.learned += 1
        if self.adapts and not self.learned % _EVERY:
            self.floor = min(0.95, float(np.mean([self._familiarity(self._sums(one)) for one in self._random()])))

    def restore(self, actives: Active, codes: Code, floor: float | None = None) -> None:
        """The weights that learning these inputs with these codes gave: uint16[n, active], uint8[n, modules].

        ValueError when they are none of this field's. Without freezing: what froze depends on the order.
        """
        if actives.shape != (len(codes), self.active) or codes.shape != (len(actives), self.modules):
            raise ValueError(f"no codes of {self.modules} modules for {self.active} bits")
        if len(codes) and (int(actives.max()) >= self.inputs or int(codes.max()) >= self.units):
            raise ValueError("a code names bits or units that there are not")
        self.clear()
        places = actives[:, :, None].astype(np.int64) * self.modules + np.arange(self.modules)
        bits = np.broadcast_to(self._bits(codes)[:, None, :], places.shape)
        np.bitwise_or.at(self.weights.reshape(-1), places.reshape(-1), bits.reshape(-1))
        self.learned = len(codes)
        if self.adapts and floor is not None:
            if not 0 <= floor < 1:
                raise ValueError(f"no floor: {floor}")
            self.floor = floor

    # ── what it says of itself ───────────────────────────────────────────────────────────────────────────────────

    @property
    def saturation(self) -> float:
        """The share of the weights that are set, 0..1."""
        return float(self._counts().mean()) / self.inputs

    def capacity_report(self) -> dict[str, float]:
        """How full it is: items `learned`, `saturation` and that of the `fullest` unit, units `frozen`, what a random
        input's `familiarity` is now, the `floor`, `bytes` of weights, and after how many items of evenly spread codes
        half of the weights are set (`half_full`: ln 2 · units · inputs / active)."""
        counts = self._counts()
        limit = self.inputs if self._freeze is None else self._freeze * self.inputs
        return {
            "learned": self.learned,
            "saturation": float(counts.mean()) / self.inputs,
            "fullest": float(counts.max()) / self.inputs,
            "frozen": int((counts > limit).sum()),
            "familiarity": float(np.mean([self._familiarity(self._sums(one)) for one in self._random()])),
            "floor": self.floor,
            "bytes": self.weights.nbytes,
            "half_full": round(np.log(2) * self.units * self.inputs / self.active),
        }

    def _counts(self) -> NDArray[np.int64]:
        """int64[modules, units]: the weights of each unit that are set."""
        counts: NDArray[np.int64] = _unpacked(self.weights, self.units).sum(axis=0, dtype=np.int64)
        return counts

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _bits(self, code: Code) -> NDArray[Any]:
        """Each winner as its bit in a module's word."""
        bits: NDArray[Any] = np.left_shift(np.ones(1, self.weights.dtype), code.astype(self.weights.dtype))
        return bits

    def _input(self, active: Any) -> Active:
        """The bits that are on, of their numbers or of bool[inputs]."""
        given = np.asarray(active)
        on = np.flatnonzero(given) if given.dtype == np.bool_ and given.shape == (self.inputs,) else given
        if on.shape != (self.active,) or on.dtype.kind not in "iu":
            raise InvalidInput(
                f"an input has {self.active} of {self.inputs} bits on, not {on.shape} of {given.dtype}",
                way_out="Make it with a Sparsifier of the same size: a field that is fed more fills up at once.",
            )
        if int(on.min()) < 0 or int(on.max()) >= self.inputs or len(set(on.tolist())) < self.active:
            raise InvalidInput(f"an input names {self.active} different bits below {self.inputs}")
        return on.astype(np.uint16)

    def _sums(self, on: Active) -> NDArray[np.uint16]:
        """uint16[modules, units]: from how many of the active bits each unit has a weight."""
        sums: NDArray[np.uint16] = _unpacked(self.weights[on], self.units).sum(axis=0, dtype=np.uint16)
        return sums

    def _familiarity(self, sums: NDArray[np.uint16]) -> float:
        return float(sums.max(axis=1).sum()) / (self.active * self.modules)

    def _random(self) -> list[Active]:
        random = np.random.default_rng(0)
        return [random.choice(self.inputs, self.active, replace=False).astype(np.uint16) for _ in range(_PROBES)]


def familiarities(macs: Sequence[Mac], active: Active) -> NDArray[np.float64]:
    """G of one input in each of several fields of one shape, at once: float[macs]."""
    if not macs:
        return np.zeros(0)
    one = macs[0]
    held = np.stack([mac.weights[active] for mac in macs])
    best = _unpacked(held, one.units).sum(axis=1, dtype=np.uint16).max(axis=2)
    found: NDArray[np.float64] = best.sum(axis=1) / (one.active * one.modules)
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits in which every bit depends on all (the finaliser of SplitMix64)."""
    mixed: NDArray[np.uint64] = numbers ^ (numbers >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _unpacked(words: NDArray[Any], units: int) -> NDArray[np.uint8]:
    """uint8[…, modules, units] of 0 and 1, of words[…, modules]"""
    bits = np.unpackbits(np.ascontiguousarray(words)[..., None].view(np.uint8), axis=-1, bitorder="little")
    return bits.reshape(*words.shape, units)


def _sparse(size: int, active: int) -> tuple[int, int]:
    """The two numbers of a sparse code, checked."""
    if whole_number(size, "size", 8) > _MOST:
        raise InvalidInput(f"a code of {size:,} bits", way_out=f"{_MOST:,} are the most.")
    if whole_number(active, "active", 1) * _SPARSE > size:
        raise InvalidInput(
            f"{active} of {size} bits on is too dense: a field of such inputs is full after a few hundred",
            way_out=f"Take {active * _SPARSE} bits or more, or let fewer be on.",
        )
    return size, active
