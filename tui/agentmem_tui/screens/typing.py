"""A line to be typed: tags, a name, a path."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from agentmem_apps.cli.output import one_line

__all__ = ["TypeScreen"]


class TypeScreen(ModalScreen[str | None]):
    """What was typed; None when it was given up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]

    def __init__(self, title: str, *, value: str = "", note: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value
        self._note = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small"):
            yield Static(Text(self._title), classes="dialog-title")
            yield Input(self._value)
            yield Static(Text(one_line(self._note, 300), style="dim"), classes="dialog-note")
            yield Footer(show_command_palette=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)
