"""What the tests of an embedder elsewhere share: a server on loopback that is taken for one, and a memory it serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Hits
from agentmem.models.calls import Call
from agentmem.models.pool import ModelPool
from agentmem.models.settings import ModelSettings, Privacy, Terms
from tests.fakes import TinyEmbedder
from tests.loopback import Loopback

ELSEWHERE = Terms(input=1_000.0, local=False)  # of a server on loopback, as if it were another machine
TEXTS = ["the ferry leaves at nine", "a violin in the attic", "the harbour at dawn"]


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is asked here is on loopback."""
    monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("agentmem.endpoint._FIRST_WAIT_S", 0.01)


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as server:
        server.prompt_tokens = words
        yield server


Opener = Callable[..., Memory]


@pytest.fixture
def opened(server: Loopback, place: str) -> Iterator[Opener]:
    """The memory at one place, with the server's embedder; each time it is opened anew."""
    held: list[Memory] = []

    def opener(*, scope: str | None = None, terms: Terms | None = ELSEWHERE, **settings: Any) -> Memory:
        while held:
            held.pop().close()
        known = {} if terms is None else {spec(server): terms}
        models = ModelPool(ModelSettings(terms=known, **settings))
        held.append(Memory.open(place, embedder=spec(server), models=models, scope=scope))
        return held[0]

    yield opener
    while held:
        held.pop().close()


def spec(server: Loopback) -> str:
    return f"openai:m@{server.url}#8"


def private(*scopes: str, kinds: Sequence[str] = ()) -> Privacy:
    return Privacy.of(scopes, kinds)


def sent(server: Loopback) -> list[str]:
    return [text for asked in server.asked for text in asked.texts]


def by_vector(hits: Hits) -> bool:
    return bool(hits) and any("dense" in hit.parts for hit in hits)


def calls(memory: Memory) -> list[Call]:
    """Oldest first."""
    return memory.calls.listed(1_000)[::-1]


def tokens(memory: Memory) -> int:
    return sum(call.tokens for call in calls(memory))


class Said(TinyEmbedder):
    """An embedder of somebody's own that says nothing of where it is."""

    in_process = False
    id = "said-8-v1"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return super().embed(texts)
