"""Asking one store of a memory, off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from agentmem.aio import AsyncMemory
from agentmem.memory import Memory

__all__ = ["asked", "reading"]

T = TypeVar("T")


async def asked(memory: AsyncMemory, store: str, question: Callable[[Any], T]) -> T:
    """What the store of that name answers, having followed the journal. PluginError where none is installed."""
    return await reading(memory, lambda sync: question(sync.stores[store]))


async def reading(memory: AsyncMemory, work: Callable[[Memory], T]) -> T:
    """What `work` makes of the memory, on a thread."""
    memory.check_open()
    return await asyncio.to_thread(work, memory.sync)
