"""The store protocol: a projection of the journal that can also recall.

A store follows the journal through `apply`, keeps whatever it derives, and answers a cue with hits. What it derives
is never the truth: it can be thrown away and rebuilt. Attach one with `memory.attach(name, store)`; its hits then
count as one more signal of every recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agentmem.cues import Cue, Hit
from agentmem.records import Change
from agentmem.values import Json

__all__ = ["Report", "Store"]


@dataclass(frozen=True, slots=True)
class Report:
    """What idle-time work did: a sentence for a person, and the counts behind it."""

    summary: str
    counts: Mapping[str, int] = field(default_factory=dict)


class Store(Protocol):
    """The caller serialises calls, and hands changes over in the order of `seq`, each at least once."""

    @property
    def cursor(self) -> int:
        """The `seq` of the last change applied; 0 at first, and after `clear`."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Follow the journal. Idempotent: a change seen before alters nothing."""
        ...

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Up to `k` hits, best first; scores on any scale, higher is better."""
        ...

    def inspect(self) -> Mapping[str, Json]:
        """What a screen shows of the store."""
        ...

    def clear(self) -> None:
        """Forget everything derived, so that the journal can be applied from its start."""
        ...

    def consolidate(self, now: datetime) -> Report:
        """Idle-time work."""
        ...
