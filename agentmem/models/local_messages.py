"""LangChain's messages as chat templates want them, and tool calls out of what a model writes.

Knows roles, the plain layout for models that have no template, and one way of writing calls: a JSON object with `name`
and `arguments` between `<tool_call>` and `</tool_call>`, as Qwen, Hermes and SmolLM do. It knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from pydantic import BaseModel, Field

from agentmem.errors import BadOutput, InvalidInput, ModelError
from agentmem.models.local_decoding import overlap
from agentmem.models.tolerant import parse
from agentmem.values import new_id

__all__ = ["PLAIN", "PLAIN_STOP", "ToolCalls", "clean", "forced_call", "laid_out", "merged"]

PLAIN: Final = (
    "{{ bos_token }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n"
    "{% endfor %}Assistant:"
)
PLAIN_STOP: Final = "\nUser:"  # a model that was taught no turns writes the next one itself
_BEGIN: Final = "<tool_call>"
_END: Final = "</tool_call>"
_ROLES: Final = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}


def clean(text: str) -> str:
    """Half a surrogate pair, as JSON can smuggle in, is no text to a tokenizer: "?" instead."""
    return text.encode("utf-8", "replace").decode()


def laid_out(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Role, text and tool calls of each message, as templates name them; of an answer no more than these, so not its
    reasoning. ModelError for a question that is not text."""
    if not messages:
        raise InvalidInput("there is no message to answer")
    return [_turn(message) for message in messages]


def _turn(message: BaseMessage) -> dict[str, Any]:
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)
    if role not in _ROLES.values():  # templates write it between control tokens
        raise InvalidInput(f"there is no role {role!r}", way_out="Write user, assistant, system or tool.")
    if not isinstance(message, AIMessage) and (kinds := _kinds(message) - {"text"}):
        raise ModelError(
            f"a message holds {' and '.join(sorted(kinds))}, and a local model is shown text alone",
            way_out="Describe it in words, or ask a model that takes it.",
        )
    turn: dict[str, Any] = {"role": role, "content": clean(str(message.text))}
    if isinstance(message, AIMessage) and message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        turn["tool_call_id"] = message.tool_call_id
    if message.name:
        turn["name"] = message.name
    return turn


def _kinds(message: BaseMessage) -> set[str]:
    parts = [] if isinstance(message.content, str) else message.content
    return {str(part.get("type")) for part in parts if isinstance(part, dict)}


def merged(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for templates that know no system, or want user and assistant in turns: what it said goes to the user
    before whom it stands, and neighbours of one role become one."""
    out: list[dict[str, Any]] = []
    for turn in turns:
        role = "user" if turn["role"] == "system" else turn["role"]
        if out and role != "tool" and out[-1]["role"] == role and "tool_calls" not in out[-1]:
            before = out.pop()
            turn = {**before, **turn, "content": f"{before['content']}\n\n{turn['content']}"}
        out.append({**turn, "role": role})
    return out


def forced_call(tool_choice: object, tools: Sequence[dict[str, Any]]) -> str:
    """How the answer must begin: nothing, or a call with or without its name. InvalidInput for a choice of no tool.

    It ends before a space, which begins the next token of most models: one cut off behind it would be new to them.
    """
    names = [tool["function"]["name"] for tool in tools]
    chosen = tool_choice
    if isinstance(chosen, dict):  # as OpenAI spells it, or the function alone
        function = chosen.get("function", chosen)
        chosen = function.get("name", "") if isinstance(function, dict) else ""
    if chosen in (None, False, "auto", "none"):
        return ""
    if chosen in ("any", "required", True) and names:
        chosen = names[0] if len(names) == 1 else None
    elif chosen not in names:
        raise InvalidInput(
            f"there is no tool {tool_choice!r} to choose", way_out=f"Offered: {', '.join(names) or 'none'}."
        )
    begun = f'{_BEGIN}\n{{"name":'
    return begun if chosen is None else f'{begun} {json.dumps(chosen)}, "arguments":'


class ToolCalls:
    """Takes the calls out of an answer as it comes. `begun` is what the answer was made to begin with."""

    def __init__(self, begun: str = "") -> None:
        self._held = begun
        self._made = 0

    def add(self, fresh: str, *, last: bool = False) -> list[str | ToolCallChunk]:
        """Text to be told, and calls, in order. A call comes whole; one that cannot be read is among the invalid."""
        told: list[str | ToolCallChunk] = []
        self._held += fresh
        while True:
            if self._made and not self._held.startswith(_BEGIN):
                self._held = self._held.lstrip()  # the line ends between two calls
            text, begun, rest = self._held.partition(_BEGIN)
            if not begun:
                size = 0 if last else overlap(text, _BEGIN)
                told.append(text[: len(text) - size])
                self._held = text[len(text) - size :]
                return told
            written, ended, rest = rest.partition(_END)
            if not ended and not last:
                told.append(text)
                self._held = self._held[len(text) :]
                return told
            told += [text, _call(written, self._made)]
            self._made += 1
            self._held = rest


class _Call(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = Field(default_factory=dict)


def _call(written: str, index: int) -> ToolCallChunk:
    """Small faults are forgiven; a call that was cut off is none, since a part could pass for the whole argument."""
    name: str | None
    given: object
    try:
        call = parse(written, _Call)
        name, given = call.name, call.arguments
    except BadOutput:
        # Arguments that are a text and not an object: LangChain puts such a call among the invalid ones.
        name, given = None, written.strip()
    return tool_call_chunk(name=name, args=json.dumps(given, ensure_ascii=False), id=f"call_{new_id()}", index=index)
