"""A short memory rolls along a stream, and stays short, whatever comes and whatever a model says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from numpy.typing import NDArray

from agentmem.embedding import unit_rows
from agentmem.errors import BadOutput, InvalidInput, ModelError
from agentmem.models.answer import text_of
from agentmem.models.asking import BoundModels
from agentmem.models.pool import ModelPool
from agentmem.models.scripted import ScriptedModel
from agentmem.records import Scope
from agentmem_stores.rolling import PIECE, Edit, Passage, RecurrentSummarizer, RollingMemory
from agentmem_stores.summaries import words_in
from tests.chunked import NOON, Topics

MOST = 12 * 17 * 200 + 2 * PIECE  # characters that a model is ever shown, however long the stream
SOMEWHERE = Scope("somewhere")


def asking(model: ScriptedModel) -> BoundModels:
    pool = ModelPool(model)
    return BoundModels(pool, SOMEWHERE, lambda need: pool.choose(need, SOMEWHERE), None)


def edit(*drop: int, add: Sequence[str] = ()) -> str:
    """What a model answers."""
    return json.dumps(
        {
            "drop": [{"reason": f"{number} is settled", "number": number} for number in drop],
            "add": [{"reason": "it is new", "sentence": sentence} for sentence in add],
        }
    )


def loop(*answers: str | Exception, words: int = 200) -> tuple[RecurrentSummarizer, ScriptedModel]:
    model = ScriptedModel(list(answers), name="scripted:roll")
    return RecurrentSummarizer(asking(model), words=words), model


def shown(model: ScriptedModel) -> list[str]:
    return [text_of(messages[0]) for messages in model.asked]


def size(memory: RollingMemory) -> int:
    return sum(map(words_in, memory.sentences))


# ── by a model ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_says_what_goes_and_what_comes_and_why() -> None:
    summarizer, model = loop(edit(add=["Ana sails on Monday.", "Bo bakes."]), edit(2, add=["Bo  stopped\nbaking."]))
    first = summarizer.step(RollingMemory(), [Passage("I sail on Monday.", "Ana", NOON), Passage("I bake.", "Bo")])
    assert first.sentences == ("Ana sails on Monday.", "Bo bakes.")
    assert (first.by, first.prompt) == ("scripted:roll", "rolling/1")
    second = summarizer.step(first, "Bo bakes no more.", kinds=["note", "turn"])
    assert second.text == "Ana sails on Monday.\nBo stopped baking."
    assert second.edits == (
        Edit("drop", "Bo bakes.", "2 is settled"),
        Edit("add", "Bo stopped baking.", "it is new"),
    )
    assert second.kinds == ("note", "turn")
    assert first.sentences == ("Ana sails on Monday.", "Bo bakes."), "a memory is never altered"
    before, after = shown(model)
    assert '2024-05-01 "Ana": "I sail on Monday."\n"Bo": "I bake."' in before
    assert '1. "Ana sails on Monday."\n2. "Bo bakes."' in after
    assert "200 words" in after


def test_200_steps_are_shown_in_prompts_of_bounded_length_and_what_was_planted_stays_until_it_is_dropped() -> None:
    planted = "The key lies under the blue stone."

    def answer(messages: list[BaseMessage]) -> str:
        text = text_of(messages[0])
        step = int(re.findall(r"chapter (\d+)", text)[-1])
        memory = re.findall(r'^(\d+)\. "(.*)"$', text, re.MULTILINE)
        found = {told: int(number) for number, told in memory}
        drop = [number for told, number in found.items() if told != planted][:-4]
        if step == 150:
            drop.append(found[planted])
        told = f"In chapter {step} the sailors {'row and ' * (step % 6)}rest."
        return edit(*drop, add=[planted, told] if step == 3 else [told])

    model = ScriptedModel(answer)
    summarizer = RecurrentSummarizer(asking(model), words=120)
    memory, held = RollingMemory(), []
    for step in range(1, 201):
        memory = summarizer.step(memory, f"This is chapter {step}. " + "The sea goes on and on. " * (step % 50))
        assert size(memory) <= 120
        assert RollingMemory.from_json(json.loads(json.dumps(memory.to_json()))) == memory
        if planted in memory.sentences:
            held.append(step)
        if step == 150:
            assert Edit("drop", planted, f"{memory_number(model)} is settled") in memory.edits
    assert held == list(range(3, 150))
    lengths = [len(text) for text in shown(model)]
    assert max(lengths) <= MOST
    assert max(lengths[100:]) <= max(lengths[:100]) + 10, "it does not grow with the stream"
    assert len(lengths) == 200


def memory_number(model: ScriptedModel) -> int:
    """Under which number the planted sentence was last shown."""
    [number] = re.findall(r'^(\d+)\. "The key lies', shown(model)[-1], re.MULTILINE)
    return int(number)


def test_what_has_no_room_is_cut_by_sentence_the_oldest_first_and_that_is_told() -> None:
    long = [f"{name} " + "sea " * 9 for name in ("One", "Two", "Three", "Four")]
    summarizer, _ = loop(edit(add=["A first one."]), edit(add=long), edit(add=["sea " * 31, "It fits."]), words=30)
    memory = summarizer.step(RollingMemory(), "The sea.")
    memory = summarizer.step(memory, "More of the sea.")
    assert [told.split()[0] for told in memory.sentences] == ["Two", "Three", "Four"]
    assert memory.cut == 2
    assert [(one.deed, one.sentence.split()[0]) for one in memory.edits] == [
        *(("drop", name) for name in ("A", "One")),
        *(("add", name) for name in ("Two", "Three", "Four")),
    ]
    assert memory.edits[0].reason == "there is room for 30 words"
    memory = summarizer.step(memory, "And more.")
    assert (memory.refused, memory.cut) == (1, 1), "one that has no room by itself pushes out no others"
    assert memory.sentences[-1] == "It fits."


def test_what_a_model_says_is_checked() -> None:
    summarizer, _ = loop(edit(add=["Ana sails."]), edit(2, 7, add=["ana SAILS.", "There are 77 ships.", "Bo bakes 3."]))
    memory = summarizer.step(RollingMemory(), "I sail.")
    memory = summarizer.step(memory, [Passage("Bo bakes.", None, NOON.replace(day=3))])
    assert memory.sentences == ("Ana sails.", "Bo bakes 3.")
    assert (memory.ignored, memory.refused, memory.cut) == (3, 1, 0)


@pytest.mark.parametrize("answer", ["", "no", '{"drop": [{"number": 0, "reason": "x"}], "add": []}', '{"drop": []}'])
def test_an_answer_that_cannot_be_used_leaves_the_memory_as_it_was(answer: str) -> None:
    summarizer, model = loop(edit(add=["Ana sails."]), answer, answer, answer, edit(1))
    memory = summarizer.step(RollingMemory(), "I sail.")
    before = memory.to_json()
    with pytest.raises(BadOutput):
        summarizer.step(memory, "I bake.")
    assert memory.to_json() == before
    assert len(model.asked) == 4, "it was told what is wrong, and asked again, and no more"
    assert summarizer.step(memory, "I bake.").sentences == ()


def test_a_long_text_is_taken_in_piece_by_piece_and_whole_or_not_at_all() -> None:
    def answer(messages: list[BaseMessage]) -> str:
        if fail and len(model.asked) == fail:
            raise ModelError("it is down")
        words = re.findall(r"w\d+", text_of(messages[0]).split("The new text:")[1])
        heard.extend(words)
        return edit(add=[f"Heard {words[-1]}."])

    fail, heard, model = 0, list[str](), ScriptedModel(answer)
    summarizer = RecurrentSummarizer(asking(model))
    text = " ".join(f"w{n}" for n in range(30_000))
    memory = summarizer.step(RollingMemory(), text)
    assert heard == text.split(), "all of it, in order, once"
    assert max(map(len, shown(model))) <= MOST
    assert len(model.asked) > 32
    assert len(memory.edits) == 32, "the last of what was done is told"
    assert memory.edits[-1].sentence == "Heard w29999."
    model.asked.clear()
    fail = 3
    with pytest.raises(ModelError, match="it is down"):
        summarizer.step(memory, text + "!")


@pytest.mark.parametrize(
    "sign", ["\x01", "<", "\U000e0001", "字", "🙂", '"', "\n", "a"], ids=lambda sign: f"U+{ord(sign):04X}"
)
def test_what_a_model_is_shown_is_bounded_whatever_the_signs(sign: str) -> None:
    summarizer, model = loop(*[edit()] * 400)
    memory = RollingMemory((sign * 100_000, *[f"{sign * 30} {n}" for n in range(300)], f"a{' ' * 10**5}b"))
    said = [Passage(sign * 10_000, sign * 10_000, NOON), Passage("Well.", "Ana")]
    summarizer.step(memory, said)
    assert max(map(len, shown(model))) <= MOST
    assert all(text.count("\n") < 400 for text in shown(model)), "nothing leaves its line"
    assert '"Ana": "Well."' in shown(model)[-1]


def test_nothing_said_is_nothing_to_do() -> None:
    summarizer, model = loop()
    memory = RollingMemory(("Ana sails.",))
    assert summarizer.step(memory, " \n ").sentences == memory.sentences
    assert summarizer.step(memory, []).edits == ()
    assert model.asked == []


@pytest.mark.parametrize("text", [3, ["a"], "a\0b", [Passage("half \ud800")], None])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput):
        RecurrentSummarizer().step(RollingMemory(), text)


# ── without one ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_model_the_sentences_stay_that_say_most_each_with_a_plain_reason() -> None:
    summarizer = RecurrentSummarizer(words=24)
    memory = summarizer.step(RollingMemory(), [Passage("We put out to sea at noon. Hm.", "Ana")])
    assert memory.sentences == ("Ana: We put out to sea at noon.",)
    assert memory.edits == (Edit("add", memory.text, "it says much of what was said"),)
    assert (memory.by, memory.prompt) == ("extract", "")
    of_the_sea = [f"The ship put out to sea, and the sea was {how}." for how in ("rough", "calm", "wide")]
    said = [Passage(" ".join(of_the_sea), "Ana"), Passage("My choir sings on Monday.", "Bo")]
    after = summarizer.step(memory, said)
    assert size(after) <= 24
    dropped = [one.sentence for one in after.edits if one.deed == "drop"]
    added = [one.sentence for one in after.edits if one.deed == "add"]
    assert set(after.sentences) == {*memory.sentences, *added} - {*dropped}
    assert all(one.reason for one in after.edits)
    assert any("sea" in told for told in after.sentences)
    assert summarizer.step(memory, said) == after, "the same gives the same"


def test_without_a_model_a_book_is_taken_in_to_its_end() -> None:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        seen.update(texts)
        return unit_rows(Topics().embed(texts))

    seen = set[str]()
    book = [f"On day {n} the crew of the ship saw another island in the sea." for n in range(2_000)]
    memory = RecurrentSummarizer(words=60, embed=embed).step(RollingMemory(), " ".join(book))
    assert seen == set(book)
    assert 40 < size(memory) <= 60
    assert RecurrentSummarizer().step(memory, "Hm. Well, yes.").sentences == memory.sentences, "that says nothing"
    assert RecurrentSummarizer().step(RollingMemory(), "Hm. Well, yes.").sentences == ("Hm.", "Well, yes.")


SAID = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)


@settings(max_examples=40)
@given(texts=st.lists(SAID, max_size=5), words=st.integers(1, 40))
def test_a_memory_is_short_and_of_the_texts_own_words_and_tells_all_that_was_done(texts: list[str], words: int) -> None:
    summarizer, memory = RecurrentSummarizer(words=words), RollingMemory()
    for text in texts:
        before, memory = memory, summarizer.step(memory, text)
        assert size(memory) <= words
        told = {one.sentence for one in memory.edits if one.deed == "add"}
        dropped = {one.sentence for one in memory.edits if one.deed == "drop"}
        assert set(memory.sentences) == ({*before.sentences} | told) - dropped
        assert RollingMemory.from_json(json.loads(json.dumps(memory.to_json()))) == memory
    assert set("".join(memory.text.split())) <= set("".join(texts))


# ── as a value ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(text=SAID, known=st.lists(SAID, max_size=3))
def test_a_memory_of_a_text_says_it_each_sentence_once(text: str, known: list[str]) -> None:
    memory = RollingMemory.of(text, known)
    assert len(set(memory.sentences)) == len(memory.sentences)
    assert {*"".join(memory.text.split())} == {*"".join(text.split())}
    assert RollingMemory.of(memory.text, memory.sentences).sentences == memory.sentences


def test_a_known_sentence_is_one_and_what_somebody_wrote_is_cut_into_its_own() -> None:
    memory = RollingMemory.of("Dr. Ana sails.\nI bake. You sing.\n\n", known=["Dr. Ana sails."], kinds={"turn"})
    assert memory.sentences == ("Dr. Ana sails.", "I bake.", "You sing.")
    assert memory.kinds == ("turn",)


@pytest.mark.parametrize(
    "body",
    [
        {"sentences": "Ana"},
        {"sentences": [1]},
        {"cut": -1},
        {"edits": [{"deed": "add"}]},
        {"edits": "no"},
        {"by": 3},
        [],
        {"sentences": ["a\0"]},
    ],
)
def test_what_is_no_memory_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        RollingMemory.from_json(body)


def test_what_is_unknown_travels_along() -> None:
    assert RollingMemory.from_json({"mood": "calm"}).to_json() == {"mood": "calm"}
