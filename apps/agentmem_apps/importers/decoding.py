"""Bytes to text and JSON to values, strictly: a fault is told in a reader's words, by line and column.

Knows UTF-8 and JSON. It refuses what would be read as something else than was meant: a name given twice, NaN, an
encoding that is not UTF-8. One call takes at most `LONGEST` bytes and `MOST_VALUES` values, which bounds its memory.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

from agentmem.errors import ImportFailed

__all__ = ["LONGEST", "MOST_VALUES", "checked_encoding", "decoded", "plain", "too_many_values"]

LONGEST: Final = 32 * 2**20  # bytes: a line, paragraph or conversation beyond this must not fill the memory
MOST_VALUES: Final = 2_000_000  # in one piece of JSON: `[{},{},…` takes 24 times its size, 310 MB at this many
# Possessive, and closed by the end too: a text that is never closed would else be tried from each of its quotes.
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_FAULTS: Final = {
    "Expecting value": "a value is missing",
    "Expecting property name": "a name in double quotes is missing",
    "Expecting ':'": "a colon is missing",
    "Expecting ','": "a comma or a closing bracket is missing",
    "Unterminated string": "a text begins here and has no end",
    "Invalid control character": "a control character inside a text",
    "Invalid \\u": "a \\u without four hexadecimal digits",
    "Invalid \\": "a backslash before a character that takes none",
    "Extra data": "there is something after its end",
    "Illegal trailing comma": "a comma before a closing bracket",
}
_UTF_8 = "Save the file as UTF-8, for example: iconv -f {} -t utf-8 OLD > NEW"


class _Refused(ValueError):
    """What Python's decoder would let pass."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        count = Counter(name for name, _ in pairs)
        raise _Refused(f"an object gives {count.most_common(1)[0][0]!r:.60} twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no number in plain JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def checked_encoding(head: bytes, file: str) -> bytes:
    """The beginning of a file without its UTF-8 mark, or ImportFailed where it bears another encoding's."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportFailed("this is UTF-16, not UTF-8", file=file, line=1, way_out=_UTF_8.format("utf-16"))
    return head.removeprefix(b"\xef\xbb\xbf")


def plain(raw: bytes, *, file: str, line: int, offset: int) -> str:
    """UTF-8 as text, without NUL. `line` and `offset`, in the file, are those of the first byte."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        if error.reason == "unexpected end of data":
            raise ImportFailed("it ends in the middle of a character: it was cut", file=file, line=line) from error
        what = f"byte {offset + error.start} (0x{raw[error.start]:02x}) is not UTF-8"
        raise ImportFailed(what, file=file, line=line, way_out=_UTF_8.format("windows-1252")) from error
    if "\0" in text:
        line += text.count("\n", 0, text.index("\0"))
        raise ImportFailed("a NUL byte: this is not text, or it is UTF-16", file=file, line=line)
    return text


def decoded(text: str, *, file: str, line: int = 1, column: int = 1) -> Any:
    """The JSON value; `line` and `column` are those of the text's first character in the file, from 1."""
    if len(text) > MOST_VALUES:  # a shorter one cannot hold so many
        _bounded(text, file, line)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        across = error.colno + (column - 1 if error.lineno == 1 else 0)
        what = next((told for told in _FAULTS if error.msg.startswith(told)), None)
        fault = "it is not well formed" if what is None else _FAULTS[what]
        if error.pos >= len(text.rstrip()):
            fault = "it ends here, in the middle"
        raise ImportFailed(f"this is not JSON: {fault}, column {across:,}", file=file, line=at) from error
    except RecursionError as error:
        raise ImportFailed("this JSON is nested too deeply", file=file, line=line) from error
    except _Refused as error:
        raise ImportFailed(f"this JSON cannot be read: {error}", file=file, line=line) from error
    except ValueError as error:
        raise ImportFailed("this JSON cannot be read: a number of thousands of digits", file=file, line=line) from error


def _bounded(text: str, file: str, line: int) -> None:
    if len(text) > LONGEST:
        raise ImportFailed("a piece of JSON of more than 32 MiB", file=file, line=line)
    if sum(map(text.count, ",[{")) > MOST_VALUES and sum(map(_STRING.sub("", text).count, ",[{")) > MOST_VALUES:
        raise too_many_values(file, line)


def too_many_values(file: str, line: int) -> ImportFailed:
    return ImportFailed(f"a piece of JSON with more than {MOST_VALUES:,} values", file=file, line=line)
