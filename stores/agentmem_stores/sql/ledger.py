"""`SqlLedger`: the ledger protocol on SQLAlchemy Core.

It knows rows, seqs and scopes, and how to be atomic. It refuses to know what a verb means. Statements are the same on
every database; what differs (how a transaction begins, how space is given back) stands in `engine.py` and in
`SqlLedger.reclaim`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, delete, insert, select

from agentmem.errors import LedgerError
from agentmem.ledger import Durability, Transaction
from agentmem.records import Scope
from agentmem.verify import disagreements
from agentmem_stores.sql import migrations
from agentmem_stores.sql.engine import GroupCommit, sqlite_engine, telling_faults
from agentmem_stores.sql.hot import HotStatements
from agentmem_stores.sql.reader import SqlReader
from agentmem_stores.sql.schema import TO_RECLAIM, cursors, roots, scopes
from agentmem_stores.sql.transaction import SqlTransaction

log = logging.getLogger("agentmem")

T = TypeVar("T")
P = ParamSpec("P")
FILE_NAME = "ledger.sqlite3"


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
    if file.stat().st_size == 0 and not create:
        raise LedgerError(f"the ledger at {path} is empty: it was cut off or never made", way_out="Restore a backup.")
    return SqlLedger(sqlite_engine(file, durability), url=str(path), file=file)


class SqlLedger:
    """An open ledger. Made current at opening; a ledger of a newer version is refused untouched."""

    def __init__(self, engine: Engine, *, url: str, file: Path | None = None) -> None:
        self._engine = engine
        self._url = url
        self._file = file
        self.writer = GroupCommit(engine, url)
        self.hot = HotStatements(engine.dialect)
        self._scope_ids: dict[Scope, tuple[int, int]] = {}
        try:
            with self.reading() as connection:
                done = migrations.applied(connection)
                migrations.refuse_newer(done)
                left_behind = bool(done) and connection.scalar(select(cursors.c.seq).where(TO_RECLAIM)) is not None
            if set(done) != set(migrations.known()):
                self.writer.run(migrations.migrate)
            if left_behind:
                self._finish_erasure()
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
                "the words are erased, but an older snapshot of them is still being read, perhaps by an export",
                way_out="Let it end: the next opening of this memory clears the last copy.",
            )
        self.writer.run(lambda connection: connection.execute(delete(cursors).where(TO_RECLAIM)))

    def _finish_erasure(self) -> None:
        try:
            self.reclaim()
        except LedgerError as error:  # another process reads on: the opening after it has closed tries again
            log.warning("%s: %s", self._url, error)

    def verify(self, connection: Connection) -> list[str]:
        """Sentences about what is wrong with the file; none when it is sound."""
        said = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        return [] if said == ["ok"] else [f"the file is damaged: {line}" for line in said]


def _reading(read: Callable[Concatenate[SqlReader, P], T]) -> Callable[Concatenate[SqlScope, P], T]:
    """The same read, on a connection and a snapshot of its own."""

    @wraps(read)
    def call(self: SqlScope, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.snapshot() as reader:
            return read(reader, *args, **kwargs)

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
            ids = self._ledger.ids_of(connection, self._scope)
            if ids is not None:
                self._ledger.remember_ids(self._scope, ids)
            yield SqlReader(connection, self._scope, ids)

    head = _reading(SqlReader.head)
    get = _reading(SqlReader.get)
    at = _reading(SqlReader.at)
    scan = _reading(SqlReader.scan)
    newest = _reading(SqlReader.newest)
    counts = _reading(SqlReader.counts)
    ids_ending = _reading(SqlReader.ids_ending)
    changes = _reading(SqlReader.changes)
    steps = _reading(SqlReader.steps)
    changed = _reading(SqlReader.changed)
    cursor = _reading(SqlReader.cursor)
    embedders = _reading(SqlReader.embedders)
    vectors = _reading(SqlReader.vectors)

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

        result, ids = self._ledger.writer.run(run)
        if ids is not None:
            self._ledger.remember_ids(self._scope, ids)
        return result

    def reclaim(self) -> None:
        self._ledger.reclaim()
