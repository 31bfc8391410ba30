"""The commands that look after a memory: stats, doctor, reindex.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, coloured, emit, emit_json, emit_table, on_terminal, one_line, plural
from agentmem_apps.cli.progress import Doing
from agentmem_apps.doctor.finding import Finding, plenty

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


@click.command(
    cls=Command,
    examples=("agentmem doctor", "agentmem doctor --fix --dry-run", "agentmem doctor --salvage rescued.jsonl"),
)
@click.option("--fix", is_flag=True, help="Repair what is made from the memories, and so can be made again.")
@click.option(
    "--salvage",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Of a damaged ledger, write what can still be read as JSONL for agentmem import; examine nothing.",
)
@dry_run_option
@pass_invocation
def doctor(invocation: Invocation, fix: bool, salvage: Path | None, dry_run: bool) -> None:
    """Find what is wrong with the memory, and repair it.

    Looks at the folder, its disk and who may read it; at the ledger, its journal and rows; at the embedder, its
    vectors and their index. From the default scope it looks at every scope, from another at those inside it. Exits
    with 1 when a fault stays.

    --fix changes no memory and no journal. With --dry-run it says what it would do.
    """
    if salvage is not None:
        if fix or dry_run:
            raise click.UsageError("--salvage examines and repairs nothing; give it alone")
        _salvage(invocation, salvage)
        return
    from agentmem_apps.doctor.examination import examine

    if dry_run:
        invocation.say("dry run: nothing was written")
    findings: list[Finding] = []
    doing = Doing("checking", quiet=invocation.quiet or invocation.json)
    with closing(examine(invocation.settings, doing)) as examination:
        while (finding := _next(examination, doing)) is not None:
            if fix and not dry_run and finding.repair is not None:
                with invocation.progress(finding.repair.would) as progress:
                    finding = finding.mended(progress)
            findings.append(finding)
            if not invocation.json:
                _show(finding, fix or dry_run, invocation.settings.scope)
    sound = not any(finding.stands for finding in findings)
    if invocation.json:
        emit_json({"sound": sound, "checks": [finding.to_json() for finding in findings]})
    else:
        emit(_counted(findings, fix or dry_run))
    if not sound:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _next(examination: Iterator[Finding], doing: Doing) -> Finding | None:
    """The next finding, without what the log says meanwhile: the doctor says it better."""
    log = logging.getLogger("agentmem")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with doing:
            return next(examination, None)
    finally:
        log.setLevel(level)


_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "fault": ("FAULT", "red")}
_INDENT = 2 + len("repaired") + len("permissions") + 2


def _show(finding: Finding, fixing: bool, scope: str) -> None:
    """A finding on a line, below it what to do or what was done; folded on a terminal."""
    mark, colour = ("repaired", "green") if finding.repaired else _MARKS[finding.severity]
    where = f"{finding.scope}: " if finding.scope not in ("", scope) else ""
    lines = _folded(where + finding.sentence)
    head = f"{mark:<8}"
    if coloured(sys.stdout):
        head = click.style(head, fg=colour, bold=mark == "FAULT")
    emit(f"{head}  {finding.name:<11}  {lines[0]}".rstrip())
    lines = lines[1:]
    if finding.done:
        lines += _folded(f"→ {finding.done}")
    elif finding.repair is not None:
        lines += _folded(f"→ {'would ' if fixing else '--fix would '}{finding.repair.would}")
    if finding.way_out and not (finding.repaired or (finding.repair is not None and not finding.done)):
        lines += _folded(f"→ {finding.way_out}")
    for line in lines:
        emit(f"{'':{_INDENT}}{line}")


def _folded(text: str) -> list[str]:
    text = one_line(text)
    if not on_terminal(sys.stdout):
        return [text]
    width = shutil.get_terminal_size().columns - _INDENT
    hanging = "  " if text.startswith("→") else ""
    lines = textwrap.wrap(
        text, max(width, 30), break_long_words=False, break_on_hyphens=False, subsequent_indent=hanging
    )
    return lines or [""]


def _counted(findings: list[Finding], fixing: bool) -> str:
    left = Counter(finding.severity for finding in findings if not finding.repaired)
    repaired = sum(finding.repaired for finding in findings)
    fixable = sum(finding.repair is not None and not finding.done for finding in findings)
    told = [f"{repaired:,} repaired"] if repaired else []
    told += [plural(left[severity], severity) for severity in ("fault", "warning") if left[severity]]
    told = told or ["all is well"]
    if fixable:
        told.append(f"{fixable:,} can be repaired" + ("" if fixing else ": agentmem doctor --fix"))
    return f"{plural(len(findings), 'check')}: {', '.join(told)}"


def _salvage(invocation: Invocation, target: Path) -> None:
    from agentmem.records import Scope
    from agentmem_apps.doctor.salvage import salvage

    settings = invocation.settings
    with invocation.progress("reading what can be read") as progress:
        found = salvage(settings.memory, Scope(settings.scope), target, progress)
    if invocation.json:
        emit_json({"path": str(target), **asdict(found)})
    else:
        emit(one_line(str(target)))
        rebuilt = f", {found.rebuilt:,} of them put together from the journal" if found.rebuilt else ""
        invocation.say(f"wrote {plural(found.written, 'memory', 'memories')}{rebuilt}, without their history")
        if found.unread:
            invocation.say(f"{plural(found.unread, 'change')} of the journal cannot be read: an edit may be missing")
        if found.lost:
            invocation.say(f"lost {plural(len(found.lost), 'memory', 'memories')}: {plenty(list(found.lost))}")
        for scope in found.others:
            invocation.say(f"the scope {one_line(scope)} is not in it; salvage it too, with --scope")
    if found.lost or found.unread:
        raise click.exceptions.Exit(ExitCode.FAILED)


@click.command(cls=Command, examples=("agentmem reindex", "agentmem reindex vectors --embedder hash"))
@click.argument("name", default="vectors", metavar="[NAME]")
@dry_run_option
@pass_invocation
def reindex(invocation: Invocation, name: str, dry_run: bool) -> None:
    """Rebuild what is derived from the memories.

    No memory is touched. NAME is vectors: every text is embedded again, by the embedder in force. Or words: every
    text is taken in again, as a memory without any kept words does at its first question. Or it is the index in use,
    such as chroma: it is emptied, and filled again from the ledger. Or a store (agentmem stores lists them): it is
    derived anew from the journal.
    """
    with invocation.open() as memory:
        if dry_run:
            invocation.say("dry run: nothing was written")
            told = memory.stats()
            used = told.index.rpartition("in place of ")[2]
            if name not in ("words", "vectors", used, *memory.stores):
                way_out = f"There are: {', '.join(['words', 'vectors', used, *memory.stores])}."
                raise InvalidInput(f"there is no projection {name!r} here", way_out=way_out)
            count = sum(told.records.values()) if name == "vectors" else told.records.get("live", 0)
            if name in memory.stores:
                count = told.head
        else:
            with invocation.progress(f"rebuilding {name}") as progress:
                count = memory.reindex(name, progress)
        embedder, is_store = memory.embedder.id, name in memory.stores
    if invocation.json:
        emit_json({"name": name, "count": count, "embedder": embedder})
    elif name == "vectors":
        emit(f"{clean(name)}: {plural(count, 'text')} embedded by {embedder}")
    elif name == "words":
        emit(f"{clean(name)}: {plural(count, 'text')} taken in")
    elif is_store:
        emit(f"{clean(name)}: derived anew, up to change {count:,}")
    else:
        emit(f"{clean(name)}: filled with {plural(count, 'vector')}")
