"""What changed between two texts, word by word, and two changes of one text made one.

A word is compared as a whole: letters, digits and single marks between them (`don't`, `3.14`), or one character of a
script that has no blanks between words. Blanks are compared only beside words, so that no text hangs on them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate, groupby
from typing import Final, Literal, NamedTuple, TypeAlias

from rich.text import Text

from agentmem_tui.drawing.plain import visible

__all__ = ["Piece", "merged", "shown", "words_changed"]

Kind: TypeAlias = Literal["same", "gone", "new"]
Cut: TypeAlias = Callable[[str], list[str]]

_UNSPACED: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"\s+|[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:[^\w\s{_UNSPACED}][^\W{_UNSPACED}]+)*|[^\w\s]")
_SENTENCE: Final = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？\n]+\s*|$)")
# Inner steps of difflib that a comparison may take: 0.1 to 0.3 s. Two texts of 3,000 characters never took as many.
_STEPS: Final = 1_500_000


_SIGNS: Final[Mapping[Kind, tuple[str, str, str, str]]] = {  # before, behind, their colour, how the words look
    "gone": ("[-", "-]", "red", "strike"),
    "new": ("{+", "+}", "green", "bold underline"),
}


class Piece(NamedTuple):
    """A run of text that both have, that is gone, or that is new."""

    kind: Kind
    text: str


class _Hunk(NamedTuple):
    """`old[start:end]` became `new`; start and end count parts of the old text."""

    start: int
    end: int
    new: list[str]


def words_changed(before: str, after: str) -> list[Piece]:
    """What is the same, gone and new: the same and the gone are `before`, the same and the new `after`, exactly.

    Texts too far apart to be compared by words in a moment are compared by sentences and lines, and by words within
    those that changed; if they are too far apart even so, the one is gone and the other new.
    """
    return list(_tidied(_changed(before, after, (_words, _sentences), _STEPS)))


def shown(pieces: Iterable[Piece]) -> Text:
    """The pieces for a screen: gone as [-struck through-], new as {+underlined+}, so that no colour is needed."""
    text = Text()
    for kind, words in pieces:
        if kind == "same":
            text.append(visible(words))
            continue
        opening, closing, colour, how = _SIGNS[kind]
        text.append(opening, colour).append(visible(words), f"{how} {colour}").append(closing, colour)
    return text


def merged(base: str, mine: str, theirs: str) -> str | None:
    """`base` with the words changed that either changed; None where both changed the same words, or words that touch,
    into something else, or where the texts are too far apart to be compared."""
    if mine in (base, theirs):
        return theirs
    if theirs == base:
        return mine
    for cut in (_words, _sentences):
        old = cut(base)
        ours, others = _hunks(old, cut(mine), _STEPS), _hunks(old, cut(theirs), _STEPS)
        if ours is not None and others is not None:
            return _applied(old, ours, others)
    return None


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE.findall(text) if sentence]


class _TooFar(Exception):
    """Two texts that would take too many steps."""


class _Bounded(SequenceMatcher[str]):
    """A comparison that counts its steps, and gives up before it takes too many."""

    def __init__(self, a: Sequence[str], b: Sequence[str], steps: int) -> None:
        super().__init__(str.isspace, a, b, autojunk=False)
        counts = Counter(part for part in b if not part.isspace())
        self._left = steps
        self._until = [0, *accumulate(1 + counts[part] for part in a)]

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        self._left -= self._until[-1 if ahi is None else ahi] - self._until[alo]
        if self._left < 0:
            raise _TooFar
        return super().find_longest_match(alo, ahi, blo, bhi)


def _hunks(old: Sequence[str], new: Sequence[str], steps: int) -> list[_Hunk] | None:
    """How `new` came of `old`; None if that could take more steps."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if not a and not b:
        return []
    try:
        opcodes = _Bounded(a, b, steps).get_opcodes()
    except _TooFar:
        return None
    found = [
        _Hunk(head + start, head + end, list(b[low:high])) for tag, start, end, low, high in opcodes if tag != "equal"
    ]
    limits = [*(hunk.start - 1 for hunk in found[1:]), len(old)]
    return [_slid(old, hunk, limit) for hunk, limit in zip(found, limits, strict=True)]


def _slid(old: Sequence[str], hunk: _Hunk, limit: int) -> _Hunk:
    """What only came or only went, as late as it can be said to have: a new line behind the end of the one before."""
    start, end, new = hunk
    run = new or list(old[start:end])
    if new and end > start:
        return hunk
    by = 0
    while end + by < limit and run[by % len(run)] == old[end + by]:
        by += 1
    turn = by % len(run)
    return _Hunk(start + by, end + by, new and new[turn:] + new[:turn])


def _changed(before: str, after: str, cuts: Sequence[Cut], steps: int) -> Iterator[Piece]:
    for depth, cut in enumerate(cuts):
        old = cut(before)
        hunks = _hunks(old, cut(after), steps)
        if hunks is None:
            continue
        at = 0
        for start, end, new in hunks:
            yield Piece("same", "".join(old[at:start]))
            yield from _changed("".join(old[start:end]), "".join(new), cuts[:depth], steps // len(hunks))
            at = end
        yield Piece("same", "".join(old[at:]))
        return
    yield Piece("gone", before)
    yield Piece("new", after)


def _tidied(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Neighbours of a kind in one piece, and blanks between two replacements in both: a phrase is replaced at once."""
    listed = [piece for piece in pieces if piece.text]
    runs: list[tuple[str, str]] = []  # gone and new by turns with ("same", text)
    for same, group in groupby(listed, lambda piece: piece.kind == "same"):
        run = list(group)
        gone = "".join(piece.text for piece in run if piece.kind != "new")
        new = "".join(piece.text for piece in run if piece.kind != "gone")
        runs.append((gone, new) if not same else (gone, gone))
    at = 0
    while at < len(runs):
        gone, new = runs[at]
        if gone == new:
            yield Piece("same", gone)
            at += 1
            continue
        while at + 2 < len(runs) and _joins(gone, new, *runs[at + 1 : at + 3]):
            gone, new = gone + runs[at + 1][0] + runs[at + 2][0], new + runs[at + 1][1] + runs[at + 2][1]
            at += 2
        if gone:
            yield Piece("gone", gone)
        if new:
            yield Piece("new", new)
        at += 1


def _joins(gone: str, new: str, between: tuple[str, str], following: tuple[str, str]) -> bool:
    return all((gone, new, *following)) and between[0].strip(" ") == ""


def _applied(old: Sequence[str], ours: Iterable[_Hunk], others: Iterable[_Hunk]) -> str | None:
    text: list[str] = []
    at = -1  # where the last change ended
    last: _Hunk | None = None
    for hunk in sorted((*ours, *others)):
        if hunk == last:
            continue
        if hunk.start <= at:
            return None
        text += [*old[max(at, 0) : hunk.start], *hunk.new]
        at, last = hunk.end, hunk
    return "".join([*text, *old[max(at, 0) :]])
