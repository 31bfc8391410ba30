"""`Loopback` with OpenAI's `/v1/chat/completions`: whole and streamed, tools, schemas, usage; and faults by plan.

It is as strict as the real ones: what they refuse with 400, it does. What it answers is the test's to say.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from tests.loopback import Asked, Loopback, Reply, refusal

__all__ = ["ChatServer", "Fault", "Said", "fault_schedule", "obedient", "pieces_of"]

Fault: TypeAlias = Literal["429", "500", "503", "dropped", "half", "garbage", "html", "empty"]
Said: TypeAlias = "str | Sequence[Mapping[str, Any]]"  # words, or calls: {"name": ..., "arguments": {...}}

_ROLES = ("system", "developer", "user", "assistant", "tool")
_WORD = re.compile(r"\s*\S+|\s+$")


def fault_schedule(seed: int, rate: float, kinds: Sequence[Fault] = get_args(Fault)) -> Iterator[Fault | None]:
    """For each request in turn, what goes wrong with it: nothing, or with this probability one of the kinds."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(kinds) if chance.random() < rate else None


def pieces_of(text: str) -> list[str]:
    """The words of a text with the spaces before them: what a stream brings one by one."""
    return _WORD.findall(text)


class ChatServer(Loopback):
    """`reply` is asked with the messages, and gives the words of the answer or the calls of tools. `faults`: what goes
    wrong with each request in turn, until it ends. `pause`, while set to an event, is waited for before the last word
    of each answer. `stream_options=False` refuses that field, as old servers do.

    Usage is counted in words. `script` comes first, as for embeddings.
    """

    def __init__(
        self,
        reply: Callable[[list[dict[str, Any]]], Said] = lambda messages: "hello there",
        *,
        faults: Iterable[Fault | None] = (),
        model: str = "any",
    ) -> None:
        super().__init__(model=model)
        self.reply = reply
        self.faults = iter(faults)
        self.stream_options = True
        self.pause: threading.Event | None = None
        self._drawing = threading.Lock()
        self._paths["/v1/chat/completions"] = self._chat

    def respond(self, body: Mapping[str, Any]) -> Said:
        return self.reply(body["messages"])

    def _chat(self, asked: Asked) -> Reply:
        if wrong := _wrong_with(asked.body, self.stream_options):
            return refusal(400, wrong)
        with self._drawing:
            fault = next(self.faults, None)
        match fault:
            case "429":
                return refusal(429, "Rate limit reached", "rate_limit_exceeded", retry_after="0")
            case "500" | "503":
                return refusal(int(fault), "The server had an error while processing your request")
            case "dropped":
                return Reply(how="dropped")
            case "html":
                return Reply(body=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"})
            case "garbage":
                return self._garbage(asked.body)
        said: Said = "" if fault == "empty" else self.respond(asked.body)
        answer = _Answer(asked.body, said, empty=fault == "empty")
        how: Literal["half", "whole"] = "half" if fault == "half" else "whole"
        if not asked.body.get("stream"):
            return Reply(body=answer.whole(), how=how)
        return Reply(body=self._events(answer, cut=how == "half"), how=how)

    def _garbage(self, body: Mapping[str, Any]) -> Reply:
        if body.get("stream"):
            return Reply(body=iter([b'data: {"choices": [{"delta"\n\n', b"data: [DONE]\n\n"]))
        return Reply(body=b'{"choices": [{"mess')

    def _events(self, answer: _Answer, cut: bool) -> Iterator[bytes | threading.Event]:
        events = list(answer.events())
        for number, event in enumerate(events):
            if cut and number >= len(events) // 2:
                return
            if self.pause is not None and number == len(events) - answer.after_words - 1:
                yield self.pause
            yield f"data: {json.dumps(event)}\n\n".encode()
        yield b"data: [DONE]\n\n"


class _Answer:
    def __init__(self, body: Mapping[str, Any], said: Said, *, empty: bool) -> None:
        self._body = body
        self._empty = empty
        self._words = pieces_of(said) if isinstance(said, str) else []
        self._calls = [] if isinstance(said, str) else list(said)
        prompt = " ".join(json.dumps(message, ensure_ascii=False) for message in body["messages"])
        taken, made = len(prompt.split()), len(self._words) + 4 * len(self._calls)
        self._usage = {"prompt_tokens": taken, "completion_tokens": made, "total_tokens": taken + made}
        self._reason = "tool_calls" if self._calls else "stop"
        self._asks_usage = (body.get("stream_options") or {}).get("include_usage", False)
        self.after_words = 1 + self._asks_usage

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": kind,
            "created": 0,
            "model": f"{self._body['model']}-2026",
            "choices": [] if self._empty else choices,
            **more,
        }

    def _called(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
            }
            for number, call in enumerate(self._calls)
        ]

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._words) or None}
        if self._calls:
            message["tool_calls"] = self._called()
        choice = {"index": 0, "message": message, "finish_reason": self._reason}
        return self._object("chat.completion", [choice], usage=self._usage)

    def events(self) -> Iterator[dict[str, Any]]:
        kind = "chat.completion.chunk"
        usage = {"usage": None} if self._asks_usage else {}

        def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            return self._object(kind, [{"index": 0, "delta": delta, "finish_reason": reason}], **usage)

        yield event({"role": "assistant", "content": ""})
        for word in self._words:
            yield event({"content": word})
        for number, call in enumerate(self._called()):
            arguments = call["function"]["arguments"]
            head = {**call, "function": {**call["function"], "arguments": ""}}
            yield event({"tool_calls": [{"index": number, **head}]})
            for start in range(0, len(arguments), 7):
                part = {"arguments": arguments[start : start + 7]}
                yield event({"tool_calls": [{"index": number, "function": part}]})
        yield event({}, self._reason)
        if self._asks_usage:
            yield self._object(kind, [], usage=self._usage)


def _wrong_with(body: Any, stream_options: bool) -> str:
    """Why a real server would refuse it; "" when none would."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "'messages' must be a list with one at least"
    calls: set[str] = set()
    for message in messages:
        if message.get("role") not in _ROLES or not isinstance(message.get("content", ""), str | list | None):
            return f"Invalid message: {message}"
        if isinstance(message.get("content"), list):
            for part in message["content"]:
                if part.get("type") not in ("text", "image_url", "input_audio", "file", "refusal"):
                    return f"Invalid content type: {part.get('type')}"
        if not re.fullmatch(r"[^\s<|\\/>]{1,64}", message.get("name", "x")):
            return "Invalid 'name'"
        calls |= {call["id"] for call in message.get("tool_calls", [])}
        if message["role"] == "tool" and message.get("tool_call_id") not in calls:
            return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
    if "stream_options" in body and not (body.get("stream") and stream_options):
        return "Unrecognized request argument supplied: stream_options"
    if body.get("tool_choice") and not body.get("tools"):
        return "'tool_choice' is only allowed when 'tools' are specified"
    for tool in body.get("tools", []):
        if tool.get("type") != "function" or not re.fullmatch(r"[\w-]{1,64}", tool["function"]["name"]):
            return f"Invalid tool: {tool}"
    shape = body.get("response_format")
    if shape is not None and shape.get("type") == "json_schema":
        told = shape.get("json_schema", {})
        if not re.fullmatch(r"[\w-]{1,64}", told.get("name", "")) or told.get("schema", {}).get("type") != "object":
            return "Invalid 'response_format'"
    return ""


def obedient(body: Mapping[str, Any]) -> Said:
    """What a model would say that does as it is told: from the last words it calls the tool or fills in the schema."""
    last = body["messages"][-1]
    said = last.get("content") or ""
    words = said if isinstance(said, str) else " ".join(part.get("text", "") for part in said)
    shape = body.get("response_format") or {"type": "text"}
    if shape["type"] == "json_schema":
        return json.dumps(_filled(shape["json_schema"]["schema"], words), ensure_ascii=False)
    if shape["type"] == "json_object":
        return json.dumps(dict.fromkeys(re.findall(r"'(\w+)'", words), "word"))
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools", [])}
    choice = body.get("tool_choice", "auto")
    if tools and choice != "none" and (last["role"] == "user" or choice != "auto"):
        name = choice["function"]["name"] if isinstance(choice, dict) else next(iter(tools))
        schema = tools[name].get("parameters", {"type": "object"})
        return [{"name": name, "arguments": _filled(schema, words)}]
    return f"You said: {words}"


def _filled(schema: Mapping[str, Any], words: str) -> Any:
    """A value of the schema: numbers and quoted texts are taken from the words."""
    for choice in schema.get("anyOf", []):
        return _filled(choice, words)
    match schema.get("type"):
        case "object":
            return {name: _filled(inner, words) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return []
        case "integer" | "number":
            found = re.search(r"\d+", words)
            return int(found[0]) if found else 1
        case _:
            quoted = re.search("'([^']+)'", words)
            return quoted[1] if quoted else "word"
