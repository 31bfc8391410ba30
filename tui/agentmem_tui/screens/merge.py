"""Several memories become one: theirs on the left, the draft on the right. One step, and their lineage stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static, TextArea

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError
from agentmem.records import Record
from agentmem_apps.cli.output import clean, local_time, one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import begin, tell
from agentmem_tui.screens.stepping import Ask

__all__ = ["MergeScreen"]


class MergeScreen(ModalScreen[Record | None]):
    """Gives the merged record; None when nothing was merged."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["save", "cancel"], shown=["save", "cancel"], priority=True)

    def __init__(self, memory: AsyncMemory, records: Sequence[Record]) -> None:
        super().__init__()
        self.memory = memory
        self._records = sorted(records, key=lambda record: (record.at, record.position))
        self._draft = "\n".join(dict.fromkeys(record.text for record in self._records))

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog editing"):
            yield Static(Text(f"Merge {len(self._records)} memories into one"), classes="dialog-title")
            with Horizontal(classes="sides"):
                with VerticalScroll(classes="side"):
                    for record in self._records:
                        told = Text(f"{local_time(record.at)}  {one_line(record.kind)}\n", style="dim")
                        told.append(f"{clean(record.text)}\n")
                        yield Static(told)
                with Vertical(classes="side"):
                    yield TextArea(self._draft, soft_wrap=True, show_line_numbers=False)
            yield Static(
                Text("The ones on the left stay in the ledger as replaced; z brings them back."), classes="dialog-note"
            )
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    def action_save(self) -> None:
        begin(self, self._save, "saving", alone=True)

    async def _save(self) -> None:
        text = self.query_one(TextArea).text
        try:
            merged = await self.memory.merge(*(record.id for record in self._records), text=text)
        except AgentMemError as error:
            tell(self.app, error)
        else:
            self.dismiss(merged)

    def action_cancel(self) -> None:
        begin(self, self._leave, "saving", alone=True)

    async def _leave(self) -> None:
        changed = self.query_one(TextArea).text != self._draft
        question = f"Leave, and merge none of the {plural(len(self._records), 'memory', 'memories')}?"
        if not changed or await self.app.push_screen_wait(Ask(question)):
            self.dismiss(None)
