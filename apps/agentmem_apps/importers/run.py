"""Taking a file in: read all of it first, then write all of it, as one step.

Nothing is written before the whole file has been read and checked, and an import that is broken off is taken back. One
that is killed in its middle leaves a part, as one step: an undo removes it, a second import completes it. A second
import of the same file finds its ids there already and adds nothing. The module knows no format.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agentmem.errors import ImportFailed, InvalidInput
from agentmem.records import Record
from agentmem.values import Json
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.reading import Options, Reader, Skip

if TYPE_CHECKING:
    from agentmem.memory import Memory

__all__ = ["ImportReport", "import_file", "write"]

Progress: TypeAlias = Callable[[int, int], None]  # records done, and of how many; 0 while the file is first read
_BATCH = 1_000  # records a transaction: 20 times fewer commits than 50, and still no memory to speak of
_LISTED = 100  # skips that a report names


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do. `existing` records were here already; `skipped` names the first 100 `skips`."""

    file: str
    format: str
    added: int
    existing: int
    skips: int
    skipped: tuple[Skip, ...]
    cause: str
    dry_run: bool = False

    def to_json(self) -> dict[str, Json]:
        return {
            "schema": 1,
            "file": self.file,
            "format": self.format,
            "added": self.added,
            "existing": self.existing,
            "skips": self.skips,
            "skipped": [{"where": skip.where, "why": skip.why} for skip in self.skipped],
            "cause": self.cause,
            "dry_run": self.dry_run,
        }


def import_file(
    memory: Memory,
    path: str | Path,
    *,
    format: str = "auto",
    session: str | None = None,
    kind: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Take a file (for BEAM a folder) in as one undo step named `import FILE`.

    `session` stands in place of a book's title and before a conversation's name; `kind` replaces the format's own.
    Raises ImportFailed, with file and line, for anything that cannot be read whole; then nothing was written.
    """
    path = Path(path)
    if format != "auto" and format not in FORMATS:
        raise InvalidInput(f"there is no format {format!r}", way_out=f"Name auto or one of {', '.join(FORMATS)}.")
    try:
        if not path.exists():
            raise ImportFailed("there is no such file", file=str(path))
    except OSError as error:  # a folder on the way that may not be entered
        raise ImportFailed(f"it cannot be read: {error.strerror}", file=str(path)) from error
    name = detect(path) if format == "auto" else format
    options = Options(memory.bound, session, kind)
    total, skips, skipped = _checked(FORMATS[name], path, options, progress)
    records = (item for item in FORMATS[name](path, options) if isinstance(item, Record))
    cause = f"import {path.resolve().name}"
    if dry_run:
        with memory.rehearse():
            added = sum(len(memory.add_many(batch, existing="skip")) for batch in _batches(records))
    else:
        added = write(memory, records, cause=cause, total=total, progress=progress)
    return ImportReport(str(path), name, added, max(total - added, 0), skips, skipped, cause, dry_run)


def write(
    memory: Memory, records: Iterable[Record], *, cause: str, total: int = 0, progress: Progress | None = None
) -> int:
    """Add the records in batches, as one step; returns how many were new. If it is broken off, the step is undone."""
    added, done, first, finished = 0, 0, "", False
    try:
        with memory.step(cause):
            for batch in _batches(records):
                new = memory.add_many(batch, existing="skip")
                if new and not first:
                    first = new[0].id
                added, done = added + len(new), done + len(batch)
                if progress is not None:
                    progress(done, max(total, done))
        finished = True
    finally:
        if first and not finished:
            with _undisturbed():
                memory.undo(step=max(c.step for c in memory.history(first) if c.verb == "add"))
    return added


@contextmanager
def _undisturbed() -> Iterator[None]:
    """An impatient second Ctrl-C would leave half a file behind, so it waits until this is over."""
    if threading.current_thread() is not threading.main_thread():  # only that one is interrupted, and may say so
        yield
        return
    asked = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in asked]
    try:
        yield
    finally:
        for number, handler in zip(asked, before, strict=True):
            signal.signal(number, handler)


def _checked(
    reader: Reader, path: Path, options: Options, progress: Progress | None
) -> tuple[int, int, tuple[Skip, ...]]:
    total, skips = 0, 0
    skipped: list[Skip] = []
    for item in reader(path, options):
        if isinstance(item, Skip):
            skips += 1
            if len(skipped) < _LISTED:
                skipped.append(item)
            continue
        total += 1
        if progress is not None and total % _BATCH == 0:
            progress(total, 0)
    return total, skips, tuple(skipped)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, _BATCH)):
        yield batch
