"""How a memory is: its numbers, what the doctor finds and mends, the jobs that wait or were given up, what models took.

The doctor looks when the view is opened, when it is asked, and after a repair; the rest follows the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.config import Settings
from agentmem.errors import PluginError
from agentmem.jobs import Job
from agentmem.memory import Memory
from agentmem.models.calls import Usage, money
from agentmem.stats import Stats
from agentmem.values import now
from agentmem_apps.cli.output import clean, local_time, plural, short_id
from agentmem_apps.doctor.finding import Finding
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.screens.acting import Acting, stands
from agentmem_tui.screens.examining import examined, mended
from agentmem_tui.screens.stepping import Ask

__all__ = ["HealthScreen"]

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {  # a sign and a style; the word stands beside them
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "fault": ("✗", "bold red"),
}
_LINE: Final = 200  # cells of a line that is cut by its window
_NO_JOBS: Final = "This ledger keeps neither jobs nor costs."


class _Numbers(NamedTuple):
    """What is read each time something was written. No jobs and no usage: the ledger keeps none."""

    stats: Stats
    jobs: tuple[Job, ...] | None
    usage: tuple[Usage, ...]


class HealthScreen(Acting[None]):
    """Findings and jobs in one list, and beside it all that is known of the one pointed at."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        ["fix", "retry", "examine", "back"], shown=["fix", "retry", "examine", "back"]
    )

    def __init__(self, memory: AsyncMemory, settings: Settings) -> None:
        super().__init__(memory)
        self._settings = replace(settings, scope=str(memory.bound))
        self._findings: list[Finding] = []
        self._listed: list[Finding | Job] = []  # the worst first, then the jobs
        self._numbers: _Numbers | None = None
        self._doing = ""  # what is looked at or repaired right now

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(classes="numbers")
        with Horizontal(classes="panes"):
            yield OptionList(classes="steps findings")
            with VerticalScroll(classes="step"):
                yield Static(classes="step-text")
        yield Static(classes="told-below")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._show()
        self.act(self.follow, "following", alone=True)
        self.action_examine()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """The numbers and jobs as they are now."""
        numbers = await asyncio.to_thread(_numbers, self.memory.sync)
        if stands(self):
            self._numbers = numbers
            self._show()

    def _found(self, finding: Finding) -> None:
        self._findings.append(finding)
        if stands(self):
            self._show()

    def _tell(self, doing: str) -> None:
        self._doing = doing
        if stands(self):
            self._say()

    def _say(self) -> None:
        if self._doing:
            told = Text(f"… {one_line(self._doing, _LINE)}", style="bold")
        else:
            told = Text(_counted(self._findings), style="dim")
        self.query_one(".told-below", Static).update(told)

    def _show(self) -> None:
        head = Text("health ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        self.query_one(".top", Static).update(head)
        self.query_one(".numbers", Static).update(_in_numbers(self._numbers))
        listed = self.query_one(OptionList)
        at, pointed = listed.highlighted or 0, self._pointed_at()
        before = None if pointed is None or not at else _key(pointed)  # at the top, the worst is to be seen
        self._listed = [*sorted(self._findings, key=_rank), *self._jobs]
        listed.clear_options()
        listed.add_options(
            Option(_finding_line(one) if isinstance(one, Finding) else _job_line(one)) for one in self._listed
        )
        if self._listed:
            stays = [row for row, one in enumerate(self._listed) if _key(one) == before]
            listed.highlighted = stays[0] if stays else min(at, len(self._listed) - 1)
        self._say()
        self._show_pointed_at()

    @on(OptionList.OptionHighlighted)
    def _point(self) -> None:
        self._show_pointed_at()

    def _show_pointed_at(self) -> None:
        one = self._pointed_at()
        text = _of_finding(one) if isinstance(one, Finding) else _of_job(one) if one is not None else Text()
        self.query_one(".step-text", Static).update(text)

    @property
    def _jobs(self) -> tuple[Job, ...]:
        return () if self._numbers is None or self._numbers.jobs is None else self._numbers.jobs

    def _pointed_at(self) -> Finding | Job | None:
        at = self.query_one(OptionList).highlighted
        return self._listed[at] if at is not None and at < len(self._listed) else None

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_examine(self) -> None:
        if not self._doing:
            self._doing = "looking"
            self.act(self._examine, "examining")

    async def _examine(self) -> None:
        self._findings.clear()
        self._show()
        try:
            await examined(self._settings, self._found, self._tell)
        finally:
            self._doing = ""
        self._show()

    def action_fix(self) -> None:
        finding = self._pointed_at()
        if not isinstance(finding, Finding) or finding.repair is None:
            self.notify("There is nothing here that can be repaired from here.")
        elif self._doing:
            self.notify("One thing at a time: the doctor is still at work.")
        else:
            self.act(partial(self._fix, finding), "examining")

    async def _fix(self, finding: Finding) -> None:
        """Ask, repair, and look again."""
        assert finding.repair is not None
        would = one_line(finding.repair.would, _LINE)
        note = "No memory and no journal is changed by it."
        if not await self.app.push_screen_wait(Ask(f"{would[:1].upper()}{would[1:]}?", [_where(finding)], note=note)):
            return
        self._tell(would)
        try:
            done = await mended(self._settings, finding, partial(self._progress, would))
        finally:
            self._doing = ""
        said = "it is well already" if done is None else done.done
        well = done is None or done.repaired
        self.notify(one_line(said, _LINE), severity="information" if well else "error", timeout=8, markup=False)
        self._doing = "looking"
        await self._examine()
        await self.follow()

    def _progress(self, would: str, done: int, total: int) -> None:
        self._tell(f"{would}: {done:,} of {total:,}")

    def action_retry(self) -> None:
        job = self._pointed_at()
        if not isinstance(job, Job) or job.state != "dead":
            self.notify("There is no job here that was given up.")
        else:
            self.act(partial(self._retry, job))

    async def _retry(self, job: Job) -> None:
        await asyncio.to_thread(lambda: self.memory.sync.jobs.retry(job.id))
        self.notify("it waits to be tried again; agentmem sleep does what waits", timeout=6)
        await self.follow()

    def action_back(self) -> None:
        self.app.pop_screen()


def _numbers(memory: Memory) -> _Numbers:
    try:
        jobs = memory.jobs.listed("dead", "waiting")
        today = [limit.since for limit in memory.models.limits()]
        midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
        usage = memory.calls.usage(since=max(today, default=midnight), inside=True)
    except PluginError:
        return _Numbers(memory.stats(), None, ())
    return _Numbers(memory.stats(), tuple(sorted(jobs, key=lambda job: job.state)), tuple(usage))


def _in_numbers(numbers: _Numbers | None) -> Text:
    if numbers is None:
        return Text("reading…", style="dim")
    stats = numbers.stats
    counted = ", ".join(f"{count:,} {state}" for state, count in stats.records.items() if count) or "none"
    told = [
        ("records", counted),
        ("changes", f"{stats.head:,}"),
        ("size", f"{stats.bytes / 1e6:,.1f} MB"),
        ("embedder", one_line(stats.embedder, 40)),
        ("index", one_line(stats.index, 60)),
        ("to embed", f"{stats.pending:,}"),
    ]
    text = Text()
    for name, value in told:
        text.append("   " if text else "").append(f"{name} ", style="dim").append(value)
    text.append("\nmodels today ", style="dim")
    if numbers.jobs is None:
        return text.append(_NO_JOBS)
    calls = sum(one.calls for one in numbers.usage)
    if not calls:
        return text.append("not asked")
    failed = sum(one.failed for one in numbers.usage)
    tokens = sum(one.tokens_in + one.tokens_out for one in numbers.usage)
    text.append(f"{plural(calls, 'call')}, {failed:,} failed, {tokens:,} tokens, ")
    text.append(f"{money(sum(one.picos for one in numbers.usage)):g} in money")
    dearest = numbers.usage[0]
    return text.append(f"; most by {one_line(dearest.model, 30)} for {one_line(dearest.role, 20)}", style="dim")


def _rank(finding: Finding) -> int:
    return ("fault", "warning", "ok").index(finding.severity)


def _key(one: Finding | Job) -> tuple[str, ...]:
    """By what it is known again, when it is found anew."""
    return (one.id,) if isinstance(one, Job) else (one.name, one.scope, one.sentence)


def _finding_line(finding: Finding) -> Text:
    sign, style = _SIGNS[finding.severity]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{sign} {finding.severity:<8} ", style=style).append(f"{one_line(finding.name, 11):<11} ")
    text.append("(f) " if finding.repair is not None else "", style="bold")
    return text.append(_where(finding), style="dim" if finding.severity == "ok" else "")


def _where(finding: Finding) -> str:
    return one_line(f"{finding.scope}: {finding.sentence}" if finding.scope else finding.sentence, _LINE)


def _job_line(job: Job) -> Text:
    dead = job.state == "dead"
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("† dead     " if dead else "◷ waiting  ", style="bold" if dead else "dim")
    text.append(f"{'job':<11} {one_line(job.kind, 20)}")
    return text.append(f"  {one_line(job.error, _LINE)}" if job.error else "", style="dim")


def _of_finding(finding: Finding) -> Text:
    sign, style = _SIGNS[finding.severity]
    text = Text().append(f"{sign} {finding.severity}", style=style).append(f"  {one_line(finding.name, 80)}\n")
    if finding.scope:
        text.append(f"in {one_line(finding.scope, 80)}\n", style="dim")
    text.append(f"\n{clean(finding.sentence)}\n")
    if finding.repair is not None:
        text.append(f"\nf would {clean(finding.repair.would)}\n", style="bold")
    elif finding.way_out:
        text.append(f"\n→ {clean(finding.way_out)}\n")
    return text


def _of_job(job: Job) -> Text:
    text = Text().append(f"job {short_id(job.id)}: {one_line(job.kind, 40)}\n", style="bold")
    when = "tried no more" if job.state == "dead" else f"due {local_time(job.due)}"
    text.append(f"{job.state}, {plural(job.attempts, 'attempt')}; {when}\n", style="dim")
    if job.error:
        text.append(f"\n{clean(job.error)}\n")
    if job.state == "dead":
        text.append("\nr lets it be tried again\n", style="bold")
    return text


def _counted(findings: list[Finding]) -> str:
    told = [plural(n, word) for word in ("fault", "warning") if (n := sum(one.severity == word for one in findings))]
    fixable = sum(one.repair is not None for one in findings)
    told += [f"{fixable:,} can be repaired: f"] if fixable else []
    return f"{plural(len(findings), 'check')}: {', '.join(told) or 'all is well'}"
