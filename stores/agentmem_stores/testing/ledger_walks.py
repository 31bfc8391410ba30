"""Random walks: a ledger and the plain one in memory are told the same, and must answer the same, refusals included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, TypeVar

import numpy as np

from agentmem import undo, verbs
from agentmem.errors import AgentMemError
from agentmem.ledger import Draft, ScopedLedger, Segment, Serving, Transaction
from agentmem.records import Change, Record, Scope
from agentmem_stores.testing.exam import equal, holds
from agentmem_stores.testing.ledgers import (
    ALL,
    EMBEDDER,
    LEDGERS,
    InMemory,
    LedgerRoom,
    everything,
    told,
    vectors_of,
)

T = TypeVar("T")
Work: TypeAlias = Callable[[Transaction], object]

_EMBEDDERS = (EMBEDDER, "exam-2-v1")
_REOPENED = 0.08  # of the steps, where the ledger lasts


class _Broken(Exception):
    """What a transaction that is to leave nothing behind ends with."""


class Walk:
    """Steps over three scopes, two of them of one root."""

    def __init__(self, room: LedgerRoom, *, reopening: bool = False) -> None:
        self.room = room
        self.random = room.random
        self.reopening = reopening
        self.oracle = InMemory()
        self.scopes = [room.scope(path) for path in ("user:ana", "user:ana/notes", "user:bea")]
        self.ids = [f"id {n}" for n in range(12)]
        self.done: list[str] = []

    def chosen(self, listed: list[T]) -> T:
        return listed[int(self.random.integers(len(listed)))]

    def run(self, steps: int) -> None:
        for n in range(steps):
            scope = self.chosen(self.scopes)
            name = str(self.random.choice(list(_STEPS), p=_ODDS))
            work = _STEPS[name](self, scope)
            self.done.append(f"{name} in {scope[-1]}")
            try:
                self._compare(scope, work)
                if self.reopening and self.random.random() < _REOPENED:
                    self.done.append("close and open")
                    self.room.reopen()
                if n % 5 == 0 or n == steps - 1:
                    self._compare_all(self.scopes if n == steps - 1 else [self.chosen(self.scopes)])
            except AssertionError as error:
                told_last = "; ".join(self.done[-4:])
                raise AssertionError(f"step {n} of seed {self.room.seed} (after: {told_last}): {error}") from error

    def _compare(self, scope: Scope, work: Work) -> None:
        ours, theirs = self.room.ledger.bind(scope), self.oracle.bind(scope)
        wanted = _outcome(theirs, work)
        equal(_outcome(ours, work), wanted, "what it answered")
        if "erase" in self.done[-1]:
            ours.reclaim()
        equal(ours.counts(), theirs.counts(), "counts")
        if theirs.steps():  # a scope that nothing was written to may not know its root yet
            equal(ours.head(), theirs.head(), "the head")

    def _compare_all(self, scopes: list[Scope]) -> None:
        for scope in scopes:
            ours, theirs = self.room.ledger.bind(scope), self.oracle.bind(scope)
            with theirs.snapshot() as reader:
                wanted = everything(reader, _EMBEDDERS)
            found = everything(ours, _EMBEDDERS)
            for what, answer in wanted.items():
                equal(found[what], answer, what)
            equal(ours.verify(), [], "what is wrong")

    # ── steps; what is drawn is drawn here, so that both are told the same ───────────────────────────────────────

    def add(self, scope: Scope) -> Work:
        made = [Record.create(f"text {n}", scope=scope) for n in range(int(self.random.integers(1, 5)))]
        return lambda t: t.write([verbs.add(record, fresh=True) for record in made], actor="ana", cause="a walk")

    def add_under_a_given_id(self, scope: Scope) -> Work:
        record = Record.create("given", scope=scope, id=self.chosen(self.ids), tags=["given"])
        return lambda t: t.write([verbs.add(record, fresh=False)], actor="bea")

    def _one(self, scope: Scope, plan: Callable[[Record], Draft | None]) -> Work:
        standing = self.oracle.bind(scope).scan(states=ALL)
        id = self.chosen(standing).id if standing else "nobody"

        def work(t: Transaction) -> object:
            drafts = [plan(record) for record in t.get([id, "nobody"])]
            return t.write([draft for draft in drafts if draft is not None], actor="ana")

        return work

    def edit(self, scope: Scope) -> Work:
        text = f"edited {self.random.integers(100)}"
        return self._one(scope, lambda record: verbs.alter("edit", record, text=text, speaker="Ana"))

    def forget(self, scope: Scope) -> Work:
        return self._one(scope, verbs.forget)

    def restore(self, scope: Scope) -> Work:
        return self._one(scope, verbs.restore)

    def merge(self, scope: Scope) -> Work:
        live = self.oracle.bind(scope).scan()[-2:]
        drafts = verbs.merge(live, None, scope)[1] if len(live) == 2 else []
        return lambda t: t.write(drafts, actor="agent")

    def undo(self, scope: Scope) -> Work:
        return lambda t: _taken_back(t, undo.next_undo(t), "undo")

    def redo(self, scope: Scope) -> Work:
        return lambda t: _taken_back(t, undo.next_redo(t), "redo")

    def undo_some_step(self, scope: Scope) -> Work:
        step = int(self.random.integers(1, self.oracle.bind(scope).head() + 2))
        return lambda t: _taken_back(t, undo.resolve(t, step)[1], "undo")

    def erase(self, scope: Scope) -> Work:
        entries = self.oracle.bind(scope).changes()
        id = self.chosen(entries).record_id if entries else None
        return lambda t: t.erase([id], actor="ana", cause="asked to") if id is not None else None

    def put_vectors(self, scope: Scope) -> Work:
        standing = self.oracle.bind(scope)
        head = standing.head()
        name, width = self.chosen([(EMBEDDER, 3), ("exam-2-v1", 2)])
        rows = {int(p): self.random.normal(size=width).tolist() for p in self.random.integers(1, head + 3, 6)}
        moved = self.chosen([None, (0, head), (int(self.random.integers(head + 1)), head)])
        if not standing.steps():  # there is nothing to embed where nothing was written
            moved = None
        tokens = [self.random.bytes(int(self.random.integers(3))) for _ in rows] if self.random.random() < 0.5 else []
        return lambda t: t.put_vectors(name, vectors_of(rows, tokens), moved=moved)

    def drop_vectors(self, scope: Scope) -> Work:
        name = self.chosen(list(_EMBEDDERS))
        return lambda t: t.drop_vectors(name)

    def serve(self, scope: Scope) -> Work:
        serving = Serving(self.chosen(list(_EMBEDDERS)), str(self.random.integers(9)))
        instead_of = self.chosen([None, *_EMBEDDERS])
        return lambda t: t.serve(serving, instead_of=instead_of)

    def put_segment(self, scope: Scope) -> Work:
        standing = [segment.until for segment in self.oracle.bind(scope).segments("exam")]
        until = max(self.oracle.bind(scope).head(), *standing, 0) - int(self.random.integers(2))
        if until in standing:
            standing = standing[:-1]  # refused, as of another time
        kept = int(self.random.integers(len(standing) + 1))
        segment = Segment(until, self.random.bytes(9))
        return lambda t: t.put_segment("exam", segment, standing=standing, kept=kept)

    def break_off(self, scope: Scope) -> Work:
        works = [self.add(scope), self.put_vectors(scope), self.serve(scope), self.erase(scope)]

        def work(t: Transaction) -> None:
            for one in works:
                one(t)
            raise _Broken

        return work


_WEIGHTS = {
    Walk.add: 6, Walk.add_under_a_given_id: 3, Walk.edit: 4, Walk.forget: 2, Walk.restore: 2, Walk.merge: 1,
    Walk.undo: 5, Walk.redo: 3, Walk.undo_some_step: 2, Walk.erase: 1, Walk.put_vectors: 4, Walk.drop_vectors: 1,
    Walk.serve: 1, Walk.put_segment: 2, Walk.break_off: 2,
}  # fmt: skip
_STEPS = {step.__name__.replace("_", " "): step for step in _WEIGHTS}
_ODDS = np.array(list(_WEIGHTS.values())) / sum(_WEIGHTS.values())


def _taken_back(t: Transaction, step: int | None, verb: str) -> object:
    if step is None:
        return None
    return t.write(undo.take_back(t, step, verb), actor="ana", undoes=step)


def _outcome(scoped: ScopedLedger, work: Work) -> object:
    """What the transaction returned, or the name of the error it ended with."""
    try:
        answer = scoped.transact(work)
    except (AgentMemError, _Broken) as error:
        return type(error).__name__
    listed = isinstance(answer, list) and all(isinstance(change, Change) for change in answer)
    return told(answer) if listed else answer  # type: ignore[arg-type]  # checked in the line above


@LEDGERS.promise("core")
def any_walk_of_writes_undos_and_erasures_reads_as_the_plain_ledger_says(room: LedgerRoom) -> None:
    Walk(room).run(2 * room.cases)


@LEDGERS.promise("durability")
def any_walk_reads_the_same_however_often_it_is_opened_again(room: LedgerRoom) -> None:
    Walk(room, reopening=True).run(room.cases)


# ── catching up ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Follower:
    """A projection that keeps whole rows, and looks with a window of its own."""

    def __init__(self, room: LedgerRoom, scope: Scope) -> None:
        self._room = room
        self._scope = scope
        self.cursor = 0
        self.rows: dict[int, Record] = {}

    @property
    def scoped(self) -> ScopedLedger:
        return self._room.ledger.bind(self._scope)

    def look(self, limit: int | None) -> None:
        delta = self.scoped.changed(self.cursor, limit)
        holds(delta.head > self.cursor or self.cursor == self.scoped.head() == delta.head, "each look comes further")
        holds(limit is None or len(delta.records) + len(delta.gone) <= limit, "no more rows than the limit")
        holds(not {record.position for record in delta.records} & set(delta.gone), "no row both stands and is gone")
        self.rows.update((record.position, record) for record in delta.records)
        for position in delta.gone:
            self.rows.pop(position, None)
        self.cursor = delta.head


@LEDGERS.promise("catching up")
def any_windows_of_changes_lead_to_what_stands(room: LedgerRoom) -> None:
    walk = Walk(room)
    followers = [_Follower(room, scope) for scope in walk.scopes for _ in range(2)]

    def limit() -> int | None:
        return walk.chosen([None, 1, 2, 5])

    for _ in range(room.cases // 5 + 1):
        walk.run(5)
        walk.chosen(followers).look(limit())
    for follower in followers:
        while follower.cursor < follower.scoped.head():
            follower.look(limit())
        wanted = {record.position: record for record in follower.scoped.scan(states=ALL)}
        equal(follower.rows, wanted, "what a follower has in the end")


@LEDGERS.promise("catching up")
def a_window_says_up_to_where_it_is_complete(room: LedgerRoom) -> None:
    ana, notes = room.ana, room.notes
    made = [Record.create(str(n), scope=ana.scope) for n in range(3)]
    for record in made:
        ana.transact(lambda t, record=record: t.write([verbs.add(record, fresh=True)], actor="ana"))  # type: ignore[misc]
    next_door = Record.create("a neighbour's", scope=notes.scope)
    notes.transact(lambda t: t.write([verbs.add(next_door, fresh=True)], actor="ana"))
    equal(tuple(ana.changed(0, 2)), (made[:2], [], 2), "a full window")
    equal(tuple(ana.changed(2, 2)), (made[2:], [], 4), "one that is not full: complete up to the root's head")
    equal([tuple(ana.changed(4, 2)), tuple(ana.changed(4))], [([], [], 4)] * 2, "nothing new")
    removal = Draft("undo", made[0].id, made[0].to_json(), None, None)
    ana.transact(lambda t: t.write([replace(removal)], actor="ana"))
    equal(tuple(ana.changed(3, 10)), ([], [1], 5), "a row that is gone")
    equal((ana.changed(0).records, ana.changed(0).head), (made[1:], 5), "everything")
