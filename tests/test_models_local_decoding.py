"""What a local model's answers are made by: kept keys and values, whole characters, stop strings, turns, chance.

The oracles are the network without a cache, and the text of all tokens at once.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from langchain_core.messages.tool import ToolCallChunk

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from agentmem.errors import InvalidInput, ModelError
from agentmem.models.local_decoding import Decoder, Turns, Unfolding, chooser
from agentmem.models.local_messages import ToolCalls, forced_call

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def network(kind: str, **config: Any) -> Any:
    """One of that architecture with random weights, large enough to make its scores differ."""
    torch.manual_seed(7)
    made = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **SIZES, **config))
    with torch.no_grad():
        for weights in made.parameters():
            if weights.dim() > 1:
                weights.normal_(std=0.3)
    return made.eval()


NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "keys and values": ("llama", {"intermediate_size": 32, "num_key_value_heads": 1}),
    "positions that are learned": ("gpt2", {"n_positions": 2_000}),
    "a sliding window": ("mistral", {"intermediate_size": 32, "num_key_value_heads": 1, "sliding_window": 8}),
    "a recurrent state": ("mamba", {"state_size": 4, "time_step_rank": 4}),
    "some layers of each": (
        "lfm2",
        {"intermediate_size": 32, "num_key_value_heads": 1, "layer_types": ["conv", "full_attention"]},
    ),
    "no cache at all": ("openai-gpt", {"n_positions": 2_000}),
}


class TestDecoder:
    @pytest.mark.parametrize("kind", NETWORKS)
    def test_scores_are_those_of_the_network_without_a_cache(self, kind: str) -> None:
        name, config = NETWORKS[kind]
        asked = network(name, **config)
        decoder, chance = Decoder(asked), random.Random(3)
        tokens = [chance.randrange(60) for _ in range(20)]
        for _ in range(40):
            cut = chance.choice([len(tokens), len(tokens), chance.randint(1, len(tokens))])
            tokens = tokens[:cut] + [chance.randrange(60) for _ in range(chance.randint(0, 3))]
            step = decoder.step(tokens)
            with torch.inference_mode():
                alone = asked(input_ids=torch.tensor([tokens])).logits[0, -1]
            torch.testing.assert_close(step.scores, alone, rtol=1e-3, atol=1e-3)
            assert step.reused + step.computed == len(tokens)

    def test_only_what_is_new_is_computed(self) -> None:
        decoder = Decoder(network("llama", **NETWORKS["keys and values"][1]))
        assert decoder.step([1, 2, 3, 4])[1:] == (4, 0)
        assert decoder.step([1, 2, 3, 4, 5])[1:] == (1, 4)
        assert decoder.step([1, 2, 9, 9])[1:] == (2, 2)
        assert decoder.step([1, 2])[1:] == (1, 1)  # the scores after the last token are asked for
        assert decoder.step([7])[1:] == (1, 0)

    def test_a_state_that_knows_no_way_back_serves_the_next_token_alone(self) -> None:
        decoder = Decoder(network("mamba", **NETWORKS["a recurrent state"][1]))
        assert decoder.step([1, 2, 3])[1:] == (3, 0)
        assert decoder.step([1, 2, 3, 4])[1:] == (1, 3)
        assert decoder.step([1, 2, 3, 4, 5, 6])[1:] == (6, 0)
        assert decoder.step([number % 59 for number in range(600)]).scores is not None

    def test_a_long_prompt_is_computed_in_parts_and_gives_the_same_scores(self) -> None:
        asked = network("llama", **NETWORKS["keys and values"][1])
        decoder, tokens = Decoder(asked), [number % 59 for number in range(1_200)]
        steps = [decoder.step(tokens) for _ in range(3)]
        assert [step.computed for step in steps] == [512, 512, 176]
        assert [step.scores is None for step in steps] == [True, True, False]
        with torch.inference_mode():
            alone = asked(input_ids=torch.tensor([tokens])).logits[0, -1]
        torch.testing.assert_close(steps[-1].scores, alone, rtol=1e-3, atol=1e-3)

    def test_a_pass_that_fails_leaves_nothing_that_a_later_one_trusts(self) -> None:
        asked = network("llama", **NETWORKS["keys and values"][1])
        decoder = Decoder(asked)
        decoder.step([1, 2, 3])
        with pytest.raises(IndexError):
            decoder.step([1, 2, 3, 60])  # there is no such token
        step = decoder.step([1, 2, 3])
        with torch.inference_mode():
            torch.testing.assert_close(step.scores, asked(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1])
        assert step.reused == 0


class TestChance:
    SCORES = torch.tensor([0.0, 3.0, 2.0, -1.0])

    def picked(self, temperature: float, top_p: float, seed: int | None, times: int = 200) -> list[int]:
        choose = chooser(temperature, top_p, seed, torch.device("cpu"))
        return [choose(self.SCORES) for _ in range(times)]

    def test_zero_takes_the_likeliest_and_so_does_hardly_more(self) -> None:
        assert set(self.picked(0.0, 1.0, None)) == set(self.picked(1e-9, 1.0, None)) == {1}
        assert set(self.picked(1e-5, 1.0, None)) == {1}  # nothing overflows

    def test_a_seed_gives_the_same_again_and_another_seed_something_else(self) -> None:
        assert self.picked(1.0, 1.0, 5) == self.picked(1.0, 1.0, 5) != self.picked(1.0, 1.0, 6)
        assert self.picked(1.0, 1.0, None) != self.picked(1.0, 1.0, None)

    def test_chances_are_those_of_the_scores(self) -> None:
        told = Counter(self.picked(2.0, 1.0, 1, 4_000))
        for token, chance in enumerate((self.SCORES / 2.0).softmax(0).tolist()):
            assert told[token] / 4_000 == pytest.approx(chance, abs=0.03)

    def test_top_p_leaves_out_the_unlikely(self) -> None:
        assert set(self.picked(1.0, 0.8, 1)) == {1, 2}  # of 0.035, 0.705, 0.259 and 0.013
        assert set(self.picked(1.0, 0.01, 1)) == {1}

    @pytest.mark.parametrize("broken", [float("nan"), float("inf")])
    def test_scores_that_are_no_numbers_are_told(self, broken: float) -> None:
        with pytest.raises(ModelError, match="not numbers"):
            chooser(0.0, 1.0, None, torch.device("cpu"))(torch.tensor([0.0, broken]))


def of_bytes(tokens: list[int]) -> str:
    """A tokenizer with a token for every byte: all that can be cut in two is."""
    return bytes(tokens).decode(errors="replace")


texts = st.text(st.sampled_from("abé早👩\u200d🚀 "), max_size=20)


class TestUnfolding:
    @given(st.one_of(texts.map(str.encode), st.binary(max_size=20)), st.lists(texts.filter(bool), max_size=3))
    @example(b"a bc", ["c", "bc"])  # two that end at once
    def test_what_is_told_is_the_whole_text_before_the_first_stop_string(self, told: bytes, stops: list[str]) -> None:
        text, pieces = Unfolding(of_bytes, stops), []
        for token in told:
            pieces.append(text.add(token))
            if text.stopped:
                break
        pieces.append(text.rest())
        whole = of_bytes(list(told))
        found = [(whole.index(stop) + len(stop), whole.index(stop)) for stop in stops if stop in whole]
        assert "".join(pieces) == (whole[: min(found)[1]] if found else whole)
        assert text.stopped == bool(found)

    @given(texts, texts.filter(bool))
    def test_no_more_is_held_back_than_may_be_a_stop_string(self, told: str, stop: str) -> None:
        assume(stop not in told)
        text, come = Unfolding(of_bytes, [stop]), ""
        for number, letter in enumerate(told, 1):
            come += "".join(text.add(token) for token in letter.encode())
            assert told.startswith(come)
            assert stop.startswith(told[len(come) : number])

    @given(texts)
    def test_every_piece_is_of_whole_characters(self, told: str) -> None:
        text = Unfolding(of_bytes, [])
        pieces = [text.add(token) for token in told.encode()]
        assert [piece for piece in pieces if piece] == list(told)


class TestTurns:
    def test_one_at_a_time_and_the_next_when_it_is_given_back(self) -> None:
        turns, order = Turns(), []
        turns.take("first")

        def second() -> None:
            turns.take("second")
            order.append("second")
            turns.give("second")

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1.2)  # longer than one that rests would keep its turn: the first does not rest
        assert thread.is_alive()
        order.append("first")
        turns.give("first")
        thread.join(10)
        assert order == ["first", "second"]

    def test_whoever_rests_loses_its_turn_to_one_that_waits_and_gets_it_back(self) -> None:
        turns = Turns()
        turns.take("reader")
        turns.rest("reader")
        turns.take("other")  # would wait for ever
        turns.give("reader")  # nothing: it is the other's turn
        took = threading.Event()

        def go_on() -> None:
            turns.take("reader")
            took.set()

        thread = threading.Thread(target=go_on)
        thread.start()
        assert not took.wait(0.1)
        turns.give("other")
        assert took.wait(10)
        thread.join(10)


CALL = '<tool_call>\n{"name": "add", "arguments": {"one": 1, "two": "<tool_call> née"}}\n</tool_call>'


def parts(calls: ToolCalls, *fresh: str) -> tuple[str, list[tuple[Any, Any]]]:
    """The text that was told, and the calls by name and arguments."""
    told: list[str | ToolCallChunk] = []
    for piece in fresh:
        told += calls.add(piece)
    told += calls.add("", last=True)
    made = [part for part in told if not isinstance(part, str)]
    assert [call["index"] for call in made] == list(range(len(made)))
    assert len({call["id"] for call in made}) == len(made)
    return "".join(part for part in told if isinstance(part, str)), [(call["name"], call["args"]) for call in made]


class TestToolCalls:
    @given(
        st.sampled_from([CALL, f"Look: {CALL}\n{CALL} Done.", "a < b", "<tool_call", f"{CALL}\n{CALL[:-12]}", "{}"]),
        st.lists(st.integers(0, 200)),
    )
    def test_however_an_answer_comes_in_pieces_it_holds_the_same(self, answer: str, cuts: list[int]) -> None:
        at = [0, *sorted(cuts), len(answer)]
        pieces = [answer[start:end] for start, end in pairwise(at)]
        assert parts(ToolCalls(), *pieces) == parts(ToolCalls(), answer)

    def test_text_and_calls_are_told_apart(self) -> None:
        made = ("add", '{"one": 1, "two": "<tool_call> née"}')
        assert parts(ToolCalls(), f"Look: {CALL}\n\n{CALL} Done.") == ("Look: Done.", [made, made])
        assert parts(ToolCalls(), "a < b and no <tool_") == ("a < b and no <tool_", [])

    def test_a_call_that_the_answer_was_made_to_begin_with_is_whole(self) -> None:
        tools = [{"function": {"name": "add"}}, {"function": {"name": "take"}}]
        assert parts(ToolCalls(forced_call("add", tools)), ' {"one": 1}}\n</tool_call>') == (
            "",
            [("add", '{"one": 1}')],
        )
        assert parts(ToolCalls(forced_call("any", tools)), ' "take"}</tool_call>') == ("", [("take", "{}")])

    @pytest.mark.parametrize(
        ("written", "call"),
        [
            ('{"name": "add", "arguments": {"one": 1,}}', ("add", '{"one": 1}')),  # small faults are mended
            ('{"name": "add"}', ("add", "{}")),
            ('{"name": "add", "arguments": {"one": "\\ud83d"}}', None),  # half a character
            ('{"arguments": {}}', (None, '"{\\"arguments\\": {}}"')),
            ('{"name": "add", "arguments": [1]}', (None, '"{\\"name\\": \\"add\\", \\"arguments\\": [1]}"')),
            ("[" * 100_000, None),
        ],
    )
    def test_a_call_that_cannot_be_read_has_no_name(self, written: str, call: tuple[Any, Any] | None) -> None:
        text, calls = parts(ToolCalls(), f"<tool_call>{written}</tool_call>")
        assert text == ""
        assert calls == ([(None, json.dumps(written))] if call is None else [call])

    @pytest.mark.parametrize("arguments", ['{"sum": 10', '{"sums": [10, 2', "{"])
    def test_what_was_cut_off_is_not_made_up(self, arguments: str) -> None:
        written = f'{{"name": "pay", "arguments": {arguments}'
        assert parts(ToolCalls(), f"<tool_call>\n{written}") == ("", [(None, json.dumps(written))])

    def test_a_whole_call_needs_no_end(self) -> None:
        assert parts(ToolCalls(), CALL.removesuffix("</tool_call>"))[1][0][0] == "add"

    @pytest.mark.parametrize(
        ("choice", "begun"),
        [
            (None, ""),
            ("auto", ""),
            ("none", ""),
            (False, ""),
            ("any", '<tool_call>\n{"name":'),
            ("required", '<tool_call>\n{"name":'),
            (True, '<tool_call>\n{"name":'),
            ("b", '<tool_call>\n{"name": "b", "arguments":'),
            ({"type": "function", "function": {"name": "b"}}, '<tool_call>\n{"name": "b", "arguments":'),
            ({"name": "b"}, '<tool_call>\n{"name": "b", "arguments":'),
        ],
    )
    def test_how_an_answer_is_made_to_begin(self, choice: object, begun: str) -> None:
        assert forced_call(choice, [{"function": {"name": "a"}}, {"function": {"name": "b"}}]) == begun

    @pytest.mark.parametrize("choice", ["c", {"type": "any"}, {"function": "b"}, 7, ["b"]])
    def test_a_choice_of_no_tool_is_refused(self, choice: object) -> None:
        with pytest.raises(InvalidInput, match="there is no tool"):
            forced_call(choice, [{"function": {"name": "a"}}, {"function": {"name": "b"}}])

    def test_a_call_cannot_be_wanted_without_tools(self) -> None:
        with pytest.raises(InvalidInput, match="there is no tool 'any' to choose") as caught:
            forced_call("any", [])
        assert caught.value.way_out == "Offered: none."
