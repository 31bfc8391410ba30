"""Writes `docs/cli.md` from the program itself, so that the page cannot say what the program does not do.

    python -m agentmem_apps.cli.reference            writes docs/cli.md below the current folder
    python -m agentmem_apps.cli.reference --check    exits with 1 when that file is stale

Only shipped commands are in it; what strangers install is theirs to document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Final

import click

from agentmem.config import MEANINGS, PREFIX, Settings
from agentmem_apps.cli.app import SECTIONS, program
from agentmem_apps.cli.command import GLOBAL_OPTIONS
from agentmem_apps.cli.exits import ExitCode

__all__ = ["page", "settle"]

_WIDTH: Final = 88  # of the help texts, whatever terminal the page is written from
_CONVENTIONS: Final = """\
- stdout is data, stderr is talk: `agentmem recall launch --ids | xargs agentmem pin` works. Errors are three lines on
  stderr (what kind, what happened, what to do), never a traceback.
- On a terminal, lists are tables with headings. Off it they are aligned lines without headings, a memory a line.
- `--json` prints one object with `"schema": 1` and the field names of the Python objects; an error is then a JSON
  object on stderr: `{"schema": 1, "error": {"type", "title", "message", "way_out"}}`.
- Colours and progress bars appear on a terminal only, a bar after half a second; not with `NO_COLOR` (colours),
  `TERM=dumb`, or `--quiet`. In a log, a long task says a line every ten seconds.
- Questions are asked on a terminal only, and never with `--no-input`. `--yes` answers them beforehand.
- `--dry-run` stands by every command that writes: it does everything, shows it, and takes it back.
- An id may be written as any ending that only one memory's id has; lists show the last eight characters.
- Times are ISO 8601, such as 2024-05-03, 2024-05-03T14:00 or 2024-05-03T14:00+02:00. One without a zone is local time,
  which is also how times are shown; JSON holds them in UTC.
- Texts are cleaned of escape sequences and control characters before they reach a terminal; JSON keeps them, escaped.
- A distribution adds a command of its own by an entry point in the group `agentmem.commands`."""

_LAYERS: Final = """\
Each setting is a key of a TOML file, an environment variable and, for some, a global option. The strongest of these
that names it wins: option, variable, `agentmem.toml` in the current folder, `[tool.agentmem]` of `pyproject.toml`
there, `config.toml` in the user's configuration folder (`$XDG_CONFIG_HOME/agentmem` on Linux), default. A key or
variable that is not known is an error; an empty variable counts as not set. A relative `memory` in a file is
relative to that file."""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([*_head(), *_settings(), *_exit_codes(), *_commands()]) + "\n"


def _head() -> Iterator[str]:
    yield "<!-- Written by `python -m agentmem_apps.cli.reference`; edit the commands, not this page. -->"
    yield "# The command line"
    yield ""
    yield _CONVENTIONS
    yield ""
    yield "## `agentmem`"
    yield ""
    yield _help(["agentmem"], program)


def _settings() -> Iterator[str]:
    yield ""
    yield "## Settings"
    yield ""
    yield _LAYERS
    yield ""
    yield "| key | variable | option | default | meaning |"
    yield "|---|---|---|---|---|"
    flags = {option.name for option in GLOBAL_OPTIONS}
    for field in fields(Settings):
        if field.name not in MEANINGS:
            continue
        flag = f"`--{field.name}`" if field.name in flags else ""
        default = "`default.mem` among the user's data" if field.default is MISSING else f"`{field.default}`"
        variable = PREFIX + field.name.upper()
        yield f"| `{field.name}` | `{variable}` | {flag} | {default} | {MEANINGS[field.name]} |"
    yield ""
    yield "```toml"
    yield "# agentmem.toml"
    yield 'memory = "notes.mem"'
    yield 'scope = "user:ana"'
    yield "```"


def _exit_codes() -> Iterator[str]:
    yield ""
    yield "## Exit codes"
    yield ""
    yield "| code | name | meaning |"
    yield "|---|---|---|"
    for code in ExitCode:
        yield f"| {code.value} | {code.name} | {code.meaning} |"


def _commands() -> Iterator[str]:
    context = click.Context(program, info_name="agentmem")
    for title, names in SECTIONS:
        yield ""
        yield f"## {title}"
        for name in names:
            command = program.get_command(context, name)
            if command is not None:
                yield from _command(["agentmem", name], command)


def _command(path: list[str], command: click.Command) -> Iterator[str]:
    yield ""
    yield f"### `{' '.join(path)}`"
    yield ""
    yield _help(path, command)
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _command([*path, name], child)


def _help(path: list[str], command: click.Command) -> str:
    context: click.Context | None = None
    for name in path[:-1]:
        context = click.Context(program, info_name=name, parent=context)
    shown = click.Context(
        command, info_name=path[-1], parent=context, terminal_width=_WIDTH, help_option_names=["-h", "--help"]
    )
    return f"```text\n{command.get_help(shown).rstrip()}\n```"


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("docs/cli.md"))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when the file is stale.")
def main(path: Path, check: bool) -> None:
    """Write the reference of the command line to PATH."""
    settle(path, page(), check=check, by="agentmem_apps.cli.reference")


def settle(path: Path, wanted: str, *, check: bool, by: str) -> None:
    """Write a page; with `check` only leave with FAILED when it is another, and say by which module it is written."""
    if not check:
        path.write_text(wanted, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != wanted:
        click.echo(f"{path} is stale; run python -m {by}", err=True)
        raise SystemExit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
