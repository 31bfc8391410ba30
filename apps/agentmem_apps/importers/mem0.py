"""mem0's memories: what `get_all()` returns, written as JSON: an object with `results`, a page of it, or the bare list.

A memory is a fact: mem0 made it out of what somebody said. It is said by its actor, else by its agent or its user, in
the session of its run. All else that mem0 knows of it (its id and hash, when it was updated, its metadata) is kept in
`meta`; relations between entities, which are no memories, are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record
from agentmem_apps.importers.dates import iso_time
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot, opened

__all__ = ["LISTS", "read"]

LISTS: Final = ("results", "memories")  # the second: a copy somebody made of the platform's answer
_TAKEN: Final = frozenset({"memory", "created_at", "role", "categories", "run_id"})


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    file, ids, number = str(path), Ids(), 0
    with opened(path) as stream:
        found = False
        for piece in pieces(stream, file, into=LISTS):
            where = piece.path[0]
            if isinstance(where, int) or (where in LISTS and len(piece.path) == 2):
                number += 1
                found = True
                yield _memory(piece.value, Spot(file, piece.line, f"memory {number}"), ids, options)
            elif where in LISTS:
                raise ImportFailed(f"{where!r} must be a list", file=file, line=piece.line)
            elif where == "relations" and piece.value:
                yield Skip("relations", "relations between entities are no memories")
    if not found:
        raise ImportFailed("there is no memory in it", file=file)


def _memory(value: Any, spot: Spot, ids: Ids, options: Options) -> Record | Skip:
    text: str = spot.needed(value, "memory", str)
    given_id = value.get("id")
    id = ids.once("mem0", str(given_id), text) if given_id is not None else ids.of("mem0", text)
    if id is None:
        return Skip(spot.where, "it came before")
    if not text.strip():
        return Skip(spot.where, "a memory without a word")
    role = spot.maybe(value, "role", str)
    people = [spot.maybe(value, name, str) for name in ("actor_id", "agent_id", "user_id")]
    if role != "assistant":
        people[1:] = people[:0:-1]
    run = spot.maybe(value, "run_id", str)
    given: dict[str, Any] = {
        "kind": "fact",
        "session": "/".join(filter(None, (options.session, run))) or None,
        "speaker": next(filter(None, people), None),
        "role": role,
        "tags": spot.texts(value, "categories"),
        "meta": {name: item for name, item in value.items() if name not in _TAKEN and item is not None},
    }
    at = iso_time(value.get("created_at"), spot, name="created_at")
    if at is not None:
        given["at"] = at
    return spot.made(text, given, id=id, options=options)
