"""The screen that tells why memories are recalled: all candidates with their parts, a trial of other weights, votes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from textual.pilot import Pilot
from textual.widgets import Input

from agentmem import Memory
from agentmem.cues import Hits
from agentmem.embedders.hashing import HashEmbedder
from agentmem_tui.app import MemoryApp
from agentmem_tui.drawing.bars import Legend
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.origin import OriginScreen
from agentmem_tui.screens.stepping import Ask
from agentmem_tui.screens.typing import TypeScreen
from agentmem_tui.screens.why import WhyScreen
from agentmem_tui.trial import Trial
from agentmem_tui.widgets.options import Options
from tests.memory_app import app_on, at, rows, shown, table
from tests.screens import awaited, lines, wait_for

pytestmark = pytest.mark.slow

QUERY = "when is the launch?"
HOSTILE = "\x1b]0;owned\x07[red]launch[/] \x1b[2Jgone\r\u202eevil"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "notes.mem"
    with at(folder) as memory:
        for n in range(26):
            memory.add(f"Ben spoke of the ferry, time {n}.", speaker="Ben", session=f"day {n % 3}")
        memory.add("We moved the launch to 3 May.", speaker="Ana", session="day 1")
        memory.add("The old launch was in April.", speaker="Ana", session="day 2")
    return folder


def recalled(place: Path, query: str = QUERY) -> Hits:
    with at(place) as memory:
        return memory.recall(query, 20, explain=True)


def why(pilot: Pilot[None]) -> WhyScreen:
    screen = pilot.app.screen
    assert isinstance(screen, WhyScreen)
    return screen


def candidates(pilot: Pilot[None]) -> list[str]:
    """The lines of the list that are in sight, without the rule between won and fell."""
    found = lines(why(pilot).query_one(".candidates", Options))
    return [line for line in found if line.strip() and "─" not in line]


def parts(pilot: Pilot[None]) -> list[str]:
    listed = why(pilot).query_one(".parts", Options)
    return [str(option.prompt) for option in listed.options]


def pointed_at(pilot: Pilot[None]) -> str:
    return shown(why(pilot), ".aside-text")


async def ask(pilot: Pilot[None], query: str = QUERY) -> WhyScreen:
    """From home, by its key."""
    await pilot.press("w")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line to ask in")
    pilot.app.screen.query_one(Input).value = query
    await pilot.press("enter")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "why")
    await wait_for(pilot, lambda: "recalled," in shown(why(pilot), ".said"), "what it brings up")
    return why(pilot)


async def to_part(pilot: Pilot[None], name: str) -> None:
    listed = why(pilot).query_one(".parts", Options)
    listed.highlighted = next(n for n, line in enumerate(parts(pilot)) if f" {name} " in line)
    await pilot.pause()


# ── candidates ───────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_those_that_won_and_those_that_fell_are_listed_with_rank_score_bar_and_text(place: Path) -> None:
    hits = recalled(place)
    async with app_on(place, size=(140, 60)) as pilot:
        await ask(pilot)
        listed = candidates(pilot)
        assert len(listed) == len(hits) == 28
        for rank, (line, hit) in enumerate(zip(listed, hits, strict=True), 1):
            words = line.split()
            assert words[:2] == [str(rank) if hit.won else "–", f"{hit.score:.2f}"]
            assert "│" in line
            assert hit.record.text in line
        marks = Legend(hit.parts for hit in hits).marks
        letters = next(iter(marks.values())).letter
        assert any(letters in line.partition("│")[0] + line.partition("│")[2][:20] for line in listed)
        for name, mark in marks.items():
            assert f"{mark.letter}{mark.pattern} {name}" in shown(why(pilot), ".legend")
        assert "20 recalled, 8 fell" in shown(why(pilot), ".said")


@awaited
async def test_the_one_pointed_at_tells_its_parts_its_verdict_and_who_was_asked(place: Path) -> None:
    with at(place) as memory:
        memory.add("The launch is on 3 May.", kind="thought", sources=[memory.newest(1)[0].id])
    hits = recalled(place)
    async with app_on(place, size=(140, 60)) as pilot:
        await ask(pilot)
        assert hits[0].verdict
        assert f"recalled: {hits[0].verdict}" in pointed_at(pilot)
        told = parts(pilot)
        for name, part in hits[0].parts.items():
            if any(hit.parts.get(name) for hit in hits):
                assert any(f" {name[:10]}" in line and f"{part:+.2f} ×1.00" in line for line in told), name
        assert hits.asked
        for one in hits.asked:
            assert any(f"asked {one.store}: " in line and one.why in line for line in told)
        await pilot.press("G")
        await wait_for(pilot, lambda: f"fell: {hits[-1].verdict}" in pointed_at(pilot), "why it fell")
        assert "below the cut by" in pointed_at(pilot)
        assert hits[-1].record.text in pointed_at(pilot)


@awaited
async def test_the_text_to_find_is_offered_and_another_question_can_be_asked(place: Path) -> None:
    async with app_on(place, size=(140, 60)) as pilot:
        await pilot.press("slash", *"ferry")
        await wait_for(pilot, lambda: rows(pilot) == 26, "the ferry")
        table(pilot).focus()
        await pilot.press("w")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line")
        assert pilot.app.screen.query_one(Input).value == "ferry"
        await pilot.press("escape")
        await ask(pilot)
        await pilot.press("slash")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line")
        assert pilot.app.screen.query_one(Input).value == QUERY
        pilot.app.screen.query_one(Input).value = "the ferry"
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "why again")
        await wait_for(pilot, lambda: "Ben spoke" in (candidates(pilot) or [""])[0], "of the ferry")
        assert "the ferry" in shown(why(pilot), ".top")


@awaited
async def test_nothing_is_asked_of_a_blank_line_and_an_empty_memory_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "empty.mem"
    at(folder).close()
    async with app_on(folder) as pilot:
        await pilot.press("w", "space", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
        await pilot.press("w", "x", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "why")
        await wait_for(pilot, lambda: "Nothing was brought up." in shown(why(pilot), ".said"), "that there is nothing")
        await pilot.press("plus", "right", "o", "enter", "0")  # of which none has anything to act on
        assert candidates(pilot) == []


# ── a trial of other weights ─────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_a_weight_that_is_moved_ranks_anew_what_is_there(place: Path) -> None:
    hits = recalled(place)
    async with app_on(place, size=(140, 60)) as pilot:
        screen = await ask(pilot)
        kept, head = screen._hits, await screen.memory.head()
        before = candidates(pilot)
        await to_part(pilot, "length")
        await pilot.press("h", "left", "left", "left")
        await wait_for(pilot, lambda: any("×0.00" in line for line in parts(pilot)), "nothing for the length")
        [moved] = [line for line in parts(pilot) if line.endswith("*")]
        assert " length " in moved
        assert screen._at is not None
        assert f"{screen._at.hit.parts['length']:+.2f} ×0.00 =+0.00" in moved
        scores = {one.record.id: one.score - one.parts["length"] for one in hits}
        order = sorted(hits, key=lambda one: -scores[one.record.id])
        listed = candidates(pilot)
        assert [one.record.id for one in order] == [row.hit.record.id for row in screen._rows]
        for line, one in zip(listed, order, strict=True):
            assert one.record.text in line
            assert f"{scores[one.record.id]:.2f}".replace("-0.00", "0.00") in line.replace("-0.00", "0.00")
        assert listed != before
        assert any("↑" in line for line in listed)
        assert "a trial of the order only, nothing is searched or kept" in shown(screen, ".said")
        await pilot.press("right", "l")
        await wait_for(pilot, lambda: any("×0.50" in line for line in parts(pilot)), "a half")
        await pilot.press("0")
        await wait_for(pilot, lambda: candidates(pilot) == before, "as it was")
        assert not any("*" in line for line in parts(pilot))
        assert screen._hits is kept, "no search was made for it"
        assert await screen.memory.head() == head, "and nothing written"


@awaited
async def test_the_cursor_stays_on_its_memory_while_weights_move(place: Path) -> None:
    async with app_on(place, size=(140, 60)) as pilot:
        screen = await ask(pilot)
        was = screen._rows[0].hit.record.id
        await to_part(pilot, "length")
        await pilot.press("left", "left", "left", "left")
        await wait_for(pilot, lambda: screen._rows[0].hit.record.id != was, "another one first")
        listed = screen.query_one(".candidates", Options)
        assert listed.highlighted is not None
        assert screen._rows[listed.highlighted].hit.record.id == was
        assert "was 1." in pointed_at(pilot)


def test_a_trial_has_an_end_and_a_way_back(place: Path) -> None:
    hits = recalled(place)
    trial = Trial()
    trial.show(hits)
    trial.move("length", 100)
    assert trial.weight("length") == 4.0
    trial.move("length", -100)
    assert trial.weight("length") == 0.0
    for _ in range(4):
        trial.move("length", 1)
    assert trial.weights == {}
    assert [row.hit for row in trial.ranked()] == list(hits)
    assert [trial.score(one) for one in hits] == [one.score for one in hits]
    assert sum(row.inside for row in trial.ranked()) == 20


def test_bars_of_a_trial_keep_their_marks() -> None:
    legend = Legend([{"words": 3.0, "time": -1.0}, {"words": 1.0}])
    other = legend.reaching([{"words": 0.0, "time": -4.0}])
    assert other.marks == legend.marks
    assert [legend.left, legend.right] == pytest.approx([1 / 3, 1])
    assert [other.left, other.right] == pytest.approx([4 / 3, 0])


# ── votes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_votes_are_kept_shown_and_taken_back(place: Path) -> None:
    async with app_on(place, size=(140, 60)) as pilot:
        screen = await ask(pilot)
        first = screen._rows[0].hit
        await pilot.press("plus")
        await wait_for(pilot, lambda: candidates(pilot)[0].lstrip().startswith("+"), "the vote")
        await pilot.press("plus")  # it stands already
        with at(place) as memory:
            [said] = memory.feedbacks()
        assert (said.record, said.useful, said.cue, dict(said.parts)) == (
            first.record.id,
            True,
            QUERY,
            dict(first.parts),
        )
        await pilot.press("j", "minus")
        await wait_for(pilot, lambda: candidates(pilot)[1].lstrip().startswith("-"), "another")
        await pilot.press("q")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen), "home")
        await ask(pilot)
        await wait_for(pilot, lambda: candidates(pilot)[0].lstrip().startswith("+"), "the votes that stand")
        assert candidates(pilot)[1].lstrip().startswith("-")
        await pilot.press("z")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask), "which step")
        await pilot.press("enter")
        await wait_for(pilot, lambda: candidates(pilot)[1].lstrip().startswith("2"), "the last vote taken back")
        assert candidates(pilot)[0].lstrip().startswith("+")
    with at(place) as memory:
        assert [said.useful for said in memory.feedbacks()] == [True]


@awaited
async def test_votes_for_another_question_are_not_shown(place: Path) -> None:
    with at(place) as memory:
        memory.feedback(recalled(place)[0], useful=True, cue="something else")
    async with app_on(place, size=(140, 60)) as pilot:
        screen = await ask(pilot)
        await wait_for(pilot, lambda: not screen._asking and not list(screen.workers), "all of it")
        assert candidates(pilot)[0].split()[0] == "1"


# ── an answer ────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_of_an_answer_what_it_was_shown_is_marked(place: Path) -> None:
    with at(place) as memory:
        launch = memory.recall(QUERY, 1)[0].record
        aside = memory.add("Something quite different.")
        question = memory.add(QUERY, role="user", session="chat", meta={"after": None})
        shown_ids = [launch.id, aside.id, "gone"]
        memory.add("On 3 May.", role="assistant", session="chat", meta={"after": question.id, "shown": shown_ids})
        memory.add("The launch is off, it was said later.", session="chat")
    async with app_on(place, size=(140, 60)) as pilot:
        await wait_for(pilot, lambda: rows(pilot) == 32, "the list")
        await pilot.press("j", "w")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "why")
        await wait_for(pilot, lambda: "recalled," in shown(why(pilot), ".said"), "what it brings up")
        assert QUERY in shown(why(pilot), ".top")
        assert "1 that is not here any more" in shown(why(pilot), ".said")
        marked = [line for line in candidates(pilot) if line.lstrip().startswith("●")]
        assert [launch.text in marked[0], aside.text in marked[1], len(marked)] == [True, True, 2]
        everything = "\n".join(candidates(pilot))
        assert "it was said later" not in everything
        assert QUERY not in everything
        assert "On 3 May." not in everything


@awaited
async def test_what_an_answer_was_shown_and_is_not_brought_up_stands_last(place: Path) -> None:
    with at(place) as memory:
        question = memory.add(QUERY, role="user", session="chat")
        last = recalled(place)[-1].record
        for n in range(60):
            memory.add(f"The launch, told for the {n}. time.", at="2020-01-01T00:00:00Z")
        memory.add("On 3 May.", role="assistant", session="chat", meta={"after": question.id, "shown": [last.id]})
    async with app_on(place, size=(140, 80)) as pilot:
        await wait_for(pilot, lambda: table(pilot).cursor_record is not None, "the list")
        await pilot.press("w")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "why")
        await wait_for(pilot, lambda: "recalled," in shown(why(pilot), ".said"), "what it brings up")
        assert candidates(pilot)[-1].split()[:3] == ["●", "–", "–"]
        await pilot.press("G")
        await wait_for(pilot, lambda: "the question does not bring it up" in pointed_at(pilot), "why it is there")


@awaited
async def test_an_answer_whose_question_is_gone_is_asked_for(place: Path) -> None:
    with at(place) as memory:
        memory.add("On 3 May.", role="assistant", meta={"after": "nobody", "shown": []})
    async with app_on(place) as pilot:
        await pilot.press("w")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, TypeScreen), "the line to ask in")


# ── beside others, and in little room ────────────────────────────────────────────────────────────────────────────


@awaited
async def test_enter_opens_the_history_and_o_where_it_is_from(place: Path) -> None:
    async with app_on(place) as pilot:
        await ask(pilot)
        for key, screen in (("enter", HistoryScreen), ("o", OriginScreen)):
            await pilot.press(key)
            await wait_for(pilot, lambda screen=screen: isinstance(pilot.app.screen, screen), key)  # type: ignore[misc]
            await pilot.press("q")
            await wait_for(pilot, lambda: isinstance(pilot.app.screen, WhyScreen), "back")


@awaited
async def test_what_somebody_else_writes_is_asked_anew_with_the_weights_as_they_are(place: Path) -> None:
    async with app_on(place, size=(140, 60)) as pilot:
        screen = await ask(pilot)
        await to_part(pilot, "length")
        await pilot.press("right")
        await pilot.press("j")
        at_ = screen._rows[1].hit.record.id
        with at(place) as other:
            other.add("When is the launch? The launch is on 4 May.")
        await wait_for(pilot, lambda: any("4 May" in line for line in candidates(pilot)), "what was written")
        assert any("×1.25" in line for line in parts(pilot))
        listed = screen.query_one(".candidates", Options)
        assert listed.highlighted is not None
        assert screen._rows[listed.highlighted].hit.record.id == at_


class SlowEmbedder(HashEmbedder):
    """Takes longer for a question than the app waits between two looks."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(0.7)
        return super().embed(texts)


@awaited
async def test_a_slow_embedder_hides_nothing_that_was_written(place: Path) -> None:
    app = MemoryApp(str(place), lambda create=False: Memory.open(place, embedder=SlowEmbedder()))
    async with app.run_test(size=(140, 60)) as pilot:
        await wait_for(pilot, lambda: isinstance(app.screen, BrowseScreen) and table(pilot).cursor_record, "home")
        await ask(pilot)
        with at(place) as other:
            other.add("When is the launch? The launch is on 4 May.")
        await wait_for(pilot, lambda: any("4 May" in line for line in candidates(pilot)), "what was written")


@awaited
async def test_hostile_texts_are_only_words(place: Path) -> None:
    with at(place) as memory:
        memory.add(HOSTILE, speaker="[bold]x")
    async with app_on(place, size=(140, 60)) as pilot:
        await ask(pilot, f"{QUERY} [red]\x1b[31m")
        everything = "\n".join([*candidates(pilot), *parts(pilot), pointed_at(pilot), shown(why(pilot), ".top")])
        assert "launch" in everything
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(everything)


@awaited
async def test_sixty_columns_are_enough(place: Path) -> None:
    async with app_on(place, size=(60, 20)) as pilot:
        screen = await ask(pilot)
        listed = candidates(pilot)
        assert len(listed) >= 5
        assert "We moved the launch" in "".join(listed)
        aside = screen.query_one(".parts", Options)
        assert aside.region.height >= 3
        assert aside.region.bottom <= 19
        await pilot.press("right")
        await wait_for(pilot, lambda: any("×1.25" in line for line in parts(pilot)), "a weight")
