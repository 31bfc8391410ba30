"""A Chroma index that is behind, at odds with the ledger, damaged, of another version or in use; on real ones."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from agentmem_stores.sql.ledger import FILE_NAME
from agentmem_stores.sql.schema import vectors
from agentmem_stores.vectors.chroma_home import Folder
from tests.doctoring import (
    HASH,
    Run,
    amiss,
    behind_its_back,
    command,
    content,
    examined,
    opened,
)

PATIENCE_S = 120.0
CUES = [f"ferry number {n}, which leaves at {n % 24}" for n in (7, 100, 217, 299)]


def put_away(folder: Path, n: int) -> None:
    with opened(folder, index="chroma") as memory:
        memory.add_many(f"the ferry number {i} leaves the harbour at {i % 24}" for i in range(n))
        memory.load()
        memory._opened.view(memory.bound).sync()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with a Chroma index that was closed cleanly. Copied, never written to."""
    folder = tmp_path_factory.mktemp("doctor") / "m"
    put_away(folder, 300)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "m")
    return tmp_path / "m"


def home(folder: Path) -> Path:
    [path] = (folder / "chroma").iterdir()
    return path


@contextmanager
def inside(folder: Path) -> Iterator[Any]:
    """The collection, as no index would change it, closed cleanly after."""
    opened = Folder(home(folder))
    yield opened.open({"kept": "as it is"}, False)
    opened.close()


def repaired_by_fix(folder: Path, severity: str = "fault") -> str:
    """The index is told, mended, and then sound; what was said."""
    before = content(folder)
    [found] = amiss(folder, index="chroma")
    assert (found.name, found.severity) == ("index", severity)
    assert found.repair is not None
    [mended] = amiss(folder, index="chroma", fix=True)
    assert (mended.repaired, mended.done.startswith("filled it again with")) == (True, True)
    assert amiss(folder, index="chroma") == []
    assert content(folder) == before
    with opened(folder, index="chroma") as memory:
        found_by_chroma = [memory.recall(cue, k=1)[0].record.id for cue in CUES]
        assert memory.stats().index == "chroma"
    with opened(folder, index="exact") as memory:
        assert found_by_chroma == [memory.recall(cue, k=1)[0].record.id for cue in CUES]
    return found.sentence


def test_a_chroma_that_is_sound_is_said_to_be(folder: Path) -> None:
    assert amiss(folder, index="chroma") == []
    [said] = [finding for finding in examined(folder, index="chroma") if finding.name == "index"]
    assert said.sentence == "chroma holds the ledger's 300 vectors"
    [said] = [finding for finding in examined(folder, index="exact") if finding.name == "index"]
    assert "a Chroma index lies beside it" in said.sentence


def test_vectors_that_chroma_lacks_has_otherwise_or_has_too_many_of_are_told(folder: Path) -> None:
    with inside(folder) as collection:
        collection.delete(ids=["3", "4"])
        collection.update(ids=["7"], embeddings=[[1.0] + [0.0] * 511])
        collection.upsert(ids=["90001", "90002", "90003"], embeddings=[[1.0] + [0.0] * 511] * 3)
    said = repaired_by_fix(folder)
    assert "2 missing, 1 not as the ledger has them, 3 that the ledger has not" in said


def test_a_scope_that_was_never_put_away_and_one_whose_vectors_are_damaged_are_looked_at_too(folder: Path) -> None:
    with opened(folder, scope="user:ana") as memory:
        memory.add("another's")
        memory.flush()
    assert amiss(folder, index="chroma") == []
    cut_off = update(vectors).where(vectors.c.position == 5).values(data=b"12345")
    behind_its_back(str(folder), lambda connection: connection.execute(cut_off))
    assert [finding.name for finding in amiss(folder, index="chroma")] == ["vectors", "index"]
    assert amiss(folder, index="chroma", fix=True)[0].repaired
    assert amiss(folder, index="exact") == []


def test_what_waits_for_the_next_recall_is_not_taken_for_a_fault(folder: Path) -> None:
    with opened(folder, index="exact") as memory:
        first, second, third = list(memory.records())[:3]
        memory.add("a whale, later")
        memory.edit(first.id, text="a rowing boat")
        memory.forget(second.id)
        memory.flush()
    assert amiss(folder, index="chroma") == []
    [said] = [finding for finding in examined(folder, index="chroma") if finding.name == "index"]
    assert said.sentence == "chroma holds the ledger's 298 vectors; the next recall takes in 3 changes"
    with inside(folder) as collection:
        collection.delete(ids=[str(third.position)])
    assert "1 missing" in repaired_by_fix(folder)


def test_an_index_far_behind_is_told(folder: Path) -> None:
    with opened(folder, index="exact") as memory:
        memory.add_many(f"more {n}" for n in range(1_100))
        memory.flush()
    assert "1,100 changes behind" in repaired_by_fix(folder, "warning")


def test_vectors_made_again_are_taken_over_by_chroma_in_the_same_run(folder: Path) -> None:
    with opened(folder, index="exact") as memory:
        held = memory._ledger.vectors(HASH, [5])
        turned = held._replace(matrix=held.matrix[:, ::-1], digests=[b"12345678"])
        memory._ledger.transact(lambda transaction: transaction.put_vectors(HASH, turned))
    with inside(folder) as collection:  # fed while the ledger was wrong
        collection.update(ids=["5"], embeddings=turned.matrix.tolist())
    mended = amiss(folder, index="chroma", fix=True)
    assert [(finding.name, finding.repaired) for finding in mended] == [("vectors", True), ("index", True)]
    assert amiss(folder, index="chroma") == []


def _cut(folder: Path) -> None:
    os.truncate(home(folder) / "chroma.sqlite3", 5_000)


def _of_an_older_version(folder: Path) -> None:
    state = home(folder) / "agentmem.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "chroma": "0.4.24"}))


def _of_a_killed_process(folder: Path) -> None:
    (home(folder) / "agentmem.json").unlink()
    _cut(folder)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_cut, "not as Chroma left it"),
        (_of_an_older_version, "made by Chroma 0.4.24"),
        (_of_a_killed_process, "damaged"),
    ],
)
def test_a_chroma_that_cannot_be_used_is_filled_again(harm: Callable[[Path], None], said: str, folder: Path) -> None:
    harm(folder)
    assert said in repaired_by_fix(folder)


def test_a_chroma_of_another_state_of_the_ledger_is_filled_again(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "backup")
    with opened(folder, index="chroma") as memory:
        memory.add_many(f"the whale number {n}" for n in range(50))
        memory.load()
        memory._opened.view(memory.bound).sync()
    for file in folder.glob(f"{FILE_NAME}*"):
        file.unlink()
    shutil.copy(tmp_path / "backup" / FILE_NAME, folder / FILE_NAME)
    with opened(folder, index="exact") as memory:
        memory.add_many(f"another story, part {n}" for n in range(1_000))
        memory.flush()
    assert "1,300 changes behind" in repaired_by_fix(folder, "warning")


HOLDS = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", index="chroma") as memory:
    memory.recall("ferry")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_chroma_in_use_by_another_process_is_left_to_it(folder: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        [found] = amiss(folder, index="chroma", fix=True)
        assert (found.name, found.severity, found.repair) == ("index", "warning", None)
        assert "in use by another process" in found.sentence
        holder.stdin.close()
        assert holder.wait(PATIENCE_S) == 0
    assert amiss(folder, index="chroma") == []


def test_a_server_that_is_not_there_is_told(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        [found] = amiss(folder, index=f"chroma:http://127.0.0.1:{taken.getsockname()[1]}", fix=True)
    assert (found.name, found.severity, found.repair) == ("index", "fault", None)
    assert "recall searches exactly meanwhile" in found.sentence
    assert "chroma run" in found.way_out


def test_folders_of_chroma_that_nobody_uses_are_removed_and_no_others(folder: Path) -> None:
    used = home(folder)
    stray = folder / "chroma" / "somebody's notes"
    stray.mkdir()
    (stray / "agentmem.lock").touch()
    with opened(folder, embedder="hash:1024", index="chroma") as memory:
        memory.reindex("vectors")
        memory.load()
        memory._opened.view(memory.bound).sync()
    before = {path.name for path in (folder / "chroma").iterdir()}
    [found] = amiss(folder, embedder="hash:1024", index="chroma")
    assert (found.name, found.severity) == ("chroma", "warning")
    assert found.sentence.startswith("1 folder of Chroma (")
    assert found.repair is not None
    assert used.name in found.repair.would
    assert amiss(folder, embedder="hash:1024", index="chroma", fix=True)[0].done == "removed 1"
    assert {path.name for path in (folder / "chroma").iterdir()} == before - {used.name}
    assert amiss(folder, embedder="hash:1024", index="chroma") == []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return command(tmp_path, monkeypatch)


def test_reindex_takes_the_index_in_use(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_INDEX", "chroma")
    folder.rename(tmp_path / "notes.mem")
    assert run("reindex", "chroma", "--dry-run")[1] == "chroma: filled with 300 vectors\n"
    _cut(tmp_path / "notes.mem")
    assert run("reindex", "chroma")[1] == "chroma: filled with 300 vectors\n"
    assert amiss(tmp_path / "notes.mem", index="chroma") == []
    assert run("reindex", "moon")[0] == run("reindex", "moon", "--dry-run")[0] == 2
