"""Around the screens: memories that cannot be opened, help, keys and themes of a user's own, and the page of it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem.config import Settings
from agentmem.errors import ConfigError
from agentmem_tui.actions import ACTIONS, GROUPS
from agentmem_tui.app import MemoryApp
from agentmem_tui.reference import page
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.edit import EditScreen
from agentmem_tui.screens.help import HelpScreen
from agentmem_tui.screens.trouble import TroubleScreen
from tests.memory_app import app_on, filled, opening
from tests.screens import awaited, wait_for


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return filled(tmp_path / "notes.mem")


@awaited
async def test_a_memory_that_is_not_there_can_be_made(tmp_path: Path) -> None:
    place = tmp_path / "new.mem"
    app = MemoryApp(str(place), opening(place))
    async with app.run_test() as pilot:
        await wait_for(pilot, lambda: isinstance(app.screen, TroubleScreen), "what is wrong")
        assert not place.exists()
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, TroubleScreen), "the same again")
        await pilot.press("n")
        await wait_for(pilot, lambda: isinstance(app.screen, BrowseScreen), "home")
    assert place.exists()


@awaited
async def test_a_broken_memory_says_what_to_do_and_is_not_written_over(tmp_path: Path) -> None:
    place = tmp_path / "broken.mem"
    place.mkdir()
    (place / "ledger.sqlite3").write_bytes(b"this is no database, and never was one" * 100)
    app = MemoryApp(str(place), opening(place))
    async with app.run_test() as pilot:
        await wait_for(pilot, lambda: len(app.screen.query(".dialog-text")) == 2, "what is wrong, and what to do")
        assert isinstance(app.screen, TroubleScreen)
        await pilot.press("n")  # nothing is made over it
        await pilot.press("q")
        await wait_for(pilot, lambda: app.return_code == 1, "its end")
    assert (place / "ledger.sqlite3").read_bytes().startswith(b"this is no database")


@awaited
async def test_help_lists_what_can_be_done_here(place: Path) -> None:
    async with app_on(place) as pilot:
        await pilot.press("question_mark")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "help")
        told = " ".join(str(line.content) for line in pilot.app.screen.query("Static"))  # type: ignore[attr-defined]
        for action in ("find", "edit", "forget", "undo", "journal"):
            assert ACTIONS[action].help in told
        assert ACTIONS["save"].help not in told
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_keys_and_theme_are_the_users(place: Path) -> None:
    table_ = {"theme": "textual-light", "keys": {"edit": "f4"}}
    async with app_on(place, preferences=(table_, "agentmem.toml")) as pilot:
        assert pilot.app.theme == "textual-light"
        await pilot.press("e")
        assert isinstance(pilot.app.screen, BrowseScreen)
        await pilot.press("f4")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, EditScreen), "the editor")


@pytest.mark.parametrize(
    ("table_", "told", "way_out"),
    [
        ({"colour": "red"}, "no setting tui.colour", "Known: theme, keys"),
        ({"keys": {"edt": "e"}}, "no setting tui.keys.edt", "Did you mean edit?"),
        ({"keys": {"edit": ""}}, "tui.keys.edit must be a key", "ctrl+s,f2"),
        ({"keys": []}, "tui.keys must be a table", "[tui.keys]"),
        ({"theme": "textual-lihgt"}, "no theme 'textual-lihgt'", "Did you mean textual-light?"),
        ([], "tui must be a table", "[tui]"),
    ],
)
@awaited
async def test_preferences_that_are_not_understood_are_told(table_: object, told: str, way_out: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        MemoryApp("x", opening(Path("x")), Settings(tui=(table_, "agentmem.toml")))
    assert way_out in caught.value.way_out


@awaited
async def test_the_page_of_the_screens_is_what_they_do() -> None:
    assert Path("docs/tui.md").read_text(encoding="utf-8") == page()
    assert len(ACTIONS) == sum(map(len, GROUPS.values())), "no two actions have one name"
