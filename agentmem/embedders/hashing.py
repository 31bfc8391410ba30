"""The embedder that is always there: signed feature hashing of words, word pairs, letters and everyday concepts.

No model, no download, no training: a text's vector depends on the text alone and is the same on every machine, which
is why it also serves as the public fake of tests. It knows English words from `english`; every other language is
carried by its letters. It knows no corpus: rarity is a guess from a table, not a count.

A vector has two parts. The *content* part (7/8 of the dimensions) is the sum of the hashed features. The *ballast*
(1/8) is zero for a cue. A text that begins with a date, as `agentmem.embedding.embedding_text` writes it, is a memory;
when its content is shorter than `BALLAST`, a folded sketch of it fills up the difference. Without this a cosine favours
the shortest memory that shares a word ("Thanks, Caroline!" answers every question about Caroline). On LoCoMo's
development half it lifts recall@10 of the vector alone from 44 to 58 in 100, and of the fusion with BM25 from 64.7 to
66.3 (BM25 by itself: 64.2). Two memories that say the same still have a cosine near 1.
"""

from __future__ import annotations

import math
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import Stemmer
from numpy.typing import NDArray

from agentmem.embedders.english import English
from agentmem.embedding import unit_rows
from agentmem.errors import InvalidInput
from agentmem.recall.text import UNSPACED, WORD, fold

__all__ = ["VERSION", "HashEmbedder"]

VERSION: Final = 1  # part of the id: raise it with any change that moves a vector

PAIR_WEIGHT: Final = 0.3  # two telling words in a row, times the rarity of the commoner one
LETTER_WEIGHT: Final = 0.6  # all n-grams of a word together, against 1 for the word itself
CONCEPT_WEIGHT: Final = 0.8
YEAR_WEIGHT: Final = 0.5  # nearly every dated memory of a year carries it
BALLAST: Final = 5.0  # a rare word has length 1, a turn of 27 words about 3.6, one of 50 words about 5
INFORMATIVE: Final = 0.2  # rarity below which a word has no letters and takes no part in pairs
GRAMS: Final = (3, 4)  # with 5 as well: no better, a third slower

_BATCH: Final = 256  # texts summed at once: 1 MB of float64 at 512 dimensions
_CACHED: Final = 20_000  # words kept with their features: about 15 MB
_LONGEST: Final = 64  # letters; beyond it are keys, encoded data and unspaced pages, not words worth keeping

_YEAR = re.compile(r"(?:19|20)\d\d")
_DATED = re.compile(r"\(\d{1,2} \w+ \d{1,4}\) ")

_WORDS, _LETTERS, _GROUPS = 1, 2, 3  # seeds: the same string never meets itself as another kind of feature


class _Word(NamedTuple):
    """A word's features: where they land, signed weights, its own hash (for pairs) and its rarity."""

    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    hash: int
    rarity: float


def _spread(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of MurmurHash3 on 64 bits: CRC-32 is linear, so its low bits alone collide in families."""
    mixed = hashes.copy()
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _hash(feature: str, kind: int) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"), kind)


class HashEmbedder:
    """Deterministic vectors of `dimension` numbers (a multiple of 8 from 64 to 8192), unit length; no words, no vector.

    `dimension` may be given as text, as in the spelling `hash:1024`. More dimensions mean fewer collisions: on LoCoMo
    1024 find 3 in 100 more than 512 alone, and the same in the fusion with BM25.
    """

    in_process: Final = True

    def __init__(self, dimension: int | str = 512) -> None:
        size = int(dimension) if isinstance(dimension, int) or re.fullmatch("[0-9]{1,4}", dimension) else 0
        if not 64 <= size <= 8192 or size % 8:
            raise InvalidInput(
                f"the hash embedder cannot have {dimension!r} dimensions",
                way_out="Give a multiple of 8 from 64 to 8192, such as hash:512.",
            )
        self._dimension = size
        self._content = size - size // 8
        self._words: dict[str, _Word] = {}
        self._lock = threading.Lock()  # a Stemmer may serve one thread at a time
        self._english = English(Stemmer.Stemmer("english", 0).stemWord)

    @property
    def id(self) -> str:
        return f"hash-{self._dimension}-v{VERSION}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension]. A text without a letter or digit gives a row of zeros."""
        matrix = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            content = self._sums(batch)
            rows = matrix[start : start + len(batch)]
            rows[:, : self._content] = content
            dated = [row for row, text in enumerate(batch) if _DATED.match(text)]
            if dated:
                sketch = content[dated].reshape(len(dated), 7, -1).sum(axis=1).astype(np.float32)
                missing = np.maximum(BALLAST**2 - np.square(content[dated]).sum(axis=1, keepdims=True), 0)
                rows[dated, self._content :] = unit_rows(sketch) * np.sqrt(missing)
        return unit_rows(matrix)

    def _sums(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Features summed by row, in float64 and in the order of the text, so that no machine adds them otherwise."""
        places: list[NDArray[np.int64]] = []
        weights: list[NDArray[np.float64]] = []
        rows: list[int] = []
        pairs: list[tuple[int, int]] = []
        pair_rows: list[int] = []
        pair_weights: list[float] = []
        for row, text in enumerate(texts):
            written = WORD.findall(fold(text))
            known = {}
            for spelling, count in Counter(written).items():
                word = known[spelling] = self._word(spelling)
                places.append(word.places)
                weights.append(word.weights if count == 1 else word.weights * (1 + math.log(count)))
                rows.append(row)
            telling = [word for spelling in written if (word := known[spelling]).rarity > INFORMATIVE]
            for one, two in pairwise(telling):
                pairs.append((one.hash, two.hash))
                pair_rows.append(row)
                pair_weights.append(PAIR_WEIGHT * min(one.rarity, two.rarity))
        if not rows:
            return np.zeros((len(texts), self._content))
        lines = [np.repeat(rows, [len(place) for place in places])]
        if pairs:
            keys = np.array(pairs, dtype=np.uint64)
            place, sign = self._landed((keys[:, 0] << np.uint64(32)) | keys[:, 1])
            places.append(place)
            weights.append(sign * pair_weights)
            lines.append(np.array(pair_rows))
        flat = np.concatenate(lines) * self._content + np.concatenate(places)
        sums = np.bincount(flat, weights=np.concatenate(weights), minlength=len(texts) * self._content)
        return sums.astype(np.float64, copy=False).reshape(len(texts), self._content)

    def _landed(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Where each hashed feature lands in the content part, and with which sign."""
        mixed = _spread(hashes)
        place = ((mixed >> np.uint64(1)) % np.uint64(self._content)).astype(np.int64)
        return place, 1.0 - 2.0 * (mixed & np.uint64(1)).astype(np.float64)

    def _word(self, written: str) -> _Word:
        known = self._words.get(written)
        if known is None:
            known = self._learnt(written)
            if len(written) <= _LONGEST:
                if len(self._words) >= _CACHED:  # starting anew is cheaper than keeping an order of use
                    self._words.clear()
                self._words[written] = known
        return known

    def _learnt(self, written: str) -> _Word:
        if UNSPACED.search(written):
            features = [(_hash(gram, _LETTERS), weight) for gram, weight in _unspaced_grams(written)]
            place, sign = self._landed(np.array([hash_ for hash_, _ in features], dtype=np.uint64))
            return _Word(place, sign * [weight for _, weight in features], _hash(written, _WORDS), 0.0)
        with self._lock:
            root = self._english.root(written)
        rarity = YEAR_WEIGHT if _YEAR.fullmatch(written) else self._english.rarity(written, root)
        features = [(_hash(root, _WORDS), rarity)]
        features += [(_hash(str(group), _GROUPS), CONCEPT_WEIGHT) for group in self._english.concepts(root)]
        if rarity > INFORMATIVE and not written.isdecimal():
            features += [(_hash(gram, _LETTERS), rarity * weight) for gram, weight in _letter_grams(written)]
        place, sign = self._landed(np.array([hash_ for hash_, _ in features], dtype=np.uint64))
        return _Word(place, sign * [weight for _, weight in features], _hash(root, _WORDS), rarity)


def _letter_grams(word: str) -> Iterator[tuple[str, float]]:
    """Each n-gram of `<word>`; their squared weights sum to LETTER_WEIGHT squared, however long the word."""
    fenced = f"<{word[:_LONGEST]}>"
    for size in GRAMS:
        count = len(fenced) - size + 1
        for start in range(count):
            yield fenced[start : start + size], LETTER_WEIGHT / math.sqrt(count * len(GRAMS))


def _unspaced_grams(run: str) -> Iterator[tuple[str, float]]:
    """Scripts without spaces: a run is a phrase, its letters and pairs of letters are what words are elsewhere."""
    for start in range(len(run)):
        yield run[start], 0.3
        if start:
            yield run[start - 1 : start + 1], 1.0
