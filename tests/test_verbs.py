"""Each verb by itself: what it keeps exactly, and what it does to a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmem.cues import Cue
from agentmem.errors import Conflict, InvalidInput, RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Place, Record, Scope, Source, State
from tests.fakes import DIMENSION, TinyEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
# Without their zones, which reach no further than a day.
FIRST, LAST = (NOON.replace(year=year, tzinfo=None) for year in (1, 9999))


def head(memory: Memory) -> int:
    return memory.stats().head


def standing(memory: Memory) -> list[Record]:
    return list(memory.records(states=ALL))


# ── what is kept exactly ─────────────────────────────────────────────────────────────────────────────────────────

plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@pytest.fixture(scope="module")
def open_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("kept") / "m", embedder=TinyEmbedder()) as memory:
        yield memory


@given(text=plain_texts, speaker=plain_texts, meta=st.dictionaries(plain_texts, plain_texts | st.floats(-1e9, 1e9)))
@example(
    text="👩🏽\u200d🚀 e\u0301 ﷽ \u202eاردو\u202c \u2028 \x1b[31m '\"\\ \r\n\t z\u0335\u0321",
    speaker="؜عنا",
    meta={"\x00": "\x00"},
)
def test_text_is_kept_to_the_letter(open_memory: Memory, text: str, speaker: str, meta: dict[str, Any]) -> None:
    added = open_memory.add(text, speaker=speaker, meta=meta, session=text, role=speaker)
    kept = open_memory.get(added.id)
    assert (kept.text, kept.speaker, kept.meta, kept.session, kept.role) == (text, speaker, meta, text, speaker)
    assert kept == added
    [change] = open_memory.history(added.id)
    assert Record.from_json(change.after or {}) == added


def test_a_megabyte_is_kept(memory: Memory) -> None:
    text = "a long story \U0001f300 " * 60_000
    record = memory.add(text)
    memory.edit(record.id, text=text + "end")
    assert memory.get(record.id).text == text + "end"
    memory.undo()
    assert memory.get(record.id).text == text


@given(at=st.datetimes(FIRST, LAST, timezones=st.timezones()))
def test_times_are_kept_to_the_microsecond_in_utc(open_memory: Memory, at: datetime) -> None:
    kept = open_memory.get(open_memory.add("a", at=at).id)
    assert kept.at == at.astimezone(UTC)
    assert kept.at.tzinfo is UTC
    assert open_memory.get(open_memory.add("a", at=at.isoformat()).id).at == at.astimezone(UTC)


# ── what each does ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_add_returns_is_what_get_returns(memory: Memory) -> None:
    added = memory.add(
        "We met.",
        kind="note",
        session="s",
        at="2024-05-03T14:00:00+02:00",
        speaker="Ana",
        role="user",
        place=Place("harbour/pier 3", [1, 2.5]),  # type: ignore[arg-type]
        tags=["b", " a ", "b"],
        meta={"n": [1, None, {"x": True}]},
        sources=["other", Source(file="notes.txt", span=(0, 7))],
    )
    kept = memory.get(added.id)
    assert kept == added
    assert (kept.at, kept.tags, kept.revision, kept.state) == (NOON, ("a", "b"), 1, "live")
    assert kept.place == Place("harbour/pier 3", (1.0, 2.5))
    assert kept.sources == (Source("other"), Source(file="notes.txt", span=(0, 7)))
    assert abs(kept.stored_at.timestamp() - time.time()) < 60
    assert added.position == kept.position == 1


def test_conflict_carries_both_versions(memory: Memory) -> None:
    mine = memory.add("first")
    theirs = memory.edit(mine.id, text="theirs")
    before = head(memory)
    with pytest.raises(Conflict) as refused:
        memory.edit(mine.id, revision=mine.revision, text="mine", tags=["x"])
    assert refused.value.current == theirs
    assert refused.value.yours is not None
    assert (refused.value.yours.id, refused.value.yours.text, refused.value.yours.tags) == (mine.id, "mine", ("x",))
    assert refused.value.way_out
    assert head(memory) == before
    assert memory.edit(mine.id, revision=2, text="mine").revision == 3


def test_forget_and_restore(memory: Memory) -> None:
    record = memory.add("a", tags=["x"])
    [gone] = memory.forget(record.id)
    assert (gone.state, gone.revision) == ("forgotten", 2)
    assert list(memory.records()) == []
    assert memory.recall("a") == []
    with pytest.raises(InvalidInput, match="forgotten") as refused:
        memory.edit(record.id, text="b")
    assert refused.value.way_out
    assert memory.forget(record.id) == [gone]  # again: nothing to do
    [back] = memory.restore(record.id)
    assert (back.state, back.revision, back.text, back.tags) == ("live", 3, "a", ("x",))
    assert [hit.record for hit in memory.recall("a")] == [back]


def test_what_was_replaced_comes_back_by_undo_alone(memory: Memory) -> None:
    one, two, three = memory.add_many(["one", "two", "three"])
    merged = memory.merge(one.id, two.id)
    assert memory.get(one.id).replaced_by == (merged.id,)
    calls: list[Callable[[], object]] = [
        lambda: memory.restore(one.id),
        lambda: memory.edit(one.id, text="x"),
        lambda: memory.split(one.id, ["o", "ne"]),
        lambda: memory.merge(one.id, three.id),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="replaced") as refused:
            call()
        assert refused.value.way_out
    memory.forget(one.id)
    [back] = memory.restore(one.id)
    assert back.state == "replaced"  # what replaced it stands
    assert [record.text for record in memory.records()] == ["three", "one\ntwo"]


def test_a_verb_over_several_records_is_all_or_nothing(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    before = head(memory)
    for verb in (memory.pin, memory.forget, memory.restore, memory.tag):
        with pytest.raises(RecordNotFound, match="nobody"):
            verb(one.id, two.id, "nobody")
    assert head(memory) == before
    memory.merge(one.id, two.id)
    with pytest.raises(InvalidInput):
        memory.restore(*(record.id for record in standing(memory)))
    assert [record.state for record in standing(memory)] == ["replaced", "replaced", "live"]


def test_merge_keeps_what_they_agree_on_and_where_it_came_from(memory: Memory) -> None:
    later = memory.add("and he left", at=NOON, speaker="Ana", session="s", tags=["b"], meta={"n": 2, "k": 1})
    first = memory.add("he came", at="2024-05-01T00:00:00+00:00", speaker="Bob", session="s", tags=["a"], meta={"n": 1})
    memory.pin(first.id)
    merged = memory.merge(later.id, first.id)
    assert merged.text == "he came\nand he left"
    assert (merged.at, merged.speaker, merged.session) == (NOON, None, "s")
    assert (merged.tags, merged.meta, merged.pinned) == (("a", "b"), {"n": 2, "k": 1}, True)
    assert merged.sources == (Source(first.id, span=(0, 7)), Source(later.id, span=(0, 11)))
    assert [record.id for record in memory.descendants(first.id)] == [merged.id]
    assert memory.merge(merged.id, memory.add("then").id, text="All of it.").text == "All of it."


def test_split_parts_know_their_place(memory: Memory) -> None:
    record = memory.add("na na na", speaker="Ana", at=NOON, tags=["x"])
    parts = memory.split(record.id, ["na", "na na", "something else"])
    assert [part.sources[0].span for part in parts] == [(0, 2), (3, 8), (0, 8)]
    assert {part.sources[0].record for part in parts} == {record.id}
    assert {(part.speaker, part.at, part.tags) for part in parts} == {("Ana", NOON, ("x",))}
    assert memory.get(record.id).replaced_by == tuple(part.id for part in parts)


def test_tag_adds_and_removes(memory: Memory) -> None:
    record = memory.add("a", tags=["x", "y"])
    [tagged] = memory.tag(record.id, add=["z", "x"], remove=["y", "nothing"])
    assert tagged.tags == ("x", "z")


# ── add_many ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_add_many_is_atomic_when_a_late_item_is_bad(memory: Memory) -> None:
    items: list[Any] = [f"item {i}" for i in range(2_500)]
    items[1_499] = ""
    with pytest.raises(InvalidInput, match="item 1500"):
        memory.add_many(items)
    with pytest.raises(Conflict, match="twice"):
        memory.add_many([*({"text": "a", "id": f"{i}"} for i in range(1_500)), *[{"text": "a", "id": "twice"}] * 2])
    assert (head(memory), standing(memory)) == (0, [])


def test_add_many_is_atomic_when_the_iterable_raises(memory: Memory) -> None:
    def items() -> Iterator[str]:
        yield from (f"item {i}" for i in range(499))
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        memory.add_many(items())
    assert (head(memory), standing(memory)) == (0, [])


def test_the_iterable_may_use_the_memory_while_it_is_read(memory: Memory) -> None:
    memory.add_many(memory.add(f"first {i}").text.replace("first", "second") for i in range(3))
    assert sorted(record.text for record in memory.records()) == [
        f"{n} {i}" for n in ("first", "second") for i in range(3)
    ]


def test_ids_may_be_given_and_those_already_here_skipped(memory: Memory) -> None:
    memory.add_many([{"id": "a", "text": "old"}, {"id": "b", "text": "old"}])
    memory.forget("b")
    with pytest.raises(Conflict, match="already here"):
        memory.add_many(["new", {"id": "b", "text": "new"}])
    added = memory.add_many([{"id": id, "text": "new"} for id in ("a", "b", "c", "c")], existing="skip")
    assert [record.id for record in added] == ["c"]
    assert {record.id: record.text for record in standing(memory)} == {"a": "old", "b": "old", "c": "new"}
    assert memory.add_many([{"id": "a", "text": "new"}], existing="skip") == []
    assert memory.add_many([]) == []


def test_a_record_is_kept_as_it_is_save_for_its_scope(memory: Memory) -> None:
    record = Record(
        id="by-hand",
        scope=Scope("elsewhere"),
        text="by hand",
        at=NOON,
        stored_at=NOON,
        state="replaced",
        replaced_by=("another",),
        revision=7,
        extra={"from_the_future": [1, {"a": None}]},
        place=Place("x", (1.0,), {"y": 2}),
        sources=(Source("r", span=(0, 3), extra={"z": 3}),),
        strength=0.5,
    )
    [kept] = memory.add_many([record])
    assert kept.scope == memory.bound
    assert kept.to_json() == record.to_json() | {"scope": ["default"]}
    assert memory.get("by-hand") == kept
    assert memory.verify() == []


def test_find_takes_the_end_of_an_id(memory: Memory) -> None:
    memory.add_many([{"id": id, "text": id} for id in ("ab-1", "cb-1", "100%", "a_b", "axb")])
    assert memory.find("ab-1").id == "ab-1"
    assert memory.find("00%").id == "100%"
    assert memory.find("_b").id == "a_b"
    with pytest.raises(InvalidInput, match="more than one") as refused:
        memory.find("b-1")
    assert refused.value.way_out
    for ending in ("x%", "AB-1"):
        with pytest.raises(RecordNotFound):
            memory.find(ending)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 3e38, 1e300])
def test_a_vector_of_any_length_is_one_direction(memory: Memory, size: float) -> None:
    direction = [1.0, -2.0, 0.0, 0.5, 0.0, 0.0, 3.0, 1.0]
    memory.add("other", vector=[1.0] + [0.0] * (DIMENSION - 1))
    record = memory.add("a", vector=[size * x for x in direction])
    assert memory.flush() == 0  # nothing is left to embed
    [hit, *_] = memory.recall(Cue(vector=tuple(direction)))
    assert hit.record == record
