"""The index under a memory, for tests that look at it."""

from __future__ import annotations

from agentmem import Memory
from agentmem_stores.vectors.chroma import ChromaIndex


def index_of(memory: Memory) -> ChromaIndex:
    index = memory._opened.view(memory.bound).index
    assert isinstance(index, ChromaIndex)
    return index


def put_away(memory: Memory) -> None:
    """Embed all, and let the index have all of it."""
    memory.load()
    view = memory._opened.view(memory.bound)
    view.sync()
    assert view.index.waiting == 0
