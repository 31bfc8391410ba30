"""Broken stores, each in one way: what the store exam is examined with.

Each stands beside the promise that it must break. The sound one that they are made from keeps every promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np

from agentmem import verbs
from agentmem.cues import Cue, Hit
from agentmem.ledger import Delta, Draft, Reader
from agentmem.records import Change, Record
from agentmem.store import Models, Report
from agentmem.values import Json
from agentmem_stores.projection import Event, Fold
from agentmem_stores.testing import StoreSubject

SIZE: Final = 700


class Recent(Fold):
    """Sound: the newest few records, by how near they are to the cue. Of the first it makes a summary when idle."""

    name = "recent"

    def _start(self) -> None:
        self.ids: list[str] = []
        self.matrix = np.empty((0, self.host.embedder.dimension), np.float32)

    def _step(self, event: Event) -> None:
        self.ids = [*self.ids, event.record.id][-SIZE:]
        self.matrix = np.concatenate([self.matrix, event.vector[None]])[-SIZE:]

    def _dump(self) -> tuple[Json, dict[str, Any]]:
        return list(self.ids), {"matrix": self.matrix}

    def _restore(self, told: Any, arrays: dict[str, Any]) -> None:
        self.ids, self.matrix = list(told), arrays["matrix"]

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        vector = self.host.asked(cue)
        if vector is None or not self.ids:
            return []
        scores = self.matrix @ vector
        best = np.argsort(-scores, kind="stable")[:k]
        found = {record.id: record for record in self.host.ledger.get([self.ids[i] for i in best])}
        return [Hit(found[self.ids[i]], float(scores[i])) for i in best]

    def inspect(self) -> dict[str, Json]:
        return {"size": len(self.ids), "ids": list(self.ids)}

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        def plan(reader: Reader) -> Iterable[Draft | None]:
            made = [record for record in reader.scan() if record.kind == "summary"]
            sources = reader.get([source.record for record in made for source in record.sources if source.record])
            if made and all(source.state == "forgotten" for source in sources):
                return [verbs.forget(record) for record in made]
            return [] if made or not self.ids else [verbs.add(self._summary(self.ids[0]), fresh=True)]

        written = self.host.write(lambda reader: [draft for draft in plan(reader) if draft is not None], "idle")
        return Report(f"{len(written)} changes")

    def _summary(self, of: str) -> Record:
        return Record.create("in short", scope=self.host.ledger.scope, kind="summary", sources=[of])


class SaysSomethingOfNothing(Recent):
    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return super().recall(cue, k) or [Hit(Record.create("made up", scope=self.host.ledger.scope), 1.0)]


class CountsTwice(Recent):
    def apply(self, changes: Sequence[Change]) -> None:
        super().apply(changes)
        self.ids += [change.record_id for change in changes if change.verb == "add"][:1]
        self.matrix = np.resize(self.matrix, (len(self.ids), self.matrix.shape[1]))


class GoesByBatches(Recent):
    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        super()._follow(fresh, delta)
        self.ids = self.ids[: len(fresh) + 20]
        self.matrix = self.matrix[: len(self.ids)]


class NeverLooksBack(Recent):
    def _altered(self, fresh: Sequence[Change], delta: Delta) -> Iterator[int]:
        return iter(())

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        live = {record.id for record in self.host.ledger.get(self.ids)}
        self.matrix = self.matrix[[i for i, id in enumerate(self.ids) if id in live]]
        self.ids = [id for id in self.ids if id in live]
        return super().recall(cue, k)


class WearsOut(Recent):
    """What was forgotten is out of it, and yet not without a trace."""

    told = 0

    def _step(self, event: Event) -> None:
        super()._step(event)
        self.told += 1

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return super().recall(cue, max(0, k - self.told // 41))


class GivesMoreThanAsked(Recent):
    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return super().recall(cue, k + 1)


class GivesTheWorstFirst(Recent):
    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return super().recall(cue, k)[::-1]


class KeepsWhatWasUsed(Recent):
    def recall(self, cue: Cue, k: int) -> list[Hit]:
        hits = super().recall(cue, k)
        for hit in hits[:1]:
            place = self.ids.index(hit.record.id)
            order = [place, *(i for i in range(len(self.ids)) if i != place)]
            self.ids, self.matrix = [self.ids[i] for i in order], self.matrix[order]
        return hits


class SummarisesEveryTime(Recent):
    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        written = self.host.write(lambda _: [verbs.add(self._summary(self.ids[0]), fresh=True)], "idle")
        return Report(f"{len(written)} changes")


class KeepsItsSummary(Recent):
    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        if any(record.kind == "summary" for record in self.host.ledger.scan()):
            return Report("nothing to do")
        return super().consolidate(now, models)


class TellsNoSources(Recent):
    def _summary(self, of: str) -> Record:
        return Record.create("in short", scope=self.host.ledger.scope, kind="summary")


class SulksOnceUndone(Recent):
    def apply(self, changes: Sequence[Change]) -> None:
        super().apply(changes)
        if any(change.verb == "undo" for change in changes):
            self.ids, self.matrix = [], self.matrix[:0]


class SharesItsRows(Recent):
    shared: ClassVar[list[Any]] = []

    def _step(self, event: Event) -> None:
        super()._step(event)
        self.shared.append(event.record)

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        others = [record for record in self.shared if record.scope != self.host.ledger.scope]
        return super().recall(cue, k) + [Hit(record, -9.0) for record in others[-1:]]


class KeepsNothing(Recent):
    def _keep(self, *, anew: bool = False) -> None:
        return


class ForgetsItsOrder(Recent):
    def _restore(self, told: Any, arrays: dict[str, Any]) -> None:
        super()._restore(sorted(told, reverse=True), arrays)


class KeepsTheErased(Recent):
    def _altered(self, fresh: Sequence[Change], delta: Delta) -> Iterator[int]:
        return (position for position in super()._altered(fresh, delta) if position not in delta.gone)


class IsAheadOfItsCursor(Recent):
    """What it keeps holds one record more than its cursor says."""

    def _packed(self) -> bytes:
        held = self.ids, self.matrix
        self.ids, self.matrix = [*self.ids, self.ids[-1]], np.concatenate([self.matrix, self.matrix[-1:]])
        packed = super()._packed()
        self.ids, self.matrix = held
        return packed


class Hoards(Recent):
    def _step(self, event: Event) -> None:
        self.ids = [*self.ids, event.record.id]
        self.matrix = np.concatenate([self.matrix, event.vector[None]])


CLAIMS: Final = ("persistence", "processes", "bounded")


def _subject(store: type[Recent]) -> StoreSubject:
    return StoreSubject(store.__name__, store, claims=CLAIMS, bound=SIZE)


SOUND: Final = _subject(Recent)
BROKEN: Final = {
    _subject(SaysSomethingOfNothing): "an empty scope has nothing to say",
    _subject(CountsTwice): "changes handed over again alter nothing",
    _subject(GoesByBatches): "however the changes are cut the state is the same",
    _subject(NeverLooksBack): "building anew gives what following gave",
    _subject(WearsOut): "what is forgotten and undone leaves no trace",
    _subject(GivesMoreThanAsked): "hits are few live finite and the best first",
    _subject(GivesTheWorstFirst): "hits are few live finite and the best first",
    _subject(KeepsWhatWasUsed): "recall writes nothing and changes nothing",
    _subject(SummarisesEveryTime): "idle work done twice is done once",
    _subject(KeepsItsSummary): "what a store wrote goes when its sources go",
    _subject(TellsNoSources): "what a store wrote goes when its sources go",
    _subject(SulksOnceUndone): "what a store wrote is undone like everything else",
    _subject(SharesItsRows): "no other scope is told of or taken in",
    _subject(KeepsNothing): "the next process goes on from what was kept",
    _subject(ForgetsItsOrder): "the next process goes on from what was kept",
    _subject(KeepsTheErased): "an erasure leaves nothing of what was kept",
    _subject(IsAheadOfItsCursor): "killed while it follows it goes on from where it stood",
    _subject(Hoards): "its size stays within its bound",
}
