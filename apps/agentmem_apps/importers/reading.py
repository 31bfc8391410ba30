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

__all__ = [
    "LONGEST",
    "Ids",
    "Line",
    "Options",
    "Reader",
    "Skip",
    "chunk",
    "decoded",
    "document",
    "lines",
    "made",
    "member",
    "opened",
]

LONGEST: Final = 64 * 2**20  # bytes: a line or paragraph beyond this is no text, and must not fill the memory
_LARGEST_DOCUMENT: Final = 2**30  # bytes: JSON documents are decoded whole, at about 8 times their size
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
                raise ImportFailed("a line of more than 64 MiB", file=str(path), line=number + 1)
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ImportFailed(
                    f"byte {offset + error.start} (0x{raw[error.start]:02x}) is not UTF-8",
                    file=str(path),
                    line=number + 1,
                    way_out="Save the file as UTF-8, for example: iconv -f windows-1252 -t utf-8 OLD > NEW",
                ) from error
            if "\0" in text:
                raise ImportFailed("a NUL byte: this is not text", file=str(path), line=number + 1)
            if offset == 0:
                text = text.removeprefix("\ufeff")
            offset += len(raw)
            for part in text.removesuffix("\n").removesuffix("\r").split("\r"):
                number += 1
                yield Line(number, start, part)
                start += len(part) + 1


def decoded(text: str | bytes, *, file: str, line: int = 1) -> Any:
    """The JSON value; `line` is the number of the text's first line in the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        what = f"this is not JSON: {error.msg}, column {error.colno}"
        raise ImportFailed(what, file=file, line=line + error.lineno - 1) from error
    except RecursionError as error:
        raise ImportFailed("this JSON is nested too deeply", file=file, line=line) from error
    except ValueError as error:  # invalid UTF-8, or a number of more than 4,300 digits
        raise ImportFailed(f"this JSON cannot be read: {error}", file=file, line=line) from error


def document(path: Path) -> Any:
    """A file that is one JSON value."""
    with opened(path) as file:
        raw = chunk(file, _LARGEST_DOCUMENT + 1, path)
    if len(raw) > _LARGEST_DOCUMENT:
        raise ImportFailed("a JSON document of more than 1 GiB", file=str(path), way_out="Split it, or use JSONL.")
    if not raw.strip():
        raise ImportFailed("there is nothing in it", file=str(path))
    return decoded(raw.removeprefix(b"\xef\xbb\xbf"), file=str(path))


_NAMES: Final = {dict: "an object", list: "a list", str: "text", int: "a whole number"}


def member(holder: object, key: str | int, kind: type, *, file: str, where: str) -> Any:
    """`holder[key]`, which must be there and of this JSON type; ImportFailed says where it is not."""
    if isinstance(key, str) and not isinstance(holder, dict):
        raise ImportFailed(f"{where} must be an object", file=file)
    try:
        value = cast(Any, holder)[key]
    except (KeyError, IndexError) as error:
        raise ImportFailed(f"{where} has no {key!r}", file=file) from error
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ImportFailed(f"{where}: {key!r} must be {_NAMES[kind]}", file=file)
    return value


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
        raise ImportFailed(what, file=file, line=line, way_out=error.way_out) from error
