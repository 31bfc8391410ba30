"""One memory becomes several: marks between its sentences, and what comes of them. One step, and its lineage stays."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError
from agentmem.records import Record
from agentmem_apps.cli.output import clean, one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import begin, tell

__all__ = ["SplitScreen", "sentences"]

# A sentence ends with its stops, or with its line; the white space that follows is its own.
_END: Final = re.compile(r"[.!?]+[\"'”’)\]]*\s+|[。！？]+\s*|\n\s*")


def sentences(text: str) -> list[str]:
    """The text cut where sentences end; joined they are the text."""
    ends = [0, *(end.end() for end in _END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if start < end]


class SplitScreen(ModalScreen[list[Record] | None]):
    """Gives the parts; None when nothing was split."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["save", "cancel"], shown=["save", "cancel"], priority=True),
        Binding("enter,space", "mark", "Cut before", id="cut"),
    ]

    def __init__(self, memory: AsyncMemory, record: Record) -> None:
        super().__init__()
        self.memory = memory
        self._record = record
        self._sentences = sentences(record.text)
        self._cuts: set[int] = set()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog editing"):
            yield Static(Text("Split this memory: enter cuts before a sentence"), classes="dialog-title")
            with Horizontal(classes="sides"):
                yield OptionList(classes="side")
                with VerticalScroll(classes="side"):
                    yield Static(classes="parts")
            yield Static(Text("The whole stays in the ledger as replaced; z brings it back."), classes="dialog-note")
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one(OptionList).focus()

    @property
    def parts(self) -> list[str]:
        """What comes of the cuts, without the white space at their ends."""
        found = [""]
        for at, sentence in enumerate(self._sentences):
            if at in self._cuts:
                found.append("")
            found[-1] += sentence
        return [part.strip() for part in found if part.strip()]

    def _show(self) -> None:
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        listed.add_options(
            Option(Text(f"{'✂ ' if n in self._cuts else '  '}{one_line(sentence, 200)}"))
            for n, sentence in enumerate(self._sentences)
        )
        listed.highlighted = min(at, len(self._sentences) - 1)
        told = Text()
        for n, part in enumerate(self.parts, 1):
            told.append(f"{n}\n", style="bold")
            told.append(f"{clean(part)}\n\n")
        self.query_one(".parts", Static).update(told)

    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        self.action_mark()

    def action_mark(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at:  # before the first there is nothing to cut
            self._cuts ^= {at}
            self._show()

    def action_save(self) -> None:
        begin(self, self._save, "saving", alone=True)

    async def _save(self) -> None:
        parts = self.parts
        if len(parts) < 2:
            self.notify("Nothing is cut yet.")
            return
        try:
            made = await self.memory.split(self._record.id, parts)
        except AgentMemError as error:
            tell(self.app, error)
        else:
            self.notify(f"split into {plural(len(made), 'memory', 'memories')}", timeout=4)
            self.dismiss(made)

    def action_cancel(self) -> None:
        self.dismiss(None)
