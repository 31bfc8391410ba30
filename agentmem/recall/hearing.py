"""How recall hears stores: beside each other, for so long, and whatever a store does, recall goes on.

A store is somebody's program. One that raises, that hangs, or that names what is not in the scope is left out, or what
it named is, and the answer says so. What is heard becomes one signal of a recall.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from agentmem.cues import Asked, Cue, Hit
from agentmem.errors import AgentMemError
from agentmem.ledger import ScopedLedger
from agentmem.recall.corpus import Rows
from agentmem.recall.pause import Pause
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.weights import Weights

if TYPE_CHECKING:
    from agentmem.recall.presets import Preset

__all__ = ["PATIENCE_S", "Fault", "Heard", "Hearing", "Said", "Voice", "hear", "of_this_scope", "with_heard"]

log = logging.getLogger("agentmem")
PATIENCE_S = 2.0  # for all the stores of a recall together


@dataclass(frozen=True, slots=True)
class Said:
    """What a store said: a score, on whatever scale, and a reason for each record, by position, best first. `brings`:
    whether it would bring these records up, or only weighs them when others do. `changes`: what it has the engine do
    otherwise. `note`: what was not as it should be.
    """

    scores: Mapping[int, float]
    reasons: Mapping[int, str]
    brings: bool = True
    changes: Callable[[Preset], Preset] | None = None
    note: str = ""


class Fault(Pause):
    """How long a store is left alone: for a while after it failed, and while it is still at an earlier question."""

    running: threading.Thread | None = None

    @property
    def over(self) -> bool:
        return super().over and (self.running is None or not self.running.is_alive())


class Voice(Protocol):
    """A store that is to be asked, and what its word counts for."""

    @property
    def name(self) -> str: ...

    @property
    def why(self) -> str:
        """Why it is asked, in words."""
        ...

    @property
    def weights(self) -> Weights: ...

    @property
    def fault(self) -> Fault: ...

    def say(self, cue: Cue) -> Said:
        """What it says; it may take long, and raise anything."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """The signals that the voices became, by what each counts for; what else is to be otherwise; and who was asked."""

    signals: Sequence[_Spoken] = ()
    weights: Mapping[str, Weights] = field(default_factory=dict)
    changes: Sequence[Callable[[Preset], Preset]] = ()
    asked: Sequence[Asked] = ()


class Hearing(threading.Thread):
    """One voice, heard on a thread of its own, because it may hang: 0.1 ms."""

    def __init__(self, voice: Voice, cue: Cue) -> None:
        super().__init__(name=f"agentmem-{voice.name}", daemon=True)
        self.voice = voice
        self._cue = cue
        self.said: Said | None = None
        self.error: Exception | None = None
        self.seconds = 0.0

    def run(self) -> None:
        began = time.perf_counter()
        try:
            self.said = self.voice.say(self._cue)
        except Exception as error:  # noqa: BLE001  # a store is anybody's program, and recall is not to fail by it
            self.error = error
        self.seconds = time.perf_counter() - began

    def result(self) -> tuple[Said | None, str]:
        """What it said so far, and what to tell of it."""
        fault = self.voice.fault
        if self.is_alive():
            fault.running = self
            fault.failed(f"recall goes on without what {self.voice.name} says: no answer in %s s", PATIENCE_S)
            return None, f"no answer in {PATIENCE_S:g} s"
        if self.error is not None:
            if not isinstance(self.error, AgentMemError):  # a fault in it, which its author will want to see
                log.debug("%s failed", self.voice.name, exc_info=self.error)
            fault.failed(f"recall goes on without what {self.voice.name} says: %s", self.error)
            return None, f"failed: {self.error or type(self.error).__name__}"
        fault.worked()
        return self.said, "" if self.said is None else self.said.note


def hear(voices: Sequence[Voice], cue: Cue) -> Heard:
    """Ask all of them at once, and wait `PATIENCE_S` for all together. Hold no lock that a store may need."""
    deadline = time.monotonic() + PATIENCE_S
    left_alone = [voice for voice in voices if not voice.fault.over]
    running = [Hearing(voice, cue) for voice in voices if voice not in left_alone]
    for hearing in running:
        hearing.start()
    for hearing in running:
        hearing.join(max(deadline - time.monotonic(), 0.0))
    asked = [Asked(voice.name, voice.why, note="left alone for a while, after it failed") for voice in left_alone]
    signals: list[_Spoken] = []
    changes = []
    for hearing in running:
        voice, (said, note) = hearing.voice, hearing.result()
        count = 0 if said is None or not said.brings else len(said.scores)
        asked.append(Asked(voice.name, voice.why, count, 1000 * hearing.seconds, note))
        if said is not None and said.scores:
            signals.append(_Spoken(voice.name, said))
        if said is not None and said.changes is not None:
            changes.append(said.changes)
    return Heard(signals, {voice.name: voice.weights for voice in voices}, changes, asked)


def with_heard(chosen: Preset, heard: Heard) -> Preset:
    """The same, and what stores said counts too."""
    if heard.signals:
        weighting = chosen.weighting
        chosen = replace(
            chosen,
            signals=(*chosen.signals, *heard.signals),
            weighting=lambda question: {**weighting(question), **heard.weights},
        )
    for change in heard.changes:
        chosen = change(chosen)
    return chosen


def of_this_scope(hits: object, ledger: ScopedLedger, depth: int) -> Said:
    """What a store's first `depth` hits say of this scope's live records, looked up again: a store may name what is
    gone, or what never was here, and may answer with anything."""
    listed = list(hits[:depth]) if isinstance(hits, Sequence) else []
    fit = [hit for hit in listed if isinstance(hit, Hit) and math.isfinite(hit.score)]
    records = ledger.get([hit.record.id for hit in fit])
    positions = {record.id: record.position for record in records if record.state == "live"}
    # Gone is what was here and is not any more, which happens to a store that is a moment behind.
    strange = [hit for hit in fit if hit.record.id not in positions and hit.record.scope != ledger.scope]
    notes = []
    if len(fit) < len(listed) or not isinstance(hits, Sequence):
        notes.append("some of its answer is no hit")
    if strange:
        notes.append(f"{len(strange)} of another scope refused")
    known = {positions[hit.record.id]: hit for hit in reversed(fit) if hit.record.id in positions}
    best_first = dict(reversed(list(known.items())))
    return Said(
        {position: hit.score for position, hit in best_first.items()},
        {position: str(hit.verdict) for position, hit in best_first.items()},
        note="; ".join(notes),
    )


class _Spoken:
    """What a store said as a signal."""

    relative = False

    def __init__(self, name: str, said: Said) -> None:
        self.name = name
        self._said = said

    def ask(self, question: Question) -> Evidence | None:
        positions = list(self._said.scores)
        rows = question.corpus.rows_of(positions)
        allowed = np.isin(rows, question.allowed).tolist()
        by_row = {row: at for row, at, fits in zip(rows.tolist(), positions, allowed, strict=True) if fits}
        return _Evidence(by_row, self._said) if by_row else None


class _Evidence:
    """Its scores, on whatever scale, brought to ½ (its last) to 1 (its best); what it does not name gets nothing."""

    def __init__(self, by_row: Mapping[int, int], said: Said) -> None:
        self._by_row = by_row  # best first
        self._said = said
        scores = [said.scores[at] for at in by_row.values()]
        self._low, self._span = min(scores), max(scores) - min(scores)

    def best(self, depth: int) -> Rows:
        return np.array(list(self._by_row)[:depth] if self._said.brings else [], np.intp)

    def scores(self, rows: Rows) -> Scores:
        return np.array([self._score(self._by_row.get(row)) for row in rows.tolist()], np.float32)

    def _score(self, at: int | None) -> float:
        if at is None:
            return math.nan
        return 0.5 + 0.5 * (self._said.scores[at] - self._low) / self._span if self._span > 0 else 1.0

    def reasons(self, rows: Rows) -> list[str]:
        told = self._said.reasons
        return [told.get(self._by_row[row], "") if row in self._by_row else "" for row in rows.tolist()]
