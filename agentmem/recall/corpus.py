"""One scope's live records as columns and postings, in memory: what the signals score and the filters cut.

Built from the ledger when a scope is first asked, then kept fresh change by change. An edited record gets a new row
and its old one is marked dead; dead rows are swept once they are a quarter of all. It holds no text: hits are read
from the ledger.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import embedding_text
from agentmem.recall.text import terms

if TYPE_CHECKING:
    from agentmem.cues import Cue
    from agentmem.records import Record

Rows: TypeAlias = NDArray[np.intp]
Ints: TypeAlias = "array[int]"
_SWEEP_AT = 0.25
_SWEEP_FROM = 100


class _Columns:
    """The columns as arrays, made once for all the questions between two changes."""

    def __init__(self, position: Ints, at: Ints, length: Ints, dead: bytearray) -> None:
        self.position = np.array(position, np.int64)
        self.at = np.array(at, np.int64)
        self.length = np.array(length, np.intc)
        self.alive = ~np.frombuffer(bytes(dead), np.bool_)
        rows = np.flatnonzero(self.alive)
        held = self.position[rows]
        order = np.argsort(held, kind="stable")
        self.rows = rows[order]  # live ones, in order of writing
        self.held = held[order]  # their positions
        self.whole = len(rows) == len(position)  # nobody is dead


class Corpus:
    """Rows 0..n-1, one a live record or dead. The caller serialises calls, and writes to no array it is handed."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}  # by the ledger's position
        self._position = array("q")
        self._at = array("q")  # microseconds since 1970
        self._length = array("i")  # in terms
        self._dead = bytearray()
        self._words: dict[str, tuple[Ints, Ints]] = {}  # term → rows, ascending, and how often in each
        self._labels: dict[tuple[str, str], Ints] = {}  # (column, value) → rows, ascending
        self._terms_alive = 0
        self._arrays: _Columns | None = None

    @property
    def _columns(self) -> _Columns:
        if self._arrays is None:
            self._arrays = _Columns(self._position, self._at, self._length, self._dead)
        return self._arrays

    def __len__(self) -> int:
        """Live records."""
        return len(self._row_of)

    @property
    def rows(self) -> int:
        """Rows in use, dead ones included: the length of an array of scores."""
        return len(self._position)

    @property
    def mean_length(self) -> float:
        """Terms in a live record, on average."""
        return self._terms_alive / max(1, len(self._row_of))

    def apply(self, records: Iterable[Record], gone: Iterable[int]) -> None:
        """Put these records in, each in place of the row it had, and take `gone` out. Only live ones are kept."""
        self._arrays = None
        for position in gone:
            self._drop(position)
        for record in records:
            self._drop(record.position)
            if record.state == "live":
                self._append(record)
        dead = self.rows - len(self)
        if dead > _SWEEP_FROM and dead > _SWEEP_AT * self.rows:
            self._sweep()

    def _append(self, record: Record) -> None:
        row = self.rows
        counted = Counter(terms(embedding_text(record)))
        self._row_of[record.position] = row
        self._position.append(record.position)
        self._at.append(micros(record.at))
        self._length.append(counted.total())
        self._dead.append(0)
        self._terms_alive += self._length[row]
        for term, times in counted.items():
            held = self._words.get(term)
            if held is None:  # not setdefault, which would make two arrays for every word of every text
                held = self._words[term] = (array("i"), array("i"))
            held[0].append(row)
            held[1].append(times)
        for label in _labels(record):
            rows = self._labels.get(label)
            if rows is None:
                rows = self._labels[label] = array("i")
            rows.append(row)

    def _drop(self, position: int) -> None:
        row = self._row_of.pop(position, None)
        if row is not None:
            self._dead[row] = 1
            self._terms_alive -= self._length[row]

    def _sweep(self) -> None:
        """Renumber the rows without the dead ones."""
        alive = ~np.frombuffer(bytes(self._dead), np.bool_)
        new_row = np.cumsum(alive, dtype=np.int32) - 1
        for name in ("_position", "_at", "_length"):
            column: array[int] = getattr(self, name)
            kept = np.frombuffer(column, column.typecode)[alive]
            setattr(self, name, array(column.typecode, kept.tobytes()))
        words, self._words = self._words, {}
        for term, (rows, counts) in words.items():
            listed = np.frombuffer(rows, np.intc)
            kept = alive[listed]
            if kept.any():
                times = np.frombuffer(counts, np.intc)[kept]
                self._words[term] = (array("i", new_row[listed[kept]].tobytes()), array("i", times.tobytes()))
        labels, self._labels = self._labels, {}
        for label, rows in labels.items():
            listed = np.frombuffer(rows, np.intc)
            listed = listed[alive[listed]]
            if len(listed):
                self._labels[label] = array("i", new_row[listed].tobytes())
        self._dead = bytearray(self.rows)
        self._row_of = {position: row for row, position in enumerate(self._position)}

    def lengths(self) -> NDArray[np.intc]:
        """Terms in each row."""
        return self._columns.length

    def postings(self, term: str) -> tuple[NDArray[np.intc], NDArray[np.intc]]:
        """Live rows that hold the term, ascending, and how often each does."""
        rows, counts = self._words.get(term, (array("i"), array("i")))
        listed, times = np.array(rows, np.intc), np.array(counts, np.intc)
        if self._columns.whole:
            return listed, times
        alive = self._columns.alive[listed]
        return listed[alive], times[alive]

    def positions(self, rows: Rows) -> NDArray[np.int64]:
        return self._columns.position[rows]

    def rows_of(self, positions: Sequence[int] | NDArray[np.int64]) -> Rows:
        """The rows of these positions; -1 for those that are not here."""
        asked, columns = np.asarray(positions, np.int64), self._columns
        if not len(columns.held):
            return np.full(len(asked), -1, np.intp)
        nearest = np.minimum(np.searchsorted(columns.held, asked), len(columns.held) - 1)
        return np.where(columns.held[nearest] == asked, columns.rows[nearest], -1)

    def allowed(self, cue: Cue) -> Rows:
        """Live rows that pass the cue's filters, in order of writing."""
        columns = self._columns
        mask: NDArray[np.bool_] | None = None
        if cue.since is not None or cue.until is not None:
            mask = columns.alive.copy()
            if cue.since is not None:
                mask &= columns.at >= micros(cue.since)
            if cue.until is not None:
                mask &= columns.at < micros(cue.until)
        for column, values in _filters(cue):
            named = np.zeros(self.rows, np.bool_)
            for value in values:
                named[np.array(self._labels.get((column, value), ()), np.intp)] = True
            mask = named if mask is None else mask & named
        return columns.rows if mask is None else columns.rows[mask[columns.rows]]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND


def _labels(record: Record) -> Iterator[tuple[str, str]]:
    yield "kind", record.kind
    if record.speaker is not None:
        yield "speaker", record.speaker.casefold()
    if record.place is not None:
        # A place inside another is in it too: "harbour/pier 3" answers to "harbour".
        path = record.place.path
        for depth in range(1, len(path) + 1):
            yield "place", "/".join(path[:depth]).casefold()
    for tag in record.tags:
        yield "tag", tag


def _filters(cue: Cue) -> Iterator[tuple[str, tuple[str, ...]]]:
    if cue.kinds is not None:
        yield "kind", cue.kinds
    if cue.speaker is not None:
        yield "speaker", (cue.speaker.casefold(),)
    if cue.place is not None:
        yield "place", (cue.place.casefold(),)
    if cue.tags is not None:
        yield "tag", cue.tags
