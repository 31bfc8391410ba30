"""Scope isolation of a ledger, at random: whatever is asked or done in one scope, no row of another is given or moved.

Every scope's rows bear a mark of their own. The scopes' names are alike, their records bear the same ids, and the
questions name the neighbours' ids, positions and steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from agentmem import verbs
from agentmem.errors import AgentMemError, Conflict
from agentmem.ledger import ScopedLedger, Segment, Serving, Vectors, vectors_cursor
from agentmem.records import Record, Scope
from agentmem.values import new_id
from agentmem_stores.testing.exam import equal
from agentmem_stores.testing.ledgers import ALL, EMBEDDER, LEDGERS, LedgerRoom, everything, put, removal, rows_of
from agentmem_stores.testing.scope_names import confusable_scopes

_SCOPES = 12
_WORLD = 20  # cases until the scopes are drawn anew: after three times, every twist of a name had its turn
_SHARED = "same"  # an id that every scope has


class _Owned:
    """A scope, and what of it may be seen."""

    def __init__(self, number: int, scope: Scope, room: LedgerRoom) -> None:
        self.number = number
        self.mark = f"mark{number}x{new_id()[-6:]}"
        self.scope = scope
        self._room = room
        self.last: dict[str, Any] = {}
        self.ids: list[str] = []
        for text in ("tea", "more tea"):
            self.add(text)
        self.add("shared", _SHARED)

    @property
    def scoped(self) -> ScopedLedger:
        return self._room.ledger.bind(self.scope)

    def add(self, text: str, id: str | None = None) -> object:
        id = id or f"{self.mark} {len(self.ids)}"
        record = Record.create(f"{text} {self.mark}", scope=self.scope, id=id, tags=["x"])
        [change] = self.scoped.transact(lambda t: t.write([verbs.add(record, fresh=False)], actor=self.mark))
        self.ids.append(id)
        put(self.scoped, {change.seq: self.vector}, moved=(0, change.seq), tokens=[self.mark.encode()])
        return change

    @property
    def vector(self) -> list[float]:
        return [float(1000 + self.number), 0.0, 1.0]


class World:
    """Several scopes in a room's ledger, and the cases tried on them."""

    def __init__(self, room: LedgerRoom, turn: int) -> None:
        self.random = room.random
        scopes = confusable_scopes(self.random, _SCOPES, new_id()[-8:], turn)
        try:
            self.owned = [_Owned(number, scope, room) for number, scope in enumerate(scopes)]
        except Conflict as error:
            raise AssertionError(f"an id is taken in a scope that is new; there are {scopes}: {error}") from error
        self.ids = [id for owned in self.owned for id in owned.ids]
        self.marks = {owned.mark: owned for owned in self.owned}
        for owned in self.owned:
            owned.last = self._all(owned)

    def case(self) -> None:
        """One question or deed in one scope; then one other scope is looked at."""
        here, there = (self.owned[int(i)] for i in self.random.choice(len(self.owned), 2, replace=False))
        name = str(self.random.choice(list(_DEEDS)))
        with suppress(AgentMemError):  # what is refused is another promise's matter
            self.own(here, _DEEDS[name](self, here), f"`{name}`")
        here.last = self._all(here)
        self.unmoved(there, f"`{name}` in {here.scope!r}")

    def unmoved(self, owned: _Owned, deed: str) -> None:
        for what, answer in self._all(owned).items():
            equal(answer, owned.last[what], f"{what} of {owned.scope!r} after {deed}")

    def _all(self, owned: _Owned) -> dict[str, Any]:
        with owned.scoped.snapshot() as reader:
            found = everything(reader)
        self.own(owned, found, "reading")
        rows = found["vectors"][EMBEDDER].values()
        equal([row for row in rows if row != owned.vector], [], f"vectors of others in {owned.scope!r}")
        return found

    def own(self, owned: _Owned, answer: object, asked: str) -> None:
        """AssertionError if any word of the answer is another scope's."""
        if isinstance(answer, Vectors):
            answer = [row for row in rows_of(answer).values() if row != owned.vector]
            equal(answer, [], f"vectors of others, by {asked} in {owned.scope!r}")
        said = repr(answer)
        for mark, other in self.marks.items():
            if mark in said and other is not owned:
                raise AssertionError(f"{asked} in {owned.scope!r} gave a row of {other.scope!r}: {said:.300}")

    # ── deeds ────────────────────────────────────────────────────────────────────────────────────────────────────

    def any_id(self) -> str:
        return self.ids[int(self.random.integers(len(self.ids)))]

    def positions(self) -> list[int]:
        return [int(position) for position in self.random.permutation(4 * len(self.ids))[:40]]

    def write(self, owned: _Owned, plan: Callable[[Record], Any]) -> object:
        ids = [_SHARED, self.any_id()]

        def work(t: Any) -> object:
            drafts = [plan(record) for record in t.get(ids)]
            return t.write([draft for draft in drafts if draft is not None], actor=owned.mark)

        return owned.scoped.transact(work)

    def add(self, owned: _Owned) -> object:
        change = owned.add("tea")
        self.ids.append(owned.ids[-1])
        return change

    def put(self, owned: _Owned) -> None:
        rows = dict.fromkeys(self.positions(), owned.vector)
        moved = (owned.scoped.cursor(vectors_cursor(EMBEDDER)), 7 * owned.number)
        put(owned.scoped, rows, moved=moved, tokens=[owned.mark.encode()] * len(rows))

    def erase(self, owned: _Owned) -> object:
        mine = owned.ids[int(self.random.integers(len(owned.ids)))]
        answer = owned.scoped.transact(lambda t: t.erase([mine], actor=owned.mark))
        owned.scoped.reclaim()
        return answer

    def serve(self, owned: _Owned) -> object:
        standing = owned.scoped.serving()
        serving = Serving(EMBEDDER, owned.mark)
        return owned.scoped.transact(lambda t: t.serve(serving, instead_of=standing and standing.embedder))

    def put_segment(self, owned: _Owned) -> object:
        standing = [segment.until for segment in owned.scoped.segments("exam")]
        segment = Segment(owned.scoped.head(), owned.mark.encode())
        return owned.scoped.transact(lambda t: t.put_segment("exam", segment, standing=standing, kept=0))


Deed: TypeAlias = Callable[[World, _Owned], object]
_DEEDS: dict[str, Deed] = {
    "get": lambda world, o: o.scoped.get(world.ids),
    "at": lambda world, o: o.scoped.at(world.positions()),
    "scan": lambda world, o: o.scoped.scan(after=int(world.random.integers(9)), limit=20, states=ALL),
    "newest": lambda world, o: o.scoped.newest(20, states=ALL),
    "ids_ending": lambda world, o: o.scoped.ids_ending(world.any_id()[-int(world.random.integers(1, 9)) :], limit=99),
    "changes": lambda world, o: o.scoped.changes(newest_first=True, before=int(world.random.integers(2, 99))),
    "changes of an id": lambda world, o: o.scoped.changes(record_id=world.any_id()),
    "changes of a step": lambda world, o: [o.scoped.changes(step=step) for step in world.positions()[:9]],
    "steps": lambda world, o: o.scoped.steps(limit=99),
    "changed": lambda world, o: o.scoped.changed(int(world.random.integers(9)), 20),
    "all that changed": lambda world, o: o.scoped.changed(0),
    "vectors": lambda world, o: o.scoped.vectors(EMBEDDER),
    "vectors of positions": lambda world, o: o.scoped.vectors(EMBEDDER, world.positions()),
    "tokens": lambda world, o: o.scoped.tokens(EMBEDDER, world.positions()),
    "verify": lambda world, o: equal(o.scoped.verify(), [], f"what is wrong in {o.scope!r}"),
    "add": World.add,
    "edit": lambda world, o: world.write(o, lambda record: verbs.alter("edit", record, text=f"milk {o.mark}")),
    "forget": lambda world, o: world.write(o, verbs.forget),
    "restore": lambda world, o: world.write(o, verbs.restore),
    "remove": lambda world, o: world.write(o, removal),
    "erase": World.erase,
    "put_vectors": World.put,
    "drop_vectors": lambda world, o: o.scoped.transact(lambda t: t.drop_vectors(EMBEDDER)),
    "serve": World.serve,
    "put_segment": World.put_segment,
}


@LEDGERS.promise("scopes")
def no_row_of_a_scope_is_given_or_moved_from_one_of_a_similar_name(room: LedgerRoom) -> None:
    for start in range(0, room.cases, _WORLD):
        world = World(room, start // _WORLD)
        for n in range(start, min(start + _WORLD, room.cases)):
            try:
                world.case()
            except AssertionError as error:
                raise AssertionError(f"case {n} of seed {room.seed}: {error}") from error
        for owned in world.owned:
            world.unmoved(owned, "all cases")
