"""What is kept: a record with its scope, place and sources, and the change that journals what happened to it.

The module knows what a field may hold. It refuses to know where records are kept or how they are found.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict, cast

from agentmem.errors import InvalidInput
from agentmem.values import (
    ODD,
    Decoders,
    Json,
    Value,
    encode,
    many,
    moment,
    new_id,
    now,
    numbers,
    plain_json,
    plain_text,
    text_of,
    truth,
    whole_number,
)

__all__ = ["Change", "Place", "Record", "RecordFields", "Scope", "Source", "State", "checked", "patch_between"]

State: TypeAlias = Literal["live", "forgotten", "replaced"]
_STATES = ("live", "forgotten", "replaced")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SCOPE_PART = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")


class Scope(tuple[str, ...]):
    """A namespace path such as `("user:ana", "agent:guide")`; written `user:ana/agent:guide`.

    A `Memory` is bound to one, and every read and write stays inside it. The first part is the root: ledgers count
    changes by it, and a sharded database partitions by it. A part has 1 to 200 characters, none of them `/` or a
    control character.
    """

    __slots__ = ()

    def __new__(cls, parts: str | Iterable[str]) -> Self:
        """`Scope("user:ana/agent:guide")` or `Scope(("user:ana", "agent:guide"))`.

        A path is split at each `/`, so a part that somebody else named is given as a part: `Scope(("user:" + name,))`.
        """
        listed = parts.split("/") if isinstance(parts, str) else list(many(parts, "a scope"))
        for part in listed:
            if not isinstance(part, str) or not _SCOPE_PART.fullmatch(part) or part != part.strip():
                several = isinstance(part, str) and "/" in part
                raise InvalidInput(
                    f"{part!r} cannot be part of a scope",
                    way_out='Give several parts one by one: memory.scope("user:ana", "notes").'
                    if several
                    else "Use 1 to 200 characters without '/' and control characters, such as user:ana.",
                )
            plain_text(part, "scope")
        if not listed:
            raise InvalidInput("a scope needs at least one part", way_out="Leave it out for the default scope.")
        return super().__new__(cls, listed)

    @property
    def root(self) -> str:
        return self[0]

    def __str__(self) -> str:
        return "/".join(self)

    def __repr__(self) -> str:
        return f"Scope({str(self)!r})"

    def to_json(self) -> list[Json]:
        return list(self)

    @classmethod
    def from_json(cls, data: Sequence[str]) -> Self:
        return cls(data)


DEFAULT_SCOPE = Scope("default")


@dataclass(frozen=True, slots=True)
class Place(Value):
    """Where something happened: a name, which may be a path (`harbour/pier 3`), and coordinates in R^m when known."""

    id: str = ""
    coordinates: tuple[float, ...] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {"id": text_of("place"), "coordinates": numbers("place.coordinates")}

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(self.id.split("/")) if self.id else ()

    @classmethod
    def of(cls, value: Place | str) -> Place:
        """`value` as a place, checked: a name or coordinates, and the coordinates finite."""
        place = cls(value) if isinstance(value, str) else value
        if not isinstance(place, Place):
            raise InvalidInput(f"place must be a name or a Place, not {type(value).__name__}")
        name = plain_text(place.id, "place")
        coordinates = None if place.coordinates is None else numbers("place.coordinates")(place.coordinates)
        if not name.strip() and not coordinates:
            raise InvalidInput("a place needs a name or coordinates")
        return cls(name, coordinates, cls._kept(place.extra))


def _span(value: Any) -> tuple[int, int]:
    start, end = many(value, "a span")
    if whole_number(start, "a span's end") > whole_number(end, "a span's end"):
        raise InvalidInput(f"a source's span must be 0 <= start <= end, not {start}, {end}")
    return start, end


@dataclass(frozen=True, slots=True)
class Source(Value):
    """What a memory was made from: another record or a file, and where in it.

    `span` counts characters, start inclusive and end exclusive, in the source's text.
    """

    record: str | None = None
    file: str | None = None
    span: tuple[int, int] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {"record": text_of("source"), "file": text_of("source"), "span": _span}

    @classmethod
    def of(cls, value: Source | str) -> Source:
        """`value` as a source, checked; a bare text is a record's id."""
        source = cls(record=value) if isinstance(value, str) else value
        if not isinstance(source, Source):
            raise InvalidInput(f"a source must be a record's id or a Source, not {type(value).__name__}")
        if (source.record is None) == (source.file is None):
            raise InvalidInput("a source names either a record or a file")
        if not plain_text(source.file if source.record is None else source.record, "source"):
            raise InvalidInput("a source's name is empty")
        span = None if source.span is None else _span(source.span)
        return cls(source.record, source.file, span, cls._kept(source.extra))


class RecordFields(TypedDict, total=False):
    """What a person may give for a memory, and later edit."""

    text: str
    kind: str
    session: str | None
    at: datetime | str
    speaker: str | None
    role: str | None
    place: Place | str | None
    tags: Iterable[str]
    meta: Mapping[str, Json] | None
    sources: Iterable[Source | str]
    strength: float
    pinned: bool


def _tags(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidInput("tags must be a list of words, not one text", way_out=f"Write tags=[{value!r}].")
    found = {plain_text(tag, "tag").strip() for tag in many(value, "tags")}
    if "" in found:
        raise InvalidInput("a tag cannot be empty")
    return tuple(sorted(found))


def _optional_text(name: str) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        return None if value is None else plain_text(value, name)

    return check


def _text(value: str) -> str:
    if not plain_text(value, "text").strip():
        raise InvalidInput("the text is empty: there is nothing to remember")
    return value


def _kind(value: str) -> str:
    if not isinstance(value, str) or not _KIND.fullmatch(value):
        raise InvalidInput(
            f"{value!r} cannot be a kind",
            way_out="Use a short lower-case word such as turn, note, fact or paragraph.",
        )
    return value


def _strength(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise InvalidInput(f"strength must be a number of 0 or more, not {value!r:.40}")
    return float(value)


def _meta(value: Mapping[str, Json] | None) -> Mapping[str, Json]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInput(f"meta must be a mapping, not {type(value).__name__}")
    return cast("dict[str, Json]", plain_json(dict(value), "meta")) if value else {}


# One check a field: what a caller gives becomes what a record holds, or InvalidInput.
_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "kind": _kind,
    "session": _optional_text("session"),
    "at": moment,
    "speaker": _optional_text("speaker"),
    "role": _optional_text("role"),
    "place": lambda value: None if value is None else Place.of(value),
    "tags": _tags,
    "meta": _meta,
    "sources": lambda value: tuple(Source.of(source) for source in many(value, "sources")),
    "strength": _strength,
    "pinned": truth("pinned"),
}


def checked(given: Mapping[str, Any], checks: Mapping[str, Callable[[Any], Any]] = _CHECKS) -> dict[str, Any]:
    """The fields as a record holds them. Raises InvalidInput for a bad value or a name that is no field."""
    out: dict[str, Any] = {}
    for name, value in given.items():
        check = checks.get(name)
        if check is None:
            raise InvalidInput(f"a memory has no field {name!r}", way_out=f"Fields: {', '.join(checks)}.")
        try:
            out[name] = check(value)
        except InvalidInput:
            raise
        except ODD as error:
            raise InvalidInput(f"{name}: {error}") from error
    return out


def _id(value: object) -> str:
    text = plain_text(value, "id")
    if not 0 < len(text) <= 200 or text != text.strip():
        raise InvalidInput(f"{text!r} cannot be an id")
    return text


def _state(value: State) -> State:
    if value not in _STATES:
        raise InvalidInput(f"{value!r} is no state; a record is {', '.join(_STATES)}")
    return value


def _revision(value: int) -> int:
    if whole_number(value, "revision", 1) >= 2**31:  # the column has 32 bits
        raise InvalidInput(f"revision {value} is out of range")
    return value


# All that a record holds beside its scope, as Python values; and the same as JSON has it.
_ALL_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    **_CHECKS,
    "id": _id,
    "stored_at": lambda value: moment(value, name="stored_at"),
    "state": _state,
    "revision": _revision,
    "replaced_by": lambda value: tuple(_id(item) for item in many(value, "replaced_by")),
    "extra": lambda value: Record._kept(value),
}
_DECODE: Mapping[str, Callable[[Any], Any]] = {
    **_ALL_CHECKS,
    "scope": Scope.from_json,
    "place": lambda value: Place.of(Place.from_json(value)),
    "sources": lambda value: tuple(Source.of(Source.from_json(source)) for source in many(value, "sources")),
}


@dataclass(frozen=True, slots=True)
class Record(Value):
    """One memory.

    `at` is when it happened, `stored_at` when it was written; both timezone-aware, in UTC. `session` names the
    conversation, chapter or visit it belongs to. `revision` starts at 1 and grows with every change, undo included.
    `state` is `live`; `forgotten` (in the trash, restorable); or `replaced`, when a merge or split put `replaced_by`
    in its place. `position` is the ledger's own number for the record: ascending in the order of writing, never used
    twice within a scope's root; 0 before the record is stored. It is not part of the JSON, nor of equality, because a
    copy in another ledger has another one.
    """

    id: str
    scope: Scope
    text: str
    at: datetime
    stored_at: datetime
    kind: str = "turn"
    session: str | None = None
    speaker: str | None = None
    role: str | None = None
    place: Place | None = None
    sources: tuple[Source, ...] = ()
    strength: float = 1.0
    pinned: bool = False
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Json] = field(default_factory=dict)
    revision: int = 1
    state: State = "live"
    replaced_by: tuple[str, ...] = ()
    position: int = field(default=0, compare=False, repr=False)
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = _DECODE
    _hidden = frozenset({"extra", "position"})

    @classmethod
    def create(
        cls,
        text: str,
        *,
        scope: Scope,
        id: str | None = None,
        **given: Any,
    ) -> Record:
        """A new record with every field of `RecordFields` checked; `at` is the present unless given."""
        stored = now()
        values = {"at": stored, **checked(given)}
        return cls(new_id() if id is None else _id(id), scope, _text(text), stored_at=stored, **values)

    def admitted(self, scope: Scope) -> Record:
        """This record as a newcomer in `scope`, every field checked: a constructor takes anything."""
        values = checked({name: getattr(self, name) for name in _ALL_CHECKS}, _ALL_CHECKS)
        return Record(scope=scope, **values)

    def patched(self, patch: Mapping[str, Json]) -> Record:
        """This record with some fields set from their JSON, as a change's `before` and `after` hold them."""
        values: dict[str, Any] = {
            name: _DECODE[name](value) if value is not None and name in _DECODE else value
            for name, value in patch.items()
        }
        return replace(self, **values)


def patch_between(old: Record, new: Record) -> tuple[dict[str, Json], dict[str, Json]]:
    """The fields in which two records differ, as JSON: (what they were, what they become)."""
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    for f in fields(Record):
        if f.name in ("position", "extra"):
            continue
        was, becomes = getattr(old, f.name), getattr(new, f.name)
        if was != becomes:
            before[f.name], after[f.name] = encode(was), encode(becomes)
    return before, after


def _body(value: Any) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"a journal entry's body must be a JSON object, not {type(value).__name__}")
    return cast("dict[str, Json]", plain_json(dict(value), "a journal entry's body"))


@dataclass(frozen=True, slots=True)
class Change(Value):
    """One entry of the journal; never altered, save that erasing a memory for good empties `before` and `after`.

    `seq` ascends without gaps within a scope's root. `step` is the `seq` of the first change of the same verb call
    (a batch, a merge, an import): what one undo takes back. `before` and `after` hold the fields that changed, as
    JSON; `before` is None where the record came into being, `after` where it ceased to be. `undoes` names the step
    that an undo or redo takes back.
    """

    seq: int
    at: datetime
    actor: str
    verb: str
    record_id: str
    before: Mapping[str, Json] | None = None
    after: Mapping[str, Json] | None = None
    cause: str = ""
    step: int = 0
    undoes: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: partial(whole_number, name=name) for name in ("seq", "step", "undoes")},
        **{name: text_of(name) for name in ("actor", "verb", "record_id", "cause")},
        **dict.fromkeys(("before", "after"), _body),
        "at": moment,
    }

    @property
    def erased(self) -> bool:
        """True once the words were erased for good: the entry stays, its bodies are gone."""
        return self.before is None and self.after is None
