"""Chunks are always what the journal says: followed change by change, built anew, or read from what was kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.errors import AgentMemError
from agentmem.ledger import Segment
from agentmem.store import Host
from agentmem_stores.chunking import ITEM, Rule, Stream
from agentmem_stores.chunks import ChunkMemory
from agentmem_stores.projection import pack, unpack
from tests.chunked import MINUTE, NOON, TOPICS, Counting, Topics, chunked, opened, said, sizes, tell

# ── the journal alone ────────────────────────────────────────────────────────────────────────────────────────────

DEEDS = ("add", "add", "add", "talk", "edit", "move", "forget", "restore", "undo", "redo", "end", "erase", "sum", "tag")


def do(memory: Memory, deed: str, number: int, clock: datetime) -> None:
    records = list(memory.records(states=("live", "forgotten")))
    one = records[number % len(records)] if records else None
    session = ("a", "b", None)[number % 3]
    if deed == "add" or one is None:
        memory.add(f"{TOPICS[number % 4]} word{number}", at=clock, session=session)
    elif deed == "talk":
        tell(memory, said(TOPICS[number % 4], 4 + number % 12), at=clock, session=session)
    elif deed == "edit":
        memory.edit(one.id, text=f"{TOPICS[number % 4]} edited{number}")
    elif deed == "move":
        memory.edit(one.id, session=session, at=clock)
    elif deed == "forget":
        memory.forget(one.id)
    elif deed == "restore":
        memory.restore(one.id)
    elif deed == "undo":
        memory.undo(1 + number % 3)
    elif deed == "redo":
        memory.redo()
    elif deed == "end":
        chunked(memory).end_episode(session)
    elif deed == "erase":
        memory.forget(one.id, hard=True)
    elif deed == "sum":
        memory.consolidate("chunked", now=clock)
    elif deed == "tag":
        memory.tag(one.id, add=["salt"])


def shown(store: ChunkMemory) -> Any:
    """All that can be seen of it, to the last bit."""
    cues = [Cue("sea word1"), Cue("cake edited7", tags=("salt",)), Cue("choir", since=NOON)]
    hits = [(hit.record.id, hit.score, hit.verdict) for cue in cues for hit in store.recall(cue, 99)]
    attended = [store.attend(cue, 9, level=level) for cue in cues for level in (0, 1, 2)]
    return store.tree(), store.inspect(), hits, attended


@given(
    deeds=st.lists(
        st.tuples(st.sampled_from(DEEDS), st.integers(0, 200), st.sampled_from([1, 1, 1, 30, 600])), max_size=40
    ),
    size=st.sampled_from([1, 3, 14]),
)
@settings(max_examples=15)
def test_following_change_by_change_gives_what_building_anew_gives(
    deeds: list[tuple[str, int, int]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make, clock = partial(ChunkMemory, size=size, fan_out=2, summaries=True), NOON
    with opened(tmp_path_factory.mktemp("same"), make) as memory:
        tell(memory, [*said("sea", 13), *said("cake", 9)], session="a")
        for i, (deed, number, minutes) in enumerate(deeds):
            clock += minutes * MINUTE
            try:
                do(memory, deed, number, clock)
            except AgentMemError:
                continue
            if not i % 3:
                chunked(memory)
        before = shown(chunked(memory))
        chunked(memory)._keep()
        store = make(chunked(memory).host)
        assert store.cursor == chunked(memory).cursor, "it was read from what was kept"
        assert shown(store) == before
        store.rebuild()
        assert shown(store) == before


def test_only_what_stands_near_an_edit_is_cut_again(tmp_path: Path) -> None:
    counted: list[Counting] = []

    def make(host: Host) -> ChunkMemory:
        counted.append(Counting(host))
        return ChunkMemory(counted[0])

    with opened(tmp_path, make) as memory:
        records = tell(memory, said("sea", 2000), session="trip")
        chunked(memory)
        for doing in (
            lambda: memory.edit(records[700].id, text="sea change"),
            lambda: memory.add("sea end", at=NOON + 2000 * MINUTE, session="trip"),
            lambda: memory.tag(records[1200].id, add=["x"]),
        ):
            counted[0].looked_up = 0
            doing()
            chunked(memory)
            assert counted[0].looked_up <= 3 * 128
        # One that moves all boundaries after it cuts until the end, and no further back than a chunk.
        counted[0].looked_up = 0
        memory.forget(records[1900].id)
        chunked(memory)
        assert counted[0].looked_up <= 3 * 128


def test_a_new_process_begins_with_what_was_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        tell(memory, said("sea", 300), session="trip")
        chunked(memory).end_episode("trip")
        before = shown(chunked(memory))
    with Memory.open(tmp_path / "m", embedder=Topics()) as memory:
        held: list[int] = []

        def make(host: Host) -> ChunkMemory:
            store = ChunkMemory(host)
            held.append(store.cursor)
            return store

        memory.attach("chunked", make)
        assert held[0] >= 256
        assert shown(chunked(memory)) == before


def test_a_kill_loses_nothing_but_what_is_taken_in_again(tmp_path: Path) -> None:
    memory = opened(tmp_path)
    records = tell(memory, said("sea", 300), session="trip")
    chunked(memory)
    memory.edit(records[10].id, text="cake change")
    memory.add("sea end", session="trip", at=NOON + 300 * MINUTE)
    before = shown(chunked(memory))
    with opened(tmp_path) as other:  # the first is not closed: what it had in memory is gone
        assert shown(chunked(other)) == before
    memory.close()


def test_a_process_that_is_behind_does_not_replace_what_one_ahead_has_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as memory, opened(tmp_path) as ahead:
        tell(memory, said("sea", 9), session="trip")
        behind = chunked(memory)
        tell(ahead, said("sea", 9), session="trip")
        chunked(ahead)._keep()
        behind._keep()
        assert [one.until for one in behind.host.ledger.segments("chunks")] == [18]
        assert ChunkMemory(behind.host).cursor == 18


def test_of_chunks_alike_the_first_told_is_chosen_whatever_happened_since(tmp_path: Path) -> None:
    make = partial(ChunkMemory, chosen=1)
    with opened(tmp_path, make) as memory:
        first = tell(memory, said("sea", 4), session="one")
        tell(memory, said("sea", 4), session="two")
        for _ in range(2):
            [hit, *_] = chunked(memory).recall(Cue("sea"), 4)
            assert hit.record.session == "one"
            memory.forget(*(record.id for record in first))
            assert chunked(memory).recall(Cue("sea"), 1)[0].record.session == "two"
            memory.restore(*(record.id for record in first))


def test_a_note_that_was_erased_does_not_end_another_record_of_that_id(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.add_many([{"text": "sea", "id": "x", "session": "trip"}])
        chunked(memory).end_episode("trip")
        assert chunked(memory).chunk_of("x").closed
        memory.forget("x", hard=True)
        chunked(memory)
        memory.add_many([{"text": "sea", "id": "x", "session": "trip"}])
        assert not chunked(memory).chunk_of("x").closed


def test_what_was_erased_is_in_no_segment(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        records = tell(memory, said("sea", 300), session="trip", tags=["secret-salt"])
        chunked(memory)
        memory.forget(*(record.id for record in records[:299]), hard=True)
        store = chunked(memory)
        assert sizes(store) == [1]
        segments = store.host.ledger.segments("chunks")
        assert all(len(unpack(one.data)[1]["items"]) <= 1 for one in segments)


def _packed(change: Callable[[Any, dict[str, Any]], None], data: bytes) -> bytes:
    told, arrays = unpack(data)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(told, arrays)
    return pack(told, **arrays)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "noise": lambda data: b"\x00\xff" * 99,
    "cut off": lambda data: data[: len(data) // 2],
    **{
        name: partial(_packed, change)
        for name, change in {
            "another version": lambda told, arrays: told.update(stamp=["chunks", 0]),
            "no stamp": lambda told, arrays: told.pop("stamp"),
            "no items": lambda told, arrays: arrays.pop("items"),
            "other items": lambda told, arrays: arrays.update(items=arrays["items"]["at"]),
            "turned round": lambda told, arrays: arrays.update(items=arrays["items"][::-1]),
            "twice": lambda told, arrays: arrays["items"]["position"].fill(7),
            "an unknown label": lambda told, arrays: arrays["items"]["label"].fill(99),
            "a label below": lambda told, arrays: arrays["items"]["label"].fill(-1),
            "labels of no kind": lambda told, arrays: told.update(labels=[[1, 2, 3, [4]]] * len(told["labels"])),
            "no numbers": lambda told, arrays: arrays["keys"].fill(np.nan),
            "another width": lambda told, arrays: arrays.update(keys=arrays["keys"][:, :5]),
            "fewer keys": lambda told, arrays: arrays.update(keys=arrays["keys"][1:]),
            "starts beyond": lambda told, arrays: arrays["starts"].fill(10**9),
            "starts below": lambda told, arrays: arrays["starts"].fill(-1),
            "lengths that overflow": lambda told, arrays: arrays["lengths"].fill(2**62),
            "no lengths": lambda told, arrays: arrays.update(lengths=np.zeros((0, 2), np.int64)),
            "sessions too many": lambda told, arrays: told["sessions"].append("more"),
            "a session of no text": lambda told, arrays: told.update(sessions=[["trip"]] * len(told["sessions"])),
            "open is missing": lambda told, arrays: told.pop("open"),
            "summaries of nothing": lambda told, arrays: told.update(made=[["x"]]),
            "ended by numbers": lambda told, arrays: told.update(ended=[5]),
        }.items()
    },
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_was_kept_and_cannot_be_read_is_derived_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    with opened(tmp_path) as memory:
        tell(memory, said("sea", 40), session="trip")
        tell(memory, said("cake", 9), session="home")
        store = chunked(memory)
        before = shown(store)
        store.rebuild()
        ledger = store.host.ledger
        [(until, data)] = ledger.segments("chunks")
        bad = Segment(until, damage(data))
        assert ledger.transact(lambda t: t.put_segment("chunks", bad, standing=[until], kept=0))
        fresh = ChunkMemory(store.host)
        assert fresh.cursor == 0
        fresh.apply(ledger.changes())
        assert shown(fresh) == before
        fresh._keep()
        assert ChunkMemory(store.host).cursor == until, "and kept in its place"


def test_a_segment_of_a_journal_that_went_further_is_not_believed(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        tell(memory, said("sea", 9), session="trip")
        store = chunked(memory)
        store.rebuild()
        ledger = store.host.ledger
        [(until, data)] = ledger.segments("chunks")
        ledger.transact(lambda t: t.put_segment("chunks", Segment(until + 99, data), standing=[until], kept=0))
        assert ChunkMemory(store.host).cursor == 0


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        tell(memory, said("sea", 9), session="trip")
        chunked(memory).rebuild()
        assert ChunkMemory(chunked(memory).host).cursor
        for other in ({"size": 5}, {"gap": timedelta(hours=1)}, {"shift": 0.5}):
            assert ChunkMemory(chunked(memory).host, **other).cursor == 0


@given(
    at=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    ends=st.sets(st.integers(0, 59)),
    gone=st.sets(st.integers(0, 59)),
    put=st.sets(st.integers(0, 70)),
    size=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_a_stream_altered_in_many_places_is_one_cut_at_once(
    at: list[int], ends: set[int], gone: set[int], put: set[int], size: int, seed: int
) -> None:
    topics = np.eye(4, dtype=np.float32)
    drawn = np.random.default_rng(seed).integers(0, 4, 80)

    def vectors(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return topics[drawn[positions // 8 % 80]]

    rule = Rule(size, 15, 0.75)
    items = [(i, moment, 0, i, i in ends) for i, moment in enumerate(at)]
    more = [(i, 5, 0, 1, False) for i in sorted(put)]
    followed = Stream(4)
    followed.alter((), np.array(items, ITEM), vectors, rule)
    followed.alter(gone, np.array(more, ITEM), vectors, rule)
    rest = {item[0]: item for item in items if item[0] not in gone} | {item[0]: item for item in more}
    whole = Stream(4)
    whole.alter((), np.array(sorted(rest.values()), ITEM), vectors, rule)
    assert followed.items.tolist() == whole.items.tolist()
    assert followed.starts.tolist() == whole.starts.tolist()
    assert followed.keys.tobytes() == whole.keys.tobytes()
    assert followed.open == whole.open
