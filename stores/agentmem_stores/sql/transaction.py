"""What can be written to one scope, inside one write transaction: seqs are given, entries and rows go in together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from agentmem.errors import Conflict, EmbeddingError, LedgerError
from agentmem.ledger import Draft, Segment, Serving, Vectors, vectors_cursor
from agentmem.records import Change, Record, Scope
from agentmem.values import now
from agentmem_stores.sql import schema
from agentmem_stores.sql.engine import driver_of
from agentmem_stores.sql.heads import COUNT, whole
from agentmem_stores.sql.hot import HotStatements
from agentmem_stores.sql.reader import SqlReader, chunks
from agentmem_stores.sql.schema import (
    LAST_NUMBER,
    RECORD_COLUMNS,
    calls,
    cursors,
    embedders,
    in_scope,
    jobs,
    journal,
    key_of,
    records,
    segments,
    serving,
    tokens,
    vectors,
)


class Scopes(Protocol):
    """What a transaction needs of the ledger it is in."""

    hot: HotStatements

    def ids_of(self, connection: Connection, scope: Scope) -> tuple[int, int] | None: ...

    def make_scope(self, connection: Connection, scope: Scope) -> tuple[int, int]: ...

    def lock_embedders(self, connection: Connection) -> None: ...


_PIECE = 16 << 20  # bytes of a segment in one row: what a driver copies at once

_UPDATE_RECORD = (
    update(records)
    .where(records.c.key == bindparam("_key"))
    .values({column.name: bindparam(f"_{column.name}") for column in RECORD_COLUMNS if column.name != "key"})
)


class SqlTransaction(SqlReader):
    """Reads and writes on the group commit's connection."""

    def __init__(self, ledger: Scopes, connection: Connection, scope: Scope) -> None:
        super().__init__(connection, scope, ledger.ids_of(connection, scope))
        self._ledger = ledger
        self._hot = ledger.hot
        self._driver = driver_of(connection)

    def write(
        self,
        drafts: Iterable[Draft],
        *,
        actor: str,
        cause: str = "",
        step: int | None = None,
        undoes: int | None = None,
    ) -> list[Change]:
        drafts = list(drafts)
        if not drafts:
            return []
        scope_id, _ = ids = self._made()
        head = self._hot.advance(self._driver, ids, len(drafts))
        if head > LAST_NUMBER:
            raise LedgerError(f"{self._scope.root} has had {LAST_NUMBER:,} changes, which are the most")
        first = head - len(drafts) + 1
        step = first if step is None else step
        at = now()
        micros = schema.to_micros(at)
        positions = self._positions(drafts, first)
        changes, entries = [], []
        for seq, draft in enumerate(drafts, first):
            changes.append(
                Change(
                    seq,
                    at,
                    actor,
                    draft.verb,
                    draft.record_id,
                    draft.before,
                    draft.after,
                    cause,
                    step,
                    undoes,
                )
            )
            entries.append(
                {
                    "key": key_of(scope_id, seq),
                    "step": step,
                    "undoes": undoes,
                    "at": micros,
                    "actor": actor,
                    "verb": draft.verb,
                    "record_id": draft.record_id,
                    "record_key": key_of(scope_id, positions[draft.record_id]),
                    "cause": cause,
                    "before": None if draft.before is None else schema.dump(draft.before),
                    "after": None if draft.after is None else schema.dump(draft.after),
                }
            )
        self._hot.insert_journal(self._driver, entries)
        self._make_current(drafts, positions)
        return changes

    def _made(self) -> tuple[int, int]:
        if self._ids is None:
            self._ids = self._ledger.make_scope(self._connection, self._scope)
        return self._ids

    def _positions(self, drafts: Sequence[Draft], first: int) -> dict[str, int]:
        """Each record's number: the `seq` of its first change ever, which an undo and a redo leave as it was."""
        positions: dict[str, int] = {}
        sought = []
        for draft in drafts:
            if draft.record is not None and draft.record.position:
                positions[draft.record_id] = draft.record.position
            elif not draft.fresh:
                sought.append(draft.record_id)
        if sought:
            positions |= self._positions_of(sought)
        for seq, draft in enumerate(drafts, first):
            positions.setdefault(draft.record_id, seq)
        return positions

    def _make_current(self, drafts: Sequence[Draft], positions: dict[str, int]) -> None:
        """Rows as the last draft of each record leaves them."""
        stood: dict[str, bool] = {}
        left: dict[str, Record | None] = {}
        for draft in drafts:
            stood.setdefault(draft.record_id, draft.before is not None)
            left[draft.record_id] = draft.record
        inserts: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        gone: list[int] = []
        for id, record in left.items():
            if record is None:
                gone.append(positions[id])
            else:
                row = schema.record_row(record, self._scope_id, positions[id])
                (updates if stood[id] else inserts).append(row)
        if inserts:
            try:
                self._hot.insert_records(self._driver, inserts)
            except IntegrityError as error:
                raise Conflict(
                    "a record with this id is already here", way_out="Edit it, or add without an id."
                ) from error
        if updates:
            self._connection.execute(
                _UPDATE_RECORD, [{f"_{name}": value for name, value in row.items()} for row in updates]
            )
        self._remove(gone)

    def _remove(self, positions: Sequence[int]) -> None:
        for chunk in chunks(positions):
            self._connection.execute(delete(records).where(records.c.key.in_(self._keys(chunk))))
            for table in (vectors, tokens):
                here = and_(table.c.scope_id == self._scope_id, table.c.position.in_(chunk))
                self._connection.execute(delete(table).where(here))

    def erase(self, ids: Sequence[str], *, actor: str, cause: str = "", step: int | None = None) -> list[Change]:
        drafts = [Draft("erase", id, None, None, None) for id in ids]
        for chunk in chunks(self._entries(ids)):
            self._connection.execute(
                update(journal).where(journal.c.key.in_(chunk)).values(before=None, after=None, cause="")
            )
        self._connection.execute(delete(segments).where(segments.c.scope_id == self._scope_id))
        # What a model or a server said may quote the words.
        self._connection.execute(update(jobs).where(jobs.c.scope_id == self._scope_id).values(error=None))
        self._connection.execute(update(calls).where(calls.c.scope_id == self._scope_id).values(error=""))
        changes = self.write(drafts, actor=actor, cause=cause, step=step)
        if changes:
            # Not an update: another process may take the older row away at this moment.
            self._connection.execute(delete(cursors).where(cursors.c.scope_id == self._scope_id, schema.TO_RECLAIM))
            noted = {"scope_id": self._scope_id, "projection": schema.RECLAIM, "seq": changes[-1].seq}
            self._connection.execute(insert(cursors).values(noted))
        return changes

    def put_vectors(self, embedder: str, given: Vectors, *, moved: tuple[int, int] | None = None) -> None:
        if self._ids is None or (moved is not None and not self._move_cursor(vectors_cursor(embedder), *moved)):
            return
        embedder_id = self._embedder_id(embedder, given.matrix.shape[1])
        rows = [
            {
                "scope_id": self._scope_id,
                "embedder_id": embedder_id,
                "position": int(position),
                "digest": digest,
                "data": row.tobytes(),
                "tokens": told,
                "record": key_of(self._scope_id, int(position)),
            }
            for position, digest, row, told in zip(
                given.positions,
                given.digests,
                given.matrix.astype("<f4", copy=False),
                given.tokens or [b""] * len(given.positions),
                strict=True,
            )
        ]
        if rows:
            self._hot.put_vectors(self._driver, rows)
            self._hot.put_tokens(self._driver, rows)

    def drop_vectors(self, embedder: str, positions: Sequence[int] | None = None) -> None:
        embedder_id = self._connection.scalar(select(embedders.c.id).where(embedders.c.name == embedder))
        for table in (vectors, tokens):
            here = and_(table.c.scope_id == self._scope_id, table.c.embedder_id == embedder_id)
            if positions is None:
                self._connection.execute(delete(table).where(here))
            else:
                for chunk in chunks(positions):
                    self._connection.execute(delete(table).where(here, table.c.position.in_(chunk)))
        if positions is not None:
            return
        here = and_(cursors.c.scope_id == self._scope_id, cursors.c.projection == vectors_cursor(embedder))
        self._connection.execute(delete(cursors).where(here))

    def put_segment(self, projection: str, segment: Segment, *, standing: Sequence[int], kept: int) -> bool:
        scope_id, _ = self._made()
        here = and_(segments.c.scope_id == scope_id, segments.c.projection == projection)
        found = self._connection.scalars(select(segments.c.until).where(here).distinct().order_by(segments.c.until))
        erased = select(journal.c.key).where(
            in_scope(journal.c.key, scope_id, segment.until), journal.c.verb == "erase"
        )
        if found.all() != list(standing) or self._connection.scalar(erased.limit(1)) is not None:
            return False
        if kept < len(standing):
            self._connection.execute(delete(segments).where(here, segments.c.until >= standing[kept]))
        whole = {"scope_id": scope_id, "projection": projection, "until": segment.until}
        for piece, start in enumerate(range(0, max(1, len(segment.data)), _PIECE)):
            data = segment.data[start : start + _PIECE]
            self._connection.execute(insert(segments).values(**whole, piece=piece, data=data))
        return True

    def serve(self, chosen: Serving, *, instead_of: str | None) -> bool:
        standing = self.serving()
        if (standing and standing.embedder) != instead_of:
            return False
        scope_id, _ = ids = self._made()
        values = chosen._asdict()
        if standing is None:
            self._connection.execute(insert(serving).values(scope_id=scope_id, **values))
        else:
            self._connection.execute(update(serving).where(serving.c.scope_id == scope_id).values(values))
            self._connection.execute(COUNT, whole(*ids))  # no entry will tell
            self._hot.advance(self._driver, ids, 1)
        return True

    def _embedder_id(self, name: str, dimension: int) -> int:
        known = self._hot.embedder(self._driver, name)
        if known is None:
            self._ledger.lock_embedders(self._connection)
            known = self._hot.embedder(self._driver, name)
        if known is None:
            made = self._connection.scalar(
                insert(embedders).values(name=name, dimension=dimension).returning(embedders.c.id)
            )
            assert made is not None
            return int(made)
        id, standing = known
        if standing != dimension:
            raise EmbeddingError(
                f"{name} has vectors of {standing} dimensions here, not {dimension}",
                way_out="Give the embedder another id: vectors of two models are never mixed.",
            )
        return id

    def _move_cursor(self, projection: str, since: int, until: int) -> bool:
        """Whether it stood at `since`, and stands at `until` now."""
        here = and_(cursors.c.scope_id == self._scope_id, cursors.c.projection == projection)
        standing = self._connection.scalar(select(cursors.c.seq).where(here))
        if (standing or 0) != since:
            return False
        if standing is None:
            self._connection.execute(insert(cursors).values(scope_id=self._scope_id, projection=projection, seq=until))
        else:
            self._connection.execute(update(cursors).where(here).values(seq=until))
        return True
