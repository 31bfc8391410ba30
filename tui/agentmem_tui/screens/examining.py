"""An examination by the doctor, on a thread of its own: findings come as they are made.

The thread holds the memory open a second time, and lets go of it when it has ended or nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import closing

from agentmem.config import Settings
from agentmem.index import Progress
from agentmem_apps.doctor.examination import examine
from agentmem_apps.doctor.finding import Finding

__all__ = ["examined", "mended"]


async def examined(settings: Settings, found: Callable[[Finding], None], tell: Callable[[str], None]) -> None:
    """Hand over every finding as soon as it is made. `tell` hears what is looked at; both are called in the loop."""
    loop, left = asyncio.get_running_loop(), threading.Event()

    def work(examination: Generator[Finding, None, None]) -> None:
        with closing(examination):
            for finding in examination:
                if left.is_set():
                    return
                loop.call_soon_threadsafe(found, finding)

    try:
        await asyncio.to_thread(work, examine(settings, lambda what: _say(loop, tell, what)))
    finally:
        left.set()


async def mended(settings: Settings, wanted: Finding, progress: Progress) -> Finding | None:
    """The finding after its repair was run; None when it is not found any more. `progress` is called in the loop.

    A repair needs the memory as the examination opened it that found it: so it is found anew.
    """
    loop = asyncio.get_running_loop()

    def work() -> Finding | None:
        with closing(examine(settings)) as examination:
            again = next((finding for finding in examination if _same(finding, wanted)), None)
            return again and again.mended(lambda done, total: _say(loop, progress, done, total))

    return await asyncio.to_thread(work)


def _say(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], *told: object) -> None:
    if not loop.is_closed():  # the program ends while the thread goes on
        loop.call_soon_threadsafe(tell, *told)


def _same(one: Finding, other: Finding) -> bool:
    """Whether they are of the same thing: what is said of it changes with the memory."""
    return (one.name, one.scope) == (other.name, other.scope) and one.repair is not None and other.repair is not None
