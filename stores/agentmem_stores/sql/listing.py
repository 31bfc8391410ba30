"""Lists of one scope as a person asks for them: which records, in which order, by position alone; and how many there
are of each kind. What it gives is what `Filter.admits` does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, collate, func, or_, select

from agentmem.filters import Counted, Filter, Order, variants
from agentmem.records import Scope
from agentmem_stores.sql.schema import (
    RECORD_COLUMNS,
    dump,
    in_scope,
    key_of,
    records,
    row_record,
    scopes,
    to_micros,
)

__all__ = ["kinds", "positions"]


def positions(
    connection: Connection,
    scope: Scope,
    scope_id: int,
    which: Filter,
    order: Order,
    *,
    descending: bool,
    limit: int | None = None,
) -> list[int]:
    rank = _rank(connection, order)
    ranked = [rank.desc() if descending else rank, *([] if order == "written" else [records.c.key])]
    parts = list(_parts(connection, which))
    loose = list(_loose(which))
    columns = RECORD_COLUMNS if loose else [records.c.key]
    query = select(*columns).where(in_scope(records.c.key, scope_id), *parts, *loose).order_by(*ranked)
    if limit is not None and not loose:
        query = query.limit(limit)
    rows = connection.execute(query)
    if not loose:
        # Past SQLAlchemy's rows, which take as long as SQLite over a hundred thousand of them.
        first = key_of(scope_id, 0)
        return [key - first for (key,) in rows.cursor.fetchall()]
    found = (record.position for record in (row_record(row, scope) for row in rows) if which.admits(record))
    return list(islice(found, limit))


def kinds(connection: Connection, scope: Scope, *, everywhere: bool) -> list[Counted]:
    query = (
        select(scopes.c.path, records.c.state, records.c.kind, func.count())
        .join_from(records, scopes, records.c.scope_id == scopes.c.id)
        .group_by(scopes.c.path, records.c.state, records.c.kind)
    )
    if not everywhere:
        path = str(scope)
        below = func.substr(scopes.c.path, 1, len(path) + 1) == f"{path}/"
        query = query.where(or_(scopes.c.path == path, below))
    found = [Counted(Scope(path), state, kind, n) for path, state, kind, n in connection.execute(query)]
    return sorted(found)


def _rank(connection: Connection, order: Order) -> ColumnElement[Any]:
    if order == "written":
        return records.c.key
    if order == "happened":
        return records.c.at
    if order in ("strength", "revision"):
        return records.c[order]
    text = func.coalesce(records.c[order], "")
    return text if connection.dialect.name == "sqlite" else collate(text, "C")  # by its bytes, as SQLite does


def _small(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """With small letters for A to Z alone: what SQLite's own does."""
    return func.lower(column if connection.dialect.name == "sqlite" else collate(column, "C"))


def _parts(connection: Connection, which: Filter) -> Iterator[ColumnElement[bool]]:
    yield records.c.state.in_(which.states)
    # SQLite's LIKE takes a for A by itself, and without `lower` in half the time.
    text = records.c.text if connection.dialect.name == "sqlite" else _small(connection, records.c.text)
    for sought in which.containing:
        yield or_(*(text.contains(one, autoescape=True) for one in variants(sought)))
    if which.kinds:
        yield records.c.kind.in_(which.kinds)
    if which.sessions:
        yield records.c.session.in_(which.sessions)
    if which.speaker:
        yield _small(connection, records.c.speaker).in_(variants(which.speaker))
    if which.pinned is not None:
        yield records.c.pinned == which.pinned
    if which.since is not None:
        yield records.c.at >= to_micros(which.since)
    if which.until is not None:
        yield records.c.at < to_micros(which.until)


def _loose(which: Filter) -> Iterator[ColumnElement[bool]]:
    """What is kept as JSON, in which a name may stand elsewhere too: what this finds is looked at again."""
    if which.tags:
        yield or_(*(records.c.tags.contains(dump(tag)[1:-1], autoescape=True) for tag in which.tags))
    if which.place:
        yield records.c.place.is_not(None)
    if which.source:
        yield records.c.sources.contains(dump(which.source)[1:-1], autoescape=True)
    if which.shown:
        yield records.c.meta.contains(dump(which.shown)[1:-1], autoescape=True)
