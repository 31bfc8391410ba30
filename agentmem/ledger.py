"""The ledger protocol: what a backend must write to keep agentmem's one truth.

A ledger holds, for each scope, the journal (an append-only, numbered list of changes), the current records, and the
vectors that projections derive from them. It knows nothing of verbs: what an edit, a merge or an undo means is
decided in `agentmem.verbs`, which reads and writes inside a transaction that the ledger makes atomic and durable.

Everything goes through `ScopedLedger`, bound to one scope, so that no call can name another scope's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

from agentmem.records import Change, Record, Scope, State
from agentmem.values import Json

__all__ = ["Delta", "Draft", "Durability", "Ledger", "ScopedLedger", "Segment", "Serving", "Transaction", "Vectors"]

T = TypeVar("T")
Durability = Literal["process", "power"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A change about to be journaled, with the row that stands after it (`record` None: the row ceases to be).

    `fresh` says that the id was made a moment ago, so that no earlier change can bear it and none is looked for.
    """

    verb: str
    record_id: str
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    record: Record | None
    fresh: bool = False


class Delta(NamedTuple):
    """What is different since some `seq`: rows as they stand now, and positions that hold no row any more."""

    records: list[Record]
    gone: list[int]
    head: int


class Vectors(NamedTuple):
    """Vectors by position: int64[n], one digest of the embedded text each (8 bytes), float32[n, dimension].

    `tokens`: what the embedder says of each text's tokens, in its owner's bytes. Written with the vectors and never
    without; read apart, by `Reader.tokens`. Empty when there are none of any of them.
    """

    positions: NDArray[np.int64]
    digests: list[bytes]
    matrix: NDArray[np.float32]
    tokens: Sequence[bytes] = ()


class Serving(NamedTuple):
    """The embedder whose vectors answer a scope's recalls: its id, and how `open_embedder` spells it.

    `spec` is "" for one that was handed over as an object, which nobody else can open.
    """

    embedder: str
    spec: str


class Segment(NamedTuple):
    """A piece of a projection as its owner left it, so that the next process need not make it again.

    Complete up to the change `until`, of which no two segments of a projection have the same. What `data` means is
    its owner's business, who bears with anything that may stand there.
    """

    until: int
    data: bytes


class Reader(Protocol):
    """What can be read of one scope."""

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids, in any state, in the order asked; ids that are not here are left out."""
        ...

    def changes(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        record_id: str | None = None,
        step: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Change]:
        """Journal entries of this scope with `after < seq < before`, by `seq`; of one record or one step alone."""
        ...

    def steps(self, *, before: int | None = None, limit: int = 1) -> list[Change]:
        """The first entry of each step, newest step first; only steps before `before`."""
        ...

    def head(self) -> int:
        """The `seq` of the newest change under this scope's root; 0 in an empty ledger. A few microseconds."""
        ...

    def changed(self, after: int, limit: int | None = None) -> Delta:
        """What differs since `after`, from one consistent snapshot; how every projection catches up.

        With `limit`, the effect of at most so many journal entries, and `head` is the `seq` up to which the answer is
        complete. A row may come again in the next answer.
        """
        ...

    def scan(self, *, after: int = 0, limit: int | None = None, states: Sequence[State] = ("live",)) -> list[Record]:
        """Records with `position > after`, by position: the order in which they were written."""
        ...

    def newest(self, limit: int, *, states: Sequence[State] = ("live",)) -> list[Record]:
        """The records with the highest positions, highest first."""
        ...

    def counts(self) -> dict[State, int]:
        """How many records there are in each state."""
        ...

    def embedders(self) -> list[str]:
        """The ids of the embedders that have vectors in this scope."""
        ...

    def serving(self) -> Serving | None:
        """The embedder whose vectors answer recalls in this scope; None until one is chosen."""
        ...

    def at(self, positions: Sequence[int]) -> list[Record]:
        """The records at these positions, in the order asked; positions that hold none are left out."""
        ...

    def ids_ending(self, suffix: str, limit: int = 2) -> list[str]:
        """Ids that end with `suffix`: what a person types instead of a whole id."""
        ...

    def cursor(self, projection: str) -> int:
        """The `seq` up to which the projection has followed the journal in this scope; 0 at first."""
        ...

    def vectors(self, embedder: str, positions: Sequence[int] | None = None) -> Vectors:
        """The vectors of these positions (None: of all), by position; positions without one are left out."""
        ...

    def tokens(self, embedder: str, positions: Sequence[int]) -> dict[int, bytes]:
        """What was kept of these positions' tokens; those of which nothing was are left out."""
        ...

    def segments(self, projection: str) -> list[Segment]:
        """What was kept of the projection in this scope, by `until`."""
        ...


class Transaction(Reader, Protocol):
    """Reads and writes that become durable together, or not at all."""

    def write(
        self,
        drafts: Iterable[Draft],
        *,
        actor: str,
        cause: str = "",
        step: int | None = None,
        undoes: int | None = None,
    ) -> list[Change]:
        """Journal the drafts in order and make their rows current.

        `step` joins an earlier step; None begins one. A record's position is the `seq` of its first change ever, so
        a record that an undo removed and a redo brings back stands where it stood.
        """
        ...

    def put_vectors(self, embedder: str, vectors: Vectors, *, moved: tuple[int, int] | None = None) -> None:
        """Keep vectors under the embedder's id, replacing older ones, tokens included; positions that hold no row by
        now are skipped.

        `moved=(since, until)` moves the embedder's cursor, and if it does not stand at `since`, nothing is done:
        another process has come further with newer words, or has dropped the vectors meanwhile.
        """
        ...

    def erase(self, ids: Sequence[str], *, actor: str, cause: str = "", step: int | None = None) -> list[Change]:
        """Remove these records' words for good: rows, vectors and journal bodies. `reclaim` must follow.

        The journal keeps one `erase` entry a record, without a body. All segments of the scope go too: who knows
        what words they hold.
        """
        ...

    def drop_vectors(self, embedder: str, positions: Sequence[int] | None = None) -> None:
        """Forget the embedder's vectors in this scope and set its cursor to 0, so that all is embedded anew.

        With `positions`, those alone, and the cursor stays.
        """
        ...

    def put_segment(self, projection: str, segment: Segment, *, standing: Sequence[int], kept: int) -> bool:
        """Keep a segment behind the first `kept` of those that stand, and in place of the others; whether it was done.

        Nothing is, when the segments' `until`s are not `standing` (another process came first), or when something
        was erased since the segment's own, whose words may be in it.
        """
        ...

    def serve(self, serving: Serving, *, instead_of: str | None) -> bool:
        """Let this embedder's vectors answer recalls from now on, if `instead_of` still does; whether it was so.

        When another one is replaced the head moves on, so that whoever follows it looks.
        """
        ...


class ScopedLedger(Reader, Protocol):
    """One scope of a ledger. Safe to use from several threads, and from several processes at once."""

    @property
    def scope(self) -> Scope: ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """Reads that all see the scope as it stood at the first of them, whatever is written meanwhile."""
        ...

    def verify(self) -> list[str]:
        """Sentences about where the files, the journal and the rows disagree; none when all is sound."""
        ...

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one write transaction and return its result once it is durable.

        `work` sees every change acknowledged before. If it raises, nothing it wrote remains, and the error goes to
        the caller. It may share a commit with other threads' work, so it must do nothing but read and write here.
        """
        ...

    def reclaim(self) -> None:
        """Give back the space that erased words took, so that no byte of them is left in any file.

        An erasure that was durable but not reclaimed (the process was killed) is reclaimed at the next opening.
        """
        ...


class Ledger(Protocol):
    """An open ledger."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def identity(self) -> str:
        """A random id that the ledger was given when it was made; a copy of its files has the same one."""
        ...

    @property
    def folder(self) -> Path | None:
        """The memory's own folder, where a projection may keep files; None when it has none."""
        ...

    def bind(self, scope: Scope) -> ScopedLedger:
        """The ledger seen from one scope. Cheap; creates nothing until something is written."""
        ...

    def size(self) -> int:
        """Bytes on disk, everything included."""
        ...

    def close(self) -> None:
        """Release files and connections; twice is fine."""
        ...


def vectors_cursor(embedder: str) -> str:
    """The projection name under which an embedder's progress is kept."""
    return f"vectors:{embedder}"
