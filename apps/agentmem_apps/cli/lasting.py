"""The commands about what lasts: what fades, what is due to be looked at again, what was said more than once.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from typing import Any

import click

from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit_json, emit_table, local_time, plural, short_id
from agentmem_apps.cli.wording import record_row

__all__ = ["due", "fade", "repeats"]

_POLICIES = ("need", "recency", "fifo", "importance", "uniform")  # as dynamics.POLICIES: to load it costs numpy
_KINDS = ("exact", "near", "semantic")


@click.command(
    cls=Command,
    examples=(
        "agentmem fade --dry-run --within 30",
        "agentmem fade",
        "agentmem fade --keep 0.9 --policy recency --dry-run",
    ),
)
@click.option("--keep", type=click.FloatRange(0, 1), metavar="SHARE", help="Keep this share of the memories instead.")
@click.option(
    "--policy", type=click.Choice(_POLICIES), default="need", show_default=True, help="Which stay, with --keep."
)
@click.option(
    "--below", type=click.FloatRange(min=0), metavar="STRENGTH", help="The strength in time it fades at (0.05)."
)
@click.option(
    "--within", type=click.FloatRange(0, 100_000), default=0, metavar="DAYS", help="Show what fades by then, too."
)
@dry_run_option
@pass_invocation
def fade(
    invocation: Invocation, keep: float | None, policy: str, below: float | None, within: float, dry_run: bool
) -> None:
    """Put into the trash what is not needed any more, or show what would fade, when, and why.

    Strength in time is a memory's strength times the need of it: the sum over its uses of 1 / √(1 + days since). A
    use is that it was told, told again, or found useful. What is pinned never fades, nothing fades of itself, and undo
    brings it all back.
    """
    given: dict[str, Any] = {} if below is None else {"below": below}
    if within and not dry_run:
        raise click.UsageError("--within shows what would fade: give --dry-run with it")
    with invocation.open() as memory:
        found = memory.fade(keep=keep, policy=policy, within=within, dry_run=dry_run, **given)
    if invocation.json:
        listed = [
            {
                "record": one.record.to_json(full=True),
                "strength": one.strength,
                "at": one.at.isoformat(),
                "why": one.why,
            }
            for one in found
        ]
        emit_json({"fading": listed})
        return
    rows = [
        (local_time(one.at), f"{one.strength:.3f}", short_id(one.record.id), one.why, one.record.text) for one in found
    ]
    emit_table(("fades", "strength", "id", "why", "text"), rows)
    if dry_run:
        invocation.say("dry run: nothing was written")
    told = plural(len(found), "memory", "memories")
    invocation.say(f"{told} would fade" if dry_run else f"{told} faded into the trash; agentmem undo brings them back")


@click.command(cls=Command, examples=("agentmem due", "agentmem due -n 30 --json"))
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many.")
@pass_invocation
def due(invocation: Invocation, count: int) -> None:
    """Show what is due to be looked at again, the least retained first.

    agentmem consolidate rehearsal looks: whether each is found by its own words, and how soon it is due again.
    """
    with invocation.open() as memory:
        waiting = memory.due(count)
    if invocation.json:
        listed = [
            {"record": one.record.to_json(full=True), "since": one.since.isoformat(), "retention": one.retention}
            for one in waiting
        ]
        emit_json({"due": listed})
        return
    if not waiting:
        invocation.say("nothing is due")
    rows = [(local_time(one.since), f"{one.retention:.2f}", *record_row(one.record)) for one in waiting]
    emit_table(("due since", "retained", "id", "when", "speaker", "text"), rows)


@click.command(cls=Command, examples=("agentmem repeats", "agentmem repeats -n 5 --json"))
@click.option("--kind", type=click.Choice(_KINDS), help="By this likeness alone; semantic is looked for when asked.")
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@pass_invocation
def repeats(invocation: Invocation, kind: Any, count: int) -> None:
    """Show what was said more than once, most often first.

    Nothing is dropped for it: a recall brings each saying once, and agentmem merge makes one memory of several.
    """
    with invocation.open() as memory:
        groups = memory.repeats(kind, count)
    if invocation.json:
        listed = [
            {
                "kind": one.kind,
                "count": one.count,
                "last": one.last.isoformat(),
                "records": [record.to_json(full=True) for record in one.records],
            }
            for one in groups
        ]
        emit_json({"repeats": listed})
        return
    if not groups:
        invocation.say("nothing was said more than once")
    rows = [
        (
            f"{one.count}×",
            one.kind,
            local_time(one.last),
            " ".join(short_id(r.id) for r in one.records),
            one.records[-1].text,
        )
        for one in groups
    ]
    emit_table(("said", "alike", "last", "ids", "text"), rows)
