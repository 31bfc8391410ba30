"""`SqlLedger`: the ledger protocol on SQLAlchemy Core.

It knows rows, seqs and scopes, and how to be atomic. It refuses to know what a verb means. Statements are the same on
every database; what differs (how a transaction begins, how space is given back) stands in `engine.py` and in
`SqlLedger.reclaim`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from agentmem.errors import Conflict, EmbeddingError, LedgerError
from agentmem.ledger import Delta, Draft, Durability, Transaction, Vectors, vectors_cursor
from agentmem.records import Change, Record, Scope, State, now
from agentmem_stores.sql import migrations, schema
from agentmem_stores.sql.engine import GroupCommit, sqlite_engine, telling_faults
from agentmem_stores.sql.schema import (
    CHANGE_COLUMNS,
    RECORD_COLUMNS,
    cursors,
    embedders,
    journal,
    records,
    roots,
    scopes,
    vectors,
)

T = TypeVar("T")
X = TypeVar("X")
FILE_NAME = "ledger.sqlite3"
_CHUNK = (
    500  # ids bound in one statement: far below SQLite's 32,766 variables, large enough that the round trip vanishes
)


def open_sqlite(location: str, *, create: bool, durability: Durability) -> SqlLedger:
    """The ledger in a folder. With `create`, the folder (0700) and the file (0600) are made when missing."""
    path = Path(location.removeprefix("sqlite:///")).expanduser()
    file = path / FILE_NAME
    if not file.exists():
        if not create:
            raise LedgerError(f"there is no memory at {path}", way_out=f"Make one: agentmem init {path}")
        if path.exists() and not path.is_dir():
            raise LedgerError(f"{path} is a file; a memory is a folder", way_out="Choose another name.")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
        except OSError as error:
            raise LedgerError(
                f"{path} cannot be made: {error.strerror}", way_out="Choose a folder you may write to."
            ) from error
    return SqlLedger(sqlite_engine(file, durability), url=str(path), file=file)


class SqlLedger:
    """An open ledger. Made current at opening; a ledger of a newer version is refused untouched."""

    def __init__(self, engine: Engine, *, url: str, file: Path | None = None) -> None:
        self._engine = engine
        self._url = url
        self._file = file
        self.writer = GroupCommit(engine, url)
        self._scope_ids: dict[Scope, tuple[int, int]] = {}
        try:
            with self.reading() as connection:
                done = migrations.applied(connection)
                migrations.refuse_newer(done)
            if set(done) != set(migrations.known()):
                self.writer.run(migrations.migrate)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self._url

    def bind(self, scope: Scope) -> SqlScope:
        return SqlScope(self, scope)

    def size(self) -> int:
        if self._file is None:
            return 0
        return sum(file.stat().st_size for file in self._file.parent.glob(self._file.name + "*"))

    def close(self) -> None:
        with self.writer.alone():
            self.writer.close()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one read transaction: every statement in it sees the same snapshot."""
        with telling_faults(self._url), self._engine.connect() as connection:
            yield connection

    def ids_of(self, connection: Connection, scope: Scope) -> tuple[int, int] | None:
        """(scope id, root id), or None for a scope that nothing was written to."""
        known = self._scope_ids.get(scope)
        if known is not None:
            return known
        row = connection.execute(select(scopes.c.id, scopes.c.root_id).where(scopes.c.path == str(scope))).first()
        return None if row is None else (row.id, row.root_id)

    def remember_ids(self, scope: Scope, ids: tuple[int, int]) -> None:
        """Cache what is committed; an id seen inside a transaction that fails may later be another scope's."""
        self._scope_ids[scope] = ids

    def make_scope(self, connection: Connection, scope: Scope) -> tuple[int, int]:
        root_id = connection.scalar(select(roots.c.id).where(roots.c.name == scope.root))
        if root_id is None:
            root_id = connection.scalar(insert(roots).values(name=scope.root, head=0).returning(roots.c.id))
        scope_id = connection.scalar(insert(scopes).values(root_id=root_id, path=str(scope)).returning(scopes.c.id))
        assert root_id is not None
        assert scope_id is not None
        return scope_id, root_id

    def reclaim(self) -> None:
        """Rewrite the file without the space that deleted rows left, so that erased words are not in it any more."""
        with self.writer.alone(), telling_faults(self._url):
            self.writer.close()
            raw = self._engine.raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute("VACUUM")
                # (busy, pages in the log, pages moved): busy while another process reads an older snapshot.
                busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                cursor.close()
            finally:
                raw.close()
        if busy:
            raise LedgerError(
                "the words are erased, but another process still reads an older snapshot that holds them",
                way_out="Close it, then run: agentmem doctor --fix",
            )

    def verify(self, connection: Connection) -> list[str]:
        """Sentences about what is wrong with the file; none when it is sound."""
        said = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        return [] if said == ["ok"] else [f"the file is damaged: {line}" for line in said]


class _SqlReader:
    """The reads of one scope on a given connection; `ids` is None while nothing was ever written to the scope."""

    def __init__(self, connection: Connection, scope: Scope, ids: tuple[int, int] | None) -> None:
        self._connection = connection
        self._scope = scope
        self._ids = ids

    @property
    def _scope_id(self) -> int:
        return -1 if self._ids is None else self._ids[0]

    def get(self, ids: Sequence[str]) -> list[Record]:
        found: dict[str, Record] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
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
        for chunk in _chunks(positions):
            query = select(*RECORD_COLUMNS).where(records.c.scope_id == self._scope_id, records.c.position.in_(chunk))
            found.update((row.position, schema.row_record(row, self._scope)) for row in self._connection.execute(query))
        return [found[position] for position in positions if position in found]

    def changes(
        self,
        *,
        after: int = 0,
        record_id: str | None = None,
        step: int | None = None,
        before_step: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Change]:
        query = select(*CHANGE_COLUMNS).where(journal.c.scope_id == self._scope_id)
        if after:
            query = query.where(journal.c.seq > after)
        if record_id is not None:
            query = query.where(journal.c.record_id == record_id)
        if step is not None:
            query = query.where(journal.c.step == step)
        order = [journal.c.seq]
        if before_step is not None:
            query = query.where(journal.c.step < before_step)
            order = [journal.c.step, journal.c.seq]
        query = query.order_by(*(column.desc() if newest_first else column for column in order))
        return [schema.row_change(row) for row in self._connection.execute(_limited(query, limit))]

    def head(self) -> int:
        if self._ids is None:
            return 0
        return self._connection.scalar(select(roots.c.head).where(roots.c.id == self._ids[1])) or 0

    def changed(self, after: int, limit: int | None) -> Delta:
        head = self.head()
        query = select(*RECORD_COLUMNS).where(records.c.scope_id == self._scope_id, records.c.seq > after)
        rows = self._connection.execute(_limited(query.order_by(records.c.seq), limit)).all()
        if limit is not None and len(rows) == limit:
            head = rows[-1].seq
        gone: list[int] = []
        if after:  # a projection that starts from nothing has nothing to drop
            standing = select(records.c.position).where(
                records.c.scope_id == self._scope_id, records.c.position == journal.c.position
            )
            dropped = (
                select(journal.c.position)
                .distinct()
                .where(
                    journal.c.scope_id == self._scope_id,
                    journal.c.seq > after,
                    journal.c.seq <= head,
                    journal.c.after.is_(None),
                    ~standing.exists(),
                )
            )
            gone = list(self._connection.scalars(dropped))
        return Delta([schema.row_record(row, self._scope) for row in rows], gone, head)

    def scan(self, after: int, limit: int | None, states: Sequence[State]) -> list[Record]:
        query = select(*RECORD_COLUMNS).where(
            records.c.scope_id == self._scope_id, records.c.position > after, records.c.state.in_(states)
        )
        rows = self._connection.execute(_limited(query.order_by(records.c.position), limit))
        return [schema.row_record(row, self._scope) for row in rows]

    def newest(self, limit: int, states: Sequence[State]) -> list[Record]:
        query = select(*RECORD_COLUMNS).where(records.c.scope_id == self._scope_id, records.c.state.in_(states))
        rows = self._connection.execute(query.order_by(records.c.position.desc()).limit(limit))
        return [schema.row_record(row, self._scope) for row in rows]

    def counts(self) -> dict[State, int]:
        query = select(records.c.state, func.count()).where(records.c.scope_id == self._scope_id)
        return dict(self._connection.execute(query.group_by(records.c.state)).tuples().all())

    def embedders(self) -> list[str]:
        held = select(vectors.c.position).where(
            vectors.c.scope_id == self._scope_id, vectors.c.embedder_id == embedders.c.id
        )
        return list(self._connection.scalars(select(embedders.c.name).where(held.exists())))

    def ids_ending(self, suffix: str, limit: int) -> list[str]:
        query = select(records.c.id).where(
            records.c.scope_id == self._scope_id, records.c.id.endswith(suffix, autoescape=True)
        )
        return list(self._connection.scalars(query.limit(limit)))

    def cursor(self, projection: str) -> int:
        query = select(cursors.c.seq).where(cursors.c.scope_id == self._scope_id, cursors.c.projection == projection)
        return self._connection.scalar(query) or 0

    def vectors(self, embedder: str, positions: Sequence[int] | None) -> Vectors:
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
        else:
            found = []
            for chunk in _chunks(sorted(positions)):
                found += self._connection.execute(
                    query.where(vectors.c.position.in_(chunk)).order_by(vectors.c.position)
                )
        matrix = np.frombuffer(b"".join(data for _, _, data in found), dtype="<f4").reshape(len(found), row.dimension)
        return Vectors(
            np.array([position for position, _, _ in found], np.int64),
            [digest for _, digest, _ in found],
            matrix,
        )

    def verify(self, ledger: SqlLedger) -> list[str]:
        wrong = ledger.verify(self._connection)
        here = records.c.scope_id == self._scope_id
        newest = (
            select(journal.c.record_id, func.max(journal.c.seq).label("seq"))
            .where(journal.c.scope_id == self._scope_id)
            .group_by(journal.c.record_id)
            .subquery()
        )
        joined = select(records.c.id, records.c.seq, newest.c.seq.label("journaled")).join_from(
            records, newest, newest.c.record_id == records.c.id, isouter=True
        )
        for row in self._connection.execute(joined.where(here)):
            if row.journaled != row.seq:
                wrong.append(f"record {row.id} stands at change {row.seq}, the journal's last is {row.journaled}")
        rebuilt: dict[str, dict[str, Any]] = {}
        for change in self.changes():
            if change.after is None:
                rebuilt.pop(change.record_id, None)
            elif change.before is None:
                rebuilt[change.record_id] = dict(change.after)
            elif change.record_id in rebuilt:
                rebuilt[change.record_id].update(change.after)
        for record in self.scan(0, None, ("live", "forgotten", "replaced")):
            told = rebuilt.pop(record.id, None)
            if told is None or Record.from_json(told) != record:
                wrong.append(f"record {record.id} is not what its journal says")
        wrong += [f"the journal tells of record {id}, which is missing" for id in rebuilt]
        return wrong


class SqlTransaction(_SqlReader):
    """Reads and writes on the group commit's connection."""

    def __init__(self, ledger: SqlLedger, connection: Connection, scope: Scope) -> None:
        super().__init__(connection, scope, ledger.ids_of(connection, scope))
        self._ledger = ledger

    @property
    def ids(self) -> tuple[int, int] | None:
        return self._ids

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
        if self._ids is None:
            self._ids = self._ledger.make_scope(self._connection, self._scope)
        scope_id, root_id = self._ids
        head = self._connection.scalar(
            update(roots).where(roots.c.id == root_id).values(head=roots.c.head + len(drafts)).returning(roots.c.head)
        )
        assert head is not None
        first = head - len(drafts) + 1
        step = first if step is None else step
        at = now()
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
                    "scope_id": scope_id,
                    "seq": seq,
                    "step": step,
                    "undoes": undoes,
                    "at": schema.to_micros(at),
                    "actor": actor,
                    "verb": draft.verb,
                    "record_id": draft.record_id,
                    "position": positions[draft.record_id],
                    "cause": cause,
                    "before": None if draft.before is None else schema.dump(draft.before),
                    "after": None if draft.after is None else schema.dump(draft.after),
                }
            )
        self._connection.execute(insert(journal), entries)
        self._make_current(drafts, first, positions)
        return changes

    def _positions(self, drafts: Sequence[Draft], first: int) -> dict[str, int]:
        """Each record's number: the `seq` of its first change ever, which an undo and a redo leave as it was."""
        positions: dict[str, int] = {}
        sought = []
        for draft in drafts:
            if draft.record is not None and draft.record.position:
                positions[draft.record_id] = draft.record.position
            elif not draft.fresh:
                sought.append(draft.record_id)
        for chunk in _chunks(sought):
            known = (
                select(journal.c.record_id, func.min(journal.c.position))
                .where(journal.c.scope_id == self._scope_id, journal.c.record_id.in_(chunk))
                .group_by(journal.c.record_id)
            )
            positions.update(self._connection.execute(known).tuples().all())
        for seq, draft in enumerate(drafts, first):
            positions.setdefault(draft.record_id, seq)
        return positions

    def _make_current(self, drafts: Sequence[Draft], first: int, positions: dict[str, int]) -> None:
        inserts: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        gone: list[int] = []
        for seq, draft in enumerate(drafts, first):
            position = positions[draft.record_id]
            if draft.record is None:
                gone.append(position)
            else:
                row = schema.record_row(draft.record, self._scope_id, seq, position)
                (inserts if draft.before is None else updates).append(row)
        if inserts:
            try:
                self._connection.execute(insert(records), inserts)
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
        for chunk in _chunks(positions):
            for table in (records, vectors):
                self._connection.execute(
                    delete(table).where(table.c.scope_id == self._scope_id, table.c.position.in_(chunk))
                )

    def erase(self, ids: Sequence[str], *, actor: str, cause: str) -> list[Change]:
        """The rows, vectors and journal bodies of these ids gone, and one `erase` entry each."""
        drafts = [Draft("erase", id, None, None, None) for id in ids]
        positions = self._positions(drafts, 0)
        for chunk in _chunks(ids):
            self._connection.execute(
                update(journal)
                .where(journal.c.scope_id == self._scope_id, journal.c.record_id.in_(chunk))
                .values(before=None, after=None)
            )
        self._remove(list(positions.values()))
        return self.write(drafts, actor=actor, cause=cause)

    def put_vectors(self, embedder: str, given: Vectors, *, cursor: int | None = None) -> None:
        if self._ids is None:
            return
        embedder_id = self._embedder_id(embedder, given.matrix.shape[1])
        rows = [
            {
                "scope_id": self._scope_id,
                "embedder_id": embedder_id,
                "position": int(position),
                "digest": digest,
                "data": row.tobytes(),
            }
            for position, digest, row in zip(
                given.positions, given.digests, given.matrix.astype("<f4", copy=False), strict=True
            )
        ]
        for chunk in _chunks(rows):
            of_chunk = [row["position"] for row in chunk]
            self._connection.execute(
                delete(vectors).where(
                    vectors.c.scope_id == self._scope_id,
                    vectors.c.embedder_id == embedder_id,
                    vectors.c.position.in_(of_chunk),
                )
            )
            standing = set(
                self._connection.scalars(
                    select(records.c.position).where(
                        records.c.scope_id == self._scope_id, records.c.position.in_(of_chunk)
                    )
                )
            )
            kept = [row for row in chunk if row["position"] in standing]
            if kept:
                self._connection.execute(insert(vectors), kept)
        if cursor is not None:
            self._move_cursor(vectors_cursor(embedder), cursor)

    def drop_vectors(self, embedder: str) -> None:
        embedder_id = self._connection.scalar(select(embedders.c.id).where(embedders.c.name == embedder))
        if embedder_id is not None:
            here = and_(vectors.c.scope_id == self._scope_id, vectors.c.embedder_id == embedder_id)
            self._connection.execute(delete(vectors).where(here))
        here = and_(cursors.c.scope_id == self._scope_id, cursors.c.projection == vectors_cursor(embedder))
        self._connection.execute(delete(cursors).where(here))

    def _embedder_id(self, name: str, dimension: int) -> int:
        row = self._connection.execute(
            select(embedders.c.id, embedders.c.dimension).where(embedders.c.name == name)
        ).first()
        if row is None:
            made = self._connection.scalar(
                insert(embedders).values(name=name, dimension=dimension).returning(embedders.c.id)
            )
            assert made is not None
            return int(made)
        if row.dimension != dimension:
            raise EmbeddingError(
                f"{name} has vectors of {row.dimension} dimensions here, not {dimension}",
                way_out="Give the embedder another id: vectors of two models are never mixed.",
            )
        return int(row.id)

    def _move_cursor(self, projection: str, seq: int) -> None:
        here = and_(cursors.c.scope_id == self._scope_id, cursors.c.projection == projection)
        standing = self._connection.scalar(select(cursors.c.seq).where(here))
        if standing is None:
            self._connection.execute(insert(cursors).values(scope_id=self._scope_id, projection=projection, seq=seq))
        elif standing < seq:
            self._connection.execute(update(cursors).where(here).values(seq=seq))


_UPDATE_RECORD = (
    update(records)
    .where(records.c.scope_id == bindparam("_scope_id"), records.c.position == bindparam("_position"))
    .values({column.name: bindparam(f"_{column.name}") for column in RECORD_COLUMNS if column.name != "position"})
)


class SqlScope:
    """One scope of a `SqlLedger`."""

    def __init__(self, ledger: SqlLedger, scope: Scope) -> None:
        self._ledger = ledger
        self._scope = scope

    @property
    def scope(self) -> Scope:
        return self._scope

    @contextmanager
    def _reading(self) -> Iterator[_SqlReader]:
        with self._ledger.reading() as connection:
            ids = self._ledger.ids_of(connection, self._scope)
            if ids is not None:
                self._ledger.remember_ids(self._scope, ids)
            yield _SqlReader(connection, self._scope, ids)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        def run(connection: Connection) -> tuple[T, tuple[int, int] | None]:
            transaction = SqlTransaction(self._ledger, connection, self._scope)
            return work(transaction), transaction.ids

        result, ids = self._ledger.writer.run(run)
        if ids is not None:
            self._ledger.remember_ids(self._scope, ids)
        return result

    def erase(self, ids: Sequence[str], *, actor: str, cause: str = "") -> list[Change]:
        def run(connection: Connection) -> list[Change]:
            return SqlTransaction(self._ledger, connection, self._scope).erase(ids, actor=actor, cause=cause)

        changes = self._ledger.writer.run(run)
        self._ledger.reclaim()
        return changes

    def head(self) -> int:
        with self._reading() as reader:
            return reader.head()

    def get(self, ids: Sequence[str]) -> list[Record]:
        with self._reading() as reader:
            return reader.get(ids)

    def at(self, positions: Sequence[int]) -> list[Record]:
        with self._reading() as reader:
            return reader.at(positions)

    def changes(
        self,
        *,
        after: int = 0,
        record_id: str | None = None,
        step: int | None = None,
        before_step: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Change]:
        with self._reading() as reader:
            return reader.changes(
                after=after,
                record_id=record_id,
                step=step,
                before_step=before_step,
                newest_first=newest_first,
                limit=limit,
            )

    def changed(self, after: int, limit: int | None = None) -> Delta:
        with self._reading() as reader:
            return reader.changed(after, limit)

    def scan(self, *, after: int = 0, limit: int | None = None, states: Sequence[State] = ("live",)) -> list[Record]:
        with self._reading() as reader:
            return reader.scan(after, limit, states)

    def newest(self, limit: int, *, states: Sequence[State] = ("live",)) -> list[Record]:
        with self._reading() as reader:
            return reader.newest(limit, states)

    def counts(self) -> dict[State, int]:
        with self._reading() as reader:
            return reader.counts()

    def embedders(self) -> list[str]:
        with self._reading() as reader:
            return reader.embedders()

    def ids_ending(self, suffix: str, limit: int = 2) -> list[str]:
        with self._reading() as reader:
            return reader.ids_ending(suffix, limit)

    def cursor(self, projection: str) -> int:
        with self._reading() as reader:
            return reader.cursor(projection)

    def vectors(self, embedder: str, positions: Sequence[int] | None = None) -> Vectors:
        with self._reading() as reader:
            return reader.vectors(embedder, positions)

    def verify(self) -> list[str]:
        """Sentences about where the file, the journal and the rows disagree; none when all is sound."""
        with self._reading() as reader:
            return reader.verify(self._ledger)


def _limited(query: Select[Any], limit: int | None) -> Select[Any]:
    return query if limit is None else query.limit(limit)


def _chunks(items: Sequence[X]) -> Iterator[Sequence[X]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
