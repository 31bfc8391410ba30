"""A chat of the command line: lines in, answers out as they come, on a terminal or through a pipe.

stdout has the answers and what commands print; all that is said beside them is on stderr.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Final

import click

from agentmem.errors import AgentMemError, InvalidInput
from agentmem.records import Record
from agentmem_apps.chat.agent import ChatAgent, ChatStream
from agentmem_apps.chat.commands import OFF, obey
from agentmem_apps.chat.conversation import mark
from agentmem_apps.chat.reply import Reply
from agentmem_apps.chat.streamed import Cleaner
from agentmem_apps.cli.app import told
from agentmem_apps.cli.exits import ExitCode, exit_code_for
from agentmem_apps.cli.invocation import Invocation
from agentmem_apps.cli.output import clean, coloured, emit, emit_json, one_line

__all__ = ["Chat", "Stopped"]

_SHOWN: Final = 4  # turns of a conversation that is gone on with
_WIDTH: Final = 300  # characters of each


class Stopped(KeyboardInterrupt):
    """Ctrl-C, which stops what is under way; any other KeyboardInterrupt, such as SIGTERM's, ends the chat."""


class Chat:
    """`shown`: on a terminal. `last` is the last reply, `remembered` the notes that were taken, `over` ends it."""

    def __init__(self, agent: ChatAgent, invocation: Invocation, *, shown: bool) -> None:
        self.agent = agent
        self.invocation = invocation
        self.shown = shown
        self.last: Reply | None = None
        self.remembered: list[str] = []
        self.over = False
        self._stream: ChatStream | None = None
        self._status = ExitCode.DONE

    def run(self) -> ExitCode:
        """Until the end of what is typed or piped in; the status of the first line that got no whole answer, or DONE,
        as on a terminal always: there it was seen."""
        if not self.shown:
            for line in self._piped():
                self.take(line)
                if self.over:
                    break
            return self._status
        with suppress(ImportError):  # not on every platform; it edits lines, and keeps their history until the end
            import readline  # noqa: F401
        self._talk()
        return ExitCode.DONE

    def take(self, line: str) -> None:
        """One line: a command, or what is to be answered. What goes wrong with it is told."""
        if not line.strip():
            return
        try:
            if line.startswith("/") and not line.startswith("//"):
                stream = obey(self, line)
            else:
                stream = self.agent.stream(line[1:] if line.startswith("//") else line)
            if stream is not None:
                self._answer(stream)
        except AgentMemError as error:
            self._tell(error)

    def show(self, turns: Iterable[Record]) -> None:
        """The last of these turns, shortened, as talk."""
        for turn in list(turns)[-_SHOWN:]:
            who = turn.speaker or turn.role or ""
            self.aside(f"{one_line(who)}> {one_line(turn.text, _WIDTH)}{mark(turn)}")

    def aside(self, text: str) -> None:
        """Talk: dimmed on a terminal."""
        if self.shown and coloured(sys.stderr) and not self.invocation.quiet:
            click.echo(click.style(clean(text), dim=True), err=True)
        else:
            self.invocation.say(text)

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _piped(self) -> Iterator[str]:
        for number, data in enumerate(sys.stdin.buffer, start=1):
            try:
                line = data.decode("utf-8")
            except UnicodeDecodeError as error:
                self._tell(
                    InvalidInput(
                        f"line {number} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
                        way_out="Convert it first: iconv -f LATIN1 -t UTF-8.",
                    )
                )
                continue
            yield (line.removeprefix("\ufeff") if number == 1 else line).rstrip("\r\n")

    def _talk(self) -> None:
        self.show(self.agent.path())
        self.aside(OFF if self.agent.off else "/help lists what can be typed")
        before = signal.signal(signal.SIGINT, self._interrupted)
        stopped = False
        try:
            while not self.over:
                try:
                    if stopped:
                        stopped = False
                        emit()
                        self.aside("to leave: Ctrl-D, or /quit")
                    line = self._typed()
                    if line is None:
                        emit()
                        return
                    self.take(line)
                except Stopped:
                    stopped = True
        finally:
            signal.signal(signal.SIGINT, before)

    def _typed(self) -> str | None:
        """What is typed, with the lines that a backslash at the end calls for; None after Ctrl-D."""
        prompt = f"{one_line(self.agent.user)}{' (off)' if self.agent.off else ''}> "
        lines: list[str] = []
        while True:
            try:
                line = input(prompt)
            except EOFError:
                return None
            except UnicodeDecodeError as error:
                self._tell(InvalidInput(f"what was typed is not {error.encoding} text"))
                return ""
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])
            prompt = "… "

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stream is None or not self._stream.keeping:  # else it has ended, and must not be lost
            raise Stopped

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, stream: ChatStream) -> None:
        cleaner = Cleaner()
        begun = self.shown  # whether something stands on the line
        self._stream = stream
        if self.shown:
            self._print(f"{one_line(self.agent.name)}> ")
        try:
            with suppress(Stopped), stream:
                for piece in stream:
                    if not self.invocation.json:
                        self._print(cleaner.feed(piece))
                        begun = True
        except AgentMemError:
            if begun:
                emit()
            raise
        finally:
            self._stream = None
        try:
            reply = stream.reply
        except InvalidInput:  # it was stopped before it had begun
            emit()
            return
        self.last = reply
        self.remembered += [record.id for record in reply.written]
        if self.invocation.json:
            emit_json(reply.to_json())
        elif self.shown or reply.text.strip():
            emit(cleaner.rest() + (" (stopped)" if reply.stopped else ""))
        self._beside(reply)

    def _beside(self, reply: Reply) -> None:
        """What there is to say of an answer."""
        if reply.cut and not reply.stopped:
            self._fail(ExitCode.UNREACHABLE)
            self.aside(f"cut short: {one_line(reply.cut)}")
        for note in (*_passed_over(reply), *reply.notes):
            self.aside(one_line(note))
        self.aside("off: nothing was read or kept" if self.agent.off else reply.line)

    def _print(self, text: str) -> None:
        if text:
            click.echo(text, nl=False, color=coloured(sys.stdout))  # which flushes

    def _tell(self, error: AgentMemError) -> None:
        self._fail(exit_code_for(error))
        click.echo(told(error, as_json=self.invocation.json), err=True)

    def _fail(self, status: ExitCode) -> None:
        self._status = self._status or status


def _passed_over(reply: Reply) -> Iterator[str]:
    """Each model that did not answer, and who was asked instead."""
    names = [choice.model for choice in reply.models]
    for fault in reply.passed_over:
        name = next((name for name in names if fault.startswith(f"{name}: ")), "")
        yield f"{name} did not answer: {fault.removeprefix(f'{name}: ')}; asked {reply.model}"
