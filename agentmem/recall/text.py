"""From text to the terms that are indexed and asked for: words, folded, stemmed, without the commonest.

Scripts that put no spaces between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese) become overlapping pairs of
characters. Nothing is translated and no text is ever changed: terms are only keys.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import Stemmer

__all__ = ["UNSPACED", "WORD", "fold", "is_question", "terms"]

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

# Letters and digits, with the vowel signs and tone marks of Indic and south-east Asian scripts, which \w leaves out.
WORD = re.compile(
    r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0963\u0971-\u0dff\u0e00-\u0e4e\u0e80-\u0fbc\u1000-\u1049\u1780-\u17d3])+"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
# Marks that writers of the script may leave out: Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowel signs.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u064b-\u065f\u0670]")
_ASKING = (
    "?",
    "\uff1f",
    "\u061f",
    "\u037e",
    "\u055e",
    "\u1367",
)  # Latin, full-width, Arabic, Greek, Armenian, Ethiopic
_CLOSING = " \t\n\r\"'\u201d\u2019\u00bb)]*_"  # what may stand behind it
_english = Stemmer.Stemmer("english", 0)  # without its cache, which is slower than the one below
_lock = threading.Lock()  # a Stemmer may serve one thread at a time


def fold(text: str) -> str:
    """Lower case, compatible forms merged, optional marks dropped: `Café`, `CAFE` and full-width `ｃａｆｅ` are one."""
    if text.isascii():
        return text.lower()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return _ACCENTS.sub("", unicodedata.normalize("NFC", bare).casefold())


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    """The word's stem, or "" for a stop word. Snowball's English stemmer leaves words of other scripts as they are."""
    if word in _STOP_WORDS:
        return ""
    with _lock:
        return str(_english.stemWord(word))


def is_question(text: str) -> bool:
    """Whether the text ends by asking, in any script's sign for it."""
    return text.rstrip(_CLOSING).endswith(_ASKING)


def terms(text: str) -> list[str]:
    """The text's terms in order, repeats kept."""
    found: list[str] = []
    for word in WORD.findall(fold(text)):
        runs = [word] if word.isascii() or not UNSPACED.search(word) else _RUN.findall(word)
        for run in runs:
            if UNSPACED.match(run):
                found.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
            elif stem := _stem(run):
                found.append(stem)
    return found
