"""Which records name what, as columns that take in one record at a time, and the ways through a name.

Two records of one name are linked through it and never pair by pair, which would be quadratic. What a name counts for
falls with the number of records that have it, and one that a tenth of all have links nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem_stores.naming import KINDS, MAYBE, MOST, Named
from agentmem_stores.resonance import Edges, Nodes, Values

__all__ = ["Mentions"]

_FEW: Final = 8  # records that a name may link however small a scope is
_SHARE: Final = 0.1  # of all records; what more of them have links nothing
_KNOWN: Final = 4  # doubtful mentions for each sure one, up to which they count: of "Yesterday", none is sure
_KIND: Final = 8  # a code is this times the name's number, and the kind
_CODE: Final = np.dtype(np.int32)
_Numbers = NDArray[np.intp]


class Mentions:
    """A name has a number here, which says nothing and may be another after a restart. As nodes of a graph, records are
    their positions, and names `~number`."""

    def __init__(self) -> None:
        self._of: dict[int, bytes] = {}  # position → codes
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []  # numbers of names that no record has any more, and whose words are gone with them
        self._sure: list[array[int]] = []  # by name: the positions of records that name it, ascending
        self._maybe: list[array[int]] = []
        self._counts: NDArray[np.int32] = np.zeros((8, len(KINDS)), np.int32)  # by name and kind

    def __len__(self) -> int:
        """Records, with names and without."""
        return len(self._of)

    def __contains__(self, position: object) -> bool:
        return position in self._of

    # ── taking in ────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, position: int, named: Iterable[Named]) -> None:
        """What the record names, in place of what it named before."""
        self.remove(position)
        codes = array("i")
        for name, _, kind in named:
            number = self._number(name)
            self._counts[number, kind] += 1
            _insert(self._postings(kind)[number], position)
            codes.append(_KIND * number + kind)
        self._of[position] = codes.tobytes()

    def remove(self, position: int) -> None:
        """Nothing is done for a record that is not here."""
        for code in np.frombuffer(self._of.pop(position, b""), _CODE).tolist():
            number, kind = divmod(code, _KIND)
            self._counts[number, kind] -= 1
            held = self._postings(kind)[number]
            del held[bisect_left(held, position)]
            if not self._counts[number].any():
                del self._numbers[self._names[number]]
                self._names[number] = ""
                self._free.append(number)

    def _postings(self, kind: int) -> list[array[int]]:
        return self._maybe if kind == MAYBE else self._sure

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None and self._free:
            number = self._numbers[name] = self._free.pop()
            self._names[number] = name
        elif number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
            self._sure.append(array("q"))
            self._maybe.append(array("q"))
            if number == len(self._counts):
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return number

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────────

    def number(self, name: str) -> int | None:
        """Of a name that some record has, folded."""
        number = self._numbers.get(name)
        return None if number is None or not self._counts[number, 1:].any() else number

    def name(self, number: int) -> str:
        return self._names[number]

    def kind(self, number: int) -> str:
        """The first of its kinds."""
        return KINDS[1 + int(np.argmax(self._counts[number, 1:] > 0))]

    def records(self, number: int) -> list[int]:
        """The positions of those that have it, ascending."""
        sure, maybe = self._sure[number], self._maybe[number]
        return sorted([*sure, *maybe]) if maybe and bool(self._known(np.array([number]))[0]) else list(sure)

    def names_of(self, positions: Sequence[int]) -> tuple[_Numbers, _Numbers]:
        """What these records name: for each mention the place of its record among them, and the name; of each record in
        the order in which they were put."""
        codes = self._codes(positions)
        counted = self._counted(codes)
        owners = np.repeat(np.arange(len(positions)), self._lengths(positions))
        return owners[counted], (codes[counted] // _KIND).astype(np.intp)

    def all(self) -> tuple[Nodes, _Numbers]:
        """Every mention: positions ascending, and the names."""
        positions = sorted(self._of)
        owners, numbers = self.names_of(positions)
        return np.array(positions, np.int64)[owners], numbers

    def counted(self) -> tuple[_Numbers, NDArray[np.int64]]:
        """The names that some record has, and how many have each."""
        numbers = np.flatnonzero(self._counts[: len(self._names), 1:].any(axis=1))
        return numbers, self.spread_over(numbers)

    def spread_over(self, numbers: _Numbers) -> NDArray[np.int64]:
        """How many records have each of these names."""
        counts = self._counts[numbers].astype(np.int64)
        found: NDArray[np.int64] = counts[:, 1:].sum(axis=1) + np.where(self._known(numbers), counts[:, MAYBE], 0)
        return found

    def rarity(self, numbers: _Numbers) -> Values:
        """What each counts for as a link: 1 for one that a single record has, and 0 from a tenth of all on."""
        limit = self.limit
        found: Values = np.maximum(0.0, 1.0 - np.log(np.maximum(self.spread_over(numbers), 1)) / np.log(limit))
        return found

    @property
    def limit(self) -> float:
        """So many records, and a name links nothing."""
        return max(_FEW, _SHARE * len(self._of))

    def _known(self, numbers: _Numbers) -> NDArray[np.bool_]:
        """Whether a doubtful mention counts as one."""
        counts = self._counts[numbers]
        found: NDArray[np.bool_] = _KNOWN * counts[:, 1:].sum(axis=1) >= np.maximum(counts[:, MAYBE], 1)
        return found

    def _counted(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (codes % _KIND != MAYBE) | self._known((codes // _KIND).astype(np.intp))
        return found

    # ── ways ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def degrees(self, nodes: Nodes) -> NDArray[np.intp]:
        """How many names a record has, doubtful ones too, and how many records a name."""
        found = np.empty(len(nodes), np.intp)
        names = nodes < 0
        found[names] = self.spread_over(~nodes[names])
        found[~names] = self._lengths(nodes[~names].tolist())
        return found

    def to_names(self, positions: Sequence[int]) -> Edges:
        """From records to what they name: rare names have the larger share, those that lead nowhere have none."""
        codes = self._codes(positions)
        numbers = (codes // _KIND).astype(np.intp)
        weights = np.where(self._counted(codes) & (self.spread_over(numbers) > 1), self.rarity(numbers), 0.0)
        owners = np.repeat(np.arange(len(positions)), self._lengths(positions))
        sums = np.bincount(owners, weights, len(positions))
        return Edges(owners, ~numbers.astype(np.int64), weights / np.where(sums > 0, sums, 1.0)[owners])

    def to_records(self, numbers: _Numbers) -> Edges:
        """From names to those that have them: to each alike."""
        linking = self.rarity(numbers) > 0
        known = self._known(numbers)
        held = [
            (self._sure[number], self._maybe[number] if also else _NONE) if links else (_NONE, _NONE)
            for number, links, also in zip(numbers.tolist(), linking.tolist(), known.tolist(), strict=True)
        ]
        counts = np.array([len(sure) + len(maybe) for sure, maybe in held], np.intp)
        targets = np.frombuffer(b"".join(chain.from_iterable(held)), np.int64)
        owners = np.repeat(np.arange(len(numbers)), counts)
        return Edges(owners, targets, 1.0 / counts[owners])

    def _codes(self, positions: Iterable[int]) -> NDArray[np.int32]:
        return np.frombuffer(b"".join([self._of[position] for position in positions]), _CODE)

    def _lengths(self, positions: Iterable[int]) -> NDArray[np.intp]:
        return np.array([len(self._of[position]) for position in positions], np.intp) // _CODE.itemsize

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def bytes(self) -> int:
        """What it takes to keep them."""
        used = np.flatnonzero(self._counts[: len(self._names)].any(axis=1)).tolist()
        names = sum(len(self._names[number]) for number in used)
        return 4 * int(self._counts.sum()) + 9 * len(self._of) + names

    def dump(self) -> tuple[list[str], dict[str, NDArray[Any]]]:
        """The names, and columns: 4 bytes a mention and 9 a record. Names that no record has any more are left out."""
        positions = sorted(self._of)
        codes = self._codes(positions)
        used, places = np.unique(codes // _KIND, return_inverse=True)
        arrays: dict[str, NDArray[Any]] = {
            "positions": np.array(positions, np.int64),
            "lengths": self._lengths(positions).astype(np.uint8),
            "codes": (_KIND * places + codes % _KIND).astype(_CODE),
        }
        return [self._names[number] for number in used.tolist()], arrays

    @classmethod
    def restored(cls, names: Any, arrays: Mapping[str, NDArray[Any]], until: int) -> Mentions:
        """From what `dump` gave of a journal that went to `until`; ValueError, KeyError or TypeError
        for anything else."""
        positions, lengths, codes = (arrays[name] for name in ("positions", "lengths", "codes"))
        if positions.dtype != np.int64 or lengths.dtype != np.uint8 or codes.dtype != _CODE:
            raise ValueError("its columns are others")
        if positions.ndim != 1 or lengths.shape != positions.shape or codes.shape != (int(lengths.sum()),):
            raise ValueError("its columns do not fit together")
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValueError("its names are none")
        if len(positions) and not (positions[0] > 0 and (np.diff(positions) > 0).all() and positions[-1] <= until):
            raise ValueError("it names positions that the journal has not reached")
        owners, numbers, kinds = np.repeat(positions, lengths), codes // _KIND, codes % _KIND
        if len(codes) and not (codes.min() >= 0 and numbers.max() < len(names) and kinds.max() < len(KINDS)):
            raise ValueError("it speaks of names that it does not have")
        order = np.lexsort((numbers, owners))
        twice = (np.diff(owners[order]) == 0) & (np.diff(numbers[order]) == 0)
        if len(set(names)) < len(names) or lengths.max(initial=0) > MOST or twice.any():
            raise ValueError("a name comes twice, or a record has more than it can")
        made = cls()
        made._names, made._numbers = names, {name: number for number, name in enumerate(names)}
        ends = np.cumsum(lengths.astype(np.int64)) * _CODE.itemsize
        data = codes.tobytes()
        for position, begin, end in zip(positions.tolist(), [0, *ends.tolist()], ends.tolist(), strict=False):
            made._of[position] = data[begin:end]
        made._counts = np.zeros((max(8, len(names)), len(KINDS)), np.int32)
        np.add.at(made._counts, (numbers, kinds), 1)
        made._sure = _by_name(owners, numbers, kinds != MAYBE, len(names))
        made._maybe = _by_name(owners, numbers, kinds == MAYBE, len(names))
        return made


_NONE: Final = array("q")


def _insert(held: array[int], position: int) -> None:
    if not held or held[-1] < position:  # nearly always: the newest comes last
        held.append(position)
    else:
        insort(held, position)


def _by_name(owners: Nodes, numbers: NDArray[Any], chosen: NDArray[np.bool_], names: int) -> list[array[int]]:
    """The owners of each name, ascending as they were."""
    order = np.argsort(numbers[chosen], kind="stable")
    ends = np.cumsum(np.bincount(numbers[chosen], minlength=names)).tolist()
    held = owners[chosen][order]
    return [array("q", held[begin:end].tobytes()) for begin, end in zip([0, *ends], ends, strict=False)]
