"""ChunkMemory: what was lived, in chunks, and a recall that looks at the chunks before it looks inside a few.

After HCAM (Lampinen et al. 2021, arXiv 2105.14039), without training: a chunk's key is the mean of its records' unit
vectors and, when it was summarised, the summary's own vector too; a cue attends to the best chunks and then to what is
in them (`agentmem.recall.levels`). Every 8 chunks of a session make one of the next level, up to the session itself, so
an episode can be looked at from any height, and played back in order.

Where HCAM learns its projections, cosines stand here, of keys at length 1, and chunks of unlike sizes weigh by what
they hold. Means lose what single turns say: on LoCoMo's development half, by MiniLM, recall@10 of this store alone is
44.5 (42.4 by dot products with the means as they are, 36.8 if chunks weighed alike, 40.9 reading 4 of them and 47.0
reading 16), and that of all vectors 48.9. The default engine has 83.7, and 84.0 with this store attached.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence, Set, Sized
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.blas import product
from agentmem.cues import Cue, Hit
from agentmem.embedding import unit_rows
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.ledger import Delta, Draft, Reader
from agentmem.recall.corpus import micros, moment
from agentmem.recall.levels import attend, two_stage
from agentmem.records import Change, Record
from agentmem.store import Host, Models, Report
from agentmem.undo import undone
from agentmem.values import Json, number, plain_text, whole_number
from agentmem_stores.chunking import Rule, print_of
from agentmem_stores.forest import Forest, Node, Side
from agentmem_stores.projection import WINDOW, Projection, experienced, pack, unpack
from agentmem_stores.summaries import KIND, OF, Made, Summariser, mark, rewritten, withdrawn

__all__ = ["Chunk", "ChunkMemory"]

log = logging.getLogger("agentmem")

ENDS: Final = "end_episode"  # the verb of a note that an episode ended with a record
_LEAST: Final = 4  # records from which a summary is shorter than what it stands for
_BATCH: Final = 16  # summaries written in one step
_MICROSECOND: Final = timedelta(microseconds=1)


class Chunk(NamedTuple):
    """A stretch of a session. `id` is `session/level/position of its first record`; `summary` a record's id."""

    id: str
    session: str | None
    level: int
    records: int
    since: datetime
    until: datetime
    closed: bool
    summary: str | None


class _Label(NamedTuple):
    """What filters ask of a record."""

    kind: str
    speaker: str | None
    place: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, record: Record) -> _Label:
        place = record.place.id.casefold() if record.place is not None and record.place.id else None
        return cls(record.kind, None if record.speaker is None else record.speaker.casefold(), place, record.tags)

    @classmethod
    def told(cls, value: Any) -> _Label:
        kind, speaker, place, tags = value
        if not all(isinstance(text, str) for text in (kind, speaker or "", place or "", *tags)):
            raise ValueError("a label of it is no label")
        return cls(kind, speaker, place, tuple(tags))

    def passes(self, cue: Cue) -> bool:
        """As the recall engine filters: any of the kinds, any of the tags, and a place holds those inside it."""
        if cue.kinds is not None and self.kind not in cue.kinds:
            return False
        if cue.speaker is not None and self.speaker != cue.speaker.casefold():
            return False
        if cue.tags is not None and not set(cue.tags) & set(self.tags):
            return False
        return cue.place is None or f"{self.place or ''}/".startswith(f"{cue.place.casefold()}/")


class ChunkMemory(Projection):
    """The records of each session, in order of writing, as chunks and chunks of chunks; those of no session are one.

    A chunk closes at `size` records, at a `gap` in time, when the topic shifts (`chunking.Rule`), or with the episode.
    A recall reads `chosen` chunks; at `temperature` 0.2 a chunk whose cosine is 0.1 higher weighs 1.6 times as much.

    With `summaries`, idle-time work writes one for each closed chunk, a record of kind `chunk` whose sources are what
    it was made of. They are off, because they take the places of turns: on LoCoMo's development half extracted ones
    cost the default engine 1.1 points of recall@10 (0.2 where only turns are asked for) and gain this store nothing.
    """

    name: ClassVar[str] = "chunks"

    def __init__(
        self,
        host: Host,
        *,
        size: int = 32,
        gap: timedelta = timedelta(hours=6),
        shift: float = 0.75,
        fan_out: int = 8,
        chosen: int = 8,
        temperature: float = 0.2,
        summaries: bool = False,
    ) -> None:
        if not isinstance(gap, timedelta) or gap < timedelta(0):
            raise InvalidInput(f"gap must be a timedelta of 0 or more, not {gap!r:.40}")
        if number(temperature, "temperature") <= 0:
            raise InvalidInput(f"temperature must be above 0, not {temperature}", way_out="0.2 is usual.")
        self.rule = Rule(whole_number(size, "size", 1), gap // _MICROSECOND, number(shift, "shift"))
        self.fan_out = whole_number(fan_out, "fan_out", 2)
        self.chosen = whole_number(chosen, "chosen", 1)
        self.temperature = float(temperature)
        self.summaries = summaries
        super().__init__(host)

    @property
    def settings(self) -> Json:
        return [self.rule.size, self.rule.gap, self.rule.shift]

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        self._cursor = self._news = 0
        self._unread = False  # something is kept that cannot be read
        self._forest = Forest(self.host.embedder.dimension, self.fan_out)
        self._labels: dict[_Label, int] = {}
        self._ended: set[str] = set()  # ids of which it is noted that an episode ended with them
        self._made: dict[int, tuple[str, str]] = {}  # summaries by position: the print of what each is of, its state
        self._spoken: dict[int, NDArray[np.float32]] = {}  # their vectors, as far as they were asked for
        self._seconds: tuple[Side, NDArray[np.intp], NDArray[np.float32]] | None = None

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        noted = {change.record_id for change in fresh if _may_note(change)}
        if noted:
            self._ended = (self._ended - noted) | _ended(self.host.ledger, noted)
        put: dict[str | None, list[tuple[Any, ...]]] = {}
        gone = [*delta.gone, *(record.position for record in delta.records)]
        for position in gone:
            self._made.pop(position, None)
            self._spoken.pop(position, None)
        for record in delta.records:
            if record.kind == KIND and isinstance(of := record.meta.get(OF), str):
                self._made[record.position] = of, record.state
            if record.state == "live" and experienced(record):
                put.setdefault(record.session, []).append(self._item(record))
        self._forest.alter(gone, put, self._vectors, self.rule)
        self._cursor = fresh[-1].seq
        self._news += len(fresh)
        if self._news >= max(WINDOW, len(self._forest.home) // 8):
            self._keep()

    def _item(self, record: Record) -> tuple[Any, ...]:
        label = self._labels.setdefault(_Label.of(record), len(self._labels))
        return record.position, micros(record.at), label, mark(record), record.id in self._ended

    def _vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.host.vectors(positions.tolist())

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self) -> None:
        self._reset()
        segments = self.host.ledger.segments(self.name)
        if not segments:
            return
        until, data = segments[-1]
        try:
            told, arrays = unpack(data)
            if told["stamp"] != self._stamp:
                raise ValueError("it was kept by another version, or for other vectors or settings")
            if until > self.host.ledger.head():
                raise ValueError("it is of a journal that went further")  # one set back to a backup
            self._labels = {_Label.told(label): number for number, label in enumerate(told["labels"])}
            self._ended = {plain_text(id, "id") for id in told["ended"]}
            for position, of, state in told["made"]:
                self._made[whole_number(position, "position")] = plain_text(of, "of"), plain_text(state, "state")
            self._forest.restore(told, arrays, len(self._labels))
            self._cursor = until
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()
            self._unread = True

    def _keep(self, *, anew: bool = False) -> None:
        told, arrays = self._forest.dump()
        told |= {
            "stamp": self._stamp,
            "labels": [list(label) for label in self._labels],
            "ended": sorted(self._ended),
            "made": [[position, *made] for position, made in self._made.items()],
        }
        self._news = 0
        if self._put_one(pack(told, **arrays), anew=anew or self._unread):
            self._unread = False

    # ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """A hit's parts are the logarithms of its chunk's weight and of its own inside it: their sum, the score, is
        that of the product. Without a vector there is nothing to attend with, and no hit."""
        whole_number(k, "k")
        vector = self.host.asked(cue)
        if not k or vector is None or not vector.any():
            return []
        with self.host.lock:
            side = self._forest.side
            items, bounds = self._allowed(cue, side)

            def inside(rows: NDArray[np.intp]) -> NDArray[np.float32]:
                return product(self._vectors(items["position"][rows]), vector)

            read = two_stage(self._scores(side, vector), bounds, inside, self.chosen, temperature=self.temperature)
            positions = items["position"][read.rows]
            order = np.lexsort((positions, -(read.chunk_logs + read.item_logs)))[:k]
            found = {record.position: record for record in self.host.ledger.at(positions[order].tolist())}
            hits = []
            for i in order.tolist():
                record = found.get(int(positions[i]))
                if record is None or record.state != "live":  # another process was at it
                    continue
                parts = {"chunk": float(read.chunk_logs[i]), "item": float(read.item_logs[i])}
                said = _said(side, int(read.chunks[i]))
                hits.append(Hit(record, sum(parts.values()), parts, verdict=said, cue=cue.text))
            return hits

    def attend(self, cue: Cue, k: int = 8, *, level: int = 0) -> list[tuple[Chunk, float]]:
        """The `k` chunks of a level that fit the cue best, with their weights, which sum to 1; of a session that does
        not reach so high, its highest."""
        whole_number(k, "k")
        whole_number(level, "level")
        vector = self.host.asked(cue)
        if vector is None or not vector.any():
            return []
        with self.host.lock:
            side = self._forest.side
            _, bounds = self._allowed(cue, side)
            nodes = [node for session in side.sessions for node in self._forest.nodes(session, level)]
            if level:
                keys = np.array([self._forest.key(node) for node in nodes], np.float32).reshape(-1, len(vector))
                scores = product(unit_rows(keys), vector)
            else:
                scores = self._scores(side, vector)
            counts = np.diff(bounds[np.cumsum([0, *(node.last - node.first for node in nodes)])])
            fit = np.where(counts > 0, scores, -np.inf)
            chosen = attend(fit, k, temperature=self.temperature, counts=counts)
            weighed = zip(chosen.indices.tolist(), chosen.weights.tolist(), strict=True)
            return [(self._chunk(nodes[i]), weight) for i, weight in weighed]

    def _scores(self, side: Side, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[chunks]: the cosine with the mean or with the summary, whichever is higher."""
        scores = product(side.keys, vector)
        chunks, told = self._second_keys(side)
        scores[chunks] = np.maximum(scores[chunks], product(told, vector))
        return scores

    def _second_keys(self, side: Side) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The chunks of which a summary stands that is not stale, and the summaries' vectors."""
        if self._seconds is None or self._seconds[0] is not side:
            current = self._current()
            at = [(chunk, current[of]) for chunk, of in enumerate(side.prints) if of in current] if current else []
            missing = [position for _, position in at if position not in self._spoken]
            if missing:
                self._spoken |= dict(zip(missing, self.host.vectors(missing), strict=True))
            at = [(chunk, position) for chunk, position in at if self._spoken[position].any()]
            rows = np.array([self._spoken[position] for _, position in at], np.float32)
            chunks = np.array([chunk for chunk, _ in at], np.intp)
            self._seconds = side, chunks, rows.reshape(len(at), side.keys.shape[1])
        return self._seconds[1:]

    def _current(self) -> dict[str, int]:
        """The positions of live summaries by the print of what they are of; the first written, if there are several."""
        live = [(position, of) for position, (of, state) in self._made.items() if state == "live"]
        return {of: position for position, of in sorted(live, reverse=True)}

    def _allowed(self, cue: Cue, side: Side) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The items that the cue's filters admit, and where each chunk begins among them."""
        items = side.items
        mask = np.ones(len(items), np.bool_)
        if any(asked is not None for asked in (cue.kinds, cue.speaker, cue.place, cue.tags)):
            mask = np.array([label.passes(cue) for label in self._labels], np.bool_)[items["label"]]
        if cue.since is not None:
            mask &= items["at"] >= micros(cue.since)
        if cue.until is not None:
            mask &= items["at"] < micros(cue.until)
        if mask.all():
            return items, side.bounds
        kept = np.flatnonzero(mask)
        return items[kept], np.searchsorted(kept, side.bounds)

    # ── the tree ─────────────────────────────────────────────────────────────────────────────────────────────────

    def chunk_of(self, record_id: str) -> Chunk:
        """The chunk that a record stands in. RecordNotFound for one that stands in none."""
        with self.host.lock:
            for record in self.host.ledger.get([plain_text(record_id, "id")]):
                if record.position in self._forest.home:
                    return self._chunk(self._forest.node_of(record.position))
        raise RecordNotFound(f"{record_id!r} is in no chunk", way_out="Chunks hold live records of what happened.")

    def chunk(self, chunk_id: str) -> Chunk:
        """RecordNotFound for an id that no chunk has now: one that lost its first record has another."""
        with self.host.lock:
            return self._chunk(self._found(chunk_id))

    def replay(self, chunk_id: str) -> list[Record]:
        """The records of a chunk of any level, in order of writing. RecordNotFound."""
        with self.host.lock:
            return self.host.ledger.at(self._forest.items(self._found(chunk_id))["position"].tolist())

    def below(self, chunk_id: str = "") -> list[Chunk]:
        """What a chunk is made of, one level down, in order: of "" the sessions, each as its highest chunk; of a chunk
        of the lowest level nothing. RecordNotFound."""
        with self.host.lock:
            if not chunk_id:
                return [self._chunk(node) for node in self._tops()]
            node = self._found(chunk_id)
            return [self._chunk(one) for one in self._forest.below(node)] if node.level else []

    def tree(self) -> dict[str, Json]:
        """All sessions under one root, each as its chunks of chunks: what `Chunk` tells, and the `children`."""
        with self.host.lock:
            tops = [self._branch(node) for node in self._tops()]
            return {"id": "", "records": len(self._forest.home), "children": tops}

    def _tops(self) -> list[Node]:
        forest = self._forest
        return [node for session in forest.side.sessions for node in forest.nodes(session, forest.top(session))]

    def stale(self) -> dict[str, Record]:
        """The summaries whose sources changed since they were made, by the ids of the chunks, of each level, that hold
        most of these now; those of what is here no more are left out."""
        found: dict[str, Record] = {}
        with self.host.lock:
            forest = self._forest
            for summary in self.host.ledger.at(self._stale()):
                sources = self.host.ledger.get([one.record for one in summary.sources if one.record is not None])
                homes = Counter(forest.node_of(one.position) for one in sources if one.position in forest.home)
                if not homes:
                    continue
                low = max(homes, key=lambda node: (homes[node], -node.first))
                if self._summary_of(forest.items(low)) is None:  # else another took its place
                    for level in range(forest.top(low.session) + 1):
                        nodes = forest.nodes(low.session, level)
                        found.setdefault(forest.id_of(nodes[low.first // self.fan_out**level]), summary)
        return found

    def _branch(self, node: Node) -> dict[str, Json]:
        chunk = self._chunk(node)
        times = {"since": chunk.since.isoformat(), "until": chunk.until.isoformat()}
        below = self._forest.below(node) if node.level else []
        return chunk._asdict() | times | {"children": [self._branch(one) for one in below]}

    def _chunk(self, node: Node) -> Chunk:
        items = self._forest.items(node)
        return Chunk(
            id=self._forest.id_of(node),
            session=node.session,
            level=node.level,
            records=len(items),
            since=moment(int(items["at"].min())),
            until=moment(int(items["at"].max())),
            closed=self._forest.closed(node),
            summary=None if node.level else self._summary_of(items),
        )

    def _summary_of(self, items: NDArray[Any]) -> str | None:
        position = self._current().get(print_of(items["mark"])) if self._made else None
        return None if position is None else next((r.id for r in self.host.ledger.at([position])), None)

    def _found(self, chunk_id: str) -> Node:
        node = self._forest.found(plain_text(chunk_id, "chunk"))
        if node is None:
            raise RecordNotFound(f"there is no chunk {chunk_id!r}", way_out="`tree()` lists them.")
        return node

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            forest, live = self._forest, sum(state == "live" for _, state in self._made.values())
            return {
                "records": len(forest.home),
                "sessions": len(forest.streams),
                "chunks": sum(len(stream) for stream in forest.streams.values()),
                "open": sum(stream.open for stream in forest.streams.values()),
                "depth": max((forest.top(session) + 1 for session in forest.streams), default=0),
                "summaries": live,
                "stale": live - len(self._current().keys() & set(forest.side.prints)) if live else 0,
                "cursor": self._cursor,
            }

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def end_episode(self, session: str | None = None) -> Record:
        """Close the session's open chunk; the record that the episode ended with. It is journaled as a note of that
        record, which undo takes back. InvalidInput for a session that holds nothing."""
        with self.host.lock:
            stream, after = self._forest.streams.get(session), self._cursor
            known = [] if stream is None else stream.items["position"][-1:].tolist()

        def plan(reader: Reader) -> list[Draft]:
            there = [*reader.at(known), *reader.changed(after).records]
            last = [r for r in there if r.session == session and r.state == "live" and experienced(r)]
            if not last:
                raise InvalidInput(
                    f"there is nothing in the session {session!r} that could end",
                    way_out="Name a session as its records do; None is for those of none.",
                )
            found.append(max(last, key=lambda record: record.position))
            return [] if _ended(reader, {found[-1].id}) else [Draft(ENDS, found[-1].id, {}, {}, found[-1])]

        found: list[Record] = []
        self.host.write(plan, "end of episode")
        return found[-1]

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Summarise what is closed, or has been still for as long as a gap; a summary whose sources changed is edited,
        one whose chunk is no more is forgotten, and one that somebody forgot is not written again.

        What a model is to summarise waits while none can be asked, and is told in `waiting`: an extract in its place
        would stand for good. One does when a model's answers cannot be used (`unusable`), or none may be asked.
        """
        if not self.summaries:
            return Report("summaries are off", {})
        with self.host.lock:
            after, due, stale = self._cursor, deque(self._due(now)), self._stale()
            waiting = self._waiting({of for of, _ in due} | self._current().keys())
        summariser = Summariser(self.host.embed, models)
        counts = self._write(due, stale, after, summariser)
        waiting.update(position for _, positions in due for position in positions)
        plan = partial(withdrawn, stale=stale, after=after, waiting=waiting)
        if stale:
            counts["withdrawn"] = len(self.host.write(plan, "summaries of chunks that are no more"))
        return self._report(counts, due, summariser)

    def summarise(self, chunk_id: str, models: Models | None = None) -> Report:
        """Summarise all that is in a chunk of any level anew, by a model or else by extract, whether anything changed
        or not; a summary that stands is edited. Chunks of fewer than 4 records need none. RecordNotFound."""
        with self.host.lock:
            after, node = self._cursor, self._found(chunk_id)
            lowest = [Node(node.session, 0, number, number + 1) for number in range(node.first, node.last)]
            held = [items for items in map(self._forest.items, lowest) if len(items) >= _LEAST]
            due = deque((print_of(items["mark"]), items["position"].tolist()) for items in held)
            current = self._current()
            old = [*self._stale(), *(current[of] for of, _ in due if of in current)]
        summariser = Summariser(self.host.embed, models)
        return self._report(self._write(due, old, after, summariser), due, summariser)

    def _write(
        self, due: deque[tuple[str, list[int]]], old: list[int], after: int, summariser: Summariser
    ) -> dict[str, int]:
        """Write summaries of what is due, each in the place of an old one of the same, and take what was seen to from
        `due`; how many there were."""
        counts = dict.fromkeys(("written", "renewed", "by a model", "unusable", "withdrawn", "waiting"), 0)
        while due and summariser.fault is None:
            batch: list[Made] = []
            while due and len(batch) < _BATCH:
                made = self._summarised(*due[0], summariser)
                if summariser.fault is not None:
                    break
                due.popleft()
                batch += [made] if made is not None else []
            plan = partial(rewritten, made=batch, stale=old, after=after)
            for change in self.host.write(plan, "summaries of chunks"):
                counts["renewed" if change.verb == "edit" else "written"] += 1
            counts["by a model"] += sum(bool(made.prompt) for made in batch)
        return counts

    def _report(self, counts: dict[str, int], due: Sized, summariser: Summariser) -> Report:
        counts |= {"unusable": summariser.unusable, "waiting": len(due)}
        did = [f"{counts['written']} chunks summarised, {counts['renewed']} anew, {counts['withdrawn']} no more"]
        if summariser.unusable:
            did.append(f"{summariser.unusable} by extract, since the model's answers cannot be used")
        if summariser.fault is not None:
            did.append(f"{len(due)} wait, since no model can be asked: {summariser.fault}")
        return Report("; ".join(did), counts, fault=summariser.fault)

    def _due(self, now: datetime) -> list[tuple[str, list[int]]]:
        """The print and the positions of each chunk that a summary could stand for, and none does or did."""
        side, still = self._forest.side, micros(now) - self.rule.gap
        known = {of for of, _ in self._made.values()}
        due = []
        for chunk, of in enumerate(side.prints):
            items, (session, number) = side.of(chunk), side.place(chunk)
            closed = self._forest.closed(Node(session, 0, number, number + 1)) or int(items["at"].max()) < still
            if closed and len(items) >= _LEAST and of not in known:
                due.append((of, items["position"].tolist()))
        return due

    def _stale(self) -> list[int]:
        """The positions of live summaries of what no chunk holds any more, or of what another is of already."""
        standing, current = set(self._forest.side.prints), self._current()
        live = [position for position, (_, state) in self._made.items() if state == "live"]
        return [
            position
            for position in live
            if current.get(of := self._made[position][0]) != position or of not in standing
        ]

    def _waiting(self, summarised: Set[str]) -> set[int]:
        """The positions of what stands in open chunks that have no summary, and are not about to get one."""
        last = [Node(session, 0, len(one) - 1, len(one)) for session, one in self._forest.streams.items() if one.open]
        open_items = [items for node in last if print_of((items := self._forest.items(node))["mark"]) not in summarised]
        return {position for items in open_items for position in items["position"].tolist()}

    def _summarised(self, of: str, positions: list[int], summariser: Summariser) -> Made | None:
        """None when the chunk is not what it was: the next run will see to it."""
        records = self.host.ledger.at(positions)
        if print_of(np.array([mark(record) for record in records], np.uint64)) != of:
            return None
        return summariser.summarised(of, records, self.host.vectors(positions))


def _may_note(change: Change) -> bool:
    """Whether the change notes that an episode ended, takes such a note back, or erases it."""
    bare = not change.before and not change.after
    return change.verb in (ENDS, "erase") or (bare and change.undoes is not None)


def _ended(reader: Reader, ids: Set[str]) -> set[str]:
    """Those of which a note stands that an episode ended with them."""
    taken_back = undone(reader)
    told = ((id, change) for id in ids for change in reader.changes(record_id=id))
    return {id for id, one in told if one.verb == ENDS and not one.erased and one.step not in taken_back}


def _said(side: Side, chunk: int) -> str:
    session, number = side.place(chunk)
    at = side.of(chunk)["at"]
    days = dict.fromkeys(f"{moment(int(end)):%Y-%m-%d}" for end in (at.min(), at.max()))
    where = "without a session" if session is None else f"of session {session}"
    return f"in chunk {number + 1} {where}: {len(at)} records on {' to '.join(days)}"
