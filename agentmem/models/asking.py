"""Asking models, for a memory of one scope: in the router's order, within the budget, until one answers.

Each question is noted in the ledger before it is sent and put right when it ends. One that fails and may be well is
sent again, after the pause that the server wants; then the next model is asked, and the answer says so. A model that
gives no answer in time is left behind on its thread: its answer counts for nothing but its cost.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from agentmem.errors import AgentMemError, BadOutput, BudgetReached, ModelError, NoModel
from agentmem.models.answer import Answer, text_of
from agentmem.models.calls import Call, Calls, Limit
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.pool import ModelPool
from agentmem.models.prompts import Prompt
from agentmem.models.question import Asking, Question
from agentmem.records import Scope

if TYPE_CHECKING:
    from types import TracebackType

    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.runnables import Runnable
    from pydantic import BaseModel
    from tenacity import RetryCallState

    from agentmem.models.structured import Structured

__all__ = ["MOST_OUT", "BoundModels", "Stream"]

log = logging.getLogger("agentmem")
T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

MOST_OUT: Final = 1_024  # tokens of an answer, unless more are asked for
_TRIES: Final = 3  # of one model
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 8.0
_SHORT_WAIT_S: Final = 2.0  # that a server may want, when another model could be asked instead
_SILENT_S: Final = 60.0  # between two pieces of a stream
_CACHED: Final = frozenset({"extract", "summarise", "judge"})  # roles whose answers to the same words may be the same


class BoundModels:
    """The models, as one scope may ask them. `choose` is the router's word on which; `calls` is where costs are kept,
    None for nowhere. Safe to use from several threads."""

    def __init__(
        self, pool: ModelPool, scope: Scope, choose: Callable[[Need], list[ModelChoice]], calls: Calls | None
    ) -> None:
        self.pool = pool
        self._scope = scope
        self._choose = choose
        self._calls = calls

    def __bool__(self) -> bool:
        return bool(self.pool)

    def serves(self, role: str) -> bool:
        """Whether a role has any model."""
        return self.pool.serves(role)

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name: the user's own, or else the shipped one. InvalidInput for an unknown name."""
        return self.pool.prompts[name]

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, role: str, prompt: str) -> str:
        """What a model of that role answers to a text. See `chat` for the errors."""
        return self.chat(role, prompt).text

    def chat(
        self,
        role: str,
        messages: str | Sequence[BaseMessage],
        *,
        tools: Sequence[Any] = (),
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
        most_out: int = MOST_OUT,
    ) -> Answer:
        """The answer of the first model that gives one.

        `kinds` are the kinds of memories whose words are in the messages; `cause` what it is for, in ids; `prompt` the
        prompt's file and version. NoModel when none is set or may be asked, BudgetReached when none fits the budget,
        else the ModelError of the last one asked.
        """
        asking = Asking.of(role, messages, most_out, tools=tools, kinds=kinds, cause=cause, prompt=prompt)
        return self._first(asking, lambda *chosen: self._answered(asking, *chosen))

    def stream(
        self,
        role: str,
        messages: str | Sequence[BaseMessage],
        *,
        tools: Sequence[Any] = (),
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
        most_out: int = MOST_OUT,
    ) -> Stream:
        """As `chat`, piece by piece. Another model is asked only while nothing has come; then a failure is the
        stream's, which holds what came."""
        asking = Asking.of(role, messages, most_out, tools=tools, kinds=kinds, cause=cause, prompt=prompt)
        return self._first(asking, lambda *chosen: self._begun(asking, *chosen))

    def structured(
        self,
        role: str,
        schema: type[M],
        messages: str | Sequence[BaseMessage],
        *,
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
        most_out: int = MOST_OUT,
        repairs: int = 2,
    ) -> Structured[M]:
        """The answer as an object of a pydantic schema. BadOutput when no model's answer could be made one."""
        from agentmem.models.structured import structured

        asking = Asking.of(role, messages, most_out, kinds=kinds, cause=cause, prompt=prompt)

        def one(choice: ModelChoice, more: bool, passed_over: tuple[str, ...]) -> Structured[M]:
            last: Question | None = None

            def through(runnable: Runnable[Any, Any], shown: Sequence[BaseMessage], added: Sequence[Prompt]) -> Any:
                nonlocal last
                if last is not None:
                    last.refuse()  # or it would not be asked again
                told = " ".join(filter(None, (prompt, *(one.id for one in added))))
                round_ = replace(asking, messages=tuple(shown), runnable=runnable, prompt=told)
                last = self._tried(choice, round_, more, _ended)
                return last.came[-1] if last.came else None

            try:
                found = structured(
                    self.pool.opened(choice.model),
                    schema,
                    list(asking.messages),
                    ask=through,
                    repairs=repairs,
                    prompts=self.pool.prompts,
                )
                return replace(found, model=choice.model)
            except BadOutput:
                if last is not None:
                    last.refuse()
                self.pool.candidate(choice.model).standing(role).saw(False)
                raise

        return self._first(asking, one)

    # ── costs ────────────────────────────────────────────────────────────────────────────────────────────────────

    def estimate(
        self,
        role: str,
        messages: str | Sequence[BaseMessage],
        *,
        kinds: Collection[str] = (),
        most_out: int = MOST_OUT,
    ) -> Call:
        """What asking would take at most, of the model that would be asked first: nothing is asked. NoModel."""
        asking = Asking.of(role, messages, most_out, kinds=kinds)
        choice = self._allowed(asking.need)[0]
        return self._call(choice, asking)

    def limits(self, at: datetime | None = None) -> list[Limit]:
        """The budgets that hold in this scope, each since the day began."""
        return self.pool.settings.limits(self._scope, at)

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _allowed(self, need: Need) -> list[ModelChoice]:
        choices = self._choose(need)
        allowed = [choice for choice in choices if not choice.refused]
        if allowed:
            return allowed
        if not choices:
            raise NoModel(
                f"no model is set for the role {need.role!r}",
                way_out="Set one: --model, AGENTMEM_MODEL, or model in agentmem.toml, such as openai:gpt-4.1-mini or "
                "http://localhost:11434/v1#llama3.2; in Python, Memory.open(…, models=…) takes LangChain's too.",
            )
        told = "; ".join(f"{choice.model}: {choice.why}" for choice in choices)
        rests = [left for choice in choices if (left := self.pool.candidate(choice.model).breaker.rests)]
        if rests:
            raise ModelError(f"no model may be asked now: {told}", passing=True, wait=min(rests))
        raise NoModel(f"no model may be asked: {told}", way_out="Name one that may, under [models.roles].")

    def _first(self, asking: Asking, one: Callable[[ModelChoice, bool, tuple[str, ...]], T]) -> T:
        """What the first model gives that gives anything."""
        choices = self._allowed(asking.need)
        faults: list[AgentMemError] = []
        for choice in choices:
            passed_over = tuple(f"{other.model}: {fault}" for other, fault in zip(choices, faults, strict=False))
            try:
                return one(choice, len(faults) + 1 < len(choices), passed_over)
            except AgentMemError as error:
                log.info("%s does not answer as %s: %s", choice.model, asking.role, error)
                faults.append(error)
        # A dear model that no longer fits the budget is the reason, even if a free one was asked after it and failed.
        raise next((fault for fault in faults if isinstance(fault, BudgetReached)), faults[-1])

    def _answered(self, asking: Asking, choice: ModelChoice, more: bool, passed_over: tuple[str, ...]) -> Answer:
        kept = self.pool.cache if asking.role in _CACHED and not asking.tools else None
        key = asking.key(self._scope, choice.model)
        known = None if kept is None else kept.get(key)
        if known is not None:
            return replace(known, why=choice.why, passed_over=passed_over, cached=True)
        question = self._tried(choice, asking, more, _ended)
        answer = Answer(question.message, question.call, choice.why, passed_over)
        if kept is not None:
            kept.put(key, answer)
        return answer

    def _begun(self, asking: Asking, choice: ModelChoice, more: bool, passed_over: tuple[str, ...]) -> Stream:
        question, first = self._tried(choice, replace(asking, streams=True), more, _first_piece)
        return Stream(question, first, choice.why, passed_over)

    def _tried(self, choice: ModelChoice, asking: Asking, more: bool, wait: Callable[[Question, float], T]) -> T:
        """What `wait` makes of a question to one model, asked again while that may help."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        until = time.monotonic() + self.pool.candidate(choice.model).terms.deadline
        longest = _SHORT_WAIT_S if more else until - time.monotonic()

        def once() -> T:
            left = until - time.monotonic()
            return wait(Question(self.pool, choice, asking, self._calls, self.limits(), left), left)

        def pause(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            wanted = error.wait if isinstance(error, ModelError) else None
            if wanted is not None:
                return wanted
            jitter = random.uniform(0.5, 1.0)  # so that many who were refused together do not come back together
            return jitter * float(min(_FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1), _LONGEST_PAUSE_S))

        def again(error: BaseException) -> bool:
            late = isinstance(error, ModelError) and (error.wait or 0.0) > min(longest, until - time.monotonic())
            return isinstance(error, ModelError) and error.passing and not late and time.monotonic() < until

        tries = Retrying(stop=stop_after_attempt(_TRIES), wait=pause, retry=retry_if_exception(again), reraise=True)
        return tries(once)

    def _call(self, choice: ModelChoice, asking: Asking) -> Call:
        return asking.call(choice.model, self.pool.candidate(choice.model).terms)


def _ended(question: Question, seconds: float) -> Question:
    for _ in question.pieces(seconds, seconds):
        continue
    return question


def _first_piece(question: Question, seconds: float) -> tuple[Question, Iterator[Any]]:
    pieces = question.pieces(seconds, _SILENT_S)
    first = next(pieces, None)
    return question, pieces if first is None else chain([first], pieces)


class Stream:
    """An answer as it comes. Iterate it; `answer` is there when it has ended, `text` what came by now.

    Closing it stops the model at its next piece, and the answer is what came. A model that breaks off raises its
    ModelError out of the iteration; what came stays in `text`.
    """

    def __init__(self, question: Question, pieces: Iterator[Any], why: str, passed_over: tuple[str, ...]) -> None:
        self._question = question
        self._pieces = pieces
        self.why = why
        self.passed_over = passed_over

    def __iter__(self) -> Iterator[AIMessageChunk]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def model(self) -> str:
        return self._question.call.model

    @property
    def text(self) -> str:
        return "".join(text_of(piece) for piece in self._question.came)

    def close(self) -> None:
        """Stop, if it has not ended; twice is fine."""
        self._question.cancel()

    @property
    def answer(self) -> Answer:
        """What came, and what it took; waits a moment for a model that was stopped to say so."""
        self._question.settle()
        return Answer(self._question.message, self._question.call, self.why, self.passed_over)
