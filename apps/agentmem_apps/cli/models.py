"""The commands of language models: which are asked for what, and what asking them took.

Loaded by `agentmem --help`: agentmem.memory is imported only when a memory is opened (see invocation.py).
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agentmem_apps.cli.command import Group
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import clean, emit_json, emit_table, plural

if TYPE_CHECKING:
    from agentmem.models.calls import Usage
    from agentmem.models.choice import ModelChoice
    from agentmem.models.prompts import Prompt

__all__ = ["models"]


@click.group(cls=Group, examples=("agentmem models list", "agentmem models usage --days 7"))
def models() -> None:
    """Show which language models are asked for what, and what they cost.

    None is needed: agentmem remembers and recalls without. One is set by --model, AGENTMEM_MODEL, or a line of
    agentmem.toml; the table [models] there gives the roles theirs, with prices, budgets and what must never be sent.
    """


@models.command("list", examples=("agentmem models list", "agentmem models list --json"))
@pass_invocation
def models_list(invocation: Invocation) -> None:
    """List each role's models, in the order in which they would be asked here, and why."""
    from agentmem.models.choice import Need
    from agentmem.models.settings import EMBED, ROLES

    with invocation.open() as memory:
        chosen = {role: memory.router.models(Need(role)) for role in ROLES}
    none = not any(choices for role, choices in chosen.items() if role != EMBED)
    if invocation.json:
        emit_json({"roles": {role: [asdict(choice) for choice in choices] for role, choices in chosen.items()}})
        return
    emit_table(("role", "model", "why"), [row for role, choices in chosen.items() for row in _rows(role, choices)])
    if none:
        invocation.say("no model is set, and none is needed; --model SPEC or AGENTMEM_MODEL sets one")


def _rows(role: str, choices: list[ModelChoice]) -> list[tuple[str, str, str]]:
    if not choices:
        return [(role, "-", "none is set")]
    said = [(choice.model, f"not asked: {choice.why}" if choice.refused else choice.why) for choice in choices]
    return [(role if not at else "", model, why) for at, (model, why) in enumerate(said)]


@models.command("usage", examples=("agentmem models usage", "agentmem models usage --days 7 --json"))
@click.option("--days", type=click.IntRange(min=1), help="Of the last so many days alone; of all otherwise.")
@pass_invocation
def models_usage(invocation: Invocation, days: int | None) -> None:
    """Show what asking models took in this scope and those inside it: calls, tokens, money, time.

    A call that is still open counts as it was estimated.
    """
    from datetime import timedelta

    from agentmem.values import now

    since = None if days is None else now() - timedelta(days=days)
    with invocation.open() as memory:
        used = memory.calls.usage(since=since, inside=True)
        budgets = [(limit, memory.calls.spent(limit)) for limit in memory.models.limits()]
    if invocation.json:
        emit_json(
            {
                "usage": [_to_json(one) for one in used],
                "budgets": [
                    {
                        "scope": None if limit.scope is None else str(limit.scope),
                        "since": limit.since.isoformat(),
                        "tokens": {"spent": spent.tokens, "of": limit.tokens},
                        "money": {"spent": _money(spent.picos), "of": _money(limit.picos)},
                    }
                    for limit, spent in budgets
                ],
            }
        )
        return
    columns = ("role", "calls", "failed", "tokens in", "out", "money", "ms", "model")
    emit_table(columns, [_row(one) for one in used])
    for limit, spent in budgets:
        where = "in the whole memory" if limit.scope is None else f"in {limit.scope}"
        parts = [f"{spent.tokens:,} of {limit.tokens:,} tokens"] if limit.tokens is not None else []
        parts += [f"{_money(spent.picos):g} of {_money(limit.picos):g}"] if limit.picos is not None else []
        invocation.say(f"today {where}: {', '.join(parts) or 'no limit'}")
    total = sum(one.calls for one in used)
    invocation.say(f"{plural(total, 'call')}, {_money(sum(one.picos for one in used)):g} in all")


@models.command("prompts", examples=("agentmem models prompts", "agentmem models prompts reply > prompts/reply.md"))
@click.argument("name", required=False)
@pass_invocation
def models_prompts(invocation: Invocation, name: str | None) -> None:
    """List the prompts in force, or print the file of one.

    A file of the same name in the folder that prompts under [models] names takes its place; its version then ends with
    +custom and a digest of its text, wherever it is kept. What is printed is a file to begin from.
    """
    from agentmem.models.prompts import Prompts

    folder = invocation.settings.models.prompts
    known = Prompts(folder)
    if name is not None:
        _print_file(invocation, known[name])
        return
    if invocation.json:
        emit_json({"prompts": [_prompt_to_json(one) for one in known]})
        return
    columns = ("name", "version", "role", "slots")
    emit_table(columns, [(one.name, one.version, one.role, ", ".join(sorted(one.slots))) for one in known])
    if folder is not None:
        invocation.say(f"those with +custom are read from {folder}")


def _print_file(invocation: Invocation, prompt: Prompt) -> None:
    text = prompt.file.decode("utf-8-sig")
    if invocation.json:
        emit_json({"prompt": {**_prompt_to_json(prompt), "file": text}})
    else:
        # Into a file it goes as it is, byte by byte; a terminal would obey what it is told.
        click.echo(clean(text) if sys.stdout.isatty() else prompt.file, nl=False)


def _prompt_to_json(prompt: Prompt) -> dict[str, object]:
    return {"name": prompt.name, "version": prompt.version, "role": prompt.role, "slots": sorted(prompt.slots)}


def _money(picos: int | None) -> float | None:
    from agentmem.models.calls import money

    return None if picos is None else money(picos)


def _row(used: Usage) -> tuple[str, ...]:
    numbers = (f"{used.calls:,}", f"{used.failed:,}", f"{used.tokens_in:,}", f"{used.tokens_out:,}")
    return (used.role, *numbers, f"{_money(used.picos):g}", f"{used.ms:.0f}", used.model)


def _to_json(used: Usage) -> dict[str, object]:
    told = asdict(used)
    return {**told, "money": _money(told.pop("picos"))}
