"""The index that searches a scope's vectors: whether it can be used, how far it has come, and whether it holds what the
ledger holds. An exact index is made from the ledger at each opening, and cannot go stale.

Folders of Chroma in the memory's own folder that no scope uses any more are found here too.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from agentmem.errors import IndexUnavailable, LedgerError
from agentmem.index import Progress
from agentmem.ledger import Reader, Vectors
from agentmem.records import Scope
from agentmem_apps.cli.output import plural
from agentmem_apps.doctor.finding import Finding, Repair, plenty
from agentmem_apps.doctor.patient import Patient
from agentmem_apps.doctor.place import size_in_words
from agentmem_apps.doctor.vectors import touched_since
from agentmem_stores.vectors.chroma import ChromaIndex

__all__ = ["folders", "index"]

Positions: TypeAlias = NDArray[np.int64]

_BATCH = 1_000  # vectors asked of Chroma at once
_LEFT_WAITING = 1_000  # changes that recall itself lets wait before an index is asked to put them away
_ALIKE = 1e-3  # by which a number of a vector may differ: Chroma makes them length 1 again
_FOLDER = re.compile(r"[0-9a-f]{24}")
_ALL: Final = "chroma"  # where `open_chroma` keeps a folder for each scope and embedder, and their lock's name
_LOCK: Final = "agentmem.lock"
_NONE: Final[Positions] = np.empty(0, np.int64)


def index(patient: Patient) -> Iterator[Finding]:
    """Each scope's index; of those that are sound, the bound scope's speaks for all."""
    sound: list[Finding] = []
    for scope in patient.each("index"):
        found = _examined(patient, scope)
        if found.severity == "ok":
            sound.insert(0 if scope == patient.bound else len(sound), found)
        else:
            yield found
    if sound:
        more = f"; sound in {len(sound) - 1:,} more scopes too" if len(sound) > 1 else ""
        yield replace(sound[0], sentence=sound[0].sentence + more)


def _examined(patient: Patient, scope: Scope) -> Finding:
    view = patient.view(scope)
    name = view.chosen_name
    if view.index.name != name:
        return _unavailable(patient, scope, name)
    if name != "exact":
        return _up_to_date(patient, scope, name)
    beside = _beside(patient, scope)
    return Finding("index", "ok", f"exact, made from the ledger at each opening{beside}", scope=str(scope))


def _beside(patient: Patient, scope: Scope) -> str:
    folder = patient.opened.ledger.folder
    if folder is None:
        return ""
    path = folder / _ALL / _folder_name(scope, patient.view(scope).embeddings.embedder.id)
    return "; a Chroma index lies beside it, used only with index = chroma" if path.exists() else ""


def _rebuild(patient: Patient, scope: Scope, name: str) -> Repair:
    def rebuild(progress: Progress) -> str:
        return f"filled it again with {patient.memory(scope).reindex(name, progress):,} vectors"

    return Repair(f"fill it again from the ledger (agentmem reindex {name})", rebuild)


def _unavailable(patient: Patient, scope: Scope, name: str) -> Finding:
    """Recall does without it, and says so."""
    error = patient.view(scope).fault
    if error is None:
        return Finding("index", "ok", f"{name} could not be opened at first, and can now", scope=str(scope))
    return Finding(
        "index",
        "warning" if error.busy else "fault",
        f"{error}; recall searches exactly meanwhile, and finds as much",
        error.way_out,
        str(scope),
        _rebuild(patient, scope, name) if f"agentmem reindex {name}" in error.way_out else None,
    )


def _up_to_date(patient: Patient, scope: Scope, name: str) -> Finding:
    view = patient.view(scope)
    behind = view.ledger.head() - view.index.cursor
    if behind > _LEFT_WAITING or view.index.waiting > _LEFT_WAITING:
        return Finding(
            "index",
            "warning",
            f"{name} is {max(behind, view.index.waiting):,} changes behind the journal; the next recall has to catch "
            "up first",
            "agentmem doctor --fix",
            str(scope),
            _rebuild(patient, scope, name),
        )
    waits = f"; the next recall takes in {plural(behind, 'change')}" if behind > 0 else ""
    if not isinstance(view.index, ChromaIndex):
        return Finding("index", "ok", f"{name} follows the journal{waits}", scope=str(scope))
    try:
        found = compared(patient, scope, view.index)
    except IndexUnavailable as error:
        return Finding(
            "index",
            "fault",
            f"{error}; recall searches exactly meanwhile, and finds as much",
            error.way_out,
            str(scope),
            _rebuild(patient, scope, name),
        )
    told = [
        f"{count:,} {what}"
        for count, what in (
            (found.missing, "missing"),
            (found.other, "not as the ledger has them"),
            (found.orphaned, "that the ledger has not"),
        )
        if count
    ]
    if not told:
        return Finding(
            "index", "ok", f"{name} holds the ledger's {plural(found.held, 'vector')}{waits}", scope=str(scope)
        )
    return Finding(
        "index",
        "fault",
        f"{name} does not hold the ledger's vectors: {', '.join(told)}; recall may pass memories over",
        f"agentmem doctor --fix, or agentmem reindex {name}",
        str(scope),
        _rebuild(patient, scope, name),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """How many vectors an index has as the ledger has them, lacks, has otherwise, and has though it has not."""

    held: int
    missing: int
    other: int
    orphaned: int


def compared(patient: Patient, scope: Scope, index: ChromaIndex) -> Compared:
    """Hold the collection against the ledger's vectors, batch by batch. IndexUnavailable when it cannot be read."""
    embedder = patient.view(scope).embeddings.embedder.id
    ledger = patient.ledger(scope)
    wanted, there, other = [_NONE], [_NONE], [_NONE]
    with ledger.snapshot() as reader:
        after = 0
        while records := reader.scan(after=after, limit=_BATCH):
            after = records[-1].position
            held = _held(reader, embedder, [record.position for record in records])
            rows = np.flatnonzero(held.matrix.any(axis=1))  # a row of zeros has no direction, and is not put in
            positions, matrix = index.held(held.positions[rows].tolist())
            differing = ~np.isclose(matrix, held.matrix[np.isin(held.positions, positions)], atol=_ALIKE).all(axis=1)
            wanted.append(held.positions[rows])
            there.append(positions)
            other.append(positions[differing])
    # What changed since the index last followed may be there already, or not yet.
    late = touched_since(ledger, index.cursor)
    asked, present = np.setdiff1d(np.concatenate(wanted), late), np.setdiff1d(np.concatenate(there), late)
    wrong = np.setdiff1d(np.concatenate(other), late)
    settled = len(present) + sum(len(index.held(late[i : i + _BATCH].tolist())[0]) for i in range(0, len(late), _BATCH))
    orphaned = max(index.stored() - settled, 0)
    return Compared(len(present) - len(wrong), len(asked) - len(present), len(wrong), orphaned)


def _held(reader: Reader, embedder: str, positions: Sequence[int]) -> Vectors:
    try:
        return reader.vectors(embedder, positions)
    except LedgerError as error:  # one is cut off
        raise LedgerError(
            "it cannot be compared while vectors of the ledger are damaged", way_out="agentmem doctor --fix"
        ) from error


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def folders(patient: Patient) -> Iterator[Finding]:
    """Folders of Chroma that no scope and embedder of this memory use any more."""
    folder, tables = patient.opened.ledger.folder, patient.tables
    if folder is None or tables is None or not (folder / _ALL).is_dir():
        return
    used = {_folder_name(scope, name) for scope in tables.scopes() for name in _embedders(patient, scope)}
    unused = [path for path in sorted((folder / _ALL).iterdir()) if _is_ours(path) and path.name not in used]
    if not unused:
        return
    size = sum(file.stat().st_size for path in unused for file in path.rglob("*") if file.is_file())
    many = plural(len(unused), "folder")

    def remove(_: Progress) -> str:
        kept = [path for path in unused if not _removed(path)]
        return f"removed {len(unused) - len(kept):,}" + (f"; in use: {plenty([p.name for p in kept])}" if kept else "")

    yield Finding(
        "chroma",
        "warning",
        f"{many} of Chroma ({size_in_words(size)}) in {folder / _ALL}, of no scope and embedder that are in use",
        "agentmem doctor --fix",
        repair=Repair(f"remove {plenty([path.name for path in unused])}", remove),
    )


def _embedders(patient: Patient, scope: Scope) -> set[str]:
    ledger = patient.ledger(scope)
    serving = ledger.serving()
    return {*ledger.embedders(), *([serving.embedder] if serving else [])}


def _folder_name(scope: Scope, embedder: str) -> str:
    """As `open_chroma` names the folder of a scope and an embedder."""
    return hashlib.blake2b(f"{scope} {embedder}".encode(), digest_size=12).hexdigest()


def _is_ours(path: Path) -> bool:
    return bool(_FOLDER.fullmatch(path.name)) and path.is_dir() and not path.is_symlink() and (path / _LOCK).exists()


def _removed(path: Path) -> bool:
    """False when a process has it open: it was made meanwhile, by a memory of another kind."""
    try:
        with FileLock(path / _LOCK, timeout=0):
            shutil.rmtree(path)
    except Timeout:
        return False
    except FileNotFoundError:  # somebody else was faster
        return True
    return True
