"""Broken ledgers, each in one way: what the ledger exam is examined with.

Each stands beside the promise that it must break. The sound one that they are made from keeps every promise.
"""

from __future__ import annotations

import base64
import json
import os
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from agentmem.ledger import Delta, Draft, Ledger, Reader, Segment, Serving
from agentmem.records import Change, Record, Scope, State
from agentmem_stores.plain import PlainLedger, PlainScope
from agentmem_stores.testing import LedgerSubject
from agentmem_stores.testing.ledgers import InMemory


class OneFile(PlainLedger):
    """Sound: everything in one file, of which nobody else has a handle."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.path = folder / "notes.json"

    def load(self) -> str | None:
        return self.path.read_text(encoding="utf-8") if self.path.exists() else None

    def save(self, text: str) -> None:
        new = self.path.with_suffix(f".{os.getpid()}")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)


class LosesTheLastWrite(OneFile):
    _last: str | None = None

    def load(self) -> str | None:
        return self._last if self._last is not None else super().load()

    def save(self, text: str) -> None:
        if self._last is not None:
            super().save(self._last)
        self._last = text


class SavesAtTheEnd(OneFile):
    """What is acknowledged dies with the process."""

    _last: str | None = None

    def load(self) -> str | None:
        return self._last if self._last is not None else super().load()

    def save(self, text: str) -> None:
        self._last = text

    def close(self) -> None:
        if self._last is not None:
            super().save(self._last)


class KeepsABackup(OneFile):
    def save(self, text: str) -> None:
        if (before := self.load()) is not None and len(before) > len(text):
            self.path.with_suffix(".old").write_text(before, encoding="utf-8")
        super().save(text)


class ForgetsItsIdentity(OneFile):
    def load(self) -> str | None:
        text = super().load()
        return text and json.dumps({k: v for k, v in json.loads(text).items() if k != "identity"})


class RoundsNumbers(OneFile):
    def load(self) -> str | None:
        text = super().load()
        return text and json.dumps(json.loads(text, parse_float=lambda number: round(float(number), 1)))


class Unlocked(InMemory):
    def __init__(self, _: Path) -> None:
        super().__init__()
        self._lock = cast(Any, nullcontext())


class MixesCases(OneFile):
    @contextmanager
    def state(self, scope: Scope) -> Iterator[Any]:
        with super().state(Scope(str(scope).casefold())) as found:
            yield found


class MixesWhatLooksAlike(OneFile):
    @contextmanager
    def state(self, scope: Scope) -> Iterator[Any]:
        with super().state(Scope(str(scope).replace("%", "_").replace("\u200b", "").replace(".", "_"))) as found:
            yield found


class _Broken(PlainScope):
    """A scope whose reads are broken by overriding, and whose transactions by `tamper`."""

    def tamper(self, transaction: Any) -> None:
        """Break the transaction that is about to be handed out."""

    def transact(self, work: Callable[[Any], Any]) -> Any:
        def tampered(transaction: Any) -> Any:
            self.tamper(transaction)
            return work(transaction)

        return super().transact(tampered)


class NotAtomic(_Broken):
    def transact(self, work: Callable[[Any], Any]) -> Any:
        raised: list[BaseException] = []

        def kept(transaction: Any) -> Any:
            try:
                return work(transaction)
            except Exception as error:  # noqa: BLE001  # whatever it is, what was written stays: that is what is broken
                raised.append(error)

        answer = super().transact(kept)
        if raised:
            raise raised[0]
        return answer


class TakesAnIdTwice(_Broken):
    def tamper(self, transaction: Any) -> None:
        sound = transaction.write

        def write(drafts: Sequence[Draft], **more: Any) -> list[Change]:
            return cast("list[Change]", sound([replace(d, before=d.before or {}) for d in drafts], **more))

        transaction.write = write


class MovesWhatComesBack(_Broken):
    """An undone record is forgotten altogether, its number too."""

    def tamper(self, transaction: Any) -> None:
        sound = transaction.write

        def write(drafts: Sequence[Draft], **more: Any) -> list[Change]:
            journal = transaction._kept.journal
            known = {record.id for record in transaction._kept.records.values()}
            entries = [(0 if change.record_id not in known else at, change) for at, change in journal]
            transaction._kept.journal = [entry for entry in entries if entry[0]]
            changes = cast("list[Change]", sound(drafts, **more))
            transaction._kept.journal = journal + transaction._kept.journal[-len(changes) :]
            return changes

        transaction.write = write


class KeepsVectors(_Broken):
    def tamper(self, transaction: Any) -> None:
        transaction._remove = types.MethodType(lambda t, at: t._kept.records.pop(at, None), transaction)


class KeepsTokens(_Broken):
    def tamper(self, transaction: Any) -> None:
        sound = transaction.put_vectors

        def put_vectors(embedder: str, vectors: Any, *, moved: tuple[int, int] | None = None) -> None:
            held = dict(transaction._kept.tokens.get(embedder, {}))
            sound(embedder, vectors, moved=moved)
            transaction._kept.tokens[embedder] = held | transaction._kept.tokens.get(embedder, {})

        transaction.put_vectors = put_vectors


class KeepsBodies(_Broken):
    def tamper(self, transaction: Any) -> None:
        def erase(ids: Sequence[str], **more: Any) -> list[Change]:
            return cast("list[Change]", transaction.write([Draft("erase", id, None, None, None) for id in ids], **more))

        transaction.erase = erase


class MovesAnyCursor(_Broken):
    def tamper(self, transaction: Any) -> None:
        sound = transaction.put_vectors

        def put_vectors(embedder: str, vectors: Any, *, moved: tuple[int, int] | None = None) -> None:
            here = transaction.cursor(f"vectors:{embedder}")
            sound(embedder, vectors, moved=None if moved is None else (here, moved[1]))

        transaction.put_vectors = put_vectors


class KeepsSegments(_Broken):
    def tamper(self, transaction: Any) -> None:
        sound = transaction.erase

        def erase(ids: Sequence[str], **more: Any) -> list[Change]:
            held = dict(transaction._kept.segments)
            changes = cast("list[Change]", sound(ids, **more))
            transaction._kept.segments.update(held)
            return changes

        transaction.erase = erase


class TakesOldSegments(_Broken):
    def tamper(self, transaction: Any) -> None:
        def put_segment(projection: str, segment: Segment, *, standing: Sequence[int], kept: int) -> bool:
            held = transaction._kept.segments.get(projection, [])
            if [until for until, _ in held] != list(standing):
                return False
            body = base64.b64encode(segment.data).decode()
            transaction._kept.segments[projection] = [*held[:kept], (segment.until, body)]
            return True

        transaction.put_segment = put_segment


class TakesAnySegment(_Broken):
    def tamper(self, transaction: Any) -> None:
        sound = transaction.put_segment

        def put_segment(projection: str, segment: Segment, *, standing: Sequence[int], kept: int) -> bool:
            here = [one.until for one in transaction.segments(projection)]
            return bool(sound(projection, segment, standing=here, kept=kept))

        transaction.put_segment = put_segment


class ServesAnybody(_Broken):
    def tamper(self, transaction: Any) -> None:
        def serve(serving: Serving, *, instead_of: str | None) -> bool:
            transaction._kept.serving = serving
            return True

        transaction.serve = serve


class Restless(_Broken):
    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        yield self


class CutsWindowsShort(_Broken):
    def changed(self, after: int, limit: int | None = None) -> Delta:
        return super().changed(after, limit)._replace(head=self.head())


class NeverTellsWhatIsGone(_Broken):
    def changed(self, after: int, limit: int | None = None) -> Delta:
        return super().changed(after, limit)._replace(gone=[])


class LikesIds(_Broken):
    def ids_ending(self, suffix: str, limit: int = 2) -> list[str]:
        ids = [record.id for record in self._kept.records.values()]
        return [id for id in ids if id.casefold().endswith(suffix.casefold())][:limit]


class ShowsTheTrash(_Broken):
    def scan(self, *, after: int = 0, limit: int | None = None, states: Sequence[State] = ("live",)) -> list[Record]:
        return super().scan(after=after, limit=limit, states=("live", "forgotten", "replaced"))


class SortsWhatIsAsked(_Broken):
    def get(self, ids: Sequence[str]) -> list[Record]:
        return sorted(super().get(ids), key=lambda record: record.position)


class OldestStepsFirst(_Broken):
    def steps(self, *, before: int | None = None, limit: int = 1) -> list[Change]:
        return super().steps(before=before, limit=1_000_000)[::-1][:limit]


class ForgetsTheStep(_Broken):
    def changes(self, **cut: Any) -> list[Change]:
        return super().changes(**{**cut, "step": None})


class MixesEmbedders(_Broken):
    def vectors(self, embedder: str, positions: Sequence[int] | None = None) -> Any:
        return super().vectors((super().embedders() or [embedder])[0], positions)


class AlwaysSomebody(_Broken):
    def counts(self) -> dict[State, int]:
        return super().counts() or {"live": 1}


class OfScopes(OneFile):
    """A ledger whose scopes are broken."""

    broken: type[PlainScope] = PlainScope

    def bind(self, scope: Scope) -> PlainScope:
        return self.broken(self, scope)


def ledger(broken: type[PlainLedger] | type[PlainScope], *claims: str) -> LedgerSubject:
    if issubclass(broken, PlainLedger):
        opened = cast("Callable[[Path], Ledger]", broken)
    else:
        opened = cast("Callable[[Path], Ledger]", type(broken.__name__, (OfScopes,), {"broken": broken}))
    return LedgerSubject(broken.__name__, opened, claims=claims or ("durability", "threads"))


# Broken ledger → the promise that it must break.
BROKEN: Final[dict[LedgerSubject, str]] = {
    ledger(LosesTheLastWrite): "whatever was acknowledged is there after opening again",
    ledger(ForgetsItsIdentity): "whatever was acknowledged is there after opening again",
    ledger(SavesAtTheEnd, "processes"): "a writer that is killed loses nothing acknowledged",
    ledger(OneFile, "processes"): "no update of several processes is lost and each sees the others",
    ledger(KeepsABackup, "reclaim"): "after reclaiming no file holds a byte of erased words",
    ledger(RoundsNumbers): "every field of a record comes back exactly",
    ledger(Unlocked, "threads"): "no update of several threads is lost",
    ledger(MixesCases): "no row of a scope is given or moved from one of a similar name",
    ledger(MixesWhatLooksAlike): "no row of a scope is given or moved from one of a similar name",
    ledger(NotAtomic): "work that raises leaves nothing and its error comes through",
    ledger(TakesAnIdTwice): "an id that is here already is a conflict and alters nothing",
    ledger(MovesWhatComesBack): "a position is kept over undo and redo and never given to another",
    ledger(KeepsVectors): "vectors of rows that are gone are skipped and go with their rows",
    ledger(KeepsTokens): "tokens come and go with their vectors",
    ledger(KeepsBodies): "erasing leaves an entry without a body and nothing else",
    ledger(MovesAnyCursor): "a cursor moves only from where it is believed to stand",
    ledger(ServesAnybody): "an embedder serves only instead of the one believed to serve",
    ledger(KeepsSegments): "an erasure takes all segments and none from before it comes back",
    ledger(TakesOldSegments): "an erasure takes all segments and none from before it comes back",
    ledger(TakesAnySegment): "a segment is refused where others stand than believed",
    ledger(Restless): "a snapshot stands still while others write",
    ledger(CutsWindowsShort): "any windows of changes lead to what stands",
    ledger(NeverTellsWhatIsGone): "a window says up to where it is complete",
    ledger(LikesIds): "an ending is taken letter by letter",
    ledger(ShowsTheTrash): "scan newest and counts look at states",
    ledger(SortsWhatIsAsked): "an unknown id is left out and the order asked is kept",
    ledger(OldestStepsFirst): "steps come newest first and only before the one named",
    ledger(ForgetsTheStep): "changes are cut by seq record step and limit",
    ledger(MixesEmbedders): "two embedders are never mixed",
    ledger(AlwaysSomebody): "a scope that nothing was written to is empty and reading it leaves it so",
}

SOUND: Final = ledger(OneFile)
