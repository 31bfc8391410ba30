"""What a memory is completed from: its words, its day, its place and who spoke; and the words of a fragment, with those
that they may stand for, since it may end in the middle of one or have one wrong.

It knows words and how they are spelled, and no store.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import islice, pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from agentmem.recall.languages import ENGLISH, stem
from agentmem.recall.text import WORD, asked_terms, fold, terms_in

__all__ = [
    "LANGUAGE",
    "Part",
    "Reading",
    "Vocabulary",
    "bit_of",
    "day_label",
    "parts_of",
    "place_labels",
    "read",
    "speaker_label",
    "whole",
]

# A word of a fragment: the terms that it may stand for, and how much of it each of them has; 1 for itself.
Part: TypeAlias = Mapping[str, float]

LANGUAGE: Final = "language:"  # a label; no word has a colon in it
_READ: Final = 16_000  # characters of a fragment
_CORRECTED: Final = 16  # words of it that nobody wrote are looked for among those spelled alike
_SPELLED: Final = 4  # letters that a word must have for that
_BEGUN: Final = 3  # and to be the beginning of another one,
_ENDINGS: Final = 64  # unless more than so many begin like it


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Reading(NamedTuple):
    """A text as it is stored. `terms`: each once, the commonest words too. `features`: what texts have in common that
    say the same in the same order, which is telling terms and words that stand side by side."""

    terms: tuple[str, ...]
    features: frozenset[str]
    language: str


def read(text: str) -> Reading:
    """A text without any word is one term, as a whole."""
    telling, language = terms_in(text)
    words = WORD.findall(fold(text))
    common = [word for word in words if word.isascii() and not stem(word, language)]
    terms = tuple(dict.fromkeys([*telling, *common])) or (whole(text),)
    features = frozenset([*telling, *map(" ".join, pairwise(words))]) or frozenset(terms)
    return Reading(terms, features, language)


def whole(text: str) -> str:
    return " ".join(fold(text).split())


def speaker_label(name: str) -> str:
    return f"speaker:{whole(name)}"


def place_labels(path: str) -> list[str]:
    """A place, and before it those that it is in: what happened on a pier happened in its harbour."""
    names = [whole(name) for name in path.split("/")]
    return ["place:" + "/".join(names[: i + 1]) for i in range(len(names))] if path else []


def day_label(day: date) -> str:
    return f"day:{day.isoformat()}"


def bit_of(term: str) -> int:
    """A term's bit among 2³². So wide a code needs one bit a term: two terms share it with a probability of 2⁻³²."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass"))


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Vocabulary:
    """The terms that some memory has, by their bit, by their first letters, and by how they are spelled."""

    def __init__(self, terms: Iterable[str] = ()) -> None:
        self._by_bit = {bit_of(term): term for term in terms}
        self._sorted = sorted(self._by_bit.values())
        self._rows = {term: row for row, term in enumerate(self._sorted)}
        self._terms = list(self._sorted)
        self._free: list[int] = []
        self._letters = np.array([_letters(term) for term in self._terms], np.uint32)
        self._lengths = np.array([_length(term) for term in self._terms], np.int32)

    def __len__(self) -> int:
        return len(self._by_bit)

    def __contains__(self, term: object) -> bool:
        return term in self._rows

    def __getitem__(self, bit: int) -> str:
        return self._by_bit[bit]

    def bits(self) -> set[int]:
        return set(self._by_bit)

    def add(self, term: str) -> int:
        """Its bit. Of two terms with one bit the first stays."""
        bit = bit_of(term)
        if bit in self._by_bit:
            return bit
        self._by_bit[bit] = term
        insort(self._sorted, term)
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._rows[term], self._terms[row] = row, term
        self._letters[row], self._lengths[row] = _letters(term), _length(term)
        return bit

    def discard(self, bit: int) -> None:
        """No memory has it any more."""
        term = self._by_bit.pop(bit, None)
        if term is not None:
            row = self._rows.pop(term)
            del self._sorted[bisect_left(self._sorted, term)]
            self._terms[row], self._lengths[row] = "", 0
            self._free.append(row)

    def _grow(self) -> None:
        size = len(self._terms)
        more = max(64, size // 2)
        self._terms += [""] * more
        self._letters = np.concatenate([self._letters, np.zeros(more, np.uint32)])
        self._lengths = np.concatenate([self._lengths, np.zeros(more, np.int32)])
        self._free = list(range(size + more - 1, size - 1, -1))

    def beginning(self, letters: str) -> Iterator[str]:
        """Terms that begin so, in order of their letters."""
        for i in range(bisect_left(self._sorted, letters), len(self._sorted)):
            if not self._sorted[i].startswith(letters):
                return
            yield self._sorted[i]

    def spelled_like(self, word: str) -> list[str]:
        """Words that one slip makes of it: a letter more, less or another, or two of them in each other's place."""
        near = np.flatnonzero((np.abs(self._lengths - len(word)) <= 1) & (self._lengths > 0))
        differ = self._letters[near] ^ np.uint32(_letters(word))
        for _ in range(2):  # a slip changes two of the bits at most: clear the lowest twice, and none is left
            differ &= differ - np.uint32(1)
        return [self._terms[row] for row in near[differ == 0].tolist() if _one_slip(word, self._terms[row])]


def _letters(term: str) -> int:
    """Which letters it has: a bit each, those of a to z apart."""
    mask = 0
    for letter in set(term):
        mask |= 1 << (ord(letter) & 31)
    return mask


def _length(term: str) -> int:
    """A label's is 0, and it is like no word."""
    return 0 if ":" in term else len(term)


def _one_slip(one: str, other: str) -> bool:
    """Whether they are within one edit of each other in Damerau's sense (Communications of the ACM 7(3), 1964)."""
    shortest = min(len(one), len(other))
    start = next((i for i in range(shortest) if one[i] != other[i]), shortest)
    left, right = one[start:], other[start:]
    end = next(
        (i for i in range(min(len(left), len(right))) if left[-1 - i] != right[-1 - i]), min(len(left), len(right))
    )
    left, right = left[: len(left) - end], right[: len(right) - end]
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])


# ── fragments ────────────────────────────────────────────────────────────────────────────────────────────────────


def parts_of(fragment: str, vocabulary: Vocabulary) -> list[Part]:
    """The different words of a fragment, of its first 16,000 characters.

    A word that nobody wrote may be one that is spelled like it, and the last one the beginning of another: these count
    by the share of the letters that they have in common.
    """
    read, parts = fragment[:_READ], dict[tuple[str, ...], Part]()
    languages = [ENGLISH, *(label.removeprefix(LANGUAGE) for label in vocabulary.beginning(LANGUAGE))]
    words = list(_asked(read, languages)) or [(whole(read),)]
    corrected = 0
    for terms in words:
        if terms in parts:
            continue
        parts[terms] = dict.fromkeys(terms, 1.0)
        known = any(term in vocabulary for term in terms)
        if not known and corrected < _CORRECTED:
            corrected += 1
            parts[terms] = {**_alike(terms, vocabulary), **parts[terms]}
    if read == fragment and WORD.fullmatch(fragment[-1:]):
        last = WORD.findall(fold(fragment))[-1]
        parts[words[-1]] = {**_begun(last, vocabulary), **parts[words[-1]]}
    return list(parts.values())


def _asked(text: str, languages: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Each word in order, as the terms that it may be in the texts of these languages."""
    for raw in WORD.findall(text):
        folded = fold(raw)
        if not folded.isascii():
            yield from asked_terms(raw, languages)
        else:
            for word in WORD.findall(folded):
                yield tuple(sorted({stem(word, language) or word for language in languages}))


def _alike(terms: Iterable[str], vocabulary: Vocabulary) -> dict[str, float]:
    return {
        word: 1 - 1 / max(len(word), len(term))
        for term in terms
        if len(term) >= _SPELLED
        for word in vocabulary.spelled_like(term)
    }


def _begun(word: str, vocabulary: Vocabulary) -> dict[str, float]:
    if len(word) < _BEGUN:
        return {}
    longer = list(islice((term for term in vocabulary.beginning(word) if ":" not in term), _ENDINGS + 1))
    return {term: len(word) / len(term) for term in longer} if len(longer) <= _ENDINGS else {}
