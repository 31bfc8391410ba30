"""LangChain's own suites for `LocalChat`, on a model of 0.1 million parameters that was taught what they ask.

Skipped by their own rules, for what a `LocalChat` does not declare: pictures, audio and PDF, which a text model cannot
read; JSON mode, since nothing holds the network to a form; Anthropic's blocks; another model for one question, since
one object holds one; initialisation from the environment, which nothing here reads; and what is recorded from the
network (VCR).
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from agentmem.models.local import LocalChat
from tests.tiny_model import tiny

pytestmark = pytest.mark.slow

for _, _test in inspect.getmembers(ChatModelIntegrationTests, inspect.iscoroutinefunction):
    pytest.mark.asyncio(_test)  # the suite leaves that to a project's settings


class LocalModels:
    """What both suites are told of the model."""

    folder: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def built(cls, tiny: Path) -> None:
        cls.folder = tiny

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LocalChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": str(self.folder)}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """No `timeout` and no `max_retries`: nothing is sent anywhere."""
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @property
    def supports_model_override(self) -> bool:
        return False


class TestLocalUnit(LocalModels, ChatModelUnitTests):
    pass


class TestLocalIntegration(LocalModels, ChatModelIntegrationTests):
    @property
    def supported_usage_metadata_details(self) -> dict[Any, Any]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = LocalChat(**self.chat_model_params)
        model.invoke("Hello")
        if not stream:
            return model.invoke("Hello")
        whole = AIMessageChunk(content="")
        for piece in model.stream("Hello"):
            whole += piece
        return whole


__all__ = ["tiny"]
