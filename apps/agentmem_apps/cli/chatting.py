"""The command `agentmem chat`, and the table of what may be typed inside a chat.

Loaded by `agentmem --help`: the agent, with LangChain and the memory (1 s), is imported when a chat begins.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from agentmem.errors import InvalidInput
from agentmem_apps.cli.command import Command
from agentmem_apps.cli.invocation import Invocation, pass_invocation
from agentmem_apps.cli.output import emit_json
from agentmem_apps.cli.reading import catch_up

if TYPE_CHECKING:
    from agentmem.memory import Memory

__all__ = ["SLASHES", "Slash", "chat"]


class Slash(NamedTuple):
    """What may be typed in a chat beside what is said. `argument` is as the usage shows it, in brackets when it may be
    left out; `keeps`: it reads or writes what is kept, and so is refused while the chat is off."""

    name: str
    argument: str
    help: str
    keeps: bool = True

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def needs_argument(self) -> bool:
        return bool(self.argument) and not (self.argument.startswith("[") and self.argument.endswith("]"))


# Parsing, /help and the reference go by this table.
SLASHES: Final[tuple[Slash, ...]] = (
    Slash("remember", "TEXT", "Keep a note of your own."),
    Slash("forget", "ID|last", "Put a memory in the trash; last: the one that was remembered last in this chat."),
    Slash("pin", "ID", "Keep a memory from fading."),
    Slash("search", "QUERY", "Find memories."),
    Slash("working", "", "Show what is held in mind."),
    Slash("why", "", "Show what the last answer was made of: memories and scores, stores, models.", keeps=False),
    Slash("off", "", "From now on, read nothing from the memory and keep nothing.", keeps=False),
    Slash("on", "", "Read and keep again.", keeps=False),
    Slash("undo", "", "Take back the last question and what came of it."),
    Slash("retry", "", "Ask the last question again."),
    Slash("edit", "TEXT", "Ask the last question in other words."),
    Slash("branch", "[ID]", "Go back to a turn, and on from there; without ID, list the turns."),
    Slash("list", "", "List the conversations, the last one first."),
    Slash("resume", "ID", "Go on with another conversation."),
    Slash("model", "[SPEC]", "Ask another model from now on; without SPEC, show who is asked.", keeps=False),
    Slash("cost", "", "Show what this conversation and this day took, by model.", keeps=False),
    Slash("save", "[--over] FILE", "Write the conversation as Markdown; --over replaces a file that is there."),
    Slash("help", "", "Show this list.", keeps=False),
    Slash("quit", "", "Leave; so does Ctrl-D.", keeps=False),
)


class _Chat(Command):
    """Help that ends with what may be typed in the chat."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("In the chat"):
            formatter.write_dl([(slash.usage, slash.help) for slash in SLASHES])
            formatter.write_paragraph()
            formatter.write_text("Text that begins with a slash is typed with two.")


@click.command(
    cls=_Chat,
    examples=(
        "agentmem chat -c --model http://localhost:11434/v1#llama3.2",
        "agentmem chat < notes.txt",
        "agentmem chat --plain --json < notes.txt",
    ),
)
@click.option("--plain", is_flag=True, help="Read lines from stdin and print answers, as is done off a terminal.")
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@click.option("--resume", metavar="ID", help="Go on with this conversation; the end of its id is enough.")
@click.option("--list", "list_", is_flag=True, help="List the conversations, and begin none.")
@click.option("--search", metavar="QUERY", help="List the conversations in which something fits, and begin none.")
@click.option("--off", is_flag=True, help="Read nothing from the memory and keep nothing, until /on.")
@click.option("--persona", metavar="TEXT|@FILE", help="Who the model is to be.")
@click.option("--user", metavar="NAME", default="User", show_default=True, help="Who speaks, in the memory.")
@click.option("--tools/--no-tools", default=None, help="Whether the model may look and remember of itself.")
@click.option("--read-twice", is_flag=True, help="Show the model what is recalled twice: small ones find more.")
@pass_invocation
def chat(
    invocation: Invocation,
    plain: bool,
    go_on: bool,
    resume: str | None,
    list_: bool,
    search: str | None,
    off: bool,
    persona: str | None,
    user: str,
    tools: bool | None,
    read_twice: bool,
) -> None:
    """Talk with a model that remembers.

    What you say is kept first, then answered from what is recalled for it. Without a model the answer is what is
    recalled. A memory that is not there yet is made.

    In a pipe, each line of stdin gets its answer on stdout, or with --json one object a line; the rest is on stderr.
    The status is that of the first line that got no whole answer. What is said there is thought about later, by
    agentmem sleep.
    """
    if sum((go_on, resume is not None, list_, search is not None)) > 1:
        raise click.UsageError("give one of --continue, --resume, --list and --search")
    if list_ or search is not None:
        with invocation.open() as memory:
            _list(invocation, memory, search)
        return
    given: dict[str, Any] = {} if persona is None else {"persona": _persona(persona)}
    from agentmem_apps.chat import ChatAgent, conversation, conversations
    from agentmem_apps.chat.terminal import Chat

    shown = not plain and not invocation.json and invocation.interactive and sys.stdout.isatty()
    with invocation.open(create=True) as memory:
        catch_up(invocation, memory)
        session = conversation(memory, resume).session if resume is not None else None
        if go_on:
            session = next((one.session for one in conversations(memory, 1)), None)
            if session is None:
                invocation.say("there is no conversation to go on with; a new one begins")
        agent = ChatAgent(
            memory,
            session=session,
            user=user,
            tools="auto" if tools is None else tools,
            read_twice=read_twice,
            background=shown,  # a pipe is not kept waiting by what is thought about
            **given,
        )
        agent.off = off
        with agent:
            status = Chat(agent, invocation, shown=shown).run()
    if status:
        raise click.exceptions.Exit(status)


def _persona(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, ValueError) as error:  # no home folder; not UTF-8, or a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"the persona {given[1:]!r} cannot be read: {why}") from error


def _list(invocation: Invocation, memory: Memory, query: str | None) -> None:
    from agentmem_apps.chat import conversations, search
    from agentmem_apps.chat.commands import print_conversations

    found = conversations(memory) if query is None else search(memory, query)
    if invocation.json:
        emit_json({"conversations": [one.to_json() for one in found]})
    elif found:
        print_conversations(found)
    else:
        invocation.say("there is no conversation yet" if query is None else "no conversation has anything like it")
