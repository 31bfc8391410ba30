"""How data and talk reach the terminal: cleaned, aligned, as JSON. stdout is data, stderr is talk.

Texts from memories are untrusted: somebody else's words may carry escape sequences that repaint the screen or retitle
the window, and markup that a renderer would obey. Whatever is printed for a person passes through `clean`; JSON
escapes the same characters instead, so that nothing is lost. Knows terminals; knows nothing of memories but how a
time and an id are shown. rich is imported only where a table is drawn on a terminal (60 ms).
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO

import click

__all__ = [
    "SCHEMA",
    "UNPRINTABLE",
    "clean",
    "coloured",
    "emit",
    "emit_json",
    "emit_table",
    "escaped",
    "local_time",
    "on_terminal",
    "one_line",
    "plural",
    "quiet_pipe",
    "short_id",
    "to_json_text",
]

SCHEMA: Final = 1  # of every JSON object that the command line prints; grows when a field changes its meaning

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # titles, links, clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c|$)"  # device strings
    r"|\x1b[ -/]*[0-~]?"
)
# Controls, and the marks that reverse the reading direction: with them a line can be made to show what it is not.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LINES: Final = 4  # of a text in a table: ten hits of long prose then fit on a screen or two, and `show ID` has it all
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def clean(text: str) -> str:
    """`text` without escape sequences and control characters; line ends and tabs stay."""
    return UNPRINTABLE.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, width: int | None = None) -> str:
    """`text` cleaned and on one line; cut to `width` characters with an ellipsis when that is given."""
    line = " ".join(clean(text.replace("\r", "\n")).split())
    return line if width is None or len(line) <= width else line[: width - 1].rstrip() + "…"


def short_id(record_id: str) -> str:
    """What a person types for an id: the random tail of a UUID (32 bits), or the whole of an id from elsewhere."""
    return record_id[-8:] if _UUID.fullmatch(record_id) else clean(record_id)


def local_time(at: datetime) -> str:
    """To the minute, in the zone of this machine."""
    try:
        return f"{at.astimezone():%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):  # year 1, or before what this platform's zones know
        return f"{at:%Y-%m-%d %H:%M}Z"


def plural(count: int, noun: str, many: str = "") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def on_terminal(stream: TextIO) -> bool:
    """Whether a person reads this stream on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    return on_terminal(stream) and not os.environ.get("NO_COLOR")


def emit(text: str = "") -> None:
    """A line of data on stdout."""
    click.echo(text, color=coloured(sys.stdout))


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """When the reader of stdout has gone (`| head`), end the command quietly, as done.

    stdout is pointed nowhere, or the interpreter's last flush would complain about the pipe.
    """
    try:
        yield
    except BrokenPipeError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        raise click.exceptions.Exit(0) from None


def to_json_text(payload: Mapping[str, Any]) -> str:
    """One line of JSON with the schema's number in it, safe to show on a terminal."""
    return escaped(json.dumps({"schema": SCHEMA, **payload}, ensure_ascii=False, allow_nan=False))


def escaped(line: str) -> str:
    """A line of JSON that says the same, without a character that a terminal would obey."""
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def emit_json(payload: Mapping[str, Any]) -> None:
    emit(to_json_text(payload))


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, notes: Sequence[str] = ()) -> None:
    """Rows of untrusted text: drawn with headings on a terminal, aligned and without headings off it.

    The last column is the long one: a terminal gets its beginning, folded, a pipe gets it whole on its line. A note
    stands below its row ("" for none).
    """
    cleaned = [[one_line(cell) for cell in row] for row in rows]
    if on_terminal(sys.stdout):
        _draw(columns, cleaned, notes)
        return
    widths = [max((_width(row[i]) for row in cleaned), default=0) for i in range(len(columns) - 1)]
    for number, row in enumerate(cleaned):
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)]
        emit("  ".join([*cells, row[-1]]).rstrip())
        if number < len(notes) and notes[number]:
            emit("      " + one_line(notes[number]))


def _draw(columns: Sequence[str], rows: list[list[str]], notes: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(no_color=not coloured(sys.stdout))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    shown = [i for i in range(len(columns) - 1) if not rows or any(row[i] for row in rows)]
    for i in shown:
        table.add_column(columns[i], no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    taken = sum(max(_width(columns[i]), *(_width(row[i]) for row in rows)) + 2 for i in shown) if rows else 0
    room = _LINES * max(console.width - taken, 20)
    for number, row in enumerate(rows):
        # Text, not str: a str in a table is read as markup.
        last = Text(row[-1])
        last.truncate(room, overflow="ellipsis")
        if number < len(notes) and notes[number]:
            last.append("\n" + one_line(notes[number]), style="dim")
        table.add_row(*(Text(row[i]) for i in shown), last)
    with console.capture() as drawn:
        console.print(table)
    emit(drawn.get().rstrip("\n"))


def _width(text: str) -> int:
    """Columns on a terminal: wide East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
