"""How a verb reaches the journal: inside which step, as which actor, for real or as a rehearsal.

Knows transactions and steps. Refuses to know what any verb means.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentmem import undo as undoing
from agentmem import verbs
from agentmem.embedding import embedding_text, text_digest
from agentmem.errors import Conflict
from agentmem.intake import Intake
from agentmem.ledger import Draft, Transaction, Vectors
from agentmem.records import Change, Record, Scope
from agentmem.values import plain_text

if TYPE_CHECKING:
    from agentmem.opened import Opened

__all__ = ["Writer", "Writing", "admitted"]

T = TypeVar("T")
_CHUNK = 1_000  # records written by one statement


@dataclass(slots=True)
class _Step:
    """Writes that one undo takes back together."""

    opened: Opened
    scope: Scope
    cause: str
    actor: str
    number: int | None = None  # the seq of its first change, once that is durable
    open: bool = True  # a task started inside may outlive it
    lock: threading.Lock = field(default_factory=threading.Lock)


# What the running thread or task is inside of; others do not see it.
_steps: ContextVar[tuple[_Step, ...]] = ContextVar("agentmem_steps", default=())
_rehearsing: ContextVar[tuple[Opened, ...]] = ContextVar("agentmem_rehearsing", default=())


class _Rehearsed(Exception):  # no error: it carries a result out of the transaction that is rolled back
    def __init__(self, result: Any) -> None:
        self.result = result


class Writer:
    """One verb's access to its transaction. Reads through `reader`; all it writes belongs to one step."""

    def __init__(self, reader: Transaction, actor: str, cause: str, step: int | None) -> None:
        self.reader = reader
        self.step = step
        self.count = 0
        self._actor = actor
        self._cause = cause

    def write(self, drafts: Iterable[Draft | None], cause: str | None = None) -> list[Change]:
        """Journal the drafts; None among them stands for "nothing would differ" and is passed over. `cause` says why,
        in place of the step's."""
        return self._write([draft for draft in drafts if draft is not None], self.step, None, cause)

    def take_back(self, drafts: Sequence[Draft], step: int) -> list[Change]:
        """Journal the drafts as a step of their own that undoes `step`. What is written after begins another."""
        self.step = None  # the step it was in may be the very one that is taken back
        return self._write(drafts, None, step)

    def _write(
        self, drafts: Sequence[Draft], step: int | None, undoes: int | None, cause: str | None = None
    ) -> list[Change]:
        if not drafts:
            return []
        why = self._cause if cause is None else cause
        changes = self.reader.write(drafts, actor=self._actor, cause=why, step=step, undoes=undoes)
        self.count += len(changes)
        if undoes is None:
            self.step = changes[0].step
        return changes

    def erase(self, ids: Sequence[str]) -> None:
        changes = self.reader.erase(ids, actor=self._actor, cause=self._cause, step=self.step)
        self.count += len(changes)
        self.step = changes[0].step

    def put_vectors(self, embedder: str, records: Sequence[Record], rows: Sequence[Any]) -> None:
        """Keep unit vectors that came with the records, in the records' own transaction."""
        import numpy as np

        positions = np.array([record.position for record in records], np.int64)
        digests = [text_digest(embedding_text(record)) for record in records]
        self.reader.put_vectors(embedder, Vectors(positions, digests, np.array(rows, np.float32)))


class Writing:
    """The writes of one handle: one scope, one default actor."""

    def __init__(self, opened: Opened, scope: Scope, actor: str) -> None:
        self._opened = opened
        self._scope = scope
        self.actor = plain_text(actor, "actor")

    @contextmanager
    def step(self, cause: str, actor: str | None) -> Iterator[None]:
        made = _Step(self._opened, self._scope, plain_text(cause, "cause"), plain_text(actor or self.actor, "actor"))
        token = _steps.set((*_steps.get(), made))
        try:
            yield
        finally:
            made.open = False
            _steps.reset(token)

    @contextmanager
    def rehearse(self) -> Iterator[None]:
        token = _rehearsing.set((*_rehearsing.get(), self._opened))
        try:
            yield
        finally:
            _rehearsing.reset(token)

    @property
    def rehearsing(self) -> bool:
        return self._opened in _rehearsing.get()

    def _inside(self) -> _Step | None:
        """The outermost step of this scope that is open here: an inner one joins it."""
        for step in _steps.get():
            if step.open and step.opened is self._opened and step.scope == self._scope:
                return step
        return None

    def run(self, work: Callable[[Writer], T]) -> T:
        """The result of `work`, durable unless this is a rehearsal."""
        step = self._inside()
        if step is None:
            return self._commit(work, self.actor, "", None)[0]
        with step.lock:
            result, number = self._commit(work, step.actor, step.cause, step.number)
            if not self.rehearsing:
                step.number = number
            return result

    def _commit(self, work: Callable[[Writer], T], actor: str, cause: str, step: int | None) -> tuple[T, int | None]:
        rehearsing = self.rehearsing  # read here: the work may run on another thread, which leads the commit

        def run(transaction: Transaction) -> tuple[T, Writer]:
            # A step that somebody took back meanwhile is not joined: what it holds could never be undone.
            joined = step if step is not None and undoing.stands(transaction, step) else None
            writer = Writer(transaction, actor, cause, joined)
            result = work(writer)
            if rehearsing:
                raise _Rehearsed(result)
            return result, writer

        self._opened.check_open()
        try:
            result, writer = self._opened.ledger.bind(self._scope).transact(run)
        except _Rehearsed as rehearsed:
            return cast(T, rehearsed.result), None
        if writer.count:
            self._opened.wrote(self._scope, writer.count)
        return result, writer.step


def admitted(taken: Intake, skipping: bool, embedder: str, writer: Writer) -> list[Record]:
    """Write what was taken in, with the vectors that came with it; what was written. An id that is here already is a
    Conflict, or passed over."""
    added: list[Record] = []
    seen: set[str] = set()
    for start in range(0, len(taken.records), _CHUNK):
        chunk = taken.records[start : start + _CHUNK]
        sought = [record.id for record in chunk if record.id not in taken.fresh]
        known = {record.id for record in writer.reader.get(sought)} if sought else ()
        new: list[Record] = []
        for record in chunk:
            if record.id in known or record.id in seen:
                if not skipping:
                    raise Conflict(f"{record.id} is already here", way_out="Edit it, or pass existing='skip'.")
            else:
                seen.add(record.id)
                new.append(record)
        changes = writer.write(verbs.add(record, fresh=record.id in taken.fresh) for record in new)
        added += _placed(new, changes, taken.fresh, writer)
    given = [record for record in added if record.id in taken.vectors] if taken.vectors else []
    if given:
        writer.put_vectors(embedder, given, [taken.vectors[record.id] for record in given])
    return added


def _placed(
    records: Sequence[Record], changes: Sequence[Change], fresh: Collection[str], writer: Writer
) -> list[Record]:
    """The records with the positions the ledger gave them: the `seq` of their first change, which may be an old one."""
    if all(record.id in fresh for record in records):
        for record, change in zip(records, changes, strict=True):
            # Set in place: nobody has seen these records yet, and copying them is a tenth of a batched add.
            object.__setattr__(record, "position", change.seq)
        return list(records)
    return writer.reader.get([record.id for record in records])
