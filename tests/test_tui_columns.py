"""Columns and their cells, and what a list keeps of its records: what needs no screen to be seen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from agentmem import Record
from agentmem.errors import InvalidInput
from agentmem_tui.widgets.columns import Column, cut, laid_out, on_one_line
from agentmem_tui.widgets.kept import KeptRecords
from agentmem_tui.widgets.record_table import RecordTable
from tests.screens import alone
from tests.tabled import COLUMNS


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
