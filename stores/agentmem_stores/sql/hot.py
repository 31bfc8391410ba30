"""The three statements of every add, composed and compiled once, then run on the driver itself.

They are written in SQLAlchemy Core like all others; only their way to the driver is shorter. `benchmarks/floor.py`
holds an add against a raw SQLite commit, and the general way spends most of that budget before SQLite is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, bindparam, insert, update
from sqlalchemy.sql.dml import UpdateBase

from agentmem_stores.sql.schema import journal, records, roots


class _Compiled:
    """A statement's text, and how a mapping becomes its parameters, in one dialect."""

    def __init__(self, statement: UpdateBase, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._order: Sequence[str] | None = getattr(compiled, "positiontup", None)

    def bind(self, values: Mapping[str, Any]) -> Any:
        return values if self._order is None else [values[name] for name in self._order]


class HotStatements:
    """Each takes part in the transaction that the given connection is in."""

    def __init__(self, dialect: Dialect) -> None:
        advance = (
            update(roots)
            .where(roots.c.id == bindparam("root"))
            .values(head=roots.c.head + bindparam("by"))
            .returning(roots.c.head)
        )
        self._dialect = dialect
        self._advance = _Compiled(advance, dialect)
        self._journal = _Compiled(insert(journal), dialect)
        self._records = _Compiled(insert(records), dialect)

    def advance(self, connection: Connection, root_id: int, by: int) -> int:
        """Move the root's head on by so many changes; the new head."""
        cursor = _driver(connection).cursor()
        cursor.execute(self._advance.text, self._advance.bind({"root": root_id, "by": by}))
        head = int(cursor.fetchone()[0])
        cursor.close()
        return head

    def insert_journal(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        _insert(connection, self._journal, rows)

    def insert_records(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        _insert(connection, self._records, rows)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _insert(connection: Connection, statement: _Compiled, rows: Sequence[Mapping[str, Any]]) -> None:
    cursor = _driver(connection).cursor()
    if len(rows) == 1:
        cursor.execute(statement.text, statement.bind(rows[0]))
    else:
        cursor.executemany(statement.text, [statement.bind(row) for row in rows])
    cursor.close()
