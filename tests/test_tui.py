"""The screens, driven by keys on a real memory: what they show, what they write, and that no step is without return."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, TextArea

from agentmem import Memory
from agentmem_apps.importers.run import import_file
from agentmem_tui.remembered import Remembered
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.bulk import BulkScreen
from agentmem_tui.screens.conflict import ConflictScreen
from agentmem_tui.screens.edit import EditScreen
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.journal import JournalScreen
from agentmem_tui.screens.merge import MergeScreen
from agentmem_tui.screens.record import RecordScreen
from agentmem_tui.screens.split import SplitScreen, sentences
from agentmem_tui.screens.stepping import Ask
from agentmem_tui.screens.typing import TypeScreen
from agentmem_tui.widgets.record_view import RecordView
from agentmem_tui.widgets.scope_tree import ScopeTree
from tests.memory_app import LAUNCH, app_on, at, filled, live, only, rows, shown, table, texts
from tests.screens import awaited, wait_for


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return filled(tmp_path / "notes.mem")


def begins(pilot: Pilot[None], text: str) -> bool:
    return texts(pilot)[:1] == [text]


def long(pilot: Pilot[None], count: int) -> bool:
    return isinstance(pilot.app.screen, BrowseScreen) and rows(pilot) == count


def exists(file: Path) -> bool:
    return file.is_file()


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_home_shows_the_newest_first_and_the_memory_that_is_pointed_at(place: Path) -> None:
    async with app_on(place) as pilot:
        await wait_for(pilot, lambda: len(texts(pilot)) == 3, "three memories")
        assert texts(pilot) == ["Ana prefers tea.", "Then I'll book the ferry.", LAUNCH]
        await pilot.press("G")
        view = pilot.app.screen.query_one(RecordView)
        await wait_for(pilot, lambda: LAUNCH in shown(pilot.app.screen, ".record-text"), "the launch")
        told = shown(pilot.app.screen, ".record-fields")
        assert "Ana" in told
        assert "planning" in told
        assert view.display


@awaited
async def test_a_list_narrows_as_it_is_typed_and_widens_again(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("slash", *"LAUNCH")
        await wait_for(pilot, lambda: texts(pilot) == [LAUNCH], "the launch alone")
        await pilot.press(*" kind:fact")
        await wait_for(pilot, lambda: rows(pilot) == 0, "nothing")
        pilot.app.screen.query_one(Input).value = "kinds:fact"
        await wait_for(pilot, lambda: "Did you mean kind:?" in shown(pilot.app.screen, ".said"), "what is wrong")
        await pilot.press("escape")
        await wait_for(pilot, lambda: rows(pilot) == 3, "all of it")
        assert not pilot.app.screen.query_one(Input).display
        await pilot.press("escape", "escape")
        assert pilot.app.is_running, "only q leaves the program"


@awaited
async def test_enter_looks_for_what_is_meant(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("slash", *"when is the launch?")
        await wait_for(pilot, lambda: rows(pilot) == 0, "no such words")
        await pilot.press("enter")
        await wait_for(pilot, lambda: texts(pilot)[:1] == [LAUNCH], "the launch first")
        assert "by meaning" in shown(pilot.app.screen, ".said")


@awaited
async def test_the_tree_leads_to_other_scopes_kinds_and_the_trash(place: Path) -> None:
    with at(place) as memory:
        memory.forget(memory.add("gone").id)
    async with app_on(place) as pilot:
        tree = pilot.app.screen.query_one(ScopeTree)

        def choose(*labels: str) -> None:
            node = tree.root
            for label in labels:
                node = next(child for child in node.children if str(child.label).startswith(label))
            tree.select_node(node)
            tree.action_select_cursor()

        await wait_for(pilot, lambda: len(tree.root.children) == 2, "the tree")
        choose("default", "trash")
        await wait_for(pilot, lambda: texts(pilot) == ["gone"], "the trash")
        choose("default", "fact")
        await wait_for(pilot, lambda: texts(pilot) == ["Ana prefers tea."], "the facts")
        choose("user:ana")
        await wait_for(pilot, lambda: texts(pilot) == ["I live in Lisbon."], "Ana's")
        table(pilot).focus()
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        pilot.app.screen.query_one(TextArea).text = "I live in Porto."
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: texts(pilot) == ["I live in Porto."], "what was written")
    with at(place) as memory:
        assert [record.text for record in memory.scope("user:ana").records()] == ["I live in Porto."]


@awaited
async def test_where_there_is_no_room_beside_the_list_a_memory_opens_by_itself(place: Path) -> None:
    async with app_on(place, size=(60, 20)) as pilot:
        assert not pilot.app.screen.query_one(RecordView).display
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, RecordScreen), "the memory by itself")
        await wait_for(pilot, lambda: "prefers tea" in shown(pilot.app.screen, ".record-text"), "its words")
        with at(place) as other:
            other.edit(only(place, "Ana prefers tea.").id, text="Ana drinks coffee.")
        await wait_for(pilot, lambda: "coffee" in shown(pilot.app.screen, ".record-text"), "its new words")
        await pilot.press("H")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "its history")
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, RecordScreen), "the memory again")
        with at(place) as other:
            other.forget(only(place, "Ana drinks coffee.").id, hard=True)
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home: what was erased is not shown")
        await pilot.resize_terminal(130, 40)
        await wait_for(pilot, lambda: pilot.app.screen.query_one(RecordView).display, "room")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.focused, RecordView), "the memory beside the list")


@awaited
async def test_searches_are_remembered_and_saved(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "state" / "tui.json"
    async with app_on(place, remembered=file) as pilot:
        await pilot.press("slash", *"kind:fact", "escape", "slash", *"ferry", "enter")
        await pilot.press("S")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "its name")
        await pilot.press(*"the [b]ferry", "enter")
        await wait_for(pilot, lambda: "⌕ the [b]ferry" in branches(pilot), "a place in the tree")
    async with app_on(place, remembered=file) as pilot:
        await wait_for(pilot, lambda: "⌕ the [b]ferry" in branches(pilot), "the place, the next day")
        await pilot.press("slash", "up", "up")
        assert pilot.app.screen.query_one(Input).value == "kind:fact"
        await pilot.press("down", "down")
        assert pilot.app.screen.query_one(Input).value == ""
        tree = pilot.app.screen.query_one(ScopeTree)
        tree.select_node(tree.root.children[-1])
        tree.action_select_cursor()
        await wait_for(pilot, lambda: texts(pilot) == ["Then I'll book the ferry."], "what was saved")


def branches(pilot: Pilot[None]) -> list[str]:
    return [str(node.label) for node in pilot.app.screen.query_one(ScopeTree).root.children]


def test_what_cannot_be_read_of_it_is_put_aside(tmp_path: Path) -> None:
    for broken in (b"{", b"[]", b'{"searches": {"a": 1}, "recent": []}', b"\xff", b'{"searches": 3, "recent": 4}'):
        file = tmp_path / "tui.json"
        file.write_bytes(broken)
        kept = Remembered.load(file)
        assert (kept.searches, kept.recent) == ({}, [])
        assert (tmp_path / "tui.broken").read_bytes() == broken
        kept.typed("tea")
        assert Remembered.load(file).recent == ["tea"]
    kept.save("drinks", "kind:fact tea")
    kept.save("drinks", "")
    assert Remembered.load(file).searches == {}
    for number in range(60):
        kept.typed(f"tea {number}")
    kept.typed("tea 58")
    assert Remembered.load(file).recent[:3] == ["tea 58", "tea 59", "tea 57"]
    assert len(Remembered.load(file).recent) == 50


@awaited
async def test_what_somebody_else_writes_appears_and_the_cursor_stays(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("j")
        await wait_for(pilot, lambda: "ferry" in getattr(table(pilot).cursor_record, "text", ""), "the ferry")
        with at(place) as other:
            other.add("The ferry is late.")
        await wait_for(pilot, lambda: rows(pilot) == 4, "what was written")
        assert table(pilot).cursor_row == 2
        with at(place) as other:
            other.edit(only(place, "Then I'll book the ferry.").id, text="I booked the ferry.")
        await wait_for(pilot, lambda: "I booked" in shown(pilot.app.screen, ".record-text"), "what was changed")


@awaited
async def test_a_resize_loses_nothing(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("slash", *"ana", "tab")
        table(pilot).focus()
        await pilot.press("v")
        await pilot.resize_terminal(60, 20)
        await wait_for(pilot, lambda: not pilot.app.screen.query_one(ScopeTree).display, "one pane")
        await wait_for(pilot, lambda: texts(pilot) == ["Ana prefers tea."], "the same list")
        await pilot.resize_terminal(200, 60)
        await wait_for(pilot, lambda: pilot.app.screen.query_one(ScopeTree).display, "three panes")
        assert pilot.app.screen.query_one(Input).value == "ana"
        assert len(table(pilot).selected) == 1


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_a_memory_is_written_edited_and_both_are_undone(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("n")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        await pilot.press("ctrl+s")  # nothing is written yet, and it says so
        await pilot.press(*"Buy tea", "ctrl+s")
        await wait_for(pilot, lambda: texts(pilot)[:1] == ["Buy tea"], "the new one")
        assert only(place, "Buy tea").kind == "note"
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        screen = pilot.app.screen
        screen.query_one(TextArea).text = "Buy green tea"
        screen.query_one("#tags", Input).value = "shop, today"
        screen.query_one("#place", Input).value = "market"
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: texts(pilot)[:1] == ["Buy green tea"], "the change")
        kept = only(place, "Buy green tea")
        assert (kept.tags, kept.place.id if kept.place else None) == (("shop", "today"), "market")
        for text in ("Buy tea", "Ana prefers tea."):
            await pilot.press("z")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
            assert "user" in shown(pilot.app.screen, ".dialog-title")
            await pilot.press("enter")
            await wait_for(pilot, partial(begins, pilot, text), "the step before")
        await pilot.press("Z")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
        await pilot.press("y")
        await wait_for(pilot, lambda: texts(pilot)[:1] == ["Buy tea"], "the redo")


@awaited
async def test_undo_takes_back_what_an_agent_did_and_a_no_leaves_it(place: Path) -> None:
    with at(place) as agent:
        agent.edit(only(place, LAUNCH).id, text="The launch is off.")
    async with app_on(place) as pilot:
        for key in ("escape", "n"):
            await pilot.press("z")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
            assert "agent edited 1 memory" in shown(pilot.app.screen, ".dialog-title")
            await pilot.press(key)
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
        assert "The launch is off." in live(place)
        await pilot.press("z")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
        await pilot.press("enter")
        await wait_for(pilot, lambda: LAUNCH in texts(pilot), "the launch as it was")
    assert LAUNCH in live(place)


@awaited
async def test_leaving_what_was_written_is_asked_first(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("e", "escape")  # nothing was changed: nothing is asked
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        await pilot.press("x", "escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("n")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor again")
        assert pilot.app.screen.query_one(TextArea).text == "xAna prefers tea."
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("y")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
    assert "Ana prefers tea." in live(place)


@awaited
async def test_selected_memories_are_pinned_tagged_forgotten_and_restored_together(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("asterisk", "p")
        await wait_for(pilot, lambda: all(only(place, text).pinned for text in live(place)), "pinned")
        await pilot.press("t")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the tags")
        await pilot.press(*"new, -likes", "enter")
        await wait_for(pilot, lambda: only(place, "Ana prefers tea.").tags == ("new",), "tagged")
        await pilot.press("d")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "3 memories" in shown(pilot.app.screen, ".dialog-title")
        await pilot.press("y")
        await wait_for(pilot, lambda: rows(pilot) == 0, "all in the trash")
        await pilot.press("slash", *"in:trash")
        await wait_for(pilot, lambda: rows(pilot) == 3, "the trash")
        table(pilot).focus()
        await pilot.press("asterisk", "R")
        await wait_for(pilot, lambda: len(live(place)) == 3, "brought back")


@awaited
async def test_forgetting_says_what_was_made_of_it(place: Path) -> None:
    with at(place) as memory:
        memory.add("The launch is in May.", kind="thought", sources=[only(place, LAUNCH).id])
    async with app_on(place) as pilot:
        await pilot.press("G", "d")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "1 memory made from it stay" in shown(pilot.app.screen, ".dialog-note")
        await pilot.press("n")
    assert LAUNCH in live(place)


@awaited
async def test_many_are_edited_at_once_after_a_sheet_of_what_will_change(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("asterisk", "e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BulkScreen), "the sheet")
        screen = pilot.app.screen
        await wait_for(pilot, lambda: "Nothing will change" in shown(screen, ".sheet-title"), "nothing yet")
        screen.query_one("#session", Input).value = "trip"
        screen.query_one("#tags", Input).value = "-"
        screen.query_one("#find", Input).value = "ferry"
        screen.query_one("#put", Input).value = "boat"
        await wait_for(
            pilot,
            lambda: "3 memories will change: 3 session" in shown(screen, ".sheet-title"),
            "how many, and what",
        )
        assert "1 tags" in shown(screen, ".sheet-title")
        assert "[-ferry-]" in shown(screen, ".sheet")
        assert "session: planning → trip" in shown(screen, ".sheet")
        assert "Then I'll book the ferry." in live(place), "nothing is written before it is saved"
        elsewhere(place, LAUNCH, "The launch is off.")
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
        assert [only(place, text).session for text in ("Then I'll book the boat.", "Ana prefers tea.")] == ["trip"] * 2
        assert only(place, "Ana prefers tea.").tags == ()
        assert only(place, "The launch is off.").session == "planning", "who was faster is not overwritten"
        await pilot.press("z")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
        assert "2 memories" in shown(pilot.app.screen, ".dialog-title")
        await pilot.press("y")
        await wait_for(pilot, lambda: "Then I'll book the ferry." in live(place), "one step for all")
    assert only(place, "Ana prefers tea.").tags == ("likes",)


@awaited
async def test_several_become_one_and_one_several(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("M")  # of one alone: it says what to do
        await pilot.press("v", "j", "v", "M")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MergeScreen), "the merge")
        assert pilot.app.screen.query_one(TextArea).text == "Then I'll book the ferry.\nAna prefers tea."
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: rows(pilot) == 2, "one less")
        merged = only(place, "Then I'll book the ferry.\nAna prefers tea.")
        await wait_for(pilot, lambda: table(pilot).cursor_position == merged.position, "the merged one")
        await pilot.press("X")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, SplitScreen), "the split")
        await pilot.press("ctrl+s")  # nothing is cut yet
        await pilot.press("down", "enter")
        await wait_for(pilot, lambda: "2\nAna prefers tea." in shown(pilot.app.screen, ".parts"), "two parts")
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: rows(pilot) == 3, "one more")
        assert sorted(live(place)) == sorted([LAUNCH, "Then I'll book the ferry.", "Ana prefers tea."])
        for left in (2, 3):
            await pilot.press("z")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
            await pilot.press("enter")
            await wait_for(pilot, partial(long, pilot, left), "a step back")
    with at(place) as memory:
        assert [record.kind for record in memory.records()] == ["turn", "turn", "fact"], "as it was"


@given(st.text(st.sampled_from("ab.!?。\n \"'"), max_size=40))
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert all(sentence for sentence in sentences(text))


@awaited
async def test_erasing_shows_all_that_goes_and_wants_its_number(place: Path) -> None:
    with at(place) as memory:
        memory.add("The launch is in May.", kind="thought", sources=[only(place, LAUNCH).id])
    async with app_on(place) as pilot:
        for typed, left in (("1", 4), ("2", 2)):
            await pilot.press("G", "D")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the question")
            assert "Erase 2 memories for good" in shown(pilot.app.screen, ".dialog-title")
            assert "The launch is in May." in shown(pilot.app.screen, ".dialog-title")
            await pilot.press(typed, "enter")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
            await wait_for(pilot, partial(long, pilot, left), "what is left")
    assert LAUNCH.encode() not in b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())


@awaited
async def test_the_selected_are_written_to_a_file(place: Path, tmp_path: Path) -> None:
    async with app_on(place) as pilot:
        for name in ("some.jsonl", "some.md"):
            await pilot.press("E")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the name")
            pilot.app.screen.query_one(Input).value = str(tmp_path / name)
            await pilot.press("enter")
            await wait_for(pilot, partial(exists, tmp_path / name), "the file")
        await pilot.press("E")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the name")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "some.md")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "whether to overwrite it")
        await pilot.press("n", "E")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the name")
        pilot.app.screen.query_one(Input).value = "~nobody-of-that-name/x"
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home, and no crash")
    assert "> Ana prefers tea." in (tmp_path / "some.md").read_text(encoding="utf-8")
    lines = (tmp_path / "some.jsonl").read_text(encoding="utf-8").splitlines()
    assert '"records": 1' in lines[0]
    with Memory.open(tmp_path / "other.mem", embedder="hash") as other:
        import_file(other, tmp_path / "some.jsonl")
        assert [record.text for record in other.records()] == ["Ana prefers tea."]


# ── two at once ──────────────────────────────────────────────────────────────────────────────────────────────────

_ELSEWHERE = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", actor="agent") as memory:
    [record] = [one for one in memory.records() if one.text == sys.argv[2]]
    memory.edit(record.id, text=sys.argv[3], tags=["agent"])
"""


def elsewhere(place: Path, old: str, new: str) -> None:
    """Another process changes it."""
    subprocess.run([sys.executable, "-c", _ELSEWHERE, str(place), old, new], check=True)


@pytest.mark.parametrize(("key", "kept"), [("t", "Ana drinks coffee."), ("m", "Ana likes tea.")])
@awaited
async def test_of_two_who_write_the_same_neither_is_lost(place: Path, key: str, kept: str) -> None:
    async with app_on(place) as pilot:
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        screen = pilot.app.screen
        screen.query_one(TextArea).text = "Ana likes tea."
        screen.query_one("#session", Input).value = "breakfast"
        elsewhere(place, "Ana prefers tea.", "Ana drinks coffee.")
        await wait_for(pilot, lambda: "changed meanwhile by agent" in shown(screen, ".changed"), "the quiet line")
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ConflictScreen), "the three columns")
        for side, words in (("theirs", "coffee"), ("base", "prefers"), ("mine", "likes")):
            assert words in shown(pilot.app.screen, f"#{side} .side-text")
        await pilot.press(key, "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
    found = only(place, kept)
    assert (found.session, found.tags) == ("breakfast", ("agent",)), "what only one of them changed is kept of both"
    with at(place) as memory:
        told = [str((change.after or {}).get("text")) for change in memory.history(found.id)]
    assert "Ana drinks coffee." in told, "theirs is in its history, whichever was chosen"


@awaited
async def test_what_they_changed_elsewhere_in_it_needs_no_question(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        pilot.app.screen.query_one("#session", Input).value = "breakfast"
        elsewhere(place, "Ana prefers tea.", "Ana drinks coffee.")
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
    assert only(place, "Ana drinks coffee.").session == "breakfast"


@awaited
async def test_a_conflict_that_is_put_off_goes_back_to_the_writing(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("e")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        pilot.app.screen.query_one(TextArea).text = "Ana likes tea."
        elsewhere(place, "Ana prefers tea.", "Ana drinks coffee.")
        await pilot.press("ctrl+s")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ConflictScreen), "the three columns")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        assert pilot.app.screen.query_one(TextArea).text == "Ana likes tea."
    assert "Ana drinks coffee." in live(place)


# ── looking back ─────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_a_version_is_brought_back_as_a_new_one(place: Path) -> None:
    id = only(place, LAUNCH).id
    with at(place) as memory:
        memory.edit(id, text="We moved the launch to 4 May.", tags=["moved"])
    async with app_on(place) as pilot:
        await pilot.press("G", "H")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "the history")
        await wait_for(pilot, lambda: "[-3-]" in shown(pilot.app.screen, ".version-text"), "the words that changed")
        assert "{+4+}" in shown(pilot.app.screen, ".version-text")
        await pilot.press("down", "R")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("y")
        listed = pilot.app.screen_stack[-1].query(OptionList)
        await wait_for(pilot, lambda: listed and pilot.app.screen.query_one(OptionList).option_count == 3, "a third")
    found = only(place, LAUNCH)
    assert (found.id, found.revision, found.tags) == (id, 3, ())


@awaited
async def test_the_journal_goes_back_to_before_any_step(place: Path) -> None:
    before = live(place)
    with at(place) as agent:
        agent.edit(only(place, LAUNCH).id, text="The launch is off.")
        agent.forget(only(place, "Ana prefers tea.").id)
    async with app_on(place) as pilot:
        await pilot.press("n")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")
        await pilot.press(*"Mine", "ctrl+s")
        await wait_for(pilot, lambda: "Mine" in texts(pilot), "mine")
        await pilot.press("J")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, JournalScreen), "the journal")
        await wait_for(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == 6, "six steps")
        await pilot.press("down", "down", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "3 steps" in shown(pilot.app.screen, ".dialog-title")
        await pilot.press("y")
        await wait_for(pilot, lambda: live(place) == before, "as it was")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, JournalScreen), "the journal")
        await pilot.press("f")
        await wait_for(pilot, lambda: "of agent" in shown(pilot.app.screen, ".top"), "the agent's steps")
        assert pilot.app.screen.query_one(OptionList).option_count == 2
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
