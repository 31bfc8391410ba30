"""Before a step is taken back: which, whose, and what will be different. Nothing is written before a yes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from agentmem.aio import AsyncMemory
from agentmem.errors import RecordNotFound
from agentmem.records import Change
from agentmem_apps.cli.output import local_time, one_line, plural
from agentmem_apps.cli.wording import describe

__all__ = ["Ask", "Step", "StepScreen", "in_words", "told"]

_SHOWN: Final = 50  # changes that are listed
_PAST: Final = {
    "add": "added",
    "edit": "edited",
    "pin": "pinned",
    "tag": "tagged",
    "merge": "merged",
    "split": "split",
    "forget": "forgot",
    "restore": "restored",
    "import": "took in",
    "undo": "took back",
    "redo": "brought back",
    "fade": "let fade",
    "feedback": "said of",
    "evict": "took out of mind",
    "arrange": "put in front in mind",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What would be taken back: `undoes` names the step, `lines` say what it did, change by change."""

    verb: str
    undoes: int
    title: str
    lines: tuple[str, ...]
    left_out: int = 0

    @classmethod
    async def of(cls, memory: AsyncMemory, verb: str, changes: Sequence[Change]) -> Self:
        """Of the changes that taking it back would make."""
        undoes = changes[0].undoes
        assert undoes is not None
        made = await memory.log(_SHOWN + 1, step=undoes)
        count = len({change.record_id for change in changes})
        first = made[-1] if made else changes[-1]
        title = f"{verb}: {told(first, count)}"
        lines = tuple([await in_words(memory, change) for change in reversed(made[:_SHOWN])])
        return cls(verb, undoes, title, lines, max(count - len(lines), 0))

    @property
    def done(self) -> str:
        past = {"undo": "undone", "redo": "redone"}[self.verb]
        return f"{past}{self.title.removeprefix(self.verb)}"


async def in_words(memory: AsyncMemory, change: Change) -> str:
    """What one change did, and to which words, in a line."""
    did = one_line(describe(change), 120)
    if change.before is None or change.after is None or "text" in change.before:
        return did  # the words are in it
    with suppress(RecordNotFound):
        return f"{one_line((await memory.get(change.record_id)).text, 60)} ({did})"
    return did


def told(first: Change, count: int) -> str:
    """A step in a line: who did what to how many, and when."""
    did = _PAST.get(first.verb, first.verb)
    return f"{one_line(first.actor, 30)} {did} {plural(count, 'memory', 'memories')}, {local_time(first.at)}"


class Ask(ModalScreen[bool]):
    """A question with what it is about; enter or y says yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer(True)", "Yes"),
        Binding("escape,n,q", "answer(False)", "No"),
    ]

    def __init__(self, title: str, lines: Sequence[str] = (), *, note: str = "") -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._note = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._title), classes="dialog-title")
            if self._lines:
                with VerticalScroll(classes="dialog-body"):
                    for line in self._lines:
                        yield Static(Text(f"· {line}"))
            if self._note:
                yield Static(Text(self._note), classes="dialog-note")
            yield Footer(show_command_palette=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class StepScreen(Ask):
    """Asks whether a step is to be taken back."""

    def __init__(self, step: Step) -> None:
        more = f"and {step.left_out:,} more" if step.left_out else ""
        super().__init__(f"{step.title[:1].upper()}{step.title[1:]}?", step.lines, note=more)
