"""`ChromaIndex`: for scopes that are too large to be searched exactly, or by choice.

What the journal brings waits in a small exact index, where it is searched at once, until `sync` puts it into Chroma in
batches. So an add is found by the next recall, and costs Chroma a thirtieth of what single adds do. Chroma's answers
are positions; every record is still read from the ledger, so a vector that Chroma should no longer have names nobody.

The collection's metadata says how far it has come, and which change of the journal stood there: a ledger that was
restored from a backup, or is another one, does not fit, and the collection is filled anew.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import WITHHELD, embedding_text, text_digest
from agentmem.errors import AgentMemError, IndexUnavailable
from agentmem.index import Among, Matches, Progress, Site
from agentmem.recall.corpus import micros
from agentmem_stores.vectors.chroma_home import Folder, Home, Metadata, Server, chroma_faults
from agentmem_stores.vectors.exact import ExactIndex, row_by_row

__all__ = ["ChromaIndex", "open_chroma"]

log = logging.getLogger("agentmem")
Positions: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
_BATCH: Final = 1_000  # rows an upsert: Chroma takes 5,461, and a recall beside it waits for one
_FEW: Final = 2_000  # allowed positions up to which their vectors are read and compared, instead of asking Chroma
_WIDEST: Final = 10_000  # candidates asked for when most of them fall to a filter; then all the allowed are compared
_NONE: Final = Matches(np.empty(0, np.int64), np.empty(0, np.float32))


def open_chroma(site: Site) -> ChromaIndex:
    """The scope's collection: on the server or in the folder that is named (`chroma:http://…`, `chroma:/path`), else
    in the memory's own folder. IndexUnavailable, with what to do, when it cannot be used."""
    scope = f"{site.owner} {site.ledger.scope} {site.embedder}"
    name = "agentmem-" + hashlib.blake2b(scope.encode(), digest_size=12).hexdigest()
    home: Home
    if site.argument.lower().startswith(("http://", "https://")):
        home = Server(site.argument, name)
    elif "//" in site.argument:  # a slip in an address is no folder's name
        raise IndexUnavailable(
            "what stands behind chroma: is neither a server's address nor a folder",
            index="chroma",
            way_out="Write chroma:http://HOST:8000 or chroma:/path",
        )
    elif site.argument:
        home = Folder(Path(site.argument).expanduser() / name)
    elif site.folder is not None:
        # Without the owner: a folder that is moved or copied keeps its index.
        inside = f"{site.ledger.scope} {site.embedder}"
        home = Folder(site.folder / "chroma" / hashlib.blake2b(inside.encode(), digest_size=12).hexdigest())
    else:
        raise IndexUnavailable(
            "a memory in a database has no folder for Chroma",
            index="chroma",
            way_out="Name a server or a folder: --index chroma:http://localhost:8000",
        )
    return ChromaIndex(site, home)


class ChromaIndex:
    """One scope's vectors of one embedder in a Chroma collection, under their positions as ids."""

    name = "chroma"

    def __init__(self, site: Site, home: Home) -> None:
        self._site = site
        self._home = home
        self._guard = threading.Lock()  # over all that follows; held for no call to Chroma but the quick ones
        self._syncing = threading.Lock()
        self._tail = ExactIndex(site.dimension)
        self._waiting: dict[int, int] = {}  # position → the apply that last touched it; in that order
        self._applies = 0
        self._collection: Any = None
        self._open(site.anew)

    def _open(self, anew: bool) -> None:
        self._collection = self._home.open(self._metadata(0), anew)
        try:
            self._take_up()
        except AgentMemError:
            self._home.close()  # or nobody in this process could open it again
            raise

    def _take_up(self) -> None:
        """Learn how far the collection has come; one that is of another state of the memory is made anew."""
        with chroma_faults("be read", self._home):
            held: Metadata = self._collection.metadata or {}
            cursor = int(held.get("cursor", 0))
            if held.get("mark", "") != self._mark(cursor) or held.get("dimension") != self._site.dimension:
                log.info("the Chroma index is of another state of this memory, and is filled anew")
                self._home.close()
                self._collection = self._home.open(self._metadata(0), True)
                cursor = 0
            self._cursor = self._stored = cursor
            self._count = self.stored()

    def _metadata(self, cursor: int) -> Metadata:
        return {
            "agentmem": "index-1",
            "scope": str(self._site.ledger.scope),
            "embedder": self._site.embedder,
            "dimension": self._site.dimension,
            "cursor": cursor,
            "mark": self._mark(cursor),
        }

    def _mark(self, cursor: int) -> str:
        """What the journal's newest change up to here was: tells one history from another of the same length."""
        if not cursor:
            return ""
        if cursor > self._site.ledger.head():
            return "beyond the journal"
        newest = self._site.ledger.changes(before=cursor + 1, newest_first=True, limit=1)
        return "".join(f"{change.seq} {change.record_id} {change.at.isoformat()}" for change in newest)

    def held(self, positions: Sequence[int]) -> tuple[Positions, Floats]:
        """Those of the positions that are in Chroma, ascending, and their vectors; for whoever examines it."""
        with chroma_faults("be read", self._home):
            found = self._collection.get(ids=[str(position) for position in positions], include=["embeddings"])
            at = np.array([int(id) for id in found["ids"]], np.int64)
            order = np.argsort(at)
            return at[order], np.asarray(found["embeddings"], np.float32).reshape(len(at), self._site.dimension)[order]

    def stored(self) -> int:
        """How many are in Chroma, waiting ones not counted."""
        with chroma_faults("be counted", self._home):
            return int(self._collection.count())

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def __len__(self) -> int:
        """About: what waits may replace something that is there."""
        return max(self._count, len(self._tail))

    def clear(self) -> None:
        with self._syncing:
            self._home.erased = True
            self._home.close()
            with self._guard:
                self._tail.clear()
                self._waiting.clear()
            self._open(True)

    def close(self) -> None:
        with self._syncing:
            self._home.close()

    # ── feeding ──────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, positions: Positions, matrix: Floats, gone: Sequence[int], cursor: int) -> None:
        with self._guard:
            self._tail.apply(positions, matrix, gone, cursor)
            self._applies += 1
            for position in (*positions.tolist(), *gone):
                self._waiting.pop(position, None)
                self._waiting[position] = self._applies
            self._cursor = cursor

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        done, bare = 0, set[int]()
        with self._syncing:
            with self._guard:
                target, todo = self._cursor, list(self._waiting.items())
            for start in range(0, len(todo), _BATCH):
                if stop():
                    return done
                batch = todo[start : start + _BATCH]
                bare |= self._push([position for position, _ in batch])
                count = self.stored()
                with self._guard:
                    self._count = count  # before they leave the tail: a search asks Chroma only for what it has
                    settled = [
                        position
                        for position, touched in batch
                        if position not in bare and self._waiting.get(position) == touched
                    ]
                    for position in settled:
                        del self._waiting[position]
                    self._tail.apply(_NONE.positions, self._nothing, settled, self._tail.cursor)
                done += len(batch)
                if progress is not None:
                    progress(done, len(todo))
            if not bare and target != self._stored:
                with chroma_faults("note how far it has come", self._home):
                    self._collection.modify(metadata=dict(self._metadata(target)))
                self._stored = target
        return done

    @property
    def _nothing(self) -> Floats:
        return np.empty((0, self._site.dimension), np.float32)

    def _push(self, positions: list[int]) -> set[int]:
        """Make Chroma hold what the ledger holds of these positions. Those that have no vector for their words just
        now, because it is being made (anew), are taken out and returned: they are not settled.

        Again, until the ledger has stood still meanwhile: of two processes that feed one server, the slower would else
        leave an older vector behind.
        """
        told = None
        while True:
            live = {record.position: record for record in self._site.ledger.at(positions) if record.state == "live"}
            held = self._site.ledger.vectors(self._site.embedder, list(live))
            standing = held.positions.tolist(), held.digests
            fits = np.array(
                [
                    digest in (WITHHELD, text_digest(embedding_text(live[position])))
                    for position, digest in zip(*standing, strict=True)
                ],
                np.bool_,
            )
            bare = set(live) - set(held.positions[fits].tolist())
            if standing == told:
                return bare
            told = standing
            rows = np.flatnonzero(fits & held.matrix.any(axis=1)) if len(fits) else held.positions  # 0 has no cosine
            kept = [live[position] for position in held.positions[rows].tolist()]
            gone = sorted(set(positions) - {record.position for record in kept})
            with chroma_faults("take vectors in", self._home):
                if kept:
                    self._collection.upsert(
                        ids=[str(record.position) for record in kept],
                        embeddings=held.matrix[rows],
                        metadatas=[
                            {"scope": str(record.scope), "kind": record.kind, "at": micros(record.at)}
                            for record in kept
                        ],
                    )
                if gone:
                    self._collection.delete(ids=[str(position) for position in gone])

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────────

    def search(self, vector: Floats, k: int, among: Among | None = None) -> Matches:
        if among is not None and len(among.positions) <= _FEW:
            return self._compared(vector, k, among.positions)
        with self._guard:
            fresh = self._tail.search(vector, k, among)
            waiting = np.array(sorted(self._waiting), np.int64)
        return _nearest(k, fresh, self._kept(vector, k, among, waiting))

    def _kept(self, vector: Floats, k: int, among: Among | None, waiting: Positions) -> Matches:
        """The nearest of what is in Chroma and not waiting."""
        if not self._count:
            return _NONE
        asked = k + min(len(waiting), k)
        where = None if among is None else _where(among)
        while True:
            positions, scores = self._asked(vector, min(asked, self._count), where)
            known = ~np.isin(positions, waiting)
            if among is not None:
                known &= np.isin(positions, among.positions)
            enough = known.sum() >= k or len(positions) < asked
            if enough and (among is None or among.whole or known.sum() >= k or asked >= self._count):
                return Matches(positions[known], scores[known])
            if asked >= _WIDEST:
                break
            asked *= 4
        allowed = among.positions if among is not None else positions
        return self._compared(vector, k, np.setdiff1d(allowed, waiting, assume_unique=True))

    def _asked(self, vector: Floats, n: int, where: dict[str, Any] | None) -> tuple[Positions, Floats]:
        with chroma_faults("search", self._home):
            found = self._collection.query(
                query_embeddings=[vector], n_results=max(n, 1), where=where, include=["distances"]
            )
            positions = np.array([int(id) for id in found["ids"][0]], np.int64)
            return positions, np.float32(1) - np.asarray(found["distances"][0], np.float32)

    def _compared(self, vector: Floats, k: int, positions: Positions) -> Matches:
        """The nearest of these, exactly, a bounded number at a time."""
        best = _NONE
        for start in range(0, len(positions), _WIDEST):
            part = positions[start : start + _WIDEST]
            scores = self.cosines(vector, part)
            known = ~np.isnan(scores)
            best = _nearest(k, best, Matches(part[known], scores[known]))
        return best

    def cosines(self, vector: Floats, positions: Positions) -> Floats:
        with self._guard:
            scores = self._tail.cosines(vector, positions)
            unknown = np.isnan(scores) & ~np.isin(positions, np.fromiter(self._waiting, np.int64))
        if unknown.any():
            held = self._site.ledger.vectors(self._site.embedder, positions[unknown].tolist())
            if len(held.positions):
                scores[np.isin(positions, held.positions)] = row_by_row(held.matrix, vector)
        return scores


def _nearest(k: int, *several: Matches) -> Matches:
    """The best `k` of all of these."""
    positions = np.concatenate([matches.positions for matches in several])
    scores = np.concatenate([matches.scores for matches in several])
    best = np.lexsort((positions, -scores))[:k]
    return Matches(positions[best], scores[best])


def _where(among: Among) -> dict[str, Any] | None:
    """The filter in Chroma's words."""
    clauses: list[dict[str, Any]] = []
    if among.kinds is not None:
        clauses.append({"kind": {"$in": list(among.kinds)}})
    if among.since is not None:
        clauses.append({"at": {"$gte": among.since}})
    if among.until is not None:
        clauses.append({"at": {"$lt": among.until}})
    return {"$and": clauses} if len(clauses) > 1 else (clauses[0] if clauses else None)
