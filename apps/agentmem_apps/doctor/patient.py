"""The memory under examination, opened, and the scopes that are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from types import TracebackType
from typing import Self

from agentmem.config import Settings
from agentmem.errors import AgentMemError, EmbeddingError, PluginError
from agentmem.ledger import ScopedLedger
from agentmem.memory import Memory
from agentmem.opened import Opened
from agentmem.recall.view import View
from agentmem.records import DEFAULT_SCOPE, Scope
from agentmem_apps.doctor.tables import Tables
from agentmem_stores.sql.ledger import SqlLedger

__all__ = ["Patient"]


class Patient:
    """An open memory. `embedder_fault` says why the embedder asked for is not the one in use.

    `tables` is None for a ledger that keeps none of ours; what only they tell is then not looked at. `tell` hears in a
    few words what is being looked at.
    """

    def __init__(
        self, opened: Opened, bound: Scope, tell: Callable[[str], None], embedder_fault: AgentMemError | None = None
    ) -> None:
        self.opened = opened
        self.bound = bound
        self.tell = tell
        self.embedder_fault = embedder_fault
        self.tables = Tables(opened.ledger) if isinstance(opened.ledger, SqlLedger) else None

    @classmethod
    def open(cls, settings: Settings, tell: Callable[[str], None]) -> Self:
        """Raises what `Memory.open` does; but an embedder that is missing keeps nobody from being examined."""
        scope = Scope(settings.scope)
        try:
            return cls(_opened(settings, scope, settings.embedder), scope, tell)
        except (EmbeddingError, PluginError) as error:
            return cls(_opened(settings, scope, "auto"), scope, tell, error)

    @cached_property
    def scopes(self) -> list[Scope]:
        """All that the bound scope may open: from the default one every scope, from another those inside it."""
        if self.tables is None:
            return [self.bound]
        found = self.tables.scopes()
        if self.bound != DEFAULT_SCOPE:
            found = [scope for scope in found if scope[: len(self.bound)] == self.bound]
        return found or [self.bound]

    def each(self, what: str) -> Iterator[Scope]:
        """Every scope in turn; whoever waits is told that `what` is being looked at in it."""
        for number, scope in enumerate(self.scopes, 1):
            self.tell(f"{what} in {scope}" + (f" ({number:,} of {len(self.scopes):,})" if len(self.scopes) > 1 else ""))
            yield scope

    def ledger(self, scope: Scope) -> ScopedLedger:
        return self.opened.ledger.bind(scope)

    def view(self, scope: Scope) -> View:
        return self.opened.view(scope)

    def memory(self, scope: Scope) -> Memory:
        """A handle that shares what is open here."""
        return Memory(self.opened, scope, owner=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.close()


def _opened(settings: Settings, scope: Scope, embedder: str) -> Opened:
    return Opened.open(
        settings.memory,
        scope=scope,
        embedder=embedder,
        index=settings.index,
        create=False,
        durability=settings.durability,
        late_interaction=settings.late_interaction == "on",
        models=settings.models,
    )
