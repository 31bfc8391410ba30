"""When the memory cannot be opened: what is wrong, and what can be done about it from here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self, TypeAlias

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from agentmem.config import without_passwords
from agentmem.errors import AgentMemError
from agentmem_apps.cli.output import clean

__all__ = ["Trouble", "TroubleScreen"]

Answer: TypeAlias = Literal["again", "make", "leave"]


class Trouble(NamedTuple):
    """`missing`: there is nothing there yet, and a memory could be made."""

    title: str
    message: str
    way_out: str
    missing: bool = False

    @classmethod
    def of(cls, error: AgentMemError | OSError, place: str) -> Self:
        missing = "://" not in place and not Path(place).exists()
        if isinstance(error, AgentMemError):
            return cls(error.title, str(error), error.way_out, missing)
        return cls("The system refused", f"{without_passwords(place)}: {error.strerror or error}", "", missing)


class TroubleScreen(ModalScreen[Answer]):
    """Says what is wrong; answers what to do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "answer('again')", "Try again"),
        Binding("n", "answer('make')", "Make a memory here"),
        Binding("q,escape", "answer('leave')", "Leave"),
    ]

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self.trouble = trouble

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog trouble"):
            yield Static(Text(clean(self.trouble.title)), classes="dialog-title")
            yield Static(Text(clean(self.trouble.message)), classes="dialog-text")
            if self.trouble.way_out:
                yield Static(Text(f"→ {clean(self.trouble.way_out)}"), classes="dialog-text")
            yield Footer(show_command_palette=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "answer" or parameters != ("make",) or self.trouble.missing

    def action_answer(self, answer: Answer) -> None:
        self.dismiss(answer)
