"""One memory by itself, where the list leaves no room for it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static

from agentmem.aio import AsyncMemory
from agentmem.errors import RecordNotFound
from agentmem.records import Record
from agentmem_apps.cli.output import one_line
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.origin import OriginScreen
from agentmem_tui.widgets.record_view import RecordView

__all__ = ["RecordScreen"]


class RecordScreen(Acting[None]):
    BINDINGS: ClassVar[list[BindingType]] = bindings(["history", "origin", "back"], shown=["history", "origin", "back"])

    def __init__(self, memory: AsyncMemory, record: Record) -> None:
        super().__init__(memory)
        self._record = record

    def compose(self) -> ComposeResult:
        yield Static(Text(f"{one_line(self._record.kind)} {one_line(self._record.id)[-8:]}"), classes="top")
        yield RecordView(classes="by-itself")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        await self.follow()
        self.query_one(RecordView).focus()

    async def follow(self) -> None:
        try:
            self._record = await self.memory.get(self._record.id)
        except RecordNotFound:  # it was erased: what is on the screen goes too
            self.dismiss()
            return
        self.query_one(RecordView).show(self._record)

    def action_history(self) -> None:
        self.app.push_screen(HistoryScreen(self.memory, self._record))

    def action_origin(self) -> None:
        self.app.push_screen(OriginScreen(self.memory, self._record))

    def action_back(self) -> None:
        self.app.pop_screen()
