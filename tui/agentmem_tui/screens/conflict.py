"""Two wrote the same memory: what they wrote, what it was, and what you wrote, side by side, to choose from."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from agentmem.records import Record
from agentmem_apps.cli.output import clean, one_line

__all__ = ["ConflictScreen"]


def _value(record: Record, name: str) -> Any:
    found = getattr(record, name)
    if name == "place":
        return None if found is None else found.id
    return list(found) if isinstance(found, tuple) else found


class ConflictScreen(ModalScreen[dict[str, Any] | None]):
    """Gives the fields to write over theirs: {} leaves all as they wrote it; None goes back to the writing.

    A field that they left as it was is yours without a question.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("left,t", "choose('theirs')", "Theirs"),
        Binding("right,m", "choose('mine')", "Mine"),
        Binding("enter", "settle", "Keep this"),
        Binding("escape", "leave", "Back to writing"),
    ]

    def __init__(self, base: Record, theirs: Record, mine: dict[str, Any]) -> None:
        super().__init__()
        self._mine = mine
        self._theirs = {name: _value(theirs, name) for name in mine}
        self._base = {name: _value(base, name) for name in mine}
        self._disputed = [name for name in mine if self._theirs[name] not in (self._base[name], mine[name])]
        self._chosen = dict.fromkeys(self._disputed, "mine")
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog conflict"):
            yield Static(Text("Somebody changed this memory while you wrote"), classes="dialog-title")
            with Horizontal(classes="sides"):
                for side in ("theirs", "base", "mine"):
                    with VerticalScroll(classes="side", id=side):
                        yield Static(classes="side-text")
            yield Static(classes="dialog-note")
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        if not self._disputed:  # they changed other fields than you
            self.dismiss(self._mine)
            return
        self._show()

    def _show(self) -> None:
        values = {"theirs": self._theirs, "base": self._base, "mine": self._mine}
        titles = {"theirs": "theirs", "base": "as it was", "mine": "yours"}
        for side, of in values.items():
            text = Text()
            text.append(f"{titles[side]}\n", style="bold")
            for row, name in enumerate(self._disputed):
                taken = self._chosen[name] == side
                mark = "●" if taken else " "
                text.append(f"\n{'▸' if row == self._at else ' '}{mark} {name}\n", style="bold" if taken else "dim")
                text.append(f"{clean(str(of[name] if of[name] is not None else '(none)'))}\n")
            self.query_one(f"#{side} .side-text", Static).update(text)
        kept = ", ".join(f"{name}: {self._chosen[name]}" for name in self._disputed)
        self.query_one(".dialog-note", Static).update(Text(f"kept will be {one_line(kept)}"))

    def action_move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._disputed)
        self._show()

    def action_choose(self, side: str) -> None:
        self._chosen[self._disputed[self._at]] = side
        self._show()

    def action_settle(self) -> None:
        self.dismiss({name: value for name, value in self._mine.items() if self._chosen.get(name, "mine") == "mine"})

    def action_leave(self) -> None:
        self.dismiss(None)
