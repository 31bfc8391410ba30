"""The stores of one scope: what its memory does for them, how they are opened, and how they follow the journal.

How recall asks them is `hearing`'s to know, and which of them the router's.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

import numpy as np

from agentmem.cues import Cue
from agentmem.embedding import Embedder, embed_checked
from agentmem.errors import AgentMemError
from agentmem.index import Matches
from agentmem.ledger import Draft, Reader, ScopedLedger
from agentmem.models.embedding import about
from agentmem.recall.engine import embedded
from agentmem.recall.hearing import PATIENCE_S, Fault, Said, of_this_scope
from agentmem.recall.view import View
from agentmem.recall.weights import Weights
from agentmem.records import Change
from agentmem.registry import STORES, load, names
from agentmem.store import Host, Models, Report, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.writing import Writer, Writing

__all__ = ["AllStores", "Attached", "ScopeHost", "Stores"]

log = logging.getLogger("agentmem")
_DEPTH = 64  # hits asked of a store
_BATCH = 256  # changes handed over at once: recalls wait that long for a store that catches up
_LAG = 1_000  # changes that a recall lets a store follow before it goes on without it


class ScopeHost:
    """What a memory does for a store of one scope, by the view that answers its recalls at the moment.

    Its lock is not the view's: a store that hangs holds nobody up but those who ask it.
    """

    def __init__(self, view: Callable[[], View], writing: Writing, stores: Callable[[], Stores]) -> None:
        self._view = view
        self._writing = writing
        self._stores = stores
        self._lock = threading.RLock()

    def another(self) -> ScopeHost:
        """The same, for another store: with a lock of its own."""
        return ScopeHost(self._view, self._writing, self._stores)

    @property
    def ledger(self) -> ScopedLedger:
        return self._view().ledger

    @property
    def embedder(self) -> Embedder:
        return self._view().embeddings.embedder

    @property
    def lock(self) -> threading.RLock:
        return self._lock

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

    def embed(self, texts: Sequence[str], kinds: Collection[str] | None = None) -> NDArray[np.float32]:
        return embed_checked(about(self.embedder, "a store's texts", kinds), list(texts))

    def asked(self, cue: Cue) -> NDArray[np.float32] | None:
        return embedded(self._view(), cue)[0]

    def nearest(self, vector: NDArray[np.float32], k: int) -> Matches:
        view = self._view()
        with view.lock:
            view.refresh()
            return view.index.search(vector, k)

    def write(self, plan: Callable[[Reader], Iterable[Draft]], cause: str) -> list[Change]:
        return self._writing.run(lambda writer: writer.write(plan(writer.reader), cause))

    def note(self, verb: str, said: Iterable[tuple[str, str]]) -> list[Change]:
        listed = list(said)

        def work(writer: Writer) -> list[Change]:
            here = {record.id: record for record in writer.reader.get([id for id, _ in listed])}
            drafts = ((Draft(verb, id, {}, {}, here[id]), cause) for id, cause in listed if id in here)
            return [change for draft, cause in drafts for change in writer.write([draft], cause)]

        return self._writing.run(work)

    def store(self, name: str) -> Store:
        return self._stores()[name]


class Attached:
    """A store that one scope's recalls may ask, with every question or as a router says."""

    why = "attached: asked with every question"

    def __init__(
        self, name: str, store: Store, host: Host, weight: float, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.store = store
        self.weights = Weights(weight)
        self.fault = Fault()
        self.host = host
        self._wake = wake

    def follow(self, most: float = math.inf, stop: Callable[[], bool] = lambda: False) -> int:
        """Hand over the changes the store has not seen, up to `most` or until it goes no further; their number."""
        seen = 0
        while seen < most and not stop():
            with self.host.lock:
                before = self.store.cursor
                changes = self.host.ledger.changes(after=before, limit=_BATCH)
                if not changes:
                    break
                self.store.apply(changes)
                if self.store.cursor == before:
                    break
            seen += len(changes)
        return seen

    def try_to_follow(self, stop: Callable[[], bool] = lambda: False) -> None:
        """As `follow`; a store that is busy for long, or fails, is left as it is, and that is logged."""
        if not self.host.lock.acquire(timeout=PATIENCE_S):
            log.warning("%s is busy: what was written is not told to it yet", self.name)
            return
        try:
            self.follow(stop=stop)
        except AgentMemError as error:  # closed, locked or full: when it is asked, it tries again
            log.debug("%s does not follow the journal: %s", self.name, error)
        except Exception as error:  # noqa: BLE001  # a store is anybody's program
            log.warning("%s does not follow the journal: %r", self.name, error)
        finally:
            self.host.lock.release()

    def rebuild(self) -> int:
        """Derive everything anew; the change up to which that is done."""
        with self.host.lock:
            self.store.rebuild()
        self.follow()
        return self.store.cursor

    def consolidate(self, now: datetime, models: Models | None) -> Report:
        self.follow()
        return self.store.consolidate(now, models)

    def caught_up(self) -> Store:
        """The store, having followed: to the end, or as far as a recall waits for."""
        if self.follow(_LAG) >= _LAG:  # the first question to it, of a large scope
            self._wake()
        return self.store

    def say(self, cue: Cue, depth: int = _DEPTH) -> Said:
        store = self.caught_up()
        with self.host.lock:
            hits = store.recall(cue, depth)
        return of_this_scope(hits, self.host.ledger, depth)


class Stores(Mapping[str, Store]):
    """The installed stores of one scope, each opened when it is first asked for, and up to date when it is given."""

    def __init__(self, view: Callable[[], View], writing: Writing) -> None:
        self._host = ScopeHost(view, writing, lambda: self)
        self._open: dict[str, Attached] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._faults: dict[str, Fault] = {}
        self._wanted: set[str] = set()  # to be opened in the background
        self._looked: set[str] = set()  # whether they were kept
        self._following: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()

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

    def opened(self, name: str) -> Attached:
        """As it stands, which may be behind."""
        found = self._open.get(name)
        if found is not None:
            return found
        with self._opening.setdefault(name, threading.Lock()):  # one that hangs while it opens keeps no other waiting
            found = self._open.get(name)
            if found is None:
                host = self._host.another()
                found = Attached(name, cast(Store, load(STORES, name)(host)), host, 1.0, self._host.wake)
                self._open[name] = found
            return found

    def open_beside(self, name: str) -> None:
        """Have a store opened, and follow, in the background."""
        if name in self and name not in self._open:
            self._wanted.add(name)
            self.follow_beside()

    def standing(self, name: str) -> Store | None:
        """The store as it stands, if it is open or was kept: what nobody had use for yet is not derived for this."""
        found = self._open.get(name)
        if found is None and name in self and name not in self._looked and self.fault(name).over:
            self._looked.add(name)
            try:
                found = self.opened(name) if self._host.ledger.segments(name) else None
            except AgentMemError as error:
                self.fault(name).failed(f"recall goes on without what {name} says: %s", error)
        return None if found is None else found.store

    def fault(self, name: str) -> Fault:
        """How long a recall leaves this store alone after it failed, opening included."""
        return self._faults.setdefault(name, Fault())

    def follow(self) -> None:
        """Let those that are open catch up. One that fails or hangs holds up none of the others."""
        if self._open:
            self._host.caught_up()
        for attached in list(self._open.values()):
            attached.try_to_follow(self._closed.is_set)

    def follow_beside(self) -> None:
        """The same on a thread of its own, one at a time, opening first what is wanted: what is called is somebody's
        program, and may hang."""
        with self._starting:
            running = self._following is not None and self._following.is_alive()
            if (self._open or self._wanted) and not running and not self._closed.is_set():
                self._following = threading.Thread(target=self._followed, name="agentmem-stores", daemon=True)
                self._following.start()

    def _followed(self) -> None:
        try:
            while self._wanted:
                self.opened(self._wanted.pop())
            self.follow()
        except AgentMemError as error:  # closed, locked or full: the recall that needs them tries again
            log.debug("in the background: %s", error)

    def retire(self) -> None:
        """Let what follows in the background end soon: others have taken their place."""
        self._closed.set()

    def close(self) -> None:
        """Wait a little for what follows in the background."""
        self.retire()
        if self._following is not None and self._following is not threading.current_thread():
            self._following.join(PATIENCE_S)


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
