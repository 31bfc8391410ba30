"""Scope isolation of an index, at random: as the index itself answers, and as a memory that recalls through it does.

All scopes' indexes stand in one place: one folder, one server. Their positions collide, where roots differ, or
interleave, where they do not; and each vector is its own scope's, so that a wrong one shows in the cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from agentmem.cues import Cue
from agentmem.embedding import Embedder
from agentmem.errors import AgentMemError
from agentmem.index import Index
from agentmem.ledger import ScopedLedger
from agentmem.memory import Memory
from agentmem.opened import Opened, open_ledger
from agentmem.records import DEFAULT_SCOPE, Scope, State
from agentmem.values import new_id
from agentmem_stores.testing.exam import equal
from agentmem_stores.testing.indexes import DIMENSION, INDEX, IndexRoom, IndexSubject, Shelf
from agentmem_stores.testing.scope_names import confusable_scopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SCOPES, _WORLD = 12, 20  # cases until the scopes are drawn anew: after three times, every twist had its turn
_HANDLES, _MEMORY = 4, 50  # the same, of a memory
_K = 20
ALL: tuple[State, ...] = ("live", "forgotten", "replaced")


# ── the index itself ─────────────────────────────────────────────────────────────────────────────────────────────


def _case(room: IndexRoom, shelves: list[Shelf]) -> None:
    here, there = (shelves[int(i)] for i in room.random.choice(len(shelves), 2, replace=False))
    held = here.positions()
    deed = int(room.random.integers(7))
    if deed == 0 or not len(held):
        here.add(room.unit(int(room.random.integers(1, 6))))
    elif deed == 1:
        here.forget(int(room.random.choice(held)))
    elif deed == 2:
        here.replace(int(room.random.choice(held)), room.unit(1)[0])
    elif deed == 3:
        here.settle()
    elif deed == 4 and room.random.random() < 0.3:
        here.index.clear()
        here.feed()
    elif deed == 5 and "persistence" in room.subject.claims:
        here.reopen()
        here.feed()
    for shelf in (here, there):
        other = there if shelf is here else here
        vector = next(iter(other.held.values()), room.unit(1)[0])  # the nearest would be the neighbour's
        strangers = np.setdiff1d(other.positions(), list(shelf.records))
        for among in (None, shelf.among([*shelf.positions(), *strangers])):
            shelf.judge(vector, _K, among, f"a search in {shelf.scoped.scope!r}, beside {other.scoped.scope!r}")
        found = shelf.index.cosines(vector, strangers)
        equal(np.isfinite(found).sum(), 0, f"cosines of {other.scoped.scope!r}'s positions in {shelf.scoped.scope!r}")


@INDEX.promise("scopes")
def no_vector_of_a_scope_is_found_from_one_of_a_similar_name(room: IndexRoom) -> None:
    for start in range(0, room.cases, _WORLD):
        nonce = new_id()[-8:]
        shelves = [room.shelf(scope) for scope in confusable_scopes(room.random, _SCOPES, nonce, start // _WORLD)]
        for shelf in shelves:
            shelf.add(room.unit(5))
        for n in range(start, min(start + _WORLD, room.cases)):
            try:
                _case(room, shelves)
            except AssertionError as error:
                raise AssertionError(f"case {n} of seed {room.seed}: {error}") from error
        for shelf in shelves:
            shelf.index.close()


# ── a memory that recalls through it ─────────────────────────────────────────────────────────────────────────────


class _Examined(Opened):
    """An open memory whose index is the one under examination, installed or not."""

    def __init__(self, room: IndexRoom, embedder: Embedder) -> None:
        super().__init__(open_ledger(room.folder / "b.mem"), embedder, "", "exact")
        self._subject: IndexSubject = room.subject
        self._index_argument = room.subject.argument

    def _index_of(self, ledger: ScopedLedger, embedder: Embedder, anew: bool) -> Index:
        return self._subject.opened(self._site(ledger, embedder, anew))


class _Marked:
    """A handle on one scope, whose records bear a mark."""

    def __init__(self, number: int, memory: Memory, scope: Scope) -> None:
        self.memory = memory if scope == DEFAULT_SCOPE else memory.scope(*scope)
        self.scope = scope
        self.mark = f"mark{number}x{new_id()[-6:]}"

    def add(self, text: str, id: str | None = None) -> object:
        item: dict[str, Any] = {"text": f"{text} {self.mark}", "speaker": "Ana", "tags": ["x"], "kind": "note"}
        return self.memory.add_many([{**item, **({} if id is None else {"id": id})}], existing="skip")

    def any_id(self, world: _World) -> str:
        held = list(self.memory.records(states=ALL))
        return held[int(world.random.integers(len(held)))].id if held else "nobody"


class _World:
    def __init__(self, room: IndexRoom, memory: Memory, turn: int) -> None:
        self.random = room.random
        scopes = confusable_scopes(self.random, _HANDLES, new_id()[-8:], turn)
        self.handles = [_Marked(number, memory, scope) for number, scope in enumerate(scopes)]
        for handle in self.handles:
            for text, id in (("tea", None), ("tea and cake", None), ("shared", "same")):
                handle.add(text, id)

    def case(self) -> None:
        here, there = (self.handles[int(i)] for i in self.random.choice(len(self.handles), 2, replace=False))
        name = str(self.random.choice(list(_VERBS)))
        standing = list(there.memory.records(states=ALL))
        with suppress(AgentMemError):  # what is refused is told elsewhere
            self.own(here, _VERBS[name](self, here, there), f"`{name}`")
        equal(list(there.memory.records(states=ALL)), standing, f"{there.scope!r} after `{name}` in {here.scope!r}")
        self.own(there, there.memory.recall("tea cake", _K), "`recall`")

    def own(self, handle: _Marked, answer: object, asked: str) -> None:
        said = repr(answer)
        for other in self.handles:
            if other is not handle and other.mark in said:
                raise AssertionError(f"{asked} in {handle.scope!r} gave a row of {other.scope!r}: {said:.300}")


Verb: TypeAlias = Callable[[_World, _Marked, _Marked], object]
_VERBS: dict[str, Verb] = {
    "recall": lambda world, here, there: here.memory.recall(f"tea {there.mark}", _K, explain=True),
    "recall what was said": lambda world, here, there: here.memory.recall("tea", _K, kinds="note", speaker="ana"),
    "recall by a vector": lambda world, here, there: here.memory.recall(Cue(vector=_vector(there)), _K),
    "context": lambda world, here, there: here.memory.context("tea", 5_000).hits,
    "log": lambda world, here, there: here.memory.log(200),
    "get": lambda world, here, there: here.memory.get(there.any_id(world)) if there.any_id(world) != "same" else None,
    "add": lambda world, here, there: here.add("more tea"),
    "edit": lambda world, here, there: here.memory.edit(here.any_id(world), text=f"milk {here.mark}"),
    "forget": lambda world, here, there: here.memory.forget(here.any_id(world)),
    "restore": lambda world, here, there: here.memory.restore(here.any_id(world)),
    "merge": lambda world, here, there: here.memory.merge("same", here.any_id(world)),
    "erase": lambda world, here, there: here.memory.forget(here.any_id(world), hard=True),
    "erase what is theirs": lambda world, here, there: here.memory.forget(there.any_id(world), "same", hard=True),
    "undo": lambda world, here, there: here.memory.undo(),
    "redo": lambda world, here, there: here.memory.redo(),
    "flush": lambda world, here, there: here.memory.flush(),
    "put away": lambda world, here, there: _view(here).sync(),
    "reindex": lambda world, here, there: here.memory.reindex(_view(here).chosen_name),
}


def _view(handle: _Marked) -> Any:
    return handle.memory._opened.view(handle.scope)


def _vector(handle: _Marked) -> tuple[float, ...]:
    rows = _Letters().embed([f"(3 May 2024) Ana: tea {handle.mark}"])
    return cast("tuple[float, ...]", tuple(rows[0].tolist()))


class _Letters:
    """How often each of sixteen letters occurs: texts that differ in their mark alone are near."""

    id = f"exam-letters-{DIMENSION}-v1"
    dimension = DIMENSION
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [[text.count(letter) for letter in "abcdefghijklmnop"] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), DIMENSION)


@INDEX.promise("scopes")
def no_verb_of_a_memory_that_recalls_through_it_gives_a_row_of_another_scope(room: IndexRoom) -> None:
    opened = _Examined(room, _Letters())
    with Memory(opened, DEFAULT_SCOPE) as memory:
        for start in range(0, room.cases, _MEMORY):
            world = _World(room, memory, start // _MEMORY)
            for n in range(start, min(start + _MEMORY, room.cases)):
                try:
                    world.case()
                except AssertionError as error:
                    raise AssertionError(f"case {n} of seed {room.seed}: {error}") from error
            for handle in world.handles:
                opened.forget_view(handle.scope)
