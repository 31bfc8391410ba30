"""A Chroma server: killed, stopped, wiped and shared. Recall never stops, and comes back to it by itself."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentmem import Memory, Record
from agentmem.recall import pause, view
from agentmem_stores.vectors import chroma_home
from tests.answers import CUES, Answers, exact_answers, texts
from tests.chroma_server import ChromaServer, chroma_server, running
from tests.indexed import put_away

__all__ = ["chroma_server"]

PATIENCE_S = 60.0


def on(server: ChromaServer, place: str | Path) -> Memory:
    return Memory.open(place, embedder="hash", index=f"chroma:{server.url}")


def back_on_chroma(memory: Memory) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while memory.stats().index != "chroma":
        assert time.monotonic() < deadline
        assert memory.recall(CUES[0], k=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes up to a minute in use takes a moment here."""
    monkeypatch.setattr(pause, "_LONGEST_S", 0.05)
    monkeypatch.setattr(chroma_home, "_CALL_S", 2.0)
    monkeypatch.setattr(chroma_home, "_KNOCK_S", 2.0)


def test_what_it_holds_is_there_at_the_next_opening(chroma_server: ChromaServer, places: Callable[[], str]) -> None:
    """Whatever the ledger is: a folder, or a database, where a server is the only Chroma there is."""
    place = places()
    with on(chroma_server, place) as memory:
        memory.add_many(texts(300))
        put_away(memory)
        found = Answers(memory)
    with on(chroma_server, place) as memory:
        assert memory._opened.view(memory.bound).index.cursor == memory.stats().head
        assert Answers(memory) == found
        assert memory.stats().index == "chroma"
    assert found == exact_answers(place)


def test_scopes_embedders_and_copies_of_a_memory_share_a_server_and_nothing_else(
    chroma_server: ChromaServer, tmp_path: Path
) -> None:
    with on(chroma_server, tmp_path / "a") as memory:
        memory.scope("user:ana").add_many(texts(30))
        memory.scope("user:bea").add_many(texts(30, start=30))
        for name in ("user:ana", "user:bea"):
            put_away(memory.scope(name))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with on(chroma_server, tmp_path / "a") as memory, on(chroma_server, tmp_path / "b") as copy:
        one, two = memory.scope("user:ana"), copy.scope("user:ana")
        one.add("a whale in the first")
        two.add("a walrus in the second")
        for handle in (one, two):
            put_away(handle)
            assert len(handle._opened.view(handle.bound).index) == 31
        assert all("walrus" not in hit.record.text for hit in one.recall("a walrus", k=31))
        assert all("whale" not in hit.record.text for hit in two.recall("a whale", k=31))
        assert {hit.record.scope for hit in one.recall("ferry", k=31)} == {one.bound}


@pytest.mark.slow
def test_ten_kills_under_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Writers and readers do not notice, but for a line in the log; every acknowledged record is there."""
    place = tmp_path / "m"
    acknowledged: list[Record] = []
    failed: list[BaseException] = []
    stop = threading.Event()
    degraded = 0
    with running() as server, on(server, place) as memory, caplog.at_level(logging.WARNING, "agentmem"):
        memory.add_many(texts(500))
        put_away(memory)

        def load() -> None:
            try:
                while not stop.is_set():
                    acknowledged.append(memory.add(f"under load {len(acknowledged)}"))
                    assert memory.recall("ferry 17", k=3)
                    if len(acknowledged) % 20 == 0:
                        memory._opened.view(memory.bound).sync()
            except BaseException as error:  # noqa: BLE001  # told by the thread that waits
                failed.append(error)

        loading = threading.Thread(target=load)
        loading.start()
        try:
            for _ in range(10):
                seen = len(acknowledged)
                deadline = time.monotonic() + PATIENCE_S
                while len(acknowledged) < seen + 10 and not failed:
                    assert time.monotonic() < deadline
                server.kill()
                assert memory.recall(acknowledged[-1].text, k=3)
                degraded += memory.stats().index == "exact, in place of chroma"
                server.start()
                back_on_chroma(memory)
        finally:
            stop.set()
            loading.join()
        assert not failed, failed
        assert degraded >= 8  # the rest: the thread under load had found out, and had it back, in between
        put_away(memory)
        assert len(memory._opened.view(memory.bound).index) == 500 + len(acknowledged)
        assert memory.verify() == []
        assert {record.id for record in acknowledged} <= {record.id for record in memory.records()}
        found = Answers(memory)
    assert found == exact_answers(place)


def test_one_that_hangs_is_given_up_and_taken_up_again(tmp_path: Path) -> None:
    with running() as server, on(server, tmp_path / "m") as memory:
        memory.add_many(texts(100))
        put_away(memory)
        server.hang()
        assert memory.recall("ferry 17", k=3)
        assert memory.stats().index == "exact, in place of chroma"
        server.go_on()
        back_on_chroma(memory)


def test_one_that_is_down_at_opening_is_told_and_found_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running() as server:
        server.kill()
        with caplog.at_level(logging.WARNING, "agentmem"), on(server, tmp_path / "m") as memory:
            memory.add_many(texts(100))
            for _ in range(3):
                assert "17" in memory.recall("ferry 17", k=1)[0].record.text
            said = [record.getMessage() for record in caplog.records if "exactly" in record.getMessage()]
            assert len(said) == 1
            assert f"chroma run --port {server.port}" in said[0]
            server.start()
            back_on_chroma(memory)


def test_one_that_was_wiped_by_another_process_is_filled_again(chroma_server: ChromaServer, tmp_path: Path) -> None:
    with on(chroma_server, tmp_path / "m") as one, on(chroma_server, tmp_path / "m") as two:
        one.add_many(texts(100))
        put_away(one)
        put_away(two)
        assert two.reindex("chroma") == 100
        assert one.recall("ferry 17", k=3)
        back_on_chroma(one)
        put_away(one)
        assert len(one._opened.view(one.bound).index) == 100
        assert Answers(one) == exact_answers(tmp_path / "m")


def test_two_processes_feed_one_collection_and_the_ledger_has_the_last_word(
    chroma_server: ChromaServer, tmp_path: Path
) -> None:
    """The slower one pushes what it saw; what it saw is old by then."""
    with on(chroma_server, tmp_path / "m") as slow, on(chroma_server, tmp_path / "m") as quick:
        records = slow.add_many(texts(50))
        slow.load()  # it knows of them, and has not put them away yet
        edited = quick.edit(records[0].id, text="a whale beside the island")
        quick.forget(records[1].id)
        put_away(quick)
        slow._opened.view(slow.bound).sync()
    with on(chroma_server, tmp_path / "m") as memory:
        index = memory._opened.view(memory.bound).index
        put_away(memory)  # the slower one had less to say of how far they had come
        assert len(index) == 49
        assert memory.recall("whale", k=1)[0].record == edited
        assert Answers(memory) == exact_answers(tmp_path / "m")


def test_nobody_waits_for_it_to_be_fed(
    chroma_server: ChromaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_SYNC_AT", 10)
    with on(chroma_server, tmp_path / "m") as memory:
        memory.add_many(texts(200))
        deadline = time.monotonic() + PATIENCE_S
        index = memory._opened.view(memory.bound).index
        while (len(index), index.waiting) != (200, 0):
            assert time.monotonic() < deadline
            assert memory.recall("ferry 17", k=1)
