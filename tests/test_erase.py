"""Erased is erased: after a hard forget no file of the memory holds the words, and all else is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from agentmem.errors import RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Record, State
from tests.fakes import TinyEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
MARK = "Zürich-péché-7731"  # not ASCII, and nothing else says it


@pytest.fixture(autouse=True)
def careless_sqlite() -> Iterator[None]:
    """As most builds of SQLite are: without secure_delete, which some compile in, and which would hide a fault."""

    def careless(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA secure_delete=OFF")

    event.listen(Engine, "connect", careless)
    yield
    event.remove(Engine, "connect", careless)


def files_with(memory: Memory, mark: str = MARK) -> list[str]:
    """The files of the memory that hold the words: as UTF-8, or as JSON that escapes them."""
    folder = Path(memory.url)
    forms = {mark.encode(), json.dumps(mark)[1:-1].encode(), mark.encode("utf-16-le"), mark.encode("utf-16-be")}
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]


def state_of(memory: Memory) -> dict[str, Record]:
    return {record.id: record for record in memory.records(states=ALL)}


def grown(memory: Memory) -> list[str]:
    """A memory with a past: several pages, vectors, edits, an undo. The ids of what has nothing to do with a secret."""
    records = memory.add_many([f"An ordinary day, number {i}. " * 20 for i in range(50)])
    memory.edit(records[3].id, text="Not so ordinary.")
    memory.pin(records[4].id)
    memory.undo()
    memory.recall("ordinary")
    return [record.id for record in records]


def secret(memory: Memory, **fields: Any) -> Record:
    return memory.add(f"I was in {MARK} with Ben.", **fields)


# Each makes a past in which the words stand in several places, and returns the ids to erase.
def _plain(memory: Memory) -> list[str]:
    return [secret(memory).id]


def _big(memory: Memory) -> list[str]:
    return [memory.add(f"{MARK} " * 50_000).id]  # over many pages


def _edited_away(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.edit(record.id, text="I was at home.")
    return [record.id]


def _edited_in(memory: Memory) -> list[str]:
    record = memory.add("I was at home.")
    memory.edit(record.id, text=f"I was in {MARK}.")
    memory.undo()
    memory.redo()
    memory.undo()
    return [record.id]


def _in_every_field(memory: Memory) -> list[str]:
    record = memory.add(
        "I was away.",
        speaker=MARK,
        role=MARK,
        session=MARK,
        place=f"{MARK}/hotel",
        tags=[MARK],
        meta={"where": [MARK], MARK: 1},
    )
    memory.tag(record.id, add=[f"{MARK} too"])
    memory.edit(record.id, speaker=None, role=None, session=None, place=None, tags=[], meta={})
    return [record.id]


def _merged(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.merge(record.id, memory.add("Then I came back.").id)
    return [record.id]


def _the_merge(memory: Memory) -> list[str]:
    return [memory.merge(secret(memory).id, memory.add("Then I came back.").id).id]


def _merged_and_taken_back(memory: Memory) -> list[str]:
    [record] = _merged(memory)
    memory.undo()
    return [record]


def _merged_and_its_sources_edited_away(memory: Memory) -> list[str]:
    record = secret(memory)
    merged = memory.merge(record.id, memory.add("Then I came back.").id)
    memory.edit(merged.id, sources=[])
    return [record.id]


def _split(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.split(record.id, [f"I was in {MARK}", "with Ben."])
    return [record.id]


def _a_part(memory: Memory) -> list[str]:
    return [memory.split(secret(memory).id, [f"I was in {MARK}", "with Ben."])[0].id]


def _split_and_taken_back(memory: Memory) -> list[str]:
    [record] = _split(memory)
    memory.undo()
    return [record]


def _derived(memory: Memory) -> list[str]:
    record = secret(memory)
    thought = memory.add(f"Ben likes {MARK}.", kind="thought", sources=[record.id])
    memory.add(f"Ask Ben about {MARK}.", kind="plan", sources=["elsewhere", thought.id])
    return [record.id]


def _derived_and_taken_back(memory: Memory) -> list[str]:
    [record] = _derived(memory)
    memory.undo(2)
    return [record]


def _added_and_taken_back(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.undo()
    return [record.id]


def _forgotten(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.forget(record.id)
    return [record.id]


def _exported_and_taken_in_again(memory: Memory) -> list[str]:
    record = secret(memory)
    memory.undo()
    memory.add_many([record])
    return [record.id]


PASTS = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]


@pytest.mark.parametrize("past", PASTS)
def test_no_file_holds_the_words(memory: Memory, past: Callable[[Memory], list[str]]) -> None:
    kept = grown(memory)
    before = {id: memory.get(id) for id in kept}
    histories = {id: memory.history(id) for id in kept}
    ids = past(memory)
    memory.recall("ordinary")  # so that vectors and views know of it
    assert files_with(memory)
    memory.forget(*ids, hard=True)

    assert files_with(memory) == []  # while it is open, with its log and index files
    assert not any(MARK in str(record.to_json()) for record in state_of(memory).values())
    assert not any(MARK in line for line in memory.export_lines())
    assert not any(MARK in hit.record.text for hit in memory.recall(MARK, 100, explain=True))
    assert not any(MARK in str(change.to_json()) for change in memory.log(10_000))
    for id in ids:
        with pytest.raises(RecordNotFound):
            memory.get(id)
        history = memory.history(id)
        assert all(change.erased for change in history)
        assert history[-1].verb == "erase"
    assert {id: memory.get(id) for id in kept} == before
    assert {id: memory.history(id) for id in kept} == histories
    assert memory.verify() == []

    memory.add("Life goes on.")
    memory.close()
    assert files_with(memory) == []
    with Memory.open(memory.url, embedder=TinyEmbedder()) as again:
        assert again.verify() == []
        assert {id: again.get(id) for id in kept} == before
        assert not any(MARK in hit.record.text for hit in again.recall(MARK, 100))
        again.undo()
    assert files_with(memory) == []


_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4, max_size=30).filter(
    lambda text: len(text.strip()) >= 4
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(middle=_names)
def test_whatever_the_words_are(memory: Memory, middle: str) -> None:
    words = f"mark{middle}mark"
    record = memory.add(f"about {words}!")
    memory.edit(record.id, text=words, speaker=words)
    memory.forget(record.id, hard=True)
    assert files_with(memory, words) == []
    assert memory.verify() == []


# ── what goes along, and what does not ───────────────────────────────────────────────────────────────────────────


def test_what_was_hidden_only_by_an_erased_merge_comes_back(memory: Memory) -> None:
    one, two = secret(memory), memory.add("Then I came back.")
    merged = memory.merge(one.id, two.id)
    gone = memory.forget(one.id, hard=True)
    assert {record.id for record in gone} == {one.id, merged.id}
    [back] = state_of(memory).values()
    assert (back.id, back.text, back.state, back.replaced_by) == (two.id, two.text, "live", ())
    assert [hit.record.id for hit in memory.recall("came back")] == [two.id]
    assert [change.verb for change in memory.history(two.id)] == ["add", "merge", "restore"]


def test_a_merge_takes_the_originals_that_it_hides_along(memory: Memory) -> None:
    one, two = secret(memory), memory.add(f"Then I left {MARK}.")
    merged = memory.merge(one.id, two.id)
    assert {record.id for record in memory.forget(merged.id, hard=True)} == {one.id, two.id, merged.id}
    assert state_of(memory) == {}


def test_the_other_parts_of_a_split_stay(memory: Memory) -> None:
    whole = secret(memory)
    first, second = memory.split(whole.id, [f"I was in {MARK}", "with Ben."])
    note = memory.add("Ben is a friend.", sources=[second.id])
    gone = memory.forget(first.id, hard=True)
    assert {record.id for record in gone} == {whole.id, first.id}
    assert list(memory.records()) == [second, note]


def test_naming_a_whole_beside_its_part_takes_every_part(memory: Memory) -> None:
    whole = secret(memory)
    parts = memory.split(whole.id, [f"I was in {MARK}", "with Ben."])
    memory.forget(parts[0].id, whole.id, parts[0].id, hard=True)
    assert state_of(memory) == {}
    assert [change.verb for change in memory.history(whole.id)] == ["add", "split", "erase"]


def test_a_chain_of_merges_and_splits(memory: Memory) -> None:
    whole = memory.add(f"I was in {MARK}. Ben came along. We ate.")
    where, who, what = memory.split(whole.id, [f"I was in {MARK}.", "Ben came along.", "We ate."])
    rain = memory.add("It rained.")
    merged = memory.merge(where.id, rain.id)
    memory.forget(rain.id, hard=True)  # which takes the merge, and nothing of the split
    assert {id: record.state for id, record in state_of(memory).items()} == {
        whole.id: "replaced",
        where.id: "live",
        who.id: "live",
        what.id: "live",
    }
    with pytest.raises(RecordNotFound):
        memory.get(merged.id)
    memory.forget(where.id, hard=True)
    assert list(memory.records()) == [who, what]
    assert files_with(memory) == []


def test_derived_from_something_else_stays(memory: Memory) -> None:
    one, other = secret(memory), memory.add("Ben called.")
    thought = memory.add("Ben is well.", kind="thought", sources=[other.id])
    from_file = memory.add("A page.", sources=["notes.txt"])
    memory.add(f"Ben was in {MARK}.", kind="thought", sources=[other.id, one.id])
    memory.forget(one.id, hard=True)
    assert list(memory.records()) == [other, thought, from_file]


def test_a_rehearsal_shows_what_would_go(memory: Memory) -> None:
    one, two = secret(memory), memory.add("Then I came back.")
    merged = memory.merge(one.id, two.id)
    thought = memory.add("A thought.", sources=[merged.id])
    before, head = state_of(memory), memory.stats().head
    with memory.rehearse():
        told = memory.forget(one.id, hard=True)
    assert {record.id for record in told} == {one.id, merged.id, thought.id}
    assert (state_of(memory), memory.stats().head) == (before, head)
    assert files_with(memory)
    assert memory.forget(one.id, hard=True) == told
    assert told[0] == before[told[0].id]  # as it was, words included


def test_an_erasure_is_one_step_with_its_actor_and_nothing_else_loses_its_past(memory: Memory) -> None:
    one, two = memory.add_many([f"in {MARK}", "at home"])
    memory.tag(one.id, two.id, add=["x"])
    with memory.step("as Ana asked", actor="ana"):
        memory.forget(one.id, hard=True)
        memory.edit(two.id, text="at home, alone")
    newest = memory.log(2)
    assert {(change.cause, change.actor, change.step) for change in newest} == {("as Ana asked", "ana", 5)}
    assert [(change.verb, change.erased) for change in memory.log()] == [
        ("edit", False),
        ("erase", True),
        ("tag", False),
        ("tag", True),
        ("add", False),
        ("add", True),
    ]


def test_an_erased_id_can_be_used_again(memory: Memory) -> None:
    memory.add_many([{"id": "same", "text": MARK}])
    memory.forget("same", hard=True)
    memory.add_many([{"id": "same", "text": "something else"}])
    assert memory.get("same").text == "something else"
    assert [(change.verb, change.erased) for change in memory.history("same")] == [
        ("add", True),
        ("erase", True),
        ("add", False),
    ]
    memory.undo()
    memory.redo()
    assert memory.get("same").text == "something else"
    assert memory.verify() == []
    assert files_with(memory) == []
