"""When two texts say the same: by their words, and by what one of them says that the other does not.

It is careful: what differs in a number, a date, a negation, a person, a name or a question is another saying, however
much else is the same; so is what has another word, unless one is the other with a slip of the pen. Two that say the
same and are held apart cost a line in a prompt; two that are taken for one hide what was said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile, zip_longest
from typing import Final, NamedTuple

from agentmem.recall.languages import ENGLISH, stem
from agentmem.recall.text import UNSPACED, WORD, fold, is_question

__all__ = ["Saying", "conflict", "normalised", "other_words", "replaced", "saying"]

_CLOSING: Final = ".,;:!…。！\"'”’»)"  # at the end of a text; not "?", which makes a question
_NUMBER = re.compile(r"[+-]?\d(?:[\d.,:/-]*\d)?%?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_CONTRACTED = re.compile(
    r"(?<=\w)n['’]t\b|(?<=\bcan)not\b"
    r"|(?:(?<=\bdo)|(?<=\bis)|(?<=\bca)|(?<=\bdoes)|(?<=\bhave)|(?<=\bwere)|(?<=\bdid)|(?<=\bwas)|(?<=\bare)"
    r"|(?<=\bhas)|(?<=\bhad)|(?<=\bwould)|(?<=\bcould)|(?<=\bshould))nt\b",
    re.I,
)
_TOKEN = re.compile(rf"{_NUMBER.pattern}|{WORD.pattern}")


def _classes(text: str) -> dict[str, tuple[int, str]]:
    """word → the number of its paragraph, and the first word of its line"""
    return {
        word: (group, words[0])
        for group, paragraph in enumerate(text.strip().split("\n\n"))
        for line in paragraph.splitlines()
        if (words := line.split())
        for word in words
    }


# Words that turn what is said into something else, each in a line with those that stand for the same. Within a
# paragraph their order counts: "I owe you" and "you owe me" have the same ones. Of a pair such as "off" and "on" the
# one is enough that has no other use.
_TELLING: Final = _classes("""
    not no never none nobody nothing nowhere neither nor without hardly barely
    nicht kein keine keinen keiner nie niemals ne pas jamais nunca ningun ninguna não non mai niet geen nooit
    inte ikke ingen aldrig ei не нет никогда لا नहीं
    but
    if unless
    can could ca
    will would wo
    should must
    might perhaps maybe
    was were
    yes

    i me my mine myself im ive ill id
    you your yours yourself youre youve youll youd
    he him his himself
    she her hers herself
    we us our ours ourselves
    they them their theirs themselves
    mother mum mom
    father dad
    sister
    brother
    son
    daughter
    wife
    husband

    1 one once
    2 two twice
    3 three
    4 four
    5 five
    6 six
    7 seven
    8 eight
    9 nine
    10 ten
    11 eleven
    12 twelve
    hundred
    thousand
    dozen
    half

    monday mondays mon
    tuesday tuesdays tue tues
    wednesday wednesdays wed
    thursday thursdays thu thurs
    friday fridays fri
    saturday saturdays sat
    sunday sundays sun
    january jan
    february feb
    march
    april apr
    may
    june jun
    july jul
    august aug
    september sep sept
    october oct
    november nov
    december dec
    today tonight
    yesterday
    tomorrow
    morning
    afternoon
    evening
    night
    ago
    before
    after
    until
    since

    first
    second
    last
    next
    always
    sometimes
    often
    rarely seldom
    all every everyone everybody everything
    some someone somebody something
    only
    more
    less fewer
    most
    least
    up
    right
    off
    out
    under
    like likes liked
    love loves loved
    hate hates hated
""")
_NUMBERS: Final = _TELLING["one"][0]
_UNSPACED_TELLING: Final = frozenset("不没沒未無无非一二三四五六七八九十百千")
_NEGATING: Final = ("un", "in", "im", "dis", "non")  # before a word: "unhappy"
# They may be there or not, and the same is said.
_IDLE: Final = frozenset(["a", "an", "the", "also", "just", "really", "so", "very", "oh", "hey", "hi", "please"])
_LETTERS: Final = 5  # of a word that may have a slip: "cat" and "cut" are two words


class Saying(NamedTuple):
    """What a text says, as far as two are compared: its words in lower case, those of them that turn what is said (by
    group, each as the first of its class), and its names."""

    words: tuple[str, ...]
    telling: tuple[str, ...]
    names: tuple[str, ...]


def normalised(text: str) -> str:
    """The text without what makes no difference: compatible forms, case, white space, and signs at its end but "?"."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(_CLOSING).rstrip()


def saying(text: str) -> Saying:
    whole = _CONTRACTED.sub(" not", _THOUSANDS.sub("", unicodedata.normalize("NFKC", text)))
    words: list[str] = []
    telling: list[tuple[int, str]] = []
    names: list[str] = []
    shouted = whole.isupper()  # then capitals name nobody
    for found in _TOKEN.finditer(whole):
        word = found[0]
        folded = word.casefold()
        words.append(folded)
        if any(character.isdigit() for character in word):
            telling.append((_NUMBERS, folded))
        elif folded in _TELLING:
            telling.append(_TELLING[folded])
        elif UNSPACED.search(word):
            telling += [(_NUMBERS, character) for character in word if character in _UNSPACED_TELLING]
        elif word[:1].isupper() and not shouted and folded not in _IDLE and stem(fold(word), ENGLISH):
            names.append(folded)
    in_groups = [word for _, word in sorted(telling, key=lambda one: one[0])]
    return Saying(tuple(words), (*in_groups, *("?" if is_question(whole) else "")), tuple(names))


def conflict(one: Saying, other: Saying) -> str:
    """In what the two differ that makes them say something else, in a few words; "" for nothing that is seen here."""
    if one.telling != other.telling:
        return f"{_shown(one.telling)} is not {_shown(other.telling)}"
    for here, there in ((one, other), (other, one)):
        held = set(there.words)
        for name in here.names:
            if name not in held:
                return f"only one names {name}"
        for word in here.words:
            for prefix in _NEGATING:
                bare = word.removeprefix(prefix)
                if bare != word and len(bare) >= _LETTERS - 1 and bare in held and word not in held:
                    return f"{word} is not {bare}"
    both = set(one.names) & set(other.names)
    if [word for word in one.words if word in both] != [word for word in other.words if word in both]:
        return "the names are in another order"
    return ""


def replaced(one: Saying, other: Saying) -> str:
    """What stands in one place of a text where the other has something else and is the same before it and behind: two
    things may fill one frame, and vectors hardly tell. "" when they differ in more than one place, or in nothing."""
    if not other_words(one, other):
        return ""
    start = _shared(one.words, other.words)
    end = _shared(one.words[start:][::-1], other.words[start:][::-1])
    here, there = (each.words[start : len(each.words) - end] for each in (one, other))
    if not here or not there or start + end < max(len(here), len(there)):
        return ""
    return f"{' '.join(here)} is not {' '.join(there)}"


def other_words(one: Saying, other: Saying) -> str:
    """The first word of one where the other has not the same, with or without a slip of the pen; "" for none."""
    mine, theirs = ([word for word in each.words if word not in _IDLE] for each in (one, other))
    for word, its in zip_longest(mine, theirs, fillvalue=""):
        if word != its and not _slipped(word, its):
            return word or its
    return ""


def _slipped(one: str, other: str) -> bool:
    """Whether one letter within the word is wrong, missing, too many, or two have changed places (Damerau 1964).

    The first and the last stand: "lived" is no slip for "lives".
    """
    if min(len(one), len(other)) < _LETTERS or not one.isalpha() or not other.isalpha() or UNSPACED.search(one):
        return False
    if one[0] != other[0] or one[-1] != other[-1] or abs(len(one) - len(other)) > 1:
        return False
    start = _shared(one, other)
    end = _shared(one[start:][::-1], other[start:][::-1])
    rest, its = one[start : len(one) - end], other[start : len(other) - end]
    return max(len(rest), len(its)) <= 1 or (len(rest) == 2 and rest == its[::-1])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """With how many letters, or words, both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _shown(telling: Sequence[str]) -> str:
    return " ".join(telling) or "nothing"
