"""Taking a file in: read all of it first, then write all of it, as one step.

Nothing is written before the whole file has been read and checked, and an import that is broken off is taken back. One
that is killed in its middle leaves a part, as one step. Importing the file again goes on where that stopped, because
what is there already is not added twice, and is a step of its own: an undo takes back what it added, the undo before
it the part. The module knows no format.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from agentmem.errors import ImportFailed, InvalidInput
from agentmem.records import Record
from agentmem.values import Json
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.reading import Options, Reader, Skip

if TYPE_CHECKING:
    from agentmem.memory import Memory

__all__ = ["ImportReport", "import_file", "import_stream", "write"]

Progress: TypeAlias = Callable[[int, int], None]  # records done, and of how many; 0 while the file is first read
_BATCH = 1_000  # records a transaction: 20 times fewer commits than 50, and still no memory to speak of
_HEAVY = 8 * 2**20  # characters after which a batch ends before that: a record may hold 32 MiB
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
    """Take a file, or the folder of an export, in as one undo step named `import FILE`.

    `session` stands in place of a book's title and before a conversation's name; `kind` replaces the format's own.
    Raises ImportFailed, with file and line, for anything that cannot be read whole; then nothing was written. The
    memory held at a time is that of one line, paragraph or conversation (32 MiB of it at most), and the ids.
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


def import_stream(
    memory: Memory,
    stream: BinaryIO,
    *,
    format: str = "auto",
    session: str | None = None,
    kind: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Take in what a pipe gives, as `import_file` takes a file called stdin: it is put into one first."""
    with tempfile.TemporaryDirectory(prefix="agentmem-") as folder:  # made 0700
        path = Path(folder) / "stdin"
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(stream, file)
        except OSError as error:
            what = f"it cannot be put into a file first: {error.strerror}"
            raise ImportFailed(what, file=path.name, way_out=f"Make room in {tempfile.gettempdir()}.") from error
        try:
            report = import_file(
                memory, path, format=format, session=session, kind=kind, dry_run=dry_run, progress=progress
            )
        except ImportFailed as error:
            name = error.file.replace(str(path), path.name)
            raise ImportFailed(error.what, file=name, line=error.line, way_out=error.way_out) from error
    return replace(report, file=path.name)


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
    batch: list[Record] = []
    weight = 0
    for record in records:
        batch.append(record)
        weight += len(record.text) + len(repr(record.meta))
        if len(batch) == _BATCH or weight > _HEAVY:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch
