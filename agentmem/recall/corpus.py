"""One scope's live records as columns and postings, in memory: what the signals score and the filters cut.

Built when a scope is first asked, from what was kept of it or from the ledger, then kept fresh change by change. An
edited record gets a new row and its old one is marked dead; dead rows are swept once they are a quarter of all. It
holds no text: hits are read from the ledger.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import embedding_text
from agentmem.recall.forms import forms_of
from agentmem.recall.languages import ENGLISH
from agentmem.recall.text import WORD, terms_in

if TYPE_CHECKING:
    from agentmem.cues import Cue
    from agentmem.records import Record

Rows: TypeAlias = NDArray[np.intp]
Ints: TypeAlias = "array[int]"
_SWEEP_AT = 0.25
_SWEEP_FROM = 100
_SESSION = "session"
STEPS = 16


def distinct(*several: NDArray[Any]) -> NDArray[Any]:
    """All of these, each once, ascending. (np.unique hashes, which takes ten times as long for a few hundred.)"""
    found = np.sort(np.concatenate(several))
    return found[np.concatenate([[True], found[1:] != found[:-1]])] if len(found) else found


class Listing(NamedTuple):
    """Keys, and for each its rows (ascending, counted from the first of the cut), one key's behind the other's."""

    keys: list[Any]  # terms, or (column, value)
    ends: NDArray[np.int64]  # of each key's share of what follows
    rows: NDArray[np.int32]

    def check(self, rows: int) -> None:
        """ValueError unless it fits so many rows."""
        ends = np.concatenate([[0], self.ends])
        if len(set(self.keys)) != len(self.keys) or len(self.keys) != len(self.ends):
            raise ValueError("its keys do not fit its lists")
        within = bool(((ends >= 0) & (ends <= len(self.rows))).all())  # else the differences could overflow
        if not within or bool((np.diff(ends) <= 0).any()) or ends[-1] != len(self.rows):
            raise ValueError("its lists have no sound ends")
        rising = np.diff(self.rows, prepend=-1) > 0
        rising[ends[:-1]] = True
        if not bool(((self.rows >= 0) & (self.rows < rows) & rising).all()):
            raise ValueError("its lists do not fit its rows")


class Cut(NamedTuple):
    """The rows of a corpus from one of them on, by themselves. What is dead is in no list, and its words are gone."""

    position: NDArray[np.int64]
    at: NDArray[np.int64]
    length: NDArray[np.int32]
    dead: NDArray[np.uint8]
    dropped: NDArray[np.int32]  # rows before the first that were dead
    words: Listing
    counts: NDArray[np.int32]  # how often the word is in the row, along `words.rows`
    labels: Listing

    def check(self) -> None:
        """ValueError unless its parts fit each other."""
        rows = len(self.position)
        if not len(self.at) == len(self.length) == len(self.dead) == rows:
            raise ValueError("its columns are of different lengths")
        standing = self.position[self.dead == 0]
        if len(self.counts) != len(self.words.rows):
            raise ValueError("its words are not counted")
        if bool((self.length < 0).any()) or bool((self.dead > 1).any()) or bool((self.counts < 1).any()):
            raise ValueError("a number of it is out of range")
        if len(np.unique(standing)) < len(standing):
            raise ValueError("two of its rows are one record's")
        if not all(isinstance(key, str) for key in self.words.keys):
            raise ValueError("a word of it is no word")
        if not all(len(key) == 2 and all(isinstance(part, str) for part in key) for key in self.labels.keys):
            raise ValueError("a label of it is no label")
        self.words.check(rows)
        self.labels.check(rows)


class Sessions(NamedTuple):
    """The sessions of the live rows. A row's session is a number; -1 when it belongs to none."""

    of: NDArray[np.intc]  # a row's
    lengths: NDArray[np.float64]  # terms in each
    number: int  # of those with a live row
    mean_length: float


class _Columns:
    """The columns as arrays, made once for all the questions between two changes."""

    def __init__(self, position: Ints, at: Ints, length: Ints, session: Ints, dead: bytearray) -> None:
        self.position = np.array(position, np.int64)
        self.at = np.array(at, np.int64)
        self.length = np.array(length, np.intc)
        self.session = np.array(session, np.intc)
        self.alive = ~np.frombuffer(bytes(dead), np.bool_)
        rows = np.flatnonzero(self.alive)
        held = self.position[rows]
        order = np.argsort(held, kind="stable")
        self.rows = rows[order]  # live ones, in order of writing
        self.held = held[order]  # their positions
        self.whole = len(rows) == len(position)  # nobody is dead

    @cached_property
    def span(self) -> tuple[int, int]:
        at = self.at[self.rows]
        return int(at.min()), int(at.max())

    @cached_property
    def sessions(self) -> Sessions:
        rows = self.rows[self.session[self.rows] >= 0]
        of = self.session[rows]
        lengths = np.bincount(of, weights=self.length[rows]).astype(np.float64)
        number = len(np.unique(of))
        return Sessions(self.session, lengths, number, float(lengths.sum()) / max(1, number))


class Corpus:
    """Rows 0..n-1, one a live record or dead. The caller serialises calls, and writes to no array it is handed."""

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}  # by the ledger's position
        self._position = array("q")
        self._at = array("q")  # microseconds since 1970
        self._length = array("i")  # in terms
        self._session = array("i")  # number of its session, -1 for none
        self._dead = bytearray()
        self._words: dict[str, tuple[Ints, Ints]] = {}  # term → rows, ascending, and how often in each
        self._labels: dict[str, dict[str, Ints]] = {}  # column → value → rows, ascending
        self._called: dict[str, list[str]] = {}  # how places are called → their names
        self._calling = 0  # names of places that are in it
        self._sessions: dict[str, int] = {}  # their numbers
        self._names: list[str] = []
        # The row before each in its session, and the one after, -1 for none: of live ones in the sessions `_linked`.
        self._before = np.empty(0, np.intp)
        self._after = np.empty(0, np.intp)
        self._linked: set[int] = set()
        self._terms_alive = 0
        self._arrays: _Columns | None = None
        self.touched = 0  # rows added and rows that died, ever
        self.sweeps = 0

    @property
    def _columns(self) -> _Columns:
        if self._arrays is None:
            self._arrays = _Columns(self._position, self._at, self._length, self._session, self._dead)
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
        self.touched += 1
        found, language = terms_in(embedding_text(record))
        counted = Counter(found)
        self._row_of[record.position] = row
        self._position.append(record.position)
        self._at.append(micros(record.at))
        self._length.append(counted.total())
        self._session.append(session := self._number(record.session))
        self._linked.discard(session)
        self._dead.append(0)
        self._terms_alive += self._length[row]
        for term, times in counted.items():
            held = self._words.get(term)
            if held is None:  # not setdefault, which would make two arrays for every word of every text
                held = self._words[term] = (array("i"), array("i"))
            held[0].append(row)
            held[1].append(times)
        for column, value in _labels(record, language):
            values = self._labels.setdefault(column, {})
            rows = values.get(value)
            if rows is None:
                rows = values[value] = array("i")
            rows.append(row)

    def _unlink(self) -> None:
        self._before, self._after, self._linked = self._before[:0], self._after[:0], set()

    def _number(self, session: str | None) -> int:
        return -1 if session is None else self._sessions.setdefault(session, len(self._sessions))

    def _drop(self, position: int) -> None:
        row = self._row_of.pop(position, None)
        if row is not None:
            self.touched += 1
            self._dead[row] = 1
            self._linked.discard(self._session[row])
            self._terms_alive -= self._length[row]

    def _sweep(self) -> None:
        """Renumber the rows without the dead ones."""
        self.sweeps += 1
        self._called, self._calling = {}, 0
        self._unlink()
        alive = ~np.frombuffer(bytes(self._dead), np.bool_)
        new_row = np.cumsum(alive, dtype=np.int32) - 1
        for name in ("_position", "_at", "_length", "_session"):
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
        for kind, values in labels.items():
            kept_values = self._labels[kind] = dict[str, Ints]()
            for value, rows in values.items():
                listed = np.frombuffer(rows, np.intc)
                listed = listed[alive[listed]]
                if len(listed):
                    kept_values[value] = array("i", new_row[listed].tobytes())
        self._dead = bytearray(self.rows)
        self._row_of = {position: row for row, position in enumerate(self._position)}

    # ── in pieces ────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, first: int) -> Cut:
        """The rows from `first` on, as `append` takes them."""
        dead = np.frombuffer(bytes(self._dead), np.uint8)
        words, counts = _listing(((term, *lists) for term, lists in self._words.items()), first, dead)
        by_label = (
            ((column, value), rows, rows) for column, values in self._labels.items() for value, rows in values.items()
        )
        labels, _ = _listing(by_label, first, dead)
        return Cut(
            position=np.array(self._position[first:], np.int64),
            at=np.array(self._at[first:], np.int64),
            length=np.array(self._length[first:], np.int32),
            dead=dead[first:],
            dropped=np.flatnonzero(dead[:first]).astype(np.int32),
            words=words,
            counts=counts,
            labels=labels,
        )

    def append(self, cut: Cut) -> None:
        """Put a cut behind the rows there are: those that stood before its first. ValueError when they cannot be."""
        first = self.rows
        self._arrays = None
        self._unlink()
        if len(cut.dropped) and not 0 <= cut.dropped.min() <= cut.dropped.max() < first:
            raise ValueError("it drops rows that are not there")
        for row in cut.dropped.tolist():
            if not self._dead[row]:  # or its record may have another row by now
                self._drop(self._position[row])
        alive = np.flatnonzero(cut.dead == 0)
        fresh = dict(zip(cut.position[alive].tolist(), (alive + first).tolist(), strict=True))
        if not fresh.keys().isdisjoint(self._row_of):
            raise ValueError("a row of it is there already")
        self._row_of |= fresh
        self._position.frombytes(cut.position.astype(np.int64).tobytes())
        self._at.frombytes(cut.at.astype(np.int64).tobytes())
        self._length.frombytes(cut.length.astype(np.intc).tobytes())
        self._dead += cut.dead.tobytes()
        self._terms_alive += int(cut.length[alive].sum())
        self.touched += len(cut.position)
        counts = memoryview(cut.counts.astype(np.intc).tobytes())
        for term, rows, where in _lists(cut.words, first):
            held = self._words.get(term)
            if held is None:
                held = self._words[term] = (array("i"), array("i"))
            held[0].frombytes(rows)
            held[1].frombytes(counts[where])
        session = np.full(len(cut.position), -1, np.intc)
        for (column, value), listed, _ in _lists(cut.labels, first):
            self._labels.setdefault(column, {}).setdefault(value, array("i")).frombytes(listed)
            if column == _SESSION:
                session[np.frombuffer(listed, np.intc) - first] = self._number(value)
        self._session.frombytes(session.tobytes())

    # ── columns and postings ─────────────────────────────────────────────────────────────────────────────────────

    def times(self) -> NDArray[np.int64]:
        """When each row's record happened, in microseconds since 1970."""
        return self._columns.at

    @property
    def span(self) -> tuple[datetime, datetime]:
        """When the first and the last of the live records happened. There must be one."""
        first, last = self._columns.span
        return moment(first), moment(last)

    def lengths(self) -> NDArray[np.intc]:
        """Terms in each row."""
        return self._columns.length

    def postings(self, *terms: str) -> tuple[NDArray[np.intc], NDArray[np.intc]]:
        """Live rows that hold any of the terms, ascending, and how often each does."""
        held = [self._words[term] for term in terms if term in self._words]
        rows, counts = held[0] if held else (array("i"), array("i"))
        listed, times = np.array(rows, np.intc), np.array(counts, np.intc)
        if len(held) > 1:
            listed, of = np.unique(np.concatenate([np.array(rows, np.intc) for rows, _ in held]), return_inverse=True)
            counted = np.concatenate([np.array(counts, np.intc) for _, counts in held])
            times = np.bincount(of, weights=counted).astype(np.intc)
        if self._columns.whole:
            return listed, times
        alive = self._columns.alive[listed]
        return listed[alive], times[alive]

    def positions(self, rows: Rows) -> NDArray[np.int64]:
        return self._columns.position[rows]

    def standing(self) -> NDArray[np.int64]:
        """Positions of the live records, ascending."""
        return self._columns.held

    def rows_of(self, positions: Sequence[int] | NDArray[np.int64]) -> Rows:
        """The rows of these positions; -1 for those that are not here."""
        asked, columns = np.asarray(positions, np.int64), self._columns
        if not len(columns.held):
            return np.full(len(asked), -1, np.intp)
        nearest = np.minimum(np.searchsorted(columns.held, asked), len(columns.held) - 1)
        return np.where(columns.held[nearest] == asked, columns.rows[nearest], -1)

    # ── labels and sessions ──────────────────────────────────────────────────────────────────────────────────────

    def values(self, column: str) -> Collection[str]:
        """What some record, perhaps a dead one, has in this column; `speaker` and `place` folded in case."""
        return self._labels.get(column, {}).keys()

    def places_called(self, words: str) -> list[str]:
        """The places whose path, or its last part, is called so: of "harbour/pier 3", "harbour pier 3" and "pier 3"."""
        names = self._labels.get("place", {})
        for name in islice(names, self._calling, None):
            path = [" ".join(WORD.findall(part)) for part in name.split("/")]
            for said in {" ".join(path), path[-1]}:
                self._called.setdefault(said, []).append(name)
        self._calling = len(names)
        return self._called.get(words, [])

    def labelled(self, column: str, value: str) -> NDArray[np.intc]:
        """Live rows that have this value, ascending."""
        rows = np.array(self._labels.get(column, {}).get(value, ()), np.intc)
        return rows if self._columns.whole else rows[self._columns.alive[rows]]

    def languages(self) -> list[str]:
        """Those that some live record is in, besides English."""
        return [language for language in self.values("language") if len(self.labelled("language", language))]

    @property
    def sessions(self) -> Sessions:
        return self._columns.sessions

    def beside(self, rows: Rows, reach: int) -> NDArray[np.intp]:
        """intp[len(rows), 2 · reach]: the rows 1, 2, … before each in its session, then those after; -1 for none.

        The order is that of writing. Rows must be live.
        """
        session = self._columns.session[rows]
        self._link(distinct(session[session >= 0]).tolist())
        found = np.empty((len(rows), 2 * reach), np.intp)
        for first, next_to in ((0, self._before), (reach, self._after)):
            others = rows
            for step in range(reach):
                others = np.where(others >= 0, next_to[others], -1)
                found[:, first + step] = others
        return found

    def _link(self, sessions: Sequence[int]) -> None:
        """Know the rows of these sessions, and which stands next to which."""
        if len(self._before) < self.rows:
            more = np.full(self.rows + self.rows // 2 - len(self._before), -1, np.intp)
            self._before, self._after = np.concatenate([self._before, more]), np.concatenate([self._after, more])
        for session in sessions:
            if session not in self._linked:
                self._linked.add(session)
                rows = self.labelled(_SESSION, self._named[session]).astype(np.intp)
                rows = rows[np.argsort(self._columns.position[rows], kind="stable")]
                self._before[rows] = np.concatenate([[-1], rows[:-1]])
                self._after[rows] = np.concatenate([rows[1:], [-1]])

    @property
    def _named(self) -> list[str]:
        """The sessions' names, by their numbers."""
        if len(self._names) < len(self._sessions):
            self._names = list(self._sessions)
        return self._names

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
                named[self.labelled(column, value)] = True
            mask = named if mask is None else mask & named
        return columns.rows if mask is None else columns.rows[mask[columns.rows]]


def _listing(
    held: Iterable[tuple[Any, Ints, Ints]], first: int, dead: NDArray[np.uint8]
) -> tuple[Listing, NDArray[np.int32]]:
    """What of these lists (rows, and a number for each) lies in the rows from `first` on that are not dead."""
    keys, ends, rows, numbers = list[Any](), list[int](), array("i"), array("i")
    for key, listed, beside in held:
        if listed[-1] >= first:
            start = bisect_left(listed, first)
            keys.append(key)
            rows.extend(listed[start:] if start else listed)
            numbers.extend(beside[start:] if start else beside)
            ends.append(len(rows))
    all_rows = np.array(rows, np.int32)
    alive = dead[all_rows] == 0
    until = np.concatenate([[0], np.cumsum(alive)])[np.array(ends, np.int64)]
    filled = np.diff(until, prepend=0) > 0
    kept = [key for key, some in zip(keys, filled.tolist(), strict=True) if some]
    return Listing(kept, until[filled], all_rows[alive] - np.int32(first)), np.array(numbers, np.int32)[alive]


def _lists(listing: Listing, first: int) -> Iterator[tuple[Any, memoryview, slice]]:
    """Each key, the bytes of its rows, counted from 0, and where the bytes of its counts lie."""
    rows = memoryview((listing.rows.astype(np.intc) + np.intc(first)).tobytes())
    start = 0
    for key, end in zip(listing.keys, (listing.ends * array("i").itemsize).tolist(), strict=True):
        where = slice(start, end)
        yield key, rows[where], where
        start = end


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """The time so many microseconds after 1970 began, UTC."""
    return _EPOCH + micros * _MICROSECOND


def strength_step(strength: float) -> int:
    """From -STEPS for 0 over 0 for 1, which is usual, to STEPS for what is boundless: (s - 1) / (s + 1), in steps, of
    which there are few enough to list a scope's rows by them."""
    return round(STEPS * (1 - 2 / (strength + 1)))


def _labels(record: Record, language: str) -> Iterator[tuple[str, str]]:
    yield "kind", record.kind
    if language != ENGLISH:
        yield "language", language
    if record.speaker is not None:
        yield "speaker", record.speaker.casefold()
    if record.place is not None:
        # A place inside another is in it too: "harbour/pier 3" answers to "harbour".
        path = record.place.path
        for depth in range(1, len(path) + 1):
            yield "place", "/".join(path[:depth]).casefold()
    for tag in record.tags:
        yield "tag", tag
    if record.session is not None:
        yield _SESSION, record.session
    if record.role is not None:
        yield "role", record.role
    if step := strength_step(record.strength):
        yield "strength", str(step)
    for form in forms_of(record.text):
        yield "form", form


def _filters(cue: Cue) -> Iterator[tuple[str, tuple[str, ...]]]:
    if cue.kinds is not None:
        yield "kind", cue.kinds
    if cue.speaker is not None:
        yield "speaker", (cue.speaker.casefold(),)
    if cue.place is not None:
        yield "place", (cue.place.casefold(),)
    if cue.tags is not None:
        yield "tag", cue.tags
