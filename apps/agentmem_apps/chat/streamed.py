"""An answer cleaned for a terminal while it comes: escape sequences are taken out, also when two pieces share one.

What is given out, joined, is what `output.clean` makes of the whole. Whatever may still turn out to be the beginning
of a sequence is held back until it is decided.
"""

from __future__ import annotations

import re
from typing import Final

from agentmem_apps.cli.output import clean

__all__ = ["Cleaner"]

_BEGINS = re.compile(r"[\x1b\x90\x98\x9b\x9d\x9e\x9f]")
# A sequence of which the end has not come, at the end of what has: colours and cursor; titles and links; device
# strings; a lone escape.
_OPEN = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*\Z"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*\x1b?\Z"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*\x1b?\Z"
    r"|\x1b[ -/]*\Z"
)
# Titles, links and device strings with their ends: these alone may hold what begins another sequence.
_STRING = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c)"
)
_OPENS_STRING = re.compile(r"\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f]")
_LONG: Final = 4_096  # characters held back from which they are looked at only when they have doubled


class Cleaner:
    """`feed` it the pieces in turn; `rest` gives what was held back to the end."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._length = 0
        self._look_at = 0  # characters; a sequence without an end must not cost a look at all of it with each piece

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        self._held.append(piece)
        self._length += len(piece)
        if self._length < self._look_at:
            return ""
        shown, held = _decided("".join(self._held))
        self._held, self._length = [held], len(held)
        self._look_at = 2 * len(held) if len(held) > _LONG else 0
        return shown

    def rest(self) -> str:
        """The end of what can be shown."""
        held, self._held, self._length, self._look_at = "".join(self._held), [], 0, 0
        return clean(held)


def _decided(text: str) -> tuple[str, str]:
    """What of a text can be shown, cleaned, and what is held back."""
    shown, done, at = "", 0, 0
    while (begins := _BEGINS.search(text, at)) is not None:
        start = begins.start()
        if _OPEN.match(text, start):
            return shown + clean(text[done:start]), text[start:]
        if (whole := _STRING.match(text, start)) is not None:
            at = whole.end()
        elif (broken := _OPENS_STRING.match(text, start)) is not None:  # another sequence stands inside: its words show
            shown, done = shown + clean(text[done:start]), broken.end()
            at = done
        else:
            at = start + 1
    return shown + clean(text[done:]), ""
