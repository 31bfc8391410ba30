"""The backends that come with agentmem, as subjects, with what each of them claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentmem.ledger import Ledger
from agentmem.opened import open_ledger
from agentmem_stores.testing.indexes import IndexSubject
from agentmem_stores.testing.ledgers import InMemory, LedgerSubject

__all__ = ["CHROMA", "EXACT", "PLAIN", "SQLITE", "chroma_server", "ledger_at"]

_MANY_HANDLES: Final = ("durability", "threads", "processes")
_CHROMA: Final = ("approximate", "persistence")


@dataclass(frozen=True)
class _At:
    """Opens the ledger at a URL, whatever folder is offered. Another process can import it."""

    url: str

    def __call__(self, _: Path) -> Ledger:
        return open_ledger(self.url)


def ledger_at(url: str) -> LedgerSubject:
    """A ledger on a server. The exam leaves its rows there, in scopes of its own."""
    return LedgerSubject(url.partition(":")[0], _At(url), claims=_MANY_HANDLES)


def chroma_server(url: str) -> IndexSubject:
    """Collections on a Chroma server: `http://host:8000`. The exam leaves them there."""
    return IndexSubject("chroma", claims=_CHROMA, argument=url)


SQLITE: Final = LedgerSubject("sqlite", open_ledger, claims=(*_MANY_HANDLES, "reclaim"))
PLAIN: Final = LedgerSubject("plain", lambda _: InMemory(), claims=["threads"])
EXACT: Final = IndexSubject("exact", claims=["exact"])
CHROMA: Final = IndexSubject("chroma", claims=_CHROMA)
