"""The screen that tells where a memory is from: its sources up to files, who made it, and what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets.tree import TreeNode

from agentmem import Memory
from agentmem.models.calls import Call
from agentmem.records import Record, Source
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.origin import Branch, OriginScreen
from tests.memory_app import app_on, at, shown, table
from tests.screens import awaited, lines, wait_for

pytestmark = pytest.mark.slow

LAUNCH = "We moved the launch to 3 May, since the ferry is late."
MODEL = "openai:gpt-4.1-mini"
HOSTILE = "\x1b]0;owned\x07[red]launch[/] \x1b[2Jgone\r\u202eevil"
Node = TreeNode[Branch]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    at(folder).close()
    return folder


def thought(memory: Memory, turn: Record, **more: object) -> Record:
    """As a store makes one of a turn, by a model."""
    quote = LAUNCH[3:27]
    source = Source(record=turn.id, span=(3, 27), extra={"quote": quote})
    meta = {"by": MODEL, "prompt": "extract/3"}
    return memory.add("The launch is on 3 May.", kind="thought", meta=meta, sources=[source], **more)  # type: ignore[arg-type]


def origin(pilot: Pilot[None]) -> OriginScreen:
    screen = pilot.app.screen
    assert isinstance(screen, OriginScreen)
    return screen


def tree(pilot: Pilot[None]) -> list[str]:
    """The lines that the tree shows."""
    return [line.rstrip() for line in lines(origin(pilot).origins) if line.strip()]


def told(pilot: Pilot[None]) -> str:
    return shown(origin(pilot), ".origin-text")


def has(pilot: Pilot[None], text: str) -> bool:
    return any(text in line for line in tree(pilot))


async def open_newest(pilot: Pilot[None]) -> OriginScreen:
    """Where the memory written last is from."""
    await wait_for(pilot, lambda: table(pilot).cursor_record is not None, "the list")
    await pilot.press("o")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, OriginScreen), "where it is from")
    await wait_for(pilot, lambda: has(pilot, "shown in"), "all that is known of it")
    return origin(pilot)


async def point_at(pilot: Pilot[None], text: str) -> None:
    """Move the cursor down to the line that has this text."""
    screen = origin(pilot)

    def there() -> bool:
        node = screen.origins.cursor_node
        return node is not None and text in str(node.label)

    await wait_for(pilot, lambda: has(pilot, text), text)
    await pilot.press("g")
    for _ in range(200):
        await pilot.pause()
        if there():
            return
        await pilot.press("j")
    raise AssertionError(f"there is no {text}")


# ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_the_chain_leads_over_each_source_up_to_the_file(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH, speaker="Ana", sources=[Source(file="talks/may.md", span=(120, 174))])
        first = thought(memory, turn)
        memory.add("They plan a launch.", kind="summary", sources=[first.id], meta={"by": "extract"})
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await wait_for(pilot, lambda: has(pilot, "thought: The launch is on 3 May."), "its source")
        assert has(pilot, "made from 1")
        assert not has(pilot, LAUNCH), "a level is read when it is opened"
        await wait_for(pilot, lambda: "made without a model" in told(pilot), "who made it")
        await point_at(pilot, "thought:")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, LAUNCH[:40]), "the turn")
        await point_at(pilot, LAUNCH[:40])
        await pilot.press("l")
        await point_at(pilot, "file talks/may.md, characters 120 to 174")
        await wait_for(pilot, lambda: "The file talks/may.md" in told(pilot), "the file")
        await pilot.press("h", "h")
        await wait_for(pilot, lambda: not has(pilot, "file talks"), "it closes again")


@awaited
async def test_the_quote_stands_in_brackets_in_its_source(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH, speaker="Ana")
        thought(memory, turn)
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await point_at(pilot, "turn by Ana")
        await wait_for(pilot, lambda: f"{LAUNCH[:3]}[[{LAUNCH[3:27]}]]{LAUNCH[27:]}" in told(pilot), "the quote")
        with at(place) as other:
            other.edit(turn.id, text="The launch is off.")
        await wait_for(pilot, lambda: f"! it was changed since; quoted was “{LAUNCH[3:27]}”" in told(pilot), "a change")
        assert "The launch is off." in told(pilot).replace("[[", "").replace("]]", "")


@awaited
async def test_model_prompt_and_cost_are_told(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH, speaker="Ana")
        other = memory.add("Fine.", speaker="Ben")
        for cause, prompt, model, picos in (
            (f"{turn.id} {other.id}", "extract/3", MODEL, 1_500_000_000),
            (turn.id, "extract/3 repair/1", MODEL, 500_000_000),
            (turn.id, "extract/31", MODEL, 10**12),  # by another prompt,
            (turn.id, "extract/3", "openai:gpt-5", 10**12),  # by another model,
            (other.id, "extract/3", MODEL, 10**12),  # of something else
        ):
            spent = {"tokens_in": 1_000, "tokens_out": 50, "picos": picos}
            memory.calls.begin(Call("extract", model, cause, prompt, "done", **spent))  # type: ignore[arg-type]
        thought(memory, turn)
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await wait_for(pilot, lambda: f"made by {MODEL}, prompt extract/3" in told(pilot), "who made it")
        assert "2 calls, 2,100 tokens, cost 0.002" in told(pilot)
        assert "add by agent" in told(pilot)


@awaited
async def test_a_cost_that_is_not_known_is_not_made_up(place: Path) -> None:
    with at(place) as memory:
        thought(memory, memory.add(LAUNCH))
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await wait_for(pilot, lambda: f"made by {MODEL}" in told(pilot), "who made it")
        assert "what asking took is not among the last 10,000 calls here" in told(pilot)


@awaited
async def test_of_an_answer_what_was_asked_and_what_it_was_shown(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH)
        question = memory.add("When is the launch?", role="user", session="chat")
        memory.calls.begin(Call("reply", MODEL, question.id, "reply/2", "done", 100, 20, 10**9))
        meta = {"after": question.id, "shown": [turn.id, "gone"], "model": MODEL, "prompt": "reply/2"}
        memory.add("On 3 May.", role="assistant", session="chat", meta=meta)
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await wait_for(pilot, lambda: has(pilot, "When is the launch?"), "the question")
        await wait_for(pilot, lambda: "1 call, 120 tokens, cost 0.001" in told(pilot), "what it took")
        await point_at(pilot, "was shown 2 memories")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, LAUNCH[:40]), "what it was shown")
        assert has(pilot, "✗ gone: not in this memory")


@awaited
async def test_sources_that_are_gone_are_told_as_such(place: Path) -> None:
    with at(place) as memory:
        erased, trashed = memory.add("secret"), memory.add("Put away.")
        taken = memory.add("never mind")
        memory.undo()
        memory.forget(trashed.id)
        memory.forget(erased.id, hard=True)
        memory.add("All of it.", kind="note", sources=[erased.id, trashed.id, taken.id, "elsewhere"])
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await wait_for(pilot, lambda: has(pilot, "✗ elsewhere: not in this memory, or in another scope"), "what is not")
        assert has(pilot, f"✗ {erased.id[-8:]}: erased for good, ")
        assert has(pilot, f"✗ {taken.id[-8:]}: taken back, ")
        assert has(pilot, "turn (in the trash): Put away.")
        await point_at(pilot, "erased for good")
        await pilot.press("enter", "right")  # neither leads anywhere
        assert has(pilot, "note: All of it.")


# ── onward ───────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_what_was_made_from_it_and_the_answers_it_was_shown_in(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH)
        first = thought(memory, turn)
        memory.add("They plan a launch.", kind="summary", sources=[first.id])
        for n in range(2):
            memory.add(f"Answer {n}.", role="assistant", meta={"shown": [turn.id], "after": None})
        memory.edit(turn.id, speaker="Ana")
    async with app_on(place) as pilot:
        await wait_for(pilot, lambda: table(pilot).cursor_record is not None, "the list")
        await pilot.press("G")
        await wait_for(pilot, lambda: getattr(table(pilot).cursor_record, "id", "") == turn.id, "the turn")
        await open_newest(pilot)
        assert has(pilot, "made from nothing here")
        assert has(pilot, "made from it: 1")
        assert has(pilot, "shown in 2 answers")
        await point_at(pilot, "made from it: 1")
        await pilot.press("right")
        await point_at(pilot, "thought: The launch")
        await pilot.press("right")
        await point_at(pilot, "summary: They plan a launch.")
        await point_at(pilot, "shown in 2 answers")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, "Answer 0.") and has(pilot, "Answer 1."), "the answers")


@awaited
async def test_only_what_names_it_whole_was_made_from_it(place: Path) -> None:
    with at(place) as memory:
        memory.add_many(
            [
                {"id": "10", "text": "ten"},
                {"id": "x", "text": "made of ten", "sources": ["10"]},
                {"id": "1", "text": "one"},
            ]
        )
    async with app_on(place) as pilot:
        await open_newest(pilot)
        assert has(pilot, "made from it: 0")


@awaited
async def test_ten_thousand_that_were_made_from_it_are_read_by_the_hundred(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH)
        memory.add_many({"text": f"child {n}", "sources": [turn.id]} for n in range(10_000))
    async with app_on(place) as pilot:
        await wait_for(pilot, lambda: table(pilot).cursor_record is not None, "the list")
        await pilot.press("G")
        await wait_for(pilot, lambda: getattr(table(pilot).cursor_record, "id", "") == turn.id, "the turn")
        screen = await open_newest(pilot)
        await point_at(pilot, "made from it: 10,000")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, "child 0"), "the first of them")
        made = next(node for node in screen.origins.root.children if "made from it" in str(node.label))
        assert len(made.children) == 101
        assert str(made.children[-1].label) == "… 9,900 more"
        await pilot.press("G", "k", "enter")  # from the answers up to the rest, which opens
        await wait_for(pilot, lambda: len(made.children[-1].children) == 101, "the next hundred")
        assert "child 100" in str(made.children[-1].children[0].label)


@awaited
async def test_a_circle_is_told_and_not_walked(place: Path) -> None:
    with at(place) as memory:
        one = memory.add("one")
        two = memory.add("two", sources=[one.id])
        memory.edit(one.id, sources=[two.id, one.id])
    async with app_on(place) as pilot:
        screen = await open_newest(pilot)
        await point_at(pilot, "turn: one")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, "turn: two  ↺ stands above"), "the circle")
        await point_at(pilot, "two  ↺")
        await pilot.press("right", "space")
        await pilot.pause()
        node = screen.origins.cursor_node
        assert node is not None
        assert not node.children


# ── to and fro ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", ["backspace", "escape"])
@awaited
async def test_enter_opens_the_origin_of_each_and_backspace_and_escape_go_back(place: Path, key: str) -> None:
    with at(place) as memory:
        first = thought(memory, memory.add(LAUNCH))
        memory.add("They plan a launch.", kind="summary", sources=[first.id])
    async with app_on(place) as pilot:
        screen = await open_newest(pilot)
        for text in ("thought: The launch", LAUNCH[:30]):
            await point_at(pilot, text)
            await pilot.press("enter")
            await wait_for(pilot, lambda text=text: text in shown(screen, ".top"), text)  # type: ignore[misc]
        assert "2 steps back" in shown(screen, ".top")
        await pilot.press(key)
        await wait_for(pilot, lambda: "thought: The launch" in shown(screen, ".top"), "the thought")
        await pilot.press(key)
        await wait_for(pilot, lambda: "summary: They plan" in shown(screen, ".top"), "the summary")
        await pilot.press(key)
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")


@awaited
async def test_what_somebody_else_writes_appears_and_what_was_opened_stays_open(place: Path) -> None:
    with at(place) as memory:
        turn = memory.add(LAUNCH, sources=[Source(file="may.md")])
        first = thought(memory, turn)
        memory.add("They plan a launch.", kind="summary", sources=[first.id])
    async with app_on(place) as pilot:
        screen = await open_newest(pilot)
        await point_at(pilot, "thought:")
        await pilot.press("right")
        await point_at(pilot, LAUNCH[:30])
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, "file may.md"), "the file")
        with at(place) as other:
            [summary] = [one for one in other.records() if one.kind == "summary"]
            other.add("A plan, in short.", kind="summary", sources=[summary.id])
        await wait_for(pilot, lambda: has(pilot, "made from it: 1"), "what was written")
        await wait_for(pilot, lambda: has(pilot, "file may.md"), "what was open")
        await wait_for(
            pilot, lambda: LAUNCH[:30] in str(getattr(screen.origins.cursor_node, "label", "")), "the cursor"
        )


@awaited
async def test_hostile_texts_are_only_words(place: Path) -> None:
    with at(place) as memory:
        bad = memory.add(HOSTILE, speaker="[bold]\x1bx", sources=[Source(file=f"/tmp/{HOSTILE}")])
        source = Source(record=bad.id, span=(2, 6), extra={"quote": f"[red]{HOSTILE}"})
        memory.add("made", sources=[source], meta={"by": HOSTILE, "prompt": HOSTILE, "shown": [HOSTILE, 3, None]})
        memory.add("odd", sources=[Source(record=bad.id, span=(5, 10**9))], meta={"by": 3, "shown": "x", "after": []})
    async with app_on(place) as pilot:
        await open_newest(pilot)
        await point_at(pilot, "launch")
        await wait_for(pilot, lambda: "! it was changed since" in told(pilot), "a span that is not there")
        await pilot.press("q", "j", "o")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, OriginScreen), "of the other")
        await wait_for(pilot, lambda: has(pilot, "was shown 1 memory"), "its tree")
        seen = told(pilot)
        await point_at(pilot, "launch")
        await pilot.press("right")
        await wait_for(pilot, lambda: has(pilot, "file /tmp/"), "the file")
        await wait_for(pilot, lambda: "quoted was" in told(pilot), "the quote")
        everything = "\n".join([*tree(pilot), told(pilot), seen, shown(origin(pilot), ".top")])
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(everything)
        assert "[red]" in everything.replace("\u2060", "")


@awaited
async def test_sixty_columns_are_enough(place: Path) -> None:
    with at(place) as memory:
        thought(memory, memory.add(LAUNCH, speaker="Ana"))
    async with app_on(place, size=(60, 20)) as pilot:
        screen = await open_newest(pilot)
        await point_at(pilot, "turn by Ana: We moved")
        await wait_for(pilot, lambda: "[[moved the launch" in told(pilot), "the quote")
        assert screen.origins.region.height >= 6
        assert screen.query_one(".origin-text").region.y < 18
