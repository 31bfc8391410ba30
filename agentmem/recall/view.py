"""One scope as recall sees it: its corpus, its index, and how both catch up with the journal.

Nothing here is the truth. A view starts empty, reads the ledger at the first question, and at each later one looks
whether the journal has moved: another process's commit is seen at the next recall. Words are always up to date. What
cannot be had in time (a vector that a slow embedder has not made, an index that is locked or broken) is done without,
said once, and tried again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentmem.embedding import cue_embedded
from agentmem.errors import EmbeddingError, IndexUnavailable, LedgerError, MemoryClosed
from agentmem.index import Index, Progress
from agentmem.ledger import Delta, ScopedLedger
from agentmem.models.embedding import NotAsked, about
from agentmem.recall.corpus import Corpus
from agentmem.recall.embeddings import Embeddings
from agentmem.recall.pause import Pause
from agentmem.recall.segments import Segments
from agentmem.recall.signal import Said
from agentmem.recall.tokens import Matches, TokenCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Indexing", "View"]

log = logging.getLogger("agentmem")
_WINDOW = 10_000  # changes taken in at once when a scope is first asked: bounds what is held beside the arrays
PATIENCE_S = 2.0  # how long a recall waits for texts to be embedded before it goes by the words of the rest
_BY_WORDS = "recall goes by words alone: %s. %s"
_SYNC_AT = 1_000  # vectors waiting from which an index is asked to put them away


@dataclass(frozen=True, slots=True)
class Indexing:
    """How a view gets its index: the one chosen, made anew if asked, and the exact one that always works."""

    chosen: Callable[[bool], Index]
    exact: Callable[[], Index]


class View:
    """Hold `lock` while the corpus or the index is read. `wake` tells whoever works in the background."""

    def __init__(self, embeddings: Embeddings, indexing: Indexing, wake: Callable[[], None] = lambda: None) -> None:
        self.embeddings = embeddings
        self.corpus = Corpus()
        self.tokens = TokenCache(lambda positions: self.ledger.tokens(self.embeddings.embedder.id, positions))
        self.lock = threading.RLock()
        self._segments = Segments(embeddings.ledger, self.lock, lambda: (self.corpus, self._followed))
        self._loaded = False
        self._indexing = indexing
        self._wake = wake
        self._followed = 0
        self._head = -1
        self._clean = 0  # what was erased up to here was never put into the index
        self._glance = threading.Lock()
        self._worker: threading.Thread | None = None
        self._closed = False
        self._embedder_pause = Pause()
        self._index_pause = Pause()
        self._damage = Pause()  # of vectors in the ledger, which only a repair ends
        self.fault: IndexUnavailable | None = None  # why an exact index stands in for the one chosen
        self.index = self._opened_index()

    @property
    def ledger(self) -> ScopedLedger:
        return self.embeddings.ledger

    def current(self) -> bool:
        """Look at the journal's head; False when another embedder has come to serve this scope."""
        head = self.ledger.head()
        if head != self._head:
            serving = self.ledger.serving()
            if serving is not None and serving.embedder != self.embeddings.embedder.id:
                return False
            with self._glance:  # a slower thread must not set it back
                self._head = max(self._head, head)
        return True

    @property
    def followed(self) -> int:
        """The change up to which the words are up to date."""
        return self._followed

    def wake(self) -> None:
        """Let whoever works in the background come by."""
        self._wake()

    # ── catching up ──────────────────────────────────────────────────────────────────────────────────────────────

    def refresh(self, patience: float = PATIENCE_S, without: Collection[int] = ()) -> None:
        """Bring words and vectors up to the journal's head, embedding for so many seconds what has no vector yet. What
        was written last, as long as it stands at positions `without`, is left for the next time."""
        with self.lock:
            deadline = time.monotonic() + patience
            if self.fault is not None and self._index_pause.over:
                self.index = self._opened_index()
            head = max(self._head, self._followed)  # as `current` has just seen it
            while head > self._followed and head in without:
                head -= 1
            if self.index.cursor > head:  # of a ledger that was set back to a backup
                self._tried(self.index.clear)
            if not self.index.cursor:
                self._clean = head
            if not self._loaded:
                self._loaded = True
                self.corpus, self._followed = self._segments.load(head)
            while self._followed < head:
                delta = self.ledger.changed(self._followed, _WINDOW)
                in_step = self.index.cursor == self._followed
                self.corpus.apply(delta.records, delta.gone)
                self.tokens.forget([*delta.gone, *(record.position for record in delta.records)])
                self._followed = delta.head
                if not self._embedded(delta.head, deadline):
                    self._unsay(delta)
                elif in_step:
                    self._feed(delta, delta.head)
            if self.index.cursor < head:
                self._embedded(head, deadline)
                self._catch_up()
            if self.index.waiting >= _SYNC_AT or self._segments.due:
                self._wake()

    def _embedded(self, until: int, deadline: float) -> bool:
        """Whether everything up to `until` has its vector now.

        Made by a thread of its own, because an embedder may hang, and is waited for until the deadline.
        """
        while (before := self.embeddings.reach) < until:
            if not self.embeddings.embedder.dimension or not self._embedder_pause.over:
                return False
            left = deadline - time.monotonic()
            if left <= 0:
                self._wake()
                return False
            worker = self._worker
            if worker is None or not worker.is_alive():
                worker = threading.Thread(target=self._work, args=(until,), name="agentmem-recall", daemon=True)
                self._worker = worker
                worker.start()
            worker.join(None if math.isinf(left) else left)
            if not worker.is_alive() and self.embeddings.reach <= before:
                return False
        return True

    def _work(self, until: int) -> None:
        try:
            self.embed(until, stop=lambda: self._closed)
        except (LedgerError, EmbeddingError, MemoryClosed) as error:
            # Locked, read-only, full, or a broken embedder: what is known by its words can still be found.
            log.debug("%s", error)

    def embed(
        self,
        until: int | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """As `Embeddings.embed`; when that fails, the recalls of the next seconds do not try it."""
        try:
            done = self.embeddings.embed(until, progress, stop)
        except NotAsked as error:  # nor will it be asked about a cue
            self._embedder_pause.failed(_BY_WORDS, error, error.way_out)
            raise
        except (LedgerError, EmbeddingError) as error:
            self._embedder_pause.failed("recall goes on without the newest vectors: %s", error)
            raise
        self._embedder_pause.worked()
        return done

    def _catch_up(self) -> None:
        """Feed the index what it lacks of the part of the journal that is embedded."""
        reach = min(self.embeddings.reach, self._followed)
        if not self.index.cursor and reach and not self._fill(reach):
            return
        while self.index.cursor < reach:
            delta = self.ledger.changed(self.index.cursor, _WINDOW)
            if not self._feed(delta, min(delta.head, reach)):
                return

    def _fill(self, reach: int) -> bool:
        """Feed an empty index every live record there is, by position alone: no record is read for it."""
        live = self.corpus.standing().tolist()
        for start in range(0, len(live), _WINDOW):
            window = live[start : start + _WINDOW]
            if not self._put(window, [], reach, self.index.cursor if start + _WINDOW < len(live) else reach):
                return False
        return True

    def _unsay(self, delta: Delta) -> None:
        """Take out what is in the index with the vector of words that an edit took away, until there is a new one."""
        self._tried(lambda: self._start_over_if_erased(delta.gone, delta.head))
        edited = [record.position for record in delta.records if record.position <= self.index.cursor]
        if edited:
            none = np.empty((0, self.embeddings.embedder.dimension), np.float32)
            stale = [*edited, *delta.gone]
            self._tried(lambda: self.index.apply(np.empty(0, np.int64), none, stale, self.index.cursor))

    def _feed(self, delta: Delta, cursor: int) -> bool:
        """Whether the index was fed: not while vectors are missing that somebody dropped, to have them made anew."""
        live = [record.position for record in delta.records if record.state == "live"]
        dead = [record.position for record in delta.records if record.state != "live"]
        stood = self.index.cursor
        self._tried(lambda: self._start_over_if_erased(delta.gone, cursor))
        if self.index.cursor != stood:  # it is empty now: from the beginning, then
            return True
        return self._put(live, [*dead, *delta.gone], cursor, cursor)

    def _start_over_if_erased(self, gone: list[int], cursor: int) -> None:
        """Throw away what an index keeps of records that were erased where it was not open, or by a process that was
        killed before it could."""
        if self.index.name == "exact" or not gone:
            return
        news = self.ledger.changes(after=max(self.index.cursor, self._clean), before=cursor + 1)
        if any(change.verb == "erase" for change in news):
            self.index.clear()
            self._clean = self.ledger.head()

    def _put(self, live: list[int], gone: list[int], reach: int, cursor: int) -> bool:
        """As `_feed`: everything up to `reach` is embedded, and the index stands at `cursor` then."""
        if not self._damage.over:
            return False
        try:
            known = self.ledger.vectors(self.embeddings.embedder.id, live)
        except LedgerError as error:  # one is damaged: by their words they can still be found
            self._damage.failed("recall goes on without some vectors: %s. %s", error, error.way_out)
            return False
        # What changed after `reach` may wait for its vector, and comes again. Everything else has one, or had.
        bare = np.setdiff1d([position for position in live if position <= reach], known.positions)
        if len(bare) and self.embeddings.cursor < bare[-1]:
            self.embeddings.reach = 0
            return False
        dimension = self.embeddings.embedder.dimension
        if len(known.positions) and known.matrix.shape[1] != dimension:
            raise EmbeddingError(
                f"{self.embeddings.embedder.id} has vectors of {known.matrix.shape[1]} dimensions here, "
                f"not {dimension}",
                way_out="Give the embedder another id: vectors of two models are never mixed.",
            )
        matrix = known.matrix.reshape(-1, dimension)
        self._tried(lambda: self.index.apply(known.positions, matrix, gone, cursor))
        return True

    # ── the index ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def chosen_name(self) -> str:
        """The index that answers recalls here, or would if it could."""
        return self.index.name if self.fault is None else self.fault.index

    def _opened_index(self) -> Index:
        """The index chosen; while that cannot be had, an exact one."""
        try:
            index = self._indexing.chosen(False)
        except IndexUnavailable as error:
            return self._exact(error)
        self.fault = None
        return index

    def _found(self) -> None:
        self.fault = None
        self._index_pause.worked()

    def _exact(self, error: IndexUnavailable) -> Index:
        self._index_pause.failed("recall searches exactly, from the ledger: %s. %s", error, error.way_out)
        first, self.fault = self.fault is None, error
        return self._indexing.exact() if first else self.index

    def fall_back(self, error: IndexUnavailable) -> None:
        """Go on without the index that failed: an exact one, fed from the ledger."""
        with self.lock:
            if self.fault is None:
                self.index.close()
            self.index = self._exact(error)
            self._catch_up()

    def _tried(self, call: Callable[[], None]) -> None:
        try:
            call()
        except IndexUnavailable as error:
            self.fall_back(error)

    def start_over(self) -> None:
        """Throw away what the index keeps: what it deletes may stay in its files. The next recalls fill it again."""
        with self.lock:
            if self.index.name != "exact":
                self._tried(self.index.clear)

    def sync(self, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False) -> int:
        """Let the index put away what waits; how many. In the background, beside recalls."""
        index = self.index
        try:
            return index.sync(progress, stop)
        except IndexUnavailable as error:
            with self.lock:
                if self.index is index:
                    self.fall_back(error)
            return 0

    def reindex(self, progress: Progress | None = None) -> int:
        """Throw the index away and fill it again from the ledger; the number of vectors in it. IndexUnavailable."""
        self.embeddings.embed(progress=progress)
        with self.lock:
            self.index.close()
            self.index, self._clean = self._indexing.chosen(True), self.ledger.head()
            self._found()
            index = self.index
        head, total = self.embeddings.reach, self.ledger.counts().get("live", 0)
        while index.cursor < head:  # window by window, so that what was put away stays so after a kill
            with self.lock:
                if self.index is not index:  # a recall found it broken, and went on without
                    raise IndexUnavailable(f"{index.name} failed while it was filled", index=index.name)
                delta = self.ledger.changed(index.cursor, _WINDOW)
                # Not past what is embedded: what is written meanwhile is for the next recall to feed.
                fed = self._feed(delta, min(delta.head, head))
            if not fed:
                self.embeddings.embed()
            index.sync()
            if progress is not None:
                progress(min(len(index), total), total)
        if self.index is not index:
            raise IndexUnavailable(f"{index.name} failed while it was filled", index=index.name)
        return len(index)

    # ── the words ────────────────────────────────────────────────────────────────────────────────────────────────

    def keep(self) -> None:
        """Let the ledger keep the corpus, when enough of it is new. In the background, beside recalls."""
        try:
            self._segments.keep_due()
        except LedgerError as error:  # full, read-only, or gone: the next process takes the texts in again
            log.debug("the words are not kept: %s", error)

    def rewrite(self, progress: Progress | None = None) -> int:
        """Take every text in again, and keep that alone; the number of records. LedgerError."""
        corpus, followed, head = Corpus(), 0, self.ledger.head()
        while followed < head:
            delta = self.ledger.changed(followed, _WINDOW)
            corpus.apply(delta.records, delta.gone)
            followed = delta.head
            if progress is not None:
                progress(min(followed, head), head)
        with self.lock:
            self.corpus, self._followed, self._loaded = corpus, followed, True
        self._segments.keep(anew=True)
        return len(corpus)

    # ── the question ─────────────────────────────────────────────────────────────────────────────────────────────

    def embed_cue(self, text: str) -> tuple[NDArray[np.float32] | None, Said | None]:
        """The unit vector of a question, and its tokens, where there are any; None while the embedder is down, and
        recall goes by words alone."""
        if not self._embedder_pause.over:
            return None, None
        try:
            asked = about(self.embeddings.embedder, "cue", ())
            vector, tokens = cue_embedded(asked, text, tokens=self.embeddings.tokens)
        except EmbeddingError as error:
            self._embedder_pause.failed(_BY_WORDS, error, error.way_out)
            return None, None
        return vector, None if tokens is None else Said(tokens.spans, Matches(tokens.tokens, self.tokens))

    @property
    def index_name(self) -> str:
        """What searches the vectors just now, in words."""
        return self.index.name if self.fault is None else f"{self.index.name}, in place of {self.fault.index}"

    def answered(self) -> None:
        """Its index was asked and answered: if it fails again, that is news."""
        if self.fault is None:
            self._index_pause.worked()

    def close(self) -> None:
        """Release the index. What an embedder is still at is not written any more."""
        self._closed = self.embeddings.closed = True
        if (worker := self._worker) is not None and worker is not threading.current_thread():
            worker.join(PATIENCE_S)
        self.keep()
        with self.lock:
            self.index.close()
