"""SillyTavern's World Info, and the lorebooks of character cards (v2, v3): entries that say how a world is.

An entry is a setting; the words that call it up are its tags, and its title, order and place in the book go to `meta`.
The book's name, or the card's, or else the file's, is the session. Disabled entries are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot, opened

__all__ = ["read"]

# World Info's name of a field, and the card's.
_KEYS: Final = ("key", "keys", "keysecondary", "secondary_keys")
_PLACE: Final = ("uid", "id", "constant", "order", "insertion_order", "position", "priority", "group")


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    file = str(path)
    with opened(path) as stream:
        found = list(islice(pieces(stream, file), 2))  # asking for a second one reads the document to its end
    if len(found) != 1 or found[0].path:
        raise ImportFailed("this is a list, and no lorebook", file=file)
    yield from _book(found[0].value, path.stem, Spot(file, found[0].line, "the book"), options)


def _book(value: dict[str, Any], name: str, spot: Spot, options: Options) -> Iterator[Record | Skip]:
    if "entries" not in value and (inside := spot.maybe(value, "data", dict)) is not None:  # a card, or an envelope
        name = spot.maybe(inside, "name", str) or name
        value = inside if "entries" in inside else spot.needed(inside, "character_book", dict)
    name = spot.maybe(value, "name", str) or name
    listed = value.get("entries")
    entries = listed if isinstance(listed, dict) else dict(enumerate(spot.needed(value, "entries", list), 1))
    if not entries:
        raise ImportFailed("there is no entry in it", file=spot.file, line=spot.line)
    ids = Ids()
    for number, entry in entries.items():
        yield _entry(entry, name, Spot(spot.file, spot.line, f"entry {number}"), ids, options)


def _entry(value: Any, book: str, spot: Spot, ids: Ids, options: Options) -> Record | Skip:
    text: str = spot.needed(value, "content", str)
    title = spot.maybe(value, "comment", str) or spot.maybe(value, "name", str) or ""
    where = f"{spot.where} ({title})" if title else spot.where
    if value.get("disable") is True or value.get("enabled") is False:
        return Skip(where, "disabled")
    if not text.strip():
        return Skip(where, "an entry without a word")
    tags = {tag for name in _KEYS for tag in spot.texts(value, name)}
    meta = {name: value[name] for name in _PLACE if value.get(name) not in (None, "")}
    given = {
        "kind": "setting",
        "session": options.session or book,
        "tags": sorted(tags),
        "meta": {"title": title, **meta} if title else meta,
    }
    id = ids.of("sillytavern", book, title, text)
    return spot.made(text, given, id=id, options=options)
