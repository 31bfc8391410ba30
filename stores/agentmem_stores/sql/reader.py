"""What can be read from one scope, on one connection. The same inside a write transaction and outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from agentmem.errors import LedgerError
from agentmem.ledger import Delta, Segment, Serving, Vectors
from agentmem.records import Change, Record, Scope, State
from agentmem_stores.sql import schema
from agentmem_stores.sql.heads import HEAD, whole
from agentmem_stores.sql.schema import (
    CHANGE_COLUMNS,
    RECORD_COLUMNS,
    cursors,
    embedders,
    in_scope,
    journal,
    key_of,
    number_of,
    records,
    segments,
    serving,
    tokens,
    vectors,
)

# The statements of every recall, made once: composing one, and finding it among those compiled, costs more than
# SQLite takes to answer it.
_SCOPE: BindParameter[int] = bindparam("scope")
_CURSOR = select(cursors.c.seq).where(cursors.c.scope_id == _SCOPE, cursors.c.projection == bindparam("projection"))
_SERVING = select(serving.c.embedder, serving.c.spec).where(serving.c.scope_id == _SCOPE)
_AT = select(*RECORD_COLUMNS).where(records.c.key.in_(bindparam("keys", expanding=True)))

X = TypeVar("X")
CHUNK = 500  # values bound in one statement: far below SQLite's 32,766


def chunks(items: Sequence[X]) -> Iterator[Sequence[X]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _limited(query: Select[Any], limit: int | None) -> Select[Any]:
    return query if limit is None else query.limit(limit)


class SqlReader:
    """The reads of one scope on a given connection; `ids` is None while nothing was ever written to the scope."""

    def __init__(self, connection: Connection, scope: Scope, ids: tuple[int, int] | None) -> None:
        self._connection = connection
        self._scope = scope
        self._ids = ids

    @property
    def ids(self) -> tuple[int, int] | None:
        """(scope id, root id)"""
        return self._ids

    @property
    def _scope_id(self) -> int:
        return -1 if self._ids is None else self._ids[0]

    def get(self, ids: Sequence[str]) -> list[Record]:
        found: dict[str, Record] = {}
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            # `= ?` and `IN (?, …)` are two cached statements; a single id is the hot one.
            which = records.c.id == chunk[0] if len(chunk) == 1 else records.c.id.in_(chunk)
            for row in self._connection.execute(
                select(*RECORD_COLUMNS).where(records.c.scope_id == self._scope_id, which)
            ):
                record = schema.row_record(row, self._scope)
                found[record.id] = record
        return [found[id] for id in ids if id in found]

    def at(self, positions: Sequence[int]) -> list[Record]:
        found: dict[int, Record] = {}
        for chunk in chunks(positions):
            for row in self._connection.execute(_AT, {"keys": self._keys(chunk)}):
                record = schema.row_record(row, self._scope)
                found[record.position] = record
        return [found[position] for position in positions if position in found]

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
        if step is not None:  # named by its first change: nothing before it is looked at, and no index kept for steps
            after = max(after, step - 1)
        query = select(*CHANGE_COLUMNS).where(in_scope(journal.c.key, self._scope_id, after, before))
        if step is not None:
            query = query.where(journal.c.step == step)
        query = query.order_by(journal.c.key.desc() if newest_first else journal.c.key)
        if record_id is None:
            return [schema.row_change(row) for row in self._connection.execute(_limited(query, limit))]
        entries = self._entries([record_id])
        found = [
            schema.row_change(row)
            for chunk in chunks(entries[::-1] if newest_first else entries)
            for row in self._connection.execute(query.where(journal.c.key.in_(chunk)))
        ]
        return found[:limit]

    def _positions_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Where records stand, or stood: those that are gone have an entry that says so."""
        found: dict[str, int] = {}
        for chunk in chunks(ids):
            here = select(records.c.id, records.c.key).where(
                records.c.scope_id == self._scope_id, records.c.id.in_(chunk)
            )
            found.update((id, number_of(key)) for id, key in self._connection.execute(here))
        for chunk in chunks([id for id in ids if id not in found]):
            gone = select(journal.c.record_id, journal.c.record_key).where(*self._later(chunk))
            found.update((id, number_of(key)) for id, key in self._connection.execute(gone))
        return found

    def _entries(self, ids: Sequence[str]) -> list[int]:
        """The keys of all entries of these records."""
        found = set(self._keys(self._positions_of(ids).values()))
        for chunk in chunks(ids):
            found.update(self._connection.scalars(select(journal.c.key).where(*self._later(chunk))))
        return sorted(found)

    def _later(self, ids: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
        """Entries of these records but their first. The plus keeps SQLite from reading the whole scope instead."""
        key: ColumnElement[int] = literal_column("+journal.key", BigInteger)
        return in_scope(key, self._scope_id), journal.c.record_id.in_(ids), journal.c.key != journal.c.record_key

    def _keys(self, positions: Iterable[int]) -> list[int]:
        return [key_of(self._scope_id, position) for position in positions]

    def steps(self, *, before: int | None = None, limit: int = 1) -> list[Change]:
        first = journal.c.step + key_of(self._scope_id, 0) == journal.c.key
        query = select(*CHANGE_COLUMNS).where(in_scope(journal.c.key, self._scope_id, before=before), first)
        rows = self._connection.execute(query.order_by(journal.c.key.desc()).limit(limit))
        return [schema.row_change(row) for row in rows]

    def head(self) -> int:
        if self._ids is None:
            return 0
        return self._connection.scalar(HEAD, whole(*self._ids)) or 0

    def changed(self, after: int, limit: int | None = None) -> Delta:
        head = self.head()
        if not after and limit is None:  # all there is: no need to read the journal
            everything = select(*RECORD_COLUMNS).where(in_scope(records.c.key, self._scope_id))
            rows = self._connection.execute(everything.order_by(records.c.key)).all()
            return Delta([schema.row_record(row, self._scope) for row in rows], [], head)
        touched = select(journal.c.key, journal.c.record_key).where(in_scope(journal.c.key, self._scope_id, after))
        entries = self._connection.execute(_limited(touched.order_by(journal.c.key), limit)).all()
        if limit is not None and len(entries) == limit:
            head = number_of(entries[-1].key)
        positions = sorted({number_of(entry.record_key) for entry in entries})
        standing = self.at(positions)
        return Delta(standing, sorted(set(positions) - {record.position for record in standing}), head)

    def scan(self, *, after: int = 0, limit: int | None = None, states: Sequence[State] = ("live",)) -> list[Record]:
        query = select(*RECORD_COLUMNS).where(
            in_scope(records.c.key, self._scope_id, after), records.c.state.in_(states)
        )
        rows = self._connection.execute(_limited(query.order_by(records.c.key), limit))
        return [schema.row_record(row, self._scope) for row in rows]

    def newest(self, limit: int, *, states: Sequence[State] = ("live",)) -> list[Record]:
        query = select(*RECORD_COLUMNS).where(in_scope(records.c.key, self._scope_id), records.c.state.in_(states))
        rows = self._connection.execute(query.order_by(records.c.key.desc()).limit(limit))
        return [schema.row_record(row, self._scope) for row in rows]

    def counts(self) -> dict[State, int]:
        query = select(records.c.state, func.count()).where(in_scope(records.c.key, self._scope_id))
        return {state: n for state, n in self._connection.execute(query.group_by(records.c.state))}  # noqa: C416  # rows

    def embedders(self) -> list[str]:
        held = select(vectors.c.position).where(
            vectors.c.scope_id == self._scope_id, vectors.c.embedder_id == embedders.c.id
        )
        return list(self._connection.scalars(select(embedders.c.name).where(held.exists())))

    def serving(self) -> Serving | None:
        row = self._connection.execute(_SERVING, {"scope": self._scope_id}).first()
        return None if row is None else Serving(row.embedder, row.spec)

    def ids_ending(self, suffix: str, limit: int = 2) -> list[str]:
        alike = select(records.c.id).where(
            records.c.scope_id == self._scope_id, records.c.id.endswith(suffix, autoescape=True)
        )
        # SQLite's LIKE takes a for A: what it finds is looked at again.
        exact = (id for id in self._connection.scalars(alike) if id.endswith(suffix))
        return list(islice(exact, limit))

    def cursor(self, projection: str) -> int:
        return self._connection.scalar(_CURSOR, {"scope": self._scope_id, "projection": projection}) or 0

    def vectors(self, embedder: str, positions: Sequence[int] | None = None) -> Vectors:
        row = self._connection.execute(
            select(embedders.c.id, embedders.c.dimension).where(embedders.c.name == embedder)
        ).first()
        if row is None:
            return Vectors(np.empty(0, np.int64), [], np.empty((0, 0), np.float32))
        query = select(vectors.c.position, vectors.c.digest, vectors.c.data).where(
            vectors.c.scope_id == self._scope_id, vectors.c.embedder_id == row.id
        )
        if positions is None:
            found = list(self._connection.execute(query.order_by(vectors.c.position)))
        elif len(positions) > CHUNK and (wide := max(positions) - min(positions)) < 2 * len(positions):
            near = query.where(vectors.c.position.between(min(positions), min(positions) + wide))
            asked = set(positions)
            found = [row for row in self._connection.execute(near.order_by(vectors.c.position)) if row[0] in asked]
        else:
            found = []
            for chunk in chunks(sorted(positions)):
                found += self._connection.execute(
                    query.where(vectors.c.position.in_(chunk)).order_by(vectors.c.position)
                )
        width = 4 * row.dimension
        torn = [position for position, _, data in found if len(data) != width]
        if torn:
            raise LedgerError(
                f"the vector at position {torn[0]} is damaged: it has not {width} bytes",
                way_out="agentmem doctor --fix",
            )
        matrix = np.frombuffer(b"".join(data for _, _, data in found), dtype="<f4").reshape(len(found), row.dimension)
        return Vectors(
            np.array([position for position, _, _ in found], np.int64),
            [digest for _, digest, _ in found],
            matrix,
        )

    def tokens(self, embedder: str, positions: Sequence[int]) -> dict[int, bytes]:
        known = select(embedders.c.id).where(embedders.c.name == embedder).scalar_subquery()
        query = select(tokens.c.position, tokens.c.data).where(
            tokens.c.scope_id == self._scope_id, tokens.c.embedder_id == known
        )
        found: dict[int, bytes] = {}
        for chunk in chunks(sorted(positions)):
            rows = self._connection.execute(query.where(tokens.c.position.in_(chunk)))
            found |= {position: bytes(data) for position, data in rows}
        return found

    def segments(self, projection: str) -> list[Segment]:
        pieces = (
            select(segments.c.until, segments.c.data)
            .where(segments.c.scope_id == self._scope_id, segments.c.projection == projection)
            .order_by(segments.c.until, segments.c.piece)
        )
        by_until = groupby(self._connection.execute(pieces), lambda piece: piece.until)
        return [Segment(until, b"".join(piece.data for piece in listed)) for until, listed in by_until]
