"""The command `agentmem tui`.

Loaded by `agentmem --help`: Textual (0.2 s) is imported when the screens begin.
"""

from __future__ import annotations

import os
import shlex
import sys

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.invocation import Invocation, pass_invocation

__all__ = ["tui"]


@click.command(cls=Command, examples=("agentmem tui", "agentmem tui notes.mem --scope user:ana"))
@click.argument("path", required=False)
@click.option("--web", is_flag=True, help="Show them in a browser on this machine, and nowhere else.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8765, show_default=True, help="For --web.")
@pass_invocation
def tui(invocation: Invocation, path: str | None, web: bool, port: int) -> None:
    """See, correct and undo what is remembered.

    Lists every memory, finds as you type, edits by hand, and takes back any step, yours or an agent's. ? shows what can
    be done and by which key.
    """
    if path is not None:
        invocation.point_at(path)
    if invocation.json:
        raise click.UsageError("the screens have no JSON")
    if web:
        _serve(invocation, port)
        return
    # In a browser its driver speaks to the page, and there is no terminal.
    if not invocation.interactive and "TEXTUAL_DRIVER" not in os.environ:
        raise InvalidInput("the screens need a terminal", way_out="In a pipe, use agentmem show, recall and edit.")
    from agentmem_tui.app import MemoryApp
    from agentmem_tui.remembered import state_file

    app = MemoryApp(invocation.settings.memory, invocation.open, invocation.settings, state_file())
    app.run()
    raise click.exceptions.Exit(app.return_code or 0)


def _serve(invocation: Invocation, port: int) -> None:
    from agentmem.config import PREFIX
    from agentmem_tui.web import HOST, serve

    # What was given on the command line goes on in the environment, where no list of processes shows a password. What
    # a file says does not: passed on, it would stand above the rest of that file.
    for key, origin in invocation.settings.origins.items():
        if origin.startswith("flag "):
            os.environ[PREFIX + key.upper()] = getattr(invocation.settings, key)
    invocation.say(f"at http://{HOST}:{port}, for this machine alone; Ctrl-C ends it")
    serve(shlex.join([sys.executable, "-c", "from agentmem_apps.cli import main; main()", "tui"]), port)
