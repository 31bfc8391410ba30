"""A screen with one list of records, for its tests: what it says, what it reads, and what stands under the cursor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.pilot import Pilot

from agentmem import AsyncMemory, Record
from agentmem_tui.widgets.columns import Column
from agentmem_tui.widgets.record_table import Read, RecordTable
from tests.screens import lines, wait_for

M = TypeVar("M", bound=Message)
COLUMNS = (
    Column("text", "Text", None, lambda record: record.text, "text"),
    Column("kind", "Kind", 8, lambda record: record.kind, "kind"),
    Column("at", "Happened", 10, lambda record: f"{record.at:%Y-%m-%d}", "happened"),
    Column("speaker", "Speaker", 10, lambda record: record.speaker or ""),
)


class OneTable(App[None]):
    """A screen with one list, and all that it says."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "gone_back", "Back")]

    def __init__(self, read: Read, columns: Sequence[Column] = COLUMNS) -> None:
        super().__init__()
        self.table = RecordTable(columns, read, empty="No memory matches.")
        self.heard: list[Message] = []
        self.backs = 0

    def compose(self) -> ComposeResult:
        yield self.table

    def action_gone_back(self) -> None:
        self.backs += 1

    def on_record_table_highlighted(self, message: RecordTable.Highlighted) -> None:
        self.heard.append(message)

    def on_record_table_opened(self, message: RecordTable.Opened) -> None:
        self.heard.append(message)

    def on_record_table_sort_asked(self, message: RecordTable.SortAsked) -> None:
        self.heard.append(message)

    def on_record_table_selection_changed(self, message: RecordTable.SelectionChanged) -> None:
        self.heard.append(message)


@dataclass
class Screen:
    app: OneTable
    pilot: Pilot[None]
    asked: list[list[int]] = field(default_factory=list)

    @property
    def table(self) -> RecordTable:
        return self.app.table

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in self.app.heard if isinstance(message, kind)]

    @property
    def row(self) -> str:
        """The line under the cursor."""
        (found,) = [line for line in lines(self.table) if line.startswith("▸")]
        return found

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.read()

    async def read(self) -> None:
        """Until all rows in sight are read."""
        await wait_for(self.pilot, lambda: not any(line[4:].rstrip() == "·" for line in lines(self.table)), "all read")


@asynccontextmanager
async def showing(
    read: Read, positions: Sequence[int], *, size: tuple[int, int] = (100, 30), columns: Sequence[Column] = COLUMNS
) -> AsyncIterator[Screen]:
    asked: list[list[int]] = []

    async def noted(wanted: Sequence[int]) -> Sequence[Record]:
        asked.append(list(wanted))
        return await read(wanted)

    app = OneTable(noted, columns)
    async with app.run_test(size=size) as pilot:
        app.table.show(positions)
        screen = Screen(app, pilot, asked)
        await screen.read()
        yield screen


def opening(folder: Path) -> Coroutine[Any, Any, AsyncMemory]:
    return AsyncMemory.open(folder, embedder="hash")
