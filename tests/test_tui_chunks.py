"""The tree of chunks: what each line says, what is read when, what is out of date, and what a summary costs first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Static
from textual.widgets.tree import TreeNode

from agentmem import Memory
from agentmem.models.scripted import ScriptedModel
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Record
from agentmem_stores.chunks import ChunkMemory
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.chunks import ChunksScreen, ChunkTree, Leaf, every
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.stepping import Ask
from tests.memory_app import app_on, at, shown
from tests.screens import awaited, wait_for

pytestmark = pytest.mark.slow

MORNING = datetime(2024, 5, 3, 9, tzinfo=UTC)


def tell(memory: Memory, session: str | None, number: int, day: int = 0) -> list[Record]:
    return memory.add_many(
        {
            "text": f"Ferry number {n} leaves the old harbour.",
            "session": session,
            "speaker": "Ana",
            "at": MORNING + timedelta(days=day, minutes=n),
        }
        for n in range(number)
    )


def chunks(memory: Memory) -> ChunkMemory:
    memory.load()
    return cast(ChunkMemory, memory.stores["chunks"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three chunks of a long session, and one of a short one."""
    folder = tmp_path / "notes.mem"
    with at(folder) as memory:
        tell(memory, "crossing", 70)
        tell(memory, "shopping", 5, day=2)
    return folder


def tree(pilot: Pilot[None]) -> ChunkTree:
    return pilot.app.screen.query_one(ChunkTree)


def nodes(pilot: Pilot[None]) -> list[TreeNode[Leaf]]:
    return sorted(every(tree(pilot).root), key=lambda node: node.line)


def labels(pilot: Pilot[None]) -> list[str]:
    return [str(node.label) for node in nodes(pilot)]


def pointed(pilot: Pilot[None]) -> str:
    node = tree(pilot).cursor_node
    return "" if node is None else str(node.label)


def source(pilot: Pilot[None]) -> str:
    parts = (pilot.app.screen.query_one(f".source-{part}", Static) for part in ("before", "here", "after"))
    return "".join(str(part.content) for part in parts if part.display)


async def go(pilot: Pilot[None]) -> None:
    await pilot.press("3")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, ChunksScreen), "the chunks")
    await wait_for(pilot, lambda: tree(pilot).cursor_node, "the first session")


async def opened(pilot: Pilot[None]) -> None:
    """The long session, and its first chunk."""
    await go(pilot)
    await pilot.press("enter")
    await wait_for(pilot, lambda: len(nodes(pilot)) == 5, "its chunks")
    await pilot.press("down", "enter")
    await wait_for(pilot, lambda: len(nodes(pilot)) == 37, "the turns of the first")


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_each_line_says_words_span_turns_and_tokens_and_is_read_when_it_is_opened(place: Path) -> None:
    with at(place) as memory:
        tokens = sum(estimate_tokens(one.text) for one in memory.records() if one.session == "crossing")
    async with app_on(place) as pilot:
        await go(pilot)
        await wait_for(pilot, lambda: "…" not in " ".join(labels(pilot)).replace("h…", ""), "the tokens")
        first, second = labels(pilot)
        for said in ("crossing", "Ferry number 0", "2024-05-03", "70 turns", f"{tokens:,} tokens"):
            assert said in first
        assert "2024-05-05" in second
        assert "5 turns" in second
        assert not any(node.children for node in nodes(pilot)), "nothing below it was read"
        await opened(pilot)
        assert [label.split(" · ")[1] for label in labels(pilot) if " · " in label] == [
            "70 turns",
            "32 turns",
            "32 turns",
            "6 turns",
            "5 turns",
        ]
        assert labels(pilot)[2].startswith("Ana: Ferry number 0 leaves")
        await pilot.press("enter")
        assert not nodes(pilot)[1].is_expanded


@awaited
async def test_space_shows_the_turns_beside_it_and_marks_the_one_pointed_at(place: Path) -> None:
    async with app_on(place) as pilot:
        await opened(pilot)
        assert not pilot.app.screen.query_one(".source").display
        await pilot.press("space")
        await wait_for(pilot, lambda: "number 31 leaves" in source(pilot), "all its turns")
        assert "number 32 leaves" not in source(pilot)
        await pilot.press("down", "down", "down")
        here = pilot.app.screen.query_one(".source-here", Static)
        await wait_for(pilot, lambda: here.display and "▸" in str(here.content), "the one pointed at")
        await wait_for(pilot, lambda: "number 2 leaves" in str(here.content), "is marked")
        assert "number 1 leaves" in shown(pilot.app.screen, ".source-before")
        assert "number 3 leaves" in shown(pilot.app.screen, ".source-after")
        await pilot.press("space")
        assert not pilot.app.screen.query_one(".source").display


@awaited
async def test_enter_opens_the_history_of_a_turn(place: Path) -> None:
    async with app_on(place) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "the history")
        await wait_for(pilot, lambda: "number 1 leaves" in shown(pilot.app.screen, ".version-text"), "of that turn")
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ChunksScreen), "the tree")
        assert len(nodes(pilot)) == 37, "as it was left"


@awaited
async def test_a_summary_stands_for_its_chunk_and_is_marked_when_its_turns_changed(place: Path) -> None:
    with at(place) as memory:
        store = chunks(memory)
        [crossing, _] = store.below()
        store.summarise(crossing.id)
        first, *_ = chunks(memory).below(crossing.id)
        memory.edit(first.summary or "", text="They spoke of ferries.")
    async with app_on(place) as pilot:
        await opened(pilot)
        assert "They spoke of ferries." in labels(pilot)[1]
        assert not any("◇" in label for label in labels(pilot))
        await pilot.press("H")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, HistoryScreen), "the summary's history")
        await pilot.press("q")
        with at(place) as other:
            other.edit(next(other.records()).id, text="The ferry sank.")
        await wait_for(pilot, lambda: any("◇" in label for label in labels(pilot)), "the mark")
        assert [label.startswith("◇ ") for label in labels(pilot)[:2]] == [True, True], "of the chunk, and above it"
        assert sum("◇" in label for label in labels(pilot)) == 2
        assert "They spoke of ferries." in labels(pilot)[1], "what was written still stands there"
        assert "out of date" in shown(pilot.app.screen, ".top")
        await pilot.press("space")
        await wait_for(pilot, lambda: "changed since this was written" in source(pilot), "in words")


# ── summarising ──────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_without_a_model_it_says_so_first_and_takes_sentences(place: Path) -> None:
    async with app_on(place) as pilot:
        await opened(pilot)
        for key in ("n", "y"):
            await pilot.press("r")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
            told = " ".join(str(part.content) for part in pilot.app.screen.query(Static))
            assert "32 turns" in told
            assert "No language model is asked" in told
            with at(place) as other:
                assert all(one.kind == "turn" for one in other.records()), "nothing is written before a yes"
            await pilot.press(key)
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, ChunksScreen), "the tree")
        await wait_for(pilot, lambda: labels(pilot)[1].startswith("Ana: Ferry"), "the summary")
    with at(place) as memory:
        [made] = [one for one in memory.records() if one.kind == "chunk"]
        assert len(made.sources) == 32, "of this branch alone"
        memory.undo()
        assert all(one.kind == "turn" for one in memory.records())


@awaited
async def test_a_model_is_asked_once_its_cost_is_agreed_to(place: Path) -> None:
    model = ScriptedModel(["In short: each ferry leaves the old harbour."])
    async with app_on(place, models=model) as pilot:
        await opened(pilot)
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        told = " ".join(str(part.content) for part in pilot.app.screen.query(Static))
        assert "questions to scripted" in told
        assert "tokens" in told
        assert not model.asked
        await pilot.press("y")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ChunksScreen), "the tree")
        await wait_for(pilot, lambda: "In short: each ferry" in labels(pilot)[1], "the model's words")
        assert len(model.asked) == 1


@awaited
async def test_few_turns_need_no_summary(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        tell(memory, None, 2)
    async with app_on(tmp_path / "m") as pilot:
        await go(pilot)
        assert "(no session)" in labels(pilot)[0]
        await pilot.press("r")
        await wait_for(pilot, lambda: pilot.app._notifications, "that there is nothing to do")
        assert isinstance(pilot.app.screen, ChunksScreen)


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_what_another_process_tells_appears_and_what_was_opened_stays_open(place: Path) -> None:
    async with app_on(place) as pilot:
        await opened(pilot)
        await pilot.press("down", "down")
        with at(place) as other:
            tell(other, "evening", 3, day=9)
        await wait_for(pilot, lambda: any("evening" in label for label in labels(pilot)), "the new session")
        assert len(nodes(pilot)) == 38
        cursor = tree(pilot)
        await wait_for(
            pilot, lambda: "number 1 leaves" in str(cursor.cursor_node and cursor.cursor_node.label), "there"
        )


@awaited
async def test_many_sessions_are_listed_page_by_page(tmp_path: Path) -> None:
    with at(tmp_path / "m") as memory:
        memory.add_many({"text": "Hello.", "session": f"s{n}"} for n in range(203))
    async with app_on(tmp_path / "m") as pilot:
        await go(pilot)
        assert len(nodes(pilot)) == 201
        assert "3 more sessions" in labels(pilot)[-1]
        await pilot.press("end", "enter")
        await wait_for(pilot, lambda: len(nodes(pilot)) == 203, "all of them")


@awaited
async def test_a_narrow_terminal_has_the_source_below(place: Path) -> None:
    async with app_on(place, size=(60, 20)) as pilot:
        await opened(pilot)
        await pilot.press("space")
        await wait_for(pilot, lambda: "number 31 leaves" in source(pilot), "its turns")
        above, below = tree(pilot).region, pilot.app.screen.query_one(".source").region
        assert above.bottom <= below.y
        assert above.height > 4
        assert below.height > 4
        assert all(len(label) <= 60 for label in labels(pilot))
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_without_turns_it_says_how_they_come_to_be(tmp_path: Path) -> None:
    with at(tmp_path / "m"):
        pass
    async with app_on(tmp_path / "m", size=(60, 20)) as pilot:
        await pilot.press("3")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, ChunksScreen), "the chunks")
        nothing = pilot.app.screen.query_one(".nothing")
        await wait_for(pilot, lambda: nothing.display, "that there is none")
        assert "--session" in shown(pilot.app.screen, ".nothing")
        await pilot.press("enter", "space", "r", "H")
        assert isinstance(pilot.app.screen, ChunksScreen)


@awaited
async def test_hostile_words_are_only_words(tmp_path: Path) -> None:
    evil = "[red]x[/] \x1b[31mred\u202eevil"
    with at(tmp_path / "m") as memory:
        memory.add(evil, session=evil, speaker=evil)
    async with app_on(tmp_path / "m") as pilot:
        await go(pilot)
        await pilot.press("enter")
        await wait_for(pilot, lambda: len(nodes(pilot)) == 2, "the turn")
        await pilot.press("down", "space")
        await wait_for(pilot, partial(source, pilot), "the source")
        told = "".join([*labels(pilot), source(pilot)])
        assert "[red]x[/]" in told
        assert "\x1b" not in told
        assert "\u202e" not in told
