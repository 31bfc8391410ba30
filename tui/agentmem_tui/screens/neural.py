"""Memories that are trained: what will be seen of one, and whether one is installed. None is shown yet."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from agentmem.registry import STORES, names
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.screens.acting import Acting

__all__ = ["NeuralScreen"]

_NAME: Final = "neural"  # by which a trained memory is registered, alone or as `neural-…`
_WIDTH: Final = 200  # cells of what is told
_NONE: Final = "No neural memory is installed."
_WILL: Final = (
    "What is shown here when one is:",
    "· how strong and how surprised it is, over time",
    "· how full each of its slots is",
    "· what it reads for a text that you type",
    "· snapshots of its state, to take and to bring back",
)


class NeuralScreen(Acting[None]):
    """Says what there is."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["back"], shown=["back"])

    def compose(self) -> ComposeResult:
        head = Text("neural ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        yield Static(head, classes="top")
        with VerticalScroll(classes="told"):
            yield Static(_told(names(STORES)), classes="told-text")
        yield Footer(show_command_palette=False)

    def action_back(self) -> None:
        self.app.pop_screen()


def _told(stores: list[str]) -> Text:
    neural = [name for name in stores if name == _NAME or name.startswith(f"{_NAME}-")]
    text = Text(f"Installed: {one_line(', '.join(neural), _WIDTH)}. Nothing of it is shown yet." if neural else _NONE)
    text.stylize("bold")
    text.append("\n\n" + "\n".join(_WILL), style="not bold")
    listed = one_line(", ".join(stores), _WIDTH) or "none"
    return text.append(f"\n\nThe stores that are installed: {listed}.", style="dim not bold")
