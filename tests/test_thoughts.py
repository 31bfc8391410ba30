"""Thoughts against a replay in plain Python, after any verbs; forgetting, merging, and what a cue brings up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.errors import Conflict, InvalidInput, UndoBlocked
from agentmem.records import Record, Source
from agentmem_stores.thinking.statements import (
    FUNCTIONAL,
    MOST,
    Statement,
    is_functional,
    key,
    merged_id,
    sentence,
    statement_of,
)
from agentmem_stores.thinking.validity import ROW
from agentmem_stores.thoughts import ThoughtMemory
from benchmarks.stores.thoughts import facts, tell, values_found
from tests import thinking
from tests.thinking import (
    EMBEDDER,
    columns,
    day,
    holding,
    new_room,
    of,
    opened,
    think,
    thoughts,
)

house, room = thinking.house, thinking.room


# ── the replay ───────────────────────────────────────────────────────────────────────────────────────────────────

HEADS, RELATIONS, TAILS = ["Ana", "Ben  Ito"], ["lives in", "likes"], ["Rome", "Oslo", "tea"]


def said(memory: Memory) -> list[tuple[Record, Statement]]:
    """What was said and not taken back, in the order of telling."""
    everything = {record.id: record for record in thoughts(memory)}
    told = []
    for record in everything.values():
        made = record.id.startswith("merged-")
        union = made and record.id == merged_id(record.text, record.meta)
        statement = statement_of(record)
        if statement is None or union:
            continue
        by = everything.get(record.replaced_by[0]) if record.replaced_by else None
        if record.state == "replaced":
            if record.replaced_by:
                away = by is not None and (by.state == "forgotten" or by.id != merged_id(by.text, by.meta))
                if away or not record.replaced_by[0].startswith("merged-"):
                    continue
            elif "superseded_by" not in record.meta:
                continue
        if record.state != "forgotten":
            told.append((record, statement))
    return sorted(told, key=lambda one: (str(one[0].meta.get("confirmed", one[0].at.isoformat())), one[0].position))


def replayed(memory: Memory) -> dict[tuple[str, str], set[str]]:
    value: dict[tuple[str, str], set[str]] = {}
    holds: dict[tuple[str, str], set[str]] = {}
    for _, statement in said(memory):
        group = key(statement.head), key(statement.relation)
        tails = {key(tail) for tail in statement.tails}
        now = holds.setdefault(group, set())
        if statement.negated:
            now -= tails
        elif is_functional(statement.relation, FUNCTIONAL) and value.get(group) != tails:
            value[group], holds[group] = tails, set(tails)
        else:
            now |= tails
    return {group: tails for group, tails in holds.items() if tails}


verbs = st.sampled_from(
    "say say say deny set turn turn retell edit word forget restore merge split erase undo undo redo think tidy".split()  # noqa: SIM905
)
deeds = st.lists(st.tuples(verbs, st.integers(0, 40), st.integers(0, 40)), max_size=22)
SAYINGS = [
    "I live in Rome.", "I moved to Oslo!", "I like tea.", "I no longer like tea.", "I like Rome. I like Oslo.", "Hm?",
    "Ana likes tea.", "I used to live in Rome.",
]  # fmt: skip


def do(memory: Memory, verb: str, n: int, m: int) -> None:
    store, at = of(memory), day(n % 7)
    head, relation, tail = HEADS[n % 2], RELATIONS[m % 2], TAILS[(n + m) % 3]
    listed = thoughts(memory)
    live = [record for record in listed if record.state == "live"]
    turns = [record for record in memory.records() if record.kind == "turn"]
    match verb:
        case "say":
            store.insert(head if n % 3 else head.upper(), relation, tail, at=at)
        case "deny":
            store.insert(head, relation, tail, at=at, negated=True)
        case "set":
            store.insert(head, relation, TAILS[: n % 3 + 1], at=at)
        case "turn":
            memory.add(SAYINGS[m % len(SAYINGS)], speaker=HEADS[n % 2], at=at)
        case "retell" if turns:
            memory.edit(turns[n % len(turns)].id, text=SAYINGS[m % len(SAYINGS)])
        case "edit" if live:
            memory.edit(live[n % len(live)].id, at=day(m % 7))
        case "word" if live:
            memory.edit(live[n % len(live)].id, text=f"{head} {relation} {tail}")
        case "forget" if live or turns:
            memory.forget([*live, *turns][n % len([*live, *turns])].id)
        case "restore" if listed:
            memory.restore(listed[n % len(listed)].id)
        case "merge" if len(live) > 1:
            memory.merge(live[n % len(live)].id, live[m % len(live)].id)
        case "split" if live:
            memory.split(live[n % len(live)].id, ["Ana likes tea", "something else"])
        case "erase" if listed:
            memory.forget(listed[n % len(listed)].id, hard=True)
        case "undo":
            memory.undo()
        case "redo":
            memory.redo()
        case "think":
            think(memory)
        case "tidy":
            _ = store.forget() if n % 2 else store.merge()


def settled(memory: Memory) -> None:
    """What must be so after `consolidate`: nothing to do, and one live record for each fact that stands."""
    think(memory)
    head = memory.stats().head
    report = think(memory)
    assert memory.stats().head == head, report
    standing = replayed(memory)
    shown: dict[tuple[str, str], list[str]] = {}
    for record in thoughts(memory, "live"):
        statement = statement_of(record)
        if statement is not None and not statement.negated:
            group = key(statement.head), key(statement.relation)
            shown.setdefault(group, []).extend(key(tail) for tail in statement.tails)
    assert {group: sorted(tails) for group, tails in shown.items()} == {
        group: sorted(tails) for group, tails in standing.items()
    }, "each tail once: none is lost, and none that ended is shown"


@given(deeds=deeds)
@settings(max_examples=50)
def test_what_holds_is_what_a_replay_says_whatever_was_done(house: Memory, deeds: list[tuple[str, int, int]]) -> None:
    memory = new_room(house)
    for i, (verb, n, m) in enumerate(deeds):
        with suppress(UndoBlocked, Conflict, InvalidInput):
            do(memory, verb, n, m)
        if i % 4 == 3:
            assert holding(memory, *HEADS) == replayed(memory)
    settled(memory)
    assert holding(memory, *HEADS) == replayed(memory)
    store = of(memory)
    kept = columns(store)
    other = ThoughtMemory(memory._opened.stores(memory.bound).host)  # as the next process begins
    other._catch_up()
    assert columns(other) == kept
    store.rebuild()
    assert columns(store) == kept
    assert memory.verify() == []


# ── forget and merge ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_told_later_takes_the_place_of_what_was_told_before(room: Memory) -> None:
    store = of(room)
    rome = store.insert("Ana", "lives in", "Rome", at=day(0))
    oslo = store.insert("ANA", "Lives  in", "Oslo", at=day(5))
    lima = store.insert("ana", "lives in", "Lima", at=day(3))  # told last of what happened before
    [now] = store.current("Ana", "lives in")
    assert (now.tail, now.since, now.until, now.superseded_by, now.record) == ("Oslo", day(5), None, None, oslo)
    assert [(one.tail, one.since, one.until, one.superseded_by) for one in store.history("aNa", "lives in")] == [
        ("Rome", day(0), day(3), lima.id),
        ("Lima", day(3), day(5), oslo.id),
        ("Oslo", day(5), None, None),
    ]
    assert store.forget().counts["forgotten"] == 2
    assert [record.id for record in thoughts(room, "live")] == [oslo.id]
    assert room.get(rome.id).meta["superseded_by"] == lima.id
    assert [one.tail for one in store.history("Ana", "lives in")] == ["Rome", "Lima", "Oslo"], "nothing is deleted"

    room.forget(oslo.id)
    assert store.current("Ana")[0].tail == "Lima", "before anything is written"
    assert room.get(lima.id).state == "replaced"
    assert store.forget().counts["restored"] == 1
    assert [record.id for record in thoughts(room, "live")] == [lima.id]
    room.undo(2)
    assert store.current("Ana")[0].tail == "Oslo"


def test_erasing_an_old_value_for_good_leaves_the_new_one(room: Memory) -> None:
    store = of(room)
    rome, oslo = (store.insert("Ana", "lives in", city, at=day(n)) for n, city in enumerate(["Rome", "Oslo"]))
    think(room)
    room.forget(rome.id, hard=True)
    assert [record.id for record in thoughts(room)] == [oslo.id]
    assert [one.tail for one in store.history("Ana", "lives in")] == ["Oslo"]


def test_erasing_a_member_for_good_takes_every_merge_of_it_and_no_other_member(room: Memory) -> None:
    store = of(room)
    tea = store.insert("Ana", "likes", "tea", at=day(0))
    store.insert("Ana", "likes", "rye", at=day(1))
    store.merge()
    store.insert("Ana", "likes", "figs", at=day(2))
    store.merge()
    room.forget(tea.id, hard=True)
    assert not any("tea" in record.text for record in thoughts(room))
    assert holding(room, "Ana") == {("ana", "likes"): {"rye", "figs"}}
    think(room)
    assert [record.text for record in thoughts(room, "live")] == ["Ana likes rye and figs"]
    assert room.verify() == []


def test_a_denial_ends_what_it_denies_and_is_part_of_the_history(room: Memory) -> None:
    store = of(room)
    store.insert("Ana", "likes", "tea", at=day(0))
    store.insert("Ana", "likes", "figs", at=day(1))
    denial = store.insert("Ana", "likes", "Tea", at=day(2), negated=True)
    assert holding(room, "Ana") == {("ana", "likes"): {"figs"}}
    assert [(one.tail, one.negated, one.until) for one in store.history("Ana", "likes")] == [
        ("tea", False, day(2)),
        ("figs", False, None),
        ("Tea", True, None),
    ]
    think(room)
    assert sorted(record.text for record in thoughts(room, "live")) == ["Ana does not like Tea", "Ana likes figs"]
    assert store.history("Ana", "likes")[0].superseded_by == denial.id
    store.insert("Ana", "likes", "tea", at=day(3))
    think(room)
    assert [record.text for record in thoughts(room, "live")] == ["Ana likes figs and tea"]


def test_a_merge_has_all_tails_and_sources_and_grows(room: Memory) -> None:
    store = of(room)
    turns = [room.add(f"turn {n}", at=day(n)) for n in range(3)]
    tails = ["mango", "rye", "figs"]
    for n in (2, 0, 1):
        store.insert("Ana", "likes", tails[n], at=day(n), sources=[Source(record=turns[n].id, span=(0, 4))])
    assert store.merge().counts["merged"] == 1
    [union] = thoughts(room, "live")
    assert union.text == "Ana likes mango, rye and figs"
    assert union.meta["tail"] == tails
    assert {source.record for source in union.sources} >= {turn.id for turn in turns}
    [now] = store.current("Ana")
    assert now.tails == ("mango", "rye", "figs")
    assert now.record == union
    assert now.since == day(0)
    assert [source.record for source in now.sources] == [turn.id for turn in turns]
    store.insert("Ana", "likes", "dal", at=day(9))
    assert [one.tails for one in store.current("Ana")] == [("mango", "rye", "figs", "dal")]
    assert store.merge().counts["merged"] == 1
    [grown] = thoughts(room, "live")
    assert grown.meta["tail"] == [*tails, "dal"]
    assert room.get(union.id).replaced_by == (grown.id,)
    before = room.stats().head
    assert store.merge().summary == store.forget().summary == "nothing to do"
    assert room.stats().head == before


@given(order=st.permutations(range(6)), stops=st.sets(st.integers(0, 5)))
@settings(max_examples=12)
def test_the_order_of_telling_and_of_merging_does_not_matter(
    house: Memory, order: Sequence[int], stops: set[int]
) -> None:
    memory = new_room(house)
    for i, n in enumerate(order):
        of(memory).insert("Ana", "likes", f"dish {n}", at=day(n))
        if i in stops:
            of(memory).merge()
    of(memory).merge()
    [union] = thoughts(memory, "live")
    assert union.text == "Ana likes dish 0, dish 1, dish 2, dish 3, dish 4 and dish 5"
    assert union.at == day(5)
    assert union.id == merged_id(union.text, union.meta)


def test_a_merge_that_a_person_forgets_or_edits_is_theirs(room: Memory) -> None:
    store = of(room)
    for n, tail in enumerate(["tea", "figs"]):
        store.insert("Ana", "likes", tail, at=day(n))
    store.merge()
    [union] = thoughts(room, "live")
    room.forget(union.id)
    assert store.current("Ana") == []
    assert think(room).summary == "nothing to do"
    room.undo()
    room.edit(union.id, text="Ana likes figs", meta={**union.meta, "tail": "figs"})
    assert holding(room, "Ana") == {("ana", "likes"): {"figs"}}
    assert think(room).summary == "nothing to do"
    assert [record.text for record in thoughts(room, "live")] == ["Ana likes figs"]


def test_a_merge_whose_member_is_gone_shows_nothing_more(room: Memory) -> None:
    store = of(room)
    tea, _ = (store.insert("Ana", "likes", tail, at=day(n)) for n, tail in enumerate(["tea", "figs"]))
    store.merge()
    room.forget(tea.id)
    room.load()
    assert [hit.record.text for hit in store.recall(Cue("Ana"), 5)] == ["Ana likes figs"]
    think(room)
    assert [record.text for record in thoughts(room, "live")] == ["Ana likes figs"]


def test_of_a_set_what_ended_is_no_longer_shown(room: Memory) -> None:
    store = of(room)
    store.insert("Ana", "likes", ["tea", "figs", "rye"], at=day(0))
    store.insert("Ana", "likes", "figs", at=day(1), negated=True)
    think(room)
    assert [record.text for record in thoughts(room, "live")] == ["Ana does not like figs", "Ana likes tea and rye"]
    assert holding(room, "Ana") == {("ana", "likes"): {"tea", "rye"}}
    assert think(room).summary == "nothing to do"


def test_a_long_list_becomes_several_sentences(room: Memory) -> None:
    store, scope = of(room), room.bound
    tails = [f"dish {n}" for n in range(2 * MOST + 5)]
    room.add_many(said_of("Ana", "likes", tails, scope))
    think(room)
    live = thoughts(room, "live")
    assert [len(record.meta["tail"]) for record in live] == [MOST, MOST, 5]  # type: ignore[arg-type]
    assert store.current("Ana")[0].tails == tuple(tails)
    assert think(room).summary == "nothing to do"


def said_of(head: str, relation: str, tails: Sequence[str], scope: Any) -> list[Record]:
    made = [Statement(head, relation, (tail,)) for tail in tails]
    return [
        Record.create(sentence(one), scope=scope, kind="thought", meta=one.meta(), at=day(0) + timedelta(seconds=n))
        for n, one in enumerate(made)
    ]


def test_any_number_of_thoughts_on_one_head(tmp_path: Path) -> None:
    """As a stranger's file may have them: what is asked stays linear, and the rest is not in its way."""
    count = 4_000
    with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
        opened(memory)
        memory.add_many(said_of("Ana", "saw", [f"bird {n}" for n in range(count)], memory.bound))
        store = of(memory)
        assert store.inspect()["current"] == count
        [now] = store.current("ana")
        assert len(now.tails) == count
        assert store.heads() == [("Ana", count)]
        assert len(store._table.rows) * ROW.itemsize == 74 * count
        assert len(store.recall(Cue("which bird did Ana see?"), 5)) == 5


# ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_recall_shows_what_holds_with_its_reason(room: Memory) -> None:
    store = of(room)
    for n, city in enumerate(["Rome", "Lima", "Oslo"]):
        store.insert("Ana", "lives in", city, at=day(n))
    store.insert("Ben", "lives in", "Rome", at=day(0), negated=True)
    room.add("Cleo hums", kind="thought")
    room.load()
    for _ in range(2):  # before anything is put aside, and after
        hits = store.recall(Cue("where does Ana live?"), 10)
        assert {hit.record.text: hit.verdict for hit in hits} == {
            "Ana lives in Oslo": "current since 2024-05-05; 2 older values",
            "Ben does not live in Rome": "denied since 2024-05-03",
            "Cleo hums": "a thought by its words alone",
        }
        for hit in hits:
            assert hit.score == pytest.approx(sum(hit.parts.values()))
            assert ("head" in hit.parts) == hit.record.text.startswith("Ana")
        assert hits == sorted(hits, key=lambda hit: -hit.score)
        assert store.recall(Cue("where does Ana live?"), 1) == hits[:1]
        store.forget()


@given(
    told=st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 30)), min_size=1, max_size=25),
    k=st.integers(1, 8),
    asked=st.sampled_from(["what of A?", "B's or dish 3", "no name", "dish 7"]),
)
@settings(max_examples=25)
def test_the_best_are_those_of_a_sum_over_all(house: Memory, told: list[tuple[str, int]], k: int, asked: str) -> None:
    memory = new_room(house)
    for head, n in dict.fromkeys(told):
        of(memory).insert(head, "ate", f"dish {n}", at=day(n))
    memory.load()
    [question] = unit(EMBEDDER.embed([asked]))
    scores = {}
    for record in thoughts(memory, "live"):
        head, tail = str(record.meta["head"]), str(record.meta["tail"])
        said = f" {asked.casefold().replace(chr(39) + 's', '').strip('?')} "
        [vector] = unit(EMBEDDER.embed([f"({record.at.day} {record.at:%B} {record.at.year}) {record.text}"]))
        boost = 0.25 * (f" {head.casefold()} " in said) + 0.1 * (f" {tail.casefold()} " in said)
        scores[record.id] = float(vector @ question) + boost
    hits = of(memory).recall(Cue(asked), k)
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True)[:k], abs=1e-5)
    assert all(hit.score == pytest.approx(scores[hit.record.id], abs=1e-5) for hit in hits)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def test_hashing_compares_fewer_and_gives_exact_cosines(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
        opened(memory, mode="lsh", buckets=8, tables=1, probes=1, fewest=5)
        memory.attach("exact", ThoughtMemory)
        memory.add_many(said_of("Ana", "saw", [f"bird {n}" for n in range(400)], memory.bound))
        memory.load()
        exact, hashed = memory.stores["exact"], of(memory)
        everything = {hit.record.id: hit.score for hit in exact.recall(Cue("an owl"), 400)}
        found = hashed.recall(Cue("an owl"), 400)
        assert 5 <= len(found) < 200, "those in one bucket of eight"
        assert all(hit.score == pytest.approx(everything[hit.record.id], abs=1e-5) for hit in found)
        [first, *_] = found
        assert first.record in hashed.bucket(first.record.id)
        assert len(hashed.bucket(first.record.id)) < 200
        gone = [hit.record.id for hit in found]
        memory.forget(*gone)
        memory.load()
        rest = hashed.recall(Cue("an owl"), 400)
        assert len(rest) == 400 - len(gone), "fewer than are enough: all are compared"
        assert not {hit.record.id for hit in rest} & set(gone)


def test_a_recall_of_the_memory_hears_it_and_shows_no_stale_value(room: Memory) -> None:
    store = of(room)
    store.insert("Ana", "lives in", "Rome", at=day(0))
    store.insert("Ana", "lives in", "Oslo", at=day(1))
    think(room)
    hits = room.recall("where does Ana live?", 5)
    assert [hit.record.text for hit in hits] == ["Ana lives in Oslo"]
    assert hits[0].parts["tim"] > 0
    assert "1 older value" in hits[0].verdict


def test_stale_answers_and_lost_values_without_it(tmp_path: Path) -> None:
    """30 % updated, 20 % with eight values: the shares that show an old value, and of the values found."""
    told = facts(30)
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        store = of(opened(memory))
        tell(store, told)
        old, several = [], []
        for step in (lambda: None, store.forget, store.merge):
            step()
            found = {fact: values_found(memory, fact, 5) for fact in told}
            stale = [f for f in told if not f.several and any(s & set(f.values[:-1]) for s in found[f])]
            old.append(len(stale) / len(told))
            several.append([len(set().union(*found[f])) / len(f.values) for f in told if f.several])
    assert old == pytest.approx([0.3, 0.0, 0.0], abs=0.02)
    assert [float(np.mean(shares)) for shares in several] == pytest.approx([5 / 8, 5 / 8, 1.0], abs=0.02)


def test_all_that_was_said_of_a_head_and_with_a_tail_is_told_with_what_ended_it(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=EMBEDDER) as memory:
        store = of(opened(memory))
        rome = store.insert("Ana", "lives in", "Rome", at=day(0))
        tea = store.insert("Ana", "likes", ["tea", "Oslo"], at=day(1))
        oslo = store.insert("Ana", "lives in", "Oslo", at=day(2))
        ben = store.insert("Ben", "lives in", "oslo", at=day(3))
        assert [(one.record.id, one.superseded_by) for one in store.history("ana")] == [
            (rome.id, oslo.id),
            (tea.id, None),
            (oslo.id, None),
        ]
        assert [one.record.id for one in store.naming("Oslo")] == [tea.id, oslo.id, ben.id]
        assert [one.until for one in store.naming("Rome")] == [day(2)], "also what holds no longer"
        memory.forget(tea.id)
        assert [one.record.id for one in store.naming(" OSLO ")] == [oslo.id, ben.id]
        assert store.naming("Paris") == store.history("Zoe") == []
