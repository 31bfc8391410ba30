"""A scope's corpus as the ledger keeps it, so that a process need not read every text again before its first answer.

As in Lucene: immutable segments, each the rows that were added since the one before it and the older rows that died
meanwhile; small ones are merged into the next. A segment holds terms and labels, and no text. It is a projection:
whatever cannot be read, or was made by another tokeniser, is made anew. Words that were erased are in no segment: the
ledger drops all of them with an erasure, and refuses one that was cut before it.
"""

from __future__ import annotations

import json
import logging
import threading
import unicodedata
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import Stemmer
from numpy.typing import NDArray

from agentmem.ledger import Segment
from agentmem.recall.corpus import Corpus, Cut, Listing

if TYPE_CHECKING:
    from agentmem.ledger import ScopedLedger, Transaction

__all__ = ["Segments", "decode", "encode"]

log = logging.getLogger("agentmem")
_NAME: Final = "words"
# Another stemmer, or another Unicode, makes other terms of the same text; other forms make other labels.
_STAMP: Final = f"words-5 snowball-{Stemmer.version()} unicode-{unicodedata.unidata_version}"
_DUE = 2_000  # changes worth a segment: a tenth of a second to take in from their texts
_LARGEST: Final = 250_000  # rows from which a segment is merged no more
_SHARE: Final = 4  # a quarter of the rows must be news before all of them are written again


class _Standing(NamedTuple):
    until: int
    rows: int  # in it and those before it


class Segments:
    """Keeps one corpus in one ledger. `stand` gives it, and the change up to which it is complete, under its `lock`."""

    def __init__(self, ledger: ScopedLedger, lock: threading.RLock, stand: Callable[[], tuple[Corpus, int]]) -> None:
        self._ledger = ledger
        self._lock = lock
        self._stand = stand
        self._keeping = threading.Lock()
        self._standing: list[_Standing] | None = []  # None: what the ledger keeps is not how this corpus begins
        self._unusable = False  # nor any that this process could read
        self._sweeps = 0
        self._touched = 0

    def load(self, head: int) -> tuple[Corpus, int]:
        """The corpus as it was kept, and the change up to which it is complete; an empty one and 0 when there is none.

        Nothing that was kept is beyond `head`, unless the files are of two minds.
        """
        corpus, standing = Corpus(), list[_Standing]()
        for until, data in self._ledger.segments(_NAME):
            try:
                if until > head:
                    raise ValueError(f"it goes to change {until}, and the journal ends at {head}")
                cut = decode(data)
                corpus.append(cut)
                standing.append(_Standing(until, corpus.rows))
            except ValueError as error:
                log.info("the words of %s are taken in anew: %s", self._ledger.scope, error)
                corpus, standing = Corpus(), []
                self._standing, self._unusable = None, True
                break
        else:
            self._standing = standing
        self._sweeps, self._touched = corpus.sweeps, corpus.touched
        return corpus, standing[-1].until if standing else 0

    @property
    def due(self) -> bool:
        """Whether enough has changed since it was loaded or kept."""
        return self._stand()[0].touched - self._touched >= _DUE

    def keep(self, *, anew: bool = False) -> None:
        """Keep what has changed, or with `anew` all of it. LedgerError.

        When another process has kept this scope meanwhile, its segments stay, unless they are far behind; with `anew`
        they go.
        """
        with self._keeping:
            self._keep(anew)

    def keep_due(self) -> None:
        """As `keep`, if it is due; in either case nobody is at it any more."""
        with self._keeping:
            if self.due:
                self._keep(False)

    def _keep(self, anew: bool) -> None:
        if not self._tried(anew) and self._standing is not None:
            self._standing = None  # another process came first, or something was erased: all of it, then
            self._tried(anew)

    def _tried(self, anew: bool) -> bool:
        with self._lock:
            corpus, until = self._stand()
            anew = anew or self._unusable
            if anew or corpus.sweeps != self._sweeps:
                self._standing, self._sweeps = None, corpus.sweeps
            standing, rows = self._standing, corpus.rows
            if standing and standing[-1].until == until:
                return True
            self._touched = corpus.touched  # however it goes: tried again after as many changes more
            stays = _staying(standing or [], rows)
            segment = Segment(until, encode(corpus.cut(stays[-1].rows if stays else 0)))

        def put(transaction: Transaction) -> bool:
            if standing is not None:
                untils = [one.until for one in standing]
                return transaction.put_segment(_NAME, segment, standing=untils, kept=len(stays))
            untils = [one.until for one in transaction.segments(_NAME)]
            if untils and until - untils[-1] < max(_DUE, rows // _SHARE) and not anew:
                return False
            return transaction.put_segment(_NAME, segment, standing=untils, kept=0)

        done = self._ledger.transact(put)
        if done:
            self._standing, self._unusable = [*stays, _Standing(until, rows)], False
        return done


def _staying(standing: list[_Standing], rows: int) -> list[_Standing]:
    """The segments that stay as they are: one of all that is new takes in those before it that are no larger."""
    ends = [0, *(one.rows for one in standing)]
    kept = len(standing)
    while kept:
        larger = ends[kept] - ends[kept - 1] > rows - ends[kept]
        if larger or rows - ends[kept - 1] > _LARGEST:
            break
        kept -= 1
    return standing[:kept]


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────────

# name → dtype, in their order; all one-dimensional and little-endian.
_ARRAYS: Final = {
    "position": "<i8", "at": "<i8", "length": "<i4", "dead": "|u1", "dropped": "<i4",
    "word_ends": "<i8", "word_rows": "<i4", "word_counts": "<i4", "label_ends": "<i8", "label_rows": "<i4",
}  # fmt: skip
_LENGTHS: Final = 8  # bytes: the header's length; and 4 of a checksum over all that follows it


def encode(cut: Cut) -> bytes:
    """Header (JSON: stamp, keys, lengths) and the arrays behind it, under a checksum."""
    arrays: dict[str, NDArray[Any]] = {
        "position": cut.position, "at": cut.at, "length": cut.length, "dead": cut.dead, "dropped": cut.dropped,
        "word_ends": cut.words.ends, "word_rows": cut.words.rows, "word_counts": cut.counts,
        "label_ends": cut.labels.ends, "label_rows": cut.labels.rows,
    }  # fmt: skip
    told = {
        "stamp": _STAMP,
        "lengths": [len(arrays[name]) for name in _ARRAYS],
        "words": cut.words.keys,
        "labels": cut.labels.keys,
    }
    header = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    body = b"".join(
        [
            len(header).to_bytes(_LENGTHS, "little"),
            header,
            *(arrays[name].astype(dtype, copy=False).tobytes() for name, dtype in _ARRAYS.items()),
        ]
    )
    return zlib.crc32(body).to_bytes(4, "little") + body


def decode(data: bytes) -> Cut:
    """ValueError, saying what is wrong, for anything but what `encode` made under the same stamp."""
    body = memoryview(data)[4:]
    if len(data) < 4 + _LENGTHS or zlib.crc32(body).to_bytes(4, "little") != data[:4]:
        raise ValueError("it is damaged")
    start = _LENGTHS + int.from_bytes(body[:_LENGTHS], "little")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        told = json.loads(bytes(body[_LENGTHS:start]))
        if told["stamp"] != _STAMP:
            raise ValueError("another version of agentmem made it")
        for (name, dtype), length in zip(_ARRAYS.items(), told["lengths"], strict=True):
            arrays[name] = np.frombuffer(body, dtype, length, start)
            start += arrays[name].nbytes
        cut = Cut(
            position=arrays["position"],
            at=arrays["at"],
            length=arrays["length"],
            dead=arrays["dead"],
            dropped=arrays["dropped"],
            words=Listing(told["words"], arrays["word_ends"], arrays["word_rows"]),
            counts=arrays["word_counts"],
            labels=Listing([tuple(label) for label in told["labels"]], arrays["label_ends"], arrays["label_rows"]),
        )
        cut.check()
    except (KeyError, TypeError, OverflowError, RecursionError) as error:  # a file may come from a stranger
        raise ValueError(f"it is not as agentmem writes it: {error!r}") from error
    return cut
