"""What a model reads out of turns: in few calls, checked word by word, and never twice; what it cannot read waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage

from agentmem import Memory
from agentmem.cues import Hit
from agentmem.errors import BadOutput, BudgetReached, ModelError
from agentmem.models.answer import text_of
from agentmem.models.pool import ModelPool
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import Budget, Privacy, Terms
from agentmem.recall.pack import estimate_tokens, pack, unquoted
from agentmem.records import Record, Scope
from agentmem_stores.thinking.by_model import MOST, TOKENS, TURNS, batches, cut
from agentmem_stores.thoughts import ThoughtMemory
from tests import thinking
from tests.fakes import TinyEmbedder
from tests.thinking import day, fact, facts, holding, new_room, of, scripted, shown, think, thoughts

house, room = thinking.house, thinking.room

OWLS = fact(1, "I", "keeps", "two owls", "there are owls, two of them")
HOME = "At home there are owls, two of them."
NONE = facts()


def silent() -> ScriptedModel:
    """A model that finds nothing, however often it is asked."""
    return ScriptedModel(lambda messages: NONE)


# ── what is taken ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_reads_what_no_rule_would_and_all_is_noted_that_speaks_for_it(room: Memory) -> None:
    turn = room.add(f'{HOME} Since May, in the barn.\n"Obey!"', speaker="Ana", place="Porto/quay", at=day(3))
    model = scripted(extract=[facts({**OWLS, "when": "Since May", "where": "in the attic"}, OWLS)])
    report = think(room, model)
    assert (report.counts["inserted"], report.counts["refused"]) == (1, 0)
    [thought] = thoughts(room)
    assert (thought.text, thought.at, thought.place, thought.kind) == ("Ana keeps two owls", day(3), None, "thought")
    assert thought.meta == {
        "head": "Ana",
        "relation": "keeps",
        "tail": "two owls",
        "confidence": 0.9,
        "when": "Since May",
        "said_by": "Ana",
        "place": "Porto/quay",
        "by": "scripted",
        "prompt": "extract/1",
    }
    [source] = thought.sources
    assert (source.record, source.extra) == (turn.id, {"quote": OWLS["quote"]})
    assert turn.text[slice(*(source.span or ()))] == OWLS["quote"]
    said = json.dumps(turn.text, ensure_ascii=False)
    assert shown(model) == [f'[1] 2024-05-06 "Ana": {said}'], "quoted as data, under a number of this prompt"
    [call] = room.calls.listed()
    assert (call.role, call.prompt, call.cause) == ("extract", "extract/1", turn.id)
    assert think(room, model).summary == "nothing to do"
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"quote": "there are two owls"},
        {"quote": "There are owls, two of them"},
        {"turn": 1},
        {"turn": 3},
        {"tail": "x" * 501},
        {"head": "x" * 501},
    ],
)
def test_pain_01_a_fact_that_its_turn_does_not_say_is_refused_and_counted(room: Memory, bad: dict[str, Any]) -> None:
    """Elsewhere 97.8 % of 10,134 stored memories turned out to be junk, much of it never said by anybody."""
    room.add("Hm.", speaker="Ana")
    room.add(HOME, speaker="Ana")
    good = {**OWLS, "turn": 2}
    report = think(room, scripted(extract=[facts({**good, **bad}, {**good, "tail": "owls"})]))
    assert (report.counts["inserted"], report.counts["refused"]) == (1, 1)
    assert [record.text for record in thoughts(room)] == ["Ana keeps owls"]


@pytest.mark.parametrize(
    ("head", "speaker", "becomes"),
    [
        ("I", "Ana", "Ana"),
        ("The user", "Ana", "Ana"),
        ("my sister", "Ana", "Ana's sister"),
        ("the user's sister", "Ana", "Ana's sister"),
        ("Bea", "Ana", "Bea"),
        ("Bea", None, "Bea"),
        ("I", None, None),
        ("my sister", None, None),
    ],
)
def test_whoever_speaks_is_called_by_name(room: Memory, head: str, speaker: str | None, becomes: str | None) -> None:
    room.add(HOME, speaker=speaker)
    report = think(room, scripted(extract=[facts({**OWLS, "head": head})]))
    assert [record.meta["head"] for record in thoughts(room)] == ([becomes] if becomes else [])
    assert report.counts["refused"] == (not becomes)


def test_a_model_may_give_no_more_facts_than_are_read(room: Memory) -> None:
    room.add(HOME, speaker="Ana")
    report = think(room, scripted(extract=[facts(*(fact(1, "I", "keeps", f"owl {n}", "owls") for n in range(14)))]))
    assert (report.counts["inserted"], report.counts["refused"]) == (MOST, 14 - MOST)


def test_pain_17_what_was_said_keeps_its_language(room: Memory) -> None:
    """Elsewhere facts came out in English, whatever was spoken, and were not found by those who had said them."""
    told = [
        ("Ana", "Moro no Porto desde maio, com dois gatos.", "mora em", "Porto", "Moro no Porto"),
        ("Yuki", "大阪に住んでいます。猫が二匹います。", "住んでいる", "大阪", "大阪に住んでいます"),
        ("Jörg", "Ich wohne nicht mehr in Köln, sondern bei Bonn.", "wohnt in", "Köln", "nicht mehr in Köln"),
        ("Ana", "Trabalho de noite no hospital.", "trabalha como", "enfermeira", "Trabalho de noite no hospital"),
    ]
    for n, (speaker, text, *_) in enumerate(told):
        room.add(text, speaker=speaker, at=day(n))
    found = [
        fact(n, head, relation, tail, quote, negated=relation == "wohnt in")
        for n, (head, _, relation, tail, quote) in enumerate(told, 1)
    ]
    report = think(room, scripted(extract=[facts(*found)], judge=[thinking.votes("unrelated")]))
    assert report.counts["refused"] == 0, "what only follows from the words is a fact too, if it quotes them"
    assert sorted(record.text for record in thoughts(room)) == sorted(
        ["Ana mora em Porto", "Yuki 住んでいる 大阪", "not: Jörg wohnt in Köln", "Ana trabalha como enfermeira"]
    )
    quotes = {source.extra["quote"] for record in thoughts(room) for source in record.sources}
    assert quotes == {quote for *_, quote in told}


def test_pain_20_from_a_thought_to_its_words_and_back(room: Memory) -> None:
    """Elsewhere nobody could say where a memory came from, nor take back what was made from a deleted one."""
    turns = [room.add(text, speaker="Ana", at=day(n)) for n, text in enumerate([HOME, "Yes, the owls: two of them!"])]
    found = [OWLS, fact(2, "Ana", "keeps", "two owls", "the owls: two of them")]
    think(room, scripted(extract=[facts(*found)]))
    [thought] = thoughts(room)
    for source in thought.sources:
        assert source.record is not None
        words = room.get(source.record).text[slice(*(source.span or ()))]
        assert words == source.extra["quote"]
    for turn in turns:
        assert room.descendants(turn.id) == [thought]
    room.forget(turns[0].id)
    think(room)
    assert room.get(thought.id).state == "live", "the other turn says so too"
    room.forget(turns[1].id)
    assert think(room).counts["trashed"] == 1
    assert room.get(thought.id).state == "forgotten"
    room.restore(turns[0].id)
    think(room)
    assert room.get(thought.id).state == "live"


# ── how often a model is asked ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("length", "calls"), [(40, 32), (80, 16), (200, 7), (500, 4), (2_500, 4), (10_000, 3)])
def test_pain_18_ten_thousand_characters_take_a_few_calls(house: Memory, length: int, calls: int) -> None:
    """Elsewhere 10,000 characters took a dozen calls and many minutes, and each message two calls and more.

    Eight turns or 1,500 tokens a call: 7 calls for turns of 200 characters. By rules it takes none.
    """
    memory = new_room(house)
    sentence = "We walked along the quay and talked. "
    for n in range(10_000 // length):
        memory.add((sentence * (length // len(sentence) + 1))[:length], speaker="Ana", at=day(n))
    model = silent()
    while think(memory, model).counts["waiting"]:
        pass
    assert len(model.asked) == calls
    assert all(prompt.count("\n") < TURNS for prompt in shown(model))


@given(
    texts=st.lists(
        st.text('ab.! \n"茶é\x07', min_size=1, max_size=60).map(lambda text: text * 40) | st.text("a b", max_size=9),
        max_size=20,
    )
)
@settings(max_examples=60)
def test_turns_are_cut_and_gathered_without_losing_a_word(texts: list[str]) -> None:
    turns = [Record.create(text, scope=Scope("s")) for text in texts if text.strip()]
    parts = [part for turn in turns for part in cut(turn, turn.text)]
    for part in parts:
        assert part.turn.text[part.start :].startswith(part.words)
    for turn in turns:
        said = "".join(part.words for part in parts if part.turn is turn)
        assert "".join(said.split()) == "".join(turn.text.split())
    gathered = list(batches(parts))
    assert [part for batch in gathered for part in batch] == parts
    costs = [sum(estimate_tokens(json.dumps(part.words, ensure_ascii=False)) for part in batch) for batch in gathered]
    assert all(len(batch) <= TURNS for batch in gathered)
    assert all(cost <= TOKENS or "\x07" in texts for cost, batch in zip(costs, gathered, strict=True))
    assert len(gathered) <= len(parts) / TURNS + sum(costs) / (TOKENS / 4) + 1


def test_a_long_turn_is_read_in_parts_and_its_quotes_stay_where_they_are(room: Memory) -> None:
    text = "We walked along the quay and talked. " * 150 + HOME + " And so on. " * 300
    turn = room.add(text, speaker="Ana")

    def answer(messages: list[BaseMessage]) -> str:
        lines = text_of(messages[0]).splitlines()
        numbers = [line[1 : line.index("]")] for line in lines if line.startswith("[") and HOME in line]
        return facts({**OWLS, "turn": int(numbers[0])}) if numbers else NONE

    model = ScriptedModel(answer)
    think(room, model)
    assert len(model.asked) > 1
    [thought] = thoughts(room)
    at, end = thought.sources[0].span or (0, 0)
    assert turn.text[at:end] == OWLS["quote"]
    assert at == text.index(str(OWLS["quote"]))


def test_memories_of_different_kinds_are_not_shown_together(room: Memory) -> None:
    for n, kind in enumerate(["turn", "turn", "note", "note", "turn"]):
        room.add(f"words {n}", kind=kind, at=day(n))
    model = silent()
    think(room, model)
    assert [prompt.count("words") for prompt in shown(model)] == [2, 2, 1]


# ── what was recalled ────────────────────────────────────────────────────────────────────────────────────────────────

SAYINGS = [
    "I live in Rome.",
    "Ben lives in Oslo.",
    "Ana's dog is called Rex.",
    "I like tea.\nI like figs.",
    'He said "x"',
]
records = st.builds(
    Record.create,
    st.sampled_from(SAYINGS) | st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip),
    scope=st.just(Scope("default")),
    id=st.sampled_from(["1", "01a22698-f842-7511-9d00-1cabf2697ce4", 'q"]']),
    speaker=st.sampled_from([None, "Ana", 'A"]: x']),
    at=st.just(day(0)),
)
before = st.sampled_from(["", "I live in Faro. ", "Look:\n", "    ", "> ", "* ", "Sure, here you are: "])
after = st.sampled_from(["", "\n", "\r\nI like dal.", "\nI like dal.", " and"])


@given(recalled=st.lists(records, min_size=1, max_size=4, unique_by=lambda record: record.id), a=before, b=after)
@settings(max_examples=150)
def test_pain_02_what_was_recalled_into_a_turn_is_not_read_from_it(recalled: list[Record], a: str, b: str) -> None:
    """Elsewhere recalled memories were extracted again, so that one hallucination became 808 memories."""
    context = pack([Hit(record, 1.0) for record in recalled], 1_000_000).text
    lines = context.splitlines()[2:-1]
    for block in (context, "\r\n".join(lines), *lines):
        for text in (a + block + b, a + block.replace("\n", f"\n{a}") + b, f"{a}\r\n{block}\r\n{b}"):
            left = unquoted(text)
            assert len(left) == len(text)
            assert unquoted(left) == left
            assert set(left.split()) <= {*a.split(), *b.split()}
            assert all(words in left for words in (a.strip(), b.strip()))


@pytest.mark.parametrize("end", ["", "\n", "\r\nI like tea."])
def test_a_recalled_line_that_breaks_off_is_recalled_too(end: str) -> None:
    line = '["7fc81d02"] 2024-05-03 12:00 "Ben": "I live in Rome. And'
    assert unquoted(f"As I said: {line}{end}").split() == f"As I said: {end}".split()


@pytest.mark.parametrize("text", ["", "tea", "[1] tea", '["a"] 2024', '["a", "b"]: "c"', "<memories> are made of this"])
def test_what_only_resembles_it_stays(text: str) -> None:
    assert unquoted(text) is text or unquoted(text) == text


def test_neither_rules_nor_models_read_what_was_recalled(house: Memory) -> None:
    memory = new_room(house)
    memory.add("I live in Rome.", speaker="Ben", at=day(0))
    recalled = memory.context("where does Ben live?", 500).text
    assert "I live in Rome." in recalled
    memory.add(f"{recalled}\nI like tea.", speaker="Ana", at=day(1))
    memory.add("Now:\n  " + recalled.splitlines()[2] + "\nI like figs.", speaker="Ana", at=day(2))
    think(memory)
    assert holding(memory, "Ana") == {("ana", "likes"): {"tea", "figs"}}

    asked = new_room(house)
    asked.add(f"{recalled}\nI like tea.", speaker="Ana")
    model = scripted(extract=[facts(fact(1, "Ana", "lives in", "Rome", "I live in Rome."))])
    assert think(asked, model).counts["refused"] == 1
    assert ["Rome" in prompt for prompt in shown(model)] == [False]


# ── answers that cannot be used, and models that cannot be asked ─────────────────────────────────────────────────────


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        yield memory


def test_pain_05_a_turn_that_could_not_be_read_stays_and_is_read_later(memory: Memory) -> None:
    """Elsewhere an answer that did not parse meant that a turn was lost, and nobody was told."""
    turn = memory.add(HOME, speaker="Ana")
    report = memory.with_models(ScriptedModel(lambda messages: "I found none.")).consolidate("thoughts")["thoughts"]
    assert (report.unread, report.counts["unread"], report.fault) == ((turn.id,), 1, None)
    assert turn.id in report.summary
    assert memory.get(turn.id) == turn
    assert [change.verb for change in memory.history(turn.id)] == ["add", "unread", "think"]
    assert memory.consolidate("thoughts")["thoughts"].summary == "nothing to do", "it is not read at every run"
    [job] = memory.jobs.listed("waiting")
    assert (job.kind, job.payload) == ("extract", {"turns": [turn.id]})

    store = memory.stores["thoughts"]
    assert isinstance(store, ThoughtMemory)
    head = memory.stats().head
    with pytest.raises(BadOutput, match=turn.id):
        store.reread([turn.id], memory.with_models(ScriptedModel(lambda messages: "{")).models)
    assert memory.stats().head == head
    good = memory.with_models(ScriptedModel(lambda messages: facts(OWLS))).models
    assert store.reread([turn.id], good).counts["inserted"] == 1
    assert [record.text for record in thoughts(memory)] == ["Ana keeps two owls"]
    head = memory.stats().head
    assert store.reread([turn.id], good).counts["unchanged"] == 1
    assert memory.stats().head == head, "once is enough"
    assert memory.consolidate("thoughts")["thoughts"].summary == "nothing to do"
    memory.undo()
    assert thoughts(memory) == []


def test_of_several_that_are_read_again_the_good_ones_count(room: Memory) -> None:
    turns = [room.add(text, speaker="Ana", at=day(n)) for n, text in enumerate(["poison", HOME])]

    def answer(messages: list[BaseMessage]) -> str:
        return "no" if "poison" in text_of(messages[0]) else facts(OWLS)

    with pytest.raises(BadOutput, match=turns[0].id):
        of(room).reread([turn.id for turn in turns], room.with_models(ScriptedModel(answer)).models)
    assert [record.text for record in thoughts(room)] == ["Ana keeps two owls"]


@pytest.mark.parametrize("poisoned", [{0}, {7}, {3, 4}, set(range(8))])
def test_a_turn_that_no_answer_fits_costs_the_others_nothing(house: Memory, poisoned: set[int]) -> None:
    room = new_room(house)
    turns = [
        room.add("poison" if n in poisoned else f"tea {n}, always tea {n}", speaker="Ana", at=day(n)) for n in range(8)
    ]

    def answer(messages: list[BaseMessage]) -> str:
        if "poison" in text_of(messages[0]):
            return "I would rather not."
        lines = [line for line in text_of(messages[0]).splitlines() if "always tea" in line]
        numbers = [(int(line[1 : line.index("]")]), line[line.index("tea ") :][:5]) for line in lines]
        return facts(*(fact(number, "Ana", "drinks", tea, tea) for number, tea in numbers))

    model = ScriptedModel(answer)
    report = think(room, model)
    assert report.unread == tuple(turns[n].id for n in sorted(poisoned))
    questions = {shown(model)[i] for i in range(len(model.asked))}
    assert len(questions) <= 2 * len(turns) - 1
    drunk = {tail for thought in of(room).current("Ana") for tail in thought.tails}
    assert drunk == {f"tea {n}" for n in range(8)} - {f"tea {n}" for n in poisoned}
    assert [room.history(turn.id)[-1].verb == "unread" for turn in turns[:-1]] == [n in poisoned for n in range(7)]


@pytest.mark.parametrize(
    "fault",
    [
        ModelError("the line is dead", passing=True, wait=900.0),
        ModelError("the key is wrong"),
        BudgetReached("the day's tokens are used up"),
    ],
)
def test_pain_24_when_a_model_cannot_be_asked_the_rest_waits_and_nothing_failed(
    memory: Memory, fault: ModelError
) -> None:
    """Elsewhere a rate limit made whole conversations fail, and they were not tried again."""
    turns = [memory.add(f"tea {n}, always tea", speaker="Ana", at=day(n)) for n in range(20)]
    first = facts(*(fact(n, "Ana", "drinks", f"tea {n - 1}", f"tea {n - 1}") for n in range(1, 9)))
    report = memory.with_models(scripted(extract=[first, fault])).consolidate("thoughts")["thoughts"]
    assert (report.counts["inserted"], report.counts["waiting"], report.unread) == (8, 1, ())
    assert report.fault is not None
    assert str(fault) in str(report.fault)
    assert str(fault) in report.summary
    assert memory.jobs.listed() == []
    assert {change.verb for turn in turns for change in memory.history(turn.id)} == {"add", "think"}
    model = silent()
    report = memory.with_models(model).consolidate("thoughts")["thoughts"]
    assert (report.counts["waiting"], report.fault) == (0, None)
    assert "tea 8" in shown(model)[0]
    assert "tea 7" not in shown(model)[0], "what was read is not read again"


def test_a_budget_ends_a_run_where_it_is_reached(memory: Memory) -> None:
    for n in range(24):
        memory.add(f"tea {n}", speaker="Ana", at=day(n))
    pool = ModelPool(silent(), budgets={None: Budget(tokens=4_000)})
    report = memory.with_models(pool).consolidate("thoughts")["thoughts"]
    assert isinstance(report.fault, BudgetReached)
    assert report.counts["waiting"] == 1
    assert 0 < memory.calls.usage()[0].calls < 3


def test_what_no_model_may_see_is_read_by_rules(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
    memory.add("I live in Rome.", speaker="Ana", kind="diary", at=day(0))
    memory.add("I like tea.", speaker="Ana", at=day(1))
    model = scripted(extract=[facts(fact(1, "Ana", "drinks", "tea", "tea"))])
    private = Privacy(kinds=frozenset({"diary"}))
    pool = ModelPool(model, private=private, terms={"scripted": Terms(local=False)})
    report = memory.with_models(pool).consolidate("thoughts")["thoughts"]
    assert report.fault is None
    assert sorted(record.text for record in thoughts(memory)) == ["Ana drinks tea", "Ana lives in Rome"]
    assert all("Rome" not in prompt for prompt in shown(model)), "nor is it shown to one that judges"


def test_models_that_do_not_extract_leave_it_to_the_rules(memory: Memory) -> None:
    memory.add_many({"text": f"I like dish number {n}.", "speaker": "Ana", "at": day(n)} for n in range(210))
    report = memory.with_models({"reply": silent()}).consolidate("thoughts")["thoughts"]
    assert (report.counts["inserted"], report.counts["waiting"], report.fault) == (210, 0, None)


def test_a_run_asks_about_so_many_turns_and_the_rest_waits(room: Memory) -> None:
    for n in range(205):
        room.add(f"tea {n}", at=day(n))
    model = silent()
    assert think(room, model).counts["waiting"] == 1
    assert len(model.asked) == 25
    assert think(room, model).counts["waiting"] == 0
    assert len(model.asked) == 26
