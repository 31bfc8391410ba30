"""What a person types for a time, a place in the meta data, or a filter, and the values it becomes.

Loaded by `agentmem --help`: click and the standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from agentmem.errors import InvalidInput

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.records import Record

__all__ = ["TIME", "field_options", "filter_options", "found", "meta_of", "read_text"]


class _Time(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """An ISO 8601 time or date; without a zone it is local time, because that is what a person's clock shows."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.astimezone()
        except (ValueError, OverflowError, OSError):  # the last two: a local time that no zone table reaches
            self.fail(
                f"{value!r} is not an ISO 8601 time; write 2024-05-03, 2024-05-03T14:00 or 2024-05-03T14:00+02:00.",
                param,
                ctx,
            )


TIME = _Time()
_Decorated = Callable[..., Any]


def _stacked(options: Sequence[Callable[[_Decorated], _Decorated]]) -> Callable[[_Decorated], _Decorated]:
    def decorate(function: _Decorated) -> _Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


field_options = _stacked(
    [
        click.option("--kind", metavar="KIND", help="turn, note, fact, paragraph or any other short word."),
        click.option("--session", metavar="NAME", help="The conversation, chapter or visit it belongs to."),
        click.option("--at", type=TIME, help="When it happened, ISO 8601; local time unless a zone is given."),
        click.option("--speaker", metavar="NAME", help="Who said it."),
        click.option("--role", metavar="ROLE", help="In which role, such as user or assistant."),
        click.option("--place", metavar="PLACE", help="Where; may be a path, such as harbour/pier 3."),
    ]
)

filter_options = _stacked(
    [
        click.option("--since", type=TIME, help="Not before this time."),
        click.option("--until", type=TIME, help="Before this time; a bare date means its first moment."),
        click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Of this kind; repeat for any of several."),
        click.option("--speaker", metavar="NAME", help="Said by this speaker."),
        click.option("--place", metavar="PLACE", help="At this place."),
        click.option("--tag", "tags", multiple=True, metavar="TAG", help="With this tag; repeat for any of several."),
    ]
)


def meta_of(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as meta data; the value is text, whatever it looks like."""
    meta = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"--meta {pair!r} is not KEY=VALUE")
        meta[key.strip()] = value
    return meta


def read_text(argument: str | None) -> str:
    """The text given, or stdin's when it is `-`, or absent while something is piped in."""
    if argument is not None and argument != "-":
        return argument
    if argument is None and sys.stdin.isatty():
        raise click.UsageError("there is no text; give one, or pipe it in")
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"stdin is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            way_out="Convert it first: iconv -f LATIN1 -t UTF-8.",
        ) from error


def found(memory: Memory, endings: Sequence[str]) -> list[Record]:
    """The records that these ids, or unique endings of ids, stand for; each once, in the order given."""
    records = {record.id: record for record in map(memory.find, endings)}
    return list(records.values())
