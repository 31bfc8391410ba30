"""Which records stand in which session, as columns of numbers: a pure state, without a ledger.

20 bytes a record. It knows records by where they were written, and what they say by a digest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem.values import plain_text
from agentmem_stores.projection import Arrays

__all__ = ["ROW", "Conversations"]

ROW: Final = np.dtype([("position", "<i8"), ("session", "<i4"), ("mark", "<u8")])
_ROOM: Final = 256  # rows there is room for at first
Rows = NDArray[Any]


class Conversations:
    """The rows, by ascending position."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._room: Rows = np.zeros(_ROOM, ROW)  # filled as far as there are rows

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Rows:
        return self._room[: self._count]

    def sessions(self) -> Iterator[tuple[str, Rows]]:
        """Each session that has records, with its rows."""
        rows = self.rows[np.argsort(self.rows["session"], kind="stable")]
        if len(rows):
            for part in np.split(rows, np.flatnonzero(np.diff(rows["session"])) + 1):
                yield self._names[int(part["session"][0])], part

    def alter(self, gone: Collection[int], put: Sequence[tuple[int, str, int]]) -> None:
        """Take out the rows at these positions, and put in others: position, session, mark."""
        last = int(self.rows["position"][-1]) if self._count else 0
        if old := [position for position in gone if position <= last]:
            kept = self.rows[~np.isin(self.rows["position"], old)]
            self._count = len(kept)
            self.rows[:] = kept
        if not put:
            return
        before, self._count = self._count, self._count + len(put)
        if self._count > len(self._room):
            self._room = np.resize(self._room, 2 * self._count)
        self.rows[before:] = [(position, self._number(session), mark) for position, session, mark in put]
        if (np.diff(self.rows["position"][max(0, before - 1) :]) <= 0).any():  # something came back where it stood
            self.rows[:] = self.rows[np.argsort(self.rows["position"], kind="stable")]

    def _number(self, session: str) -> int:
        number = self._numbers.setdefault(session, len(self._names))
        if number == len(self._names):
            self._names.append(session)
        return number

    # ── as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> tuple[list[str], Arrays]:
        return self._names, {"rows": self.rows}

    def restore(self, names: Any, arrays: Arrays, until: int) -> None:
        """What `dump` gave when the journal stood at `until`; ValueError, KeyError or TypeError for anything else."""
        rows, listed = arrays["rows"], [plain_text(name, "session") for name in names]
        if rows.dtype != ROW or rows.ndim != 1 or len(set(listed)) < len(listed):
            raise ValueError("its columns are others")
        positions, sessions = rows["position"], rows["session"]
        if len(rows) and not (positions[0] > 0 and (np.diff(positions) > 0).all() and positions[-1] <= until):
            raise ValueError("its positions do not ascend, or are beyond the journal")
        if len(rows) and not 0 <= sessions.min() <= sessions.max() < len(listed):
            raise ValueError("its sessions have no names")
        self._names, self._numbers = listed, {name: number for number, name in enumerate(listed)}
        self._count, self._room = len(rows), rows.copy()
