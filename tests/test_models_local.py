"""A language model in this process: what it answers, what of it is computed again, and how it is stopped and let go.

The model was taught a few answers by heart (tiny_model.py). What the network is given is watched from outside, by
torch's own hooks.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from agentmem.errors import InvalidInput, ModelError
from agentmem.models.local import LocalChat
from agentmem.models.opening import open_model, spec_of
from agentmem.models.pool import ModelPool
from tests.tiny_model import COUNTING, GREETING, LESSONS, WINDOW, WORLD, tiny

COUNT, WORLDLY = "Count to twenty.", "Say hello to the world."
MAGIC = {"type": "function", "function": {"name": "magic_function", "parameters": {"type": "object", "properties": {}}}}


class Passes(list[int]):
    """The tokens that networks were given, pass by pass. `before` is called in each."""

    def __init__(self) -> None:
        super().__init__()
        self.networks: list[weakref.ref[Any]] = []
        self.before: Callable[[], object] = lambda: None
        self.most_at_once = 0
        self._at_once = 0

    def begins(self, module: Any, given: tuple[Any, ...]) -> None:
        if isinstance(module, torch.nn.Embedding):
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.append(given[0].shape[1])
            self.before()

    def ends(self, module: Any, given: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, transformers.LlamaForCausalLM):
            self._at_once -= 1
            self.networks.append(weakref.ref(module))


@pytest.fixture
def passes() -> Iterator[Passes]:
    seen = Passes()
    hooks = torch.nn.modules.module
    kept = [hooks.register_module_forward_pre_hook(seen.begins), hooks.register_module_forward_hook(seen.ends)]
    yield seen
    for hook in kept:
        hook.remove()


@pytest.fixture
def chat(tiny: Path) -> LocalChat:
    return LocalChat(model=str(tiny))


def text(message: BaseMessage) -> str:
    return str(message.text)


def took(message: AIMessage) -> dict[str, Any]:
    return dict(message.usage_metadata or {})


def of_tokens(chat: LocalChat, tokens: int) -> HumanMessage:
    """A message that makes a prompt of so many tokens: no two such characters are one token."""
    return HumanMessage("\x01" * (tokens - chat.get_num_tokens_from_messages([HumanMessage("")])))


class TestAnswers:
    def test_an_answer_and_what_it_took(self, chat: LocalChat, tiny: Path) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
        answer = chat.invoke("Hello")
        assert text(answer) == GREETING
        shown = len(chat._prompt([HumanMessage("Hello")], [], ""))
        told = len(tokenizer.encode(GREETING)) + 1  # the token that ends it
        assert answer.usage_metadata == {
            "input_tokens": shown,
            "output_tokens": told,
            "total_tokens": shown + told,
            "input_token_details": {"cache_read": 0},
        }
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["model_name"] == str(tiny)

    def test_it_comes_token_by_token(self, chat: LocalChat, passes: Passes) -> None:
        come = [(text(chunk), len(passes)) for chunk in chat.stream(COUNT)]
        assert "".join(piece for piece, _ in come) == COUNTING
        assert come[0] == ("1", 1)
        made = [passed for piece, passed in come if piece]
        assert made == list(range(1, len(made) + 1))  # each piece after the pass that made it, before the next
        assert len(made) >= 20

    def test_no_piece_holds_half_a_character(self, chat: LocalChat) -> None:
        pieces = [text(chunk) for chunk in chat.stream(WORLDLY)]
        assert "".join(pieces) == WORLD
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
        assert len(pieces) > len(WORLD)  # some are empty: a part of a character, after which a reader may leave

    def test_the_most_tokens_end_it(self, chat: LocalChat) -> None:
        answer = chat.invoke(COUNT, max_tokens=3)
        assert answer.response_metadata["finish_reason"] == "length"
        assert took(answer)["output_tokens"] == 3
        assert COUNTING.startswith(text(answer))
        assert text(answer)

    def test_chance_is_the_same_for_the_same_seed(self, chat: LocalChat) -> None:
        def told(**settings: Any) -> str:
            return text(chat.invoke("Tell me more.", temperature=3.0, max_tokens=20, **settings))

        assert told(seed=1) == told(seed=1) != told(seed=2)
        assert told(seed=1, top_p=1e-9) == text(chat.invoke("Tell me more.", max_tokens=20))

    def test_settings_of_the_model_hold_where_the_question_brings_none(self, tiny: Path) -> None:
        brief = LocalChat(model=str(tiny), max_tokens=2, stop=["3"])
        assert text(brief.invoke(COUNT, max_tokens=9)) == "1 2 "
        assert text(brief.invoke(COUNT, stop=["2"], max_tokens=9)) == "1 "
        assert brief.invoke(COUNT).response_metadata["finish_reason"] == "length"

    async def _asked(self, chat: LocalChat) -> tuple[str, str]:
        streamed = "".join([text(chunk) async for chunk in chat.astream("hi")])
        return streamed, text(await chat.ainvoke("Hello"))

    def test_it_can_be_awaited(self, chat: LocalChat) -> None:
        assert asyncio.run(self._asked(chat)) == ("What can I do for you?", GREETING)


class TestStopStrings:
    @pytest.mark.parametrize("stop", ["7 8", "8 9 1", "20", " 1", "1"])
    def test_one_is_never_told_wherever_tokens_end(self, chat: LocalChat, stop: str) -> None:
        pieces = [text(chunk) for chunk in chat.stream(COUNT, stop=[stop, "not in it"])]
        assert "".join(pieces) == COUNTING[: COUNTING.index(stop)]

    def test_it_ends_the_computing(self, chat: LocalChat, passes: Passes) -> None:
        answer = chat.invoke(COUNT, stop=["2 3"])
        assert answer.response_metadata["finish_reason"] == "stop"
        assert len(passes) <= 6

    def test_one_that_never_comes_changes_nothing(self, chat: LocalChat) -> None:
        assert text(chat.invoke(COUNT, stop=["20 21"])) == COUNTING


class TestReuse:
    def test_a_conversation_costs_what_is_new_in_it_and_is_answered_as_without(
        self, chat: LocalChat, tiny: Path, passes: Passes
    ) -> None:
        said: list[BaseMessage] = [SystemMessage("Be kind.")]
        before = 0
        for question in ("Hello", "hi", COUNT, "Hello", "Who are you?", "hi", "Hello", "And now?", "hi", "Hello"):
            said.append(HumanMessage(question))
            forgetful = LocalChat(model=str(tiny), max_tokens=12)
            alone = forgetful.invoke(said)
            passes.clear()
            answer = chat.invoke(said, max_tokens=12)
            assert text(answer) == text(alone)
            told, usage = answer.response_metadata, took(answer)
            assert told["tokens_computed"] == sum(passes)
            assert told["tokens_computed"] + told["tokens_reused"] == usage["total_tokens"] - 1  # the last is not
            assert told["tokens_reused"] == usage["input_token_details"]["cache_read"] >= before - 12
            assert alone.response_metadata["tokens_reused"] == 0
            before = usage["input_tokens"]
            said.append(answer)
        assert before > 10 * 12

    def test_another_beginning_shares_nothing_but_what_is_alike(self, chat: LocalChat) -> None:
        chat.invoke("Hello")
        other = chat.invoke([SystemMessage("Hello")])
        alike = other.response_metadata["tokens_reused"]
        assert 1 <= alike < 8  # no more than how a turn begins
        again = chat.invoke([SystemMessage("Hello")])
        assert again.response_metadata["tokens_reused"] == took(again)["input_tokens"] - 1


class TestStopping:
    def test_a_stream_that_is_closed_computes_no_more(self, chat: LocalChat, passes: Passes) -> None:
        stream = cast("Any", chat.stream(COUNT))
        for _ in range(3):
            next(stream)
        stream.close()
        assert len(passes) == 3
        assert text(chat.invoke("Hello")) == GREETING

    def test_another_thread_ends_it_within_one_token(self, chat: LocalChat, passes: Passes) -> None:
        stream = chat.stream(COUNT)
        come = [next(stream) for _ in range(3)]
        thread = threading.Thread(target=chat.cancel)
        thread.start()
        thread.join()
        come += stream
        assert len(passes) == 3
        assert COUNTING.startswith("".join(map(text, come)))
        assert come[-1].response_metadata["finish_reason"] == "cancelled"
        assert took(come[-1])["output_tokens"] == 3
        assert text(chat.invoke(COUNT)) == COUNTING

    def test_it_ends_one_that_is_waited_for(self, chat: LocalChat, passes: Passes) -> None:
        passes.before = lambda: chat.cancel() if len(passes) == 4 else None
        answer = chat.invoke(COUNT)
        assert answer.response_metadata["finish_reason"] == "cancelled"
        assert len(passes) == 4
        assert COUNTING.startswith(text(answer))

    def test_a_task_that_is_cancelled_ends_the_answer(self, chat: LocalChat, passes: Passes) -> None:
        async def asked() -> None:
            task = asyncio.ensure_future(chat.ainvoke(COUNT))
            loop = asyncio.get_running_loop()
            passes.before = lambda: loop.call_soon_threadsafe(task.cancel) if len(passes) == 4 else None
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(asked())  # which waits for the threads
        assert 4 <= len(passes) < 30
        passes.before = lambda: None
        assert text(chat.invoke("Hello")) == GREETING


class TestThreads:
    def test_several_ask_and_one_is_answered_at_a_time(self, chat: LocalChat, passes: Passes) -> None:
        lessons = [(said, answer) for said, tools, answer in LESSONS if not tools] * 3
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda said: text(chat.invoke(said)), [said for said, _ in lessons]))
        assert answers == [answer for _, answer in lessons]
        assert passes.most_at_once == 1
        assert len({id(network()) for network in passes.networks}) == 1  # loaded once

    def test_a_stream_that_is_not_read_on_blocks_nobody_and_goes_on_later(self, chat: LocalChat) -> None:
        stream = chat.stream(COUNT)
        begun = [next(stream) for _ in range(3)]
        assert text(chat.invoke("Hello")) == GREETING  # by the same thread, which cannot read on meanwhile
        assert "".join(map(text, [*begun, *stream])) == COUNTING


class TestUnloading:
    def test_the_network_is_gone_and_comes_back_when_asked(self, chat: LocalChat, passes: Passes) -> None:
        assert text(chat.invoke("Hello")) == GREETING
        network = passes.networks[0]
        tensors = [weakref.ref(tensor) for tensor in cast("Any", network()).parameters()]
        chat.unload()
        assert network() is None
        assert not any(tensor() is not None for tensor in tensors)
        again = chat.invoke("Hello")
        assert text(again) == GREETING
        assert again.response_metadata["tokens_reused"] == 0

    def test_a_model_that_was_never_asked_has_nothing_to_give_back(self, chat: LocalChat) -> None:
        chat.unload()
        chat.close()

    def test_a_stream_whose_reader_rests_holds_nothing_and_goes_on(self, chat: LocalChat, passes: Passes) -> None:
        stream = chat.stream(COUNT)
        begun = [next(stream) for _ in range(3)]
        chat.unload()
        assert passes.networks[0]() is None
        assert "".join(map(text, [*begun, *stream])) == COUNTING

    def test_a_pool_lets_go_of_the_weights_of_what_it_opened(self, tiny: Path, passes: Passes) -> None:
        spec = f"local:{tiny}"
        pool = ModelPool(spec)
        assert text(pool.opened(spec).invoke("Hello")) == GREETING
        pool.close()
        gc.collect()
        assert passes.networks[0]() is None


class TestFailures:
    @pytest.mark.parametrize(
        "short", [lambda: torch.empty(1 << 60), lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried …"))]
    )
    def test_no_memory_is_told_and_may_pass(self, chat: LocalChat, passes: Passes, short: Callable[[], object]) -> None:
        chat.invoke("Hello")
        passes.before = short
        with pytest.raises(ModelError, match="not enough memory") as caught:
            chat.invoke("Hello")
        assert caught.value.passing
        assert "smaller model" in caught.value.way_out
        passes.before = lambda: None
        answer = chat.invoke("Hello")
        assert text(answer) == GREETING
        assert answer.response_metadata["tokens_reused"] == 0  # what was kept was let go

    def test_what_was_in_the_way_is_let_go_while_the_error_is_looked_at(self, chat: LocalChat, passes: Passes) -> None:
        held: list[weakref.ref[Any]] = []

        def short() -> None:
            large = torch.empty(1_000)
            held.append(weakref.ref(large))
            torch.empty(1 << 60)

        passes.before = short
        with pytest.raises(ModelError) as caught:
            chat.invoke("Hello")
        assert held[0]() is None
        assert caught.value.passing

    def test_another_fault_is_told_and_leaves_the_model_usable(self, chat: LocalChat, passes: Passes) -> None:
        passes.before = lambda: _raise(RuntimeError("the kernel is on fire"))
        with pytest.raises(ModelError, match=r"compute an answer of .*: the kernel is on fire") as caught:
            list(chat.stream("Hello"))
        assert not caught.value.passing
        passes.before = lambda: None
        assert text(chat.invoke("Hello")) == GREETING


def _raise(error: Exception) -> None:
    raise error


class TestWindow:
    @pytest.mark.parametrize("over", [1, 8])
    def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_computed(
        self, chat: LocalChat, passes: Passes, over: int
    ) -> None:
        size = WINDOW - 1 + over  # one token is left for the answer
        with pytest.raises(ModelError, match=f"it has {size} tokens, {over} too many") as caught:
            chat.invoke([of_tokens(chat, size)])
        assert not caught.value.passing
        assert caught.value.way_out
        assert not passes

    def test_one_that_just_fits_leaves_room_for_one_token(self, chat: LocalChat) -> None:
        answer = chat.invoke([of_tokens(chat, WINDOW - 1)])
        assert took(answer)["total_tokens"] == WINDOW
        assert answer.response_metadata["finish_reason"] == "length"

    def test_a_window_that_the_user_sets_counts(self, tiny: Path) -> None:
        narrow = LocalChat(model=str(tiny), profile={"max_input_tokens": 10})
        with pytest.raises(ModelError, match="the model takes 10"):
            narrow.invoke("Hello")
        assert (narrow.profile or {})["tool_calling"]  # what else is known of it stays

    def test_tokens_are_counted_by_the_models_own_tokenizer(self, chat: LocalChat, tiny: Path, passes: Passes) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
        for said in (GREETING, WORLD, "", "1 2 3", "half \ud83d a character"):
            assert chat.get_token_ids(said) == tokenizer.encode(said.replace("\ud83d", "?"))
            assert chat.get_num_tokens(said) == len(tokenizer.encode(said.replace("\ud83d", "?")))
        answer = chat.invoke([SystemMessage("Be kind."), HumanMessage("Hello")])
        counted = chat.get_num_tokens_from_messages([SystemMessage("Be kind."), HumanMessage("Hello")])
        assert counted == took(answer)["input_tokens"]


class TestTools:
    def test_calls_are_taken_out_of_the_text(self, chat: LocalChat) -> None:
        tools = [{"type": "function", "function": {"name": "get_weather"}}]
        asked = "What is the weather in San Francisco, CA?"
        answer = chat.bind_tools(tools).invoke(asked)
        assert text(answer) == "Let me look. "
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
            ("get_weather", {"location": "San Francisco, CA"})
        ]
        assert not answer.invalid_tool_calls

    @pytest.mark.parametrize("choice", ["any", "magic_function", True])
    def test_a_call_can_be_wanted(self, chat: LocalChat, choice: Any) -> None:
        asked = "What is the value of magic_function(3)? Use the tool."
        answer = chat.bind_tools([MAGIC], tool_choice=choice).invoke(asked)
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("magic_function", {"input": 3})]
        assert text(answer) == ""

    def test_none_offers_none(self, chat: LocalChat) -> None:
        assert text(chat.bind_tools([MAGIC], tool_choice="none").invoke("Hello")) == GREETING

    def test_calls_and_results_are_shown_to_the_model(self, chat: LocalChat) -> None:
        called = AIMessage("", tool_calls=[{"name": "magic_function", "args": {"input": 3}, "id": "1"}])
        plain: list[BaseMessage] = [HumanMessage("Hello")]
        whole = [*plain, called, ToolMessage("5", tool_call_id="1")]
        assert chat.get_num_tokens_from_messages(whole) > chat.get_num_tokens_from_messages(plain) + 15
        assert chat.get_num_tokens_from_messages(plain, [MAGIC]) > chat.get_num_tokens_from_messages(plain) + 5


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"temperature": -1}, "temperature must be 0 or more"),
            ({"temperature": float("nan")}, "temperature must be a finite number"),
            ({"top_p": 0}, "top_p must be above 0"),
            ({"top_p": 1.5}, "at most 1"),
            ({"max_tokens": 0}, "max_tokens must be a whole number of 1"),
            ({"seed": -1}, "seed must be a whole number"),
            ({"seed": 2**70}, "seed must be a whole number"),
            ({"stop": [""]}, "stop string must not be empty"),
        ],
    )
    def test_a_setting_out_of_range(self, tiny: Path, chat: LocalChat, settings: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidInput, match=told):
            LocalChat(model=str(tiny), **settings)
        with pytest.raises(InvalidInput, match=told):
            chat.invoke("Hello", **settings)

    @pytest.mark.parametrize("settings", [{"temprature": 1}, {"dtype": "int8"}, {"quantize": "3bit"}, {"model": None}])
    def test_a_setting_that_there_is_not(self, tiny: Path, settings: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match=f"LocalChat cannot be made so: {next(iter(settings))}"):
            LocalChat(**{"model": str(tiny), **settings})

    def test_what_a_question_may_not_bring(self, chat: LocalChat) -> None:
        with pytest.raises(InvalidInput, match="takes no response_format"):
            chat.invoke("Hello", response_format={"type": "json_object"})
        with pytest.raises(InvalidInput, match="'another' was asked for"):
            chat.invoke("Hello", model="another")

    def test_messages_that_it_cannot_be_shown(self, chat: LocalChat) -> None:
        with pytest.raises(InvalidInput, match="no message"):
            chat.invoke([])
        with pytest.raises(InvalidInput, match="no role 'boss'"):
            chat.invoke([ChatMessage(content="Hello", role="boss")])
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        with pytest.raises(ModelError, match="holds image_url") as caught:
            chat.invoke([HumanMessage([{"type": "text", "text": "Look:"}, picture])])
        assert caught.value.way_out

    def test_what_an_answer_thought_is_not_shown_again(self, chat: LocalChat) -> None:
        thought = AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Hi."}])
        question = HumanMessage("Hello")
        shown = [chat.get_num_tokens_from_messages([one, question]) for one in (thought, AIMessage("Hi."))]
        assert shown[0] == shown[1]


class TestPlace:
    def test_it_stays_here_and_says_how_it_is_spelled(self, tiny: Path) -> None:
        opened = open_model(f"local:{tiny}")
        assert isinstance(opened, LocalChat)
        assert opened.is_local
        assert spec_of(opened) == f"local:{tiny}"
        with pytest.raises(InvalidInput, match="no model is named"):
            open_model("local:")

    def test_what_it_declares(self, chat: LocalChat) -> None:
        told = chat.profile or {}
        assert told["max_input_tokens"] == WINDOW
        assert (told["tool_calling"], told["tool_choice"], told["structured_output"]) == (True, True, False)


__all__ = ["tiny"]
