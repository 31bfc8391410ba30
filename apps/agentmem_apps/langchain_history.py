"""LangChain's chat history, kept as memories: each message of a session is a record like any other.

So it is recalled, edited, forgotten and undone like any other. The words of a message are the record's text; what else
it has goes through the record's `meta` and comes back, as far as it still is what LangChain takes. Asks no model.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5
from weakref import WeakKeyDictionary

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
    messages_from_dict,
)

from agentmem.aio import AsyncMemory
from agentmem.errors import InvalidInput
from agentmem.ledger import Delta
from agentmem.memory import Memory
from agentmem.records import Record
from agentmem.values import ODD, Json, plain_json, plain_text

__all__ = ["AgentMemChatHistory", "message_of", "sync_memory", "words_of"]

_KIND: Final = "turn"
_META: Final = "langchain"
_ROLES: Final = {"human": "user", "ai": "assistant"}  # LangChain's type to ours; others have one name
_BATCH: Final = 1_000  # changes read by one statement


class AgentMemChatHistory(BaseChatMessageHistory):
    """The messages of one session of a memory, in the order of writing.

    `session` names the conversation within the memory's scope: for several users give each a scope, as
    `memory.scope("user:" + name)`, not a session. `user` and `assistant` name the speakers of messages that bear no
    name; recall finds more when it knows who spoke. Other memories of the kind `turn` in the session are its messages
    too. What a writing method returned from is durable. InvalidInput for a blank session.
    """

    def __init__(
        self, memory: Memory | AsyncMemory, session: str, *, user: str | None = None, assistant: str | None = None
    ) -> None:
        super().__init__()
        self.memory = sync_memory(memory)
        if not plain_text(session, "session").strip():
            raise InvalidInput("the session has no name", way_out="Give each conversation one, such as its id.")
        self.session = session
        self._speakers = {"user": user, "assistant": assistant}
        self._sessions = _sessions_of(self.memory)

    def __repr__(self) -> str:
        return f"AgentMemChatHistory({self.memory!r}, {self.session!r})"

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # it is read at each look
        """What was added and is not forgotten, equal to what was put in; where a record was edited, its new text.

        Chunks come back as whole messages. A message that was added by other means, or whose `meta` no longer fits, has
        its text and the record's id.
        """
        return [message_of(record) for record in self.records()]

    def records(self) -> list[Record]:
        """The records that `messages` are made of, one for each, in the same order."""
        return self._sessions.turns(self.memory, self.session)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Remember messages in one transaction: all of them or, when any is refused, none.

        One that is in this session already, by its id and its text, is left as it is. InvalidInput for what cannot be
        kept without loss: more than 8 MiB of text, or of other content, or content that is not plain JSON.
        """
        self.remember(messages)

    def remember(self, messages: Sequence[BaseMessage], meta: Mapping[str, Json] | None = None) -> list[Record]:
        """As `add_messages`, with `meta` beside what LangChain needs; the records of those that were new."""
        items = [self._item(message, number, meta or {}) for number, message in enumerate(messages, 1)]
        self._identify([(item, message.id) for item, message in zip(items, messages, strict=True) if message.id])
        return self.memory.add_many(items, existing="skip")

    def clear(self) -> None:
        """Put all messages of the session into the trash, in one step that undo takes back."""
        ids = [record.id for record in self.records()]
        if ids:
            self.memory.forget(*ids)

    def _item(self, message: BaseMessage, number: int, meta: Mapping[str, Json]) -> dict[str, Any]:
        if not isinstance(message, BaseMessage) or isinstance(message, RemoveMessage):
            raise InvalidInput(
                f"item {number} is a {type(message).__name__}, which nobody says",
                way_out="Give messages of a person, a model, a system or a tool; `memory.forget(id)` forgets one.",
            )
        item = _item_of(message, number)
        speaker = self._speakers.get(item["role"]) if message.name is None else message.name
        return {**item, "session": self.session, "speaker": speaker, "meta": {**meta, **item["meta"]}}

    def _identify(self, pending: list[tuple[dict[str, Any], str]]) -> None:
        """Give each item an id that its message's id makes, so that the ledger itself keeps it from being added twice.

        The text is part of it, for there are servers that number their answers at random from 0 to 999. A message that
        was forgotten is not in the way of its like: that one gets the next such id.
        """
        ledger, generation = self.memory.host.ledger, 0
        while pending:
            for item, id in pending:
                name = json.dumps(["agentmem", self.session, id, item["text"], generation])
                item["id"] = str(uuid5(NAMESPACE_URL, name))
            states = {record.id: record.state for record in ledger.get([item["id"] for item, _ in pending])}
            pending = [(item, id) for item, id in pending if states.get(item["id"], "live") != "live"]
            generation += 1


# ── messages and records ─────────────────────────────────────────────────────────────────────────────────────────


def words_of(message: BaseMessage) -> str:
    """What is recalled of a message: its text; of one without text the calls of tools it asks for, or what it holds.

    By these words a message is known again as it was, so they stay what they are from release to release.
    """
    text = str(message.text)
    if text.strip():
        return text
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    if calls:
        called = (f"{call['name'] or 'a tool'}({_arguments(call['args'])})" for call in calls)
        return f"[calls {', '.join(called)}]"
    blocks = () if isinstance(message.content, str) else message.content
    held = dict.fromkeys(str(block.get("type")) for block in blocks if not _is_text(block) and isinstance(block, dict))
    return f"[{', '.join(held) or 'no text'}]"


def message_of(record: Record) -> BaseMessage:
    """The message that a record keeps; its text as a plain message of its role where `meta` does not say more.

    Anybody may have edited the `meta`, so nothing in it is trusted, and nothing is raised for it.
    """
    try:
        return _restored(record, record.meta[_META])
    except (*ODD, RecursionError):  # pydantic's own errors are ValueErrors
        return _plain(record)


def _item_of(message: BaseMessage, number: int) -> dict[str, Any]:
    whole = message_chunk_to_message(message)
    text = words_of(whole)
    data = whole.model_dump(exclude_defaults=True, exclude={"content"})
    kept: dict[str, Any] = {"type": whole.type}
    if whole.content != text:
        data["content"] = whole.content
    if data:
        kept["data"] = data
    try:
        meta = cast("dict[str, Json]", plain_json({_META: kept}, "what it holds beside its text"))
    except InvalidInput as error:
        raise InvalidInput(
            f"item {number} cannot be kept: {error}",
            way_out="Give large images by their URL, and artifacts as plain JSON.",
        ) from error
    return {"text": text, "kind": _KIND, "role": _role(whole), "meta": meta}


def _restored(record: Record, kept: Any) -> BaseMessage:
    data = {"content": record.text, **kept.get("data", {})}
    if data.get("name") is not None:
        data["name"] = record.speaker
    [message] = messages_from_dict([{"type": kept["type"], "data": data}])
    if words_of(message) != record.text:  # it was edited: what a person sees of a memory is what it says
        edited = {**data, "content": _edited(data["content"], record.text)}
        [message] = messages_from_dict([{"type": kept["type"], "data": edited}])
    if _role(message) != record.role:
        raise ValueError("the role was edited")
    return message


def _edited(content: Any, text: str) -> str | list[Any]:
    """The content with this text in place of its own: images and the like stay where they are."""
    blocks = content if isinstance(content, list) else []
    others = [block for block in blocks if not _is_text(block)]
    if not others:
        return text
    first = next((at for at, block in enumerate(blocks) if _is_text(block)), 0)
    return [*others[:first], {"type": "text", "text": text}, *others[first:]]


def _plain(record: Record) -> BaseMessage:
    if record.role == "tool":
        return ToolMessage(record.text, tool_call_id=record.id, id=record.id)
    if record.role == "assistant":
        return AIMessage(record.text, id=record.id)
    return (SystemMessage if record.role == "system" else HumanMessage)(record.text, id=record.id)


def _role(message: BaseMessage) -> str:
    return message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or block.get("type") == "text"


def _arguments(given: object) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Sessions:
    """Where the live turns of each session of a scope stand. Follows the journal: a scope of 20,000 records takes half
    a second to read, and would be read at every question. Safe to use from several threads."""

    def __init__(self) -> None:
        self._cursor = 0
        self._positions: defaultdict[str, set[int]] = defaultdict(set)
        self._lock = threading.Lock()

    def turns(self, memory: Memory, session: str) -> list[Record]:
        """The session's live turns, in the order of writing."""
        ledger = memory.host.ledger
        with self._lock:
            while self._cursor < ledger.head():
                self._follow(ledger.changed(self._cursor, _BATCH))
            standing = ledger.at(sorted(self._positions[session]))
            found = [record for record in standing if _session_of(record) == session]
            # What left it is not read again: should it come back, that is a change that is still to follow.
            self._positions[session] = {record.position for record in found}
        return found

    def _follow(self, delta: Delta) -> None:
        for record in delta.records:
            session = _session_of(record)
            if session is not None:
                self._positions[session].add(record.position)
        self._cursor = delta.head


def _session_of(record: Record) -> str | None:
    return record.session if record.kind == _KIND and record.state == "live" else None


_followed: WeakKeyDictionary[Memory, _Sessions] = WeakKeyDictionary()  # one for all histories of a handle
_following: Final = threading.Lock()


def _sessions_of(memory: Memory) -> _Sessions:
    with _following:
        return _followed.setdefault(memory, _Sessions())


def sync_memory(memory: object) -> Memory:
    """The memory underneath; InvalidInput for what is none."""
    found = memory.sync if isinstance(memory, AsyncMemory) else memory
    if not isinstance(found, Memory):
        raise InvalidInput(
            f"the memory must be an open Memory, not {type(memory).__name__}",
            way_out='Open one: Memory.open("notes.mem").',
        )
    return found
