"""Of each conversation one short memory, which goes on with it and holds no word of what is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.errors import AgentMemError
from agentmem.models.scripted import ScriptedModel
from agentmem.records import Record, Source
from agentmem_stores import rolling_run
from agentmem_stores.rolling_run import BY_EXTRACT, BY_MODEL, SOURCES
from agentmem_stores.rolling_summaries import LEAST, RollingSummaries
from agentmem_stores.summaries import words_in
from tests import rolled
from tests.rolled import TOKEN, asked, keeping, numbers, rest, store, summary, tell, token, tokens, written

memory, opened, houses = rolled.memory, rolled.opened, rolled.houses

# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_conversation_of_more_than_a_few_turns_has_one_summary_that_goes_on_with_it(memory: Memory) -> None:
    told = tell(memory, LEAST - 1, speaker="Ana")
    tell(memory, 20, session=None)
    assert rest(memory).summary == "nothing to do"
    assert store(memory).of("trip") is None
    told += tell(memory, 1, speaker="Bo", place="harbour")
    report = rest(memory)
    assert (report.counts["written"], report.counts["turns"], report.counts["waiting"]) == (1, LEAST, 0)
    first = summary(memory)
    assert written(memory) == [first]
    assert (first.kind, first.session, first.at) == ("summary", "trip", told[0].at)
    assert first.text == "\n".join(f"They spoke of {word}." for word in tokens(*told))
    assert first.sources == tuple(Source(record=one.id, span=(0, len(one.text))) for one in told)
    assert first.meta["rolling"] is True
    assert first.meta["sentences"] == first.text.split("\n")
    assert first.meta["until"] == told[-1].position
    assert (first.meta["by"], first.meta["prompt"]) == ("scripted:keeping", "rolling/1")
    told += tell(memory, 3)
    report = rest(memory)
    assert (report.counts["renewed"], report.counts["turns"], report.counts["by a model"]) == (1, 3, 3)
    second = summary(memory)
    assert (second.id, second.revision) == (first.id, 2)
    assert tokens(second) == tokens(*told)[-8:]
    assert second.meta["changes"] == [
        *({"deed": "drop", "sentence": f"They spoke of {word}.", "reason": "long ago"} for word in tokens(*told)[:3]),
        *({"deed": "add", "sentence": f"They spoke of {word}.", "reason": "it is new"} for word in tokens(*told)[-3:]),
    ]
    assert rest(memory).summary == "nothing to do"
    assert [memory.get(one.id) for one in told] == told, "the archive is untouched"
    assert {change.actor for change in memory.history(second.id)} == {"agentmem"}
    [before, after] = asked(memory)
    assert '"Ana": "We spoke of' in before
    assert '"Bo"' not in after, "what was taken in is not shown again"


def test_conversations_are_summed_up_apart_in_one_step(memory: Memory) -> None:
    trip, home = tell(memory, 10), tell(memory, 12, session="home")
    rest(memory)
    assert tokens(summary(memory)) == tokens(*trip)[-8:]
    assert tokens(summary(memory, "home")) == tokens(*home)[-8:]
    assert len({change.step for one in written(memory) for change in memory.history(one.id)}) == 1
    memory.undo()
    assert written(memory) == []


def test_a_run_is_bounded_and_what_waits_is_told(memory: Memory, opened: Callable[..., Memory]) -> None:
    told = tell(memory, BY_MODEL + 30)
    report = rest(memory)
    assert (report.counts["turns"], report.counts["waiting"]) == (BY_MODEL, 30)
    assert "30 records wait" in report.summary
    assert store(memory).inspect()["waiting"] == 30
    assert summary(memory).meta["until"] == told[BY_MODEL - 1].position
    assert rest(memory).counts["waiting"] == 0
    assert tokens(summary(memory)) == tokens(*told)[-8:]
    plain = opened(folder="plain")
    tell(plain, BY_EXTRACT + 30)
    assert rest(plain).counts["turns"] == BY_EXTRACT
    assert summary(plain).meta["by"] == "extract"
    assert "prompt" not in summary(plain).meta
    assert sum(words_in(one) for one in summary(plain).text.split("\n")) <= 200


def test_a_run_of_long_records_is_bounded_too(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling_run, "BY_MODEL", 20)
    tell(memory, 8, more=" On and on we go." * 2_000)
    report = rest(memory)
    assert (report.counts["turns"], report.counts["waiting"]) == (5, 3), "a long one counts as several"
    assert len(asked(memory)) == 20, "of a turn of 34,000 characters 20,000 are taken in"


def test_what_has_no_room_at_all_is_shortened_for_a_record_is_not_empty(opened: Callable[..., Memory]) -> None:
    memory = opened()
    memory.attach("own", lambda host: RollingSummaries(host, words=3))
    memory.add_many({"text": "a " * 300 + "b", "session": "trip", "speaker": "Ana " * 30} for _ in range(9))
    assert memory.consolidate("own")["own"].counts["waiting"] == 0
    assert memory.consolidate("rolling")["rolling"].summary == "nothing to do"
    assert 0 < words_in(summary(memory).text) <= 3


def test_what_waits_longest_is_taken_in_first(memory: Memory) -> None:
    tell(memory, 9, session="home")
    rest(memory)
    until = summary(memory, "home").meta["until"]
    tell(memory, BY_MODEL)
    tell(memory, 5, session="home")
    assert rest(memory).counts["waiting"] == 5
    assert summary(memory, "home").meta["until"] == until


def test_one_record_names_64_sources_at_most_and_the_next_takes_its_place(memory: Memory) -> None:
    told = tell(memory, 50)
    rest(memory)
    first = summary(memory)
    memory.tag(first.id, add=["dear"])
    memory.pin(first.id)
    told += tell(memory, 120)
    rest(memory)
    last = summary(memory)
    assert written(memory) == [last]
    assert (last.tags, last.pinned) == (("dear",), True)
    assert tokens(last) == tokens(*told)[-8:]
    chain = [last]
    while chain[-1].id != first.id:
        chain.append(memory.get(chain[-1].sources[0].record or ""))
    assert [one.state for one in chain] == ["live", "replaced", "replaced"]
    assert [one.replaced_by for one in chain] == [(), (last.id,), (chain[1].id,)]
    assert max(len(one.sources) for one in chain) == SOURCES
    assert [s.record for one in chain[::-1] for s in one.sources if s.record in {t.id for t in told}] == [
        one.id for one in told
    ]
    assert {one.id for one in memory.descendants(told[3].id)} == {one.id for one in chain}
    assert {one.id for one in memory.descendants(told[-1].id)} == {last.id}
    memory.undo()
    assert summary(memory).id == first.id


# ── what people do to it ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_next_step_goes_on_from_what_somebody_wrote(memory: Memory) -> None:
    tell(memory, 10)
    rest(memory)
    memory.edit(summary(memory).id, text="Mind the tokens. Ana likes 3 of them.")
    assert rest(memory).summary == "nothing to do"
    tell(memory, 1)
    rest(memory)
    assert '1. "Mind the tokens."\n2. "Ana likes 3 of them."' in asked(memory)[-1]
    assert summary(memory).text.startswith("Mind the tokens.\nAna likes 3 of them.\nThey spoke of ")
    memory.edit(summary(memory).id, text=" ".join(f"On day {n} the sea was wide." for n in range(200)))
    tell(memory, 1)
    report = rest(memory)
    assert report.counts["cut"] == 172, "there is room for 28 of them, and 4 words"
    assert "172 sentences were cut" in report.summary
    assert '28. "On day 199 the sea was wide."' in asked(memory)[-1]


def test_what_somebody_forgot_stays_away_until_the_conversation_goes_on_and_is_not_told_again(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    old = summary(memory)
    memory.forget(old.id)
    assert store(memory).of("trip") is None
    assert rest(memory).summary == "nothing to do"
    assert written(memory) == []
    new = tell(memory, 1)
    rest(memory)
    assert tokens(summary(memory)) == tokens(*new)
    assert summary(memory).id != old.id
    memory.edit(new[0].id, text=f"No, of {token()}.")
    rest(memory)
    assert len(tokens(summary(memory))) == 1
    assert set(tokens(*told)).isdisjoint(tokens(summary(memory)))
    memory.forget(summary(memory).id)
    memory.restore(old.id)
    assert summary(memory).id == old.id, "somebody wants that one again"
    assert rest(memory).counts["turns"] == 1
    assert summary(memory).id == old.id
    assert tokens(summary(memory))[-1:] == tokens(memory.get(new[0].id))


def test_one_that_was_brought_back_beside_another_gives_way(memory: Memory) -> None:
    tell(memory, 10)
    rest(memory)
    old = summary(memory)
    memory.forget(old.id)
    tell(memory, 1)
    rest(memory)
    new = summary(memory)
    memory.restore(old.id)
    assert rest(memory).counts["withdrawn"] == 1
    assert written(memory) == [new]
    memory.forget(new.id)
    memory.restore(old.id)
    tell(memory, 1)
    rest(memory)
    memory.restore(new.id)
    rest(memory)
    assert [one.id for one in written(memory)] == [old.id], "the one that has come furthest stays"


def test_an_earlier_version_that_somebody_forgot_is_not_gone_on_from(memory: Memory) -> None:
    told = tell(memory, 64)
    rest(memory)
    before = summary(memory)
    told += tell(memory, 6)
    rest(memory)
    memory.forget(before.id)
    memory.forget(told[69].id)
    rest(memory)
    assert memory.get(before.id).state == "forgotten"
    assert tokens(summary(memory)) == tokens(*told)[64:69], "and what it told is not told again"


def test_undo_takes_a_run_back_and_the_same_is_taken_in_again(memory: Memory) -> None:
    tell(memory, 10)
    rest(memory)
    before = summary(memory)
    told = tell(memory, 70)
    rest(memory)
    after = summary(memory)
    assert after.id != before.id
    memory.undo()
    assert (summary(memory).id, summary(memory).text) == (before.id, before.text)
    assert summary(memory).meta == before.meta
    assert rest(memory).counts["turns"] == 70
    assert tokens(summary(memory)) == tokens(*told)[-8:]


META: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "rolling": st.sampled_from([True, False, 1, "yes", None]),
        "since": st.sampled_from([0, 3, -1, 10**30, "0", None, True]),
        "until": st.sampled_from([0, 5, 10**6, 10**30, 2.5, None]),
        "of": st.sampled_from(["", "x", None, 3]),
        "sentences": st.sampled_from([[], ["a", 3, None], "no", {"a": 1}]),
        "kinds": st.sampled_from([["turn"], "turn", 3, [""]]),
        "withdrawn": st.sampled_from([True, False]),
    },
)


@settings(max_examples=12, deadline=None)
@given(meta=META, session=st.sampled_from(["trip", None, "", "other"]))
def test_whatever_somebody_writes_into_its_meta_is_borne(
    houses: list[Memory], meta: dict[str, Any], session: str | None
) -> None:
    memory = houses[0].scope(f"room:{next(numbers)}")
    tell(memory, 9)
    rest(memory)
    memory.edit(summary(memory).id, meta=meta, session=session)
    tell(memory, 1)
    for _ in range(2):
        rest(memory)
    assert rest(memory).summary == "nothing to do"
    mine = [one for one in written(memory) if one.session == "trip" and one.meta.get("rolling") is True]
    assert len(mine) == 1
    assert store(memory).of("trip") == mine[0]


# ── what becomes of the turns ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "act",
    [
        lambda memory, turn: memory.forget(turn.id),
        lambda memory, turn: memory.edit(turn.id, text="We spoke of nothing at all."),
        lambda memory, turn: memory.edit(turn.id, session="home"),
        lambda memory, turn: memory.edit(turn.id, session=None),
        lambda memory, turn: memory.split(turn.id, ["We spoke of nothing", "at all."]),
        lambda memory, turn: memory.forget(turn.id, hard=True),
    ],
    ids=["forgotten", "edited", "moved", "moved out", "split", "erased"],
)
def test_a_conversation_goes_on_from_the_last_summary_that_had_not_heard_of_what_is_gone(
    memory: Memory, act: Callable[[Memory, Record], object]
) -> None:
    told = tell(memory, 64)
    rest(memory)
    before = summary(memory)
    told += tell(memory, 6)
    rest(memory)
    assert summary(memory).id != before.id
    [gone] = tokens(told[66])
    assert gone in summary(memory).text
    act(memory, told[66])
    report = rest(memory)
    assert summary(memory).sources[0].record == before.id
    assert memory.get(before.id).text == before.text
    assert written(memory) == [summary(memory)]
    kept = [word for word in tokens(*told) if word != gone]
    assert tokens(summary(memory)) == kept[-8:]
    assert report.counts["turns"] <= 7, "those after it, and not the 64 before"
    assert before.text.split("\n")[-1] in asked(memory)[-1]
    assert gone not in asked(memory)[-1]
    assert rest(memory).summary == "nothing to do"


def test_what_comes_back_is_taken_in_where_it_stood(memory: Memory) -> None:
    told = tell(memory, 10)
    memory.forget(told[9].id)
    rest(memory)
    assert tokens(told[9])[0] not in summary(memory).text
    memory.restore(told[9].id)
    rest(memory)
    assert tokens(summary(memory)) == tokens(*told)[-8:]


def test_a_summary_of_what_is_gone_goes_and_comes_again_with_it(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    memory.forget(*(one.id for one in told))
    assert rest(memory).counts["withdrawn"] == 1
    assert written(memory) == []
    memory.restore(*(one.id for one in told))
    assert rest(memory).counts["written"] == 1, "it was not somebody's wish"
    assert tokens(summary(memory)) == tokens(*told)[-8:]


def test_one_that_the_store_put_away_is_somebodys_again_when_they_bring_it_back(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    old = summary(memory)
    memory.forget(*(one.id for one in told))
    rest(memory)
    memory.restore(old.id, *(one.id for one in told))
    tell(memory, 1)
    assert rest(memory).counts["turns"] == 1
    assert summary(memory).id == old.id
    memory.forget(old.id)
    assert rest(memory).summary == "nothing to do", "and now it is somebody's wish"


def test_of_the_few_that_are_left_there_is_no_summary(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    memory.forget(*(one.id for one in told[:5]))
    assert rest(memory).counts["withdrawn"] == 1
    assert store(memory).of("trip") is None
    assert rest(memory).summary == "nothing to do"


def test_what_says_nothing_else_matters_not(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    memory.tag(told[3].id, add=["salt"])
    memory.pin(told[4].id)
    memory.feedback(told[5].id, useful=True, cue="sea")
    memory.add("We met.", session="trip", kind="fact")
    assert rest(memory).summary == "nothing to do"


def test_no_byte_of_an_erased_turn_is_left_in_any_version_of_a_summary(memory: Memory, tmp_path: Path) -> None:
    told = tell(memory, 40)
    for _ in range(5):
        rest(memory)
        told += tell(memory, 25)
    rest(memory)
    [gone] = tokens(told[70])
    assert gone not in summary(memory).text, "long dropped, and yet in the journal"
    memory.forget(told[70].id, hard=True)
    assert written(memory), "what it was made from before that turn stands"
    assert memory.verify() == []
    memory.close()
    files = [path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()]
    assert not any(gone.encode() in data for data in files)
    assert any(tokens(told[71])[0].encode() in data for data in files)


def test_a_copy_in_another_ledger_goes_on_where_it_stood(memory: Memory, opened: Callable[..., Memory]) -> None:
    told = tell(memory, 10)
    tell(memory, 10, session="home")
    rest(memory)
    memory.forget(summary(memory, "home").id)
    copy = opened(ScriptedModel(keeping()), folder="copy")
    tell(copy, 40, session="else")
    copy.add_many(memory.records(states=("live", "forgotten")))
    assert summary(copy).id == summary(memory).id
    rest(copy)
    assert (tokens(summary(copy)), store(copy).of("home")) == (tokens(*told)[-8:], None)
    assert not set(tokens(*told)) & {word for text in asked(copy) for word in TOKEN.findall(text)}
    told += tell(copy, 1)
    assert rest(copy).counts["turns"] == 1
    assert tokens(summary(copy)) == tokens(*told)[-8:]


VERBS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**6)), min_size=3, max_size=14)


@settings(max_examples=12, deadline=None)
@given(walk=VERBS, by_model=st.booleans())
def test_whatever_happens_a_summary_says_nothing_but_what_stands_in_its_conversation(
    houses: list[Memory], walk: list[tuple[int, int]], by_model: bool
) -> None:
    memory = houses[by_model].scope(f"room:{next(numbers)}")
    gone: set[str] = set()
    tell(memory, 9)
    for verb, pick in walk:
        turns = [record for record in memory.records() if record.kind == "turn"]
        one = turns[pick % len(turns)] if turns else None
        try:
            _do(memory, verb, pick, one, gone)
        except AgentMemError:  # an undo of what a later step stands on
            continue
    rest(memory)
    assert rest(memory).counts.get("waiting", 0) == 0
    assert rest(memory).summary == "nothing to do"
    for session in ("trip", "home"):
        live = [one for one in written(memory) if one.session == session]
        assert len(live) <= 1
        assert live == [found for found in [store(memory).of(session)] if found is not None]
        turns = [record for record in memory.records() if record.kind == "turn" and record.session == session]
        assert set(tokens(*live)) <= set(tokens(*turns))
        if live:
            assert live[0].meta["until"] == turns[-1].position
    before = dict(store(memory).inspect())
    memory.reindex("rolling")
    assert dict(store(memory).inspect()) == before
    if gone:
        data = b"".join(path.read_bytes() for path in Path(memory.url).rglob("*") if path.is_file())
        assert b"We spoke of" in data
        assert not [word for word in gone if word.encode() in data]


def _do(memory: Memory, verb: int, pick: int, one: Record | None, gone: set[str]) -> None:
    if verb <= 1:
        tell(memory, 1 + pick % 40, session=("trip", "home")[pick % 2])
    elif verb <= 3:
        rest(memory)
    elif verb == 4:
        memory.undo(1 + pick % 2)
    elif verb == 5:
        memory.redo()
    elif one is None:
        return
    elif verb == 6:
        memory.forget(one.id)
    elif verb == 7:
        memory.edit(one.id, session=("trip", "home", None)[pick % 3])
    elif verb == 8:
        memory.restore(*(r.id for r in memory.newest(1, states=["forgotten"]) if r.kind == "turn"))
    else:
        memory.forget(one.id, hard=True)
        gone.update(tokens(one))
