"""A memory with a `ThoughtMemory`, and what tests ask of both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentmem import Memory
from agentmem.records import Record, State
from agentmem.store import Report
from agentmem_stores.thinking.statements import key
from agentmem_stores.thoughts import ThoughtMemory
from tests.fakes import TinyEmbedder

ALL_STATES: tuple[State, ...] = ("live", "forgotten", "replaced")
BASE = datetime(2024, 5, 3, 12, tzinfo=UTC)
EMBEDDER = TinyEmbedder()
numbers = itertools.count()


def day(n: int) -> datetime:
    return BASE + timedelta(days=n)


def opened(memory: Memory, **options: Any) -> Memory:
    memory.attach("tim", lambda host: ThoughtMemory(host, **options))
    return memory


def of(memory: Memory) -> ThoughtMemory:
    store = memory.stores["tim"]
    assert isinstance(store, ThoughtMemory)
    return store


def think(memory: Memory, models: Any = None) -> Report:
    return memory.consolidate("tim", models=models)["tim"]


def thoughts(memory: Memory, *states: str) -> list[Record]:
    return [r for r in memory.records(states=states or ALL_STATES) if r.kind == "thought"]  # type: ignore[arg-type]


def holding(memory: Memory, *heads: str) -> dict[tuple[str, str], set[str]]:
    return {
        (key(one.head), key(one.relation)): {key(tail) for tail in one.tails}
        for head in heads
        for one in of(memory).current(head)
    }


def columns(store: ThoughtMemory) -> tuple[list[Any], list[Any]]:
    return sorted(store._table.rows.tolist()), sorted(store._table.sources.tolist())


def new_room(house: Memory) -> Memory:
    """An empty memory with its thoughts, cheaper than a folder."""
    return opened(house.scope(f"room:{next(numbers)}"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("thoughts") / "m", embedder=EMBEDDER) as memory:
        yield memory


@pytest.fixture
def room(house: Memory) -> Memory:
    return new_room(house)
