"""One scope's vectors of one embedder, and how they catch up with the journal.

Every batch is durable, so a kill costs at most one, and several processes may work on one backlog. It knows neither
indexes nor cues.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import (
    WITHHELD,
    Embedder,
    embed_checked,
    embed_tokens_checked,
    embedding_text,
    text_digest,
    token_embedder,
)
from agentmem.errors import EmbeddingError, MemoryClosed
from agentmem.index import Progress
from agentmem.ledger import ScopedLedger, Serving, Transaction, Vectors, vectors_cursor
from agentmem.models.embedding import NotAsked, about, withheld
from agentmem.recall.tokens import packed
from agentmem.records import Record

__all__ = ["Embeddings"]

log = logging.getLogger("agentmem")
_WINDOW = 5_000  # changes read at once
_Row: TypeAlias = tuple[NDArray[np.float32], bytes]  # a text's vector, and its tokens as they are kept
_BATCH = 256  # texts embedded between two commits: what a kill can cost, and how long a recall may wait for a batch


class Embeddings:
    """Safe to use from several threads; batches of one object do not overlap.

    `spec` is how the embedder is opened again, "" when it cannot be. `tokens`: those that the embedder gives are kept.
    `reach` is the `seq` up to which everything had its vector when this object last looked.
    """

    def __init__(self, ledger: ScopedLedger, embedder: Embedder, spec: str = "", *, tokens: bool = True) -> None:
        self.ledger = ledger
        self.embedder = embedder
        self.tokens = tokens
        self.serving = Serving(embedder.id, spec)
        self.reach = 0
        self.closed = False  # set it, and nothing more is written
        self._told = False
        self._working = threading.Lock()

    @property
    def cursor(self) -> int:
        """How far the ledger says that all is embedded; 0 once the vectors were dropped."""
        return self.ledger.cursor(vectors_cursor(self.embedder.id))

    def pending(self) -> int:
        """Live records changed since the embedder last came by: how many texts may wait for a vector."""
        return self._waiting(self.cursor, self.ledger.head())

    def _waiting(self, after: int, head: int) -> int:
        """Counted window by window: a large import must not be held in memory for the sake of a number."""
        count = 0
        while after < head:
            delta = self.ledger.changed(after, _WINDOW)
            after = delta.head
            count += sum(record.state == "live" for record in delta.records)
        return count

    def embed(
        self,
        until: int | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Embed what has no vector for its text, batch by batch; the number of texts embedded.

        Returns once all is embedded up to `until` (None: the journal's head now), or between two batches when `stop`
        says so. While the budget does not hold a batch, smaller ones are tried, down to a text.
        """
        until = self.ledger.head() if until is None else until
        size = _BATCH
        # `stored` is the ledger's word, read again before and after each batch: others may move it on, or drop all
        # vectors and set it back. `cursor` may run ahead of it over changes that were none of this scope's.
        stored = cursor = self.cursor
        done, total = 0, 0
        if progress is not None and cursor < until:
            total = self._waiting(cursor, until)
        while cursor < until and not stop():
            with self._working:
                if (standing := self.cursor) != stored:
                    stored = cursor = standing
                delta = self.ledger.changed(cursor, size)
                if not delta.records and not delta.gone:
                    cursor = delta.head
                else:
                    try:
                        done += self._embed([r for r in delta.records if r.state == "live"], (stored, delta.head))
                    except EmbeddingError as error:
                        if isinstance(error, NotAsked) and error.fewer and size > 1:
                            size //= 2
                            continue
                        self.reach = max(self.reach, cursor)  # what was embedded before is found by its vectors
                        raise
                    before, stored = stored, self.cursor
                    cursor = stored
                    if stored < before and not self._wanted():
                        break
            if progress is not None:
                progress(min(done, total), total)
        self.reach = max(cursor, stored)
        return done

    def _wanted(self) -> bool:
        """False once another embedder's vectors answer here, and these were dropped."""
        serving = self.ledger.serving()
        return serving is None or serving.embedder == self.embedder.id

    def _embed(self, records: list[Record], moved: tuple[int, int]) -> int:
        texts = {record.position: embedding_text(record) for record in records}
        digests = {position: text_digest(text) for position, text in texts.items()}
        known = self.ledger.vectors(self.embedder.id, list(texts))
        current = dict(zip(known.positions.tolist(), known.digests, strict=True))
        missing = sorted(position for position, digest in digests.items() if current.get(position) != digest)
        wanting = frozenset(missing)
        held = self._held_back([record for record in records if record.position in wanting])
        matrix = np.zeros((len(missing), self.embedder.dimension), np.float32)
        tokens = [b""] * len(missing)
        sent = [i for i, position in enumerate(missing) if position not in held]
        kinds = {record.kind for record in records} - withheld(self.embedder)
        for i, row in zip(sent, self._rows([texts[missing[i]] for i in sent], kinds), strict=True):
            if row is not None:
                matrix[i], tokens[i] = row
                continue
            # Its row stays zero, near to nothing: an older vector would speak for words that an edit took away.
            id = next(record.id for record in records if record.position == missing[i])
            log.warning("%s cannot embed record %s, which is found by its words alone", self.embedder.id, id)
        told = [WITHHELD if position in held else digests[position] for position in missing]
        made = Vectors(np.array(missing, np.int64), told, matrix, tokens)

        def keep(transaction: Transaction) -> None:
            if transaction.serving() is None:  # the first vectors here
                transaction.serve(self.serving, instead_of=None)
            transaction.put_vectors(self.embedder.id, made, moved=moved)

        if self.closed:  # while the embedder was at it
            raise MemoryClosed("this memory was closed", way_out="Open it again: Memory.open(path).")
        self.ledger.transact(keep)
        return len(sent)

    def _held_back(self, records: list[Record]) -> set[int]:
        """The positions of records whose words the embedder is never sent. Their rows stay zero too."""
        kinds = withheld(self.embedder)
        held = {record.position for record in records if record.kind in kinds}
        if held and not self._told:
            self._told = True
            log.warning(
                "%s is not sent memories of kind %s, which are found by their words alone. "
                "Once they may be sent, `agentmem doctor --fix` embeds them.",
                self.embedder.id,
                ", ".join(sorted({record.kind for record in records if record.position in held})),
            )
        return held

    def _rows(self, texts: list[str], kinds: Collection[str]) -> list[_Row | None]:
        """A row and the tokens of each text, None for one that the embedder refuses while it takes others.

        When it takes none of three tried alone, the fault is its own: EmbeddingError, and all are tried again later, as
        when it is not asked at all.
        """
        embedder = about(self.embedder, "texts", kinds)
        try:
            return list(self._embedded(embedder, texts)) if texts else []
        except NotAsked:
            raise
        except EmbeddingError:
            tried = sorted({0, len(texts) // 2, len(texts) - 1})
            if all(self._alone(embedder, texts[i]) is None for i in tried):
                raise
        return [self._alone(embedder, text) for text in texts]

    def _alone(self, embedder: Embedder, text: str) -> _Row | None:
        try:
            return self._embedded(embedder, [text])[0]
        except NotAsked:  # the budget is used up meanwhile
            raise
        except EmbeddingError:
            return None

    def _embedded(self, embedder: Embedder, texts: list[str]) -> list[_Row]:
        speaking = token_embedder(embedder) if self.tokens else None
        if speaking is None:
            return [(row, b"") for row in embed_checked(embedder, texts)]
        rows, said = embed_tokens_checked(speaking, texts)
        return [(row, packed(one.tokens)) for row, one in zip(rows, said, strict=True)]

    def take_over(self, instead_of: str | None) -> bool:
        """Let these vectors answer recalls, in one step, if they are complete and `instead_of` still does, whose go."""

        def switch(transaction: Transaction) -> bool:
            waits = transaction.changed(transaction.cursor(vectors_cursor(self.embedder.id)))
            if waits.records or waits.gone:
                return False
            if not transaction.serve(self.serving, instead_of=instead_of):
                return False
            if instead_of is not None:
                transaction.drop_vectors(instead_of)
            return True

        return self.ledger.transact(switch)
