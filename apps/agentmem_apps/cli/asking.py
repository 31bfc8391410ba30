"""The commands that ask single stores: what is true of somebody, what happened somewhere, what goes together.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from agentmem.errors import InvalidInput, RecordNotFound
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit_json, emit_table, local_time, short_id
from agentmem_apps.cli.wording import record_row

if TYPE_CHECKING:
    from agentmem.memory import Memory

__all__ = ["about", "at", "complete", "links"]


@click.command(
    cls=Command, examples=("agentmem about Ana", 'agentmem about Ana "lives in" --history', "agentmem about Ana --json")
)
@click.argument("head")
@click.argument("relation", required=False)
@click.option("--history", is_flag=True, help="What was true before, too; for one relation.")
@pass_invocation
def about(invocation: Invocation, head: str, relation: str | None, history: bool) -> None:
    """Show what is true of somebody or something now, and since when.

    Thoughts are drawn from what was said by agentmem consolidate. agentmem show ID has one with its sources.
    """
    if history and relation is None:
        raise click.UsageError("--history wants a relation; agentmem about HEAD lists them")
    with invocation.open() as memory:
        store: Any = memory.stores["thoughts"]
        thoughts = store.history(head, relation) if history else store.current(head, relation)
    if invocation.json:
        emit_json({"thoughts": [_to_json(one) for one in thoughts]})
        return
    if not thoughts:
        invocation.say(f"nothing is known of {head}; agentmem consolidate draws thoughts from what was said")
        return
    rows = []
    for one in thoughts:
        until = "" if one.until is None else local_time(one.until)
        denied = "not: " if one.negated else ""
        rows.append((short_id(one.record.id), local_time(one.since), until, one.relation, denied + one.tail))
    emit_table(("id", "since", "until", "relation", "what"), rows)


def _to_json(thought: Any) -> dict[str, Any]:
    return {
        "head": thought.head,
        "relation": thought.relation,
        "tails": list(thought.tails),
        "negated": thought.negated,
        "since": thought.since.isoformat(),
        "until": None if thought.until is None else thought.until.isoformat(),
        "superseded_by": thought.superseded_by,
        "record": thought.record.to_json(full=True),
    }


@click.command(
    cls=Command, examples=("agentmem at Lisbon", "agentmem at Lisbon -n 3 --json", "agentmem at Lisbon --near 2")
)
@click.argument("place")
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many, at most.")
@click.option("--near", type=click.IntRange(min=1), metavar="HOPS", help="The places so many steps away instead.")
@pass_invocation
def at(invocation: Invocation, place: str, count: int, near: int | None) -> None:
    """Show what happened at a place, or inside it, last.

    A place is named as its memories name it, or by the last part of its path. Steps lead into what it is inside, and
    to where somebody went next.
    """
    with invocation.open() as memory:
        if near is None:
            _here(invocation, memory, place, count)
        else:
            _near(invocation, memory, place, near, count)


def _here(invocation: Invocation, memory: Memory, place: str, count: int) -> None:
    store: Any = memory.stores["episodic"]
    records = store.at(place, last=count)
    if invocation.json:
        emit_json({"records": [record.to_json(full=True) for record in records]})
    elif records:
        emit_table(("id", "when", "kind", "speaker", "text"), [record_row(record) for record in records])
    else:
        invocation.say(f"nothing happened at {place}, as far as is known")


def _near(invocation: Invocation, memory: Memory, place: str, hops: int, count: int) -> None:
    store: Any = memory.stores["episodic"]
    found = store.near(place, within=hops, last=count)
    if invocation.json:
        told = [
            {"place": one.place, "hops": one.distance, "records": [r.to_json(full=True) for r in one.records]}
            for one in found
        ]
        emit_json({"places": told})
    elif found:
        rows = [(f"{one.distance:.0f}", one.place, one.records[-1].text if one.records else "") for one in found]
        emit_table(("hops", "place", "last"), rows)
    else:
        invocation.say(f"no place is known within {hops} of {place}")


@click.command(
    cls=Command,
    examples=('agentmem complete "moved the launch to"', 'agentmem complete "the lauch" --speaker Ana --on 2024-05-03'),
)
@click.argument("fragment")
@click.option("--speaker", metavar="NAME", help="Who said it.")
@click.option("--place", metavar="PLACE", help="Where, or inside which place.")
@click.option("--on", metavar="DAY", help="On which day, as 2024-05-03.")
@click.option("--fail-empty", is_flag=True, help="Exit with 5 when nothing is familiar.")
@pass_invocation
def complete(
    invocation: Invocation, fragment: str, speaker: str | None, place: str | None, on: str | None, fail_empty: bool
) -> None:
    """Show the memory that a fragment is part of.

    Some of its words, in any order and with a slip of the pen, are enough. Of memories that fit alike all are shown.
    """
    with invocation.open() as memory:
        found = memory.complete(fragment, speaker=speaker, place=place, on=on)
    records = [] if found is None else [found.record, *reversed(found.others)]
    if invocation.json:
        confidence = None if found is None else found.confidence
        emit_json({"confidence": confidence, "records": [record.to_json(full=True) for record in records]})
    elif found is None:
        invocation.say("nothing is familiar")
    else:
        emit_table(("id", "when", "speaker", "text"), [record_row(record) for record in records])
        alike = f"; {len(records)} fit alike" if found.others else ""
        invocation.say(f"confidence {found.confidence:.2f}{alike}")
    if fail_empty and found is None:
        raise click.exceptions.Exit(ExitCode.NOTHING_FOUND)


@click.command(cls=Command, examples=("agentmem links Ana", "agentmem links 8c02f1aa -n 5 --json"))
@click.argument("what", metavar="NAME|ID")
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many.")
@pass_invocation
def links(invocation: Invocation, what: str, count: int) -> None:
    """Show what goes together with a name or a memory, the strongest first, and why.

    A name goes with those that stand in one memory with it; a memory with those that name the same, or helped together.
    """
    with invocation.open() as memory:
        store: Any = memory.stores["links"]
        with suppress(RecordNotFound, InvalidInput):  # a name, then
            what = memory.find(what).id
        linked = store.neighbours(what, count)
    if invocation.json:
        told = [
            {
                "to": one.to if isinstance(one.to, str) else one.to.to_json(full=True),
                "weight": one.weight,
                "why": one.why,
            }
            for one in linked
        ]
        emit_json({"links": told})
        return
    rows = [
        (f"{one.weight:.2f}", "", one.why, one.to)
        if isinstance(one.to, str)
        else (f"{one.weight:.2f}", short_id(one.to.id), one.why, one.to.text)
        for one in linked
    ]
    emit_table(("weight", "id", "why", "what"), rows)
