"""Telling a person how far a long task is: a bar on a terminal, a line now and then in a log, silence when short.

Where nothing can be counted, a terminal shows what is being done. Knows counts and clocks, nothing of
what is being counted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from agentmem_apps.cli.output import coloured, on_terminal, one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.status import Status
    from rich.text import Text

__all__ = ["Doing", "Progress"]

PATIENCE: Final = 0.5  # seconds of silence first: most tasks are over by then, and a bar that flashes is noise
LOG_EVERY: Final = 10.0  # seconds between the lines of a log


class Progress:
    """Call it with (done, total); total None or 0 when it is not known. Use as a context manager."""

    def __init__(self, label: str, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._quiet = quiet
        self._clock = clock
        self._began = self._told = clock()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._began = self._told = self._clock()
        return self

    def __call__(self, done: int, total: int | None = None) -> None:
        now = self._clock()
        if self._quiet or now - self._began < PATIENCE:
            return
        rate = done / (now - self._began)
        if on_terminal(sys.stderr):
            self._draw(done, total or None, rate)
        elif now - self._told >= LOG_EVERY:
            self._told = now
            of = f" of {total:,}, about {max(total - done, 0) / rate:.0f} s left" if total and rate else ""
            click.echo(f"{self._label}: {done:,}{of} ({rate:,.0f} a second)", err=True)

    def _draw(self, done: int, total: int | None, rate: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        if self._bar is None:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}", markup=False),
                TimeRemainingColumn(),
                console=Console(stderr=True, no_color=not coloured(sys.stderr)),
                transient=True,
            )
            self._task = self._bar.add_task(self._label, total=total, rate="")
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, rate=f"{rate:,.0f}/s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class Doing:
    """Call it with what is being done. As a context manager, again and again: the line is there only inside.

    Whoever works inside may not come back for minutes, so the line is drawn by a thread of its own.
    """

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._label = label
        self._quiet = quiet
        self._what = ""
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._line: Status | None = None

    def __call__(self, what: str) -> None:
        with self._guard:
            self._what = what
            if self._line is not None:
                self._line.update(self._told())

    def __enter__(self) -> Self:
        if on_terminal(sys.stderr) and not self._quiet:
            self._timer = threading.Timer(PATIENCE, self._draw)
            self._timer.daemon = True
            self._timer.start()
        return self

    def _draw(self) -> None:
        from rich.console import Console

        with self._guard:
            if self._timer is not None:  # else it was over meanwhile
                console = Console(stderr=True, no_color=not coloured(sys.stderr))
                self._line = console.status(self._told())
                self._line.start()

    def _told(self) -> Text:
        from rich.text import Text

        return Text(one_line(f"{self._label} {self._what}"), no_wrap=True, overflow="ellipsis")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
            if self._line is not None:
                self._line.stop()
            self._timer = self._line = None
