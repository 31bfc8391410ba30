"""Untrusted text made fit to be shown: on one line of so many cells, or on several.

Cells are counted as Textual counts them, by rich.
"""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agentmem_apps.cli.output import UNPRINTABLE
from agentmem_apps.cli.output import one_line as flattened

__all__ = ["block", "one_line", "visible"]

_ROOM: Final = (
    16  # characters read for a cell of a line, and some: a text may have 8 MiB, and a list shows its beginning
)
_BRACKET: Final = re.compile(r"(\\?)\[")
_JOINER: Final = "\N{WORD JOINER}"  # no cell wide, and no style's name begins with it
_TAB: Final = "    "


def one_line(text: str, width: int) -> str:
    """The beginning of `text` on a line of at most `width` cells, `…` where it was cut; controls are left out.

    Whoever reads it as markup finds none: each bracket is parted from what it would open.
    """
    if width < 1:
        return ""
    head = text[: _ROOM * (width + _ROOM)]
    line = flattened(_encodable(head))
    if len(head) < len(text) or cell_len(line) > width:
        line = set_cell_size(line, min(cell_len(line), width - 1)).rstrip() + "…"
    return _BRACKET.sub(lambda found: f"{found[1] and found[1] + _JOINER}[{_JOINER}", line)


def visible(text: str) -> str:
    """`text` with its line breaks, a picture in the place of every other control, and four blanks for a tab."""
    lines = _encodable(text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", _TAB)
    return UNPRINTABLE.sub(lambda found: _picture(ord(found[0])), lines)


def block(text: str, style: str = "") -> Text:
    """`text` as `visible` has it, for a screen; markup in it is only words."""
    return Text(visible(text), style=style)


def _encodable(text: str) -> str:
    """Without halves of surrogate pairs, at which a terminal's encoder fails."""
    return text.encode(errors="replace").decode()


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨{code:X}⟩"
