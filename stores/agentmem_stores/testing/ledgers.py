"""The ledger exam: who sits it, in what room, and the few words in which its promises are written.

A room's ledger need not be empty, so one database can serve a whole exam: every scope of a room bears a name that
nobody used before. The promises themselves are in the files beside this one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from agentmem import verbs
from agentmem.ledger import Draft, Ledger, Reader, ScopedLedger, Vectors, vectors_cursor
from agentmem.records import Change, Record, Scope, State
from agentmem.values import new_id
from agentmem_stores.plain import PlainLedger
from agentmem_stores.testing.exam import Exam

__all__ = ["LEDGERS", "InMemory", "LedgerRoom", "LedgerSubject"]

ALL: Final[tuple[State, ...]] = ("live", "forgotten", "replaced")
EMBEDDER: Final = "exam-3-v1"


class LedgerRoom:
    """A ledger in a folder of its own, and scopes that nobody wrote to."""

    def __init__(self, subject: LedgerSubject, folder: Path, seed: int, cases: int) -> None:
        self.subject = subject
        self.folder = folder
        self.random = np.random.default_rng(seed)
        self.seed = seed
        self.cases = cases
        self._nonce = new_id()[-12:]
        self._opened: list[Ledger] = []
        self.ledger = self.open()

    def open(self) -> Ledger:
        """One more handle on the room's ledger."""
        self._opened.append(self.subject.open(self.folder))
        return self._opened[-1]

    def reopen(self) -> None:
        """Close every handle, and open the ledger anew."""
        self.close()
        self.ledger = self.open()

    def close(self) -> None:
        while self._opened:
            self._opened.pop().close()

    def scope(self, path: str) -> Scope:
        return Scope(f"{self._nonce}{path}")

    @property
    def ana(self) -> ScopedLedger:
        return self.ledger.bind(self.scope("user:ana"))

    @property
    def notes(self) -> ScopedLedger:
        """Of one root with `ana`."""
        return self.ledger.bind(self.scope("user:ana/notes"))

    @property
    def bea(self) -> ScopedLedger:
        return self.ledger.bind(self.scope("user:bea"))


LEDGERS: Final[Exam[LedgerRoom]] = Exam(
    "ledger",
    required={
        "core": "transactions, the journal, steps, positions and states",
        "catching up": "`changed` leads every projection to what stands",
        "vectors": "vectors are kept by position and embedder, and go with their rows",
        "segments": "what a projection keeps of itself stands by compare-and-set, and goes with an erasure",
        "compare-and-set": "cursors and the serving embedder move only from where they are believed to stand",
        "scopes": "no row of a scope is seen or touched from another",
        "snapshot": "reads that stand still while others write",
        "erasure": "erased rows leave an entry without a body, and nothing else",
    },
    optional={
        "durability": "closing and opening again loses nothing",
        "threads": "one handle serves several threads at once",
        "processes": "several processes write at once, and one may be killed; `open` can be imported",
        "reclaim": "after `reclaim`, no file of the folder holds a byte of erased words",
    },
)


@dataclass(frozen=True)
class LedgerSubject:
    """A ledger that sits the exam.

    `open(folder)` opens the ledger that is kept in a folder, and makes it when there is none; a ledger that is kept
    elsewhere may ignore the folder. With "durability" claimed it is called again on the same folder.
    """

    name: str
    open: Callable[[Path], Ledger]
    claims: Collection[str] = ()
    exam: Exam[LedgerRoom] = field(default=LEDGERS, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", self.exam.claimed(self.claims))

    @contextmanager
    def room(self, seed: int, cases: int) -> Iterator[LedgerRoom]:
        with (
            tempfile.TemporaryDirectory(prefix="agentmem-exam-") as folder,
            closing(LedgerRoom(self, Path(folder), seed, cases)) as room,
        ):
            yield room


class InMemory(PlainLedger):
    """The plainest ledger there is: what the others are held against."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self._text: str | None = None

    def load(self) -> str | None:
        return self._text

    def save(self, text: str) -> None:
        self._text = text


# ── the words of a check ─────────────────────────────────────────────────────────────────────────────────────────


def write(scoped: ScopedLedger, *drafts: Draft | None, **more: Any) -> list[Change]:
    standing = [draft for draft in drafts if draft is not None]
    return scoped.transact(lambda transaction: transaction.write(standing, actor="ana", cause="why", **more))


def added(scoped: ScopedLedger, text: str, *, id: str | None = None, **fields: Any) -> Record:
    """A record as the ledger gives it back."""
    record = Record.create(text, scope=scoped.scope, id=id, **fields)
    write(scoped, verbs.add(record, fresh=id is None))
    return scoped.get([record.id])[0]


def removal(record: Record) -> Draft:
    """What an undo of its making writes."""
    return Draft("undo", record.id, record.to_json(), None, None)


def put(
    scoped: ScopedLedger,
    rows: dict[int, list[float]],
    *,
    embedder: str = EMBEDDER,
    moved: tuple[int, int] | None = None,
    tokens: Sequence[bytes] = (),
) -> None:
    """Keep vectors, each with its position as digest."""
    given = vectors_of(rows, tokens)
    scoped.transact(lambda transaction: transaction.put_vectors(embedder, given, moved=moved))


def vectors_of(rows: dict[int, list[float]], tokens: Sequence[bytes] = ()) -> Vectors:
    matrix = np.array(list(rows.values()), np.float32).reshape(len(rows), -1)
    digests = [position.to_bytes(8, "big") for position in rows]
    return Vectors(np.array(list(rows), np.int64), digests, matrix, tokens)


def rows_of(vectors: Vectors) -> dict[int, list[float]]:
    return {int(position): row.tolist() for position, row in zip(vectors.positions, vectors.matrix, strict=True)}


def placed(records: list[Record]) -> list[tuple[int, Record]]:
    """With their positions, which equality leaves out."""
    return [(record.position, record) for record in records]


def told(changes: list[Change]) -> list[dict[str, Any]]:
    """Journal entries without their times."""
    return [replace(change, at=_EPOCH).to_json() for change in changes]


_EPOCH = Record.create("x", scope=Scope("x"), at="1970-01-01T00:00:00+00:00").at


def everything(reader: Reader, embedders: Collection[str] = (EMBEDDER,)) -> dict[str, Any]:
    """All that can be read of a scope but its head, which its root's other scopes move."""
    kept = {name: reader.vectors(name) for name in embedders}
    there = [record.position for record in reader.scan(states=ALL)]
    return {
        "scan": placed(reader.scan(states=ALL)),
        "newest": placed(reader.newest(10_000, states=ALL)),
        "changes": told(reader.changes()),
        "steps": told(reader.steps(limit=10_000)),
        "counts": {state: n for state, n in reader.counts().items() if n},
        "ids": sorted(reader.ids_ending("", limit=10_000)),
        "embedders": sorted(reader.embedders()),
        "serving": reader.serving(),
        "vectors": {name: rows_of(vectors) for name, vectors in kept.items()},
        "digests": {name: vectors.digests for name, vectors in kept.items()},
        "tokens": {name: reader.tokens(name, there) for name in embedders},
        "segments": reader.segments("exam"),
        "cursors": {name: reader.cursor(vectors_cursor(name)) for name in embedders},
    }
