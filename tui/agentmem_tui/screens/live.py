"""The journal as it is written: each change a line, the newest at the bottom; and a hold on what others write.

Lines are kept in memory, so many and no more; what was before them is in the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static

from agentmem.aio import AsyncMemory
from agentmem.memory import Memory
from agentmem.records import Change, Record
from agentmem_apps.cli.wording import describe
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.screens.acting import Acting, stands
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.holding import Hold
from agentmem_tui.screens.stepping import Ask
from agentmem_tui.widgets.tail import Tail, TailLine

__all__ = ["MOST", "LiveScreen"]

MOST: Final = 5_000  # lines that are kept
_FIRST: Final = 500  # changes that are shown of those made before
_WORDS: Final = 300  # cells of a change's words that are kept
_ALL: Final = "all"
_WAITING: Final = "waiting"
_EMPTY: Final = "Nothing was written here yet. What is written is shown as it comes."


class _Line(NamedTuple):
    """A change, as far as it is shown."""

    seq: int
    time: str
    actor: str
    verb: str
    record_id: str
    words: str
    new: bool  # the record came into being by it

    def drawn(self, waiting: bool, width: int) -> Text:
        wide = width >= 90
        who, verb = (14, 9) if wide else (8, 7)
        text = Text(no_wrap=True)
        text.append(f"{self.time if wide else self.time[:5]} ", style="dim")
        text.append(f"{_padded(self.actor, who)} {_padded(self.verb, verb)} ", style="" if wide else "dim")
        text.append("◌ waits  " if waiting else "", style="bold")
        return text.append(one_line(self.words, max(width - text.cell_len, 1)))


class LiveScreen(Acting[None]):
    """Follows one scope. `hold` lets what others write wait for approval."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["open"], priority=True),
        *bindings(
            ["tail", "whose", "which", "hold", "approve", "forget", "back"],
            shown=["tail", "whose", "which", "hold", "approve", "forget"],
        ),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self.hold = Hold(memory)
        self._kept: deque[_Line] = deque(maxlen=MOST)
        self._seen: int | None = None  # the last change that was read
        self._below = 0  # lines that came since it stopped following
        self._waiting: set[str] = set()
        self._whose = _ALL
        self._which = _ALL
        self._reading = asyncio.Lock()  # one at a time, each from where the last one ended

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(classes="hold")
        yield Tail(empty=_EMPTY)
        yield Static(classes="told-below")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        self.query_one(Tail).focus()
        self._say()
        await self.follow()

    def on_unmount(self) -> None:
        if self.hold.on:
            self.hold.end()
            self.app.notify(f"The hold is off: {self._count()} for approval", severity="warning", timeout=8)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """In a task of its own: whoever looks for changes does not wait for it, and cannot break it off."""
        self.act(self._read, "tailing")

    async def _read(self) -> None:
        """Hold what is to be held, and show what is new."""
        async with self._reading:
            try:
                await self.hold.look()
            finally:
                new = await asyncio.to_thread(_lines, self.memory.sync, self._seen)
                self._waiting = await self.hold.waiting()
                if new:
                    self._seen = new[-1].seq
                    self._kept.extend(new)
                elif self._seen is None:
                    self._seen = 0
                if stands(self):
                    self._below += 0 if self.query_one(Tail).following else sum(map(self._admits, new))
                    self._show()

    def _show(self) -> None:
        listed = [TailLine(line.seq, partial(self._draw, line)) for line in self._kept if self._admits(line)]
        self.query_one(Tail).show(listed)
        self._say()

    def _draw(self, line: _Line, width: int) -> Text:
        return line.drawn(line.record_id in self._waiting, width)

    def _admits(self, line: _Line) -> bool:
        if self._whose not in (_ALL, line.actor):
            return False
        if self._which == _WAITING:
            return line.new and line.record_id in self._waiting
        return self._which in (_ALL, line.verb)

    def _say(self) -> None:
        tail = self.query_one(Tail)
        head = Text("live ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 30), style="bold")
        head.append("   who ", style="dim").append(f"[{one_line(self._whose, 20)}]", style="bold")
        head.append("  which ", style="dim").append(f"[{one_line(self._which, 20)}]", style="bold")
        self.query_one(".top", Static).update(head)
        below = Text("▼ following", style="dim")
        if not tail.following:
            below = Text(f"■ stopped: {self._below:,} new below; f follows again", style="bold")
        self.query_one(".told-below", Static).update(below)
        said = self.query_one(".hold", Static)
        said.update(self._held())
        said.display = self.hold.on or bool(self._waiting)
        said.set_class(self.hold.on, "-on")

    def _held(self) -> Text:
        if not self.hold.on:
            return Text(f"hold is off; {self._count()} for approval", style="dim")
        text = Text(f"● HOLD is on; {self._count()} for approval. ", style="bold")
        own = one_line(self.memory.actor, 20)
        return text.append(
            f"What others than {own} write is held from when it is seen, half a second after it is written.",
            style="not bold",
        )

    def _count(self) -> str:
        return f"{len(self._waiting):,} {'waits' if len(self._waiting) == 1 else 'wait'}"

    @on(Tail.Followed)
    def _followed(self) -> None:
        self._below = 0
        self._say()

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_tail(self) -> None:
        self.query_one(Tail).follow()

    def action_whose(self) -> None:
        self._whose = _after(self._whose, [_ALL, *sorted({line.actor for line in self._kept})])
        self._show()

    def action_which(self) -> None:
        self._which = _after(self._which, [_ALL, _WAITING, *sorted({line.verb for line in self._kept})])
        self._show()

    def action_open(self) -> None:
        self.act(self._open)

    async def _open(self) -> None:
        if (line := self._pointed_at()) is not None:
            self.app.push_screen(HistoryScreen(self.memory, await self.memory.get(line.record_id)))

    def action_hold(self) -> None:
        self.act(self._hold, alone=True)

    async def _hold(self) -> None:
        if self.hold.on:
            self.hold.end()
            self.notify(f"The hold is off: {self._count()} for approval", timeout=6)
        else:
            await self.hold.begin()
        self._say()
        await self.follow()

    def action_approve(self) -> None:
        self.act(self._approve)

    async def _approve(self) -> None:
        record = await self._meant("Let it into contexts?")
        if record is None:
            return
        if record.id not in self._waiting:
            self.notify("It does not wait for approval.")
            return
        await self.hold.approve(record.id)
        self.notify("approved", timeout=4)
        await self.follow()

    def action_forget(self) -> None:
        self.act(self._forget)

    async def _forget(self) -> None:
        record = await self._meant("Put it in the trash?")
        if record is None:
            return
        if record.state != "live":
            self.notify("It is not among what is remembered.")
            return
        await self.memory.forget(record.id)
        self.notify("1 memory in the trash; z brings it back", timeout=4)
        await self.follow()

    async def _meant(self, question: str) -> Record | None:
        """The record that is pointed at. While the lines move under the cursor it is shown first, lest it be another
        than was meant."""
        line = self._pointed_at()
        if line is None:
            return None
        record = await self.memory.get(line.record_id)
        if self.query_one(Tail).following:
            who = one_line(line.actor, 30)
            if not await self.app.push_screen_wait(Ask(question, [one_line(record.text, 200)], note=f"by {who}")):
                return None
        return record

    def _pointed_at(self) -> _Line | None:
        number = self.query_one(Tail).number
        return next((line for line in reversed(self._kept) if line.seq == number), None)

    def action_back(self) -> None:
        self.act(self._back)

    async def _back(self) -> None:
        note = f"{self._count()} for approval, and will go on waiting"
        if not self.hold.on or await self.app.push_screen_wait(Ask("Leave, and end the hold?", note=note)):
            self.app.pop_screen()


def _lines(memory: Memory, seen: int | None) -> list[_Line]:
    """The changes after the last one that was seen, the oldest first; at first, the newest."""
    ledger = memory.host.ledger
    most = _FIRST if seen is None else MOST
    changes = ledger.changes(after=seen or 0, newest_first=True, limit=most)[::-1]
    named = [change.record_id for change in changes if _text_in(change) is None]
    texts = {record.id: record.text for record in ledger.get(list(dict.fromkeys(named)))} if named else {}
    return [_line(change, texts.get(change.record_id, "")) for change in changes]


def _line(change: Change, text: str) -> _Line:
    own = _text_in(change)
    did = "" if own is not None else describe(change)
    words = own if own is not None else f"{did[:_WORDS]} · {text[:_WORDS]}" if text else did
    return _Line(
        change.seq,
        f"{change.at.astimezone():%H:%M:%S}",
        one_line(change.actor, 30),
        one_line(change.verb, 20),
        change.record_id,
        one_line(words[: 4 * _WORDS], _WORDS),
        change.before is None and change.after is not None,
    )


def _text_in(change: Change) -> str | None:
    """The words that a change wrote; None where it wrote none."""
    found = (change.after or {}).get("text")
    return found if isinstance(found, str) else None


def _padded(text: str, width: int) -> str:
    cut = one_line(text, width)
    return cut + " " * (width - cell_len(cut))


def _after(now: str, known: list[str]) -> str:
    """The next of them, and after the last the first."""
    return known[(known.index(now) + 1) % len(known)] if now in known else known[0]
