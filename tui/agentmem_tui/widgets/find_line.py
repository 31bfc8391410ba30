"""The line in which a list is narrowed: up and down bring back what was typed before."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from agentmem_tui.remembered import Remembered

__all__ = ["FindLine"]


class FindLine(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recent(1)", "Before", show=False, id="find.up"),
        Binding("down", "recent(-1)", "After", show=False, id="find.down"),
    ]

    def __init__(self, remembered: Remembered) -> None:
        super().__init__(placeholder='words  "an exact phrase"  kind:fact  since:7d  in:trash', classes="find")
        self._remembered = remembered
        self._back = -1  # how far back in the recent ones; -1: what is being typed

    def action_recent(self, by: int) -> None:
        recent = self._remembered.recent
        self._back = max(-1, min(self._back + by, len(recent) - 1))
        self.value = recent[self._back] if self._back >= 0 else ""
        self.cursor_position = len(self.value)
