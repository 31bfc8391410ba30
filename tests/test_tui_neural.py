"""The view of trained memories, while there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.registry import STORES, names
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.neural import NeuralScreen
from tests.memory_app import app_on, shown
from tests.screens import awaited, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [(60, 20), (140, 36)])
@awaited
async def test_it_says_that_none_is_installed_what_it_will_show_and_what_there_is(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    Memory.open(tmp_path / "notes.mem", embedder="hash").close()
    async with app_on(tmp_path / "notes.mem", size) as pilot:
        await pilot.press("6")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, NeuralScreen), "the view")
        told = shown(pilot.app.screen, ".told-text")
        assert "No neural memory is installed." in told
        assert "What is shown here when one is:" in told
        assert all(name in told for name in names(STORES))
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
