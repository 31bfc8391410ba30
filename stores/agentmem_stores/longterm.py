"""What comes back after it left the slots: associations of constant size, and inference from two origins, after PMI.

Working memory answers by attention to what is held. Long-term memory answers by what was held together with the like
of the cue, whatever the texts say; its answer is read again in the light of working memory's (`U_wl`), and the two are
mixed: α U_w + (1 - α) U_wl (PMI, "A Framework for Inference Inspired by Human Memory Mechanisms", arXiv 2310.09297).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.errors import InvalidInput
from agentmem.records import Record
from agentmem.store import Host
from agentmem.values import Json, number, whole_number
from agentmem_stores.projection import Arrays, Event, Fold, experienced
from agentmem_stores.rehearsal import REHEARSE
from agentmem_stores.slots import ARRANGE, EVICT, SLOTS, TOP, Slots, Vector, follow, stored

__all__ = ["Associations", "LongTermMemory", "Official"]

ALPHA: Final = 0.7  # working memory's part in the answer; this and the next as published
SEGMENTS: Final = 5
REDUCED: Final = 96  # dimensions of a key: 184 kB of matrices
NEAR: Final = 3  # segments by topic, of which one is read
ROOM: Final = 24  # keys that every topic has before another is begun
APART: Final = 0.0  # cosine to every topic below which one is
STEADY: Final = 100  # vectors of which a topic is the mean, at most: it moves on
RATE: Final = 0.7  # η, of what a key does not say yet, learnt when it is met
CONTIGUITY: Final = 0.25  # of a slot's part in the context, a step that it is older
SLIGHT: Final = 0.02  # a part in the context that is passed over
KEEPS: Final = 0.999  # κ, of a segment, each time it is written
BOUND: Final = 2.0  # of a segment's Frobenius norm, in norms of the identity; text comes to 0.7
FLOOR: Final = 0.5  # of an association that is said
LIKEST: Final = 8  # records to which a cue may be drawn
COMPLETING: Final = 20.0  # sharpness of that
RECOGNISED: Final = 0.45  # a cosine at which it is drawn to a record by half
BEFORE: Final = 8  # records before a rehearsed one among which those of its session are looked for
BESIDE: Final = 3  # of them, learned together with it
DEPTH: Final = 64  # records nearest to what was associated, of which the associations are looked at


class LongTerm(Protocol):
    """What is kept of the slots over time. Vectors are centred and of length 1, or 0."""

    def learn(self, came: Vector, beside: Vector, weights: Vector) -> None:
        """`came` float32[d] was written beside what the slots are about, float32[slots, d], with these weights."""
        ...

    def read(self, cue: Vector) -> Vector:
        """float32[d]: the direction that the cue brings up; 0 for nothing."""
        ...

    def says(self, cue: Vector, rows: Vector) -> Vector:
        """float32[n]: how much of each row, float32[n, d], the cue brings up; 1 is all of it."""
        ...

    def arrays(self) -> Arrays:
        """Views of the state, to be copied or filled."""
        ...


class Associations:
    """Outer products of what was in mind together, a matrix for each topic, in a reduced space.

    A record that is written is the key φ to itself and to its context: A ← κ A + η φ ⊗ (φ + Σ w_n φ_n - Aᵀ φ). What
    stood beside it is a key to it: A ← A + w_n (1 - φ_nᵀ A φ)₊ φ_n ⊗ φ. Each goes into the matrix of the key's topic;
    topics are found by online k-means. Only what a key does not say yet is added (the delta rule: Widrow and Hoff
    1960, and for pairs Rescorla and Wagner 1972), because plain sums drown in what all turns share.
    """

    def __init__(
        self, dimension: int, *, segments: int = SEGMENTS, reduced: int = REDUCED, near: int = NEAR, seed: int = 0
    ) -> None:
        reduced = min(reduced, dimension)
        drawn = np.random.default_rng(seed).standard_normal((dimension, reduced))
        self._near = near
        self._projection = np.linalg.qr(drawn)[0].astype(np.float32)  # [d, r], its columns orthonormal
        self.matrices = np.zeros((segments, reduced, reduced), np.float32)
        self.topics = np.zeros((segments, reduced), np.float32)
        self.counts = np.zeros(segments, np.int64)

    def reduce(self, rows: Vector) -> Vector:
        """float32[n, r]: φ of these, of length 1; 0 of a row of zeros."""
        found: Vector = rows @ self._projection
        lengths: Vector = np.sqrt(np.einsum("ij,ij->i", found, found))
        found /= np.maximum(lengths, np.float32(1e-12))[:, None]
        return found

    def learn(self, came: Vector, beside: Vector, weights: Vector) -> None:
        """See `LongTerm`."""
        counting = np.flatnonzero(weights > SLIGHT)
        weights = weights[counting]
        keys = self.reduce(np.concatenate([came[None], beside[counting]]))
        new, others = keys[0], keys[1:]
        own = self._filed(new)
        matrix = self.matrices[own]
        matrix *= np.float32(KEEPS)
        matrix += np.outer(np.float32(RATE) * new, new + weights @ others - new @ matrix)
        homes = self._known(others)
        for home in {own, *homes.tolist()}:
            matrix, here = self.matrices[home], homes == home
            if here.any():
                missing = np.maximum(1 - others[here] @ (matrix @ new), 0)
                matrix += np.outer((weights[here] * missing) @ others[here], new)
            norm = math.sqrt(np.vdot(matrix, matrix))
            if norm > BOUND * math.sqrt(new.size):
                matrix *= np.float32(BOUND * math.sqrt(new.size) / norm)

    def _filed(self, key: Vector) -> int:
        """The segment of the key's topic, which it moves a little."""
        likeness = self._likeness(key[None])[0]
        home = int(likeness.argmax())
        begun = self.counts > 0
        if not begun.all() and likeness[home] < APART and (self.counts[begun] >= ROOM).all():
            home = int(begun.argmin())
        self.counts[home] += 1
        topic = self.topics[home]
        topic += (key - topic) / np.float32(min(int(self.counts[home]), STEADY))
        topic /= np.float32(max(math.sqrt(topic @ topic), 1e-12))
        return home

    def _likeness(self, keys: Vector) -> Vector:
        """float32[n, segments]: cosines to the topics, -2 to one that has not begun."""
        found: Vector = np.where(self.counts > 0, keys @ self.topics.T, np.float32(-2))
        return found

    def _known(self, keys: Vector) -> NDArray[np.intp]:
        """intp[n]: of the segments nearest by topic, the one that knows each key best: whose φᵀ A φ is greatest.

        Topics move, so by topic alone what is old would be looked for in the wrong place; and of all segments one would
        seem to know anything.
        """
        likeness = self._likeness(keys)
        knows = ((keys @ self.matrices) * keys).sum(axis=2).T
        knows[:, self.counts == 0] = -np.inf
        if self._near < likeness.shape[1]:
            far = np.argsort(-likeness, axis=1, kind="stable")[:, self._near :]
            np.put_along_axis(knows, far, -np.inf, axis=1)
        found: NDArray[np.intp] = knows.argmax(axis=1)
        return found

    def _read(self, key: Vector) -> Vector:
        """float32[r]: Aᵀ φ"""
        found: Vector = key @ self.matrices[self._known(key[None])[0]]
        return found

    def read(self, cue: Vector) -> Vector:
        """See `LongTerm`."""
        found: Vector = self._projection @ self._read(self.reduce(cue[None])[0])
        return found

    def says(self, cue: Vector, rows: Vector) -> Vector:
        """See `LongTerm`."""
        found: Vector = self.reduce(rows) @ self._read(self.reduce(cue[None])[0])
        return found

    def arrays(self) -> Arrays:
        """See `LongTerm`."""
        return {"matrices": self.matrices, "topics": self.topics, "counts": self.counts}


class Official:
    """The published long-term memory, without its trained parts: L ← LN(L + E), E[c, n] = (Σ_d L[c, n, d]) W[n], where
    W are the slots; read by softmax(q L̄ᵀ) L̄, L̄ the mean over the segments c, the `top` largest of the softmax over
    slots, neither scaled nor renormalised.

    A layer norm leaves rows that sum to d times its bias. With the bias 0 that training starts from, nothing is added
    from the second step on; with a bias of 1/√d what was and what is held weigh alike.
    """

    def __init__(
        self,
        dimension: int,
        *,
        slots: int = SLOTS,
        segments: int = SEGMENTS,
        top: int = TOP,
        bias: float = 0.0,
        seed: int = 0,
    ) -> None:
        drawn = np.random.default_rng(seed).random((segments, slots, dimension))
        self.tensor = drawn.astype(np.float32)
        self._top = top
        self._bias = np.float32(bias)

    def learn(self, came: Vector, beside: Vector, weights: Vector) -> None:
        """See `LongTerm`. The slots alone count, `came` among them: it learns no order."""
        added = self.tensor + self.tensor.sum(axis=2, keepdims=True) * beside
        off = added - added.mean(axis=2, keepdims=True)
        self.tensor[:] = off / np.sqrt((off * off).mean(axis=2, keepdims=True) + np.float32(1e-5)) + self._bias

    def read(self, cue: Vector) -> Vector:
        """See `LongTerm`."""
        mean = self.tensor.mean(axis=0)
        scores = mean @ cue
        share = np.exp(scores - scores.max())
        share /= share.sum()
        if self._top < len(share):
            share[np.argsort(-share, kind="stable")[self._top :]] = 0
        found: Vector = share @ mean
        return found

    def says(self, cue: Vector, rows: Vector) -> Vector:
        """See `LongTerm`; here the cosine to what is read, as that has no scale of its own, times that of the cue: a
        softmax over slots alone reads something whatever the cue."""
        direction = self.read(cue)
        direction /= np.float32(max(float(np.linalg.norm(direction)), 1e-12))
        found: Vector = (rows @ direction) * max(float(cue @ direction), 0)
        return found

    def arrays(self) -> Arrays:
        """See `LongTerm`."""
        return {"tensor": self.tensor}


class LongTermMemory(Fold):
    """Slots as `WorkingMemory` has them, and what is kept of them over time. Its size is constant.

    `mode`: `associations`, or `official` for the published form, of which `bias` is the layer norm's (see `Official`).
    """

    name = "longterm"
    reads: ClassVar[frozenset[str]] = (Fold.reads | {"pinned"}) - {"place"}
    version: ClassVar[int] = 2
    notes: ClassVar[frozenset[str]] = frozenset({EVICT, ARRANGE, REHEARSE})

    def __init__(
        self,
        host: Host,
        *,
        mode: Literal["associations", "official"] = "associations",
        slots: int = SLOTS,
        top: int = TOP,
        segments: int = SEGMENTS,
        bias: float = 0.0,
    ) -> None:
        if mode not in ("associations", "official"):
            raise InvalidInput(f"mode must be 'associations' or 'official', not {mode!r:.40}")
        self._mode = mode
        self._bias = number(bias, "bias")
        self._number, self._top = whole_number(slots, "slots", 1), whole_number(top, "top", 1)
        self._segments = whole_number(segments, "segments", 1)
        super().__init__(host)

    @property
    def settings(self) -> Json:
        return [self._mode, self._number, self._top, self._segments, self._bias]

    def _start(self) -> None:
        dimension = self.host.embedder.dimension
        self._slots = Slots(dimension, self._number, self._top)
        self._longterm: LongTerm
        if self._mode == "official":
            self._longterm = Official(
                dimension, slots=self._number, segments=self._segments, top=self._top, bias=self._bias
            )
        else:
            self._longterm = Associations(dimension, segments=self._segments)

    def _step(self, event: Event) -> None:
        if event.note is not None and event.note.verb == REHEARSE:
            self._relearn(event.record, event.vector)
            return
        for write in follow(self._slots, event):
            self._longterm.learn(write.vector, self._slots.matters(), context(self._slots, write.slot))

    def _relearn(self, record: Record, vector: Vector) -> None:
        """Learn a rehearsed record once more, with what stood right before it in its session."""
        before = self.host.ledger.scan(after=max(0, record.position - BEFORE - 1), limit=BEFORE)
        near = [r for r in before if r.position < record.position and r.session == record.session and experienced(r)]
        if not near or not vector.any():
            return
        near = near[: -(BESIDE + 1) : -1]  # the last few, the nearest first
        rows = self._slots.centred(self.host.vectors([one.position for one in near]))
        weights = (CONTIGUITY ** np.arange(len(near))).astype(np.float32)
        weights /= np.float32(max(float(weights.sum()), CONTIGUITY / (1 - CONTIGUITY)))
        self._longterm.learn(self._slots.centred(vector[None])[0], rows, weights)

    def _dump(self) -> tuple[Json, Arrays]:
        told, arrays = self._slots.dump()
        return told, {**arrays, **self._longterm.arrays()}

    def _restore(self, told: Any, arrays: Arrays) -> None:
        self._slots.restore(told, arrays)
        for name, own in self._longterm.arrays().items():
            own[...] = stored(arrays, name, own)

    # ── inference ────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self, cue: Cue, k: int, *, use_working: bool = True, use_longterm: bool = True) -> list[Hit]:
        """Hits by 0.7 of working memory's answer and 0.3 of long-term memory's as corrected by it, either of which may
        be left out. Nothing is said of what neither has."""
        whole_number(k, "k")
        asked = self.host.asked(cue)
        if asked is None or not asked.any():
            return []
        with self.host.lock:
            slots = self._slots
            vector = slots.centred(asked[None])[0]
            attention = slots.attention(vector)
            if not use_working:
                attention[:] = 0
            working = {
                id: float(attention[slot]) for slot, ids in enumerate(slots.ids) for id in ids if attention[slot]
            }
            brought = self._brought_up(vector, attention) if use_longterm else {}
            found = {record.id: record for record, _ in brought.values()}
            found |= {record.id: record for record in self.host.ledger.get(list(working)) if record.state == "live"}
            hits = [
                _hit(record, working.get(id, 0.0), brought[id][1] if id in brought else 0.0, cue)
                for id, record in found.items()
            ]
            return sorted(hits, key=lambda hit: (-hit.score, -hit.record.position))[:k]

    def _brought_up(self, cue: Vector, attention: NDArray[np.float32]) -> dict[str, tuple[Record, float]]:
        """U_wl, from 0 to 1: the records that are associated with the cue, by how strongly, and by how well they go
        with what working memory answers; where that is silent, all have half."""
        cue = self._completed(cue)
        records, rows = self._lived_near(self._longterm.read(cue), DEPTH)
        said = np.minimum(self._longterm.says(cue, rows), 1)
        corrected = said * (1 + rows @ (attention @ self._slots.matters())) / 2
        return {
            record.id: (record, float(share))
            for record, strength, share in zip(records, said.tolist(), corrected.tolist(), strict=True)
            if strength >= FLOOR
        }

    def _completed(self, cue: Vector) -> Vector:
        """The cue drawn to the few records that are clearly like it, by one step of attention (a modern Hopfield
        network's: Ramsauer et al. 2021), because a question is far from what it asks for: keys are records."""
        _, rows = self._lived_near(cue, LIKEST)
        logits = COMPLETING * np.append(rows @ cue, np.float32(RECOGNISED))
        share = np.exp(logits - logits.max())
        share /= share.sum()
        found: Vector = share[-1] * cue + share[:-1] @ rows
        found /= np.float32(max(float(np.linalg.norm(found)), 1e-12))
        return found

    def _lived_near(self, direction: Vector, number: int) -> tuple[list[Record], Vector]:
        """Of so many records nearest to a direction those that were lived, and float32[n, d], centred."""
        length = float(np.linalg.norm(direction))
        near = self.host.nearest(direction / np.float32(length), number).positions.tolist() if length > 0 else []
        records = [record for record in self.host.ledger.at(near) if record.state == "live" and experienced(record)]
        return records, self._slots.centred(self.host.vectors([record.position for record in records]))

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            arrays = self._longterm.arrays()
            norms: dict[str, Json] = {name: float(np.linalg.norm(array)) for name, array in arrays.items()}
            size = self._slots.size + sum(array.nbytes for array in arrays.values())
            return {"mode": self._mode, "perceived": self._slots.seen, "size": size, "norms": norms}


def context(slots: Slots, own: int) -> Vector:
    """float32[slots]: the part that each other slot has in the context of what was just written, by its strength and by
    how few steps ago it was written; together 1 when all were full and one was written at each step, and never more."""
    weights: Vector = (slots.strengths * CONTIGUITY**slots.ages).astype(np.float32)
    weights[own] = 0
    weights /= np.float32(max(float(weights.sum()), CONTIGUITY / (1 - CONTIGUITY)))
    return weights


def _hit(record: Record, working: float, brought: float, cue: Cue) -> Hit:
    parts = {"working": ALPHA * working, "long-term": (1 - ALPHA) * brought}
    said = [
        *([f"{working:.2f} of the attention to what is held"] if working else []),
        *([f"associated with the cue, {brought:.2f}"] if brought else []),
    ]
    origins = " and ".join(name for name, part in parts.items() if part)
    return Hit(record, sum(parts.values()), parts, f"{origins}: {'; '.join(said)}", cue=cue.text)
