"""A language model in this process, by transformers: LangChain's `BaseChatModel` over a folder of weights.

`LocalChat` lays messages out with the model's own chat template, asks the network token by token, and gives the text as
it comes. It knows nothing of files (local_loading.py), nor of keys, values and characters (local_decoding.py).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from agentmem.errors import InvalidInput, ModelError
from agentmem.models.local_decoding import Decoder, Turns, Unfolding, chooser
from agentmem.models.local_loading import ModelFiles, bordered, located
from agentmem.models.local_messages import PLAIN, PLAIN_STOP, ToolCalls, clean, forced_call, laid_out, merged
from agentmem.models.tolerant import in_words
from agentmem.values import number, whole_number, words

__all__ = ["LocalChat", "open_local"]

_PER_ANSWER: Final = ("max_tokens", "temperature", "top_p", "seed")  # settings that a question may bring along


def open_local(argument: str = "") -> LocalChat:
    """The model that `local:/a/folder` or `local:hub/name` spells, not loaded yet. ModelError when there is none."""
    if not argument:
        raise InvalidInput("no model is named", way_out="Write local:FOLDER, or local:NAME for one of the hub.")
    return LocalChat(model=argument)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How one answer is wanted."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    tools: list[dict[str, Any]]
    begun: str  # what the answer is made to begin with
    cancelled: int  # how often answers were cancelled before this one was wanted


@dataclass(slots=True)
class _Tally:
    """What one answer took, in tokens."""

    made: int = 0
    computed: int = 0
    reused: int = 0
    finish: Literal["stop", "length", "cancelled"] = "stop"
    choose: Callable[[Any], int] | None = None  # of the scores, the next token


class LocalChat(BaseChatModel):
    """A causal language model that transformers can run, on this machine's CPU or GPU; what it is sent stays here.

    `model` is a folder or a hub name. Nothing is loaded before the first question. One answer is made at a time: other
    threads wait for their turn. What was computed for one prompt serves the next as far as the two begin alike, so a
    conversation costs only what is new in it. `usage_metadata` counts tokens exactly, the one that ends an answer
    included; `response_metadata` says `finish_reason` ("stop", "length", "cancelled"), and of how many tokens the keys
    and values were computed and reused (`tokens_computed`, `tokens_reused`).

    All of `max_tokens`, `temperature` (0: always the likeliest token), `top_p`, `seed` and `stop` may be given per
    call. `device`: auto, cpu, cuda, cuda:1, mps. `dtype`: auto is bfloat16 on a GPU that has it, float32 on a CPU.
    `quantize`: 4bit or 8bit, with bitsandbytes on a CUDA GPU. `template_options` are handed to the chat template, such
    as `{"enable_thinking": False}`. `streaming`: callbacks are told each token of an `invoke` too.

    A model without a chat template is shown lines of `User: …` and `Assistant: …`. Tools are taken where the template
    renders them and has the calls written as JSON between `<tool_call>` tags. InvalidInput for a setting out of range,
    ModelError for whatever the model cannot do.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: Literal["4bit", "8bit"] | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    streaming: bool = False
    template_options: dict[str, Any] = Field(default_factory=dict)

    _files: ModelFiles = PrivateAttr()
    _given: ModelProfile = PrivateAttr()  # what the user says of it, against the files
    _tokenizer: Any = PrivateAttr(None)
    _decoder: Decoder | None = PrivateAttr(None)
    _turns: Turns = PrivateAttr(default_factory=Turns)
    _reading: threading.RLock = PrivateAttr(default_factory=threading.RLock)
    _cancelled: int = PrivateAttr(0)  # how often; an answer ends when it is not what it was at its beginning

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            told = in_words(error)
            raise InvalidInput(f"LocalChat cannot be made so: {told}", way_out="See help(LocalChat).") from None
        self._asked(None, {})
        self._files = located(self.model)
        self._given = self.profile or {}
        self.profile = {**self._files.profile(), **self._given}

    @property
    def is_local(self) -> bool:
        """What it is sent never leaves this machine."""
        return True

    @property
    def spec(self) -> str:
        """How it is named in settings and accounts."""
        return f"local:{self.model}"

    def cancel(self) -> None:
        """End every answer that is being made, or waits for its turn, before its next token. Never blocks.

        What there was of it is given, with the finish_reason "cancelled".
        """
        self._cancelled += 1

    def unload(self) -> None:
        """Give back the memory of the network and of what it computed; the next question loads it again.

        Waits for an answer that is being made. One whose reader does not read on goes on, after loading again.
        """
        me = object()
        self._turns.take(me)
        try:
            self._decoder, going = None, self._decoder
            if going is not None:
                going.close()
        finally:
            self._turns.give(me)

    def close(self) -> None:
        """End what is being made, and unload."""
        self.cancel()
        self.unload()

    def get_token_ids(self, text: str) -> list[int]:
        """The ids of the text alone, by the model's tokenizer; its weights are not needed."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        tokenizer = self._reader()
        with self._reading, bordered(f"count the tokens of a text by {self.model}"):
            return list(tokenizer.encode(clean(text), add_special_tokens=False, verbose=False))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Of the prompt as the model would be shown it, template and tools included."""
        return len(self._prompt(messages, [convert_to_openai_tool(tool) for tool in tools or ()], ""))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools. `tool_choice`: a tool's name, "any" (or "required", True), "auto" or "none".

        A call that must be made is begun for the model; its arguments are its own, and not checked.
        """
        shown = [convert_to_openai_tool(tool) for tool in tools]
        forced_call(tool_choice, shown)
        return self.bind(tools=shown, tool_choice=tool_choice, **kwargs)

    @property
    def _llm_type(self) -> str:
        return "local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model", "device", "dtype", "quantize", "max_tokens", "temperature", "top_p", "seed", "stop")
        return {**{name: getattr(self, name) for name in names}, "template_options": self.template_options}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Token by token, each on LangChain's threads: a task that is cancelled ends the answer too."""
        return await agenerate_from_stream(self._astream(messages, stop, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """A chunk for each token, empty where its text is not whole yet: after any of them, the reader may leave."""
        asked = self._asked(stop, kwargs)
        prompt = self._prompt(messages, asked.tools, asked.begun)
        most = min(asked.max_tokens, self._room(len(prompt)))
        stops = asked.stop if self._reader().chat_template else (*asked.stop, PLAIN_STOP)
        text, tally = Unfolding(self._text_of, stops), _Tally()
        calls = ToolCalls(asked.begun) if asked.tools else None
        with closing(self._tokens(prompt, most, asked, tally)) as tokens:
            for token in tokens:
                fresh = "" if token is None else text.add(token)
                for part in [fresh] if calls is None else calls.add(fresh):
                    yield _chunk(part)
                if text.stopped:
                    break
        rest = text.rest()
        for part in [rest] if calls is None else calls.add(rest, last=True):
            yield _chunk(part)
        yield self._last(len(prompt), tally)

    def _last(self, prompt: int, tally: _Tally) -> ChatGenerationChunk:
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                chunk_position="last",
                usage_metadata={
                    "input_tokens": prompt,
                    "output_tokens": tally.made,
                    "total_tokens": prompt + tally.made,
                    "input_token_details": {"cache_read": tally.reused},
                },
                response_metadata={
                    "model_name": self.model,
                    "finish_reason": tally.finish,
                    "tokens_computed": tally.computed,
                    "tokens_reused": tally.reused,
                },
            )
        )

    def _tokens(self, prompt: list[int], most: int, asked: _Asked, tally: _Tally) -> Generator[int | None]:
        """The answer's tokens, without the one that ends it; None after a part of a long prompt."""
        tokens, me = list(prompt), object()
        try:
            while tally.made < most:
                self._turns.take(me)
                if self._cancelled != asked.cancelled:
                    tally.finish = "cancelled"
                    return
                token, ends = self._next(tokens, asked, tally)
                if token is not None:
                    tokens.append(token)
                    tally.made += 1
                    if ends:
                        return
                self._turns.rest(me)
                yield token
            tally.finish = "length"
        finally:
            self._turns.give(me)

    def _next(self, tokens: list[int], asked: _Asked, tally: _Tally) -> tuple[int | None, bool]:
        """The token that follows, None while the prompt is not through, and whether it ends the answer.

        Nothing of the network is held between two of them: it can be unloaded while a reader rests.
        """
        if self._decoder is None:
            self._decoder = Decoder(self._files.network(self.device, self.dtype, self.quantize))
        with bordered(f"compute an answer of {self.model}"):
            step = self._decoder.step(tokens)
            if not tally.computed:
                tally.reused = step.reused
            tally.computed += step.computed
            if step.scores is None:
                return None, False
            if tally.choose is None:
                tally.choose = chooser(asked.temperature, asked.top_p, asked.seed, step.scores.device)
            token = tally.choose(step.scores)
        return token, token in self._decoder.ends or token == self._reader().eos_token_id

    def _reader(self) -> Any:
        with self._reading:
            if self._tokenizer is None:
                self._tokenizer, found = self._files.tokenizer()
                self.profile = {**found, **self._given}
            return self._tokenizer

    def _text_of(self, tokens: list[int]) -> str:
        with self._reading:  # a fast tokenizer fails when two threads change its settings
            return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _prompt(self, messages: list[BaseMessage], tools: list[dict[str, Any]], begun: str) -> list[int]:
        """The tokens of what the model is shown. Whatever a message holds, it is text: none of it ends a turn."""
        turns = laid_out(messages)
        tokenizer = self._reader()
        if tools and not (self.profile or {}).get("tool_calling"):
            raise ModelError(
                f"the chat template of {self.model} does not render tools in a way that is known",
                way_out="Ask for JSON in the prompt, or name a model whose template has <tool_call>.",
            )
        import jinja2

        with (
            self._reading,
            bordered(f"lay the messages out for {self.model}", way_out="Its chat template says why: ask it otherwise."),
        ):
            try:
                prompt = self._templated(tokenizer, turns, tools)
            except jinja2.TemplateError:
                prompt = self._templated(tokenizer, merged(turns), tools)
            return prompt + list(tokenizer.encode(begun, add_special_tokens=False))

    def _templated(self, tokenizer: Any, turns: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[int]:
        return list(
            tokenizer.apply_chat_template(
                turns,
                tools=tools or None,
                chat_template=None if tokenizer.chat_template else PLAIN,
                add_generation_prompt=True,
                return_dict=False,
                sanitize_control_tokens=True,
                tokenizer_kwargs={"verbose": False},
                **self.template_options,
            )
        )

    def _room(self, prompt: int) -> int:
        """Tokens of an answer that fit behind the prompt's."""
        window = (self.profile or {}).get("max_input_tokens") or sys.maxsize
        if prompt >= window:
            raise ModelError(
                f"the prompt does not fit into {self.model}: it has {prompt} tokens, {prompt - window + 1} too many, "
                f"since the model takes {window}, one of them for its answer",
                way_out="Show it less, or take a model with a larger window.",
            )
        return window - prompt

    def _asked(self, stop: list[str] | None, given: dict[str, Any]) -> _Asked:
        """How an answer is wanted: what was given with the question, else the model's own settings. InvalidInput."""
        if unknown := given.keys() - {*_PER_ANSWER, "model", "tools", "tool_choice"}:
            raise InvalidInput(
                f"a local model takes no {', '.join(sorted(unknown))}", way_out=f"It takes {', '.join(_PER_ANSWER)}."
            )
        if given.get("model") not in (None, self.model):
            raise InvalidInput(
                f"this is {self.model}, and {given['model']!r} was asked for", way_out="Open another LocalChat for it."
            )
        chosen = {name: getattr(self, name) if given.get(name) is None else given[name] for name in _PER_ANSWER}
        temperature, top_p = number(chosen["temperature"], "the temperature"), number(chosen["top_p"], "top_p")
        if temperature < 0:
            raise InvalidInput(f"the temperature must be 0 or more, not {temperature:g}")
        if not 0 < top_p <= 1:
            raise InvalidInput(f"top_p must be above 0 and at most 1, not {top_p:g}")
        stops = words((self.stop if stop is None else stop) or (), "stop")
        if "" in stops:
            raise InvalidInput("a stop string must not be empty")
        tools, choice = list(given.get("tools") or ()), given.get("tool_choice")
        return _Asked(
            whole_number(chosen["max_tokens"], "max_tokens", 1),
            temperature,
            top_p,
            None if chosen["seed"] is None else whole_number(chosen["seed"], "the seed"),
            stops,
            [] if choice == "none" else tools,
            forced_call(choice, tools),
            self._cancelled,
        )


def _chunk(part: str | ToolCallChunk) -> ChatGenerationChunk:
    if isinstance(part, str):
        return ChatGenerationChunk(text=part, message=AIMessageChunk(content=part))
    return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
