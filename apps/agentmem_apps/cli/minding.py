"""The commands of the cognitive stores: what they hold, their idle-time work, and what is held in mind.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from agentmem_apps.cli.arguments import found
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit_json, emit_table, plural, short_id

if TYPE_CHECKING:
    from agentmem.store import Held

__all__ = ["consolidate", "stores", "working"]

_WIDTH = 60  # of a value in the listing of all stores


@click.command(cls=Command, examples=("agentmem stores", "agentmem stores thoughts --json"))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@pass_invocation
def stores(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Show the cognitive stores, and what they hold.

    They are derived from the memories, and reindex NAME derives one anew.
    """
    with invocation.open() as memory:
        shown = {name: dict(memory.stores[name].inspect()) for name in names or memory.stores}
    if invocation.json:
        emit_json({"stores": shown})
        return
    rows = []
    for name, held in shown.items():
        for at, (what, value) in enumerate(held.items()):
            rows.append((name if not at else "", what, _said(value, 0 if names else _WIDTH)))
    emit_table(("store", "what", "holds"), rows)


def _said(value: Any, width: int) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if not width or len(said) <= width else said[: width - 1] + "…"


@click.command(cls=Command, examples=("agentmem consolidate", "agentmem consolidate thoughts"))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@pass_invocation
def consolidate(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Let the stores do their idle-time work, all or those named.

    Thoughts are drawn from what was said, contradictions settled, chunks summed up. What is written has its sources,
    and undo takes it back.
    """
    with invocation.open() as memory:
        invocation.embed_waiting(memory)
        reports = memory.consolidate(*names)
    if invocation.json:
        emit_json({"reports": {name: {"summary": r.summary, "counts": dict(r.counts)} for name, r in reports.items()}})
    else:
        emit_table(("store", "what was done"), [(name, report.summary) for name, report in reports.items()])


@click.command(
    cls=Command,
    examples=(
        "agentmem working",
        "agentmem working --first 51d0be77",
        "agentmem working --evict 8c02f1aa --dry-run",
    ),
)
@click.option("--evict", multiple=True, metavar="ID", help="Take it out of mind; it stays in the memory.")
@click.option("--first", multiple=True, metavar="ID", help="Show it first; repeat for the ones after.")
@dry_run_option
@pass_invocation
def working(invocation: Invocation, evict: tuple[str, ...], first: tuple[str, ...], dry_run: bool) -> None:
    """Show what is held in mind right now, or rearrange it.

    Pin a memory (agentmem pin ID) to keep it there.
    """
    with invocation.writing(dry_run) as memory:
        if evict or first:
            mind: Any = memory.stores["working"]
            if evict:
                mind.evict(*(record.id for record in found(memory, evict)))
            if first:
                mind.arrange([record.id for record in found(memory, first)])
        held = memory.working()
    if invocation.json:
        emit_json({"working": [_to_json(one) for one in held]})
        return
    if not held:
        invocation.say("nothing is held in mind")
        return
    rows = []
    for at, one in enumerate(held, start=1):
        ids = " ".join(short_id(record.id) for record in one.records)
        mark = "* " if one.pinned else ""
        rows.append((str(at), f"{one.strength:.2f}", str(one.age), ids, mark + " / ".join(r.text for r in one.records)))
    emit_table(("#", "strength", "age", "id", "text"), rows, notes=[one.why for one in held])
    if not invocation.quiet:
        invocation.say(f"{plural(len(held), 'slot')}, {plural(sum(one.tokens for one in held), 'token')}")


def _to_json(held: Held) -> dict[str, Any]:
    return {
        "records": [record.to_json(full=True) for record in held.records],
        "tokens": held.tokens,
        "age": held.age,
        "strength": held.strength,
        "pinned": held.pinned,
        "why": held.why,
    }
