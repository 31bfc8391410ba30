"""What comes back from a model that was asked: the message, who gave it and why, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentmem.models.calls import Call, money

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

__all__ = ["Answer", "text_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`why`: what speaks for the model that was asked. `passed_over`: the models before it, each with what was wrong.

    `cached`: the same was asked before, and no model was asked now.
    """

    message: AIMessage
    call: Call
    why: str = ""
    passed_over: tuple[str, ...] = ()
    cached: bool = False

    @property
    def text(self) -> str:
        return text_of(self.message)

    @property
    def model(self) -> str:
        return self.call.model

    @property
    def cost(self) -> float:
        """In the money that prices are given in."""
        return 0.0 if self.cached else money(self.call.picos)


def text_of(message: Any) -> str:
    """The words of a message, whatever blocks it is made of."""
    content = message.content
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else part.get("text", "") for part in content)
    return "".join(part for part in parts if isinstance(part, str))
