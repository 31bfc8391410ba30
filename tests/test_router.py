"""Which stores a recall asks, and what their word does to it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentmem import InvalidInput, Memory
from agentmem.recall.presets import PRESETS
from agentmem.router import ROUTES

MAY = datetime(2024, 5, 1, 9, tzinfo=UTC)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        told = [
            ("I live in Lisbon.", "harbour/pier 3"),
            ("I like tea.", "harbour/pier 4"),
            ("The ferry was late again.", "harbour/pier 3"),
            ("I moved to Porto.", "office"),
            ("I like figs.", "office"),
        ]
        memory.add_many(
            {"text": text, "speaker": "Ana", "session": "trip", "place": place, "at": MAY + timedelta(days=n)}
            for n, (text, place) in enumerate(told)
        )
        yield memory


def parts(memory: Memory, cue: str, engine: str = "learned") -> set[str]:
    return {name for hit in memory.recall(cue, engine=engine) for name in hit.parts}


@pytest.mark.parametrize(
    ("cue", "asked"),
    [
        ("What happened at pier 3?", {"episodic"}),
        ("What happened at harbour pier 3?", {"episodic"}),
        ("What happened at the harbour?", {"episodic"}),
        ("What happened at pier 9?", set()),
        ("Who was in the office?", {"episodic"}),
        ("Give me a summary of the trip.", {"chunks"}),
        ("Where does Ana live?", set()),
    ],
)
def test_a_store_is_asked_where_its_route_leads(memory: Memory, cue: str, asked: set[str]) -> None:
    assert parts(memory, cue) & ROUTES.keys() == asked


def test_thoughts_are_asked_once_there_are_any(memory: Memory) -> None:
    assert "thoughts" not in parts(memory, "Where does Ana live?")
    memory.consolidate("thoughts")
    assert "thoughts" in parts(memory, "Where does Ana live?")
    assert "thoughts" in parts(memory, "Where does Ana live?", "training-free")
    for engine in ("bm25", "dense", "rrf", "zsum"):
        assert not PRESETS[engine].stores
        assert not parts(memory, "Where does Ana live?", engine) & ROUTES.keys()


def test_what_is_true_now_comes_before_the_turn_that_said_what_was(memory: Memory) -> None:
    memory.consolidate("thoughts")
    [first, *_] = memory.recall("Where does Ana live?")
    assert first.record.text == "Ana lives in Porto"
    assert first.verdict.count("1 older value") == 1
    memory.undo(1)  # of what was thought
    assert "thoughts" not in parts(memory, "Where does Ana live?")


def test_a_turn_of_which_nothing_holds_any_more_gives_way(memory: Memory) -> None:
    def outdated() -> dict[str, str]:
        hits = memory.recall("Where does Ana live, and what does she like?")
        return {hit.record.text: hit.verdict for hit in hits if hit.parts.get("outdated")}

    assert outdated() == {}
    memory.add("I have lived in Lisbon, and I like tea.", speaker="Ana")  # nothing is read from it that ended
    memory.consolidate("thoughts")
    assert set(outdated()) == {"I live in Lisbon."}
    assert "holds no longer, since 2024-05-04" in outdated()["I live in Lisbon."]
    both = memory.add("I live in Rome. I like snow.", speaker="Ana", at=MAY + timedelta(days=9))
    memory.consolidate("thoughts")
    assert set(outdated()) == {"I live in Lisbon.", "I moved to Porto."}
    memory.add("I moved to Oslo.", speaker="Ana", at=MAY + timedelta(days=10))
    memory.consolidate("thoughts")
    assert both.text not in outdated()  # she still likes snow
    memory.undo(2)
    assert set(outdated()) == {"I live in Lisbon.", "I moved to Porto."}
    memory.forget(both.id)
    memory.consolidate("thoughts")
    assert set(outdated()) == {"I live in Lisbon."}


def test_few_thoughts_take_the_place_of_turns(memory: Memory) -> None:
    memory.add_many({"text": f"I like the {n}th song.", "speaker": "Ana", "at": MAY} for n in range(30))
    store = memory.stores["thoughts"]
    for n in range(30):
        store.insert("Ana", f"likes at {n}", f"thing {n}")  # type: ignore[attr-defined]
    heard = [hit for hit in memory.recall("What does Ana like?", 10) if hit.parts.get("thoughts")]
    assert len(heard) == ROUTES["thoughts"].depth


def test_a_store_that_is_far_behind_catches_up_beside_the_recalls(tmp_path: Path) -> None:
    """A recall lets it follow a thousand changes, and goes on."""
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many({"text": f"tea {n}", "place": "office", "session": "trip"} for n in range(3_000))
        memory.flush()
        memory.reindex("words")
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:  # nothing is to be kept that would wake anybody
        assert "episodic" in parts(memory, "Who was in the office?")
        deadline = time.monotonic() + 60
        while memory._opened.stores(memory.bound).opened("episodic").store.inspect()["size"] != 3_000:
            assert time.monotonic() < deadline


def test_a_store_that_cannot_be_opened_is_left_out_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add("The ferry was late.", place="harbour")
        assert memory.recall("ferry")
        with closing(sqlite3.connect(tmp_path / "m" / "ledger.sqlite3")) as connection, connection:
            connection.execute("DROP TABLE segments")
        for _ in range(2):
            [hit] = memory.recall("What happened in the harbour?")
            assert hit.record.text == "The ferry was late."
            assert "episodic" not in hit.parts
    assert [line for line in caplog.messages if "without what episodic says" in line][1:] == []
    assert any("without what episodic says" in line for line in caplog.messages)


def test_a_handle_may_go_by_rules_of_its_own(memory: Memory) -> None:
    memory.route({**ROUTES, "chunks": ROUTES["chunks"]._replace(concerns=lambda question: "always", weight=1.5)})
    found = memory.recall("tea")
    assert [(one.store, one.why) for one in found.asked] == [("chunks", "always")]
    assert max(hit.parts.get("chunks", 0.0) for hit in found) == pytest.approx(1.5)
    assert memory.scope("user:ana").recall("tea") == []
    memory.route({})
    assert memory.recall("What happened at harbour pier 3?").asked == ()
    ana = memory.scope("user:ana")
    ana.add("The ferry was late.", place="office")
    assert ana.recall("Who was in the office?").asked == ()
    for wrong in (None, {"chunks": 1.0}, ["chunks"]):
        with pytest.raises(InvalidInput, match="routes must be"):
            memory.route(wrong)  # type: ignore[arg-type]


def test_what_a_recall_tells_of_whom_it_asked(memory: Memory) -> None:
    found = memory.recall("Give me a summary of what happened at harbour pier 3.")
    assert {one.store: one.why for one in found.asked} == {
        "episodic": "it names a place",
        "chunks": "it asks for an overview",
    }
    for one in found.asked:
        assert (one.note, one.hits > 0, one.ms > 0) == ("", True, True)
    assert memory.recall("tea").asked == ()


def test_which_stores_a_memory_concerns(memory: Memory) -> None:
    [here, *_] = memory.records()
    assert memory.router.keeps(here)["episodic"] == "it happened somewhere"
    nowhere = memory.add("Snow.", kind="fact")
    assert "episodic" not in memory.router.keeps(nowhere)
    assert "working" not in memory.router.keeps(nowhere)


def test_everything_is_asked_only_to_compare(memory: Memory) -> None:
    whole = replace(PRESETS["learned"], everything=True)
    assert {one.store for one in memory.recall("tea", engine=whole).asked} == ROUTES.keys()
