"""Every step that was taken, newest first, whoever took it; and the way back to before any of them."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.records import Change
from agentmem_apps.cli.output import local_time, one_line, plural
from agentmem_apps.cli.wording import describe, why
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.stepping import Ask, told

__all__ = ["JournalScreen"]

_PAGE: Final = 500  # changes that are read at once


class JournalScreen(Acting[None]):
    """Steps of one scope; enter takes back all that came after the one pointed at, and that one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["back"], shown=["back"]),
        Binding("enter", "jump", "Back to before this", id="jump", priority=True),
        Binding("f", "whose", "Whose", id="whose"),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self._steps: list[list[Change]] = []
        self._listed: list[list[Change]] = []
        self._whose = ""  # "" for all
        self._before: int | None = None  # older ones are read from here; 0 when there are none

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        with Horizontal(classes="panes"):
            yield OptionList(classes="steps")
            with VerticalScroll(classes="step"):
                yield Static(classes="step-text")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        await self.follow()
        self.query_one(OptionList).focus()

    async def follow(self) -> None:
        """The newest steps, and as many of the older ones as were read."""
        wanted = max(sum(map(len, self._steps)), _PAGE)
        changes = await self.memory.log(wanted)
        self._before = changes[-1].seq if len(changes) == wanted else 0
        self._steps = _steps(changes)
        self._show()

    async def _more(self) -> None:
        if not self._before:
            return
        changes = await self.memory.log(_PAGE, before=self._before)
        self._before = changes[-1].seq if len(changes) == _PAGE else 0
        flat = [change for step in self._steps for change in step]
        self._steps = _steps([*flat, *changes])
        self._show()

    def _show(self) -> None:
        self._listed = [step for step in self._steps if not self._whose or step[-1].actor == self._whose]
        head = Text("journal ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        head.append(f" ▸ of {one_line(self._whose, 30)}" if self._whose else "")
        self.query_one(".top", Static).update(head)
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        gone = {one.undoes for step in self._steps for one in step if one.undoes is not None}
        for step in self._listed:
            first = step[-1]
            line = Text("↶ " if first.step in gone else "  ", style="dim")
            line.append(told(first, len({change.record_id for change in step})))
            listed.add_option(Option(line))
        if self._listed:
            listed.highlighted = min(at, len(self._listed) - 1)

    @on(OptionList.OptionHighlighted)
    def _point(self, event: OptionList.OptionHighlighted) -> None:
        step = self._listed[event.option_index]
        text = Text()
        text.append(f"step {step[-1].step} · {local_time(step[-1].at)}\n", style="dim")
        if reason := why(step[-1]):
            text.append(f"{reason}\n", style="italic")
        for change in reversed(step[-200:]):
            text.append(f"\n{one_line(change.verb)} {one_line(change.record_id)[-8:]}\n", style="dim")
            text.append(f"{describe(change)}\n")
        self.query_one(".step-text", Static).update(text)
        if event.option_index >= len(self._listed) - 5:
            self.act(self._more, "reading", alone=True)

    def action_whose(self) -> None:
        """Everybody's, then each one's in turn."""
        whose = ["", *sorted({step[-1].actor for step in self._steps})]
        self._whose = whose[(whose.index(self._whose) + 1) % len(whose)] if self._whose in whose else ""
        self._show()

    def action_jump(self) -> None:
        self.act(self._jump, alone=True)

    async def _jump(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is None or not self._listed:
            return
        chosen = self._listed[at][-1].step
        gone = {one.undoes for step in self._steps for one in step if one.undoes is not None}
        going = [
            step[-1]
            for step in self._steps
            if step[-1].step >= chosen and step[-1].undoes is None and step[-1].step not in gone
        ]
        if not going:
            self.notify("All of that is taken back already.")
            return
        head = await self.memory.head()
        changes = await self.memory.undo(since=chosen, dry_run=True)
        lines = [told(first, 1) if first.step != chosen else f"{told(first, 1)} (this one)" for first in going[:50]]
        count = plural(len({change.record_id for change in changes}), "memory", "memories")
        if await self.app.push_screen_wait(
            Ask(f"Take back {plural(len(going), 'step')}?", lines, note=f"{count} will be as before; z takes that back")
        ):
            if await self.memory.head() != head:
                self.notify("Something was written meanwhile; look again.", severity="warning")
            else:
                await self.memory.undo(since=chosen)
            await self.follow()

    def action_back(self) -> None:
        self.app.pop_screen()


def _steps(changes: list[Change]) -> list[list[Change]]:
    """Changes, newest first, gathered by step; what of the last one was not read is left out of it."""
    found: dict[int, list[Change]] = {}
    for change in changes:
        found.setdefault(change.step, []).append(change)
    return list(found.values())
