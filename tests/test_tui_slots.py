"""Working memory on a screen: what is held, what the next call would hold, and that looking writes nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from agentmem import Memory
from agentmem.models.scripted import ScriptedModel
from agentmem.recall.pack import estimate_tokens
from agentmem.suspicion import REVIEW
from agentmem_apps.chat import ChatAgent
from agentmem_apps.chat.prompting import Room
from agentmem_apps.chat.upcoming import upcoming
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.slots import SlotsScreen
from agentmem_tui.screens.stepping import Ask
from tests.memory_app import app_on, at, shown
from tests.screens import awaited, lines, wait_for

pytestmark = pytest.mark.slow

HOSTILE = "The ferry \x1b[2J leaves [bold]at[/bold] nine \u202eevif"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    with Memory.open(folder, embedder="hash") as memory:
        for text in ("We moved the launch to 3 May.", "Ana drinks green tea.", HOSTILE):
            memory.add(text, speaker="Ana")
    return folder


def journal(place: Path) -> list[tuple[str, str]]:
    with at(place) as memory:
        return [(change.verb, change.record_id) for change in memory.log(1_000)]


def held(place: Path) -> list[str]:
    """What is in mind, a text for each slot."""
    with at(place) as memory:
        return [slot.records[-1].text for slot in memory.working()]


def listed(pilot: Pilot[Any]) -> str:
    return "\n".join(lines(pilot.app.screen.query_one(OptionList)))


async def slots_on(pilot: Pilot[Any]) -> SlotsScreen:
    await pilot.press("1")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, SlotsScreen), "the slots")
    screen = pilot.app.screen
    assert isinstance(screen, SlotsScreen)
    await wait_for(pilot, lambda: "of the" in shown(screen, ".budget") or "tokens" in shown(screen, ".budget"), "read")
    return screen


@awaited
async def test_slots_stand_in_their_order_with_tokens_age_strength_and_why(place: Path) -> None:
    async with app_on(place) as pilot:
        await slots_on(pilot)
        with at(place) as memory:
            slots = memory.working()
        assert slots
        told = listed(pilot)
        found = [told.index(slot.why) for slot in slots]
        assert found == sorted(found)
        for slot in slots:
            for said in (f"{slot.strength:.2f}", f"{slot.age} step", f"{slot.tokens} token"):
                assert said in told
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_the_budget_is_that_of_a_prompts_parts(place: Path) -> None:
    with at(place) as memory:
        told = upcoming(memory, "when is the launch?")
    assert told.budget == Room().total + told.tokens["system"]
    async with app_on(place) as pilot:
        screen = await slots_on(pilot)
        await pilot.press("tab", *"when is the launch?")
        parts = ("system", "persona", "recalled", "question", "free")
        await wait_for(pilot, lambda: all(part in shown(screen, ".budget") for part in parts), "its parts")
        told_there = shown(screen, ".budget")
        assert f"about {sum(told.tokens.values()):,} of {told.budget:,} tokens" in told_there
        for part in ("system", "persona", "recalled", "question"):
            assert re.search(rf"{part} +{told.tokens[part]:,} ", told_there)


def test_what_is_foreseen_of_a_call_is_what_the_call_then_holds(place: Path) -> None:
    model = ScriptedModel(["Noted."] * 4)
    opened = Memory.open(place, embedder="hash", models=model)
    with opened as memory, ChatAgent(memory, session="s", background=False) as agent:
        agent.reply("We talk of the launch.")
        foreseen = upcoming(memory, "And when is it?")
        before = memory.head()
        assert upcoming(memory, "And when is it?").tokens == foreseen.tokens
        assert memory.head() == before, "looking writes nothing"
        reply = agent.reply("And when is it?")
    assert foreseen.session == "s"
    assert [hit.record.id for hit in foreseen.shown.recalled.hits] == [hit.record.id for hit in reply.context.hits]
    assert foreseen.tokens["recent"] > 0
    asked = sum(estimate_tokens(str(message.content)) for message in model.asked[-1])
    assert abs(sum(foreseen.tokens.values()) - asked) <= 3, "the time of day may be a letter longer"


@awaited
async def test_tab_shows_what_a_question_would_pack_and_what_is_left_out_with_the_reason(place: Path) -> None:
    with at(place) as memory:
        waiting = memory.add("The launch is cancelled, says the mail.", tags=[REVIEW])
        memory.add("We moved the launch to 3 May.", speaker="Ana")
    before = journal(place)
    async with app_on(place) as pilot:
        screen = await slots_on(pilot)
        await pilot.press("tab")
        assert "next call (dry)" in shown(screen, ".top")
        assert "Type a question" in listed(pilot)
        await pilot.press(*"launch")
        await wait_for(pilot, lambda: "left out: " in listed(pilot), "what is packed")
        told = listed(pilot)
        quoted, left = told[: told.index("left out")], told[told.index("left out") :]
        assert "would be quoted" in quoted
        assert "3 May" in quoted
        assert "cancelled" not in quoted
        assert "cancelled, says the mail." in left
        assert "it waits for review" in left
        await pilot.press("enter", "end", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "the history")
        assert waiting.id in shown(pilot.app.screen, ".top") or "history of" in shown(pilot.app.screen, ".top")
        await pilot.press("q")
        await wait_for(pilot, lambda: pilot.app.screen is screen, "the slots")
        await pilot.press("tab")
        assert "held now" in shown(screen, ".top")
        assert not screen.query_one(Input).display
    assert journal(place) == before, "nothing is written by looking"


@awaited
async def test_enter_opens_the_history_of_a_slot(place: Path) -> None:
    async with app_on(place) as pilot:
        await slots_on(pilot)
        with at(place) as memory:
            id = memory.working()[0].records[-1].id
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "the history")
        assert id in shown(pilot.app.screen, ".top")


@awaited
async def test_evicted_is_out_of_mind_and_in_the_memory_and_undo_puts_it_back(place: Path) -> None:
    first = held(place)[0]
    async with app_on(place) as pilot:
        await slots_on(pilot)
        await pilot.press("x")
        await wait_for(pilot, lambda: first not in held(place), "out of mind")
        with at(place) as memory:
            assert first in [record.text for record in memory.records()]
        await pilot.press("z")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "took out of mind" in shown(pilot.app.screen, ".dialog-title")
        await pilot.press("y")
        await wait_for(pilot, lambda: first in held(place), "in mind again")


@awaited
async def test_pinned_stays_and_is_not_evicted(place: Path) -> None:
    first = held(place)[0]
    async with app_on(place) as pilot:
        await slots_on(pilot)
        await pilot.press("p")
        await wait_for(pilot, lambda: "★" in listed(pilot), "pinned")
        await pilot.press("x")
        await wait_for(pilot, lambda: any("is pinned" in one.message for one in pilot.app._notifications), "refused")
        assert first in held(place)
        await pilot.press("p")
        await wait_for(pilot, lambda: "★" not in listed(pilot), "let go of")


@awaited
async def test_slots_change_places_and_the_cursor_goes_along(place: Path) -> None:
    order = held(place)
    assert len(order) >= 2
    async with app_on(place) as pilot:
        screen = await slots_on(pilot)
        await pilot.press("shift+down")
        await wait_for(pilot, lambda: held(place)[:2] == order[1::-1], "the second is first")
        await wait_for(pilot, lambda: screen.query_one(OptionList).highlighted == 1, "the cursor went along")
        await pilot.press("shift+up")
        await wait_for(pilot, lambda: held(place)[:2] == order[:2], "as before")
        steps = len(journal(place))
        await wait_for(pilot, lambda: screen.query_one(OptionList).highlighted == 0, "the cursor went along")
        await pilot.press("shift+up")  # there is nothing above
        await pilot.pause()
        assert len(journal(place)) == steps


_ELSEWHERE = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", actor="agent") as memory:
    memory.add("Ben sails on Sunday.")
"""


@awaited
async def test_what_another_process_says_comes_to_mind_while_it_is_looked_at(place: Path) -> None:
    async with app_on(place) as pilot:
        await slots_on(pilot)
        subprocess.run([sys.executable, "-c", _ELSEWHERE, str(place)], check=True)
        await wait_for(pilot, lambda: "Ben sails on Sunday." in listed(pilot), "what was said")


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
@awaited
async def test_hostile_texts_and_small_and_large_windows(place: Path, size: tuple[int, int]) -> None:
    async with app_on(place, size) as pilot:
        await slots_on(pilot)
        told = listed(pilot)
        assert "The ferry" in told
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "evif" in told.replace("\u2060", "")
        await pilot.press("tab", *"ferry")
        await wait_for(pilot, lambda: "would be quoted: 1" in listed(pilot) or "left out" in listed(pilot), "packed")


@awaited
async def test_an_empty_memory_says_that_nothing_is_in_mind(tmp_path: Path) -> None:
    Memory.open(tmp_path / "empty.mem", embedder="hash").close()
    async with app_on(tmp_path / "empty.mem") as pilot:
        await slots_on(pilot)
        assert "Nothing is held in mind yet" in listed(pilot)
        await pilot.press("x", "p", "shift+up", "enter")  # nothing to do it to
        await pilot.pause()
        assert isinstance(pilot.app.screen, SlotsScreen)
