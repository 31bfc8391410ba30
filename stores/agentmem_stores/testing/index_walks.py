"""Random walks of an index: whatever is written, fed, put away, emptied and opened again, the answers stay true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentmem_stores.testing.exam import holds
from agentmem_stores.testing.indexes import INDEX, KINDS, NEAREST, IndexRoom, Shelf


class _Walk:
    def __init__(self, room: IndexRoom) -> None:
        self.room = room
        self.random = room.random
        self.shelf: Shelf = room.shelf()
        self.neighbour: Shelf = room.shelf("user:ana/notes")  # of one root: positions come with gaps
        self.forgotten: list[int] = []
        self.found = self.wanted = 0
        self.done: list[str] = []

    def run(self, steps: int) -> None:
        for n in range(steps):
            step = _STEPS[int(self.random.integers(len(_STEPS)))]
            self.done.append(step.__name__)
            try:
                step(self)
                self.shelf.feed(times=int(self.random.integers(1, 3)))
                self.look()
            except AssertionError as error:
                last = ", ".join(self.done[-5:])
                raise AssertionError(f"step {n} of seed {self.room.seed} (after: {last}): {error}") from error

    def look(self) -> None:
        shelf = self.shelf
        allowed = [
            None,
            # Of what is in the trash recall asks nothing; of what is erased, or never was, it may.
            shelf.among(np.setdiff1d(self.random.integers(1, shelf.scoped.head() + 3, 30), self.forgotten)),
            shelf.where([str(kind) for kind in self.random.choice(KINDS, 2)], (int(self.random.integers(40)), None)),
        ]
        for among in allowed:
            vector = self.room.unit(1)[0]
            self.found += shelf.judge(vector, NEAREST, among)
            self.wanted += min(NEAREST, len(shelf.positions(among)))

    def add(self) -> None:
        self.shelf.add(self.room.unit(int(self.random.integers(1, 25))), feed=False)

    def add_next_door(self) -> None:
        self.neighbour.add(self.room.unit(3), feed=bool(self.random.integers(2)))

    def _one(self) -> list[int]:
        held = self.shelf.positions()
        return [int(self.random.choice(held))] if len(held) else []

    def replace(self) -> None:
        for position in self._one():
            self.shelf.replace(position, self.room.unit(1)[0], feed=False)

    def forget(self) -> None:
        for position in self._one():
            self.shelf.forget(position, feed=False)
            self.forgotten.append(position)

    def restore(self) -> None:
        if self.forgotten:
            self.shelf.restore(self.forgotten.pop(), feed=False)

    def erase(self) -> None:
        for position in self._one():
            self.shelf.erase(position, feed=False)

    def sync(self) -> None:
        self.shelf.settle()

    def stop_the_sync(self) -> None:
        self.shelf.index.sync(stop=lambda: True)

    def clear(self) -> None:
        if self.random.random() < 0.3:
            self.shelf.index.clear()

    def open_again(self) -> None:
        if "persistence" in self.room.subject.claims:
            self.shelf.reopen()


_STEPS: list[Callable[[_Walk], None]] = [
    *[_Walk.add] * 4, _Walk.add_next_door, *[_Walk.replace] * 3, *[_Walk.forget] * 2, _Walk.restore, _Walk.erase,
    *[_Walk.sync] * 2, _Walk.stop_the_sync, _Walk.clear, _Walk.open_again,
]  # fmt: skip


@INDEX.promise("core")
def any_walk_of_writes_syncs_and_openings_leaves_the_answers_true(room: IndexRoom) -> None:
    walk = _Walk(room)
    walk.run(room.cases)
    said = f"{walk.found} of {walk.wanted} were found"
    holds(walk.found >= room.least * walk.wanted, f"{room.least:.0%} of the nearest; {said}")
