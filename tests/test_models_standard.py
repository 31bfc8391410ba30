"""LangChain's own suites for `OpenAIChat`: without a network, and against a server on this machine.

Skipped by their own rules: serialisation, which would write a key's name into files and is not declared; what is
recorded from the network (VCR); and pictures, PDF and audio, which are sent as LangChain writes them, and which these
tests would fetch from the network.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from agentmem.models.openai import OpenAIChat
from tests.chat_client import bare_environment
from tests.chat_server import ChatServer, Said, obedient

pytestmark = pytest.mark.slow

for _, _test in inspect.getmembers(ChatModelIntegrationTests, inspect.iscoroutinefunction):
    pytest.mark.asyncio(_test)  # the suite leaves that to a project's settings


class ObedientServer(ChatServer):
    def respond(self, body: Mapping[str, Any]) -> Said:
        return obedient(body)


class TestOpenAIUnit(ChatModelUnitTests):
    """`max_retries`, which the suite would give, is left out: the pool asks again, the model never does."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4.1-mini"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        given = super().standard_chat_model_params
        del given["max_retries"]
        return given

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        url = "http://127.0.0.1:11434/v1"
        return {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-x"}, {"model": "m"}, {"base_url": url}


class TestOpenAIIntegration(ChatModelIntegrationTests):
    """Every capability that an `OpenAIChat` declares; the server does as a model would that does as it is told."""

    url = ""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def served(cls) -> Iterator[None]:
        with ObedientServer() as server:
            cls.url = server.url
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "small", "base_url": self.url}

    @property
    def model_override_value(self) -> str:
        return "large"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


class TestOpenAIFunctionCalling(TestOpenAIIntegration):
    """The same with structured output by a tool."""

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}


__all__ = ["bare_environment"]
