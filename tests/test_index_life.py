"""An index through its life: filled while others write, thrown away, erased from, and left by a thread or a fault."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import EmbeddingError, IndexUnavailable, Memory, Record
from agentmem.embedders.hashing import HashEmbedder
from agentmem.embedding import embedding_text
from agentmem.recall import pause, view
from agentmem_stores.vectors.chroma import ChromaIndex
from tests.answers import texts
from tests.indexed import index_of, put_away

INDEXES = ["exact", "chroma"]


def opened(folder: Path, index: str = "chroma") -> Memory:
    return Memory.open(folder, embedder="hash", index=index)


class Moody(HashEmbedder):
    """The hash embedder, which can be made to fail or to hang."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.go_on = threading.Event()
        self.go_on.set()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self.go_on.wait(60)
        if self.down:
            raise ConnectionError("down")
        return super().embed(texts)


# ── filled anew ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_written_while_it_is_filled_is_in_it(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(50))
        late: list[Record] = []

        def progress(done: int, total: int) -> None:
            if not late:
                late.append(memory.add("a whale sings at midnight"))

        memory.reindex("chroma", progress)
        put_away(memory)
        assert index_of(memory).stored() == 51
    with opened(tmp_path / "m") as memory:
        put_away(memory)
        assert index_of(memory).stored() == 51
        assert memory.recall("a whale at midnight", k=1)[0].record == late[0]


@pytest.mark.parametrize("index", INDEXES)
def test_vectors_that_another_process_drops_and_makes_anew_leave_no_hole(index: str, tmp_path: Path) -> None:
    with opened(tmp_path / "m", index) as memory, opened(tmp_path / "m", "exact") as other:
        records = memory.add_many(texts(30))
        memory.flush()
        serving = memory.stats().embedder
        other._ledger.transact(lambda transaction: transaction.drop_vectors(serving))
        memory.recall("ferry 17")  # in the middle of the other's `reindex vectors`
        other.flush()
        for record in records[:5]:
            hit = memory.recall(embedding_text(record), k=1)[0]
            assert "cosine 1.00" in hit.verdict


@pytest.mark.parametrize("index", INDEXES)
def test_a_vector_that_is_gone_from_the_ledger_takes_no_other_with_it(index: str, tmp_path: Path) -> None:
    with opened(tmp_path / "m", "exact") as memory:
        records = memory.add_many(texts(30))
        memory.load()
    with sqlite3.connect(tmp_path / "m" / "ledger.sqlite3") as file:
        assert file.execute("DELETE FROM vectors WHERE position = ?", [records[3].position]).rowcount == 1
    file.close()
    with opened(tmp_path / "m", index) as memory:
        hits = memory.recall(embedding_text(records[7]), k=30)
        assert "cosine 1.00" in hits[0].verdict
        assert records[3].id not in {hit.record.id for hit in hits if "cosine" in hit.verdict}


@pytest.mark.parametrize("index", INDEXES)
def test_a_worker_that_is_done_before_it_is_waited_for_takes_no_vector_out(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "m", index) as memory:
        memory.add_many(texts(30))
        memory.load()
        if index == "chroma":
            put_away(memory)
    start = threading.Thread.start

    def start_and_finish(thread: threading.Thread) -> None:  # as on a busy machine, where everything is embedded
        start(thread)
        if thread.name == "agentmem-recall":
            thread.join()

    monkeypatch.setattr(threading.Thread, "start", start_and_finish)
    with opened(tmp_path / "m", index) as memory:
        assert memory.recall("ferry 17", k=1)[0].parts["dense"] > 0


@pytest.mark.parametrize("index", INDEXES)
def test_a_damaged_vector_leaves_the_words(index: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path / "m", "exact") as memory:
        records = memory.add_many(texts(30))
        memory.load()
    with sqlite3.connect(tmp_path / "m" / "ledger.sqlite3") as file:
        file.execute("UPDATE vectors SET data = x'0102' WHERE position = ?", [records[3].position])
    file.close()
    with caplog.at_level(logging.WARNING, "agentmem"), opened(tmp_path / "m", index) as memory:
        for _ in range(3):
            assert memory.recall("ferry number 7", k=1)[0].record == records[7]
    assert caplog.text.count("agentmem doctor --fix") == 1


@pytest.mark.parametrize("index", INDEXES)
def test_vectors_made_anew_are_the_ones_that_are_searched(index: str, tmp_path: Path) -> None:
    with opened(tmp_path / "m", index) as memory:
        records = memory.add_many(texts(30))
        memory.load()
        if index == "chroma":
            put_away(memory)
        # As a broken embedder may have left them: the ledger's vectors are wrong, and the index has them.
        memory.reindex("vectors")
        assert "cosine 1.00" in memory.recall(embedding_text(records[7]), k=1)[0].verdict


def test_one_that_fails_while_it_is_filled_is_not_called_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(60))

        def broken(*_: object) -> None:
            raise IndexUnavailable("the disk is full", index="chroma")

        monkeypatch.setattr(ChromaIndex, "_push", broken)
        with pytest.raises(IndexUnavailable, match="full"):
            memory.reindex("chroma")
        assert memory.recall("ferry 17", k=1)


def test_clearing_beside_a_sync_leaves_a_cursor_that_is_true(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(60))
        memory.load()
        index = index_of(memory)
        syncing = threading.Thread(target=index.sync)
        syncing.start()
        index.clear()
        syncing.join()
    with opened(tmp_path / "m") as memory:
        put_away(memory)
        assert index_of(memory).stored() == 60


# ── erased ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quick", [True, False], ids=["embedded at once", "embedder down"])
def test_what_was_erased_while_nobody_had_it_open_leaves_its_files_too(quick: bool, tmp_path: Path) -> None:
    """As after a kill between the erasure and the clearing; or by a process that goes without the index."""
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(50))
        secret = memory.add("the code of the safe is 4711")
        put_away(memory)
        vector = memory._ledger.vectors(memory.embedder.id, [secret.position]).matrix.tobytes()
    with opened(tmp_path / "m", "exact") as memory:
        memory.forget(secret.id, hard=True)
        memory.add("written after")
    embedder = Moody()
    embedder.down = not quick
    with Memory.open(tmp_path / "m", embedder=embedder, index="chroma") as memory:
        memory.recall("the code of the safe", k=3)
        embedder.down = False
        memory.flush()
        put_away(memory)
        assert index_of(memory).stored() == 51
    for file in (tmp_path / "m").rglob("*"):
        if file.is_file():
            assert vector not in file.read_bytes(), file


def test_a_hard_forget_leaves_no_vector_in_its_files(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(50))
        secret = memory.add("the code of the safe is 4711")
        put_away(memory)
        vector = memory._ledger.vectors(memory.embedder.id, [secret.position]).matrix.tobytes()
    # Closed, because closing a file that was read beside it would let go of SQLite's locks in this process.
    held = [file for file in (tmp_path / "m").rglob("*") if file.is_file() and vector in file.read_bytes()]
    assert any("chroma" in file.parts for file in held)  # the search would see it
    with opened(tmp_path / "m") as memory:
        memory.forget(secret.id, hard=True)
        assert memory.recall("the code of the safe", k=3)
        put_away(memory)
        assert index_of(memory).stored() == 50
    for file in (tmp_path / "m").rglob("*"):
        if file.is_file():
            assert vector not in file.read_bytes(), file


# ── left alone ───────────────────────────────────────────────────────────────────────────────────────────────────────

HOLDS = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", index="chroma") as memory:
    memory.recall("ferry")
    print(memory.stats().index)
"""


def test_a_folder_that_one_thread_opened_another_may_close(tmp_path: Path) -> None:
    memory = opened(tmp_path / "m")
    memory.add_many(texts(20))
    opening = threading.Thread(target=lambda: memory.recall("ferry"))
    opening.start()
    opening.join()
    assert memory.reindex("chroma") == 20
    memory.close()
    ran = subprocess.run(
        [sys.executable, "-c", HOLDS, str(tmp_path / "m")], capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("chroma", "")


def test_one_that_failed_is_not_written_down_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(20))
        put_away(memory)
        monkeypatch.setattr(type(index_of(memory)._collection), "query", lambda *_, **__: 1 / 0)
        assert memory.recall("ferry 17", k=1)
        assert memory.stats().index == "exact, in place of chroma"
        assert not list((tmp_path / "m" / "chroma").rglob("agentmem.json"))


def test_one_that_opens_and_cannot_be_searched_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pause, "_LONGEST_S", 0.0)
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(20))
        put_away(memory)
        monkeypatch.setattr(ChromaIndex, "_asked", lambda *_: _unsearchable())
        with caplog.at_level(logging.WARNING, "agentmem"):
            for _ in range(6):
                assert memory.recall("ferry 17", k=1)
    assert caplog.text.count("recall searches exactly") == 1


def _unsearchable() -> None:
    raise IndexUnavailable("its graph is torn", index="chroma")


def test_a_few_that_are_kept_and_many_that_wait_are_on_one_scale(tmp_path: Path) -> None:
    def dense(index: str) -> list[float]:
        with opened(tmp_path / index, index) as memory:
            memory.add(texts(1)[0])
            if index == "chroma":
                put_away(memory)
            memory.add_many(texts(200, start=1))
            return [hit.parts["dense"] for hit in memory.recall("ferry 17", k=10)]

    assert dense("chroma") == pytest.approx(dense("exact"), rel=0.05, abs=0.01)


# ── embedders that are down, or slow ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("index", INDEXES)
def test_while_it_cannot_be_embedded_an_edited_record_is_not_found_by_its_old_words(index: str, tmp_path: Path) -> None:
    embedder = Moody()
    with Memory.open(tmp_path / "m", embedder=embedder, index=index) as memory:
        record = memory.add("the quiet garden of roses behind the house")
        memory.add_many(texts(20))
        memory.load()
        if index == "chroma":
            put_away(memory)
        embedder.down = True
        memory.edit(record.id, text="rowing")
        hits = memory.recall("the quiet garden of roses behind the house", k=30)
        assert record.id not in {hit.record.id for hit in hits if "cosine" in hit.verdict}
        embedder.down = False
        memory.flush()
        hits = memory.recall(embedding_text(memory.get(record.id)), k=1)
        assert (hits[0].record.id, "cosine 1.00" in hits[0].verdict) == (record.id, True)


def test_an_embedder_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view.View.refresh, "__defaults__", (0.05, ()))
    embedder = Moody()
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        memory.add_many(texts(20))
        memory.load()
        embedder.go_on.clear()
        late = memory.add("a whale sings")
        worker = memory._opened.view(memory.bound)
        worker.refresh()
        assert late.position in worker.corpus.positions(worker.corpus.rows_of([late.position]))
        embedder.go_on.set()
        deadline = time.monotonic() + 60
        while memory.stats().pending and time.monotonic() < deadline:
            memory.recall("whale", k=1)
        assert "dense" in memory.recall("whale", k=1)[0].parts


class Shy:
    """An embedder that must ask its server to know its own dimension."""

    id = "shy-512"
    is_local = True

    def __init__(self) -> None:
        self.down = True
        self._plain = HashEmbedder()

    @property
    def dimension(self) -> int:
        if self.down:
            raise EmbeddingError("the server is down", way_out="Start it.")
        return self._plain.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._plain.embed(texts)


def test_an_embedder_that_cannot_say_its_dimension_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentmem import opened as home

    shy = Shy()
    with Memory.open(tmp_path / "m", embedder=shy) as memory:
        memory.add_many(texts(20))
        assert "17" in memory.recall("ferry 17", k=1)[0].record.text
        assert memory.stats().pending == 20
        shy.down = False
        monkeypatch.setattr(home, "_ABSENT_S", 0.0)
        assert "dense" in memory.recall("ferry 17", k=1)[0].parts


@pytest.mark.parametrize("address", ["http://[bad", "http://:s3cret@host:99999", "HTTPS//typo", "ftp://host"])
def test_an_address_that_cannot_be_read_is_told_without_its_token(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "agentmem"),
        Memory.open(tmp_path / "m", embedder="hash", index=f"chroma:{address}") as memory,
    ):
        memory.add("the ferry")
        assert memory.recall("ferry")
        assert memory.stats().index == "exact, in place of chroma"
    assert "chroma:http://HOST:8000" in caplog.text
    assert "s3cret" not in caplog.text
