"""`PlainLedger`: a whole ledger from two verbs, `load` and `save`, for whoever keeps memories in a place of their own.

The ledger's state is one JSON text. A transaction loads it, works on it and saves it again, so it is atomic when
`save` is. That is slow and fine for thousands of records; a backend that wants more implements `agentmem.ledger`
itself. Written for clarity alone, it is also what the SQL ledger is tested against.
"""

from __future__ import annotations

import base64
import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agentmem.errors import Conflict
from agentmem.ledger import Delta, Draft, Reader, Segment, Serving, Transaction, Vectors, vectors_cursor
from agentmem.records import Change, Record, Scope, State
from agentmem.values import new_id, now
from agentmem.verify import disagreements

__all__ = ["PlainLedger"]

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """One scope's state."""

    records: dict[int, Record] = field(default_factory=dict)  # by position
    journal: list[tuple[int, Change]] = field(default_factory=list)  # (position, change)
    vectors: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)  # embedder → position → hex, base64
    tokens: dict[str, dict[int, str]] = field(default_factory=dict)  # embedder → position → base64
    cursors: dict[str, int] = field(default_factory=dict)
    segments: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # projection → until, base64
    serving: Serving | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> _Kept:
        return cls(
            {position: replace(Record.from_json(body), position=position) for position, body in data["records"]},
            [(position, Change.from_json(body)) for position, body in data["journal"]],
            {name: {int(at): tuple(pair) for at, pair in kept.items()} for name, kept in data["vectors"].items()},
            {name: {int(at): body for at, body in kept.items()} for name, kept in data.get("tokens", {}).items()},
            data["cursors"],
            {name: [(until, body) for until, body in kept] for name, kept in data.get("segments", {}).items()},
            Serving(*data["serving"]) if data.get("serving") else None,  # none in states of 0.1
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "records": [[position, record.to_json()] for position, record in self.records.items()],
            "journal": [[position, change.to_json()] for position, change in self.journal],
            "vectors": self.vectors,
            "tokens": self.tokens,
            "cursors": self.cursors,
            "segments": self.segments,
            "serving": self.serving,
        }


class PlainLedger(ABC):
    """Subclass it, and write `load` and `save`. One process at a time; threads take turns."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.RLock()
        self._unborn = new_id()  # the identity, if there is no state yet, or one of 0.1, which had none

    @abstractmethod
    def load(self) -> str | None:
        """The text saved last, or None when nothing was saved yet."""

    @abstractmethod
    def save(self, text: str) -> None:
        """Keep the text, whole or not at all, and durably."""

    @property
    def url(self) -> str:
        return self._url

    @property
    def identity(self) -> str:
        with self._lock:
            everything = self._everything()
            if everything["identity"] == self._unborn:
                self._save(everything)
            return str(everything["identity"])

    @property
    def folder(self) -> Path | None:
        return None

    def bind(self, scope: Scope) -> PlainScope:
        return PlainScope(self, scope)

    def size(self) -> int:
        return len((self.load() or "").encode())

    def close(self) -> None:  # noqa: B027  # most need none: a subclass may, and need not, have something to release
        """Nothing is held open."""

    @contextmanager
    def state(self, scope: Scope) -> Iterator[tuple[_Kept, dict[str, int], Callable[[], None]]]:
        """The scope's state, the heads by root, and what writes both back."""
        with self._lock:
            everything = self._everything()
            kept = everything["scopes"].get(str(scope))
            found = _Kept() if kept is None else _Kept.from_json(kept)

            def write_back() -> None:
                everything["scopes"][str(scope)] = found.to_json()
                self._save(everything)

            yield found, everything["heads"], write_back

    def _everything(self) -> dict[str, Any]:
        text = self.load()
        everything: dict[str, Any] = {"heads": {}, "scopes": {}} if text is None else json.loads(text)
        everything.setdefault("identity", self._unborn)
        return everything

    def _save(self, everything: dict[str, Any]) -> None:
        self.save(json.dumps(everything, ensure_ascii=False))


class _PlainReader:
    """Reads of whatever `state` gives: the same state within a transaction, the newest outside."""

    def __init__(self, state: Callable[[], tuple[_Kept, dict[str, int]]], scope: Scope) -> None:
        self._state = state
        self._scope = scope

    @property
    def _kept(self) -> _Kept:
        return self._state()[0]

    @property
    def _heads(self) -> dict[str, int]:
        return self._state()[1]

    def head(self) -> int:
        return self._heads.get(self._scope.root, 0)

    def get(self, ids: Sequence[str]) -> list[Record]:
        by_id = {record.id: record for record in self._kept.records.values()}
        return [by_id[id] for id in ids if id in by_id]

    def at(self, positions: Sequence[int]) -> list[Record]:
        records = self._kept.records
        return [records[position] for position in positions if position in records]

    def scan(self, *, after: int = 0, limit: int | None = None, states: Sequence[State] = ("live",)) -> list[Record]:
        rows = sorted(self._kept.records.items())
        return [record for position, record in rows if position > after and record.state in states][:limit]

    def newest(self, limit: int, *, states: Sequence[State] = ("live",)) -> list[Record]:
        return self.scan(states=states)[::-1][:limit]

    def counts(self) -> dict[State, int]:
        return dict(Counter(record.state for record in self._kept.records.values()))

    def ids_ending(self, suffix: str, limit: int = 2) -> list[str]:
        return [record.id for record in self._kept.records.values() if record.id.endswith(suffix)][:limit]

    def changes(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        record_id: str | None = None,
        step: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Change]:
        found = [
            change
            for _, change in self._kept.journal
            if change.seq > after
            and (before is None or change.seq < before)
            and (record_id is None or change.record_id == record_id)
            and (step is None or change.step == step)
        ]
        return (found[::-1] if newest_first else found)[:limit]

    def steps(self, *, before: int | None = None, limit: int = 1) -> list[Change]:
        return [change for change in self.changes(before=before, newest_first=True) if change.step == change.seq][
            :limit
        ]

    def changed(self, after: int, limit: int | None = None) -> Delta:
        kept, heads = self._state()
        entries = [(position, change) for position, change in kept.journal if change.seq > after][:limit]
        head = heads.get(self._scope.root, 0)
        if limit is not None and len(entries) == limit:
            head = entries[-1][1].seq
        touched = sorted({position for position, _ in entries})
        standing = [kept.records[position] for position in touched if position in kept.records]
        return Delta(standing, [position for position in touched if position not in kept.records], head)

    def cursor(self, projection: str) -> int:
        return self._kept.cursors.get(projection, 0)

    def embedders(self) -> list[str]:
        return [name for name, kept in self._kept.vectors.items() if kept]

    def serving(self) -> Serving | None:
        return self._kept.serving

    def vectors(self, embedder: str, positions: Sequence[int] | None = None) -> Vectors:
        kept = self._kept.vectors.get(embedder, {})
        chosen = sorted(kept if positions is None else set(positions) & kept.keys())
        rows = [np.frombuffer(base64.b64decode(kept[position][1]), "<f4") for position in chosen]
        matrix = np.array(rows, np.float32) if rows else np.empty((0, 0), np.float32)
        return Vectors(np.array(chosen, np.int64), [bytes.fromhex(kept[position][0]) for position in chosen], matrix)

    def tokens(self, embedder: str, positions: Sequence[int]) -> dict[int, bytes]:
        kept = self._kept.tokens.get(embedder, {})
        return {position: base64.b64decode(kept[position]) for position in positions if position in kept}

    def segments(self, projection: str) -> list[Segment]:
        kept = self._kept.segments.get(projection, [])
        return [Segment(until, base64.b64decode(body)) for until, body in kept]


class _PlainTransaction(_PlainReader):
    def write(
        self,
        drafts: Iterable[Draft],
        *,
        actor: str,
        cause: str = "",
        step: int | None = None,
        undoes: int | None = None,
    ) -> list[Change]:
        first_seen: dict[str, int] = {}
        for position, change in self._kept.journal:
            first_seen.setdefault(change.record_id, position)
        written: list[Change] = []
        for draft in drafts:
            seq = self._heads[self._scope.root] = self.head() + 1
            step = seq if step is None else step
            position = first_seen.setdefault(draft.record_id, seq)
            if draft.record is None:
                self._remove(position)
            elif draft.before is None and position in self._kept.records:
                raise Conflict("a record with this id is already here", way_out="Edit it, or add without an id.")
            else:
                self._kept.records[position] = replace(draft.record, position=position)
            change = Change(
                seq, now(), actor, draft.verb, draft.record_id, draft.before, draft.after, cause, step, undoes
            )
            self._kept.journal.append((position, change))
            written.append(change)
        return written

    def _remove(self, position: int) -> None:
        self._kept.records.pop(position, None)
        for vectors in self._kept.vectors.values():
            vectors.pop(position, None)
        for tokens in self._kept.tokens.values():
            tokens.pop(position, None)

    def erase(self, ids: Sequence[str], *, actor: str, cause: str = "", step: int | None = None) -> list[Change]:
        self._kept.journal = [
            (position, replace(change, before=None, after=None, cause="") if change.record_id in ids else change)
            for position, change in self._kept.journal
        ]
        self._kept.segments.clear()
        return self.write([Draft("erase", id, None, None, None) for id in ids], actor=actor, cause=cause, step=step)

    def put_vectors(self, embedder: str, vectors: Vectors, *, moved: tuple[int, int] | None = None) -> None:
        name = vectors_cursor(embedder)
        if moved is not None:
            if self._kept.cursors.get(name, 0) != moved[0]:
                return
            self._kept.cursors[name] = moved[1]
        kept = self._kept.vectors.setdefault(embedder, {})
        for position, digest, row in zip(vectors.positions.tolist(), vectors.digests, vectors.matrix, strict=True):
            if position in self._kept.records:
                kept[position] = (digest.hex(), base64.b64encode(row.astype("<f4").tobytes()).decode())
        tokens = self._kept.tokens.setdefault(embedder, {})
        bodies = vectors.tokens or [b""] * len(vectors.positions)
        for position, body in zip(vectors.positions.tolist(), bodies, strict=True):
            tokens.pop(position, None)
            if position in kept and body:
                tokens[position] = base64.b64encode(body).decode()

    def drop_vectors(self, embedder: str, positions: Sequence[int] | None = None) -> None:
        if positions is not None:
            for position in positions:
                self._kept.vectors.get(embedder, {}).pop(position, None)
                self._kept.tokens.get(embedder, {}).pop(position, None)
            return
        self._kept.vectors.pop(embedder, None)
        self._kept.tokens.pop(embedder, None)
        self._kept.cursors.pop(vectors_cursor(embedder), None)

    def put_segment(self, projection: str, segment: Segment, *, standing: Sequence[int], kept: int) -> bool:
        held = self._kept.segments.get(projection, [])
        erased = any(change.verb == "erase" for change in self.changes(after=segment.until))
        if erased or [until for until, _ in held] != list(standing):
            return False
        self._kept.segments[projection] = [*held[:kept], (segment.until, base64.b64encode(segment.data).decode())]
        return True

    def serve(self, serving: Serving, *, instead_of: str | None) -> bool:
        standing = self._kept.serving
        if (standing and standing.embedder) != instead_of:
            return False
        self._kept.serving = serving
        if standing is not None:
            self._heads[self._scope.root] = self.head() + 1
        return True


class PlainScope(_PlainReader):
    """One scope of a `PlainLedger`. Each read loads the state anew."""

    def __init__(self, ledger: PlainLedger, scope: Scope) -> None:
        super().__init__(self._newest, scope)
        self._ledger = ledger

    def _newest(self) -> tuple[_Kept, dict[str, int]]:
        with self._ledger.state(self._scope) as (kept, heads, _):
            return kept, heads

    @property
    def scope(self) -> Scope:
        return self._scope

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        with self._ledger.state(self._scope) as (kept, heads, _):
            yield _PlainReader(lambda: (kept, heads), self._scope)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        with self._ledger.state(self._scope) as (kept, heads, write_back):
            result = work(_PlainTransaction(lambda: (kept, heads), self._scope))
            write_back()
            return result

    def reclaim(self) -> None:
        """A state saved anew holds no erased words."""

    def verify(self) -> list[str]:
        with self.snapshot() as reader:
            return disagreements(reader)
