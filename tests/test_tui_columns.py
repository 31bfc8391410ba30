"""Columns and their cells, what a record's text can do to them, and what a list keeps of its records."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from agentmem import Record
from agentmem.errors import InvalidInput
from agentmem_tui.widgets.columns import Column, cut, laid_out, on_one_line
from agentmem_tui.widgets.kept import KeptRecords
from agentmem_tui.widgets.record_table import RecordTable
from tests.hostile import TEXTS, storable, wordy
from tests.screens import alone, awaited, lines
from tests.tabled import COLUMNS, opening, showing


def test_one_column_takes_the_rest() -> None:
    async def read(positions: Sequence[int]) -> list[Record]:
        return []

    for columns in (COLUMNS[1:], (COLUMNS[0], COLUMNS[0])):
        with pytest.raises(InvalidInput, match="takes the rest"):
            RecordTable(columns, read)


@given(st.lists(st.integers(1, 40), max_size=6), st.integers(0, 5), st.integers(0, 200))
def test_columns_fill_the_width_and_overlap_nowhere(widths: list[int], at: int, width: int) -> None:
    columns = [Column(str(n), "", cells, lambda record: "") for n, cells in enumerate(widths)]
    columns.insert(at, Column("rest", "", None, lambda record: ""))
    end = -2
    for _, start, cells in laid_out(columns, width):
        assert start == end + 2
        end = start + cells
    assert end == width


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.integers(0, 40))
def test_a_cell_is_as_wide_as_its_column(text: str, width: int) -> None:
    line = cut(on_one_line(text), width)
    assert line.cell_len == width
    assert alone(line.plain) == width
    assert cut(on_one_line(Text(text)), width, right=True).cell_len == width


def test_numbers_stand_at_the_right() -> None:
    assert cut(on_one_line(" 1.50"), 8, right=True).plain == "    1.50"


def test_a_text_with_styles_keeps_them_on_their_words() -> None:
    words = Text("see\n\x1b[1mthe ferries 👩\u200d👩 go")
    words.stylize("bold", words.plain.index("ferries"), words.plain.index("ferries") + 7)
    line = cut(on_one_line(words), 14)
    assert line.plain == "see the ferri…"
    assert [line.plain[span.start : span.end] for span in line.spans] == ["ferri"]


HOSTILE = {name: text for name, text in TEXTS.items() if storable(text) and wordy(text)} | {
    "bold": "[bold red]loud[/] [@click=app.quit]here[/]",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07 and \x1b[2J\x1b[H at home",
    "joined": "a\u200db" * 300,
    "a family of hundreds": "👩\u200d" * 300,
    "skins": "🏽" * 300,
    "flags": "🇵🇹" * 100,
    "tags": "go" + "\U000e0041" * 300,
    "forms": "❤\ufe0f" * 100,
    "tea": "茶" * 100,
    "tea at an odd cell": "a" + "茶" * 100,
    "200 kB": "word " * 40_000,
    "a thousand lines": "\n" * 1_000 + "the end",
}


@awaited
async def test_no_text_leaves_its_row_or_becomes_more_than_a_text(tmp_path: Path) -> None:
    async with await opening(tmp_path / "notes.mem") as memory:
        await memory.add_many(HOSTILE.values())
        positions = await memory.listing(descending=False)
        async with showing(memory.listed, positions, size=(60, len(HOSTILE) + 1)) as screen:
            shown = lines(screen.table)
            assert len(shown) == len(HOSTILE) + 1
            for name, line in zip(HOSTILE, shown[1:], strict=True):
                assert alone(line) == 60, name
                unseen = {c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
                assert unseen <= {"\u200c"}, name
            at = dict(zip(HOSTILE, shown[1:], strict=True))
            assert "[bold red]loud[/] [@click=app.qu…" in at["bold"]
            assert at["clipboard"][4:].startswith("and at home ")
            assert at["lines"][4:].startswith("a b c d e f g")
            assert at["tea"][4:].startswith("茶" * 16 + "…  turn")
            assert at["a thousand lines"][4:].startswith("the end ")
            assert at["right to left"][4:].startswith("שלום مرحبا")
            assert at["200 kB"][4:].startswith("word word")
            assert "…" in at["200 kB"]


def test_what_is_kept_is_bounded_and_what_was_looked_at_last_stays() -> None:
    kept, first = KeptRecords(), list(range(50))
    for start in range(0, 5_000, 100):
        kept.keep(range(start, start + 100), [], stale=False, needed=300)
        assert kept.to_read(first) == []  # looked at between any two reads
        assert len(kept) <= 1_000
    assert kept.to_read(range(50, 100)) == list(range(50, 100))


def test_a_screen_that_needs_more_than_is_kept_has_it() -> None:
    kept = KeptRecords()
    for start in range(0, 2_000, 100):
        kept.keep(range(start, start + 100), [], stale=False, needed=1_900)
    assert kept.to_read(range(2_000)) == []
