"""What a model wrote, read as the JSON that was asked for: the form is forgiven, the content never made up.

Forgiven are text around it, thoughts before it, fences, other quotes, Python's names for true, false and null, names
without quotes, commas too many, commas missing between brackets, comments, line breaks and paired quotes inside texts,
and an end that is cut off behind the first items of a list. Everything else is refused, since several things could be
meant. Every character is read a bounded number of times, so that no answer takes longer than its length allows.

json-repair is not used: it fills what is missing with "", takes prose for values, joins what is cut off to a whole, and
its time is quadratic (1.7 s for 6 KB of `{"`, 5.9 s for 12 KB). Schemas are pydantic's; models are unknown here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, RootModel, ValidationError

from agentmem.errors import BadOutput, InvalidInput
from agentmem.values import plain_text

__all__ = ["LONGEST", "holds_json", "in_words", "parse"]

M = TypeVar("M", bound=BaseModel)

LONGEST: Final = 2**20  # characters of an answer: ten times what any model writes at once
_DEEPEST: Final = 64  # levels of a value; the reader recurses
_MOST: Final = 100  # values looked at in one answer
_TOLD: Final = 5  # errors of a schema
_DIGITS: Final = 40  # of a number

_TAG: Final = "(think|thinking|thought|reasoning)"
_THOUGHT: Final = re.compile(rf"\s*<{_TAG}>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
# Chat templates may open the thought themselves. At the start of a line only: a text of the JSON may quote a tag, but a
# raw line break before it is no JSON.
_THOUGHT_ENDS: Final = re.compile(rf"^[ \t]*</{_TAG}>", re.MULTILINE | re.IGNORECASE)
# A bracket after which JSON may follow. "{{" and "[see" are prose or too much, and the search goes on inside.
_OPENING: Final = r"""(?:\{(?=\s*["'“}A-Za-z_])|\[(?=\s*[]\[{"'“\-0-9TFNtfn]))"""
_OPENS: Final = re.compile(_OPENING)
_OPENS_A_LINE: Final = re.compile(f"^{_OPENING}", re.MULTILINE)
_QUOTED: Final = re.compile("[\"'“”]")
_GAP: Final = re.compile(r"(?:\s++|//[^\n]*+)*+")
_NAME: Final = re.compile(r"[A-Za-z_]\w*+")
_BARE: Final = re.compile(r"""[^\s,:{}\[\]"'“”/]++""")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERALS: Final = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_CLOSING: Final = {'"': '"', "'": "'", "“": "”"}
_INSIDE: Final = {
    quote: re.compile(rf"[^{quote}\\]*+(?:\\.[^{quote}\\]*+)*+", re.DOTALL) for quote in _CLOSING.values()
}
_BARE_QUOTE: Final = 'a text has a quote in it that is not written as \\"'
_ODD_IN_TEXT: Final = re.compile(r'\\.|"', re.DOTALL)
_STEP: Final = re.compile(r'\\.|"(?:[^"\\\n]++|\\.)*+"|([\[{])|([\]}])')


def parse(text: str, schema: type[M]) -> M:
    """The first value in `text` that `schema` takes; BadOutput, with the reason in words, when there is none.

    A list that is cut off keeps its whole items, if at least one is whole, and if it is the answer itself or the last
    field of it: no default takes the place of a field that was not reached. A schema of one list takes the bare list.
    """
    if len(text) > LONGEST:
        raise BadOutput(f"it has {len(text):,} characters, and {LONGEST:,} are the most", answer=text)
    faults: list[tuple[int, str]] = []
    lists: list[_Found] = []
    for found in _found(text):
        if isinstance(found.value, list):
            lists.append(found)
        try:
            return _valid(schema, found)
        except ValueError as error:
            faults.append((found.length, in_words(error)))
    wrapper = _wrapper(schema)
    for bare in lists if wrapper else ():
        try:
            return _valid(schema, bare._replace(value={wrapper: bare.value}))
        except ValueError as error:
            faults.append((bare.length, in_words(error)))
    # The longest is most likely what was meant as the answer; of two readings of it, the last was the better one.
    _, fault = max(reversed(faults), key=lambda one: one[0], default=(0, "it holds no JSON"))
    raise BadOutput(fault, answer=text)


def holds_json(text: str) -> bool:
    """Whether anything in it looks like the beginning of an object or a list."""
    return _OPENS.search(text, _after_thoughts(text)) is not None


class _Found(NamedTuple):
    """One object or list of an answer. `cut`: the text ended in it, and it is what was whole by then. Without a
    value when `fault` says why there is none."""

    value: Any
    length: int
    cut: bool = False
    fault: str = ""


def _found(text: str) -> Iterator[_Found]:
    at = _after_thoughts(text)
    opening = _OPENS
    for _ in range(_MOST):
        opens = opening.search(text, at)
        if opens is None:
            return
        reader = _Reader(text, opens.start())
        try:
            value = reader.value()
        except _Cut:
            yield _Found(None, len(text) - opens.start(), fault="it breaks off before anything in it is whole")
            return
        except _Broken as error:
            at = _past(text, reader.at, reader.depth)
            if _QUOTED.search(text, opens.start(), at):  # with a quote too many, a text's inside looks like outside
                opening = _OPENS_A_LINE
            yield _Found(None, at - opens.start(), fault=f"{error} at {_place(text, reader.at)}")
        else:
            at = reader.at
            yield _Found(value, at - opens.start(), reader.cut)


def _after_thoughts(text: str) -> int:
    at = 0
    while thought := _THOUGHT.match(text, at):
        at = thought.end()
    ends = _THOUGHT_ENDS.search(text, at)
    return ends.end() if ends else at


def _past(text: str, at: int, depth: int) -> int:
    """Where what is broken at `at` ends, so that nothing inside it is taken for the answer."""
    for step in _STEP.finditer(text, at):
        depth += bool(step[1]) - bool(step[2])
        if depth == 0:
            return step.end()
    return len(text)


def _place(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}, character {at - text.rfind(chr(10), 0, at)}"


def _valid(schema: type[M], found: _Found) -> M:
    if found.fault:
        raise ValueError(found.fault)
    made = schema.model_validate_json(json.dumps(found.value))
    missing = set(schema.model_fields) - made.model_fields_set
    if found.cut and missing:
        raise ValueError(f"it breaks off before {', '.join(sorted(missing))}")
    return made


def _wrapper(schema: type[BaseModel]) -> str:
    """The name of the only field, if it may hold the whole of an answer."""
    if issubclass(schema, RootModel) or len(schema.model_fields) != 1:
        return ""
    [(name, field)] = schema.model_fields.items()
    return field.alias or name


def in_words(error: ValueError) -> str:
    """What is wrong, field by field, without the values themselves: they may be anybody's words, or a key."""
    if not isinstance(error, ValidationError):
        return str(error)
    listed = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{_path(one['loc'])}: {one['msg']}" for one in listed[:_TOLD]]
    more = f"; and {len(listed) - _TOLD} more" if len(listed) > _TOLD else ""
    return "; ".join(told) + more


def _path(parts: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part:.40}" for part in parts)
    return path.removeprefix(".") or "the whole"


class _Broken(Exception):
    """This is no JSON, and what it should be is not certain."""


class _Cut(Exception):
    """The text ended before the value did."""


class _Reader:
    """Reads one value from `at` on. `depth` is how many brackets are open."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.depth = 0
        self.cut = False
        self._in_object = text[at] == "{"

    def value(self) -> Any:
        """_Broken, or _Cut when nothing whole can be kept; `at` then stands where it went wrong."""
        sign = self._next()
        if sign in _CLOSING:
            return self._string(sign)
        if sign not in "{[":
            return self._bare()
        if self.depth == _DEEPEST:
            raise _Broken(f"it is nested more than {_DEEPEST} deep")
        self.at += 1
        self.depth += 1
        value = self._object() if sign == "{" else self._list()
        self.depth -= 1
        return value

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        outermost = self.depth == 1
        parted = True
        try:
            while (sign := self._next()) != "}":
                if sign == ",":
                    self.at += 1
                    parted = True
                    continue
                if not parted:
                    raise _Broken("a comma or } is missing")
                name = self._name(sign)
                if name in members:
                    raise _Broken("a name stands twice in one object")
                if self._next() != ":":
                    raise _Broken("a colon is missing")
                self.at += 1
                members[name] = self.value()
                parted = isinstance(members[name], dict | list)
        except _Cut:
            if outermost and members:
                self._keep()
                return members
            raise
        self.at += 1
        return members

    def _list(self) -> list[Any]:
        items: list[Any] = []
        kept = self.depth == 1 or (self.depth == 2 and self._in_object)
        parted = True
        try:
            while (sign := self._next()) != "]":
                if sign == ",":
                    self.at += 1
                    parted = True
                    continue
                if not parted:
                    raise _Broken("a comma or ] is missing")
                items.append(self.value())
                parted = isinstance(items[-1], dict | list)
        except _Cut:
            if kept and items:
                self._keep()
                return items
            raise
        self.at += 1
        return items

    def _keep(self) -> None:
        """What is whole is kept, and what follows it is passed over."""
        self.cut = True
        self.at = len(self.text)

    def _next(self) -> str:
        self.at = _end(_GAP, self.text, self.at)
        if self.at == len(self.text):
            raise _Cut
        return self.text[self.at]

    def _name(self, sign: str) -> str:
        if sign in _CLOSING:
            return self._string(sign)
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise _Broken("a name should stand here")
        self.at = name.end()
        return name[0]

    def _bare(self) -> bool | float | None:
        bare = _BARE.match(self.text, self.at)
        if bare is None:
            raise _Broken("a value should stand here")
        if bare.end() == len(self.text):  # of 12 the text may show 1
            raise _Cut
        word = bare[0]
        if word in _LITERALS:
            value: bool | float | None = _LITERALS[word]
        elif len(word) <= _DIGITS and _NUMBER.fullmatch(word) and math.isfinite(float(word)):
            value = json.loads(word)
        else:
            raise _Broken("this is no value of JSON")
        self.at = bare.end()
        return value

    def _string(self, opening: str) -> str:
        """A text ends at the quote that a mark of JSON follows. Quotes inside that nobody escaped pass in pairs, as in
        `"he said "no" twice"`. One that stands beside a mark or another quote may as well be the end."""
        closing = _CLOSING[opening]
        start = self.at + 1
        end = start
        inner = 0
        while True:
            end = _end(_INSIDE[closing], self.text, end)
            after = _end(_GAP, self.text, end + 1)
            if after >= len(self.text):
                raise _Cut
            if self.text[after] in ",:]}":
                break
            if not (closing == "'" and self.text[end - 1].isalnum() and self.text[end + 1].isalnum()):  # it's
                if not self._is_inside(start, end, after, closing, opens=inner % 2 == 0):
                    raise _Broken(_BARE_QUOTE)
                inner += 1
            end += 1
        if inner % 2:
            raise _Broken(_BARE_QUOTE)
        raw = _ODD_IN_TEXT.sub(_escaped, self.text[start:end])
        try:
            text = plain_text(json.loads(f'"{raw}"', strict=False), "it")
        except json.JSONDecodeError as error:
            raise _Broken(f"a text has a wrong escape: {error.msg}") from error
        except InvalidInput as error:
            raise _Broken(f"a text cannot be kept: {error}") from error
        self.at = end + 1
        return text

    def _is_inside(self, start: int, at: int, after: int, quote: str, *, opens: bool) -> bool:
        """Whether the quote at `at`, in a text from `start` on, is of its words; `after` is the next sign but space."""
        before = at - 1
        while before >= start and self.text[before].isspace():
            before -= 1
        beside_word = after == at + 1 if opens else before == at - 1
        marks = f"{quote},:[]{{}}"
        return beside_word and before >= start and self.text[before] not in marks and self.text[after] not in marks


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what a pattern matches from `at` on ends; it may be nothing."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _escaped(odd: re.Match[str]) -> str:
    """`\\'` is no escape of JSON and needs none; a bare double quote needs one."""
    return {"\\'": "'", '"': '\\"'}.get(odd[0], odd[0])
