"""How the tests of the terminal screens wait, and what they see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from rich.cells import get_character_cell_size
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget

P = ParamSpec("P")
PATIENCE_S = 30  # for what takes milliseconds on an idle machine


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that awaits, as pytest can call it."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def wait_for(pilot: Pilot[Any], condition: Callable[[], object], what: str) -> None:
    """Until it is so: messages are handled, workers go on."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"in {PATIENCE_S} s it never came to this: {what}"
        await pilot.pause()


def lines(widget: Widget) -> list[str]:
    """What a widget shows, as characters: each line as wide as it is, less the scrollbar."""
    return [strip.text for strip in widget.render_lines(Region(0, 0, *widget.scrollable_content_region.size))]


def alone(text: str) -> int:
    """How wide a text is where nothing is joined: no terminal needs more."""
    return sum(map(get_character_cell_size, text))
