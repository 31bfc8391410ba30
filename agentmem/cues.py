"""What is asked and what comes back: a cue, a hit with its parts and verdict, a context packed for a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from agentmem.errors import InvalidInput
from agentmem.records import Place, Record, checked
from agentmem.values import (
    Decoders,
    Json,
    Value,
    many,
    moment,
    number,
    numbers,
    plain_text,
    text_of,
    truth,
    whole_number,
    words,
)

__all__ = ["Asked", "Context", "Cue", "Hit", "Hits", "parts_of"]


@dataclass(frozen=True, slots=True)
class Cue(Value):
    """What is asked. `since` is inclusive, `until` exclusive; `kinds` and `tags` admit a record that has any of them.

    `vector` replaces the embedding of `text`; its length must be the embedder's dimension. `now` is when it is asked,
    for "last week" and the like; None stands for this moment.
    """

    text: str = ""
    vector: tuple[float, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] | None = None
    speaker: str | None = None
    place: str | None = None
    tags: tuple[str, ...] | None = None
    now: datetime | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: text_of(name) for name in ("text", "speaker", "place")},
        **{name: partial(moment, name=name) for name in ("since", "until", "now")},
        **{name: partial(words, name=name) for name in ("kinds", "tags")},
        "vector": numbers("vector"),
    }

    def narrowed(self, **filters: Any) -> Cue:
        """This cue with the filters that are not None set; those and its own are checked, its vector is not."""
        own = {name: getattr(self, name) for name in self._decode if name != "vector"}
        given = own | {name: value for name, value in filters.items() if value is not None}
        if isinstance(given["place"], Place) and not given["place"].id:
            raise InvalidInput("a place without a name is no filter")
        if isinstance(given["place"], Place):
            given["place"] = given["place"].id
        return replace(self, **checked({n: v for n, v in given.items() if v is not None}, self._decode))


def parts_of(value: Any) -> dict[str, float]:
    """A hit's parts, each a finite number; InvalidInput."""
    return {plain_text(name, "parts"): number(part, name) for name, part in value.items()}


@dataclass(frozen=True, slots=True)
class Hit(Value):
    """A record that a cue brought up. `score` is the sum of `parts`: signal name → contribution.

    `verdict` says why it is here or, for one that did not win, why it fell. Winners come first, best first. `cue` is
    the text that was asked, so that a hit alone tells what it was useful for.
    """

    record: Record
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    won: bool = True
    cue: str = field(default="", repr=False)
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        "record": Record.from_json,
        "score": lambda v: number(v, "score"),
        "parts": parts_of,
        "verdict": text_of("verdict"),
        "won": truth("won"),
        "cue": text_of("cue"),
    }


@dataclass(frozen=True, slots=True)
class Asked(Value):
    """A store that a recall asked: why, how many records it named, in how many milliseconds, and in `note` what was not
    as it should be: no answer in time, an error, a record of another scope."""

    store: str
    why: str = ""
    hits: int = 0
    ms: float = 0.0
    note: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: text_of(name) for name in ("store", "why", "note")},
        "hits": partial(whole_number, name="hits"),
        "ms": lambda v: number(v, "ms"),
    }


class Hits(list[Hit]):
    """What a recall brought up, best first, and in `asked` the stores that it asked for it."""

    def __init__(self, hits: Iterable[Hit] = (), asked: Iterable[Asked] = ()) -> None:
        super().__init__(hits)
        self.asked = tuple(asked)


@dataclass(frozen=True, slots=True)
class Context(Value):
    """Memories packed for a prompt: `text` quotes them as data, oldest first, and takes at most `budget` tokens.

    `tokens` is the count as estimated; `left_out` says in words what did not get in and why; `asked` are the stores
    that were asked for it.
    """

    text: str = ""
    hits: tuple[Hit, ...] = ()
    tokens: int = 0
    budget: int = 0
    left_out: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: partial(whole_number, name=name) for name in ("tokens", "budget")},
        "text": text_of("text"),
        "hits": lambda v: tuple(Hit.from_json(hit) for hit in many(v, "hits")),
        "left_out": lambda v: tuple(plain_text(item, "left_out") for item in many(v, "left_out")),
        "asked": lambda v: tuple(Asked.from_json(one) for one in many(v, "asked")),
    }
