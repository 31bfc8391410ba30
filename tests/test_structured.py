"""Structured output: a value that was in the answer, or an error; and what a model is asked until one comes."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from agentmem.errors import BadOutput, InvalidInput, ModelError
from agentmem.models.answers import Facts, Votes
from agentmem.models.structured import structured
from agentmem.models.tolerant import LONGEST, parse
from tests.broken_json import DAMAGES, broken

GOOD = '{"votes": [{"pair": 1, "vote": "same"}]}'


class Pair(BaseModel):
    left: str
    right: int = 7


class Model(BaseChatModel):
    """Gives its answers in turn; `native` and `tools` are what it does when asked that way, None for not at all."""

    answers: Any = None
    native: Any = None
    tools: Any = None
    seen: Any = None

    @property
    def _llm_type(self) -> str:
        return "model"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.seen.append(("words", messages))
        answer = self.answers.pop(0)
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return self._way("native", self.native)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self._way("tools", self.tools)

    def _way(self, name: str, answer: Any) -> Any:
        if answer is None:
            raise NotImplementedError

        def ask(messages: Any) -> Any:
            self.seen.append((name, messages))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return RunnableLambda(ask)


def model(*answers: Any, profile: Any = None, **more: Any) -> Model:
    profile = {"tool_calling": False} if profile is None else profile
    return Model(answers=list(answers), seen=[], profile=profile, **more)


def ways(one: Model) -> list[str]:
    return [way for way, _ in one.seen]


ASKED = [HumanMessage("same?")]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_ten_thousand_broken_answers_end_in_a_value_or_an_error() -> None:
    """Pain 5: what does not parse is never a silent nothing. What is damaged without doubt comes out whole, what is cut
    off as a beginning of what it was, and all else as something valid or as an error."""
    came = dict.fromkeys(DAMAGES, 0)
    for one in broken(10_000, seed=7):
        try:
            value = parse(one.text, one.schema)
        except BadOutput:
            assert one.outcome != "same", one
            continue
        assert isinstance(value, one.schema)
        came[one.damage.partition(",")[0]] += 1
        told, meant = value.model_dump(mode="json"), one.schema.model_validate(one.value).model_dump(mode="json")
        if one.outcome == "same":
            assert told == meant, one
        elif one.outcome == "prefix":
            pairs = [(told, meant)] if isinstance(told, list) else [(told[name], meant[name]) for name in meant]
            assert all(short == whole[: len(short)] for short, whole in pairs), one
    assert all(came[name] for name, (outcome, _) in DAMAGES.items() if outcome != "any")


@pytest.mark.parametrize(
    "text",
    ["", "no JSON at all", "null", "[]", "{}", '{"left": }', '{"left": "cut', "left: a", '{"right": 3}', "42", "<p>{}"],
)
def test_a_value_that_was_not_in_the_answer_does_not_come_out(text: str) -> None:
    with pytest.raises(BadOutput) as caught:
        parse(text, Pair)
    assert caught.value.answer == text


def test_a_field_that_was_cut_off_gets_no_default() -> None:
    assert parse('{"left": "a"}', Pair) == Pair(left="a", right=7)
    with pytest.raises(BadOutput):
        parse('{"left": "a", "rig', Pair)


def test_the_first_value_that_fits_is_taken() -> None:
    assert parse('{"x": 1} then {"left": "a"} or {"left": "b"}', Pair).left == "a"


@pytest.mark.parametrize(
    "hostile", ["[" * 10**6, '{"a":' * 10**5, '"' * 10**6, "{'" * 10**5, "\\" * 10**6, "[1," * 10**5]
)
def test_a_hostile_answer_ends(hostile: str) -> None:
    with pytest.raises(BadOutput):
        parse(hostile, Facts)


def test_an_endless_answer_is_refused() -> None:
    with pytest.raises(BadOutput, match="are the most"):
        parse(" " * (LONGEST + 1), Pair)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_words_the_schema_is_shown_and_the_answer_read() -> None:
    one = model(f"Sure:\n```json\n{GOOD}\n```")
    found = structured(one, Votes, ASKED)
    assert (found.value.votes[0].vote, found.way, found.rounds) == ("same", "words", 0)
    [(_, [shown])] = one.seen
    assert shown.content.startswith("same?")
    assert '"unrelated"' in shown.content


def test_the_model_is_shown_its_mistake_a_bounded_number_of_times() -> None:
    one = model("no", '{"votes": [{"pair": 1, "vote": "maybe"}]}', GOOD)
    assert structured(one, Votes, ASKED).rounds == 2
    *_, answer, told = one.seen[2][1]
    assert "maybe" in answer.content
    assert "vote" in told.content
    with pytest.raises(BadOutput, match="no Votes in 3 answers") as caught:
        structured(model(*["never"] * 9), Votes, ASKED)
    assert caught.value.answer == "never"


def test_the_strictest_way_is_taken_and_tools_before_words() -> None:
    one = model(native={"raw": AIMessage(GOOD), "parsed": None}, profile={"structured_output": True})
    assert structured(one, Votes, ASKED).way == "native"
    call = AIMessage("", tool_calls=[{"name": "Votes", "args": {"votes": [{"pair": 1, "vote": "same"}]}, "id": "1"}])
    one = model(tools=call, profile={"tool_calling": True})
    assert structured(one, Votes, ASKED).way == "tools"


def test_a_way_that_is_refused_is_left_out_from_then_on() -> None:
    refusal = ModelError("the server refused response_format with 400")
    profile: Any = {"structured_output": True, "tool_calling": True}
    one = model(GOOD, GOOD, native=refusal, tools=None, profile=profile)
    assert structured(one, Votes, ASKED).way == "words"
    assert structured(one, Votes, ASKED).way == "words"
    assert ways(one) == ["native", "words", "words"]


def test_what_is_remembered_of_a_model_goes_with_it() -> None:
    from agentmem.models import structured as module

    one = model(GOOD, native=ModelError("400"), profile={"structured_output": True})
    structured(one, Votes, ASKED)
    key = id(one)
    assert key in module._useless
    del one
    gc.collect()
    assert key not in module._useless


@pytest.mark.parametrize("error", [ModelError("busy", passing=True), BadOutput("400 tools")])
def test_an_error_that_is_no_refusal_passes_through(error: ModelError) -> None:
    one = model(GOOD, native=error, profile={"structured_output": True})
    with pytest.raises(type(error)):
        structured(one, Votes, ASKED)
    assert ways(one) == ["native"]


def test_every_round_goes_by_the_callers_hand() -> None:
    rounds: list[int] = []

    def ask(runnable: Any, messages: Sequence[BaseMessage]) -> Any:
        rounds.append(len(messages))
        return runnable.invoke(list(messages))

    structured(model("no", GOOD), Votes, ASKED, ask=ask)
    assert rounds == [1, 3]


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InvalidInput):
        structured(model(GOOD), Votes, [])
    with pytest.raises(InvalidInput):
        structured(model(GOOD), Votes, ASKED, repairs=-1)
