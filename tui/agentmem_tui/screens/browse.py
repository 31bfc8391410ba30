"""Home: what there is on the left, the list in the middle, the memory that is pointed at on the right."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, Static

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError, InvalidInput
from agentmem.filters import Filter, Order
from agentmem.records import Record
from agentmem_apps.cli.output import one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.record_columns import COLUMNS
from agentmem_tui.remembered import Remembered
from agentmem_tui.screens.acting import Acting, stands
from agentmem_tui.screens.bulk import BulkScreen
from agentmem_tui.screens.edit import EditScreen
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.merge import MergeScreen
from agentmem_tui.screens.origin import OriginScreen
from agentmem_tui.screens.record import RecordScreen
from agentmem_tui.screens.split import SplitScreen
from agentmem_tui.screens.stepping import Ask
from agentmem_tui.screens.typing import TypeScreen
from agentmem_tui.screens.why import show_why
from agentmem_tui.widgets.find_line import FindLine
from agentmem_tui.widgets.record_table import RecordTable
from agentmem_tui.widgets.record_view import RecordView
from agentmem_tui.widgets.scope_tree import Place, ScopeTree

__all__ = ["BrowseScreen"]

_MEANT: Final = 200  # hits of a search by meaning
_FIRST: Final = 200  # of a long list: more than a screen has room for
_PAUSE_S: Final = 0.15  # in the typing
_LISTED: Final = 20  # memories that a question lists


class BrowseScreen(Acting[None]):
    """Looks at all that is inside the scope the memory is bound to, one scope at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["find", "history", "why", "origin"], shown=["find", "history"]),
        *bindings(
            ["add", "edit", "pin", "tag", "merge", "split", "forget", "erase", "restore"], shown=["edit", "forget"]
        ),
        *bindings(["export", "save-search", "clear", "leave"], shown=["leave"]),
    ]

    def __init__(self, memory: AsyncMemory, remembered: Remembered) -> None:
        super().__init__(memory)
        self._root = memory
        self._remembered = remembered
        self._asked = 0  # lists so far: one that was asked for later is the one to show
        self._place = Place(self._root.bound)
        self._typed = ""
        self._meant = False  # whether the list is of a search by meaning
        self._order: Order = "written"
        self._descending = True

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        with Horizontal(classes="panes"):
            yield ScopeTree(self._root.url, self._root.bound)
            with Vertical(classes="middle"):
                yield FindLine(self._remembered)
                yield Static(classes="said")
                yield RecordTable(COLUMNS, self._read, empty="Nothing here yet.")
            yield RecordView()
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        self.query_one(Input).display = self.query_one(".said").display = False
        self.table.focus()
        newest = await self._root.newest(100)
        self.table.show([record.position for record in newest])  # what is seen first; the whole list follows
        await self.follow()

    @property
    def table(self) -> RecordTable:
        return self.query_one(RecordTable)

    async def _read(self, positions: Sequence[int]) -> list[Record]:
        return await self.memory.listed(positions)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """Show what is there now."""
        counted = await self._root.kinds()
        if not stands(self):  # it was left meanwhile
            return
        self.query_one(ScopeTree).show(counted, self._remembered.searches)
        self.table.invalidate()
        await self._list()
        if stands(self):
            self._show_record(self.table.cursor_record)

    async def _list(self, *, at_once: bool = False) -> None:
        self._asked = asked = self._asked + 1
        try:
            if self._meant and self._typed.strip():
                within = Filter.parse(self._place.typed)
                hits = await self.memory.recall(self._typed, _MEANT)
                positions = [hit.record.position for hit in hits if within.admits(hit.record)]
            else:
                typed = f"{self._place.typed} {self._typed}".strip()
                listing = partial(self.memory.listing, typed, order=self._order, descending=self._descending)
                if at_once:  # what is seen first; the whole list when the typing pauses
                    positions = await listing(limit=_FIRST)
                    if len(positions) == _FIRST:
                        self.table.show(positions)
                        await asyncio.sleep(_PAUSE_S)
                        positions = await listing()
                else:
                    positions = await listing()
            if asked != self._asked or not stands(self):
                return
        except InvalidInput as error:  # of what is typed, perhaps not to its end
            self._say(Text(f"! {error}. {error.way_out}".strip()))
            return
        except AgentMemError as error:
            self._say(Text(f"! {error.title}: {error}"))
            return
        mode = "by meaning" if self._meant and self._typed.strip() else f"by {self._order}"
        told = f"{plural(len(positions), 'memory', 'memories')}, {mode}" if self._typed or self._place.typed else ""
        self._say(Text(told, style="dim"))
        self.table.show(positions)
        self._top()

    def _say(self, told: Text) -> None:
        """A line above the list, which is not there while there is nothing to say."""
        line = self.query_one(".said", Static)
        line.update(told)
        line.display = bool(told.plain)

    def _top(self) -> None:
        where = Text()
        where.append(one_line(str(self._root.url), 60), style="dim")
        where.append(f" ▸ {one_line(str(self.memory.bound), 60)}", style="bold")
        if self._place.typed:
            where.append(f" ▸ {one_line(self._place.typed, 40)}")
        if chosen := len(self.table.selected):
            where.append(f"   ● {plural(chosen, 'selected', 'selected')}")
        self.query_one(".top", Static).update(where)

    def _show_record(self, record: Record | None) -> None:
        self.query_one(RecordView).show(record)

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────

    @on(ScopeTree.Chosen)
    def _go_to(self, event: ScopeTree.Chosen) -> None:
        self._place = event.place
        bound = self._root.bound
        parts = event.place.scope if str(bound) == "default" else event.place.scope[len(bound) :]
        self.memory = self._root.scope(*parts) if parts and event.place.scope != bound else self._root
        self.table.invalidate()
        self._follow()

    def _follow(self) -> None:
        self.act(self._list, "listing", alone=True)

    @on(Input.Changed, ".find")
    def _find_as_typed(self, event: Input.Changed) -> None:
        self._typed, self._meant = event.value, False
        self.act(partial(self._list, at_once=True), "listing", alone=True)

    @on(Input.Submitted, ".find")
    def _find_meaning(self) -> None:
        self._meant = True
        self._remembered.typed(self._typed)
        self._follow()
        self.table.focus()

    @on(RecordTable.Highlighted)
    def _pointed_at(self, event: RecordTable.Highlighted) -> None:
        self._show_record(event.record)

    @on(RecordTable.SortAsked)
    def _sort(self, event: RecordTable.SortAsked) -> None:
        self._order, self._descending, self._meant = event.order, event.descending, False
        self.table.order, self.table.descending = event.order, event.descending
        self._follow()

    @on(RecordTable.SelectionChanged)
    def _selected(self) -> None:
        self._top()

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_find(self) -> None:
        line = self.query_one(Input)
        line.display = True
        line.focus()

    def action_clear(self) -> None:
        """Show all again, where the list was narrowed."""
        line = self.query_one(Input)
        if line.display:
            self._remembered.typed(line.value)
            line.value = ""
            line.display = False
            self.table.focus()

    def action_leave(self) -> None:
        self.app.exit()

    async def _meant_records(self) -> list[Record]:
        """Those that are selected, else the one pointed at."""
        if self.table.selected:
            return await self.memory.listed(sorted(self.table.selected))
        record = self.table.cursor_record
        return [] if record is None else [record]

    def action_save_search(self) -> None:
        self.act(self._save_search)

    async def _save_search(self) -> None:
        """Keep what is typed by a name, as a place in the tree; or take a name out."""
        search = f"{self._place.typed} {self._typed}".strip()
        title = f"A name for: {one_line(search, 80)}" if search else "The name of the search to take out"
        known = ", ".join(self._remembered.searches)
        name = await self.app.push_screen_wait(TypeScreen(title, note=f"saved: {known}" if known else ""))
        if name and name.strip():
            self._remembered.save(name, search)
            await self.follow()

    @on(RecordTable.Opened)
    def _opened(self, event: RecordTable.Opened) -> None:
        view = self.query_one(RecordView)
        if view.display:
            view.focus()
        else:
            self.app.push_screen(RecordScreen(self.memory, event.record))

    def action_history(self) -> None:
        if (record := self.table.cursor_record) is not None:
            self.app.push_screen(HistoryScreen(self.memory, record))

    def action_why(self) -> None:
        self.act(partial(show_why, self, self.table.cursor_record, self._typed), "asking", alone=True)

    def action_origin(self) -> None:
        if (record := self.table.cursor_record) is not None:
            self.app.push_screen(OriginScreen(self.memory, record))

    def action_add(self) -> None:
        self.act(partial(self._write, None))

    def action_edit(self) -> None:
        if len(self.table.selected) > 1:
            self.act(self._write_many)
        elif (record := self.table.cursor_record) is not None:
            self.act(partial(self._write, record))

    async def _write_many(self) -> None:
        records = [record for record in await self._meant_records() if record.state == "live"]
        count = await self.app.push_screen_wait(BulkScreen(self.memory, records))
        if count:
            await self._done(f"changed {plural(count, 'memory', 'memories')}")

    async def _write(self, record: Record | None) -> None:
        """Let it be written, until it is kept or given up; what somebody else wrote meanwhile is shown, not lost."""
        written = await self.app.push_screen_wait(EditScreen(self.memory, record))
        if written is not None:
            await self.follow()
            self.table.go_to(written.position)

    def action_pin(self) -> None:
        self.act(self._pin)

    async def _pin(self) -> None:
        records = await self._meant_records()
        if records:
            pinned = not all(record.pinned for record in records)
            await self.memory.pin(*(record.id for record in records), pinned=pinned)
            await self._done(f"{'pinned' if pinned else 'let go of'} {plural(len(records), 'memory', 'memories')}")

    def action_tag(self) -> None:
        self.act(self._tag)

    async def _tag(self) -> None:
        records = await self._meant_records()
        if not records:
            return
        known = ", ".join(sorted({tag for record in records for tag in record.tags}))
        typed = await self.app.push_screen_wait(TypeScreen("Tags to give; a - before one takes it away", note=known))
        if not typed:
            return
        words = typed.replace(",", " ").split()
        gone = [word[1:] for word in words if word.startswith("-") and word[1:]]
        given = [word for word in words if not word.startswith("-")]
        await self.memory.tag(*(record.id for record in records), add=given, remove=gone)
        await self._done(f"tagged {plural(len(records), 'memory', 'memories')}")

    def action_forget(self) -> None:
        self.act(self._forget)

    async def _forget(self) -> None:
        records = [record for record in await self._meant_records() if record.state == "live"]
        if not records:
            return
        made = await self.memory.descendants(*(record.id for record in records))
        made = [one for one in made if one.state == "live" and one.id not in {record.id for record in records}]
        count = plural(len(records), "memory", "memories")
        if len(records) > 1 or made:
            lines = [one_line(record.text, 100) for record in (*records[:_LISTED], *made[:_LISTED])]
            told = f"{plural(len(made), 'memory', 'memories')} made from it stay; they are in the list" if made else ""
            if not await self.app.push_screen_wait(Ask(f"Put {count} in the trash?", lines, note=told)):
                return
        await self.memory.forget(*(record.id for record in records))
        self._select_none()
        await self._done(f"{count} in the trash; z brings it back" if len(records) == 1 else f"{count} in the trash")

    def action_erase(self) -> None:
        self.act(self._erase)

    async def _erase(self) -> None:
        """Show all that would go with it, and erase when its number was typed."""
        records = await self._meant_records()
        if not records:
            return
        ids = [record.id for record in records]
        with self.memory.rehearse():
            going = await self.memory.forget(*ids, hard=True)
        lines = "\n".join(f"· {one_line(record.text, 80)}" for record in going[:_LISTED])
        more = f"\n· and {len(going) - _LISTED:,} more" if len(going) > _LISTED else ""
        title = f"Erase {plural(len(going), 'memory', 'memories')} for good? Nothing brings them back."
        note = f"Type {len(going)} and enter; escape leaves all as it is."
        typed = await self.app.push_screen_wait(TypeScreen(f"{title}\n\n{lines}{more}", note=note))
        if typed is None:
            return
        if typed.strip() != str(len(going)):
            self.notify("Nothing was erased.")
            return
        await self.memory.forget(*ids, hard=True)
        self._select_none()
        await self._done(f"erased {plural(len(going), 'memory', 'memories')}")

    def action_merge(self) -> None:
        self.act(self._merge)

    async def _merge(self) -> None:
        records = [record for record in await self._meant_records() if record.state == "live"]
        if len(records) < 2:
            self.notify("Select two memories or more: v, V.")
            return
        merged = await self.app.push_screen_wait(MergeScreen(self.memory, records))
        if merged is not None:
            self._select_none()
            await self._done(f"merged {plural(len(records), 'memory', 'memories')}")
            self.table.go_to(merged.position)

    def action_split(self) -> None:
        self.act(self._split)

    async def _split(self) -> None:
        record = self.table.cursor_record
        if record is None or record.state != "live":
            return
        made = await self.app.push_screen_wait(SplitScreen(self.memory, record))
        if made:
            await self.follow()
            self.table.go_to(made[0].position)

    def action_export(self) -> None:
        self.act(self._export)

    async def _export(self) -> None:
        records = await self._meant_records()
        if not records:
            return
        title = f"Write {plural(len(records), 'memory', 'memories')} to a file; .md to be read, .jsonl to be taken in"
        typed = await self.app.push_screen_wait(TypeScreen(title, value="memories.jsonl"))
        if not typed or not typed.strip():
            return
        try:
            path = Path(typed.strip()).expanduser()
            there = path.exists()
        except (RuntimeError, ValueError, OSError) as error:  # no such home; a NUL, or too long a name
            raise InvalidInput(f"{typed.strip()!r:.80} cannot be a file: {error}") from error
        if there and not await self.app.push_screen_wait(Ask(f"{path} is there already. Overwrite it?")):
            return
        count = await self.memory.export(path, only=[record.id for record in records])
        self.notify(f"wrote {plural(count, 'memory', 'memories')} to {path}", markup=False)

    def action_restore(self) -> None:
        self.act(self._restore)

    async def _restore(self) -> None:
        records = [record for record in await self._meant_records() if record.state == "forgotten"]
        if records:
            await self.memory.restore(*(record.id for record in records))
            self._select_none()
            await self._done(f"brought back {plural(len(records), 'memory', 'memories')}")

    def _select_none(self) -> None:
        with suppress(SkipAction):  # none was
            self.table.action_clear()

    async def _done(self, told: str) -> None:
        self.notify(told, timeout=4, markup=False)
        await self.follow()
