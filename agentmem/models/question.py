"""One question to one model, under way on a thread of its own.

A model is anybody's program: it may hang, and nothing stops it from outside. So whoever asked waits only so long, and
the thread settles the account whenever the model comes back. Nothing is asked before the ledger has noted it.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self, cast

from agentmem.errors import AgentMemError, InvalidInput, ModelError
from agentmem.models.answer import text_of
from agentmem.models.calls import Call, Calls, Limit, sound_count
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.faults import as_model_error
from agentmem.models.settings import CHAT_ROLES, EMBED, Terms
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Scope
from agentmem.values import plain_text, whole_number, words

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import Runnable

    from agentmem.models.pool import ModelPool

__all__ = ["Asking", "Question", "tokens_of"]

_PER_MESSAGE: Final = 8  # tokens around each message of a chat
_SETTLING_S: Final = 2.0  # that a model which was stopped has to say so
_END: Final = object()

log = logging.getLogger("agentmem")


@dataclass(frozen=True)
class Asking:
    """What is asked. `runnable` stands in place of the model itself, made of it; `streams`: piece by piece."""

    role: str
    messages: tuple[BaseMessage, ...]
    most_out: int
    tools: tuple[Any, ...] = ()
    kinds: frozenset[str] = frozenset()
    cause: str = ""
    prompt: str = ""
    runnable: Runnable[Any, Any] | None = None
    streams: bool = False

    @classmethod
    def of(
        cls,
        role: str,
        messages: str | Sequence[BaseMessage],
        most_out: int,
        *,
        tools: Sequence[Any] = (),
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
    ) -> Self:
        """InvalidInput for a role that no chat has, for no messages, and for what cannot be noted."""
        from langchain_core.messages import BaseMessage, HumanMessage

        if role == EMBED:
            raise InvalidInput("an embedder answers no chat", way_out=f"Ask one of: {', '.join(CHAT_ROLES)}.")
        if role not in CHAT_ROLES:
            raise InvalidInput(f"there is no role {role!r}", way_out=f"Roles: {', '.join(CHAT_ROLES)}.")
        given = [HumanMessage(messages)] if isinstance(messages, str) else list(messages)
        if not given or not all(isinstance(message, BaseMessage) for message in given):
            raise InvalidInput("messages must be a text, or a list of LangChain messages with one at least")
        return cls(
            role,
            tuple(given),
            whole_number(most_out, "most_out", 1),
            tuple(tools),
            frozenset(words(kinds, "kinds")),  # one text is one kind, not its letters
            plain_text(cause, "cause"),
            plain_text(prompt, "prompt"),
        )

    @cached_property
    def need(self) -> Need:
        """In tokens as estimated, on the high side."""
        shown = tokens_of(self.messages)
        return Need(self.role, shown + sum(map(_tokens_of_tool, self.tools)), self.most_out, self.kinds)

    def call(self, model: str, terms: Terms) -> Call:
        """The call that asking this model is, before it is made."""
        need = self.need
        picos = terms.picos(need.tokens_in, need.tokens_out)
        return Call(
            self.role,
            model,
            self.cause,
            self.prompt,
            tokens_in=need.tokens_in,
            tokens_out=need.tokens_out,
            picos=picos,
        )

    def key(self, scope: Scope, model: str) -> bytes:
        """A digest of what is asked, where, and of whom."""
        said = [[message.type, message.content, str(message.additional_kwargs)] for message in self.messages]
        told = json.dumps([str(scope), model, self.role, self.most_out, said], default=str)
        return hashlib.blake2b(told.encode(errors="surrogatepass"), digest_size=16).digest()


def tokens_of(messages: Iterable[BaseMessage]) -> int:
    """The tokens of a prompt, as estimated, on the high side."""
    return sum(estimate_tokens(text_of(message)) + _PER_MESSAGE for message in messages)


def _tokens_of_tool(tool: Any) -> int:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    return estimate_tokens(json.dumps(convert_to_openai_tool(tool)))


class Question:
    """Begun when it is made: noted in the ledger (BudgetReached), then sent. `call` is what it took, `came` the pieces
    of the answer so far."""

    def __init__(
        self,
        pool: ModelPool,
        choice: ModelChoice,
        asking: Asking,
        calls: Calls | None,
        limits: Sequence[Limit],
        seconds: float,
    ) -> None:
        candidate = pool.candidate(choice.model)
        self._candidate = candidate
        self._asking = asking
        self._calls = calls
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._settled = threading.Event()
        self._cancelled = threading.Event()
        self._given_up = threading.Event()
        self._places = pool.places(choice.model)
        self.came: list[Any] = []
        self.call = asking.call(choice.model, candidate.terms)
        model = pool.opened(choice.model)
        if not self._places.acquire(timeout=max(seconds, 0.0)):
            raise ModelError(f"{choice.model} is busy with {candidate.terms.at_once} questions", passing=True)
        entered = False
        try:
            entered = candidate.breaker.enter()
            if not entered:
                raise ModelError(
                    f"{choice.model} failed, and is left alone", passing=True, wait=candidate.breaker.rests
                )
            if calls is not None:
                calls.begin(self.call, limits)
            run = contextvars.copy_context().run  # LangChain's callbacks and tracing go by context
            thread = threading.Thread(target=run, args=(self._run, model), name=f"agentmem-{asking.role}", daemon=True)
            self._begun = time.monotonic()
            thread.start()
        except BaseException:  # over the budget, a full disk, no thread to be had: nothing was asked
            if entered:
                candidate.breaker.leave(None)
            self._places.release()
            raise

    def pieces(self, first: float, between: float) -> Iterator[Any]:
        """What comes, as it comes. ModelError when the first piece takes longer than so many seconds, the next ones
        longer than `between`, or the model fails."""
        patience = first
        while True:
            try:
                item = self._items.get(timeout=max(patience, 0.0))
            except queue.Empty:
                self._given_up.set()
                self.cancel()
                self._candidate.breaker.leave(False)
                self._candidate.standing(self._asking.role).saw(False)
                raise ModelError(
                    f"{self.call.model} gave no answer within {patience:.3g} s",
                    way_out="Look whether it is overloaded, or give it more time: deadline, under [models.terms].",
                    passing=True,
                ) from None
            if item is _END:
                return
            if isinstance(item, AgentMemError):
                raise item
            patience = between
            yield item

    def cancel(self) -> None:
        """Stop at the next piece; what came by then is the answer."""
        self._cancelled.set()

    def refuse(self) -> None:
        """Note that the answer could not be used."""
        self.call = replace(self.call, outcome="refused")
        if self._calls is not None:
            self._calls.end(self.call)

    def settle(self) -> None:
        """Wait, a moment at most, until what it took is known."""
        self._settled.wait(_SETTLING_S)

    @property
    def message(self) -> AIMessage:
        """What came, as one message."""
        from langchain_core.messages import AIMessage, AIMessageChunk
        from langchain_core.messages.ai import add_ai_message_chunks

        came = [_message_of(piece) for piece in self.came]
        chunks = [piece for piece in came if isinstance(piece, AIMessageChunk)]
        if chunks:
            whole = add_ai_message_chunks(chunks[0], *chunks[1:])
            told = {name: value for name, value in whole.model_dump().items() if name in AIMessage.model_fields}
            return AIMessage(**{**told, "type": "ai"})
        return next((piece for piece in came if isinstance(piece, AIMessage)), AIMessage(""))

    # ── on its thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, model: BaseChatModel) -> None:
        failure: ModelError | None = None
        try:
            for piece in self._asked(model):
                if self._cancelled.is_set() and self.came:
                    break
                self.came.append(piece)
                self._items.put(piece)
        except Exception as error:  # noqa: BLE001  # a model is anybody's program
            failure = as_model_error(error, self.call.model)
        try:
            self._account(failure)
        except AgentMemError as error:  # the ledger was closed, or is full: the answer stands, and the estimate
            log.warning("what %s cost cannot be noted: %s", self.call.model, error)
        finally:
            self._places.release()
            self._settled.set()
            self._items.put(_END if failure is None else failure)

    def _asked(self, model: BaseChatModel) -> Iterator[Any]:
        from langchain_core.language_models import BaseChatModel
        from langchain_core.runnables import RunnableBinding

        asking = self._asking
        messages = list(asking.messages)
        target: Runnable[Any, Any] = asking.runnable or model
        if asking.tools:
            try:
                target = model.bind_tools(asking.tools)
            except NotImplementedError:  # it has none: then it answers in words
                target = model
        bound: dict[str, Any] = {"max_tokens": asking.most_out} if "max_tokens" in type(model).model_fields else {}
        if asking.runnable is not None and not isinstance(asking.runnable, RunnableBinding | BaseChatModel):
            yield target.invoke(messages)  # a chain, which hands no argument on
        elif asking.streams:
            yield from target.stream(messages, **bound)
        else:
            yield target.invoke(messages, **bound)

    def _account(self, failure: ModelError | None) -> None:
        seconds = time.monotonic() - self._begun
        candidate = self._candidate
        usage = next((used for piece in reversed(self.came) if (used := _usage_of(piece))), None)
        if usage is not None:
            tokens_in, tokens_out = usage
        elif self.came:  # it says nothing, or was stopped before it could
            words = "".join(text_of(_message_of(piece)) for piece in self.came)
            tokens_in, tokens_out = self.call.tokens_in, estimate_tokens(words)
        else:
            tokens_in = tokens_out = 0
        self.call = replace(
            self.call,
            outcome="done" if failure is None else "failed",
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            picos=candidate.terms.picos(tokens_in, tokens_out),
            ms=1_000 * seconds,
            error="" if failure is None else str(failure),
        )
        if not self._given_up.is_set():  # else whoever waited has said so
            refused = failure is not None and not failure.passing  # the question, and it will answer the next
            candidate.breaker.leave(failure is None or refused, None if failure is None else failure.wait)
            candidate.standing(self._asking.role).saw(failure is None, seconds)
        if self._calls is not None:
            self._calls.end(self.call)


def _message_of(piece: Any) -> Any:
    """The message in a piece: itself, or what stands beside a parsed answer."""
    from langchain_core.messages import AIMessage

    raw = piece.get("raw") if isinstance(piece, dict) else piece
    return raw if isinstance(raw, AIMessage) else AIMessage("")


def _usage_of(piece: Any) -> tuple[int, int] | None:
    """Tokens in and out as the model says; None where it says nothing, or nothing that can be."""
    used = _message_of(piece).usage_metadata or {}
    told = used.get("input_tokens"), used.get("output_tokens")
    return cast("tuple[int, int]", told) if all(map(sound_count, told)) else None
