"""A stretch of a scope's journal, and the field of weights that its records were learned by.

What a field becomes depends on the order of learning, so a change of one record is a change of all behind it in the
same field. There is one field for so many changes of the scope, however its records come and go: forgetting one of a
million costs what learning a few thousand does, and a field is never asked to hold more than it can.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem_stores.sparsey import Active, Mac

__all__ = ["ACTIVE", "SIZE", "Stretch"]

SIZE: Final = 16_384  # bits of an input,
ACTIVE: Final = 32  # of which so many are on
_MODULES: Final = 32
_UNITS: Final = 32


class Stretch:
    """Records in order of writing, and what was learned of them: 112 bytes each, of which the field is made again."""

    def __init__(self, first: int) -> None:
        self.first = first  # the `seq` of its first change
        self.positions = array("q")
        self.actives = array("H")  # the bits of each
        self.codes = array("B")  # the winners of each that is learned,
        self.own = array("d")  # and its G, in this field, when it came
        self.changed = True  # since it was kept
        self._field: Mac | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def active(self, position: int) -> Active | None:
        """The bits of the record there; None where none is."""
        i = bisect_left(self.positions, position)
        if i == len(self) or self.positions[i] != position:
            return None
        return np.array(self.actives[i * ACTIVE : (i + 1) * ACTIVE], np.uint16)

    def arrival(self, position: int) -> tuple[Active, float] | None:
        """The bits of the record there, and G of it in this field when it came; None where none is."""
        active = self.active(position)
        return None if active is None else (active, self.own[bisect_left(self.positions, position)])

    def put(self, position: int, active: Active | None) -> None:
        """The bits of the record there; None: there is none any more."""
        i = bisect_left(self.positions, position)
        known = i < len(self) and self.positions[i] == position
        bits = array("H") if active is None else array("H", active.tolist())
        self.actives[i * ACTIVE : (i + known) * ACTIVE] = bits
        self.positions[i : i + known] = array("q", () if active is None else (position,))
        if i < len(self.own):
            self._field = None
            del self.own[i:], self.codes[i * _MODULES :]
        self.changed = True

    @property
    def field(self) -> Mac:
        """What was learned, as weights: made of the codes when it is first asked for."""
        if self._field is None:
            self._field = Mac(SIZE, ACTIVE, modules=_MODULES, units=_UNITS)
            self._field.restore(self._bits()[: len(self.own)], np.array(self.codes, np.uint8).reshape(-1, _MODULES))
        return self._field

    def learn(self) -> None:
        """Learn what was not yet; a record's winners are drawn by its position."""
        for i in range(len(self.own), len(self)):
            bits = np.array(self.actives[i * ACTIVE : (i + 1) * ACTIVE], np.uint16)
            found = self.field.learn(bits, self.positions[i])
            self.codes.extend(found.code.tolist())
            self.own.append(found.familiarity)

    def _bits(self) -> NDArray[np.uint16]:
        return np.array(self.actives, np.uint16).reshape(-1, ACTIVE)

    def columns(self) -> dict[str, NDArray[Any]]:
        return {
            "positions": np.array(self.positions, np.int64),
            "actives": self._bits(),
            "codes": np.array(self.codes, np.uint8).reshape(-1, _MODULES),
            "own": np.array(self.own, np.float64),
        }

    @classmethod
    def restored(cls, first: int, columns: Mapping[str, NDArray[Any]]) -> Stretch:
        """From what `columns` gave. ValueError for anything else."""
        found, rows = cls(first), len(columns["positions"])
        wanted = {"positions": (np.int64, ()), "actives": (np.uint16, (ACTIVE,)), "codes": (np.uint8, (_MODULES,))}
        for name, (kind, shape) in {**wanted, "own": (np.float64, ())}.items():
            if columns[name].dtype != kind or columns[name].shape != (rows, *shape):
                raise ValueError(f"its column {name} is another one")
            getattr(found, name).frombytes(np.ascontiguousarray(columns[name]).tobytes())
        if int(columns["actives"].max(initial=0)) >= SIZE or int(columns["codes"].max(initial=0)) >= _UNITS:
            raise ValueError("a code names bits or units that there are not")
        if not bool(((columns["own"] >= 0) & (columns["own"] <= 1)).all()):
            raise ValueError("a familiarity of it is none")
        found.changed = False
        return found
