"""Changes and records in words: what a person reads in a history, a log, or after an undo.

Knows the fields of a record and how two texts differ; prints nothing, and trusts no text.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from agentmem_apps.cli.output import clean, coloured, local_time, one_line, plural, short_id

if TYPE_CHECKING:
    from agentmem.records import Change, Record

__all__ = ["bars", "describe", "details", "reasons", "record_row", "summary", "why", "word_diff"]

_UNTOLD = frozenset({"id", "scope", "stored_at", "revision", "position", "replaced_by", "sources"})
_BAR = 30  # columns of the longest
_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(old: str, new: str) -> str:
    """What was taken out as [-words-] and what was put in as {+words+}; red and green on a terminal."""
    before, after = _TOKENS.findall(clean(old)), _TOKENS.findall(clean(new))
    colour = coloured(sys.stdout)
    out = []
    # autojunk would call frequent words noise in texts over 200 tokens, and mark whole passages as changed.
    for tag, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            out.append("".join(before[i:j]))
            continue
        if i < j:
            removed = f"[-{''.join(before[i:j])}-]"
            out.append(click.style(removed, fg="red") if colour else removed)
        if k < m:
            added = f"{{+{''.join(after[k:m])}+}}"
            out.append(click.style(added, fg="green") if colour else added)
    return "".join(out)


def bars(parts: Mapping[str, float], widest: float) -> list[str]:
    """A line for each part that adds something, the largest first: its name, how much, and a bar, full at `widest`."""
    colour = coloured(sys.stdout)
    names = max((len(name) for name in parts), default=0)
    lines = []
    told = [(name, part) for name, part in parts.items() if round(part, 2)]
    for name, part in sorted(told, key=lambda item: -item[1]):
        bar = ("█" if part >= 0 else "░") * round(_BAR * min(1.0, abs(part) / widest)) if widest > 0 else ""
        drawn = click.style(bar, fg="green" if part >= 0 else "red") if colour and bar else bar
        lines.append(f"{clean(name):<{names}}  {part:+6.2f}  {drawn}".rstrip())
    return lines


def why(change: Change) -> str:
    """Why it was made, in a line; "" where nobody said."""
    return "" if change.verb in _NOTES else one_line(change.cause)


def describe(change: Change) -> str:
    """What one change did to its record, on as many lines as the text has."""
    before, after = change.before, change.after
    if change.verb in _NOTES and not change.erased:
        return one_line(_NOTES[change.verb](change))
    if before is None and after is None:
        return "(erased for good: the words are gone)"
    if before is None:
        return clean(str((after or {}).get("text", "")))
    if after is None:
        return f"removed: {one_line(str(before.get('text', '')))}"
    if not before and not after:  # feedback that is taken back, or stands again
        return "what was said of it"
    told = [_field(name, before.get(name), after.get(name)) for name in before if name not in _UNTOLD]
    return "; ".join(told) or "nothing that is shown"


def _said_of_it(change: Change) -> str:
    from agentmem.errors import InvalidInput
    from agentmem.feedback import Feedback

    try:
        said = Feedback.told(change)
    except InvalidInput:  # of a later version, or forged
        return "what was said of it cannot be read"
    asked = f' for "{said.cue}"' if said.cue else ""
    return f"{'useful' if said.useful else 'of no use'}{asked}"


def _said_again(change: Change) -> str:
    told = _told(change)
    return f"said again: {told.get('text', '')}" + (f" ({told['kind']})" if "kind" in told else "")


def _tried(change: Change) -> str:
    told = _told(change)
    brought = told.get("brought")
    names = [str(name) for name, does in brought.items() if does] if isinstance(brought, Mapping) else []
    return f'"{told.get("cue", "")}" put to all stores: brought up by {", ".join(names) or "none"}'


def _told(change: Change) -> Mapping[str, Any]:
    """What a note says, as JSON; nothing, if that cannot be read."""
    try:
        told = json.loads(change.cause)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


# Changes that alter no record: what their cause says, in words.
_NOTES: Mapping[str, Callable[[Change], str]] = {
    "feedback": _said_of_it,
    "again": _said_again,
    "route": _tried,
    "rehearse": lambda change: "put to the test",
    "evict": lambda change: "taken out of mind",
    "arrange": lambda change: "put in front in mind",
}


def _field(name: str, was: Any, becomes: Any) -> str:
    if name == "text":
        return word_diff(str(was), str(becomes))
    if name == "tags":
        old, new = set(was or ()), set(becomes or ())
        moved = [f"-{tag}" for tag in sorted(old - new)] + [f"+{tag}" for tag in sorted(new - old)]
        return one_line(f"tags {' '.join(moved)}")
    return one_line(f"{name}: {_value(was)} → {_value(becomes)}")


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "id" in value:  # a place
        return str(value["id"])
    return "none" if value in (None, "", [], {}) else str(value)


def summary(step: Sequence[Change]) -> str:
    """One line for a step: what it did to its one memory, or how many it touched."""
    touched = {change.record_id for change in step}
    if len(touched) == 1:
        return one_line(f"{short_id(step[0].record_id)}  {describe(step[-1])}")
    return plural(len(touched), "memory", "memories")


def record_row(record: Record) -> list[str]:
    """Cells for a list of records: id, when, kind, who, text."""
    marks = ("* " if record.pinned else "") + ("" if record.state == "live" else f"({record.state}) ")
    tags = "".join(f" #{tag}" for tag in record.tags)
    return [
        short_id(record.id),
        local_time(record.at),
        record.kind,
        record.speaker or "",
        marks + record.text + tags,
    ]


def reasons(parts: Mapping[str, float]) -> str:
    """What each signal added to a score, the weightiest first; not what added next to nothing."""
    ordered = sorted(parts.items(), key=lambda part: -abs(part[1]))
    return ", ".join(f"{name} {value:+.1f}" for name, value in ordered if round(value, 1)) or "nothing"


def details(record: Record) -> str:
    """Everything a person may know of one record; the text last, whole."""
    sources = [
        f"{short_id(s.record) if s.record else s.file}" + (f" [{s.span[0]}:{s.span[1]}]" if s.span else "")
        for s in record.sources
    ]
    place = record.place.id if record.place else ""
    if record.place and record.place.coordinates:
        place = f"{place} ({', '.join(f'{x:g}' for x in record.place.coordinates)})".strip()
    told = {
        "id": record.id,
        "scope": str(record.scope),
        "kind": record.kind,
        "session": record.session or "",
        "at": local_time(record.at),
        "stored": local_time(record.stored_at),
        "speaker": record.speaker or "",
        "role": record.role or "",
        "place": place,
        "tags": ", ".join(record.tags),
        "pinned": "yes" if record.pinned else "",
        "state": "" if record.state == "live" else record.state,
        "replaced by": ", ".join(short_id(id) for id in record.replaced_by),
        "sources": ", ".join(sources),
        "meta": ", ".join(f"{key}={value}" for key, value in record.meta.items()),
        "revision": str(record.revision),
    }
    lines = [f"{name + ':':<13}{one_line(value)}" for name, value in told.items() if value]
    return "\n".join([*lines, "", clean(record.text)])
