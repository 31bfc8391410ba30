"""The form every command shares: examples first in its help, and global options before or after its name.

Knows click and the list of global options. What they do is the invocation's business; which commands there are, the
program's. Loaded by `agentmem --help`, so it imports nothing heavier than click (25 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

__all__ = ["FLAGS", "GLOBAL_OPTIONS", "Command", "Group", "dry_run_option", "with_global_options"]

FLAGS: Final = "agentmem.flags"  # the key of ctx.meta under which the global options gather


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Gather a global option in the one place that every context of this run shares; the last one given wins."""
    if value is not None and value is not False:
        ctx.meta.setdefault(FLAGS, {})[param.name] = value


def _global(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


GLOBAL_OPTIONS: Final[tuple[click.Option, ...]] = (
    _global("--memory", metavar="PATH", help="The memory: a folder, or a ledger's URL."),
    _global("--scope", metavar="SCOPE", help="The namespace to work in, such as user:ana."),
    _global(
        "--embedder", metavar="NAME", help="What turns texts into vectors: auto, hash, minilm, openai:MODEL[@URL]."
    ),
    _global("--index", metavar="NAME", help="What searches the vectors: auto, exact, chroma, chroma:URL."),
    _global(
        "--model",
        metavar="SPEC",
        help="The language model: openai:MODEL, http://HOST/v1#MODEL, local:FOLDER; none is needed.",
    ),
    _global("--json", is_flag=True, help="Data as JSON on stdout, errors as JSON on stderr."),
    _global("--quiet", "-q", is_flag=True, help="Say nothing on stderr but errors."),
    _global("--no-input", is_flag=True, help="Never ask; what would have been asked is an error."),
)


def with_global_options(command: click.Command) -> click.Command:
    """The command, taking the global options after its own name too; its own options win where names clash."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            with_global_options(child)
    taken = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    command.params.extend(option for option in GLOBAL_OPTIONS if taken.isdisjoint(option.opts))
    return command


class _Form(click.Command):
    """Help that starts with examples, and names the global options in one line instead of repeating their texts."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
            formatter.write_paragraph()
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shared = [option for option in options if option in GLOBAL_OPTIONS]
        records = [option.get_help_record(ctx) for option in options if ctx.parent is None or option not in shared]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        if shared and ctx.parent is not None:
            with formatter.section("Global options, explained by agentmem --help"):
                formatter.write_text("  ".join(option.opts[0] for option in shared))


class Command(_Form):
    """A command with `examples`, two or more lines that work as they stand."""


class Group(_Form, click.Group):
    """A group of commands with `examples`, such as `agentmem config`."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # the same answer from every release of click
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)


def dry_run_option(function: Any) -> Any:
    return click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")(function)
