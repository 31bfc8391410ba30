"""One more process that opens a store under examination and lets it follow, to be killed at it.

It is told by its standard input what to open, and says a line for every batch applied.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem.memory import Memory
from agentmem.records import Scope
from agentmem_stores.testing.worker import Other

if TYPE_CHECKING:
    from agentmem_stores.testing.stores import StoreRoom

__all__ = ["StoreWorker"]

_BATCH = 20


class StoreWorker(Other):
    """One in which the store of a room follows a scope."""

    def __init__(self, room: StoreRoom, scope: Scope) -> None:
        task = (room.subject.open, room.place, room.embedder, tuple(scope))
        super().__init__("agentmem_stores.testing.store_worker", task, room.subject.open)


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
