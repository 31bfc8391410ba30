"""An answer as an object: a pydantic schema goes in, a validated object comes out, whatever the model can do.

A model is asked in the strictest way that it has: by its own structured output, by a tool that it must call, or in
words. A way that it refuses, or does not heed, is not tried again with it. What it says is read by `tolerant` alone,
whichever way it came; when it cannot be used, the model is told what is wrong and asked again, a few times.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, RootModel

from agentmem.errors import BadOutput, BudgetReached, InvalidInput, ModelError, NoModel
from agentmem.models.answer import text_of
from agentmem.models.prompts import Prompt, Prompts
from agentmem.models.tolerant import holds_json, parse
from agentmem.values import whole_number

__all__ = ["Ask", "Structured", "Way", "structured"]

M = TypeVar("M", bound=BaseModel)
M_co = TypeVar("M_co", bound=BaseModel, covariant=True)
Way: TypeAlias = Literal["native", "tools", "words"]
Ask: TypeAlias = Callable[[Runnable[Any, Any], Sequence[BaseMessage], Sequence[Prompt]], Any]

_SHOWN: Final = 4_000  # characters of an answer that is shown to the model again
# What servers say when they do not know a way. Those that refuse something else are asked once more in the next way,
# refuse that too, and the error is theirs.
_REFUSES: Final = re.compile(
    r"\b(?:400|404|422|501)\b|response.?format|json.?schema|schema|structured|grammar|\btools?\b|tool.?choice|function"
    r"|not ?(?:implemented|supported)|unsupported|does ?n.t support|unknown (?:field|parameter|argument)",
    re.IGNORECASE,
)
# By id, since LangChain's models have no hash; an entry goes with its model.
_useless: dict[int, set[Way]] = {}


@dataclass(frozen=True, slots=True)
class Structured(Generic[M_co]):
    """`value`, validated; `text`, the answer that it was read from; `way`, how the model was asked for it; `rounds`,
    how often it was shown its mistake before; `model`, its spec where a pool was asked."""

    value: M_co
    rounds: int
    way: Way
    text: str
    model: str = ""


def _invoke(runnable: Runnable[Any, Any], messages: Sequence[BaseMessage], added: Sequence[Prompt]) -> Any:
    return runnable.invoke(list(messages))


def structured(
    model: BaseChatModel,
    schema: type[M],
    messages: Sequence[BaseMessage],
    *,
    ask: Ask = _invoke,
    repairs: int = 2,
    prompts: Prompts | None = None,
) -> Structured[M]:
    """What the model answers, as an object of `schema`.

    `ask` makes each call, of a runnable made from the model, the messages, and those of the `prompts` (None: the
    shipped ones) that were added to them. It gives back the model's message, or LangChain's dict of a raw message and
    what was parsed; what it raises passes through. The model is asked again up to `repairs` times, each time with its
    last answer and what is wrong with it. BadOutput, with the last answer, when none can be used.
    """
    whole_number(repairs, "repairs")
    if not messages:
        raise InvalidInput("there are no messages", way_out="Give one at least, with what is asked.")
    prompts = Prompts() if prompts is None else prompts
    repair = prompts["repair"]
    told: list[BaseMessage] = []
    text = fault = ""
    for rounds in range(repairs + 1):
        way, answer = _asked(model, schema, ask, messages, told, prompts)
        text, called = _read(answer)
        if _ignored(way, text, called):
            _note_useless(model, way)
        try:
            return Structured(parse(text, schema), rounds, way, text)
        except BadOutput as error:
            fault = str(error)
        told = [AIMessage(_shortened(text) or "(nothing)"), HumanMessage(repair.fill(fault=fault))]
    answers = f"{repairs + 1} answers" if repairs else "its answer"
    raise BadOutput(
        f"the model gave no {schema.__name__} in {answers}: {fault}",
        answer=text,
        way_out="Ask a larger model for this, or one that has structured output.",
    )


def _asked(
    model: BaseChatModel,
    schema: type[BaseModel],
    ask: Ask,
    given: Sequence[BaseMessage],
    told: Sequence[BaseMessage],
    prompts: Prompts,
) -> tuple[Way, Any]:
    """The answer in the first way that the model does not refuse. When it was `told` of a mistake, the schema is shown
    whichever way that is: its server may have ignored the way."""
    refused: list[Way] = []
    for way in _ways(model, schema):
        try:
            runnable = _runnable(model, schema, way)
        except (NotImplementedError, ValueError, TypeError):  # no such method, or not with these arguments
            refused.append(way)
            continue
        shown, added = given, [prompts["repair"]] if told else []
        if told or way == "words":
            shown, added = _with_schema(given, schema, prompts["json"]), [prompts["json"], *added]
        try:
            answer = ask(runnable, [*shown, *told], added)
        except (NotImplementedError, ModelError) as error:
            if way == "words" or not _is_refusal(error):
                raise
            refused.append(way)
            continue
        for other in refused:  # an answer in another way proves that it was the way
            _note_useless(model, other)
        return way, answer
    raise AssertionError("words come last, and end in an answer or an error")


def _ways(model: BaseChatModel, schema: type[BaseModel]) -> list[Way]:
    """Those worth trying, the strictest first: what the profile says it has not is not tried."""
    profile: Mapping[str, Any] = getattr(model, "profile", None) or {}
    ways: list[Way] = []
    if not issubclass(schema, RootModel):  # tools and servers take objects alone
        if profile.get("structured_output"):
            ways.append("native")
        if profile.get("tool_calling", type(model).bind_tools is not BaseChatModel.bind_tools):
            ways.append("tools")
    useless = _useless.get(id(model), set())
    return [*(way for way in ways if way not in useless), "words"]


def _runnable(model: BaseChatModel, schema: type[BaseModel], way: Way) -> Runnable[Any, Any]:
    if way == "native":
        return model.with_structured_output(schema, method="json_schema", include_raw=True)
    if way == "tools":
        return model.bind_tools([schema], tool_choice="any")
    return model


def _is_refusal(error: NotImplementedError | ModelError) -> bool:
    if isinstance(error, NotImplementedError):
        return True
    final = isinstance(error, BadOutput | BudgetReached | NoModel)
    return not final and not error.passing and _REFUSES.search(str(error)) is not None


def _note_useless(model: BaseChatModel, way: Way) -> None:
    if id(model) not in _useless:
        weakref.finalize(model, _useless.pop, id(model), None).atexit = False
    _useless.setdefault(id(model), set()).add(way)


def _ignored(way: Way, text: str, called: bool) -> bool:
    """Whether the answer shows that its way went unheeded: no call of a tool that had to be called, or prose where the
    server was to let nothing but JSON pass. An empty answer shows nothing."""
    if not text.strip() or called:
        return False
    return way == "tools" or (way == "native" and not holds_json(text))


def _read(answer: Any) -> tuple[str, bool]:
    """What the model wrote, and whether it called a tool with it."""
    message = answer.get("raw") if isinstance(answer, Mapping) else answer
    if not isinstance(message, BaseMessage):
        return "", False
    if isinstance(message, AIMessage):
        calls = [json.dumps(call["args"], default=str) for call in message.tool_calls]
        calls += [call["args"] or "" for call in message.invalid_tool_calls]
        if calls:
            return "\n".join(calls), True
    return text_of(message), False


def _with_schema(messages: Sequence[BaseMessage], schema: type[BaseModel], asked: Prompt) -> list[BaseMessage]:
    """The schema at the end of the last words of the user: behind them is where small models look."""
    told = asked.fill(schema=json.dumps(convert_to_json_schema(schema), ensure_ascii=False))
    *before, last = messages
    if isinstance(last, HumanMessage) and isinstance(last.content, str):
        return [*before, last.model_copy(update={"content": f"{last.content}\n\n{told}"})]
    return [*messages, HumanMessage(told)]


def _shortened(text: str) -> str:
    text = text.encode(errors="replace").decode().replace("\0", "")  # as it came it may be no text to a server
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN * 2 // 3]}\n[…]\n{text[-_SHOWN // 3 :]}"
