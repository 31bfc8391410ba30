"""The command that copies a whole memory: copy.

Loaded by `agentmem --help`: the ledgers are imported only when they are opened.
"""

from __future__ import annotations

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit, emit_json, plural

__all__ = ["copy"]


@click.command(
    cls=Command,
    examples=("agentmem copy backup.mem", "agentmem copy backup.mem --json"),
)
@click.argument("target", metavar="TARGET")
@pass_invocation
def copy(invocation: Invocation, target: str) -> None:
    """Copy the whole memory, every scope with its history, to a new place.

    TARGET is a folder, or a database URL such as postgresql://ana@db.example.org/memories, that holds no memory yet.
    The copy is of one moment, however long it takes and whatever is written meanwhile, and it is whole or not there.
    It is how a memory is backed up, restored (--memory backup.mem names what is copied), and moved from a folder to
    Postgres or back.
    """
    from agentmem.opened import open_ledger
    from agentmem_stores.sql.copying import copy_ledger
    from agentmem_stores.sql.ledger import SqlLedger

    source = open_ledger(invocation.settings.memory, create=False)
    try:
        into = open_ledger(target)
        try:
            if not isinstance(source, SqlLedger) or not isinstance(into, SqlLedger):
                raise InvalidInput(
                    "only memories in a folder or on Postgres can be copied whole",
                    way_out="agentmem export, and agentmem import, carry a scope's records between any two.",
                )
            with invocation.progress("copying") as progress:
                copied = copy_ledger(source, into, progress)
            url = into.url
        finally:
            into.close()
    finally:
        source.close()
    if invocation.json:
        emit_json({"copied": copied, "to": url})
    else:
        emit(clean(url))
        invocation.say(
            f"copied {plural(copied['records'], 'record')} and {plural(copied['journal'], 'change')} "
            f"of {plural(copied['scopes'], 'scope')}"
        )
