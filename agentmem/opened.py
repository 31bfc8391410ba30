"""What the handles on one open memory share: the ledger, the embedder, the views by scope, and the background thread.

It resolves a path or URL and the names of parts to objects, decides whose vectors answer a scope's recalls, and
closes everything again. It knows no verbs.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, cast

from agentmem.embedding import AnyEmbedder, Embedder, open_embedder
from agentmem.errors import AgentMemError, EmbeddingError, InvalidInput, LedgerError, MemoryClosed
from agentmem.exposure import Exposure
from agentmem.index import Index, Progress, Site
from agentmem.jobs import Bookkeeping
from agentmem.ledger import Durability, Ledger, ScopedLedger, Serving, vectors_cursor
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.embedding import BoundEmbedder, candidate_of, in_process
from agentmem.models.pool import AnyModels, ModelPool
from agentmem.recall.embeddings import Embeddings
from agentmem.recall.stores import Stores
from agentmem.recall.view import Indexing, View
from agentmem.records import Scope
from agentmem.registry import INDEXES, LEDGERS, load
from agentmem.writing import Writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Opened", "open_ledger"]

log = logging.getLogger("agentmem")
_VIEWS = 64  # scopes kept in memory; the one asked longest ago goes first
_QUIET_S = 0.2  # the background thread waits for a pause in the writing, so that it does not slow a burst down
_BACKLOG = 2_000  # texts waiting from which it no longer waits
_ABSENT_S = 10.0  # until an embedder that could not say its dimension is asked again
STORE = "agentmem"  # who a store's own writing is by
_LOCAL = ("hash", "minilm")  # shipped, and never on a network


def open_ledger(location: str | PathLike[str], *, create: bool = True, durability: Durability = "process") -> Ledger:
    """The ledger in a folder (SQLite), or at a URL whose scheme names an installed one. LedgerError when it fails."""
    if durability not in ("process", "power"):
        raise InvalidInput(f"durability must be 'process' or 'power', not {durability!r}")
    if not isinstance(location, str | PathLike):
        raise InvalidInput(f"a memory is opened by a path or a URL, not by {type(location).__name__}")
    location = fspath(location)
    if not isinstance(location, str):
        raise InvalidInput("the memory's path must be text, not bytes")
    if not location.strip():
        raise InvalidInput("the memory's path is empty")
    scheme, separator, _ = location.partition("://")
    factory = load(LEDGERS, scheme.partition("+")[0] if separator else "sqlite")
    return cast(Ledger, factory(location, create=create, durability=durability))


class Opened:
    """Shared by every handle, whatever its scope. Safe to use from several threads.

    `embedder` is the one asked for; `embedder_of` is how a scope may ask it. Recalls in a scope are answered by the
    vectors of the one that serves it, which is another until `reindex vectors` has made this one's complete.
    """

    def __init__(
        self,
        ledger: Ledger,
        embedder: Embedder,
        spec: str,
        index: str,
        *,
        late_interaction: bool = True,
        models: AnyModels | None = None,
    ) -> None:
        self._pools: list[ModelPool] = []  # all that were asked here
        self._own_pools: list[ModelPool] = []  # one that was handed over stays its owner's to close
        self.models = self.pool(models)
        self.ledger = ledger
        self.embedder = embedder
        self.spec = spec
        self._candidate = candidate_of(embedder, spec, self.models.settings)
        self._tokens = late_interaction
        self._opened_embedder = bool(spec)  # one that was handed over stays its owner's to close
        self.index, _, self._index_argument = index.partition(":")
        load(INDEXES, self.index)  # an unknown name is told at opening, not at the first question
        self._views: OrderedDict[Scope, View] = OrderedDict()
        self._stores: dict[Scope, tuple[str, Stores]] = {}  # and whose vectors they derive from
        self._exposures: dict[Scope, Exposure] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._closed = False
        self._written: dict[Scope, int] = {}  # changes since the background thread last came by
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()

    @classmethod
    def open(
        cls,
        location: str | PathLike[str],
        *,
        scope: Scope,
        embedder: str | AnyEmbedder,
        index: str,
        create: bool,
        durability: Durability,
        late_interaction: bool = True,
        models: AnyModels | None = None,
    ) -> Opened:
        ledger = open_ledger(location, create=create, durability=durability)
        try:
            chosen = _chosen(embedder, ledger.bind(scope))
            return cls(ledger, *chosen, index, late_interaction=late_interaction, models=models)
        except AgentMemError:
            ledger.close()
            raise

    # ── views ────────────────────────────────────────────────────────────────────────────────────────────────────

    def view(self, scope: Scope) -> View:
        """The scope as recall sees it, by the vectors of the embedder that serves it now."""
        view = self._held(scope)
        if view is not None and view.current() and not self._waited_for(view):
            return view
        ledger = self.ledger.bind(scope)
        with self._making:  # two threads that made one at once would fight for its index
            serving = self._serving(ledger)
            view = self._held(scope)
            fits = view is not None and view.embeddings.embedder.id == serving.embedder and not self._waited_for(view)
            if view is not None and fits and view.current():
                return view
            made = self._made(ledger, serving)
            with self._lock:
                if self._closed:
                    leaving = [made]
                else:
                    leaving = [] if view is None else [view]
                    self._views[scope] = made
                    self._views.move_to_end(scope)
                    if len(self._views) > _VIEWS:
                        longest, out = self._views.popitem(last=False)
                        if (left := self._stores.pop(longest, None)) is not None:
                            left[1].retire()
                        self._exposures.pop(longest, None)
                        leaving.append(out)
            for old in leaving:
                old.close()
            self.check_open()
            made.current()
            return made

    def _glimpsed(self, scope: Scope) -> View:
        """The view as it stands, without a look at the journal: a store asks its host several times a recall."""
        held = self._held(scope)
        return self.view(scope) if held is None else held

    def _held(self, scope: Scope) -> View | None:
        with self._lock:
            self.check_open()
            view = self._views.get(scope)
            if view is not None:
                self._views.move_to_end(scope)
            return view

    def _made(self, ledger: ScopedLedger, serving: Serving) -> View:
        mine = serving.embedder == self.embedder.id
        embedder = self.embedder_of(ledger.scope) if mine else self._reopened(serving)
        try:
            _ = embedder.dimension
        except EmbeddingError as error:  # one that must embed something to know
            if str(error) not in self._told:
                self._told.add(str(error))
                log.warning("recall goes by words alone: %s. %s", error, error.way_out)
            embedder = _Absent(embedder.id)
        self.check_open()
        indexing = Indexing(partial(self._index_of, ledger, embedder), partial(self._exact, ledger, embedder))
        wake = partial(self.wrote, ledger.scope, _BACKLOG)
        return View(Embeddings(ledger, embedder, serving.spec, tokens=self._tokens), indexing, wake)

    def _waited_for(self, view: View) -> bool:
        """Whether the view does without this memory's own embedder, and it is time to try that again."""
        embedder = view.embeddings.embedder
        return isinstance(embedder, _Absent) and embedder.id == self.embedder.id and embedder.waited

    def _site(self, ledger: ScopedLedger, embedder: Embedder, anew: bool = False) -> Site:
        folder = self.ledger.folder
        # Two copies of a folder, or two machines' folders of one name, must not share a place on a server.
        owner = f"{self.ledger.identity} {self.ledger.url} {platform.node() if folder else ''}"
        return Site(ledger, embedder.id, embedder.dimension, owner, folder, self._index_argument, anew)

    def _index_of(self, ledger: ScopedLedger, embedder: Embedder, anew: bool) -> Index:
        if not embedder.dimension:  # one that is absent: there is nothing to search
            return self._exact(ledger, embedder)
        return cast(Index, load(INDEXES, self.index)(self._site(ledger, embedder, anew)))

    def _exact(self, ledger: ScopedLedger, embedder: Embedder) -> Index:
        return cast(Index, load(INDEXES, "exact")(self._site(ledger, embedder)))

    def stores(self, scope: Scope) -> Stores:
        """The scope's stores, deriving from the vectors of the embedder that serves it now."""
        embedder = self.view(scope).embeddings.embedder.id
        with self._lock:
            held = self._stores.get(scope)
            if held is None or held[0] != embedder:
                if held is not None:
                    held[1].retire()
                made = Stores(partial(self._glimpsed, scope), Writing(self, scope, STORE))
                held = self._stores[scope] = (embedder, made)
            return held[1]

    def exposure(self, scope: Scope) -> Exposure:
        """What the scope's contexts were filled with of late, in this process."""
        with self._lock:
            self.check_open()
            return self._exposures.setdefault(scope, Exposure())

    def forget_view(self, scope: Scope) -> None:
        """Let the scope's view be built anew at the next question."""
        with self._lock:
            view = self._views.pop(scope, None)
        if view is not None:
            view.close()

    # ── embedders ────────────────────────────────────────────────────────────────────────────────────────────────

    def _serving(self, ledger: ScopedLedger) -> Serving:
        """Whose vectors answer recalls here. An older ledger does not say: then whoever has come furthest."""
        serving = ledger.serving()
        if serving is not None:
            return serving
        used = ledger.embedders()
        if not used or self.embedder.id in used:
            return Serving(self.embedder.id, self.spec)
        return Serving(max(used, key=lambda id: ledger.cursor(vectors_cursor(id))), "")

    def _reopened(self, serving: Serving) -> Embedder:
        """The embedder that serves, though another was asked for: recall needs it to embed questions."""
        found = _openable(serving)
        if serving.embedder not in self._told:
            self._told.add(serving.embedder)
            spelt = f", opened by --embedder {serving.spec}," if serving.spec else ""
            goes_on = "its vectors answer" if found is not None else f"which is not open{spelt} so recall goes by words"
            log.warning(
                "this memory was embedded by %s: %s until `agentmem reindex vectors` has made those of %s",
                serving.embedder,
                goes_on,
                self.embedder.id,
            )
        return found or _Absent(serving.embedder)

    def embedder_of(self, scope: Scope) -> Embedder:
        """The embedder asked for, as this scope may ask it."""
        return self.embedder if in_process(self.embedder) else self._bound(scope)

    def _bound(self, scope: Scope) -> BoundEmbedder:
        kept = self.ledger.bind(scope)
        calls = kept.calls if isinstance(kept, Bookkeeping) else None
        return BoundEmbedder(self.embedder, self._candidate, self.models.settings, scope, calls)

    def embedder_choice(self, scope: Scope, need: Need) -> ModelChoice:
        """Whether the embedder asked for may be asked in this scope for what is needed, and why."""
        return self._bound(scope).choice(need)

    def embeddings(self, scope: Scope) -> Embeddings:
        """The vectors of the embedder asked for, serving or not."""
        self.check_open()
        return Embeddings(self.ledger.bind(scope), self.embedder_of(scope), self.spec, tokens=self._tokens)

    def reembed(self, scope: Scope, progress: Progress | None = None) -> int:
        """Embed every text anew by the embedder asked for; how many. Its vectors answer once they are complete.
        NotAsked when they cannot be made here."""
        self._bound(scope).check()  # or the vectors that are there would go, and none come
        embeddings, ledger = self.embeddings(scope), self.ledger.bind(scope)
        old, new = self.view(scope).embeddings.serving.embedder, self.embedder.id
        if old == new:
            ledger.transact(lambda transaction: transaction.drop_vectors(new))
            done = embeddings.embed(progress=progress)
            self.forget_view(scope)
            view = self.view(scope)
            if view.index.name != "exact":  # it keeps vectors of its own, and no change says that they are others now
                view.reindex()
            return done
        if ledger.serving() is None:  # an older ledger, which does not say
            ledger.transact(lambda transaction: transaction.serve(Serving(old, ""), instead_of=None))
        done = embeddings.embed(progress=progress)
        while not embeddings.take_over(old):
            serving = ledger.serving()
            if serving is not None and serving.embedder != old:  # somebody else was faster
                break
            done += embeddings.embed()  # what was written meanwhile
        return done

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────

    def check_open(self) -> None:
        if self._closed:
            raise MemoryClosed("this memory was closed", way_out="Open it again: Memory.open(path).")

    def wrote(self, scope: Scope, changes: int) -> None:
        """Tell the background thread, which is started by the first write."""
        with self._wake:
            if self._closed:
                return
            if not self._written:  # a thread woken by every write would cost each a change of threads
                self._wake.notify()
            self._written[scope] = self._written.get(scope, 0) + changes
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._tend, name="agentmem-background", daemon=True)
                self._thread.start()

    def _tend(self) -> None:
        """Embed what was written, and let indexes and words be put away, when the writing pauses."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._written or self._closed)
                seen = 0
                while not self._closed and seen != (waiting := sum(self._written.values())) and waiting < _BACKLOG:
                    seen = waiting
                    self._wake.wait(_QUIET_S)
                if self._closed:
                    return
                scope, _ = self._written.popitem()
            try:
                view = self.view(scope)
                view.embed(stop=lambda: self._closed)
                view.sync(stop=lambda: self._closed)
                view.keep()
                with self._lock:
                    held = self._stores.get(scope)
                if held is not None:
                    held[1].follow_beside()
            except MemoryClosed:
                return
            except AgentMemError as error:
                # Nothing is lost, and the view has said it: the recall that needs the vectors tries again.
                log.debug("in the background: %s", error)

    def close(self) -> None:
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._wake.notify_all()
            thread, self._thread = self._thread, None
        if self._opened_embedder and callable(close := getattr(self.embedder, "close", None)):
            close()  # before the thread is waited for, which may be waiting for a server
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        try:
            for _, stores in self._stores.values():
                stores.close()
            for view in self._views.values():
                view.close()
        finally:
            self._views.clear()
            self._stores.clear()
            self.ledger.close()
            for pool in self._own_pools:
                pool.close()

    def pool(self, models: AnyModels | None) -> ModelPool:
        """The pool of what is given; what it opens is closed with the memory."""
        pool = ModelPool.of(models)
        if pool not in self._pools:
            self._pools.append(pool)
            if pool is not models:
                self._own_pools.append(pool)
        return pool

    def forget_answers(self) -> None:
        """Let go of the answers that models gave before: they may repeat what was erased."""
        for pool in self._pools:
            pool.cache.clear()


class _Absent:
    """An embedder that this process does not have: its vectors are there, and no question can be put to them."""

    dimension = 0

    def __init__(self, id: str) -> None:
        self.id = id
        self._since = time.monotonic()

    @property
    def waited(self) -> bool:
        return time.monotonic() - self._since > _ABSENT_S

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise EmbeddingError(f"{self.id} cannot be opened here", way_out="`agentmem reindex vectors` replaces it.")


def _openable(serving: Serving) -> Embedder | None:
    """The embedder that the ledger names, if it is one of those that ask nobody.

    A ledger may come from a stranger: a server that only it names would be sent every question, and the user's key.
    """
    said = [serving.spec] if serving.spec.partition(":")[0] == "hash" else []  # hash:1024 names no place either
    for spec in (*said, *_LOCAL):
        try:
            found = open_embedder(spec)
        except AgentMemError as error:
            log.debug("%s does not open: %s", spec, error)
        else:
            if found.id == serving.embedder:
                return found
    return None


def _chosen(asked: str | AnyEmbedder, ledger: ScopedLedger) -> tuple[Embedder, str]:
    """The embedder and how it is spelt; for `auto`, the one that serves this memory, if it opens."""
    if not isinstance(asked, str):
        return open_embedder(asked), ""
    if asked != "auto":
        return open_embedder(asked), asked
    try:
        serving = ledger.serving()
    except LedgerError:  # told when it is read for good
        serving = None
    if serving is not None and (found := _openable(serving)) is not None:
        return found, serving.spec
    plain = open_embedder("hash")
    try:
        best = open_embedder("minilm")
    except EmbeddingError:
        return plain, "hash"
    used = ledger.embedders()
    return (plain, "hash") if best.id not in used and plain.id in used else (best, "minilm")
