"""Episodic memory: what happened where and when, in a memory of limited size (Spatially-Aware Transformers, arXiv
2402.15160).

Each place has its share of the room, and gives an item up only when it has more than that: so what happened in a room
is still known after years elsewhere. What is let go is let go by this store alone; the ledger keeps every record.

Recall is by content, place and time together, score = content·cos + place·exp(-distance / length) + time·exp(-days off
/ days), in two levels: the places that promise most, then what happened there. Where the question names no place the
second term is 0; where it names no time, the third counts back from now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import values
from agentmem.blas import product
from agentmem.cues import Cue, Hit
from agentmem.errors import InvalidInput
from agentmem.feedback import VERB, Feedback
from agentmem.models.embedding import NotAsked
from agentmem.recall.corpus import micros, moment
from agentmem.recall.dates import spans_in
from agentmem.records import Change, Record
from agentmem.store import Host, Models, Report
from agentmem.values import Json, number, plain_text, whole_number
from agentmem.verbs import required
from agentmem_stores.allocator import QUOTAS, STRATEGIES, AdaptiveMemoryAllocator, Buffer, Quota, Rows, budgets
from agentmem_stores.atlas import Atlas, atlas_of
from agentmem_stores.places import Distances, PlaceMap, Where, parts_of
from agentmem_stores.projection import Event, Fold, experienced
from agentmem_stores.summaries import Embed, by_hash

__all__ = ["EpisodicMemory", "Lesson", "Neighbour", "Settings", "Sighting", "Visit"]

log = logging.getLogger("agentmem")

_DAY: Final = 86_400_000_000  # microseconds
_READ: Final = 64  # records read at once for hits
_SCANNED: Final = 1_000
_SHOWN: Final = 20  # places that `inspect` lists
_NAMED: Final = 16  # places of a cue from which distances are measured: "room 1" may be in every house


# ── what it is set to ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is kept and what goes first; and how recall weighs. InvalidInput for what cannot be.

    `strategy` is one of `STRATEGIES`, or several with the shares of the capacity that they manage. It chooses within
    the place that is most over its share, or with quota None among all. `areas`: clusters of unnamed coordinates.
    `distance` is counted in hops over the map, or between coordinates; `length` is where it counts 1/e, in the same
    unit (None: one hop, or the mean distance from a place to the next). `days` is that of time. `breadth`: so many
    places are looked into.
    """

    capacity: int = 10_000
    quota: Quota | None = "sqrt_visits"
    strategy: str | Mapping[str, float] = "fifo"
    areas: int = 32
    content: float = 1.0
    place: float = 0.5
    time: float = 0.2
    distance: Literal["hops", "euclidean"] = "hops"
    length: float | None = None
    days: float = 7.0
    breadth: int = 16

    def __post_init__(self) -> None:
        for name in ("capacity", "areas", "breadth"):
            whole_number(getattr(self, name), name, 1)
        if self.areas > 1_024:
            raise InvalidInput(f"areas: {self.areas} are too many", way_out="1,024 are the most.")
        if self.quota is not None and self.quota not in QUOTAS:
            raise InvalidInput(f"quota cannot be {self.quota!r}", way_out=f"It is {', '.join(QUOTAS)}, or None.")
        if self.distance not in ("hops", "euclidean"):
            raise InvalidInput(f"distance cannot be {self.distance!r}", way_out="It is hops or euclidean.")
        for name in ("content", "place", "time"):
            if number(getattr(self, name), name) < 0:
                raise InvalidInput(f"{name} must be a number of 0 or more, not {getattr(self, name)!r}")
        for name in ("length", "days"):
            if getattr(self, name) is not None and number(getattr(self, name), name) <= 0:
                raise InvalidInput(f"{name} must be more than 0, not {getattr(self, name)!r}")
        if not self.shares:
            raise InvalidInput("no strategy has a share", way_out="Give one of them a number above 0.")

    @property
    def shares(self) -> dict[str, float]:
        given = {self.strategy: 1.0} if isinstance(self.strategy, str) else self.strategy
        if not isinstance(given, Mapping):
            raise InvalidInput(f"a strategy must be a name, or shares by name, not {type(given).__name__}")
        for name, share in given.items():
            if name not in STRATEGIES:
                raise InvalidInput(f"no strategy is called {name!r}", way_out=f"There are {', '.join(STRATEGIES)}.")
            if number(share, f"the share of {name}") < 0:
                raise InvalidInput(f"the share of {name} must be 0 or more, not {share!r}")
        return {name: float(given[name]) for name in sorted(given) if given[name] > 0}


# ── what it answers ──────────────────────────────────────────────────────────────────────────────────────────────


class Neighbour(NamedTuple):
    """A place near another, `distance` hops or units of the coordinates away, and the last that happened there."""

    place: str
    distance: float
    records: list[Record]


class Sighting(NamedTuple):
    """Somebody was there when `record` happened."""

    place: str
    record: Record


class Visit(NamedTuple):
    """A stay in one place: what happened there, in the order of writing, the first of it at `since`, the last at
    `until`."""

    place: str
    since: datetime
    until: datetime
    records: list[Record]


class Lesson(NamedTuple):
    """Somebody found a memory useful for `task`; `reward` is 1 if the strategy would still have held it, else 0."""

    task: str
    strategy: str
    reward: float


# ── the state ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Episodes:
    """The places of a scope, and what is in memory of them: what its journal folds into."""

    def __init__(self, sizes: Mapping[str, int], quota: Quota | None, areas: int, host: Host) -> None:
        self.places = PlaceMap(areas)
        self.buffer = Buffer(sizes, quota)
        self.seen = 0
        self._areas = areas
        self._host = host
        self._compares = "surprise" in sizes  # a cosine with all items of a place costs up to 2 ms

    def step(self, event: Event) -> None:
        record = event.record
        if event.note is not None:
            if _told(event.note).useful:
                self.buffer.use(record.position, event.seq)
            return
        entered = None if record.place is None else self.places.enter(record.place, record.session)
        if entered is None:
            return
        if entered.moved is not None:
            self.buffer.move(*entered.moved)
        self.seen += 1
        item = {
            "position": record.position,
            "place": entered.place,
            "at": micros(record.at),
            "used": event.seq,
            "uses": 0,
            "strength": record.strength,
            "familiar": self._familiar(entered.place, event.vector) if self._compares else -1.0,
        }
        self.buffer.take(item, event.vector, self.places.visits)

    def _familiar(self, place: int, vector: NDArray[np.float32]) -> float:
        beside = np.flatnonzero(self.buffer.items["place"] == place)
        return float(_cosines(self.vectors[beside], vector).max()) if len(beside) else -1.0

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32[items, dimension]"""
        return self.buffer.vectors(self._host.vectors)

    def dump(self) -> tuple[Json, dict[str, NDArray[Any]]]:
        told, arrays = self.places.dump()
        return {"places": told, "seen": self.seen}, {**arrays, "items": self.buffer.items}

    def restore(self, told: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.places = PlaceMap.restored(self._areas, told["places"], arrays)
        self.buffer.restore(arrays["items"], len(self.places))
        self.seen = int(told["seen"])


def _cosines(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded, since those of equal vectors differ by 1e-8, by their row in the product, and ties go by age."""
    return np.round(product(matrix, vector), 6)


def _told(note: Change) -> Feedback:
    try:
        return Feedback.told(note)
    except InvalidInput:  # of a journal that somebody else wrote: it says nothing
        return Feedback(note.record_id, False, note.at, note.actor, note.step)


class EpisodicMemory(Fold):
    """What happened where and when. Records without a place are not kept here."""

    name = "episodic"
    reads = Fold.reads | {"strength"}
    notes: ClassVar[frozenset[str]] = frozenset({VERB})

    def __init__(self, host: Host, **settings: Any) -> None:
        """`settings` as `Settings` has them."""
        self._options = _set(Settings(), settings)
        self._advice: tuple[int, AdaptiveMemoryAllocator, list[Lesson]] | None = None
        super().__init__(host)

    def configure(self, **settings: Any) -> None:
        """Change some of `Settings`, for as long as this store is open. What is kept is derived anew when it must be.

        InvalidInput for a name or value that cannot be, and then nothing is changed."""
        with self.host.lock:
            before = self.settings
            self._options = _set(self._options, settings)
            if self.settings != before:
                self._advice = None
                self.rebuild()

    @property
    def options(self) -> Settings:
        return self._options

    @property
    def places(self) -> PlaceMap:
        """The map of the scope, with its graph and distances: to be asked, under the host's lock, not to be told."""
        return self._state.places

    @property
    def settings(self) -> Json:
        options = self._options
        return [options.capacity, options.quota, options.shares, options.areas]

    # ── the fold ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _episodes(self, sizes: Mapping[str, int]) -> _Episodes:
        return _Episodes(sizes, self._options.quota, self._options.areas, self.host)

    def _start(self) -> None:
        self._state = self._episodes(budgets(self._options.capacity, self._options.shares))

    def _step(self, event: Event) -> None:
        self._state.step(event)

    def _dump(self) -> tuple[Json, dict[str, NDArray[Any]]]:
        return self._state.dump()

    def _restore(self, told: Any, arrays: dict[str, NDArray[Any]]) -> None:
        self._start()
        self._state.restore(told, arrays)

    def _concerns(self, record: Record) -> bool:
        return record.place is not None and experienced(record)

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            state, options = self._state, self._options
            held = np.bincount(state.buffer.items["place"], minlength=len(state.places))
            most = sorted(np.flatnonzero(held).tolist(), key=lambda place: (-held[place], place))[:_SHOWN]
            return {
                "size": len(state.buffer),
                "capacity": options.capacity,
                "quota": options.quota,
                "strategy": options.shares if len(options.shares) > 1 else next(iter(options.shares)),
                "evicted": state.seen - len(state.buffer),
                "places": len(state.places),
                "areas": state.places.areas,
                "unfit": state.places.unfit,
                "held": {state.places.names[place]: int(held[place]) for place in most},
                "visits": {state.places.names[place]: int(state.places.visits[place]) for place in most},
            }

    # ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """The parts are `content`, `place` and `time`. The cue's place and time are weighed, its kinds, speaker and
        tags are filters. A place is named by `cue.place`, or by its name in the text."""
        vector = self.host.asked(cue)
        with self.host.lock:
            items = self._state.buffer.items
            if not len(items) or k <= 0:
                return []
            asked = self._asked(cue)
            parts, away, off = self._parts(cue, vector, asked)
            # A filter may leave nothing of the most promising places.
            filtered = cue.kinds is not None or cue.speaker is not None or cue.tags is not None
            rows = np.arange(len(items)) if filtered else self._promising(parts)
            rows = rows[np.lexsort((-items["position"][rows], -parts[rows].sum(axis=1)))]
            hits: list[Hit] = []
            for row, record in self._admitted(cue, rows):
                if len(hits) == k:
                    break
                said = dict(zip(("content", "place", "time"), parts[row].tolist(), strict=True))
                verdict = self._verdict(int(items["place"][row]), asked, away, None if off is None else off[row])
                hits.append(Hit(record, sum(said.values()), said, verdict, cue=cue.text))
            return hits

    def _asked(self, cue: Cue) -> list[int]:
        places = self._state.places
        return (places.named(cue.text) if cue.place is None else places.find(cue.place))[:_NAMED]

    def _parts(
        self, cue: Cue, vector: NDArray[np.float32] | None, asked: Sequence[int]
    ) -> tuple[NDArray[np.float64], Distances, NDArray[np.float64] | None]:
        """float64[items, 3]; how far each place is from those asked for; and, if the cue says when, how many days each
        item is off."""
        options, state = self._options, self._state
        items = state.buffer.items
        parts = np.zeros((len(items), 3))
        if vector is not None:
            parts[:, 0] = options.content * _cosines(state.vectors, vector)
        away, length = self._away(asked)
        parts[:, 1] = options.place * np.exp(-away.values / length)[items["place"]]
        timed = cue.since is not None or cue.until is not None
        now = values.now() if cue.now is None else cue.now
        since, until = (cue.since, cue.until) if timed else (now, now)
        off = np.zeros(len(items))
        if since is not None:
            off = np.maximum(off, (micros(since) - items["at"]) / _DAY)
        if until is not None:
            off = np.maximum(off, (items["at"] - micros(until) + (1 if timed else 0)) / _DAY)
        parts[:, 2] = options.time * np.exp(-off / options.days)
        return parts, away, off if timed else None

    def _away(self, asked: Sequence[int]) -> tuple[Distances, float]:
        """How far each place is from those asked for, and where that counts 1/e. What is inside them is there."""
        places, options = self._state.places, self._options
        if options.distance == "hops":
            length = 1.0 if options.length is None else options.length
            away = places.hops(asked, within=max(1, int(min(20 * length, 1e9))))  # e^-20 decides nothing
        else:
            length = places.spacing() if options.length is None else options.length
            away = places.euclidean(asked)
        away.values[places.inside(asked)] = 0.0
        return away, length

    def _promising(self, parts: NDArray[np.float64]) -> Rows:
        """The rows of the `breadth` places with the best content of one item there, their nearness counted in."""
        place = self._state.buffer.items["place"]
        best = np.full(len(self._state.places), -np.inf)
        np.maximum.at(best, place, parts[:, 0] + parts[:, 1])
        chosen = np.zeros(len(best), np.bool_)
        chosen[np.argsort(-best, kind="stable")[: self._options.breadth]] = True
        return np.flatnonzero(chosen[place])

    def _admitted(self, cue: Cue, rows: Rows) -> Iterator[tuple[int, Record]]:
        positions = self._state.buffer.items["position"]
        for start in range(0, len(rows), _READ):
            batch = rows[start : start + _READ]
            found = {record.position: record for record in self.host.ledger.at(positions[batch].tolist())}
            for row in batch.tolist():
                record = found.get(int(positions[row]))
                if record is not None and record.state == "live" and _admits(cue, record):
                    yield row, record

    def _verdict(self, place: int, asked: Sequence[int], away: Distances, off: float | None) -> str:
        names, distance = self._state.places.names, float(away.values[place])
        if not asked:
            said = f"at {names[place]}"
        elif distance == 0:
            said = "here"
        elif not np.isfinite(distance):
            said = f"at {names[place]}, far from {names[asked[0]]}"
        elif self._options.distance == "hops":
            said = f"{distance:.0f} hop{'s' if distance > 1 else ''} from {names[away.source[place]]}"
        else:
            said = f"{distance:.3g} from {names[away.source[place]]}"
        if off is None:
            return said
        return f"{said}, then" if off <= 0 else f"{said}, {off:.1f} days off"

    # ── questions ────────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, place: Where, last: int = 10) -> list[Record]:
        """What happened here, or inside it: the last of what is in memory, in the order it happened. `place` is a name,
        a path, its last part, or coordinates. Empty for a place that is not known. InvalidInput for what is none."""
        whole_number(last, "last")
        with self.host.lock:
            there = self._state.places.inside(self._state.places.find(place))
            return self._last(np.flatnonzero(there[self._state.buffer.items["place"]]), last)

    def _last(self, rows: Rows, last: int) -> list[Record]:
        items = self._state.buffer.items
        rows = rows[np.lexsort((items["position"][rows], items["at"][rows]))]
        return self._records(rows[max(len(rows) - last, 0) :])

    def _records(self, rows: Rows) -> list[Record]:
        positions = self._state.buffer.items["position"][rows].tolist()
        return [record for record in self.host.ledger.at(positions) if record.state == "live"]

    def atlas(self) -> Atlas:
        """All places, the ways between them, and the stays in them as far as they are in memory."""
        with self.host.lock:
            return atlas_of(self._state.places, self._state.buffer.items)

    def near(self, place: Where, within: int = 1, *, radius: float | None = None, last: int = 3) -> list[Neighbour]:
        """The places at most `within` hops away, or with `radius` at most so far by their coordinates, nearest first,
        and the last that happened in each. Hops lead from a place into what it is inside, and to where somebody went
        next. InvalidInput when there are no coordinates to measure from."""
        whole_number(within, "within")
        whole_number(last, "last")
        with self.host.lock:
            places = self._state.places
            numbers = places.find(place)
            if radius is None:
                away = places.hops(numbers, within).values
            else:
                number(radius, "radius")
                away = places.euclidean(numbers).values
                if numbers and not np.isfinite(away).any():
                    raise InvalidInput(f"no coordinates are known of {place!r}", way_out="Ask within so many hops.")
                away = np.where(away <= radius, away, np.inf)
            away[numbers] = np.inf
            found = sorted(np.flatnonzero(np.isfinite(away)).tolist(), key=lambda n: (away[n], places.names[n]))
            place_of = self._state.buffer.items["place"]
            return [
                Neighbour(places.names[n], float(away[n]), self._last(np.flatnonzero(place_of == n), last))
                for n in found
            ]

    def where(self, when: datetime | str, k: int = 1) -> list[Sighting]:
        """Where somebody was then: at a time (the last that happened until then, latest first), or when what a text
        tells of happened (what is nearest to it in content, of the days that it names if there was anything)."""
        whole_number(k, "k")
        at = _moment(when)
        vector = self.host.asked(Cue(str(when))) if at is None else None
        with self.host.lock:
            items = self._state.buffer.items
            rows = np.arange(len(items))
            if at is not None:
                rows = rows[items["at"] <= micros(at)]
                order = np.lexsort((-items["position"][rows], -items["at"][rows]))
            elif vector is None or not len(rows):
                return []
            else:
                rows = self._on(str(when))
                near = _cosines(self._state.vectors, vector)[rows]
                order = np.lexsort((-items["position"][rows], -near))
            rows = rows[order[:k]]
            named = dict(zip(items["position"][rows].tolist(), items["place"][rows].tolist(), strict=True))
            return [Sighting(self._state.places.names[named[r.position]], r) for r in self._records(rows)]

    def _on(self, text: str) -> Rows:
        """The rows of the days that a text names; all, if it names none of those."""
        at = self._state.buffer.items["at"]
        spans = spans_in(text, values.now(), (moment(int(at.min())), moment(int(at.max()))))
        there = np.zeros(len(at), np.bool_)
        for span in spans:
            there |= (at >= micros(span.start)) & (at < micros(span.end))
        return np.flatnonzero(there if there.any() else ~there)

    def after(self, record_id: str, n: int = 10) -> list[Record]:
        """What came after it in its session, wherever: the next `n`, in the order of writing. Read from the ledger, so
        that what was let go here is not missing. RecordNotFound."""
        whole_number(n, "n")
        [record] = required(self.host.ledger, [record_id])
        later = self._session(record.session, record.position)
        return [following for following, _ in zip(later, range(n), strict=False)]

    def route(self, session: str) -> list[Visit]:
        """Where a session led, place by place, with all that happened there; what names no place happened where the
        last did that names one. From the ledger, like `after`: it reads the scope from end to end."""
        plain_text(session, "session")
        visits: list[Visit] = []
        for record in self._session(session):
            place = self._name_of(record)
            if place is not None and (not visits or visits[-1].place != place):
                visits.append(Visit(place, record.at, record.at, [record]))
            elif visits:
                last = visits[-1]
                last.records.append(record)
                visits[-1] = last._replace(since=min(last.since, record.at), until=max(last.until, record.at))
        return visits

    def _session(self, session: str | None, after: int = 0) -> Iterator[Record]:
        while records := self.host.ledger.scan(after=after, limit=_SCANNED):
            after = records[-1].position
            yield from (record for record in records if record.session == session and experienced(record))

    def _name_of(self, record: Record) -> str | None:
        if record.place is None:
            return None
        with self.host.lock:
            places = self._state.places
            number = places.locate(record.place)
            return "/".join(parts_of(record.place.id)) or None if number is None else places.names[number]

    # ── what it learns ───────────────────────────────────────────────────────────────────────────────────────────

    def lessons(self) -> list[Lesson]:
        """What the journal teaches about strategies: for each memory that was found useful, whether each strategy, with
        this capacity and quota, would have held it then. Feedback must say what was asked, which is the task."""
        state = self._episodes(dict.fromkeys(STRATEGIES, self._options.capacity))
        found: list[Lesson] = []
        for event in self._between(0, self._cursor):
            if event.note is not None and (said := _told(event.note)).useful and said.cue.strip():
                position = state.buffer.items["position"]
                for name in STRATEGIES:
                    held = position[state.buffer.held_by(name)] == event.record.position
                    found.append(Lesson(said.cue, name, float(held.any())))
            state.step(event)
        return found

    def advise(self, task: str) -> str:
        """The strategy that would have held most of what was found useful for tasks like this one, given in words. The
        one in use while nobody said what was useful. Nothing is changed: `configure(strategy=…)` does."""
        plain_text(task, "a task")
        allocator, lessons = self._learned()
        return allocator.choose(task) if lessons else max(self._options.shares, key=self._options.shares.__getitem__)

    def _learned(self) -> tuple[AdaptiveMemoryAllocator, list[Lesson]]:
        cursor = self._cursor
        if self._advice is None or self._advice[0] != cursor:
            lessons = self.lessons()
            try:
                allocator = _taught(lessons, partial(self.host.embed, kinds=()))
            except NotAsked as error:
                log.info("tasks are compared by hashed words: %s", error)
                allocator = _taught(lessons, by_hash)
            self._advice = cursor, allocator, lessons
        return self._advice[1:]

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Learn from feedback which strategy would have served."""
        lessons = self._learned()[1]
        held = {name: sum(int(one.reward) for one in lessons if one.strategy == name) for name in STRATEGIES}
        useful = len(lessons) // len(STRATEGIES)
        if not useful:
            return Report("nobody said yet what was useful")
        best = max(held, key=held.__getitem__)
        return Report(f"of {useful} memories found useful {best} would hold {held[best]}", {"useful": useful, **held})


def _taught(lessons: Sequence[Lesson], embed: Embed) -> AdaptiveMemoryAllocator:
    allocator = AdaptiveMemoryAllocator(embed=embed)
    for lesson in lessons:
        allocator.observe(*lesson)
    return allocator


def _set(options: Settings, given: Mapping[str, Any]) -> Settings:
    unknown = given.keys() - Settings.__dataclass_fields__.keys()
    if unknown:
        names = ", ".join(Settings.__dataclass_fields__)
        raise InvalidInput(f"there is no setting {min(unknown)!r}", way_out=f"There are {names}.")
    return replace(options, **given)


def _admits(cue: Cue, record: Record) -> bool:
    return (
        (cue.kinds is None or record.kind in cue.kinds)
        and (cue.speaker is None or (record.speaker or "").casefold() == cue.speaker.casefold())
        and (cue.tags is None or not set(cue.tags).isdisjoint(record.tags))
    )


def _moment(when: datetime | str) -> datetime | None:
    """A time, or None for a text that is none. InvalidInput for a time without a zone."""
    if isinstance(when, str):
        try:
            datetime.fromisoformat(plain_text(when, "when"))
        except ValueError as error:
            if isinstance(error, InvalidInput):
                raise
            return None
    return values.moment(when, name="when")
