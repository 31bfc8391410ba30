"""A cognitive store as one more signal: it follows the journal before it is asked, and its hits become evidence."""

from __future__ import annotations

import math

import numpy as np

from agentmem.cues import Hit
from agentmem.ledger import ScopedLedger
from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.weights import Weights
from agentmem.store import Store

__all__ = ["Attached"]

_DEPTH = 64  # hits asked of a store
_BATCH = 1_000  # changes handed over at once


class Attached:
    """A store that one scope's recall listens to."""

    relative = False

    def __init__(self, name: str, store: Store, ledger: ScopedLedger, weight: float) -> None:
        self.name = name
        self.store = store
        self.weights = Weights(weight)
        self._ledger = ledger

    def follow(self) -> int:
        """Hand over the changes the store has not seen; their number."""
        seen = 0
        while changes := self._ledger.changes(after=self.store.cursor, limit=_BATCH):
            self.store.apply(changes)
            seen += len(changes)
        return seen

    def ask(self, question: Question) -> Evidence | None:
        self.follow()
        hits = [hit for hit in self.store.recall(question.cue, _DEPTH) if math.isfinite(hit.score)]
        # What a store says is looked up again: it may name records that are gone, or never were in this scope.
        positions = {record.id: record.position for record in self._ledger.get([hit.record.id for hit in hits])}
        known = {positions[hit.record.id]: hit for hit in reversed(hits) if hit.record.id in positions}
        return _StoreEvidence(known, question) if known else None


class _StoreEvidence:
    """The store's scores, on whatever scale, brought to ½ (its last hit) to 1 (its best); the unnamed get nothing."""

    def __init__(self, hits: dict[int, Hit], question: Question) -> None:
        allowed = set(question.allowed.tolist())
        self._hits: dict[int, Hit] = {}  # by row, best first
        for position, hit in reversed(hits.items()):
            [row] = question.corpus.rows_of([position]).tolist()
            if row in allowed:
                self._hits[row] = hit
        said = [hit.score for hit in self._hits.values()]
        self._low, self._high = (min(said), max(said)) if said else (0.0, 0.0)

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
