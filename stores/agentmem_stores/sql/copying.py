"""A whole ledger, every scope with its history, vectors and jobs, into another one: backup, restore, and the move from
a folder to a server or back. It knows tables and refuses to know what stands in them.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Table, func, insert, select, text

from agentmem.errors import LedgerError
from agentmem_stores.sql.ledger import SqlLedger
from agentmem_stores.sql.schema import identity, metadata, migrations, roots, segments

__all__ = ["copy_ledger"]

_ROWS = 1_000  # read and inserted at once: 1.5 MB of vectors
# Each ledger has its own: the copy is another memory from now on, its tables are current already, and segments are
# quickly made again.
_OWN = (identity, migrations, segments)


def copy_ledger(
    source: SqlLedger, target: SqlLedger, progress: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """Rows copied, by table. One snapshot of the source, whatever is written to it meanwhile, and in the target one
    transaction: all or nothing. LedgerError when the target holds something already."""

    def write(into: Connection) -> dict[str, int]:
        if into.scalar(select(roots.c.id).limit(1)) is not None:
            raise LedgerError(
                f"there are memories at {target.url} already", way_out="Copy to a place that is empty or not there yet."
            )
        copied: dict[str, int] = {}
        with source.reading() as outof:
            tables = [table for table in metadata.sorted_tables if table not in _OWN]
            total = sum(outof.scalar(select(func.count()).select_from(table)) or 0 for table in tables)
            for table in tables:
                done = sum(copied.values())
                told = None if progress is None else lambda rows, done=done: progress(done + rows, total)
                copied[table.name] = _copy(table, outof, into, told)
        return copied

    # Under the lock of making tables, which nobody else needs, and with it alone: an empty ledger has no roots.
    return target.writer.run(write, "tables")


def _copy(table: Table, outof: Connection, into: Connection, told: Callable[[int], None] | None) -> int:
    done = 0
    rows = outof.execution_options(stream_results=True, yield_per=_ROWS).execute(select(table))
    for part in rows.mappings().partitions(_ROWS):
        into.execute(insert(table), [dict(row) for row in part])
        done += len(part)
        if told is not None:
            told(done)
    if table.autoincrement_column is not None and into.dialect.name == "postgresql":
        # Its sequence has not seen the ids that were given, and would give them again.
        name, column = table.name, table.autoincrement_column.name
        last = f"SELECT max({column}) FROM {name}"
        into.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), ({last}))"))
    return done
