"""The columns of a list of records: which of them a width has room for, and a cell cut to its own.

All that comes from a record passes through here, and leaves as one line of printable characters, of a known width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from unicodedata import category

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agentmem.errors import InvalidInput
from agentmem.filters import Order
from agentmem.records import Record
from agentmem_apps.cli.output import clean

__all__ = ["GAP", "Column", "checked_columns", "cut", "laid_out", "on_one_line"]

GAP: Final = 2  # cells between two columns
_LEAST: Final = 32  # cells of the column that takes the rest; below that, the others make room
_LOOKED_AT: Final = 1_000  # characters of a text: no screen is wider, and a row of 200 kB would take milliseconds
_BLANK: Final = re.compile(r"\s+")
_SELECTORS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))  # of a character's form, which may change its width


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `width` in cells; None takes what the others leave, and one column of a list has it. `cell` gives the
    words of a record, or a `Text` that has its styles already. `order` is what a click on the title sorts by. Numbers
    stand at the `right`."""

    key: str
    title: str
    width: int | None
    cell: Callable[[Record], str | Text]
    order: Order | None = None
    right: bool = False


def laid_out(columns: Sequence[Column], width: int) -> list[tuple[Column, int, int]]:
    """The columns for which there is room, each with where it begins and its width. The first stand longest."""
    shown = list(columns)
    while True:
        room = width - sum(column.width + GAP for column in shown if column.width is not None)
        fixed = [column for column in shown if column.width is not None]
        if room >= _LEAST or not fixed:
            break
        shown.remove(fixed[-1])
    places, at = [], 0
    for column in shown:
        cells = max(room, 0) if column.width is None else column.width
        places.append((column, at, cells))
        at += cells + GAP
    return places


def checked_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """InvalidInput unless exactly one of them takes the rest."""
    if sum(column.width is None for column in columns) != 1:
        raise InvalidInput("of the columns of a list, one takes the rest: give that one the width None")
    return tuple(columns)


def on_one_line(words: str | Text) -> Text:
    """As they may be shown: no escape sequence or control character, each line break a space, and nothing that a
    terminal may take for wider than it is counted here. A `Text` keeps its styles."""
    if isinstance(words, str):
        return Text(" ".join(_plain(words.lstrip()[:_LOOKED_AT]).split()))
    words, line = words[:_LOOKED_AT], words.blank_copy()
    for run in words.divide(sorted({edge for span in words.spans for edge in (span.start, span.end)})):
        run.plain = _plain(run.plain)
        line.append_text(run)
    return line


def _plain(text: str) -> str:
    line = clean(_BLANK.sub(" ", text))
    return line if line.isascii() else "".join(filter(_is_sure, line))


@lru_cache(4_096)
def _is_sure(character: str) -> bool:
    """Whether terminals agree how wide it is. What joins is 0 cells here with all that it joins, and a thousand letters
    elsewhere; so emoji stand one by one, each of them as wide as it is. Marks on a letter, vowels and the non-joiner of
    Persian are 0 everywhere."""
    if character in _SELECTORS:
        return False
    return character == "\u200c" or cell_len(character) > 0 or category(character) in ("Mn", "Me", "Mc", "Lo")


def cut(words: Text, width: int, *, right: bool = False) -> Text:
    """Exactly `width` cells wide: padded, or ended with an ellipsis. Wide characters are never cut in two."""
    if cell_len(words.plain) > width:
        kept = set_cell_size(words.plain, width - 1).rstrip() if width > 0 else ""
        words = words[: len(kept)]
        words.append("…" if width > 0 else "")
    (words.pad_left if right else words.pad_right)(width - cell_len(words.plain))
    return words
