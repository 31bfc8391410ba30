"""What a model read is put beside what is known: it votes on pairs, code acts, and undo takes it back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.errors import BudgetReached, Conflict, EmbeddingError, InvalidInput, ModelError, NoModel, UndoBlocked
from agentmem.models.answer import text_of
from agentmem.models.pool import ModelPool
from agentmem.models.scripted import Scripted, ScriptedModel
from agentmem.models.settings import Privacy, Terms
from agentmem.records import Record
from agentmem_stores.thinking.reconcile import BESIDE, PAIRS
from agentmem_stores.thoughts import ThoughtMemory
from tests import thinking
from tests.fakes import TinyEmbedder
from tests.thinking import columns, day, fact, facts, holding, new_room, of, scripted, shown, think, thoughts, votes

house, room = thinking.house, thinking.room

LISBON = fact(1, "Ana", "lives in", "Lisbon", "I live in Lisbon")
PORTO = fact(1, "Ana", "moved to", "Porto", "my things are in Porto")


def tell(memory: Memory, vote: str | None = None, *, order: tuple[int, int] = (0, 5)) -> tuple[Record, Record]:
    """Two turns, each read in a run of its own; the second run's pair gets this vote."""
    first = memory.add("I live in Lisbon", speaker="Ana", at=day(order[0]))
    think(memory, scripted(extract=[facts(LISBON)]))
    second = memory.add("So my things are in Porto", speaker="Ana", at=day(order[1]))
    think(memory, scripted(extract=[facts(PORTO)], judge=[votes(vote)] if vote else []))
    return first, second


def by_text(memory: Memory) -> dict[str, Record]:
    return {record.text: record for record in thoughts(memory)}


def pairs_in(prompt: str) -> list[tuple[str, str]]:
    return re.findall(r'old: \S+ "(.*)"\n    new: \S+ "(.*)"', prompt)


# ── what a vote does ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_pain_07_what_changed_takes_the_place_of_what_was_in_whatever_words(room: Memory) -> None:
    """Elsewhere "moved to Porto" and "lives in Lisbon" stood side by side, and the answer was one or the other."""
    _, second = tell(room, "update")
    lisbon, porto = by_text(room)["Ana lives in Lisbon"], by_text(room)["Ana moved to Porto"]
    assert (lisbon.state, lisbon.replaced_by, lisbon.meta["superseded_by"]) == ("replaced", (), porto.id)
    assert (porto.state, porto.meta["judged"]) == ("live", {lisbon.id: "update"})
    assert porto.meta["judged_by"] == "scripted judge/1"
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}
    [told] = of(room).history("Ana", "lives in")
    assert (told.until, told.superseded_by) == (day(5), porto.id)
    kept = columns(of(room))
    of(room).rebuild()
    assert columns(of(room)) == kept
    assert columns(ThoughtMemory(room._opened.stores(room.bound).host)) == kept
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}

    room.forget(second.id)
    think(room)
    assert holding(room, "Ana") == {("ana", "lives in"): {"lisbon"}}
    assert room.get(lisbon.id).state == "live"
    room.restore(second.id)
    think(room)
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}


def test_undo_of_the_step_takes_the_vote_back(room: Memory) -> None:
    tell(room, "update")
    assert len({change.step for change in room.log(100) if change.cause.startswith("thought about")}) == 2
    room.undo()
    assert holding(room, "Ana") == {("ana", "lives in"): {"lisbon"}}
    [lisbon] = thoughts(room)
    assert (lisbon.state, "judged" in lisbon.meta) == ("live", False)
    kept = columns(of(room))
    of(room).rebuild()
    assert columns(of(room)) == kept
    room.redo()
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}


def test_it_goes_by_when_things_were_said_and_not_by_when_they_were_read(room: Memory) -> None:
    tell(room, "update", order=(5, 0))
    assert holding(room, "Ana") == {("ana", "lives in"): {"lisbon"}}
    assert by_text(room)["Ana moved to Porto"].meta["superseded_by"] == by_text(room)["Ana lives in Lisbon"].id


def test_what_is_told_again_later_ends_the_update(room: Memory) -> None:
    tell(room, "update")
    room.add("Back home: I live in Lisbon", speaker="Ana", at=day(9))
    model = scripted(extract=[facts(LISBON)], judge=[votes("update")])
    think(room, model)
    assert pairs_in(shown(model)[-1]) == [("Ana moved to Porto", "Ana lives in Lisbon")]
    assert holding(room, "Ana") == {("ana", "lives in"): {"lisbon"}}
    assert len(thoughts(room)) == 3


def test_the_same_in_other_words_confirms(room: Memory) -> None:
    first, second = tell(room, "same")
    lisbon, porto = by_text(room)["Ana lives in Lisbon"], by_text(room)["Ana moved to Porto"]
    assert (porto.state, porto.replaced_by) == ("replaced", (lisbon.id,))
    assert [source.record for source in lisbon.sources] == [first.id, second.id]
    assert holding(room, "Ana") == {("ana", "lives in"): {"lisbon"}}
    assert think(room, scripted()).summary == "nothing to do"
    room.forget(first.id)
    think(room)
    assert room.get(lisbon.id).state == "live", "the other turn says it too"
    room.undo(2)
    room.undo()
    assert [record.text for record in thoughts(room)] == ["Ana lives in Lisbon"]
    assert [source.record for source in thoughts(room)[0].sources] == [first.id]


def test_the_same_that_is_said_again_is_known_without_asking(room: Memory) -> None:
    tell(room, "same")
    third = room.add("Yes: my things are in Porto", speaker="Ana", at=day(8))
    model = scripted(extract=[facts(PORTO)])
    report = think(room, model)
    assert (len(model.asked), report.counts["judged"], report.counts["confirmed"]) == (1, 0, 1)
    lisbon = by_text(room)["Ana lives in Lisbon"]
    assert third.id in {source.record for source in lisbon.sources}
    assert [record.id for record in thoughts(room, "live")] == [lisbon.id]


def test_a_contradiction_leaves_both_and_waits_for_a_person(room: Memory) -> None:
    tell(room, "contradict")
    lisbon, porto = by_text(room)["Ana lives in Lisbon"], by_text(room)["Ana moved to Porto"]
    assert (lisbon.state, lisbon.tags, porto.state, porto.tags) == ("live", (), "live", ("review",))
    assert porto.meta["contradicts"] == lisbon.id
    room.tag(porto.id, remove=["review"])
    assert think(room, scripted()).summary == "nothing to do"
    assert room.get(porto.id).tags == ()


def test_what_is_unrelated_changes_nothing_and_is_asked_once(room: Memory) -> None:
    tell(room, "unrelated")
    assert {record.state for record in thoughts(room)} == {"live"}
    assert by_text(room)["Ana moved to Porto"].meta["judged"] == {by_text(room)["Ana lives in Lisbon"].id: "unrelated"}
    room.add("my things are in Porto", speaker="Ana", at=day(7))
    model = scripted(extract=[facts(PORTO)])
    think(room, model)
    assert len(model.asked) == 1, "it stands, and is confirmed"


def test_without_a_model_nothing_of_it_happens(room: Memory) -> None:
    room.add("I live in Lisbon. I have a house.", speaker="Ana", at=day(0))
    report = think(room)
    assert (report.counts["inserted"], report.counts["judged"]) == (1 + ("house" in str(thoughts(room))), 0)
    assert all("unjudged" not in record.meta and "by" not in record.meta for record in thoughts(room))


# ── which pairs, and what a model may say of them ────────────────────────────────────────────────────────────────────


def test_statements_of_one_run_are_put_beside_each_other_too(room: Memory) -> None:
    room.add("I live in Lisbon", speaker="Ana", at=day(0))
    room.add("Ben hums", speaker="Ben", at=day(1))
    room.add("So my things are in Porto", speaker="Ana", at=day(5))
    found = [LISBON, fact(2, "Ben", "likes", "humming", "Ben hums"), {**PORTO, "turn": 3}]
    model = scripted(extract=[facts(*found)], judge=[votes("update")])
    think(room, model)
    assert pairs_in(shown(model)[1]) == [("Ana lives in Lisbon", "Ana moved to Porto")], "each pair once, of one head"
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}
    assert len({change.step for change in room.log(50) if change.actor == "agentmem"}) == 1


def test_a_new_statement_is_put_beside_the_nearest_few(room: Memory) -> None:
    store = of(room)
    for n in range(10):
        store.insert("Ana", "saw", f"bird {n}", at=day(n))
    store.insert("Ana", "does not see", "anything", at=day(0), negated=True)
    store.insert("Ben", "saw", "bird 3 again", at=day(0))
    store.merge()
    room.load()
    room.add("I hear bird 3", speaker="Ana", at=day(20))
    model = scripted(extract=[facts(fact(1, "Ana", "hears", "bird 3", "I hear bird 3"))], judge=[votes()])
    think(room, model)
    listed = pairs_in(shown(model)[1])
    assert len(listed) == BESIDE
    assert all(new == "Ana hears bird 3" and old.startswith("Ana saw bird") for old, new in listed)
    [call] = [call for call in room.calls.listed() if call.role == "judge"]
    assert (call.prompt, len(call.cause.split())) == ("judge/1 json/1", BESIDE + 1)


class Down(TinyEmbedder):
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise EmbeddingError("it is down")


def test_without_vectors_the_words_decide_which_are_near(tmp_path: Path) -> None:
    with thinking.opened(Memory.open(tmp_path / "m", embedder=Down())) as memory:
        for n in range(10):
            of(memory).insert("Ana", "saw", f"bird {n}", at=day(n))
        memory.add("I hear bird 3", speaker="Ana", at=day(20))
        model = scripted(extract=[facts(fact(1, "Ana", "hears", "bird 3", "I hear bird 3"))], judge=[votes()])
        think(memory, model)
        assert pairs_in(shown(model)[1])[0] == ("Ana saw bird 3", "Ana hears bird 3")


def test_a_call_has_sixteen_pairs_at_most(room: Memory) -> None:
    turn = " ".join(f"word{n}" for n in range(12))
    room.add(turn, speaker="Ana")
    found = [fact(1, "Ana", f"verb{n}s", f"word{n}", f"word{n}") for n in range(12)]
    model = scripted(extract=[facts(*found)], judge=[votes(*["unrelated"] * PAIRS)] * 3)
    report = think(room, model)
    counts = [len(pairs_in(prompt)) for prompt in shown(model)[1:]]
    assert counts[:-1] == [PAIRS] * (len(counts) - 1)
    assert report.counts["judged"] == sum(counts) > PAIRS


def test_what_was_judged_before_a_judge_failed_is_not_asked_again(room: Memory) -> None:
    room.add(" ".join(f"word{n}" for n in range(12)), speaker="Ana")
    found = [fact(1, "Ana", f"verb{n}s", f"word{n}", f"word{n}") for n in range(12)]
    dead = ModelError("the line is dead", passing=True, wait=900.0)
    first = scripted(extract=[facts(*found)], judge=[votes(*["unrelated"] * PAIRS), dead])
    assert think(room, first).counts["judged"] == PAIRS
    second = scripted(judge=[votes()] * 9)
    think(room, second)
    asked = [frozenset(pair) for prompt in [*shown(first)[1:2], *shown(second)] for pair in pairs_in(prompt)]
    assert len(asked) == len(set(asked)) > PAIRS
    assert max(len(record.meta["judged"]) for record in thoughts(room)) <= BESIDE  # type: ignore[arg-type]
    assert think(room, scripted()).summary == "nothing to do"


@pytest.mark.parametrize(
    ("answer", "ignored"),
    [
        ('{"votes": [{"pair": 7, "vote": "update"}, {"pair": 2, "vote": "same"}]}', 2),
        ('{"votes": []}', 0),
    ],
)
def test_a_vote_on_no_pair_is_ignored_and_counted(room: Memory, answer: str, ignored: int) -> None:
    room.add("I live in Lisbon", speaker="Ana", at=day(0))
    think(room, scripted(extract=[facts(LISBON)]))
    room.add("So my things are in Porto", speaker="Ana", at=day(1))
    report = think(room, scripted(extract=[facts(PORTO)], judge=[answer]))
    assert (report.counts["judged"], report.counts["ignored"]) == (1, ignored)
    assert {record.state for record in thoughts(room)} == {"live"}


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (["nonsense"] * 3, None),
        ([ModelError("the line is dead", passing=True, wait=900.0)], ModelError),
        ([BudgetReached("used up")], BudgetReached),
        ([NoModel("not for this")], None),
    ],
)
def test_a_judge_that_cannot_be_asked_changes_nothing_and_is_asked_at_the_next_run(
    house: Memory, failure: list[Scripted], fault: type[ModelError] | None
) -> None:
    room = new_room(house)
    room.add("I live in Lisbon", speaker="Ana", at=day(0))
    think(room, scripted(extract=[facts(LISBON)]))
    room.add("So my things are in Porto", speaker="Ana", at=day(5))
    report = think(room, scripted(extract=[facts(PORTO)], judge=failure))
    if fault is None:
        assert report.fault is None or isinstance(failure[0], NoModel)
    else:
        assert isinstance(report.fault, ModelError)
    assert report.counts["inserted"] == 1
    assert {record.state for record in thoughts(room)} == {"live"}
    assert think(room).summary == "nothing to do", "without a model it goes on waiting"
    model = scripted(judge=[votes("update")])
    assert think(room, model).counts["judged"] == 1
    assert holding(room, "Ana") == {("ana", "moved to"): {"porto"}}
    assert think(room, scripted()).summary == "nothing to do"


def test_words_of_a_private_kind_are_judged_by_no_model_that_may_not_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
    with thinking.opened(Memory.open(tmp_path / "m", embedder=thinking.EMBEDDER)) as memory:
        memory.add("I live in Lisbon.", speaker="Ana", kind="diary", at=day(0))
        think(memory)
        memory.add("So my things are in Porto", speaker="Ana", at=day(5))
        near = scripted(extract=[facts(PORTO)])
        far = ScriptedModel([votes("update")], name="far")
        private = Privacy(kinds=frozenset({"diary"}))
        pool = ModelPool({"extract": near, "judge": far}, private=private, terms={"far": Terms(local=False)})
        report = memory.with_models(pool).consolidate("tim")["tim"]
        assert (far.asked, report.counts["judged"], report.fault) == ([], 0, None)
        assert len(holding(memory, "Ana")) == 2


def test_a_chain_of_votes_in_one_run_comes_out_in_order(room: Memory) -> None:
    """Faro updates what is the same as Porto: then it updates Porto, which stands for both."""
    room.add("I live in Porto", speaker="Ana", at=day(0))
    think(room, scripted(extract=[facts(fact(1, "Ana", "lives in", "Porto", "I live in Porto"))]))
    room.add("home is Porto, then home became Faro", speaker="Ana", at=day(5))
    found = [
        fact(1, "Ana", "has a home in", "Porto", "home is Porto"),
        fact(1, "Ana", "went to", "Faro", "became Faro"),
    ]

    def answer(messages: list[BaseMessage]) -> str:
        prompt = text_of(messages[0])
        if not prompt.startswith("Compare"):
            return facts(*found)
        named = {("lives", "home"): "same", ("home", "Faro"): "update", ("lives", "Faro"): "unrelated"}
        listed = pairs_in(prompt)
        return votes(*(next(v for (a, b), v in named.items() if a in old and b in new) for old, new in listed))

    think(room, ScriptedModel(answer))
    assert holding(room, "Ana") == {("ana", "went to"): {"faro"}}
    kept = columns(of(room))
    of(room).rebuild()
    assert columns(of(room)) == kept


# ── whatever was done ────────────────────────────────────────────────────────────────────────────────────────────────

VERDICTS = ["same", "update", "contradict", "unrelated"]
deeds = st.lists(
    st.tuples(st.sampled_from("turn turn turn forget restore undo redo edit think erase".split()), st.integers(0, 30)),  # noqa: SIM905
    min_size=3,
    max_size=14,
)


def judging(seed: int) -> Callable[[list[BaseMessage]], str]:
    """Every turn says where Ana is, in one of three ways; votes go by the words, so that they are always the same."""

    def answer(messages: list[BaseMessage]) -> str:
        prompt = text_of(messages[0])
        if prompt.startswith("Compare"):
            return votes(*(VERDICTS[(len(old) * 7 + len(new) + seed) % 4] for old, new in pairs_in(prompt)))
        lines = re.findall(r'\[(\d+)\] \S+ "Ana": "(\w+) (\w+)"', prompt)
        return facts(*(fact(int(n), "Ana", verb, city, f"{verb} {city}") for n, verb, city in lines))

    return answer


@given(deeds=deeds, seed=st.integers(0, 3))
@settings(max_examples=20)
def test_what_holds_is_derived_from_the_records_whatever_was_done(
    house: Memory, deeds: list[tuple[str, int]], seed: int
) -> None:
    memory = new_room(house)
    model = ScriptedModel(judging(seed))
    for verb, n in deeds:
        turns = [record for record in memory.records(states=("live", "forgotten")) if record.kind == "turn"]
        text = f"{['lives', 'stays', 'works'][n % 3]} {['Rome', 'Oslo', 'Lima', 'Ur'][n % 4]}"
        with suppress(UndoBlocked, Conflict, InvalidInput):
            match verb:
                case "turn":
                    memory.add(text, speaker="Ana", at=day(n))
                case "edit" if turns:
                    memory.edit(turns[n % len(turns)].id, text=text)
                case "forget" | "restore" if turns:
                    getattr(memory, verb)(turns[n % len(turns)].id)
                case "erase" if turns:
                    memory.forget(turns[n % len(turns)].id, hard=True)
                case "undo":
                    memory.undo()
                case "redo":
                    memory.redo()
                case "think":
                    think(memory, model)
    think(memory, model)
    head = memory.stats().head
    think(memory, model)
    assert memory.stats().head == head, "once is enough"
    store = of(memory)
    kept, held = columns(store), holding(memory, "Ana")
    store.rebuild()
    assert columns(store) == kept
    assert holding(memory, "Ana") == held
    live = [record for record in thoughts(memory, "live") if "superseded_by" in record.meta]
    assert live == []
    for record in thoughts(memory):
        for other, vote in record.meta.get("judged", {}).items():  # type: ignore[union-attr]
            both = [one for one in thoughts(memory) if one.id in (record.id, other)]
            if vote == "update" and len(both) == 2:
                assert not all(one.state == "live" for one in both), "the later of the two alone"
    assert memory.verify() == []
