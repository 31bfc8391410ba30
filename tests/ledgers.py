"""What tests of ledgers share: scopes, a ledger in memory, and one-line writes."""

from __future__ import annotations

import numpy as np

from agentmem.ledger import Draft, ScopedLedger, Serving, Vectors
from agentmem.records import Change, Scope
from agentmem_stores.plain import PlainLedger

ANA = Scope("user:ana")
ANAS_NOTES = Scope("user:ana/notes")  # the same root
BEA = Scope("user:bea")
EMBEDDER = "letters-3-v1"
LETTERS, PAIRS = Serving(EMBEDDER, "letters"), Serving("pairs-2-v1", "pairs:/a/model")


class InMemory(PlainLedger):
    def __init__(self, text: str | None = None) -> None:
        super().__init__("memory:")
        self._text = text

    def load(self) -> str | None:
        return self._text

    def save(self, text: str) -> None:
        self._text = text


def write(scoped: ScopedLedger, *drafts: Draft | None, undoes: int | None = None) -> list[Change]:
    standing = [draft for draft in drafts if draft is not None]
    return scoped.transact(lambda transaction: transaction.write(standing, actor="ana", cause="why", undoes=undoes))


def put(
    scoped: ScopedLedger,
    positions: list[int],
    rows: list[list[float]],
    *,
    embedder: str = EMBEDDER,
    moved: tuple[int, int] | None = None,
) -> None:
    made = Vectors(np.array(positions, np.int64), [bytes([p % 256] * 8) for p in positions], np.array(rows, np.float32))
    scoped.transact(lambda transaction: transaction.put_vectors(embedder, made, moved=moved))


def serve(scoped: ScopedLedger, serving: Serving, instead_of: str | None) -> bool:
    return scoped.transact(lambda transaction: transaction.serve(serving, instead_of=instead_of))
