"""Memories with chunks in them: vectors that a reader can foresee, and what the tests of chunks look at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.records import Record
from agentmem.store import Host
from agentmem_stores.chunks import ChunkMemory

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
TOPICS = ("sea", "cake", "train", "choir")


class Topics:
    """One axis a topic, and a little of twelve others by the other words: vectors that a reader can foresee."""

    id = "topics-16-v1"
    dimension = 16
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), 16), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split(") ")[-1].split(": ")[-1].replace(".", "").split():
                if word in TOPICS:
                    row[TOPICS.index(word)] += 1
                else:
                    row[4 + hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % 12] += 0.2
        return rows


Making = Callable[[Host], ChunkMemory]


def opened(path: Path, make: Making = ChunkMemory, embedder: Any = None) -> Memory:
    memory = Memory.open(path / "m", embedder=embedder or Topics())
    memory.attach("chunked", make)
    return memory


def chunked(memory: Memory) -> ChunkMemory:
    """The store, having followed all there is."""
    memory.load()
    store = memory.stores["chunked"]
    assert isinstance(store, ChunkMemory)
    store.apply(store.host.ledger.changes(after=store.cursor))
    return store


def tell(memory: Memory, texts: Sequence[str], *, at: datetime = NOON, **fields: Any) -> list[Record]:
    """A minute apart."""
    return memory.add_many([{"text": text, "at": at + i * MINUTE, **fields} for i, text in enumerate(texts)])


def said(topic: str, number: int) -> list[str]:
    return [f"{topic} word{i}" for i in range(number)]


def leaves(node: Any) -> Iterator[Any]:
    if not node["children"]:
        yield node
    for child in node["children"]:
        yield from leaves(child)


def sizes(store: ChunkMemory) -> list[int]:
    return [leaf["records"] for leaf in leaves(store.tree()) if leaf["id"]]


def closed(store: ChunkMemory) -> list[bool]:
    return [leaf["closed"] for leaf in leaves(store.tree()) if leaf["id"]]


class Counting:
    """A host that counts the vectors it is asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.looked_up = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def vectors(self, positions: Sequence[int]) -> NDArray[np.float32]:
        self.looked_up += len(positions)
        return self._host.vectors(positions)
