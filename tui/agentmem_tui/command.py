"""The command `agentmem tui`.

Loaded by `agentmem --help`: Textual (0.2 s) is imported when the screens begin.
"""

from __future__ import annotations

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.invocation import Invocation, pass_invocation

__all__ = ["tui"]


@click.command(cls=Command, examples=("agentmem tui", "agentmem tui notes.mem --scope user:ana"))
@click.argument("path", required=False)
@pass_invocation
def tui(invocation: Invocation, path: str | None) -> None:
    """See, correct and undo what is remembered.

    Lists every memory, finds as you type, edits by hand, and takes back any step, yours or an agent's. ? shows what can
    be done and by which key.
    """
    if path is not None:
        invocation.point_at(path)
    if invocation.json:
        raise click.UsageError("the screens have no JSON")
    if not invocation.interactive:
        raise InvalidInput("the screens need a terminal", way_out="In a pipe, use agentmem show, recall and edit.")
    from agentmem_tui.app import MemoryApp
    from agentmem_tui.remembered import state_file

    app = MemoryApp(invocation.settings.memory, invocation.open, invocation.settings.tui, state_file())
    app.run()
    raise click.exceptions.Exit(app.return_code or 0)
