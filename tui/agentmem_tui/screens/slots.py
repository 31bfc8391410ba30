"""Working memory as a model sees it: what is in mind, what the next call would hold, and what found no room in it.

Looking writes nothing. What is evicted, pinned or put in another order is a step like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple, TypeAlias, cast

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.errors import PluginError
from agentmem.memory import Memory
from agentmem.records import Record
from agentmem.store import Held, Working
from agentmem_apps.cli.output import plural
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.bars import budget_bar, budget_legend, score_bar
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.screens.acting import Acting, stands
from agentmem_tui.screens.history import HistoryScreen

if TYPE_CHECKING:
    from agentmem_apps.chat.upcoming import Upcoming

__all__ = ["SlotsScreen"]

Mode: TypeAlias = Literal["held now", "next call (dry)"]
_PAUSE_S: Final = 0.3  # in the typing, after which it is looked up
_NOT_THERE: Final = "No working memory is installed: nothing is held in mind."
_EMPTY: Final = "Nothing is held in mind yet: what is said fills the slots."
_ASK: Final = "Type a question: what would be packed for it, and what is left out, is shown here."


class _Row(NamedTuple):
    """A row of the list: of the records that it is about, the newest is opened. None: it only says something."""

    text: Text
    records: tuple[Record, ...] = ()


class SlotsScreen(Acting[None]):
    """The slots of one scope in their order; or, for a question, the memories that a prompt would quote."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["open"], shown=["open"], priority=True),
        *bindings(["mode", "evict", "pin", "earlier", "later", "back"], shown=["mode", "evict", "pin", "back"]),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self._mode: Mode = "held now"
        self._held: list[Held] | None = []  # None: no working memory is installed
        self._upcoming: Upcoming | None = None
        self._left_out: list[tuple[Record | None, str]] = []
        self._listed: list[_Row] = []
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(classes="budget")
        with Vertical():
            yield Input(placeholder="a question, as it would be asked", classes="find")
            yield OptionList(classes="slots")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        self.query_one(Input).display = False
        self.query_one(OptionList).focus()
        self._show()
        self.act(self.follow, "following", alone=True)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _question(self) -> str:
        return self.query_one(Input).value if self._mode != "held now" else ""

    async def follow(self) -> None:
        """What is in mind now, and what the next call would hold."""
        try:
            self._held = await self.memory.working()
        except PluginError:
            self._held = None
        await self._look()

    async def _look(self) -> None:
        looked = await asyncio.to_thread(_looked, self.memory.sync, self._question)
        if stands(self):
            self._upcoming, self._left_out = looked
            self._show()

    def _show(self) -> None:
        head = Text("slots ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 40), style="bold")
        head.append(f" ▸ {self._mode}")
        self.query_one(".top", Static).update(head)
        self._show_budget()
        listed = self.query_one(OptionList)
        before = self._pointed_at()
        self._listed = self._slots() if self._mode == "held now" else self._packed()
        listed.clear_options()
        listed.add_options(Option(row.text, disabled=not row.records) for row in self._listed)
        wanted = {record.id for record in before}
        again = [at for at, row in enumerate(self._listed) if wanted & {record.id for record in row.records}]
        first = [at for at, row in enumerate(self._listed) if row.records]
        listed.highlighted = next(iter(again or first), None)

    def _show_budget(self) -> None:
        told = self._upcoming
        if told is None:
            self.query_one(".budget", Static).update(Text("reading…", style="dim"))
            return
        width = max(self.size.width - 2, 1)
        total = sum(told.tokens.values())
        text = Text(f"the next call: about {total:,} of {told.budget:,} tokens\n", style="dim", no_wrap=True)
        text.append_text(budget_bar(told.tokens, told.budget, width)).append("\n")
        text.append_text(_in_columns(budget_legend(told.tokens, told.budget), width))
        self.query_one(".budget", Static).update(text)

    def on_resize(self) -> None:
        self._show()

    def _slots(self) -> list[_Row]:
        if not self._held:
            return [_Row(Text(_NOT_THERE if self._held is None else _EMPTY, style="dim"))]
        return [_Row(_drawn(at, slot, self.size.width - 6), slot.records) for at, slot in enumerate(self._held, 1)]

    def _packed(self) -> list[_Row]:
        told = self._upcoming
        if told is None or not self._question.strip():
            return [_Row(Text(_ASK, style="dim"))]
        width = self.size.width - 6
        recalled = told.shown.recalled
        what = plural(len(recalled.hits), "memory", "memories")
        rows = [_Row(Text(f"would be quoted: {what}, {recalled.tokens:,} of {recalled.budget:,} tokens", "bold"))]
        rows += [_Row(_quoted(hit.record, hit.verdict, width), (hit.record,)) for hit in recalled.hits]
        if turns := len(told.shown.recent):
            rows.append(_Row(Text(f"  the last {plural(turns, 'turn')} of the conversation stand in it as they are")))
        rows.append(_Row(Text(f"left out: {len(self._left_out):,}", "bold")))
        for record, reason in self._left_out:
            if record is None:
                rows.append(_Row(Text(f"  ! {one_line(reason, width - 4)}")))
            else:
                rows.append(_Row(_quoted(record, reason, width), (record,)))
        return rows

    def _pointed_at(self) -> tuple[Record, ...]:
        """The records of the row that is pointed at, the newest last."""
        at = self.query_one(OptionList).highlighted
        return () if at is None or at >= len(self._listed) else self._listed[at].records

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    def _typed(self) -> None:
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, partial(self.act, self._look, "following", alone=True))

    def action_mode(self) -> None:
        """Held now, or the next call."""
        self._mode = "next call (dry)" if self._mode == "held now" else "held now"
        line = self.query_one(Input)
        line.display = self._mode != "held now"
        (line if line.display else self.query_one(OptionList)).focus()
        self._show()
        self.act(self._look, "following", alone=True)

    def action_open(self) -> None:
        listed = self.query_one(OptionList)
        if self.focused is not listed:
            listed.focus()
        elif records := self._pointed_at():
            self.app.push_screen(HistoryScreen(self.memory, records[-1]))

    def action_evict(self) -> None:
        self.act(self._evict)

    async def _evict(self) -> None:
        if self._slot is None:
            return
        ids = [record.id for record in self._slot.records]
        await asyncio.to_thread(lambda: self._mind.evict(*ids))
        self.notify("taken out of mind; it stays in the memory, and z puts it back", timeout=4)
        await self.follow()

    def action_pin(self) -> None:
        self.act(self._pin)

    async def _pin(self) -> None:
        """Pin the newest of a slot, which keeps all of it; or let go of whatever is pinned there."""
        records = self._pointed_at()
        if not records:
            return
        pinned = [record.id for record in records if record.pinned]
        if pinned:
            await self.memory.pin(*pinned, pinned=False)
        else:
            await self.memory.pin(records[-1].id)
        self.notify("let go of" if pinned else "pinned", timeout=4)
        await self.follow()

    def action_earlier(self) -> None:
        self.act(partial(self._move, -1))

    def action_later(self) -> None:
        self.act(partial(self._move, 1))

    async def _move(self, by: int) -> None:
        """The slot that is pointed at and its neighbour change places: those up to them are put in front, in order."""
        at = None if self._slot is None else self.query_one(OptionList).highlighted
        if at is None or self._held is None or not 0 <= at + by < len(self._held):
            return
        order = [slot.records[-1].id for slot in self._held]
        order[at], order[at + by] = order[at + by], order[at]
        await asyncio.to_thread(lambda: self._mind.arrange(order[: max(at, at + by) + 1]))
        await self.follow()

    @property
    def _slot(self) -> Held | None:
        """The slot that is pointed at."""
        at = self.query_one(OptionList).highlighted
        return self._held[at] if self._mode == "held now" and self._held and at is not None else None

    @property
    def _mind(self) -> Working:
        return cast(Working, self.memory.sync.stores["working"])

    def action_back(self) -> None:
        listed = self.query_one(OptionList)
        if self.focused is not listed:
            listed.focus()
        else:
            self.app.pop_screen()


def _looked(memory: Memory, question: str) -> tuple[Upcoming, list[tuple[Record | None, str]]]:
    """What the next call would hold, and what is left out of it: which record, and why."""
    from agentmem_apps.chat.upcoming import upcoming  # with LangChain's messages: 0.2 s

    found = upcoming(memory, question)
    left = [(id, reason) if sign else ("", id) for id, sign, reason in _parted(found.shown.recalled.left_out)]
    known = {record.id: record for record in memory.host.ledger.get([id for id, _ in left])}
    return found, [(known.get(id), reason if id in known or not id else f"{id}: {reason}") for id, reason in left]


def _parted(lines: Sequence[str]) -> list[tuple[str, str, str]]:
    return [line.partition(": ") for line in lines]


def _drawn(at: int, slot: Held, width: int) -> Text:
    """A slot: how strong, how old, how long; why it is there; and its texts, the newest first."""
    text = Text(no_wrap=True)
    text.append(f"{at} {'★' if slot.pinned else ' '} ", style="bold")
    text.append_text(score_bar(slot.strength, 8)).append(f" {slot.strength:.2f}", style="bold")
    text.append(f"  {plural(slot.age, 'step')} old  {plural(slot.tokens, 'token')}", style="dim")
    why = one_line(slot.why, max(width - 4, 1))
    text.append("  " if text.cell_len + 2 + cell_len(why) <= width else "\n    ").append(why, style="dim")
    for record in reversed(slot.records):
        text.append(f"\n    {_said(record, width - 4)}")
    return text


def _quoted(record: Record, why: str, width: int) -> Text:
    text = Text(f"  {_said(record, width - 2)}", no_wrap=True)
    return text.append(f"\n      {one_line(why, width - 6)}", style="dim")


def _said(record: Record, width: int) -> str:
    who = f"{one_line(record.speaker, 20)}: " if record.speaker else ""
    return who + one_line(record.text, width - cell_len(who))


def _in_columns(legend: Text, width: int) -> Text:
    """The lines of a legend beside each other, as many as there is room for."""
    lines = legend.split("\n")
    wide = max(line.cell_len for line in lines) + 3
    beside = max(width // wide, 1)
    text = Text(no_wrap=True)
    for at, line in enumerate(lines):
        text.append("" if not at else "\n" if at % beside == 0 else "")
        text.append_text(line).append(" " * (wide - line.cell_len))
    return text
