"""The command that measures recall on published benchmarks: eval.

Loaded by `agentmem --help`: the evaluation, and numpy with it, is imported only when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmem_apps.cli.command import Group
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit, emit_json

if TYPE_CHECKING:
    from agentmem_apps.evaluate.dataset import Dataset

__all__ = ["evaluate"]

_dump_option = click.option(
    "--dump",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a line of JSON a question: its gold, and the first 50 turns with scores and parts.",
)


@click.group(
    "eval", cls=Group, examples=("agentmem eval locomo locomo10.json", "agentmem eval beam chats --embedder hash")
)
def evaluate() -> None:
    """Measure recall on a published benchmark.

    Every conversation gets a fresh memory in a temporary folder. The gold is used for scoring only.
    """


@evaluate.command(
    "locomo",
    examples=(
        "agentmem eval locomo locomo10.json",
        "agentmem eval locomo locomo10.json --embedder hash --dump ranked.jsonl --json",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@_dump_option
@pass_invocation
def locomo(invocation: Invocation, file: Path, dump: Path | None) -> None:
    """Measure on LoCoMo, very long conversations of two people."""
    from agentmem_apps.evaluate.locomo import load

    _measure(invocation, load, file, dump)


@evaluate.command(
    "beam",
    examples=("agentmem eval beam chats", "agentmem eval beam chats --embedder hash --dump ranked.jsonl --json"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_dump_option
@pass_invocation
def beam(invocation: Invocation, folder: Path, dump: Path | None) -> None:
    """Measure on BEAM; DIR holds one folder a chat."""
    from agentmem_apps.evaluate.beam import load

    _measure(invocation, load, folder, dump)


def _measure(invocation: Invocation, load: Callable[[Path], Dataset], path: Path, dump: Path | None) -> None:
    from agentmem_apps.evaluate.run import evaluate as measure
    from agentmem_apps.evaluate.table import render

    dataset = load(path)
    with invocation.progress("questions") as progress:
        report = measure(dataset, embedder=invocation.settings.embedder, dump=dump, progress=progress)
    if invocation.json:
        emit_json(report.to_json())
    else:
        emit(clean(render(report)))
    if dump is not None:
        invocation.say(f"wrote the rankings to {dump}")
