"""What the screens look like: pictures for the README, made by the program on a memory made for it.

    python -m benchmarks.screenshots [docs/img]

Each is drawn by Textual as SVG and turned into PNG by rsvg-convert (Debian: librsvg2-bin).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from agentmem import Memory
from agentmem_tui.app import MemoryApp
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.stepping import Ask
from agentmem_tui.widgets.record_table import RecordTable

SIZE: Final = (150, 34)
WIDTH: Final = 1_500  # pixels
PATIENCE_S: Final = 30.0
TOLD: Final = (
    ("Ana", "harbour/pier 3", "The ferry to Porto leaves from pier 3 at nine."),
    ("Ben", "harbour", "The harbour master says that the tide turns at noon."),
    ("Ana", "home", "My sister lives in Porto; we stay with her until Sunday."),
    ("Ben", "market", "I bought oranges for the crossing."),
    ("Ana", "harbour/pier 3", "We moved the launch to 3 May, because of the weather."),
    ("Ben", "library", "I borrowed a book about tides; it is due on the 12th."),
    ("Ana", "home", "I prefer tea to coffee, except before nine."),
    ("Ben", "harbour", "The boat needs a new rope before the launch."),
    ("Ana", "market", "No oranges today. The baker asked about the launch."),
    ("Ben", "harbour/pier 3", "The new rope is aboard."),
)
# A picture's name, and the keys that lead to it from home.
PICTURES: Final[dict[str, Sequence[str]]] = {
    "home": ("j",),
    "why": ("w", *"when is the launch?", "enter"),
    "places": ("2",),
    "undo": ("z",),
}


def made(place: Path) -> None:
    """A memory of two people by the sea, some of it put right by an agent."""
    with Memory.open(place, embedder="hash") as memory:
        at = datetime(2026, 4, 27, 9, tzinfo=UTC)
        records = [
            memory.add(text, speaker=who, place=where, at=at + timedelta(hours=7 * n), session=f"day {n // 4 + 1}")
            for n, (who, where, text) in enumerate(TOLD)
        ]
        memory.pin(records[4].id)
        memory.consolidate()
    with Memory.open(place, embedder="hash", actor="agent") as agent, agent.step("the weather is better"):
        agent.edit(records[4].id, text="We moved the launch to 4 May, because of the weather.")
        agent.tag(records[7].id, add=["to do"])


async def pictured(place: Path, folder: Path) -> list[Path]:
    """One picture after another, each from home."""
    found = []
    for name, keys in PICTURES.items():
        app = MemoryApp("notes.mem", lambda create=False: Memory.open(place, embedder="hash", create=create))
        async with app.run_test(size=SIZE) as pilot:

            async def until(condition: Callable[[], object], pilot: object = pilot) -> None:
                ends = perf_counter() + PATIENCE_S
                while not condition():
                    if perf_counter() > ends:
                        raise SystemExit("the screen never came to it")
                    await asyncio.sleep(0.02)

            await until(lambda app=app: isinstance(app.screen, BrowseScreen) and app.screen.query(RecordTable))  # type: ignore[misc]
            await until(lambda app=app: app.screen.query_one(RecordTable).cursor_record)  # type: ignore[misc]
            for key in keys:
                await pilot.press(key)
            if keys[0] not in ("j",):
                await until(lambda app=app: not isinstance(app.screen, BrowseScreen))  # type: ignore[misc]
            for _ in range(20):
                await pilot.pause(0.05)
            assert name != "undo" or isinstance(app.screen, Ask)
            file = folder / f"tui-{name}.svg"
            drawn = app.export_screenshot(title="agentmem tui").replace("<svg ", '<svg xml:space="preserve" ', 1)
            file.write_text(drawn.replace("Fira Code", "DejaVu Sans Mono").replace(str(place), "notes.mem"))
            found.append(file)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/img"))
    asked = parser.parse_args()
    convert = shutil.which("rsvg-convert")
    if convert is None:
        print("rsvg-convert is not installed (Debian: librsvg2-bin)", file=sys.stderr)
        return 3
    asked.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        made(Path(folder) / "notes.mem")
        for drawn in asyncio.run(pictured(Path(folder) / "notes.mem", Path(folder))):
            target = asked.folder / f"{drawn.stem}.png"
            subprocess.run([convert, "-w", str(WIDTH), str(drawn), "-o", str(target)], check=True)
            print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
