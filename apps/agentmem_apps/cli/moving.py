"""The commands that take files in and hand the memory out: import, export.

Loaded by `agentmem --help`: agentmem.memory and the importers are imported only when they are used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmem.errors import ImportFailed
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit, emit_json, escaped, one_line, plural

if TYPE_CHECKING:
    from agentmem_apps.importers.run import ImportReport

__all__ = ["export", "import_"]

_FORMATS = (
    *("auto", "text", "markdown", "jsonl"),
    *("chatgpt", "claude", "mem0", "letta", "sillytavern", "locomo", "beam"),
)

_STDIN = Path("-")


@click.command(
    "import",
    cls=Command,
    examples=(
        "agentmem import book.md --session walden",
        "agentmem import memories.jsonl --check",
        "agentmem import - < memories.jsonl",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="What the files are; auto goes by name and content.",
)
@click.option("--session", metavar="NAME", help="The session of what is taken in, instead of the file's own.")
@click.option("--kind", metavar="KIND", help="The kind of what is taken in, instead of the file's own.")
@click.option("--check", is_flag=True, help="Read and report only; the same as --dry-run.")
@dry_run_option
@pass_invocation
def import_(
    invocation: Invocation,
    files: tuple[Path, ...],
    format_: str,
    session: str | None,
    kind: str | None,
    check: bool,
    dry_run: bool,
) -> None:
    """Take in books, notes, conversations, or an export.

    Of ChatGPT and Claude name the zip as it came. Each file is one step, which one undo takes back, and is taken in
    whole or not at all. Taking it in again adds only what is not there yet: nothing, or what a killed import left out.
    - is what a pipe gives. A BEAM conversation is a folder. A memory that is not there yet is made.
    """
    from agentmem_apps.importers.run import import_file, import_stream

    if len([file for file in files if file == _STDIN]) > 1:
        raise click.UsageError("give - once: there is one pipe")
    for file in files:
        if file != _STDIN and not file.exists():  # before a memory is made, or the files before it are taken in
            raise ImportFailed("there is no such file", file=str(file))
    reports: list[ImportReport] = []
    dry_run = dry_run or check
    try:
        with invocation.writing(dry_run, create=True) as memory:
            for file in files:
                with invocation.progress("stdin" if file == _STDIN else file.name) as progress:
                    taking_in: Callable[..., ImportReport] = partial(import_file, memory, file)
                    if file == _STDIN:
                        taking_in = partial(import_stream, memory, sys.stdin.buffer)
                    report = taking_in(format=format_, session=session, kind=kind, dry_run=dry_run, progress=progress)
                reports.append(report)
                _tell_aside(invocation, report)
    finally:
        # Only now, because a reader of stdout that leaves early must not stop the second file from being taken in;
        # and always, because the files before one that fails are in.
        if reports:
            _tell(invocation, reports)


def _tell_aside(invocation: Invocation, report: ImportReport) -> None:
    name = one_line(report.file)
    for where, why in report.skipped:
        invocation.say(f"{name}: skipped {one_line(where)}: {one_line(why)}")
    if report.skips > len(report.skipped):
        invocation.say(f"{name}: and {report.skips - len(report.skipped):,} more skipped")
    if report.added and report.existing and not report.dry_run:
        invocation.say(f"{name}: an undo takes back the {report.added:,} added now; what was there already stays")


def _tell(invocation: Invocation, reports: Sequence[ImportReport]) -> None:
    if invocation.json:
        emit_json({"files": [report.to_json() for report in reports]})
        return
    for report in reports:
        emit(f"{one_line(report.file)}: {_counted(report)}")


def _counted(report: ImportReport) -> str:
    return f"{report.added:,} added, {report.existing:,} there already, {report.skips:,} skipped"


@click.command(cls=Command, examples=("agentmem export backup.jsonl", "agentmem export - | head -3"))
@click.argument("path", metavar="PATH|-", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Overwrite a file that is there without asking.")
@click.option("--feedback", is_flag=True, help="Write instead what was said of hits: rows to train a ranker with.")
@pass_invocation
def export(invocation: Invocation, path: Path, yes: bool, feedback: bool) -> None:
    """Write every memory of the scope as JSONL.

    Nothing is lost: agentmem import reads it back.
    """
    with invocation.open() as memory:
        if str(path) == "-":
            for line in memory.feedback_lines() if feedback else memory.export_lines():
                emit(escaped(line))
            return
        if path.exists():
            invocation.confirm(f"{path} is there already. Overwrite it?", yes=yes)
        count = memory.export(path, feedback=feedback)
    if invocation.json:
        emit_json({"path": str(path), "lines": count})
    else:
        emit(one_line(str(path)))
        invocation.say(f"wrote {plural(count, 'line')}")
