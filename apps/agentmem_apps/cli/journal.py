"""The commands that look back: history, log, undo, redo.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from agentmem.errors import RecordNotFound
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit, emit_json, emit_table, local_time, one_line, plural, short_id
from agentmem_apps.cli.wording import describe, summary, why

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.records import Change

__all__ = ["history", "log", "redo", "undo"]

_ALL = 2**31 - 1  # changes of a step: as many as it has
_SHOWN = 5  # memories of one step that are listed by name after an undo; an import may hold thousands


@click.command(cls=Command, examples=("agentmem history 8c02f1aa", "agentmem history 8c02f1aa --json"))
@click.argument("id")
@pass_invocation
def history(invocation: Invocation, id: str) -> None:
    """Show every version of a memory, word by word.

    Each comes with when, by whom and why. For a memory that an undo or an erasure removed, give its whole id.
    """
    with invocation.open() as memory:
        changes = memory.history(_whole_id(memory, id))
    if invocation.json:
        emit_json({"changes": [change.to_json(full=True) for change in changes]})
        return
    for change in changes:
        told = f"  ({why(change)})" if why(change) else ""
        undoes = f" of step {change.undoes}" if change.undoes is not None else ""
        emit(f"{change.seq:>6}  {local_time(change.at)}  {one_line(change.actor)}  {change.verb}{undoes}{told}")
        for line in describe(change).splitlines():
            emit(f"        {line}")


def _whole_id(memory: Memory, ending: str) -> str:
    try:
        return memory.find(ending).id
    except RecordNotFound:
        if len(ending) < 36:  # a UUID has 36 characters; a shorter text was meant as an ending
            raise
        return ending


@click.command(cls=Command, examples=("agentmem log -n 5", "agentmem log --json | head"))
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many steps.")
@pass_invocation
def log(invocation: Invocation, count: int) -> None:
    """List what was done, newest first.

    Each line is one step: what one undo takes back.
    """
    with invocation.open() as memory:
        listed = _newest_steps(memory, count)
    if invocation.json:
        emit_json({"steps": [_step_json(step) for step in listed]})
        return
    rows = [
        [
            str(step[0].step),
            local_time(step[0].at),
            step[0].actor,
            step[0].verb + (f" of {step[0].undoes}" if step[0].undoes is not None else ""),
            summary(step) + (f"  ({why(step[0])})" if why(step[0]) else ""),
        ]
        for step in listed
    ]
    emit_table(("step", "when", "who", "what", "to"), rows)
    if not rows:
        invocation.say("nothing was done yet")


def _newest_steps(memory: Memory, count: int) -> list[list[Change]]:
    """The newest `count` steps, each whole, by `seq`.

    Two processes may write at once, so a step's changes need not stand together; an import's thousands mostly do, and
    each run of them is passed over in one go.
    """
    found: dict[int, list[Change]] = {}
    before: int | None = None
    while newest := memory.log(1, before=before):
        step, before = newest[0].step, newest[0].seq
        if step not in found:
            if len(found) == count:
                break
            found[step] = memory.log(_ALL, step=step)[::-1]
        seqs = {change.seq for change in found[step]}
        while before - 1 in seqs:
            before -= 1
    return list(found.values())


def _step_json(step: Sequence[Change]) -> dict[str, object]:
    first = step[0]
    return {
        "step": first.step,
        "at": first.at.isoformat(),
        "actor": first.actor,
        "verb": first.verb,
        "cause": first.cause,
        "undoes": first.undoes,
        "count": len({change.record_id for change in step}),
    }


@click.command(cls=Command, examples=("agentmem undo", "agentmem undo --step 12 --dry-run", "agentmem undo --since 12"))
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@click.option("--step", type=click.IntRange(min=1), metavar="SEQ", help="Take back this step of the log instead.")
@click.option(
    "--since", type=click.IntRange(min=1), metavar="SEQ", help="Take back this step of the log and all that came after."
)
@click.option("--force", multiple=True, metavar="ID", help="Set this memory back although it was changed since.")
@dry_run_option
@pass_invocation
def undo(
    invocation: Invocation, count: int, step: int | None, since: int | None, force: tuple[str, ...], dry_run: bool
) -> None:
    """Take back the last steps, and say what that changed.

    A step that a later change built upon is refused whole; --force sets single memories back all the same.
    """
    if sum((step is not None, since is not None, count != 1)) > 1:
        raise click.UsageError("give one of a number of steps, --step and --since")
    with invocation.writing(dry_run) as memory:
        forced = tuple(_whole_id(memory, id) for id in force)
        changes = memory.undo(count, step=step, since=since, force=forced)
    _tell(invocation, changes, "undid", "there is nothing to undo")


@click.command(cls=Command, examples=("agentmem redo", "agentmem redo 3 --dry-run"))
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@dry_run_option
@pass_invocation
def redo(invocation: Invocation, count: int, dry_run: bool) -> None:
    """Do again what undo took back last."""
    with invocation.writing(dry_run) as memory:
        changes = memory.redo(count)
    _tell(invocation, changes, "redid", "there is nothing to redo")


def _by_undone(changes: Sequence[Change]) -> list[list[Change]]:
    """Grouped by the step that was taken back: undoing several at once is itself one step."""
    grouped: dict[int | None, list[Change]] = {}
    for change in changes:
        grouped.setdefault(change.undoes, []).append(change)
    return list(grouped.values())


def _tell(invocation: Invocation, changes: Sequence[Change], done: str, nothing: str) -> None:
    if invocation.json:
        emit_json({"changes": [change.to_json(full=True) for change in changes]})
        return
    for step in _by_undone(changes):
        touched = len({change.record_id for change in step})
        emit(f"{done} step {step[0].undoes}: {plural(touched, 'memory', 'memories')}")
        for change in step[:_SHOWN]:
            emit(f"  {short_id(change.record_id)}  {one_line(describe(change))}")
        if len(step) > _SHOWN:
            emit(f"  … and {len(step) - _SHOWN:,} more")
    if not changes:
        invocation.say(nothing)
