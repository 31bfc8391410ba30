"""`SqlLedger`: the ledger protocol on SQLAlchemy Core.

It knows rows, seqs and scopes, and how to be atomic. It refuses to know what a verb means, and which database it is
on: statements are the same on all, and what differs is asked of a `Database` (see `engine.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, and_, delete, insert, or_, select
from sqlalchemy.exc import DBAPIError

from agentmem.errors import InvalidInput, LedgerError
from agentmem.filters import Counted, Filter, Order
from agentmem.ledger import Durability, Transaction
from agentmem.records import Record, Scope
from agentmem.verify import disagreements
from agentmem_stores.sql import listing, migrations
from agentmem_stores.sql.calls import SqlCalls
from agentmem_stores.sql.engine import Database, GroupCommit, driver_of, glance, telling_faults
from agentmem_stores.sql.heads import COUNT, whole
from agentmem_stores.sql.hot import HotStatements
from agentmem_stores.sql.jobs import SqlJobs
from agentmem_stores.sql.reader import CHUNK, SqlReader
from agentmem_stores.sql.schema import (
    LAST_SCOPE,
    TO_RECLAIM,
    UNCOUNTED,
    cursors,
    identity,
    number_of,
    roots,
    row_record,
    scopes,
)
from agentmem_stores.sql.sqlite import Sqlite
from agentmem_stores.sql.transaction import SqlTransaction

log = logging.getLogger("agentmem")

T = TypeVar("T")
P = ParamSpec("P")
FILE_NAME = "ledger.sqlite3"
LONGEST_PATH = 2_600  # bytes of a scope that Postgres can index; a ledger must be movable
_ERASURES = select(cursors.c.scope_id, cursors.c.seq).where(TO_RECLAIM)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # SQLite takes a log away when the last connection closes
        return 0


def open_sqlite(location: str, *, create: bool, durability: Durability) -> SqlLedger:
    """The ledger in a folder. With `create`, the folder (0700) and the file (0600) are made when missing."""
    path = Path(location.removeprefix("sqlite:///"))
    try:
        path = path.expanduser()
        file = path / FILE_NAME
        if not file.exists():
            if not create:
                raise LedgerError(f"there is no memory at {path}", way_out=f"Make one: agentmem init {path}")
            if path.exists() and not path.is_dir():
                raise LedgerError(f"{path} is a file; a memory is a folder", way_out="Choose another name.")
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
    except (OSError, RuntimeError, ValueError) as error:  # no such user to expand, a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise LedgerError(f"{path} cannot be opened: {reason}", way_out="Choose a folder you may write to.") from error
    # Of one that is being made the first page comes before the log, so the log is looked at first.
    logged = _size(file.with_name(file.name + "-wal"))
    if not _size(file) and (logged or not create):
        raise LedgerError(f"the ledger at {path} is empty: it was cut off or never made", way_out="Restore a backup.")
    return SqlLedger(Sqlite(file, durability), create=create)


class SqlLedger:
    """An open ledger. Made current at opening; a ledger of a newer version is refused untouched."""

    def __init__(self, database: Database, *, create: bool) -> None:
        self._database = database
        self.writer = GroupCommit(database)
        # Where writers of several roots do not exclude each other, jobs wait for none of them.
        self.jobs_writer = self.writer if database.one_writer else GroupCommit(database)
        self.hot = HotStatements(database.engine.dialect)
        self._scope_ids: dict[Scope, tuple[int, int]] = {}
        try:
            with self.reading() as connection:
                done = migrations.applied(connection)
                migrations.refuse_newer(done)
                left_behind = bool(done) and connection.scalar(select(cursors.c.seq).where(TO_RECLAIM)) is not None
            if not done and not create:
                raise LedgerError(f"there is no memory at {self.url}", way_out=f"Make one: agentmem init {self.url}")
            if set(done) != set(migrations.known()):
                self.writer.run(self._migrate, "tables")
            self._identity = self._read_identity()
            if left_behind:
                self._finish_erasure()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self._database.url

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def folder(self) -> Path | None:
        return self._database.folder

    def _migrate(self, connection: Connection) -> None:
        self._database.make_room(connection)
        migrations.migrate(connection)

    def _read_identity(self) -> str:
        with self.reading() as connection:
            found: str | None = connection.scalar(select(identity.c.id))
        if found is None:
            raise LedgerError(f"{self.url}: the ledger has lost its identity", way_out="Restore a backup.")
        return found

    def bind(self, scope: Scope) -> SqlScope:
        return SqlScope(self, scope)

    def size(self) -> int:
        return self.glance(self._database.size)

    def close(self) -> None:
        for writer in {self.writer, self.jobs_writer}:
            with writer.alone():
                writer.close()
        self._database.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one read transaction: every statement in it sees the same snapshot."""
        with telling_faults(self._database), closing(self._begun()) as connection:
            yield connection
            connection.commit()

    def _begun(self) -> Connection:
        connection = self._database.engine.connect()
        try:
            connection.begin()
        except DBAPIError as error:
            connection.close()
            if not error.connection_invalidated:
                raise
            connection = self._database.engine.connect()  # it was lost while it idled in the pool
            connection.begin()
        return connection

    def glance(self, read: Callable[[Connection], T]) -> T:
        """The result of a read that needs no snapshot, because it is one statement."""
        return glance(self._database, read)

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

    def made(self, scope: Scope) -> int:
        """The scope's number; one that is new is made under its root's lock, which jobs and calls do without."""

        def make(connection: Connection) -> int:
            return (self.ids_of(connection, scope) or self.make_scope(connection, scope))[0]

        known = self._scope_ids.get(scope) or self.glance(lambda connection: self.ids_of(connection, scope))
        return self.writer.run(make, self.lock_of(scope)) if known is None else known[0]

    def lock_of(self, scope: Scope) -> str:
        """What a write to the scope keeps others from: its root, whose changes are counted together."""
        return f"root/{scope.root}"

    def lock_embedders(self, connection: Connection) -> None:
        """Before an embedder is looked for again and made: the names are all roots' together."""
        self._database.lock(connection, "embedders")

    def make_scope(self, connection: Connection, scope: Scope) -> tuple[int, int]:
        if len(str(scope).encode()) > LONGEST_PATH:
            raise InvalidInput(f"the scope {str(scope)[:40]!r}… is too long", way_out="Use fewer or shorter parts.")
        root_id = connection.scalar(select(roots.c.id).where(roots.c.name == scope.root))
        if root_id is None:
            root_id = connection.scalar(insert(roots).values(name=scope.root, head=UNCOUNTED).returning(roots.c.id))
        else:
            first = connection.scalar(select(scopes.c.id).where(scopes.c.root_id == root_id))
            assert first is not None
            connection.execute(COUNT, whole(first, root_id))
        scope_id = connection.scalar(insert(scopes).values(root_id=root_id, path=str(scope)).returning(scopes.c.id))
        assert root_id is not None
        assert scope_id is not None
        if scope_id > LAST_SCOPE:
            raise LedgerError(f"{self.url}: there are {LAST_SCOPE:,} scopes, which are the most")
        return scope_id, root_id

    def reclaim(self) -> None:
        """Give back the space of what was erased so far, and note that it is done."""
        erased = self.glance(lambda connection: connection.execute(_ERASURES).all())
        with telling_faults(self._database):
            self._database.reclaim(self.writer)
        # Not those that another process has erased meanwhile: they are its own to reclaim, or the next opening's.
        if erased:
            done = or_(*(and_(cursors.c.scope_id == row.scope_id, cursors.c.seq == row.seq) for row in erased))
            self.writer.run(lambda connection: connection.execute(delete(cursors).where(TO_RECLAIM, done)))

    def _finish_erasure(self) -> None:
        try:
            self.reclaim()
        except LedgerError as error:  # another process reads on: the opening after it has closed tries again
            log.warning("%s: %s", self.url, error)

    def verify(self, connection: Connection) -> list[str]:
        """Sentences about damage below the level of rows; none when all is sound."""
        return self._database.verify(connection)


def _reading(read: Callable[Concatenate[SqlReader, P], T]) -> Callable[Concatenate[SqlScope, P], T]:
    """The same read, on a connection and a snapshot of its own."""

    @wraps(read)
    def call(self: SqlScope, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.snapshot() as reader:
            return read(reader, *args, **kwargs)

    return call


def _glancing(read: Callable[Concatenate[SqlReader, P], T]) -> Callable[Concatenate[SqlScope, P], T]:
    """The same read, which is one statement, on a connection of its own."""

    @wraps(read)
    def call(self: SqlScope, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._ledger.glance(lambda connection: read(self.reader(connection), *args, **kwargs))

    return call


class SqlScope:
    """One scope of a `SqlLedger`."""

    def __init__(self, ledger: SqlLedger, scope: Scope) -> None:
        self._ledger = ledger
        self._scope = scope

    @property
    def scope(self) -> Scope:
        return self._scope

    @contextmanager
    def snapshot(self) -> Iterator[SqlReader]:
        with self._ledger.reading() as connection:
            yield self.reader(connection)

    def head(self) -> int:
        return self._directly(self._ledger.hot.head, SqlReader.head)

    def at(self, positions: Sequence[int]) -> list[Record]:
        if not 0 < len(positions) <= CHUNK:
            with self.snapshot() as reader:
                return reader.at(positions)

        def read(driver: Any, ids: tuple[int, int]) -> list[Record]:
            rows = self._ledger.hot.at(driver, ids[0], positions)
            found = {number_of(row[0]): row_record(row, self._scope) for row in rows}
            return [found[position] for position in positions if position in found]

        return self._directly(read, lambda reader: reader.at(positions))

    def positions(self, which: Filter, order: Order, *, descending: bool, limit: int | None = None) -> list[int]:
        def read(connection: Connection) -> list[int]:
            ids = self.reader(connection).ids
            if ids is None:
                return []
            return listing.positions(connection, self._scope, ids[0], which, order, descending=descending, limit=limit)

        return self._ledger.glance(read)

    def kinds(self, *, everywhere: bool) -> list[Counted]:
        return self._ledger.glance(lambda connection: listing.kinds(connection, self._scope, everywhere=everywhere))

    @property
    def jobs(self) -> SqlJobs:
        return SqlJobs(self._ledger, self._scope)

    @property
    def calls(self) -> SqlCalls:
        return SqlCalls(self._ledger, self._scope)

    def _directly(self, read: Callable[[Any, tuple[int, int]], T], usual: Callable[[SqlReader], T]) -> T:
        """What every recall asks, past SQLAlchemy, which takes longer over it than the database. When that fails it is
        asked in the usual way, which knows a lost connection when it meets one."""

        def glanced(connection: Connection) -> T:
            reader = self.reader(connection)
            try:
                return usual(reader) if reader.ids is None else read(driver_of(connection), reader.ids)
            except DBAPIError:
                return usual(reader)

        return self._ledger.glance(glanced)

    def reader(self, connection: Connection) -> SqlReader:
        ids = self._ledger.ids_of(connection, self._scope)
        if ids is not None:
            self._ledger.remember_ids(self._scope, ids)
        return SqlReader(connection, self._scope, ids)

    scan = _glancing(SqlReader.scan)
    newest = _glancing(SqlReader.newest)
    counts = _glancing(SqlReader.counts)
    ids_ending = _glancing(SqlReader.ids_ending)
    steps = _glancing(SqlReader.steps)
    cursor = _glancing(SqlReader.cursor)
    embedders = _glancing(SqlReader.embedders)
    serving = _glancing(SqlReader.serving)
    segments = _glancing(SqlReader.segments)
    # Several statements.
    get = _reading(SqlReader.get)
    changed = _reading(SqlReader.changed)
    changes = _reading(SqlReader.changes)
    vectors = _reading(SqlReader.vectors)
    tokens = _reading(SqlReader.tokens)

    def verify(self) -> list[str]:
        with self._ledger.reading() as connection:
            damaged = self._ledger.verify(connection)
        if damaged:
            return damaged
        with self.snapshot() as reader:
            return disagreements(reader)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        def run(connection: Connection) -> tuple[T, tuple[int, int] | None]:
            transaction = SqlTransaction(self._ledger, connection, self._scope)
            return work(transaction), transaction.ids

        result, ids = self._ledger.writer.run(run, self._ledger.lock_of(self._scope))
        if ids is not None:
            self._ledger.remember_ids(self._scope, ids)
        return result

    def reclaim(self) -> None:
        self._ledger.reclaim()
