"""The gate of the router: what it makes of rules alone, what feedback moves, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Hit, Memory
from agentmem import gate as gates
from agentmem.gate import BALANCE, MOST, SURE, TOP, TRAITS, Gate, traits
from agentmem.router import ROUTES
from agentmem_stores.gating import ROUTE, GateStore
from agentmem_stores.testing.stores import state

NAMES = ("episodic", "links", "chunks", "thoughts", "recognition")


def said(text: str) -> set[str]:
    return {name for name, has in zip(TRAITS, traits(text).tolist(), strict=True) if has}


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("When did we move the launch?", {"any", "when", "few words", "timed"}),
        ("What happened in the harbour after the regatta?", {"any", "following", "at a place", "timed"}),
        ("the launch is on", {"any", "no question", "few words"}),
        ('Who said "hold fast" to Ana and Ben?', {"any", "who", "quoted", "names", "two names"}),
        ("Where does the sister of Bea live now?", {"any", "where", "names", "now", "ties"}),
        ("フェリーは遅れましたか？", {"any", "few words"}),
        ("", {"any", "no question", "few words"}),
    ],
)
def test_what_kind_of_question_a_text_is(text: str, has: set[str]) -> None:
    assert said(text) - {"ties"} == has - {"ties"}
    assert ("ties" in said(text)) >= ("ties" in has)


def test_rules_alone_decide_before_anything_was_learned() -> None:
    prior = {"episodic": SURE, "links": -SURE, "thoughts": SURE}
    chosen = Gate(NAMES).choose(traits("who?"), prior)
    assert [one.store for one in chosen] == ["episodic", "thoughts"]
    assert chosen[0].share == pytest.approx(1 / (1 + np.exp(-SURE)))


def test_few_are_asked_whatever_was_learned() -> None:
    gate = Gate(NAMES)
    for _ in range(50):
        gate.learn(traits("who?"), dict.fromkeys(NAMES, True))
    assert len(gate.choose(traits("who?"), dict.fromkeys(NAMES, -SURE))) == TOP
    assert {one.store for one in gate.choose(traits("who?"), {"links": -SURE})} == {"links"}  # the others are not here


def test_feedback_overrules_a_wrong_rule_for_such_questions_alone() -> None:
    gate = Gate(NAMES)
    where, when = traits("Where in the harbour was it?"), traits("When was that, in 2024?")
    wrong = {"episodic": -SURE, "thoughts": SURE}
    for _ in range(60):
        gate.learn(where, {"episodic": True, "thoughts": False})
        gate.learn(when, {"episodic": False, "thoughts": True})
    assert [one.store for one in gate.choose(where, wrong)] == ["episodic"]
    assert [one.store for one in gate.choose(when, wrong)] == ["thoughts"]


def test_a_step_goes_down_the_gradient_of_what_it_says_it_lowers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By differences, of cross-entropy plus balance, the load held as it is (it is a count)."""
    rng = np.random.default_rng(3)
    gate = Gate(NAMES)
    gate.weights = rng.normal(0, 0.3, gate.weights.shape)
    gate.load, gate.seen = rng.uniform(0, 1, len(NAMES)), 10**9  # so many that one more alters nothing
    monkeypatch.setattr(gates, "_RECENT", 10**12)
    asked = traits("Where did Ana go after that?")
    helped = {"episodic": True, "chunks": False}
    before, load = gate.weights.copy(), gate.load.copy()

    def entropy(weights: np.ndarray) -> float:
        own = 1 / (1 + np.exp(-(weights @ asked)))
        known = [NAMES.index(name) for name in helped]
        target = np.array([float(helped[NAMES[i]]) for i in known])
        return float(-(gates.MISSED * target * np.log(own[known]) + (1 - target) * np.log(1 - own[known])).sum())

    def balance(weights: np.ndarray) -> float:
        p = np.exp(weights @ asked)
        return float(BALANCE * len(NAMES) * (load * p / (p.sum() + 1)).sum())

    def slope(loss: Callable[[np.ndarray], float]) -> np.ndarray:
        found = np.zeros_like(before)
        for at in np.ndindex(before.shape):
            step = np.zeros_like(before)
            step[at] = 1e-6
            found[at] = (loss(before + step) - loss(before - step)) / 2e-6
        return found

    learned, even = slope(entropy), slope(balance)
    gate.learn(asked, helped)
    assert np.allclose(gate.squares, learned**2, atol=1e-6)
    # The first step of Adagrad is as long for each weight.
    assert np.allclose(before - gate.weights, gates.RATE * (np.sign(learned.round(6)) + even), atol=1e-6)
    second = gate.weights.copy()
    gate.learn(asked, helped)
    assert (np.abs(second - gate.weights)[np.abs(learned) > 1e-3] < gates.RATE).all()


def test_the_balance_spreads_questions_over_stores_that_help_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(balance: float) -> float:
        monkeypatch.setattr(gates, "BALANCE", balance)
        gate = Gate(("one", "two"), top=1)
        gate.weights[0] = 0.5  # the first was a little ahead
        load = np.zeros(2)
        for _ in range(400):
            asked = traits("who?")
            [chosen] = gate.choose(asked, {"one": 0.0, "two": 0.0})
            load[gate.stores.index(chosen.store)] += 1
            gate.learn(asked, {chosen.store: True})
        return float(load.max() / load.sum())

    assert most(0.0) == 1.0
    assert most(1.0) < 0.7


@given(st.lists(st.tuples(st.text(max_size=40), st.sampled_from(NAMES), st.booleans()), max_size=60))
def test_weights_stay_bounded(notes: list[tuple[str, str, bool]]) -> None:
    gate = Gate(NAMES)
    for text, name, useful in notes * 5:
        gate.learn(traits(text), {name: useful, "never heard of": True})
    assert np.isfinite(gate.weights).all()
    assert np.abs(gate.weights).max(initial=0.0) <= MOST


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many(
            {"text": f"{word} was here.", "place": f"harbour/pier {n}", "session": "trip"}
            for n, word in enumerate(("Ana", "Bea", "a ferry", "snow", "tea"))
        )
        yield memory


def learned(memory: Memory) -> GateStore:
    store = memory.stores["gate"]
    assert isinstance(store, GateStore)
    return store


def test_feedback_on_what_a_store_said_teaches_the_gate_and_undo_takes_it_back(memory: Memory) -> None:
    begin = state(learned(memory))
    found = memory.recall("What happened at harbour/pier 3?")
    hit = next(hit for hit in found if hit.parts.get("episodic"))
    memory.feedback(hit, useful=True)
    weights = learned(memory).gate().weights
    assert (weights @ traits(hit.cue))[weights.any(axis=1)].min() > 0
    memory.undo()
    assert state(learned(memory)) == begin
    memory.redo()
    assert np.array_equal(learned(memory).gate().weights, weights)
    memory.reindex("gate")
    assert np.array_equal(learned(memory).gate().weights, weights)


def test_idle_time_finds_the_stores_that_nobody_asked(memory: Memory) -> None:
    cue = "ferry"
    record = next(record for record in memory.records() if "ferry" in record.text)
    memory.feedback(record.id, useful=True, cue=cue)
    assert not learned(memory).gate().seen
    report = memory.consolidate("gate")["gate"]
    assert report.counts == {"questions": 1}
    [change] = [change for change in memory.log() if change.verb == ROUTE]
    brought = json.loads(change.cause)["brought"]
    assert (change.actor, change.record_id, change.before) == ("agentmem", record.id, {})
    assert (brought["chunks"], brought["thoughts"]) == (True, False)
    logits = dict(zip(learned(memory).gate().stores, learned(memory).gate().weights @ traits(cue), strict=True))
    assert logits["chunks"] > 0 > logits["thoughts"]
    assert memory.consolidate("gate")["gate"].summary == "nothing to do"
    memory.undo()
    assert not learned(memory).gate().seen


def test_what_helped_is_asked_by_the_next_such_question(memory: Memory) -> None:
    cue = "tea"
    assert not memory.recall(cue).asked
    record = next(record for record in memory.records() if "tea" in record.text)
    for _ in range(12):
        memory.feedback(record.id, useful=True, cue=cue)
    memory.consolidate("gate")
    learned(memory)
    found = memory.recall(cue)
    asked = {one.store for one in found.asked}
    assert 0 < len(asked) <= TOP
    assert all(one.why.startswith("it helped with such questions") for one in found.asked)
    assert any(asked & hit.parts.keys() for hit in found)
    for _ in range(40):  # and is not, once it was of no use
        memory.feedback(Hit(record, 1.0, dict.fromkeys(asked, 1.0), cue=cue), useful=False)
    learned(memory)
    assert not asked & {one.store for one in memory.recall(cue).asked}


def test_a_store_that_the_gate_does_not_know_goes_by_its_rule(memory: Memory) -> None:
    record = next(memory.records())
    for _ in range(12):
        memory.feedback(Hit(record, 1.0, {"chunks": 1.0}, cue="tea"), useful=True)
    learned(memory)
    always = ROUTES["chunks"]._replace(concerns=lambda question: "always", weight=0.1)
    memory.route({**ROUTES, "rehearsal": always})
    why = {one.store: one.why for one in memory.recall("tea").asked}
    assert why["rehearsal"] == "always"
    assert why["chunks"].startswith("it helped with such questions")


def test_forged_notes_teach_nothing(memory: Memory) -> None:
    record = next(memory.records())
    begin = state(learned(memory))
    causes = ["", "{", "[]", "7", '{"cue": 1}', '{"cue": "a", "answers": -1, "brought": {}}', "[" * 5000]
    causes += ['{"cue": "a", "answers": 1, "brought": {"working": 1}}', '{"cue": "a", "answers": 1, "brought": [1]}']
    memory.host.note(ROUTE, [(record.id, cause) for cause in causes])
    memory.host.note("feedback", [(record.id, cause) for cause in causes])
    assert state(learned(memory)) == begin


def test_feedback_for_what_is_forgotten_is_no_lesson(memory: Memory) -> None:
    record = next(record for record in memory.records() if "tea" in record.text)
    begin = state(learned(memory))
    memory.feedback(Hit(record, 1.0, {"working": 1.0}, cue="tea"), useful=True)
    memory.forget(record.id)
    assert state(learned(memory)) == begin
    memory.restore(record.id)
    assert learned(memory).gate().seen == 1


def test_the_next_process_goes_on_with_what_was_learned(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        records = memory.add_many(f"tea {n}" for n in range(300))
        for record in records[:20]:
            memory.feedback(Hit(record, 1.0, {"longterm": 1.0}, cue="tea"), useful=True)
        weights = learned(memory).gate().weights
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.recall("coffee")
        assert {one.store for one in memory.recall("coffee").asked} == {"longterm"}
        assert np.array_equal(learned(memory).gate().weights, weights)
