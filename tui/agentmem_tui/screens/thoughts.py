"""What is known of one name, or what one thought hangs on: it stands in the middle, with what leads to it at the left
and where it leads at the right. Never the whole web at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.errors import RecordNotFound
from agentmem_apps.cli.output import one_line, plural
from agentmem_tui.actions import bindings
from agentmem_tui.linked import Around, Centre, Said, Step, Tie, around, candidates, first, path
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.asking import reading
from agentmem_tui.screens.choosing import Chooser
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.typing import TypeScreen

__all__ = ["ThoughtsScreen"]

_COLUMNS: Final = ("from", "centre", "to")
_BETWEEN: Final = ">"  # stands between the two ends of a path, as they are typed
_NOTHING: Final = """\
Nothing is known of anybody here yet.

Thoughts are drawn from what was said, by rules or by a language model:

  agentmem consolidate thoughts
  memory.consolidate("thoughts")"""


class ThoughtsScreen(Acting[None]):
    """Walks from one to the next, and back by the way it came."""

    AUTO_FOCUS = ".to .column"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["go-to"], shown=["go-to"], priority=True),  # or help would not tell of it
        *bindings(["column-left", "column-right"], priority=True),  # a list would scroll
        *bindings(["return", "path", "choose", "middle", "back"], shown=["return", "path", "choose", "back"]),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self._around: Around | None = None
        self._came: list[Centre] = []  # through, to where it is

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(Text(_NOTHING), classes="nothing")
        with Horizontal(classes="columns"):
            for name in _COLUMNS:
                with Vertical(classes=name):
                    yield Static(classes="column-title")
                    yield OptionList(classes="column lines")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(".nothing").display = False
        self.act(self.follow, "reading", alone=True)

    def _column(self, name: str) -> OptionList:
        return self.query_one(f".{name} .column", OptionList)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """The same in the middle, as it is now; where it is gone, what was there before."""
        centre = self._around.centre if self._around is not None else None
        while centre is not None:
            try:
                found = await reading(self.memory, partial(around, centre=centre))
            except RecordNotFound:
                centre = self._came.pop() if self._came else None
                continue
            if found.known:
                self._show(found)
                return
            centre = self._came.pop() if self._came else None
        begin = await reading(self.memory, first)
        self._show(None if begin is None else await reading(self.memory, partial(around, centre=begin)))

    def _go(self, centre: Centre) -> None:
        self.act(partial(self._gone, centre), "reading", alone=True)

    async def _gone(self, centre: Centre) -> None:
        found = await reading(self.memory, partial(around, centre=centre))
        if self._around is not None and self._around.centre.key != found.centre.key:
            self._came.append(self._around.centre)
        self._show(found)

    def _show(self, found: Around | None) -> None:
        if not self.query(".columns"):  # it was left meanwhile
            return
        before, self._around = self._around, found
        self.query_one(".nothing").display, self.query_one(".columns").display = found is None, found is not None
        head = Text("thoughts ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        for centre in self._came[-3:]:
            head.append(f" ▸ {one_line(centre.words, 20)}", style="dim")
        if found is not None:
            head.append(f" ▸ {one_line(found.centre.words, 40)}")
            self.query_one(".centre .column-title", Static).update(Text(one_line(found.centre.words, 120)))
            self._title("from", f"← {plural(len(found.before), 'link')} from")
            self._title("to", f"→ {plural(len(_leads(found)), 'link')} to")
            again = before is not None and before.centre.key == found.centre.key
            self._fill("centre", [_said(one) for one in found.said], again=again)
            self._fill("from", [_link(tie) for tie in found.before], again=again)
            self._fill("to", [_link(tie) for tie in _leads(found)], again=again)
        self.query_one(".top", Static).update(head)

    def _title(self, column: str, words: str) -> None:
        self.query_one(f".{column} .column-title", Static).update(Text(words))

    def _fill(self, column: str, labels: Sequence[Text], *, again: bool) -> None:
        """The cursor stays at what it was at, if that is still there."""
        listed = self._column(column)
        at = listed.highlighted if again else None
        standing = str(listed.get_option_at_index(at).prompt) if at is not None else ""
        listed.clear_options()
        listed.add_options(Option(label) for label in labels)
        if labels:
            said = [str(label) for label in labels]
            listed.highlighted = said.index(standing) if standing in said else min(at or 0, len(said) - 1)

    # ── walking ──────────────────────────────────────────────────────────────────────────────────────────────────

    @on(OptionList.OptionSelected)
    def action_go_to(self) -> None:
        found, column = self._around, self._at()
        at = None if column is None else self._column(column).highlighted
        if found is None or at is None:
            return
        if column == "centre":
            self.app.push_screen(HistoryScreen(self.memory, found.said[at].record))
        else:
            self._go((found.before if column == "from" else _leads(found))[at].to)

    def action_middle(self) -> None:
        at = self._column("centre").highlighted
        if self._around is not None and at is not None:
            self._go(Centre.of(self._around.said[at].record))

    def action_return(self) -> None:
        self.act(self._return, "reading", alone=True)

    async def _return(self) -> None:
        while self._came:
            try:
                found = await reading(self.memory, partial(around, centre=self._came[-1]))
            except RecordNotFound:  # it is gone meanwhile
                self._came.pop()
                continue
            self._came.pop()
            self._show(found)
            return
        self.notify("This is where it began.", timeout=3)

    def _at(self) -> str | None:
        """The column that has the keys."""
        return next((name for name in _COLUMNS if self._column(name) is self.focused), None)

    def action_column_left(self) -> None:
        self._turn(-1)

    def action_column_right(self) -> None:
        self._turn(1)

    def _turn(self, steps: int) -> None:
        at = self._at()
        self._column(_COLUMNS[min(max(_COLUMNS.index(at) + steps, 0), 2)] if at else "centre").focus()

    def action_choose(self) -> None:
        self.act(self._choose)

    async def _choose(self) -> None:
        async def look(words: str) -> list[tuple[Text, Centre]]:
            found = await reading(self.memory, partial(candidates, words=words))
            return [(_named(centre), centre) for centre in found]

        chosen = await self.app.push_screen_wait(Chooser[Centre]("Whom or what to look at", look))
        if chosen is not None:
            self._go(chosen)

    def action_path(self) -> None:
        self.act(self._path)

    async def _path(self) -> None:
        if self._around is None:
            return
        here = self._around.centre
        typed = await self.app.push_screen_wait(
            TypeScreen(f"A way from {one_line(here.words, 40)} to", note=f"or between two: Ben {_BETWEEN} Lisbon")
        )
        left, _, right = (part.strip() for part in (typed or "").rpartition(_BETWEEN))
        if not right:
            return
        start = Centre(left) if left else here
        steps = await reading(self.memory, partial(path, start=start, end=Centre(right)))
        if steps is None:
            self.notify(f"No way was found from {one_line(start.words, 40)} to {one_line(right, 40)}.", markup=False)
            return
        lines = [(_named(start), start), *((_step(step), step.tie.to) for step in steps)]

        async def look(_: str) -> list[tuple[Text, Centre]]:
            return lines

        told = f"{one_line(start.words, 40)} to {one_line(right, 40)}: {plural(len(steps), 'step')}"
        chosen = await self.app.push_screen_wait(Chooser[Centre](told, look, typed=False))
        if chosen is not None:
            self._go(chosen)

    def action_back(self) -> None:
        self.app.pop_screen()


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _leads(found: Around) -> list[Tie]:
    """What the right column shows."""
    return [*found.after, *found.together]


def _named(centre: Centre) -> Text:
    return Text(one_line(centre.words, 200), style="" if centre.id else "bold")


def _link(tie: Tie) -> Text:
    """What it leads to, whether it holds, and below that of which type it is and how strong."""
    told = Text(one_line(tie.to.words, 200), style="" if tie.ended else "bold")
    if tie.ended is not None:
        told = Text.assemble(_ended(tie.ended), " ", told)
    told.append("\n  ")
    told.append(_typed(tie), style="dim")
    return told


def _typed(tie: Tie) -> str:
    kind = f"not: {one_line(tie.type, 60)}" if tie.denied else one_line(tie.type, 60)
    return kind if tie.weight is None else f"{kind} · {tie.weight:.2f}"


def _said(said: Said) -> Text:
    told = Text(one_line(said.record.text, 400))
    told.append(f"\n  since {said.record.at:%Y-%m-%d}", style="dim")
    return told if said.ended is None else Text.assemble(_ended(said.ended), " ", told)


def _ended(at: datetime) -> tuple[str, str]:
    """That something holds no longer: a word and the day, in UTC as everywhere where thoughts are told."""
    return f"until {at:%Y-%m-%d}:", "italic"


def _step(step: Step) -> Text:
    told = Text(f"  {'→' if step.along else '←'} {_typed(step.tie)}  ", style="dim")
    told.append(one_line(step.tie.to.words, 120), style="bold")
    return told
