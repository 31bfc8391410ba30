"""Faults from without: an embedder that breaks, a step that others take back, a rehearsal beside real writes."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import AsyncMemory, EmbeddingError, InvalidInput, LedgerError, Memory, MemoryClosed
from agentmem.embedding import embedding_text
from tests.fakes import TinyEmbedder


class Moody(TinyEmbedder):
    """Refuses texts that hold `poison`, or every text while it is `down`, in the ways strangers' code does."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault
        self.down = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.down or any("poison" in text for text in texts):
            raise self.fault
        return super().embed(texts)


FAULTS = [ValueError("too long"), KeyError("token"), TypeError("no"), AssertionError(), OSError("socket"), IndexError()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_one_text_that_cannot_be_embedded_is_found_by_its_words_and_harms_no_other(
    tmp_path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with Memory.open(tmp_path / "m", embedder=Moody(fault)) as memory:
        memory.add_many(f"harmless number {n}" for n in range(20))
        bad = memory.add("a bottle of poison")
        memory.add("harmless too")
        with caplog.at_level(logging.WARNING, "agentmem"):
            assert memory.recall("bottle", k=1)[0].record == bad
        assert bad.id in caplog.text
        assert memory.stats().pending == 0
        others = [hit for hit in memory.recall("harmless", k=30) if hit.record.id != bad.id]
        assert len(others) == 21
        assert all("dense" in hit.parts for hit in others)


def test_an_edit_that_cannot_be_embedded_leaves_no_vector_of_the_old_words(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Moody(ValueError("too long"))) as memory:
        edited = memory.add("the ferry leaves at nine")
        memory.recall("ferry")
        memory.edit(edited.id, text="poison")
        memory.add_many(["one", "two", "three"])
        hits = memory.recall("the ferry leaves at nine", explain=True)
        assert next(hit for hit in hits if hit.record.id == edited.id).verdict == "cosine 0.00"


class Patient(TinyEmbedder):
    """Embeds when it is told to: a model that takes as long as the test needs."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.set()
        assert self.go_on.wait(60)
        return super().embed(texts)


def test_a_slow_process_does_not_put_the_vector_of_old_words_over_that_of_the_new(tmp_path: Path) -> None:
    """Each `Memory` has a ledger of its own: to the other it is as strange as another process."""
    patient = Patient()
    with (
        Memory.open(tmp_path / "m", embedder=patient) as slow,
        Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as quick,
    ):
        id = slow.add("the ferry leaves at nine").id
        embedding = threading.Thread(target=slow.flush)
        embedding.start()
        assert patient.asked.wait(60)
        edited = quick.edit(id, text="the tram leaves at ten")
        quick.flush()
        patient.go_on.set()
        embedding.join()
        slow.flush()
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        memory.add_many(["one", "two", "three"])
        hits = memory.recall(embedding_text(edited))
        assert "cosine 1.00" in next(hit.verdict for hit in hits if hit.record.id == id)


def test_an_embedder_that_is_down_leaves_nothing_marked_and_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = Moody(RuntimeError("connection refused"))
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        first = memory.add("the ferry leaves at nine")
        memory.recall("ferry")
        embedder.down = True
        later = [memory.add(f"the ferry number {n}") for n in range(3)]
        everything = {first.id, *(record.id for record in later)}
        with caplog.at_level(logging.WARNING, "agentmem"):
            for _ in range(3):  # not even the cue can be embedded: it goes by words, and says so once
                assert {hit.record.id for hit in memory.recall("ferry")} == everything
        assert caplog.text.count("by words alone") == 1
        with pytest.raises(EmbeddingError) as refused:
            memory.flush()
        assert refused.value.way_out
        assert memory.stats().pending == 3
        embedder.down = False
        memory.flush()
        assert {hit.record.id for hit in memory.recall("ferry")} == everything
        assert memory.stats().pending == 0


def test_vectors_of_another_dimension_under_the_same_id_are_told(tmp_path: Path) -> None:
    class Wider(TinyEmbedder):
        dimension = 2 * TinyEmbedder.dimension

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.tile(super().embed(texts), 2)[:, : self.dimension]

    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        memory.add("a")
        memory.flush()
    with Memory.open(tmp_path / "m", embedder=Wider()) as memory, pytest.raises(EmbeddingError, match="dimensions"):
        memory.recall("a")


def test_a_rehearsal_concerns_its_own_memory_alone(tmp_path: Path) -> None:
    with (
        Memory.open(tmp_path / "a", embedder=TinyEmbedder()) as rehearsed,
        Memory.open(tmp_path / "b", embedder=TinyEmbedder()) as other,
    ):
        with rehearsed.rehearse():
            rehearsed.add("not written")
            kept = other.add("written")
            with pytest.raises(InvalidInput):
                rehearsed.reindex("vectors")
        assert list(rehearsed.records()) == []
        assert list(other.records()) == [kept]


def test_a_step_that_was_taken_back_meanwhile_is_not_joined(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        with memory.step("long work"):
            memory.add("first")
            taker = threading.Thread(target=memory.undo)  # a thread of its own is in no step
            taker.start()
            taker.join()
            second = memory.add("second")
        assert list(memory.records()) == [second]
        assert [change.verb for change in memory.undo()] == ["undo"]
        assert list(memory.records()) == []


def test_a_task_that_outlives_its_step_writes_steps_of_its_own(tmp_path: Path) -> None:
    async def story() -> list[int]:
        async with await AsyncMemory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
            ended = asyncio.Event()

            async def late() -> None:
                await ended.wait()
                await memory.add("after the step")

            with memory.step("inside"):
                await memory.add("inside the step")
                task = asyncio.create_task(late())
            ended.set()
            await task
            return [change.step for change in await memory.log()]

    assert asyncio.run(story()) == [2, 1]


def test_a_verb_during_the_closing_is_told_that_it_is_closed(tmp_path: Path) -> None:
    async def story() -> list[BaseException | object]:
        memory = await AsyncMemory.open(tmp_path / "m", embedder=TinyEmbedder())
        adds = [asyncio.create_task(memory.add(str(n))) for n in range(200)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(memory.close())
        adds += [asyncio.create_task(memory.add("late")) for _ in range(50)]
        answers = await asyncio.gather(*adds, return_exceptions=True)
        await closing
        return list(answers)

    assert all(not isinstance(a, BaseException) or isinstance(a, MemoryClosed) for a in asyncio.run(story()))


def test_a_checkpoint_of_another_process_does_not_stop_an_erasure(tmp_path: Path) -> None:
    """SQLite copies its log back whenever it has grown; whoever comes meanwhile is turned away at once."""
    done = threading.Event()

    def checkpoint_all_the_time() -> None:
        with closing(sqlite3.connect(tmp_path / "m" / "ledger.sqlite3", timeout=60)) as other:
            while not done.is_set():
                other.execute("PRAGMA wal_checkpoint(PASSIVE)")

    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        memory.add_many(f"number {n}" for n in range(300))
        other = threading.Thread(target=checkpoint_all_the_time)
        other.start()
        try:
            for n in range(30):
                memory.forget(memory.add(f"swordfish {n}").id, hard=True)
        finally:
            done.set()
            other.join()
        held = [path.name for path in (tmp_path / "m").iterdir() if b"swordfish" in path.read_bytes()]
    assert held == []


def test_reading_on_after_the_close_is_refused(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        memory.add_many(str(n) for n in range(2_500))
        listing = memory.records()
        next(listing)
    with pytest.raises(MemoryClosed):
        list(listing)


def test_an_attached_store_hears_of_an_erasure_at_once(tmp_path: Path) -> None:
    from collections.abc import Mapping
    from datetime import datetime

    from agentmem import Change, Cue, Hit, Models, Report

    class Hoarder:
        def __init__(self) -> None:
            self.rebuild()

        def rebuild(self) -> None:
            self.cursor = 0
            self.texts: dict[str, str] = {}

        def apply(self, changes: Sequence[Change]) -> None:
            for change in changes:
                if change.after is None:
                    self.texts.pop(change.record_id, None)
                elif "text" in change.after:
                    self.texts[change.record_id] = str(change.after["text"])
                self.cursor = change.seq

        def recall(self, cue: Cue, k: int) -> list[Hit]:
            return []

        def inspect(self) -> Mapping[str, str]:
            return self.texts

        def consolidate(self, now: datetime, models: Models | None = None) -> Report:
            return Report("")

    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        store = Hoarder()
        memory.attach("hoarder", store)
        record = memory.add("swordfish")
        memory.recall("swordfish")
        assert store.texts == {record.id: "swordfish"}
        memory.forget(record.id, hard=True)
        assert store.texts == {}


def test_an_emptied_ledger_beside_its_log_is_not_begun_anew(tmp_path: Path) -> None:
    """A ledger that is being made is never empty beside a log that is not: its first page comes before its log."""
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        memory.add("kept")
        shutil.copytree(tmp_path / "m", tmp_path / "copy")
    (tmp_path / "copy" / "ledger.sqlite3").write_bytes(b"")
    assert (tmp_path / "copy" / "ledger.sqlite3-wal").stat().st_size > 0
    with pytest.raises(LedgerError):
        Memory.open(tmp_path / "copy", embedder=TinyEmbedder())
