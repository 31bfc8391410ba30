"""A model that says what it was told to say: for tests of programs that ask models, without any model.

It answers from a queue, by rules, or by a function; it can fail, break off in the middle, wait until it is let go, and
say what it took. It never leaves this process.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from agentmem.errors import InvalidInput, ModelError
from agentmem.models.answer import text_of
from agentmem.recall.pack import estimate_tokens

__all__ = ["Reply", "ScriptedModel", "open_scripted"]

_WORD: Final = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and how it comes: `tools` are calls of tools; `usage` (input, output) in tokens; `before` is called
    before the first word, and may wait; after `breaks_after` words the connection is lost."""

    text: str = ""
    tools: Sequence[ToolCall] = ()
    usage: tuple[int, int] | None = None
    before: Callable[[], object] | None = None
    breaks_after: int | None = None


Scripted: TypeAlias = "str | AIMessage | Reply | Exception"
Answering: TypeAlias = "Callable[[list[BaseMessage]], Scripted]"


class ScriptedModel(BaseChatModel):
    """`script` is a list of answers, given in turn; a mapping from patterns to answers, of which the first that is
    found in the last message counts; or a function of the messages. An answer is a text, a LangChain message, a
    `Reply`, or an exception to raise. Longer ones end at `max_tokens`, as estimated, or before a `stop`.

    `asked` holds what it was shown, each time. ModelError when the list is used up, or no pattern is found.
    """

    model: str = "scripted"
    temperature: float | None = None  # it says what it was told to, at any
    max_tokens: int | None = None
    stop: list[str] | None = None
    _answer: Answering = PrivateAttr()
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self,
        script: Sequence[Scripted] | Mapping[str, Scripted] | Answering = (),
        *,
        name: str = "scripted",
        **settings: Any,
    ) -> None:
        super().__init__(profile={"tool_calling": True}, **settings)
        self.model = name
        self._answer = _answering(script)

    @property
    def asked(self) -> list[list[BaseMessage]]:
        return self._asked

    @property
    def is_local(self) -> bool:
        return True

    @property
    def spec(self) -> str:
        return self.model

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def get_token_ids(self, text: str) -> list[int]:
        """As many as `agentmem.recall.pack.estimate_tokens` says; the ids mean nothing."""
        return list(range(estimate_tokens(text)))

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _reply(self, messages: list[BaseMessage]) -> Reply:
        with self._lock:
            self._asked.append(messages)
            answer = self._answer(messages)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, AIMessage):
            used = answer.usage_metadata
            usage = (used["input_tokens"], used["output_tokens"]) if used else None
            return Reply(text_of(answer), answer.tool_calls, usage)
        return answer if isinstance(answer, Reply) else Reply(answer)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._reply(messages)
        words = "".join(self._said(reply, stop, kwargs))
        message = AIMessage(
            words,
            tool_calls=list(reply.tools),
            usage_metadata=_usage(reply, messages, words),
            response_metadata={"model_name": self.model, "finish_reason": "tool_calls" if reply.tools else "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        words: list[str] = []
        for word in self._said(reply, stop, kwargs):
            words.append(word)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        calls = [
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=at)
            for at, call in enumerate(reply.tools)
        ]
        usage = _usage(reply, messages, "".join(words))
        last = AIMessageChunk(
            content="",
            tool_call_chunks=calls,
            usage_metadata=usage,
            response_metadata={"model_name": self.model, "finish_reason": "tool_calls" if calls else "stop"},
        )
        yield ChatGenerationChunk(message=last)

    def _said(self, reply: Reply, stop: Sequence[str] | None, given: Mapping[str, Any]) -> Iterator[str]:
        """The words as they come, to the first stop, or to the last token allowed."""
        if reply.before is not None:
            reply.before()
        text = reply.text
        for one in stop or self.stop or ():
            text = text.partition(one)[0] if one else text
        room = given.get("max_tokens", self.max_tokens)
        for number, word in enumerate(_WORD.findall(text)):
            if reply.breaks_after is not None and number >= reply.breaks_after:
                raise _broken_off()
            if room is not None and (room := room - estimate_tokens(word)) < 0:
                return
            yield word
        if reply.breaks_after is not None:
            raise _broken_off()


def open_scripted(argument: str = "") -> ScriptedModel:
    """`scripted:echo` says what it was told; `scripted:FILE` gives the lines of a file in turn."""
    if argument == "echo":
        return ScriptedModel(lambda messages: text_of(messages[-1]), name="scripted:echo")
    try:
        lines = Path(argument).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"the script {argument!r} cannot be read: {getattr(error, 'strerror', None) or error}",
            way_out="Write scripted:echo, or scripted:FILE with one answer a line.",
        ) from error
    return ScriptedModel([line for line in lines if line.strip()], name=f"scripted:{argument}")


def _answering(script: Sequence[Scripted] | Mapping[str, Scripted] | Answering) -> Answering:
    if callable(script):
        return script
    if isinstance(script, str):
        raise InvalidInput("a script is a list of answers, not one text", way_out=f"Write [{script!r:.60}].")
    if isinstance(script, Mapping):
        rules = {re.compile(pattern): answer for pattern, answer in script.items()}

        def by_rule(messages: list[BaseMessage]) -> Scripted:
            last = text_of(messages[-1])
            for pattern, answer in rules.items():
                if pattern.search(last):
                    return answer
            raise ModelError(f"no rule of the script fits {last!r:.80}", way_out="Add one, such as '' for all.")

        return by_rule
    left = deque(script)

    def next_(messages: list[BaseMessage]) -> Scripted:
        if not left:
            raise ModelError("the script has no answer left", way_out="Give it as many as it will be asked for.")
        return left.popleft()

    return next_


def _broken_off() -> ModelError:
    return ModelError("the connection was lost in the middle of an answer", passing=True)


def _usage(reply: Reply, messages: Sequence[BaseMessage], words: str) -> UsageMetadata:
    shown = sum(estimate_tokens(text_of(message)) for message in messages)
    tokens_in, tokens_out = reply.usage or (shown, estimate_tokens(words))
    return UsageMetadata(input_tokens=tokens_in, output_tokens=tokens_out, total_tokens=tokens_in + tokens_out)
