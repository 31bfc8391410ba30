"""The list of records: moving in it, selecting, and what it reads and when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.events import MouseScrollDown

from agentmem import Memory, Record
from agentmem_tui.widgets.columns import Column
from agentmem_tui.widgets.record_table import RecordTable
from tests.screens import awaited, lines, wait_for
from tests.tabled import OneTable, opening, showing

pytestmark = pytest.mark.slow

MANY = 5_000
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of 5,000 turns, one a minute, every tenth about ferries. Tests that write have their own."""
    folder = tmp_path_factory.mktemp("many") / "notes.mem"
    with Memory.open(folder, embedder="hash") as memory:
        memory.add_many(
            {
                "text": f"turn {n} about {'ferries' if n % 10 == 0 else 'trains'}",
                "at": START + timedelta(minutes=n),
                "speaker": "ana" if n % 2 else "ben",
            }
            for n in range(MANY)
        )
    return folder


@pytest.fixture
def few(tmp_path: Path) -> Path:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add_many(f"turn {n}" for n in range(60))
    return tmp_path / "notes.mem"


# ── moving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_keys_move_the_cursor_and_the_list_follows(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        table = screen.table
        assert "turn 4999 about trains" in screen.row
        for keys, row in [
            (["down", "j", "j"], 3),
            (["k", "up"], 1),
            (["up", "up", "up"], 0),  # not above the first
            (["pagedown"], 29),  # 30 lines, one of them the header
            (["pagedown", "pageup"], 29),
            (["G"], MANY - 1),
            (["down"], MANY - 1),
            (["g"], 0),
            (["end"], MANY - 1),
            (["home"], 0),
        ]:
            await screen.press(*keys)
            assert table.cursor_row == row
            assert f"turn {MANY - 1 - row} about" in screen.row
            assert table.cursor_record is not None
            assert table.cursor_record.position == table.cursor_position


@awaited
async def test_a_page_moves_the_list_and_leaves_the_cursor_on_its_line(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        await screen.press("down", "down", "pagedown")
        assert lines(screen.table)[3].startswith("▸")
        assert "turn 4968 " in screen.row  # 31 below the first


@awaited
async def test_keys_can_be_changed_by_a_keymap(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        screen.app.set_keymap({"down": "n", "invert": "i"})
        await screen.press("n", "n", "down")
        assert screen.table.cursor_row == 2
        await screen.press("i")
        assert len(screen.table.selected) == MANY


@awaited
async def test_the_highlighted_record_is_told_when_it_is_read(many: Path) -> None:
    async with await opening(many) as memory:
        positions = await memory.listing()
        async with showing(memory.listed, positions) as screen:
            told = screen.heard(RecordTable.Highlighted)
            assert told[-1].record is not None
            assert {one.position for one in told} == {positions[0]}
            await screen.press("G")
            at_first, then = screen.heard(RecordTable.Highlighted)[-2:]
            assert (at_first.position, at_first.record) == (positions[-1], None)
            assert then.position == positions[-1]
            assert then.record is not None
            assert then.record.text == "turn 0 about ferries"
            assert then.control is screen.table


@awaited
async def test_enter_opens_a_record_as_soon_as_it_is_read(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        await screen.press("enter")
        await screen.press("G", "enter")  # nothing of that page is read
        await wait_for(screen.pilot, lambda: len(screen.heard(RecordTable.Opened)) == 2, "both opened")
        assert [one.record.text[:9] for one in screen.heard(RecordTable.Opened)] == ["turn 4999", "turn 0 ab"]


@awaited
async def test_the_cursor_goes_to_a_record_wherever_it_is(many: Path) -> None:
    async with await opening(many) as memory:
        positions = await memory.listing()
        async with showing(memory.listed, positions) as screen:
            assert screen.table.go_to(positions[2_500])
            await screen.read()
            assert "turn 2499 " in screen.row
            assert lines(screen.table)[15].startswith("▸")
            assert not screen.table.go_to(10**9)
            assert screen.table.cursor_row == 2_500


@awaited
async def test_a_click_moves_and_two_open_and_the_wheel_scrolls(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        table, pilot = screen.table, screen.pilot
        await pilot.click(table, offset=(20, 5))
        assert table.cursor_row == 4
        await pilot.double_click(table, offset=(20, 8))
        assert [one.record.text[:9] for one in screen.heard(RecordTable.Opened)] == ["turn 4992"]
        table.post_message(MouseScrollDown(table, 20, 5, 0, 0, 0, False, False, False))
        await wait_for(pilot, lambda: table.scroll_offset.y, "scrolled")
        await screen.read()
        assert table.cursor_row == 7
        await pilot.click(table, offset=(20, 1))
        assert table.cursor_row == table.scroll_offset.y


# ── another list ─────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_the_cursor_stays_on_its_record_through_a_filter_and_a_sort(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        table = screen.table
        await screen.press("pagedown", *["down"] * 10)
        record, line = table.cursor_record, lines(table).index(screen.row)
        assert record is not None
        assert record.text == "turn 4960 about ferries"
        table.show(await memory.listing("ferries"))
        await screen.read()
        assert table.cursor_record == record
        assert table.cursor_row == 3
        table.show(await memory.listing(order="happened", descending=False))
        await screen.read()
        assert table.cursor_record == record
        assert table.cursor_row == 4_960
        table.show(await memory.listing())
        await screen.read()
        assert (table.cursor_record, table.cursor_row) == (record, 39)
        assert line in range(1, 30)
        assert screen.row in lines(table)


@awaited
async def test_the_cursor_goes_to_the_nearest_row_when_its_record_is_filtered_away(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        await screen.press(*["down"] * 7)  # turn 4992: of the ferries, 4990 is nearer than 5000
        screen.table.show(await memory.listing("ferries"))
        await screen.read()
        assert "turn 4990 " in screen.row
        screen.table.show([])  # a letter too many; then another filter, that admits none of those
        await wait_for(
            screen.pilot, lambda: screen.heard(RecordTable.Highlighted)[-1].position is None, "told that it is empty"
        )
        screen.table.show(await memory.listing("trains"))
        await screen.read()
        assert "turn 4991 " in screen.row
        everything = await memory.listing()
        screen.table.show(everything)
        await screen.press("pagedown", "pagedown")
        deep = screen.row
        for positions in ([], everything):
            screen.table.show(positions)
            await screen.read()
        assert screen.row == deep
        screen.table.show(everything, keep=False)
        await screen.read()
        assert screen.table.cursor_row == 0


@awaited
async def test_a_write_by_another_process_moves_no_row_under_the_reader(few: Path) -> None:
    async with await opening(few) as memory, showing(memory.listed, await memory.listing(), size=(80, 20)) as screen:
        table = screen.table
        await screen.press("pagedown", "down", "down")
        before = lines(table)
        with Memory.open(few, embedder="hash", actor="another") as other:
            other.add_many(f"new {n}" for n in range(5))
            other.forget(other.find(memory.sync.newest(6)[-1].id).id)
        table.show(await memory.listing())
        table.invalidate()
        await screen.read()
        assert lines(table) == before
        await screen.press("g")
        assert "new 4" in screen.row  # at the top, what is new is seen
        with Memory.open(few, embedder="hash") as other:
            other.add("newest")
        table.show(await memory.listing())
        await screen.read()
        assert "newest" in lines(table)[1]
        assert "new 4" in screen.row


@awaited
async def test_records_that_changed_are_read_again(few: Path) -> None:
    async with await opening(few) as memory, showing(memory.listed, await memory.listing()) as screen:
        table = screen.table
        first = table.cursor_record
        assert first is not None
        await memory.edit(first.id, text="edited here")
        table.refresh_rows([first.position])
        await wait_for(screen.pilot, lambda: "edited here" in screen.row, "the edit shown")
        assert screen.asked[-1] == [first.position]
        told = screen.heard(RecordTable.Highlighted)[-1].record
        assert told is not None
        assert told.text == "edited here"
        await memory.edit(first.id, text="edited elsewhere")
        table.invalidate()
        assert "edited here" in screen.row  # until the other is read, with no flicker
        await wait_for(screen.pilot, lambda: "edited elsewhere" in screen.row, "the other edit shown")


@awaited
async def test_what_changes_while_it_is_read_is_read_once_more(few: Path) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async with await opening(few) as memory:

        async def slow(positions: Sequence[int]) -> list[Record]:
            records = await memory.listed(positions)
            reading.set()
            await go_on.wait()
            return records

        app = OneTable(slow)
        async with app.run_test() as pilot:
            app.table.show(await memory.listing())
            await reading.wait()
            (newest,) = await memory.newest(1)
            await memory.edit(newest.id, text="edited meanwhile")
            app.table.refresh_rows([newest.position])
            go_on.set()
            await wait_for(pilot, lambda: "edited meanwhile" in lines(app.table)[1], "the newer text")


@awaited
async def test_a_record_that_is_gone_when_it_is_read_says_so(few: Path) -> None:
    async with await opening(few) as memory:
        positions = await memory.listing()
        newest = (await memory.newest(3))[1]
        await memory.forget(newest.id, hard=True)
        async with showing(memory.listed, positions) as screen:
            assert lines(screen.table)[2].split() == ["·", "gone"]
            await screen.press("down", "enter")
            assert screen.table.cursor_record is None
            assert screen.heard(RecordTable.Opened) == []


@awaited
async def test_a_read_that_fails_is_told_in_the_list_and_tried_again_when_somebody_looks(few: Path) -> None:
    memory = await opening(few)
    positions = await memory.listing()
    async with showing(lambda wanted: memory.listed(wanted), positions[:1]) as screen:
        await memory.close()
        screen.table.show(positions)
        await wait_for(screen.pilot, lambda: any("Not read: " in line for line in lines(screen.table)), "told")
        told = [line for line in lines(screen.table) if "Not read: " in line]
        assert len(told) == 1
        assert "closed" in told[0]
        tries = len(screen.asked)
        await screen.pilot.pause()
        assert len(screen.asked) == tries  # not by itself
        memory = await opening(few)
        (first,) = await memory.listed(positions[1:2])
        await memory.forget(first.id, hard=True)
        await screen.press("down")
        assert "gone" in screen.row
        assert not any("Not read: " in line for line in lines(screen.table))
        await memory.close()


# ── selecting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_one_a_range_and_the_rest_of_5000_are_selected(many: Path) -> None:
    async with await opening(many) as memory:
        positions = await memory.listing()
        async with showing(memory.listed, positions) as screen:
            table = screen.table
            await screen.press("v")
            assert table.selected == {positions[0]}
            assert screen.row.startswith("▸●")
            await screen.press("v")
            assert table.selected == frozenset()
            await screen.press("down", "down", "V")  # no range: nothing is selected
            assert table.selected == {positions[2]}
            await screen.press("v", "g", "v", "G", "k", "V")
            assert table.selected == set(positions[:-1])
            assert screen.heard(RecordTable.SelectionChanged)[-1].positions == table.selected
            await screen.press("asterisk")
            assert table.selected == {positions[-1]}
            await screen.press("escape")
            assert table.selected == frozenset()
            await screen.press("up", "V")
            assert table.selected == {table.cursor_position}  # no range from what was cleared
            await screen.press("escape")
            assert screen.app.backs == 0
            await screen.press("escape")  # with nothing to clear, it is the screen's
            assert screen.app.backs == 1
            # All of that read what was looked at, and no more.
            assert sum(map(len, screen.asked)) <= 500


@awaited
async def test_a_range_goes_from_the_record_selected_last_also_in_another_list(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing("ferries")) as screen:
        await screen.press("down", "v")
        everything = await memory.listing()
        screen.table.show(everything)
        await screen.press("down", "down", "V")
        at = screen.table.cursor_row
        assert screen.table.selected == set(everything[at - 2 : at + 1])


@awaited
async def test_what_a_filter_hides_is_not_selected_until_it_is_lifted(many: Path) -> None:
    async with await opening(many) as memory:
        everything = await memory.listing()
        async with showing(memory.listed, everything) as screen:
            await screen.press("v", "down", "V")
            screen.table.show(await memory.listing("ferries"))
            await screen.read()
            assert screen.table.selected == frozenset()
            assert screen.heard(RecordTable.SelectionChanged)[-1].positions == frozenset()
            await screen.press("asterisk")
            ferries = await memory.listing("ferries")
            assert screen.table.selected == set(ferries)
            screen.table.show(everything)
            await screen.read()
            assert screen.table.selected == {*everything[:2], *ferries}


@awaited
async def test_selected_and_pinned_are_told_by_signs(few: Path) -> None:
    async with await opening(few) as memory:
        newest = await memory.newest(3)
        await memory.pin(newest[1].id, newest[2].id)
        async with showing(memory.listed, await memory.listing()) as screen:
            await screen.press("down", "v")
            assert [line[:4] for line in lines(screen.table)[1:5]] == ["    ", "▸●★ ", "  ★ ", "    "]


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_a_click_on_a_title_asks_to_sort_by_it(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing()) as screen:
        table, header = screen.table, lines(screen.table)[0]
        table.order = "happened"
        for title, order, descending in [("Happened", "happened", False), ("Kind", "kind", False)]:
            await screen.pilot.click(table, offset=(header.index(title) + 1, 0))
            asked = screen.heard(RecordTable.SortAsked)[-1]
            assert (asked.order, asked.descending) == (order, descending)
        await screen.pilot.click(table, offset=(header.index("Speaker"), 0))  # there is no such order
        assert len(screen.heard(RecordTable.SortAsked)) == 2
        assert "Happened ▼" in lines(table)[0]
        table.order, table.descending = "kind", False
        await screen.pilot.pause()
        assert "Kind ▲" in lines(table)[0]
        assert "▼" not in lines(table)[0]
        assert table.cursor_row == 0


@awaited
async def test_narrow_screens_lose_columns_from_the_right_and_never_the_text(many: Path) -> None:
    async with await opening(many) as memory, showing(memory.listed, await memory.listing(), size=(60, 20)) as screen:
        assert lines(screen.table)[0].split() == ["Text", "Kind"]
        assert "turn 4999 about trains" in screen.row
        for width, titles in [(90, ["Text", "Kind", "Happened", "Speaker"]), (70, ["Text", "Kind", "Happened"])]:
            await screen.pilot.resize_terminal(width, 20)
            assert lines(screen.table)[0].replace("▼", "").split() == titles
        await screen.pilot.resize_terminal(24, 5)
        assert "turn 4999 about…" in screen.row


@awaited
async def test_a_smaller_screen_and_back_shows_what_it_showed(many: Path) -> None:
    async with await opening(many) as memory:
        positions = await memory.listing()
        async with showing(memory.listed, positions, size=(120, 40)) as screen:
            table = screen.table
            await screen.press("pagedown", "pagedown", "v", *["down"] * 25)
            before = lines(table)
            for size in [(60, 20), (40, 3), (120, 40)]:
                await screen.pilot.resize_terminal(*size)
                await screen.read()
                assert "turn 4896 " in screen.row
                assert table.selected == {positions[78]}
            assert lines(table) == before
            # Also at the end of the list, where a larger screen has no more rows below to show.
            await screen.pilot.resize_terminal(60, 20)
            await screen.press("G", *["up"] * 18)
            before = lines(table)
            for size in [(120, 40), (60, 20)]:
                await screen.pilot.resize_terminal(*size)
                await screen.read()
                assert "turn 18 " in screen.row
            assert lines(table) == before
            # And where somebody scrolled away from the cursor.
            table.scroll_to(y=1_000, animate=False)
            await screen.read()
            for size in [(90, 12), (60, 20)]:
                await screen.pilot.resize_terminal(*size)
                await screen.read()
                assert "turn 3999 " in lines(table)[1]


@awaited
async def test_an_empty_list_says_so_in_the_middle(few: Path) -> None:
    async with await opening(few) as memory, showing(memory.listed, [], size=(60, 21)) as screen:
        shown = lines(screen.table)
        assert shown[10].strip() == "No memory matches."
        assert shown[10].index("N") == 21
        await screen.press("down", "G", "enter", "v", "V", "asterisk", "pageup")
        assert screen.table.cursor_position is None
        assert screen.table.at(0) is None
        screen.table.empty = "Nothing here yet. Press n to write what is to be remembered. \x1b[31m"
        await screen.pilot.pause()
        assert [line.strip() for line in lines(screen.table) if line.strip()][1:] == [
            "Nothing here yet. Press n to write what is to be",
            "remembered.",
        ]


# ── how much it does ─────────────────────────────────────────────────────────────────────────────────────────────────


@awaited
async def test_a_frame_draws_the_rows_in_sight_alone(many: Path) -> None:
    drawn: list[int] = []

    def noted(record: Record) -> str:
        drawn.append(record.position)
        return record.text

    columns = (Column("text", "Text", None, noted),)
    async with (
        await opening(many) as memory,
        showing(memory.listed, await memory.listing(), columns=columns) as screen,
    ):
        await screen.press("pagedown")
        drawn.clear()
        await screen.pilot.press("down")
        await screen.pilot.pause()
        assert len(set(drawn)) <= 31
        drawn.clear()
        await screen.pilot.press("k")
        await screen.pilot.pause()
        assert 1 <= len(set(drawn)) <= 2  # the row that it left and that it came to


@awaited
async def test_pages_are_read_one_at_a_time_and_the_last_place_looked_at_first(many: Path) -> None:
    go_on, running = asyncio.Event(), 0

    async with await opening(many) as memory:
        asked: list[list[int]] = []

        async def slow(positions: Sequence[int]) -> list[Record]:
            nonlocal running
            running += 1
            assert running == 1
            asked.append(list(positions))
            await go_on.wait()
            running -= 1
            return await memory.listed(positions)

        app = OneTable(slow)
        async with app.run_test() as pilot:
            positions = await memory.listing()
            app.table.show(positions)
            await pilot.press("pagedown", "pagedown", "G", "g", "G")
            go_on.set()
            await wait_for(pilot, lambda: app.table.cursor_record is not None, "the end read")
            assert asked[:2] == [positions[:100], positions[-100:]]


@awaited
async def test_the_record_under_the_cursor_is_read_also_when_it_is_out_of_sight(many: Path) -> None:
    async with await opening(many) as memory:
        positions = await memory.listing()
        async with showing(memory.listed, positions) as screen:
            screen.table.scroll_to(y=3_000, animate=False)
            await screen.read()
            screen.asked.clear()
            screen.table.refresh_rows(positions[:50])
            await wait_for(screen.pilot, lambda: positions[:50] in screen.asked, "the cursor's page read again")


@awaited
async def test_what_is_to_be_opened_is_not_once_the_cursor_has_left(many: Path) -> None:
    go_on = asyncio.Event()

    async with await opening(many) as memory:

        async def slow(positions: Sequence[int]) -> list[Record]:
            await go_on.wait()
            return await memory.listed(positions)

        app = OneTable(slow)
        async with app.run_test() as pilot:
            app.table.show(await memory.listing())
            await pilot.press("enter", "down", "up")
            go_on.set()
            await wait_for(pilot, lambda: app.table.cursor_record is not None, "the record read")
            await pilot.pause()
            assert not [message for message in app.heard if isinstance(message, RecordTable.Opened)]
            await pilot.press("enter")
            assert [message for message in app.heard if isinstance(message, RecordTable.Opened)]


STEPS = st.sampled_from(
    [*"jkgGvV", "asterisk", "escape", "pageup", "pagedown", "enter", "=ferries", "=trains", "=", "=nothing", "resize"]
)


@given(st.lists(STEPS, min_size=1, max_size=12))
@settings(max_examples=8)  # a second each
def test_whatever_is_pressed_the_cursor_is_in_the_list(many: Path, steps: list[str]) -> None:
    @awaited
    async def run() -> None:
        async with await opening(many) as memory:
            positions = await memory.listing()
            async with showing(memory.listed, positions) as screen:
                table = screen.table
                for n, step in enumerate(steps):
                    if step.startswith("="):
                        positions = await memory.listing(step[1:])
                        table.show(positions)
                    elif step == "resize":
                        await screen.pilot.resize_terminal(60 + n, 10 + n)
                    else:
                        await screen.pilot.press(step)
                    await screen.read()
                    expected = positions[table.cursor_row] if positions else None
                    assert table.cursor_position == expected
                    await screen.pilot.pause()  # until what it tells has arrived
                    assert screen.heard(RecordTable.Highlighted)[-1].position == expected
                    assert table.selected <= set(positions)
                    if positions and step in "jkgG":
                        assert table.cursor_record is not None
                        assert table.cursor_record.text in screen.row

    run()
