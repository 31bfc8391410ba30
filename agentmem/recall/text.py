"""From text to the terms that are indexed and asked for: words, folded, stemmed, without the commonest.

Scripts that put no spaces between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese) become overlapping pairs of
characters, which find a word of two; so does Korean. Nothing is translated and no text is ever changed: terms are only
keys.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

from agentmem.recall.languages import ENGLISH, language_of, stem

__all__ = ["UNSPACED", "WORD", "asked_terms", "fold", "is_question", "terms", "terms_in"]

# Letters and digits, with the vowel signs and tone marks of Indic and south-east Asian scripts, which \w leaves out.
WORD = re.compile(
    r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0963\u0971-\u0dff\u0e00-\u0e4e\u0e80-\u0fbc\u1000-\u1049\u1780-\u17d3])+"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
# Korean puts spaces between words and hangs its particles on them: what is looked for is inside.
_PAIRS = f"{_UNSPACED}\uac00-\ud7a3"
_PAIRED = re.compile(f"[{_PAIRS}]")
_RUN = re.compile(f"[{_PAIRS}]+|[^{_PAIRS}]+")
# Marks that writers of the script may leave out: Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowel signs.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u064b-\u065f\u0670]")
# The same but for the breve of a Cyrillic "й", which is another letter than "и" and in the endings of Russian words.
_STRESS = re.compile(rf"(?<![\u0418\u0438])\u0306|(?!\u0306){_ACCENTS.pattern}")
_ASKING = (
    "?",
    "\uff1f",
    "\u061f",
    "\u037e",
    "\u055e",
    "\u1367",
)  # Latin, full-width, Arabic, Greek, Armenian, Ethiopic
_CLOSING = " \t\n\r\"'\u201d\u2019\u00bb)]*_"  # what may stand behind it


def fold(text: str, marks: re.Pattern[str] = _ACCENTS) -> str:
    """Lower case, compatible forms merged, optional marks dropped: `Café`, `CAFE` and full-width `ｃａｆｅ` are one."""
    if text.isascii():
        return text.lower()
    bare = marks.sub("", unicodedata.normalize("NFKD", text))
    return marks.sub("", unicodedata.normalize("NFC", bare).casefold())


def is_question(text: str) -> bool:
    """Whether the text ends by asking, in any script's sign for it."""
    return text.rstrip(_CLOSING).endswith(_ASKING)


def terms(text: str) -> list[str]:
    """The text's terms in order, repeats kept."""
    return terms_in(text)[0]


def terms_in(text: str) -> tuple[list[str], str]:
    """The text's terms in order, repeats kept, and the language by which they are stemmed."""
    words = _words(text)
    language = language_of(words)
    found: list[str] = []
    for word in words:
        if not word.isascii():
            found.extend(_terms(word, language))
        elif term := stem(word, language):
            found.append(term)
    return found, language


def asked_terms(text: str, languages: Iterable[str]) -> Counter[tuple[str, ...]]:
    """A question's words, how often each stands in it, and each as the terms that it may be among texts in English and
    in these languages."""
    asked: Counter[tuple[str, ...]] = Counter()
    spoken = sorted({ENGLISH, *languages})
    for word in _words(text):
        if _PAIRED.search(word):
            asked.update((term,) for term in _terms(word, ENGLISH))
        elif stems := {found for language in spoken if (found := stem(word, language))}:
            asked[tuple(sorted(stems))] += 1
    return asked


def _words(text: str) -> list[str]:
    return WORD.findall(fold(text, _STRESS))


def _terms(word: str, language: str) -> Iterator[str]:
    for run in _RUN.findall(word):
        if _PAIRED.match(run):
            yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
        elif found := stem(run, language):
            yield found
