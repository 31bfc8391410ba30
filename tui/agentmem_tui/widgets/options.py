"""A list of options that is moved in by the keys of every list here."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import OptionList

from agentmem_tui.actions import bindings

__all__ = ["Options"]


class Options(OptionList):
    """An `OptionList` with `j`, `k`, `g`, `G`, or what the user put in their place."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["up", "down", "first", "last"])

    def action_up(self) -> None:
        self.action_cursor_up()

    def action_down(self) -> None:
        self.action_cursor_down()
