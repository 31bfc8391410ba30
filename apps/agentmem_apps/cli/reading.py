"""The commands that read memories: recall and show.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from agentmem.errors import EmbeddingError, LedgerError
from agentmem_apps.cli.arguments import filter_options, found
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit, emit_json, emit_table, local_time, one_line, plural, short_id
from agentmem_apps.cli.wording import bars, details, reasons, record_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem.cues import Asked, Hit, Hits
    from agentmem.memory import Memory
    from agentmem.models.choice import ModelChoice
    from agentmem.records import Record

__all__ = ["catch_up", "draw_hits", "feedback", "print_asked", "recall", "show"]

_STATES = ("live", "forgotten", "replaced")


@click.command(
    cls=Command,
    examples=(
        'agentmem recall "when is the launch?"',
        'agentmem recall "launch" --speaker Ana --since 2024-05-01 -k 3 --explain',
        'agentmem recall "when is the launch?" --why',
    ),
)
@click.argument("cue")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many.")
@filter_options
@click.option("--ids", is_flag=True, help="Print the ids alone, one a line.")
@click.option("--explain", is_flag=True, help="Show those that fell or were filtered out, and every verdict.")
@click.option(
    "--why", is_flag=True, help="As --explain, with bars for what each signal added, and which stores were asked."
)
@click.option("--fail-empty", is_flag=True, help="Exit with 5 when nothing is found.")
@pass_invocation
def recall(
    invocation: Invocation,
    cue: str,
    k: int,
    since: datetime | None,
    until: datetime | None,
    kinds: tuple[str, ...],
    speaker: str | None,
    place: str | None,
    tags: tuple[str, ...],
    ids: bool,
    explain: bool,
    why: bool,
    fail_empty: bool,
) -> None:
    """Find what fits a cue, best first, with the reasons.

    Each hit shows its score and the parts that the score is the sum of.
    """
    from agentmem.models.choice import Need
    from agentmem.recall.pack import estimate_tokens

    with invocation.open() as memory:
        catch_up(invocation, memory)
        began = time.perf_counter()
        memory.load()
        loaded = time.perf_counter()
        hits = memory.recall(
            cue,
            k,
            since=since,
            until=until,
            kinds=kinds or None,
            speaker=speaker,
            place=place,
            tags=tags or None,
            explain=explain or why,
        )
        spent = time.perf_counter() - loaded
        choices = memory.router.models(Need("reply", tokens_in=estimate_tokens(cue))) if why else []
    if why and not invocation.json and not ids:
        draw_hits(hits)
        print_asked(invocation, hits.asked)
        for choice in choices:
            invocation.say(f"a reply {'would not' if choice.refused else 'would'} ask {choice.model}: {choice.why}")
    else:
        _print_hits(invocation, hits, ids=ids, explain=explain or why, models=choices)
    loading = f", after {loaded - began:.1f} s to load the memory" if loaded - began >= 0.1 else ""
    won = sum(hit.won for hit in hits)
    invocation.say(f"{plural(won, 'hit')} in {spent * 1000:.1f} ms{loading}")
    if fail_empty and not won:
        raise click.exceptions.Exit(ExitCode.NOTHING_FOUND)


def catch_up(invocation: Invocation, memory: Memory) -> None:
    """Embed what is waiting, visibly: after a large import that takes longer than the recall itself."""
    embedded = 0
    # An embedder that is down, or a full disk, has been logged: recall goes by words.
    with suppress(EmbeddingError, LedgerError), invocation.progress("embedding") as progress:
        embedded = memory.flush(progress)
    if embedded:
        invocation.say(f"embedded {plural(embedded, 'text')} with {memory.stats().embedder}")


def _print_hits(invocation: Invocation, hits: Hits, *, ids: bool, explain: bool, models: Sequence[ModelChoice]) -> None:
    """Those that fell, there with --explain, have no rank."""
    if invocation.json:
        asked = [one.to_json(full=True) for one in hits.asked]
        choices = [asdict(choice) for choice in models]
        emit_json({"hits": [hit.to_json(full=True) for hit in hits], "asked": asked, "models": choices})
    elif ids:
        for hit in hits:
            if hit.won:
                emit(clean(hit.record.id))
    else:
        rows, notes = [], []
        for rank, hit in enumerate(hits, start=1):
            record = hit.record
            text = ("* " if record.pinned else "") + record.text
            rows.append(
                [
                    str(rank) if hit.won else "-",
                    f"{hit.score:.2f}",
                    short_id(record.id),
                    local_time(record.at),
                    record.speaker or "",
                    text,
                ]
            )
            added = reasons(hit.parts)
            notes.append(f"{added}: {hit.verdict}" if explain and hit.verdict else added)
        emit_table(("#", "score", "id", "when", "speaker", "text"), rows, notes=notes)


def draw_hits(hits: Sequence[Hit]) -> None:
    """Each with its verdict, and a bar for what each signal added to its score."""
    widest = max((abs(part) for hit in hits for part in hit.parts.values()), default=0.0)
    for rank, hit in enumerate(hits, start=1):
        if rank > 1:
            emit()
        record = hit.record
        who = f"{record.speaker}: " if record.speaker else ""
        emit(f"{rank if hit.won else '-':>2}  {hit.score:6.2f}  {short_id(record.id)}  {local_time(record.at)}")
        emit(f"    {one_line(who + record.text)}")
        emit(f"    {one_line(hit.verdict)}")
        for line in bars(hit.parts, widest):
            emit(f"      {line}")


def print_asked(invocation: Invocation, asked: Sequence[Asked]) -> None:
    """Which stores the question was put to, why, and what came back."""
    if not asked:
        invocation.say("no store was asked beside the words and vectors")
        return
    emit()
    answers = [one.note or f"{plural(one.hits, 'memory', 'memories')} in {one.ms:.1f} ms" for one in asked]
    rows = [(f"asked {one.store}", one.why, answer) for one, answer in zip(asked, answers, strict=True)]
    emit_table(("store", "because", "answered"), rows)


@click.command(
    cls=Command,
    examples=(
        'agentmem feedback 8c02f1aa --useful --cue "when is the launch?"',
        'agentmem feedback 51d0be77 --useless --cue "when is the launch?"',
    ),
)
@click.argument("id")
@click.option("--useful/--useless", default=None, required=True, help="Whether it helped.")
@click.option("--cue", default="", metavar="TEXT", help="What was asked.")
@pass_invocation
def feedback(invocation: Invocation, id: str, useful: bool, cue: str) -> None:
    """Note whether a memory helped with what was asked.

    The memory stays as it is, and undo takes the note back. agentmem export --feedback writes all notes, to train a
    ranker with.
    """
    with invocation.open() as memory:
        said = memory.feedback(memory.find(id).id, useful=useful, cue=cue)
    if invocation.json:
        emit_json({"feedback": said.to_json(full=True)})
    else:
        emit(clean(said.record))
        invocation.say(f"noted as {'useful' if said.useful else 'of no use'}; step {said.step}")


@click.command(
    cls=Command,
    examples=("agentmem show -n 5", "agentmem show 8c02f1aa"),
)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many of the newest.")
@click.option(
    "--state",
    type=click.Choice([*_STATES, "all"]),
    default="live",
    show_default=True,
    help="Which to list: those in use, in the trash, or replaced by a merge or split.",
)
@pass_invocation
def show(invocation: Invocation, ids: tuple[str, ...], count: int, state: str) -> None:
    """Show memories whole, or list the newest ones."""
    with invocation.open() as memory:
        states: Any = _STATES if state == "all" else (state,)
        records = found(memory, ids) if ids else memory.newest(count, states=states)
    if invocation.json:
        emit_json({"records": [record.to_json(full=True) for record in records]})
    elif ids:
        emit("\n\n".join(details(record) for record in records))
    elif records:
        _list(records)
    else:
        invocation.say("nothing here yet; agentmem add TEXT remembers something")


def _list(records: list[Record]) -> None:
    emit_table(("id", "when", "kind", "speaker", "text"), [record_row(record) for record in records])
