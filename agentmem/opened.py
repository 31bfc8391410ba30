"""What the handles on one open memory share: the ledger, the embedder, the views by scope, and the embedding thread.

It resolves a path or URL and the names of parts to objects, and closes them again. It knows no verbs.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from os import PathLike, fspath
from typing import cast

from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError, InvalidInput, MemoryClosed
from agentmem.index import Index
from agentmem.ledger import Durability, Ledger
from agentmem.recall.view import View
from agentmem.records import Scope
from agentmem.registry import INDEXES, LEDGERS, load

__all__ = ["Opened", "open_ledger"]

log = logging.getLogger("agentmem")
_VIEWS = 64  # scopes kept in memory; the one asked longest ago goes first
_QUIET_S = 0.2  # the embedding thread waits for a pause in the writing, so that it does not slow a burst down
_BACKLOG = 2_000  # texts waiting from which it no longer waits


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
    """Shared by every handle, whatever its scope. Safe to use from several threads."""

    def __init__(self, ledger: Ledger, embedder: Embedder, index: str) -> None:
        self.ledger = ledger
        self.embedder = embedder
        self._new_index = cast("Callable[[int], Index]", load(INDEXES, "exact" if index == "auto" else index))
        self._views: OrderedDict[Scope, View] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False
        self._written: dict[Scope, int] = {}  # changes since the embedding thread last came by
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls,
        location: str | PathLike[str],
        *,
        scope: Scope,
        embedder: str | Embedder,
        index: str,
        create: bool,
        durability: Durability,
    ) -> Opened:
        ledger = open_ledger(location, create=create, durability=durability)
        try:
            return cls(ledger, _chosen(embedder, ledger, scope), index)
        except AgentMemError:
            ledger.close()
            raise

    def view(self, scope: Scope) -> View:
        with self._lock:
            self.check_open()
            view = self._views.get(scope)
            if view is None:
                view = View(self.ledger.bind(scope), self.embedder, self._new_index(self.embedder.dimension))
                self._views[scope] = view
                if len(self._views) > _VIEWS:
                    self._views.popitem(last=False)
            self._views.move_to_end(scope)
            return view

    def forget_view(self, scope: Scope) -> None:
        """Let the scope's view be built anew at the next question."""
        with self._lock:
            self._views.pop(scope, None)

    def check_open(self) -> None:
        if self._closed:
            raise MemoryClosed("this memory was closed", way_out="Open it again: Memory.open(path).")

    def wrote(self, scope: Scope, changes: int) -> None:
        """Tell the embedding thread, which is started by the first write."""
        with self._wake:
            if self._closed:
                return
            if not self._written:  # a thread woken by every write would cost each a change of threads
                self._wake.notify()
            self._written[scope] = self._written.get(scope, 0) + changes
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._embed_when_quiet, name="agentmem-embedding", daemon=True)
                self._thread.start()

    def _embed_when_quiet(self) -> None:
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
                self.view(scope).embed(stop=lambda: self._closed)
            except MemoryClosed:
                return
            except AgentMemError as error:
                # Nothing is lost: the recall that needs the vectors embeds again, and raises to somebody who can act.
                log.warning("embedding in the background failed: %s", error)

    def close(self) -> None:
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._wake.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._views.clear()
        self.ledger.close()


def _chosen(spec: str | Embedder, ledger: Ledger, scope: Scope) -> Embedder:
    """The embedder asked for; for `auto`, the one this memory was embedded with before, if it is installed."""
    if spec != "auto":
        return open_embedder(spec)
    best = open_embedder("auto")
    used = ledger.bind(scope).embedders()
    if used and best.id not in used:
        plain = open_embedder("hash")
        if plain.id in used:
            return plain
    return best
