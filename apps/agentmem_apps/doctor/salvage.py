"""What can still be read of a damaged ledger's file, as JSONL that `agentmem import` takes.

Rows are asked for in ranges of positions; a range that cannot be read is halved until the rows that cannot stand alone.
What is lost as a row is put together from the journal where its entries can be read. The file itself is only read. Of
a server's ledger there is nothing to salvage here: its own tools look after damaged pages.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias, cast

from agentmem.errors import InvalidInput, LedgerError
from agentmem.export import whole_file
from agentmem.index import Progress
from agentmem.records import Record, Scope
from agentmem.values import ODD
from agentmem_apps.doctor.place import folder_of
from agentmem_stores.sql.ledger import FILE_NAME
from agentmem_stores.sql.schema import LAST_NUMBER, RECORD_COLUMNS, key_of, number_of, row_record

__all__ = ["Salvaged", "salvage"]

_WINDOW: Final = 1_000  # rows asked for at once
_FIELDS: Final = ", ".join(f'"{column.name}"' for column in RECORD_COLUMNS if column.name != "key")
_UNREADABLE: Final = (sqlite3.Error, *ODD)

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Salvaged:
    """`written` records, `rebuilt` of them from the journal, which may lack an edit when `unread` of its entries could
    not be read. `lost`: ids, or numbers of changes where even the id is gone. `others`: the ledger's other scopes, each
    to be salvaged by itself."""

    written: int
    rebuilt: int
    unread: int
    lost: tuple[str, ...]
    others: tuple[str, ...]


def salvage(memory: str, scope: Scope, target: Path, progress: Progress) -> Salvaged:
    """Write the scope's records to a new file (0600), which is not made when nothing can be read: LedgerError."""
    folder = folder_of(memory)
    if folder is None:
        raise InvalidInput("only a ledger in a folder can be salvaged", way_out="Ask the server's own tools.")
    if target.exists():
        raise InvalidInput(f"{target} is there already", way_out="Name a file that is not there yet.")
    with closing(_connected(folder / FILE_NAME)) as connection:
        wreck = _Wreck(connection, scope)
        with whole_file(target) as file:
            return wreck.write(file, progress)


def _connected(file: Path) -> sqlite3.Connection:
    """To read only; where the log beside it cannot be read, without it."""
    if not file.exists():
        raise LedgerError(f"there is no memory at {file.parent}", way_out="Name its folder with --memory.")
    for option in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?{option}", uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.Error:
            connection.close()
    raise LedgerError(f"nothing can be read of {file}: it is no database any more", way_out="Restore a backup.")


class _Wreck:
    """One scope of a damaged ledger. `read` tells a range's rows, and notes in `torn` the keys it cannot read."""

    def __init__(self, connection: sqlite3.Connection, scope: Scope) -> None:
        self._connection = connection
        self._scope = scope
        try:
            # Not by an index, which may be what is damaged.
            paths = {str(path): (id, root) for id, root, path in connection.execute("SELECT * FROM scopes NOT INDEXED")}
        except _UNREADABLE as error:
            raise LedgerError("nothing can be read: the list of scopes is gone", way_out="Restore a backup.") from error
        if str(scope) not in paths:
            listed = ", ".join(sorted(paths)) or "none"
            raise LedgerError(
                f"there is no scope {scope} in it", way_out=f"Name one with --scope. There are: {listed}."
            )
        self._id, root = paths[str(scope)]
        # A wreck cannot be migrated: before `m004_keys` a row had its scope and its number apart.
        self._packed = any(column == "key" for _, column, *_ in connection.execute("PRAGMA table_info(records)"))
        self._row, self._entry = ("key", "key") if self._packed else ("position", "seq")
        self._low, self._here = (key_of(self._id, 0), "") if self._packed else (0, f"scope_id = {self._id} AND ")
        self._others = tuple(sorted(paths.keys() - {str(scope)}))
        self._head = self._highest(root)

    def _highest(self, root: int) -> int:
        """The number up to which there may be changes, by whichever table still says so."""
        highest = "SELECT max({1}) - {low} FROM {0} WHERE {here}{1} BETWEEN {low} AND {high}"
        where = {"low": self._low, "high": self._low + LAST_NUMBER, "here": self._here}
        heads = [0]
        for query in (
            f"SELECT head FROM roots WHERE id = {root}",
            highest.format("journal", self._entry, **where),
            highest.format("records", self._row, **where),
        ):
            with suppress(*_UNREADABLE):
                heads.append(max(0, int(self._connection.execute(query).fetchone()[0])))
        if not any(heads):
            raise LedgerError("nothing can be read: no table says how much there was", way_out="Restore a backup.")
        return max(heads)

    def write(self, file: TextIO, progress: Progress) -> Salvaged:
        seen, torn = bytearray(self._head + 1), set[int]()
        for start in range(1, self._head + 1, _WINDOW):
            for record in self._records(start, torn):
                seen[record.position] = True
            progress(start, 2 * self._head)
        told, lost, unread = self._told(seen)
        # A row and the change that made it bear one number: with both unreadable, not even an id is left.
        lost |= {position: f"the one of change {position}" for position in torn & unread if position not in told}
        file.write(json.dumps({"agentmem": "export", "schema": 1, "scope": list(self._scope)}) + "\n")
        written = 0
        for start in range(1, self._head + 1, _WINDOW):
            found = {record.position: record for record in self._records(start, set())}
            found |= {position: told[position] for position in range(start, start + _WINDOW) if position in told}
            for _, record in sorted(found.items()):
                file.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
            written += len(found)
            progress(self._head + start, 2 * self._head)
        return Salvaged(written, len(told), len(unread), tuple(lost[key] for key in sorted(lost)), self._others)

    def _records(self, start: int, torn: set[int]) -> Iterator[Record]:
        for row in self._read("records", self._row, _FIELDS, start, torn):
            try:
                record = row_record(cast(Any, row), self._scope)
                Record.from_json(record.to_json())  # what an import would refuse is damage as well
            except ODD:
                torn.add(number_of(row[0]))
            else:
                yield record

    def _told(self, seen: bytearray) -> tuple[dict[int, Record], dict[int, str], set[int]]:
        """By position, the records whose rows were not seen, as the journal tells them, and the ids of those it cannot
        tell whole; and the entries that cannot be read."""
        bodies: dict[int, dict[str, Any]] = {}
        lost: dict[int, str] = {}
        unread: set[int] = set()
        told = ("record_key" if self._packed else "position") + ", record_id, before IS NULL, after"
        for start in range(1, self._head + 1, _WINDOW):
            for key, record_key, id, is_first, after in self._read("journal", self._entry, told, start, unread):
                try:
                    position = number_of(record_key)
                    if not 0 < position <= self._head or seen[position]:
                        continue
                    if after is None:  # undone, or erased
                        bodies.pop(position, None)
                        lost.pop(position, None)
                    elif is_first:
                        bodies[position] = dict(json.loads(after))
                    elif position in bodies:
                        bodies[position].update(json.loads(after))
                    else:
                        lost[position] = str(id)
                except ODD:
                    unread.add(number_of(key))
        records = {}
        for position, body in bodies.items():
            try:
                records[position] = replace(Record.from_json(body), position=position)
            except ODD:
                lost[position] = str(body.get("id"))
        return records, lost, unread

    def _read(self, table: str, key: str, columns: str, start: int, torn: set[int]) -> Iterator[Row]:
        """The rows of a window, in order. A range that cannot be read is halved, down to single rows."""
        query = f"SELECT {key}, {columns} FROM {table} WHERE {self._here}{key} BETWEEN ? AND ? ORDER BY {key}"
        ranges = [(start, min(start + _WINDOW - 1, self._head))]
        while ranges:
            low, high = ranges.pop()
            try:
                rows = self._connection.execute(query, (self._low + low, self._low + high)).fetchall()
            except sqlite3.Error:
                if low == high:
                    torn.add(low)
                else:
                    middle = (low + high) // 2
                    ranges += [(middle + 1, high), (low, middle)]
            else:
                yield from rows
