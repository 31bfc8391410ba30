"""The list of records: one line each, read page by page while it is looked at, whatever its length.

It holds the positions of a list, a bounded number of its records, and a cursor and a selection that stay on their
records when the list becomes another. It knows no ledger: it is given a function that reads.
"""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentmem.errors import AgentMemError
from agentmem.filters import Order
from agentmem.records import Record
from agentmem_tui.actions import bindings
from agentmem_tui.widgets.columns import GAP, Column, checked_columns, cut, laid_out, on_one_line
from agentmem_tui.widgets.kept import KeptRecords

__all__ = ["Read", "RecordTable"]

Read: TypeAlias = Callable[[Sequence[int]], Awaitable[Sequence[Record]]]  # the records that still are there

_PAGE: Final = 100  # rows that are read at once: 1 ms of a ledger, and three screens
_MARKS: Final = 4  # cells at the left of a row: cursor, selected, pinned, and one free
_HEADER: Final = 1  # lines
# Orders that begin with the greatest: the newest and the strongest are looked for more often than the oldest.
_GREATEST_FIRST: Final = frozenset[Order]({"written", "happened", "strength", "revision"})


class RecordTable(ScrollView, can_focus=True):
    """A list of records by position. `read` gives the records at some positions, leaving out those that are gone
    (`AsyncMemory.listed`); when it fails with an AgentMemError, its words stand in the list until a read succeeds."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = bindings(
        ["down", "up", "page-down", "page-up", "first", "last", "open", "select", "range", "invert", "clear"]
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "record-table--row",
        "record-table--header",
        "record-table--faint",
        "record-table--pinned",
        "record-table--failed",
        "record-table--selected",
        "record-table--cursor",
    }
    DEFAULT_CSS = """
    RecordTable {
        height: 1fr;
        overflow-x: hidden;
        background: $surface;
        color: $foreground;
        & > .record-table--header { background: $panel; color: $foreground; text-style: bold; }
        & > .record-table--faint { color: $text-muted; }
        & > .record-table--pinned { color: $text-warning; }
        & > .record-table--failed { color: $text-error; }
        & > .record-table--selected { color: $text-accent; text-style: bold; }
        & > .record-table--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
            text-style: $block-cursor-blurred-text-style;
        }
        &:focus > .record-table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
    }
    """

    order: reactive[Order | None] = reactive[Order | None]("written", init=False)
    """What the list is sorted by, marked in the header."""
    descending: reactive[bool] = reactive(True, init=False)
    empty: reactive[str] = reactive("", init=False)
    """What is said where there is no record."""

    @dataclass
    class Highlighted(Message):
        """The cursor stands on another record, or that record was read now. No position: the list is empty."""

        table: RecordTable
        position: int | None
        record: Record | None

        @property
        def control(self) -> RecordTable:
            return self.table

    @dataclass
    class Opened(Message):
        """A record was asked for, by enter or a double click."""

        table: RecordTable
        record: Record

        @property
        def control(self) -> RecordTable:
            return self.table

    @dataclass
    class SortAsked(Message):
        """A title was clicked. The table sorts nothing: give it another list, and its `order`."""

        table: RecordTable
        order: Order
        descending: bool

        @property
        def control(self) -> RecordTable:
            return self.table

    @dataclass
    class SelectionChanged(Message):
        """Other records of the list are selected."""

        table: RecordTable
        positions: frozenset[int]

        @property
        def control(self) -> RecordTable:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        read: Read,
        *,
        empty: str = "Nothing here.",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._columns = checked_columns(columns)
        self._read = read
        self._kept = KeptRecords()
        self._reading = False
        self._outdated = 0  # how often: what is read meanwhile may be older
        self._failed: tuple[int, str] | None = None  # the position at which a read's failure is told, and its words
        self._positions: list[int] = []
        self._before: list[int] = []  # the last list that was not empty: a filter may empty it for a letter or two
        self._row_of: dict[int, int] | None = None  # of the list; made when it is first asked for
        self._cursor = 0
        self._looked_at = range(0)  # the rows on the screen when a person last moved there
        self._resizing = False
        self._selected: set[int] = set()  # also of records that a filter hides, until it is lifted
        self._range_from: int | None = None  # the position that was selected last, from which a range goes
        self._opening: int | None = None  # the position to open as soon as it is read
        self._told: tuple[int | None, Record | None] = (None, None)
        self._told_selected: frozenset[int] = frozenset()
        self.set_reactive(RecordTable.empty, empty)

    # ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def show(self, positions: Sequence[int], *, keep: bool = True) -> None:
        """Another list. With `keep`, the cursor stays on its record, or goes to the nearest that is left; it stays on
        its line of the screen; and what is selected and in the list is selected still. What was read counts as read:
        after a write say so by `refresh_rows` or `invalidate`."""
        old, cursor, top = self._before, self._cursor, self.scroll_offset.y
        in_sight = cursor in self._in_sight or not self._positions
        held = cursor if in_sight else top  # the row that keeps its line of the screen
        self._positions = list(positions)
        self._row_of = None
        self._before = self._positions or self._before
        if not keep:
            self._cursor = top = 0
            self._selected.clear()
            self._range_from = None
        elif self._positions and old:
            self._cursor = self._nearest(old, cursor)
            if top > 0:  # at the top, what is new there is to be seen
                top += (self._cursor if in_sight else self._nearest(old, held)) - held
        self.virtual_size = Size(0, _HEADER + len(self._positions))
        self._scroll(self._following(top) if in_sight or not keep else top)
        self._looked_at = self._in_sight
        self.refresh()
        self._tell()
        self._tell_selection()
        self._need()

    def refresh_rows(self, positions: Iterable[int]) -> None:
        """These records may have changed: read them again."""
        self._outdated += 1
        self._kept.outdate(positions)
        self._need()

    def invalidate(self) -> None:
        """Any record may have changed: read them again as they are looked at."""
        self._outdated += 1
        self._kept.outdate()
        self._need()

    def at(self, row: int) -> Record | None:
        """The record in a row of the list; None while it is not read, and where there is none."""
        return self._kept.get(self._positions[row]) if 0 <= row < len(self._positions) else None

    @property
    def cursor_row(self) -> int:
        return self._cursor

    @property
    def cursor_position(self) -> int | None:
        """The position of the record under the cursor; None in an empty list."""
        return self._positions[self._cursor] if self._positions else None

    @property
    def cursor_record(self) -> Record | None:
        """The record under the cursor; None while it is not read."""
        return self.at(self._cursor)

    @property
    def selected(self) -> frozenset[int]:
        """The positions that are selected and in the list: no verb acts on what a filter hides."""
        return frozenset(filter(self._rows.__contains__, self._selected)) if self._selected else frozenset()

    def go_to(self, position: int) -> bool:
        """The cursor to this record, in the middle of the screen if it is far; False if it is not in the list."""
        row = self._rows.get(position)
        if row is not None:
            far = row not in self._in_sight
            self._move(row, scrolled=row - self._height // 2 - self.scroll_offset.y if far else 0)
        return row is not None

    @property
    def _rows(self) -> dict[int, int]:
        if self._row_of is None:
            self._row_of = {position: row for row, position in enumerate(self._positions)}
        return self._row_of

    def _nearest(self, old: Sequence[int], row: int) -> int:
        """The row in which that record of an old list stands now, or the one that stood nearest to it; where none is
        left, the one that was written nearest to it."""
        rows = self._rows
        for away in range(max(row + 1, len(old) - row)):
            for near in (row + away, row - away):
                if 0 <= near < len(old) and old[near] in rows:
                    return rows[old[near]]
        return min(range(len(self._positions)), key=lambda new: abs(self._positions[new] - old[row]))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _need(self) -> None:
        """Something is looked at that may not be read. One read at a time: the next is of what is looked at then."""
        if not self._reading and self.is_running and self._to_read():
            self._reading = True
            self.run_worker(self._read_on(), name="records of a list", group="record-table")

    async def _read_on(self) -> None:
        try:
            while asked := self._to_read():
                began = self._outdated
                try:
                    records = await self._read(asked)
                except AgentMemError as error:
                    seen = (p for p in map(self._positions.__getitem__, self._in_sight) if p in set(asked))
                    self._failed = (next(seen, asked[0]), f"Not read: {error}. {error.way_out}".rstrip())
                    self.refresh()
                    if self._to_read() == asked:  # not again by itself: when something is looked at the next time
                        break
                    continue
                self._failed = None
                needed = len(self._in_sight) + 4 * _PAGE
                self._kept.keep(asked, records, stale=began != self._outdated, needed=needed)
                self.refresh()
                self._tell()
        finally:
            self._reading = False

    def _to_read(self) -> list[int]:
        """What is not read of the first page that needs it: those in sight, that of the cursor, those beside."""
        seen, last = self._in_sight, (len(self._positions) - 1) // _PAGE
        visible = range(seen.start // _PAGE, (seen.stop - 1) // _PAGE + 1)
        beside = range((seen.start - _PAGE // 2) // _PAGE, (seen.stop + _PAGE // 2) // _PAGE + 1)
        for page in dict.fromkeys((*visible, self._cursor // _PAGE, *beside)):
            if 0 <= page <= last and (asked := self._kept.to_read(self._positions[page * _PAGE : (page + 1) * _PAGE])):
                return asked
        return []

    def _tell(self) -> None:
        now = (self.cursor_position, self.cursor_record)
        if self.is_running and now != self._told:
            self._told = now
            self.post_message(self.Highlighted(self, *now))
        if self._opening != now[0]:
            self._opening = None
        elif self._opening is not None and now[1] is not None:
            self._opening = None
            self.post_message(self.Opened(self, now[1]))

    # ── moving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _height(self) -> int:
        """How many rows the screen has room for."""
        return max(self.size.height - _HEADER, 0)

    @property
    def _in_sight(self) -> range:
        top = min(self.scroll_offset.y, len(self._positions))
        return range(top, min(top + self._height, len(self._positions)))

    def _following(self, top: int) -> int:
        """The top row nearest to `top` with which the cursor is in sight."""
        return min(max(top, self._cursor - max(self._height, 1) + 1), self._cursor)

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=top, animate=False, force=True)

    def _move(self, row: int, *, scrolled: int = 0) -> None:
        was, self._cursor = self._cursor, min(max(row, 0), max(len(self._positions) - 1, 0))
        for one in (was, self._cursor):
            self.refresh_line(_HEADER + one)
        self._scroll(self._following(self.scroll_offset.y + scrolled))
        self._looked_at = self._in_sight
        self._tell()
        self._need()

    def action_up(self) -> None:
        self._move(self._cursor - 1)

    def action_down(self) -> None:
        self._move(self._cursor + 1)

    def action_page_up(self) -> None:
        self._turn(-1)

    def action_page_down(self) -> None:
        self._turn(1)

    def _turn(self, pages: int) -> None:
        rows = pages * max(self._height, 1)
        self._move(self._cursor + rows, scrolled=rows)

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        self._move(len(self._positions) - 1)

    def action_open(self) -> None:
        """Also of a record that is not read yet: then as soon as it is."""
        self._opening = self.cursor_position
        self._tell()
        self._need()

    def on_mount(self) -> None:
        self._tell()
        self._need()

    def on_resize(self) -> None:
        """A window made small and large again shows what it showed, if nobody moved meanwhile."""
        top, followed = self._looked_at.start, not self._looked_at or self._cursor in self._looked_at
        self._resizing = True
        self._scroll(self._following(top) if followed else top)
        self._resizing = False
        self._need()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._resizing and round(old_value) <= self.max_scroll_y:  # beyond, it was not moved but had to end
            self._looked_at = self._in_sight
        self._need()

    # ── selecting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_select(self) -> None:
        position = self.cursor_position
        if position is not None:
            self._selected ^= {position}
            self._range_from = position if position in self._selected else None
            self._tell_selection()

    def action_range(self) -> None:
        """From the record that was selected last to the cursor."""
        if self._positions:
            start = self._cursor if self._range_from is None else self._rows.get(self._range_from, self._cursor)
            first, last = sorted((start, self._cursor))
            self._selected.update(self._positions[first : last + 1])
            self._range_from = self.cursor_position
            self._tell_selection()

    def action_invert(self) -> None:
        """Of the whole list, read or not."""
        self._selected.symmetric_difference_update(self._positions)
        self._tell_selection()

    def action_clear(self) -> None:
        if not self._selected:
            raise SkipAction  # escape is somebody else's then
        self._selected.clear()
        self._range_from = None
        self._tell_selection()

    def _tell_selection(self) -> None:
        selected = self.selected
        if selected != self._told_selected:
            self._told_selected = selected
            self.post_message(self.SelectionChanged(self, selected))
            self.refresh()

    # ── the mouse ────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None:
            return
        event.stop()
        row = self.scroll_offset.y + place.y - _HEADER
        if place.y < _HEADER:
            self._ask_to_sort(place.x - _MARKS)
        elif row < len(self._positions):
            self._move(row)
            if event.chain == 2:
                self.action_open()

    def _ask_to_sort(self, x: int) -> None:
        for column, start, width in self._laid_out():
            if start <= x < start + width and column.order is not None:
                again = column.order == self.order
                descending = not self.descending if again else column.order in _GREATEST_FIRST
                self.post_message(self.SortAsked(self, column.order, descending))

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width  # `size` has the scrollbar in it

    def _laid_out(self) -> list[tuple[Column, int, int]]:
        return laid_out(self._columns, self._width - _MARKS - 1)  # one is free before the scrollbar

    def _style(self, *names: str) -> Style:
        return self.get_component_rich_style(*(f"record-table--{name}" for name in ("row", *names)))

    def render_line(self, y: int) -> Strip:
        """Costs what one line costs, whatever the length of the list."""
        row = self.scroll_offset.y + y - _HEADER
        if y < _HEADER:
            segments, style = self._header()
        elif not self._positions:
            segments, style = self._nothing(y), self._style("faint")
        elif row < len(self._positions):
            segments, style = self._row(row)
        else:
            segments, style = [], self._style()
        return Strip(segments).adjust_cell_length(self._width, style)

    def _header(self) -> tuple[list[Segment], Style]:
        style = self._style("header")
        segments = [Segment(" " * _MARKS, style)]
        for column, _, width in self._laid_out():
            mark = (" ▼" if self.descending else " ▲") if column.order and column.order == self.order else ""
            title = cut(Text(column.title), min(cell_len(column.title), width - len(mark)))
            title.append(mark)
            segments += [Segment(cut(title, width, right=column.right).plain, style), Segment(" " * GAP, style)]
        return segments, style

    def _row(self, row: int) -> tuple[list[Segment], Style]:
        position = self._positions[row]
        record = self._kept.get(position)
        states = []
        if position in self._selected:
            states.append("selected")
        if row == self._cursor:
            states.append("cursor")
        style, faint = self._style(*states), self._style("faint", *states)
        pinned = record is not None and record.pinned
        segments = [
            Segment("▸" if row == self._cursor else " ", style),
            Segment("●" if position in self._selected else " ", style),
            Segment("★" if pinned else " ", self._style("pinned", *states)),
            Segment(" ", style),
        ]
        if record is None and self._failed is not None and self._failed[0] == position:
            words = cut(on_one_line(self._failed[1]), max(self._width - _MARKS - 1, 0))
            return [*segments, Segment(words.plain, self._style("failed", *states))], style
        for column, _, width in self._laid_out():
            if record is not None:
                cell, cell_style = on_one_line(column.cell(record)), style if column.width is None else faint
            else:
                note = "· gone" if self._kept.is_gone(position) else "·"
                cell, cell_style = Text(note if column.width is None else ""), faint
            cells = cut(cell, width, right=column.right).render(self.app.console, end="")
            segments += [*Segment.apply_style(cells, cell_style), Segment(" " * GAP, style)]
        return segments, style

    def _nothing(self, y: int) -> list[Segment]:
        """One line of what is said of an empty list, in the middle."""
        width = self._width
        lines = textwrap.wrap(on_one_line(self.empty).plain, max(width - 2, 1))
        line = y - _HEADER - max((self._height - len(lines)) // 2, 0)
        if not 0 <= line < len(lines):
            return []
        words = cut(Text(lines[line]), min(cell_len(lines[line]), width)).plain
        return [Segment(" " * ((width - cell_len(words)) // 2) + words, self._style("faint"))]
