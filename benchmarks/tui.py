"""What the screens cost at 100,000 memories: the first paint, a list that narrows as it is typed, a page further.

    python -m benchmarks.tui [--records 100000] [--json FILE]

First paint: from the start of the process `agentmem tui` on a terminal until the newest memory stands on it. Finding:
from a letter that is typed until the list that fits stands there. A page: from the key until all its rows are read and
drawn. Milliseconds by the clock, the app alone on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from textual.geometry import Region
from textual.widgets import Input

from agentmem import Memory
from agentmem_tui.app import MemoryApp
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.widgets.record_table import RecordTable
from benchmarks.floor import Talk
from benchmarks.measure import keep, machine_line, median, percentile

SIZE: Final = (120, 40)
STARTS: Final = 5
PAGES: Final = 100
LAST: Final = "the last of all that was said"
PATIENCE_S: Final = 60.0


def first_paint(place: Path) -> float:
    """Seconds, of a process of its own on a pseudo-terminal."""
    mine, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(SIZE[0]), "LINES": str(SIZE[1])}
    began = time.perf_counter()
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("agentmem")), "tui", str(place), "--embedder", "hash"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        start_new_session=True,
    ) as child:
        seen = b""
        while LAST.encode() not in seen and time.perf_counter() < began + PATIENCE_S:
            if select.select([mine], [], [], 0.01)[0]:
                seen += os.read(mine, 65_536)
        took = time.perf_counter() - began
        child.send_signal(signal.SIGKILL)
    os.close(mine)
    os.close(theirs)
    if LAST.encode() not in seen:
        raise SystemExit("the screen never showed the last memory")
    return took


async def until(condition: Callable[[], object]) -> None:
    ends = time.perf_counter() + PATIENCE_S
    while not condition():
        if time.perf_counter() > ends:
            raise SystemExit("the screen never came to it")
        await asyncio.sleep(0.0005)


def in_sight(table: RecordTable) -> range:
    top = int(table.scroll_offset.y)
    return range(top, min(top + table.size.height - 1, table.virtual_size.height - 1))


async def at_work(place: Path, words: list[str]) -> dict[str, list[float]]:
    """Seconds for each letter of these words, and for each page."""
    app = MemoryApp(str(place), lambda create=False: Memory.open(place, embedder="hash", create=create))
    found: dict[str, list[float]] = {"a letter": [], "a page": [], "a frame": []}
    async with app.run_test(size=SIZE):
        await until(lambda: isinstance(app.screen, BrowseScreen) and app.screen.query(RecordTable))
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        table = screen.table
        await until(lambda: table.virtual_size.height > 1_000)
        shown = 0

        def show(positions: Sequence[int], *, keep: bool = True) -> None:
            nonlocal shown
            RecordTable.show(table, positions, keep=keep)
            shown += 1

        table.show = show  # type: ignore[method-assign]  # counts the lists
        for _ in range(PAGES):
            began = time.perf_counter()
            table.action_page_down()
            await until(lambda: all(table.at(row) is not None for row in in_sight(table)))
            found["a page"].append(time.perf_counter() - began)
            began = time.perf_counter()
            table.render_lines(Region(0, 0, *table.size))
            found["a frame"].append(time.perf_counter() - began)
        line = screen.query_one(Input)
        screen.action_find()
        for word in words:
            for end in range(1, len(word) + 1):
                before, began = shown, time.perf_counter()
                line.value = word[:end]
                await until(lambda before=before: shown > before)  # type: ignore[misc]
                found["a letter"].append(time.perf_counter() - began)
            before = shown
            line.value = ""
            await until(lambda before=before: shown > before)  # type: ignore[misc]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        place = Path(folder) / "large.mem"
        talk = Talk(asked.records)
        with Memory.open(place, embedder="hash", index="exact") as memory:
            memory.add_many([*talk.turns(asked.records - 1), LAST])
            memory.flush()
        first_paint(place)  # the files are in the system's memory from here on
        times: dict[str, list[float]] = {"first paint": [first_paint(place) for _ in range(STARTS)]}
        words = [record.text.split()[0] for record in _some(place, 10)]
        times |= asyncio.run(at_work(place, words))
    rows: dict[str, Any] = {
        name: {"p50_ms": 1e3 * median(taken), "p95_ms": 1e3 * percentile(taken, 0.95)} for name, taken in times.items()
    }
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{asked.records:,} records: clock p50 / p95, ms")
    for name, row in rows.items():
        print(f"  {name:12}", *(f"{one:8.2f}" for one in row.values()))
    print(f"  memory, the making of the ledger included: {memory_mib:,.0f} MiB")
    print(machine_line())
    keep(asked.json, "tui", {"records": asked.records, "rows": rows, "memory_mib": memory_mib})
    return 0


def _some(place: Path, n: int) -> list[Any]:
    with Memory.open(place, embedder="hash", create=False) as memory:
        positions = memory.listing()
        return memory.listed(positions[1 :: max(1, len(positions) // n)][:n])


if __name__ == "__main__":
    sys.exit(main())
