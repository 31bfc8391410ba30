"""JSON Lines: agentmem's own export, without loss, and anybody else's objects that have a "text".

An export begins with a header and holds one record a line, in the order of writing and in every state; ids, times,
states and revisions are kept, and only the scope becomes that of the memory it is read into. In a foreign file a line
may give any field of a memory, and an "id"; what it says beyond that goes to `meta`. Streams: of the lines before it
holds nothing but their ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed, InvalidInput
from agentmem.records import Place, Record, RecordFields, Source
from agentmem_apps.importers.decoding import decoded
from agentmem_apps.importers.reading import Ids, Options, Skip, lines, made

__all__ = ["read"]

_SCHEMA = 1  # the newest export this release can read
_FIELDS: Final = frozenset(RecordFields.__annotations__) - {"text"}
_OURS: Final = frozenset({"id", "scope", "text", "at", "stored_at"})  # what every exported record has


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    file, ids = str(path), Ids()
    header: dict[str, Any] | None = None
    first_line: dict[str, int] = {}
    number = 0
    for line in lines(path):
        number = line.number
        if not line.text.strip():
            continue
        value = decoded(line.text, file=file, line=number)
        if not isinstance(value, dict):
            raise ImportFailed("a line must be a JSON object", file=file, line=number)
        if "agentmem" in value and not first_line and header is None:
            header = _header(value, options, file, number)
            continue
        if header is not None or value.keys() >= _OURS:
            record = _exported(value, options, file, number)
        else:
            record = _foreign(value, ids, options, path, number)
        if record.id in first_line:
            raise ImportFailed(
                f"id {record.id!r} was given on line {first_line[record.id]} already",
                file=file,
                line=number,
                way_out="Two memories cannot share an id: change one, or leave it out.",
            )
        first_line[record.id] = number
        yield record
    if header is None and not first_line:
        raise ImportFailed("there is nothing in it", file=file)
    expected = (header or {}).get("records")
    if isinstance(expected, int) and expected != len(first_line):
        cut = f"the header promises {expected} records, and there are {len(first_line)}: it was cut"
        raise ImportFailed(cut, file=file, line=number)


def _header(value: dict[str, Any], options: Options, file: str, line: int) -> dict[str, Any]:
    schema = value.get("schema")
    if value["agentmem"] != "export" or not isinstance(schema, int) or schema < 1:
        raise ImportFailed("this is no header of an agentmem export", file=file, line=line)
    if schema > _SCHEMA:
        raise ImportFailed(
            f"this export has schema {schema}, and this release reads up to {_SCHEMA}",
            file=file,
            line=line,
            way_out="Import it with the release that wrote it, or a later one.",
        )
    if options.session or options.kind:
        way_out = "Leave out session and kind; edit the memories afterwards."
        raise InvalidInput("an export is taken in as it was written", way_out=way_out)
    return value


def _exported(value: dict[str, Any], options: Options, file: str, line: int) -> Record:
    if missing := _OURS - value.keys():
        raise ImportFailed(f"this is no exported record: it has no {', '.join(sorted(missing))}", file=file, line=line)
    try:
        return replace(Record.from_json(value), scope=options.scope)
    except InvalidInput as error:
        raise ImportFailed(str(error), file=file, line=line, way_out=error.way_out) from error


def _foreign(value: dict[str, Any], ids: Ids, options: Options, path: Path, line: int) -> Record:
    file = str(path)
    if "text" not in value:
        raise ImportFailed('the object has no "text"', file=file, line=line)
    given: dict[str, Any] = {name: value[name] for name in _FIELDS & value.keys() if value[name] is not None}
    beyond = {name: item for name, item in value.items() if name not in _FIELDS and name not in ("id", "text")}
    meta = given.get("meta", {})
    if not isinstance(meta, dict):
        raise ImportFailed('"meta" must be an object', file=file, line=line)
    if beyond or meta:
        given["meta"] = {**beyond, **meta}
    try:
        if isinstance(given.get("place"), dict):
            given["place"] = Place.from_json(given["place"])
        if isinstance(given.get("sources"), list):
            given["sources"] = [Source.from_json(item) if isinstance(item, dict) else item for item in given["sources"]]
    except InvalidInput as error:
        raise ImportFailed(str(error), file=file, line=line, way_out=error.way_out) from error
    if options.session is not None:
        given["session"] = options.session
    # Without an id of its own, a line is known by its file's name and its content: the same object in another file is
    # another memory, and moving a line within the file changes nothing.
    key = ("jsonl", path.name, json.dumps(value, sort_keys=True))
    id = value["id"] if value.get("id") is not None else ids.of(*key)
    return made(value["text"], given, id=str(id) if isinstance(id, int) else id, options=options, file=file, line=line)
