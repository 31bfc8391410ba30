"""One record, whole: its text, what is known of it, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from agentmem.records import Record
from agentmem_apps.cli.output import clean, local_time, one_line, plural, short_id

__all__ = ["RecordView"]


class RecordView(VerticalScroll):
    """Shows a record, or that there is none."""

    def compose(self) -> ComposeResult:
        yield Static(classes="record-text")
        yield Static(classes="record-fields")

    def show(self, record: Record | None) -> None:
        text, fields = self.query_one(".record-text", Static), self.query_one(".record-fields", Static)
        if record is None:
            text.update("")
            fields.update("")
            return
        text.update(Text(clean(record.text)))
        told = Text()
        for name, value in _fields(record):
            told.append(f"{name:<10}" if name != "id" else "id ", style="dim")
            told.append(f"{value}\n")
        fields.update(told)
        self.scroll_home(animate=False)


def _fields(record: Record) -> Iterator[tuple[str, str]]:
    marks = [*(["★ pinned"] if record.pinned else []), *([record.state] if record.state != "live" else [])]
    yield "kind", " · ".join([one_line(record.kind), *marks])
    if record.speaker:
        role = f" ({one_line(record.role)})" if record.role else ""
        yield "by", one_line(record.speaker) + role
    if record.place is not None:
        yield "at", one_line(record.place.id) or ", ".join(f"{one:g}" for one in record.place.coordinates or ())
    yield "happened", local_time(record.at)
    if record.session:
        yield "session", one_line(record.session)
    if record.tags:
        yield "tags", ", ".join(one_line(tag) for tag in record.tags)
    yield "strength", f"{record.strength:.2f}"
    if record.sources:
        named = [one_line(short_id(one.record) if one.record else one.file or "") for one in record.sources]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        yield "made from", ", ".join(named[:3]) + more
    for name, value in record.meta.items():
        yield one_line(name, 9), one_line(str(value), 200)
    changed = f" · {plural(record.revision - 1, 'change')}" if record.revision > 1 else ""
    yield "stored", f"{local_time(record.stored_at)}{changed}"
    yield "id", one_line(record.id)
