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

_engine_option = click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="NAME",
    help="Recall by this engine; several times to compare. Of: bm25, dense, rrf, zsum, training-free, learned "
    "(the default).",
)
_plot_option = click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the recall of each engine, as PNG (needs matplotlib).",
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
        "agentmem eval locomo locomo10.json --engine bm25 --engine training-free --plot engines.png",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@_engine_option
@_dump_option
@_plot_option
@pass_invocation
def locomo(invocation: Invocation, file: Path, engines: tuple[str, ...], dump: Path | None, plot: Path | None) -> None:
    """Measure on LoCoMo, very long conversations of two people."""
    from agentmem_apps.evaluate.locomo import load

    _measure(invocation, load, file, engines, dump, plot)


@evaluate.command(
    "beam",
    examples=("agentmem eval beam chats", "agentmem eval beam chats --embedder hash --dump ranked.jsonl --json"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_engine_option
@_dump_option
@_plot_option
@pass_invocation
def beam(invocation: Invocation, folder: Path, engines: tuple[str, ...], dump: Path | None, plot: Path | None) -> None:
    """Measure on BEAM; DIR holds one folder a chat."""
    from agentmem_apps.evaluate.beam import load

    _measure(invocation, load, folder, engines, dump, plot)


@evaluate.command(
    "longmemeval",
    examples=(
        "agentmem eval longmemeval longmemeval_s.json",
        "agentmem eval longmemeval longmemeval_s.json --embedder hash --engine bm25 --engine training-free",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@_engine_option
@_dump_option
@_plot_option
@pass_invocation
def longmemeval(
    invocation: Invocation, file: Path, engines: tuple[str, ...], dump: Path | None, plot: Path | None
) -> None:
    """Measure on LongMemEval, where each question has a history of its own.

    Its recall_any and recall_all are hit@k and all@k. Questions that nothing answers are left out.
    """
    from agentmem_apps.evaluate.longmemeval import load

    _measure(invocation, load, file, engines, dump, plot)


@evaluate.command(
    "sort",
    examples=("agentmem eval sort books", "agentmem eval sort books --segment 50 --embedder hash --json"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--segment", type=click.IntRange(min=1), default=20, show_default=True, help="Words in a segment.")
@click.option("--pairs", type=click.IntRange(min=1), default=200, show_default=True, help="Pairs asked of each book.")
@click.option("--seed", type=int, default=0, show_default=True, help="By which the pairs are drawn.")
@pass_invocation
def sort(invocation: Invocation, folder: Path, segment: int, pairs: int, seed: int) -> None:
    """Measure the memory of order on books (SORT): which of two passages came first?

    DIR holds them as text files. The control is the same memory, written in a shuffled order: it has to be at chance.
    """
    from agentmem_apps.evaluate.sort import evaluate_sort
    from agentmem_apps.evaluate.table import render_sort

    embedder = invocation.settings.embedder
    with invocation.progress("pairs") as progress:
        report = evaluate_sort(folder, segment=segment, pairs=pairs, seed=seed, embedder=embedder, progress=progress)
    if invocation.json:
        emit_json(report.to_json())
    else:
        emit(clean(render_sort(report)))


def _measure(
    invocation: Invocation,
    load: Callable[[Path], Dataset],
    path: Path,
    engines: tuple[str, ...],
    dump: Path | None,
    plot: Path | None,
) -> None:
    from agentmem.recall.presets import DEFAULT
    from agentmem_apps.evaluate.run import compare
    from agentmem_apps.evaluate.table import comparison, draw, render

    dataset, asked = load(path), list(dict.fromkeys(engines or (DEFAULT,)))
    with invocation.progress("questions") as progress:
        reports = compare(dataset, asked, embedder=invocation.settings.embedder, dump=dump, progress=progress)
    if plot is not None:
        draw(reports, plot)
    if invocation.json:
        emit_json(reports[0].to_json() if len(reports) == 1 else {"engines": [one.to_json() for one in reports]})
    else:
        emit(clean(render(reports[0]) if len(reports) == 1 else comparison(reports)))
    for file, what in ((dump, "rankings"), (plot, "picture")):
        if file is not None:
            invocation.say(f"wrote the {what} to {file}")
