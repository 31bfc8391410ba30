"""The commands that put memories in others' place, or out of sight: merge, split, forget, restore.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.arguments import found, read_text
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import one_line, plural, short_id

__all__ = ["forget", "merge", "restore", "split"]


@click.command(
    cls=Command,
    examples=(
        "agentmem merge 8c02f1aa 51d0be77",
        'agentmem merge 8c02f1aa 51d0be77 --text "The launch is on 4 May, in Lisbon."',
    ),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID ID...")
@click.option("--text", help="The text of the merged memory, instead of all texts in order; - reads it from stdin.")
@dry_run_option
@pass_invocation
def merge(invocation: Invocation, ids: tuple[str, ...], text: str | None, dry_run: bool) -> None:
    """Put one memory in the place of several.

    Its id is printed. The originals stay as its sources, and undo brings them back.
    """
    words = None if text is None else read_text(text)
    with invocation.writing(dry_run) as memory:
        merged = memory.merge(*(record.id for record in found(memory, ids)), text=words)
    invocation.hand_back([merged], "merged into")


@click.command(
    cls=Command,
    examples=(
        'agentmem split 8c02f1aa --at "The venue"',
        'agentmem split 8c02f1aa --part "The launch is on 3 May." --part "The venue is in Lisbon."',
    ),
)
@click.argument("id")
@click.option(
    "--at", multiple=True, metavar="WORDS", help="Cut before these words, found once in it; repeat to cut more."
)
@click.option("--part", "parts", multiple=True, metavar="TEXT", help="The text of one part; give two or more.")
@dry_run_option
@pass_invocation
def split(invocation: Invocation, id: str, at: tuple[str, ...], parts: tuple[str, ...], dry_run: bool) -> None:
    """Put several memories in the place of one.

    Their ids are printed. The original stays as their source, and undo brings it back.
    """
    if bool(at) == bool(parts):
        raise click.UsageError("say where to cut with --at, or give the texts with --part")
    with invocation.writing(dry_run) as memory:
        record = memory.find(id)
        made = memory.split(record.id, parts or _cut(record.text, at))
    invocation.hand_back(made, "split into")


def _cut(text: str, words: Sequence[str]) -> list[str]:
    """`text` cut before each of these words; the white space at a cut belongs to neither part."""
    cuts = set()
    for wanted in words:
        times = text.count(wanted) if wanted else 0
        if times != 1:
            raise InvalidInput(
                f"{wanted!r} stands in the text {'nowhere' if not times else f'{times} times'}",
                way_out="Give words that stand in it exactly once.",
            )
        cuts.add(text.index(wanted))
    edges = [0, *sorted(cuts - {0}), len(text)]
    parts = [text[start:end].strip() for start, end in pairwise(edges)]
    if len(parts) < 2 or not all(parts):
        raise InvalidInput("a cut there leaves an empty part", way_out="Cut after the first words of the text.")
    return parts


@click.command(
    cls=Command,
    examples=("agentmem forget 8c02f1aa", "agentmem forget --hard --yes 8c02f1aa"),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--hard", is_flag=True, help="Erase the words for good, with all that was made from them. No undo.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing.")
@dry_run_option
@pass_invocation
def forget(invocation: Invocation, ids: tuple[str, ...], hard: bool, yes: bool, dry_run: bool) -> None:
    """Put memories out of sight, or erase them for good.

    Without --hard they can be restored, and undo brings them back. With --hard everything that would go is listed
    first, then asked about; off a terminal it needs --yes.
    """
    if hard:
        _erase(invocation, ids, yes=yes, dry_run=dry_run)
        return
    with invocation.writing(dry_run) as memory:
        records = found(memory, ids)
        made_from = memory.descendants(*(record.id for record in records))
        gone = memory.forget(*(record.id for record in records))
    invocation.hand_back(gone, "forgot")
    stay = [record for record in made_from if record.state == "live" and record.id not in {g.id for g in gone}]
    if stay:
        ids_left = " ".join(short_id(record.id) for record in stay[:10]) + (" …" if len(stay) > 10 else "")
        invocation.say(f"{plural(len(stay), 'memory', 'memories')} made from what you forgot stay: {ids_left}")


def _erase(invocation: Invocation, ids: Sequence[str], *, yes: bool, dry_run: bool) -> None:
    with invocation.open() as memory:
        named = [record.id for record in found(memory, ids)]
        with memory.rehearse():
            gone = memory.forget(*named, hard=True)
        if dry_run:
            invocation.say("dry run: nothing was written")
        for record in gone:
            invocation.say(f"  {short_id(record.id)}  {one_line(record.text, 90)}")
        if not dry_run:
            invocation.confirm(f"Erase {plural(len(gone), 'memory', 'memories')} for good?", yes=yes)
            gone = memory.forget(*named, hard=True)
    invocation.hand_back(gone, "erased")


@click.command(
    cls=Command,
    examples=("agentmem restore 8c02f1aa", "agentmem restore 8c02f1aa 51d0be77 --dry-run"),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@dry_run_option
@pass_invocation
def restore(invocation: Invocation, ids: tuple[str, ...], dry_run: bool) -> None:
    """Bring forgotten memories back.

    agentmem show --state forgotten lists them. What was erased with --hard is gone.
    """
    with invocation.writing(dry_run) as memory:
        records = memory.restore(*(record.id for record in found(memory, ids)))
    invocation.hand_back(records, "restored")
