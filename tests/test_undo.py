"""Undo and redo by example: what is one step, what stands in the way, what force does, and what it never does."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Sequence

import pytest

from agentmem.errors import Conflict, InvalidInput, UndoBlocked
from agentmem.memory import Memory
from agentmem.records import Change, Record, State

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")


def texts(memory: Memory) -> list[str]:
    return [record.text for record in memory.records()]


def state_of(memory: Memory) -> list[Record]:
    return list(memory.records(states=ALL))


def head(memory: Memory) -> int:
    return memory.stats().head


def verbs(changes: Sequence[Change]) -> list[str]:
    return [change.verb for change in changes]


def ids(changes: Sequence[Change]) -> set[str]:
    return {change.record_id for change in changes}


def newest_step(memory: Memory) -> int:
    return memory.log(1)[0].step


# ── what is one step ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_one_step(memory: Memory) -> None:
    memory.add("before")
    memory.add_many(["a", "b", "c"])
    assert len(memory.undo()) == 3
    assert texts(memory) == ["before"]
    assert len(memory.redo()) == 3
    assert texts(memory) == ["before", "a", "b", "c"]


def test_a_merge_is_one_step_and_its_redo_brings_the_same_record_back(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    merged = memory.merge(one.id, two.id)
    assert texts(memory) == ["one\ntwo"]
    memory.undo()
    assert texts(memory) == ["one", "two"]
    assert [record.replaced_by for record in memory.records()] == [(), ()]
    memory.redo()
    [back] = memory.records()
    assert (back.id, back.text, back.sources, back.position) == (
        merged.id,
        merged.text,
        merged.sources,
        merged.position,
    )


def test_a_split_is_one_step(memory: Memory) -> None:
    whole = memory.add("We met. We parted.")
    memory.split(whole.id, ["We met.", "We parted."])
    assert ids(memory.undo()) > {whole.id}
    assert texts(memory) == ["We met. We parted."]


def test_all_that_is_written_in_a_step_is_one_step_with_its_cause_and_actor(memory: Memory) -> None:
    kept = memory.add("kept")
    with memory.step("import of notes.txt", actor="importer"):
        memory.add_many(["a", "b"])
        memory.edit(kept.id, text="changed")
        with memory.step("an inner step joins the outer one"):
            memory.pin(kept.id)
    written = memory.log(step=newest_step(memory))
    assert len(written) == 4
    assert {(change.cause, change.actor) for change in written} == {("import of notes.txt", "importer")}
    memory.undo()
    assert state_of(memory) == [memory.get(kept.id)]
    assert (memory.get(kept.id).text, memory.get(kept.id).pinned) == ("kept", False)


def test_a_step_left_by_an_error_keeps_what_was_written_before_it_as_one_step(memory: Memory) -> None:
    def half_done() -> None:
        with memory.step("half done"):
            memory.add("a")
            memory.add("b")
            memory.add("")

    with pytest.raises(InvalidInput):
        half_done()
    assert texts(memory) == ["a", "b"]
    memory.undo()
    assert texts(memory) == []


def test_two_threads_in_one_step_are_undone_together(memory: Memory) -> None:
    memory.add("before")
    with memory.step("both"):
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(memory.add_many, [f"{name} {i}"]))
            for name in ("a", "b")
            for i in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(texts(memory)) == 21
    assert len(memory.undo()) == 20
    assert texts(memory) == ["before"]


def test_a_thread_outside_the_step_writes_steps_of_its_own(memory: Memory) -> None:
    with memory.step("mine"):
        memory.add("mine")
        other = threading.Thread(target=memory.add, args=("theirs",))
        other.start()
        other.join()
        memory.add("mine too")
    mine = {change.step for change in memory.log() if change.cause == "mine"}
    assert len(mine) == 1
    assert mine.isdisjoint(change.step for change in memory.log() if not change.cause)


def test_an_undo_inside_a_step_ends_it_so_that_what_follows_can_be_undone_too(memory: Memory) -> None:
    with memory.step("group"):
        memory.add("a")
        memory.undo()
        memory.add("b")
    assert texts(memory) == ["b"]
    assert memory.redo() == []  # b is something new
    memory.undo()
    assert texts(memory) == []


# ── undo of undo ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_undo_and_redo_are_journal_entries(memory: Memory) -> None:
    record = memory.add("a")
    memory.edit(record.id, text="b")
    undone = memory.undo()
    redone = memory.redo()
    assert verbs(memory.history(record.id)) == ["add", "edit", "undo", "redo"]
    assert (undone[0].undoes, redone[0].undoes) == (2, undone[0].step)
    assert [memory.get(record.id).revision, memory.get(record.id).text] == [4, "b"]


def test_undo_of_an_undo_is_redo(memory: Memory) -> None:
    record = memory.add("a")
    memory.edit(record.id, text="b")
    [undone] = memory.undo()
    [redone] = memory.undo(step=undone.step)
    assert (redone.verb, redone.undoes) == ("redo", undone.step)
    assert memory.get(record.id).text == "b"
    assert memory.redo() == []


def test_undo_of_a_redo_undoes_the_first_step_again(memory: Memory) -> None:
    record = memory.add("a")
    memory.edit(record.id, text="b")
    memory.undo()
    [redone] = memory.redo()
    [again] = memory.undo(step=redone.step)
    assert (again.verb, again.undoes) == ("undo", 2)
    assert memory.get(record.id).text == "a"
    memory.redo()
    assert memory.get(record.id).text == "b"


def test_what_is_taken_back_cannot_be_taken_back_again(memory: Memory) -> None:
    record = memory.add("a")
    edited = memory.edit(record.id, text="b")
    assert edited.revision == 2
    [undone] = memory.undo()
    with pytest.raises(Conflict, match="already taken back") as refused:
        memory.undo(step=2)
    assert not isinstance(refused.value, UndoBlocked)
    [redone] = memory.redo()
    with pytest.raises(Conflict, match="already taken back"):
        memory.undo(step=undone.step)
    memory.undo()
    memory.edit(record.id, text="b")  # the same text as the step had set, and yet not the step
    with pytest.raises(Conflict, match="already taken back"):
        memory.undo(step=redone.step)


def test_undo_walks_back_to_the_beginning_and_redo_to_the_end(memory: Memory) -> None:
    record = memory.add("0")
    for i in range(1, 6):
        memory.edit(record.id, text=str(i))
    seen = []
    while memory.undo():
        seen.append(texts(memory))
    assert seen == [["4"], ["3"], ["2"], ["1"], ["0"], []]
    assert memory.undo() == []
    while memory.redo():
        seen.append(texts(memory))
    assert seen[6:] == [["0"], ["1"], ["2"], ["3"], ["4"], ["5"]]
    assert memory.redo() == []


def test_several_at_once_and_more_than_there_are(memory: Memory) -> None:
    memory.add("a")
    memory.add("b")
    memory.add("c")
    assert len(memory.undo(2)) == 2
    assert texts(memory) == ["a"]
    assert len(memory.redo(99)) == 2
    assert len(memory.undo(99)) == 3
    assert memory.undo(0) == []


def test_redo_ends_when_something_new_is_done(memory: Memory) -> None:
    memory.add("a")
    memory.add("b")
    memory.undo(2)
    memory.add("c")
    before = head(memory)
    assert memory.redo() == []
    assert head(memory) == before
    memory.undo()
    memory.redo(5)
    assert texts(memory) == ["c"]


def test_all_since_a_step_is_taken_back_as_one_step(memory: Memory) -> None:
    tea = memory.add("tea")
    before = list(memory.records())
    memory.edit(tea.id, text="green tea")
    first = memory.log(1)[0].step
    memory.undo()  # does not stand, and is not taken back again
    memory.pin(tea.id)
    memory.add("boat")
    memory.forget(tea.id)
    told = memory.undo(since=first, dry_run=True)
    assert [record.text for record in memory.newest()] == ["boat"]
    done = memory.undo(since=first)
    assert [(one.verb, one.record_id, one.undoes) for one in told] == [(o.verb, o.record_id, o.undoes) for o in done]
    assert [(record.text, record.pinned) for record in memory.records()] == [(r.text, r.pinned) for r in before]
    assert memory.undo(since=first) == []
    memory.redo(3)
    assert [record.text for record in memory.records()] == ["boat"]
    with pytest.raises(InvalidInput, match="step or since"):
        memory.undo(step=first, since=first)


def test_a_verb_that_changes_nothing_is_no_step_and_leaves_the_redo(memory: Memory) -> None:
    record = memory.add("a")
    memory.pin(record.id)
    memory.undo()
    before = head(memory)
    memory.edit(record.id, text="a")
    memory.tag(record.id, remove=["x"])
    memory.restore(record.id)
    assert head(memory) == before
    assert ids(memory.redo()) == {record.id}


# ── what stands in the way ───────────────────────────────────────────────────────────────────────────────────────


def test_an_undo_is_refused_whole_with_the_reason_and_the_records(memory: Memory) -> None:
    one, two, three = memory.add_many(["one", "two", "three"])
    memory.tag(one.id, two.id, three.id, add=["x"])
    step = newest_step(memory)
    with memory.step("by hand", actor="ana"):
        memory.tag(one.id, three.id, add=["y"])
    later = newest_step(memory)
    before = head(memory)
    with pytest.raises(UndoBlocked) as refused:
        memory.undo(step=step)
    assert set(refused.value.blocked) == {one.id, three.id}
    assert f"by ana (tag, step {later})" in str(refused.value)
    assert refused.value.way_out
    assert head(memory) == before
    assert [record.tags for record in memory.records()] == [("x", "y"), ("x",), ("x", "y")]


def test_force_is_given_record_by_record(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    memory.tag(one.id, two.id, add=["x"])
    step = newest_step(memory)
    memory.tag(one.id, two.id, add=["y"])
    with pytest.raises(UndoBlocked) as refused:
        memory.undo(step=step, force=[one.id])
    assert refused.value.blocked == (two.id,)
    assert ids(memory.undo(step=step, force=[one.id, two.id, "somebody else"])) == {one.id, two.id}
    assert [record.tags for record in memory.records()] == [(), ()]
    assert memory.verify() == []


def test_undo_is_field_by_field(memory: Memory) -> None:
    record = memory.add("draft")
    memory.pin(record.id)
    memory.edit(record.id, text="final")
    memory.undo(step=2)
    standing = memory.get(record.id)
    assert (standing.text, standing.pinned, standing.revision) == ("final", False, 4)
    memory.undo()  # the edit: the newest step that stands
    assert memory.get(record.id).text == "draft"
    memory.redo(2)
    assert (memory.get(record.id).text, memory.get(record.id).pinned) == ("final", True)


def test_an_add_is_not_undone_under_a_later_edit_unless_forced(memory: Memory) -> None:
    record = memory.add("a")
    memory.edit(record.id, text="b")
    with pytest.raises(UndoBlocked):
        memory.undo(step=1)
    memory.undo(step=1, force=[record.id])
    assert state_of(memory) == []
    assert verbs(memory.history(record.id)) == ["add", "edit", "undo"]
    memory.redo()
    assert memory.get(record.id).text == "b"


def test_a_merge_whose_result_was_edited_names_the_result(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    merged = memory.merge(one.id, two.id)
    step = newest_step(memory)
    memory.edit(merged.id, text="both")
    with pytest.raises(UndoBlocked) as refused:
        memory.undo(step=step)
    assert refused.value.blocked == (merged.id,)
    memory.undo(step=step, force=[merged.id])
    assert texts(memory) == ["one", "two"]


def test_several_undos_are_all_or_nothing(memory: Memory) -> None:
    one = memory.add("one")
    memory.pin(one.id)
    memory.add("two")
    memory.undo(step=2)
    memory.pin(one.id)
    memory.undo(step=1, force=[one.id])  # one is gone; its pin stands in the journal
    before = head(memory), state_of(memory)
    with pytest.raises(UndoBlocked):
        memory.undo(2)
    assert (head(memory), state_of(memory)) == before


def test_force_over_another_record_that_took_the_id(memory: Memory) -> None:
    first = Record.from_json(memory.add("first", tags=["x"]).to_json() | {"id": "same", "from_the_future": 1})
    memory.add_many([first])
    [undone] = memory.undo()
    [second] = memory.add_many([{"id": "same", "text": "second", "speaker": "Ana", "pinned": True}])
    with pytest.raises(UndoBlocked):
        memory.undo(step=undone.step)
    memory.undo(step=undone.step, force=["same"])
    standing = memory.get("same")
    assert (standing.text, standing.tags, standing.speaker, standing.pinned) == ("first", ("x",), None, False)
    assert standing.position == second.position
    assert memory.verify() == []


def test_undo_after_an_erasure_is_refused_and_older_steps_can_be_named(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    memory.pin(two.id)
    memory.forget(one.id, hard=True)
    before = head(memory)
    with pytest.raises(UndoBlocked, match="erased for good") as refused:
        memory.undo()
    assert refused.value.blocked == (one.id,)
    assert "number" in refused.value.way_out
    with pytest.raises(UndoBlocked) as refused:
        memory.undo(step=1)
    assert set(refused.value.blocked) == {one.id, two.id}  # erased, and pinned since
    assert memory.undo(force=[one.id]) == []  # nothing is left to set back
    assert head(memory) == before
    memory.undo(step=3)
    assert not memory.get(two.id).pinned
    memory.undo(step=1, force=[one.id])
    assert state_of(memory) == []
    assert memory.verify() == []


def test_no_redo_brings_erased_words_back(memory: Memory) -> None:
    one, two = memory.add_many(["one", "two"])
    memory.merge(one.id, two.id)
    [*undone] = memory.undo()
    memory.forget(one.id, hard=True)
    assert memory.redo() == []
    with pytest.raises(UndoBlocked, match="erased for good"):
        memory.undo(step=undone[0].step)
    assert texts(memory) == ["two"]


# ── rehearsals and bad input ─────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_tells_what_would_change_and_changes_nothing(memory: Memory) -> None:
    record = memory.add("a")
    memory.edit(record.id, text="b")
    before = head(memory), state_of(memory)
    told = memory.undo(2, dry_run=True)
    assert (told[0].before, told[0].after) == ({"revision": 2, "text": "b"}, {"revision": 3, "text": "a"})
    assert told[1].after is None
    assert (head(memory), state_of(memory)) == before
    done = memory.undo(2)
    assert [(c.seq, c.record_id, c.before, c.after) for c in done] == [
        (c.seq, c.record_id, c.before, c.after) for c in told
    ]
    assert len(memory.redo(2, dry_run=True)) == 2
    assert state_of(memory) == []


@pytest.mark.parametrize("step", [0, -1, 99, 2, False])
def test_a_step_that_is_none_is_refused(memory: Memory, step: int) -> None:
    memory.add_many(["one", "two"])  # 2 is a change, not the first of its step
    with pytest.raises(InvalidInput):
        memory.undo(step=step)
    assert texts(memory) == ["one", "two"]


def test_bad_counts_and_a_text_for_force(memory: Memory) -> None:
    record = memory.add("a")
    for verb in (memory.undo, memory.redo):
        with pytest.raises(InvalidInput):
            verb(-1)
    with pytest.raises(InvalidInput) as refused:
        memory.undo(force=record.id)
    assert "[" in refused.value.way_out
    assert texts(memory) == ["a"]


def test_undo_stays_in_its_scope(memory: Memory) -> None:
    ana, bob = memory.scope("user:ana"), memory.scope("user:bob")
    ana.add("ana's")
    bob.add("bob's")
    assert memory.undo() == []
    assert len(ana.undo(5)) == 1
    assert texts(bob) == ["bob's"]
    with pytest.raises(InvalidInput, match="no step"):
        ana.scope("inner").undo(step=1)
