"""Reading what a server that speaks OpenAI's chat protocol answers, whole or in pieces, without trusting it.

Whatever the JSON holds, the result is a message of LangChain's or a ModelError that says what was wrong. Knows nothing
of how the answer was come by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from agentmem.errors import ModelError
from agentmem.values import new_id

__all__ = ["AnswerReader", "clean", "whole_answer"]


def clean(value: Any) -> Any:
    """The JSON with half of a surrogate pair, which JSON can smuggle in and nothing takes, replaced in every text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list | tuple) else value


def whole_answer(answer: Mapping[str, Any], *, model: str, place: str) -> AIMessage:
    """The message of an answer that came at once. `model` and `place` are whom was asked, for messages."""
    said = _part(_choice(answer), "message")
    if said is None:
        raise _odd(model, place, "without a message")
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for id, name, arguments in map(_called, _listed(said, "tool_calls", model, place)):
        try:
            # Strictly: what was cut off must not be carried out as if it were whole.
            args = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            args = None
        if isinstance(args, dict) and name:
            calls.append(tool_call(name=name, args=clean(args), id=id or _new_call()))
        else:
            wrong = "its arguments are no JSON object" if name else "it names no tool"
            broken.append(invalid_tool_call(name=name, args=arguments, id=id or _new_call(), error=wrong))
    return AIMessage(
        content=_text(said, model, place),
        additional_kwargs=_beside(said),
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=_usage(answer.get("usage")),
        response_metadata=_told(answer, _choice(answer), model),
        id=_word(answer.get("id")),
    )


class AnswerReader:
    """One answer that comes in pieces: `piece` for each event, then `last`, which has what concerns the whole."""

    def __init__(self, *, model: str, place: str) -> None:
        self._model = model
        self._place = place
        self._id: str | None = None
        self._usage: UsageMetadata | None = None
        self._told: dict[str, Any] = {}
        self._calls: list[str] = []  # the ids of tool calls, in order
        self._at: dict[int, int] = {}  # the server's number of a call → its place among `_calls`
        self.began = False

    def piece(self, event: Mapping[str, Any]) -> AIMessageChunk | None:
        """What an event adds to the message; None when it adds no word and no call."""
        self._id = self._id or _word(event.get("id"))
        self._usage = _usage(event.get("usage")) or self._usage
        choice = _choice(event)
        if choice is None:
            return None
        self.began = True
        told = _told(event, choice, self._model)
        self._told = {**told, "finish_reason": told.get("finish_reason") or self._told.get("finish_reason")}
        said = _part(choice, "delta") or _part(choice, "message")  # whole, from a server that does not stream
        if said is None:
            return None
        calls = [
            self._call(number, call)
            for number, call in enumerate(_listed(said, "tool_calls", self._model, self._place))
        ]
        text, beside = _text(said, self._model, self._place), _beside(said)
        if not (text or calls or beside):
            return None
        return AIMessageChunk(content=text, additional_kwargs=beside, tool_call_chunks=calls, id=self._id)

    def last(self) -> AIMessageChunk:
        """The end of the message, with finish_reason, model_name and usage. ModelError if the answer has no end.

        Every server says why it stopped: an answer that does not was cut off, though its connection was closed well.
        """
        if not self._told.get("finish_reason"):
            raise _odd(self._model, self._place, "with a stream that has no end")
        return AIMessageChunk(
            content="",
            usage_metadata=self._usage,
            response_metadata=self._told,
            id=self._id,
            chunk_position="last",
        )

    def _call(self, number: int, given: Any) -> ToolCallChunk:
        """A piece of a call. Some servers number every call 0, and some repeat id and name in each piece."""
        id, name, arguments = _called(given)
        key = given.get("index") if isinstance(given, Mapping) else None
        key = key if isinstance(key, int) else number
        at = self._at.get(key)
        if at is not None and id in (None, self._calls[at]):
            return tool_call_chunk(args=arguments, index=at)
        at = self._at[key] = len(self._calls)
        self._calls.append(id or _new_call())
        return tool_call_chunk(name=name, args=arguments, id=self._calls[at], index=at)


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first; another is never asked for."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


def _part(choice: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    found = choice.get(name) if choice is not None else None
    return found if isinstance(found, Mapping) else None


def _listed(said: Mapping[str, Any], name: str, model: str, place: str) -> list[Any]:
    found = said.get(name) or []
    if not isinstance(found, list):
        raise _odd(model, place, f"with {name} that are no list")
    return found


def _text(said: Mapping[str, Any], model: str, place: str) -> str:
    """Its words: a text, none, or a list of parts, as some reasoning models give. A refusal is what was said, too."""
    content = said.get("content") or said.get("refusal")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is not None and not isinstance(content, str):
        raise _odd(model, place, "with a message that is not made of text")
    return str(clean(content or ""))


def _beside(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said beside the answer, under the names that LangChain has for it."""
    found = {
        "refusal": _word(said.get("refusal")),
        "reasoning_content": _word(said.get("reasoning_content") or said.get("reasoning")),
    }
    return {name: value for name, value in found.items() if value}


def _called(given: Any) -> tuple[str | None, str | None, str]:
    """Id, name and arguments of a call, or of a piece of one. Some servers send arguments as JSON, not as text."""
    function = _part(given, "function") if isinstance(given, Mapping) else None
    if function is None:
        return None, None, "" if given is None else json.dumps(clean(given))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else json.dumps(clean(arguments))
    return _word(given.get("id")), _word(function.get("name")), str(clean(arguments))


def _told(answer: Mapping[str, Any], choice: Mapping[str, Any] | None, model: str) -> dict[str, Any]:
    reason = None if choice is None else _word(choice.get("finish_reason"))
    return {"model_name": _word(answer.get("model")) or model, "finish_reason": reason}


def _usage(given: object) -> UsageMetadata | None:
    """What was taken, in tokens; None when that is not said, or is no number."""
    if not isinstance(given, Mapping):
        return None
    taken, made = _count(given, "prompt_tokens"), _count(given, "completion_tokens")
    if taken is None and made is None:
        return None
    usage = UsageMetadata(input_tokens=taken or 0, output_tokens=made or 0, total_tokens=(taken or 0) + (made or 0))
    if (cached := _count(_part(given, "prompt_tokens_details"), "cached_tokens")) is not None:
        usage["input_token_details"] = InputTokenDetails(cache_read=cached)
    if (thought := _count(_part(given, "completion_tokens_details"), "reasoning_tokens")) is not None:
        usage["output_token_details"] = OutputTokenDetails(reasoning=thought)
    return usage


def _count(given: Mapping[str, Any] | None, name: str) -> int | None:
    found = given.get(name) if given is not None else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**53 else None


def _word(value: object) -> str | None:
    return str(clean(value)) if isinstance(value, str) and value else None


def _new_call() -> str:
    """The id of a call that came without: what a tool answers must name it."""
    return f"call_{new_id()}"


def _odd(model: str, place: str, how: str) -> ModelError:
    return ModelError(f"{place} answered for {model} {how}", way_out="Look at the server's log.", passing=True)
