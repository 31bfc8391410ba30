"""Texts that break programs, and what may be refused of them: shared by the tests of hostile input."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from agentmem import AgentMemError

TEXTS = {
    "plain": "The launch was moved.",
    "one letter": "a",
    "empty": "",
    "blank": " \t\n ",
    "no-break space": "\u00a0",
    "padded": "  padded\n",
    "lines": "a\nb\r\nc\rd\u2028e\u2029f\u0085g\vh\fi",
    "NUL": "a\0b",
    "NUL alone": "\0",
    "controls": "\x01\x02\x07\x08\x1b\x7f\x80\x9f",
    "ANSI": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J",
    "emoji": "👩‍👩‍👧‍👦 👍🏽 🏴‍☠️",
    "right to left": "שלום مرحبا",
    "bidi overrides": "\u202eevil\u202c \u2066isolated\u2069 \u200f",
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe",
    "byte order mark": "\ufefftext",
    "composed": "\u00e9\u0144",
    "decomposed": "e\u0301n\u0301",
    "combining marks": "Z" + "\u0335\u0321\u0353\u034e" * 50,
    "compatibility": "ﬁ ① ｆｕｌｌ",
    "case": "İıßẞſ",
    "Indic": "क्षत्रिय ਪੰਜਾਬੀ",
    "unspaced": "東京特許許可局ภาษาไทย",
    "astral": "𝕳𝖊𝖑𝖑𝖔 \U0010ffff",
    "noncharacters": "\ufffe\uffff\ufdd0",
    "replacement": "\ufffd",
    "high surrogate": "a\ud800b",
    "low surrogate": "\udfff",
    "surrogates the wrong way round": "\udc00\ud800",
    "escaped byte": "a\udc80",
    "SQL": "'); DROP TABLE records; --",
    "SQL too": "x\" OR 1=1 /* ' */ UNION SELECT NULL--",
    "LIKE": "%_\\%",
    "match": '"a" NEAR(b, 2) OR c* ^d -e {f}: AND NOT',
    "HTML": "<script>alert('x')</script><img src=x onerror=\"y\">&amp;",
    "markup": "[red]rich[/red] {0} %s ${HOME} `id` $(id)",
    "JSON": '{"text": "x", "meta": null}\\u0000\\',
    "path": "../../etc/passwd",
    "slashes": "a/b//c\\d",
    "format": "{record.__class__} %(name)s",
    "number": "0",
    "None": "None",
    "long word": "x" * 300,
    "a megabyte": "moved the 🚀 " * 80_000,
}

# Any character at all, surrogates and NUL as well.
anything = st.text(st.characters(), max_size=30)
mixed = st.lists(st.sampled_from([t for t in TEXTS.values() if len(t) < 1_000]) | anything, max_size=4).map("".join)


# ── what may be refused ──────────────────────────────────────────────────────────────────────────────────────────────


def storable(text: str) -> bool:
    return not re.search("[\0\ud800-\udfff]", text)


def jsonable(text: str) -> bool | None:
    """JSON escapes a NUL, so that a database may keep it."""
    return None if "\0" in text else storable(text)


def wordy(text: str) -> bool:
    return storable(text) and bool(text.strip())


def filled(text: str) -> bool:
    return storable(text) and bool(text)


def idlike(text: str) -> bool:
    return storable(text) and 0 < len(text) <= 200 and text == text.strip()


def partlike(text: str) -> bool:
    return idlike(text) and not any(letter < " " or letter in "/\x7f" for letter in text)


def scopelike(text: str) -> bool:
    return all(partlike(each) for each in text.split("/"))


def kindlike(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", text))


def whatever(text: str) -> bool | None:
    """Not for this test to say: taken or refused, as long as it is clear."""
    return None


def never(text: str) -> bool:
    return False


# ── what must come of it ─────────────────────────────────────────────────────────────────────────────────────────────


def clear(error: AgentMemError) -> bool:
    """A sentence that can be shown: something is said, and what is said is text."""
    return bool(str(error)) and storable(f"{error}{error.way_out}")
