"""Broken indexes, each in one way: what the index exam is examined with.

Each stands beside the promise that it must break. The sound one that they are made from keeps every promise.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from agentmem import Among, Matches, Site
from agentmem.index import Progress
from agentmem_stores.testing import IndexSubject

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]
_BATCH = 1_000


class Kept:
    """Sound: a dictionary, kept in a file, with what was fed since the last sync in another dictionary."""

    name = "kept"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.guard = threading.Lock()
        self.rows: dict[int, Floats] = {}
        self.tail: dict[int, Floats | None] = {}
        self.cursor = 0
        if self.path.exists() and not site.anew:
            with np.load(self.path) as kept:
                self.rows = dict(zip(kept["positions"].tolist(), kept["matrix"], strict=True))
                self.cursor = int(kept["cursor"])

    @property
    def path(self) -> Path:
        assert self.site.folder is not None
        named = f"{self.site.ledger.scope} {self.site.embedder}".encode()
        return self.site.folder / f"index-{hashlib.blake2b(named, digest_size=12).hexdigest()}.npz"

    @property
    def waiting(self) -> int:
        return len(self.tail)

    def merged(self) -> dict[int, Floats]:
        """All that is held, the newest of each."""
        with self.guard:
            found = {**self.rows, **self.tail}
        return {position: row for position in sorted(found) if (row := found[position]) is not None}

    def __len__(self) -> int:
        return len(self.merged())

    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        with self.guard:
            self.tail.update(zip(positions.tolist(), matrix.copy(), strict=True))
            self.tail.update(dict.fromkeys(gone))
            self.cursor = cursor

    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        held = self.merged()
        return np.array([held[p] @ vector if p in held else np.nan for p in positions.tolist()], np.float32)

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        held = np.array(list(self.merged()), np.int64)
        positions = held if among is None else held[np.isin(held, among.positions)]
        if not len(positions):
            return Matches(positions, np.empty(0, np.float32))
        scores = self.cosines(vector, positions)
        best = np.argsort(-scores, kind="stable")[:k]
        return Matches(positions[best], scores[best])

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        with self.guard:
            cursor, todo = self.cursor, list(self.tail.items())
        for start in range(0, len(todo), _BATCH):
            if stop():
                return start
            with self.guard:
                for position, row in todo[start : start + _BATCH]:
                    self.rows.pop(position, None)
                    if row is not None:
                        self.rows[position] = row
                    if self.tail.get(position) is row:
                        del self.tail[position]
            if progress is not None:
                progress(min(start + _BATCH, len(todo)), len(todo))
        self.save(cursor)
        return len(todo)

    def save(self, cursor: int) -> None:
        matrix = np.array([*self.rows.values()], np.float32).reshape(-1, self.site.dimension)
        np.savez(self.path, positions=np.array([*self.rows], np.int64), matrix=matrix, cursor=cursor)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.rows, self.tail, self.cursor = {}, {}, 0

    def close(self) -> None:
        """Nothing is held open."""


class IgnoresAmong(Kept):
    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        return super().search(vector, k)


class IgnoresPositions(Kept):
    """Goes by the kinds, and takes every position for allowed."""

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        if among is None or among.kinds is None:
            return super().search(vector, k, among)
        live = self.site.ledger.at(list(self.merged()))
        asked = [record.position for record in live if record.kind in among.kinds]
        return super().search(vector, k, among._replace(positions=np.array(asked, np.int64)))


class FiltersTheFirstFew(Kept):
    """Searches first and filters what came back: too few are left."""

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        found = super().search(vector, k)
        allowed = slice(None) if among is None else np.isin(found.positions, among.positions)
        return found._replace(positions=found.positions[allowed], scores=found.scores[allowed])


class KeepsWhatIsGone(Kept):
    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        super().apply(positions, matrix, [], cursor)


class FindsWhatIsGoneAgain(Kept):
    """Deletions are searched round, and never put away."""

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        self.tail = {position: row for position, row in self.tail.items() if row is not None}
        return super().sync(progress, stop)


class WorstFirst(Kept):
    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        found = super().search(vector, k, among)
        return found._replace(positions=found.positions[::-1], scores=found.scores[::-1])


class GivesDistances(Kept):
    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        found = super().search(vector, k, among)
        return found._replace(scores=1 - found.scores)


class LatestOfEquals(Kept):
    def merged(self) -> dict[int, Floats]:
        return dict(reversed(super().merged().items()))

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        found = super().search(vector, k, among)
        order = np.lexsort((found.positions, -found.scores))
        return found._replace(positions=found.positions[order], scores=found.scores[order])


class SearchesHalf(Kept):
    """Fast, and blind to every other vector, which it makes up for by others."""

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        found = super().search(vector, max(2 * k, k), among)
        seen = found.positions % 2 == 0
        order = np.argsort(~seen, kind="stable")[:k]
        order = order[np.argsort(-found.scores[order], kind="stable")]
        return found._replace(positions=found.positions[order], scores=found.scores[order])


class ZeroForUnknown(Kept):
    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        return np.nan_to_num(super().cosines(vector, positions))


class DividesByZero(Kept):
    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        held = self.merged()
        lengths = [np.linalg.norm(held[p]) if p in held else 1.0 for p in positions.tolist()]
        with np.errstate(invalid="ignore"):
            unit = super().cosines(vector, positions) / np.array(lengths, np.float32)
        return cast(Floats, unit)


class KeepsWhatItWasHanded(Kept):
    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        super().apply(positions, matrix, gone, cursor)
        self.tail.update(zip(positions.tolist(), matrix, strict=True))


class CountsTwice(Kept):
    extra = 0

    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        self.extra += sum(position in self.tail for position in positions.tolist())
        super().apply(positions, matrix, gone, cursor)

    def __len__(self) -> int:
        return super().__len__() + self.extra


class StaleUntilSync(Kept):
    def merged(self) -> dict[int, Floats]:
        return dict(sorted(self.rows.items()))


class KeepsTheFirst(Kept):
    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        new = ~np.isin(positions, list(self.merged()))
        super().apply(positions[new], matrix[new], gone, cursor)


class CursorStands(Kept):
    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        super().apply(positions, matrix, gone, cursor if len(positions) else self.cursor)


class CursorOutlivesClear(Kept):
    def clear(self) -> None:
        cursor = self.cursor
        super().clear()
        self.cursor = cursor


class LosesWhenStopped(Kept):
    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        done = super().sync(progress, stop)
        if done:
            self.tail = {}
        return done


class LosesWhatCameMeanwhile(Kept):
    """All is put away, which takes its time; then what waits is emptied, new or not."""

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        done = super().sync(progress, stop)
        if not stop():
            for _ in range(20):
                self.save(self.cursor)
            self.tail = {}
        return done


class ForgetsTheCursor(Kept):
    def save(self, cursor: int) -> None:
        super().save(0)


class CursorRunsAhead(Kept):
    def close(self) -> None:
        self.save(self.cursor)


class NamedWithoutTheEmbedder(Kept):
    @property
    def path(self) -> Path:
        assert self.site.folder is not None
        named = str(self.site.ledger.scope).encode()
        return self.site.folder / f"index-{hashlib.blake2b(named, digest_size=12).hexdigest()}.npz"


class NeverAnew(Kept):
    def __init__(self, site: Site) -> None:
        super().__init__(replace(site, anew=False))


class NamedWithoutCase(Kept):
    @property
    def path(self) -> Path:
        assert self.site.folder is not None
        named = f"{self.site.ledger.scope} {self.site.embedder}".casefold().encode()
        return self.site.folder / f"index-{hashlib.blake2b(named, digest_size=12).hexdigest()}.npz"


class OneForAll(Kept):
    """One dictionary for all scopes of a server."""

    everywhere: Final[dict[str, dict[int, Floats]]] = {}

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.rows = self.everywhere.setdefault(site.owner, {})


def index(broken: Callable[[Site], Any], *claims: str) -> IndexSubject:
    return IndexSubject(
        getattr(broken, "__name__", "?"), broken, claims=claims or ("exact", "approximate", "persistence")
    )


SOUND: Final = index(Kept)

# Broken index → the promise that it must break.
BROKEN: Final[dict[IndexSubject, str]] = {
    index(IgnoresAmong): "only the positions that are allowed are answered",
    index(FiltersTheFirstFew): "only the positions that are allowed are answered",
    index(IgnoresPositions): "kinds and times narrow as the positions do",
    index(KeepsWhatIsGone): "what is gone is not found any more",
    index(FindsWhatIsGoneAgain): "what is gone is not found any more",
    index(WorstFirst): "answers are cosines best first and as many as there are",
    index(GivesDistances): "answers are cosines best first and as many as there are",
    index(LatestOfEquals): "ties fall to the earliest however many there are",
    index(SearchesHalf, "approximate"): "of the nearest ten the stated share is found",
    index(ZeroForUnknown): "cosines come in the order asked and nan where there is no vector",
    index(DividesByZero): "a row of zeros harms nothing",
    index(KeepsWhatItWasHanded): "what it is fed and what it gives are copies",
    index(CountsTwice): "being fed the same twice alters nothing",
    index(StaleUntilSync): "what it was fed is found by the next search",
    index(KeepsTheFirst): "what it was fed is found by the next search",
    index(CursorStands): "its length and cursor say what it was fed",
    index(CursorOutlivesClear): "once emptied it holds nothing and can be fed again",
    index(LosesWhenStopped): "a sync that is stopped half way loses nothing",
    index(LosesWhatCameMeanwhile): "it may be searched and fed while it puts away",
    index(ForgetsTheCursor): "vectors and cursor are there at the next opening",
    index(CursorRunsAhead): "its cursor never runs ahead of what it kept",
    index(NamedWithoutTheEmbedder): "opened anew or for another embedder it starts empty",
    index(NeverAnew): "opened anew or for another embedder it starts empty",
    index(NamedWithoutCase): "no vector of a scope is found from one of a similar name",
    index(OneForAll): "no vector of a scope is found from one of a similar name",
}
