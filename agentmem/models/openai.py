"""Chat with any server that speaks OpenAI's `/v1/chat/completions`.

    OpenAI          OpenAIChat(model="gpt-4.1-mini")                       the key from OPENAI_API_KEY
    Azure           base_url="https://NAME.openai.azure.com/openai/v1"     `model` is the deployment
    Ollama          base_url="http://localhost:11434/v1"
    vLLM            base_url="http://localhost:8000/v1"
    llama.cpp       base_url="http://localhost:8080/v1"
    LM Studio       base_url="http://localhost:1234/v1"

Knows what a server is sent. How its answer is read is in `openai_answer`, how it is reached in `endpoint`, and when it
is asked again is for the pool to say.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError

from agentmem.address import OPENAI, model_name, model_spelled
from agentmem.endpoint import Answer, Endpoint
from agentmem.errors import InvalidInput, ModelError
from agentmem.foreign import foreign
from agentmem.models.openai_answer import AnswerReader, clean, whole_answer
from agentmem.models.tolerant import in_words
from agentmem.recall.pack import estimate_tokens

if TYPE_CHECKING:
    import openai

__all__ = ["OpenAIChat", "open_openai"]

_SHAPE: Final = "openai:MODEL or openai:MODEL@http://HOST:PORT/v1"
_PATH: Final = "/chat/completions"
_SENT_BACK: Final = ("text", "refusal", "tool_use")  # of an answer's parts; its reasoning, above all, is not
_NO_NAME: Final = re.compile(r"[\s<|\\/>]+")  # what OpenAI allows in no name
_NO_TITLE: Final = re.compile(r"[^\w-]+", re.ASCII)

Method = Literal["json_schema", "function_calling", "json_mode"]


def open_openai(spelling: str = "") -> OpenAIChat:
    """The model that `openai:MODEL[@URL]` spells. Without a URL it is OPENAI_BASE_URL, else OpenAI's own server.

    The key comes from OPENAI_API_KEY and never from the spelling, which is written to settings and ledgers.
    """
    model, url = model_spelled(spelling, _SHAPE)
    return OpenAIChat(model=model, base_url=url)


class OpenAIChat(BaseChatModel):
    """A model of one server, asked once a question: ModelError, `passing` when it may be well when asked again.

    `base_url` None is OPENAI_BASE_URL, else OpenAI's own; `api_key` None is OPENAI_API_KEY, and a server of one's own
    needs none. `timeout`: seconds that the server may be silent, before its answer or in the middle of it.
    `extra_body`: what else a server takes, such as `top_p`, `seed` or `reasoning_effort`; it is sent as it is.
    `stream_usage`: ask what a stream took; a server that refuses that is asked without from then on.
    `profile`: what the model can do, over what is known of OpenAI's own. Whatever else is left out is not sent.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # which may hold the key

    model: str
    base_url: str | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    temperature: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: list[str] | None = None
    timeout: float = 120.0
    streaming: bool = False
    stream_usage: bool = True
    extra_body: dict[str, Any] = Field(default_factory=dict)
    _endpoint: Endpoint = PrivateAttr()

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            told = in_words(error)
            raise InvalidInput(f"OpenAIChat cannot be made so: {told}", way_out="See help(OpenAIChat).") from None
        model_name(self.model)
        key = self.api_key.get_secret_value() if self.api_key else None
        self._endpoint = Endpoint(self.base_url, key, timeout=self.timeout, retries=0, error=ModelError)
        self.base_url = self._endpoint.address  # without a password
        known = {"tool_calling": True, "structured_output": True} if self.base_url == OPENAI else {}
        self.profile = cast(ModelProfile, {**known, **(self.profile or {})}) or None

    @property
    def is_local(self) -> bool:
        """Whether what is sent stays on this machine, as far as the server there keeps it."""
        return self._endpoint.is_local

    @property
    def spec(self) -> str:
        """How it is named in settings and accounts."""
        return f"openai:{self.model}" if self.base_url == OPENAI else f"{self.base_url}#{self.model}"

    def close(self) -> None:
        """Close the connections that are kept; the next question opens one again."""
        self._endpoint.close()

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        shown = ("model", "base_url", "temperature", "max_tokens", "stop", "extra_body")
        return {name: getattr(self, name) for name in shown}

    def get_token_ids(self, text: str) -> list[int]:
        """As many as `agentmem.recall.pack.estimate_tokens` says; the ids mean nothing.

        The real ones are known to the server alone, and LangChain's own way would download a tokenizer.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return list(range(estimate_tokens(text)))

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        body = self._body(messages, stop, kwargs)
        model, sent = body["model"], body.pop("messages")

        def call(client: openai.OpenAI) -> Answer:
            # The raw answer: what the client makes of one that is not as it should be differs between releases.
            create: Any = client.chat.completions.with_raw_response.create
            return cast(Answer, create(model=model, messages=sent, extra_body=body))

        answer = self._endpoint.ask_once(call, what=f"model {model}")
        message = whole_answer(answer, model=model, place=self._endpoint.place)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs)
        reader = AnswerReader(model=body["model"], place=self._endpoint.place)
        while True:
            try:
                with closing(self._endpoint.stream(_PATH, self._streamed(body), what=f"model {body['model']}")) as come:
                    for event in come:
                        if (piece := reader.piece(event)) is not None:
                            yield ChatGenerationChunk(message=piece)
                break
            except ModelError as error:
                if reader.began or not self._asks_less(error):
                    raise
        yield ChatGenerationChunk(message=reader.last())

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Not LangChain's threads: one that waits for a server cannot be cancelled."""
        body = self._body(messages, stop, kwargs)
        reader = AnswerReader(model=body["model"], place=self._endpoint.place)
        while True:
            try:
                events = self._endpoint.astream(_PATH, self._streamed(body), what=f"model {body['model']}")
                async with aclosing(events) as come:
                    async for event in come:
                        if (piece := reader.piece(event)) is not None:
                            yield ChatGenerationChunk(message=piece)
                break
            except ModelError as error:
                if reader.began or not self._asks_less(error):
                    raise
        yield ChatGenerationChunk(message=reader.last())

    def _streamed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        usage = {"stream_options": {"include_usage": True}} if self.stream_usage else {}
        return {**body, **usage, "stream": True}

    def _asks_less(self, error: ModelError) -> bool:
        """Whether it was the question for usage that a server refused; then it is not put again."""
        if not self.stream_usage or not re.search("stream_options|include_usage", str(error)):
            return False
        self.stream_usage = False
        return True

    def _body(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What is sent, without what is None: the settings, over them `extra_body`, over that what the call gives."""
        body = {
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": stop or self.stop or None,
            **self.extra_body,
            **{name: value for name, value in given.items() if name != "stream"},
            "messages": _sent(messages),
        }
        model_name(body["model"])
        host = self._endpoint.host
        if host == "api.openai.com" or host.endswith(".azure.com"):  # whose newer models know no other name for it
            body["max_completion_tokens"] = body.pop("max_tokens")
        return {name: clean(value) for name, value in body.items() if value is not None}

    # ── tools and structured output ──────────────────────────────────────────────────────────────────────────────

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools. `tool_choice`: "auto", "none", "any" (or True, "required"), or a tool's name.

        `strict`: whether arguments must be exactly as the tool's schema says, where the server can hold a model to it.
        """
        with foreign("describe the tools", way_out="Hand over functions, or LangChain's tools.", error=InvalidInput):
            described = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if chosen := _chosen(tool_choice, [tool.get("function", {}).get("name", "") for tool in described]):
            kwargs["tool_choice"] = chosen
        return self.bind(tools=described, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Method = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A runnable that gives an object of the schema. `json_schema`: the server holds the model to it, and with
        `strict` OpenAI's does so exactly; `function_calling`: by a tool; `json_mode`: some JSON, as the prompt asks.
        """
        if kwargs or method not in ("json_schema", "function_calling", "json_mode"):
            named = ", ".join(kwargs) or repr(method)
            raise InvalidInput(f"structured output knows no {named}", way_out="See help(OpenAIChat).")
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw)
        with foreign("describe the schema", way_out="Hand over a class of pydantic's.", error=InvalidInput):
            described = convert_to_openai_tool(schema, strict=strict)["function"]
        asked: dict[str, Any] = {"type": "json_object"}
        if method == "json_schema":
            told = {name: described[name] for name in ("description", "strict") if name in described}
            title = _NO_TITLE.sub("_", described["name"])[:64]
            asked = {
                "type": "json_schema",
                "json_schema": {"name": title, "schema": described.get("parameters", {"type": "object"}), **told},
            }
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        model = self.bind(response_format=asked, ls_structured_output_format=traced)
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser: JsonOutputParser = PydanticOutputParser(pydantic_object=schema)
        else:
            parser = JsonOutputParser()
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _sent(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages as the protocol has them. InvalidInput for one that it has no words for."""
    with foreign("send these messages", way_out="Look at their content.", error=InvalidInput):
        sent = convert_to_openai_messages([_without_thoughts(message) for message in messages])
    for message in sent:
        if "name" in message:
            message["name"] = _NO_NAME.sub("_", message["name"])[:64]
    return sent


def _without_thoughts(message: BaseMessage) -> BaseMessage:
    if not isinstance(message, AIMessage) or isinstance(message.content, str):
        return message
    kept = [part for part in message.content if isinstance(part, str) or part.get("type") in _SENT_BACK]
    return message.model_copy(update={"content": kept})


def _chosen(choice: str | bool | dict[str, Any] | None, names: Sequence[str]) -> str | dict[str, Any] | None:
    """`tool_choice` as the protocol has it."""
    if choice is None or choice is False or isinstance(choice, dict):
        return choice or None
    if choice is True or choice in ("any", "required"):
        return "required"
    if choice in ("auto", "none"):
        return choice
    if choice not in names:
        raise InvalidInput(f"no tool is called {choice!r}", way_out=f"Tools: {', '.join(names) or 'none'}.")
    return {"type": "function", "function": {"name": choice}}
