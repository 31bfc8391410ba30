"""Which short blocks of a book are its headings, and the path of chapters they make.

Knows Markdown headings and what printed books use: CHAPTER IV, Part Two, Book 3. The Return, PREFACE, and a numeral
on its own. A numeral alone counts only in sequence (I, then II), so that a page number or a year never opens a
chapter. It refuses to know files and records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Heading", "Outline", "is_listing", "printed_heading", "underlined"]

_VOLUME, _PART, _CHAPTER, _NUMERAL = 7, 8, 9, 10  # below the six levels of Markdown, which may hold any of them
_LEVELS: Final = {
    "volume": _VOLUME, "part": _PART, "book": _PART, "act": _PART,
    "chapter": _CHAPTER, "scene": _CHAPTER, "canto": _CHAPTER, "letter": _CHAPTER, "stave": _CHAPTER,
}  # fmt: skip
_SPELLED: Final = re.compile(
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|first|second|third|(?:four|fif|six|seven|eigh|nin|ten)th|last)(?:-\w+)?",
    re.IGNORECASE,
)
_ROMAN: Final = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_WORDS: Final = "|".join(form for word in _LEVELS for form in (word.upper(), word.title()))
_NUMBERED: Final = re.compile(
    rf"(?P<head>(?P<word>{_WORDS})\s+(?P<number>[\w-]+))"
    r"(?:[.:]?|(?:[.:]|\s+[—–-]|[—–])?\s+(?P<title>\S.*))"
)
_BARE: Final = re.compile(r"(?P<number>[IVXLC]+|\d{1,3})\.?")
_BARE_TITLED: Final = re.compile(r"(?P<number>[IVXLC]+)\.\s+(?P<title>\S.*)")
_NAMED: Final = re.compile(
    r"(?:the )?(?:preface|foreword|introduction|prologue|epilogue|conclusion|afterword|commentary|dedication|notes?|"
    r"appendix(?: [a-z0-9]+)?|index|glossary|bibliography|acknowledge?ments|"
    r"(?:author|transcriber)[’']?s?[’']? notes?)\.?",
    re.IGNORECASE,
)
_LISTING: Final = re.compile(r"(?:table of )?contents\.?|(?:list of )?illustrations\.?", re.IGNORECASE)
_SMALL: Final = frozenset(
    {"about", "between", "from", "into", "over", "than", "that", "under", "upon", "with", "without"}
)
_WIDEST = 80  # characters: a heading is one printed line


class Heading(NamedTuple):
    level: int  # 1 is outermost
    name: str
    number: int | None = None  # of a numeral that stands alone
    opens: bool = False  # the next block may be its title
    leaf: bool = False  # a preface or notes: any heading after it closes it


def underlined(block: Sequence[str]) -> Heading | None:
    """A Markdown heading written over === or ---."""
    if len(block) < 2 or not re.fullmatch(r" {0,3}(=+|-{2,})\s*", block[-1]):
        return None
    return Heading(1 if "=" in block[-1] else 2, _one_line(block[:-1]))


def printed_heading(block: Sequence[str]) -> tuple[Heading, int] | None:
    """The heading that a block of lines begins with, and how many lines it takes."""
    first = " ".join(block[0].split())
    if len(first) > _WIDEST:
        return None
    if match := _NUMBERED.fullmatch(first):
        if _value(match["number"]) is None or (match["title"] and not _titled(match["title"])):
            return None
        title = [match["title"]] if match["title"] else []
        # the lines under it belong to the title only if all of them look like one
        rest = [" ".join(line.split()) for line in block[1:]]
        taken = 1
        if rest and len(rest) <= 3 and all(len(line) <= _WIDEST and _titled(line) for line in rest):
            title, taken = title + rest, 1 + len(rest)
        name = ": ".join([match["head"], " ".join(title)]) if title else match["head"]
        return Heading(_LEVELS[match["word"].lower()], name, opens=not title), taken
    if _NAMED.fullmatch(first) and (first.isupper() or (len(block) == 1 and _titled(first))):
        return Heading(_VOLUME, first.rstrip("."), leaf=True), 1
    if len(block) > 1:
        return None
    if match := _BARE.fullmatch(first):
        return Heading(_NUMERAL, match["number"], number=_value(match["number"])), 1
    if (match := _BARE_TITLED.fullmatch(first)) and _titled(match["title"]):
        return Heading(_NUMERAL, f"{match['number']}: {match['title']}", number=_value(match["number"])), 1
    return None


def is_listing(block: Sequence[str]) -> bool:
    """True for the heading of a table of contents or of illustrations."""
    first = block[0].strip()
    return first[:1].isupper() and bool(_LISTING.fullmatch(first))


class Outline:
    """The path of headings in force, outermost first."""

    def __init__(self) -> None:
        self._open: list[Heading] = []
        self._fresh = False  # nothing has come since the last heading

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(heading.name for heading in self._open)

    def enter(self, heading: Heading) -> bool:
        """Open the heading, closing what it ends; False for a numeral out of sequence, which is no heading."""
        if heading.level == _NUMERAL:
            last = self._open[-1] if self._open and self._open[-1].level == _NUMERAL else None
            arabic = heading.name[0].isdigit()
            first = heading.number == 1 and (not arabic or (self._fresh and bool(self._open)))
            if not (first or (last is not None and last.number is not None and heading.number == last.number + 1)):
                return False
        while self._open and (self._open[-1].level >= heading.level or self._open[-1].leaf):
            self._open.pop()
        self._open.append(heading)
        self._fresh = True
        return True

    def take(self, block: Sequence[str]) -> bool:
        """True if this block, the first after a heading without a title, is that title; the name then carries it."""
        fresh, self._fresh = self._fresh, False
        if not (fresh and self._open and self._open[-1].opens and len(block) <= 2):
            return False
        rows = [" ".join(line.split()) for line in block]
        if not all(len(row) <= _WIDEST and _titled(row) for row in rows):
            return False
        heading = self._open[-1]
        self._open[-1] = heading._replace(name=f"{heading.name}: {' '.join(rows)}", opens=False)
        self._fresh = True
        return True


def _one_line(block: Sequence[str]) -> str:
    return " ".join(" ".join(block).split())


def _titled(text: str) -> bool:
    """True if it is set as a title: all capitals, or every longer word with one, and no full stop."""
    if not any(c.isalpha() for c in text) or not (text[0].isalnum() or text[0] in "“‘\"'_("):
        return False
    if text.isupper():
        return True
    if text[0] in '“"' or text.rstrip("_’”\"'")[-1:] in ".,;:!?":
        return False
    words = re.findall(r"[^\W_]+(?:[’'][^\W_]+)*", text)
    longer = (word for word in words if len(word) > 3 and word not in _SMALL)
    return words[0][0].isupper() and all(word[0].isupper() or word[0].isdigit() for word in longer)


def _value(numeral: str) -> int | None:
    """7 from 7 or VII; 0 for a number in words, whose order is not needed; None if it is no number."""
    if numeral.isdecimal():
        return int(numeral)
    if _SPELLED.fullmatch(numeral):
        return 0
    if not numeral.isupper() or not _ROMAN.fullmatch(numeral):
        return None
    worth = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in numeral]
    return sum(-one if one < following else one for one, following in zip(worth, [*worth[1:], 0], strict=True))
