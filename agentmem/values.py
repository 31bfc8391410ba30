"""What every value of agentmem shares: checks on what comes from outside, and JSON that loses nothing.

A `Value` is a frozen dataclass that survives JSON, `X.from_json(x.to_json()) == x`, and keeps fields that a later
release adds in `extra`, so that an old reader never loses a new writer's data. It knows no record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from numbers import Real
from typing import Any, ClassVar, Final, Self, TypeAlias, cast

import orjson
import uuid_utils

from agentmem.errors import InvalidInput

__all__ = [
    "Decoders",
    "Json",
    "Value",
    "encode",
    "many",
    "moment",
    "new_id",
    "now",
    "number",
    "numbers",
    "plain_json",
    "plain_text",
    "storable",
    "text_of",
    "truth",
    "whole_number",
    "words",
]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Decoders: TypeAlias = "Mapping[str, Callable[[Any], Any]]"


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


def storable(words: str) -> str:
    """Words that are not ours, as they can be kept: what no database holds of them is replaced."""
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


_DEEPEST: Final = 64  # levels of a value: far below where Python's own JSON gives up, which depends on the caller
# A book has one. What is stored must fit into a line of an export, which an import reads back whole.
LONGEST_TEXT: Final = 8 * 2**20  # bytes of UTF-8


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
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} holds half of a surrogate pair at {error.start}, which is not text",
            way_out="Decode the input with errors='replace'.",
        ) from error
    if size > LONGEST_TEXT:
        raise InvalidInput(
            f"{name} is {size / 2**20:.0f} MiB long, and {LONGEST_TEXT // 2**20} are the most",
            way_out="Import it as a file, which is taken in paragraph by paragraph.",
        )
    return value


_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # json.dumps would make one at each call
_AS_IT_IS: Final = frozenset({str, int, bool, type(None)})


def plain_json(value: object, name: str) -> Json:
    """A copy of `value`, which must be what JSON can say and give back unchanged."""
    copy = _plain(value, name, _DEEPEST)
    try:
        size = len(orjson.dumps(copy))
    except orjson.JSONEncodeError:  # half of a surrogate pair, which is refused; more than 64 bits, which are not
        size = LONGEST_TEXT + 1
    if size > LONGEST_TEXT:
        plain_text(_said(copy, name), name)
    return copy


def _plain(value: object, name: str, depth: int) -> Json:
    if depth < 0:
        raise InvalidInput(f"{name} is nested more than {_DEEPEST} deep", way_out="Make it flatter.")
    if type(value) in _AS_IT_IS:
        return cast(Json, value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):  # json would write 1 and "1" as one key, and lose an entry
                raise InvalidInput(f"{name}: the key {key!r:.40} is not text", way_out="Write it as text.")
        return {str.__str__(key): _plain(item, name, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, name, depth - 1) for item in value]
    return cast(Json, json.loads(_said(value, name)))


def _said(value: object, name: str) -> str:
    try:
        return _PLAIN.encode(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} is not plain JSON: {error}") from error


def whole_number(value: object, name: str, least: int = 0) -> int:
    """`value` if it is a whole number from `least` up to what every database's big integer holds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise InvalidInput(f"{name} must be a whole number of {least} or more, not {value!r:.40}")
    return value


def number(value: object, name: str) -> float:
    try:
        found = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number of 309 digits or more
        found = math.inf
    if not math.isfinite(found):
        raise InvalidInput(f"{name} must be a finite number, not {value!r:.40}")
    return found


def many(value: Any, name: str) -> Iterable[Any]:
    """`value` if it is a list of some kind: a text is one, of letters, and never meant."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInput(f"{name} must be a list, not {type(value).__name__}")
    return value


def numbers(name: str) -> Callable[[Any], tuple[float, ...]]:
    return lambda value: tuple(number(x, name) for x in many(value, name))


def truth(name: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidInput(f"{name} must be True or False, not {value!r:.40}")
        return value

    return check


def words(value: str | Iterable[str], name: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else many(value, name)
    return tuple(plain_text(item, name) for item in listed)


def text_of(name: str) -> Callable[[Any], str]:
    return lambda value: plain_text(value, name)


# What a check may meet in a value that is nothing it expected.
ODD = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


class Value:
    """JSON for frozen dataclasses: fields at their default are left out, unknown keys travel in `extra`."""

    __slots__ = ()
    _decode: ClassVar[Decoders] = {}
    _hidden: ClassVar[frozenset[str]] = frozenset({"extra"})

    def to_json(self, *, full: bool = False) -> dict[str, Json]:
        """As plain JSON. `full` writes fields at their default too, for readers that know no defaults."""
        out: dict[str, Json] = dict(getattr(self, "extra", {}))
        for name, default in _json_fields(type(self)).items():
            value = getattr(self, name)
            if full or value != default:
                out[name] = encode(value, full=full)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value, or InvalidInput for anything else than it could have written. `null` says the same as absent."""
        if not isinstance(data, Mapping):
            raise InvalidInput(f"{cls.__name__} must be a JSON object, not {type(data).__name__}")
        values: dict[str, Any] = {}
        shown = _json_fields(cls)
        for name, default in shown.items():
            if name not in data or (data[name] is None and default is not MISSING):
                continue
            try:
                values[name] = cls._decode[name](data[name])
            except InvalidInput as error:
                raise InvalidInput(f"{cls.__name__}.{name}: {error}", way_out=error.way_out) from error
            except ODD as error:
                raise InvalidInput(f"{cls.__name__}.{name}: {error}") from error
        more = {} if len(values) == len(data) else {key: value for key, value in data.items() if key not in shown}
        values["extra"] = cls._kept(more)
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidInput(f"{cls.__name__}: {error}") from error

    @classmethod
    def _kept(cls, extra: object) -> Mapping[str, Json]:
        """`extra` checked: plain JSON, under names that are no fields of this class."""
        if not isinstance(extra, Mapping):
            raise InvalidInput(f"{cls.__name__}.extra must be a mapping, not {type(extra).__name__}")
        if not extra:
            return {}
        for name in _json_fields(cls):
            if name in extra:
                raise InvalidInput(f"{cls.__name__}.extra holds {name!r}, which is a field")
        return cast("dict[str, Json]", plain_json(dict(extra), f"{cls.__name__}.extra"))


_FIELDS: dict[type, dict[str, Any]] = {}


def _json_fields(cls: type) -> dict[str, Any]:
    """The fields that JSON shows, each with its default; looked up once a class."""
    found = _FIELDS.get(cls)
    if found is None:
        found = _FIELDS[cls] = {
            f.name: f.default if f.default_factory is MISSING else f.default_factory()
            for f in fields(cls)
            if f.name not in cls._hidden  # type: ignore[attr-defined]  # every caller is a Value
        }
    return found


def encode(value: Any, *, full: bool = False) -> Json:
    if type(value) in _AS_IT_IS:
        return cast(Json, value)
    if isinstance(value, Value):
        return value.to_json(full=full)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [encode(item, full=full) for item in value]
    return cast(Json, value)
