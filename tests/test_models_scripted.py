"""`ScriptedModel`: says what it was told to say, fails as it was told to fail, and passes LangChain's own suite."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolCall
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_tests.unit_tests import ChatModelUnitTests

from agentmem.errors import InvalidInput, ModelError
from agentmem.memory import Memory
from agentmem.models.opening import open_model
from agentmem.models.scripted import Reply, ScriptedModel
from tests.fakes import TinyEmbedder


class TestStandard(ChatModelUnitTests):
    """LangChain's suite. It reads no settings from the environment, so `init_from_env_params` has none to try."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ScriptedModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"script": ["hello"]}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {}


def test_answers_come_in_turn_and_what_was_asked_is_kept() -> None:
    model = ScriptedModel(["one", AIMessage("two"), Reply("three", usage=(7, 3))])
    assert [model.invoke(text).text for text in ("a", "b")] == ["one", "two"]
    assert model.invoke("c").usage_metadata == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert [[message.text for message in messages] for messages in model.asked] == [["a"], ["b"], ["c"]]
    with pytest.raises(ModelError, match="no answer left"):
        model.invoke("d")


def test_rules_and_functions_answer_by_what_was_asked() -> None:
    model = ScriptedModel({r"^who": "Ana", "": "no idea"})
    assert [model.invoke(text).text for text in ("who is it?", "when?")] == ["Ana", "no idea"]
    with pytest.raises(ModelError, match="no rule"):
        ScriptedModel({"x": "y"}).invoke("z")
    assert ScriptedModel(lambda messages: messages[-1].text.upper()).invoke("hi").text == "HI"
    with pytest.raises(InvalidInput):
        ScriptedModel("one text")


def test_it_streams_word_by_word_and_the_words_are_the_text() -> None:
    text = "  We moved\n the launch  "
    pieces = [chunk.text for chunk in ScriptedModel([text]).stream("x")]
    assert "".join(pieces) == text == ScriptedModel([text]).invoke("x").text
    assert len([piece for piece in pieces if piece.strip()]) == 4


def test_it_stops_where_it_is_told_to() -> None:
    assert ScriptedModel(["one. two. three"]).invoke("x", stop=[" two"]).text == "one."
    assert ScriptedModel(["one. two. three"], stop=["."]).invoke("x").text == "one"
    assert ScriptedModel(["one two three"], max_tokens=3).invoke("x").text == "one two"
    assert ScriptedModel(["one two three"]).invoke("x", max_tokens=1).text == "one"


def test_it_fails_and_breaks_off_as_told() -> None:
    with pytest.raises(ZeroDivisionError):
        ScriptedModel([ZeroDivisionError()]).invoke("x")
    pieces = ScriptedModel([Reply("one two three", breaks_after=2)]).stream("x")
    assert [next(pieces).text, next(pieces).text] == ["one", " two"]
    with pytest.raises(ModelError, match="lost") as caught:
        next(pieces)
    assert caught.value.passing


def test_it_waits_until_it_is_let_go() -> None:
    go, came = threading.Event(), threading.Event()
    model = ScriptedModel([Reply("late", before=lambda: go.wait(30))])

    def ask() -> None:
        assert model.invoke("x").text == "late"
        came.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert not came.is_set()
    go.set()
    thread.join(30)
    assert came.is_set()


def test_it_calls_tools_whole_and_streamed() -> None:
    call = ToolCall(name="recall", args={"cue": "launch"}, id="1", type="tool_call")

    def recall(cue: str) -> str:
        """Look it up."""
        return cue

    whole = ScriptedModel([Reply(tools=[call])]).bind_tools([recall]).invoke("x")
    assert whole.tool_calls == [call]
    chunks = list(ScriptedModel([Reply("so", tools=[call])]).bind_tools([recall]).stream("x"))
    assert add_ai_message_chunks(*[chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]).tool_calls == [call]


def test_a_file_of_answers_and_an_echo_are_opened_by_name(tmp_path: Path) -> None:
    script = tmp_path / "answers.txt"
    script.write_text("one\n\ntwo\n")
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder(), models=f"scripted:{script}") as memory:
        assert [memory.models.chat("reply", "x").text for _ in range(2)] == ["one", "two"]
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder(), models="scripted:echo") as memory:
        answer = memory.models.chat("reply", [HumanMessage("hello there")])
        assert (answer.text, answer.model) == ("hello there", "scripted:echo")
        with memory.models.stream("reply", "one two") as stream:
            assert "".join(chunk.text for chunk in stream) == "one two"
        with pytest.raises(ModelError, match="cannot be read"):
            open_model("scripted:/nowhere")
