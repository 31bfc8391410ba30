"""Which records to list: what a person narrows a list by, as it is typed and as it is meant.

It looks at what stands in a record, to the letter, and at no meaning: that is recall's. A ledger that can list answers
it in its own language (`Listing`), and gives what `Filter.admits` would.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

from agentmem.errors import InvalidInput
from agentmem.export import checked_states
from agentmem.records import Record, Scope, State
from agentmem.values import moment, now, plain_text, truth, words

__all__ = ["KEYS", "ORDERS", "Counted", "Filter", "Listing", "Order", "listed", "lowered", "variants"]

Order: TypeAlias = Literal["written", "happened", "text", "kind", "speaker", "session", "strength", "revision"]
ORDERS: Final[tuple[str, ...]] = get_args(Order)
_LONGEST: Final = 1_000  # characters that are looked for: SQLite takes no pattern of more than 50,000 bytes
_MOST: Final = 50  # things that are looked for at once: SQLite takes no condition of more than 1,000 levels
_AGO: Final = re.compile(r"(\d{1,5})([hdwmy])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168, "m": 730, "y": 8_766}
_WORD: Final = re.compile(r'([a-z]+):(?:"([^"]*)"?|(\S*))|"([^"]*)"?|(\S+)')
_YES: Final = {"yes": True, "true": True, "no": False, "false": False}
_IN: Final[Mapping[str, tuple[State, ...]]] = {
    "live": ("live",),
    "trash": ("forgotten",),
    "replaced": ("replaced",),
    "all": ("live", "forgotten", "replaced"),
}


class Counted(NamedTuple):
    """How many records of a kind a scope has in a state."""

    scope: Scope
    state: State
    kind: str
    n: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Admits a record that passes all that is given. `containing`: each of these stands in the text, whatever the case
    of its letters; `kinds`, `sessions` and `tags`: any of them; `speaker` and `place` as in `Cue`; `source`: what it
    was made from, a record's id or a file, or a part of its name; `shown`: an answer to which this record was shown."""

    containing: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    speaker: str = ""
    place: str = ""
    source: str = ""
    shown: str = ""
    pinned: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    states: tuple[State, ...] = ("live",)

    def __post_init__(self) -> None:
        """InvalidInput for what no ledger could look for."""
        for name in ("containing", "kinds", "sessions", "tags"):
            several = tuple(map(_sought, words(getattr(self, name), name)))
            if len(several) > _MOST:
                raise InvalidInput(f"{len(several)} {name} are looked for at once, and {_MOST} are the most")
            object.__setattr__(self, name, several)
        for name in ("speaker", "place", "source", "shown"):
            _sought(plain_text(getattr(self, name), name))
        for name in ("since", "until"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, moment(value, name=name))
        if self.pinned is not None:
            truth("pinned")(self.pinned)
        object.__setattr__(self, "states", tuple(checked_states(self.states)))

    @classmethod
    def parse(cls, typed: str, at: datetime | None = None) -> Filter:
        """Of words as they are typed: `kind:fact since:7d pin:yes "an exact phrase" word`. All else than `KEYS` is
        looked for in the text. InvalidInput for a key that there is not, with the nearest, and a value that is none.
        """
        at = now() if at is None else at
        found, texts = cls(), list[str]()
        for key, quoted, plain, phrase, word in _WORD.findall(_sought(plain_text(typed, "filter"))):
            value = quoted or plain
            if key in KEYS:
                found = KEYS[key][1](found, value, at) if value else found  # while it is typed, it is not there yet
            elif key and not value.startswith("//") and (near := difflib.get_close_matches(key, KEYS, 1, 0.6)):
                raise InvalidInput(f"there is no {key}: to filter by", way_out=f"Did you mean {near[0]}:?")
            else:
                texts.append(f"{key}:{value}" if key else phrase or word)
        return replace(found, containing=tuple(filter(None, texts)))

    def admits(self, record: Record) -> bool:
        """What a ledger's answer is held against."""
        text, place = lowered(record.text), "" if record.place is None else lowered(record.place.id)
        sources = (source.record or source.file or "" for source in record.sources)
        shown = record.meta.get("shown")
        return (
            record.state in self.states
            and all(any(one in text for one in variants(sought)) for sought in self.containing)
            and (not self.kinds or record.kind in self.kinds)
            and (not self.sessions or record.session in self.sessions)
            and (not self.tags or not set(self.tags).isdisjoint(record.tags))
            and (not self.speaker or lowered(record.speaker or "") in variants(self.speaker))
            and (not self.place or any(f"{place}/".startswith(f"{one}/") for one in variants(self.place)))
            and (not self.source or any(self.source in source for source in sources))
            and (not self.shown or (isinstance(shown, list) and self.shown in shown))
            and (self.pinned is None or record.pinned == self.pinned)
            and (self.since is None or record.at >= self.since)
            and (self.until is None or record.at < self.until)
        )


@runtime_checkable
class Listing(Protocol):
    """A ledger's scope that can list. Others are read from end to end (`listed`)."""

    def positions(self, which: Filter, order: Order, *, descending: bool, limit: int | None = None) -> list[int]:
        """Of all that it admits, or the first `limit` of them, those of one rank by position."""
        ...

    def kinds(self, *, everywhere: bool) -> list[Counted]:
        """Of this scope and those inside it, or `everywhere` of all of the ledger."""
        ...


def listed(
    records: Iterable[Record], which: Filter, order: Order, *, descending: bool, limit: int | None = None
) -> list[int]:
    """As `Listing.positions`, of records that are given."""
    found = sorted((record for record in records if which.admits(record)), key=lambda record: record.position)
    found.sort(key=_RANKS[order], reverse=descending)  # keeps those of one rank in the order they had
    return [record.position for record in found[:limit]]


_RANKS: Final[Mapping[Order, Callable[[Record], Any]]] = {
    "written": lambda record: record.position,
    "happened": lambda record: record.at,
    "text": lambda record: record.text.encode(),
    "kind": lambda record: record.kind.encode(),
    "speaker": lambda record: (record.speaker or "").encode(),
    "session": lambda record: (record.session or "").encode(),
    "strength": lambda record: record.strength,
    "revision": lambda record: record.revision,
}


def lowered(text: str) -> str:
    """With small letters for A to Z alone, as every database does it whatever its locale."""
    return text.translate(_SMALL)


_SMALL: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def variants(sought: str) -> tuple[str, ...]:
    """How letters beyond A to Z may stand in other case, each `lowered`: "Élan" is looked for as "élan" and "Élan"."""
    forms = (sought, sought.lower(), sought.upper(), sought.capitalize(), sought.title())
    return tuple(dict.fromkeys(map(lowered, forms)))


def _sought(text: str) -> str:
    if len(text) > _LONGEST:
        raise InvalidInput(f"a text of {len(text):,} characters is looked for, and {_LONGEST:,} are the most")
    return text


def _time(value: str, at: datetime, key: str) -> datetime:
    """A day, a time, or how long ago: 2024-05-03, 7d."""
    if ago := _AGO.fullmatch(value):
        try:
            return at - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        except OverflowError as error:
            raise InvalidInput(f"{key}: {value} is before all time") from error
    try:
        read = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(
            f"{key}: {value!r:.40} is no time", way_out=f"Write {key}:2024-05-03, or {key}:7d for a week ago."
        ) from error
    return moment(read if read.tzinfo else read.replace(tzinfo=UTC), name=key)


def _one_of(value: str, known: Mapping[str, Any], key: str) -> Any:
    if value not in known:
        raise InvalidInput(f"{key}: {value!r:.40} is none of {', '.join(known)}")
    return known[value]


# What a filter is typed by: what it means, for those who ask, and how it is read.
KEYS: Final[Mapping[str, tuple[str, Callable[[Filter, str, datetime], Filter]]]] = {
    "kind": ("of this kind", lambda f, value, at: replace(f, kinds=(*f.kinds, value))),
    "session": ("of this conversation", lambda f, value, at: replace(f, sessions=(*f.sessions, value))),
    "tag": ("with this tag", lambda f, value, at: replace(f, tags=(*f.tags, value))),
    "by": ("said by", lambda f, value, at: replace(f, speaker=value)),
    "at": ("at this place or inside it", lambda f, value, at: replace(f, place=value)),
    "source": ("made from this record or file", lambda f, value, at: replace(f, source=value)),
    "shown": ("an answer to which this record was shown", lambda f, value, at: replace(f, shown=value)),
    "pin": ("pinned, or not: yes, no", lambda f, value, at: replace(f, pinned=_one_of(value, _YES, "pin"))),
    "since": ("happened then or later: 2024-05-03, 7d", lambda f, v, at: replace(f, since=_time(v, at, "since"))),
    "until": ("happened before: 2024-05-03, 7d", lambda f, v, at: replace(f, until=_time(v, at, "until"))),
    "in": ("live, trash, replaced, all", lambda f, value, at: replace(f, states=_one_of(value, _IN, "in"))),
}
