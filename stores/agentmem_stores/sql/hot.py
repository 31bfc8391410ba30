"""The statements of every add and every recall, composed and compiled once, then run on the driver itself.

They are written in SQLAlchemy Core like all others; only their way to the driver is shorter. `benchmarks/floor.py`
holds an add against a raw SQLite commit, and the general way spends most of that budget before SQLite is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect, Select, TextClause, bindparam, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

from agentmem_stores.sql.heads import ADVANCE, HEAD, whole
from agentmem_stores.sql.schema import (
    RECORD_COLUMNS,
    UNCOUNTED,
    embedders,
    journal,
    key_of,
    records,
    tokens,
    vectors,
)

# Text, because Core has this form apart for each database. What is selected from nothing has no type but its cast.
_PUT_VECTOR = text(
    f"INSERT INTO {vectors.name} (scope_id, embedder_id, position, digest, data)"
    " SELECT :scope_id, :embedder_id, :position, :digest, :data"
    f" WHERE EXISTS (SELECT 1 FROM {records.name} WHERE key = :record)"
    " ON CONFLICT (scope_id, embedder_id, position) DO UPDATE SET digest = excluded.digest, data = excluded.data"
)
_PUT_TOKENS = text(
    f"INSERT INTO {tokens.name} (scope_id, embedder_id, position, data)"
    " SELECT :scope_id, :embedder_id, :position, :tokens"
    f" WHERE EXISTS (SELECT 1 FROM {records.name} WHERE key = :record)"
    " ON CONFLICT (scope_id, embedder_id, position) DO UPDATE SET data = excluded.data"
)
_DROP_TOKENS = text(
    f"DELETE FROM {tokens.name} WHERE scope_id = :scope_id AND embedder_id = :embedder_id AND position = :position"
)


class _Compiled:
    """A statement's text, and how a mapping becomes its parameters, in one dialect."""

    def __init__(self, statement: UpdateBase | Select[Any] | TextClause, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._bound = _binding(getattr(compiled, "positiontup", None))
        self._dialect = dialect
        assert dialect.dbapi is not None
        self._fault: type[Exception] = dialect.dbapi.Error

    def run(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
        """The driver's cursor after the statement ran once for each row; its errors as SQLAlchemy's."""
        try:
            if len(rows) == 1:
                return driver.execute(self._text, self._bound(rows[0]))
            cursor = driver.cursor()
            cursor.executemany(self._text, [self._bound(row) for row in rows])
        except self._fault as error:
            raise DBAPIError.instance(self._text, None, error, self._fault, dialect=self._dialect) from error
        return cursor


def _binding(order: Sequence[str] | None) -> Callable[[Mapping[str, Any]], Any]:
    """What makes a driver's parameters of a mapping: itself by name, or its values in the order of their places."""
    if order is None:
        return lambda values: values
    if len(order) == 1:  # of a single name, itemgetter gives no tuple
        return lambda values: (values[order[0]],)
    return itemgetter(*order)


class HotStatements:
    """Each takes the driver's own connection, and part in the transaction that it is in."""

    def __init__(self, dialect: Dialect) -> None:
        self._advance = _Compiled(ADVANCE, dialect)
        self._journal = _Compiled(insert(journal), dialect)
        self._records = _Compiled(insert(records), dialect)
        self._embedder = _Compiled(
            select(embedders.c.id, embedders.c.dimension).where(embedders.c.name == bindparam("name")), dialect
        )
        self._vectors = _Compiled(_PUT_VECTOR, dialect)
        self._tokens = _Compiled(_PUT_TOKENS, dialect)
        self._no_tokens = _Compiled(_DROP_TOKENS, dialect)
        self._dialect = dialect
        self._at: dict[int, _Compiled] = {}  # by how many positions it asks for
        self._head = _Compiled(HEAD, dialect)
        self._counted: set[int] = set()  # roots whose head was seen to be counted

    def advance(self, driver: Any, ids: tuple[int, int], by: int) -> int:
        """Number so many changes of a scope, given with its root; the root's new head."""
        scope, root = ids
        if root not in self._counted:
            newest, counter = self._head.run(driver, [whole(scope, root)]).fetchone()
            if counter == UNCOUNTED:
                return int(newest) + by
            self._counted.add(root)
        moved = self._advance.run(driver, [{"root": root, "by": by}]).fetchone()
        if moved is None:  # the counting was seen in a transaction that was rolled back
            self._counted.discard(root)
            return self.advance(driver, ids, by)
        return int(moved[0])

    def head(self, driver: Any, ids: tuple[int, int]) -> int:
        found = self._head.run(driver, [whole(*ids)]).fetchone()
        return 0 if found is None else int(found[0])

    def at(self, driver: Any, scope_id: int, positions: Sequence[int]) -> list[Any]:
        """The rows of `RECORD_COLUMNS` at these positions, of which there is one at least, in any order."""
        width = 1 << (len(positions) - 1).bit_length()  # filled up with the last, so that few statements serve all
        names = [f"p{n}" for n in range(width)]
        if (statement := self._at.get(width)) is None:
            rows = select(*RECORD_COLUMNS).where(records.c.key.in_([bindparam(name) for name in names]))
            statement = self._at[width] = _Compiled(rows, self._dialect)
        keys = [key_of(scope_id, position) for position in positions]
        given = dict(zip(names, [*keys, *[keys[-1]] * (width - len(keys))], strict=True))
        found: list[Any] = statement.run(driver, [given]).fetchall()
        return found

    def insert_journal(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        self._journal.run(driver, rows)

    def insert_records(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        self._records.run(driver, rows)

    def embedder(self, driver: Any, name: str) -> tuple[int, int] | None:
        """The embedder's id and dimension; None when it is not known here."""
        found = self._embedder.run(driver, [{"name": name}]).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def put_vectors(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or replace each, unless no record stands at its position."""
        self._vectors.run(driver, rows)

    def put_tokens(self, driver: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """As `put_vectors`; a row whose `tokens` are empty takes away what is there."""
        if told := [row for row in rows if row["tokens"]]:
            self._tokens.run(driver, told)
        if silent := [row for row in rows if not row["tokens"]]:
            self._no_tokens.run(driver, silent)
