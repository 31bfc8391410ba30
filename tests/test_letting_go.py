"""What lasts and what does not, through the face: fading, what is due, what was said again, what contexts were filled
with."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Conflict, InvalidInput, Memory, Record
from agentmem.verbs import AGAIN
from tests.fakes import TinyEmbedder

NOW = datetime.now(UTC)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        yield memory


def days(n: float) -> datetime:
    return NOW + timedelta(days=n)


# ── fading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_fades_goes_into_the_trash_in_one_step_and_comes_back(memory: Memory) -> None:
    records = memory.add_many(["The ferry was late.", "I like tea.", "Snow fell."])
    memory.feedback(records[1].id, useful=True, cue="tea")
    assert memory.fade() == []
    assert memory.fade(days(300)) == []
    found = memory.fade(days(450), dry_run=True)  # (1 / .05)² - 1 = 399 days after its only use
    assert [one.record.text for one in found] == ["The ferry was late.", "Snow fell."]
    assert all(one.strength < 0.05 and one.at <= days(450) and one.why for one in found)
    assert len(list(memory.records())) == 3
    assert memory.fade(days(450)) == found
    assert [record.text for record in memory.records()] == ["I like tea."]
    assert {change.verb for change in memory.log(2)} == {"fade"}
    memory.undo()
    assert len(list(memory.records())) == 3


def test_it_is_told_what_will_fade_and_when(memory: Memory) -> None:
    [record] = memory.add_many(["The ferry was late."])
    assert memory.fade(within=300, dry_run=True) == []
    [one] = memory.fade(within=500, dry_run=True)
    assert one.record == record
    assert abs(one.at - (record.stored_at + timedelta(days=399))) < timedelta(hours=1)
    assert memory.fade(within=500) == []  # only what has faded goes
    assert [record.id for record in memory.records()] == [record.id]


def test_what_is_pinned_never_fades(memory: Memory) -> None:
    one, other = memory.add_many(["The ferry was late.", "Snow fell."])
    memory.pin(one.id)
    assert [gone.record.id for gone in memory.fade(days(10_000))] == [other.id]
    assert memory.fade(keep=0.0) == []
    memory.pin(one.id, pinned=False)
    assert [gone.record.id for gone in memory.fade(keep=0.0)] == [one.id]


@pytest.mark.parametrize("policy", ["need", "recency", "fifo", "importance", "uniform"])
def test_a_share_stays_by_each_policy(memory: Memory, policy: str) -> None:
    memory.add_many(f"text {n}" for n in range(40))
    assert len(memory.fade(keep=0.75, policy=policy)) == 10
    assert len(list(memory.records())) == 30


def test_fading_can_be_rehearsed_and_is_bound_to_its_scope(memory: Memory) -> None:
    memory.add("The ferry was late.")
    ana = memory.scope("user:ana")
    ana.add("Snow fell.")
    with memory.rehearse():
        assert len(memory.fade(keep=0.0)) == 1
    assert len(list(memory.records())) == 1
    memory.fade(keep=0.0)
    assert [record.text for record in ana.records()] == ["Snow fell."]


def test_what_somebody_pinned_meanwhile_stays(memory: Memory) -> None:
    record = memory.add("The ferry was late.")
    store = memory.stores["rehearsal"]
    held = store.held  # type: ignore[attr-defined]

    def pinning() -> object:
        found = held()
        memory.pin(record.id)
        return found

    store.held = pinning  # type: ignore[attr-defined]
    assert memory.fade(keep=0.0) == []
    assert memory.get(record.id).state == "live"


@pytest.mark.parametrize(
    "asked",
    [
        {"policy": "luck"},
        {"policy": "fifo"},  # of itself nothing fades by it
        {"keep": 1.5},
        {"keep": -0.1},
        {"within": -1.0},
        {"within": float("nan")},
        {"within": 1e9},
        {"below": float("inf")},
        {"now": "yesterday"},
        {"now": "2024-05-01T00:00:00"},
    ],
)
def test_what_cannot_be_meant_is_refused(memory: Memory, asked: dict[str, object]) -> None:
    memory.add("The ferry was late.")
    with pytest.raises(InvalidInput):
        memory.fade(**asked)  # type: ignore[arg-type]
    assert len(list(memory.records())) == 1


def test_a_clock_that_jumped_back_fades_nothing(memory: Memory) -> None:
    memory.add("The ferry was late.", at=days(30))
    assert memory.fade(days(-10_000)) == []


# ── rehearsal ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_due_is_rehearsed_and_rests(memory: Memory) -> None:
    memory.add_many(["The ferry was late in Lisbon.", "I like green tea."])
    assert memory.due() == []
    due = memory.due(now=days(2))
    assert len(due) == 2
    assert all(0 < one.retention < 0.8 and one.since < days(2) for one in due)
    assert len(memory.due(1, now=days(2))) == 1
    report = memory.consolidate("rehearsal", now=days(2))["rehearsal"]
    assert report.counts["rehearsed"] == 2
    assert memory.due(now=days(2)) == []
    assert memory.due(now=days(10))
    memory.undo()
    assert len(memory.due(now=days(2))) == 2


def test_feedback_for_what_was_forgotten_is_no_use_until_it_is_back(memory: Memory) -> None:
    one, other = memory.add_many(["The ferry was late.", "Snow fell."])
    memory.forget(one.id)
    memory.feedback(one.id, useful=True, cue="ferry")
    assert [gone.record.id for gone in memory.fade(keep=0.0, dry_run=True)] == [other.id]
    memory.restore(one.id)
    assert [gone.record.id for gone in memory.fade(keep=0.5, dry_run=True)] == [other.id]


# ── said again ───────────────────────────────────────────────────────────────────────────────────────────────────────


def notes(memory: Memory, record: Record) -> list[dict[str, str]]:
    return [json.loads(change.cause) for change in memory.history(record.id) if change.verb == AGAIN]


def test_what_is_said_again_is_counted_and_not_stored_anew(memory: Memory) -> None:
    first = memory.add("I live in Lisbon.", speaker="Ana")
    again = memory.add("i live in  Lisbon!", speaker="Ana", repeats="count")
    assert again.id == first.id
    assert notes(memory, first) == [{"text": "i live in  Lisbon!", "kind": "exact"}]  # word for word
    assert len(list(memory.records())) == 1
    [group] = memory.repeats()
    assert (group.kind, group.count) == ("exact", 2)
    memory.undo()
    assert notes(memory, first)  # the journal keeps what was said
    assert memory.repeats() == []


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("I live in Lisbon.", "Ben"),  # somebody else's
        ("I do not live in Lisbon.", "Ana"),
        ("I live in Porto.", "Ana"),
        ("I have 3 cats in Lisbon.", "Ana"),
    ],
)
def test_what_says_something_else_is_stored(memory: Memory, text: str, speaker: str) -> None:
    memory.add("I live in Lisbon.", speaker="Ana")
    memory.add("I have 2 cats in Lisbon.", speaker="Ana")
    made = memory.add(text, speaker=speaker, repeats="count")
    assert made.text == text
    assert len(list(memory.records())) == 3


def test_what_is_like_nothing_heard_needs_no_vector_to_be_told_new(tmp_path: Path) -> None:
    asked: list[str] = []

    class Watched(TinyEmbedder):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if threading.current_thread() is threading.main_thread():
                asked.extend(texts)
            return super().embed(texts)

    with Memory.open(tmp_path / "m", embedder=Watched()) as memory:
        memory.add("Ana moved the launch of the red ferry to the third of May.")
        memory.flush()
        memory.familiarity("what the stores have followed")
        asked.clear()
        memory.add("Penguins huddle against the antarctic wind.", repeats="count")
        assert asked == []
        memory.add("Ana moved the launch of the red ferry to the fourth of June.", repeats="count")
        assert any("fourth of June" in text for text in asked)


def test_what_was_forgotten_is_not_counted_on(memory: Memory) -> None:
    first = memory.add("I live in Lisbon.", speaker="Ana")
    memory.forget(first.id)
    assert memory.add("I live in Lisbon.", speaker="Ana", repeats="count").id != first.id


def test_a_hundred_copies_push_nothing_out(memory: Memory) -> None:
    others = memory.add_many(f"The {word} ferry was late again." for word in ("red", "blue", "green", "old", "new"))
    memory.add_many(["The ferry was late again, sale now on."] * 100)
    memory.repeats()  # the store is open now
    found = memory.recall("Was the ferry late again?", 10)
    assert {record.id for record in others} <= {hit.record.id for hit in found}
    assert [one.store for one in found.asked] == ["repeats"]
    texts = [hit.record.text for hit in found]
    assert texts.index("The ferry was late again, sale now on.") < 6  # it is shown once among them
    first = next(hit for hit in found if hit.record.text.endswith("sale now on."))
    assert first.record == memory.newest(1)[0]
    assert "said 100 times" in first.verdict


def test_the_next_process_brings_each_saying_once_where_repeats_were_looked_for(tmp_path: Path) -> None:
    def asked() -> list[str]:
        with Memory.open(tmp_path / "m", embedder="hash") as memory:
            return [one.store for one in memory.recall("Was the ferry late?").asked]

    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many(["The ferry was late."] * 3)
    assert asked() == []  # nothing is derived only to be ready for a question
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.consolidate("repeats")
    assert asked() == ["repeats"]


def test_of_copies_the_filters_decide_which_is_shown(memory: Memory) -> None:
    old, new = memory.add_many({"text": "The ferry was late.", "session": s} for s in ("one", "two"))
    memory.tag(old.id, add=["kept"])
    memory.repeats()
    assert memory.recall("ferry")[0].record.id == new.id
    assert memory.recall("ferry", tags="kept")[0].record.id == old.id
    assert not memory.recall("ferry", tags="kept")[0].parts.get("repeated")


# ── exposure ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_contexts_were_filled_with(memory: Memory) -> None:
    assert memory.exposure() == []
    one, other = memory.add_many(["The ferry was late.", "Snow fell."])
    for _ in range(3):
        memory.context("When was the ferry late?", 200)
    shares = {share.record: share for share in memory.exposure()}
    assert set(shares) == {one.id, other.id}
    assert shares[one.id].contexts == 3
    assert sum(share.share for share in shares.values()) == pytest.approx(1)
    assert memory.scope("user:ana").exposure() == []


def test_what_was_shown_often_gives_its_place_and_the_best_never_does(memory: Memory) -> None:
    memory.add_many(f"The ferry was late on day {n}, and we waited for a very long time in the rain." for n in range(8))
    before = memory.context("ferry late on day 3", 220)
    seen = {hit.record.id for hit in before.hits}
    for _ in range(3):
        memory.context("ferry late on day 3", 220)
    after = memory.context("ferry late on day 3", 220, most_repeats=2)
    best = memory.recall("ferry late on day 3", 1)[0].record.id
    assert best in {hit.record.id for hit in after.hits}
    assert {hit.record.id for hit in after.hits} - seen
    assert any("gave its place to others" in line for line in after.left_out)


# ── completion ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fragment_brings_back_its_memory(memory: Memory) -> None:
    memory.add_many(["We moved the launch to 3 May.", "Bea collects old violins.", "Snow fell on the harbour."])
    found = memory.complete("collects violins")
    assert found is not None
    assert (found.record.text, found.others) == ("Bea collects old violins.", ())
    assert found.confidence == pytest.approx(1)
    assert memory.complete("zebras graze in Peru") is None
    with pytest.raises(InvalidInput):
        memory.complete("  ")


def test_of_two_that_fit_alike_both_are_named(memory: Memory) -> None:
    one = memory.add("Ana moved the launch to 3 May.", speaker="Ana")
    other = memory.add("Ben moved the launch to 4 May.", speaker="Ben")
    found = memory.complete("moved the launch to")
    assert found is not None
    assert (found.record.id, [record.id for record in found.others]) == (other.id, [one.id])
    assert found.confidence == pytest.approx(0.5)
    narrowed = memory.complete("moved the launch to", speaker="Ana")
    assert narrowed is not None
    assert (narrowed.record.id, narrowed.others) == (one.id, ())


def test_how_familiar_a_text_is(memory: Memory) -> None:
    memory.add_many(["We moved the launch to 3 May.", "Bea collects old violins."])
    assert memory.familiarity("Bea collects old violins.") == pytest.approx(1)
    assert memory.familiarity("Zebras graze beside a turquoise locomotive") < 0.5
    record = next(memory.records())
    memory.forget(record.id)
    assert memory.familiarity(record.text) < 1


def test_edits_are_seen_at_once(memory: Memory) -> None:
    record = memory.add("Bea collects old violins.")
    assert memory.complete("collects violins")
    with pytest.raises(Conflict):
        memory.edit(record.id, text="Bea collects stamps.", revision=7)
    memory.edit(record.id, text="Bea collects stamps.")
    assert memory.complete("collects violins") is None
    assert memory.complete("collects stamps")
    memory.undo()
    assert memory.complete("collects violins")
