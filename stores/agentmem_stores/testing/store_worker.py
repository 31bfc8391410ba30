"""One more process that opens a store under examination and lets it follow, to be killed at it.

It is told by its standard input what to open, and says a line for every batch applied.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentmem.memory import Memory
from agentmem.records import Scope
from agentmem_stores.testing.worker import started

if TYPE_CHECKING:
    from agentmem_stores.testing.stores import StoreRoom

__all__ = ["StoreWorker"]

_BATCH = 20


class StoreWorker:
    """The other process, as its examiner sees it."""

    def __init__(self, room: StoreRoom, scope: Scope) -> None:
        from agentmem_stores.testing.stores import EMBEDDER

        self._process = started(
            "agentmem_stores.testing.store_worker",
            (room.subject.open, room.folder / "exam.mem", EMBEDDER, tuple(scope)),
            room.subject.open,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def killed_after(self, applied: int) -> None:
        """Kill it once it has said so often that it applied something."""
        assert self._process.stdout is not None
        for _ in range(applied):
            if not self._process.stdout.readline():
                assert self._process.stderr is not None
                said = self._process.stderr.read().decode().strip().splitlines() or ["it said nothing"]
                raise AssertionError(f"the other process failed: {said[-1]}")
        self._process.kill()


def _work() -> None:
    source, sink = sys.stdin.buffer, sys.stdout
    opened, folder, embedder, scope = pickle.load(source)
    with Memory.open(Path(folder), embedder=embedder) as memory:
        bound = memory.scope(*scope)
        bound.load()
        store = opened(bound.host)
        while True:
            changes = bound.host.ledger.changes(after=store.cursor, limit=_BATCH)
            if not changes:
                store.rebuild()
            store.apply(changes)
            print(store.cursor, file=sink, flush=True)  # what the examiner waits for


if __name__ == "__main__":
    _work()
