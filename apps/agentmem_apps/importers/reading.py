"""What every importer reads with: lines, whole JSON documents, checked records, and ids that a second reading repeats.

Files are untrusted. Whatever is wrong with one becomes ImportFailed with the file and, where there is one, the line.
The module knows bytes, text and JSON; it refuses to know any format, and it never writes.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias, cast

from agentmem.errors import ImportFailed, InvalidInput
from agentmem.records import Record, Scope
from agentmem_apps.importers.decoding import LONGEST, checked_encoding, decoded, plain

__all__ = [
    "Ids",
    "Line",
    "Options",
    "Reader",
    "Skip",
    "Spot",
    "chunk",
    "document",
    "lines",
    "made",
    "member",
    "opened",
]

# Fixed for ever: ids made under it are what keeps a second import from adding anything.
_NAMESPACE: Final = uuid.UUID("6f0d5a3e-5b0e-5c55-9a5e-8f1a3c2b7d41")


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller wants of the records: the scope they are for, and a session and kind of the caller's naming.

    `session` stands in place of a book's title, and before the name of a conversation, of which a file may hold many.
    """

    scope: Scope
    session: str | None = None
    kind: str | None = None


class Skip(NamedTuple):
    """A part of the file that is deliberately not taken in."""

    where: str
    why: str


class Line(NamedTuple):
    """A line without its end: 1-based number, and the offset of its first character in the file's text.

    The text meant is what `Path.read_text(encoding="utf-8-sig")` gives: no byte order mark, every line end one \\n.
    """

    number: int
    start: int
    text: str


Reader: TypeAlias = Callable[[Path, Options], Iterator[Record | Skip]]


def opened(path: Path) -> BinaryIO:
    """A regular file open for reading, or ImportFailed: a folder, a device, nothing there, no permission."""
    try:
        if path.is_dir():
            raise ImportFailed("this is a folder, and a file is needed", file=str(path))
        if path.exists() and not path.is_file():  # a FIFO or /dev/zero never ends
            raise ImportFailed("this is not a regular file", file=str(path))
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImportFailed(f"it cannot be read: {getattr(error, 'strerror', None) or error}", file=str(path)) from error


def chunk(file: BinaryIO, size: int, path: Path) -> bytes:
    """Up to `size` bytes; b"" at the end."""
    try:
        return file.read(size)
    except OSError as error:
        raise ImportFailed(f"it cannot be read: {error.strerror}", file=str(path)) from error


def lines(path: Path) -> Iterator[Line]:
    """The file's lines one by one, strictly UTF-8; an invalid byte is named by line and by offset in the file."""
    number, start, offset = 0, 0, 0
    with opened(path) as file:
        while True:
            try:
                raw = file.readline(LONGEST + 1)
            except OSError as error:
                raise ImportFailed(f"it cannot be read: {error.strerror}", file=str(path), line=number + 1) from error
            if not raw:
                return
            if len(raw) > LONGEST:
                raise ImportFailed("a line of more than 32 MiB", file=str(path), line=number + 1)
            bare = raw if offset else checked_encoding(raw, str(path))
            text = plain(bare, file=str(path), line=number + 1, offset=offset + len(raw) - len(bare))
            offset += len(raw)
            for part in text.removesuffix("\n").removesuffix("\r").split("\r"):
                number += 1
                yield Line(number, start, part)
                start += len(part) + 1


def document(path: Path) -> Any:
    """A small file that is one JSON value."""
    with opened(path) as file:
        raw = checked_encoding(chunk(file, LONGEST + 1, path), str(path))
    if len(raw) > LONGEST:
        raise ImportFailed("a JSON document of more than 32 MiB", file=str(path))
    if not raw.strip():
        raise ImportFailed("there is nothing in it", file=str(path))
    return decoded(plain(raw, file=str(path), line=1, offset=0), file=str(path))


_NAMES: Final = {dict: "an object", list: "a list", str: "text", int: "a whole number"}


def member(holder: object, key: str | int, kind: type, *, file: str, where: str, line: int | None = None) -> Any:
    """`holder[key]`, which must be there and of this JSON type; ImportFailed says where it is not."""
    if isinstance(key, str) and not isinstance(holder, dict):
        raise ImportFailed(f"{where} must be an object", file=file, line=line)
    try:
        value = cast(Any, holder)[key]
    except (KeyError, IndexError) as error:
        raise ImportFailed(f"{where} has no {key!r}", file=file, line=line) from error
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ImportFailed(f"{where}: {key!r} must be {_NAMES[kind]}", file=file, line=line)
    return value


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a file a value stands, for whoever must say that it is wrong: its first line, and what it is there."""

    file: str
    line: int
    where: str

    def inside(self, where: str) -> Spot:
        return Spot(self.file, self.line, f"{self.where}, {where}" if self.where else where)

    def fault(self, what: str) -> ImportFailed:
        return ImportFailed(f"{self.where}: {what}", file=self.file, line=self.line)

    def needed(self, holder: object, key: str, kind: type) -> Any:
        """`holder[key]`, as `member` gives it."""
        return member(holder, key, kind, file=self.file, where=self.where, line=self.line)

    def maybe(self, holder: object, key: str, kind: type) -> Any:
        """The same, and None where there is none or it is null."""
        absent = isinstance(holder, dict) and holder.get(key) is None
        return None if absent else self.needed(holder, key, kind)

    def texts(self, holder: object, key: str) -> list[str]:
        """The texts listed there that are not blank, trimmed; [] where there is no list."""
        listed = self.maybe(holder, key, list) or []
        if not all(isinstance(item, str) for item in listed):
            raise self.fault(f"{key!r} must be a list of texts")
        return [item.strip() for item in listed if item.strip()]

    def made(self, text: Any, given: dict[str, Any], *, id: str, options: Options) -> Record:
        return made(text, given, id=id, options=options, file=self.file, line=self.line, where=self.where)


class Ids:
    """Ids that depend on nothing but what was read, so that the same file makes the same records again.

    An id is a UUIDv5 of a natural key (what the format offers: a dialog id, a chapter and its words) and of how many
    times that key came before in this file, so two equal paragraphs are two memories.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def of(self, *key: str) -> str:
        digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).digest()
        self._seen[digest] += 1
        return str(uuid.uuid5(_NAMESPACE, json.dumps([*key, self._seen[digest]])))

    def once(self, *key: str) -> str | None:
        """The same for a key that the format gives to one thing only; None if it came before in this file."""
        before = len(self._seen)
        id = self.of(*key)
        return id if len(self._seen) > before else None


def made(
    text: Any, given: dict[str, Any], *, id: Any, options: Options, file: str, line: int | None = None, where: str = ""
) -> Record:
    """A checked record; what the core refuses becomes ImportFailed at this place."""
    if options.kind:
        given = {**given, "kind": options.kind}
    try:
        return Record.create(text, scope=options.scope, id=id, **given)
    except InvalidInput as error:
        what = f"{where}: {error}" if where else str(error)
        # The core's own advice is for programs; a file is mended by hand.
        way_out = "Write \\ufffd for it in the file." if "surrogate" in what else error.way_out
        raise ImportFailed(what, file=file, line=line, way_out=way_out) from error
