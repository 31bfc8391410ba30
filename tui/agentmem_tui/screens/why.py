"""Why memories are recalled, and why others are not: each candidate's score as a bar of its parts, its verdict, and the
stores that were asked. Parts can be let count for more or less, for a trial of the order; votes are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.cues import Cue, Hit, Hits
from agentmem.errors import RecordNotFound
from agentmem.records import Record
from agentmem_apps.cli.output import plural
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.bars import Legend, stacked
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.lineage import question_of, shown_ids
from agentmem_tui.screens.acting import Acting, stands
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.origin import OriginScreen
from agentmem_tui.screens.typing import TypeScreen
from agentmem_tui.trial import Placed, Trial
from agentmem_tui.widgets.options import Options

__all__ = ["WhyScreen", "show_why"]

_WON: Final = 20  # candidates that win; as many that lost are shown
_BAR: Final = (8, 24)  # cells of a bar, at least and at most
_LONG: Final = 400  # cells of the text beside


async def show_why(screen: Acting[Any], record: Record | None, typed: str) -> None:
    """Of an answer, what it was shown; else ask for a question, `typed` offered, and show what it brings up."""
    if record is not None and shown_ids(record) is not None:
        question = await _question(screen.memory, record)
        if question is not None:
            await screen.app.push_screen(WhyScreen(screen.memory, question.text, (record, question)))
            return
        screen.notify("What was asked there is gone; ask it again.")
    asked = await _asked(screen, typed)
    if asked:
        await screen.app.push_screen(WhyScreen(screen.memory, asked))


async def _asked(screen: Acting[Any], typed: str) -> str:
    note = "What it brings up is shown, and what fell, each with the reason."
    return (await screen.app.push_screen_wait(TypeScreen("What is asked?", value=typed, note=note)) or "").strip()


async def _question(memory: AsyncMemory, answer: Record) -> Record | None:
    try:
        return await memory.get(question_of(answer)) if question_of(answer) else None
    except RecordNotFound:
        return None


class _Row:
    """A candidate on a line as wide as there is room."""

    def __init__(self, placed: Placed, score: str, bar: tuple[dict[str, float], Legend] | None, marks: str) -> None:
        self._placed = placed
        self._score = score
        self._bar = bar
        self._marks = marks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        place, was, inside, hit = self._placed
        width = options.max_width
        moved = "↑" if place < was else "↓" if place > was else " "
        line = Text(f"{self._marks}{f'{place + 1}' if inside else '–':>3}{moved}{self._score:>7} ", no_wrap=True)
        bar = min(max(width // 5, _BAR[0]), _BAR[1])
        line.append_text(Text(" " * bar) if self._bar is None else stacked(self._bar[0], bar, self._bar[1]))
        line.append(f" {one_line(hit.record.text, max(width - line.cell_len - 1, 1))}", "" if inside else "dim")
        yield line


class WhyScreen(Acting[None]):
    """Of a question; `of` is an answer of a chat with the record of its question, to see what it was shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["heavier", "lighter"], shown=["heavier"], priority=True),  # a list would scroll by them
        *bindings(
            ["even", "useful", "of-no-use", "ask", "origin", "back"],
            shown=["even", "useful", "of-no-use", "ask", "back"],
        ),
    ]

    def __init__(self, memory: AsyncMemory, query: str, of: tuple[Record, Record] | None = None) -> None:
        super().__init__(memory)
        self._of = of
        self._cue = Cue(query) if of is None else Cue(query, until=of[1].at, now=of[1].at)
        self._hits = Hits()
        self._trial = Trial()
        self._legend = Legend([])
        self._beside: list[Hit] = []  # what an answer was shown, and its question does not bring up
        self._gone = 0  # what it was shown, and is not here any more
        self._votes: dict[str, bool] = {}
        self._rows: list[Placed] = []
        self._asking = True

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(classes="said")
        with Horizontal(classes="panes"):
            yield Options(classes="candidates")
            with Vertical(classes="aside"):
                yield Static(classes="aside-text")
                yield Options(classes="parts")
        yield Static(classes="legend")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._candidates.focus()
        self._show()
        self.act(self.follow, "asking", alone=True)

    @property
    def _candidates(self) -> Options:
        return self.query_one(".candidates", Options)

    @property
    def _parts(self) -> Options:
        return self.query_one(".parts", Options)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """Ask anew: what was written since may be recalled, or push others out."""
        cue = self._cue
        try:
            hits = await self.memory.recall(cue, _WON, explain=True)
        finally:
            self._asking = False
        beside, gone = ([], 0) if self._of is None else await self._shown_beside(self._of, hits)
        if cue is not self._cue or not stands(self):  # something else is asked by now
            return
        self._hits, self._beside, self._gone = Hits(self._meant(hits), hits.asked), beside, gone
        self._trial.show(self._hits)
        self._legend = Legend(hit.parts for hit in self._hits)
        self._show()
        votes = await asyncio.to_thread(self._standing)
        if cue is self._cue and stands(self):
            self._votes = votes
            self._show()

    def _meant(self, hits: Hits) -> Iterator[Hit]:
        """Of an answer, what was there when it was asked; not its question."""
        for hit in hits:
            if self._of is None or (hit.record.at < self._of[1].at and hit.record.id != self._of[1].id):
                yield hit

    async def _shown_beside(self, of: tuple[Record, Record], hits: Hits) -> tuple[list[Hit], int]:
        found, gone = list[Hit](), 0
        known = {hit.record.id for hit in self._meant(hits)}
        verdict = "shown for being in mind, or by a tool, or the memory has changed: the question does not bring it up"
        for id in shown_ids(of[0]) or ():
            if id not in known:
                try:
                    record = await self.memory.get(id)
                except RecordNotFound:
                    gone += 1
                else:
                    found.append(Hit(record, 0.0, {}, verdict, won=False, cue=self._cue.text))
        return found, gone

    def _standing(self) -> dict[str, bool]:
        """What was last said of each for this question."""
        return {said.record: said.useful for said in self.memory.sync.feedbacks() if said.cue == self._cue.text}

    def _show(self) -> None:
        """The candidates as they stand under the weights, the cursor on the one it was on."""
        listed, at = self._candidates, self._at
        ranked = self._trial.ranked()
        more = enumerate(self._beside, len(ranked))
        self._rows = [*ranked, *(Placed(place, place, False, hit) for place, hit in more)]
        weighted = [self._trial.parts(hit) for hit in self._hits]
        legend = self._legend.reaching(weighted)
        shown = set() if self._of is None else set(shown_ids(self._of[0]) or ())
        options: list[Option | None] = []
        for n, row in enumerate(self._rows):
            if n and (row.inside != self._rows[n - 1].inside or n == len(ranked)):
                options.append(None)
            id = row.hit.record.id
            marks = ("●" if id in shown else " ") + {True: "+", False: "-", None: " "}[self._votes.get(id)]
            recalled = n < len(ranked)
            score = f"{self._trial.score(row.hit):.2f}" if recalled else "–"
            bar = (self._trial.parts(row.hit), legend) if recalled else None
            options.append(Option(_Row(row, score, bar, marks), id=str(n)))
        listed.set_options(options)
        ids = [row.hit.record.id for row in self._rows]
        if ids:
            listed.highlighted = ids.index(at.hit.record.id) if at and at.hit.record.id in ids else 0
        self._tell()
        self._show_row()

    def _tell(self) -> None:
        head = Text("why recalled ▸ " if self._of is None else "why shown ▸ ", style="dim")
        head.append(one_line(self._cue.text, 200), style="bold")
        self.query_one(".top", Static).update(head)
        won = sum(hit.won for hit in self._hits)
        said = f"{won} recalled, {len(self._hits) - won} fell" if self._rows else "Nothing was brought up."
        if self._asking:
            said = "asking…"
        elif self._of is not None:
            gone = f", and {self._gone} that is not here any more" if self._gone else ""
            said += f"; ● was shown for the answer{gone}; as the memory stands now"
        if self._trial.weights:
            moved = plural(len(self._trial.weights), "weight")
            said = f"! {moved} moved (*): a trial of the order only, nothing is searched or kept; 0 resets"
        self.query_one(".said", Static).update(Text(said))
        self.query_one(".legend", Static).update(self._legend.text(max(self.size.width - 2, 20)))

    @property
    def _at(self) -> Placed | None:
        at = self._candidates.highlighted
        return self._rows[at] if at is not None and at < len(self._rows) else None

    def _show_row(self) -> None:
        """What made up the score of the one pointed at, and the stores that were asked."""
        row, listed = self._at, self._parts
        told = Text()
        if row is not None:
            verb = "fell" if not row.hit.won else "recalled"
            told.append(f"{verb}: {one_line(row.hit.verdict or 'without a reason', 300)}\n", style="bold")
            if row.place != row.was:
                told.append(f"under these weights {row.place + 1}., was {row.was + 1}.\n")
            told.append(one_line(row.hit.record.text, _LONG))
        self.query_one(".aside-text", Static).update(told)
        at = listed.highlighted
        listed.set_options([*self._part_options(row), *self._asked_options()])
        if listed.option_count:
            listed.highlighted = min(at or 0, listed.option_count - 1)

    def _part_names(self) -> list[str]:
        """All that count for any, those with a mark first: the same for all rows, so that the pointer stays."""
        return [*self._legend.marks, *self._legend.others]

    def _part_options(self, row: Placed | None) -> Iterator[Option]:
        for name in self._part_names():
            part = 0.0 if row is None else row.hit.parts.get(name, 0.0)
            weight = self._trial.weight(name)
            line = Text(no_wrap=True).append(*self._legend.mark(name).drawn(2))
            line.append(f" {one_line(name, 11):<11}{part:>+6.2f} ×{weight:.2f}")
            if name in self._trial.weights:
                line.append(f" ={weight * part + 0.0:+.2f} *", style="bold")
            yield Option(line)

    def _asked_options(self) -> Iterator[Option]:
        for one in self._hits.asked:
            line = Text("asked ").append(one_line(one.store, 24), style="bold")
            line.append(f": {plural(one.hits, 'hit')}, {one.ms:.0f} ms")
            for words in filter(None, (one.why, one.note)):
                line.append(f"; {one_line(words, 200)}")
            yield Option(line)

    @on(Options.OptionHighlighted, ".candidates")
    def _pointed_at(self) -> None:
        self._show_row()

    @on(Options.OptionSelected, ".candidates")
    def _open(self) -> None:
        if (row := self._at) is not None:
            self.app.push_screen(HistoryScreen(self.memory, row.hit.record))

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_ask(self) -> None:
        self.act(self._ask, "asking", alone=True)

    async def _ask(self) -> None:
        asked = await _asked(self, self._cue.text)
        if asked:
            self._cue, self._of, self._votes = Cue(asked), None, {}
            self._asking = True
            self._tell()
            await self.follow()

    def action_heavier(self) -> None:
        self._weigh(1)

    def action_lighter(self) -> None:
        self._weigh(-1)

    def _weigh(self, steps: int) -> None:
        names, at = self._part_names(), self._parts.highlighted
        if at is not None and at < len(names):
            self._trial.move(names[at], steps)
            self._show()

    def action_even(self) -> None:
        self._trial.reset()
        self._show()

    def action_useful(self) -> None:
        self.act(partial(self._vote, useful=True), "voting")

    def action_of_no_use(self) -> None:
        self.act(partial(self._vote, useful=False), "voting")

    async def _vote(self, *, useful: bool) -> None:
        row = self._at
        if row is None:
            return
        id, word = row.hit.record.id, "useful" if useful else "of no use"
        if self._votes.get(id) is useful:
            self.notify(f"That it is {word} stands already.")
            return
        await self.memory.feedback(row.hit, useful=useful)
        self._votes[id] = useful
        self.notify(f"noted: {word}; z takes it back", timeout=4)
        if stands(self):  # it was not left meanwhile
            self._show()

    def action_origin(self) -> None:
        if (row := self._at) is not None:
            self.app.push_screen(OriginScreen(self.memory, row.hit.record))

    def action_back(self) -> None:
        self.app.pop_screen()
