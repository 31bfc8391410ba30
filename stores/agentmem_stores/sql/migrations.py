"""Schema migrations: an append-only list of named functions, each applied once and recorded by name.

A new ledger gets the current tables at once and is recorded as fully migrated; an older one gets the functions it
lacks, in order, in one transaction. A ledger that holds a name this list does not know was written by a newer
agentmem and is refused untouched. Never edit a released function; append one. A function spells its own statements,
because the tables of `schema.py` are the newest ones. `tests/fixtures/ledgers` keeps a ledger of each schema, named by
its last migration, and a test compares its migrated tables with new ones.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select

from agentmem.errors import LedgerError
from agentmem.values import new_id, now
from agentmem_stores.sql import schema

FIRST = "m001_initial"  # the tables of agentmem 0.1


def m002_serving(connection: Connection) -> None:
    """Which embedder serves each scope, and the ledger's identity."""
    connection.exec_driver_sql(
        "CREATE TABLE serving (scope_id INTEGER NOT NULL, embedder TEXT NOT NULL, spec TEXT NOT NULL,"
        " PRIMARY KEY (scope_id))"
    )
    connection.exec_driver_sql("CREATE TABLE identity (id TEXT NOT NULL, PRIMARY KEY (id))")


def m003_segments(connection: Connection) -> None:
    """What projections keep of themselves; and an index of the journal that leaves first entries out."""
    binary = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    connection.exec_driver_sql(
        "CREATE TABLE segments (scope_id INTEGER NOT NULL, projection TEXT NOT NULL, until BIGINT NOT NULL,"
        f" piece INTEGER NOT NULL, data {binary} NOT NULL, PRIMARY KEY (scope_id, projection, until, piece))"
    )
    connection.exec_driver_sql("DROP INDEX journal_by_record")
    connection.exec_driver_sql("CREATE INDEX journal_by_record ON journal (record_id, scope_id) WHERE seq <> position")


MIGRATIONS: list[Callable[[Connection], None]] = [m002_serving, m003_segments]


def known() -> list[str]:
    return [FIRST, *(migration.__name__ for migration in MIGRATIONS)]


def applied(connection: Connection) -> list[str]:
    """Names recorded in this ledger, oldest first; empty when it has no tables yet."""
    if not inspect(connection).has_table(schema.migrations.name):
        return []
    return list(connection.scalars(select(schema.migrations.c.name).order_by(schema.migrations.c.name)))


def refuse_newer(names: list[str]) -> None:
    unknown = sorted(set(names) - set(known()))
    if unknown:
        raise LedgerError(
            f"this ledger was written by a newer agentmem (it holds {', '.join(unknown)})",
            way_out="Upgrade agentmem, or export with the newer version and import here.",
        )


def migrate(connection: Connection) -> list[str]:
    """Make the tables current, inside the caller's write transaction; returns the names recorded now."""
    done = applied(connection)
    refuse_newer(done)
    todo = [name for name in known() if name not in done]
    if not done:
        schema.metadata.create_all(connection)
    else:
        for migration in MIGRATIONS:
            if migration.__name__ in todo:
                migration(connection)
    if connection.scalar(select(schema.identity.c.id)) is None:
        connection.execute(insert(schema.identity).values(id=new_id()))
    if todo:
        at = schema.to_micros(now())
        connection.execute(insert(schema.migrations), [{"name": name, "applied_at": at} for name in todo])
    return todo
