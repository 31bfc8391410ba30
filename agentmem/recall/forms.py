"""What a record does besides saying something: it asks, tells a time or a number, or says how its speaker wants things.

Told by the signs and words of it, English but for the signs. A form only raises or lowers a record a little, so that
one that is not seen, or seen wrongly, hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agentmem.recall.text import is_question

__all__ = ["NUMBER", "PREFERENCE", "QUESTION", "STANDING", "TIME", "forms_of"]

QUESTION: Final = "question"
TIME: Final = "time"
NUMBER: Final = "number"
STANDING: Final = "standing"
PREFERENCE: Final = "preference"

_READ: Final = 4_000  # characters of a text
_PATTERNS: Final = {
    TIME: (
        r"\b(?:yesterday|today|tonight|tomorrow|last|next|ago|week(?:s|end)?|months?|years?|recently|just"
        r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september"
        r"|october|november|december)\b"
    ),
    NUMBER: (r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|once|twice|several|few|couple)\b"),
    STANDING: (
        r"^\W*(?:please\s+)?(?:always|never|from now on|whenever|remember to|make sure)\b|\bwhen(?:ever)? i ask\b"
        r"|\bfrom now on\b"
    ),
    PREFERENCE: r"\b(?:prefer(?:red|ring)?|i(?:'d| would) rather|my preference)\b",
}
_COMPILED: Final = {form: re.compile(pattern, re.I) for form, pattern in _PATTERNS.items()}


def forms_of(text: str) -> Iterator[str]:
    """Of the forms above, those that the text has."""
    if is_question(text):
        yield QUESTION
    read = text[:_READ]
    for form, pattern in _COMPILED.items():
        if pattern.search(read):
            yield form
