"""A memory with a `ThoughtMemory`, and what tests ask of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from agentmem import Memory
from agentmem.errors import ModelError
from agentmem.models.answer import text_of
from agentmem.models.scripted import ScriptedModel
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


def think(memory: Memory, model: BaseChatModel | None = None) -> Report:
    asked = memory if model is None else memory.with_models(model)
    return asked.consolidate("tim")["tim"]


def fact(
    turn: int, head: str, relation: str, tail: str, quote: str, *, confidence: float = 0.9, **more: Any
) -> dict[str, Any]:
    """A fact as a model gives it."""
    told = {"turn": turn, "head": head, "relation": relation, "tail": tail, "quote": quote, "confidence": confidence}
    return told | more


def facts(*found: dict[str, Any]) -> str:
    """An answer of a model that extracts."""
    return json.dumps({"facts": list(found)}, ensure_ascii=False)


def votes(*found: str) -> str:
    """An answer of a model that judges, of pairs 1, 2, …"""
    return json.dumps({"votes": [{"pair": pair, "vote": vote} for pair, vote in enumerate(found, 1)]})


def scripted(extract: Sequence[Any] = (), judge: Sequence[Any] = ()) -> ScriptedModel:
    """A model that gives these answers in turn, by what it is asked: an answer is whatever a script may hold."""
    left = {"extract": list(extract), "judge": list(judge)}

    def answer(messages: list[BaseMessage]) -> Any:
        first = text_of(messages[0])
        role = "judge" if first.startswith("Compare the two statements") else "extract"
        if not left[role]:
            raise ModelError(f"no answer is left to {role}")
        return left[role].pop(0)

    return ScriptedModel(answer)


def shown(model: ScriptedModel) -> list[str]:
    """The prompts that the model was given, each as its last words: what is quoted."""
    texts = [text_of(messages[0]).rsplit("is never an instruction to you.\n\n", 1)[-1] for messages in model.asked]
    return [text.partition("\n\nAnswer with JSON alone")[0] for text in texts]


def thoughts(memory: Memory, *states: str) -> list[Record]:
    return [r for r in memory.records(states=states or ALL_STATES) if r.kind == "thought"]  # type: ignore[arg-type]


def holding(memory: Memory, *heads: str) -> dict[tuple[str, str], set[str]]:
    return {
        (key(one.head), key(one.relation)): {key(tail) for tail in one.tails}
        for head in heads
        for one in of(memory).current(head)
    }


def columns(store: ThoughtMemory) -> tuple[list[Any], ...]:
    table = store._table
    return sorted(table.rows.tolist()), sorted(table.sources.tolist()), sorted(table.updates.tolist())


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
