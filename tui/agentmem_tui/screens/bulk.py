"""What is known of many memories, changed at once: a sheet of what will change first, and one step for all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError, Conflict
from agentmem.records import Record
from agentmem_apps.cli.output import one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.difference import shown, words_changed
from agentmem_tui.screens.acting import begin, tell
from agentmem_tui.screens.edit import as_field, fields_of

__all__ = ["BulkScreen"]

_LISTED: Final = 100  # changes that the sheet shows
_LEFT: Final = "left as it is"
_REPLACE: Final = ("find", "put")


class BulkScreen(ModalScreen[int | None]):
    """Gives how many were changed; None when it was left. A field left empty stays as it is, and `-` empties it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["save", "cancel"], shown=["save", "cancel"], priority=True)

    def __init__(self, memory: AsyncMemory, records: Sequence[Record]) -> None:
        super().__init__()
        self.memory = memory
        self._records = list(records)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog editing"):
            title = f"Edit {plural(len(self._records), 'memory', 'memories')} at once"
            yield Static(Text(title), classes="dialog-title")
            with Vertical(classes="fields"):
                for name in (*fields_of(None), *_REPLACE):
                    label = {"find": "in texts", "put": "becomes"}.get(name, name)
                    with Horizontal(classes="field"):
                        yield Static(Text(f"{label:<9}", style="dim"), classes="field-name")
                        yield Input(id=name, compact=True, placeholder="" if name in _REPLACE else _LEFT)
            yield Static(classes="sheet-title")
            with VerticalScroll(classes="dialog-body sheet-body"):
                yield Static(classes="sheet")
            yield Static(
                Text("An empty field stays as it is; - empties it. All of it is one step."), classes="dialog-note"
            )
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._show()

    @property
    def changes(self) -> list[tuple[Record, dict[str, Any]]]:
        """What will be different of whom."""
        typed = {name: self.query_one(f"#{name}", Input).value for name in (*fields_of(None), *_REPLACE)}
        found = []
        for record in self._records:
            is_now, fields = fields_of(record), dict[str, Any]()
            for name, was in is_now.items():
                value = typed[name].strip()
                if value and (wanted := "" if value == "-" else value) != was:
                    fields[name] = as_field(name, wanted)
            if typed["find"] and typed["find"] in record.text:
                fields["text"] = record.text.replace(typed["find"], typed["put"])
            if fields:
                found.append((record, fields))
        return found

    @on(Input.Changed)
    def _show(self) -> None:
        changes = self.changes
        counted = Counter(name for _, fields in changes for name in fields)
        told = ", ".join(f"{n:,} {name}" for name, n in counted.most_common())
        title = (
            f"{plural(len(changes), 'memory', 'memories')} will change: {told}" if changes else "Nothing will change."
        )
        self.query_one(".sheet-title", Static).update(Text(title, style="bold"))
        sheet = Text()
        for record, fields in changes[:_LISTED]:
            text = fields.get("text")
            if text is None:
                sheet.append(one_line(record.text, 60))
            else:
                sheet.append_text(shown(words_changed(one_line(record.text, 200), one_line(text, 200))))
            for name, value in fields.items():
                if name != "text":
                    was = fields_of(record)[name] or "(none)"
                    now = ", ".join(value) if isinstance(value, list) else value
                    sheet.append(
                        f"\n    {name}: {one_line(was, 40)} → {one_line(str(now or '(none)'), 40)}", style="dim"
                    )
            sheet.append("\n")
        if len(changes) > _LISTED:
            sheet.append(f"and {len(changes) - _LISTED:,} more")
        self.query_one(".sheet", Static).update(sheet)

    def action_save(self) -> None:
        begin(self, self._save, "saving", alone=True)

    async def _save(self) -> None:
        changes, kept, late = self.changes, 0, 0
        try:
            with self.memory.step(f"edited {plural(len(changes), 'memory', 'memories')} at once"):
                for record, fields in changes:
                    try:
                        await self.memory.edit(record.id, revision=record.revision, **fields)
                        kept += 1
                    except Conflict:  # somebody wrote it since: theirs stands, and is told
                        late += 1
        except AgentMemError as error:
            tell(self.app, error)
        if late:
            told = f"{plural(late, 'memory', 'memories')} changed meanwhile, and left as they are now"
            self.notify(told, severity="warning", timeout=12)
        if kept or not changes:
            self.dismiss(kept)

    def action_cancel(self) -> None:
        self.dismiss(None)
