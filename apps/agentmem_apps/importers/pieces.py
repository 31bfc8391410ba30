"""JSON documents of any size, one piece at a time: the elements of a list, or the members of an object.

Of the document it holds one piece, and only pieces are decoded; where they begin and end is found by their brackets.
Python's own decoder then reads each, so that nothing is altered: the streaming decoder that was tried turns half of a
surrogate pair into "?", names no line, and used up a machine's memory on 200 kB of "[".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from agentmem.errors import ImportFailed
from agentmem_apps.importers.decoding import LONGEST, MOST_VALUES, checked_encoding, decoded, plain, too_many_values

__all__ = ["Piece", "outline", "pieces"]

_CHUNK: Final = 2**18  # bytes: larger reads are no faster
_DEEPEST: Final = 200  # brackets in brackets: real exports reach 20, and Python's decoder gives up at about 1,000
# All up to the next bracket outside a text. `cut` is what stands there instead of it where the bytes end.
_BRACKET: Final = re.compile(
    rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+(?:(?P<bracket>[{}\[\]])|(?P<cut>"|\Z))', re.DOTALL
)
_SCALAR: Final = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\s,:{}\[\]]++)(?=.)', re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_NAME: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\r\n]*+(:)?|([{}\[\]])|"', re.DOTALL)


class Piece(NamedTuple):
    """A value of the document with the line it begins on. `path` leads to it: names, and numbers from 0."""

    line: int
    path: tuple[str | int, ...]
    value: Any


def pieces(stream: BinaryIO, file: str, *, into: Collection[str] = ()) -> Iterator[Piece]:
    """The elements of a list, one by one; of an object all at once or, with `into`, its members one by one.

    A member named in `into` is itself gone through in the same way. ImportFailed, at the place of the fault, for
    anything that is no JSON, is no list or object, or has a piece of more than `LONGEST` bytes.
    """
    source = _Source(stream, file)
    first = source.peek()
    if first == b"[" or (first == b"{" and into):
        yield from _within(source, (), into)
    elif first == b"{":
        yield source.piece(())
    elif first:
        raise source.fault("a list or an object in brackets must begin here")
    else:
        raise ImportFailed("there is nothing in it", file=file)
    if source.peek():
        raise source.fault("there is something after its end")


def outline(head: bytes) -> Iterator[tuple[str, ...]]:
    """The names in the beginning of a document, each with those around it, as they come; `*` for a list's elements.

    `[{"a": {"b": 1}}]` gives ("*", "a"), ("*", "a", "b"). Checks nothing, and ends where the bytes do.
    """
    around: list[str] = []  # the first is the document itself, which has no name
    name = ""
    for found in _NAME.finditer(head.decode("utf-8", "replace")):
        if found[2]:
            name = found[1]
            yield (*around[1:], name)
        elif found[3] in ("{", "["):
            around.append(name)
            name = "*"
        elif found[3] and len(around) > 1:
            around.pop()
            name = "*"
        elif found[1] is None:  # the end of the document, or a text that is not whole
            return


def _within(source: _Source, path: tuple[str | int, ...], into: Collection[str]) -> Iterator[Piece]:
    """The pieces between the bracket that stands here and its fellow."""
    named = source.peek() == b"{"
    source.step()
    number = 0
    while source.peek() != (b"}" if named else b"]"):
        if number:
            source.expect(b",")
        key: str | int = source.name() if named else number
        if key in into and source.peek() in (b"[", b"{"):
            yield from _within(source, (*path, key), ())
        else:
            yield source.piece((*path, key))
        number += 1
    source.step()


class _Source:
    """The bytes from where the reading stands; what was read is let go."""

    def __init__(self, stream: BinaryIO, file: str) -> None:
        self._stream, self._file = stream, file
        self._bytes, self._at, self._ended = b"", 0, False
        self._line, self._column, self._offset = 1, 1, 0
        while len(self._bytes) < 3 and not self._ended:
            self._more()
        bare = checked_encoding(self._bytes, file)
        self._offset = len(self._bytes) - len(bare)
        self._bytes = bare

    def _more(self) -> None:
        """Read on: as much again as is held, so that a long piece is not gone through once for every chunk of it."""
        held = self._bytes[self._at :]
        try:
            new = self._stream.read(max(_CHUNK, len(held)))
        except OSError as error:
            raise ImportFailed(f"it cannot be read: {error.strerror or error}", file=self._file) from error
        self._bytes, self._at, self._ended = held + new, 0, not new

    def fault(self, what: str) -> ImportFailed:
        return ImportFailed(f"this is not JSON: {what}, column {self._column:,}", file=self._file, line=self._line)

    def peek(self) -> bytes:
        """The next byte that is no space; b"" at the end."""
        while True:
            space = _SPACE.match(self._bytes, self._at)
            assert space is not None
            self._pass(space.end())
            if self._at < len(self._bytes) or self._ended:
                return self._bytes[self._at : self._at + 1]
            self._more()

    def step(self) -> None:
        self._pass(self._at + 1)

    def expect(self, byte: bytes) -> None:
        if self.peek() != byte:
            missing = {b",": "a comma or a closing bracket", b":": "a colon"}[byte]
            raise self.fault(f"{missing} is missing" if self.peek() else "it ends here, in the middle")
        self.step()

    def name(self) -> str:
        """The name of a member, and its colon."""
        if self.peek() != b'"':
            raise self.fault("a name in double quotes is missing" if self.peek() else "it ends here, in the middle")
        name: str = self.piece(()).value
        self.expect(b":")
        return name

    def piece(self, path: tuple[str | int, ...]) -> Piece:
        """The value that begins here, decoded."""
        if (first := self.peek()) in (b"", b",", b":", b"}", b"]"):
            raise self.fault("a value is missing" if first else "it ends here, in the middle")
        end = self._end()
        line, column = self._line, self._column
        text = plain(self._bytes[self._at : end], file=self._file, line=line, offset=self._offset)
        self._pass(end)
        return Piece(line, path, decoded(text, file=self._file, line=line, column=column))

    def _end(self) -> int:
        """Where the value that begins here ends, or the bytes do."""
        nested = self._bytes[self._at : self._at + 1] in (b"{", b"[")
        depth, past, brackets = 0, 0, 0  # past: how many bytes of the value are gone through
        while True:
            if nested:
                for found in _BRACKET.finditer(self._bytes, self._at + past):
                    if found["bracket"] is None:
                        break
                    past = found.end() - self._at
                    depth += 1 if found["bracket"] in (b"{", b"[") else -1
                    if not depth:
                        return self._at + past
                    brackets += 1
                    if brackets > 2 * MOST_VALUES:
                        raise too_many_values(self._file, self._line)
                    if depth > _DEEPEST:
                        raise ImportFailed("this JSON is nested too deeply", file=self._file, line=self._line)
            elif scalar := _SCALAR.match(self._bytes, self._at):
                return scalar.end()
            if self._ended:
                return len(self._bytes)
            if len(self._bytes) - self._at > LONGEST:
                raise ImportFailed("a piece of JSON of more than 32 MiB", file=self._file, line=self._line)
            self._more()

    def _pass(self, end: int) -> None:
        gone = self._bytes[self._at : end]
        last = gone.rfind(b"\n")
        self._line += gone.count(b"\n")
        tail = gone[last + 1 :]
        characters = len(tail.decode("utf-8", "replace"))
        self._column = characters + (1 if last >= 0 else self._column)
        self._offset += len(gone)
        self._at = end
