"""Long-term memory: its associations and the published form against oracles, and inference from two origins."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Cue, InvalidInput, Memory
from agentmem.cues import Hit
from agentmem_stores.longterm import ALPHA, FLOOR, SEGMENTS, Associations, LongTermMemory, Official, context
from agentmem_stores.projection import unpack
from agentmem_stores.slots import SLOTS, TOP, Slots
from agentmem_stores.working import WorkingMemory
from tests.test_working import DEEDS, Tagged, do, flood, followed, state, stream

Rows = NDArray[np.float32]


def texts(hits: list[Hit]) -> list[str]:
    return [hit.record.text for hit in hits]


# ── what is learnt, against plain loops ──────────────────────────────────────────────────────────────────────────


class Oracle:
    """The same associations in float64, an element at a time."""

    def __init__(self, size: int, projection: NDArray[np.float64]) -> None:
        self.matrices = np.zeros((SEGMENTS, size, size))
        self.topics, self.counts = np.zeros((SEGMENTS, size)), [0] * SEGMENTS
        self.projection = projection

    def key(self, row: NDArray[Any]) -> NDArray[np.float64]:
        found = row.astype(np.float64) @ self.projection
        return found / np.linalg.norm(found)

    def known(self, key: NDArray[np.float64]) -> int:
        begun = [c for c in range(SEGMENTS) if self.counts[c]]
        near = sorted(begun, key=lambda c: -float(self.topics[c] @ key))[:3]
        return max(near, key=lambda c: float(key @ self.matrices[c] @ key))

    def learn(self, came: Rows, beside: Rows, weights: Rows) -> None:
        new = self.key(came)
        others = [(float(w), self.key(row)) for w, row in zip(weights, beside, strict=True) if w > 0.02]
        begun = [c for c in range(SEGMENTS) if self.counts[c]]
        own = max(begun, key=lambda c: float(self.topics[c] @ new), default=0)
        full = all(self.counts[c] >= 24 for c in begun)
        if begun and len(begun) < SEGMENTS and full and self.topics[own] @ new < 0:
            own = len(begun)
        self.counts[own] += 1
        topic = self.topics[own] + (new - self.topics[own]) / min(self.counts[own], 100)
        self.topics[own] = topic / np.linalg.norm(topic)
        matrix = 0.999 * self.matrices[own]
        said = [sum(new[i] * matrix[i, j] for i in range(len(new))) for j in range(len(new))]
        for i in range(len(new)):
            for j in range(len(new)):
                value = new[j] + sum(w * key[j] for w, key in others)
                matrix[i, j] += 0.7 * new[i] * (value - said[j])
        self.matrices[own] = matrix
        homes = [self.known(key) for _, key in others]
        for home in set(homes):  # all pairs of one segment see it as it was
            before = self.matrices[home].copy()
            for (w, key), where in zip(others, homes, strict=True):
                if where == home:
                    self.matrices[home] += w * max(1 - float(key @ before @ new), 0) * np.outer(key, new)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_learnt_is_what_the_oracle_learns(seed: int) -> None:
    slots, learnt = Slots(20), Associations(20, reduced=8, seed=seed)
    axes = np.eye(20, dtype=np.float32)
    drawn = np.random.default_rng(seed).standard_normal((20, 8))
    projection = np.linalg.qr(drawn)[0]
    assert projection.T @ projection == pytest.approx(np.eye(8))
    oracle = Oracle(8, projection)
    for n, row in enumerate(stream(seed, 120, 20)):
        for write in slots.perceive(str(n), row):
            beside, weights = slots.matters(), context(slots, write.slot)
            assert weights[write.slot] == 0
            assert weights.sum() <= 1 + 1e-6
            learnt.learn(write.vector, beside, weights)
            oracle.learn(write.vector, beside, weights)
        assert learnt.counts.tolist() == oracle.counts
        assert learnt.topics == pytest.approx(oracle.topics, abs=1e-5)
        assert learnt.matrices == pytest.approx(oracle.matrices, abs=1e-5)
    assert (learnt.counts > 0).sum() > 1, "there is more than one topic"
    cue = oracle.key(axes[3])
    answer = cue @ oracle.matrices[oracle.known(cue)]
    assert learnt.read(axes[3]) == pytest.approx(projection @ answer, abs=1e-5)
    assert learnt.says(axes[3], axes[:5]) == pytest.approx(
        np.array([oracle.key(axis) @ answer for axis in axes[:5]]), abs=1e-5
    )


def official(tensor: Any, held: Any, bias: float) -> Any:
    """L ← LN(L + E), in loops."""
    found = np.zeros_like(tensor)
    for c in range(len(tensor)):
        for n in range(len(held)):
            strength = sum(tensor[c][n])
            row = [tensor[c][n][f] + strength * held[n][f] for f in range(len(held[n]))]
            mean = sum(row) / len(row)
            variance = sum((x - mean) ** 2 for x in row) / len(row)
            found[c][n] = [(x - mean) / math.sqrt(variance + 1e-5) + bias for x in row]
    return found


@pytest.mark.parametrize("bias", [0.0, 0.25])
@pytest.mark.parametrize("top", [2, TOP, SLOTS])
def test_the_published_form_is_that_of_the_oracle(bias: float, top: int) -> None:
    learnt = Official(16, bias=bias, top=top, seed=4)
    tensor = learnt.tensor.astype(np.float64)
    assert ((tensor >= 0) & (tensor < 1)).all()
    for rows in np.split(stream(5, 5 * SLOTS, 16), 5):
        learnt.learn(rows[0], rows, np.zeros(SLOTS, np.float32))
        tensor = official(tensor, rows.astype(np.float64), bias)
        assert learnt.tensor == pytest.approx(tensor, abs=1e-4)
    mean = learnt.tensor.astype(np.float64).mean(axis=0)
    cue = rows[3]
    share = np.exp(mean @ cue) / np.exp(mean @ cue).sum()
    largest = sorted(range(SLOTS), key=lambda n: -share[n])[:top]
    answer = sum(share[n] * mean[n] for n in largest)  # neither scaled by √d nor renormalised
    assert learnt.read(cue) == pytest.approx(answer, abs=1e-5)


def test_without_a_bias_the_published_form_learns_once() -> None:
    """A layer norm leaves rows that sum to 0, and the sum of the row is what a slot is written with."""
    rows = np.split(stream(6, 4 * SLOTS, 64), 4)
    moved = {}
    for bias in (0.0, 1 / 8):
        learnt = Official(64, bias=bias)
        learnt.learn(rows[0][0], rows[0], np.zeros(SLOTS, np.float32))
        before = learnt.tensor.copy()
        for held in rows[1:]:
            learnt.learn(held[0], held, np.zeros(SLOTS, np.float32))
        moved[bias] = float(np.abs(learnt.tensor - before).max())
    assert moved[0.0] < 1e-3
    assert moved[1 / 8] > 1


@pytest.mark.slow
def test_thirty_thousand_steps_stay_bounded() -> None:
    """The benchmark takes a hundred thousand."""
    slots, learnt, published = Slots(12), Associations(12), Official(12, bias=0.3)
    norms = []
    rows = stream(7, 1000, 12, themes=60)
    for n in range(30_000):
        for write in slots.perceive(str(n), rows[n % 1000] if n % 7 else rows[n // 100 % 1000]):
            learnt.learn(write.vector, slots.matters(), context(slots, write.slot))
            if not n % 100:
                published.learn(write.vector, slots.matters(), np.zeros(SLOTS, np.float32))
        if not n % 100:
            norms.append(np.linalg.norm(learnt.matrices, axis=(1, 2)).max())
    assert max(norms) <= 2 * math.sqrt(12) + 1e-3
    assert max(norms[150:]) < 1.5 * max(norms[10:150]), "it does not creep"
    assert np.abs(published.tensor).max() < math.sqrt(12) + 0.3
    for kept in (learnt, published):
        assert all(np.isfinite(array).all() for array in kept.arrays().values())


def test_a_segment_never_grows_past_its_bound() -> None:
    """The same pair over and over, with weights that no slots give."""
    learnt, rows = Associations(8), np.eye(8, dtype=np.float32)
    for n in range(300):
        others = np.roll(rows, n, axis=0)
        learnt.learn(rows[n % 8], -others, np.full(8, 5, np.float32))
        assert np.linalg.norm(learnt.matrices, axis=(1, 2)).max() <= 2 * math.sqrt(8) + 1e-4


# ── two origins ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_pushed_out_comes_back_by_long_term_memory_alone(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        key = memory.add("Ana has the #brass #key")
        flood(memory, 40)
        cue = Cue("who has the #brass #key?")
        hits = followed(memory, store).recall(cue, 5)
        assert hits[0].record == key
        assert hits[0].verdict.startswith("long-term: associated with the cue, 0.")
        assert hits[0].parts["working"] == 0
        assert key.text not in texts(store.recall(cue, 5, use_longterm=False))
        assert store.recall(cue, 5, use_working=False)[0].record == key


@pytest.mark.parametrize("mode", ["associations", "official"])
def test_what_is_in_neither_is_not_made_up(tmp_path: Path, mode: Any) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host, mode=mode)
        flood(memory, 30)
        memory.add("#never #perceived", kind="thought")
        assert followed(memory, store).recall(Cue("#never #perceived"), 5) == []
        assert store.recall(Cue("nothing to go by"), 5) == []
        assert LongTermMemory(memory.host).recall(Cue("#other1"), 5) == [], "one that has followed nothing"


def test_what_was_not_lived_is_not_brought_up(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        key = memory.add("#brass #key")
        flood(memory, 20)
        memory.add("Ana thinks of the #brass #key", kind="thought")
        gone = memory.add("a #brass #key, again")
        memory.forget(gone.id)
        assert [hit.record for hit in followed(memory, store).recall(Cue("#brass #key"), 9)][:1] == [key]
        assert not [hit for hit in store.recall(Cue("#brass #key"), 9) if hit.record.kind == "thought"]


def test_a_cue_recalls_what_was_held_with_it_though_no_text_holds_both(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        for n in range(2):
            flood(memory, 12, f"before{n}")
            memory.add(f"the #lighthouse is painted, {n}")
            memory.add(f"#Marta came by, {n}")
        flood(memory, 40, "after")
        hits = followed(memory, store).recall(Cue("#lighthouse"), 9)
        assert ["#Marta" in text for text in texts(hits)][:4] == [False, False, True, True]
        assert all("#lighthouse" in text for text in texts(hits)[:2])
        assert all(hit.verdict.startswith("long-term: ") for hit in hits)
        assert store.recall(Cue("#lighthouse"), 9, use_longterm=False) == []


def test_an_item_of_both_origins_says_so_and_its_parts_are_its_score(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        working = WorkingMemory(memory.host)
        flood(memory, 20)
        memory.add("#brass #key")
        followed(memory, working)
        for cue in (Cue("#brass #key"), Cue("#other19"), Cue("#other2"), Cue("#brass")):
            both = followed(memory, store).recall(cue, 9)
            alone = {hit.record.id: hit for hit in store.recall(cue, 9, use_longterm=False)}
            for hit in both:
                assert hit.score == pytest.approx(sum(hit.parts.values()))
                assert 0 < hit.score <= 1
                origins = [name for name in ("working", "long-term") if hit.parts[name]]
                assert hit.verdict.split(":")[0] == " and ".join(origins)
                assert hit.parts["working"] == (alone[hit.record.id].score if hit.record.id in alone else 0)
            attention = {hit.record.id: hit.score for hit in working.recall(cue, 9)}
            assert {id: ALPHA * share for id, share in attention.items()} == pytest.approx(
                {id: hit.score for id, hit in alone.items()}
            )
            assert [hit.score for hit in both] == sorted((hit.score for hit in both), reverse=True)
            assert store.recall(cue, 1) == both[:1]
            assert store.recall(cue, 9, use_working=False, use_longterm=False) == []
        assert store.recall(Cue("#brass #key"), 1)[0].verdict.startswith("working and long-term: ")


def test_what_is_held_corrects_what_is_associated(tmp_path: Path) -> None:
    """U_wl: an association counts the more, the more its record is like what working memory answers."""
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        for n in range(3):
            memory.add_many([f"#bank #river, {n}", f"#reeds, {n}"])
            flood(memory, 12, f"o{n}")
        memory.add("#bank #money")
        followed(memory, store)
        cue, slots = Cue("#bank"), store._slots
        answer = slots.attention(slots.centred(memory.host.embed([cue.text]))[0]) @ slots.matters()
        assert np.linalg.norm(answer) > 0.5, "working memory says something"
        alone = {hit.record.id: hit for hit in store.recall(cue, 9, use_working=False)}
        ratios = {}
        for hit in store.recall(cue, 9):
            if hit.record.id in alone:
                likeness = float(slots.centred(memory.host.vectors([hit.record.position]))[0] @ answer)
                ratios[hit.record.text] = hit.parts["long-term"] / alone[hit.record.id].parts["long-term"]
                assert ratios[hit.record.text] == pytest.approx(1 + likeness, abs=1e-4)
        assert ratios["#bank #river, 0"] > 1.2
        assert ratios["#reeds, 0"] < 1.1


def test_a_hit_is_associated_at_least_by_the_floor(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = LongTermMemory(memory.host)
        memory.add("#one #two #three #four")
        flood(memory, 40)
        found = {}
        for cue in ("#one #two #three #four", "#one #two #three", "#one #two", "#one", "#none"):
            hits = followed(memory, store).recall(Cue(cue), 5, use_working=False)
            found[cue] = [hit.score for hit in hits if hit.record.text.startswith("#one")]
        assert [len(scores) for scores in found.values()][:2] == [1, 1]
        assert found["#none"] == []
        assert all(score >= (1 - ALPHA) * FLOOR / 2 for scores in found.values() for score in scores)


# ── a function of the journal ────────────────────────────────────────────────────────────────────────────────────


@given(deeds=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 999)), min_size=4, max_size=12))
@settings(max_examples=12)
def test_the_state_is_a_function_of_the_journal(
    deeds: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Memory.open(tmp_path_factory.mktemp("l") / "m", embedder=Tagged()) as memory:
        store, working = LongTermMemory(memory.host), WorkingMemory(memory.host)
        memory.add_many({"text": f"#t{n % 6} #u{n % 4}", "session": "s0"} for n in range(14))
        for deed, n in deeds:
            do(memory, working, deed, n)
            followed(memory, store)
        anew = followed(memory, LongTermMemory(memory.host))
        assert state(store) == state(anew)
        live = {record.id for record in memory.records()}
        for cue in (Cue("#t1 #u1"), Cue("#new"), Cue("#t3")):
            hits = store.recall(cue, 9)
            assert hits == anew.recall(cue, 9)
            assert {hit.record.id for hit in hits} <= live
        store.rebuild()
        assert state(store) == state(anew)


def test_the_slots_are_those_of_working_memory(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        memory.add_many(f"#t{n % 13} #u{n % 7}" for n in range(60))
        working, store = WorkingMemory(memory.host), LongTermMemory(memory.host)
        working = followed(memory, working)
        working.evict(working.held()[2].records[0].id)
        told, arrays = state(followed(memory, working))
        again, more = state(followed(memory, store))
        assert again == told
        assert {name: more[name] for name in arrays} == arrays


@pytest.mark.parametrize("mode", ["associations", "official"])
def test_a_restart_goes_on_where_it_stopped(tmp_path: Path, mode: Any) -> None:
    make = partial(LongTermMemory, mode=mode)
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = make(memory.host)
        memory.add_many({"text": f"#t{n % 31} #u{n % 17}", "session": f"s{n // 50}"} for n in range(600))
        was = state(followed(memory, store))
        hits = store.recall(Cue("#t3 #u9"), 5)
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = make(memory.host)
        assert store.cursor >= 512, "it began with what was kept"
        assert state(followed(memory, store)) == was
        assert store.recall(Cue("#t3 #u9"), 5) == hits
        assert make(memory.host, segments=3).cursor == 0, "what was kept is for other settings"


def test_the_size_does_not_depend_on_how_much_was_told(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store, sizes = LongTermMemory(memory.host), []
        for n in range(4):
            flood(memory, 300, f"round{n}")
            followed(memory, store)
            sizes.append((store.inspect()["size"], len(store._packed())))
        assert len({size for size, _ in sizes}) == 1
        lengths = [length for _, length in sizes]
        assert max(lengths) - min(lengths) < 45 * TOP + 10, "the ids of losers come and go"


def test_what_was_kept_of_another_kind_is_derived_anew(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        flood(memory, 20)
        store = followed(memory, LongTermMemory(memory.host))
        told, arrays = unpack(store._packed())
        store._restore(told["state"], arrays)
        for name in ("matrices", "topics", "counts", "rows"):
            for odd in (arrays[name][1:], arrays[name].astype(np.complex64)):
                with pytest.raises(ValueError, match=name):
                    store._restore(told["state"], {**arrays, name: odd})
        with pytest.raises(KeyError):
            store._restore(told["state"], {name: array for name, array in arrays.items() if name != "topics"})


def test_arguments_are_checked(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        for wrong in ({"mode": "brain"}, {"segments": 0}, {"top": -1}, {"bias": math.nan}, {"slots": 2.5}):
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                LongTermMemory(memory.host, **wrong)


def test_scopes_are_apart(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        ana, ben = memory.scope("user:ana"), memory.scope("user:ben")
        hers, his = LongTermMemory(ana.host), LongTermMemory(ben.host)
        ana.add_many(["#key", "#drawer"])
        flood(ana, 30)
        ben.add("#boat")
        assert texts(followed(ana, hers).recall(Cue("#key"), 2, use_working=False)) == ["#key", "#drawer"]
        assert followed(ben, his).recall(Cue("#key"), 5) == []


# ── rehearsed ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_rehearsed_is_learned_again_with_what_stood_before_it(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:256") as memory:
        told = [{"text": text, "session": "one"} for text in ("The kettle sang.", "Odile was sent to Lima.")]
        first, second = memory.add_many(told)
        memory.add_many({"text": f"word{n} thing{n} other{n}", "session": f"s{n // 4}"} for n in range(200))
        memory.flush()
        store = memory.stores["longterm"]
        assert isinstance(store, LongTermMemory)

        def associated() -> float:
            rows = store.host.vectors([first.position, second.position])
            centred = store._slots.centred(rows)
            return float(store._longterm.says(centred[0], centred[1:])[0])

        before = associated()
        memory.host.note("rehearse", [(second.id, "")])
        memory.stores["longterm"]  # which follows
        assert associated() > before + 0.1
        seen = state(store)
        memory.reindex("longterm")
        assert state(store) == seen
        memory.host.note("rehearse", [(first.id, "")])  # before which nothing stood
        memory.undo(2)
        memory.stores["longterm"]
        assert associated() == pytest.approx(before, abs=1e-6)
