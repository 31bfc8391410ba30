"""Chroma as an index: the same answers, kept between openings, and never a reason for recall to stop."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentmem import Hit, InvalidInput, Memory
from agentmem.recall import pause, view
from agentmem_stores.vectors import auto, chroma
from tests.answers import CUES, Answers, exact_answers, texts
from tests.indexed import put_away

START = datetime(2024, 1, 1, tzinfo=UTC)
# Made by Chroma for the collection of one scope, once enough was written for its index to be on disk.
FILES = ["chroma.sqlite3", "data_level0.bin", "header.bin", "index_metadata.pickle", "length.bin", "link_lists.bin"]
PLENTY = 1_200  # records: above Chroma's sync_threshold of 1,000


def items(n: int) -> list[dict[str, object]]:
    return [
        {
            "text": text,
            "kind": "turn" if i % 3 else "note",
            "at": START + timedelta(hours=i),
            "speaker": ("Ana", "Ben")[i % 2],
        }
        for i, text in enumerate(texts(n))
    ]


def chroma_at(folder: Path) -> Memory:
    return Memory.open(folder, embedder="hash", index="chroma")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with a Chroma index that was closed cleanly. Copied, never written to."""
    folder = tmp_path_factory.mktemp("chroma") / "m"
    with chroma_at(folder) as memory:
        memory.add_many(items(PLENTY))
        put_away(memory)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "m")  # keeps the files' times, as a backup would
    return tmp_path / "m"


def home(folder: Path) -> Path:
    [path] = (folder / "chroma").iterdir()
    return path


def test_it_finds_what_the_exact_index_finds(folder: Path) -> None:
    with chroma_at(folder) as memory:
        found = Answers(memory)
        assert memory.stats().index == "chroma"
    assert found == exact_answers(folder)


def test_scores_and_parts_are_on_the_same_scale(folder: Path) -> None:
    with chroma_at(folder) as memory:
        estimated = [sorted(hit.parts["dense"] for hit in hits) for hits in Answers(memory).hits]
    exact = [sorted(hit.parts["dense"] for hit in hits) for hits in exact_answers(folder).hits]
    for ours, theirs in zip(estimated, exact, strict=True):
        assert ours == pytest.approx(theirs, rel=0.1)


def test_what_was_put_away_is_there_at_the_next_opening_without_being_fed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with chroma_at(folder) as memory:
        index = memory._opened.view(memory.bound).index
        assert index.cursor == memory.stats().head
        memory.recall("ferry")
        assert (len(index), index.waiting) == (PLENTY, 0)
    assert caplog.text == ""


def test_adds_edits_and_forgetting_are_seen_by_the_next_recall(folder: Path) -> None:
    with chroma_at(folder) as memory:
        added = memory.add("a whale beside the island")
        assert memory.recall("whale", k=1)[0].record.id == added.id
        first, second = (hit.record for hit in memory.recall(CUES[0], k=2))
        memory.edit(first.id, text="a rowing boat")
        memory.forget(second.id)
        for _ in range(2):  # waiting, then put away
            assert {first.id, second.id}.isdisjoint(hit.record.id for hit in memory.recall(CUES[0], k=30))
            assert memory.recall("rowing boat", k=1)[0].record.id == first.id
            put_away(memory)
        memory.undo(2)
        assert {first.id, second.id} <= {hit.record.id for hit in memory.recall(CUES[0], k=2)}
        found = Answers(memory)
    assert found == exact_answers(folder)


@pytest.mark.parametrize(
    "asked",
    [
        {"kinds": ["note"]},
        {"since": START + timedelta(hours=100), "until": START + timedelta(hours=700)},
        {"kinds": ["turn", "note"], "since": START + timedelta(hours=600)},
        {"speaker": "ben"},
        {"kinds": "note", "speaker": "Ana", "until": START + timedelta(hours=900)},
        {"kinds": "plan"},
    ],
    ids=str,
)
@pytest.mark.parametrize("few", [0, 2_000])
def test_filters_narrow_it_as_they_do_the_exact_one(
    asked: dict[str, object], few: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "_FEW", few)  # 0: Chroma is asked with its own filters; 2,000: vectors are compared

    with chroma_at(folder) as memory:
        found = Answers(memory, **asked)
    assert found == exact_answers(folder, **asked)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────


def heard(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "agentmem"]


def survives(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Recall goes on exactly and says so once; reindex repairs. Returns what was said."""
    wanted = exact_answers(folder)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "agentmem"):
        with chroma_at(folder) as memory:
            for _ in range(3):
                assert Answers(memory) == wanted
            added = memory.add("a whale beside the island")
            assert memory.recall("whale", k=1)[0].record.id == added.id
            assert memory.stats().index == "exact, in place of chroma"
        [said] = heard(caplog)
        assert "recall searches exactly" in said
        assert "agentmem reindex chroma" in said
    with chroma_at(folder) as memory:
        assert memory.reindex("chroma") == PLENTY + 1
        assert memory.stats().index == "chroma"
    caplog.clear()
    with chroma_at(folder) as memory:
        found = Answers(memory)
        assert memory.stats().index == "chroma"
        assert memory.recall("whale", k=1)[0].record.id == added.id
    assert found == exact_answers(folder)
    assert heard(caplog) == []
    return said


@pytest.mark.parametrize(("file", "harm"), [*((file, "half") for file in FILES), ("chroma.sqlite3", "gone")])
def test_pain_15_a_file_that_was_cut_off(file: str, harm: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    [path] = home(folder).rglob(file)
    if harm == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 if harm == "half" else 0)
    survives(folder, caplog)


@pytest.mark.parametrize("file", ["header.bin", "chroma.sqlite3", "index_metadata.pickle", "data_level0.bin"])
def test_pain_15_a_file_torn_by_a_crash_is_tried_in_another_process_first(
    file: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """header.bin cut in half takes the process down (signal 11) at the next write, measured with Chroma 1.5.9."""
    (home(folder) / "agentmem.json").unlink()  # as a killed process leaves it
    [path] = home(folder).rglob(file)
    os.truncate(path, 0 if file == "data_level0.bin" else path.stat().st_size // 2)
    assert "damaged" in survives(folder, caplog)


def test_pain_15_a_chroma_that_was_killed_but_is_whole_is_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home(folder) / "agentmem.json").unlink()
    with chroma_at(folder) as memory:
        found = Answers(memory)
        assert memory.stats().index == "chroma"
    assert found == exact_answers(folder)
    assert heard(caplog) == []


def test_pain_15_one_of_another_version_is_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = home(folder) / "agentmem.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "chroma": "0.4.24"}))
    assert "was made by Chroma 0.4.24" in survives(folder, caplog)


def test_pain_15_a_folder_that_is_missing_is_filled_again(folder: Path) -> None:
    shutil.rmtree(folder / "chroma")
    wanted = exact_answers(folder)
    with chroma_at(folder) as memory:
        assert Answers(memory) == wanted
        put_away(memory)
        assert Answers(memory) == wanted
        assert memory.stats().index == "chroma"


HOLDS = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", index="chroma") as memory:
    memory.recall("ferry")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_pain_15_one_process_owns_it_and_the_others_go_on_exactly(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "_LONGEST_S", 0.1)
    wanted = exact_answers(folder)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        with caplog.at_level(logging.WARNING, "agentmem"), chroma_at(folder) as memory:
            for _ in range(5):
                assert Answers(memory) == wanted
            assert memory.stats().index == "exact, in place of chroma"
            [said] = heard(caplog)
            assert "in use by another process" in said
            holder.stdin.close()
            assert holder.wait(60) == 0
            deadline = time.monotonic() + 60
            while memory.stats().index != "chroma" and time.monotonic() < deadline:
                assert Answers(memory) == wanted
            assert memory.stats().index == "chroma"
            assert Answers(memory) == wanted


KILLED = """
import os, signal, sys, threading
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", index="chroma") as memory:
    view = memory._opened.view(memory.bound)
    memory.load()
    threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
    while True:
        memory.add_many(f"killed {n}" for n in range(100))
        memory.recall("killed")
        view.sync()
"""


@pytest.mark.slow
def test_pain_15_after_each_kill_it_converges_to_what_the_ledger_holds(folder: Path) -> None:
    for n in range(5):
        ran = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(0.1 + 0.13 * n)], check=False)
        assert ran.returncode == -signal.SIGKILL
        with chroma_at(folder) as memory:
            put_away(memory)
            index = memory._opened.view(memory.bound).index
            assert memory.stats().index == "chroma"
            assert len(index) == memory.stats().records["live"]
            for record in memory.newest(20):
                assert record.text in {hit.record.text for hit in memory.recall(record.text, k=3)}
        with chroma_at(folder) as memory:
            found = Answers(memory)
        assert found == exact_answers(folder)


def test_a_ledger_that_was_set_back_to_a_backup_does_not_get_the_future(folder: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(folder, backup)
    with chroma_at(folder) as memory:
        memory.add_many(f"the whale number {n}" for n in range(50))
        put_away(memory)
    for file in backup.glob("ledger.sqlite3*"):
        shutil.copy(file, folder / file.name)
    for file in folder.glob("ledger.sqlite3-*"):
        file.unlink()
    with chroma_at(folder) as memory:
        memory.add_many(f"another story, part {n}" for n in range(60))  # as far as the journal had come, and further
        put_away(memory)
        assert memory.recall("story", k=1)[0].record.text.startswith("another story")
        assert len(memory._opened.view(memory.bound).index) == PLENTY + 60
        found = Answers(memory)
    assert found == exact_answers(folder)


def test_pain_29_auto_goes_by_the_size_of_the_scope(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def used(limit: int) -> str:
        monkeypatch.setattr(auto, "CHROMA_FROM", limit)
        with Memory.open(folder, embedder="hash") as memory:
            memory.recall("ferry")
            return memory.stats().index

    assert used(PLENTY) == "chroma"
    assert used(PLENTY + 1) == "exact"


def test_it_is_fed_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_SYNC_AT", 10)
    with chroma_at(tmp_path / "m") as memory:
        memory.add_many(items(50))
        deadline = time.monotonic() + 60
        index = memory._opened.view(memory.bound).index
        while (len(index), index.waiting) != (50, 0) and time.monotonic() < deadline:
            hits: list[Hit] = memory.recall("ferry", k=3)
            assert len(hits) == 3
        assert (len(index), index.waiting) == (50, 0)


def test_a_name_that_is_no_projection_here_is_told(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory, pytest.raises(InvalidInput, match="chroma") as told:
        memory.reindex("chroma")
    assert "exact" in told.value.way_out


def test_a_text_that_has_no_vector_does_not_stop_it(tmp_path: Path) -> None:
    with chroma_at(tmp_path / "m") as memory:
        memory.add_many(["!!!", "the ferry", "..."])  # without a word the hash embedder gives a row of zeros
        put_away(memory)
        assert memory.recall("ferry", k=1)[0].record.text == "the ferry"
