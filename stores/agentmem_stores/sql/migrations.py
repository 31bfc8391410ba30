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


def m004_keys(connection: Connection) -> None:
    """One number as the key of a record and of a change; and no counter for a root whose only scope's journal tells."""
    is_postgres = connection.dialect.name == "postgresql"
    key = "BIGINT" if is_postgres else "INTEGER"
    fields = (
        "id TEXT NOT NULL, state TEXT NOT NULL, revision INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,"
        " session TEXT, at BIGINT NOT NULL, stored_at BIGINT NOT NULL, speaker TEXT, role TEXT, place TEXT,"
        " sources TEXT, strength FLOAT NOT NULL, pinned BOOLEAN NOT NULL, tags TEXT, meta TEXT, replaced_by TEXT,"
        " extra TEXT"
    )
    for statement in (
        "UPDATE roots SET head = -1 WHERE (SELECT count(*) FROM scopes WHERE root_id = roots.id) = 1 AND head ="
        " (SELECT max(seq) FROM journal WHERE scope_id = (SELECT id FROM scopes WHERE root_id = roots.id))",
        "ALTER TABLE records RENAME TO old_records",
        "ALTER TABLE journal RENAME TO old_journal",
        f"CREATE TABLE records (key {key} NOT NULL, scope_id INTEGER NOT NULL, {fields}, PRIMARY KEY (key),"
        " UNIQUE (scope_id, id))",
        f"CREATE TABLE journal (key {key} NOT NULL, step BIGINT NOT NULL, undoes BIGINT, at BIGINT NOT NULL,"
        " actor TEXT NOT NULL, verb TEXT NOT NULL, record_id TEXT NOT NULL, record_key BIGINT NOT NULL,"
        " cause TEXT NOT NULL, before TEXT, after TEXT, PRIMARY KEY (key))",
        "INSERT INTO records (key, scope_id, id, state, revision, kind, text, session, at, stored_at, speaker, role,"
        " place, sources, strength, pinned, tags, meta, replaced_by, extra)"
        " SELECT scope_id * 68719476736 + position, scope_id, id, state, revision, kind, text, session, at, stored_at,"
        " speaker, role, place, sources, strength, pinned, tags, meta, replaced_by, extra FROM old_records"
        " ORDER BY scope_id, position",
        "INSERT INTO journal (key, step, undoes, at, actor, verb, record_id, record_key, cause, before, after)"
        " SELECT scope_id * 68719476736 + seq, step, undoes, at, actor, verb, record_id,"
        " scope_id * 68719476736 + position, cause, before, after FROM old_journal ORDER BY scope_id, seq",
        "DROP TABLE old_records",
        "DROP TABLE old_journal",
        "CREATE INDEX journal_by_record ON journal (record_id) WHERE key <> record_key",
    ):
        connection.exec_driver_sql(statement)
    if is_postgres:  # the new ones' keys met the old ones' names
        for table in ("records", "journal"):
            connection.exec_driver_sql(f"ALTER INDEX {table}_pkey1 RENAME TO {table}_pkey")
        connection.exec_driver_sql("ALTER INDEX records_scope_id_id_key1 RENAME TO records_scope_id_id_key")


def m005_tokens(connection: Connection) -> None:
    """What an embedder says of a text's tokens."""
    binary = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    connection.exec_driver_sql(
        "CREATE TABLE tokens (scope_id INTEGER NOT NULL, embedder_id INTEGER NOT NULL, position BIGINT NOT NULL,"
        f" data {binary} NOT NULL, PRIMARY KEY (scope_id, embedder_id, position))"
    )


def m006_calls(connection: Connection) -> None:
    """What asking language models costs."""
    connection.exec_driver_sql(
        "CREATE TABLE calls (id TEXT NOT NULL, scope_id INTEGER NOT NULL, at BIGINT NOT NULL, role TEXT NOT NULL,"
        " model TEXT NOT NULL, cause TEXT NOT NULL, prompt TEXT NOT NULL, outcome TEXT NOT NULL,"
        " tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL, picos BIGINT NOT NULL, ms FLOAT NOT NULL,"
        " error TEXT NOT NULL, PRIMARY KEY (id))"
    )
    connection.exec_driver_sql("CREATE INDEX calls_by_time ON calls (scope_id, at)")


MIGRATIONS: list[Callable[[Connection], None]] = [m002_serving, m003_segments, m004_keys, m005_tokens, m006_calls]


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
