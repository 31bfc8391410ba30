"""From text to the terms that are indexed and asked for: words, folded, stemmed, without the commonest.

Scripts that put no spaces between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese) become overlapping pairs of
characters. Nothing is translated and no text is ever changed: terms are only keys.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import Stemmer

__all__ = ["terms"]

# The commonest English words, which say nothing about what a sentence is about (after Lucene's and Snowball's lists).
_STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can could did do does
    doing don down during each few for from further had has have having he her here hers him his how i if in into is
    it its itself just ll me more most my myself no nor not now of off on once only or other our ours out over own re
    s same she should so some such t than that the their theirs them then there these they this those through to too
    under until up ve very was we were what when where which while who whom why will with would you your yours
    """.split()
)

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_english = Stemmer.Stemmer("english", 0)  # its own cache is not bounded by memory, and the one below is faster


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    """The word's stem, or "" for a stop word. Snowball's English stemmer leaves words of other scripts as they are."""
    return "" if word in _STOP_WORDS else str(_english.stemWord(word))


def terms(text: str) -> list[str]:
    """The text's terms in order, repeats kept."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    found = []
    for word in _WORD.findall(text.casefold()):
        if word.isascii() or not _UNSPACED.search(word):
            stem = _stem(word)
            if stem:
                found.append(stem)
        else:
            for run in re.findall(rf"{_UNSPACED.pattern}|[^\W_]", word):
                found.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
    return found
