"""Scopes that are easily confused: by a prefix, a LIKE, a comparison without case, a normalisation, a path."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

import numpy as np

from agentmem.errors import InvalidInput
from agentmem.records import Scope

__all__ = ["confusable_scopes"]

# Each with something for every twist to turn.
_BASES: Final = ("user:Ana/straße é", "agent:Nina/Straße i", "Öl:an_ti/ßa")
_TWISTS: Final[tuple[Callable[[str], str], ...]] = (
    lambda path: path + "b",
    lambda path: path + "/b",
    lambda path: path[:-1],
    lambda path: path.rpartition("/")[0],
    lambda path: path.replace(":", "/"),
    lambda path: path.replace("/", ":"),
    lambda path: path.replace("/", "%2F"),
    lambda path: path.replace("/", "\\"),
    str.upper,
    str.swapcase,
    str.casefold,
    lambda path: path + "%",
    lambda path: "%",
    lambda path: path[:-1] + "_",
    lambda path: path[:-1] + "?",
    lambda path: path + "*",
    lambda path: path[:1] + "[a-z]*",
    lambda path: path + "/..",
    lambda path: path + "/.",
    lambda path: path + "'",
    lambda path: path + "' OR '1'='1",
    lambda path: f'"{path}"',
    lambda path: path + "\\",
    lambda path: path + "\u200b",  # a space of no width
    lambda path: path.replace("a", "а"),  # Cyrillic
    lambda path: path.replace("n", "n\u0303"),
    lambda path: unicodedata.normalize("NFD", path),
    lambda path: unicodedata.normalize("NFKC", path),
    lambda path: "".join(
        chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" and letter != "/" else letter for letter in path
    ),  # fullwidth
    lambda path: path.replace("i", "ı"),
    lambda path: path + "0",
    lambda path: path + " b",
    lambda path: path.replace("user", "user" * 30),
)


def confusable_scopes(random: np.random.Generator, count: int, nonce: str = "", turn: int = 0) -> list[Scope]:
    """Different scopes; every root begins with `nonce`.

    The second and following are the first one, twisted: turn by turn, every twist has its turn, and after as many
    turns as it takes, all had. Once a twist was of no use, another scope than the first is twisted.
    """
    made = [str(random.choice(_BASES))]
    at = turn * (count - 1)
    while len(made) < count:
        of = made[0] if at < (turn + 1) * (count - 1) else str(random.choice(made))
        twisted = _TWISTS[at % len(_TWISTS)](of)
        at += 1
        if twisted not in made and _possible(twisted):
            made.append(twisted)
    return [Scope(nonce + path) for path in made]


def _possible(path: str) -> bool:
    try:
        Scope(path)
    except InvalidInput:  # an empty part, or one that ends with a space
        return False
    return True
