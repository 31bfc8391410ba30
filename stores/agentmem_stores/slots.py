"""Slots for which what is perceived competes: the state of a working memory, and a step of it.

PMI ("A Framework for Inference Inspired by Human Memory Mechanisms", arXiv 2310.09297) learns its
projections. Here the vectors come from an embedder and nothing is trained; kept are the softmax of each slot over
candidates, the k largest entries of a row without renormalising, gates that novelty drives, and that losers are not
written.

All cosines are of vectors less the running mean of what was perceived. Sentence vectors share a large part that says
nothing (of two LoCoMo conversations the mean has length 0.74 with MiniLM and 0.47 with the hash embedder). Without it
both embedders agree on what is near: turns far apart have 0.0 ± 0.15, neighbours 0.27, the likest of eight turns
before 0.4; so one threshold serves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import text_digest
from agentmem.values import Json
from agentmem_stores.projection import Arrays, Event

__all__ = ["ARRANGE", "EVICT", "LIKE", "SLOTS", "TOP", "Slots", "Vector", "Write", "follow", "shares", "stored"]

Vector: TypeAlias = NDArray[np.float32]

EVICT: Final = "evict"  # verbs of the changes that are noted here
ARRANGE: Final = "arrange"

SLOTS: Final = 8  # these two as published
TOP: Final = 5
SHARPNESS: Final = 10.0  # of a softmax: 0.1 of cosine is a factor of 2.7
LIKE: Final = 0.35  # of one matter. 1 in 60 pairs of turns far apart is above it; of 10 turns 6, to one of the 8 before
FADE: Final = (
    0.96  # of a slot's strength, a step: new things in a row get in, and what is half new loses to fresh slots
)
NOVELTY: Final = 0.3  # at which the gates stand half open
STEEPNESS: Final = 10.0  # of the gates
FORGETS: Final = 0.5  # of what a slot was, where the input gate is wide open
RECORDS: Final = 4  # that a slot names: the last ones, and before those the pinned
USUAL: Final = 16  # perceived vectors' worth of zero in the running mean, lest the first be all that is usual


_TINY: Final = np.float32(1e-12)  # a length of 0 may be divided by it


def shares(scores: Vector, empty: Vector, top: int) -> Vector:
    """float32[rows, candidates]: a softmax of each row over its candidates and one column more, which takes nothing.

    Only the `top` largest of a row stay, without renormalising, and of those the ones that beat the empty column;
    the others are 0. `scores` float32[rows, candidates], `empty` float32[rows].
    """
    logits = np.empty((len(scores), scores.shape[1] + 1), np.float32)
    logits[:, :-1], logits[:, -1] = scores, empty
    logits -= logits.max(axis=1, keepdims=True)
    share = np.exp(SHARPNESS * logits)
    share /= share.sum(axis=1, keepdims=True)
    taken, nothing = share[:, :-1], share[:, -1:]
    kept = taken > nothing
    if top < taken.shape[1]:
        np.put_along_axis(kept, np.argsort(-taken, axis=1, kind="stable")[:, top:], False, axis=1)
    return np.where(kept, taken, np.float32(0))


class Write(NamedTuple):
    """A record that won a slot, and its vector: float32[d], centred, of length 1."""

    slot: int
    id: str
    vector: Vector


class Slots:
    """Slots of a vector, the last records, age and strength; and the losers of the last steps, who compete on.

    A pure state: the same calls give the same slots. Its size does not depend on how much was perceived.
    """

    def __init__(self, dimension: int, number: int = SLOTS, top: int = TOP) -> None:
        self.top = top
        self._rows = np.zeros((number + top + 1, dimension), np.float32)  # the slots', the losers', and the newest
        self.vectors = self._rows[:number]  # of length 1, or 0 where the slot is empty
        self.strengths = np.zeros(number, np.float32)  # 0 to 1
        self.ages = np.zeros(number, np.int64)  # steps since something was written
        self.likeness = np.zeros(number, np.float32)  # of what was written last, to what was held then
        self.placed = np.zeros(number, np.int64)  # by a person: the higher, the further in front; 0 for never
        self.ids: list[list[str]] = [[] for _ in range(number)]
        self.pinned: set[str] = set()  # of the ids
        self.mean = np.zeros(dimension, np.float32)
        self.seen = 0
        self.session = ""
        self.losers: list[str] = []  # of the last steps and this session, as many as a row keeps

    def __len__(self) -> int:
        return len(self.ids)

    def centred(self, rows: Vector) -> Vector:
        """float32[n, d]: the rows less what is usual, of length 1; a row of zeros stays zero."""
        there = np.einsum("ij,ij->i", rows, rows) > 0
        off: Vector = rows - there[:, None] * self.mean
        lengths: Vector = np.sqrt(np.einsum("ij,ij->i", off, off))
        off /= np.maximum(lengths, _TINY)[:, None]
        return off

    def matters(self) -> Vector:
        """float32[slots, d]: what the slots are about, centred."""
        return self.centred(self.vectors)

    def holding(self, id: str) -> int | None:
        """Which slot names the record."""
        return next((n for n, ids in enumerate(self.ids) if id in ids), None)

    def keeps(self, slot: int) -> bool:
        """Whether it names a pinned record: such a slot does not fade, is not taken, and its vector stays."""
        return bool(self.pinned) and not self.pinned.isdisjoint(self.ids[slot])

    def attention(self, cue: Vector) -> Vector:
        """float32[slots]: a softmax over the slots and one that is about nothing, for a cue that is centred; 0 where
        that one wins."""
        found: Vector = shares((self.matters() @ cue)[None], np.array([LIKE], np.float32), len(self))[0]
        return found

    # ── what happens to them ─────────────────────────────────────────────────────────────────────────────────────

    def perceive(self, id: str, vector: Vector, *, pinned: bool = False, session: str = "") -> list[Write]:
        """One step: the record and the last losers of its session compete for the slots; who won.

        What is like something held joins it. Of the rest the most novel takes the free slot, which is an empty one or
        else the weakest, if it is more novel than that is strong. A pinned record is written in any case. `vector` has
        length 1.
        """
        self.seen += 1
        self.mean += (vector - self.mean) / np.float32(self.seen + USUAL)
        if session != self.session:
            self.session, self.losers = session, []
        keeps = np.array([self.keeps(slot) for slot in range(len(self))])
        self.ages += 1
        self.strengths[~keeps] *= np.float32(FADE)

        names = [*self.losers, id]
        came = self._rows[len(self) : len(self) + len(names)]
        came[-1] = vector
        centred = self.centred(self._rows[: len(self) + len(names)])
        rows = centred[len(self) :]
        likeness = centred[: len(self)] @ rows.T
        likest = np.maximum(likeness.max(axis=0), 0)
        joining = shares(likeness, np.full(len(self), LIKE, np.float32), self.top)
        homes = np.where(joining.any(axis=0), joining.argmax(axis=0), -1)
        for slot in set(homes.tolist()) - {-1}:
            members = np.flatnonzero(homes == slot)
            if not keeps[slot]:
                self._mix(slot, joining[slot, members] @ came[members], float(likest[members].max()))
            self.strengths[slot] += (1 - self.strengths[slot]) * joining[slot, members].max()

        stays = keeps.copy()
        stays[homes[homes >= 0]] = True
        free, taker = self._contest(1 - likest, homes < 0, stays, pinned)
        if taker is not None:
            self._clear(free)
            self.vectors[free], self.strengths[free] = came[taker], 1
            homes[taker] = free
        elif pinned and homes[-1] < 0:  # no slot can be had: it goes where it is likest, while there is room
            full = np.array([len(ids) >= RECORDS for ids in self.ids])
            homes[-1] = (likeness[:, -1] - 2 * full).argmax()

        if pinned:
            self.pinned.add(id)
        won = np.flatnonzero(homes >= 0).tolist()
        for j in won:
            self._name(int(homes[j]), names[j], float(likest[j]))
        left = np.flatnonzero(homes < 0)[-self.top :]
        self.losers = [names[j] for j in left.tolist()]
        came[: len(left)], came[len(left) :] = came[left], 0
        return [Write(int(homes[j]), names[j], rows[j]) for j in won]

    def _mix(self, slot: int, came: Vector, likeness: float) -> None:
        """The gates: the newer to the slot, the more of it goes in and the more of what was there goes out."""
        gate = 1 / (1 + math.exp(-STEEPNESS * (1 - likeness - NOVELTY)))
        mixed = (1 - FORGETS * gate) * self.vectors[slot] + gate * came
        self.vectors[slot] = mixed / max(math.sqrt(mixed @ mixed), _TINY)

    def _contest(
        self, novelty: Vector, open: NDArray[np.bool_], stays: NDArray[np.bool_], pinned: bool
    ) -> tuple[int, int | None]:
        """The free slot, and which of the candidates that joined nothing takes it."""
        empty = np.array([not ids for ids in self.ids])
        bars = np.where(stays, np.inf, np.where(empty, -1, self.strengths))
        free = int(bars.argmin())
        if stays[free] or not open.any():
            return free, None
        if pinned and open[-1]:
            return free, len(open) - 1
        bar = np.maximum(bars[free : free + 1], 0).astype(np.float32)
        won = np.where(open, shares(novelty[None], bar, self.top)[0], 0)
        return free, int(won.argmax()) if won.any() else None

    def _name(self, slot: int, id: str, likeness: float) -> None:
        ids = self.ids[slot]
        ids.append(id)
        if len(ids) > RECORDS:
            gone = next((id for id in ids[:-1] if id not in self.pinned), ids[0])
            ids.remove(gone)
            self.pinned.discard(gone)
        self.ages[slot] = 0
        self.likeness[slot] = likeness

    def _clear(self, slot: int) -> None:
        self.vectors[slot] = self.strengths[slot] = self.ages[slot] = self.likeness[slot] = self.placed[slot] = 0
        self.ids[slot] = []

    def evict(self, id: str) -> None:
        """Let the record go, and its slot when it names no other."""
        if (slot := self.holding(id)) is not None:
            self.ids[slot].remove(id)
            if not self.ids[slot]:
                self._clear(slot)

    def arrange(self, id: str) -> None:
        """Put the record's slot in front of all others."""
        if (slot := self.holding(id)) is not None:
            self.placed[slot] = self.placed.max() + 1

    def order(self) -> list[int]:
        """The slots that hold something: as a person put them, then the strongest first."""
        filled = [slot for slot, ids in enumerate(self.ids) if ids]
        return sorted(filled, key=lambda slot: (-self.placed[slot], -self.strengths[slot], slot))

    def why(self, slot: int) -> str:
        """What brought it there, in words."""
        likeness = float(self.likeness[slot])
        newest = "the newest, " if not self.ages[slot] else ""
        came = "like what was held" if likeness > LIKE else "like nothing held"
        pinned = "; pinned" if self.keeps(slot) else ""
        return f"{newest}{came}: cosine {likeness:.2f}{pinned}"

    @property
    def size(self) -> int:
        """Bytes of its arrays, which is nearly all there is."""
        return sum(array.nbytes for array in self._arrays().values())

    # ── as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _arrays(self) -> Arrays:
        """Views of the state, to be copied or filled."""
        names = ("strengths", "ages", "likeness", "placed", "mean")
        return {"rows": self._rows[:-1], **{name: getattr(self, name) for name in names}}

    def dump(self) -> tuple[dict[str, Json], Arrays]:
        told: dict[str, Json] = {
            "ids": [list(ids) for ids in self.ids],
            "pinned": sorted(self.pinned),
            "seen": self.seen,
            "session": self.session,
            "losers": list(self.losers),
        }
        return told, self._arrays()

    def restore(self, told: Mapping[str, Any], arrays: Arrays) -> None:
        """What `dump` gave; ValueError, KeyError or TypeError for anything else."""
        ids, losers = [_ids(one, RECORDS) for one in told["ids"]], _ids(told["losers"], self.top)
        if len(ids) != len(self):
            raise ValueError(f"{len(ids)} slots, not {len(self)}")
        for name, own in self._arrays().items():
            own[...] = stored(arrays, name, own)
        self.ids, self.losers = ids, losers
        self.pinned = set(_ids(told["pinned"], RECORDS * len(self)))
        self.seen, self.session = int(told["seen"]), str(told["session"])


def _ids(value: Any, most: int) -> list[str]:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(id, str) for id in value):
        raise ValueError("these are no ids of records")
    return value


def stored(arrays: Arrays, name: str, like: NDArray[Any]) -> NDArray[Any]:
    """The array of that name, if it is of the type and shape expected, and finite; else ValueError or KeyError."""
    found = arrays[name]
    if found.dtype != like.dtype or found.shape != like.shape or not np.isfinite(found).all():
        raise ValueError(f"{name} is not {like.dtype}{list(like.shape)}")
    return found


def follow(slots: Slots, event: Event) -> list[Write]:
    """Let an event of the journal happen to the slots; what it wrote."""
    record = event.record
    if event.note is None:
        if event.vector.any():  # without an embedding it is like nothing, and nothing can be like it
            session = text_digest(record.session).hex() if record.session is not None else ""
            return slots.perceive(record.id, event.vector, pinned=record.pinned, session=session)
    elif event.note.verb == ARRANGE:
        slots.arrange(record.id)
    elif not record.pinned:  # one pinned since it was evicted is held
        slots.evict(record.id)
    return []
