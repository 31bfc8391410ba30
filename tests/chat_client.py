"""What tests of `OpenAIChat` share: the model at a server of this machine, and how it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks

from agentmem.errors import ModelError
from agentmem.models.openai import OpenAIChat
from tests.chat_server import ChatServer

__all__ = ["FINE", "KEY", "bare_environment", "checked", "joined", "opened", "refused", "server", "streamed"]

KEY: Final = "sk-proj-Zm9vYmFyYmF6cXV4Cg_0123456789"
FINE: Final[dict[str, Any]] = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def opened(server: ChatServer, **changed: object) -> OpenAIChat:
    return OpenAIChat(**{"model": "m", "base_url": server.url, **changed})


def refused(model: OpenAIChat) -> ModelError:
    """The error that asking raises: it has a way out, and chains nothing that could hold a secret."""
    with pytest.raises(ModelError) as caught:
        model.invoke("hello")
    return checked(caught.value)


def checked(error: ModelError) -> ModelError:
    assert error.way_out
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return add_ai_message_chunks(chunks[0], *chunks[1:])


async def streamed(model: OpenAIChat) -> str:
    """What `astream` says, as one text."""
    return "".join([chunk.text async for chunk in model.astream("x")])
