"""`RepeatMemory`: which records say the same, so that nothing has to be said, or shown, again and again.

What is repeated crowds out what is not, in a prompt as in training data (Hernandez et al. 2022, "Scaling laws and
interpretability of learning from repeated data", arXiv 2205.10487). Three bonds, from firm to loose:

  exact     the same words but for case, white space and signs at the end
  near      a Jaccard index of .8 or more, by MinHash (`minhash.py`), and the same words but for slips of the pen
  semantic  vectors with a cosine of .95 or more, and nothing in which they are at odds (`sayings.py`)

of one kind, and by one speaker. Who says again what another said tells something new. A record is held against the
first that said it, not against the last, so that small differences never add up. Every saying is counted, those that
were noted and not stored anew too, and nothing is dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agentmem import verbs
from agentmem.cues import Cue, Hit
from agentmem.embedding import unit_rows
from agentmem.errors import InvalidInput, PluginError
from agentmem.ledger import Draft, Reader
from agentmem.recall.corpus import micros, moment
from agentmem.records import Change, Record
from agentmem.store import FAMILIAR, Bond, Host, Models, Repeat, Repeats, Report
from agentmem.values import Json, many, plain_text, whole_number
from agentmem_stores.minhash import BYTES, Bands, jaccard, shingles, signature
from agentmem_stores.projection import Event, Fold
from agentmem_stores.sayings import Saying, conflict, normalised, other_words, replaced, saying

__all__ = ["BONDS", "RepeatMemory"]

BONDS: Final[tuple[Bond, ...]] = ("exact", "near", "semantic")
NEAR: Final = 0.8  # Jaccard
SEMANTIC: Final = 0.95  # cosine
_LIKELY: Final = NEAR - 3 * 0.044  # as signatures estimate it, whose standard error is .044 at most
_SHORTEST: Final = 20  # shingles: 24 characters. Of shorter texts one letter is a fifth of all, and they say little
_LOOKED: Final = 1_000  # records whose neighbours are looked up at once, a few milliseconds each
_ARRIVED: Final = 10_000  # records of which it is asked
_NEIGHBOURS: Final = 16
_MERGED: Final = 10_000  # records that one consolidation merges: it is one step, held in memory
_SAID: Final = "said"  # in the `meta` of a merged record: how often it had been said
_DERIVED: Final = frozenset({"thought", "summary", "chunk"})  # made by stores that see to their repeats themselves

_ROW: Final = np.dtype(
    [
        ("position", "<i8"),
        ("at", "<i8"),  # microseconds
        ("words", "<u8", (2,)),  # a digest of kind, speaker and normalised text
        ("root", "<i4"),  # the row of the first that said it
        ("before", "<i4"),  # how often it had been said when it was merged, beside this once
    ]
)
# What was said again, and not stored anew: the change that notes it, of which row, when, and a place in `BONDS`.
_NOTE: Final = np.dtype([("seq", "<i8"), ("row", "<i4"), ("at", "<i8"), ("bond", "u1")])


Group: TypeAlias = NDArray[np.intp]  # rows, ascending


class _Recognising(Protocol):
    def arrival(self, positions: Sequence[int]) -> list[float]:
        """How familiar each was when it came, from 0 to 1."""
        ...


class _Said(NamedTuple):
    """A text as it is compared. `key`: what two must share before they are, else they differ in what counts."""

    words: tuple[int, int]
    key: int
    elements: NDArray[np.uint64]


class _Sayings(NamedTuple):
    """The rows as they stand, and of each how often it was said, when last, and how at the loosest."""

    rows: NDArray[Any]
    times: NDArray[np.int64]
    last: NDArray[np.int64]
    loosest: NDArray[np.intp]

    @property
    def totals(self) -> NDArray[np.int64]:
        """By root: how often any of its group was said."""
        return np.bincount(self.rows["root"], weights=self.times, minlength=len(self.rows)).astype(np.int64)

    def count(self, group: Group) -> int:
        return int(self.times[group].sum())

    def differ(self, group: Group) -> bool:
        """Whether their words are not all the same."""
        words = self.rows["words"][group]
        return bool((words != words[0]).any())


def _who(kind: str, speaker: str | None, role: str | None) -> str:
    return f"{kind}\n{(speaker or role or '').casefold()}\n"


def _said(who: str, text: str) -> _Said:
    plain = normalised(text)
    words = hashlib.blake2b((who + plain).encode(errors="surrogatepass"), digest_size=16).digest()
    telling = " ".join(saying(text).telling)
    key = hashlib.blake2b((who + telling).encode(errors="surrogatepass"), digest_size=8).digest()
    halves = int.from_bytes(words[:8], "little"), int.from_bytes(words[8:], "little")
    return _Said(halves, int.from_bytes(key, "little"), shingles(plain))


def _who_said(record: Record) -> str:
    return _who(record.kind, record.speaker, record.role)


class RepeatMemory(Fold):
    """Which live records say the same: 40 bytes a record, and 136 more for one that says something new at some length.

    Of which saying a record is, only what came before it decides. So when something in the past is altered, what comes
    after is cut off and folded in anew, and one checkpoint is enough. `merges`: the kinds whose exact repeats
    consolidation makes one record; what was lived through is never merged, and `turn` among them is InvalidInput.
    """

    name = "repeats"
    reads = (Fold.reads - {"session", "place"}) | {"role", "meta"}
    notes: ClassVar[frozenset[str]] = frozenset({verbs.AGAIN})

    def __init__(self, host: Host, *, merges: Collection[str] = ("note", "fact", "preference")) -> None:
        self._merges = frozenset(plain_text(kind, "merges") for kind in many(merges, "merges"))
        if lived := sorted(self._merges & {"turn", *_DERIVED}):
            raise InvalidInput(f"{lived[0]} cannot be merged", way_out="Name kinds that state something, such as note.")
        super().__init__(host)

    # ── the fold ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        self._table, self._number = np.zeros(64, _ROW), 0
        self._notes = np.zeros(0, _NOTE)
        self._paired = -1, np.zeros(0, np.int64), np.zeros(0, np.int64)  # `together`, and at which change
        self._roots: dict[tuple[int, int], int] = {}  # words → the row of the first that said it
        self._bands = Bands()
        self._banded: list[int] = []  # the rows of those in the bands

    @property
    def _rows(self) -> NDArray[Any]:
        return self._table[: self._number]

    def _concerns(self, record: Record) -> bool:
        return record.kind not in _DERIVED

    def _step(self, event: Event) -> None:
        record = event.record
        if event.note is not None:
            self._noted(record, event.note)
            return
        if self._number == len(self._table):
            self._table = np.concatenate([self._table, np.zeros(len(self._table) // 2, _ROW)])
        said = _said(_who_said(record), record.text)
        root = self._roots.get(said.words)
        if root is None:
            root = self._roots[said.words] = self._first(record, said)
        told = record.meta.get(_SAID)
        before = told - 1 if type(told) is int and 1 < told < 1 << 31 else 0
        self._table[self._number] = (record.position, micros(record.at), said.words, root, before)
        self._number += 1

    def _first(self, record: Record, said: _Said) -> int:
        """The row of the first that said it nearly so; its own for what was not said yet, or is too short to tell."""
        if len(said.elements) < _SHORTEST:
            return self._number
        signed = signature(said.elements)
        near = self._near(said, signed, _who_said(record), record.text)
        if near is None:
            near = self._number
            self._bands.add(said.key, signed)
            self._banded.append(near)
        return near

    def _near(self, said: _Said, signed: NDArray[np.uint8], who: str, text: str) -> int | None:
        close: list[int] = sorted(self._banded[one] for one in self._bands.alike(said.key, signed, _LIKELY).tolist())
        if not close:
            return None
        positions = self._rows["position"][close].tolist()
        live = {record.position: record for record in self.host.ledger.at(positions) if record.state == "live"}
        asked = saying(text)
        for row, position in zip(close, positions, strict=True):
            record = live.get(position)
            if (
                record is not None
                and _who_said(record) == who
                and jaccard(said.elements, shingles(normalised(record.text))) >= NEAR
                and not conflict(asked, (other := saying(record.text)))
                and not other_words(asked, other)
            ):
                return row
        return None

    def _noted(self, record: Record, note: Change) -> None:
        bond = _bond(note)
        row = self._row(record.position)
        if bond is None or row is None:
            return
        said = np.array([(note.seq, row, micros(note.at), BONDS.index(bond))], _NOTE)
        self._notes = np.concatenate([self._notes, said])

    def _row(self, position: int) -> int | None:
        positions = self._rows["position"]
        row = int(np.searchsorted(positions, position))
        return row if row < len(positions) and int(positions[row]) == position else None

    def _rewind(self, position: int) -> None:
        """Cut off what happened from there on."""
        self._stack = [one for one in self._stack if one.until < position]
        self._number = int(np.searchsorted(self._rows["position"], position))
        self._notes = self._notes[: np.searchsorted(self._notes["seq"], position)]
        kept = int(np.searchsorted(self._banded, self._number))
        self._bands = Bands.of(self._bands.keys[:kept], self._bands.signatures[:kept])
        self._banded = self._banded[:kept]
        self._find_roots()
        self._paired = -1, *self._paired[1:]
        self._cursor, self._events = position - 1, self._number + len(self._notes)

    def _find_roots(self) -> None:
        words = cast("Iterable[tuple[int, int]]", map(tuple, self._rows["words"].tolist()))
        self._roots = dict(zip(words, self._rows["root"].tolist(), strict=True))

    def _keep(self, *, anew: bool = False) -> None:
        """One checkpoint, and the next when there is an eighth more to keep."""
        if anew:
            self._stack = []
        elif len(self._stack) > 1:
            *_, held, last = self._stack
            if last.events - held.events < held.events // 8:
                self._stack = [held]
                return
            self._stack = [last]
        super()._keep(anew=anew)

    def _dump(self) -> tuple[Json, dict[str, NDArray[Any]]]:
        return None, {
            "rows": self._rows.copy(),
            "notes": self._notes,
            "banded": np.array(self._banded, np.int32),
            "keys": self._bands.keys.copy(),
            "signatures": self._bands.signatures.copy(),
        }

    def _restore(self, told: Any, arrays: dict[str, NDArray[Any]]) -> None:
        rows, notes, banded = arrays["rows"], arrays["notes"], arrays["banded"]
        numbers = np.arange(len(rows))
        if rows.dtype != _ROW or rows.ndim != 1 or (rows["root"] < 0).any() or (rows["root"] > numbers).any():
            raise ValueError("its rows are others")
        if (rows["root"][rows["root"]] != rows["root"]).any() or not _ascending(rows["position"]):
            raise ValueError("its rows hang together otherwise")
        if notes.dtype != _NOTE or notes.ndim != 1 or not np.isin(notes["row"], numbers).all():
            raise ValueError("its notes are of other rows")
        if (notes["bond"] >= len(BONDS)).any() or (rows["before"] < 0).any() or not _ascending(notes["seq"]):
            raise ValueError("it counts otherwise")
        if banded.dtype != np.int32 or banded.shape != arrays["keys"].shape or not np.isin(banded, numbers).all():
            raise ValueError("its signatures are of other rows")
        if not _ascending(banded):
            raise ValueError("its signatures are in another order")
        self._start()
        self._bands = Bands.of(arrays["keys"], arrays["signatures"])
        self._banded = banded.tolist()
        self._table, self._number = np.concatenate([rows, np.zeros(max(64, len(rows) // 2), _ROW)]), len(rows)
        self._notes = notes
        self._find_roots()

    def _sayings(self) -> _Sayings:
        rows, notes = self._rows.copy(), self._notes
        times = 1 + rows["before"] + np.bincount(notes["row"], minlength=len(rows))
        last, loosest = rows["at"].copy(), np.zeros(len(rows), np.intp)
        np.maximum.at(last, notes["row"], notes["at"])
        np.maximum.at(loosest, notes["row"], notes["bond"])
        return _Sayings(rows, times, last, loosest)

    # ── what is repeated ─────────────────────────────────────────────────────────────────────────────────────────

    def groups(self, kind: Bond | None = None, limit: int = 20) -> list[Repeats]:
        """What was said more than once, most often first. With `kind`, by that bond; None: by words, exact or near.

        `semantic` looks for neighbours of what was familiar when it came, if the store `recognition` is there, else
        of the thousand records written last. InvalidInput for a kind that is none.
        """
        whole_number(limit, "limit")
        if kind is not None and kind not in BONDS:
            raise InvalidInput(f"{kind!r} is no kind of repeat", way_out=f"It is {', '.join(BONDS)}.")
        with self.host.lock:
            sayings = self._sayings()
        groups = self._alike(sayings.rows) if kind == "semantic" else _by_words(sayings, kind)
        ranked = sorted(groups, key=lambda one: (-sayings.count(one), -int(sayings.last[one].max()), one[0]))
        return [told for told in (self._told(sayings, one, kind) for one in ranked[:limit]) if told is not None]

    def _told(self, sayings: _Sayings, group: Group, kind: Bond | None) -> Repeats | None:
        live = [r for r in self.host.ledger.at(sayings.rows["position"][group].tolist()) if r.state == "live"]
        if not live:
            return None
        loosest = BONDS[max(int(sayings.differ(group)), int(sayings.loosest[group].max()))]
        last = moment(int(sayings.last[group].max()))
        return Repeats(loosest if kind is None else kind, tuple(live), sayings.count(group), last)

    def _alike(self, rows: NDArray[Any]) -> list[Group]:
        """Groups of rows by their vectors; each is joined to the first of a group that it is near to itself."""
        newest = np.unique(rows["root"][::-1], return_index=True)[1]  # of each saying, by its last record
        asked = np.sort(len(rows) - 1 - newest)
        asked = self._familiar(rows, asked[-_ARRIVED:])[-_LOOKED:]
        positions = rows["position"][asked].tolist()
        near: dict[int, set[int]] = {}
        for position, vector in zip(positions, self.host.vectors(positions), strict=True):
            if vector.any():
                for other in self._meeting(vector):
                    if other != position:
                        near.setdefault(position, set()).add(other)
                        near.setdefault(other, set()).add(position)
        records = {record.position: record for record in self.host.ledger.at(sorted(near)) if record.state == "live"}
        firsts: dict[int, list[int]] = {}
        for position in sorted(records):
            first = next((one for one in firsts if one in near[position] and _same(records[one], records[position])), 0)
            firsts.setdefault(first or position, []).append(position)
        found = []
        for group in firsts.values():
            places = np.searchsorted(rows["position"], group)
            held = [int(row) for row in places if row < len(rows)]
            whole = np.flatnonzero(np.isin(rows["root"], rows["root"][held]))
            if len(held) > 1 and len(np.unique(rows["root"][held])) > 1:
                found.append(whole)
        return found

    def _meeting(self, vector: NDArray[np.float32]) -> list[int]:
        found = self.host.nearest(vector, _NEIGHBOURS)
        near: list[int] = found.positions[found.scores >= SEMANTIC].tolist()
        return near

    def _familiar(self, rows: NDArray[Any], asked: NDArray[np.intp]) -> NDArray[np.intp]:
        try:
            store = self.host.store("recognition")
        except PluginError:
            return asked
        arrival = cast(_Recognising, store).arrival(rows["position"][asked].tolist())
        return asked[np.array(arrival, np.float64) >= FAMILIAR]

    def repeated(
        self,
        text: str,
        vector: Sequence[float] | None = None,
        *,
        kind: str = "turn",
        speaker: str | None = None,
        role: str | None = None,
    ) -> Repeat | None:
        """The last live record that already says this, if that speaker (or who has that role) said it as that kind of
        record; by words, or with a `vector` of the text by that too. InvalidInput for a vector of another length."""
        who = _who(plain_text(kind, "kind"), speaker, role)
        said = _said(who, plain_text(text, "text"))
        with self.host.lock:
            rows, bond = self._rows, BONDS[0]
            found = np.flatnonzero((rows["words"] == np.array(said.words, np.uint64)).all(axis=1))
            if not len(found) and len(said.elements) >= _SHORTEST:
                near, bond = self._near(said, signature(said.elements), who, text), BONDS[1]
                found = np.flatnonzero(rows["root"] == near) if near is not None else found
            position = int(rows["position"][found[-1]]) if len(found) else None
        if position is None and vector is not None:
            position, bond = self._said_by_vector(vector, who, text), BONDS[2]
        live = [] if position is None else [r for r in self.host.ledger.at([position]) if r.state == "live"]
        return Repeat(live[0], bond) if live else None

    def _said_by_vector(self, vector: Sequence[float], who: str, text: str) -> int | None:
        given = np.asarray(vector)
        dimension = self.host.embedder.dimension
        if given.dtype.kind not in "fiu" or given.shape != (dimension,) or not np.isfinite(given).all():
            raise InvalidInput(f"the vector must be {dimension} finite numbers for {self.host.embedder.id}")
        if not given.any():
            return None
        near = self._meeting(unit_rows(given[None].astype(np.float32))[0])
        asked = saying(text)
        for record in self.host.ledger.at(sorted(near, reverse=True)):
            if record.state == "live" and _who_said(record) == who and _at_one(asked, saying(record.text)):
                return record.position
        return None

    def counts(self, positions: Sequence[int]) -> list[int]:
        """How often what each of these records says was said, by words, itself included; 0 for one that is not here."""
        with self.host.lock:
            sayings = self._sayings()
            found = [self._row(position) for position in positions]
        totals, root = sayings.totals, sayings.rows["root"]
        return [0 if row is None else int(totals[root[row]]) for row in found]

    @property
    def repetitive(self) -> bool:
        """Whether anything was said twice by words; without the lock, for which a recall would have to wait."""
        rows = self._rows
        return bool((rows["root"] != np.arange(len(rows))).any())

    def together(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The positions of all records that say by words what another says too, ascending, and of each the position of
        the first that said it. Not to be written to."""
        with self.host.lock:
            if self._paired[0] != self._cursor:
                rows = self._rows
                several = np.bincount(rows["root"], minlength=len(rows)) > 1
                held = rows[several[rows["root"]]]
                self._paired = self._cursor, held["position"].copy(), rows["position"][held["root"]]
            return self._paired[1:]

    def outdated(self) -> Mapping[int, str]:
        """As `Dating.outdated`: the positions of records whose words a later one says too, and when it does."""
        positions, firsts = self.together()
        with self.host.lock:
            rows = self._rows
            at = rows["at"][np.searchsorted(rows["position"], positions)]
        order = np.lexsort((positions, at, firsts))
        positions, firsts, at = positions[order], firsts[order], at[order]
        newest = np.searchsorted(firsts, firsts, side="right") - 1
        spent = np.flatnonzero(newest != np.arange(len(newest)))
        said = zip(positions[spent].tolist(), at[newest[spent]].tolist(), strict=True)
        return {position: f"said again on {moment(last):%Y-%m-%d}" for position, last in said}

    # ── the rest of a store ──────────────────────────────────────────────────────────────────────────────────────

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Nothing: it knows what is the same, and not what is asked."""
        return []

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            sayings = self._sayings()
            size = self._rows.nbytes + self._notes.nbytes + len(self._bands) * (BYTES + 12)
        exact, near = (len(_by_words(sayings, bond)) for bond in BONDS[:2])
        again = int((sayings.times - 1).sum())
        names = ("size", "exact groups", "near groups", "said again", "bytes")
        return dict(zip(names, (len(sayings.rows), exact, near, again, size), strict=True))

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Make one record of notes, facts and preferences that say exactly the same of the same place: one step, or
        none. What was lived through is left as it is."""
        merged: list[int] = []

        def plan(reader: Reader) -> list[Draft]:
            merged.clear()
            drafts: list[Draft] = []
            for records in self._mergeable(reader):
                drafts += self._one_of(records)
                merged.append(len(records))
            return drafts

        self.host.write(plan, "the same was noted more than once")
        with self.host.lock:
            self._keep(anew=True)  # so that the next process's recalls find it, which derive nothing for themselves
        told = self.inspect()
        counts = {name: cast(int, told[name]) for name in ("exact groups", "near groups", "said again")}
        summary = f"{sum(merged)} records that say the same became {len(merged)}" if merged else "nothing to merge"
        return Report(summary, {"merged": sum(merged), "into": len(merged), **counts})

    def _mergeable(self, reader: Reader) -> list[list[Record]]:
        with self.host.lock:
            sayings = self._sayings()
        groups = [sayings.rows["position"][one].tolist() for one in _by_words(sayings, "exact") if len(one) > 1]
        found: list[list[Record]] = []
        for positions in groups:
            alike: dict[tuple[Any, ...], list[Record]] = {}
            for record in reader.at(positions):  # as they stand now
                if record.state == "live" and record.kind in self._merges:
                    place = None if record.place is None else record.place.id
                    said = (_who_said(record), normalised(record.text), place)
                    alike.setdefault(said, []).append(record)
            found += [records for records in alike.values() if len(records) > 1]
            if sum(map(len, found)) > _MERGED:
                break
        return found

    def _one_of(self, records: Sequence[Record]) -> list[Draft]:
        """A merge in the newest one's words, which knows how often it was said."""
        with self.host.lock:
            sayings = self._sayings()
            rows = [self._row(record.position) for record in records]
        count = sum(1 if row is None else int(sayings.times[row]) for row in rows)
        latest = max(records, key=lambda record: (record.at, record.position))
        made, drafts = verbs.merge(records, latest.text, self.host.ledger.scope)
        made = made.patched({"meta": {**made.meta, _SAID: count}})
        return [Draft("merge", made.id, None, made.to_json(), made, fresh=True), *drafts[1:]]


def _bond(note: Change) -> Bond | None:
    """How what was said again was the same; None for a note that nobody of ours wrote."""
    try:
        told = json.loads(note.cause)
    except (ValueError, RecursionError):
        return None
    kind = told.get("kind") if isinstance(told, dict) and isinstance(told.get("text"), str) else None
    return kind if kind in BONDS else None


def _same(one: Record, other: Record) -> bool:
    return _who_said(one) == _who_said(other) and _at_one(saying(one.text), saying(other.text))


def _at_one(one: Saying, other: Saying) -> bool:
    return not conflict(one, other) and not replaced(one, other)


def _by_words(sayings: _Sayings, kind: Bond | None) -> list[Group]:
    """The groups of rows that were said more than once: of the same words (exact), of words that are not all the same
    (near), or both (None)."""
    root, words = sayings.rows["root"], sayings.rows["words"]
    members = np.flatnonzero(sayings.totals[root] > 1)
    found: dict[Any, list[int]] = {}
    for row, first, said in zip(members.tolist(), root[members].tolist(), words[members].tolist(), strict=True):
        found.setdefault(tuple(said) if kind == "exact" else first, []).append(row)
    groups = [np.array(group, np.intp) for group in found.values()]
    if kind == "exact":
        return [group for group in groups if sayings.count(group) > 1]
    return [group for group in groups if sayings.differ(group)] if kind == "near" else groups


def _ascending(numbers: NDArray[Any]) -> bool:
    return bool((np.diff(numbers) > 0).all())
