"""The columns of a list of records, the first ones those that stay when there is little room."""

from __future__ import annotations

from typing import Final

from agentmem.records import Record
from agentmem.values import now
from agentmem_apps.cli.output import local_time, one_line
from agentmem_tui.widgets.columns import Column

__all__ = ["COLUMNS"]


def _when(record: Record) -> str:
    told = local_time(record.at)
    return told[5:] if record.at.year == now().year else told[:10]


COLUMNS: Final = (
    Column("text", "text", None, lambda record: record.text, "text"),
    Column("happened", "happened", 11, _when, "happened"),
    Column("kind", "kind", 8, lambda record: one_line(record.kind), "kind"),
    Column("speaker", "by", 10, lambda record: one_line(record.speaker or ""), "speaker"),
    Column("strength", "strength", 8, lambda record: f"{record.strength:.2f}", "strength"),
)
