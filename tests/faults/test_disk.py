"""A full disk under every verb that writes: a clear error, nothing corrupted, and all goes on once there is room.

The disk is a small tmpfs where the tests may mount one, and everywhere a process that may not write files beyond
64 KB, which meets EFBIG where a full disk gives ENOSPC.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Embedder, LedgerError, Memory, Record
from agentmem.records import State
from agentmem_apps.importers.run import import_file
from tests.disks import filled_up, small_disk
from tests.fakes import DigestEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
FRESH_PROCESS = multiprocessing.get_context("spawn")  # a limit holds for a whole process
PATIENCE_S = 120.0
MANY = 500  # records written by one verb, 100 KB and more: far more than what is left of any file
SECRET = "swordfish"


class Disk:
    """Where a memory is kept, and how the place runs full. `full()` is a context manager: there is room again after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def full(self) -> Any:
        raise NotImplementedError


class SmallTmpfs(Disk):
    def full(self) -> Any:
        return filled_up(self.folder)


class SizeLimit(Disk):
    @contextmanager
    def full(self) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Down(DigestEmbedder):
    """Leaves every text waiting, as a model that cannot be reached does."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise ConnectionError("nobody answers")


def opened(folder: Path, embedder: Embedder | None = None) -> Memory:
    return Memory.open(folder / "a.mem", embedder=embedder or DigestEmbedder())


def many(word: str) -> list[str]:
    return [f"{word} number {n} {'x' * 200}" for n in range(MANY)]


def standing(memory: Memory) -> list[Record]:
    return list(memory.records(states=ALL))


@dataclass
class Case:
    """`prepare` with room, then `verb` on the full disk; once there is room, `verb` again."""

    verb: Callable[[Memory, Path], object]
    prepare: Callable[[Memory, Path], object] = lambda memory, folder: None


def _lines(memory: Memory, folder: Path) -> Path:
    """A file of JSONL on another disk."""
    file = folder.with_suffix(".jsonl")
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in many("imported")))
    return file


CASES: dict[str, Case] = {
    "add": Case(lambda memory, _: memory.add("big " * 500_000)),
    "add_many": Case(lambda memory, _: memory.add_many(many("added"))),
    "edit": Case(lambda memory, _: memory.edit(memory.newest(1)[0].id, text="big " * 500_000)),
    "tag": Case(lambda memory, _: memory.tag(*(record.id for record in memory.records()), add=["y" * 1_000])),
    "pin": Case(lambda memory, _: memory.pin(*(record.id for record in memory.records()))),
    "merge": Case(lambda memory, _: memory.merge(*(record.id for record in memory.records()))),
    "split": Case(lambda memory, _: memory.split(memory.newest(1)[0].id, many("part"))),
    "forget": Case(lambda memory, _: memory.forget(*(record.id for record in memory.records()))),
    "restore": Case(
        lambda memory, _: memory.restore(*(record.id for record in memory.records(states=("forgotten",)))),
        lambda memory, _: memory.forget(*(record.id for record in memory.records())),
    ),
    "undo": Case(lambda memory, _: memory.undo(), lambda memory, _: memory.add_many(many("undone"))),
    "redo": Case(
        lambda memory, _: memory.redo(),
        lambda memory, _: [memory.add_many(many("undone")), memory.undo()],
    ),
    "import": Case(lambda memory, folder: import_file(memory, folder.with_suffix(".jsonl")), _lines),
}


def told(verb: Callable[[], object]) -> str | None:
    """What is wrong with how a full disk was told; None when nothing is."""
    try:
        verb()
    except LedgerError as error:
        clear = any(word in str(error) for word in ("disk is full", "disk refused", "No space left", "too large"))
        return None if clear and error.way_out else f"unclear: {error} {error.way_out}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this test looks for
        return repr(error)
    return "nothing was told"


def run_case(disk: Disk, name: str) -> list[str]:
    """Sentences about what went wrong."""
    case = CASES[name]
    wrong: list[str] = []
    with opened(disk.folder) as memory:
        memory.add_many(many("kept"))
        case.prepare(memory, disk.folder)
        memory.flush()
    with opened(disk.folder) as memory:  # anew: with a log to which nothing was written yet
        before, head = standing(memory), memory.stats().head
        with disk.full():
            if said := told(lambda: case.verb(memory, disk.folder)):
                wrong.append(said)
            wrong += [] if standing(memory) == before else ["something was written"]
            if [record.state for record in before].count("live") > MANY // 2 and not memory.recall("kept number 7", 3):
                wrong.append("what is here is not found while the disk is full")
        wrong += [] if memory.stats().head == head else ["the head moved"]
        wrong += memory.verify()
        case.verb(memory, disk.folder)
        wrong += [] if memory.stats().head > head else ["the verb did nothing when there was room"]
        memory.flush()
        wrong += memory.verify()
        after = standing(memory)
    with opened(disk.folder) as memory:
        wrong += [] if standing(memory) == after else ["after a reopening, something else stands"]
        wrong += memory.verify()
    return wrong


# ── what is no verb of one transaction ───────────────────────────────────────────────────────────────────────────────


def full_while_embedding(disk: Disk) -> list[str]:
    wrong: list[str] = []
    with opened(disk.folder, Down()) as memory:
        memory.add_many(3 * many("kept"))
    with opened(disk.folder) as memory:
        with disk.full():
            if said := told(memory.flush):
                wrong.append(f"flush: {said}")
            if not memory.recall("kept number 7", 1):
                wrong.append("nothing is found while the disk is full")
            waiting = memory.stats().pending  # the first batches may have found room
        wrong += [] if 0 < waiting == memory.flush() else ["what was not embedded was taken for it"]
        wrong += [] if memory.stats().pending == 0 else ["texts still wait"]
        hits = memory.recall("kept number 7", 3 * MANY)
        wrong += [] if all("cosine" in hit.verdict for hit in hits) else ["a text has no vector"]
        wrong += memory.verify()
    return wrong


def full_while_reindexing(disk: Disk) -> list[str]:
    wrong: list[str] = []
    with opened(disk.folder) as memory:
        memory.add_many(many("kept"))
        memory.flush()
    with opened(disk.folder) as memory:
        with disk.full():
            if said := told(lambda: memory.reindex("vectors")):
                wrong.append(f"reindex: {said}")
            if not memory.recall("kept number 7", 1):
                wrong.append("nothing is found while the disk is full")
        memory.flush()
        hit = memory.recall("kept number 7", 1)[0]
        wrong += [] if "cosine" in hit.verdict else [f"there are no vectors again: {hit.verdict}"]
        wrong += [] if memory.stats().pending == 0 else ["texts still wait"]
        wrong += memory.verify()
    return wrong


def full_while_exporting(disk: Disk) -> list[str]:
    wrong: list[str] = []
    with opened(disk.folder) as memory:
        memory.add_many(many("kept"))
        file = disk.folder / "out.jsonl"
        file.write_text("an earlier one")
        names = {path.name for path in disk.folder.iterdir()}
        with disk.full():
            if said := told(lambda: memory.export(file)):
                wrong.append(f"export: {said}")
            wrong += [] if file.read_text() == "an earlier one" else ["the earlier file is gone"]
        if left := {path.name for path in disk.folder.iterdir()} - names:
            wrong.append(f"left behind: {left}")
        wrong += [] if memory.export(file) == MANY else ["not all was exported"]
    return wrong


def full_while_erasing(disk: Disk) -> list[str]:
    """A hard forget rewrites the file, for which it needs as much room again. At the next opening the words must go."""
    wrong: list[str] = []
    with opened(disk.folder) as memory:
        memory.add_many(many("kept"))
        secret = memory.add(f"{SECRET} " * 50)
        memory.flush()
    with opened(disk.folder) as memory:
        with disk.full():
            if said := told(lambda: memory.forget(secret.id, hard=True)):
                wrong.append(f"forget: {said}")
            wrong += memory.verify()
        memory.add("there is room again")
        wrong += memory.verify()
        if any(record.id == secret.id for record in standing(memory)):
            memory.forget(secret.id, hard=True)
    with opened(disk.folder) as memory:
        wrong += memory.verify()
        wrong += [] if len(standing(memory)) == MANY + 1 else ["something else stands"]
        held = [path.name for path in disk.folder.glob("a.mem/*") if SECRET.encode() in path.read_bytes()]
        wrong += [f"{name} still holds the words" for name in held]
    return wrong


def full_while_opening(disk: Disk) -> list[str]:
    """A memory that cannot be made is told, and leaves nothing in the way of making it later."""
    wrong: list[str] = []

    def make() -> None:
        with Memory.open(disk.folder / "new.mem", embedder=DigestEmbedder()) as memory:
            memory.add("big " * 500_000)

    with opened(disk.folder) as memory:
        kept = memory.add("kept")
    with disk.full():
        if said := told(make):
            wrong.append(f"open: {said}")
        try:  # one that is there may open or say why not
            with opened(disk.folder) as memory:
                wrong += [] if memory.get(kept.id) == kept else ["another record stands"]
        except LedgerError as error:
            wrong += [] if error.way_out else [f"unclear: {error}"]
    make()
    with opened(disk.folder) as memory:
        wrong += [] if memory.get(kept.id) == kept else ["another record stands"]
        wrong += memory.verify()
    return wrong


OTHERS: dict[str, Callable[[Disk], list[str]]] = {
    "embedding": full_while_embedding,
    "reindexing": full_while_reindexing,
    "exporting": full_while_exporting,
    "erasing": full_while_erasing,
    "opening": full_while_opening,
}


def wrongs(disk: Disk, name: str) -> list[str]:
    return run_case(disk, name) if name in CASES else OTHERS[name](disk)


# ── the two disks ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*CASES, *OTHERS])
def test_a_full_disk_is_told_and_harms_nothing(tmp_path: Path, name: str) -> None:
    with small_disk(tmp_path / "disk") as folder:
        assert wrongs(SmallTmpfs(folder), name) == []


def _limited(pipe: Pipe, folder: Path) -> None:
    for name in (*CASES, *OTHERS):
        below = folder / name
        below.mkdir()
        pipe.send((name, wrongs(SizeLimit(below), name)))


def test_files_that_may_not_grow_are_told_and_harm_nothing(tmp_path: Path) -> None:
    ours, theirs = FRESH_PROCESS.Pipe()
    child = FRESH_PROCESS.Process(target=_limited, args=(theirs, tmp_path))
    child.start()
    theirs.close()
    heard: dict[str, list[str]] = {}
    try:
        while len(heard) < len(CASES) + len(OTHERS):
            assert ours.poll(PATIENCE_S)
            name, wrong = ours.recv()
            heard[name] = wrong
    finally:
        ours.close()
        child.join(PATIENCE_S)
        child.close()
    assert {name: wrong for name, wrong in heard.items() if wrong} == {}
