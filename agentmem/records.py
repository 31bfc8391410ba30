"""The words of agentmem as values: a record, its scope, place and sources; a change; a cue, a hit, a context.

Everything here is frozen, compares by value and survives JSON: `X.from_json(x.to_json()) == x`, and fields that a
later release adds are kept in `extra` and written back, so an old reader never loses a new writer's data. The module
knows text, time and JSON. It refuses to know where records are kept or how they are found.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict, cast

import uuid_utils

from agentmem.errors import InvalidInput

__all__ = [
    "Change",
    "Context",
    "Cue",
    "Hit",
    "Json",
    "Place",
    "Record",
    "RecordFields",
    "Scope",
    "Source",
    "State",
    "moment",
    "new_id",
    "now",
]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
_Decoders: TypeAlias = "Mapping[str, Callable[[Any], Any]]"
State: TypeAlias = Literal["live", "forgotten", "replaced"]
_STATES = ("live", "forgotten", "replaced")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SCOPE_PART = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")


def now() -> datetime:
    """The present, timezone-aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A UUIDv7 as text: unique everywhere, and ascending within a process even inside one millisecond."""
    return str(uuid_utils.uuid7())


def moment(value: datetime | str, *, name: str = "at") -> datetime:
    """A timezone-aware time in UTC from a datetime or an ISO 8601 text; a time without a zone is refused."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInput(
                f"{name}: {value!r} is not an ISO 8601 time", way_out="Write it as 2024-05-03T14:00:00+00:00."
            ) from error
    if not isinstance(value, datetime):
        raise InvalidInput(f"{name} must be a datetime, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidInput(
            f"{name} has no time zone: {value.isoformat()}",
            way_out="Give one: datetime(..., tzinfo=timezone.utc), or value.astimezone() for local time.",
        )
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999 moved over the edge by its offset
        raise InvalidInput(f"{name} is out of range in UTC: {value.isoformat()}") from error


def plain_text(value: object, name: str) -> str:
    """`value` if every backend can store it exactly, else InvalidInput that says which character is in the way."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, not {type(value).__name__}")
    if "\0" in value:  # Postgres cannot hold it, and a ledger must be movable
        raise InvalidInput(
            f"{name} holds a NUL character at {value.index(chr(0))}",
            way_out="Remove it; no database keeps it.",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} holds half of a surrogate pair at {error.start}, which is not text",
            way_out="Decode the input with errors='replace'.",
        ) from error
    return value


def _plain_json(value: object, name: str) -> Json:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not plain JSON: {error}") from error
    plain_text(text, name)
    return cast(Json, json.loads(text))


def whole_number(value: object, name: str, least: int = 0) -> int:
    """`value` if it is a whole number from `least` up to what every database's big integer holds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise InvalidInput(f"{name} must be a whole number of {least} or more, not {value!r:.40}")
    return value


def _number(value: object, name: str) -> float:
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number of 309 digits or more
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a finite number, not {value!r:.40}")
    return number


def _many(value: Any, name: str) -> Iterable[Any]:
    """`value` if it is a list of some kind: a text is one, of letters, and never meant."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInput(f"{name} must be a list, not {type(value).__name__}")
    return value


def _numbers(name: str) -> Callable[[Any], tuple[float, ...]]:
    return lambda value: tuple(_number(x, name) for x in _many(value, name))


def _words(value: str | Iterable[str], name: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else _many(value, name)
    return tuple(plain_text(item, name) for item in listed)


def _text_of(name: str) -> Callable[[Any], str]:
    return lambda value: plain_text(value, name)


# What a check may meet in a value that is nothing it expected.
_ODD = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


class _Value:
    """JSON for frozen dataclasses: fields at their default are left out, unknown keys travel in `extra`."""

    __slots__ = ()
    _decode: ClassVar[_Decoders] = {}
    _hidden: ClassVar[frozenset[str]] = frozenset({"extra"})

    def to_json(self) -> dict[str, Json]:
        out: dict[str, Json] = dict(getattr(self, "extra", {}))
        for name, default in _json_fields(type(self)):
            value = getattr(self, name)
            if value != default:
                out[name] = _encode(value)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value, or InvalidInput for anything else than it could have written. `null` says the same as absent."""
        if not isinstance(data, Mapping):
            raise InvalidInput(f"{cls.__name__} must be a JSON object, not {type(data).__name__}")
        values: dict[str, Any] = {}
        shown = _json_fields(cls)
        for name, default in shown:
            if name not in data or (data[name] is None and default is not MISSING):
                continue
            try:
                values[name] = cls._decode[name](data[name])
            except InvalidInput as error:
                raise InvalidInput(f"{cls.__name__}.{name}: {error}", way_out=error.way_out) from error
            except _ODD as error:
                raise InvalidInput(f"{cls.__name__}.{name}: {error}") from error
        known = {name for name, _ in shown}
        extra = cls._kept({key: value for key, value in data.items() if key not in known})
        try:
            return cls(**{**values, "extra": extra})
        except TypeError as error:
            raise InvalidInput(f"{cls.__name__}: {error}") from error

    @classmethod
    def _kept(cls, extra: object) -> Mapping[str, Json]:
        """`extra` checked: plain JSON, under names that are no fields of this class."""
        if not isinstance(extra, Mapping):
            raise InvalidInput(f"{cls.__name__}.extra must be a mapping, not {type(extra).__name__}")
        if not extra:
            return {}
        for name, _ in _json_fields(cls):
            if name in extra:
                raise InvalidInput(f"{cls.__name__}.extra holds {name!r}, which is a field")
        return cast("dict[str, Json]", _plain_json(dict(extra), f"{cls.__name__}.extra"))


_FIELDS: dict[type, list[tuple[str, Any]]] = {}


def _json_fields(cls: type) -> list[tuple[str, Any]]:
    """The fields that JSON shows, each with its default; looked up once a class."""
    found = _FIELDS.get(cls)
    if found is None:
        found = _FIELDS[cls] = [
            (f.name, f.default if f.default_factory is MISSING else f.default_factory())
            for f in fields(cls)
            if f.name not in cls._hidden  # type: ignore[attr-defined]  # every caller is a _Value
        ]
    return found


def _encode(value: Any) -> Json:
    if isinstance(value, str):  # most are
        return value
    if isinstance(value, _Value):
        return value.to_json()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return cast(Json, value)


class Scope(tuple[str, ...]):
    """A namespace path such as `("user:ana", "agent:guide")`; written `user:ana/agent:guide`.

    A `Memory` is bound to one, and every read and write stays inside it. The first part is the root: ledgers count
    changes by it, and a sharded database partitions by it. A part has 1 to 200 characters, none of them `/` or a
    control character.
    """

    __slots__ = ()

    def __new__(cls, parts: str | Iterable[str]) -> Self:
        """`Scope("user:ana/agent:guide")` or `Scope(("user:ana", "agent:guide"))`."""
        listed = parts.split("/") if isinstance(parts, str) else list(_many(parts, "a scope"))
        for part in listed:
            if not isinstance(part, str) or not _SCOPE_PART.fullmatch(part) or part != part.strip():
                raise InvalidInput(
                    f"{part!r} cannot be part of a scope",
                    way_out="Use 1 to 200 characters without '/' and control characters, such as user:ana.",
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
class Place(_Value):
    """Where something happened: a name, which may be a path (`harbour/pier 3`), and coordinates in R^m when known."""

    id: str = ""
    coordinates: tuple[float, ...] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[_Decoders] = {"id": _text_of("place"), "coordinates": _numbers("place.coordinates")}

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
        coordinates = None if place.coordinates is None else _numbers("place.coordinates")(place.coordinates)
        if not name.strip() and not coordinates:
            raise InvalidInput("a place needs a name or coordinates")
        return cls(name, coordinates, cls._kept(place.extra))


def _span(value: Any) -> tuple[int, int]:
    start, end = (whole_number(x, "a span's end") for x in _many(value, "a span"))
    if start > end:
        raise InvalidInput(f"a source's span must be 0 <= start <= end, not {start}, {end}")
    return start, end


@dataclass(frozen=True, slots=True)
class Source(_Value):
    """What a memory was made from: another record or a file, and where in it.

    `span` counts characters, start inclusive and end exclusive, in the source's text.
    """

    record: str | None = None
    file: str | None = None
    span: tuple[int, int] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[_Decoders] = {"record": _text_of("source"), "file": _text_of("source"), "span": _span}

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
    found = {plain_text(tag, "tag").strip() for tag in _many(value, "tags")}
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
    return cast("dict[str, Json]", _plain_json(dict(value), "meta")) if value else {}


def _bool(value: bool) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"pinned must be True or False, not {value!r}")
    return value


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
    "sources": lambda value: tuple(Source.of(source) for source in _many(value, "sources")),
    "strength": _strength,
    "pinned": _bool,
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
        except _ODD as error:
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
    "replaced_by": lambda value: tuple(_id(item) for item in _many(value, "replaced_by")),
    "extra": lambda value: Record._kept(value),
}
_DECODE: Mapping[str, Callable[[Any], Any]] = {
    **_ALL_CHECKS,
    "scope": Scope.from_json,
    "place": lambda value: Place.of(Place.from_json(value)),
    "sources": lambda value: tuple(Source.of(Source.from_json(source)) for source in _many(value, "sources")),
}


@dataclass(frozen=True, slots=True)
class Record(_Value):
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

    _decode: ClassVar[_Decoders] = _DECODE
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
        values = checked({"text": text, **given})
        values.setdefault("at", stored)
        return cls(id=new_id() if id is None else _id(id), scope=scope, stored_at=stored, **values)

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
            before[f.name], after[f.name] = _encode(was), _encode(becomes)
    return before, after


def _body(value: Any) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"a journal entry's body must be a JSON object, not {type(value).__name__}")
    return cast("dict[str, Json]", _plain_json(dict(value), "a journal entry's body"))


@dataclass(frozen=True, slots=True)
class Change(_Value):
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

    _decode: ClassVar[_Decoders] = {
        **{name: partial(whole_number, name=name) for name in ("seq", "step", "undoes")},
        **{name: _text_of(name) for name in ("actor", "verb", "record_id", "cause")},
        **dict.fromkeys(("before", "after"), _body),
        "at": moment,
    }

    @property
    def erased(self) -> bool:
        """True once the words were erased for good: the entry stays, its bodies are gone."""
        return self.before is None and self.after is None


@dataclass(frozen=True, slots=True)
class Cue(_Value):
    """What is asked. `since` is inclusive, `until` exclusive; `kinds` and `tags` admit a record that has any of them.

    `vector` replaces the embedding of `text`; its length must be the embedder's dimension.
    """

    text: str = ""
    vector: tuple[float, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] | None = None
    speaker: str | None = None
    place: str | None = None
    tags: tuple[str, ...] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[_Decoders] = {
        **{name: _text_of(name) for name in ("text", "speaker", "place")},
        **{name: partial(moment, name=name) for name in ("since", "until")},
        **{name: partial(_words, name=name) for name in ("kinds", "tags")},
        "vector": _numbers("vector"),
    }

    def narrowed(self, **filters: Any) -> Cue:
        """This cue with the filters that are not None set; those and its own are checked, its vector is not."""
        own = {name: getattr(self, name) for name in self._decode if name != "vector"}
        given = own | {name: value for name, value in filters.items() if value is not None}
        if isinstance(given["place"], Place):
            given["place"] = given["place"].id
        return replace(self, **checked({n: v for n, v in given.items() if v is not None}, self._decode))


@dataclass(frozen=True, slots=True)
class Hit(_Value):
    """A record that a cue brought up. `score` is the sum of `parts`: signal name → contribution.

    `verdict` says why it is here or, for a candidate that lost, why it fell. Winners come first, best first.
    """

    record: Record
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[_Decoders] = {
        "record": Record.from_json,
        "score": lambda v: _number(v, "score"),
        "parts": lambda v: {plain_text(name, "parts"): _number(part, name) for name, part in v.items()},
        "verdict": _text_of("verdict"),
    }


@dataclass(frozen=True, slots=True)
class Context(_Value):
    """Memories packed for a prompt: `text` quotes them as data, oldest first, and takes at most `budget` tokens.

    `tokens` is the count as estimated; `left_out` says in words what did not get in and why.
    """

    text: str
    hits: tuple[Hit, ...] = ()
    tokens: int = 0
    budget: int = 0
    left_out: tuple[str, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[_Decoders] = {
        **{name: partial(whole_number, name=name) for name in ("tokens", "budget")},
        "text": _text_of("text"),
        "hits": lambda v: tuple(Hit.from_json(hit) for hit in _many(v, "hits")),
        "left_out": lambda v: tuple(plain_text(item, "left_out") for item in _many(v, "left_out")),
    }
