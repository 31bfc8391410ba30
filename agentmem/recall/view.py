"""One scope as recall sees it: its corpus, its index, and how both catch up with the journal.

Nothing here is the truth. A view starts empty, reads the ledger at the first question, and at each later one looks
whether the journal has moved: another process's commit is seen at the next recall.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import Embedder, embed_checked, embedding_text, text_digest
from agentmem.errors import EmbeddingError, LedgerError
from agentmem.index import Index
from agentmem.ledger import Delta, ScopedLedger, Vectors, vectors_cursor
from agentmem.recall.corpus import Corpus
from agentmem.records import Record

__all__ = ["Progress", "View"]

log = logging.getLogger("agentmem")

Progress = Callable[[int, int], None]
_WINDOW = 10_000  # changes taken in at once when a scope is first asked: bounds what is held beside the arrays
_BATCH = 256  # texts embedded between two commits: what a kill can cost, and how long a recall may wait for a batch


class View:
    """Hold `lock` while the corpus or the index is read."""

    def __init__(self, ledger: ScopedLedger, embedder: Embedder, index: Index) -> None:
        self.ledger = ledger
        self.embedder = embedder
        self.index = index
        self.corpus = Corpus()
        self.lock = threading.RLock()
        self._followed = 0
        self._embedding = threading.Lock()

    def refresh(self) -> None:
        """Bring the corpus and the index up to the journal's head, embedding first what has no vector yet."""
        with self.lock:
            head = self.ledger.head()
            while self._followed < head:
                delta = self.ledger.changed(self._followed, _WINDOW)
                self.corpus.apply(delta.records, delta.gone)
                try:
                    self.embed(until=delta.head)
                except (LedgerError, EmbeddingError) as error:
                    # Locked, read-only, full, or a broken embedder: what is known by its words can still be found. Not
                    # followed, so the next question tries again.
                    log.warning("recall goes on without the newest vectors: %s", error)
                    self._follow_words(delta.head, head)
                    return
                self._feed(delta)
                self._followed = delta.head

    def _follow_words(self, after: int, head: int) -> None:
        while after < head:
            delta = self.ledger.changed(after, _WINDOW)
            self.corpus.apply(delta.records, delta.gone)
            after = delta.head

    def _feed(self, delta: Delta) -> None:
        if delta.head <= self.index.cursor:  # an index that outlives the process may be further on
            return
        live = [record.position for record in delta.records if record.state == "live"]
        dead = [record.position for record in delta.records if record.state != "live"]
        known = self.ledger.vectors(self.embedder.id, live)
        if len(known.positions) and known.matrix.shape[1] != self.embedder.dimension:
            raise EmbeddingError(
                f"{self.embedder.id} has vectors of {known.matrix.shape[1]} dimensions here, "
                f"not {self.embedder.dimension}",
                way_out="Give the embedder another id: vectors of two models are never mixed.",
            )
        matrix = known.matrix.reshape(-1, self.embedder.dimension)
        self.index.apply(known.positions, matrix, [*dead, *delta.gone], delta.head)

    def pending(self) -> int:
        """Records changed since the embedder last came by: how many texts may wait for a vector."""
        cursor = self.ledger.cursor(vectors_cursor(self.embedder.id))
        return sum(record.state == "live" for record in self.ledger.changed(cursor).records)

    def embed(
        self,
        until: int | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Embed what has no vector for its text, batch by batch, each batch durable; the number of texts embedded.

        Returns once the embedder's cursor is at `until` (None: the journal's head now), or between two batches when
        `stop` says so.
        """
        name = vectors_cursor(self.embedder.id)
        with self._embedding:
            until = self.ledger.head() if until is None else until
            # `stored` is the ledger's word, read again after each batch: another process may move it on, or drop all
            # vectors and set it back. `cursor` may run ahead of it over changes that were none of this scope's.
            stored = cursor = self.ledger.cursor(name)
            done, total = 0, 0
            if progress is not None and cursor < until:
                total = len(self.ledger.changed(cursor).records)
            while cursor < until and not stop():
                delta = self.ledger.changed(cursor, _BATCH)
                cursor = delta.head
                if delta.records or delta.gone:
                    done += self._embed([r for r in delta.records if r.state == "live"], (stored, cursor))
                    stored = cursor = self.ledger.cursor(name)
                if progress is not None:
                    progress(min(done, total), total)
            return done

    def _embed(self, records: list[Record], moved: tuple[int, int]) -> int:
        texts = {record.position: embedding_text(record) for record in records}
        digests = {position: text_digest(text) for position, text in texts.items()}
        known = self.ledger.vectors(self.embedder.id, list(texts))
        current = dict(zip(known.positions.tolist(), known.digests, strict=True))
        missing = sorted(position for position, digest in digests.items() if current.get(position) != digest)
        matrix = np.zeros((len(missing), self.embedder.dimension), np.float32)
        for i, row in enumerate(self._vectors([texts[position] for position in missing])):
            if row is not None:
                matrix[i] = row
                continue
            # Its row stays zero, near to nothing: an older vector would speak for words that an edit took away.
            id = next(record.id for record in records if record.position == missing[i])
            log.warning("%s cannot embed record %s, which is found by its words alone", self.embedder.id, id)
        made = Vectors(np.array(missing, np.int64), [digests[position] for position in missing], matrix)
        self.ledger.transact(lambda transaction: transaction.put_vectors(self.embedder.id, made, moved=moved))
        return len(missing)

    def _vectors(self, texts: list[str]) -> list[NDArray[np.float32] | None]:
        """A row for each text, None for one that the embedder refuses while it takes others.

        When it takes none of three tried alone, the fault is its own: EmbeddingError, and all are tried again later.
        """
        try:
            return list(embed_checked(self.embedder, texts)) if texts else []
        except EmbeddingError:
            tried = sorted({0, len(texts) // 2, len(texts) - 1})
            if all(self._alone(texts[i]) is None for i in tried):
                raise
        return [self._alone(text) for text in texts]

    def _alone(self, text: str) -> NDArray[np.float32] | None:
        try:
            row: NDArray[np.float32] = embed_checked(self.embedder, [text])[0]
            return row
        except EmbeddingError:
            return None
