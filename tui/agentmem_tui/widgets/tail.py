"""Lines that are added at the end, and a cursor on one of them; whoever follows stands on the newest.

One line is drawn at a time, so that thousands cost no more than those in sight.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentmem_tui.actions import bindings

__all__ = ["Tail", "TailLine"]

_MARK: Final = 2  # cells at the left: the cursor


class TailLine(NamedTuple):
    """A line by its number, which ascends; `drawn` gives its text for so many cells."""

    number: int
    drawn: Callable[[int], Text]


class Tail(ScrollView, can_focus=True):
    """Lines in the order of their numbers."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = bindings(["up", "down", "page-up", "page-down", "first", "last"])
    COMPONENT_CLASSES: ClassVar[set[str]] = {"tail--line", "tail--cursor"}
    DEFAULT_CSS = """
    Tail {
        height: 1fr;
        overflow-x: hidden;
        background: $surface;
        color: $foreground;
        & > .tail--cursor { background: $block-cursor-blurred-background; color: $block-cursor-blurred-foreground; }
        &:focus > .tail--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    }
    """

    @dataclass
    class Followed(Message):
        """It goes with what is new from now on, or does not any more."""

        tail: Tail
        following: bool

        @property
        def control(self) -> Tail:
            return self.tail

    def __init__(self, *, empty: str = "", classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._listed: list[TailLine] = []
        self._at = 0
        self._empty = empty
        self._moving = False  # it scrolls of itself
        self.following = True

    def show(self, listed: Sequence[TailLine]) -> None:
        """These lines in place of those before: the newest is pointed at while it follows, else the same as before, or
        the nearest that is left, on the line of the screen where it was."""
        number, top = self.number, self.scroll_offset.y
        old_at = self._at
        self._listed = list(listed)
        self._at = self._nearest(number) if number is not None and not self.following else len(self._listed) - 1
        self._at = max(self._at, 0)
        self._moving = True
        self.virtual_size = Size(0, len(self._listed))
        self._scroll(len(self._listed) if self.following else top + self._at - old_at)
        self._moving = False
        self.refresh()

    @property
    def number(self) -> int | None:
        """Of the line that is pointed at; None where there is none."""
        return self._listed[self._at].number if self._listed else None

    def follow(self, following: bool = True) -> None:
        """Go with what is new, from the newest line on; or stay."""
        if following:
            self._move(len(self._listed) - 1)
        if following != self.following:
            self.following = following
            self.post_message(self.Followed(self, following))

    def _nearest(self, number: int) -> int:
        return min(bisect_left(self._listed, number, key=lambda line: line.number), len(self._listed) - 1)

    # ── moving ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _height(self) -> int:
        return max(self.size.height, 1)

    def _scroll(self, top: int) -> None:
        low = self._at - self._height + 1
        self.scroll_to(y=min(max(top, low), self._at), animate=False, force=True)

    def _move(self, to: int) -> None:
        was, self._at = self._at, min(max(to, 0), max(len(self._listed) - 1, 0))
        for one in (was, self._at):
            self.refresh_line(one)
        self._moving = True
        self._scroll(self.scroll_offset.y)
        self._moving = False

    def _go(self, by: int) -> None:
        if by < 0:
            self.follow(False)
        self._move(self._at + by)

    def action_up(self) -> None:
        self._go(-1)

    def action_down(self) -> None:
        self._go(1)

    def action_page_up(self) -> None:
        self._go(-self._height)

    def action_page_down(self) -> None:
        self._go(self._height)

    def action_first(self) -> None:
        self._go(-len(self._listed))

    def action_last(self) -> None:
        self._go(len(self._listed))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and not self._moving:  # by the mouse
            self.follow(False)

    def on_resize(self) -> None:
        self._moving = True
        self._scroll(len(self._listed) if self.following else self.scroll_offset.y)
        self._moving = False

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None and (at := self.scroll_offset.y + place.y) < len(self._listed):
            event.stop()
            if at < len(self._listed) - 1:
                self.follow(False)
            self._move(at)

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width  # `size` has the scrollbar in it
        at = self.scroll_offset.y + y
        style: Style = self.get_component_rich_style("tail--line")
        if not self._listed:
            said = Text(self._empty if y == 1 else "", "dim")
            return Strip(said.render(self.app.console, end="")).crop(0, width).adjust_cell_length(width, style)
        if at >= len(self._listed):
            return Strip.blank(width, style)
        if at == self._at:
            style = self.get_component_rich_style("tail--cursor")
        text = self._listed[at].drawn(max(width - _MARK, 1))
        segments = Segment.apply_style(text.render(self.app.console, end=""), style)
        mark = Segment("▸ " if at == self._at else "  ", style)
        return Strip([mark, *segments]).crop(0, width).adjust_cell_length(width, style)
