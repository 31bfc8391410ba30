"""What was learned of which stores help with which questions: the gate of the router, kept as a projection.

It learns from two kinds of notes. Feedback tells at once whether the stores that spoke for a record were right to. And
idle-time work puts every question that some record answered to all stores, and notes which of them bring that record
up: so a store that nobody asks can be found to be the right one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np

from agentmem.cues import Cue, Hit
from agentmem.errors import AgentMemError, InvalidInput
from agentmem.feedback import VERB as FEEDBACK
from agentmem.feedback import Feedback
from agentmem.gate import TRAITS, Gate, traits
from agentmem.ledger import Delta
from agentmem.records import Change, Record
from agentmem.router import GATED
from agentmem.store import Models, Report
from agentmem.values import Json, plain_text, truth, whole_number
from agentmem_stores.projection import Arrays, Event, Fold

__all__ = ["GateStore"]

ROUTE: Final = "route"  # the verb of a note that tells which stores bring up what helped
AMONG: Final = 3  # a store brings a record up when it is among its first so many
MOST: Final = 64  # questions put to all stores by one piece of idle-time work
ARRAYS: Final = ("weights", "squares", "load", "met")  # what a gate has learned
WAITING: Final = 256  # that wait for it; older ones are left as they are

log = logging.getLogger("agentmem")


class GateStore(Fold):
    """A fold over feedback. It recalls nothing itself."""

    name = "gate"
    notes: ClassVar[frozenset[str]] = frozenset({FEEDBACK, ROUTE})

    @property
    def settings(self) -> Json:
        return [list(GATED), list(TRAITS)]

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        before = self._gate.seen
        super()._follow(fresh, delta)
        if self._gate.seen != before:  # feedback is rare, and the next process is to know of it
            self._cursor = fresh[-1].seq
            self._keep_as_it_stands()

    def _start(self) -> None:
        self._gate = Gate(GATED)
        self._untried: dict[int, None] = {}  # steps of helpful feedback that were not put to all stores yet

    def _step(self, event: Event) -> None:
        if event.note is None:
            return
        try:
            cue, helped, seq = _learnt(event.note)
            waits = event.note.verb == FEEDBACK and Feedback.told(event.note).useful
        except InvalidInput:  # forged, or of a later version
            return
        if not cue.strip():
            return
        if waits:
            self._untried[seq] = None
            while len(self._untried) > WAITING:
                del self._untried[next(iter(self._untried))]
        elif event.note.verb == ROUTE:
            self._untried.pop(seq, None)
        if helped:
            self._gate.learn(traits(cue), helped)

    def _dump(self) -> tuple[Json, Arrays]:
        told: Json = {"seen": self._gate.seen, "untried": list(self._untried)}
        return told, {name: getattr(self._gate, name) for name in ARRAYS}

    def _restore(self, told: Any, arrays: Arrays) -> None:
        gate = Gate(GATED)
        for name in ARRAYS:
            held, own = arrays[name], getattr(gate, name)
            if held.shape != own.shape or held.dtype != own.dtype or not np.isfinite(held).all():
                raise ValueError("it is of another gate")
            own[...] = held
        gate.seen = int(told["seen"])
        self._gate, self._untried = gate, dict.fromkeys(int(seq) for seq in told["untried"])

    def gate(self) -> Gate:
        return self._gate  # without the lock, which a recall would wait for: a step more or less does not matter

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return []

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            gate = self._gate
            strongest = np.argsort(-np.abs(gate.weights), axis=1, kind="stable")[:, :3]
            return {
                "size": gate.seen,
                "not put to all stores yet": len(self._untried),
                **{
                    name: {TRAITS[i]: round(float(gate.weights[row, i]), 2) for i in best if gate.weights[row, i]}
                    for row, (name, best) in enumerate(zip(gate.stores, strongest.tolist(), strict=True))
                    if gate.weights[row].any()
                },
            }

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Put questions that a record answered to every store, and note which bring that record up."""
        with self.host.lock:
            waiting = set(list(self._untried)[:MOST])
        if not waiting:
            return Report("nothing to do")
        changes = self.host.ledger.changes(after=min(waiting) - 1, before=max(waiting) + 1)
        said = [(change.record_id, self._tried(change)) for change in changes if change.seq in waiting]
        noted = len(self.host.note(ROUTE, said))
        return Report(f"{noted} question{'' if noted == 1 else 's'} put to all stores", {"questions": noted})

    def _tried(self, change: Change) -> str:
        """Which stores bring up the record of a feedback among the first for its question, as a note tells it."""
        cue = Cue(Feedback.told(change).cue)
        brought: dict[str, bool] = {}
        for name in GATED:
            try:
                hits = self.host.store(name).recall(cue, AMONG)
            except AgentMemError as error:  # not installed, or it fails: nothing is learned of it
                log.debug("%s is not tried: %s", name, error)
            else:
                brought[name] = any(_stands_for(hit.record, change.record_id) for hit in hits)
        return json.dumps({"answers": change.seq, "cue": cue.text, "brought": brought}, ensure_ascii=False)


def _stands_for(record: Record, id: str) -> bool:
    """Whether it is that record, or was made from it."""
    return record.id == id or any(source.record == id for source in record.sources)


def _learnt(note: Change) -> tuple[str, dict[str, bool], int]:
    """The question, whether each store of which it is known helped, and the `seq` of the feedback it is about.
    InvalidInput."""
    if note.verb == FEEDBACK:
        said = Feedback.told(note)
        return said.cue, {name: said.useful for name in GATED if said.parts.get(name, 0.0) > 0}, note.seq
    try:
        told = json.loads(note.cause)
        cue, seq = plain_text(told["cue"], "cue"), whole_number(told["answers"], "answers")
        helped = {name: truth(name)(value) for name, value in told["brought"].items() if name in GATED}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"a note of the gate cannot be read: {error}") from error
    return cue, helped, seq
