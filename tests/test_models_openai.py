"""`OpenAIChat` against a real server on this machine: what is sent, and how any answer is read."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from pydantic import BaseModel

from agentmem.errors import InvalidInput, ModelError
from agentmem.models.openai import OpenAIChat, open_openai
from agentmem.models.opening import open_model, spec_of
from tests.chat_client import FINE, KEY, bare_environment, checked, joined, opened, refused, server, streamed
from tests.chat_server import ChatServer, obedient, pieces_of
from tests.loopback import Reply

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def lasting() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def events(*deltas: Mapping[str, Any], reason: str | None = "stop") -> Reply:
    """A stream of these deltas."""
    told: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if reason:
        told.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return Reply(body=iter([f"data: {json.dumps(event)}\n\n".encode() for event in told] + [b"data: [DONE]\n\n"]))


class TestOpening:
    @pytest.mark.parametrize(
        ("spec", "model", "address", "named"),
        [
            ("gpt-4.1-mini", "gpt-4.1-mini", "https://api.openai.com/v1", "openai:gpt-4.1-mini"),
            ("qwen3:4b@http://LOCALHOST:11434/v1/", "qwen3:4b", "http://localhost:11434/v1",
             "http://localhost:11434/v1#qwen3:4b"),
            ("a/b@q4@http://[::1]:8000/v1", "a/b@q4", "http://[::1]:8000/v1", "http://[::1]:8000/v1#a/b@q4"),
        ],
    )  # fmt: skip
    def test_a_spelling_names_model_and_server(self, spec: str, model: str, address: str, named: str) -> None:
        opened = open_openai(spec)
        assert (opened.model, opened.base_url, spec_of(opened)) == (model, address, named)
        assert open_model(named).model_dump() == opened.model_dump()

    @pytest.mark.parametrize(
        "spec", ["", "m n", "m@localhost:11434/v1", "m@ftp://h/v1", "m@http://", "m@http://n:secret@h/v1", "m\ud800"]
    )
    def test_a_spelling_that_means_nothing_is_refused(self, spec: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            open_openai(spec)
        assert caught.value.way_out
        assert "secret" not in f"{caught.value} {caught.value.way_out}"

    @pytest.mark.parametrize(
        "wrong", [{"temprature": 1}, {"max_tokens": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"stop": "x"},
                  {"model": None}, {"model": ""}, {"api_key": "sk-two\nlines"}, {"extra_body": 7}],
        ids=str,
    )  # fmt: skip
    def test_settings_that_cannot_be_are_refused_and_no_key_is_told(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as caught:
            OpenAIChat(**{"model": "m", "api_key": KEY, **wrong})
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert next(iter(wrong)).split("_")[-1] in str(caught.value)

    def test_what_it_can_do_is_said_of_openai_and_asked_of_others(self) -> None:
        own = OpenAIChat(model="gpt-4.1-mini", profile={"max_input_tokens": 1000})
        assert own.profile == {"tool_calling": True, "structured_output": True, "max_input_tokens": 1000}
        assert not own.is_local
        other = OpenAIChat(model="m", base_url="http://127.0.0.2:8000/v1")
        assert other.profile is None
        assert other.is_local
        assert not OpenAIChat(model="m", base_url="http://127.0.0.1.example.org/v1").is_local

    def test_tokens_are_counted_without_a_tokenizer_from_the_network(self) -> None:
        model = OpenAIChat(model="m")
        assert 2 <= model.get_num_tokens("hello there") <= 6
        assert model.get_num_tokens_from_messages([HumanMessage("hello there")]) >= 2


class TestRequests:
    def test_the_settings_are_sent_and_a_call_overrides_them(self, server: ChatServer) -> None:
        model = opened(server, temperature=0.2, max_tokens=50, stop=["END"], extra_body={"top_p": 0.5, "seed": 3})
        model.invoke([SystemMessage("be brief"), HumanMessage("hello", name="Ana Maria")])
        model.invoke("hello", stop=["."], max_tokens=7, model="other", seed=4)
        first, second = (asked.body for asked in server.asked)
        assert first == {
            "model": "m",
            "temperature": 0.2,
            "max_tokens": 50,
            "stop": ["END"],
            "top_p": 0.5,
            "seed": 3,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "name": "Ana_Maria", "content": "hello"},
            ],
        }
        assert {**second, "messages": 0} == {**first, "messages": 0, "stop": ["."], "max_tokens": 7, "model": "other", "seed": 4}  # fmt: skip # noqa: E501
        opened(server).invoke("hello")
        assert server.asked[-1].body == {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

    @pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://x.openai.azure.com/openai/v1"])
    def test_openai_and_azure_are_asked_by_their_newer_name_for_max_tokens(self, url: str) -> None:
        body = OpenAIChat(model="m", base_url=url, max_tokens=5)._body([HumanMessage("x")], None, {})
        assert "max_tokens" not in body
        assert body["max_completion_tokens"] == 5

    def test_an_answers_thoughts_are_not_sent_back_and_its_calls_are(self, server: ChatServer) -> None:
        call = ToolCall(name="recall", args={"cue": "x"}, id="1", type="tool_call")
        parts: list[str | dict[str, Any]] = [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_call", **{key: call[key] for key in ("name", "args", "id")}},
        ]
        history: list[BaseMessage] = [
            HumanMessage("when?"),
            AIMessage(parts, tool_calls=[call]),
            ToolMessage("4 May", tool_call_id="1"),
        ]
        opened(server).invoke(history)
        _, said, result = server.asked[0].body["messages"]
        assert said["content"] == "Let me look."
        assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"cue": "x"}
        assert result == {"role": "tool", "tool_call_id": "1", "content": "4 May"}

    @settings(max_examples=30)
    @given(st.text(st.characters(exclude_categories=[]), min_size=1, max_size=20))
    @example("half \ud83d of a pair")
    def test_any_text_can_be_sent(self, lasting: ChatServer, text: str) -> None:
        lasting.asked.clear()
        opened(lasting).invoke([HumanMessage(text)])
        assert lasting.asked[0].body["messages"][0]["content"] == text.encode("utf-8", "replace").decode()

    def test_a_message_that_the_protocol_has_no_words_for_is_refused(self, server: ChatServer) -> None:
        with pytest.raises(InvalidInput):
            opened(server).invoke([HumanMessage([{"type": "text"}])])
        assert server.asked == []

    def test_tools_and_choices(self, server: ChatServer) -> None:
        def recall(cue: str) -> str:
            """Look it up."""
            return cue

        model = opened(server)
        for choice in ("any", True, "required", "auto", "none", "recall", None, False):
            model.bind_tools([recall], tool_choice=choice).invoke("x")
        sent = [asked.body.get("tool_choice") for asked in server.asked]
        named = {"type": "function", "function": {"name": "recall"}}
        assert sent == ["required", "required", "required", "auto", "none", named, None, None]
        for wrong in ({"tool_choice": "forget"}, {"tools": [7]}):
            with pytest.raises(InvalidInput):
                model.bind_tools(**{"tools": [recall], **wrong})  # type: ignore[arg-type]


class TestAnswers:
    @settings(max_examples=40)
    @given(st.text(max_size=60))
    def test_a_stream_is_the_whole_answer_in_pieces(self, lasting: ChatServer, text: str) -> None:
        lasting.reply = lambda messages: text
        model = opened(lasting)
        whole, streamed = model.invoke("hello"), list(model.stream("hello"))
        said = joined(streamed)
        assert whole.content == said.content == text
        assert [piece.content for piece in streamed if piece.content] == [word for word in pieces_of(text) if word]
        assert whole.usage_metadata == said.usage_metadata
        assert said.usage_metadata is not None
        assert said.usage_metadata["output_tokens"] == len(pieces_of(text))
        assert whole.response_metadata == {"model_name": "m-2026", "finish_reason": "stop"}
        assert {key: said.response_metadata[key] for key in whole.response_metadata} == whole.response_metadata

    @settings(max_examples=30)
    @given(st.lists(st.dictionaries(st.text(max_size=5), ANY_JSON, max_size=3), min_size=1, max_size=3))
    def test_calls_of_tools_arrive_whole_and_streamed(self, lasting: ChatServer, args: list[dict[str, Any]]) -> None:
        lasting.reply = lambda messages: [{"name": f"tool{n}", "arguments": one} for n, one in enumerate(args)]
        model = opened(lasting)
        for message in (model.invoke("hello"), joined(list(model.stream("hello")))):
            assert [call["args"] for call in message.tool_calls] == args
            assert [call["name"] for call in message.tool_calls] == [f"tool{n}" for n in range(len(args))]
            assert len({call["id"] for call in message.tool_calls}) == len(args)
            assert message.invalid_tool_calls == []

    @pytest.mark.parametrize("arguments", ['{"cue": "laun', "[1]", "7", "nonsense", '{"a": NaN', "[" * 100_000])
    def test_a_call_with_broken_arguments_is_kept_as_an_invalid_one(self, server: ChatServer, arguments: str) -> None:
        call = {"id": "1", "function": {"name": "recall", "arguments": arguments}}
        nameless = {"id": "1", "function": {"name": None, "arguments": "{}"}}
        server.script.append(Reply(body={"choices": [{"message": {"tool_calls": [call, nameless]}}]}))
        message = opened(server).invoke("x")
        assert message.tool_calls == []
        assert [broken["args"] for broken in message.invalid_tool_calls] == [arguments, "{}"]

    def test_what_servers_do_otherwise_is_understood(self, server: ChatServer) -> None:
        model = opened(server)
        calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"function": {"name": "b", "arguments": None}}]
        content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "so "}, {"type": "text", "text": "be it"}]  # fmt: skip # noqa: E501
        server.script.append(Reply(body={"choices": [{"message": {"tool_calls": calls, "content": content}}]}))
        message = model.invoke("x")
        assert message.text == "so be it"
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("a", {"x": 1}), ("b", {})]
        assert len({call["id"] for call in message.tool_calls} - {None}) == 2  # made here: a tool's answer names it

        refusing = {"message": {"content": None, "refusal": "I may not."}, "finish_reason": "stop"}
        server.script.append(Reply(body={"choices": [refusing]}))
        assert (message := model.invoke("x")).text == message.additional_kwargs["refusal"] == "I may not."
        for name in ("reasoning_content", "reasoning"):
            server.script.append(Reply(body={"choices": [{"message": {"content": "4", name: "2 + 2"}}]}))
            assert model.invoke("x").additional_kwargs == {"reasoning_content": "2 + 2"}
        server.script.append(Reply(body={"choices": [{"message": {"content": None}, "finish_reason": "length"}]}))
        assert (model.invoke("x").text, server.script) == ("", server.script)

    def test_odd_numbers_of_calls_in_a_stream_are_understood(self, server: ChatServer) -> None:
        def call(id: str | None, name: str | None, arguments: str, **more: Any) -> dict[str, Any]:
            return {"tool_calls": [{"id": id, "function": {"name": name, "arguments": arguments}, **more}]}

        streams = [
            [call("1", "a", "{}", index=0), call("2", "b", "{}", index=0)],  # every call is number 0
            [call("1", "a", '{"x": "', index=0), call("1", "a", '7"}', index=0), call("2", "b", "{}", index=1)],
            [call(None, "a", "{}", index=0), call(None, "b", '{"x": "', index=1), call(None, None, '7"}', index=1)],
        ]
        for deltas in streams:
            server.script.append(events(*deltas, reason="tool_calls"))
            message = joined(list(opened(server).stream("x")))
            assert [call["name"] for call in message.tool_calls] == ["a", "b"]
            assert [call["args"] for call in message.tool_calls if call["args"]] in ([], [{"x": "7"}])
            assert message.invalid_tool_calls == []
            assert len({call["id"] for call in message.tool_calls} - {None}) == 2

    def test_half_of_a_pair_that_an_answer_smuggles_in_is_replaced(self, server: ChatServer) -> None:
        server.reply = lambda messages: "so \ud83d it is"
        assert opened(server).invoke("x").text == joined(list(opened(server).stream("x"))).text == "so ? it is"

    def test_a_server_that_does_not_stream_is_read_all_the_same(self, server: ChatServer) -> None:
        server.script.append(Reply(body=FINE))
        assert joined(list(opened(server).stream("x"))).text == "fine"

    def test_a_server_that_refuses_to_count_a_stream_is_asked_without(self, server: ChatServer) -> None:
        server.stream_options = False
        model = opened(server)
        for _ in range(2):
            message = joined(list(model.stream("x")))
            assert message.text == "hello there"
            assert message.usage_metadata is None
        assert ["stream_options" in asked.body for asked in server.asked] == [True, False, False]
        assert asyncio.run(streamed(opened(server))) == "hello there"

    @pytest.mark.parametrize(
        ("usage", "read"),
        [
            ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
            ({"prompt_tokens": 3}, (3, 0)),
            (None, None),
            ({}, None),
            (7, None),
            ({"prompt_tokens": -1, "completion_tokens": "4"}, None),
            ({"prompt_tokens": True, "completion_tokens": 10**400}, None),
        ],
    )
    def test_usage_that_is_none_is_none(self, server: ChatServer, usage: object, read: tuple[int, int] | None) -> None:
        server.script.append(Reply(body={**FINE, "usage": usage}))
        found = opened(server).invoke("x").usage_metadata
        assert (found and (found["input_tokens"], found["output_tokens"])) == read

    def test_details_of_usage(self, server: ChatServer) -> None:
        usage = {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        }
        server.script.append(Reply(body={**FINE, "usage": usage}))
        found = opened(server).invoke("x").usage_metadata
        assert found is not None
        assert found["input_token_details"] == {"cache_read": 2}
        assert found["output_token_details"] == {"reasoning": 1}


class TestGarbage:
    @pytest.mark.parametrize(
        "body",
        [
            b"", b"<html>nginx</html>", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"7", b'"text"', b"[]", {},
            {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": {}}, {"choices": [{}]},
            {"choices": [{"message": None}]}, {"choices": [{"message": "x"}]},
            {"choices": [{"message": {"content": 7}}]}, {"choices": [{"message": {"content": "", "tool_calls": "x"}}]},
            {"error": "model is loading"}, {"error": {}},
        ],
        ids=lambda body: repr(body)[:40],
    )  # fmt: skip
    def test_an_answer_that_is_none_is_told(self, server: ChatServer, body: object) -> None:
        server.script.append(Reply(body=body))
        assert "localhost" in str(error := refused(opened(server)))
        assert error.passing
        assert len(server.asked) == 1
        assert opened(server).invoke("x").text == "hello there"

    def test_a_page_is_no_passing_matter(self, server: ChatServer) -> None:
        server.faults = iter(["html"])
        assert not (error := refused(opened(server))).passing
        assert server.url in error.way_out

    @pytest.mark.parametrize(
        "pieces",
        [
            [], [b"\n\n"], [b"garbage\n\n"], [b"data: garbage\n\n"], [b"data: 7\n\n"], [b"data: null\n\n"],
            [b"data: [DONE]\n\n"], [b"data: {}\n\n"], [b"data: \xff\xfe\n\n"], [b"data: " + b"[" * 100_000 + b"\n\n"],
            [b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'],
            [b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'],
            [b'data: {"choices": [{"delta": {"tool_calls": 7}}]}\n\n'],
            [b'data: {"error": {"message": "overloaded"}}\n\n'],
            [b"event: error\ndata: {}\n\n"],
        ],
        ids=lambda pieces: repr(pieces)[:40],
    )  # fmt: skip
    def test_a_stream_that_is_none_is_told(self, server: ChatServer, pieces: list[bytes]) -> None:
        server.script.append(Reply(body=iter(pieces)))
        with pytest.raises(ModelError) as caught:
            list(opened(server).stream("x"))
        assert checked(caught.value).passing

    @settings(max_examples=150)
    @given(data=st.data())
    def test_whatever_stands_in_an_answer_it_is_a_message_or_an_error(
        self, lasting: ChatServer, data: st.DataObject
    ) -> None:
        whole: dict[str, Any] = {
            "id": "1",
            "model": "m",
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {
                        "content": "hello",
                        "refusal": None,
                        "tool_calls": [{"id": "1", "index": 0, "function": {"name": "a", "arguments": "{}"}}],
                    },
                }
            ],
        }
        at: Any = whole
        while True:  # go down, and put anything in the place of something
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
                at[key] = data.draw(ANY_JSON)
                break
            at = at[key]
        lasting.script += [Reply(body=whole), Reply(body=iter([f"data: {json.dumps(whole)}\n\n".encode()]))]
        model = opened(lasting)
        with suppress(ModelError):
            assert isinstance(model.invoke("x"), AIMessage)
        with suppress(ModelError):
            assert isinstance(joined(list(model.stream("x"))), AIMessage)
        assert not lasting.script


class Fact(BaseModel):
    """What is known."""

    head: str
    year: int


class TestStructured:
    @pytest.fixture(autouse=True)
    def obeying(self, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "respond", obedient)

    def test_the_schema_is_sent_and_the_answer_read(self, server: ChatServer) -> None:
        model = opened(server)
        said = "'Ana' moved in 2019"
        asked: list[dict[str, Any]] = [{}, {"strict": True}, {"method": "function_calling"}]
        for one in asked:
            assert model.with_structured_output(Fact, **one).invoke(said) == Fact(head="Ana", year=2019)
        loose, strict, by_tool = (asked.body for asked in server.asked)
        assert loose["response_format"]["json_schema"]["name"] == "Fact"
        assert "strict" not in loose["response_format"]["json_schema"]
        assert strict["response_format"]["json_schema"]["strict"] is True
        assert strict["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
        assert by_tool["tool_choice"] == "required"
        schema = {"title": "A fact!", "type": "object", "properties": {"year": {"type": "integer"}}}
        assert model.with_structured_output(schema).invoke("in 7") == {"year": 7}
        assert server.asked[-1].body["response_format"]["json_schema"]["name"] == "A_fact_"

    def test_an_answer_that_does_not_fit_is_given_raw(self, server: ChatServer) -> None:
        server.script.append(Reply(body=FINE))
        given = opened(server).with_structured_output(Fact, include_raw=True).invoke("x")
        assert isinstance(given, dict)
        assert (given["raw"].text, given["parsed"]) == ("fine", None)
        assert given["parsing_error"] is not None

    def test_what_it_does_not_know_is_refused(self, server: ChatServer) -> None:
        wrongs: list[dict[str, Any]] = [{"method": "magic"}, {"tricks": 1}]
        for wrong in wrongs:
            with pytest.raises(InvalidInput):
                opened(server).with_structured_output(Fact, **wrong)
        with pytest.raises(InvalidInput):
            opened(server).with_structured_output({"type": "object"})


__all__ = ["bare_environment", "server"]
