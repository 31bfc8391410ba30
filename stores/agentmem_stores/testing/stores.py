"""The store exam: who sits it, in what room, and the walks of changes that its promises are tried on.

A room is a memory in a folder of its own, so a store is examined with a real ledger and real vectors beneath it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from agentmem.cues import Cue, Hit
from agentmem.errors import AgentMemError
from agentmem.memory import Memory
from agentmem.recall.stores import Attached
from agentmem.records import Record
from agentmem.store import Host, Store
from agentmem_stores.testing.exam import Exam, equal, holds

__all__ = ["STORES", "StoreRoom", "StoreSubject"]

BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
CUES: Final = ("Who likes green tea?", "where does Bea live", "the harbour", "pier 3 in March", "zebras")
_WORDS: Final = ("tea", "harbour", "ferry", "green", "lamp", "Lisbon", "violin", "snow", "market", "bridge", "kettle")
_PLACES: Final = ("harbour/pier 1", "harbour/pier 3", "house/kitchen", "house/attic", "office")
_FACTS: Final = (
    "I live in {}.", "I like {}.", "I no longer like {}.", "I work as a {}.", "We met at the {}.", "The {} was closed.",
)  # fmt: skip


STORES: Final[Exam[StoreRoom]] = Exam(
    "store",
    required={
        "following": "a change counts once, however often and in whatever batches it is handed over",
        "rebuilding": "what is derived depends on the journal alone: building anew gives what following gave",
        "recalling": "hits are live records of the scope, best first, and recall writes nothing",
        "deriving": "what a store writes has sources, comes once, and goes when they go",
        "scopes": "nothing of another scope is told or taken in",
    },
    optional={
        "persistence": "the next process goes on from what was kept",
        "processes": "killed while it follows, it goes on from where it stood; `open` can be imported",
        "bounded": "its size, as `inspect` tells it, stays within `bound` however much is told",
    },
)


@dataclass(frozen=True)
class StoreSubject:
    """A store that sits the exam: `open(host)` makes one. With "bounded" claimed, `bound` is the most that
    `inspect()["size"]` may be."""

    name: str
    open: Callable[[Host], Store]
    claims: Collection[str] = ()
    bound: int = 0
    exam: Exam[StoreRoom] = field(default=STORES, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", self.exam.claimed(self.claims))

    @contextmanager
    def room(self, seed: int, cases: int) -> Iterator[StoreRoom]:
        with (
            tempfile.TemporaryDirectory(prefix="agentmem-exam-") as folder,
            closing(StoreRoom(self, Path(folder), seed, cases)) as room,
        ):
            yield room


class StoreRoom:
    """A memory, and the store examined on it."""

    embedder: Final = "hash:64"

    def __init__(self, subject: StoreSubject, folder: Path, seed: int, cases: int) -> None:
        self.subject = subject
        self.folder = folder
        self.random = np.random.default_rng(seed)
        self.cases = cases
        self._scopes = 0
        self._memory = self._opened()

    @property
    def place(self) -> Path:
        return self.folder / "exam.mem"

    def _opened(self) -> Memory:
        return Memory.open(self.place, embedder=self.embedder)

    def reopen(self) -> None:
        """Close the memory, and open it anew."""
        self._memory.close()
        self._memory = self._opened()

    def close(self) -> None:
        self._memory.close()

    def scope(self, name: str) -> Memory:
        return self._memory.scope(f"user:{name}")

    def fresh(self) -> Memory:
        """A scope that nobody wrote to."""
        self._scopes += 1
        return self.scope(f"fresh {self._scopes}")

    def followed(self, memory: Memory) -> Attached:
        """One more of the store on this scope, which has followed the journal to its end."""
        memory.flush()
        host = memory.host
        attached = Attached(self.subject.name, self.subject.open(host), host, 1.0)
        attached.follow()
        return attached

    def opened(self, memory: Memory) -> Store:
        return self.followed(memory).store

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    def item(self, n: int) -> dict[str, Any]:
        """Something to remember, of a kind that any store may care for."""
        pick = self.random.choice
        text = str(pick(_FACTS)).format(" ".join(pick(_WORDS, int(self.random.integers(1, 4)))))
        return {
            "text": text,
            "session": str(pick(["morning", "evening", "trip"])),
            "speaker": str(pick(["Ana", "Bea"])),
            "at": BEGIN + timedelta(hours=n),
            "place": None if self.random.random() < 0.3 else str(pick(_PLACES)),
        }

    def tell(self, memory: Memory, count: int, begin: int = 0) -> list[Record]:
        items = [self.item(begin + n) for n in range(count)]
        return memory.add_many({name: v for name, v in item.items() if v is not None} for item in items)

    def walk(self, memory: Memory, steps: int) -> None:
        """Verbs of every kind, at random."""
        for n in range(steps):
            live = [record.id for record in memory.records()]
            try:
                self._verb(memory, n, live)
            except AgentMemError:  # undo of a step that a later one stands on, a merge of one: nothing was changed
                continue

    def _verb(self, memory: Memory, n: int, live: list[str]) -> None:
        chance = self.random.random()
        one, other = (str(self.random.choice(live)) for _ in range(2)) if live else ("", "")
        verbs: Sequence[tuple[float, Callable[[], object]]] = (
            (0.45, lambda: self.tell(memory, int(self.random.integers(1, 4)), n)),
            (0.55, lambda: memory.edit(one, text=f"Changed: {self.item(n)['text']}")),
            (0.60, lambda: memory.edit(one, place="house/cellar", session="trip")),
            (0.66, lambda: memory.forget(one)),
            (0.70, lambda: memory.restore(*(record.id for record in memory.newest(1, states=["forgotten"])))),
            (0.80, memory.undo),
            (0.85, memory.redo),
            (0.88, lambda: memory.merge(one, other)),
            (0.91, lambda: memory.split(one, ["one half", "another half"])),
            (0.94, lambda: memory.pin(one)),
            (0.97, lambda: memory.feedback(one, useful=True, cue="tea")),
            (1.00, lambda: memory.forget(one, hard=True)),
        )
        for until, verb in verbs:
            if chance < until:
                if live or until == verbs[0][0]:
                    verb()
                return


# ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────────────


def asked(store: Store, k: int = 10) -> dict[str, list[Hit]]:
    return {cue: store.recall(Cue(cue, now=BEGIN + timedelta(days=90)), k) for cue in CUES}


def state(store: Store) -> Mapping[str, Any]:
    """All that can be seen of a store: what it shows, and what it answers."""
    seen: dict[str, Any] = {"inspect": dict(store.inspect())}
    for cue, hits in asked(store).items():
        seen[cue] = [(hit.record.id, hit.record.text, round(hit.score, 4)) for hit in hits]
    return seen


def same(found: Store, wanted: Store, what: str) -> None:
    one, other = state(found), state(wanted)
    for name in one:
        equal(one[name], other[name], f"{what}, {name!r}")


def sources_stand(memory: Memory, store: Store) -> None:
    """AssertionError when a live record of the store's own has lost its sources, and is not said to be stale."""
    said = store.inspect().get("stale")
    stale = set(said) if isinstance(said, list) else set()
    for record in memory.records():
        ids = [source.record for source in record.sources if source.record is not None]
        if ids and record.kind in ("thought", "chunk", "summary", "fact"):
            standing = [source for source in memory.host.ledger.get(ids) if source.state != "forgotten"]
            holds(
                standing or record.id in stale, f"the {record.kind} {record.text!r} goes, or is stale, with its sources"
            )
