"""Asking models: retried, replaced by the next, bounded in time, number and money, and every call accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from agentmem import BadOutput, BudgetReached, InvalidInput, Memory, ModelError, NoModel, PluginError
from agentmem.models.asking import BoundModels
from agentmem.models.calls import Call
from agentmem.models.choice import Breaker, Need
from agentmem.models.pool import AnyModels, ModelPool
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import Budget, Privacy, Terms
from tests.fakes import TinyEmbedder

PATIENCE_S = 30.0
Answering = Callable[[Sequence[BaseMessage]], str]


class Stranger(BaseChatModel):
    """A chat model as anybody may write one: `answer` is called on each question, and may raise or wait."""

    name_: str = "m"
    answer: Any = None
    words: Any = None  # to stream instead
    is_local: bool = False
    asked: Any = None

    @property
    def _llm_type(self) -> str:
        return "stranger"

    @property
    def spec(self) -> str:
        return self.name_

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.asked.append(messages)
        text = self.answer(messages)
        usage: Any = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text, usage_metadata=usage))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.asked.append(messages)
        for word in self.words():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def says(name: str, *answers: str | Exception, **more: Any) -> Stranger:
    """A model that gives these answers in turn, and the last for ever."""
    left = list(answers)

    def answer(_: Sequence[BaseMessage]) -> str:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    return Stranger(name_=name, answer=answer, asked=[], **more)


def busy(wait: float = 0.0) -> ModelError:
    return ModelError("asked too often", passing=True, wait=wait)


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models that are remote here only say so."""
    monkeypatch.setenv("AGENTMEM_OFFLINE", "off")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Memory]]:
    memories: list[Memory] = []

    def open_(models: AnyModels | None = None, scope: str = "user:ana") -> Memory:
        memory = Memory.open(tmp_path / "m", embedder=TinyEmbedder(), scope=scope, models=models)
        memories.append(memory)
        return memory

    yield open_
    for memory in memories:
        memory.close()


def noted(memory: Memory) -> list[tuple[str, str, int]]:
    """(model, outcome, tokens) of each call, oldest first."""
    return [(call.model, call.outcome, call.tokens) for call in reversed(memory.calls.listed())]


def test_no_model_is_needed_until_one_is_asked(opened: Callable[..., Memory]) -> None:
    """Pain 9: no key and no model at construction; who asks for one is told how to set it."""
    memory = opened()
    memory.add("words")
    assert not memory.models
    with pytest.raises(NoModel, match="no model is set for the role 'reply'") as caught:
        memory.models.chat("reply", "hello")
    assert "AGENTMEM_MODEL" in caught.value.way_out
    assert memory.calls.listed() == []


def test_a_spec_is_opened_when_it_is_asked_and_an_unknown_one_told_then(opened: Callable[..., Memory]) -> None:
    memory = opened("nosuch:model")
    assert memory.models
    with pytest.raises(PluginError, match="nosuch"):
        memory.models.chat("reply", "hello")


def test_an_answer_says_who_gave_it_why_and_what_it_took(opened: Callable[..., Memory]) -> None:
    pool = ModelPool(says("m", "hello"), terms={"m": Terms(input=2.0, output=8.0)})
    memory = opened(pool)
    answer = memory.models.chat("reply", "hi", cause="turn-1", prompt="reply/1")
    assert (answer.text, answer.model, answer.why) == ("hello", "m", "it stands first")
    assert answer.cost == pytest.approx((10 * 2 + 2 * 8) / 1e6)
    [call] = memory.calls.listed()
    assert call == answer.call
    assert (call.role, call.cause, call.prompt, call.outcome, call.tokens_in, call.tokens_out) == (
        "reply", "turn-1", "reply/1", "done", 10, 2,
    )  # fmt: skip


def test_a_passing_failure_is_asked_again_and_noted(opened: Callable[..., Memory]) -> None:
    memory = opened(says("m", busy(0.01), busy(0.01), "at last"))
    assert memory.models.chat("reply", "hi").text == "at last"
    assert noted(memory) == [("m", "failed", 0), ("m", "failed", 0), ("m", "done", 12)]


def test_a_lasting_failure_is_not_asked_again(opened: Callable[..., Memory]) -> None:
    model = says("m", ModelError("the key is wrong"))
    memory = opened(model)
    with pytest.raises(ModelError, match="the key is wrong"):
        memory.models.chat("reply", "hi")
    assert len(model.asked) == 1


def test_the_next_model_answers_and_the_answer_says_so(opened: Callable[..., Memory]) -> None:
    memory = opened([says("one", ValueError("odd")), says("two", "here")])
    answer = memory.models.chat("reply", "hi")
    assert (answer.text, answer.model) == ("here", "two")
    assert answer.passed_over == ("one: one: odd",)


def test_a_long_pause_is_not_waited_for_where_another_can_be_asked(opened: Callable[..., Memory]) -> None:
    one = says("one", busy(60.0))
    answer = opened([one, says("two", "here")]).models.chat("reply", "hi")
    assert answer.model == "two"
    assert len(one.asked) == 1


def test_a_model_that_hangs_is_left_behind_and_settles_later(opened: Callable[..., Memory]) -> None:
    go, came = threading.Event(), threading.Event()

    def hang(_: Sequence[BaseMessage]) -> str:
        go.wait(PATIENCE_S)
        came.set()
        return "late"

    slow = Stranger(name_="slow", answer=hang, asked=[])
    memory = opened(ModelPool([slow, says("quick", "here")], terms={"slow": Terms(deadline=0.05)}))
    assert memory.models.chat("reply", "hi").model == "quick"
    assert [(model, outcome) for model, outcome, _ in noted(memory)] == [("slow", "open"), ("quick", "done")]
    go.set()
    assert came.wait(PATIENCE_S)
    for thread in threading.enumerate():
        if thread.name == "agentmem-reply":
            thread.join(PATIENCE_S)
    assert noted(memory) == [("slow", "done", 12), ("quick", "done", 12)]


def test_one_that_keeps_failing_is_left_alone(opened: Callable[..., Memory]) -> None:
    one = says("one", busy(0.0))
    memory = opened([one, says("two", "here")])
    for _ in range(3):
        assert memory.models.chat("reply", "hi").model == "two"
    assert len(one.asked) == 3  # three tries of the first question; then it rests
    assert [choice.refused for choice in memory.router.models(Need("reply"))] == [False, True]


def test_when_all_rest_the_error_says_when_to_come_back(opened: Callable[..., Memory]) -> None:
    memory = opened(says("one", busy(0.0)))
    with pytest.raises(ModelError):
        memory.models.chat("reply", "hi")
    with pytest.raises(ModelError, match="may be asked now") as caught:
        memory.models.chat("reply", "hi")
    assert caught.value.passing
    assert caught.value.wait is not None


def test_the_budget_stops_before_anything_is_sent(opened: Callable[..., Memory]) -> None:
    model = says("m", "hello")
    memory = opened(ModelPool(model, budgets={"user:ana": Budget(tokens=1_100)}))
    assert memory.models.chat("reply", "hi", most_out=1_000).text == "hello"
    estimate = memory.models.estimate("reply", "hi", most_out=1_000)
    assert estimate.tokens_out == 1_000
    with pytest.raises(BudgetReached, match="12 tokens of the 1,100"):
        memory.models.chat("reply", "hi", most_out=1_090)
    assert len(model.asked) == 1
    assert memory.models.chat("reply", "hi", most_out=1_000).text == "hello"  # what is not used is given back


def test_a_budget_is_one_scopes_and_of_those_inside(opened: Callable[..., Memory]) -> None:
    pool = ModelPool(says("m", "hello"), budgets={"user:ana": Budget(tokens=50)})
    ana = opened(pool)
    with pytest.raises(BudgetReached):
        ana.scope("inside").models.chat("reply", "hi")
    assert opened(pool, scope="user:bea").models.chat("reply", "hi").text == "hello"


def test_a_free_model_answers_when_the_dear_one_is_over_the_budget(opened: Callable[..., Memory]) -> None:
    pool = ModelPool(
        [says("dear", "gold"), says("free", "tin")],
        terms={"dear": Terms(output=10.0), "free": Terms()},
        budgets={None: Budget(money=0.001)},
    )
    answer = opened(pool).models.chat("reply", "hi")
    assert answer.text == "tin"
    assert answer.passed_over[0].startswith("dear: asking would take about ")


def test_private_words_are_refused_to_remote_models(opened: Callable[..., Memory]) -> None:
    far = says("far", "hello")
    memory = opened(ModelPool(far, private=Privacy(kinds=frozenset({"note"}))))
    with pytest.raises(NoModel, match="kind note never leaves this machine"):
        memory.models.chat("reply", "hi", kinds=["note"])
    assert far.asked == []
    near = says("near", "here", is_local=True)
    memory = opened(ModelPool([far, near], private=Privacy(kinds=frozenset({"note"}))))
    assert memory.models.chat("reply", "hi", kinds=["note"]).model == "near"


def test_only_so_many_questions_are_under_way(opened: Callable[..., Memory]) -> None:
    inside, most, gate = [0], [0], threading.Lock()
    together = threading.Barrier(2, timeout=PATIENCE_S)

    def answer(_: Sequence[BaseMessage]) -> str:
        with gate:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        together.wait()  # two are in here, or this breaks
        with gate:
            inside[0] -= 1
        return "done"

    memory = opened(ModelPool(Stranger(name_="m", answer=answer, asked=[]), terms={"m": Terms(at_once=2)}))
    threads = [threading.Thread(target=memory.models.chat, args=("reply", "hi")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert most == [2]
    assert noted(memory) == [("m", "done", 12)] * 6


def test_the_same_words_cost_nothing_again_but_are_never_anothers(opened: Callable[..., Memory]) -> None:
    model = says("m", "one", "two", "three", "four")
    pool = ModelPool(model)
    memory = opened(pool)
    first, again = memory.models.chat("judge", "same?"), memory.models.chat("judge", "same?")
    assert (first.text, first.cached, again.text, again.cached, again.cost) == ("one", False, "one", True, 0.0)
    assert opened(pool, scope="user:bea").models.chat("judge", "same?").text == "two"
    assert memory.models.chat("reply", "same?").text == "three"
    record = memory.add("secret")
    memory.forget(record.id, hard=True)
    assert memory.models.chat("judge", "same?").text == "four"  # what was kept may hold the words


def test_a_stream_comes_piece_by_piece_and_is_accounted_for(opened: Callable[..., Memory]) -> None:
    go = threading.Event()

    def words() -> Iterator[str]:
        yield "one "
        assert go.wait(PATIENCE_S)  # the first piece is here before the second is made
        yield "two"

    memory = opened(Stranger(name_="m", words=words, asked=[]))
    with memory.models.stream("reply", "hi") as stream:
        pieces = iter(stream)
        assert next(pieces).content == "one "
        go.set()
        assert "".join(piece.text for piece in pieces) == "two"
        assert stream.text == "one two"
    answer = stream.answer
    assert answer.text == "one two"
    assert answer.call.outcome == "done"
    assert answer.call.tokens_out > 0
    assert memory.calls.listed() == [answer.call]


def test_a_stream_that_breaks_keeps_what_came(opened: Callable[..., Memory]) -> None:
    def words() -> Iterator[str]:
        yield "half an "
        raise ConnectionResetError("cut")

    memory = opened([Stranger(name_="m", words=words, asked=[]), says("other", "whole")])
    stream = memory.models.stream("reply", "hi")
    with pytest.raises(ModelError, match="cut") as caught:
        list(stream)
    assert caught.value.passing
    assert stream.text == "half an "
    assert stream.answer.call.outcome == "failed"
    assert stream.answer.call.tokens_out > 0  # it was paid for


def test_a_stream_that_never_begins_falls_back(opened: Callable[..., Memory]) -> None:
    def words() -> Iterator[str]:
        raise ConnectionResetError("cut")
        yield ""

    second = Stranger(name_="second", words=lambda: iter(["fine"]), asked=[])
    stream = opened([Stranger(name_="m", words=words, asked=[]), second]).models.stream("reply", "hi")
    list(stream)
    assert (stream.text, stream.model) == ("fine", "second")
    assert "cut" in stream.passed_over[0]


def test_a_closed_stream_stops_the_model_and_keeps_what_came(opened: Callable[..., Memory]) -> None:
    taken, stopped = threading.Semaphore(0), threading.Event()

    def words() -> Iterator[str]:
        try:
            for number in range(1_000_000):
                yield f"{number} "
                taken.acquire(timeout=PATIENCE_S)
        finally:
            stopped.set()

    memory = opened(Stranger(name_="m", words=words, asked=[]))
    stream = memory.models.stream("reply", "hi")
    assert next(iter(stream)).content == "0 "
    stream.close()
    taken.release()
    assert stopped.wait(PATIENCE_S)
    assert stream.answer.text == "0 "
    assert stream.answer.call.outcome == "done"


def test_a_stranger_that_answers_rubbish_is_an_error_of_ours(opened: Callable[..., Memory]) -> None:
    memory = opened(Stranger(name_="m", answer=lambda _: None, asked=[]))
    with pytest.raises(ModelError):
        memory.models.chat("reply", "hi")


@pytest.mark.parametrize("messages", ["", [], [1], [HumanMessage("x"), "y"]])
def test_what_is_no_message_is_refused(opened: Callable[..., Memory], messages: Any) -> None:
    memory = opened(says("m", "hello"))
    if messages == "":
        assert memory.models.chat("reply", messages).text == "hello"  # a blank text is a message
        return
    with pytest.raises(InvalidInput):
        memory.models.chat("reply", messages)


def test_an_unknown_role_is_refused(opened: Callable[..., Memory]) -> None:
    with pytest.raises(InvalidInput, match="role 'repl'"):
        opened(says("m", "x")).models.chat("repl", "hi")
    with pytest.raises(InvalidInput, match="role 'repl'"):
        ModelPool({"repl": says("m", "x")})


def test_roles_have_their_own_models_and_the_rest_is_for_all(opened: Callable[..., Memory]) -> None:
    memory = opened({"judge": says("j", "same"), "": says("m", "hello")})
    assert memory.models.chat("judge", "hi").model == "j"
    assert memory.models.chat("reply", "hi").model == "m"
    assert memory.models.ask("summarise", "hi") == "hello"


def test_two_objects_of_one_kind_are_told_apart() -> None:
    assert ModelPool([says("m", "a"), says("m", "b")]).models == ["m", "m (2)"]


def test_an_open_call_counts_for_its_estimate_when_its_asker_is_gone(opened: Callable[..., Memory]) -> None:
    memory = opened(ModelPool(says("m", "hello"), budgets={None: Budget(tokens=2_000)}))
    memory.calls.begin(Call("reply", "m", tokens_in=1_000))
    with pytest.raises(BudgetReached):
        memory.models.chat("reply", "hi", most_out=1_000)


def test_bound_models_are_what_stores_ask(opened: Callable[..., Memory]) -> None:
    model = says("m", "not json")
    memory = opened(model)
    memory.add("I live in Rome.", speaker="Ana", role="user")
    memory.consolidate("thoughts")
    assert isinstance(memory.models, BoundModels)
    assert model.asked  # idle time asks the memory's own models


@pytest.mark.parametrize("models", [3, b"openai:x", [None], {"reply": 3}, {3: "openai:x"}, object(), [["a"], 5]])
def test_what_is_no_model_is_refused_at_opening(tmp_path: Path, models: Any) -> None:
    with pytest.raises(InvalidInput):
        Memory.open(tmp_path / "m", embedder=TinyEmbedder(), models=models)


def test_offline_no_model_is_asked_that_is_not_on_this_machine(
    opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    far, near = says("far", "hello"), says("near", "here", is_local=True)
    monkeypatch.setenv("AGENTMEM_OFFLINE", "on")
    with pytest.raises(NoModel, match="AGENTMEM_OFFLINE is on"):
        opened(far).models.chat("reply", "hi")
    assert opened([far, near]).models.chat("reply", "hi").model == "near"
    assert far.asked == []


def test_a_model_without_a_price_is_not_asked_where_money_is_budgeted(opened: Callable[..., Memory]) -> None:
    far, near = says("far", "hello"), says("near", "here", is_local=True)
    pool = ModelPool([far, near], budgets={"user:ana": Budget(money=1.0)})
    assert opened(pool).models.chat("reply", "hi").model == "near"
    assert opened(pool, scope="user:bea").models.chat("reply", "hi").model == "far"
    priced = ModelPool([far, near], budgets={"user:ana": Budget(money=1.0)}, terms={"far": Terms(input=1.0)})
    assert opened(priced).models.chat("reply", "hi").model == "far"


def test_one_kind_may_be_written_as_a_text(opened: Callable[..., Memory]) -> None:
    far = says("far", "hello")
    memory = opened(ModelPool(far, private=Privacy.of("user:bea", "note")))
    with pytest.raises(NoModel, match="kind note never leaves"):
        memory.models.chat("reply", "hi", kinds="note")
    with pytest.raises(NoModel, match="user:bea never leaves"):
        opened(ModelPool(far, private=Privacy(("user:bea",), ["note"])), scope="user:bea").models.chat("reply", "hi")  # type: ignore[arg-type]
    assert far.asked == []


def test_what_stands_in_the_way_before_asking_leaves_no_model_locked_out(opened: Callable[..., Memory]) -> None:
    """A model on trial after its rest, and a budget that is used up just then: the trial was not made."""
    clock = [0.0]
    model = says("m", "hello")
    pool = ModelPool(model, budgets={None: Budget(tokens=2_000)}, terms={"m": Terms(at_once=1)})
    breaker = pool.candidate("m").breaker = Breaker(lambda: clock[0])
    for _ in range(3):
        breaker.leave(False)
    clock[0] += 60
    memory = opened(pool)
    for _ in range(3):
        with pytest.raises(BudgetReached):
            memory.models.chat("reply", "hi", most_out=5_000)
    assert memory.models.chat("reply", "hi").text == "hello"  # neither its place nor its trial was kept


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1_000, "output_tokens": -1_000},
        {"input_tokens": 10**30, "output_tokens": 0},
        {"input_tokens": "many", "output_tokens": None},
        {"input_tokens": True, "output_tokens": 1.5},
        {},
    ],
)
def test_a_model_that_lies_about_what_it_took_gives_nothing_back(opened: Callable[..., Memory], usage: Any) -> None:
    class Liar(Stranger):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            message = AIMessage("hello").model_copy(update={"usage_metadata": usage})
            return ChatResult(generations=[ChatGeneration(message=message)])

    memory = opened(Liar(name_="liar"))
    call = memory.models.chat("reply", "how are you?").call
    assert call.outcome == "done"
    assert 0 < call.tokens_in < 100
    assert 0 < call.tokens_out < 100
    assert memory.calls.listed() == [call]


class Votes(BaseModel):
    vote: str


def test_answers_that_could_not_be_used_are_noted_as_that(opened: Callable[..., Memory]) -> None:
    memory = opened([ScriptedModel(["no", "never", "not"], name="one"), ScriptedModel(["hm", '{"vote": "same"}'])])
    found = memory.models.structured("judge", Votes, "same?", cause="pair-1", prompt="judge/1")
    assert (found.value, found.rounds) == (Votes(vote="same"), 1)
    noted_ = [(call.model, call.outcome) for call in reversed(memory.calls.listed())]
    assert noted_ == [("one", "refused")] * 3 + [("scripted", "refused"), ("scripted", "done")]
    assert {call.cause for call in memory.calls.listed()} == {"pair-1"}
    assert [call.prompt for call in reversed(memory.calls.listed())][:2] == ["judge/1", "judge/1 json/1 repair/1"]
    assert memory.calls.usage()[0].failed + memory.calls.usage()[1].failed == 4
    with pytest.raises(BadOutput):
        opened(ScriptedModel(["no"] * 3)).models.structured("judge", Votes, "same?")


def test_a_structured_answer_takes_no_more_than_was_estimated(opened: Callable[..., Memory]) -> None:
    long = '{"vote": "' + "same " * 100 + '"}'
    with pytest.raises(BadOutput):
        opened(ScriptedModel([long] * 3)).models.structured("judge", Votes, "same?", most_out=20)
    assert opened(ScriptedModel([long])).models.structured("judge", Votes, "same?", most_out=2_000).rounds == 0


def test_what_cannot_be_noted_is_refused_before_it_is_asked(opened: Callable[..., Memory]) -> None:
    model = says("m", "hello")
    memory = opened(model)
    for wrong in ({"cause": "a\0b"}, {"prompt": 3}, {"most_out": 0}, {"most_out": 1.5}, {"kinds": [3]}):
        with pytest.raises(InvalidInput):
            memory.models.chat("reply", "hi", **wrong)
    for policies in ({"reply": "fastest"}, {"repl": "order"}):
        with pytest.raises(InvalidInput, match="policy"):
            ModelPool(model, policies=policies)  # type: ignore[arg-type]
    assert model.asked == []


def test_an_answer_stands_when_its_account_cannot_be_written(
    opened: Callable[..., Memory], caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger is closed while the model thinks. Its call stays in it, open, as estimated."""
    inside, go = threading.Event(), threading.Event()

    def answer(_: Sequence[BaseMessage]) -> str:
        inside.set()
        assert go.wait(PATIENCE_S)
        return "late"

    memory = opened(Stranger(name_="m", answer=answer, asked=[]))
    models, found = memory.models, list[str]()
    thread = threading.Thread(target=lambda: found.append(models.chat("reply", "hi").text))
    thread.start()
    assert inside.wait(PATIENCE_S)
    memory.close()
    go.set()
    thread.join(PATIENCE_S)
    assert found == ["late"]
    again = opened()
    assert [call.outcome for call in again.calls.listed()] in (["open"], ["done"])
