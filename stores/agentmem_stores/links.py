"""LinkGraph: memories that name the same are linked, and so are memories that helped together.

Names and who names what stand as rows (`mentions.py`), told without a model (`naming.py`); ties between memories come
from what people said of hits (`resonance.py`). A cue activates the names that it holds and the memories that are like
it, and the activation spreads: from a name to who names it, on to what else those name, and on. So it finds in two
steps what shares no word with the question. networkx sees it all on demand; nothing here runs on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import values
from agentmem.cues import Cue, Hit
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.feedback import VERB, Feedback
from agentmem.index import Matches
from agentmem.ledger import Delta
from agentmem.recall.corpus import micros
from agentmem.recall.text import fold
from agentmem.records import Change, Record
from agentmem.undo import undone
from agentmem.values import Json, plain_text, whole_number
from agentmem_stores.mentions import Mentions
from agentmem_stores.naming import asked_names, key, named_by, spelt
from agentmem_stores.projection import WINDOW, WithoutVectors, pack, unpack
from agentmem_stores.resonance import Edges, Nodes, Note, Resonance, Values, spread

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Link", "LinkGraph"]

log = logging.getLogger("agentmem")

NEAR: Final = 8  # memories like the cue that activation starts from
_SHARP: Final = 0.1  # a cosine so much lower counts for 1/e
_THROUGH: Final = 0.5  # of the activation goes on at each step, the rest stays where it began
_TIED: Final = 0.5  # of a memory's activation goes by its ties, when they are at their strongest
_SHOWN: Final = 10  # names that `inspect` shows
_LABEL: Final = 60  # characters of a memory that stand for it


class Link(NamedTuple):
    """What stands next to a memory or a name: another memory, or a name; `weight` is the share of activation that gets
    there in one step, from 0 to 1; and why, in words."""

    to: Record | str
    weight: float
    why: str


class LinkGraph(WithoutVectors):
    """The links of one scope's live records, of any kind.

    Nothing here depends on vectors: a record is taken in as soon as it is told, and one that is edited, forgotten or
    erased leaves at once what it no longer says. What one record names does not depend on what came before it, so an
    edit in the distant past costs no more than one of today. Its ties stay while it lives, whatever it says: they are
    of those who found it useful. `memory.feedback` makes them, and undoing that takes them back.
    """

    name = "links"
    version: ClassVar[int] = 1
    _tied: Resonance | None

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def _due(self) -> bool:
        return self._cursor - self._kept >= max(WINDOW, len(self._mentions) // 4)

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        here = {record.position: record for record in delta.records if record.state == "live"}
        for position in (*delta.gone, *(r.position for r in delta.records if r.position not in here)):
            if position in self._mentions and position in self._notes:
                self._tied = None
            self._mentions.remove(position)
        for position, record in here.items():
            if position not in self._mentions and position in self._notes:
                self._tied = None
            self._mentions.put(position, named_by(record))
        self._hear(fresh)

    def _hear(self, fresh: Sequence[Change]) -> None:
        """What was said of hits, and what of it was taken back or erased. A note that is undone further on in the
        journal is heard first, and taken back when that comes."""
        again = {change.record_id for change in fresh if _takes_back(change)}
        if again:
            ledger = self.host.ledger
            back = undone(ledger) if any(change.undoes is not None for change in fresh) else set[int]()
            for id in again:
                whole = ledger.changes(record_id=id, before=fresh[-1].seq + 1)
                said = [change for change in whole if change.verb == VERB and change.step not in back]
                if self._notes.pop(whole[0].seq, None) or said:
                    self._tied = None
                if notes := list(_notes(whole[0].seq, said)):
                    self._notes[whole[0].seq] = notes
        said = [change for change in fresh if change.verb == VERB and change.record_id not in again]
        positions = self._positions({change.record_id for change in said}) if said else {}
        for change in said:
            position = positions[change.record_id]
            for note in _notes(position, [change]):
                self._notes.setdefault(position, []).append(note)
                if self._tied is not None and position in self._mentions:
                    self._tied.hear(note)

    def _positions(self, ids: set[str]) -> dict[str, int]:
        """Of records, also of those that an undo took away: the number of their first change."""
        ledger = self.host.ledger
        found = {record.id: record.position for record in ledger.get(sorted(ids))}
        return {id: found.get(id) or ledger.changes(record_id=id, limit=1)[0].seq for id in ids}

    @property
    def _resonance(self) -> Resonance:
        """Made anew from all notes of live records when one that is spoken of came or went: seldom."""
        tied = self._tied
        if tied is None:
            live = (notes for position, notes in self._notes.items() if position in self._mentions)
            tied = self._tied = Resonance(sorted(note for notes in live for note in notes))
        return tied

    def _reset(self) -> None:
        self._cursor = self._kept = 0
        self._mentions = Mentions()
        self._notes: dict[int, list[Note]] = {}
        self._tied = None

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self) -> None:
        self._reset()
        try:
            for until, data in self.host.ledger.segments(self.name)[-1:]:
                told, arrays = unpack(data)
                if told["stamp"] != self._stamp:
                    raise ValueError("it was kept by another version")
                if until > self.host.ledger.head():
                    raise ValueError("it is of a journal that went further")  # one set back to a backup
                mentions = Mentions.restored(told["names"], arrays, until)
                self._notes = _restored(arrays["notes"], until)
                self._mentions, self._cursor, self._kept = mentions, until, until
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _keep(self, *, anew: bool = False) -> None:
        names, arrays = self._mentions.dump()
        notes = sorted(note for notes in self._notes.values() for note in notes)
        arrays["notes"] = np.array(notes, np.int64).reshape(-1, len(Note._fields))
        if self._put_one(pack({"stamp": self._stamp, "names": names}, **arrays), anew=anew):
            self._kept = self._cursor

    # ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """The memories that get most of the activation by their names and ties, alike ones by order of writing. Half of
        it starts at the names in the cue, half at the memories most like it; what starts at a memory is not counted for
        it, as that is what vectors say. The cue's filters are left to whoever fuses."""
        whole_number(k, "k")
        asked = self.host.asked(cue)
        near = self.host.nearest(asked, NEAR) if asked is not None and asked.any() else None
        now = micros(values.now() if cue.now is None else cue.now)
        with self.host.lock:
            graph = _Woven(self._mentions, self._resonance, now)
            nodes, given = self._seeds(cue, near)
            reached, active = spread(graph, nodes, given, through=_THROUGH)
            activation = dict(zip(reached.tolist(), active.tolist(), strict=True))
            active[np.searchsorted(reached, nodes)] -= (1 - _THROUGH) * given
            active = np.round(active, 12)  # sums of the same numbers in another order differ in their last digits
            found = np.flatnonzero((reached > 0) & (active > 0))
            found = found[np.lexsort((reached[found], -active[found]))][:k]
            scores = dict(zip(reached[found].tolist(), active[found].tolist(), strict=True))
            records = self.host.ledger.at(list(scores))
            live = [record for record in records if record.state == "live"]  # else another process was at it
            whys = list(self._verdicts(live, activation, graph))
        told = ((record, scores[record.position], why) for record, why in zip(live, whys, strict=True))
        return [Hit(record, score, {self.name: score}, why, cue=cue.text) for record, score, why in told]

    def _seeds(self, cue: Cue, near: Matches | None) -> tuple[Nodes, Values]:
        """Where activation starts, and how much: 1 in all, or less than nothing to start from."""
        named = np.array(self._asked(cue.text), np.intp)
        rarity = self._mentions.rarity(named)
        nodes, shares = [~named[rarity > 0].astype(np.int64)], [rarity[rarity > 0]]
        if near is not None:
            like = np.array([n in self._mentions for n in near.positions.tolist()], np.bool_) & (near.scores > 0)
            cosines = near.scores[like].astype(np.float64)
            nodes.append(near.positions[like].astype(np.int64))
            shares.append(np.exp((cosines - cosines.max(initial=0.0)) / _SHARP))
        shares = [share / share.sum() for share in shares if len(share)]
        return np.concatenate(nodes), np.concatenate([np.empty(0), *shares]) / max(1, len(shares))

    def _asked(self, text: str) -> list[int]:
        """The names that a cue holds, each once."""
        found: dict[int, None] = {}
        beyond = 0
        for start, names in enumerate(asked_names(text)):
            for length, name in names if start >= beyond else ():
                if (number := self._mentions.number(name)) is not None:
                    found[number] = None
                    beyond = start + length
                    break
        return list(found)

    def _verdicts(self, records: Sequence[Record], activation: Mapping[int, float], graph: _Woven) -> Iterator[str]:
        """By which names each was reached, the strongest two, and together with which memory it helped."""
        helped = {}
        for position in (record.position for record in records if record.position in graph.resonance):
            ties = graph.resonance.of(position, graph.now)
            passed = {other: weight * activation[other] for other, weight in ties.items() if other in activation}
            if passed:
                helped[position] = max(passed, key=lambda other: (passed[other], -other))
        others = {record.position: record for record in self.host.ledger.at(sorted(set(helped.values())))}
        owners, numbers = self._mentions.names_of([record.position for record in records])
        given = np.array([activation.get(~number, 0.0) for number in numbers.tolist()])
        given /= self._mentions.spread_over(numbers)
        by: dict[int, list[str]] = {}
        for i in np.lexsort((-given, owners)).tolist():
            if given[i] > 0:
                by.setdefault(int(owners[i]), []).append(self._mentions.name(int(numbers[i])))
        for place, record in enumerate(records):
            names = [spelt(name, record) for name in by.get(place, ())[:2]]
            other = others.get(helped.get(record.position, 0))
            said = [f"by {' and '.join(names)}"] if names else []
            said += [f"helped together with {_label(other)!r}"] if other is not None else []
            yield "; ".join(said)

    # ── what is linked ───────────────────────────────────────────────────────────────────────────────────────────

    def entities(self, id: str) -> list[str]:
        """What a memory names, as it writes it: its speaker, its place and those around it, its tags, the names in its
        text. RecordNotFound for an id of no live memory."""
        with self.host.lock:
            record = self._live(id)
            return [spelt(name, record) for name in self._names(record)]

    def mentions(self, name: str, k: int = 10) -> list[Record]:
        """The memories that name it, the newest first; [] when none does. Case and accents do not count."""
        whole_number(k, "k")
        with self.host.lock:
            number = self._mentions.number(key(plain_text(name, "name")))
            positions = [] if number is None else self._mentions.records(number)[::-1]
            return [record for record in self.host.ledger.at(positions[:k]) if record.state == "live"]

    def neighbours(self, id_or_name: str, k: int = 10) -> list[Link]:
        """What one step leads to, the strongest first: from a memory to those that name the same or helped together
        with it; from a name to names that stand in one memory with it. RecordNotFound when it is neither."""
        whole_number(k, "k")
        now = micros(values.now())
        with self.host.lock:
            graph = _Woven(self._mentions, self._resonance, now)
            found = self.host.ledger.get([plain_text(id_or_name, "id_or_name")])
            if found and found[0].position in self._mentions:
                return list(self._beside(found[0], graph, k))
            number = self._mentions.number(key(id_or_name))
            if number is None:
                raise RecordNotFound(
                    f"{id_or_name!r} is neither a live memory nor a name",
                    way_out="memory.stores['links'].entities(id) lists what a memory names.",
                )
            return list(self._with(number, graph, k))

    def _beside(self, record: Record, graph: _Woven, k: int) -> Iterator[Link]:
        weights = graph.step(record.position)
        best = sorted(weights, key=lambda position: (-weights[position], -position))[:k]
        own = self._names(record)
        for other in self.host.ledger.at(best):
            if other.state != "live":  # another process was at it
                continue
            theirs = set(self._names(other))
            by = [spelt(name, record) for name in own if name in theirs]
            together = graph.resonance.weight(record.position, other.position, graph.now)
            why = [f"by {' and '.join(by)}"] if by else []
            yield Link(other, weights[other.position], "; ".join([*why, "helped together"] if together else why))

    def _with(self, number: int, graph: _Woven, k: int) -> Iterator[Link]:
        weights = graph.step(~number)
        best = sorted(weights, key=lambda node: (-weights[node], self._mentions.name(~node)))[:k]
        own = set(self._mentions.records(number))
        for node in best:
            shared = len(own.intersection(self._mentions.records(~node)))
            yield Link(self._spelt(~node), weights[node], f"in {shared} {_memories(shared)} together")

    def tie(self, one_id: str, other_id: str, now: datetime | None = None) -> float:
        """How strongly two memories helped together, from 0 to 1, faded until `now` (None: this moment).
        RecordNotFound."""
        at = micros(values.now() if now is None else values.moment(now, name="now"))
        with self.host.lock:
            return self._resonance.weight(self._live(one_id).position, self._live(other_id).position, at)

    def graph(self, limit: int | None = 1_000) -> nx.Graph:
        """Memories and names as nodes, with a `kind` and a `label`; what a memory names, and what helped together, as
        edges with a `what` and a `weight` from 0 to 1. Of more than `limit` edges the heaviest (None: all).

        A node is `("record", id)` or `("name", name)`.
        """
        if limit is not None:
            whole_number(limit, "limit")
        import networkx as nx  # 0.1 s, which nothing else here takes

        mentions, now = self._mentions, micros(values.now())
        with self.host.lock:
            owners, numbers = mentions.all()
            weights = np.where(mentions.spread_over(numbers) > 1, mentions.rarity(numbers), 0.0)
            best = np.lexsort((-owners, -weights))[:limit]
            columns = (column[best].tolist() for column in (owners, ~numbers, weights))
            edges = [(*tie, "helped together") for tie in self._resonance.ties(now)]
            edges += [(*mention, "names") for mention in zip(*columns, strict=True)]
            edges = sorted(edges, key=lambda edge: (-edge[2], -edge[0]))[:limit]
            ends = sorted({end for edge in edges for end in edge[:2]})
            nodes: dict[int, tuple[str, str]] = {}
            made = nx.Graph()
            for number in (~end for end in ends if end < 0):
                nodes[~number] = "name", mentions.name(number)
                made.add_node(nodes[~number], kind=mentions.kind(number), label=mentions.name(number))
            for record in self.host.ledger.at([end for end in ends if end > 0]):
                nodes[record.position] = "record", record.id
                made.add_node(nodes[record.position], kind=record.kind, label=_label(record))
            for one, other, weight, what in edges:
                if one in nodes and other in nodes:  # else another process was at it
                    made.add_edge(nodes[one], nodes[other], what=what, weight=weight)
            return made

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            mentions, ties = self._mentions, len(self._resonance)
            numbers, counts = mentions.counted()
            links = np.flatnonzero((counts > 1) & (counts < mentions.limit))
            order = sorted(links.tolist(), key=lambda i: (-counts[i], mentions.name(int(numbers[i]))))[:_SHOWN]
            shown = [int(numbers[i]) for i in order]
            return {
                "size": mentions.bytes + 32 * ties,
                "records": len(mentions),
                "entities": len(numbers),
                "mentions": int(counts.sum()),
                "ties": ties,
                "names": [
                    {"name": self._spelt(n), "kind": mentions.kind(n), "memories": int(counts[i])}
                    for i, n in zip(order, shown, strict=True)
                ],
            }

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _live(self, id: str) -> Record:
        found = self.host.ledger.get([plain_text(id, "id")])
        if not found or found[0].position not in self._mentions:
            raise RecordNotFound(f"{id!r} is no live memory here", way_out="Forgotten ones have no links.")
        return found[0]

    def _names(self, record: Record) -> list[str]:
        _, numbers = self._mentions.names_of([record.position])
        return [self._mentions.name(number) for number in numbers.tolist()]

    def _spelt(self, number: int) -> str:
        """A name as the first who has it writes it."""
        name = self._mentions.name(number)
        return next((spelt(name, first) for first in self.host.ledger.at(self._mentions.records(number)[:1])), name)


class _Woven:
    """Records by their positions, names by `~number`, and the ways between them at one moment."""

    def __init__(self, mentions: Mentions, resonance: Resonance, now: int) -> None:
        self.mentions = mentions
        self.resonance = resonance
        self.now = now

    def degrees(self, nodes: Nodes) -> NDArray[np.intp]:
        return self.mentions.degrees(nodes)

    def edges(self, nodes: Nodes) -> Edges:
        """A record's ties take up to half of its activation, all the more the stronger they are: without ties, it is as
        if there were no resonance."""
        names, records = nodes[nodes < 0], nodes[nodes > 0].tolist()  # ascending: names come first
        down, up = self.mentions.to_records(~names), self.mentions.to_names(records)
        rest = np.ones(len(records))
        owners, targets, shares = list[int](), list[int](), list[float]()
        for place, record in enumerate(records):
            if record in self.resonance:
                ties = self.resonance.of(record, self.now)
                whole = max(1.0, sum(ties.values()))
                rest[place] -= _TIED * sum(ties.values()) / whole
                owners += [place] * len(ties)
                targets += ties
                shares += [_TIED * weight / whole for weight in ties.values()]
        return Edges(
            np.concatenate([down.owners, len(names) + up.owners, len(names) + np.array(owners, np.intp)]),
            np.concatenate([down.targets, up.targets, np.array(targets, np.int64)]),
            np.concatenate([down.shares, up.shares * rest[up.owners], np.array(shares, np.float64)]),
        )

    def step(self, node: int) -> dict[int, float]:
        """How much of a node's activation gets to others of its sort by what they share, and by ties."""
        first = self.edges(np.array([node], np.int64))
        over = (first.targets < 0) == (node > 0)
        order = np.argsort(first.targets[over])
        second = self.edges(first.targets[over][order])
        found: dict[int, float] = {}
        beside = zip(first.targets[~over].tolist(), first.shares[~over].tolist(), strict=True)
        through = second.shares * first.shares[over][order][second.owners]
        for other, share in (*beside, *zip(second.targets.tolist(), through.tolist(), strict=True)):
            if other != node and (other < 0) == (node < 0) and share:
                found[other] = found.get(other, 0.0) + share
        return found


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _takes_back(change: Change) -> bool:
    """Whether the change may take back a note, or bring it back; an erasure takes them with the record."""
    return change.verb == "erase" or (change.undoes is not None and not change.before and not change.after)


def _notes(position: int, changes: Iterable[Change]) -> Iterator[Note]:
    for change in changes:
        try:
            said = Feedback.told(change)
        except (InvalidInput, RecursionError) as error:  # the ledger may come from a stranger
            log.debug("the feedback of step %d is passed over: %s", change.step, error)
            continue
        cue = " ".join(fold(said.cue).split())
        digest = int.from_bytes(blake2b(cue.encode(), digest_size=8).digest(), "big", signed=True) if cue else 0
        yield Note(change.seq, change.step, micros(change.at), position, said.useful, digest)


def _restored(columns: NDArray[Any], until: int) -> dict[int, list[Note]]:
    """By position; ValueError for what are no notes."""
    if columns.dtype != np.int64 or columns.ndim != 2 or columns.shape[1] != len(Note._fields):
        raise ValueError("its notes are of another form")
    found: dict[int, list[Note]] = {}
    last = 0
    for seq, step, at, node, useful, cue in columns.tolist():
        if not (last < seq <= until and 0 < node < seq and useful in (0, 1)):
            raise ValueError("its notes are none")
        last = seq
        found.setdefault(node, []).append(Note(seq, step, at, node, bool(useful), cue))
    return found


# ── for a screen ─────────────────────────────────────────────────────────────────────────────────────────────────


def _label(record: Record) -> str:
    """The beginning of a memory, on one line."""
    text = " ".join(record.text[: 4 * _LABEL].split())
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1].rstrip()}…"


def _memories(number: int) -> str:
    return "memory" if number == 1 else "memories"
