"""What leaves a memory: a scope's records as lines, and a file that is there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from agentmem.errors import InvalidInput, LedgerError
from agentmem.ledger import Reader
from agentmem.records import Record, Scope, State

__all__ = [
    "ALL_STATES",
    "checked_states",
    "chosen_lines",
    "every",
    "markdown_lines",
    "record_lines",
    "whole_file",
]

ALL_STATES: tuple[State, ...] = ("live", "forgotten", "replaced")
_CHUNK = 1_000  # records read by one statement


def checked_states(given: Sequence[State]) -> Sequence[State]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not all(state in ALL_STATES for state in given):
        raise InvalidInput(f"states must be a list of {', '.join(ALL_STATES)}, not {given!r}")
    return tuple(given)


def every(reader: Callable[[], Reader], states: Sequence[State]) -> Iterator[Record]:
    """All records in these states, in the order of writing. The reader is asked for again before each statement."""
    after = 0
    while batch := reader().scan(after=after, limit=_CHUNK, states=states):
        yield from batch
        after = batch[-1].position


def record_lines(reader: Reader, scope: Scope) -> Iterator[str]:
    """JSONL: a header, then every record in every state; lossless."""
    counts = reader.counts()
    header = {"agentmem": "export", "schema": 1, "scope": list(scope), "records": sum(counts.values())}
    yield json.dumps(header, ensure_ascii=False)
    for record in every(lambda: reader, ALL_STATES):
        yield json.dumps(record.to_json(), ensure_ascii=False)


def chosen_lines(records: Sequence[Record], scope: Scope) -> Iterator[str]:
    """As `record_lines`, of some alone."""
    header = {"agentmem": "export", "schema": 1, "scope": list(scope), "records": len(records)}
    yield json.dumps(header, ensure_ascii=False)
    for record in records:
        yield json.dumps(record.to_json(), ensure_ascii=False)


def markdown_lines(records: Sequence[Record]) -> Iterator[str]:
    """To be read, and pasted somewhere: each with when, who and where, its text quoted as it stands."""
    for record in records:
        known = [f"{record.at:%Y-%m-%d %H:%M}", record.kind, record.speaker, record.place.id if record.place else None]
        yield f"**{' · '.join(' '.join(one.split()) for one in known if one)}**"
        yield ""
        yield from (f"> {line}" for line in record.text.splitlines() or [""])
        yield ""


@contextmanager
def whole_file(target: Path) -> Iterator[TextIO]:
    """A file to write UTF-8 to (0600), which takes the target's place once all of it is on the disk.

    When the block fails, nothing is left of it. LedgerError when it cannot be made or written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=target.absolute().parent, prefix=f".{target.name}.")  # made 0600
    except OSError as error:
        raise LedgerError(f"cannot write {target}: {error.strerror}", way_out="Choose another folder.") from error
    except ValueError as error:  # a NUL in the name
        raise InvalidInput(f"{str(target)!r} cannot be a file's name: {error}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except OSError as error:
        raise LedgerError(f"cannot write {target}: {error.strerror}", way_out="Make room, then try again.") from error
    finally:
        Path(name).unlink(missing_ok=True)
