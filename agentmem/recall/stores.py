"""The stores of one scope: what its memory does for them, and how recall hears them.

A store follows the journal before it is asked, and its hits become evidence, one signal more. One that fails says so
once in the log and is left out: recall is never the worse for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from agentmem.cues import Cue, Hit
from agentmem.embedding import Embedder, embed_checked
from agentmem.errors import AgentMemError
from agentmem.index import Matches
from agentmem.ledger import Draft, Reader, ScopedLedger
from agentmem.recall.corpus import Rows
from agentmem.recall.engine import embedded
from agentmem.recall.pause import Pause
from agentmem.recall.signal import Evidence, Question, Scores, Signal
from agentmem.recall.view import View
from agentmem.recall.weights import Weights
from agentmem.records import Change
from agentmem.registry import STORES, load, names
from agentmem.store import Host, Models, Report, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.writing import Writing

__all__ = ["AllStores", "Attached", "ScopeHost", "Speaking", "Stores"]

_DEPTH = 64  # hits asked of a store
_BATCH = 256  # changes handed over at once: recalls wait that long for a store that catches up
_LAG = 1_000  # changes that a recall lets a store follow before it goes on without it


class Speaking(Signal, Protocol):
    """A store as a signal: it brings its own weight."""

    @property
    def weights(self) -> Weights: ...


class ScopeHost:
    """What a memory does for the stores of one scope, by the view that answers its recalls at the moment."""

    def __init__(self, view: Callable[[], View], writing: Writing, stores: Callable[[], Stores]) -> None:
        self._view = view
        self._writing = writing
        self._stores = stores

    @property
    def ledger(self) -> ScopedLedger:
        return self._view().ledger

    @property
    def embedder(self) -> Embedder:
        return self._view().embeddings.embedder

    @property
    def lock(self) -> AbstractContextManager[Any]:
        return self._view().lock

    @property
    def reach(self) -> int:
        embeddings = self._view().embeddings
        return max(embeddings.reach, embeddings.cursor) if embeddings.embedder.dimension else 0

    def wake(self) -> None:
        """Let the stores catch up in the background."""
        self._view().wake()

    def caught_up(self) -> None:
        """Bring words and vectors up to the journal's head, as a recall does."""
        view = self._view()
        view.current()
        view.refresh()

    def vectors(self, positions: Sequence[int]) -> NDArray[np.float32]:
        known = self.ledger.vectors(self.embedder.id, positions)
        rows = np.zeros((len(positions), self.embedder.dimension), np.float32)
        if len(known.positions):
            places = np.searchsorted(known.positions, positions)
            places = np.minimum(places, len(known.positions) - 1)
            found = known.positions[places] == np.asarray(positions)
            rows[found] = known.matrix[places[found]]
        return rows

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return embed_checked(self.embedder, list(texts))

    def asked(self, cue: Cue) -> NDArray[np.float32] | None:
        return embedded(self._view(), cue)[0]

    def nearest(self, vector: NDArray[np.float32], k: int) -> Matches:
        view = self._view()
        with view.lock:
            view.refresh()
            return view.index.search(vector, k)

    def write(self, plan: Callable[[Reader], Iterable[Draft]], cause: str) -> list[Change]:
        return self._writing.run(lambda writer: writer.write(plan(writer.reader), cause))

    def store(self, name: str) -> Store:
        return self._stores()[name]


class Attached:
    """A store that one scope's recall listens to."""

    relative = False

    def __init__(
        self, name: str, store: Store, host: Host, weight: float, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.store = store
        self.weights = Weights(weight)
        self._host = host
        self._wake = wake
        self._pause = Pause()

    def follow(self, most: float = math.inf, stop: Callable[[], bool] = lambda: False) -> int:
        """Hand over the changes the store has not seen, up to `most` or until it goes no further; their number."""
        seen = 0
        while seen < most and not stop():
            with self._host.lock:
                before = self.store.cursor
                changes = self._host.ledger.changes(after=before, limit=_BATCH)
                if not changes:
                    break
                self.store.apply(changes)
                if self.store.cursor == before:
                    break
            seen += len(changes)
        return seen

    @property
    def well(self) -> bool:
        """False for a while after it failed when it was asked."""
        return self._pause.over

    def rebuild(self) -> int:
        """Derive everything anew; the change up to which that is done."""
        with self._host.lock:
            self.store.rebuild()
        self.follow()
        return self.store.cursor

    def consolidate(self, now: datetime, models: Models | None) -> Report:
        self.follow()
        return self.store.consolidate(now, models)

    def ask(self, question: Question, depth: int = _DEPTH) -> Evidence | None:
        if not self._pause.over:
            return None
        cue = question.cue
        if cue.vector is None and question.vector is not None:
            cue = replace(cue, vector=tuple(question.vector.tolist()))
        try:
            if self.follow(_LAG) >= _LAG:  # the first question to it, of a large scope
                self._wake()
            said = self.store.recall(cue, depth)
        except AgentMemError as error:  # the ledger is locked or full, and it cannot keep what it derives
            self._pause.failed(f"recall goes on without what {self.name} says: %s", error)
            return None
        self._pause.worked()
        hits = [hit for hit in said if math.isfinite(hit.score)]
        # What a store says is looked up again: it may name records that are gone, or never were in this scope.
        ledger = self._host.ledger
        positions = {record.id: record.position for record in ledger.get([hit.record.id for hit in hits])}
        known = {positions[hit.record.id]: hit for hit in reversed(hits) if hit.record.id in positions}
        return _StoreEvidence(known, question) if known else None


class Stores(Mapping[str, Store]):
    """The installed stores of one scope, each opened when it is first asked for, and up to date when it is given."""

    def __init__(self, view: Callable[[], View], writing: Writing) -> None:
        self._host = ScopeHost(view, writing, lambda: self)
        self._open: dict[str, Attached] = {}
        self._faults: dict[str, Pause] = {}

    @property
    def host(self) -> ScopeHost:
        return self._host

    def __iter__(self) -> Iterator[str]:
        return iter(names(STORES))

    def __len__(self) -> int:
        return len(names(STORES))

    def __contains__(self, name: object) -> bool:
        return name in names(STORES)

    def __getitem__(self, name: str) -> Store:
        """PluginError for a name that is not installed, or does not load."""
        attached = self.opened(name)
        self._host.caught_up()
        attached.follow()
        return attached.store

    def opened(self, name: str, weight: float = 1.0) -> Attached:
        """As it stands, which may be behind."""
        with self._host.lock:
            found = self._open.get(name)
            if found is None:
                store = cast(Store, load(STORES, name)(self._host))
                found = self._open[name] = Attached(name, store, self._host, weight, self._host.wake)
            return found

    def heard(self, name: str) -> Attached | None:
        """As `opened`, for a recall: one that cannot be opened is left out, and that is said once."""
        pause = self._faults.setdefault(name, Pause())
        if not pause.over:
            return None
        try:
            found = self.opened(name)
        except AgentMemError as error:
            pause.failed(f"recall goes on without what {name} says: %s", error)
            return None
        pause.worked()
        return found

    def follow(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Let those that are open catch up, beside recalls."""
        if self._open:
            self._host.caught_up()
        for attached in list(self._open.values()):
            attached.follow(stop=stop)


class AllStores(Mapping[str, Store]):
    """The installed stores of a scope, and those attached to one handle."""

    def __init__(self, installed: Stores, attached: Mapping[str, Attached]) -> None:
        self._installed = installed
        self._attached = attached

    def __iter__(self) -> Iterator[str]:
        yield from self._installed
        yield from self._attached

    def __len__(self) -> int:
        return len(self._installed) + len(self._attached)

    def __contains__(self, name: object) -> bool:
        return name in self._attached or name in self._installed

    def __getitem__(self, name: str) -> Store:
        attached = self._attached.get(name)
        if attached is None:
            return self._installed[name]
        self._installed.host.caught_up()
        attached.follow()
        return attached.store


class _StoreEvidence:
    """The store's scores, on whatever scale, brought to ½ (its last hit) to 1 (its best); the unnamed get nothing."""

    def __init__(self, hits: dict[int, Hit], question: Question) -> None:
        rows = question.corpus.rows_of(list(hits))
        heard = zip(rows.tolist(), hits.values(), np.isin(rows, question.allowed).tolist(), strict=True)
        self._hits: dict[int, Hit] = {
            row: hit for row, hit, is_allowed in reversed(list(heard)) if is_allowed
        }  # by row, best first
        said = [hit.score for hit in self._hits.values()]
        self._low, self._high = min(said, default=0.0), max(said, default=0.0)

    def best(self, depth: int) -> Rows:
        return np.array(list(self._hits)[:depth], np.intp)

    def scores(self, rows: Rows) -> Scores:
        return np.array([self._scaled(self._hits.get(row)) for row in rows.tolist()], np.float32)

    def _scaled(self, hit: Hit | None) -> float:
        if hit is None:
            return math.nan
        span = self._high - self._low
        return 0.5 + 0.5 * (hit.score - self._low) / span if span > 0 else 1.0

    def reasons(self, rows: Rows) -> list[str]:
        return [self._hits[row].verdict if row in self._hits else "" for row in rows.tolist()]
