"""The backends that come with agentmem, as subjects, with what each of them claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentmem.ledger import Ledger
from agentmem.opened import open_ledger
from agentmem.store import Host
from agentmem_stores.chunks import ChunkMemory
from agentmem_stores.episodic import EpisodicMemory
from agentmem_stores.gating import GateStore
from agentmem_stores.links import LinkGraph
from agentmem_stores.longterm import LongTermMemory
from agentmem_stores.recognition import RecognitionMemory
from agentmem_stores.rehearsal import RehearsalMemory
from agentmem_stores.repeats import RepeatMemory
from agentmem_stores.rolling_summaries import RollingSummaries
from agentmem_stores.testing.indexes import IndexSubject
from agentmem_stores.testing.ledgers import InMemory, LedgerSubject
from agentmem_stores.testing.stores import StoreSubject
from agentmem_stores.thoughts import ThoughtMemory
from agentmem_stores.working import WorkingMemory

__all__ = ["CHROMA", "EXACT", "PLAIN", "SQLITE", "STORES", "chroma_server", "ledger_at"]

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


def _rooms(host: Host) -> EpisodicMemory:
    return EpisodicMemory(host, capacity=_ROOMS)


def _summing_up(host: Host) -> ChunkMemory:
    return ChunkMemory(host, summaries=True)


_ROOMS: Final = 150
_LASTING: Final = ("persistence", "processes")
# `bound`: places times records; bytes of slots and, for long-term memory, of associations too.
STORES: Final = (
    StoreSubject("working", WorkingMemory, claims=(*_LASTING, "bounded"), bound=8_000),
    StoreSubject("longterm", LongTermMemory, claims=(*_LASTING, "bounded"), bound=100_000),
    StoreSubject("episodic", _rooms, claims=(*_LASTING, "bounded"), bound=_ROOMS),
    StoreSubject("chunks", _summing_up, claims=_LASTING),
    StoreSubject("thoughts", ThoughtMemory, claims=_LASTING),
    StoreSubject("links", LinkGraph, claims=_LASTING),
    StoreSubject("recognition", RecognitionMemory, claims=_LASTING),
    StoreSubject("repeats", RepeatMemory, claims=_LASTING),
    StoreSubject("rehearsal", RehearsalMemory, claims=_LASTING),
    StoreSubject("rolling", RollingSummaries, claims=_LASTING),
    StoreSubject("gate", GateStore, claims=_LASTING),
)
SQLITE: Final = LedgerSubject("sqlite", open_ledger, claims=(*_MANY_HANDLES, "reclaim"))
PLAIN: Final = LedgerSubject("plain", lambda _: InMemory(), claims=["threads"])
EXACT: Final = IndexSubject("exact", claims=["exact"])
CHROMA: Final = IndexSubject("chroma", claims=_CHROMA)
