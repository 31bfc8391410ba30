"""What tests of the screens share: the app on a real memory, and waiting for what it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from agentmem import Memory
from agentmem.config import Settings
from agentmem.records import Record
from agentmem_tui.app import MemoryApp
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.widgets.record_table import RecordTable
from tests.screens import wait_for

LAUNCH = "We moved the launch to 3 May."

__all__ = ["LAUNCH", "app_on", "at", "filled", "live", "only", "opening", "rows", "shown", "table", "texts"]


def opening(place: Path, **given: Any) -> Callable[..., Memory]:
    def opens(*, create: bool = False) -> Memory:
        return Memory.open(place, embedder="hash", create=create, **given)

    return opens


@asynccontextmanager
async def app_on(
    place: Path,
    size: tuple[int, int] = (130, 40),
    preferences: tuple[object, str] = ({}, ""),
    remembered: Path | None = None,
    **given: Any,
) -> AsyncIterator[Pilot[None]]:
    """The app on a memory that is there, at home, with its list read."""
    settings = Settings(memory=str(place), embedder="hash", tui=preferences)
    app = MemoryApp(str(place), opening(place, **given), settings, remembered)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: isinstance(app.screen, BrowseScreen), "home")
        await wait_for(pilot, lambda: table(pilot).cursor_record or not rows(pilot), "its list")
        yield pilot


def table(pilot: Pilot[Any]) -> RecordTable:
    return next(screen for screen in pilot.app.screen_stack if isinstance(screen, BrowseScreen)).table


def texts(pilot: Pilot[Any]) -> list[str]:
    """What stands in the list, as far as it is read."""
    found = table(pilot)
    return [record.text for row in range(rows(pilot)) if (record := found.at(row)) is not None]


def rows(pilot: Pilot[Any]) -> int:
    """How long the list is."""
    return table(pilot).virtual_size.height - 1  # without its header


def shown(screen: Screen[Any], which: str) -> str:
    """What a part of a screen says."""
    return str(screen.query_one(which, Static).content)


def filled(folder: Path) -> Path:
    """A memory of a few words by two people, in two scopes."""
    with Memory.open(folder, embedder="hash") as memory:
        memory.add(LAUNCH, speaker="Ana", session="planning")
        memory.add("Then I'll book the ferry.", speaker="Ben", session="planning")
        memory.add("Ana prefers tea.", kind="fact", tags=["likes"])
        memory.scope("user:ana").add("I live in Lisbon.", speaker="Ana")
    return folder


def at(place: Path, actor: str = "agent") -> Memory:
    """The same memory, opened by somebody else."""
    return Memory.open(place, embedder="hash", actor=actor)


def live(place: Path) -> list[str]:
    with at(place) as memory:
        return [record.text for record in memory.records()]


def only(place: Path, text: str) -> Record:
    with at(place) as memory:
        [found] = [record for record in memory.records() if record.text == text]
        return found
