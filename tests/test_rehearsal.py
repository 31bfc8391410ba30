"""Rehearsal: what counts as a use, what is due and comes back, and that the journal alone decides."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import AgentMemError, Cue, InvalidInput, Memory, Record, Scope
from agentmem.dynamics import Spacing, fading, needs
from agentmem.embedding import AnyEmbedder
from agentmem.ledger import Draft, Reader, Segment, Transaction
from agentmem.recall.corpus import micros, moment
from agentmem.recall.stores import Attached
from agentmem.values import now as present
from agentmem_stores.projection import pack, unpack
from agentmem_stores.rehearsal import REHEARSE, RehearsalMemory, Visit, views_of
from agentmem_stores.usage import RECENT, Usage
from tests.fakes import TinyEmbedder

DAY = timedelta(days=1)
LATE = present() + 900 * DAY
TEXTS = [f"the {thing} number {n} stands beside the {other}" for n, (thing, other) in enumerate(
    (a, b) for a in ("kettle", "violin", "ferry", "lantern", "bridge") for b in ("harbour", "market", "window", "well")
)]  # fmt: skip


@contextmanager
def opened(folder: Path, embedder: str | AnyEmbedder = "hash:64") -> Iterator[tuple[Memory, Callable[[], Any]]]:
    """A memory, and its rehearsals, up to date at each call."""
    with Memory.open(folder / "m", embedder=embedder) as memory:
        memory.attach("tried", RehearsalMemory)

        def store() -> RehearsalMemory:
            memory.flush()
            found = memory.stores["tried"]
            assert isinstance(found, RehearsalMemory)
            return found

        yield memory, store


def noted(memory: Memory, record: Record, verb: str, cause: str = "") -> None:
    """A note, as other parts write them."""

    def plan(reader: Reader) -> list[Draft]:
        return [Draft(verb, one.id, {}, {}, one) for one in reader.get([record.id])]

    memory.host.write(plan, cause)


def counts(store: RehearsalMemory, *records: Record, noted: bool = True) -> list[int]:
    found: list[int] = store.uses([record.position for record in records], noted=noted).counts().tolist()
    return found


def of(memory: Memory, store: RehearsalMemory) -> tuple[Any, ...]:
    """All that is known of each record."""
    positions = [record.position for record in memory.records(states=("live", "forgotten", "replaced"))]
    uses = store.uses(positions)
    due = [(one.record.id, one.since, one.retention) for one in store.due(LATE, 10_000)]
    return needs(uses, micros(LATE)).tolist(), uses.counts().tolist(), due, dict(store.inspect())


# ── uses ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_use_is_that_it_was_stored_or_useful_or_said_again_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        one, other = memory.add_many(["the kettle is blue", "the lamp is green"])
        memory.feedback(one.id, useful=True, cue="kettle")
        memory.feedback(one.id, useful=False, cue="lamp")
        noted(memory, one, "again", json.dumps({"text": "the kettle is blue", "kind": "exact"}))
        noted(memory, one, REHEARSE)
        noted(memory, one, "feedback", "useful, believe me")  # no feedback: its cause is forged
        noted(memory, one, "feedback", '{"useful": "yes", "cue": ""}')
        memory.edit(one.id, text="the kettle is red")
        assert counts(store(), one, other) == [2, 0]
        assert counts(store(), one, other, noted=False) == [3, 1]


def test_what_happened_another_day_than_it_was_stored_counts_for_both(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        old, fresh, planned = memory.add_many(
            [{"text": text, "at": present() + days * DAY} for text, days in (("a", -500), ("b", -0.1), ("c", 30))]
        )
        uses = store().uses([old.position, fresh.position, planned.position])
        assert uses.counts().tolist() == [2, 1, 2]
        later = micros(present() + 20 * DAY)
        assert needs(uses, later) == pytest.approx([521**-0.5 + 21**-0.5, 21**-0.5, 21**-0.5 + 1], rel=1e-3)
        memory.edit(fresh.id, at=present() - 3 * DAY)
        assert counts(store(), fresh, noted=False) == [2]


def test_times_of_the_last_uses_are_kept_and_older_ones_are_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        record = memory.add("the kettle is blue")
        times = []
        for _ in range(3 * RECENT):
            memory.feedback(record.id, useful=True, cue="")
            times.append(memory.log(1)[0].at)
        uses = store().uses([record.position], noted=True)
        assert uses.counts().tolist() == [3 * RECENT]
        assert uses.times.tolist() == [micros(at) for at in times[-RECENT:]]
        assert uses.older.tolist() == [2 * RECENT]
        later = times[-1] + 40 * DAY
        exact = sum((1 + (later - at) / DAY) ** -0.5 for at in times)
        assert needs(uses, micros(later))[0] == pytest.approx(exact, rel=1e-3)


def test_uses_that_are_counted_lie_between_storing_and_the_oldest_kept() -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    record = replace(Record.create("a", scope=Scope("s"), at=begin), stored_at=begin)
    object.__setattr__(record, "position", 7)
    usage = Usage(Spacing())
    usage.insert([record])
    days = list(range(0, 300, 3))
    for day in random.Random(1).sample(days, len(days)):  # a clock that jumps
        usage.used(7, 0, micros(begin + day * DAY))
    uses = usage.uses([7], noted=True)
    assert uses.times.tolist() == [micros(begin + day * DAY) for day in days[-RECENT:]]
    exact = sum((1 + 400 - day) ** -0.5 for day in days)
    assert needs(uses, micros(begin + 400 * DAY))[0] == pytest.approx(exact, rel=0.01)


def test_feedback_for_a_forgotten_record_counts_nothing_until_it_is_restored(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        record = memory.add("the kettle is blue")
        memory.forget(record.id)
        memory.feedback(record.id, useful=True, cue="kettle")
        assert counts(store(), record, noted=False) == [0]
        assert store().held()[0] == []
        assert store().due(present() + 90 * DAY) == []
        memory.restore(record.id)
        assert counts(store(), record) == [1]
        memory.forget(record.id, hard=True)
        assert store().inspect()["size"] == 0


def test_what_is_undone_was_no_use_and_what_is_redone_is_one(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        record = memory.add("the kettle is blue")
        memory.feedback(record.id, useful=True, cue="kettle")
        seen = []
        for verb in (memory.undo, memory.redo, memory.undo):
            verb()
            seen += counts(store(), record)
        assert seen == [0, 1, 0]
        memory.undo()  # of the add
        memory.redo()
        memory.feedback(record.id, useful=True, cue="kettle")
        assert counts(store(), record) == [1]


def test_what_was_taken_away_comes_back_where_it_stood(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        first, second, third = (memory.add(text) for text in TEXTS[:3])
        memory.feedback(second.id, useful=True, cue="")
        memory.undo(step=first.position)
        assert counts(store(), first, second, third, noted=False) == [0, 2, 1]
        memory.redo()
        assert counts(store(), first, second, third, noted=False) == [1, 2, 1]
        following = of(memory, store())
        memory.reindex("tried")
        assert of(memory, store()) == following


def test_change_by_change_it_comes_to_the_same(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        record = memory.add("the kettle is blue")
        for verb in ("feedback", "undo", "redo", "feedback", "forget", "restore"):
            if verb == "feedback":
                memory.feedback(record.id, useful=True, cue="")
            else:
                getattr(memory, verb)(*([record.id] if verb in ("forget", "restore") else []))
        slow = RehearsalMemory(memory.host)
        seen = []
        for change in memory.host.ledger.changes():  # the ledger is ahead of it all the time
            slow.apply([change])
            seen.append(slow.inspect()["uses"])
        assert seen == [0, 1, 0, 1, 2, 2, 2]  # a row is shown as it stands by now, which is live
        assert of(memory, slow) == of(memory, store())


@settings(max_examples=15, deadline=None)
@given(walk=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30), st.booleans()), max_size=25))
def test_following_is_building_anew_and_agrees_with_what_the_memory_tells(
    walk: list[tuple[int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("w"), TinyEmbedder()) as (memory, store):
        memory.add_many(f"record {n}" for n in range(6))
        for kind, n, follows in walk:
            ids = [record.id for record in memory.records(states=("live", "forgotten"))]
            if not ids:
                break
            id = ids[n % len(ids)]
            verbs: list[Callable[[], Any]] = [
                partial(memory.add, f"more {n}"),
                partial(memory.feedback, id, useful=True, cue="c"),
                partial(memory.feedback, id, useful=False, cue="c"),
                partial(memory.forget, id),
                partial(memory.restore, id),
                memory.undo,
                memory.redo,
                partial(memory.forget, id, hard=n < 10),
                partial(memory.consolidate, "tried", now=present() + n * DAY),
            ]
            with suppress(AgentMemError):  # nothing to restore, undo blocked: nothing was changed
                verbs[kind]()
            if follows:
                store()
        following = of(memory, store())
        memory.reindex("tried")
        assert of(memory, store()) == following
        kept = RehearsalMemory(memory.host)
        assert kept.cursor == memory.stats().head
        assert of(memory, kept) == following
        useful = Counter(said.record for said in memory.feedbacks() if said.useful)
        live = list(memory.records())
        assert counts(store(), *live) == [useful[record.id] for record in live]


def test_it_goes_on_where_it_stopped_and_what_is_damaged_is_derived_anew(tmp_path: Path) -> None:
    def damaged(name: str, change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
        def make(data: bytes) -> bytes:
            told, arrays = unpack(data)
            return pack(told, **{**arrays, name: change(arrays[name])})

        return make

    with opened(tmp_path) as (memory, store):
        records = memory.add_many(f"record {n}" for n in range(400))
        for record in records[:20]:
            memory.feedback(record.id, useful=True, cue="")
        wanted = of(memory, store())
        [kept] = memory.host.ledger.segments("rehearsal")
        assert RehearsalMemory(memory.host).cursor == kept.until
        harms: list[Callable[[bytes], bytes]] = [
            lambda data: data[:100],
            lambda data: pack(["rehearsal", 0, None], **unpack(data)[1]),
            damaged("positions", lambda array: array[::-1]),
            damaged("positions", lambda array: array + 10_000),
            damaged("positions", lambda array: array[:-1]),
            damaged("positions", lambda array: array.astype(np.float64)),
            damaged("rows", lambda array: _with(array, "interval", np.nan)),
            damaged("rows", lambda array: _with(array, "interval", 0)),
            damaged("rows", lambda array: _with(array, "used", -1)),
            damaged("rows", lambda array: _with(array, "used", 7)),
            damaged("times", lambda array: np.append(array, 5)),
        ]
        for harm in harms:
            segment = Segment(kept.until, harm(kept.data))

            def put(transaction: Transaction, segment: Segment = segment) -> None:
                assert transaction.put_segment("rehearsal", segment, standing=[kept.until], kept=0)

            memory.host.ledger.transact(put)
            fresh = RehearsalMemory(memory.host)
            assert fresh.cursor == 0
            Attached("fresh", fresh, memory.host, 1.0).follow()
            assert of(memory, fresh) == wanted


def _with(array: Any, name: str, value: float) -> Any:
    changed = array.copy()
    changed[name][3] = value
    return changed


def test_another_spacing_is_derived_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        memory.add_many(f"record {n}" for n in range(300))
        store()
        assert RehearsalMemory(memory.host).cursor > 0
        assert RehearsalMemory(memory.host, spacing=Spacing(growth=3)).cursor == 0


# ── fading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_of_use_fades_later_and_what_is_made_from_others_not_by_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        plain, useful, weak, pinned = memory.add_many(
            [{"text": "a"}, {"text": "b"}, {"text": "c", "strength": 0.1}, {"text": "d", "pinned": True}]
        )
        memory.add("e", kind="summary", sources=[plain.id])
        memory.feedback(useful.id, useful=True, cue="")
        records, uses = store().held()
        assert [record.id for record in records] == [plain.id, useful.id, weak.id, pinned.id]
        found = fading(records, uses, present(), within=3650 * DAY)
        assert [one.record.id for one in found] == [weak.id, plain.id, useful.id]
        assert [round((one.at - present()) / DAY) for one in found] == [3, 399, 1599]  # (0.1, 1 and 2 / 0.05)² - 1
        assert [one.record.id for one in fading(records, uses, present() + 2 * DAY, keep=0.5)] == [weak.id, plain.id]


def test_what_was_imported_of_long_ago_does_not_fade_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        memory.add_many({"text": f"record {n}", "at": present() - (1_000 + n) * DAY} for n in range(5))
        records, uses = store().held()
        assert fading(records, uses, present()) == []
        foretold = fading(records, uses, present(), within=9_000 * DAY)
        assert [one.record.text for one in foretold] == [f"record {n}" for n in (4, 3, 2, 1, 0)]
        assert all((one.at - present()) / DAY > 399 for one in foretold)


# ── rehearsing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_due_is_put_to_the_test_within_a_budget_a_day_and_rests_longer(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        memory.add_many(TEXTS)
        begin = present()
        assert store().due(begin + DAY / 2) == []
        assert len(store().due(begin + 1.1 * DAY, 100)) == len(TEXTS)
        for days, interval in ((1.1, 2), (3.2, 4), (7.3, 8)):
            reports = [store().consolidate(begin + days * DAY) for _ in range(3)]
            assert [report.counts["rehearsed"] > 0 for report in reports] == [True, False, False]
            assert store().due(begin + days * DAY, 100) == []
            assert store().inspect()["longest interval, days"] == interval
        assert store().inspect()["rehearsed"] == len(TEXTS)


def test_what_was_used_of_late_is_not_due(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        used, other = memory.add_many(TEXTS[:2])
        store()
        memory.feedback(used.id, useful=True, cue="")
        [again] = store().uses([used.position], noted=True).times.tolist()
        assert [one.record.id for one in store().due(moment(again - 1) + DAY)] == [other.id]
        assert {one.record.id for one in store().due(moment(again) + DAY)} == {used.id, other.id}


def test_a_budget_is_kept_and_the_same_journal_draws_the_same(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many(TEXTS)
        memory.flush()
        store = RehearsalMemory(memory.host, budget=6)
        later = present() + 2 * DAY
        for day in range(3):
            for _ in range(2):
                store.consolidate(later + day * DAY)
        visits = [change for change in memory.log(1_000) if change.verb == REHEARSE]
        steps = Counter(change.step for change in visits)
        assert list(steps.values()) == [6, 6, 6]
        assert {change.actor for change in visits} == {"agentmem"}
        positions = {record.id: record.position for record in memory.records()}
        told = [Visit.told(change, positions[change.record_id]) for change in visits]
        assert {one.at for one in told} == {micros(later + day * DAY) for day in range(3)}
        assert all(0 <= one.found <= one.of == 4 for one in told)


def test_with_a_clock_that_jumped_back_nothing_is_due(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        [record] = memory.add_many(TEXTS[:1])
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        assert store().due(long_ago) == []
        assert store().consolidate(long_ago).summary == "nothing to do"
        store().consolidate(present() + 400 * DAY)
        assert store().due(present() + 40 * DAY) == []  # it was looked at later than that
        assert needs(store().uses([record.position]), micros(long_ago)).tolist() == [1.0]
        with pytest.raises(InvalidInput, match="time zone"):
            store().consolidate(datetime(2024, 1, 1))  # noqa: DTZ001  # refused for just that


def test_what_was_looked_at_by_a_clock_ahead_takes_no_budget_from_today(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many(TEXTS[:2])
        memory.flush()
        store = RehearsalMemory(memory.host, budget=1)
        for days in (400, 2):
            assert store.consolidate(present() + days * DAY).counts["rehearsed"] == 1


class Counting(TinyEmbedder):
    """Remembers what it was asked for."""

    id = "counting-8-v1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return super().embed(texts)


@pytest.mark.parametrize("views", [1, 2, 4])
def test_each_view_is_used_once_a_visit_and_then_it_rests(tmp_path: Path, views: int) -> None:
    embedder = Counting()
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        records = memory.add_many([{"text": text, "speaker": "Ana", "place": "pier 3"} for text in TEXTS[:3]])
        memory.flush()
        store = RehearsalMemory(memory.host, views=views)
        embedder.asked.clear()
        store.consolidate(present() + 2 * DAY)
        rarity = Counter(word for text in TEXTS[:3] for word in set(text.split()))
        wanted = [view for record in records for view in views_of(record, rarity)[:views]]
        assert sorted(embedder.asked) == sorted(wanted)
        assert len(wanted) == 3 * views
        store.consolidate(present() + 2 * DAY + timedelta(hours=1))
        assert len(embedder.asked) == 3 * views


def test_views_are_parts_of_what_was_said() -> None:
    rarity = {"the": 90, "of": 80, "kettle": 2, "zinc": 1, "is": 70, "made": 9}
    with_all = Record.create(
        "The kettle is made of the zinc",
        scope=Scope("s"),
        speaker="Ana",
        place="pier 3",
        at="2024-05-03T00:00:00Z",
    )
    assert views_of(with_all, rarity) == [
        "zinc kettle made is of",
        "The kettle is",
        "made of the zinc",
        "Ana pier 3 2024-05-03 zinc",
    ]
    for text in ("x", "???", "日本語のテキスト", "y" * 100_000):
        views = views_of(Record.create(text, scope=Scope("s")), {})
        assert views
        assert all(view.strip() and len(view) <= 2_000 for view in views)


def test_what_cannot_be_found_is_said_and_comes_sooner(tmp_path: Path) -> None:
    with opened(tmp_path, "hash:64") as (memory, store):
        alike = memory.add_many(["the same words again and again"] * 30)  # each view brings up ten
        unlike = memory.add("a zebra crossed the frozen canal")
        report = store().consolidate(present() + 2 * DAY)
        assert report.counts["rehearsed"] == 31
        assert 1 <= report.counts["found"] <= 1 + 4 * 10 // 3  # three views of four
        assert report.counts["lost"] > 0
        lost = store().inspect()["cannot be found"]
        assert set(lost) <= {record.id for record in alike}
        assert len(lost) == report.counts["lost"]
        assert all(id in report.summary for id in lost)
        assert unlike.id not in report.summary
        due = [one.record.id for one in store().due(present() + 3.5 * DAY, 100)]
        assert set(lost) <= set(due)  # their interval is the least there is, a day; what came back rests for two
        assert unlike.id not in due


def test_a_rehearsal_is_no_use_and_is_undone_like_everything(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        records = memory.add_many(TEXTS)
        before, revisions = of(memory, store()), [record.to_json() for record in memory.records()]
        memory.consolidate("tried", now=present() + 2 * DAY)
        assert store().inspect()["rehearsed"] == len(TEXTS)
        assert counts(store(), *records) == [0] * len(TEXTS)
        assert [record.to_json() for record in memory.records()] == revisions
        memory.undo()
        assert of(memory, store()) == before


def test_a_note_of_a_rehearsal_that_tells_no_figures_says_it_was_found(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        record = memory.add("the kettle is blue")
        more = {"at": "2024-01-01T00:00:00+00:00", "found": {str(record.position): [0, 40_000]}}
        causes = ["", "looked at it", json.dumps(more), "[" * 100_000, "{}"]
        for n, cause in enumerate(causes, 1):
            noted(memory, record, REHEARSE, cause)
            assert store().inspect()["longest interval, days"] == 2.0**n
        begin = present() + 100 * DAY
        noted(memory, record, REHEARSE, Visit.cause(begin, {record.position: (2, 4)}))  # half is not more than half
        assert store().inspect()["longest interval, days"] == 2.0**4
        assert store().due(begin + 15.9 * DAY) == []
        [due] = store().due(begin + 16.1 * DAY)
        assert due.record.id == record.id
        assert due.since == begin + 16 * DAY
        assert 0.79 < due.retention < 0.8


class Broken(TinyEmbedder):
    """May break."""

    id = "broken-8-v1"
    broken = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.broken:
            raise OSError("no such model")
        return super().embed(texts)


def test_without_an_embedder_rehearsals_wait_and_uses_count_all_the_same(tmp_path: Path) -> None:
    embedder = Broken()
    with opened(tmp_path, embedder) as (memory, store):
        memory.add_many(TEXTS)
        store()
        embedder.broken = True
        report = memory.consolidate("tried", now=present() + 2 * DAY)["tried"]
        assert "20 due wait" in report.summary
        late = memory.add("one without a vector")
        memory.feedback(late.id, useful=True, cue="")
        embedder.broken = False
        assert store().inspect()["rehearsed"] == 0
        assert counts(store(), late) == [1]
        assert memory.consolidate("tried", now=present() + 2 * DAY)["tried"].counts["rehearsed"] == 21


class Meddling(TinyEmbedder):
    """Somebody does something while it works."""

    id = "meddling-8-v1"
    meddle: Callable[[], object] = staticmethod(lambda: None)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.meddle()
        return super().embed(texts)


def test_what_is_forgotten_while_it_is_put_to_the_test_has_no_note(tmp_path: Path) -> None:
    embedder = Meddling()
    with opened(tmp_path, embedder) as (memory, store):
        gone, erased, stays = memory.add_many(TEXTS[:3])
        store()
        meddling = iter([lambda: memory.forget(gone.id), lambda: memory.forget(erased.id, hard=True)])
        embedder.meddle = lambda: [one() for one in meddling]  # type: ignore[no-untyped-call]
        memory.consolidate("tried", now=present() + 2 * DAY)
        assert [change.record_id for change in memory.log(100) if change.verb == REHEARSE] == [stays.id]
        assert store().inspect()["rehearsed"] == 1


def test_what_has_no_vector_yet_is_not_put_to_the_test(tmp_path: Path) -> None:
    embedder = Broken()
    embedder.broken = True
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        memory.add_many(TEXTS)
        memory.attach("tried", RehearsalMemory)
        report = memory.consolidate("tried", now=present() + 2 * DAY)["tried"]
        assert report.summary == "nothing to do"


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        for bad in ({"budget": -1}, {"views": 0}, {"views": 1.5}):
            with pytest.raises(InvalidInput):
                RehearsalMemory(memory.host, **bad)


# ── recalling ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_brings_up_what_was_of_use_before_the_most_needed_first(tmp_path: Path) -> None:
    with opened(tmp_path) as (memory, store):
        records = memory.add_many(TEXTS)
        assert store().recall(Cue("the kettle"), 10) == []
        for times, record in enumerate(records[:3]):
            for _ in range(times):
                memory.feedback(record.id, useful=True, cue="")
        hits = store().recall(Cue("the kettle beside the harbour"), 10)
        assert [hit.record.id for hit in hits] == [records[2].id, records[1].id]
        assert hits[0].verdict == "rehearsal: of use 2 times before"
        assert len(store().recall(Cue("the kettle beside the harbour"), 1)) == 1
        memory.forget(records[2].id)
        assert [hit.record.id for hit in store().recall(Cue("the kettle"), 10)] == [records[1].id]
