"""The commands that look after a memory: stats, doctor, reindex.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmem.errors import AgentMemError
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit, emit_json, emit_table, plural

if TYPE_CHECKING:
    from agentmem.memory import Memory

__all__ = ["doctor", "reindex", "stats"]


@click.command(cls=Command, examples=("agentmem stats", "agentmem stats --scope user:ana --json"))
@pass_invocation
def stats(invocation: Invocation) -> None:
    """Count what the memory holds."""
    with invocation.open() as memory:
        told = memory.stats()
    if invocation.json:
        emit_json({"stats": {**asdict(told), "scope": str(told.scope), "records": dict(told.records)}})
        return
    rows = [("memory", told.url), ("scope", str(told.scope))]
    rows += [(state, f"{count:,}") for state, count in told.records.items()]
    rows += [
        ("changes", f"{told.head:,}"),
        ("embedder", told.embedder),
        ("to embed", f"{told.pending:,}"),
        ("on disk", f"{told.bytes / 1e6:,.1f} MB"),
    ]
    emit_table(("what", "how much"), rows)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fault` is empty when it is well; `note` is what a healthy one has to say."""

    name: str
    note: str = ""
    fault: str = ""
    way_out: str = ""


@click.command(cls=Command, examples=("agentmem doctor", "agentmem doctor --json"))
@pass_invocation
def doctor(invocation: Invocation) -> None:
    """Check that the memory is sound.

    Looks at the folder's permissions, opens the ledger, compares journal and rows, and tries the embedder. Exits
    with 1 when there is a fault.
    """
    checks = list(_checks(invocation))
    faults = [check for check in checks if check.fault]
    if invocation.json:
        emit_json({"sound": not faults, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            emit(clean(f"{'FAULT' if check.fault else 'ok':<5}  {check.name}: {check.fault or check.note}"))
            if check.way_out:
                emit(f"       {clean(check.way_out)}")
    if faults:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _checks(invocation: Invocation) -> Iterator[Check]:
    """Every check, in the order in which one presupposes the other; the rest is left out once one cannot go on."""
    yield Check("settings", f"memory {invocation.settings.memory}, scope {invocation.settings.scope}")
    try:
        memory = invocation.open()
    except AgentMemError as error:
        yield _failed("memory", error)
        return
    with memory:
        yield Check("memory", f"opens, at {memory.url}")
        if "://" not in invocation.settings.memory:
            yield from _permissions(Path(invocation.settings.memory))
        yield from _contents(memory)


def _contents(memory: Memory) -> Iterator[Check]:
    try:
        wrong = memory.verify()
        told = memory.stats()
    except AgentMemError as error:
        yield _failed("ledger", error)
        return
    if wrong:
        yield from (
            Check("ledger", fault=sentence, way_out="Export what is there, and import it anew.") for sentence in wrong
        )
    else:
        yield Check("ledger", f"journal and rows agree over {plural(told.head, 'change')}")
    try:
        from agentmem.embedding import embed_checked

        embed_checked(memory.embedder, ["is anybody there?"])
        yield Check("embedder", f"{memory.embedder.id} answers with {memory.embedder.dimension} dimensions")
    except AgentMemError as error:
        yield _failed("embedder", error)
    waiting = f"{plural(told.pending, 'text')} to embed; the next recall does it" if told.pending else "all embedded"
    yield Check("vectors", waiting)


def _permissions(folder: Path) -> Iterator[Check]:
    if os.name != "posix":
        return
    try:
        files = [folder, *sorted(folder.iterdir())] if folder.is_dir() else [folder]
        open_to_others = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    except OSError as error:
        yield Check("permissions", fault=f"{error.filename}: {error.strerror}")
        return
    if open_to_others:
        yield Check(
            "permissions",
            fault=f"others on this machine may read or write {', '.join(map(str, open_to_others))}",
            way_out=f"chmod -R go= {folder}",
        )
    else:
        yield Check("permissions", "only you can read it")


def _failed(name: str, error: AgentMemError) -> Check:
    return Check(name, fault=f"{error.title}: {error}", way_out=error.way_out)


@click.command(cls=Command, examples=("agentmem reindex", "agentmem reindex vectors --embedder hash"))
@click.argument("name", type=click.Choice(["vectors"]), default="vectors", metavar="[NAME]")
@dry_run_option
@pass_invocation
def reindex(invocation: Invocation, name: str, dry_run: bool) -> None:
    """Rebuild what is derived from the memories.

    No memory is touched. NAME is vectors: every text is embedded again, by the embedder in force.
    """
    with invocation.open() as memory:
        if dry_run:
            invocation.say("dry run: nothing was written")
            count = sum(memory.stats().records.values())
        else:
            with invocation.progress(f"rebuilding {name}") as progress:
                count = memory.reindex(name, progress)
        embedder = memory.embedder.id
    if invocation.json:
        emit_json({"name": name, "count": count, "embedder": embedder})
    else:
        emit(f"{clean(name)}: {plural(count, 'text')} embedded by {embedder}")
