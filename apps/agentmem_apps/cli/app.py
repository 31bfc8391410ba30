"""The program `agentmem`: finds its commands by entry point, runs one, and turns every error into a message and a
status.

Any installed distribution adds a command by an entry point in the group `agentmem.commands`; the shipped ones are
registered in the same way. A command is imported when it is used. `agentmem --help` imports the shipped ones for
their short help, which is why none of their modules imports numpy, SQLAlchemy, rich or agentmem.memory at its top
(a test says so); strangers' commands are listed by name only.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click

from agentmem import __version__
from agentmem.errors import AgentMemError, Conflict, PluginError
from agentmem.registry import COMMANDS, load, names
from agentmem_apps.cli.command import FLAGS, GLOBAL_OPTIONS, Group, with_global_options
from agentmem_apps.cli.exits import ExitCode, exit_code_for
from agentmem_apps.cli.invocation import Invocation
from agentmem_apps.cli.output import clean, coloured, quiet_pipe, to_json_text

__all__ = ["SECTIONS", "main", "program", "told"]

# The order of `agentmem --help` and of the documentation: by what a newcomer needs first.
SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Begin", ("demo", "init")),
    ("Talk", ("chat",)),
    ("See and put right", ("tui",)),
    ("Remember and recall", ("add", "recall", "show", "feedback")),
    ("Put right", ("edit", "pin", "tag", "merge", "split", "review", "forget", "restore")),
    ("Look back", ("history", "log", "undo", "redo")),
    ("Think it over", ("sleep", "consolidate", "jobs", "about", "at", "complete", "links", "working", "stores")),
    ("Ask models", ("models",)),
    ("Let go", ("fade", "due", "repeats")),
    ("Take in and hand out", ("import", "export", "copy")),
    ("Look after", ("stats", "doctor", "reindex", "config", "completion")),
    ("Measure", ("eval",)),
)


class Program(Group):
    """The group of all commands. Running it never prints a traceback for an error that somebody can put right."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        installed = names(COMMANDS)
        ours = [name for _, listed in SECTIONS for name in listed if name in installed]
        return ours + [name for name in installed if name not in ours]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in names(COMMANDS):
            return None
        try:
            command = load(COMMANDS, cmd_name)
        except PluginError:
            if ctx.resilient_parsing:  # shell completion: a broken plug-in must not spoil the prompt
                return None
            raise
        if not isinstance(command, click.Command):
            raise PluginError(
                f"command {cmd_name!r} is a {type(command).__name__}, not a click command",
                way_out="Uninstall the distribution that registers it, or have it put right.",
            )
        return with_global_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in names(COMMANDS) and not name.startswith("-"):
            near = difflib.get_close_matches(name, names(COMMANDS), n=1)
            ctx.fail(f"there is no command {name!r}." + (f" Did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = set(self.list_commands(ctx))
        for title, section in SECTIONS:
            here = [name for name in section if name in listed]
            commands = [(name, self.get_command(ctx, name)) for name in here]
            with formatter.section(title):
                # Padded, so that the sections' columns line up.
                formatter.write_dl([(f"{n:<10}", c.get_short_help_str(100)) for n, c in commands if c is not None])
            listed -= set(here)
        if listed:
            with formatter.section("Installed by others"):
                formatter.write_text(" ".join(sorted(listed)))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with quiet_pipe():  # --help and --version print while the command line is still being parsed
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with quiet_pipe():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run, and leave with a status of `ExitCode`."""
        argv = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(argv, **{**extra, "prog_name": "agentmem", "standalone_mode": False}))

    def _run(self, argv: list[str], **extra: Any) -> int:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:  # closed by whoever started us (`>&-`, some services)
                setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - to the end
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a locale that cannot show a character must not stop a command
                stream.reconfigure(errors="backslashreplace")
        try:
            status = super().main(argv, **extra)
            return status if isinstance(status, int) else ExitCode.DONE
        except (AgentMemError, click.ClickException, click.exceptions.Abort, OSError) as error:
            as_json = "--json" in argv[: argv.index("--") if "--" in argv else None]
            click.echo(told(error, as_json=as_json), err=True)
            return exit_code_for(error)


def told(error: BaseException, *, as_json: bool = False) -> str:
    """An error as it is shown: three lines (what kind, what happened, what to do), or a line of JSON."""
    return _as_json(error) if as_json else _as_text(error)


def _told(error: BaseException) -> tuple[str, str, str]:
    """(title, message, way out) of an error."""
    if isinstance(error, AgentMemError):
        return error.title, str(error), error.way_out
    if isinstance(error, click.exceptions.Abort):
        return "Interrupted", "stopped before the end; what was not acknowledged was not written", ""
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "agentmem"
        return "That command line is not understood", error.format_message(), f"See {where} --help."
    if isinstance(error, click.ClickException):
        return "The command failed", error.format_message(), ""
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return "The system refused", f"{name}{error.strerror or error}", ""
    return "The command failed", str(error), ""


def _as_text(error: BaseException) -> str:
    title, message, way_out = _told(error)
    lines = [click.style(title, bold=True, fg="red") if coloured(sys.stderr) else title]
    lines += [f"  {clean(line)}" for line in (*message.splitlines(), *way_out.splitlines()) if line.strip()]
    return "\n".join(lines)


def _as_json(error: BaseException) -> str:
    title, message, way_out = _told(error)
    fields: dict[str, Any] = {"type": type(error).__name__, "title": title, "message": message, "way_out": way_out}
    if isinstance(error, Conflict):
        versions = {"current": error.current, "yours": error.yours}
        fields |= {name: record.to_json() for name, record in versions.items() if record is not None}
    return to_json_text({"error": fields})


@click.pass_context
def _begin(ctx: click.Context) -> None:
    """A memory for agents: remembers every word, finds the right one in milliseconds, and takes nothing back
    without being able to undo it.

    Global options stand before or after the command's name. Each is also a setting: AGENTMEM_MEMORY, AGENTMEM_SCOPE
    and AGENTMEM_EMBEDDER, or a line of agentmem.toml (agentmem config show says which is in force). Ids may be
    written as any ending that is unique.
    """
    ctx.obj = Invocation(ctx.meta.setdefault(FLAGS, {}))


program = Program(
    name="agentmem",
    callback=_begin,
    help=_begin.__doc__,
    params=[*GLOBAL_OPTIONS],
    examples=(
        'agentmem add "We moved the launch to 3 May." --speaker Ana',
        'agentmem recall "when is the launch?"',
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="agentmem", message="%(prog)s %(version)s")(program)


def main() -> NoReturn:
    """The entry point of the command `agentmem`."""
    signal.signal(signal.SIGTERM, _interrupted)  # so that a service manager's stop takes an import back, as Ctrl-C does
    program.main()


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
