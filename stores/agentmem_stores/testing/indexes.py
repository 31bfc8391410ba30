"""The index exam: who sits it, in what room, and a shelf: a scope's vectors, the index over them, and what is true.

An index follows a ledger and may read from it, so a room has one (SQLite, in its folder), and the shelf feeds the
index from the journal as recall does. What is true is worked out from the shelf's own dictionary, in double precision.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from agentmem import verbs
from agentmem.embedding import embedding_text, text_digest
from agentmem.errors import InvalidInput
from agentmem.index import Among, Index, Matches, Site
from agentmem.ledger import Draft, Ledger, Vectors
from agentmem.opened import open_ledger
from agentmem.recall.corpus import micros
from agentmem.records import Record, Scope
from agentmem.registry import INDEXES, load
from agentmem_stores.testing.exam import Exam, holds

__all__ = ["INDEX", "IndexRoom", "IndexSubject", "Shelf"]

DIMENSION: Final = 16
EMBEDDER: Final = "exam-16-v1"
KINDS: Final = ("turn", "note", "fact")
START: Final = datetime(2024, 5, 3, tzinfo=UTC)
CLOSE: Final = 2e-5  # how far a float32 cosine of unit vectors may be from the one in double precision
NEAREST: Final = 10
Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
_NONE: Final = np.empty(0, np.int64)

INDEX: Final[Exam[IndexRoom]] = Exam(
    "index",
    required={
        "core": "answers are cosines, best first, of what it was fed",
        "filters": "only the positions that are allowed are answered",
        "idempotence": "being fed the same twice alters nothing",
        "freshness": "what it was fed is found by the next search",
        "deletion": "what is gone is not found any more",
        "sync": "`sync` may run at any time, and changes no answer",
        "clear": "it can be emptied, and fed again",
        "scopes": "no vector of a scope is found from another",
    },
    optional={
        "exact": "the nearest are found, every time, ties to the earliest",
        "approximate": "of the nearest ten, the stated share is found",
        "persistence": "vectors and cursor are there at the next opening",
    },
)


@dataclass(frozen=True)
class IndexSubject:
    """An index that sits the exam; it claims "exact" or "approximate".

    `open` is what is installed: it takes a `Site`. None: what is installed under `name`, and `argument` is what a user
    writes behind the colon. `share`: how many of the ten nearest an approximate index finds, at least.
    """

    name: str
    open: Callable[[Site], Index] | None = None
    claims: Collection[str] = ("exact",)
    argument: str = ""
    share: float = 0.95
    exam: Exam[IndexRoom] = field(default=INDEX, init=False, repr=False)

    def __post_init__(self) -> None:
        if not {"exact", "approximate"} & set(self.claims):
            raise InvalidInput("an index finds the nearest", way_out='Claim "exact", or "approximate" and a share.')
        object.__setattr__(self, "claims", self.exam.claimed(self.claims))

    def opened(self, site: Site) -> Index:
        return self.open(site) if self.open is not None else cast(Index, load(INDEXES, self.name)(site))

    @contextmanager
    def room(self, seed: int, cases: int) -> Iterator[IndexRoom]:
        with (
            tempfile.TemporaryDirectory(prefix="agentmem-exam-") as folder,
            closing(IndexRoom(self, Path(folder), seed, cases)) as room,
        ):
            yield room


class IndexRoom:
    """A ledger, and shelves by scope."""

    def __init__(self, subject: IndexSubject, folder: Path, seed: int, cases: int) -> None:
        self.subject = subject
        self.folder = folder
        self.seed = seed
        self.cases = cases
        self.random = np.random.default_rng(seed)
        self.ledger: Ledger = open_ledger(folder / "a.mem")
        self._shelves: list[Shelf] = []

    def shelf(self, scope: Scope | str = "user:ana", *, embedder: str = EMBEDDER) -> Shelf:
        """An empty scope, and an index over it."""
        self._shelves.append(Shelf(self, Scope(scope), embedder))
        return self._shelves[-1]

    def close(self) -> None:
        for shelf in self._shelves:
            shelf.index.close()
        self.ledger.close()

    @property
    def least(self) -> float:
        """The share of the nearest that has to be found."""
        return 1.0 if "exact" in self.subject.claims else self.subject.share

    def unit(self, n: int) -> Floats:
        """So many random unit vectors."""
        rows = self.random.normal(size=(n, DIMENSION))
        return cast(Floats, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


class Shelf:
    """One scope: its ledger, the index over it, and `held`, the live vectors by position."""

    def __init__(self, room: IndexRoom, scope: Scope, embedder: str) -> None:
        self.room = room
        self.random = room.random
        self.scoped = room.ledger.bind(scope)
        self.embedder = embedder
        self.held: dict[int, Floats] = {}
        self.records: dict[int, Record] = {}
        self.index = self._opened()

    def _opened(self, *, anew: bool = False) -> Index:
        ledger = self.room.ledger
        site = Site(
            self.scoped, self.embedder, DIMENSION, ledger.identity, ledger.folder, self.room.subject.argument, anew
        )
        return self.room.subject.opened(site)

    def reopen(self, *, anew: bool = False) -> None:
        self.index.close()
        self.index = self._opened(anew=anew)

    # ── writing to the ledger ────────────────────────────────────────────────────────────────────────────────────

    def _write(self, drafts: Sequence[Draft | None], vectors: dict[int, Floats]) -> list[int]:
        def work(t: Any) -> list[int]:
            changes = t.write([draft for draft in drafts if draft is not None], actor="exam")
            rows = vectors or dict(zip((change.seq for change in changes), self._given, strict=False))
            if rows:
                # As a memory does: a vector whose digest is of other words is stale, and an index may leave it out.
                digests = [text_digest(embedding_text(record)) for record in t.at(list(rows))]
                t.put_vectors(
                    self.embedder, Vectors(np.array(list(rows), np.int64), digests, np.array([*rows.values()]))
                )
            return [change.seq for change in changes]

        return self.scoped.transact(work)

    _given: Sequence[Floats] = ()

    def add(self, matrix: Floats, *, feed: bool = True) -> list[int]:
        """New records with these vectors; their positions, ascending. Kinds take turns, times go by hours."""
        made = [
            Record.create(
                f"text {n}",
                scope=self.scoped.scope,
                kind=KINDS[n % len(KINDS)],
                at=START + timedelta(hours=len(self.records) + n),
            )
            for n in range(len(matrix))
        ]
        self._given = list(matrix)
        positions = self._write([verbs.add(record, fresh=True) for record in made], {})
        self._given = ()
        self.records.update(zip(positions, made, strict=True))
        self.held.update(zip(positions, matrix, strict=True))
        if feed:
            self.feed()
        return positions

    def replace(self, position: int, vector: Floats, *, feed: bool = True) -> None:
        """An edit, and the new text's vector."""
        self._alter("edit", position, text=f"edited {self.random.integers(1 << 30)}", vector=vector)
        self.held[position] = vector
        if feed:
            self.feed()

    def forget(self, *positions: int, feed: bool = True) -> None:
        for position in positions:
            self._alter("forget", position, state="forgotten")
            self.held.pop(position)
        if feed:
            self.feed()

    def restore(self, position: int, *, feed: bool = True) -> None:
        self._alter("restore", position, state="live")
        self.held[position] = self.scoped.vectors(self.embedder, [position]).matrix[0]
        if feed:
            self.feed()

    def erase(self, position: int, *, feed: bool = True) -> None:
        id = self.records.pop(position).id
        self.scoped.transact(lambda t: t.erase([id], actor="exam"))
        self.held.pop(position, None)
        if feed:
            self.feed()

    def _alter(self, verb: str, position: int, vector: Floats | None = None, **values: Any) -> None:
        [record] = self.scoped.at([position])
        self._write([verbs.alter(verb, record, **values)], {} if vector is None else {position: vector})

    # ── feeding the index ────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, *, times: int = 1) -> None:
        """What the journal brought since the index's cursor, as recall does it; the same several times over."""
        delta = self.scoped.changed(self.index.cursor)
        live = [record.position for record in delta.records if record.state == "live"]
        dead = [record.position for record in delta.records if record.state != "live"]
        known = self.scoped.vectors(self.embedder, live)
        for _ in range(times):
            matrix = known.matrix.reshape(-1, DIMENSION)
            self.index.apply(known.positions, matrix, [*dead, *delta.gone], delta.head)

    def settle(self) -> None:
        """Let the index put everything away."""
        self.index.sync()
        if self.index.waiting:
            raise AssertionError(f"{self.index.waiting} still wait after `sync`, which was not told to stop")

    # ── what is true ─────────────────────────────────────────────────────────────────────────────────────────────

    def positions(self, among: Among | None = None) -> Positions:
        held = np.array(sorted(self.held), np.int64)
        return held if among is None else held[np.isin(held, among.positions)]

    def truth(self, vector: Floats, among: Among | None = None) -> tuple[Positions, NDArray[np.float64]]:
        """The positions in question, ascending, and their cosines."""
        positions = self.positions(among)
        rows = np.array([self.held[int(position)] for position in positions], np.float64).reshape(-1, DIMENSION)
        return positions, rows @ vector.astype(np.float64)

    def among(self, positions: Sequence[int] | Positions) -> Among:
        """These positions; no word on kinds or times."""
        return Among(np.unique(np.asarray(positions, np.int64)))

    def where(self, kinds: Sequence[str] | None, hours: tuple[int | None, int | None] = (None, None)) -> Among:
        """What a cue's filters on kind and time allow."""
        since, until = (None if hour is None else micros(START + timedelta(hours=hour)) for hour in hours)
        allowed = [
            position
            for position, record in self.records.items()
            if position in self.held
            and (kinds is None or record.kind in kinds)
            and (since is None or micros(record.at) >= since)
            and (until is None or micros(record.at) < until)
        ]
        return Among(np.array(sorted(allowed), np.int64), kinds, since, until, whole=True)

    def judge(self, vector: Floats, k: int, among: Among | None = None, what: str = "a search") -> int:
        """Search, and hold the answer against the truth; how many of the `k` nearest were found.

        AssertionError if it is not as every index's must be: allowed positions, their cosines, best first. The share
        of the nearest is the caller's to judge.
        """
        found = self.index.search(vector, k, among)
        positions, cosines = self.truth(vector, among)
        checked(found, k, positions, cosines, what)
        cut = np.sort(cosines)[::-1][:k][-1] if k and len(cosines) else np.inf
        return int((found.scores >= cut - CLOSE).sum())


def checked(found: Matches, k: int, positions: Positions, cosines: NDArray[np.float64], what: str) -> None:
    """AssertionError unless these are allowed positions with their cosines, best first, ties by position."""
    if found.positions.dtype != np.int64 or found.scores.dtype != np.float32:
        raise AssertionError(f"{what}: {found.positions.dtype} and {found.scores.dtype}, not int64 and float32")
    foreign = np.setdiff1d(found.positions, positions)
    if len(foreign):
        raise AssertionError(f"{what}: position {foreign[0]} is not among the {len(positions)} that may be found")
    if len(np.unique(found.positions)) != len(found.positions):
        raise AssertionError(f"{what}: a position came twice: {found.positions.tolist()}")
    if len(found.positions) != min(k, len(positions)) or len(found.scores) != len(found.positions):
        raise AssertionError(f"{what}: {len(found.positions)} answers for k={k}, of {len(positions)} that may be found")
    true = cosines[np.searchsorted(positions, found.positions)]
    off = np.abs(found.scores - true)
    if len(off) and not off.max() <= CLOSE:
        worst = int(np.nanargmax(off)) if not np.isnan(off).all() else 0
        said = f"scores {found.scores[worst]:.6f}; its cosine is {true[worst]:.6f}"
        raise AssertionError(f"{what}: position {found.positions[worst]} {said}")
    order = np.lexsort((found.positions, -found.scores))
    if (order != np.arange(len(order))).any():
        raise AssertionError(f"{what}: not best first, ties by position: {found.positions.tolist()}")


# ── the words of a check ─────────────────────────────────────────────────────────────────────────────────────────


def filled(room: IndexRoom, n: int = 60, *, settled: bool = True) -> Shelf:
    shelf = room.shelf()
    shelf.add(room.unit(n))
    if settled:
        shelf.settle()
    return shelf


def nearest(shelf: Shelf, vector: Floats, k: int, among: Among | None = None) -> list[int]:
    found: list[int] = shelf.index.search(vector, k, among).positions.tolist()
    return found


def enough(shelf: Shelf, found: list[int], when: str) -> None:
    """The share of the nearest ten that the index states, over several searches."""
    least = shelf.room.least
    wanted = NEAREST * len(found)
    holds(sum(found) >= least * wanted, f"{least:.0%} of the nearest ten {when}; {sum(found)} of {wanted} were found")
