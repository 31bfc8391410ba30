"""All stores at once: asked, fed, rearranged and consolidated by several threads, and by two processes' worth of
handles; in the end each is what building anew gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from agentmem import Conflict, Cue, InvalidInput, Memory, RecordNotFound, UndoBlocked
from agentmem_stores.testing.shipped import STORES
from agentmem_stores.testing.stores import StoreRoom, state
from tests.disks import filled_up, small_disk

NAMES = [subject.name for subject in STORES]
REFUSED = (Conflict, InvalidInput, RecordNotFound, UndoBlocked)


def agree(memory: Memory) -> None:
    memory.flush()
    for name in NAMES:
        store = memory.stores[name]
        seen = state(store)
        memory.reindex(name)
        assert state(memory.stores[name]) == seen, name


def test_threads_that_ask_and_tell_all_stores_at_once(tmp_path: Path) -> None:
    room = StoreRoom(STORES[0], tmp_path, seed=5, cases=1)
    items = [{k: v for k, v in room.item(n).items() if v is not None} for n in range(240)]
    room.close()
    with Memory.open(tmp_path / "m", embedder="hash:64") as one, Memory.open(tmp_path / "m", embedder="hash:64") as two:
        one.add_many(items[:40])
        stop = threading.Event()

        def telling(memory: Memory, begin: int) -> None:
            for item in items[begin : begin + 100]:
                memory.add(**item)

        def asking(memory: Memory) -> None:
            while not stop.is_set():
                memory.recall("What happened at harbour/pier 3? Give me a summary of what Ana likes.")
                for name in NAMES:
                    memory.stores[name].recall(Cue("tea"), 5)
                    memory.stores[name].inspect()
                memory.working()

        def minding(memory: Memory) -> None:
            while not stop.is_set():
                memory.consolidate("thoughts", "chunks")
                held = memory.working()
                with suppress(*REFUSED):  # it may be out of mind by now
                    memory.stores["working"].evict(held[-1].records[0].id)  # type: ignore[attr-defined]
                with suppress(*REFUSED):
                    memory.forget(held[0].records[0].id)

        with ThreadPoolExecutor(6) as pool:
            told = [pool.submit(telling, one, 40), pool.submit(telling, two, 140)]
            others = [pool.submit(job, memory) for job in (asking, minding) for memory in (one, two)]
            for done in told:
                done.result()
            stop.set()
            for done in others:
                done.result()
        for memory in (one, two):
            agree(memory)
        assert [state(one.stores[name]) for name in NAMES] == [state(two.stores[name]) for name in NAMES]


def test_they_are_the_same_on_either_database(places: Callable[[], str], tmp_path: Path) -> None:
    room = StoreRoom(STORES[0], tmp_path, seed=7, cases=1)
    items = [{k: v for k, v in room.item(n).items() if v is not None} for n in range(300)]
    room.close()
    with Memory.open(places(), embedder="hash:64") as memory:
        memory.add_many(items)
        memory.flush()
        for name in NAMES:
            assert memory.stores[name].cursor == 300
        assert memory.host.ledger.segments("working")  # kept
        memory.consolidate()
        memory.undo()
        memory.forget(next(memory.records()).id, hard=True)
        assert memory.host.ledger.segments("working") == []
        agree(memory)


def test_a_full_disk_silences_no_store(tmp_path: Path) -> None:
    """What cannot be kept is in memory, and the next process derives it again."""
    room = StoreRoom(STORES[0], tmp_path, seed=6, cases=1)
    items = [{k: v for k, v in room.item(n).items() if v is not None} for n in range(300)]
    room.close()
    with small_disk(tmp_path / "disk") as disk, Memory.open(disk / "m", embedder="hash:64") as memory:
        memory.add_many(items)
        memory.flush()
        with filled_up(disk):
            seen = {name: state(memory.stores[name]) for name in NAMES}
            assert memory.recall("What happened at harbour/pier 3?")
        for name in NAMES:
            memory.reindex(name)
            assert state(memory.stores[name]) == seen[name], name
