"""The main job in one minute: take in a book and a conversation, ask, correct a memory, take the correction back.

Everything shown happens: the figures are this run's, the memory is a folder that stays and can be looked into.
"""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from statistics import median

from agentmem.cues import Hit
from agentmem.errors import InvalidInput
from agentmem.memory import Memory
from agentmem_apps.cli.wording import reasons
from agentmem_apps.importers.run import Progress, import_file

__all__ = ["run_demo"]

_BOOK = "tom-swift-and-his-talking-pictures.txt"
_CONVERSATION = "conversation.jsonl"
_LAUNCH = "demo-02"
_QUESTIONS = (
    "When is the launch?",
    "What would put Bo in hospital?",
    "Where will Bo pick Ana up?",
    "How much was Tom Swift offered for half an interest in the invention?",
    "Why do the theater owners not want the invention to succeed?",
)
_WIDTH = 100  # at most; less on a narrow terminal

Echo = Callable[[str], None]
Bar = Callable[[], AbstractContextManager[Progress]]


def run_demo(*, folder: Path | None, embedder: str, echo: Echo, progress: Bar) -> None:
    """Run it on the memory in `folder` (None: `demo.mem` in the user's data folder); a second run adds nothing.

    Raises InvalidInput when the memory that it corrects is no longer what the demo made.
    """
    if folder is None:
        from platformdirs import user_data_path

        folder = user_data_path("agentmem") / "demo.mem"
    with Memory.open(folder, embedder=embedder, actor="demo") as memory:
        echo(f"The memory is a folder: {folder}")
        echo(f"No key, no network. Vectors are made on this machine by {memory.embedder.id}.")
        _take_in(memory, echo, progress)
        _unchanged(memory, folder)
        times = [_ask(memory, question, echo) for question in _QUESTIONS]
        _correct(memory, echo)
        _timings(memory, times, echo)
    command = f"agentmem --memory {folder}"
    echo("")
    echo("Three commands to try next:")
    echo(f'  {command} recall "who kidnapped Ned?" --explain')
    echo(f"  {command} history {_LAUNCH}")
    echo('  agentmem add "My first memory." && agentmem recall "first"')


def _width() -> int:
    return min(_WIDTH, max(40, shutil.get_terminal_size((_WIDTH, 24)).columns))


def _heading(title: str, echo: Echo) -> None:
    echo("")
    echo(f"── {title} ".ljust(_width(), "─"))


def _unchanged(memory: Memory, folder: Path) -> None:
    launch = memory.get(_LAUNCH)
    if launch.state != "live" or "3 May" not in launch.text:
        raise InvalidInput(
            f"{_LAUNCH} in {folder} was changed by hand since the last demo",
            way_out="Undo that, or run the demo elsewhere: agentmem demo --folder PATH.",
        )


def _take_in(memory: Memory, echo: Echo, progress: Bar) -> None:
    _heading("It takes in a book and a conversation", echo)
    for name in (_BOOK, _CONVERSATION):
        with resources.as_file(resources.files("agentmem_apps") / "data" / name) as path:
            start = time.perf_counter()
            report = import_file(memory, path)
        took = time.perf_counter() - start
        if report.added:
            echo(f"{name}: {report.added:,} memories in {took:.2f} s, {report.added / took:,.0f} a second, durable.")
        else:
            echo(f"{name}: {report.existing:,} memories are here from an earlier run; nothing was added twice.")
    start = time.perf_counter()
    with progress() as bar:
        embedded = memory.flush(bar)
    if embedded:
        echo(f"Their {embedded:,} vectors, made apart from the writing, took {time.perf_counter() - start:.1f} s more.")
    memory.load()


def _ask(memory: Memory, question: str, echo: Echo) -> float:
    """Seconds from the question to its hits."""
    start = time.perf_counter()
    hits = memory.recall(question, k=2)
    took = time.perf_counter() - start
    _heading(f"{question}  ({took * 1000:.1f} ms)", echo)
    for hit in hits:
        _show(hit, echo)
    return took


def _show(hit: Hit, echo: Echo) -> None:
    record = hit.record
    who = f"{record.speaker}: " if record.speaker else ""
    for line in textwrap.wrap(f"{who}{record.text}", _width() - 4, max_lines=3, placeholder=" …"):
        echo(f"    {line}")
    echo(f"    └ {hit.score:.1f} = {reasons(hit.parts)}   because {hit.verdict or 'nothing is nearer'}")
    where = " · ".join(
        part for part in (record.session, record.place and record.place.id, f"{record.at:%d %B %Y}") if part
    )
    echo(f"      {where}")


def _correct(memory: Memory, echo: Echo) -> None:
    _heading("A memory is wrong, so you correct it", echo)
    before = memory.get(_LAUNCH)
    edited = memory.edit(_LAUNCH, text=before.text.replace("3 May", "10 May"), revision=before.revision)
    echo(f"  - {before.text}")
    echo(f"  + {edited.text}")
    echo(f"asked again: {memory.recall('When is the launch?', k=1)[0].record.text}")
    memory.undo(step=memory.history(_LAUNCH)[-1].step)
    echo(f"after undo:  {memory.recall('When is the launch?', k=1)[0].record.text}")
    echo("The journal keeps all of it:")
    for change in memory.history(_LAUNCH)[-3:]:
        echo(f"    change {change.seq}: {change.verb} by {change.actor}")


def _timings(memory: Memory, times: list[float], echo: Echo) -> None:
    _heading("In numbers", echo)
    stats = memory.stats()
    echo(
        f"{sum(stats.records.values()):,} memories, {stats.bytes / 2**20:.1f} MiB on disk, "
        f"{stats.head:,} changes in the journal; recall took {median(times) * 1000:.1f} ms (median of {len(times)})."
    )
