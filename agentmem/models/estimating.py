"""Models that are not asked: what asking them would take is noted, and they find nothing to say."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

from agentmem.models.answer import Answer
from agentmem.models.asking import BoundModels
from agentmem.models.calls import Call
from agentmem.models.prompts import Prompt

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agentmem.models.structured import Structured

__all__ = ["Estimating"]

M = TypeVar("M", bound="BaseModel")


class Estimating:
    """`calls` are those that would be made. What would be asked because of an answer is not known before it."""

    def __init__(self, models: BoundModels) -> None:
        self._models = models
        self.calls: list[Call] = []

    def serves(self, role: str) -> bool:
        return self._models.serves(role)

    def prompt(self, name: str) -> Prompt:
        return self._models.prompt(name)

    def chat(
        self, role: str, messages: str, *, kinds: Collection[str] = (), cause: str = "", prompt: str = ""
    ) -> Answer:
        """An empty answer."""
        from langchain_core.messages import AIMessage

        call = self._models.estimate(role, messages, kinds=kinds)
        self.calls.append(call)
        return Answer(AIMessage(""), call)

    def structured(
        self,
        role: str,
        schema: type[M],
        messages: str,
        *,
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
    ) -> Structured[M]:
        """An object of empty lists: what a model gives that finds nothing."""
        from agentmem.models.structured import Structured

        call = self._models.estimate(role, messages, kinds=kinds)
        self.calls.append(call)
        return Structured(schema.model_validate({name: [] for name in schema.model_fields}), 0, "words", "")
