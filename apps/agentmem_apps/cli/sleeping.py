"""The commands of work that is done beside: sleep, the jobs that wait for it, and what waits for a person.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from agentmem_apps.cli.arguments import found
from agentmem_apps.cli.command import Command, Group, dry_run_option
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit, emit_json, emit_table, plural, short_id

if TYPE_CHECKING:
    from agentmem.jobs import Job
    from agentmem.memory import Memory
    from agentmem.store import Foreseen
    from agentmem.worker import Worked

__all__ = ["jobs", "review", "sleep"]


@click.command(cls=Command, examples=("agentmem sleep --dry-run", "agentmem sleep"))
@dry_run_option
@pass_invocation
def sleep(invocation: Invocation, dry_run: bool) -> None:
    """Let all stores do their idle-time work, and do the jobs that are due.

    What was said is thought about and summed up, by a language model where one is set, else by rules. With --dry-run
    nothing is done: it lists what would be, and what the models would be asked and cost at most, as estimated.
    """
    with invocation.open() as memory:
        if dry_run:
            _foretell(invocation, memory)
            return
        from agentmem.worker import Worker

        invocation.embed_waiting(memory)
        reports = memory.consolidate()
        worked = Worker(memory).run()
    if invocation.json:
        told = {name: {"summary": r.summary, "counts": dict(r.counts)} for name, r in reports.items()}
        emit_json({"reports": told, "jobs": [_worked(one) for one in worked]})
    else:
        emit_table(("store", "what was done"), [(name, report.summary) for name, report in reports.items()])
        if worked:
            emit_table(("job", "kind", "what came of it"), [_row_of(one) for one in worked])
    _exit(worked)


def _foretell(invocation: Invocation, memory: Memory) -> None:
    from agentmem.models.calls import money

    foreseen = memory.foresee()
    waiting = memory.jobs.listed("waiting")
    invocation.say("dry run: nothing was written")
    invocation.say("no model was asked")
    if invocation.json:
        told = {name: _foreseen(one) for name, one in foreseen.items()}
        emit_json({"foreseen": told, "jobs": [_to_json(job) for job in waiting]})
        return
    rows = []
    for name, one in foreseen.items():
        tokens = sum(call.tokens for call in one.calls)
        cost = money(sum(call.picos for call in one.calls))
        asked = f"{len(one.calls)}" if one.calls else "-"
        rows.append(
            (name, one.report.summary, asked, f"{tokens:,}" if tokens else "-", f"{cost:.4f}" if one.calls else "-")
        )
    emit_table(("store", "what would be done", "questions", "tokens at most", "cost at most"), rows)
    if waiting:
        emit_table(("job", "kind", "due", "error"), [_listed(job) for job in waiting])


def _foreseen(one: Foreseen) -> Mapping[str, Any]:
    from agentmem.models.calls import money

    return {
        "summary": one.report.summary,
        "counts": dict(one.report.counts),
        "calls": len(one.calls),
        "tokens_in": sum(call.tokens_in for call in one.calls),
        "tokens_out": sum(call.tokens_out for call in one.calls),
        "cost": money(sum(call.picos for call in one.calls)),
        "models": sorted({call.model for call in one.calls}),
    }


def _worked(one: Worked) -> Mapping[str, Any]:
    return {"id": one.job.id, "kind": one.job.kind, "outcome": one.outcome, "told": one.told}


def _row_of(one: Worked) -> tuple[str, str, str]:
    return short_id(one.job.id), one.job.kind, f"{one.outcome}: {one.told}"


def _exit(worked: list[Worked]) -> None:
    """A job that failed lies in the ledger, and is told by the exit status too."""
    if any(one.outcome == "failed" for one in worked):
        raise click.exceptions.Exit(ExitCode.FAILED)


@click.group(cls=Group, examples=("agentmem jobs list", "agentmem jobs retry 51d0be77"))
def jobs() -> None:
    """Show and do the work that was left for later.

    A job that fails is tried again, ever later, and after five attempts lies dead with its error until it is retried.
    One that waits for a model which does not answer has not failed.
    """


@jobs.command("list", examples=("agentmem jobs list", "agentmem jobs list --state dead --json"))
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["waiting", "taken", "done", "dead"]),
    help="Only those in this state; may be repeated. All but the done otherwise.",
)
@pass_invocation
def jobs_list(invocation: Invocation, states: tuple[Any, ...]) -> None:
    """List the jobs of this scope, the one due first first."""
    with invocation.open() as memory:
        listed = memory.jobs.listed(*(states or ("waiting", "taken", "dead")))
        counts = memory.jobs.counts()
    if invocation.json:
        emit_json({"jobs": [_to_json(job) for job in listed], "counts": counts})
        return
    if listed:
        rows = [(short_id(job.id), job.kind, job.state, str(job.attempts), *_listed(job)[2:]) for job in listed]
        emit_table(("id", "kind", "state", "attempts", "due", "error"), rows)
    told = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    invocation.say(told or "there are no jobs")


@jobs.command("run", examples=("agentmem jobs run", "agentmem jobs run --most 1"))
@click.option("--most", type=click.IntRange(min=1), help="Do so many at most; all that are due otherwise.")
@pass_invocation
def jobs_run(invocation: Invocation, most: int | None) -> None:
    """Do the jobs that are due."""
    from agentmem.worker import Worker

    with invocation.open() as memory:
        worked = Worker(memory).run(most)
    if invocation.json:
        emit_json({"jobs": [_worked(one) for one in worked]})
    elif worked:
        emit_table(("job", "kind", "what came of it"), [_row_of(one) for one in worked])
    else:
        invocation.say("no job is due")
    _exit(worked)


@jobs.command("retry", examples=("agentmem jobs retry 51d0be77", "agentmem jobs retry --all"))
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="All that are dead.")
@pass_invocation
def jobs_retry(invocation: Invocation, ids: tuple[str, ...], everything: bool) -> None:
    """Give dead jobs their attempts back."""
    from agentmem.errors import InvalidInput

    if everything == bool(ids):
        raise click.UsageError("name the jobs, or give --all")
    with invocation.open() as memory:
        dead = memory.jobs.listed("dead")
        chosen: list[Job] = dead if everything else []
        for id in ids:
            fits = [job for job in dead if job.id.endswith(id)] if id else []
            if len(fits) != 1:
                way_out = "`agentmem jobs list --state dead` lists them."
                raise InvalidInput(f"{len(fits) or 'no'} dead jobs end in {id!r}", way_out=way_out)
            chosen += fits
        for job in chosen:
            memory.jobs.retry(job.id)
    if invocation.json:
        emit_json({"jobs": [job.id for job in chosen]})
    else:
        for job in chosen:
            emit(job.id)
    invocation.say(f"{plural(len(chosen), 'job')} will be tried again")


def _listed(job: Job) -> tuple[str, str, str, str]:
    return short_id(job.id), job.kind, f"{job.due:%Y-%m-%d %H:%M}", job.error or ""


def _to_json(job: Job) -> dict[str, Any]:
    return {**asdict(job), "due": job.due.isoformat(), "payload": dict(job.payload)}


@click.command(
    cls=Command, examples=("agentmem review", "agentmem review 51d0be77 --accept", "agentmem forget 51d0be77")
)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--accept", is_flag=True, help="They are well: let them be recalled and thought about like any other.")
@dry_run_option
@pass_invocation
def review(invocation: Invocation, ids: tuple[str, ...], accept: bool, dry_run: bool) -> None:
    """Show what waits for a person to look at it, or let it pass.

    What reads like an instruction to a model, or contradicts what is known, is kept and found, but not put into prompts
    until it was looked at. What is not well is forgotten with agentmem forget.
    """
    from agentmem.suspicion import REVIEW, REVIEWED

    if accept != bool(ids):
        raise click.UsageError("name the memories, with --accept; or neither, to list them")
    with invocation.writing(dry_run) as memory:
        if accept:
            chosen = [record.id for record in found(memory, ids)]
            invocation.hand_back(memory.tag(*chosen, add=[REVIEWED], remove=[REVIEW]), "accepted")
            return
        waiting = [record for record in memory.records() if REVIEW in record.tags]
    if invocation.json:
        emit_json({"records": [record.to_json(full=True) for record in waiting]})
        return
    rows = [
        (short_id(one.id), f"{one.at:%Y-%m-%d %H:%M}", one.speaker or "", str(one.meta.get(REVIEW, "")), one.text)
        for one in waiting
    ]
    if rows:
        emit_table(("id", "at", "speaker", "why", "text"), rows)
    invocation.say(f"{plural(len(waiting), 'memory', 'memories')} to look at" if waiting else "nothing waits for you")
