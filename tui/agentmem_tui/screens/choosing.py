"""One of several, chosen from a list; with a line to be typed that narrows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.errors import AgentMemError
from agentmem_tui.screens.acting import begin, tell

__all__ = ["Chooser"]

T = TypeVar("T")


class Chooser(ModalScreen[T | None], Generic[T]):
    """What was chosen; None when it was given up. `look` finds what there is for the words that are typed; where
    nothing is to be typed it is asked once, for ""."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("enter", "take", "Choose"),
        Binding("escape", "leave", "Cancel"),
    ]

    def __init__(
        self, title: str, look: Callable[[str], Awaitable[Sequence[tuple[Text, T]]]], *, typed: bool = True
    ) -> None:
        super().__init__()
        self._title = title
        self._look = look
        self._typed = typed
        self._listed: Sequence[tuple[Text, T]] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._title), classes="dialog-title")
            if self._typed:
                yield Input()
            yield OptionList(classes="choice lines")
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        if self._typed:
            self.query_one(Input).focus()
        self._search("")

    def _search(self, words: str) -> None:
        begin(self, partial(self._searched, words), "choosing", alone=True)

    async def _searched(self, words: str) -> None:
        try:
            self._listed = await self._look(words)
        except AgentMemError as error:
            tell(self.app, error)
            return
        for listed in self.query(OptionList):
            listed.clear_options()
            listed.add_options(Option(label) for label, _ in self._listed)
            listed.highlighted = 0 if self._listed else None

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self._search(event.value)

    def action_move(self, steps: int) -> None:
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            listed.highlighted = min(max(listed.highlighted + steps, 0), len(self._listed) - 1)

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def action_take(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.dismiss(self._listed[at][1])

    def action_leave(self) -> None:
        self.dismiss(None)
