"""Connections: how SQLite is opened safely, how its errors are told, and how threads share one commit.

SQLite's driver begins transactions late and deferred, which makes a read-then-write fail under a second writer
however long the busy timeout is. So transactions are begun here, writing ones with BEGIN IMMEDIATE.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from agentmem.errors import LedgerError
from agentmem.ledger import Durability

T = TypeVar("T")
BUSY_TIMEOUT_S = 30  # a writer waits this long for another process; one erase of a large ledger can take seconds

# What SQLite says, and what a person should read. Matched against the lower-cased message, in this order.
_FAULTS = (
    ("disk is full", "the disk is full; nothing was written", "Make room, then try again."),
    (
        "database is locked",
        f"another process kept the ledger locked for {BUSY_TIMEOUT_S} s",
        "Close the other program, or try again.",
    ),
    ("readonly", "the ledger is read-only", "Check the permissions of the folder and of the file system."),
    ("unable to open", "the ledger file cannot be opened", "Check that the folder exists and is yours."),
    ("malformed", "the ledger file is damaged", "Restore a backup."),
    ("could not decode", "the ledger file is damaged", "Restore a backup."),  # SQLite's own sentence quotes the text
    (
        "not a database",
        "the file is not an agentmem ledger",
        "Point --memory at a folder made by agentmem init.",
    ),
    (
        "disk i/o",
        "the disk refused a read or a write",
        "Check the disk; nothing acknowledged before was lost.",
    ),
)


@contextmanager
def telling_faults(url: str) -> Iterator[None]:
    """Turn a driver's error into a LedgerError that says what happened and what to do."""
    try:
        yield
    except IntegrityError:
        raise  # the ledger's own code decides what a duplicate means
    except (DBAPIError, sqlite3.Error) as error:  # the driver's own, where SQLAlchemy does not stand between
        fault = getattr(error, "orig", error)
        said = str(fault).lower()
        for sign, message, way_out in _FAULTS:
            if sign in said:
                raise LedgerError(f"{url}: {message}", way_out=way_out) from error
        raise LedgerError(f"{url}: {fault}") from error


def sqlite_engine(file: Path, durability: Durability) -> Engine:
    """An engine on a SQLite file: WAL, so that readers never wait for a writer.

    `process`: a commit survives kill -9 of the process (synchronous=NORMAL; a power cut may take the last commits,
    never the file). `power`: it survives a power cut too (synchronous=FULL, an fsync a commit).
    """
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=64,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        _enter_wal(connection)
        connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        connection.execute("PRAGMA cache_size=-16384")  # 16 MiB
        # Pages of log before they are copied back (16 MiB): each copying round ends in an fsync, and an add logs 7.
        connection.execute("PRAGMA wal_autocheckpoint=4000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Several processes that make one new ledger collide here, and for this pragma SQLite does not wait by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class _Ticket(Generic[T]):
    """One thread's work, waiting for a commit."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = False


class GroupCommit:
    """Writes of many threads in few commits.

    A thread queues its work, then takes the lead when nobody has it. The leader runs everything queued so far in one
    transaction, each piece behind a savepoint so that one that fails leaves no trace, and commits once for all. Who
    waited finds its work done. A lone thread pays no hand-over.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._waiting: list[_Ticket[Any]] = []
        self._queue = threading.Lock()
        self._lead = threading.Lock()
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, once what it wrote is committed. Its error is raised here, and here only."""
        ticket = _Ticket(work)
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
            raise ticket.error
        return cast(T, ticket.result)

    def _commit(self, batch: list[_Ticket[Any]], own: _Ticket[Any]) -> None:
        try:
            with telling_faults(self._url):
                connection = self._connected()
                if len(batch) == 1:
                    self._alone(connection, batch[0])
                else:
                    with connection.begin():
                        for ticket in batch:
                            self._attempt(connection, ticket)
        except BaseException as error:  # noqa: BLE001  # whatever stopped the commit is the answer of each thread in it
            # An interrupt is the leading thread's alone; the others' work was not written, and that is what they hear.
            heard = error if isinstance(error, Exception) else LedgerError("the commit was interrupted; try again")
            for ticket in batch:
                ticket.result, ticket.error = None, ticket.error or (error if ticket is own else heard)
            self.close()
        finally:
            for ticket in batch:
                ticket.done = True

    def _alone(self, connection: Connection, ticket: _Ticket[Any]) -> None:
        transaction = connection.begin()
        try:
            ticket.result = ticket.work(connection)
        except (OperationalError, sqlite3.OperationalError):
            transaction.rollback()
            raise
        except Exception as error:  # noqa: BLE001  # raised again in the thread whose work it is
            transaction.rollback()
            ticket.error = error
        else:
            transaction.commit()

    def _attempt(self, connection: Connection, ticket: _Ticket[Any]) -> None:
        savepoint = connection.begin_nested()
        try:
            ticket.result = ticket.work(connection)
        except (OperationalError, sqlite3.OperationalError):
            raise  # the disk or the file failed: nobody's commit can stand
        except Exception as error:  # noqa: BLE001  # raised again in the thread whose work it is
            savepoint.rollback()
            ticket.error = error
        else:
            savepoint.commit()

    def _connected(self) -> Connection:
        # One connection is kept for writing, so that a commit pays no checkout from the pool.
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(writing=True)
        return self._connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every writer of this process out, with no transaction open: what VACUUM needs."""
        with self._lead:
            yield

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
