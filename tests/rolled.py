"""Memories with summaries that roll along: a model that a reader can foresee, and what the tests look at."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from agentmem import Memory
from agentmem.models.answer import text_of
from agentmem.models.pool import AnyModels
from agentmem.models.scripted import ScriptedModel
from agentmem.records import Record
from agentmem.store import Report
from agentmem_stores.rolling_summaries import RollingSummaries
from tests.chunked import MINUTE, NOON
from tests.fakes import TinyEmbedder

TOKEN = re.compile(r"\btok[a-z]+\b")
numbers = itertools.count()


def token() -> str:
    """A word that nobody said before."""
    digits = f"{next(numbers):06d}"
    return "tok" + "".join(chr(ord("a") + int(digit)) for digit in digits)


def keeping(most: int = 8) -> Callable[[list[BaseMessage]], str]:
    """A model that notes each new token it hears, and lets go of the oldest when it has noted so many."""

    def answer(messages: list[BaseMessage]) -> str:
        memory, text = text_of(messages[0]).split("The memory:")[1].split("The new text:")
        held = re.findall(r'^(\d+)\. "', memory, re.MULTILINE)
        heard = list(dict.fromkeys(TOKEN.findall(text)))[-most:]
        gone = held[: max(0, len(held) + len(heard) - most)]
        return json.dumps(
            {
                "drop": [{"reason": "long ago", "number": int(number)} for number in gone],
                "add": [{"reason": "it is new", "sentence": f"They spoke of {word}."} for word in heard],
            }
        )

    return answer


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Memory]]:
    """Opens the folder once more, with these models."""
    memories: list[Memory] = []

    def open(models: AnyModels | None = None, folder: str = "m") -> Memory:
        memories.append(Memory.open(tmp_path / folder, embedder=TinyEmbedder(), models=models))
        return memories[-1]

    yield open
    for memory in memories:
        memory.close()


@pytest.fixture
def memory(opened: Callable[..., Memory]) -> Memory:
    return opened(ScriptedModel(keeping(), name="scripted:keeping"))


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Memory]]:
    """One without a model, and one with."""
    folder = tmp_path_factory.mktemp("houses")
    with (
        Memory.open(folder / "plain", embedder=TinyEmbedder()) as plain,
        Memory.open(folder / "m", embedder=TinyEmbedder(), models=ScriptedModel(keeping(5))) as modelled,
    ):
        yield [plain, modelled]


def store(memory: Memory) -> RollingSummaries:
    found = memory.stores["rolling"]
    assert isinstance(found, RollingSummaries)
    return found


def rest(memory: Memory) -> Report:
    return memory.consolidate("rolling")["rolling"]


def tell(memory: Memory, number: int, session: str | None = "trip", more: str = "", **fields: Any) -> list[Record]:
    begin = sum(1 for _ in memory.records(states=("live", "forgotten", "replaced")))
    return memory.add_many(
        {"text": f"We spoke of {token()} again.{more}", "session": session, "at": NOON + (begin + n) * MINUTE, **fields}
        for n in range(number)
    )


def summary(memory: Memory, session: str = "trip") -> Record:
    found = store(memory).of(session)
    assert found is not None
    return found


def written(memory: Memory) -> list[Record]:
    return [record for record in memory.records() if record.kind == "summary"]


def tokens(*records: Record) -> list[str]:
    return [word for record in records for word in TOKEN.findall(record.text)]


def asked(memory: Memory) -> list[str]:
    [spec] = memory.models.pool.models
    model = memory.models.pool.opened(spec)
    assert isinstance(model, ScriptedModel)
    return [text_of(messages[0]) for messages in model.asked]
