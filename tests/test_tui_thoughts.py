"""One in the middle and its links at both sides: what they say, how one walks, and the ways between two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from agentmem import Memory
from agentmem.errors import RecordNotFound
from agentmem_stores.thoughts import ThoughtMemory
from agentmem_tui.linked import Centre, around, candidates, first, path
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.choosing import Chooser
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.thoughts import ThoughtsScreen
from agentmem_tui.screens.typing import TypeScreen
from tests.memory_app import app_on, at, shown
from tests.screens import awaited, wait_for

pytestmark = pytest.mark.slow

MAY = datetime(2024, 5, 3, 9, tzinfo=UTC)


def thoughts(memory: Memory) -> ThoughtMemory:
    return cast(ThoughtMemory, memory.stores["thoughts"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    with at(folder) as memory:
        turn = memory.add("I moved to Lisbon in spring.", speaker="Ana", at=MAY)
        told = thoughts(memory)
        told.insert("Ana", "lives in", "Porto", at=MAY - timedelta(days=400))
        told.insert("Ana", "lives in", "Lisbon", at=MAY, sources=[turn.id])
        told.insert("Ana", "likes", ["tea", "the sea"], at=MAY)
        told.insert("Ana", "owns", "a dog", at=MAY, negated=True)
        told.insert("Ben", "is married to", "Ana", at=MAY)
        told.insert("Ben", "works for", "the ferry", at=MAY)
        memory.load()
    return folder


def column(pilot: Pilot[None], name: str) -> list[str]:
    listed = pilot.app.screen.query_one(f".{name} .column", OptionList)
    return [str(option.prompt).replace("\n ", "") for option in listed.options]


def middle(pilot: Pilot[None]) -> str:
    return shown(pilot.app.screen, ".centre .column-title")


def standing(pilot: Pilot[None], name: str) -> bool:
    return isinstance(pilot.app.screen, ThoughtsScreen) and middle(pilot) == name


async def go(pilot: Pilot[None], name: str = "Ana") -> None:
    await pilot.press("4")
    await wait_for(pilot, lambda: standing(pilot, name), "who is in the middle")


async def point(pilot: Pilot[None], name: str, words: str) -> None:
    """With the keys, at what begins with these words."""
    listed = pilot.app.screen.query_one(f".{name} .column", OptionList)
    listed.focus()
    number = next(number for number, label in enumerate(column(pilot, name)) if label.startswith(words))
    await pilot.press("home", *["down"] * number)
    await wait_for(pilot, lambda: listed.highlighted == number, words)


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_links_stand_at_both_sides_with_type_and_weight(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        assert column(pilot, "from") == ["Ben is married to · 1.00"]
        told = column(pilot, "to")
        assert told[:5] == [
            "Lisbon lives in · 1.00",
            "tea likes · 1.00",
            "the sea likes · 1.00",
            "a dog not: owns · 1.00",
            "until 2024-05-03: Porto lives in · 1.00",
        ]
        assert told[5].startswith("Lisbon in 2 memories together · 0."), "and what goes together with it"
        assert "1 link from" in shown(pilot.app.screen, ".from .column-title")


@awaited
async def test_what_holds_no_longer_is_marked_with_a_word_and_the_day(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        said = column(pilot, "centre")
        assert said[0].startswith("Ana lives in Lisbon")
        assert said[-1].startswith("until 2024-05-03: Ana lives in Porto")


@awaited
async def test_names_that_stand_in_one_memory_go_together(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        for n in range(6):
            memory.add(f"Nothing of note happened on day {n}.", speaker="Log")
        memory.add("Carla met Dora in the garden.")
        memory.add("Dora and Carla went on.")
        memory.load()
        found = around(memory, Centre("Carla"))
        assert [(tie.to.words, tie.type) for tie in found.together] == [("Dora", "in 2 memories together")]
        assert 0 < (found.together[0].weight or 0) <= 1
        assert len(found.said) == 2, "where no thought is about it, what names it"


# ── walking ──────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_enter_recentres_and_backspace_goes_back(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        await point(pilot, "from", "Ben")
        await pilot.press("enter")
        await wait_for(pilot, lambda: standing(pilot, "Ben"), "Ben in the middle")
        assert [label.split(" ")[0] for label in column(pilot, "to")][:1] == ["Ana"]
        await point(pilot, "to", "the ferry")
        await pilot.press("enter")
        await wait_for(pilot, lambda: standing(pilot, "the ferry"), "the ferry in the middle")
        assert column(pilot, "from") == ["Ben works for · 1.00"]
        for name in ("Ben", "Ana"):
            await pilot.press("backspace")
            await wait_for(pilot, lambda name=name: standing(pilot, name), "back")  # type: ignore[misc]
        await pilot.press("backspace")
        assert standing(pilot, "Ana")
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_enter_on_a_thought_opens_its_history_and_c_puts_it_in_the_middle(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        await pilot.press("left")
        await point(pilot, "centre", "Ana lives in Lisbon")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "its history")
        await wait_for(pilot, lambda: "lives in Lisbon" in shown(pilot.app.screen, ".version-text"), "of that one")
        await pilot.press("q")
        await wait_for(pilot, lambda: standing(pilot, "Ana"), "as it was")
        await pilot.press("c")
        await wait_for(pilot, lambda: standing(pilot, "Ana lives in Lisbon"), "the thought in the middle")
        assert "I moved to Lisbon in spring. made from" in column(pilot, "from")
        assert "until 2024-05-03: Ana lives in Porto replaces" in column(pilot, "from")
        assert column(pilot, "to")[:2] == ["Ana is about", "Lisbon lives in"]
        await point(pilot, "from", "until")
        await pilot.press("enter")
        await wait_for(pilot, lambda: standing(pilot, "Ana lives in Porto"), "what it replaced")
        assert "Ana lives in Lisbon replaced by" in column(pilot, "to")
        assert column(pilot, "centre")[0].startswith("until 2024-05-03: ")


@awaited
async def test_slash_chooses_another_by_words(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        await pilot.press("slash")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Chooser), "the line")
        await pilot.press(*"FERR")
        listed = pilot.app.screen.query_one(OptionList)
        await wait_for(
            pilot, lambda: listed.options and str(listed.options[0].prompt) == "the ferry", "the name it stands in"
        )
        await pilot.press("enter")
        await wait_for(pilot, lambda: standing(pilot, "the ferry"), "it in the middle")
        await pilot.press("slash")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Chooser), "the line")
        pilot.app.screen.query_one(Input).value = "likes tea"
        listed = pilot.app.screen.query_one(OptionList)
        await wait_for(
            pilot, lambda: "Ana likes tea and the sea" in [str(o.prompt) for o in listed.options], "a thought"
        )
        number = [str(option.prompt) for option in listed.options].index("Ana likes tea and the sea")
        await pilot.press(*["down"] * number, "enter")
        await wait_for(pilot, lambda: standing(pilot, "Ana likes tea and the sea"), "it in the middle")
        await pilot.press("slash", "escape")
        await wait_for(pilot, lambda: standing(pilot, "Ana likes tea and the sea"), "as it was")


@awaited
async def test_g_finds_a_path_between_two(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        for typed, steps in (("the ferry", ["Ana", "Ben", "the ferry"]), ("tea > Ben", ["tea", "Ana", "Ben"])):
            await pilot.press("g")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line")
            pilot.app.screen.query_one(Input).value = typed
            await pilot.press("enter")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, Chooser), "the path")
            listed = pilot.app.screen.query_one(OptionList)
            await wait_for(pilot, lambda listed=listed: listed.option_count == 3, "three names")  # type: ignore[misc]
            for option, name in zip(listed.options, steps, strict=True):
                assert str(option.prompt).endswith(name)
            assert "←" in str(listed.options[1].prompt), "against the link"
            await pilot.press("escape")
        await pilot.press("g")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line")
        await pilot.press(*"Ben", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Chooser), "the path")
        await wait_for(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == 2, "two names")
        await pilot.press("down", "enter")
        await wait_for(pilot, lambda: standing(pilot, "Ben"), "its end in the middle")


def test_a_path_goes_by_what_holds_alone_and_by_nobody_unknown(place: Path) -> None:
    with at(place) as memory:
        thoughts(memory).insert("Ana", "lives in", "the mill", at=MAY - timedelta(days=800))
        thoughts(memory).insert("Zoe", "lives in", "the mill", at=MAY)
        thoughts(memory).insert("Zoe", "owns", "a dog", at=MAY)
        memory.load()
        assert path(memory, Centre("Zoe"), Centre("Ana")) is None, "Ana lives there no longer, and owns no dog"
        assert path(memory, Centre("Ana"), Centre("ana")) == []
        with pytest.raises(RecordNotFound, match="Quentin"):
            path(memory, Centre("Ana"), Centre("Quentin"))
        assert [one.words for one in candidates(memory, "")][:1] == ["Ana"]
        assert first(memory) == Centre("Ana")


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_what_another_process_learns_appears_and_the_cursor_stays(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        await point(pilot, "to", "tea")
        listed = pilot.app.screen.query_one(".to .column", OptionList)
        with at(place) as other:
            thoughts(other).insert("Ana", "lives in", "Faro", at=MAY + timedelta(days=9))
        await wait_for(pilot, lambda: "Faro lives in · 1.00" in column(pilot, "to"), "where she moved")
        assert "until 2024-05-12: Lisbon lives in · 1.00" in column(pilot, "to")
        assert column(pilot, "to")[listed.highlighted or 0].startswith("tea")


@awaited
async def test_what_is_erased_while_it_is_in_the_middle_gives_way(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        await point(pilot, "centre", "Ana likes tea")
        await pilot.press("c")
        await wait_for(pilot, lambda: standing(pilot, "Ana likes tea and the sea"), "the thought in the middle")
        with at(place) as other:
            other.forget(next(one.id for one in other.records() if "the sea" in one.text), hard=True)
        await wait_for(pilot, lambda: standing(pilot, "Ana"), "what was there before")


@awaited
async def test_a_narrow_terminal_has_the_middle_above(place: Path) -> None:
    async with app_on(place, size=(60, 20)) as pilot:
        await go(pilot)
        above = pilot.app.screen.query_one(".centre").region
        for side in (".from", ".to"):
            below = pilot.app.screen.query_one(side).region
            assert above.bottom <= below.y
            assert below.height >= 8
            assert below.width >= 28
        await pilot.press("left", "left", "enter")
        await wait_for(pilot, lambda: standing(pilot, "Ben"), "Ben in the middle")


@awaited
async def test_without_thoughts_it_says_how_they_come_to_be(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        memory.add("it is late.")
    async with app_on(tmp_path / "m", size=(60, 20)) as pilot:
        await pilot.press("4")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ThoughtsScreen), "the thoughts")
        nothing = pilot.app.screen.query_one(".nothing")
        await wait_for(pilot, lambda: nothing.display, "that there is none")
        assert "agentmem consolidate" in shown(pilot.app.screen, ".nothing")
        await pilot.press("enter", "c", "g", "backspace")
        assert isinstance(pilot.app.screen, ThoughtsScreen)
        with at(tmp_path / "m") as other:
            thoughts(other).insert("Ana", "likes", "tea")
        await wait_for(pilot, lambda: standing(pilot, "Ana"), "the first thought")


@awaited
async def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    evil = "[red]x[/] \x1b[31mred\u202eevil"
    with at(tmp_path / "m") as memory:
        thoughts(memory).insert(evil, "[bold]owns", evil)
        memory.load()
    async with app_on(tmp_path / "m") as pilot:
        await pilot.press("4")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ThoughtsScreen), "the thoughts")
        await wait_for(pilot, lambda: column(pilot, "to"), "its links")
        told = "".join([*(label for name in ("from", "centre", "to") for label in column(pilot, name)), middle(pilot)])
        assert "[red]x[/]" in told
        assert "[bold]owns" in told
        assert "\x1b" not in told
        assert "\u202e" not in told
