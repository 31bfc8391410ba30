"""The map of places: what it shows, where arrows lead, what a replay goes through, and that a list says the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from agentmem.records import Place
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.places import EpisodesScreen, MapView, PlacesScreen
from tests.memory_app import app_on, at, shown
from tests.screens import awaited, lines, wait_for

pytestmark = pytest.mark.slow

MORNING = datetime(2024, 5, 3, 9, tzinfo=UTC)
VISITS = ("harbour/pier 3", "market", "harbour/pier 3", "home")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    with at(folder) as memory:
        memory.add_many(
            {"text": f"Visit {n} to {where}.", "place": where, "session": "walk", "at": MORNING + timedelta(days=n)}
            for n, where in enumerate(VISITS)
        )
        memory.add("Nowhere in particular.")
    return folder


def labels(pilot: Pilot[None]) -> list[str]:
    return [str(option.prompt).strip() for option in pilot.app.screen.query_one(OptionList).options]


def counts(pilot: Pilot[None]) -> dict[str, int]:
    """What the list says of each place."""
    said = [label.split("  ", 1) for label in labels(pilot)]
    return {name.split(" (")[0]: int(number.replace(",", "")) for number, name in said}


def pointed(pilot: Pilot[None]) -> str:
    listed = pilot.app.screen.query_one(OptionList)
    return "" if listed.highlighted is None else labels(pilot)[listed.highlighted].split("  ", 1)[1].split(" (")[0]


def drawing(pilot: Pilot[None]) -> str:
    return "\n".join(lines(pilot.app.screen.query_one(MapView)))


def focused(pilot: Pilot[None]) -> str:
    """The line of the map on which the place pointed at stands, with its name."""
    return next((line for line in drawing(pilot).splitlines() if "◉" in line), "")


async def go(pilot: Pilot[None]) -> None:
    await pilot.press("2")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, PlacesScreen), "the places")
    await wait_for(pilot, lambda: "places" in shown(pilot.app.screen, ".top"), "what is known of them")


@awaited
async def test_a_place_is_a_node_whose_size_is_its_episodes_and_a_list_says_the_same(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        assert counts(pilot) == {"harbour": 0, "harbour/pier 3": 2, "home": 1, "market": 1}
        assert "4 places, 4 episodes" in shown(pilot.app.screen, ".top")
        await wait_for(pilot, lambda: "market" in drawing(pilot), "the map")
        assert pointed(pilot) == "harbour/pier 3", "where most happened"
        for name in ("◉ pier 3", "harbour", "home", "∘"):
            assert name in drawing(pilot)


@awaited
async def test_arrows_walk_to_every_place_and_the_list_goes_along(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        seen, chance = {pointed(pilot)}, random.Random(1)
        for _ in range(100):
            await pilot.press(chance.choice(["down", "up", "left", "right"]))
            seen.add(pointed(pilot))
            await wait_for(pilot, lambda: pointed(pilot).rpartition("/")[2] in focused(pilot), "the same place")
            if seen == set(counts(pilot)):
                break
        assert seen == set(counts(pilot))
        pilot.app.screen.query_one(OptionList).focus()
        await pilot.press("home", "down")
        await wait_for(pilot, lambda: pointed(pilot) == "harbour/pier 3", "the list walks too")
        await wait_for(pilot, lambda: "◉ pier 3" in drawing(pilot), "and the map goes along")


@awaited
async def test_enter_lists_what_happened_there_in_the_order_of_time_and_opens_its_history(place: Path) -> None:
    with at(place) as memory:
        memory.add("Long before.", place="harbour/pier 3", at=MORNING - timedelta(days=99))
    async with app_on(place) as pilot:
        await go(pilot)
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EpisodesScreen), "the episodes")
        await wait_for(pilot, lambda: len(labels(pilot)) == 3, "all three")
        assert [label.split("  ")[1] for label in labels(pilot)] == [
            "Long before.",
            "Visit 0 to harbour/pier 3.",
            "Visit 2 to harbour/pier 3.",
        ]
        await pilot.press("down")
        await wait_for(pilot, lambda: "Visit 0" in shown(pilot.app.screen, ".record-text"), "the one pointed at")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "its history")
        await wait_for(pilot, lambda: "Visit 0" in shown(pilot.app.screen, ".version-text"), "of that one")
        await pilot.press("q", "q", "q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_a_replay_goes_visit_by_visit_with_what_was_known_by_then(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        slider = partial(shown, pilot.app.screen, ".slider")
        assert not pilot.app.screen.query_one(".slider").display
        await pilot.press("tab")
        assert pilot.app.screen.query_one(".slider").display
        for n, keys in ((3, ()), (2, ("left_square_bracket",)), (1, ("left",)), (0, ("left",)), (0, ("left",))):
            await pilot.press(*keys)
            assert f"{n + 1} of 4" in slider()
            assert f"2024-05-{3 + n:02}" in slider()
            assert VISITS[n] in slider()
            assert pointed(pilot) == VISITS[n]
            assert sum(counts(pilot).values()) == n + 1
        for n, key in ((1, "right_square_bracket"), (2, "right")):
            await pilot.press(key)
            assert pointed(pilot) == VISITS[n]
            assert counts(pilot)["harbour/pier 3"] == n
        await pilot.press("tab")
        assert not pilot.app.screen.query_one(".slider").display
        assert sum(counts(pilot).values()) == 4


@awaited
async def test_a_narrow_terminal_has_the_list_alone(place: Path) -> None:
    async with app_on(place, size=(60, 20)) as pilot:
        await go(pilot)
        await wait_for(pilot, lambda: isinstance(pilot.app.focused, OptionList), "the list has the keys")
        assert not pilot.app.screen.query_one(MapView).region.area
        await pilot.press("end")
        await wait_for(pilot, lambda: pointed(pilot) == "market", "the last")
        await pilot.press("tab", "left", "left")
        await wait_for(pilot, lambda: pointed(pilot) == VISITS[1], "a replay goes here too")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EpisodesScreen), "the episodes")
        await pilot.press("q")
        await pilot.resize_terminal(140, 40)
        await wait_for(pilot, lambda: "market" in drawing(pilot), "the map")


@awaited
async def test_without_places_it_says_how_they_come_to_be(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        memory.add("Nowhere.")
    async with app_on(tmp_path / "m", size=(60, 20)) as pilot:
        await go(pilot)
        nothing = pilot.app.screen.query_one(".nothing")
        await wait_for(pilot, lambda: nothing.display, "that there is none")
        assert "--place" in shown(pilot.app.screen, ".nothing")
        assert "place=" in shown(pilot.app.screen, ".nothing")
        await pilot.press("left", "up", "enter", "tab")
        assert isinstance(pilot.app.screen, PlacesScreen)
        with at(tmp_path / "m") as other:
            other.add("Here.", place="here")
        await wait_for(pilot, lambda: not nothing.display and counts(pilot) == {"here": 1}, "the first place")


@awaited
async def test_what_another_process_writes_appears_and_the_place_pointed_at_stays(place: Path) -> None:
    async with app_on(place) as pilot:
        await go(pilot)
        with at(place) as other:
            for n in range(5):
                other.add(f"Lamp {n}.", place="a lighthouse")
        await wait_for(pilot, lambda: counts(pilot).get("a lighthouse") == 5, "the new place")
        assert pointed(pilot) == "harbour/pier 3"


@awaited
async def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    name = "[red]x[/] \x1b[31m\u202eevil"
    with at(tmp_path / "m") as memory:
        memory.add("It says [bold]this[/bold].", place=name)
    async with app_on(tmp_path / "m") as pilot:
        await go(pilot)
        await wait_for(pilot, lambda: len(labels(pilot)) == 2, "both parts of it")  # the slash makes a path of it
        told = "\n".join([*labels(pilot), drawing(pilot)])
        assert "[red]x[" in labels(pilot)[0]
        assert "\x1b" not in told
        assert "\u202e" not in told
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EpisodesScreen), "the episodes")
        await wait_for(pilot, lambda: any("[bold]this[/bold]" in label for label in labels(pilot)), "its words")


@awaited
async def test_places_without_coordinates_stand_beside_those_with(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        for n, where in enumerate((Place("west", (0, 0)), Place("east", (9, 0)), Place("x"))):
            memory.add("Was there.", place=where, session="s", at=MORNING + timedelta(hours=n))
    async with app_on(tmp_path / "m") as pilot:
        await go(pilot)
        await wait_for(pilot, lambda: "east" in drawing(pilot), "the map")
        [line] = [line for line in drawing(pilot).splitlines() if "west" in line]
        assert "east" not in line or line.index("west") < line.index("east")
        assert counts(pilot) == {"east": 1, "west": 1, "x": 1}
