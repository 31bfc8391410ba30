"""Answers as models break them: valid ones by a seed, and damage of many kinds, each with what must come of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, RootModel

from agentmem.models.answers import Facts, RollingEdit, Votes

__all__ = ["DAMAGES", "Broken", "Words", "broken", "valid"]

Seed: TypeAlias = random.Random
Outcome: TypeAlias = Literal["same", "prefix", "any"]


class Words(RootModel[list[str]]):
    """A bare list, in which every item is a text."""


_TEXTS: Final = [
    "Ana",
    "lives in",
    "Porto",
    'he said "no"',
    "it's Ana's",
    "a, b: [c] {d}",
    "ends with a backslash \\",
    "two\nlines\tand a tab",
    "São João 東京 🙂 e\u0301",
    "```json",
    "</think>",
    "\n</think> [1]",
    '"',
    "'",
    "], [",
    '"}, {"',
    "// no comment",
    "null",
    "1",
    "\u2028\ufeff\u200b",
    "“smart”",
    "<b>bold</b>",
]


def _text(seed: Seed) -> str:
    return " ".join(seed.choice(_TEXTS) for _ in range(seed.randint(1, 2))).strip() or "x"


def _facts(seed: Seed) -> Any:
    return {
        "facts": [
            {
                "turn": seed.randint(1, 9),
                "head": _text(seed),
                "relation": _text(seed),
                "tail": _text(seed),
                "quote": _text(seed),
                "negated": seed.random() < 0.5,
                "confidence": round(seed.random(), 2),
                "when": seed.choice([None, _text(seed)]),
                "where": None,
            }
            for _ in range(seed.randint(0, 4))
        ]
    }


def _votes(seed: Seed) -> Any:
    verdicts = ["same", "update", "contradict", "unrelated"]
    return {"votes": [{"pair": n, "vote": seed.choice(verdicts)} for n in range(1, seed.randint(1, 6))]}


def _edit(seed: Seed) -> Any:
    return {
        "drop": [{"reason": _text(seed), "number": n} for n in range(1, seed.randint(1, 4))],
        "add": [{"reason": _text(seed), "sentence": _text(seed)} for _ in range(seed.randint(0, 3))],
    }


def _words(seed: Seed) -> Any:
    return [_text(seed) for _ in range(seed.randint(0, 5))]


_KINDS: Final[list[tuple[type[BaseModel], Callable[[Seed], Any]]]] = [
    (Facts, _facts),
    (Votes, _votes),
    (RollingEdit, _edit),
    (Words, _words),
]


def valid(seed: Seed) -> tuple[type[BaseModel], Any, str]:
    """A schema, a value of it, and the value as a model may write it."""
    schema, make = seed.choice(_KINDS)
    value = make(seed)
    text = json.dumps(value, ensure_ascii=seed.random() < 0.2, indent=seed.choice([None, None, 1]))
    return schema, value, text


# ── damage that leaves no doubt of what was meant ────────────────────────────────────────────────────────────────


def _fence(seed: Seed, text: str) -> str:
    return f"```{seed.choice(['', 'json', 'JSON'])}\n{text}\n```"


def _prose(seed: Seed, text: str) -> str:
    before = seed.choice(["", "Sure! Here it is:\n", "I used {curly} and [square] ones. ", "<p>Answer:</p>", "> "])
    return before + text + seed.choice(["", "\n\nHope this helps :)", " }", " ]", "\nNote: {see above}", "</html>"])


def _thought(seed: Seed, text: str) -> str:
    inside = seed.choice(["Hm.", '{"facts": []} ? No: ["x"]', "```\n[1]\n```"])
    return seed.choice([f"<think>\n{inside}\n</think>\n{text}", f"{inside}\n</think>\n\n{text}"])


def _mark(seed: Seed, text: str) -> str:
    return f"\ufeff{text}"


def _python(seed: Seed, text: str) -> str:
    return repr(json.loads(text))


def _trailing(seed: Seed, text: str) -> str:
    return _outside(text, lambda sign: f",{sign}" if sign in "]}" else sign)


def _spread(seed: Seed, text: str) -> str:
    return _outside(text, lambda sign: f"\n {sign} // so\n" if sign in ",:" else sign)


def _outside(text: str, change: Callable[[str], str]) -> str:
    """The text with each sign changed that stands in no string of it, and follows more than an opening bracket."""
    out, inside, escaped, last = [], False, False, ""
    for sign in text:
        if inside:
            out.append(sign)
            inside = escaped or sign != '"'
            escaped = sign == "\\" and not escaped
        else:
            inside = sign == '"'
            out.append(sign if last in "[{" and sign in "]}" else change(sign))
        last = sign if not sign.isspace() else last
    return "".join(out)


# ── damage that may leave several meanings, or none ──────────────────────────────────────────────────────────────


def _cut(seed: Seed, text: str) -> str:
    return text[: seed.randrange(len(text))]


def _cut_in_fence(seed: Seed, text: str) -> str:
    return f"Here:\n```json\n{_cut(seed, text)}"


def _dropped(signs: str) -> Callable[[Seed, str], str]:
    def drop(seed: Seed, text: str) -> str:
        places = [at for at, sign in enumerate(text) if sign in signs]
        for at in sorted(seed.sample(places, min(len(places), seed.randint(1, 2))), reverse=True):
            text = text[:at] + text[at + 1 :]
        return text

    return drop


def _added(signs: str) -> Callable[[Seed, str], str]:
    def add(seed: Seed, text: str) -> str:
        for _ in range(seed.randint(1, 3)):
            at = seed.randrange(len(text) + 1)
            text = text[:at] + seed.choice(signs) + text[at:]
        return text

    return add


def _swapped_quotes(seed: Seed, text: str) -> str:
    return "".join(seed.choice("'\"“”’") if sign == '"' and seed.random() < 0.3 else sign for sign in text)


def _single_quotes(seed: Seed, text: str) -> str:
    return text.replace('"', "'")


def _unescaped(seed: Seed, text: str) -> str:
    return text.replace('\\"', '"')


def _wrong_types(seed: Seed, text: str) -> str:
    wrong = ["1", '"one"', "[]", "{}", "null", "NaN", "-Infinity", "1e999", "9" * 5_000, "yes", "0x1f", "1.2.3", "''"]
    return text.replace(": ", f": {seed.choice(wrong)}, ", 1) if seed.random() < 0.5 else seed.choice(wrong)


def _doubled(seed: Seed, text: str) -> str:
    start = seed.randrange(len(text))
    piece = text[start : start + seed.randint(1, 60)]
    return text[:start] + piece * seed.randint(2, 4) + text[start:]


def _twice(seed: Seed, text: str) -> str:
    return seed.choice(["\n", " ", ", ", ""]).join([text, text])


def _noise(seed: Seed, text: str) -> str:
    for _ in range(seed.randint(1, 4)):
        at = seed.randrange(len(text) + 1)
        text = text[:at] + chr(seed.choice([0, 8, 0x1B, 0x7F, 0xD83D, 0xDC00, 0xFEFF, 0x202E, 0x1F600])) + text[at:]
    return text


def _deep(seed: Seed, text: str) -> str:
    levels = seed.choice([10, 63, 64, 65, 5_000])
    return seed.choice(["[" * levels + text + "]" * levels, '{"facts": ' * levels + text, "[" * levels, "{" * levels])


def _repeated(seed: Seed, text: str) -> str:
    levels = seed.randint(1, 4)
    return "{" * levels + text + "}" * levels


def _nothing(seed: Seed, text: str) -> str:
    return seed.choice(
        ["", " \n", "null", "I cannot help with that.", "[see above]", "{}", "()", "<html></html>", '""']
    )


def _html(seed: Seed, text: str) -> str:
    return text.replace('"', "&quot;") if seed.random() < 0.5 else f"<table><tr><td>{text[:40]}</td></tr></table>"


def _shuffled(seed: Seed, text: str) -> str:
    return "".join(seed.sample(text, len(text)))


DAMAGES: Final[dict[str, tuple[Outcome, Callable[[Seed, str], str]]]] = {
    "fence": ("same", _fence),
    "prose around": ("same", _prose),
    "thought": ("same", _thought),
    "byte order mark": ("same", _mark),
    "python": ("same", _python),
    "trailing commas": ("same", _trailing),
    "comments": ("same", _spread),
    "cut": ("prefix", _cut),
    "cut in a fence": ("prefix", _cut_in_fence),
    "twice": ("same", _twice),
    "brackets dropped": ("any", _dropped("[]{}")),
    "commas dropped": ("any", _dropped(",:")),
    "quotes dropped": ("any", _dropped('"\\')),
    "signs added": ("any", _added(',:[]{}"\\/')),
    "quotes swapped": ("any", _swapped_quotes),
    "single quotes": ("any", _single_quotes),
    "unescaped": ("any", _unescaped),
    "wrong types": ("any", _wrong_types),
    "doubled": ("any", _doubled),
    "noise": ("any", _noise),
    "deep": ("any", _deep),
    "repeated braces": ("any", _repeated),
    "nothing": ("any", _nothing),
    "html": ("any", _html),
    "shuffled": ("any", _shuffled),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """`outcome`: `value` itself must come out, or lists that begin as its own do if anything, or anything valid."""

    damage: str
    outcome: Outcome
    schema: type[BaseModel]
    value: Any
    text: str


def broken(count: int, seed: int = 0) -> Iterator[Broken]:
    """So many damaged answers, the kinds of damage in turn; some of those that may mean anything are damaged twice."""
    chance = random.Random(seed)
    kinds = list(DAMAGES.items())
    for number in range(count):
        schema, value, text = valid(chance)
        name, (outcome, damage) = kinds[number % len(kinds)]
        text = damage(chance, text)
        if outcome == "any" and text and chance.random() < 0.3:
            other, (_, again) = chance.choice([one for one in kinds if one[0] != "python"])
            name, text = f"{name}, {other}", again(chance, text)
        yield Broken(name, outcome, schema, value, text)
