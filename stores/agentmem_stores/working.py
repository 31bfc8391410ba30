"""What an agent holds in mind right now: the slots of a scope, which a person can see, pin, reorder and empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from agentmem import verbs
from agentmem.cues import Cue, Hit
from agentmem.errors import InvalidInput
from agentmem.ledger import Draft, Reader
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Change, Record
from agentmem.store import Held, Host
from agentmem.values import Json, many, whole_number
from agentmem_stores.projection import Arrays, Event, Fold
from agentmem_stores.slots import ARRANGE, EVICT, SLOTS, TOP, Slots, follow

__all__ = ["WorkingMemory"]


class WorkingMemory(Fold):
    """The slots of a scope, kept across restarts. Pin a record with `memory.pin`, and it stays.

    What is evicted or arranged is journaled as a change that alters no record: undo takes it back.
    """

    name = "working"
    reads: ClassVar[frozenset[str]] = (Fold.reads | {"pinned"}) - {"place"}
    notes: ClassVar[frozenset[str]] = frozenset({EVICT, ARRANGE})

    def __init__(self, host: Host, *, slots: int = SLOTS, top: int = TOP) -> None:
        self._sizes = whole_number(slots, "slots", 1), whole_number(top, "top", 1)
        super().__init__(host)

    @property
    def settings(self) -> Json:
        return list(self._sizes)

    def _start(self) -> None:
        self._slots = Slots(self.host.embedder.dimension, *self._sizes)

    def _step(self, event: Event) -> None:
        follow(self._slots, event)

    def _dump(self) -> tuple[Json, Arrays]:
        return self._slots.dump()

    def _restore(self, told: Any, arrays: Arrays) -> None:
        self._slots.restore(told, arrays)

    # ── what a person sees and does ──────────────────────────────────────────────────────────────────────────────

    def held(self) -> list[Held]:
        """What is in mind: first what a person put in front, then the strongest."""
        with self.host.lock:
            slots = self._slots
            ids = [id for slot in slots.order() for id in slots.ids[slot]]
            live = {record.id: record for record in self.host.ledger.get(ids) if record.state == "live"}
            found = []
            for slot in slots.order():
                records = tuple(live[id] for id in slots.ids[slot] if id in live)
                if records:
                    tokens = sum(estimate_tokens(record.text) for record in records)
                    age, strength = int(slots.ages[slot]), float(slots.strengths[slot])
                    found.append(Held(records, tokens, age, strength, slots.keeps(slot), slots.why(slot)))
            return found

    def evict(self, *ids: str) -> list[Change]:
        """Let records go from their slots; they stay in memory. RecordNotFound; InvalidInput for one that is not held,
        or that is pinned."""
        for record in self._of_those_held(ids):
            if record.pinned:
                raise InvalidInput(f"{record.id} is pinned", way_out="Unpin it first: memory.pin(id, pinned=False).")
        return self._noted(EVICT, ids)

    def arrange(self, ids: Iterable[str]) -> list[Change]:
        """Put the slots of these records in front, in this order; the others stay behind them in theirs.
        RecordNotFound; InvalidInput for one that is not held."""
        listed = list(many(ids, "ids"))
        self._of_those_held(listed)
        return self._noted(ARRANGE, listed[::-1])  # each is put in front of all: the last one stands first

    def _of_those_held(self, ids: Sequence[str]) -> list[Record]:
        with self.host.lock:
            records = verbs.required(self.host.ledger, ids)
            for record in records:
                if self._slots.holding(record.id) is None:
                    way_out = "memory.stores['working'].held() lists what is."
                    raise InvalidInput(f"{record.id} is not in working memory", way_out=way_out)
            return records

    def _noted(self, verb: str, ids: Sequence[str]) -> list[Change]:
        def plan(reader: Reader) -> Iterable[Draft]:
            return [Draft(verb, record.id, {}, {}, record) for record in verbs.required(reader, ids)]

        return self.host.write(plan, "working memory")

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """The records of the slots that the cue attends to, by the share of attention; the newest of a slot first."""
        whole_number(k, "k")
        asked = self.host.asked(cue)
        if asked is None or not asked.any():
            return []
        with self.host.lock:
            slots = self._slots
            attention = slots.attention(slots.centred(asked[None])[0])
            order = [slot for slot in np.argsort(-attention, kind="stable").tolist() if attention[slot] > 0]
            shared = {id: float(attention[slot]) for slot in order for id in reversed(slots.ids[slot])}
        return [
            Hit(record, shared[record.id], {self.name: shared[record.id]}, said(shared[record.id]), cue=cue.text)
            for record in self.host.ledger.get(list(shared))
            if record.state == "live"
        ][:k]

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            slots = self._slots
            return {
                "perceived": slots.seen,
                "size": slots.size,
                "slots": [
                    {
                        "records": list(slots.ids[slot]),
                        "age": int(slots.ages[slot]),
                        "strength": float(slots.strengths[slot]),
                        "pinned": slots.keeps(slot),
                        "why": slots.why(slot),
                    }
                    for slot in slots.order()
                ],
                "lost of late": list(slots.losers),
            }


def said(attention: float) -> str:
    """A hit's verdict."""
    return f"working: {attention:.2f} of the attention to what is held"
