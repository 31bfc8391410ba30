"""What the ledger's code asks of a database, how its faults are told, and how threads share one commit.

It names no database: SQLite's ways are in `sqlite.py`, Postgres's in `postgres.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agentmem.errors import LedgerError

T = TypeVar("T")
BUSY_TIMEOUT_S = 30  # a writer waits this long for another process; one erase of a large ledger can take seconds

BARE = "bare"  # the option of a connection that begins no transaction by itself


class Database(Protocol):
    """What one database does in its own way; every statement on a table is the same on all of them."""

    @property
    def engine(self) -> Engine:
        """Its connections begin a read transaction, one snapshot, by themselves."""
        ...

    @property
    def bare(self) -> Engine:
        """The same connections, but `BARE`: `begin` begins a write transaction on them, or none is wanted."""
        ...

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def folder(self) -> Path | None: ...

    @property
    def one_writer(self) -> bool:
        """Whether write transactions exclude each other anyway, so that a second connection for writing gains none."""
        ...

    def begin(self, connection: Connection, locks: Collection[str]) -> None:
        """Begin a write transaction that holds these locks, taken in one order by everybody, before its first read."""
        ...

    def lock(self, connection: Connection, name: str) -> None:
        """Take one more lock until the commit. Who holds it must not wait for one of `begin`'s."""
        ...

    def words(self, fault: BaseException) -> tuple[str, str]:
        """The driver's error as a sentence for a person, and the way out."""
        ...

    def make_room(self, connection: Connection) -> None:
        """What the tables need before they are made."""
        ...

    def size(self, connection: Connection) -> int:
        """Bytes on disk."""
        ...

    def reclaim(self, writer: GroupCommit) -> None:
        """Give back the space of deleted rows."""
        ...

    def verify(self, connection: Connection) -> list[str]:
        """Sentences about damage below the level of rows."""
        ...


@contextmanager
def telling_faults(database: Database) -> Iterator[None]:
    """Turn a driver's error into a LedgerError that says what happened and what to do."""
    try:
        yield
    except IntegrityError:
        raise  # the ledger's own code decides what a duplicate means
    except PoolTimeout as error:
        raise LedgerError(
            f"{database.url}: all connections of this process are in use", way_out="Let fewer threads read at once."
        ) from error
    except (DBAPIError, _driver_error(database)) as error:  # the driver's own, where SQLAlchemy does not stand between
        message, way_out = database.words(getattr(error, "orig", None) or error)
        raise LedgerError(f"{database.url}: {message}", way_out=way_out) from error


def _driver_error(database: Database) -> type[Exception]:
    driver = database.engine.dialect.dbapi
    assert driver is not None
    return cast("type[Exception]", driver.Error)


def glance(database: Database, read: Callable[[Connection], T]) -> T:
    """The result of something that needs no transaction, being one statement that may be said twice: without begin and
    end, it takes one message to a server and back. Said again if the connection was lost."""
    with telling_faults(database):
        try:
            with database.bare.connect() as connection:
                return read(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with database.bare.connect() as connection:
            return read(connection)


def driver_of(connection: Connection) -> Any:
    """The driver's own connection, for what is too hot, or too particular, for SQLAlchemy."""
    return connection.connection.dbapi_connection


def _begun(connection: Connection) -> Any:
    """What commits or rolls back the transaction that `Database.begin` began.

    SQLAlchemy keeps one of its own from the first statement that goes through it, and has to end it. No statement of
    an add on SQLite does, and SQLAlchemy's part would be a tenth of the add.
    """
    return connection.get_transaction() or driver_of(connection)


class _Ticket(Generic[T]):
    """One thread's work, waiting for a commit."""

    __slots__ = ("done", "error", "lock", "result", "work")

    def __init__(self, work: Callable[[Connection], T], lock: str | None) -> None:
        self.work = work
        self.lock = lock
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = False


class GroupCommit:
    """Writes of many threads in few commits.

    A thread queues its work, then takes the lead when nobody has it. The leader runs everything queued so far in one
    transaction, each piece behind a savepoint so that one that fails leaves no trace, and commits once for all. Who
    waited finds its work done. A lone thread pays no hand-over.

    A connection that was lost while nothing was under way is replaced unseen. One that is lost with work on it fails
    that work, and the next commit connects anew.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Faults of the disk, the file or the connection: nobody's commit can stand.
        driver: Any = database.engine.dialect.dbapi
        self._common: tuple[type[Exception], ...] = (OperationalError, InterfaceError, driver.OperationalError)
        self._waiting: list[_Ticket[Any]] = []
        self._queue = threading.Lock()
        self._lead = threading.Lock()
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T], lock: str | None = None) -> T:
        """The result of `work`, once what it wrote is committed. Its error is raised here, and here only.

        `lock` names what no other process may write meanwhile, from before the first read of `work`.
        """
        ticket = _Ticket(work, lock)
        with self._queue:
            self._waiting.append(ticket)
        try:
            with self._lead:
                if not ticket.done:
                    with self._queue:
                        batch, self._waiting = self._waiting, []
                    self._commit(batch, ticket)
        finally:
            if not ticket.done:  # interrupted while it waited, and nobody has taken it up yet
                with self._queue:
                    self._waiting = [other for other in self._waiting if other is not ticket]
        if ticket.error is not None:
            with telling_faults(self._database):
                raise ticket.error
        return cast(T, ticket.result)

    def _commit(self, batch: list[_Ticket[Any]], own: _Ticket[Any]) -> None:
        try:
            connection = self._begin({ticket.lock for ticket in batch if ticket.lock is not None})
            if len(batch) == 1:
                self._alone(connection, batch[0])
            else:
                for ticket in batch:
                    self._attempt(connection, ticket)
                _begun(connection).commit()
        except BaseException as error:  # noqa: BLE001  # whatever stopped the commit is the answer of each thread in it
            # An interrupt is the leading thread's alone; the others' work was not written, and that is what they hear.
            heard = error if isinstance(error, Exception) else LedgerError("the commit was interrupted; try again")
            for ticket in batch:
                ticket.result, ticket.error = None, ticket.error or (error if ticket is own else heard)
            self._discard()
        finally:
            for ticket in batch:
                ticket.done = True

    def _begin(self, locks: Collection[str]) -> Connection:
        # Ours may be lost while it idled, and one from the pool too: its loss lets go of the whole pool, ours of none
        # that is younger. The third is new.
        for last in (False, False, True):
            connection = self._connected()
            try:
                self._database.begin(connection, locks)
                break
            except DBAPIError as error:
                if last or not error.connection_invalidated:
                    raise
                self._discard()  # nothing was begun on it
        return connection

    def _alone(self, connection: Connection, ticket: _Ticket[Any]) -> None:
        try:
            ticket.result = ticket.work(connection)
        except self._common:
            raise
        except Exception as error:  # noqa: BLE001  # raised again in the thread whose work it is
            _begun(connection).rollback()
            ticket.error = error
        else:
            _begun(connection).commit()

    def _attempt(self, connection: Connection, ticket: _Ticket[Any]) -> None:
        savepoint = connection.begin_nested()
        try:
            ticket.result = ticket.work(connection)
        except self._common:
            raise
        except Exception as error:  # noqa: BLE001  # raised again in the thread whose work it is
            savepoint.rollback()
            ticket.error = error
        else:
            savepoint.commit()

    def _connected(self) -> Connection:
        # One connection is kept for writing, so that a commit pays no checkout from the pool.
        if self._connection is None:
            self._connection = self._database.bare.connect()
        return self._connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every writer of this process out, with no transaction open: what VACUUM needs."""
        with self._lead:
            yield

    def _discard(self) -> None:
        """Let go of a connection on which a commit failed: whatever state it is in, nobody meets it again."""
        if self._connection is not None:
            self._connection.invalidate()
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
