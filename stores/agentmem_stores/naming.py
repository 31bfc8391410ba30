"""Whom and what a memory names, told without a model: its speaker, its place, its tags, and the names in its words.

A name is a run of capitalised words. One that opens a sentence may be none, so it is told as one that may be a name,
and counts where the same name stands inside sentences too; unless it owns something or does what people do, as in
"Ana's boat" and "Ana said". Scripts without capitals have names only by speaker, place, tag and quotation; in German,
which capitalises every noun, each noun is one. Two of one name are one: this module does not know who is meant. A
session is no name: what stands beside a record in its conversation is known without links.

Text is a stranger's: reading is linear in its length, and stops at so many characters and so many names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from agentmem.recall.languages import ENGLISH, language_of, stem
from agentmem.recall.text import fold
from agentmem.records import Record

__all__ = ["KINDS", "MAYBE", "MOST", "Named", "asked_names", "key", "named_by", "names_in", "spelt"]

KINDS: Final = ("maybe", "speaker", "place", "tag", "name", "title", "site")
MAYBE, SPEAKER, PLACE, TAG, NAME, TITLE, SITE = range(len(KINDS))
MOST: Final = 32  # names of one memory
_READ: Final = 32_000  # characters of a text; of a cue as many as the engine reads
_READ_CUE: Final = 16_000
_AT_A_GLANCE: Final = 4_000  # characters that are parsed only to spell a name with its accents
_LONGEST: Final = 5  # words of a name
_WIDEST: Final = 80  # characters of a name

_LETTER = "(?:[^\\W_]|[\u0300-\u036f])"
_WORD = re.compile(rf"{_LETTER}+(?:['’&-]{_LETTER}+)*")
_OWNED = re.compile(r"['’](?:s|ll|ve|re|m|d|t)$", re.I)  # "Ana's" is Ana, and "I'll" is I
_QUOTED = re.compile(
    '"([^"\n]{2,60})"|“([^”\n]{2,60})”|«([^»\n]{2,60})»|「([^」\n]{1,60})」|『([^』\n]{1,60})』|《([^》\n]{1,60})》'
)
_HANDLE = re.compile(r"(?<![\w@#])([@#])(\w{2,40})")
_SITE = re.compile(r"https?://(?:www\.)?([\w.-]{3,80})\S{0,2000}", re.I)
_ENDS = frozenset('.!?…:\n\r。！？"“”«»(¿¡[*•>|/')  # what stands before a word that opens a sentence, or a quotation
_TITLES: Final = frozenset(["dr", "mr", "mrs", "ms", "prof", "st", "sr", "fr"])  # their full stop ends no sentence
_JOINED: Final = frozenset(["of", "de", "da", "di", "du", "del", "der", "van", "von", "la", "le", "el"])
# Capitalised, and no name: English and German dates; the other languages write theirs small.
_DATES: Final = frozenset(
    """
    january february march april may june july august september october november december jan feb mar apr jun jul aug
    sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri
    sat sun am pm januar februar marz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag
    sonntag
    """.split()  # noqa: SIM905
)
# Who opens a sentence and does one of these is somebody, but for those of whom it is not said who they are.
_DOING: Final = frozenset(
    """
    said says told tells asked asks went goes lives lived likes liked loves loved works worked wants wanted thinks
    thought knows knew moved came gave bought met wrote writes called married owns owned visited
    """.split()  # noqa: SIM905
)
_NOBODY: Final = frozenset(
    "let everyone everybody someone somebody anyone anybody nobody people today tomorrow yesterday".split()  # noqa: SIM905
)


class Named(NamedTuple):
    """A name, folded, and as it was written; of which of `KINDS` it is."""

    name: str
    said: str
    kind: int


def key(name: str) -> str:
    """What two writings of one name have in common: case, accents and white space do not count."""
    return " ".join(fold(name[: 2 * _WIDEST]).split())[:_WIDEST]


def named_by(record: Record) -> list[Named]:
    """What a record names, each once and `MOST` at most: first what it is labelled with, then its text's, in order."""
    found: dict[str, Named] = {}
    for one in _told(record):
        known = found.get(one.name)
        if known is not None:
            if known.kind == MAYBE != one.kind:
                found[one.name] = one
        elif one.name and len(found) < MOST:
            found[one.name] = one
    return list(found.values())


def spelt(name: str, record: Record) -> str:
    """A name as the record writes it. Where it stands there in the same letters nothing is parsed, as a recall spells a
    hundred."""
    place = record.place.path if record.place is not None else ()
    for label in (record.speaker or "", *place, *record.tags):
        if key(label) == name:
            return label.strip()
    text = record.text[:_READ]
    small = text.lower()
    at = small.find(name) if len(small) == len(text) else -1
    while at >= 0:
        end = at + len(name)
        if not small[at - 1 : at].isalnum() and not small[end : end + 1].isalnum():
            return text[at:end]
        at = small.find(name, at + 1)
    if len(text) > _AT_A_GLANCE:
        return name
    return next((one.said for one in named_by(record) if one.name == name), name)


def _told(record: Record) -> Iterator[Named]:
    if record.speaker:
        yield from _labelled(record.speaker, SPEAKER)
    # A place by its own name, and by those it is inside: so it is met by whoever says "the kitchen".
    for part in reversed(record.place.path[-_LONGEST:] if record.place is not None else ()):
        yield Named(key(part), part.strip(), PLACE)
    for tag in record.tags:
        yield Named(key(tag), tag, TAG)
    yield from names_in(record.text)


def _labelled(label: str, kind: int) -> Iterator[Named]:
    yield Named(key(label), label.strip(), kind)
    words = label.split()[:_LONGEST]
    if len(words) > 1:  # "Ana Silva" may be called by either
        yield from (Named(key(word), word, MAYBE) for word in words)


# ── in a text ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Word(NamedTuple):
    said: str
    folded: str
    capital: bool
    opens: bool  # a sentence, as far as can be told
    owns: bool  # "Ana's"
    joins: bool  # nothing but a space stands between it and the word before


_END: Final = _Word("", "", False, False, False, False)


def names_in(text: str) -> Iterator[Named]:
    """The names in a text, in order; a name may come again."""
    text = text[:_READ]
    if "://" in text:
        for found in _SITE.finditer(text):
            host = found[1].strip(".-").lower()
            yield Named(key(host), host, SITE)
        text = _SITE.sub(" ", text)
    if "@" in text or "#" in text:
        yield from (
            Named(key(found[2]), found[2], TAG if found[1] == "#" else NAME) for found in _HANDLE.finditer(text)
        )
    for quoted in _QUOTED.findall(text):
        title = "".join(quoted).strip()
        if _may_be_a_title(title):
            yield Named(key(title), title, TITLE)
    words = list(_words(text))
    common = _common(words)
    capitals = sum(word.capital for word in words)
    shouted = len(words) > 8 and 2 * capitals > len(words)  # a heading, or somebody shouts: capitals tell nothing
    for run, then in _runs(words):
        yield from _of_run(run, then, common, shouted)


def _may_be_a_title(text: str) -> bool:
    """Few words, and not one that is only said: no sentence, and not in small letters."""
    first = text[:1]
    return (
        (first.isupper() or not first.islower())
        and first.isalnum()
        and len(text.split()) <= 6
        and text[-1] not in ".!?,"
    )


def _words(text: str) -> Iterator[_Word]:
    end = 0
    title = False
    for found in _WORD.finditer(text):
        gap, end, word = text[end : found.start()], found.end(), found[0]
        said = _OWNED.sub("", word) if "'" in word or "’" in word else word
        owns = said != word
        said = said if len(said) <= _WIDEST else ""
        folded = fold(said)
        joins = gap == " " or (title and gap == ". ")
        opens = not found.start() or not (joins or _ENDS.isdisjoint(gap[:200]))
        yield _Word(said, folded, said[:1].isupper(), opens, owns, joins)
        title = folded in _TITLES or (len(said) == 1 and said.isupper() and folded != "i")


def _common(words: list[_Word]) -> frozenset[str]:
    """Of the words those that no name begins or ends with: the commonest of the text's language and of English."""
    language = language_of(word.folded for word in words[:400])
    folded = {word.folded for word in words if word.capital}
    return frozenset(word for word in folded if word in _DATES or not stem(word, language) or not stem(word, ENGLISH))


def _runs(words: list[_Word]) -> Iterator[tuple[list[_Word], str]]:
    """Capitalised words in a row, with numbers that follow and small words that join two of them; and the word behind
    each run, folded, "" where a sign stands between."""
    run: list[_Word] = []
    for word, following in pairwise([*words, _END]):
        if run and not word.joins:
            yield run, ""
            run = []
        named = word.capital and word.folded not in _DATES
        number = run and word.said[:1].isdigit() and len(word.said) <= 4
        joins = run and word.folded in _JOINED and following.capital and following.joins
        if named or number or joins:
            run.append(word)
        elif run:
            yield run, word.folded
            run = []
    if run:
        yield run, ""


def _of_run(run: list[_Word], then: str, common: frozenset[str], shouted: bool) -> Iterator[Named]:
    inside = [at for at, word in enumerate(run) if word.capital and word.folded not in common]
    if not inside:
        return
    last = inside[-1]
    while last + 1 < len(run) and run[last + 1].said[:1].isdigit():
        last += 1
    run = run[inside[0] : last + 1]
    for start in range(0, len(run), _LONGEST):
        part = run[start : start + _LONGEST]
        does = len(part) == 1 and (then in _DOING or part[0].owns) and part[0].folded not in _NOBODY
        kind = MAYBE if shouted or (part[0].opens and not does) else NAME
        yield _joined(part, kind)
        if len(part) > 1:
            if part[0].opens and not shouted and part[1].capital and part[1].folded not in common:
                yield _joined(part[1:], NAME)  # "Hey Ana" names Ana
            if part[-1].said.isdigit():
                yield _joined(part[:-1], kind)
            for word in part:
                if word.capital and word.folded not in common and word.folded not in _TITLES:
                    yield _joined([word], MAYBE)


def _joined(words: list[_Word], kind: int) -> Named:
    said = " ".join(word.said for word in words)
    return Named(key(said), said, kind)


# ── in a cue ─────────────────────────────────────────────────────────────────────────────────────────────────────


def asked_names(text: str) -> Iterator[list[tuple[int, str]]]:
    """What a cue may name, in any case, at each of its words: how many words, and the name; the longest first. Whoever
    looks them up goes on behind one that is known."""
    words = list(_words(text[:_READ_CUE]))
    for start, word in enumerate(words):
        length = 1
        while length < _LONGEST and start + length < len(words) and words[start + length].joins:
            length += 1
        found = [(n, key(" ".join(one.folded for one in words[start : start + n]))) for n in range(length, 0, -1)]
        yield found if stem(word.folded, ENGLISH) else found[:-1]  # by itself one of the commonest words names nothing
