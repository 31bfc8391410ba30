"""The versions of one memory: what each changed, word by word; any of them can be brought back as a new one."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.records import Change, Record
from agentmem_apps.cli.output import local_time, one_line
from agentmem_apps.cli.wording import describe, why
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.difference import shown, words_changed
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.stepping import Ask

__all__ = ["HistoryScreen"]


class HistoryScreen(Acting[None]):
    """The changes of one record, newest first, and what the one pointed at did."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["restore", "back"], shown=["restore", "back"])

    def __init__(self, memory: AsyncMemory, record: Record) -> None:
        super().__init__(memory)
        self._record_id = record.id
        self._changes: list[Change] = []
        self._versions: list[Record | None] = []  # after each change

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        with Horizontal(classes="panes"):
            yield OptionList(classes="versions")
            with VerticalScroll(classes="version"):
                yield Static(classes="version-text")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        await self.follow()
        self.query_one(OptionList).focus()

    async def follow(self) -> None:
        changes = await self.memory.history(self._record_id)
        if [change.seq for change in changes] == [change.seq for change in reversed(self._changes)]:
            return
        versions: list[Record | None] = []
        standing: Record | None = None
        for change in changes:
            standing = _after(change, standing)
            versions.append(standing)
        self._changes, self._versions = changes[::-1], versions[::-1]
        told = Text("history of ", style="dim")
        told.append(one_line(self._record_id), style="bold")
        self.query_one(".top", Static).update(told)
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        listed.add_options(
            Option(Text(f"{local_time(one.at)}  {one_line(one.verb, 9):<9} {one_line(one.actor, 16)}"))
            for one in self._changes
        )
        listed.highlighted = min(at, len(self._changes) - 1)

    @on(OptionList.OptionHighlighted)
    def _point(self, event: OptionList.OptionHighlighted) -> None:
        at = event.option_index
        change, now = self._changes[at], self._versions[at]
        before = self._versions[at + 1] if at + 1 < len(self._versions) else None
        text = Text()
        if reason := why(change):
            text.append(f"{reason}\n\n", style="italic")
        if now is not None and before is not None and now.text != before.text:
            text.append_text(shown(words_changed(before.text, now.text)))
        else:
            text.append(describe(change))
        self.query_one(".version-text", Static).update(text)

    def action_restore(self) -> None:
        self.act(self._restore)

    async def _restore(self) -> None:
        """Write the version that is pointed at anew, on top of what stands."""
        at = self.query_one(OptionList).highlighted
        version = None if at is None else self._versions[at]
        standing = await self.memory.get(self._record_id)
        if version is None or at is None:
            self.notify("There are no words of it to bring back.")
            return
        if standing.state == "forgotten":
            standing = (await self.memory.restore(self._record_id))[0]
        fields = {
            name: getattr(version, name)
            for name in (
                "text",
                "kind",
                "session",
                "at",
                "speaker",
                "role",
                "place",
                "tags",
                "meta",
                "strength",
                "pinned",
            )
            if getattr(version, name) != getattr(standing, name)
        }
        if not fields:
            self.notify("That is how it stands.")
            return
        when = local_time(self._changes[at].at)
        if await self.app.push_screen_wait(Ask(f"Bring back the version of {when}, as a new one?", sorted(fields))):
            await self.memory.edit(self._record_id, revision=standing.revision, **fields)
            await self.follow()

    def action_back(self) -> None:
        self.app.pop_screen()


def _after(change: Change, standing: Record | None) -> Record | None:
    """The record after a change; None when it was gone, or its words were erased."""
    if change.erased or change.after is None:
        return None
    if change.before is None or standing is None:
        return Record.from_json(change.after) if "text" in change.after else None
    return standing.patched(change.after)
