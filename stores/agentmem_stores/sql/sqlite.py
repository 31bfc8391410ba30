"""SQLite: one file in a folder, one writer at a time, readers that never wait for it.

SQLite's driver begins transactions late and deferred, which makes a read-then-write fail under a second writer
however long the busy timeout is. So transactions are begun here, writing ones with BEGIN IMMEDIATE, and a lock on one
root is the lock on the file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from agentmem.errors import LedgerError
from agentmem.ledger import Durability
from agentmem_stores.sql import engine as settings
from agentmem_stores.sql.engine import BARE, GroupCommit, driver_of

# What SQLite says, and what a person should read. Matched against the lower-cased message, in this order.
_FAULTS = (
    ("disk is full", "the disk is full; nothing was written", "Make room, then try again."),
    (
        "database is locked",
        f"another process kept the ledger locked for {settings.BUSY_TIMEOUT_S} s",
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


class Sqlite:
    """A ledger's file.

    Durability `process`: a commit survives kill -9 of the process (synchronous=NORMAL; a power cut may take the last
    commits, never the file). `power`: it survives a power cut too (synchronous=FULL, an fsync a commit).
    """

    one_writer = True

    def __init__(self, file: Path, durability: Durability) -> None:
        self._file = file
        self.folder: Path | None = file.parent
        self.url = str(file.parent)
        self.engine = _engine(file, durability)
        self.bare = self.engine.execution_options(**{BARE: True})

    def begin(self, connection: Connection, locks: Collection[str]) -> None:
        driver_of(connection).execute("BEGIN IMMEDIATE")

    def lock(self, connection: Connection, name: str) -> None:
        """The write transaction holds the whole file already."""

    def words(self, fault: BaseException) -> tuple[str, str]:
        said = str(fault).lower()
        for sign, message, way_out in _FAULTS:
            if sign in said:
                return message, way_out
        return str(fault), ""

    def make_room(self, connection: Connection) -> None:
        """The file is there."""

    def size(self, connection: Connection) -> int:
        return sum(file.stat().st_size for file in self._file.parent.glob(self._file.name + "*"))

    def reclaim(self, writer: GroupCommit) -> None:
        """Rewrite the file without the space that deleted rows left, so that erased words are not in it any more."""
        with writer.alone():
            writer.close()
            raw = self.engine.raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute("VACUUM")
                busy = not _emptied(cursor, settings.BUSY_TIMEOUT_S)
                cursor.close()
            finally:
                raw.close()
        if busy:
            raise LedgerError(
                "the words are erased, but an older snapshot of them is still being read, perhaps by an export",
                way_out="Let it end: the next opening of this memory clears the last copy.",
            )

    def verify(self, connection: Connection) -> list[str]:
        said = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        return [] if said == ["ok"] else [f"the file is damaged: {line}" for line in said]


def _engine(file: Path, durability: Durability) -> Engine:
    """An engine in WAL mode, so that readers never wait for a writer."""
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=64,
        connect_args={"timeout": settings.BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        _enter_wal(connection)
        connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        connection.execute("PRAGMA cache_size=-16384")  # 16 MiB
        # Pages of log before they are copied back (16 MiB), which ends in fsyncs. An add logs 4. Twice as many cost an
        # add no less on the mean, and the one that waits for them 80 ms where these make it 25.
        connection.execute("PRAGMA wal_autocheckpoint=4000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if BARE not in connection.get_execution_options():
            driver_of(connection).execute("BEGIN")

    return engine


def _emptied(cursor: Any, patience: float) -> bool:
    """Whether the log is copied back and empty. A checkpoint that another process runs is waited for, a reader of an
    older state only so long."""
    deadline = time.monotonic() + patience
    # (busy, pages in the log, pages moved)
    while cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Several processes that make one new ledger collide here, and for this pragma SQLite does not wait by itself."""
    deadline = time.monotonic() + settings.BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
