"""Working memory: a step against an oracle in plain loops, the competition, and what a person does to the slots."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Cue, InvalidInput, Memory, RecordNotFound, UndoBlocked
from agentmem.recall.pack import estimate_tokens
from agentmem.recall.stores import Attached
from agentmem.store import Store
from agentmem_stores.projection import pack, unpack
from agentmem_stores.slots import RECORDS, SLOTS, TOP, Slots, shares
from agentmem_stores.working import WorkingMemory

S = TypeVar("S", bound=Store)
Rows = NDArray[np.float32]


class Tagged:
    """A text is the sum of its #tags, each a direction of its own; one without tags has no embedding."""

    id = "tagged-256-v1"
    dimension = 256
    in_process = True

    def embed(self, texts: Sequence[str]) -> Rows:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for tag in re.findall(r"#\w+", text):
                row += np.random.default_rng(zlib.crc32(tag.encode())).standard_normal(self.dimension)
        return rows


def followed(memory: Memory, store: S) -> S:
    """The store, up to date."""
    memory.flush()
    Attached("followed", store, memory.host, 1.0).follow()
    return store


def held(memory: Memory, store: WorkingMemory) -> list[list[str]]:
    """The texts of the slots, in order."""
    return [[record.text for record in one.records] for one in followed(memory, store).held()]


def flood(memory: Memory, number: int, name: str = "other") -> list[str]:
    """The ids of so many texts that are like nothing else."""
    return [record.id for record in memory.add_many(f"#{name}{n}" for n in range(number))]


def stream(seed: int, steps: int, dimension: int, themes: int = 7) -> Rows:
    """Unit vectors about a few themes that take turns, all with a common part, as sentences have it."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((themes, dimension)) + 1
    rows = centres[random.integers(0, themes, steps)] + random.standard_normal((steps, dimension)) * 0.9
    found: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


# ── a step ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Oracle:
    """The same step over lists of numbers, by the words of its description."""

    def __init__(self, dimension: int) -> None:
        self.vectors = [[0.0] * dimension for _ in range(SLOTS)]
        self.ids: list[list[str]] = [[] for _ in range(SLOTS)]
        self.strengths, self.ages = [0.0] * SLOTS, [0] * SLOTS
        self.mean, self.seen = [0.0] * dimension, 0
        self.losers: list[tuple[str, list[float]]] = []

    def centred(self, row: list[float]) -> list[float]:
        return unit([x - m for x, m in zip(row, self.mean, strict=True)]) if any(row) else row

    def perceive(self, id: str, row: list[float]) -> None:
        self.seen += 1
        self.mean = [m + (x - m) / (self.seen + 16) for x, m in zip(row, self.mean, strict=True)]
        self.ages, self.strengths = [a + 1 for a in self.ages], [0.96 * s for s in self.strengths]
        came = [*self.losers, (id, row)]
        cosine = [[dot(self.centred(v), self.centred(row)) for _, row in came] for v in self.vectors]
        homes: list[int | None] = [None] * len(came)
        rows = [softmax(line, 0.35) for line in cosine]
        for j in range(len(came)):
            best = max(range(SLOTS), key=lambda n: rows[n][j])
            homes[j] = best if rows[best][j] > 0 else None
        likest = [max(0, *(line[j] for line in cosine)) for j in range(len(came))]
        for n in range(SLOTS):
            members = [j for j in range(len(came)) if homes[j] == n]
            if members:
                gate = 1 / (1 + math.exp(-10 * (1 - max(likest[j] for j in members) - 0.3)))
                mixed = [(1 - 0.5 * gate) * x for x in self.vectors[n]]
                for j in members:
                    mixed = [x + gate * rows[n][j] * y for x, y in zip(mixed, came[j][1], strict=True)]
                self.vectors[n] = unit(mixed)
                self.strengths[n] += (1 - self.strengths[n]) * max(rows[n][j] for j in members)
        free = min(
            (n for n in range(SLOTS) if n not in homes), key=lambda n: (self.strengths[n] if self.ids[n] else -1, n)
        )
        novelty = softmax([1 - x for x in likest], self.strengths[free] if self.ids[free] else 0)
        open = [j for j in range(len(came)) if homes[j] is None and novelty[j] > 0]
        if open:
            taker = max(open, key=lambda j: novelty[j])
            homes[taker], self.ids[free], self.strengths[free] = free, [], 1.0
            self.vectors[free] = came[taker][1]
        for j, home in enumerate(homes):
            if home is not None:
                self.ids[home], self.ages[home] = [*self.ids[home], came[j][0]][-RECORDS:], 0
        self.losers = [one for one, home in zip(came, homes, strict=True) if home is None][-TOP:]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(row: list[float]) -> list[float]:
    return [x / math.sqrt(dot(row, row)) for x in row]


def softmax(scores: list[float], empty: float) -> list[float]:
    """The five largest shares that beat the empty column's, as they are; 0 for the others."""
    whole = sum(math.exp(10 * score) for score in (*scores, empty))
    share = [math.exp(10 * score) / whole for score in scores]
    kept = sorted(range(len(scores)), key=lambda j: -share[j])[:TOP]
    return [share[j] if j in kept and share[j] > math.exp(10 * empty) / whole else 0.0 for j in range(len(scores))]


@pytest.mark.parametrize("seed", range(6))
def test_a_step_is_that_of_the_oracle(seed: int) -> None:
    slots, oracle = Slots(24), Oracle(24)
    lost = 0
    for n, row in enumerate(stream(seed, 70, 24, themes=3 + 4 * seed)):
        slots.perceive(str(n), row)
        oracle.perceive(str(n), [float(x) for x in row])
        assert slots.ids == oracle.ids
        assert slots.losers == [id for id, _ in oracle.losers]
        assert slots.vectors == pytest.approx(np.array(oracle.vectors), abs=1e-5)
        assert slots.strengths == pytest.approx(np.array(oracle.strengths), abs=1e-5)
        filled = [n for n, ids in enumerate(slots.ids) if ids]
        assert slots.ages[filled].tolist() == [oracle.ages[n] for n in filled]
        lost += len(slots.losers)
    assert lost or seed != 4, "somebody must lose for this to be a competition"


@given(
    scores=st.lists(st.lists(st.floats(-1, 1), min_size=7, max_size=7), min_size=1, max_size=4),
    empty=st.floats(-1, 1),
    top=st.integers(1, 8),
)
def test_the_top_shares_of_a_row_stay_as_they_are(scores: list[list[float]], empty: float, top: int) -> None:
    rows = np.array(scores, np.float32)
    found = shares(rows, np.full(len(rows), empty, np.float32), top)
    for row, kept in zip(rows.astype(float), found, strict=True):
        powers = np.exp(10 * np.append(row, np.float32(empty)))
        share = powers / powers.sum()
        assert (kept > 0).sum() <= top
        assert kept[kept > 0] == pytest.approx(share[:-1][kept > 0], abs=1e-5), "not renormalised"
        left_out = share[:-1][kept == 0]
        if (kept > 0).sum() < top:
            assert (left_out <= share[-1] + 1e-6).all(), "room was left only by what the empty column beats"
        elif len(left_out):
            assert left_out.max() <= kept[kept > 0].min() + 1e-6


def test_a_loser_leaves_the_slots_as_they_are() -> None:
    def after(loser: Rows) -> Slots:
        slots = Slots(32)
        for n in range(SLOTS):
            slots.perceive(str(n), np.eye(32, dtype=np.float32)[n])
        slots.perceive("loser", loser)
        return slots

    # Half like a slot: too like it to be new, when all slots are fresh, and too little to join.
    half = np.eye(32, dtype=np.float32)[0] * 0.4 + np.eye(32, dtype=np.float32)[20]
    one, other = (after((half + e * np.eye(32, dtype=np.float32)[21]) / np.linalg.norm(half)) for e in (0.0, 0.01))
    assert one.losers == other.losers == ["loser"]
    assert (one.vectors == other.vectors).all()
    assert (one.strengths == other.strengths).all()
    assert one.ids == other.ids == [[str(n)] for n in range(SLOTS)]
    assert "loser" in {write.id for n in range(40) for write in one.perceive(f"{n}", np.eye(32, dtype=np.float32)[1])}


def test_losers_compete_within_their_session() -> None:
    axes = np.eye(32, dtype=np.float32)
    for session in ("one", "other"):
        slots = Slots(32)
        for n in range(SLOTS):
            slots.perceive(str(n), axes[n], session="one")
        slots.perceive("loser", (0.4 * axes[0] + axes[20]) / np.float32(np.hypot(0.4, 1)), session="one")
        assert slots.losers == ["loser"]
        won = {write.id for n in range(12) for write in slots.perceive(f"again {n}", axes[1], session=session)}
        assert ("loser" in won) == (session == "one")


def test_a_loser_is_not_written_and_stays_in_the_log(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        flood(memory, SLOTS)
        loser = memory.add("#other0 " + " ".join(f"#more{n}" for n in range(4)))  # neither new nor like
        texts = [text for slot in held(memory, store) for text in slot]
        assert loser.text not in texts
        assert memory.get(loser.id) == loser
        assert store.inspect()["lost of late"] == [loser.id]


def test_what_has_no_embedding_is_not_held(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        memory.add_many(["nothing to go by", "#boat", "nothing again"])
        assert held(memory, store) == [["#boat"]]
        assert store.recall(Cue("no tag either"), 5) == []


def test_derived_records_are_not_perceived(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        memory.add("#boat")
        memory.add("#thought", kind="thought")
        assert held(memory, WorkingMemory(memory.host)) == [["#boat"]]


@pytest.mark.parametrize("pins", [0, 97])
def test_the_size_is_bounded(pins: int) -> None:
    """As bytes it is a fixed part and the ids: at most so many of slots, of pins and of losers."""
    slots, sizes = Slots(16), []
    for n, row in enumerate(stream(3, 5000, 16, themes=40)):
        slots.perceive(f"{n:036}", row, pinned=bool(pins) and n % pins == 0, session=str(n // 500))
        if n % 20 == 0:
            told, arrays = slots.dump()
            sizes.append(len(pack(told, **arrays)))
    told, arrays = Slots(16).dump()
    an_id = len(', "000000000000000000000000000000000000"')
    most = len(pack({**told, "seen": 5000, "session": "0"}, **arrays)) + an_id * (SLOTS * RECORDS * 2 + TOP)
    assert max(sizes) <= most
    if not pins:
        assert max(sizes[125:]) <= max(sizes[25:125]) + TOP * an_id
    assert np.linalg.norm(slots.vectors, axis=1) == pytest.approx(np.ones(SLOTS), abs=1e-5)
    assert ((slots.strengths >= 0) & (slots.strengths <= 1)).all()
    assert all(len(ids) <= RECORDS for ids in slots.ids)
    named = [id for ids in slots.ids for id in ids] + slots.losers
    assert len(named) == len(set(named)), "no record is in two places"
    assert slots.pinned <= set(named)


# ── what a person sees and does ──────────────────────────────────────────────────────────────────────────────────


def test_what_is_held_is_told_in_words(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        key, _, again = memory.add_many(["the #brass #key", "the #boat", "Ana's #brass #key"])
        memory.pin(key.id)
        boat, keys = sorted(followed(memory, store).held(), key=lambda one: len(one.records))
        assert [record.id for record in keys.records] == [key.id, again.id]
        assert keys.tokens == sum(estimate_tokens(record.text) for record in keys.records)
        assert (keys.age, boat.age) == (0, 1)
        assert re.fullmatch(r"the newest, like what was held: cosine (0\.9\d|1\.00); pinned", keys.why)
        assert re.fullmatch(r"like nothing held: cosine 0\.[0-3]\d", boat.why)
        assert keys.pinned
        assert not boat.pinned
        assert 0 < boat.strength <= 1


def test_a_cue_finds_what_is_held_and_no_more(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        key, boat = memory.add_many(["#key", "#boat"])
        [hit] = followed(memory, store).recall(Cue("where is the #key?"), 5)
        assert hit.record == key
        assert hit.score == pytest.approx(hit.parts["working"])
        assert hit.verdict == "working: 1.00 of the attention to what is held"
        assert [hit.record for hit in store.recall(Cue("#boat"), 5)] == [boat]
        assert store.recall(Cue("#zebra"), 5) == []
        assert store.recall(Cue("#key"), 0) == []
        flood(memory, 30)
        assert followed(memory, store).recall(Cue("#key"), 5) == [], "distractors pushed it out"


def test_what_is_pinned_stays(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        key, boat = memory.add_many(["#key", "#boat"])
        memory.pin(key.id)
        flood(memory, 100)
        texts = held(memory, store)
        assert ["#key"] in texts
        assert "#boat" not in [text for slot in texts for text in slot]
        [pinned] = [one for one in store.held() if one.pinned]
        assert pinned.strength == 1, "it does not fade"
        memory.pin(boat.id)
        assert "#boat" in [texts[0] for texts in held(memory, store)], "one that was pushed out long ago comes back"
        memory.undo(3)
        assert not [one for one in followed(memory, store).held() if one.pinned]


def test_what_is_like_a_pinned_slot_joins_it_and_does_not_move_it() -> None:
    slots = Slots(16)
    first, *others = stream(1, 30, 16, themes=1)
    slots.perceive("pinned", first, pinned=True)
    for n, row in enumerate(others):
        slots.perceive(str(n), row)
    slot = slots.holding("pinned")
    assert slot is not None
    assert len(slots.ids[slot]) == RECORDS
    assert (slots.vectors[slot] == first).all()


def test_more_pins_than_slots_are_held_together() -> None:
    slots = Slots(64)
    for n in range(SLOTS + 5):
        [write] = slots.perceive(str(n), np.eye(64, dtype=np.float32)[n], pinned=True)
        assert write.id == str(n)
    assert {id for ids in slots.ids for id in ids} == {str(n) for n in range(SLOTS + 5)}
    assert slots.perceive("free", np.eye(64, dtype=np.float32)[40]) == [], "there is no slot to be had"


def test_evicting_and_arranging_are_undone(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        one, two, three, four = memory.add_many(["#one", "#two", "#three", "#four"])
        before = held(memory, store)
        assert before == [["#four"], ["#three"], ["#two"], ["#one"]]

        [change] = store.evict(two.id)
        assert (change.verb, change.before, change.after) == ("evict", {}, {})
        assert held(memory, store) == [["#four"], ["#three"], ["#one"]]
        assert memory.get(two.id) == two

        store.arrange([one.id, four.id])
        assert held(memory, store) == [["#one"], ["#four"], ["#three"]]
        memory.add("#five")
        assert held(memory, store) == [["#one"], ["#four"], ["#five"], ["#three"]]
        followed(memory, store).arrange([three.id])
        assert held(memory, store)[0] == ["#three"]

        memory.undo()
        assert held(memory, store) == [["#one"], ["#four"], ["#five"], ["#three"]]
        memory.undo(3)
        assert held(memory, store) == before
        memory.redo()
        assert held(memory, store) == [["#four"], ["#three"], ["#one"]]


def test_what_cannot_be_evicted_or_arranged_is_refused(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        gone, *_ = flood(memory, 40)
        kept = memory.add("#kept")
        memory.pin(kept.id)
        followed(memory, store)
        head = memory.host.ledger.head()
        for refused in (store.evict, lambda id: store.arrange([kept.id, id])):
            with pytest.raises(RecordNotFound):
                refused("nobody")
            with pytest.raises(InvalidInput, match="not in working memory"):
                refused(gone)
        with pytest.raises(InvalidInput, match="is pinned"):
            store.evict(kept.id)
        with pytest.raises(InvalidInput, match="must be a list"):
            store.arrange(kept.id)
        with pytest.raises(InvalidInput, match="no id"):
            store.evict()
        assert memory.host.ledger.head() == head, "nothing was journaled"
        with pytest.raises(InvalidInput, match="slots"):
            WorkingMemory(memory.host, slots=0)


def test_one_pinned_after_it_was_evicted_is_held(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        one, _ = memory.add_many(["#one", "#two"])
        followed(memory, store).evict(one.id)
        assert held(memory, store) == [["#two"]]
        memory.pin(one.id)
        assert ["#one"] in held(memory, store)


# ── a function of the journal ────────────────────────────────────────────────────────────────────────────────────

DEEDS = ("add", "edit", "move", "forget", "restore", "erase", "pin", "unpin", "evict", "arrange", "undo", "redo")


def do(memory: Memory, store: WorkingMemory, deed: str, n: int) -> None:
    """One change of a walk, where it is possible."""
    records = list(memory.records()) or [memory.add("#first")]
    record = records[n % len(records)]
    if deed == "add":
        memory.add(f"#t{n % 9} #u{n % 5}", session=f"s{n % 2}")
    elif deed == "edit":
        memory.edit(record.id, text=f"#t{n % 7} #new")
    elif deed == "move":
        memory.edit(record.id, session=f"s{n % 3}")
    elif deed == "forget":
        memory.forget(record.id)
    elif deed == "erase" and len(records) > 12:
        memory.forget(record.id, hard=True)
    elif deed == "restore":
        memory.restore(next(memory.records(states=("forgotten",)), record).id)
    elif deed in ("pin", "unpin"):
        memory.pin(record.id, pinned=deed == "pin")
    elif deed in ("evict", "arrange"):
        inside = [r.id for one in followed(memory, store).held() for r in one.records if not r.pinned]
        if inside and deed == "evict":
            store.evict(inside[n % len(inside)])
        elif inside:
            store.arrange(inside[n % len(inside) :])
    elif deed == "undo":
        with suppress(UndoBlocked):  # it was erased
            memory.undo()
    elif deed == "redo":
        memory.redo()


def state(store: Any) -> tuple[Any, dict[str, list[Any]]]:
    told, arrays = store._dump()
    return told, {name: array.tolist() for name, array in arrays.items()}


@given(deeds=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 999)), min_size=4, max_size=14))
@settings(max_examples=25)
def test_the_state_is_a_function_of_the_journal(
    deeds: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Memory.open(tmp_path_factory.mktemp("w") / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        memory.add_many({"text": f"#t{n % 6} #u{n % 4}", "session": "s0"} for n in range(14))
        for deed, n in deeds:
            do(memory, store, deed, n)
            followed(memory, store)
        anew = followed(memory, WorkingMemory(memory.host))
        assert state(store) == state(anew)
        assert store.held() == anew.held()
        store.rebuild()
        assert state(store) == state(anew)
        live = {record.id for record in memory.records()}
        assert {record.id for one in store.held() for record in one.records} <= live


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        memory.add_many({"text": f"#t{n % 31} #u{n % 17}", "session": f"s{n // 50}"} for n in range(700))
        one = followed(memory, store).held()[3].records[0]
        store.arrange([one.id])
        before = followed(memory, store).held()
        was = state(store)
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        store = WorkingMemory(memory.host)
        assert store.cursor > 500, "it began with what was kept"
        assert followed(memory, store).held() == before
        assert state(store) == was
        smaller = WorkingMemory(memory.host, slots=5)
        assert smaller.cursor == 0, "what was kept is for other settings"


@pytest.mark.parametrize("name", ["rows", "strengths", "mean", "ages"])
def test_what_was_kept_of_another_kind_is_refused(name: str) -> None:
    slots = Slots(8)
    slots.perceive("one", np.eye(8, dtype=np.float32)[0])
    told, arrays = unpack(pack(slots.dump()[0], **slots.dump()[1]))
    Slots(8).restore(told, arrays)
    odd = arrays[name].astype(np.float64) * np.nan
    for other in (arrays[name][:-1], odd, arrays[name].astype(np.float16)):
        with pytest.raises(ValueError, match=name):
            Slots(8).restore(told, {**arrays, name: other})
    for ids in ([["one"]] * 7, ["one"] * 8, [[1]] * 8, [["a"] * (RECORDS + 1)] * 8):
        with pytest.raises(ValueError, match=r"slots|ids"):
            Slots(8).restore({**told, "ids": ids}, arrays)


def test_scopes_are_apart(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Tagged()) as memory:
        ana, ben = memory.scope("user:ana"), memory.scope("user:ben")
        hers, his = WorkingMemory(ana.host), WorkingMemory(ben.host)
        key = ana.add("#key")
        ben.add("#boat")
        assert held(ana, hers) == [["#key"]]
        assert held(ben, his) == [["#boat"]]
        assert followed(ben, his).recall(Cue("#key"), 5) == []
        with pytest.raises(RecordNotFound):
            his.evict(key.id)
