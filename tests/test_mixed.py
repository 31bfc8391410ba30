"""The mixed suite asks what can be answered, of what was said, and gives nothing away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from agentmem import InvalidInput, Memory
from agentmem.cues import Hit
from agentmem.recall.presets import DEFAULT, preset
from agentmem.recall.text import terms
from benchmarks.mixed import KINDS, Q, World, credited, recalled, suite
from benchmarks.mixed_words import FACTS, SCENES

NUMBERS: Final = {"a": 1, "two": 2, "three": 3, "four": 4}


@pytest.fixture(scope="module")
def world() -> World:
    return suite(seed=3, people=6, days=24)


@pytest.fixture(scope="module")
def by_id(world: World) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for record in world.records}


def of(world: World, kind: str) -> list[Q]:
    return [q for q in world.questions if q.kind == kind]


def only(q: Q, by_id: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    [gold] = q.gold
    return by_id[gold]


def shape(template: str, **fixed: str) -> re.Pattern[str]:
    """What a template may become."""
    parts = re.split(r"\{(\w+)\}", template)
    slots = [re.escape(fixed[slot]) if slot in fixed else ".+" for slot in parts[1::2]]
    return re.compile("".join(re.escape(text) + slot for text, slot in zip(parts[::2], [*slots, ""], strict=True)))


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_seed_makes_one_world(world: World) -> None:
    assert suite(seed=3, people=6, days=24) == world
    assert suite(seed=4, people=6, days=24).records != world.records


def test_the_default_has_1500_records_in_60_sessions_and_40_questions_a_kind() -> None:
    whole = suite()
    assert len(whole.records) == 1_500
    assert len({record["session"] for record in whole.records}) == 60
    assert Counter(q.kind for q in whole.questions) == dict.fromkeys(KINDS, 40)


@pytest.mark.parametrize("seed", range(3))
def test_kinds_are_balanced_however_small_the_world(seed: int) -> None:
    counts = Counter(q.kind for q in suite(seed, people=5, days=14, each=9).questions)
    assert counts.keys() == set(KINDS)
    assert len(set(counts.values())) == 1
    assert counts["next"] <= 9


@pytest.mark.parametrize(("people", "days"), [(3, 60), (13, 60), (12, 7)])
def test_a_town_that_is_none_is_refused(people: int, days: int) -> None:
    with pytest.raises(InvalidInput, match="no town"):
        suite(0, people, days)


def test_golds_are_live_records_of_a_memory(world: World, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many(world.records)
        live = {record.id for record in memory.records()}
    assert len(live) == len(world.records)
    assert all(q.gold and q.gold <= live for q in world.questions)


def test_no_word_of_a_question_stands_in_its_gold_alone(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    holding = Counter(term for record in world.records for term in set(terms(record["text"])))
    for q in world.questions:
        told = {term for id in q.gold for term in terms(by_id[id]["text"])}
        assert all(holding[term] > len(q.gold) for term in told.intersection(terms(q.cue.text))), q


def test_questions_are_asked_when_all_has_been_said(world: World) -> None:
    last = max(record["at"] for record in world.records)
    assert all(q.cue.now is not None and q.cue.now > last for q in world.questions)


# ── each kind ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_asked_of_a_time_was_done_then(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    seen = set()
    for q in of(world, "temporal"):
        golds = [by_id[id] for id in q.gold]
        assert all(gold["speaker"] in q.cue.text.split() for gold in golds)
        if found := re.search(r"(\w+) weeks? after (.+)\?", q.cue.text):
            then = [
                r["at"] for r in world.records if re.search(rf"{found[2]} was today|that was {found[2]}", r["text"])
            ]
            [anchor] = then
            away = timedelta(weeks=NUMBERS[found[1]])
            assert all(abs(gold["at"] - anchor - away) < timedelta(days=4) for gold in golds)
            seen.add("after")
        elif found := re.search(r"spend (\d+) (\w+)\?", q.cue.text):
            assert all(f"{gold['at'].day} {gold['at']:%B}" == f"{found[1]} {found[2]}" for gold in golds)
            seen.add("day")
        elif found := re.search(r"in (\w+)\?", q.cue.text):
            assert all(f"{gold['at']:%B}" == found[1] for gold in golds)
            seen.add("month")
    assert seen == {"after", "day", "month"}


def test_what_is_asked_of_a_place_was_said_there_without_its_name(
    world: World, by_id: dict[str, dict[str, Any]]
) -> None:
    for q in of(world, "place"):
        gold = only(q, by_id)
        name = gold["place"].split("/")[-1]
        assert name in q.cue.text
        assert name not in gold["text"]


def test_what_is_asked_of_a_person_is_the_last_they_said_of_it(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    for q in of(world, "person"):
        gold = only(q, by_id)
        [fact] = [one for one in FACTS.values() if any(shape(asked).fullmatch(q.cue.text) for asked in one.asked)]
        values = [shape(told, value=value) for told in fact.told for value in fact.values]
        said = [
            record["id"]
            for record in world.records
            if record["speaker"] == gold["speaker"] and any(one.fullmatch(record["text"]) for one in values)
        ]
        assert len(said) > 1, "it changed"
        assert said[-1] == gold["id"]
        assert gold["speaker"] in re.findall(r"\w+", q.cue.text)


def test_several_hops_hang_together_by_names(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    for q in of(world, "multihop"):
        assert len(q.gold) == 3
        names = [set(re.findall(r"[A-Z]\w+", by_id[id]["text"])) for id in q.gold]
        shared = [one & other for i, one in enumerate(names) for other in names[:i]]
        assert sum(bool(both) for both in shared) == 2, "a chain: the first and the last share none"
        assert not set.union(*names).intersection(re.findall(r"\w+", q.cue.text)), "and the question names neither"


def test_what_came_next_follows_a_scene_in_its_session(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    scenes = [shape(scene.told) for scene in SCENES]
    order = [record["id"] for record in world.records]
    for q in of(world, "next"):
        gold = only(q, by_id)
        before = by_id[order[order.index(gold["id"]) - 1]]
        assert before["session"] == gold["session"]
        assert any(scene.fullmatch(before["text"]) for scene in scenes)


def test_a_fragment_is_of_one_record_alone(world: World, by_id: dict[str, dict[str, Any]]) -> None:
    def words(text: str) -> list[str]:
        return re.findall(r"[\w'-]+", text.lower())

    slipped = 0
    texts = {id: words(record["text"]) for id, record in by_id.items()}
    for q in of(world, "fragment"):
        torn, gold = words(q.cue.text), texts[only(q, by_id)["id"]]
        runs = [gold[i : i + len(torn)] for i in range(len(gold) - len(torn) + 1)]
        assert min(sum(a != b for a, b in zip(run, torn, strict=True)) for run in runs) <= 1
        assert torn not in (gold[: len(torn)], gold[-len(torn) :]), "from the middle"
        slipped += torn not in runs
        if torn in runs:
            whole = " ".join(torn)
            assert sum(f" {whole} " in f" {' '.join(text)} " for text in texts.values()) == 1
    assert 0 < slipped < len(of(world, "fragment"))


# ── the figures ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_recall_is_the_share_of_the_golds_among_ten(world: World, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        held = {record.id: record for record in memory.add_many(world.records)}
        golds = {q.cue.text: sorted(q.gold) for q in world.questions}

        def hits(ids: list[str]) -> list[Hit]:
            return [Hit(held[id], 1.0) for id in ids]

        assert set(recalled(world, lambda cue: hits(golds[cue.text])).values()) == {1.0}
        assert set(recalled(world, lambda cue: []).values()) == {0.0}
        late = hits([record["id"] for record in world.records[:10]])
        other = recalled(world, lambda cue: [*late, *hits(golds[cue.text])])
        assert all(share < 0.2 for share in other.values()), "what stands behind ten does not count"
        third = recalled(world, lambda cue: hits(golds[cue.text][:1]))
        assert third["multihop"] == pytest.approx(1 / 3)


def test_a_thought_stands_for_the_turns_that_it_was_made_from(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        turn = memory.add("I live in Ghent.", speaker="Bea", at=datetime.fromisoformat("2023-03-04T10:00+00:00"))
        other = memory.add("Thanks!", sources=[turn.id])
        thought = memory.add("Bea lives in Ghent", kind="thought", sources=[turn.id])
        assert credited([Hit(other, 2.0), Hit(thought, 1.0), Hit(turn, 0.5)]) == [other.id, turn.id]


def test_the_engine_alone_finds_some_of_it_and_not_all(world: World, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many(world.records)
        alone = replace(preset(DEFAULT), stores=False)
        found = recalled(world, lambda cue: memory.recall(cue, engine=alone))
    assert all(found.values()), found
    assert all(share < 1 for kind, share in found.items() if kind != "next"), found  # that is the engine's own
