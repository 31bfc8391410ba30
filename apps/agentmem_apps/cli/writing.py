"""The commands that write one memory: add, edit, pin, tag.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from agentmem_apps.cli.arguments import field_options, found, meta_of, read_text
from agentmem_apps.cli.command import Command, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit, emit_json, short_id
from agentmem_apps.cli.wording import word_diff

__all__ = ["add", "edit", "pin", "tag"]


@click.command(
    cls=Command,
    examples=(
        'agentmem add "We moved the launch to 3 May." --speaker Ana --tag launch',
        "agentmem add --kind note --place Lisbon < notes.txt",
    ),
)
@click.argument("text", required=False, metavar="[TEXT|-]")
@field_options
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; repeat for several.")
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="Anything else, as text; repeat for several.")
@click.option("--pin", is_flag=True, help="Never let it fade.")
@click.option("--once", is_flag=True, help="If it is remembered already, note that it was said again.")
@dry_run_option
@pass_invocation
def add(
    invocation: Invocation,
    /,
    text: str | None,
    tags: tuple[str, ...],
    meta: tuple[str, ...],
    pin: bool,
    once: bool,
    dry_run: bool,
    **fields: Any,
) -> None:
    """Remember a text, and print its id.

    The text is the argument, or what is piped in. A memory that is not there yet is made.
    """
    if pin and once:
        raise click.UsageError("--once may find a memory that is there already: agentmem pin ID pins that")
    words = read_text(text)
    given = {name: value for name, value in fields.items() if value is not None}
    given |= {"tags": tags, "meta": meta_of(meta)}
    with invocation.writing(dry_run, create=True) as memory:
        if pin:
            (record,) = memory.add_many([{**given, "text": words, "pinned": True}])
        else:
            record = memory.add(words, repeats="count" if once else "keep", **given)
    if invocation.json:
        emit_json({"record": record.to_json(full=True)})
    else:
        emit(record.id)


@click.command(
    cls=Command,
    examples=(
        'agentmem edit 8c02f1aa --text "We moved the launch to 4 May."',
        "agentmem edit 8c02f1aa --speaker Ana --place Lisbon --revision 1",
    ),
)
@click.argument("id")
@click.option("--text", help="The new text; - reads it from stdin.")
@field_options
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="The tags it shall have instead of its own.")
@click.option("--revision", type=click.IntRange(min=1), help="Refuse when it is no longer at this revision.")
@dry_run_option
@pass_invocation
def edit(
    invocation: Invocation,
    /,
    id: str,
    text: str | None,
    tags: tuple[str, ...],
    revision: int | None,
    dry_run: bool,
    **fields: Any,
) -> None:
    """Change a memory, and show what differs.

    Without any field the text is opened in $EDITOR. An empty value takes a field away: --speaker "" or --tag "".
    """
    given: dict[str, Any] = {name: _emptied(value) for name, value in fields.items() if value is not None}
    if text is not None:
        given["text"] = read_text(text)
    if tags:
        given["tags"] = [word for word in tags if word]
    if not given and not invocation.interactive:
        raise click.UsageError("nothing to change; give --text or another field")
    with invocation.writing(dry_run) as memory:
        old = memory.find(id)
        if not given:
            written = click.edit(old.text + "\n")
            given["text"] = old.text if written is None else written.rstrip("\r\n")
            # The editor may stay open for hours: what somebody else wrote meanwhile must not be lost.
            revision = revision or old.revision
        new = memory.edit(old.id, revision=revision, **given)
    if invocation.json:
        emit_json({"record": new.to_json(full=True)})
    elif new == old:
        invocation.say("nothing changed")
    else:
        emit(f"{short_id(new.id)}  {word_diff(old.text, new.text)}")
        changed = [name for name in given if name != "text"]
        also = f"; set {', '.join(changed)}" if changed else ""
        invocation.say(f"now at revision {new.revision}{also}")


def _emptied(value: str | datetime) -> str | datetime | None:
    return None if value == "" else value


@click.command(
    cls=Command,
    examples=("agentmem pin 8c02f1aa", "agentmem pin --off 8c02f1aa 51d0be77"),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--off", is_flag=True, help="Let them fade again.")
@dry_run_option
@pass_invocation
def pin(invocation: Invocation, ids: tuple[str, ...], off: bool, dry_run: bool) -> None:
    """Keep memories from fading, or let them."""
    with invocation.writing(dry_run) as memory:
        records = memory.pin(*(record.id for record in found(memory, ids)), pinned=not off)
    invocation.hand_back(records, "unpinned" if off else "pinned")


@click.command(
    cls=Command,
    examples=(
        "agentmem tag 8c02f1aa --add launch --remove draft",
        "agentmem tag 8c02f1aa 51d0be77 --add lisbon",
    ),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--add", multiple=True, metavar="TAG", help="Put this tag on; repeat for several.")
@click.option("--remove", multiple=True, metavar="TAG", help="Take this tag off; repeat for several.")
@dry_run_option
@pass_invocation
def tag(
    invocation: Invocation, ids: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...], dry_run: bool
) -> None:
    """Put tags on memories, or take them off."""
    if not add and not remove:
        raise click.UsageError("nothing to change; give --add or --remove")
    with invocation.writing(dry_run) as memory:
        records = memory.tag(*(record.id for record in found(memory, ids)), add=add, remove=remove)
    invocation.hand_back(records, "tagged")
