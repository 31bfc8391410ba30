"""Recognition: which memory a fragment is part of, and how familiar a text is.

Two memories of the brain's kind, side by side. A content-addressed one (`ca3.py`) has each record's words, its speaker,
its place and its day as the bits of a content, and brings the record back from any of them. Fields of binary weights
(`sparsey.py`) say how familiar a text is: G is 1 if the same words were said before, about the share of their pairs in
common if most of them were, and low for what is new.

What G is made of decides what it can say. A record's vector is that of its words with their date and speaker before
them, and of the same words on another day it is another. So G goes by the words alone, and needs no embedder; what
means the same in other words is for the index of vectors to find.
"""

from __future__ import annotations

import logging
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import Stemmer
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.errors import InvalidInput, LedgerError
from agentmem.ledger import Delta, Segment, Transaction
from agentmem.records import Change, Record
from agentmem.store import Completion, Host
from agentmem.values import Json, many, moment, plain_text, whole_number
from agentmem_stores.contents import SAME, Contents, share
from agentmem_stores.fragments import LANGUAGE, day_label, parts_of, place_labels, read, speaker_label, whole
from agentmem_stores.projection import UNREADABLE, WINDOW, WithoutVectors, pack, unpack
from agentmem_stores.sparsey import MinHash, familiarities
from agentmem_stores.stretches import ACTIVE, SIZE, Stretch

__all__ = ["RecognitionMemory"]

log = logging.getLogger("agentmem")

# What a record must hold of a fragment: four fifths, where words that no record has do not count, since they may be
# slips; and half of it all. Of a thousand sentences of a novel 98 in 100 are completed from one with a slip in it, 96
# with two, and of sentences of a later part, by four words in five, 1.3 in 100. One limit of 0.7 for all words does
# worse on each: 97, 90 and 1.7 (benchmarks/stores/recognition.py).
FAMILIAR: Final = 0.8
LEAST: Final = 0.5
NAMED: Final = 8  # others that a completion names
STRETCH: Final = 4_096  # changes of a scope that share a field
_READ: Final = 32  # records of which the words are looked at again: 0.1 ms each


class _Fit(NamedTuple):
    """A record, the share of a fragment that it holds, and how many of its words."""

    record: Record
    share: float
    held: int
    words: int


class _Kept(NamedTuple):
    """A segment that stands, as this process believes: the stretches up to `stop`, from where the one before ends."""

    until: int
    stop: int


class RecognitionMemory(WithoutVectors):
    """The contents of one scope's records, of every kind, and how familiar each was when it came.

    No `Fold`, whose checkpoints are of the whole: the words of a record depend on no other one, and of the fields only
    that of one stretch is learned anew when something in it changes. The state is a function of the records as they
    stand all the same.
    """

    name: ClassVar[str] = "recognition"
    version: ClassVar[int] = 1

    def __init__(self, host: Host, *, stretch: int = STRETCH) -> None:
        """`stretch`: so many changes share a field. InvalidInput unless it is 1 or more."""
        self._length = whole_number(stretch, "stretch", 1)
        self._hash = MinHash(size=SIZE, active=ACTIVE)
        super().__init__(host)

    @property
    def settings(self) -> Json:
        return [self._length, f"snowball-{Stemmer.version()}", f"unicode-{unicodedata.unidata_version}"]

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def _due(self) -> bool:
        return self._cursor - self._tried >= WINDOW

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        for change in fresh:
            if self._counted % self._length == 0:
                self._stretches.append(Stretch(change.seq))
            self._counted += 1
        for position in delta.gone:
            self._forget(position)
        for record in delta.records:
            if record.state == "live":
                self._learn(record)
            else:
                self._forget(record.position)
        for stretch in self._stretches:
            stretch.learn()

    def _learn(self, record: Record) -> None:
        terms, features, language = read(record.text)
        stretch, active = self._stretches[self._index(record.position)], self._hash.encode(features)
        if self._contents.put(record.position, {*terms, *_labels(record, language)}):
            stretch.changed = True
        before = stretch.active(record.position)
        if before is None or not np.array_equal(before, active):  # else it was pinned, or is told of again
            stretch.put(record.position, active)

    def _forget(self, position: int) -> None:
        if self._contents.drop(position):
            self._stretches[self._index(position)].put(position, None)

    def _index(self, position: int) -> int:
        """Of its stretch."""
        return max(0, bisect_right(self._stretches, position, key=lambda stretch: stretch.first) - 1)

    def _reset(self) -> None:
        self._cursor = self._counted = self._tried = 0
        self._contents = Contents()
        self._stretches: list[Stretch] = []
        self._kept: list[_Kept] = []

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _keep(self, *, anew: bool = False) -> None:
        """Segments of whole stretches: those in which nothing changed stay, and the last one has one of its own."""
        cursor, count = self._cursor, len(self._stretches)
        self._tried = cursor
        same = next((i for i, stretch in enumerate(self._stretches) if stretch.changed), count)

        def put(transaction: Transaction) -> list[_Kept]:
            standing = [segment.until for segment in transaction.segments(self.name)]
            if standing and standing[-1] > cursor and not anew:
                return []  # another process has come further
            believed = standing == [kept.until for kept in self._kept] and not anew
            kept = [kept for kept in self._kept if kept.stop <= min(same, count - 1)] if believed else []
            after, begin = kept[-1] if kept else (0, 0)
            sealed = [(cursor - 1, count - 1)] if begin < count - 1 and after < cursor - 1 else []
            for until, stop in (*sealed, (cursor, count)):
                segment = Segment(until, self._packed(begin, stop))
                # Refused where something was erased since; then what it would have held goes into the last one.
                if transaction.put_segment(self.name, segment, standing=standing, kept=len(kept)):
                    kept, begin = [*kept, _Kept(until, stop)], stop
                    standing = [one.until for one in kept]
            return kept

        if count:
            try:
                self._kept = self.host.ledger.transact(put)
            except LedgerError as error:  # full, locked or read-only: tried again later
                log.debug("%s is not kept: %s", self.name, error)
                return
            for stretch in self._stretches:  # what is in none of these segments is written anew in any case
                stretch.changed = False

    def _packed(self, begin: int, stop: int) -> bytes:
        stretches = self._stretches[begin:stop]
        columns = [stretch.columns() for stretch in stretches]
        terms, counts, bits = self._contents.columns([p for stretch in stretches for p in stretch.positions])
        told: dict[str, Json] = {
            "stamp": self._stamp,
            "counted": self._counted if stop == len(self._stretches) else stop * self._length,
            "firsts": [stretch.first for stretch in stretches],
            "sizes": [len(stretch) for stretch in stretches],
            "terms": terms,
        }
        together = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
        return pack(told, **together, counts=counts, bits=bits)

    def _load(self) -> None:
        self._reset()
        try:
            head, terms = self.host.ledger.head(), set[str]()
            counts, bits = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
            for until, data in self.host.ledger.segments(self.name):
                told, arrays = unpack(data)
                if told["stamp"] != self._stamp or until > head:
                    raise ValueError("it was kept by another version, or is of a journal that went further")
                self._stretches += _stretches(told["firsts"], told["sizes"], arrays)
                terms.update(plain_text(term, "a term") for term in told["terms"])
                counts, bits = [*counts, arrays["counts"]], [*bits, arrays["bits"]]
                self._cursor = self._tried = until
                self._counted = whole_number(told["counted"], "counted")
                self._kept.append(_Kept(until, len(self._stretches)))
            if self._kept:
                self._contents = Contents.restored(self._placed(), terms, np.concatenate(counts), np.concatenate(bits))
        except UNREADABLE as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _placed(self) -> NDArray[np.int64]:
        """The positions of all stretches. ValueError when they are not those of the changes that were counted."""
        positions = np.concatenate([np.array(stretch.positions, np.int64) for stretch in self._stretches])
        firsts = np.array([stretch.first for stretch in self._stretches], np.int64)
        owners = np.repeat(np.arange(len(firsts)), [len(stretch) for stretch in self._stretches])
        sound = np.array_equal(np.searchsorted(firsts, positions, side="right") - 1, owners)
        if not sound or not bool((np.diff(positions) > 0).all() and (np.diff(firsts) > 0).all()):
            raise ValueError("its records are in stretches of others")
        if -(-self._counted // self._length) != len(firsts) or int(positions.max(initial=0)) > self._cursor:
            raise ValueError("its stretches are of another journal")
        return positions

    # ── completing ───────────────────────────────────────────────────────────────────────────────────────────────

    def complete(
        self,
        fragment: str,
        *,
        speaker: str | None = None,
        place: str | None = None,
        on: date | datetime | str | None = None,
    ) -> Completion | None:
        """The memory that holds most of a fragment: words of it in any order, a run of them, its beginning, with a slip
        of the pen or half a word at the end. None when no memory holds enough of it: 0.8 of the words that some memory
        has, and half of all, rare words counting more.

        Who spoke, the place (or one that it is in) and the day (a date, or as 2024-05-03) are parts of the fragment,
        too. Of memories that hold as much, those come first that hold it word for word. InvalidInput for a blank
        fragment.
        """
        if not plain_text(fragment, "fragment").strip():
            raise InvalidInput("the fragment is empty", way_out="Give a word or more of the memory.")
        labels = [] if speaker is None else [speaker_label(plain_text(speaker, "speaker"))]
        labels += [] if place is None else place_labels(plain_text(place, "place"))[-1:]
        labels += [] if on is None else [day_label(_day(on))]
        with self.host.lock:
            fits, equal = self._fits(fragment, labels, _READ)
        best = [fit for fit in fits if fit.share >= fits[0].share - SAME]
        if equal <= _READ:
            to_the_letter = [fit for fit in best if whole(fragment) in whole(fit.record.text)]
            best = to_the_letter or best
            equal = len(best)
        if not best:
            return None
        newest, *others = best[: NAMED + 1]
        return Completion(newest.record, newest.share / equal, tuple(fit.record for fit in reversed(others)))

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """The memories of which the cue's text is a fragment, as `complete` has it, by the share that they hold; the
        newest of equals first. The cue's filters are left to whoever fuses."""
        if not whole_number(k, "k") or not cue.text.strip():
            return []
        with self.host.lock:
            fits, _ = self._fits(cue.text, [], min(k, _READ))
        return [
            Hit(fit.record, fit.share, {self.name: fit.share}, f"holds {fit.held} of {fit.words} words", cue=cue.text)
            for fit in fits
        ]

    def _fits(self, fragment: str, labels: Sequence[str], most: int) -> tuple[list[_Fit], int]:
        """The records that hold enough, best first, of equals the newest; and how many are equal to the first, as far
        as bits tell. Their words are compared again: two terms may share a bit, and a record may have been changed."""
        parts = [*parts_of(fragment, self._contents.vocabulary), *({label: 1.0} for label in labels)]
        weights = self._contents.weights(parts)
        unknown = math.fsum(
            weight for weight, part in zip(weights, parts, strict=True) if not self._contents.knows(part)
        )
        least = max(LEAST, FAMILIAR - unknown / math.fsum(weights)) if self._contents else 1.0
        positions, equal = self._contents.candidates(parts, weights, least, most)
        fits = []
        for record in self.host.ledger.at(positions):
            reading = read(record.text)
            terms = {*reading.terms, *_labels(record, reading.language)}
            fit = _Fit(record, *share(parts, weights, terms), len(parts))
            if record.state == "live" and fit.share >= least - SAME:
                fits.append(fit)
        return sorted(fits, key=lambda fit: (-round(fit.share, 9), -fit.record.position)), equal

    # ── familiarity ──────────────────────────────────────────────────────────────────────────────────────────────

    def familiarity(self, texts: Sequence[str]) -> list[float]:
        """G of each text, 0 to 1: 1 when the same was stored, the highest of all fields. InvalidInput for a blank one.

        Of two texts that differ in one word of a thousand, all 32 bits may be the same.
        """
        given = [plain_text(text, "a text") for text in many(texts, "texts")]
        if any(not text.strip() for text in given):
            raise InvalidInput("a text is empty", way_out="Leave it out.")
        codes = [self._hash.encode(read(text).features) for text in given]
        with self.host.lock:
            fields = [stretch.field for stretch in self._stretches]
            return [float(familiarities(fields, code).max(initial=0.0)) for code in codes]

    def arrival(self, positions: Sequence[int]) -> list[float]:
        """How familiar each of these records was when it came: G among the live records that were written before it, as
        they stand now. 0 for a position that no live record has."""
        with self.host.lock:
            return [self._arrival(position) for position in many(positions, "positions")]

    def _arrival(self, position: int) -> float:
        index = self._index(position)
        found = self._stretches[index].arrival(position) if self._stretches else None
        if found is None:
            return 0.0
        active, own = found
        earlier = familiarities([stretch.field for stretch in self._stretches[:index]], active)
        return max(own, float(earlier.max(initial=0.0)))

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            newest = self._stretches[-1].field.capacity_report() if self._stretches else {}
            return {
                "size": len(self._contents),
                "terms": len(self._contents.vocabulary),
                "fields": len(self._stretches),
                "newest field": {name: round(value, 4) for name, value in newest.items()},
            }


def _stretches(firsts: Any, sizes: Any, arrays: dict[str, NDArray[Any]]) -> list[Stretch]:
    """Of a segment. ValueError."""
    ends = np.cumsum([whole_number(size, "a size") for size in many(sizes, "sizes")]).tolist()
    names = ("positions", "actives", "codes", "own")
    if len(ends) != len(firsts) or any(len(arrays[name]) != ([0, *ends][-1]) for name in names):
        raise ValueError("its stretches do not fit its columns")
    return [
        Stretch.restored(whole_number(first, "first"), {name: arrays[name][start:end] for name in names})
        for first, start, end in zip(firsts, [0, *ends], ends, strict=False)
    ]


def _labels(record: Record, language: str) -> list[str]:
    """What is known of a record beside its words; the speaker's name as words, too."""
    speaker = [speaker_label(record.speaker), *read(record.speaker).terms] if record.speaker else []
    places = place_labels(record.place.id) if record.place else []
    return [*speaker, *places, day_label(record.at.date()), LANGUAGE + language]


def _day(on: object) -> date:
    if isinstance(on, datetime):
        return moment(on, name="on").date()
    if isinstance(on, date):
        return on
    try:
        return date.fromisoformat(plain_text(on, "on"))
    except ValueError as error:
        raise InvalidInput(f"on: {on!r:.40} is no day", way_out="Write it as 2024-05-03.") from error
