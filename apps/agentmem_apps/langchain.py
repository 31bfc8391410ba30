"""agentmem for LangChain: a retriever, a chat history, and any chat model with a memory.

Recall through these is a read only: it notes nothing in the journal. What a model is shown of the memory is quoted as
data, and is never stored again: a question and its answer are, with the ids of what was shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any, Final, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
    merge_message_runs,
    trim_messages,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda
from pydantic import NonNegativeInt, field_validator

from agentmem.aio import AsyncMemory
from agentmem.cues import Context, Hit
from agentmem.errors import InvalidInput
from agentmem.memory import Memory
from agentmem.recall.pack import Count, counted, estimate_tokens
from agentmem.recall.presets import DEFAULT
from agentmem.values import storable, whole_number
from agentmem_apps.langchain_history import AgentMemChatHistory, message_of, sync_memory, words_of

__all__ = ["AgentMemChatHistory", "AgentMemRetriever", "MemoryFor", "with_memory"]

_LATEST: Final = 200  # messages of a session, of which the last that fit are shown
_FILTERS: Final = ("k", "since", "until", "kinds", "speaker", "place", "engine")

# A memory for all, or a function that gives the memory for what a call says under "configurable".
MemoryFor: TypeAlias = "Memory | AsyncMemory | Callable[[Mapping[str, Any]], Memory | AsyncMemory]"


class AgentMemRetriever(BaseRetriever):
    """The `k` memories of an open `Memory` that fit a query best, as documents, best first.

    The filters are those of `Memory.recall`; `any_of_tags` are a memory's tags, where `tags` are, as with every
    retriever, those of the run. All of them may be given to `invoke` and `ainvoke` too. A blank query finds nothing.

    A document's `id` is the memory's, `page_content` its text. Its metadata: `kind`, `at` (ISO 8601), `speaker`,
    `role`, `place`, `session`, `scope`, `score`, the `parts` that the score is the sum of, and the reason, `why`.
    """

    memory: Memory
    k: NonNegativeInt = 10
    since: datetime | str | None = None
    until: datetime | str | None = None
    kinds: str | Sequence[str] | None = None
    speaker: str | None = None
    place: str | None = None
    any_of_tags: str | Sequence[str] | None = None
    engine: str = DEFAULT

    @field_validator("memory", mode="before")
    @classmethod
    def _underneath(cls, memory: object) -> Memory:
        return sync_memory(memory)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        return self._recalled(query, given)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        return await asyncio.to_thread(self._recalled, query, given)

    def _recalled(self, query: str, given: Mapping[str, Any]) -> list[Document]:
        asked = {name: getattr(self, name) for name in (*_FILTERS, "any_of_tags")}
        if unknown := sorted(given.keys() - asked.keys()):
            raise InvalidInput(f"there is no option {unknown[0]!r}", way_out=f"There are: {', '.join(asked)}.")
        asked.update(given)
        tags = asked.pop("any_of_tags")
        if isinstance(query, str) and not query.strip():
            return []
        return [_document(hit) for hit in self.memory.recall(query, tags=tags, **asked)]


def _document(hit: Hit) -> Document:
    record = hit.record
    metadata = {
        "kind": record.kind,
        "at": record.at.isoformat(),
        "speaker": record.speaker,
        "role": record.role,
        "place": None if record.place is None else record.place.id,
        "session": record.session,
        "scope": str(record.scope),
        "score": hit.score,
        "parts": dict(hit.parts),
        "why": hit.verdict,
    }
    return Document(id=record.id, page_content=record.text, metadata=metadata)


def with_memory(
    runnable: Runnable[LanguageModelInput, Any],
    memory: MemoryFor,
    *,
    tokens: int = 1500,
    recent: int = 1500,
    count: Count | None = None,
    user: str | None = None,
    assistant: str | None = None,
) -> Runnable[LanguageModelInput, Any]:
    """A chat model, or a chain that takes messages, that remembers: asked as the runnable itself is.

    The session is `config={"configurable": {"session_id": …}}`. The new messages are stored, then the runnable is
    asked: with the system messages given, memories that fit the question (quoted as data, `tokens` at most), the last
    turns of the session (`recent` tokens at most), and what is new. The answer is stored last, with the ids of the
    memories that were shown in its record's `meta["shown"]`; of a stream that ends early no answer is. Give new
    messages only. System messages are never stored, nor taken from the memory: instructions are the program's own.

    For several users `memory` is a function of what the call says under "configurable", which gives each their own:
    `lambda asked: memories[asked["user_id"]]`, with handles kept from `memory.scope("user:" + name)`. `count` is as in
    `Memory.context`, `user` and `assistant` as in `AgentMemChatHistory`. InvalidInput for a call without a session or
    a question, and for an answer that is neither text nor messages.
    """
    talk = _Talk(
        runnable,
        memory if callable(memory) else sync_memory(memory),
        whole_number(tokens, "tokens"),
        whole_number(recent, "recent"),
        counted(estimate_tokens if count is None else count),
        {"user": user, "assistant": assistant},
    )
    return RunnableLambda(talk.turn, talk.aturn, name="with_memory")


@dataclass(frozen=True, slots=True)
class _Asking:
    """A question that is stored, as the model is asked it; and where its answer belongs."""

    prompt: list[BaseMessage]
    history: AgentMemChatHistory
    shown: list[str]

    def put_to(self, runnable: Runnable[LanguageModelInput, Any]) -> Runnable[Any, Any]:
        prompt: Runnable[Any, list[BaseMessage]] = RunnableLambda(lambda _: self.prompt, name="remembered")
        return prompt | runnable | RunnableGenerator(self._kept, self._akept)

    def _kept(self, chunks: Iterator[Any]) -> Iterator[Any]:
        said: list[Any] = []
        for chunk in chunks:
            said.append(chunk)
            yield chunk
        self._keep(said)

    async def _akept(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        said: list[Any] = []
        async for chunk in chunks:
            said.append(chunk)
            yield chunk
        await asyncio.to_thread(self._keep, said)

    def _keep(self, said: list[Any]) -> None:
        if not said:
            return
        if not all(isinstance(chunk, str | BaseMessage | list) for chunk in said):
            raise InvalidInput(
                f"the answer is a {type(said[0]).__name__}, which cannot be kept",
                way_out="Let the runnable end with messages or a text.",
            )
        whole = reduce(add, said)
        answers = whole if isinstance(whole, list) else [AIMessage(whole) if isinstance(whole, str) else whole]
        self.history.remember([_storable(answer) for answer in answers], {"shown": self.shown})


@dataclass(frozen=True, slots=True)
class _Talk:
    runnable: Runnable[LanguageModelInput, Any]
    memory: Memory | Callable[[Mapping[str, Any]], Memory | AsyncMemory]
    tokens: int
    recent: int
    count: Count
    speakers: Mapping[str, str | None]

    def turn(self, given: LanguageModelInput, config: RunnableConfig) -> Runnable[Any, Any]:
        return self._begun(given, config).put_to(self.runnable)

    async def aturn(self, given: LanguageModelInput, config: RunnableConfig) -> Runnable[Any, Any]:
        asking = await asyncio.to_thread(self._begun, given, config)
        return asking.put_to(self.runnable)

    def _begun(self, given: LanguageModelInput, config: RunnableConfig) -> _Asking:
        messages = _messages(given)
        told = [message for message in messages if isinstance(message, SystemMessage)]
        new = [message for message in messages if not isinstance(message, SystemMessage)]
        if not new:
            raise InvalidInput("nothing is asked", way_out="Give a text, or a message that is not a system's.")
        history = self._history(config)
        turns = [(record.id, message_of(record)) for record in history.records()[-_LATEST:]]
        ids = {message.id for message in new if message.id}
        # A question that is put again, as after a fault, is asked as it was: nothing that came after it is shown.
        before = next((at for at, (_, message) in enumerate(turns) if message.id in ids), len(turns))
        asked = [record.id for record in history.remember(new)]
        recent = self._recent(dict(turns[:before]), new)
        cue, shown = _cue([*recent.values(), *new]), {*recent, *(id for id, _ in turns[before:]), *asked}
        context = history.memory.context(cue, self.tokens, count=self.count, without=shown) if cue else Context()
        if context.text:
            told.append(SystemMessage(context.text))
        prompt = [*merge_message_runs(told, chunk_separator="\n\n"), *recent.values(), *new]
        return _Asking(prompt, history, [hit.record.id for hit in context.hits])

    def _history(self, config: RunnableConfig) -> AgentMemChatHistory:
        asked = config.get("configurable", {})
        session = asked.get("session_id")
        if not isinstance(session, str) or not session.strip():
            raise InvalidInput(
                "the call says no session", way_out='Give config={"configurable": {"session_id": "…"}}, a text.'
            )
        memory = self.memory if isinstance(self.memory, Memory) else sync_memory(self.memory(asked))
        return AgentMemChatHistory(memory, session, **self.speakers)

    def _recent(self, turns: Mapping[str, BaseMessage], new: Sequence[BaseMessage]) -> dict[str, BaseMessage]:
        """The last turns that fit, by their records' ids, from a person's on. When the new messages are a tool's
        answers, the exchange that they belong to is there whole."""
        listed = list(_whole(turns, new).items())
        begins = len(listed)
        if isinstance(new[0], ToolMessage):
            begins = max((at for at, (_, one) in enumerate(listed) if isinstance(one, HumanMessage)), default=0)
        fit = trim_messages(
            [message for _, message in listed[:begins]],
            max_tokens=self.recent,
            token_counter=lambda messages: sum(self.count(words_of(message)) for message in messages),
            start_on="human",
        )
        return dict(listed[begins - len(fit) :])


def _messages(given: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(given, PromptValue):
        return given.to_messages()
    listed = [given] if isinstance(given, str | BaseMessage) else given
    try:
        if isinstance(listed, Sequence):
            return convert_to_messages(listed)
        fault = f"a {type(given).__name__} is no message"
    except (ValueError, TypeError, NotImplementedError) as error:
        fault = str(error).partition("\n")[0]
    raise InvalidInput(f"what is asked cannot be read: {fault}", way_out="Give a text, or a list of messages.")


def _storable(answer: Any) -> Any:
    """Without the signs that no database keeps: a model may write them, and its answer is not lost for it."""
    if isinstance(answer, BaseMessage) and isinstance(answer.content, str):
        return answer.model_copy(update={"content": storable(answer.content)})
    return answer


def _cue(messages: Sequence[BaseMessage]) -> str:
    """What a person said last; "" when nobody said a word."""
    said = (str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((text for text in said if text.strip()), "")


def _whole(turns: Mapping[str, BaseMessage], new: Sequence[BaseMessage]) -> dict[str, BaseMessage]:
    """Without system messages, and without a call of a tool whose answer was forgotten, or an answer whose call was:
    no server takes one without the other."""
    answered = {one.tool_call_id for one in (*turns.values(), *new) if isinstance(one, ToolMessage)}
    kept = {id: one for id, one in turns.items() if not isinstance(one, SystemMessage) and _calls(one) <= answered}
    called = set[str | None]().union(*map(_calls, (*kept.values(), *new)))
    return {id: one for id, one in kept.items() if not isinstance(one, ToolMessage) or one.tool_call_id in called}


def _calls(message: BaseMessage) -> set[str | None]:
    return {call["id"] for call in message.tool_calls} if isinstance(message, AIMessage) else set()
