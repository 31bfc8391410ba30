"""What can be done on the screen below, and by which key: read from the keys that are in force there."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Static

from agentmem_tui.actions import GROUPS, bindings

__all__ = ["HelpScreen"]


class HelpScreen(ModalScreen[None]):
    """`rows`: for each group its actions, as (keys, title, help)."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["back"], shown=["back"])

    def __init__(self, rows: dict[str, list[tuple[str, str, str]]]) -> None:
        super().__init__()
        self._rows = rows

    @classmethod
    def of(cls, screen: Screen[Any]) -> Self:
        """Of what can be done where the focus is."""
        keys: dict[str, list[str]] = {}
        for _, binding, enabled, _ in screen.active_bindings.values():
            if binding.id and enabled:
                keys.setdefault(binding.id, []).append(screen.app.get_key_display(binding))
        rows = {
            group: [(" ".join(keys[one.id]), one.title, one.help) for one in actions if one.id in keys]
            for group, actions in GROUPS.items()
        }
        return cls({group: listed for group, listed in rows.items() if listed})

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog help"):
            yield Static(Text("What can be done here"), classes="dialog-title")
            with VerticalScroll(classes="dialog-body"):
                for group, listed in self._rows.items():
                    yield Static(Text(group), classes="help-group")
                    for keys, title, told in listed:
                        line = Text()
                        line.append(f"{keys:<14}", style="bold")
                        line.append(f"{title:<12}")
                        line.append(told, style="dim")
                        yield Static(line)
            yield Footer(show_command_palette=False)

    def action_back(self) -> None:
        self.dismiss()
