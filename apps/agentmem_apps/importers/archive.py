"""The files of an export: one JSON file, the folder it was unpacked to, or the zip as the service sends it.

Nothing is unpacked to disk. A zip is hostile until read: its list of members, what a member unpacks to and how it is
packed are all bounded by what is really there, not by what the zip says of itself. Knows no format.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, NamedTuple, TypeVar, cast

from agentmem.errors import ImportFailed
from agentmem_apps.importers.reading import chunk, opened

__all__ = ["Part", "holds_conversations", "parts"]

_WANTED: Final = re.compile(r"conversations(?:-(\d{1,6}))?\.json")
_LIST: Final = 8 * 2**20  # bytes of a zip's list of members: some 80,000 of them, and 130 MB once read
_FREE: Final = 64 * 2**20  # bytes that any member may unpack to
_RATIO: Final = 200  # times its packed size that it may grow beyond that; chats reach 10, zeros 1,000
_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")  # the second: a zip with nothing in it


# All that zipfile was seen to raise over a damaged zip.
_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError, OverflowError, IndexError),
)
T = TypeVar("T")


class Part(NamedTuple):
    """A file of the export. `name` is what a fault in it is told of."""

    name: str
    stream: BinaryIO


def parts(path: Path) -> Generator[Part, None, None]:
    """`path` itself; or of a folder or a zip its conversations.json, or conversations-000.json and those that follow.

    Each is closed when the next is asked for. ImportFailed if there is none, or it cannot be read safely.
    """
    if path.is_dir():
        for name in _some(_names(path), path):
            with opened(path / name) as file:
                yield Part(str(path / name), file)
        return
    with opened(path) as file:
        zipped, size = chunk(file, 4, path) in _MAGIC, file.seek(0, 2)
        file.seek(0)
        if not zipped:
            yield Part(str(path), file)
            return
        with _told(str(path)):
            archive = zipfile.ZipFile(cast(BinaryIO, _Listing(file)))
        for info in _some([info for info in archive.infolist() if _wanted(info.filename)], path):
            name = f"{path}/{info.filename}"
            with _told(name), _unpacked(archive, info, name) as member:
                yield Part(name, cast(BinaryIO, _Member(member, name, min(info.compress_size, size))))


def holds_conversations(folder: Path) -> bool:
    """Whether an export was unpacked to this folder."""
    return bool(_names(folder))


def _names(folder: Path) -> list[str]:
    try:
        return [child.name for child in folder.iterdir() if _wanted(child.name)]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImportFailed(f"it cannot be read: {reason}", file=str(folder)) from error


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and _WANTED.fullmatch(parts[-1]) is not None


def _some(found: Sequence[T], path: Path) -> list[T]:
    """What was found, by folder and then by number: 2 before 10."""
    if not found:
        raise ImportFailed(
            "there is no conversations.json in it",
            file=str(path),
            way_out="Only ChatGPT's or Claude's export is taken in by its zip or folder; name other files one by one.",
        )

    def order(item: T) -> tuple[str, int]:
        name = PurePosixPath(item.filename if isinstance(item, zipfile.ZipInfo) else str(item))
        number = _WANTED.fullmatch(name.name)
        return str(name.parent), int((number and number[1]) or -1)

    return sorted(found, key=order)


@contextmanager
def _told(file: str) -> Iterator[None]:
    """What goes wrong with a zip, as ImportFailed."""
    try:
        yield
    except _DAMAGE as error:
        why = str(error) or type(error).__name__
        raise ImportFailed(f"this zip is damaged: {why}", file=file, way_out="Fetch the export once more.") from error


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
    by_hand = "Unpack the zip, and import what is in it."
    if info.flag_bits & 1:
        raise ImportFailed("it is encrypted", file=name, way_out=by_hand)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others without a bound
        raise ImportFailed("it is packed in an unusual way", file=name, way_out=by_hand)
    return archive.open(info)


class _Listing:
    """A zip's bytes, of which no more than a list of members of some length is ever read at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _LIST:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(size)


class _Member:
    """What a member unpacks to."""

    def __init__(self, file: IO[bytes], name: str, packed: int) -> None:
        self._file, self._name = file, name
        self._left = max(_FREE, _RATIO * packed)

    def read(self, size: int) -> bytes:
        with _told(self._name):
            found = self._file.read(min(size, _LIST))
        self._left -= len(found)
        if self._left < 0:
            raise ImportFailed(f"it unpacks to more than {_RATIO} times its size: this is no export", file=self._name)
        return found
