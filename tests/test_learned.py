"""The learned table of weights: that it is sound, that it is what was learned, and how learning goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Cue, Memory
from agentmem.recall.fuse import NEIGHBOURS, again, outdone
from agentmem.recall.presets import DEFAULT, PARTS, PRESETS
from agentmem.recall.weights import BY_HAND, COVERAGE, LEARNED, PRIOR, Weights
from benchmarks import train_ranker
from benchmarks.train_ranker import FITTING, PLANES, Sample, figures, held_out, learn

TOLD: dict[str, Any] = json.loads(LEARNED.read_text(encoding="utf-8"))
ENDS = [(kind, end) for kind, ends in TOLD["weights"].items() for end in ends]


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_says_what_it_was_learned_from() -> None:
    assert set(TOLD["learned from"]) == {"locomo", "beam"}
    for one in TOLD["learned from"].values():
        assert len(one["sha256"]) == 64
        assert one["licence"]
    assert "seed" in TOLD
    assert LEARNED.stat().st_size < 5_000, "small enough to be read"


@pytest.mark.parametrize(("kind", "end"), ENDS)
def test_its_weights_are_sound(kind: str, end: str) -> None:
    """A record that fits better never stands lower for it, and never lower than the turn beside it."""
    table = {name: Weights(*numbers) for name, numbers in TOLD["weights"][kind][end].items()}
    assert set(table) == PARTS - {NEIGHBOURS} == {signal.name for signal in PRESETS[DEFAULT].signals} | {COVERAGE}
    assert max(table[COVERAGE][:3]) < 0
    assert table["prior"] == PRIOR == BY_HAND["prior"]
    assert np.isfinite([*table.values()]).all()
    for name in FITTING:
        own, *beside = table[name]
        assert own >= max(beside) - 1e-9
        assert min(beside) >= 0
        assert own > 0 or not any(beside)
    assert table["lexical"].own > 0
    assert table["phrase"].own >= 1
    assert all(table[name].own > 0 for name in ("date", "place"))


def test_both_ends_name_the_same_signals() -> None:
    for ends in TOLD["weights"].values():
        assert ends["people"].keys() == ends["assistant"].keys()


# ── what recall makes of it ──────────────────────────────────────────────────────────────────────────────────────


def weights_in(memory: Memory, cue: Cue) -> dict[str, Weights]:
    from agentmem.recall.engine import embedded, question_of

    view = memory._opened.view(memory.bound)
    view.refresh()
    return dict(PRESETS[DEFAULT].weighting(question_of(view, cue, embedded(view, cue))))


@given(assistants=st.integers(0, 6), others=st.integers(0, 6))
def test_it_lies_between_its_ends_by_how_much_an_assistant_said(
    assistants: int, others: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Memory.open(tmp_path_factory.mktemp("l") / "m", embedder="hash") as memory:
        said = [{"text": "tea", "role": "assistant"}] * assistants + [{"text": "tea", "role": "user"}] * others
        memory.add_many(said)
        found = weights_in(memory, Cue("tea"))
    ends = TOLD["weights"]["without tokens"]
    share = min(1.0, 2 * assistants / max(1, assistants + others))
    for name, weights in found.items():
        people, assistant = np.array(ends["people"][name]), np.array(ends["assistant"][name])
        np.testing.assert_allclose(weights, (1 - share) * people + share * assistant)


def test_a_cue_without_words_goes_by_hand(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add("tea")
        vector = tuple(float(x) for x in memory.embedder.embed(["tea"])[0])
        assert weights_in(memory, Cue(vector=vector)) == BY_HAND
        assert weights_in(memory, Cue("what is it")) == BY_HAND


def test_what_says_just_what_was_asked_comes_first(tmp_path: Path) -> None:
    """Turns of one session that all say nearly the same: none may stand before the one that says it."""
    said = [f"delivery number {n} arrived at the gate" for n in range(40)]
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many([{"text": text, "session": "one"} for text in said])
        memory.flush()
        for n in range(0, 40, 3):
            assert memory.recall(said[n], 1)[0].record.text == said[n]


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(-9, 9), st.booleans()), max_size=30),
    st.floats(0.01, 3),
)
def test_covering_sessions_is_a_greedy_choice(rows: list[tuple[int, int, bool]], cost: float) -> None:
    session = np.array([one for one, _, _ in rows], np.intc)
    total = np.array([one for _, one, _ in rows], np.float64)
    found = again(session, total, np.ones(len(rows), np.bool_))
    left, shown, chosen = set(range(len(rows))), dict[int, int](), list[tuple[int, float]]()
    while left:
        worth = {i: total[i] - cost * (shown.get(int(session[i]), 0) if session[i] >= 0 else 0) for i in left}
        best = max(left, key=lambda i: (worth[i], -i))
        chosen.append((best, worth[best]))
        left.remove(best)
        shown[int(session[best])] = shown.get(int(session[best]), 0) + 1
    for i, worth_then in chosen:
        assert total[i] - cost * found[i] == pytest.approx(worth_then)
    counting = np.array([one for _, _, one in rows], np.bool_)
    some = again(session, total, counting)
    for i in range(len(rows)):
        before = [(-total[j], j) < (-total[i], i) and session[j] == session[i] for j in range(len(rows))]
        assert some[i] == (sum(np.array(before, np.bool_) & counting) if session[i] >= 0 else 0)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(1, 3)), min_size=1, max_size=30))
def test_of_two_turns_beside_each_other_the_better_is_shown_first(rows: list[tuple[int, bool, int]]) -> None:
    """`rows`: what each is worth, whether it counts, and how far on from the last it stands; 1 is beside it."""
    total, counting = np.array([worth for worth, _, _ in rows], float), np.array([counts for _, counts, _ in rows])
    place = np.cumsum([step for _, _, step in rows])
    beside = np.array([[i - 1, i + 1] for i in range(len(rows))])
    beside[0, 0] = beside[-1, 1] = -1
    apart = np.diff(place) > 1
    beside[1:][apart, 0] = beside[:-1][apart, 1] = -1
    found = outdone(beside, total, counting)
    for i in range(len(rows)):
        for which, other in enumerate((i - 1, i + 1)):
            near = 0 <= other < len(rows) and abs(int(place[i] - place[other])) == 1
            better = near and (-total[other], other) < (-total[i], i)
            assert found[which, i] == (better and counting[other])


# ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────


def made(true: dict[str, list[float]], share: float, seed: int, n: int = 60) -> list[Sample]:
    """Questions whose gold is what scores best by these weights."""
    random = np.random.default_rng(seed)
    samples = []
    for q in range(n):
        said = random.normal(size=(4, len(PLANES), 30)).astype(np.float32)
        told = [np.array(w) @ said[:, list(PLANES).index(name)] for name, w in true.items()]
        scores = np.sum(told, axis=0)
        gold = {str(i) for i in np.argsort(-scores)[:2]}
        name = "locomo" if share == 0 else "beam"
        samples.append(
            Sample(
                name,
                f"{name} {q % 3}",
                "single-hop",
                frozenset(gold),
                [*map(str, range(30))],
                said,
                share,
                np.arange(30, dtype=np.intc),
                np.full((30, 2), -1),
                frozenset(map(int, gold)),
            )
        )
    return samples


def test_it_finds_the_weights_that_the_gold_goes_by() -> None:
    people, assistant = {"lexical": [1.0, 0.5, 0.0, 0.0]}, {"dense": [1.0, 0.0, 0.0, 0.0], "role": [-2.0, 0, 0, 0]}
    found = learn([*made(people, 0.0, 1), *made(assistant, 1.0, 2)])
    lexical, dense, role = (list(PLANES).index(name) for name in ("lexical", "dense", "role"))
    assert found.people[1, lexical] / found.people[0, lexical] == pytest.approx(0.5, abs=0.2)
    assert found.people[0, lexical] > 4 * abs(found.people[0, dense])
    assert found.assistant[0, role] / found.assistant[0, dense] == pytest.approx(-2, abs=0.7)
    assert found.assistant[0, dense] > 2 * abs(found.assistant[0, lexical])


def test_no_fit_counts_against_a_record_whatever_the_data_say() -> None:
    backwards = {"lexical": [-2.0, 1.0, 0.0, 0.0], "late": [0.1, 3.0, 0.0, 0.0], "phrase": [-2.0, 0.0, 0.0, 0.0]}
    found = learn([*made(backwards, 0.0, 3), *made(backwards, 1.0, 4)])
    for end in found:
        for name in FITTING:
            own, *beside = end[:, list(PLANES).index(name)]
            assert own >= max(beside) - 1e-9
            assert min(own, *beside) >= 0
        assert end[0, list(PLANES).index("phrase")] >= 1 - 1e-9


def test_what_the_data_do_not_show_keeps_its_weight() -> None:
    samples = made({"lexical": [1.0, 0.0, 0.0, 0.0]}, 0.0, 5)
    for sample in samples:
        sample.said[:, list(PLANES).index("place")] = 0
    found = learn(samples)
    assert found.people[0, list(PLANES).index("place")] > 0
    assert found.assistant[0, list(PLANES).index("role")] < 0  # no assistant was heard: as by hand


def test_left_out_is_left_out() -> None:
    samples = made({"lexical": [1.0, 0.5, 0.0, 0.0]}, 0.0, 6)
    found = learn(samples, ["lexical"])
    assert not found.people[:, list(PLANES).index("lexical")].any()
    found = learn(samples, ["neighbours"])
    assert not found.people[1:].any()


def test_held_out_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = made({"lexical": [1.0, 0.0, 0.0, 0.0]}, 0.0, 7, n=90)
    seen: list[set[str]] = []
    sound = train_ranker.learn

    def watched(given: list[Sample], without: Any = ()) -> train_ranker.Learned:
        seen.append({sample.conversation for sample in given})
        return sound(given, without)

    monkeypatch.setattr(train_ranker, "learn", watched)
    scored = held_out(samples)
    assert len(scored) == 90
    assert seen == [{"locomo 1", "locomo 2"}, {"locomo 0", "locomo 2"}, {"locomo 0", "locomo 1"}]
    told = figures(scored, {"hops": frozenset({"single-hop"})})
    assert told["all"] == told["single-hop"] == told["hops"]
    assert told["all"]["n"] == 90
    assert told["all"]["recall@5"] > 0.7, "five of thirty, drawn, would hold a sixth"
