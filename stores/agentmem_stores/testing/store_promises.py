"""What stores promise."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np

from agentmem.cues import Cue
from agentmem.recall.stores import Attached
from agentmem_stores.testing.exam import equal, holds
from agentmem_stores.testing.store_worker import StoreWorker
from agentmem_stores.testing.stores import BEGIN, CUES, STORES, StoreRoom, asked, same, sources_stand, state

_STEPS = 40  # of a random walk
_MANY = 600  # records: more than a batch, and more than a store keeps to itself between two checkpoints
LATER = BEGIN + timedelta(days=30)


def built_anew_it_is_the_same(attached: Attached, what: str) -> None:
    wanted = state(attached.store)
    attached.rebuild()
    equal(state(attached.store), wanted, what)


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("following")
def changes_handed_over_again_alter_nothing(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 30)
    room.walk(memory, _STEPS)
    store = room.opened(memory)
    before, cursor = state(store), store.cursor
    changes = memory.host.ledger.changes()
    store.apply(changes)
    for start in range(0, len(changes), 7):
        store.apply(changes[start : start + 7])
    store.apply([])
    equal(state(store), before, "after all changes came again, at once and in batches")
    equal(store.cursor, cursor, "the cursor then")


@STORES.promise("following")
def however_the_changes_are_cut_the_state_is_the_same(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 30)
    room.walk(memory, _STEPS)
    wanted = room.opened(memory)
    changes = memory.host.ledger.changes()
    for size in (1, 2, 13):
        store = room.subject.open(memory.host)
        while rest := [change for change in changes if change.seq > store.cursor][:size]:
            store.apply(rest)
            holds(store.cursor >= rest[-1].seq, "a cursor at the last change handed over")
        same(store, wanted, f"{size} at a time")


@STORES.promise("following")
def an_empty_scope_has_nothing_to_say(room: StoreRoom) -> None:
    store = room.opened(room.fresh())
    equal(asked(store), {cue: [] for cue in CUES}, "hits in an empty scope")
    equal(store.cursor, 0, "the cursor in an empty scope")


# ── rebuilding ───────────────────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("rebuilding")
def building_anew_gives_what_following_gave(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 20)
    attached = room.followed(memory)
    for _ in range(max(2, room.cases // 10)):
        room.walk(memory, _STEPS // 4)
        memory.flush()
        attached.follow()
        same(room.opened(memory), attached.store, "a new one beside it")
        built_anew_it_is_the_same(attached, "the same one, built anew")


@STORES.promise("rebuilding")
def what_is_forgotten_and_undone_leaves_no_trace(room: StoreRoom) -> None:
    memory, plain = room.fresh(), room.fresh()
    items = [{name: v for name, v in room.item(n).items() if v is not None} for n in range(40)]
    plain.add_many(items)
    attached = room.followed(memory)
    memory.add_many(items[:20])
    memory.flush(), attached.follow()
    extra = memory.add("I live in Atlantis.", session="trip", speaker="Ana", at=BEGIN, place="office")
    other = memory.add("I like zebras.", session="trip", speaker="Bea", at=BEGIN, place="office")
    memory.flush(), attached.follow()
    memory.forget(extra.id, hard=True)
    memory.forget(other.id)
    memory.add_many(items[20:])
    memory.flush(), attached.follow()
    mine, theirs = ([[hit.record.text for hit in hits] for hits in asked(s).values()] for s in
                    (attached.store, room.opened(plain)))  # fmt: skip
    equal(mine, theirs, "hits, and those where they never were")


# ── recalling ────────────────────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("recalling")
def hits_are_few_live_finite_and_the_best_first(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 60)
    room.walk(memory, _STEPS)
    store = room.opened(memory)
    live = {record.id: record for record in memory.records()}
    for k in (0, 1, 5, 1_000):
        for cue, hits in asked(store, k).items():
            holds(len(hits) <= k, f"at most {k} hits for {cue!r}")
            for hit in hits:
                equal(hit.record, live.get(hit.record.id), f"a hit for {cue!r} and the live record")
                holds(math.isfinite(hit.score), "finite scores")
            scores = [hit.score for hit in hits]
            equal(scores, sorted(scores, reverse=True), f"the order of hits for {cue!r}")
            equal(len({hit.record.id for hit in hits}), len(hits), f"different records for {cue!r}")


@STORES.promise("recalling")
def recall_writes_nothing_and_changes_nothing(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 40)
    store = room.opened(memory)
    before, head = state(store), memory.stats().head
    for _ in range(3):
        asked(store)
        store.recall(Cue("x" * 100_000), 5)
        store.recall(Cue(vector=tuple(np.eye(64)[3])), 5)
    equal(state(store), before, "what it shows and answers, after other questions")
    equal(memory.stats().head, head, "the journal's head")


# ── deriving ─────────────────────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("deriving")
def idle_work_done_twice_is_done_once(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 80)
    attached = room.followed(memory)
    for _ in range(2):
        attached.consolidate(LATER, None)
        memory.flush(), attached.follow()
    head = memory.stats().head
    report = attached.consolidate(LATER, None)
    holds(report.summary, "a report that says something")
    equal(memory.stats().head, head, "the journal's head after idle work that was done before")
    same(room.opened(memory), attached.store, "a new one beside it")


@STORES.promise("deriving")
def what_a_store_wrote_goes_when_its_sources_go(room: StoreRoom) -> None:
    memory = room.fresh()
    told = room.tell(memory, 80)
    attached = room.followed(memory)
    attached.consolidate(LATER, None)
    memory.flush(), attached.follow()
    made = [record for record in memory.records() if record.id not in {one.id for one in told}]
    for record in made:
        known = memory.host.ledger.get([source.record for source in record.sources if source.record])
        holds(known, f"sources of the {record.kind} {record.text!r}")
    memory.forget(*(record.id for record in told[:60]))
    memory.flush(), attached.follow()
    for _ in range(2):
        attached.consolidate(LATER, None)
        memory.flush(), attached.follow()
    sources_stand(memory, attached.store)


@STORES.promise("deriving")
def what_a_store_wrote_is_undone_like_everything_else(room: StoreRoom) -> None:
    memory = room.fresh()
    room.tell(memory, 80)
    attached = room.followed(memory)
    before, text = state(attached.store), [record.to_json() for record in memory.records()]
    head = memory.stats().head
    attached.consolidate(LATER, None)
    steps = {change.step for change in memory.log(10_000) if change.seq > head}
    memory.undo(len(steps))
    memory.flush(), attached.follow()
    as_it_was = [{**record.to_json(), "revision": 1} for record in memory.records()]
    equal(as_it_was, [{**body, "revision": 1} for body in text], "the records after undo")
    for cue, hits in ((cue, hits) for cue, hits in state(attached.store).items() if cue != "inspect"):
        equal(hits, before[cue], f"the hits for {cue!r} after undo")


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("scopes")
def no_other_scope_is_told_of_or_taken_in(room: StoreRoom) -> None:
    mine, others = room.fresh(), [room.fresh(), room.scope("fresh 1").scope("inside")]
    room.tell(mine, 30)
    store = room.opened(mine)
    before = state(store)
    for other in others:
        room.tell(other, 40)
        there = room.followed(other)
        there.consolidate(LATER, None)
    attached = room.followed(mine)
    equal(state(attached.store), before, "after others were told")
    own = {record.id for record in mine.records()}
    said = {hit.record.id for hits in asked(attached.store).values() for hit in hits}
    equal(said - own, set(), "records of others among the hits")


# ── what a store may claim ───────────────────────────────────────────────────────────────────────────────────────


@STORES.promise("persistence")
def the_next_process_goes_on_from_what_was_kept(room: StoreRoom) -> None:
    memory = room.scope("lasting")
    room.tell(memory, _MANY)
    wanted = state(room.opened(memory))
    room.reopen()
    memory = room.scope("lasting")
    memory.load()
    store = room.subject.open(memory.host)
    holds(store.cursor > 0, "a cursor at once, before any change is handed over")
    same_as = room.opened(memory)
    equal(state(same_as), wanted, "what it shows and answers in the next process")
    room.walk(memory, _STEPS)
    went_on = room.followed(memory)
    built_anew_it_is_the_same(went_on, "having gone on, and built anew")


@STORES.promise("persistence")
def an_erasure_leaves_nothing_of_what_was_kept(room: StoreRoom) -> None:
    memory = room.scope("erased")
    told = room.tell(memory, _MANY)
    attached = room.followed(memory)
    name = getattr(attached.store, "name", room.subject.name)
    holds(memory.host.ledger.segments(name), f"segments called {name!r}")
    memory.forget(told[3].id, hard=True)
    equal(memory.host.ledger.segments(name), [], "segments after an erasure")
    memory.flush(), attached.follow()
    same(room.opened(memory), attached.store, "after the erasure, and made after it")


@STORES.promise("processes")
def killed_while_it_follows_it_goes_on_from_where_it_stood(room: StoreRoom) -> None:
    memory = room.scope("killed")
    for start in range(0, _MANY, 50):
        room.tell(memory, 50, start)
    memory.flush()
    for applied in (3, 16, 16):  # what is kept is kept between the second and the third
        with StoreWorker(room, memory.bound) as worker:
            worker.killed_after(applied)
    went_on = room.followed(memory)
    built_anew_it_is_the_same(went_on, "having gone on after three kills, and built anew")


@STORES.promise("bounded")
def its_size_stays_within_its_bound(room: StoreRoom) -> None:
    memory = room.fresh()
    attached = room.followed(memory)
    for start in range(0, min(2 * room.subject.bound, 2_000), 200):
        room.tell(memory, 200, start)
        memory.flush(), attached.follow()
        size = attached.store.inspect()["size"]
        holds(isinstance(size, int) and 0 < size <= room.subject.bound, f"a size of at most {room.subject.bound}")
