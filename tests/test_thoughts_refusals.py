"""Bad input to thoughts, what strangers put into them, and what is kept between two processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.errors import InvalidInput, LedgerError
from agentmem.ledger import Segment
from agentmem.values import Json
from agentmem_stores.projection import pack
from agentmem_stores.thinking.statements import (
    FUNCTIONAL,
)
from agentmem_stores.thinking.validity import ROW, SOURCE, UPDATED
from agentmem_stores.thoughts import ThoughtMemory
from tests import thinking
from tests.thinking import (
    EMBEDDER,
    columns,
    day,
    holding,
    new_room,
    numbers,
    of,
    opened,
    think,
    thoughts,
)

house, room = thinking.house, thinking.room


# ── bad input, and what is kept ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("", "likes", "tea"), "without a head"),
        (("  \n", "likes", "tea"), "without a head"),
        (("Ana", "", "tea"), "without a relation"),
        (("Ana", "likes", ""), "without a tail"),
        (("Ana", "likes", []), "1 to 32 tails"),
        (("Ana", "likes", ["tea"] * 33), "1 to 32 tails"),
        (("Ana", "likes", ["tea", 7]), "tail must be text"),
        (("Ana", "likes", None), "tail must be a list"),
        ((None, "likes", "tea"), "head must be text"),
        (("A\0na", "likes", "tea"), "NUL"),
        (("A" * 501, "likes", "tea"), "500 are the most"),
    ],
)
def test_a_thought_that_says_nothing_is_refused(room: Memory, given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        of(room).insert(*given)
    assert thoughts(room) == []


def test_other_bad_input_is_refused(room: Memory) -> None:
    store = of(room)
    with pytest.raises(InvalidInput, match="does not hold the tail"):
        store.insert("Ana", "likes", "tea", text="Ana likes figs")
    with pytest.raises(InvalidInput, match="no time zone"):
        store.insert("Ana", "likes", "tea", at="2024-05-03T10:00:00")
    with pytest.raises(InvalidInput, match="negated"):
        store.insert("Ana", "likes", "tea", negated="no")  # type: ignore[arg-type]
    store.insert("Ana", "likes", "tea", text="Tea is what Ana likes.")
    for vector in ((1.0,), (float("nan"),) * 8, (0.0,) * 9):
        with pytest.raises(InvalidInput, match="vector"):
            store.recall(Cue("tea", vector=vector), 3)
    assert [hit.parts for hit in store.recall(Cue(vector=(0.0,) * 8), 3)] == []
    assert store.recall(Cue(), 3) == store.recall(Cue("tea"), 0) == []
    host = room._opened.stores(room.bound).host
    wrong: list[dict[str, Any]] = [{"mode": "fast"}, {"buckets": 7}, {"functional": "lives in"}, {"fewest": -1}]
    for options in wrong:
        with pytest.raises(InvalidInput):
            ThoughtMemory(host, **options)
    assert not store.bucket("nobody")
    assert store.current("nobody") == store.history("Ana", "hates") == []


def test_other_relations_may_have_one_tail_at_a_time(house: Memory) -> None:
    memory = opened(house.scope(f"room:{next(numbers)}"), functional=["Drives", "rank *"])
    for n, tail in enumerate(["a car", "a van"]):
        for relation in ("drives", "rank in chess", "lives in"):
            of(memory).insert("Ana", relation, tail, at=day(n))
    assert {one.relation: one.tails for one in of(memory).current("Ana")} == {
        "drives": ("a van",),
        "rank in chess": ("a van",),
        "lives in": ("a car", "a van"),
    }


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"head": "Ana"},
        {"head": 1, "relation": [], "tail": {}},
        {"head": "Ana", "relation": "likes", "tail": []},
        {"head": "Ana", "relation": "likes", "tail": ["x"] * 5000},
        {"head": "Ana", "relation": "likes", "tail": "gold", "superseded_by": 7, "confirmed": "never"},
        {"head": "Ana", "relation": "likes", "tail": "tea", "confirmed": "9999-99-99", "unsourced": "yes"},
        {"head": " ", "relation": "likes", "tail": "tea", "negated": "perhaps"},
    ],
)
def test_a_strangers_meta_breaks_nothing(room: Memory, meta: dict[str, Any]) -> None:
    store = of(room)
    for id in ("one", "merged-" + "0" * 32):
        room.add_many([{"text": "Tea, always tea", "id": id, "kind": "thought", "meta": meta, "sources": ["nobody"]}])
    store.insert("Ben", "likes", "figs")
    think(room)
    assert think(room).summary == "nothing to do"
    room.load()
    assert any("tea" in hit.record.text for hit in store.recall(Cue("tea"), 10))
    assert holding(room, "Ben") == {("ben", "likes"): {"figs"}}
    store.inspect()
    store.rebuild()
    assert room.verify() == []


def test_a_sentence_that_was_edited_is_read_anew(room: Memory) -> None:
    store = of(room)
    thought = store.insert("Ana", "lives in", "Rome", at=day(0))
    room.edit(thought.id, text="Ana lives in Oslo")
    assert holding(room, "Ana") == {("ana", "lives in"): {"oslo"}}
    room.edit(thought.id, text="Somewhere by the sea")
    assert store.current("Ana") == []
    assert store.inspect()["unread"] == 1


def test_it_goes_on_from_what_was_kept_and_bears_with_anything_there(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
        opened(memory)
        memory.add("I live in Rome.", speaker="Ana")
        think(memory)
        kept = columns(of(memory))
        [segment] = memory._ledger.segments("thoughts")
    stamp: list[Json] = ["thoughts", 2, EMBEDDER.id, sorted(FUNCTIONAL)]
    rows, sources, updates = np.zeros(3, ROW), np.zeros(0, SOURCE), np.zeros(0, UPDATED)
    forged = [
        b"",
        b"PK no zip",
        segment.data[:-20],
        pack({"stamp": ["others"]}, rows=rows, sources=sources, updates=updates),
        pack({"stamp": stamp}, rows=rows, sources=sources),
        pack({"stamp": stamp}, rows=rows, updates=updates),
        pack({"stamp": stamp}, rows=np.zeros(3), sources=sources, updates=updates),
        pack({"stamp": stamp}, rows=rows, sources=sources, updates=np.zeros(2)),
        pack({"stamp": stamp}, rows=rows, sources=sources, updates=updates),
        pack({"stamp": stamp}, rows=rows.reshape(1, 3), sources=sources, updates=updates),
        pack([], rows=rows, sources=sources, updates=updates),
    ]
    for data in [segment.data, *forged]:
        with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
            until = memory._ledger.head()
            memory._ledger.transact(
                lambda t, u=until, d=data: t.put_segment(  # type: ignore[misc]
                    "thoughts", Segment(u, d), standing=[s.until for s in t.segments("thoughts")], kept=0
                )
            )
            store = ThoughtMemory(memory._opened.stores(memory.bound).host)
            assert store.cursor == (until if data == segment.data else 0)
            opened(memory)
            assert columns(of(memory)) == kept
            assert holding(memory, "Ana") == {("ana", "lives in"): {"rome"}}


def test_a_segment_that_fits_and_lies_is_told(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
        memory.add("a turn")
        rows = np.zeros(1, ROW)
        rows["position"], rows["flags"], rows["group"] = 1, 0b1000001, 5  # both live and put aside
        rows = np.concatenate([rows, rows])
        rows["position"], rows["tail"] = [1, 1], [2, 3]
        stamp: list[Json] = ["thoughts", 2, EMBEDDER.id, sorted(FUNCTIONAL)]
        data = pack({"stamp": stamp}, rows=rows, sources=np.zeros(0, SOURCE), updates=np.zeros(0, UPDATED))
        memory._ledger.transact(lambda t: t.put_segment("thoughts", Segment(1, data), standing=[], kept=0))
        opened(memory)
        of(memory).current("Ana")
        of(memory).recall(Cue("tea"), 3)
        with suppress(LedgerError):
            think(memory)
        of(memory).rebuild()
        assert think(memory).summary == "nothing to do"
        assert thoughts(memory) == []


def test_scopes_know_nothing_of_each_other(house: Memory) -> None:
    one, other = (new_room(house) for _ in range(2))
    of(one).insert("Ana", "likes", "tea")
    think(other)
    assert of(other).current("Ana") == []
    assert of(other).heads() == []
    assert of(other).recall(Cue("Ana likes tea"), 5) == []
