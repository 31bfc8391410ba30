"""What the cognitive stores share: following the journal, keeping what was derived, and starting anew.

A projection keeps itself in the ledger's segments: bytes that are complete up to a change, which is the cursor that
the next process goes on from, and which stand or fall with it in one transaction. In between it lives in memory, a few
hundred changes ahead of what is kept at most; a kill costs the time of taking those in again.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.errors import LedgerError
from agentmem.ledger import Delta, Segment, Transaction
from agentmem.records import Change, Record
from agentmem.store import Host, Models, Report
from agentmem.undo import undone
from agentmem.values import Json

__all__ = ["Event", "Fold", "Projection", "WithoutVectors", "experienced", "pack", "unpack"]

log = logging.getLogger("agentmem")
S = TypeVar("S")
Arrays = dict[str, NDArray[Any]]

WINDOW: Final = 256  # changes taken in at once; and what is folded between two checkpoints
UNREADABLE: Final = (ValueError, KeyError, TypeError, IndexError)  # what a state raises that is none
DERIVED: Final = frozenset({"thought", "summary", "chunk", "fact"})  # made from other memories: nothing was lived there


def experienced(record: Record) -> bool:
    """Whether the record tells of something that happened, and is not made from other memories."""
    return record.kind not in DERIVED


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pack(told: Json, **arrays: NDArray[Any]) -> bytes:
    """JSON and arrays as bytes; `unpack` gives both back."""
    said = np.frombuffer(json.dumps(told, ensure_ascii=False).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, told=said, **arrays)
    return file.getvalue()


def unpack(data: bytes) -> tuple[Any, Arrays]:
    """ValueError, saying what is wrong, for anything that `pack` did not make: a ledger may come from a stranger."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed")  # a few bytes may stand for any number
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        return json.loads(arrays.pop("told").tobytes()), arrays
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error!r}") from error


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────


class Projection(ABC):
    """A store that derives from one scope's records and their vectors. Its verbs hold the host's lock."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it, and what older versions kept is derived anew

    def __init__(self, host: Host) -> None:
        self.host = host
        self._cursor = 0
        with host.lock:
            self._begin()

    def _begin(self) -> None:
        self._embedder = self.host.embedder.id
        self._load()

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def settings(self) -> Json:
        """What the derived state depends on beside the journal; when it differs, all is derived anew."""
        return None

    @property
    def _stamp(self) -> list[Json]:
        return [self.name, self.version, self.host.embedder.id, self.settings]

    def apply(self, changes: Sequence[Change]) -> None:
        """As `Store.apply`; changes whose records still wait for their vectors are left for later, and all of them when
        another embedder's vectors have come to serve: then the journal is followed from its start."""
        with self.host.lock:
            if self.host.embedder.id != self._embedder:
                self._begin()
                return
            reach = self.host.reach
            fresh = [change for change in changes if self._cursor < change.seq <= reach]
            if fresh:
                self._follow(fresh, self.host.ledger.changed(self._cursor, len(fresh)))
                self._cursor = fresh[-1].seq

    def rebuild(self) -> None:
        with self.host.lock:
            self._reset()
            while self._cursor < self.host.reach:
                before = self._cursor
                self.apply(self.host.ledger.changes(after=before, limit=WINDOW))
                if self._cursor == before:
                    break
            self._keep(anew=True)

    @abstractmethod
    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        """Take in changes of which none was seen, and the effect they had. The cursor moves after it."""

    @abstractmethod
    def _reset(self) -> None:
        """Forget everything derived; the cursor is 0."""

    @abstractmethod
    def _load(self) -> None:
        """Begin with what was kept, if it can be read."""

    @abstractmethod
    def _keep(self, *, anew: bool = False) -> None:
        """Keep what is derived; with `anew` in place of all that was kept."""

    def _put_one(self, data: bytes, *, anew: bool = False) -> bool:
        """Keep this alone, complete up to the cursor, unless another process has come as far; with `anew`, in any case.
        False when the ledger is full, locked or read-only: then it is tried again later."""
        segment = Segment(self._cursor, data)

        def put(transaction: Transaction) -> None:
            standing = [one.until for one in transaction.segments(self.name)]
            if segment.until and (anew or not standing or standing[-1] < segment.until):
                transaction.put_segment(self.name, segment, standing=standing, kept=0)

        try:
            self.host.ledger.transact(put)
        except LedgerError as error:
            log.debug("%s is not kept: %s", self.name, error)
            return False
        return True

    @abstractmethod
    def recall(self, cue: Cue, k: int) -> list[Hit]: ...

    @abstractmethod
    def inspect(self) -> dict[str, Json]: ...

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        return Report("nothing to do")


class WithoutVectors(Projection, ABC):
    """A projection into which no vector goes: it waits for none, and another embedder changes nothing."""

    @property
    def _stamp(self) -> list[Json]:
        return [self.name, self.version, self.settings]

    def apply(self, changes: Sequence[Change]) -> None:
        with self.host.lock:
            fresh = [change for change in changes if change.seq > self._cursor]
            if fresh:
                self._follow(fresh, self.host.ledger.changed(self._cursor, len(fresh)))
                self._cursor = fresh[-1].seq
                if self._due():
                    self._keep()

    def rebuild(self) -> None:
        with self.host.lock:
            self._reset()
            self._catch_up()
            self._keep(anew=True)

    def _catch_up(self) -> None:
        """Follow the journal to its end. Hold the lock."""
        while changes := self.host.ledger.changes(after=self._cursor, limit=WINDOW):
            self.apply(changes)

    @abstractmethod
    def _due(self) -> bool:
        """Whether so much is new that it is worth keeping."""


class Event(NamedTuple):
    """What happened at `seq`: a record came into being, with its unit vector (zeros when it has none), or something was
    noted of one, which changed nothing but what a store makes of it."""

    seq: int
    record: Record
    vector: NDArray[np.float32]
    note: Change | None = None


class _Checkpoint(NamedTuple):
    """A fold's state after `events` of them, complete up to the change `until`."""

    until: int
    events: int
    data: bytes


class Fold(Projection, ABC):
    """A store whose state is a fold over the live records in order of writing, and over what was noted of them.

    So it is a function of the journal alone: what an edit, an undo or an erasure changes in the past is folded in again
    from the last checkpoint before it, and building anew gives the same state. Checkpoints stand ever further apart,
    two for each power of two, so that what was written of late is near one.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"text", "at", "speaker", "session", "place", "kind", "state"})
    notes: ClassVar[frozenset[str]] = frozenset()  # verbs of changes that alter no record, and mean something here

    # ── what a store says of its state ───────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _start(self) -> None:
        """The state before anything happened."""

    @abstractmethod
    def _step(self, event: Event) -> None:
        """Fold one event into the state."""

    @abstractmethod
    def _dump(self) -> tuple[Json, Arrays]:
        """The state, for `_restore`."""

    @abstractmethod
    def _restore(self, told: Any, arrays: Arrays) -> None:
        """The state from what `_dump` gave; ValueError, KeyError or TypeError when it is not that."""

    def _concerns(self, record: Record) -> bool:
        return experienced(record)

    # ── the fold ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        self._cursor = self._events = 0
        self._stack: list[_Checkpoint] = []
        self._kept: list[int] = []  # the changes up to which segments stand, as this process believes
        self._start()

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        until = fresh[-1].seq
        earliest = min(self._altered(fresh, delta), default=until)
        if earliest <= self._cursor:
            self._rewind(earliest)
        for event in self._between(self._cursor, until):
            self._step(event)
            self._events += 1
            if not self._events % WINDOW:
                self._cursor = event.seq
                self._stack.append(_Checkpoint(event.seq, self._events, self._packed()))
                self._stack = _thinned(self._stack)
                self._keep()

    def _altered(self, fresh: Sequence[Change], delta: Delta) -> Iterator[int]:
        """Where in what is folded already something is otherwise now."""
        yield from (position for position in delta.gone if position <= self._cursor)
        otherwise = {change.record_id for change in fresh if self._matters(change)}
        yield from (r.position for r in delta.records if r.position <= self._cursor and r.id in otherwise)

    def _matters(self, change: Change) -> bool:
        fields = {*(change.before or ()), *(change.after or ())}
        return bool(fields & self.reads) if fields else change.undoes is not None  # the second takes back a note

    def _rewind(self, position: int) -> None:
        """Back to the last checkpoint before the record at `position` came into being."""
        while self._stack and self._stack[-1].until >= position:
            self._stack.pop()
        while self._stack:
            try:
                self._resume(*unpack(self._stack[-1].data))
                return
            except UNREADABLE as error:  # only the last was read when it was loaded: a ledger may come from a stranger
                log.info("a checkpoint of %s is passed over: %s", self.name, error)
                self._stack.pop()
        self._start()
        self._cursor = self._events = 0

    def _resume(self, told: Any, arrays: Arrays) -> None:
        """Go on from the last checkpoint."""
        last = self._stack[-1]
        self._restore(told["state"], arrays)
        self._cursor, self._events = last.until, last.events

    def _between(self, after: int, until: int) -> Iterator[Event]:
        """What happened in `after < seq <= until`, as the records stand now."""
        ledger, taken_back = self.host.ledger, None
        while after < until:
            changes = ledger.changes(after=after, before=until + 1, limit=WINDOW)
            if not changes:
                return
            after = changes[-1].seq
            noted = [change for change in changes if change.verb in self.notes]
            if noted and taken_back is None:
                taken_back = undone(ledger)
            noted = [change for change in noted if change.step not in (taken_back or ())]
            about = {record.id: record for record in ledger.get([change.record_id for change in noted])}
            born = {record.position: record for record in ledger.at([change.seq for change in changes])}
            wanted = [record for record in (*born.values(), *about.values()) if self._wanted(record)]
            vectors = dict(zip((r.id for r in wanted), self.host.vectors([r.position for r in wanted]), strict=True))
            notes = {change.seq: change for change in noted}
            for seq in sorted({*born, *notes}):
                note = notes.get(seq)
                record = born[seq] if note is None else about.get(note.record_id)
                if record is not None and record.id in vectors:
                    yield Event(seq, record, vectors[record.id], note)

    def _wanted(self, record: Record) -> bool:
        return record.state == "live" and self._concerns(record)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _packed(self) -> bytes:
        told, arrays = self._dump()
        return pack({"stamp": self._stamp, "events": self._events, "state": told}, **arrays)

    def _load(self) -> None:
        self._reset()
        try:
            for until, data in self.host.ledger.segments(self.name):
                told, arrays = unpack(data)
                if told["stamp"] != self._stamp:
                    raise ValueError("it was kept by another version, or for other vectors")
                self._stack.append(_Checkpoint(until, int(told["events"]), data))
                self._kept.append(until)
            if self._stack:
                if self._stack[-1].until > self.host.ledger.head():
                    raise ValueError("it is of a journal that went further")  # one set back to a backup
                self._resume(told, arrays)
        except UNREADABLE as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _keep_as_it_stands(self) -> None:
        """Between two checkpoints, in place of the last time."""
        self._stack = [one for one in self._stack if not one.events % WINDOW]
        self._keep(anew=True)

    def _keep(self, *, anew: bool = False) -> None:
        if anew:
            self._stack = [*self._stack, _Checkpoint(self._cursor, self._events, self._packed())]
            self._stack = [one for i, one in enumerate(self._stack) if i == 0 or one.until > self._stack[i - 1].until]
        stack = self._stack

        def put(transaction: Transaction) -> list[int]:
            standing = [one.until for one in transaction.segments(self.name)]
            if standing and standing[-1] > self._cursor and not anew:
                return standing  # another process has come further
            same = standing == self._kept and not anew
            stays = standing[: _common(standing, [one.until for one in stack])] if same else []
            for one in stack[len(stays) :]:
                segment = Segment(one.until, one.data)
                # Refused where something was erased since.
                if transaction.put_segment(self.name, segment, standing=standing, kept=len(stays)):
                    standing = stays = [*stays, one.until]
            return standing

        try:
            self._kept = self.host.ledger.transact(put)
        except LedgerError as error:  # full, locked or read-only: tried again at the next checkpoint
            log.debug("%s is not kept: %s", self.name, error)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of the first are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _thinned(stack: list[_Checkpoint]) -> list[_Checkpoint]:
    """Those that are among the last two of some power of two."""
    units = [one.events // WINDOW for one in stack]
    kept: set[int] = set()
    step = 1
    while step <= units[-1]:
        kept.update([unit for unit in units if unit % step == 0][-2:])
        step *= 2
    return [one for one, unit in zip(stack, units, strict=True) if unit in kept]
