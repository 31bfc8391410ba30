"""The tables of the ledger, and how a row and a value become each other.

Plain SQLAlchemy Core types only, so the same schema stands on SQLite and Postgres. Times are integer microseconds
since 1970 UTC: they compare and index alike everywhere. Every table that grows carries `scope_id`, and a scope names
its root, which is the key a sharded database partitions by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from agentmem.records import Change, Place, Record, Scope, Source, State
from agentmem.values import Json

metadata = MetaData()

# Where a row of `records` or `journal` stands: its scope's id in the high bits of one number, the number it has within
# its root in the low ones. With that number as the whole key, SQLite fills page after page and touches none beside.
# With the pair as a key WITHOUT ROWID, half of all adds moved rows between pages, and rows of a kilobyte overflowed:
# 6.3 pages logged for an add of the peers' benchmark, 3.7 with this key and no counter.
_NUMBER_BITS: Final = 36  # 68 billion changes under a root, 134 million scopes
LAST_NUMBER: Final = (1 << _NUMBER_BITS) - 1
LAST_SCOPE: Final = (1 << 63 - _NUMBER_BITS) - 1
NO_SCOPE: Final = -1  # a number that no scope has
_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite takes no other word for a key that is the table


def key_of(scope_id: int, number: int) -> int:
    """The key of a row. A number that is none of this scope's gives one of no row's."""
    return scope_id << _NUMBER_BITS | number if 0 <= number <= LAST_NUMBER else -1


def number_of(key: int) -> int:
    return key & LAST_NUMBER


def in_scope(key: ColumnElement[int], scope_id: int, after: int = 0, before: int | None = None) -> ColumnElement[bool]:
    """Whether a row is of this scope, with `after < number < before`."""
    last = LAST_NUMBER if before is None else before - 1
    low, high = (key_of(scope_id, min(max(number, 0), LAST_NUMBER)) for number in (after, last))
    return key.between(low + 1, high)


# Applied migrations, by name (see migrations.py).
migrations = Table(
    "migrations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("applied_at", BigInteger, nullable=False),
)

# One row: the random name by which others tell this ledger from every other.
identity = Table("identity", metadata, Column("id", Text, primary_key=True))

# `head` is the seq of the root's newest change: counted here, because a database sequence is not in commit order. While
# a root has one scope it stands at UNCOUNTED, and that scope's journal tells: a fourth page to log would make an add a
# tenth slower.
UNCOUNTED = -1
roots = Table(
    "roots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("head", BigInteger, nullable=False),
)

scopes = Table(
    "scopes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root_id", ForeignKey("roots.id"), nullable=False),
    Column("path", Text, nullable=False, unique=True),
)

# The current state. Few indexes: each costs every add a page of the write-ahead log.
records = Table(
    "records",
    metadata,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("scope_id", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("session", Text),
    Column("at", BigInteger, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    Column("speaker", Text),
    Column("role", Text),
    Column("place", Text),
    Column("sources", Text),
    Column("strength", Float, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("tags", Text),
    Column("meta", Text),
    Column("replaced_by", Text),
    Column("extra", Text),
    UniqueConstraint("scope_id", "id"),
)

_LATER = text("key <> record_key")

journal = Table(
    "journal",
    metadata,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("undoes", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("record_key", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    # Without first entries, which are most: a record's key is that of its first, and is found without them.
    Index("journal_by_record", "record_id", sqlite_where=_LATER, postgresql_where=_LATER),
)
embedders = Table(
    "embedders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("dimension", Integer, nullable=False),
)


def _embedded(name: str, *more: Column[Any]) -> Table:
    """What an embedder made of a record."""
    return Table(
        name,
        metadata,
        Column("scope_id", Integer, nullable=False),
        Column("embedder_id", Integer, nullable=False),
        Column("position", BigInteger, nullable=False),
        *more,
        Column("data", LargeBinary, nullable=False),
        PrimaryKeyConstraint("scope_id", "embedder_id", "position"),
    )


# float32, little-endian; `digest` tells whether the vector still belongs to the record's text.
vectors = _embedded("vectors", Column("digest", LargeBinary, nullable=False))

# What an embedder says of a text's tokens; a row of `vectors` stands for each. Apart from it, because all vectors of a
# scope are read at once, and tokens of a few.
tokens = _embedded("tokens")

# Whose vectors answer a scope's recalls. Not a column of `embedders`: one is chosen before it has made a vector.
serving = Table(
    "serving",
    metadata,
    Column("scope_id", Integer, primary_key=True, autoincrement=False),
    Column("embedder", Text, nullable=False),
    Column("spec", Text, nullable=False),
)

# How far each projection has followed the journal.
cursors = Table(
    "cursors",
    metadata,
    Column("scope_id", Integer, nullable=False),
    Column("projection", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope_id", "projection"),
)

# What projections keep of themselves, in pieces that a row can bear; see `Segment`.
segments = Table(
    "segments",
    metadata,
    Column("scope_id", Integer, nullable=False),
    Column("projection", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("piece", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("scope_id", "projection", "until", "piece"),
)

# A row stands from an erasure's commit, whose seq it holds, until its space was given back: a kill may come between.
RECLAIM = "reclaim"
TO_RECLAIM = cursors.c.projection == RECLAIM

# Work for later (extraction, summaries): leased, retried with a growing pause, and kept when it fails for good.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("worker", Text),
    Column("error", Text),
    Index("jobs_by_due", "scope_id", "state", "due"),
)

# Each question to a language model: as estimated while it is under way, as it was when it ended.
calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope_id", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("picos", BigInteger, nullable=False),
    Column("ms", Float, nullable=False),
    Column("error", Text, nullable=False),
    Index("calls_by_time", "scope_id", "at"),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_LONG_NUMBER = re.compile("[0-9]{19}")  # from here on an integer may have more than 64 bits, which orjson would round


def dump(value: Json) -> str:
    """Compact JSON."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return _encoder.encode(value)


def parse(text: str) -> Any:
    """What `dump` wrote; ValueError when somebody else wrote it."""
    return json.loads(text) if _LONG_NUMBER.search(text) else orjson.loads(text)


def _dump_some(value: Any) -> str | None:
    """JSON, with NULL for what is empty: most records have no tags, sources or meta."""
    return dump(value) if value else None


def record_row(record: Record, scope_id: int, position: int) -> dict[str, Any]:
    return {
        "key": key_of(scope_id, position),
        "scope_id": scope_id,
        "id": record.id,
        "state": record.state,
        "revision": record.revision,
        "kind": record.kind,
        "text": record.text,
        "session": record.session,
        "at": to_micros(record.at),
        "stored_at": to_micros(record.stored_at),
        "speaker": record.speaker,
        "role": record.role,
        "place": None if record.place is None else dump(record.place.to_json()),
        "sources": _dump_some([source.to_json() for source in record.sources]) if record.sources else None,
        "strength": record.strength,
        "pinned": record.pinned,
        "tags": _dump_some(record.tags),
        "meta": _dump_some(record.meta),
        "replaced_by": _dump_some(record.replaced_by),
        "extra": _dump_some(record.extra),
    }


def row_record(row: Row[Any], scope: Scope) -> Record:
    # Unpacked in the order of RECORD_COLUMNS: looking 20 columns up by name dominates a load of many rows.
    (key, id, state, revision, kind, text, session, at, stored_at, speaker, role, place, sources,
     strength, pinned, tags, meta, replaced_by, extra) = cast("tuple[Any, ...]", row)  # fmt: skip
    return Record(
        id=id,
        scope=scope,
        text=text,
        at=from_micros(at),
        stored_at=from_micros(stored_at),
        kind=kind,
        session=session,
        speaker=speaker,
        role=role,
        place=None if place is None else Place.from_json(parse(place)),
        sources=tuple(Source.from_json(source) for source in parse(sources)) if sources else (),
        strength=strength,
        pinned=bool(pinned),
        tags=tuple(parse(tags)) if tags else (),
        meta=parse(meta) if meta else {},
        revision=revision,
        state=cast(State, state),
        replaced_by=tuple(parse(replaced_by)) if replaced_by else (),
        position=number_of(key),
        extra=parse(extra) if extra else {},
    )


RECORD_COLUMNS = [column for column in records.c if column.name != "scope_id"]
CHANGE_COLUMNS = [column for column in journal.c if column.name != "record_key"]


def _load(body: str | None) -> Mapping[str, Json] | None:
    return None if body is None else cast("dict[str, Json]", parse(body))


def row_change(row: Row[Any]) -> Change:
    return Change(
        seq=number_of(row.key),
        at=from_micros(row.at),
        actor=row.actor,
        verb=row.verb,
        record_id=row.record_id,
        before=_load(row.before),
        after=_load(row.after),
        cause=row.cause,
        step=row.step,
        undoes=row.undoes,
    )
