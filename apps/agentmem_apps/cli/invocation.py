"""One run of the command line: its global options, its settings, the memory it opens, and how it talks and asks.

Every command gets it (`pass_invocation`), a stranger's too, as click's context object. It decides no exit status.
agentmem.memory and what it needs (numpy, SQLAlchemy: 300 ms) are imported where a memory is opened,
because `agentmem --help` loads this module.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.output import clean, coloured, emit, emit_json, plural
from agentmem_apps.cli.progress import Progress

if TYPE_CHECKING:
    from agentmem.config import Settings
    from agentmem.memory import Memory
    from agentmem.records import Record

__all__ = ["Invocation", "pass_invocation"]


class Invocation:
    """`flags` is filled while the command line is parsed; read it only inside a command."""

    def __init__(self, flags: dict[str, Any]) -> None:
        self._flags = flags

    @property
    def json(self) -> bool:
        return bool(self._flags.get("json"))

    @property
    def quiet(self) -> bool:
        return bool(self._flags.get("quiet"))

    def point_at(self, memory: str) -> None:
        """Use this memory, as --memory would; for a command that takes the place as its argument."""
        if "memory" in self._flags:
            raise click.UsageError("give the place once: as the argument or with --memory")
        self._flags["memory"] = memory

    @property
    def interactive(self) -> bool:
        """Whether a question reaches a person who can answer it."""
        return not self._flags.get("no_input") and sys.stdin.isatty() and sys.stderr.isatty()

    @cached_property
    def settings(self) -> Settings:
        from agentmem.config import Settings

        return Settings.load({key: self._flags.get(key) for key in ("memory", "scope", "embedder", "index", "model")})

    def say(self, text: str) -> None:
        """Talk: a line on stderr, unless --quiet."""
        if not self.quiet:
            click.echo(clean(text), err=True, color=coloured(sys.stderr))

    def progress(self, label: str) -> Progress:
        return Progress(label, quiet=self.quiet)

    def embed_waiting(self, memory: Memory) -> None:
        """Embed what waits, visibly. What the embedder may not be sent waits on, which has been logged."""
        from agentmem.models.embedding import NotAsked

        with suppress(NotAsked), self.progress("embedding") as progress:
            memory.flush(progress)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on after a yes. A no ends the command, as INTERRUPTED; where nobody can be asked it is a usage error."""
        if yes:
            return
        if not self.interactive:
            raise click.UsageError("this needs --yes: there is nobody here to be asked")
        if not click.confirm(question, err=True):
            self.say("nothing was changed")
            raise click.exceptions.Exit(ExitCode.INTERRUPTED)

    def hand_back(self, records: Sequence[Record], done: str) -> None:
        """What a verb gives: the ids as data, and as talk what was done to them; or the records as JSON."""
        if self.json:
            emit_json({"records": [record.to_json(full=True) for record in records]})
            return
        for record in records:
            emit(clean(record.id))
        self.say(f"{done} {plural(len(records), 'memory', 'memories')}")

    @property
    def missing(self) -> bool:
        """Whether the memory is a folder that is not there. A URL's server is asked when it is opened."""
        return "://" not in self.settings.memory and not Path(self.settings.memory).exists()

    def open(self, *, create: bool = False) -> Memory:
        """The memory of the settings. Raises LedgerError, with the way out, when it is not there and not to be made."""
        if create and self.missing:
            self.say(f"making a new memory at {self.settings.memory}")
        return self._open(self.settings.memory, create=create)

    @contextmanager
    def writing(self, dry_run: bool, *, create: bool = False) -> Iterator[Memory]:
        """The memory, open for a write; with `dry_run` it all happens, is shown, and is rolled back."""
        if not dry_run:
            with self.open(create=create) as memory:
                yield memory
            return
        with ExitStack() as stack:
            if create and self.missing:
                # A rehearsal must not leave a memory behind either, so it is held in a folder that goes away.
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                memory = stack.enter_context(self._open(f"{folder}/new", create=True))
            else:
                memory = stack.enter_context(self.open())
            self.say("dry run: nothing was written")
            with memory.rehearse():
                yield memory

    def _open(self, place: str, *, create: bool) -> Memory:
        from agentmem.memory import Memory

        settings = self.settings
        if settings.offline == "on":
            os.environ["AGENTMEM_OFFLINE"] = "on"  # read where an address is about to be asked
        return Memory.open(
            place,
            scope=settings.scope,
            embedder=settings.embedder,
            index=settings.index,
            create=create,
            durability=settings.durability,
            actor=settings.actor,
            late_interaction=settings.late_interaction == "on",
            models=settings.models,
        )


pass_invocation = click.make_pass_decorator(Invocation)
