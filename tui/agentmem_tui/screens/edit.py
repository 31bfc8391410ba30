"""A memory being written: its text and what is known of it, and beside it what says nearly the same.

Nothing is lost: who leaves is asked when something was changed, and what somebody else wrote meanwhile is put beside
what was written here, field by field (`ConflictScreen`).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Footer, Input, Static, TextArea

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError, Conflict, InvalidInput
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Record
from agentmem_apps.cli.output import one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import begin, stands, tell
from agentmem_tui.screens.conflict import ConflictScreen
from agentmem_tui.screens.stepping import Ask

__all__ = ["EditScreen", "as_field", "fields_of"]

_FIELDS: Final = ("kind", "speaker", "place", "session", "tags")
_PAUSE_S: Final = 0.4  # in the typing, after which it is looked for what says the same
_ALIKE: Final = 3


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the fields said when they were filled."""

    text: str
    values: dict[str, str]


def fields_of(record: Record | None) -> dict[str, str]:
    """What can be written beside the text, as it is typed."""
    if record is None:
        return {"kind": "note", "speaker": "", "place": "", "session": "", "tags": ""}
    return {
        "kind": record.kind,
        "speaker": record.speaker or "",
        "place": "" if record.place is None else record.place.id,
        "session": record.session or "",
        "tags": ", ".join(record.tags),
    }


class EditScreen(ModalScreen[Record | None]):
    """Gives the record as it was kept; None when it was left as it was. `record` None is a new one."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        ["save", "editor", "cancel"], shown=["save", "editor", "cancel"], priority=True
    )

    def __init__(self, memory: AsyncMemory, record: Record | None) -> None:
        super().__init__()
        self.memory = memory
        self._base = record
        self._shown = _Shown("" if record is None else record.text, fields_of(record))
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog editing"):
            title = "A new memory" if self._base is None else f"Edit {one_line(self._base.id)[-8:]}"
            yield Static(Text(title), classes="dialog-title")
            yield TextArea(self._shown.text, soft_wrap=True, show_line_numbers=False)
            with Vertical(classes="fields"):
                for name in _FIELDS:
                    with Horizontal(classes="field"):
                        yield Static(Text(f"{name:<9}", style="dim"), classes="field-name")
                        yield Input(self._shown.values[name], id=name, compact=True)
            yield Static(classes="changed")
            yield Static(classes="alike")
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()
        self._count()
        if self._base is not None:
            self.set_interval(0.5, self._look)

    # ── beside the typing ────────────────────────────────────────────────────────────────────────────────────────

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._count()
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, lambda: begin(self, self._alike, "alike", alone=True))

    def _count(self, alike: str = "") -> None:
        text = self.query_one(TextArea).text
        told = Text(f"{plural(len(text.split()), 'word')}, about {estimate_tokens(text):,} tokens", style="dim")
        if alike:
            told.append(f"\n{alike}")
        self.query_one(".alike", Static).update(told)

    async def _alike(self) -> None:
        """Tell what says nearly the same already."""
        text = self.query_one(TextArea).text.strip()
        if not text:
            return
        try:
            hits = await self.memory.recall(text[:2_000], _ALIKE + 1)
        except AgentMemError:  # told where it matters
            return
        own = None if self._base is None else self._base.id
        near = [hit.record for hit in hits if hit.record.id != own][:_ALIKE]
        self._count("\n".join(f"near it: {one_line(record.text, 90)}" for record in near))

    def _look(self) -> None:
        begin(self, self._looked, "looking", alone=True)

    async def _looked(self) -> None:
        """Say quietly that somebody changed it meanwhile."""
        assert self._base is not None
        try:
            standing = await self.memory.get(self._base.id)
        except AgentMemError as error:
            told = f"! {error}"
        else:
            if standing.revision == self._base.revision:
                return
            by = (await self.memory.history(standing.id))[-1].actor
            told = f"! changed meanwhile by {one_line(by, 30)}; saving shows both"
        if stands(self):  # it was not left meanwhile
            self.query_one(".changed", Static).update(Text(told))

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _written(self) -> dict[str, Any]:
        """The fields that were changed, as `Memory.edit` takes them."""
        found: dict[str, Any] = {}
        text = self.query_one(TextArea).text
        if text != self._shown.text:
            found["text"] = text
        for name, was in self._shown.values.items():
            value = self.query_one(f"#{name}", Input).value.strip()
            if value != was:
                found[name] = as_field(name, value)
        return found

    def action_save(self) -> None:
        begin(self, self._save, "saving", alone=True)

    async def _save(self) -> None:
        try:
            kept = await self._kept(self._written())
        except AgentMemError as error:
            tell(self.app, error)
            return
        if kept is not None:
            self.dismiss(kept)

    async def _kept(self, written: dict[str, Any]) -> Record | None:
        if self._base is None:
            if not str(written.get("text", "")).strip():
                raise InvalidInput("there is nothing to remember yet", way_out="Write a text first.")
            values = {name: self.query_one(f"#{name}", Input).value.strip() for name in _FIELDS}
            given = {name: as_field(name, value) for name, value in values.items() if value}
            return await self.memory.add(written["text"], **given)
        if not written:
            return self._base
        base = self._base
        while True:
            try:
                return await self.memory.edit(base.id, revision=base.revision, **written)
            except Conflict:
                theirs = await self.memory.get(base.id)
                settled = await self.app.push_screen_wait(ConflictScreen(self._base, theirs, written))
                if settled is None:
                    return None
                base, written = theirs, settled
                if not written:  # theirs, as it stands
                    return theirs

    def action_cancel(self) -> None:
        begin(self, self._leave, "saving", alone=True)

    async def _leave(self) -> None:
        if not self._written() or await self.app.push_screen_wait(Ask("Leave without keeping what was written?")):
            self.dismiss(None)

    def action_editor(self) -> None:
        """Write in the user's own editor, in a file that only they can read."""
        area = self.query_one(TextArea)
        command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory(prefix="agentmem-") as folder:
            file = Path(folder) / "memory.md"
            file.write_text(area.text, encoding="utf-8")
            try:
                with self.app.suspend():
                    status = subprocess.call([*shlex.split(command), str(file)])
                text = file.read_text(encoding="utf-8")
            except SuspendNotSupported:
                self.notify("There is no room for another program here.", severity="warning")
                return
            except (OSError, ValueError) as error:  # no such program; not UTF-8 any more
                self.notify(f"{command}: {error}", title="The editor", severity="error", markup=False)
                return
        if status:
            self.notify(f"{command} ended with {status}; the text is as it was", severity="warning", markup=False)
            return
        # Editors end a file with a line break; a text without one keeps being one.
        area.text = text if area.text.endswith("\n") else text.removesuffix("\n")
        self.refresh()


def as_field(name: str, value: str) -> Any:
    """What is typed for a field, as `Memory.edit` takes it."""
    if name == "tags":
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return value or (None if name != "kind" else "note")
