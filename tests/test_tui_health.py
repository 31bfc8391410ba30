"""What the doctor finds on a screen, with its repairs; the jobs; and what models took."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from textual.pilot import Pilot
from textual.widgets import OptionList

from agentmem import Memory
from agentmem.config import Settings
from agentmem.models.scripted import ScriptedModel
from agentmem_stores.sql.schema import vectors
from agentmem_tui.app import MemoryApp
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.health import HealthScreen
from agentmem_tui.screens.stepping import Ask
from tests.doctoring import behind_its_back, content, filled
from tests.memory_app import opening, shown
from tests.screens import awaited, wait_for

pytestmark = pytest.mark.slow

HOSTILE = "it \x1b[2J failed [bold]badly[/bold] \u202edne"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    filled(folder, 12)
    return folder


def without_vectors(place: Path) -> None:
    behind_its_back(str(place), lambda connection: connection.execute(delete(vectors).where(vectors.c.position < 5)))


def dead_job(place: Path, error: str = "no answer") -> str:
    with Memory.open(place, embedder="hash") as memory:
        id = memory.jobs.put("think", {"of": "ferries"})
        taken = memory.jobs.take("somebody", lease=timedelta(minutes=1))
        assert taken is not None
        memory.jobs.failed(id, "somebody", error, attempts=1)
        return id


@asynccontextmanager
async def health_on(place: Path, size: tuple[int, int] = (130, 40), **given: Any) -> AsyncIterator[Pilot[None]]:
    """The view, with the first examination at its end."""
    settings = Settings(memory=str(place), embedder="hash")
    app = MemoryApp(str(place), opening(place, **given), settings)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: isinstance(app.screen, BrowseScreen), "home")
        await pilot.press("exclamation_mark")
        await wait_for(pilot, lambda: isinstance(app.screen, HealthScreen), "the view")
        await ended(pilot)
        yield pilot


async def ended(pilot: Pilot[Any]) -> None:
    await wait_for(pilot, lambda: "check" in shown(pilot.app.screen, ".told-below"), "the end of the examination")


def listed(pilot: Pilot[Any]) -> list[str]:
    """What the list says, row by row."""
    return [str(option.prompt) for option in pilot.app.screen.query_one(OptionList).options]


async def point_at(pilot: Pilot[Any], word: str) -> None:
    """The cursor to the row that says this."""
    await wait_for(pilot, lambda: any(word in line for line in listed(pilot)), word)
    row = next(at for at, line in enumerate(listed(pilot)) if word in line)
    pilot.app.screen.query_one(OptionList).highlighted = row
    await pilot.pause()


@awaited
async def test_each_finding_bears_its_severity_as_a_word_and_a_sign(place: Path) -> None:
    without_vectors(place)
    dead_job(place)
    async with health_on(place) as pilot:
        told = listed(pilot)
        assert any(line.startswith("✓ ok       ledger") for line in told)
        assert any(line.startswith("✗ fault    vectors") for line in told)
        assert any(line.startswith("! warning  jobs") for line in told)
        assert "1 fault, " in shown(pilot.app.screen, ".told-below")
        assert "1 can be repaired: f" in shown(pilot.app.screen, ".told-below")
        await point_at(pilot, "fault ")
        assert "of 12 texts: 4 without a vector" in shown(pilot.app.screen, ".step-text")
        assert "f would embed 4 texts again" in shown(pilot.app.screen, ".step-text")


@awaited
async def test_one_key_repairs_after_a_question_and_it_is_looked_at_again(place: Path) -> None:
    without_vectors(place)
    before = content(place)
    async with health_on(place) as pilot:
        await point_at(pilot, "✗ fault")
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "Embed 4 texts again?" in shown(pilot.app.screen, ".dialog-title")
        await pilot.press("n")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HealthScreen), "the view")
        assert any("✗ fault" in line for line in listed(pilot)), "a no leaves it"
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("y")
        messages = pilot.app._notifications
        await wait_for(pilot, lambda: any("embedded 4 texts again" in one.message for one in messages), "it is done")
        await ended(pilot)
        assert not any("✗ fault" in line for line in listed(pilot))
        assert any("✓ ok       vectors" in line for line in listed(pilot))
        assert "all is well" in shown(pilot.app.screen, ".told-below")
    assert content(place) == before, "no memory and no journal is changed"


@awaited
async def test_how_far_a_repair_is_stands_below_while_it_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_vectors(place)
    said: list[str] = []
    tell = HealthScreen._tell

    def heard(self: HealthScreen, doing: str) -> None:
        tell(self, doing)
        said.append(shown(self, ".told-below"))

    monkeypatch.setattr(HealthScreen, "_tell", heard)
    async with health_on(place) as pilot:
        assert any("journal and rows" in line for line in said), "what is looked at"
        await point_at(pilot, "✗ fault")
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("y")
        await wait_for(pilot, lambda: any("embed 4 texts again: 4 of 4" in line for line in said), "how far it is")


@awaited
async def test_what_has_no_repair_says_what_to_do_and_f_repairs_nothing(place: Path) -> None:
    dead_job(place)
    async with health_on(place) as pilot:
        await point_at(pilot, "! warning")
        assert "→ Put the cause right" in shown(pilot.app.screen, ".step-text")
        await pilot.press("f")
        await wait_for(pilot, lambda: pilot.app._notifications, "that there is nothing")
        assert isinstance(pilot.app.screen, HealthScreen)


@awaited
async def test_dead_jobs_are_tried_again_and_waiting_ones_are_listed(place: Path) -> None:
    dead = dead_job(place)
    with Memory.open(place, embedder="hash") as memory:
        memory.jobs.put("summarise", {})
    async with health_on(place) as pilot:
        assert any("† dead" in line and "think" in line and "no answer" in line for line in listed(pilot))
        assert any("◷ waiting" in line and "summarise" in line for line in listed(pilot))
        await point_at(pilot, "summarise")
        await pilot.press("r")
        await wait_for(pilot, lambda: pilot.app._notifications, "that it was not given up")
        await point_at(pilot, "† dead")
        assert "r lets it be tried again" in shown(pilot.app.screen, ".step-text")
        await pilot.press("r")
        await wait_for(pilot, lambda: not any("† dead" in line for line in listed(pilot)), "it waits again")
    with Memory.open(place, embedder="hash") as memory:
        assert dead in [job.id for job in memory.jobs.listed("waiting")]


@awaited
async def test_the_numbers_and_what_models_took_today(place: Path) -> None:
    with Memory.open(place, embedder="hash", models=ScriptedModel(["Nine."])) as memory:
        memory.models.ask("reply", "When does the ferry leave?")
        size = memory.stats().bytes
    async with health_on(place) as pilot:
        told = shown(pilot.app.screen, ".numbers")
        for said in ("records 12 live", f"size {size / 1e6:,.1f} MB", "embedder hash-512-v1", "index ", "to embed 0"):
            assert said in told
        assert "models today 1 call, 0 failed" in told
        assert "most by scripted for reply" in told


_ELSEWHERE = """
import sys
from agentmem import Memory
with Memory.open(sys.argv[1], embedder="hash", actor="agent") as memory:
    memory.jobs.put("think", {})
    memory.add("Ben sails on Sunday.")
"""


@awaited
async def test_what_another_process_writes_is_counted_and_a_looks_again(place: Path) -> None:
    async with health_on(place) as pilot:
        assert "not asked" in shown(pilot.app.screen, ".numbers")
        subprocess.run([sys.executable, "-c", _ELSEWHERE, str(place)], check=True)
        await wait_for(pilot, lambda: "records 13 live" in shown(pilot.app.screen, ".numbers"), "one more")
        assert any("◷ waiting" in line for line in listed(pilot))
        without_vectors(place)
        assert not any("✗ fault" in line for line in listed(pilot)), "the doctor looks when he is asked"
        await pilot.press("a")
        await wait_for(pilot, lambda: any("✗ fault" in line for line in listed(pilot)), "what he finds")


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
@awaited
async def test_hostile_errors_and_small_and_large_windows(place: Path, size: tuple[int, int]) -> None:
    dead_job(place, HOSTILE)
    async with health_on(place, size) as pilot:
        await point_at(pilot, "† dead")
        told = "\n".join(listed(pilot)) + shown(pilot.app.screen, ".step-text")
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "failed [bold]badly[/bold]" in told.replace("\u2060", "")
        assert pilot.app.screen.query_one(OptionList).size.height >= 4


@awaited
async def test_an_empty_memory_is_well_and_may_be_left_while_it_is_looked_at(tmp_path: Path) -> None:
    Memory.open(tmp_path / "empty.mem", embedder="hash").close()
    async with health_on(tmp_path / "empty.mem") as pilot:
        assert "all is well" in shown(pilot.app.screen, ".told-below")
        assert "records none" in shown(pilot.app.screen, ".numbers")
        await pilot.press("a", "q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
