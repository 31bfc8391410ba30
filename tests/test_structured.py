"""Structured output: a value that was in the answer, or an error; and what a model is asked until one comes."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, RootModel

from agentmem.errors import BadOutput, InvalidInput, ModelError
from agentmem.models import structured as module
from agentmem.models.answers import Facts, Votes
from agentmem.models.prompts import Prompt
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
        if isinstance(answer, Exception):
            raise answer
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


class Numbers(RootModel[list[int]]):
    pass


class Anything(RootModel[Any]):
    pass


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'left': 'x', 'owner': 'it's Ana's', 'ok': True,}", {"left": "x", "owner": "it's Ana's", "ok": True}),
        ("{“left”: “x”, right: None}", {"left": "x", "right": None}),
        ('{"a": 1, // one\n "b": "//two"}', {"a": 1, "b": "//two"}),
        ('{"a": "two\nlines and \\u00e9\\ud83d\\ude00", "b": "it\\\'s"}', {"a": "two\nlines and é😀", "b": "it's"}),
        ('{"a": "he said "no" twice", "b": 1}', {"a": 'he said "no" twice', "b": 1}),
        ('[{"a": 1} {"a": 2}\n{"a": 3},]', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('{{{"a": -2E-2}}}', {"a": -0.02}),
        ("<think>[2]</think> <thinking>[3]</thinking>[1]", [1]),
        ("It may be [2].\n</think>\n[1]", [1]),
        ('["a\\n</think>[2]"]', ["a\n</think>[2]"]),
        ("[" * 64 + "]" * 64, json.loads("[" * 64 + "]" * 64)),
    ],
)
def test_form_is_forgiven(text: str, value: Any) -> None:
    assert parse(text, Anything).root == value


@pytest.mark.parametrize(
    "text",
    [
        *("[see above]", "{curly}", "<think>[1]", '{"a" 1}', '{"a": hello world}', '{"a": , "b": 1}'),
        *('{"a": NaN}', "[-Infinity]", "[1e999]", "[1.5.2]", "[01]", "[0x1f]", "[1 2]", "[" + "9" * 5_000 + "]"),
        *('["a" "b"]', '["a, "b"]', '{"a": "x, "b": 2}', '{"a": "x" "b": "y"}', '{"a": "x" + "y"}', '{"a": """x"""}'),
        *('{"a": "5" tall"}', '{"a": 1, "a": 2}', '[{"a": 1]', '{"a": [1}', '["\\x41"]'),
        *('["\\ud83d"]', '["\ud83d"]', '["a\\u0000b"]', '["a\0b"]', "[" * 65 + "]" * 65),
    ],
)
def test_what_may_mean_several_things_is_refused(text: str) -> None:
    with pytest.raises(BadOutput):
        parse(text, Anything)


@pytest.mark.parametrize(
    "text",
    [
        "[[1, x], [2, 3]]",
        '[1, x", "], [ ", [2]]',
        '[1, x", "], [\n [2]]',
        '["""", "], [ ", [2]]',
        '[1, {"a": "b" "c"}, "]", [2]]',
        '{"a": [1, 2, 3], "b": "cut',
    ],
)
def test_the_inside_of_an_answer_is_not_an_answer(text: str) -> None:
    """A list in it is one that the schema would take."""
    with pytest.raises(BadOutput):
        parse(text, Numbers)


def test_after_a_broken_value_another_is_read() -> None:
    assert parse('Like [{"a": "x" "y"}]:\n[1, 2]', Numbers).root == [1, 2]
    assert parse("Like [1 ... 2] or {this}: [1, 2]", Numbers).root == [1, 2]
    with pytest.raises(BadOutput):  # with quotes in it, where it ends is not certain
        parse('Like [{"a": "x" "y"}]: [1, 2]', Numbers)


@pytest.mark.parametrize("kept", range(3))
@pytest.mark.parametrize("start", ['{"votes": [', "[", "Here:\n```json\n["])
def test_a_list_cut_off_anywhere_keeps_its_whole_items(start: str, kept: int) -> None:
    """None of them is an error: an empty list would say that there is nothing."""
    items = [f'{{"pair": {number}, "vote": "same"}}' for number in (1, 2, 3)]
    for cut in range(len(items[kept])):
        text = start + ", ".join([*items[:kept], items[kept][:cut]])
        if kept:
            assert [vote.pair for vote in parse(text, Votes).votes] == list(range(1, kept + 1))
        else:
            with pytest.raises(BadOutput):
                parse(text, Votes)


leaves = st.integers() | st.text(max_size=5)
nested = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(nested, max_size=3), st.sampled_from([None, 1]))
def test_every_cut_of_a_list_is_a_beginning_of_it(whole: list[Any], indent: int | None) -> None:
    try:
        text = json.dumps(whole, ensure_ascii=False, indent=indent)
        assert parse(text, Anything).root == whole
    except BadOutput:  # a NUL, a number of more than 40 digits
        return
    for end in range(len(text)):
        try:
            kept = parse(text[:end], Anything).root
        except BadOutput:
            continue
        assert kept
        assert kept == whole[: len(kept)]


def test_faults_are_told_in_words_and_without_the_values() -> None:
    with pytest.raises(BadOutput, match=r"votes\[0\]\.vote: .*votes\[1\]\.pair: Field required") as caught:
        parse('[{"pair": 1, "vote": "secret"}, {"vote": "same"}]', Votes)
    assert "secret" not in str(caught.value)
    with pytest.raises(BadOutput, match=r"line 2, character 10$"):
        parse('{\n "left": "a "b",\n "right": 3}', Pair)


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
    one = model("x" * 50_000, "a\0b\ud83d", "", GOOD)
    structured(one, Votes, ASKED, repairs=3)
    long, odd, nothing = (messages[-2].content for _, messages in one.seen[1:])
    assert 3_000 < len(long) < 5_000
    assert (odd, nothing) == ("ab?", "(nothing)")


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


def test_a_way_that_is_not_heeded_is_left_out_from_then_on() -> None:
    profile: Any = {"tool_calling": True}
    one = model(GOOD, GOOD, tools=AIMessage("They are the same."), profile=profile)
    assert (structured(one, Votes, ASKED).way, structured(one, Votes, ASKED).way) == ("words", "words")
    assert ways(one) == ["tools", "words", "words"]
    one = model(native=AIMessage("{}"), profile={"structured_output": True})  # JSON, only not right
    with pytest.raises(BadOutput):
        structured(one, Votes, ASKED)
    assert ways(one) == ["native"] * 3
    assert ["JSON Schema" in messages[0].content for _, messages in one.seen] == [False, True, True]
    silent = model(tools=AIMessage(" "), profile=profile)
    with pytest.raises(BadOutput):
        structured(silent, Votes, ASKED, repairs=0)
    assert id(silent) not in module._useless  # an empty answer shows nothing


def test_what_is_refused_in_every_way_is_no_fault_of_a_way() -> None:
    error = ModelError("m answered 400: the prompt is too long")
    one = model(error, tools=error, profile={"tool_calling": True})
    with pytest.raises(ModelError, match="too long"):
        structured(one, Votes, ASKED)
    assert ways(one) == ["tools", "words"]
    assert id(one) not in module._useless


def test_what_is_remembered_of_a_model_goes_with_it() -> None:
    one = model(GOOD, native=ModelError("400"), profile={"structured_output": True})
    structured(one, Votes, ASKED)
    key = id(one)
    assert key in module._useless
    del one
    gc.collect()
    assert key not in module._useless


@pytest.mark.parametrize("error", [ModelError("the tools are busy", passing=True), BadOutput("400 tools")])
def test_an_error_that_is_no_refusal_passes_through(error: ModelError) -> None:
    one = model(GOOD, native=error, profile={"structured_output": True})
    with pytest.raises(type(error)):
        structured(one, Votes, ASKED)
    assert ways(one) == ["native"]


def test_every_round_goes_by_the_callers_hand() -> None:
    rounds: list[int] = []

    asked: list[list[str]] = []

    def ask(runnable: Any, messages: Sequence[BaseMessage], added: Sequence[Prompt]) -> Any:
        rounds.append(len(messages))
        asked.append([one.id for one in added])
        return runnable.invoke(list(messages))

    structured(model("no", GOOD), Votes, ASKED, ask=ask)
    assert rounds == [1, 3]
    assert asked == [["json/1"], ["json/1", "repair/1"]]


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InvalidInput):
        structured(model(GOOD), Votes, [])
    with pytest.raises(InvalidInput):
        structured(model(GOOD), Votes, ASKED, repairs=-1)
