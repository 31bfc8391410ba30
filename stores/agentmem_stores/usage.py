"""When each record of a scope was used and looked at again, as columns of numbers: a pure state, without a ledger.

45 bytes a record, and up to 64 more for one that was used. A record of any state has its row, so that what is restored
need not be read again; only live ones count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.dynamics import Spacing, Uses
from agentmem.recall.corpus import micros
from agentmem.records import Record
from agentmem_stores.projection import Arrays

__all__ = ["DAY", "ROW", "Usage", "Waiting"]

RECENT: Final = 8  # uses of a record whose times are kept; older ones are counted
DAY: Final = timedelta(days=1) // timedelta(microseconds=1)
_ROOM: Final = 256  # rows there is room for at first

ROW: Final = np.dtype(
    [
        ("happened", "<i8"),  # microseconds, as all times here
        ("stored", "<i8"),
        ("visited", "<i8"),  # the last rehearsal, 0 for none
        ("interval", "<f4"),  # days
        ("used", "<i4"),  # uses that were noted
        ("found", "<i2"),  # views that brought it back in the last rehearsal, of so many
        ("of", "<i2"),
        ("live", "?"),
    ]
)
Positions = NDArray[np.int64]


class Waiting(NamedTuple):
    """Records that are due: their positions, ascending, since when, and what of each is retained, from 0 to 1."""

    positions: Positions
    since: NDArray[np.int64]
    retention: NDArray[np.float64]


class Usage:
    """The rows, by ascending position."""

    def __init__(self, spacing: Spacing) -> None:
        self._spacing = spacing
        self._number = 0
        self._positions = np.empty(_ROOM, np.int64)  # these and the next are filled as far as there are rows
        self._rows: NDArray[Any] = np.zeros(_ROOM, ROW)
        self._recent: dict[int, list[int]] = {}  # by position, ascending

    def __len__(self) -> int:
        return self._number

    @property
    def positions(self) -> Positions:
        return self._positions[: self._number]

    @property
    def rows(self) -> NDArray[Any]:
        """Of ROW, in the order of `positions`."""
        return self._rows[: self._number]

    @property
    def size(self) -> int:
        """Bytes."""
        return self._number * (8 + ROW.itemsize) + sum(8 * len(times) for times in self._recent.values())

    def places(self, positions: Sequence[int] | Positions) -> NDArray[np.intp]:
        """Where their rows stand, -1 for one that has none."""
        wanted = np.asarray(positions, np.int64)
        if not self._number:
            return np.full(len(wanted), -1)
        places = np.minimum(np.searchsorted(self.positions, wanted), self._number - 1)
        return np.where(self.positions[places] == wanted, places, -1)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, records: Sequence[Record]) -> None:
        """Records that have no row yet."""
        before, self._number = self._number, self._number + len(records)
        if self._number > len(self._positions):
            self._positions = np.resize(self._positions, 2 * self._number)
            self._rows = np.resize(self._rows, 2 * self._number)
        for place, record in enumerate(records, before):
            self._positions[place] = record.position
            self.blank(record, place)
        added = self.positions[max(0, before - 1) :]
        if not (added[:-1] < added[1:]).all():  # what an undo took away comes back where it stood
            order = np.argsort(self.positions, kind="stable")
            self.positions[:], self.rows[:] = self.positions[order], self.rows[order]

    def blank(self, record: Record, place: int) -> None:
        """As if nothing had been noted of it."""
        happened, stored, live = micros(record.at), micros(record.stored_at), record.state == "live"
        self._rows[place] = (happened, stored, 0, self._spacing.first / timedelta(days=1), 0, 0, 0, live)
        self._recent.pop(record.position, None)

    def stands(self, record: Record, place: int) -> None:
        """As the record stands now."""
        self._rows["happened"][place], self._rows["live"][place] = micros(record.at), record.state == "live"

    def drop(self, positions: Sequence[int]) -> None:
        """Those that are there."""
        places = self.places(positions)
        if (places >= 0).any():
            stays = np.ones(self._number, np.bool_)
            stays[places[places >= 0]] = False
            kept, rows = self.positions[stays], self.rows[stays]
            self._number = len(kept)
            self.positions[:], self.rows[:] = kept, rows
            for position in positions:
                self._recent.pop(position, None)

    def used(self, position: int, place: int, at: int) -> None:
        self._rows["used"][place] += 1
        self._recent[position] = sorted([*self._recent.get(position, ()), at])[-RECENT:]

    def visited(self, place: int, at: int, found: int, of: int) -> None:
        """It was looked at, and came back by so many of its views: by more than half it is found."""
        row = self._rows[place]
        row["visited"], row["found"], row["of"] = at, found, of
        interval = timedelta(days=float(row["interval"]))
        row["interval"] = self._spacing.after(interval, found=2 * found > of) / timedelta(days=1)

    # ── what it knows ────────────────────────────────────────────────────────────────────────────────────────────

    def uses(self, positions: Sequence[int], *, noted: bool = False) -> Uses:
        """See `RehearsalMemory.uses`."""
        places = self.places(positions)
        if not len(self):
            return Uses.of([()] * len(places))
        rows = self.rows[np.maximum(places, 0)]
        here = np.flatnonzero((places >= 0) & rows["live"])
        times, owners = [np.empty(0, np.int64)], [np.empty(0, np.intp)]
        if not noted:
            lived = here[np.abs(rows["happened"][here] - rows["stored"][here]) > DAY]
            times, owners = [rows["happened"][lived], rows["stored"][here]], [lived, here]
        older, span = np.zeros(len(rows), np.int64), np.zeros((len(rows), 2), np.int64)
        for i in here[rows["used"][here] > 0].tolist():
            recent = self._recent[int(positions[i])]
            times.append(np.array(recent, np.int64))
            owners.append(np.full(len(recent), i))
            older[i] = rows["used"][i] - len(recent)
            span[i] = min(int(rows["stored"][i]), recent[0]), recent[0]
        return Uses(np.concatenate(times), np.concatenate(owners), older, span)

    def due(self, now: int) -> Waiting:
        """The live records whose interval is over, since they were stored, used or looked at last."""
        rows = self.rows
        met = np.maximum(rows["stored"], rows["visited"])
        places = self.places(np.array([*self._recent], np.int64))
        met[places] = np.maximum(met[places], [times[-1] for times in self._recent.values()])
        interval = rows["interval"].astype(np.float64)
        ends = met + (interval * DAY).astype(np.int64)
        over = np.flatnonzero(rows["live"] & (ends <= now))
        retention = self._spacing.retention((now - met[over]) / DAY, interval[over])
        return Waiting(self.positions[over], ends[over], retention)

    # ── as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> Arrays:
        owners = np.repeat(np.array([*self._recent], np.int64), [len(times) for times in self._recent.values()])
        times = np.array([time for times in self._recent.values() for time in times], np.int64)
        return {"positions": self.positions, "rows": self.rows, "owners": owners, "times": times}

    def restore(self, arrays: Arrays, until: int) -> None:
        """What `dump` gave when the journal stood at `until`; ValueError or KeyError for anything else."""
        positions, rows, owners, times = (arrays[name] for name in ("positions", "rows", "owners", "times"))
        for array, dtype in ((positions, np.int64), (rows, ROW), (owners, np.int64), (times, np.int64)):
            if array.dtype != dtype or array.ndim != 1:
                raise ValueError("its columns are others")
        if len(positions) != len(rows) or len(owners) != len(times):
            raise ValueError("its columns are of unlike length")
        if len(positions) and not (positions[0] > 0 and (np.diff(positions) > 0).all() and positions[-1] <= until):
            raise ValueError("its positions do not ascend, or are beyond the journal")
        if not (np.isfinite(rows["interval"]) & (rows["interval"] > 0) & (rows["used"] >= 0)).all():
            raise ValueError("its numbers are none that a store writes")
        recent: dict[int, list[int]] = {}
        for owner, time in zip(owners.tolist(), times.tolist(), strict=True):
            recent.setdefault(owner, []).append(time)
        counted = zip(positions.tolist(), rows["used"].tolist(), strict=True)
        if {position: min(n, RECENT) for position, n in counted if n} != {p: len(t) for p, t in recent.items()}:
            raise ValueError("its uses are more, or fewer, than it counted")
        self._number, self._recent = len(positions), {p: sorted(t) for p, t in recent.items()}
        self._positions, self._rows = positions.copy(), rows.copy()
