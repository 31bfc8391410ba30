"""The commands around the memory itself: init, config, completion, demo.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from agentmem_apps.cli.command import Command, Group, dry_run_option
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit, emit_json, emit_table

__all__ = ["completion", "config", "demo", "init"]


@click.command(cls=Command, examples=("agentmem init", "agentmem init ~/notes.mem"))
@click.argument("path", required=False)
@dry_run_option
@pass_invocation
def init(invocation: Invocation, path: str | None, dry_run: bool) -> None:
    """Make a memory, and say where it is.

    One that is there already is left as it is. What embeds its texts is said too.
    """
    from agentmem.config import without_passwords

    if path is not None:
        invocation.point_at(path)
    place, made = invocation.settings.memory, invocation.missing
    if dry_run and made:
        invocation.say("dry run: nothing was written")
        emit(clean(without_passwords(place)))
        return
    with invocation.open(create=True) as memory:
        embedder, scope, url = memory.embedder.id, str(memory.bound), memory.url
    if invocation.json:
        emit_json({"memory": url, "made": made, "embedder": embedder, "scope": scope})
        return
    emit(clean(url))
    if not made and "://" not in place:  # a server is not asked whether it had one
        invocation.say("it was there already")
    invocation.say(f"scope {scope}, texts embedded by {embedder}")
    if path is not None:
        shown = shlex.quote(without_passwords(path))
        invocation.say(f"use it with --memory {shown}, or set AGENTMEM_MEMORY={shown}")


@click.group(cls=Group, examples=("agentmem config show", "agentmem config validate"))
def config() -> None:
    """Show the settings, and where each comes from.

    Flags win over AGENTMEM_* variables, those over agentmem.toml and [tool.agentmem] of pyproject.toml in the
    current folder, those over the user's config.toml, and that over the defaults.
    """


@config.command("show", examples=("agentmem config show", "agentmem config show --scope user:ana --json"))
@pass_invocation
def config_show(invocation: Invocation) -> None:
    """List every setting, its value, and its origin."""
    items = invocation.settings.items()
    if invocation.json:
        emit_json({"settings": {key: {"value": value, "origin": origin} for key, value, origin in items}})
    else:
        emit_table(("setting", "value", "from"), items)


@config.command("path", examples=("agentmem config path", "agentmem config path --json"))
@pass_invocation
def config_path(invocation: Invocation) -> None:
    """List the files that are read, strongest first."""
    from agentmem.config import config_files

    files = [(path, path.is_file()) for path, _ in config_files(Path.cwd())]
    if invocation.json:
        emit_json({"files": [{"path": str(path), "present": present} for path, present in files]})
    else:
        emit_table(("", "file"), [("present" if present else "absent", str(path)) for path, present in files])


@config.command("validate", examples=("agentmem config validate", "agentmem config validate --json"))
@pass_invocation
def config_validate(invocation: Invocation) -> None:
    """Read every file and variable strictly, and your own prompts.

    Exits with 2, and says why, when one of them is wrong.
    """
    from agentmem.models.prompts import Prompts

    items = invocation.settings.items()
    Prompts(invocation.settings.models.prompts)
    named = sum(origin != "default" for _, _, origin in items)
    if invocation.json:
        emit_json({"valid": True, "set": named})
    else:
        emit("valid")
        invocation.say(f"{named} of {len(items)} settings are set; the others are at their defaults")


@click.command(
    cls=Command,
    examples=("agentmem completion bash >> ~/.bashrc", "agentmem completion zsh >> ~/.zshrc"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # the three shells above are click's own
    emit(kind(ctx.find_root().command, {}, "agentmem", "_AGENTMEM_COMPLETE").source())


@click.command(cls=Command, examples=("agentmem demo", "agentmem demo --folder ~/demo.mem"))
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where its memory is made; demo.mem among your data otherwise."
)
@pass_invocation
def demo(invocation: Invocation, folder: Path | None) -> None:
    """Watch it remember, answer with its reasons, and undo.

    A book and a conversation are taken in; questions are asked; a memory is edited, and the edit undone. The demo's
    memory is its own, so --memory and --scope do not touch it, and stays to be looked into.
    """
    from agentmem_apps.demo import run_demo

    if invocation.json:
        raise click.UsageError("the demo is told in words, and has no JSON")
    run_demo(
        folder=folder,
        embedder=invocation.settings.embedder,
        echo=lambda line: emit(clean(line)),
        progress=lambda: invocation.progress("embedding"),
    )
