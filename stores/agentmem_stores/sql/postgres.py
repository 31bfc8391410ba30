"""Postgres: a ledger on a server, for several machines at once.

The statements are SQLite's. What is Postgres's own stands here: how a connection is set up, which locks keep a root's
changes in commit order, what its faults mean to a person, and how space is given back. It refuses to know records.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from agentmem.errors import LedgerError, PluginError
from agentmem.ledger import Durability
from agentmem_stores.sql import engine as settings
from agentmem_stores.sql.engine import BARE, GroupCommit, glance
from agentmem_stores.sql.ledger import SqlLedger

DEFAULT_SCHEMA = "agentmem"  # of our own, because other programs have tables called jobs and migrations too
_SHAPE = "postgresql://user:password@host:5432/database"

# libpq's, each unless the URL says otherwise: a server that is gone is noticed within half a minute.
_DEFAULTS: Mapping[str, Any] = {
    "application_name": "agentmem",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# A connection that was refused has no SQLSTATE, only libpq's sentence. Matched in this order, without regard to case.
_REFUSALS = (
    (
        r"password authentication failed|no password supplied|authentication failed|no pg_hba\.conf entry",
        "the server refuses this user or password",
        "Check both in the URL; write a sign such as @ in them as %40.",
    ),
    (r'database ".*" does not exist', "the server has no such database", "Make it: createdb NAME."),
    (r'role ".*" does not exist', "the server knows no such user", "Make it: createuser NAME."),
    (
        r"too many clients|too many connections|remaining connection slots",
        "the server has no connection free",
        "Close other programs, or raise the server's max_connections.",
    ),
    (
        r"starting up|shutting down|in recovery mode|not yet accepting",
        "the server is starting or stopping",
        "Try again in a moment.",
    ),
    (
        r"does not support ssl|sslmode|certificate",
        "the server and this program do not agree on encryption",
        "Check sslmode in the URL.",
    ),
    (
        r"failed to resolve|could not translate host|name or service not known",
        "there is no host of that name",
        "Check the host in the URL.",
    ),
    (
        r"connection refused|no such file or directory|timeout|timed out|no route to host|is the server running",
        "no server answers there",
        "Start it, or check host and port in the URL.",
    ),
)
_LOST = (
    "the connection to the server was lost",
    "Try again; a change that was not acknowledged may have been kept all the same, so look first.",
)

# By SQLSTATE, or its first two letters.
_FAULTS: Mapping[str, tuple[str, str]] = {
    "08": _LOST,
    "22021": ("the text cannot be kept by this database", "Remove NUL characters from it."),
    "25006": ("the server takes no writes; it may be a standby", "Open the memory on the primary server."),
    "3F000": ("the tables of the ledger are gone", "Restore a backup."),
    "40": ("the server broke off a deadlock; nothing was written", "Try again."),
    "42501": ("this user may not do that on the server", "Grant it CREATE on the database, or own the tables."),
    "42P01": ("the tables of the ledger are gone", "Restore a backup."),
    "53100": ("the server's disk is full; nothing was written", "Make room, then try again."),
    "53300": ("the server has no connection free", "Close other programs, or raise the server's max_connections."),
    "53": ("the server is out of room; nothing was written", "Make room, then try again."),
    "54": ("a name is too long for the server to index", "Shorten the scope or the embedder's id."),
    "55P03": (
        f"another process kept the ledger locked for {settings.BUSY_TIMEOUT_S} s",
        "Close the other program, or try again.",
    ),
    "57014": ("the server broke off a statement that took too long", "Raise its statement_timeout for this user."),
    "57": _LOST,
    "58": ("the server's disk refused a read or a write", "Check the server."),
    "XX": ("the server reports damage", "Look into the server's log; restore a backup if need be."),
}


def open_postgres(location: str, *, create: bool, durability: Durability) -> SqlLedger:
    """The ledger in a Postgres database, which must exist; `?schema=name` in the URL keeps several side by side.

    With `create`, the schema and the tables are made when missing. Both words for `durability` mean the same: what is
    acknowledged is on the server's disk, and synchronous_commit is turned on where a server has it off. A server that
    was set up with fsync=off can lose it all the same.

    Give it sessions of its own: a pooler that moves them between transactions loses their settings.
    """
    try:
        import psycopg  # noqa: F401  # an extra: without it, the error says how to get it
    except ImportError as error:
        raise PluginError(
            f"Postgres needs psycopg, which does not load: {error}",
            way_out="pip install 'agentmem-framework[postgres]'",
        ) from error
    return SqlLedger(Postgres(location), create=create)


class Postgres:
    """A schema of a database on a server.

    A write transaction locks its roots by advisory locks before its first read, and commits before it lets go. So the
    `seq` of a root is in commit order, which a sequence is not, and what was read is still so when it is written.
    """

    one_writer = False
    folder: Path | None = None

    def __init__(self, location: str) -> None:
        asked, self._schema = _parsed(location)
        self._password = asked.password if isinstance(asked.password, str) else ""
        self.url = _without_credentials(asked, self._schema)
        self.engine = self._connecting(asked)
        self.bare = self.engine.execution_options(**{BARE: True})

    def _connecting(self, asked: URL) -> Engine:
        engine = create_engine(
            asked.set(drivername="postgresql+psycopg"),
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=8,  # a server has 100 connections by default, for all processes
            connect_args={
                **{name: value for name, value in _DEFAULTS.items() if name not in asked.query},
                "client_encoding": "utf8",
                "autocommit": True,  # transactions are begun here, in one message with their locks
            },
            use_native_hstore=False,
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if BARE not in connection.get_execution_options():
                connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

        return engine

    def _prepare(self, driver: Any) -> None:
        [encoding, *_] = driver.execute(
            "SELECT current_setting('server_encoding'), set_config('search_path', %s, false),"
            " set_config('lock_timeout', %s, false), set_config('synchronous_commit',"
            " replace(current_setting('synchronous_commit'), 'off', 'on'), false)",
            [self._schema, f"{settings.BUSY_TIMEOUT_S * 1000:.0f}ms"],
        ).fetchone()
        if encoding != "UTF8":
            raise LedgerError(
                f"{self.url}: the database keeps text as {encoding}, which cannot hold every letter",
                way_out="Make one with: createdb --encoding=UTF8 --template=template0 NAME.",
            )

    def begin(self, connection: Connection, locks: Collection[str]) -> None:
        # READ COMMITTED: each statement sees what was committed before it, so the first one behind the lock sees all
        # that its earlier holders wrote. One message, so the locks cost no round trip of their own.
        taken = "".join(f"; SELECT pg_advisory_xact_lock({key})" for key in sorted(map(self._key, locks)))
        connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL READ COMMITTED{taken}")

    def lock(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({self._key(name)})")

    def _key(self, name: str) -> int:
        """64 bits, the same in every process. Two names that share them wait for each other now and then, no more."""
        digest = blake2b(f"agentmem/{self._schema}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def words(self, fault: BaseException) -> tuple[str, str]:
        state = getattr(fault, "sqlstate", None)
        if state is not None:
            found = _FAULTS.get(state) or _FAULTS.get(state[:2])
            # The primary message alone: the details quote values, which are somebody's memories.
            return found or (self._scrubbed(str(fault.diag.message_primary)), "")  # type: ignore[attr-defined]
        said = str(fault)
        for sign, message, way_out in _REFUSALS:
            if re.search(sign, said, re.IGNORECASE):
                return message, way_out
        if "connect" in said.lower() or "server" in said.lower():
            return _LOST
        return self._scrubbed(said), ""

    def _scrubbed(self, said: str) -> str:
        return said.replace(self._password, "***") if self._password else said

    def make_room(self, connection: Connection) -> None:
        # Looked for first: IF NOT EXISTS asks for the right to create even where there is nothing to do.
        if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": self._schema}) is None:
            connection.exec_driver_sql(f'CREATE SCHEMA "{self._schema}"')

    def size(self, connection: Connection) -> int:
        """Bytes of the tables with their indexes and long values. The server's log and its catalogs are not counted."""
        query = text(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
            " WHERE relnamespace = to_regnamespace(:name) AND relkind = 'r'"
        )
        return int(connection.scalar(query, {"name": self._schema}) or 0)

    def reclaim(self, writer: GroupCommit) -> None:
        """Let the space of deleted rows be used again.

        The rows are out of reach at once, and their space is written over in time. A copy of the words stays in the
        server's write-ahead log until the log is recycled, on standbys until they have followed, in backups for as
        long as those are kept, and, until it is written over, in pages of the table's file: `VACUUM FULL` rewrites
        those, and shuts everybody out while it does, so it is left to whoever runs the server.
        """
        glance(self, lambda connection: connection.exec_driver_sql("VACUUM records, journal, vectors, tokens"))

    def verify(self, connection: Connection) -> list[str]:
        """The server checks its pages as they are read, and the survey of rows and journal reads them all."""
        broken = connection.scalars(
            text(
                "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid"
                " WHERE relnamespace = to_regnamespace(:name) AND NOT indisvalid"
            ),
            {"name": self._schema},
        )
        return [f"the index {name} is not valid; REINDEX it" for name in broken]


def _parsed(location: str) -> tuple[URL, str]:
    """The URL for the driver, and the schema."""
    way_out = f"Write {_SHAPE}, and a sign such as @ in the password as %40."
    try:
        asked = make_url(location)
    except (ArgumentError, ValueError):
        raise LedgerError("the database URL cannot be read", way_out=way_out) from None  # it quotes the password
    if asked.host is not None and "@" in asked.host:
        raise LedgerError("the database URL cannot be read: it has two @", way_out=way_out)
    driver = asked.drivername.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise LedgerError(f"agentmem speaks to Postgres by psycopg, not {driver}", way_out=f"Write {_SHAPE}.")
    schema = asked.query.get("schema", DEFAULT_SCHEMA)
    if not isinstance(schema, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", schema):
        raise LedgerError(
            f"{schema!r} cannot be a schema's name", way_out="Use up to 63 of a-z, 0-9 and _, a letter first."
        )
    return asked.difference_update_query(["schema"]), schema


def _without_credentials(asked: URL, schema: str) -> str:
    shown: dict[str, Any] = {name: asked.query[name] for name in ("host", "port") if name in asked.query}
    if schema != DEFAULT_SCHEMA:
        shown["schema"] = schema
    bare = URL.create("postgresql", host=asked.host, port=asked.port, database=asked.database, query=shown)
    return bare.render_as_string(hide_password=True)
