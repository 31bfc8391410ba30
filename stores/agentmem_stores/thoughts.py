"""`ThoughtMemory`: what is known of whom, as Think-in-Memory has it (TiM, Liu et al. 2023, arXiv 2311.08719).

A thought is a record of kind `thought`: a sentence that states (head, relation, tail), made from turns that are its
sources. What holds now is derived from all that was said (`thinking/validity.py`), so that forgetting, undoing or
erasing what ended a thought brings it back; to forget and to merge writes that down (`thinking/organise.py`), so that
other recalls show it too. Reading new turns (`thinking/postthink.py`), and asking a model what they change
(`thinking/reconcile.py`), is idle-time work: no answer waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from agentmem import verbs
from agentmem.cues import Cue, Hit
from agentmem.errors import BadOutput, InvalidInput
from agentmem.ledger import Delta, Draft, Reader
from agentmem.records import Change, Record, Source, State, checked
from agentmem.store import Host, Models, Report
from agentmem.values import Json, plain_text, truth, whole_number
from agentmem_stores.lsh import Hyperplanes
from agentmem_stores.projection import WINDOW, Projection, pack, unpack
from agentmem_stores.thinking.near import Near, grams
from agentmem_stores.thinking.organise import Drafting, organise
from agentmem_stores.thinking.postthink import BY_RULES, Progress, revise
from agentmem_stores.thinking.reading import Ballot, Thoughts, read
from agentmem_stores.thinking.reconcile import act, judged, undecided
from agentmem_stores.thinking.statements import (
    FUNCTIONAL,
    KIND,
    Statement,
    digest,
    is_union,
    key,
    put_aside,
    sentence,
    statement_of,
)
from agentmem_stores.thinking.telling import Thought, no_longer, together, told, verdict
from agentmem_stores.thinking.validity import (
    BARE,
    LIVE,
    NEGATED,
    ROW,
    SOURCE,
    TRASH,
    UNION,
    UPDATED,
    Table,
    Validity,
    derive,
)

__all__ = ["Thought", "ThoughtMemory"]

log = logging.getLogger("agentmem")

_HEAD: Final = 0.25  # added to the cosine when the cue names the head, and the tail
_TAIL: Final = 0.1
_ENDED: Final = 1_000  # thoughts that ended, of which the turns are looked up
_SCAN: Final = 10_000  # records read at once when all is derived anew
_COUNTED: Final = ("inserted", "confirmed", "forgotten", "merged", "restored", "trashed", "unchanged", "review")
_UNTOLD: Final = frozenset({"unchanged", "review"})  # the second is told in a sentence of its own
_ALL: Final[tuple[State, ...]] = ("live", "forgotten", "replaced")


class ThoughtMemory(Projection):
    """The thoughts of one scope. `functional`: the relations that have one tail at a time (`*` stands for any ending).

    `mode="exact"` compares a cue with every thought. `mode="lsh"` compares with those in the same buckets; the paper's
    has `tables=1, probes=1`. InvalidInput for numbers that no hash has.

    A head may have any number of thoughts, a million too: `current` and `history` read each of its records, 0.1 ms
    apiece, and everything else goes by columns.
    """

    name = "thoughts"
    version: ClassVar[int] = 2

    def __init__(
        self,
        host: Host,
        *,
        functional: Collection[str] = FUNCTIONAL,
        mode: Literal["exact", "lsh"] = "exact",
        buckets: int = 32,
        tables: int = 4,
        probes: int = 2,
        fewest: int = 32,
    ) -> None:
        if mode not in ("exact", "lsh"):
            raise InvalidInput(f"mode must be exact or lsh, not {mode!r:.40}")
        if isinstance(functional, str):
            raise InvalidInput("functional must be a list of relations", way_out=f"Write {[functional]!r}.")
        self._functional = frozenset(key(plain_text(relation, "functional")) for relation in functional)
        Hyperplanes(1, buckets=buckets, tables=tables, probes=probes)  # refuses what no hash has
        numbers = {"buckets": buckets, "tables": tables, "probes": probes}
        self._head = -1  # of the journal, when it was last looked at
        self._found: Validity | None = None
        self._outdated: tuple[Validity, dict[int, str]] | None = None
        self._progress = Progress()
        self._near = Near(host, numbers, hashes=mode == "lsh", fewest=whole_number(fewest, "fewest"))
        super().__init__(host)

    @property
    def settings(self) -> Json:
        return sorted(self._functional)

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, changes: Sequence[Change]) -> None:
        """As `Store.apply`. Nothing waits for vectors: they are looked up when a cue asks."""
        with self.host.lock:
            if self.host.embedder.id != self._embedder:
                self._begin()
                return
            fresh = [change for change in changes if change.seq > self._cursor]
            if fresh:
                self._follow(fresh, self.host.ledger.changed(self._cursor, len(fresh)))
                self._cursor = fresh[-1].seq
                if self._cursor - self._kept >= max(WINDOW, len(self._table) // 4):
                    self._keep()

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        before = self._table.rows
        self._table.take_in(delta)
        if self._table.rows is not before:
            self._found = None
        held = {record.position for record in delta.records if record.kind == KIND and record.state != "forgotten"}
        self._near.changed(held, fresh[-1].seq)
        self._near.gone([*delta.gone, *(record.position for record in delta.records if record.position not in held)])

    def _catch_up(self) -> None:
        head = self.host.ledger.head()
        if head == self._head:
            return
        self._head = head
        while changes := self.host.ledger.changes(after=self._cursor, limit=WINDOW):
            self.apply(changes)

    def rebuild(self) -> None:
        with self.host.lock:
            self._reset()
            with self.host.ledger.snapshot() as reader:
                head, after = reader.head(), 0
                while records := reader.scan(after=after, limit=_SCAN, states=_ALL):
                    after = records[-1].position
                    thoughts = [(record.position, record) for record in records if record.kind == KIND]
                    self._table.put(thoughts)
            self._began(head)
            self._keep(anew=True)

    def _reset(self) -> None:
        self._cursor = self._kept = 0
        self._head = -1
        self._table = Table(self._functional)
        self._found = None
        self._near.clear()

    def _began(self, cursor: int) -> None:
        self._cursor, self._found = cursor, None
        held = self._table.rows["position"][self._table.rows["flags"] & TRASH == 0]
        self._near.changed(np.unique(held).tolist(), 0)

    def _load(self) -> None:
        self._reset()
        try:
            for until, data in self.host.ledger.segments(self.name)[-1:]:
                told, arrays = unpack(data)
                rows, sources, updates = arrays["rows"], arrays["sources"], arrays["updates"]
                if told["stamp"] != self._stamp:
                    raise ValueError("it was kept by another version, or with other settings")
                if until > self.host.ledger.head():
                    raise ValueError("it is of a journal that went further")
                columns = (rows, ROW), (sources, SOURCE), (updates, UPDATED)
                if any(array.dtype != dtype or array.ndim != 1 for array, dtype in columns):
                    raise ValueError("its columns are others")
                if len(rows) and not 0 < int(rows["position"].min()) <= int(rows["position"].max()) <= until:
                    raise ValueError("it names positions that the journal has not reached")
                self._table.rows, self._table.sources, self._table.updates = rows, sources, updates
                self._began(until)
                self._kept = until
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _keep(self, *, anew: bool = False) -> None:
        table = self._table
        data = pack({"stamp": self._stamp}, rows=table.rows, sources=table.sources, updates=table.updates)
        if self._put_one(data, anew=anew):
            self._kept = self._cursor

    @property
    def _valid(self) -> Validity:
        found = self._found
        if found is None:
            found = self._found = derive(self._table.rows, self._table.updates)
        return found

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(
        self,
        head: str,
        relation: str,
        tail: str | Iterable[str],
        *,
        at: datetime | str | None = None,
        sources: Iterable[Source | str] = (),
        text: str | None = None,
        negated: bool = False,
    ) -> Record:
        """Note a thought; durable when it returns. Several tails are a set, all said at once.

        `at` is when it was said (None: now), `text` the sentence, which must hold the tails. InvalidInput for a blank
        head, relation or tail.
        """
        said = Statement.of(head, relation, tail, truth("negated")(negated))
        words = sentence(said) if text is None else plain_text(text, "text")
        if not all(key(one) in key(words) for one in said.tails):
            raise InvalidInput("the text does not hold the tail", way_out="Leave it out, or say the tail in it.")
        given: dict[str, Any] = {"sources": sources} if at is None else {"sources": sources, "at": at}
        scope = self.host.ledger.scope
        record = Record.create(words, scope=scope, kind=KIND, meta=said.meta(), **checked(given))
        self.host.write(lambda reader: [verbs.add(record, fresh=True)], "a thought")
        with self.host.lock:
            self._catch_up()
        return self.host.ledger.get([record.id])[0]

    def forget(self) -> Report:
        """Put aside what no longer holds, and bring back what does again: one step, or none. `history` still has it."""
        return self._organised("thoughts that no longer hold", forget=True, merge=False)[1]

    def merge(self) -> Report:
        """Make one record of what is said of one head by one relation, 64 at most: one step, or none. No tail is lost,
        doing it again does nothing, and the order of telling does not matter."""
        return self._organised("thoughts of one head and relation", forget=False, merge=True)[1]

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Read what was said since the last time, then forget and merge: one step, or none.

        By rules 10,000 turns a run, by models 200; what waits is told. What a model read is put beside what is known of
        the same head, by a model that judges. A turn of which its answers cannot be used is noted, stays as it is, and
        is read by `reread`; one that reads like an order to a model gets the tag `review`, and is read when a person
        has given it the tag `reviewed`.
        """
        ledger = self.host.ledger
        found = self._progress.waiting(ledger, BY_RULES)
        thoughts = read(ledger, found.turns, models, until=found.until)
        report = self._taken_in(thoughts, models, found.begun)
        waiting = found.more or thoughts.waits or (thoughts.ballot is not None and thoughts.ballot.more)
        summary = f"{report.summary}; other turns wait for the next time" if waiting else report.summary
        return replace(report, summary=summary, counts={**report.counts, "waiting": int(waiting)})

    def reread(self, ids: Sequence[str], models: Models | None) -> Report:
        """Read turns again of which a model's answers could not be used. What it says that is known already is not
        noted twice. BadOutput, once the others are read, when one's still cannot be used."""
        thoughts = read(self.host.ledger, dict.fromkeys(ids, 0), models, until=None)
        report = self._taken_in(thoughts, models)
        if thoughts.unread:
            raise BadOutput(
                f"the model's answers to {', '.join(thoughts.unread)} still cannot be used",
                way_out="Ask a larger model to extract; the turns stay as they are.",
            )
        return report

    def _taken_in(self, thoughts: Thoughts, models: Models | None, begun: int | None = None) -> Report:
        """Put beside what is known, and write down, what was read after the change `begun`, if nobody else did."""
        with self.host.lock:
            self._catch_up()
            table, cursor = self._table.copy(), self._cursor
        if models is not None and (thoughts.by_model or undecided(table)):
            thoughts.ballot = judged(self.host, table, cursor, thoughts, models)
        done, report = self._organised(thoughts.cause, forget=True, merge=True, thoughts=thoughts, begun=begun)
        if not done:
            return replace(report, summary=f"{report.summary}; another process thought about them first")
        ballot = thoughts.ballot or Ballot()
        faults = [*thoughts.faults, *ballot.faults]
        if thoughts.unread:
            faults.insert(0, f"the model's answers to {', '.join(thoughts.unread)} cannot be used")
        if held := report.counts["review"]:
            faults.insert(0, f"{held} turn{'s wait' if held > 1 else ' waits'} for review")
        counts = {**report.counts, "refused": thoughts.refused, "judged": ballot.asked, "ignored": ballot.ignored}
        return Report(
            "; ".join([report.summary, *faults]),
            counts,
            unread=tuple(thoughts.unread),
            fault=thoughts.fault or ballot.fault,
        )

    def _organised(
        self,
        cause: str,
        *,
        forget: bool,
        merge: bool,
        thoughts: Thoughts | None = None,
        begun: int | None = None,
    ) -> tuple[bool, Report]:
        """Whether `thoughts` were taken in, and what was done. Planned within the transaction, on rows as they are."""
        with self.host.lock:
            self._catch_up()
            table, cursor = self._table.copy(), self._cursor
        drafting: Drafting | None = None
        mine = False

        def plan(reader: Reader) -> list[Draft]:
            nonlocal drafting, mine
            now = table.copy()
            now.take_in(reader.changed(cursor))
            drafting = Drafting(reader, now)
            mine = thoughts is not None and (begun is None or self._progress.until(reader) == begun)
            if thoughts is not None and mine:
                revise(drafting, thoughts)
                if thoughts.ballot is not None:
                    act(drafting, thoughts.ballot)
            organise(drafting, forget=forget, merge=merge)
            return drafting.drafts

        self.host.write(plan, cause)
        with self.host.lock:
            self._catch_up()
            if self._cursor > cursor:
                self._keep()
        counts = dict.fromkeys(_COUNTED, 0) | (dict(drafting.counts) if drafting is not None else {})
        did = [f"{number} {name}" for name, number in counts.items() if number and name not in _UNTOLD]
        return mine or thoughts is None, Report(", ".join(did) or "nothing to do", counts)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def current(self, head: str, relation: str | None = None) -> list[Thought]:
        """What holds of a head now, one for each relation, in order of first telling; white space and case do not
        count. [] for a head of which nothing is known."""
        with self.host.lock:
            self._catch_up()
            found, rows = self._of(head, relation)
            holding = rows[found.holds[rows]]
            records = self._records(holding)
            groups: dict[int, list[int]] = {}
            order = np.lexsort((found.rows["position"][holding], found.rows["at"][holding]))
            for row in holding[order].tolist():
                groups.setdefault(int(found.rows["group"][row]), []).append(row)
            unions = self._records(found.union[holding][found.union[holding] >= 0])
            thoughts = (together(found, rows, records, unions) for rows in groups.values())
            return [one for one in thoughts if one is not None and key(one.head) == key(head)]

    def history(self, head: str, relation: str | None = None) -> list[Thought]:
        """All that was said of a head, by one relation or by any, and not taken back, in the order in which it was
        told."""
        with self.host.lock:
            self._catch_up()
            found, rows = self._of(head, relation)
            said = self._told(found, rows)
            of, by = key(head), None if relation is None else key(relation)
            return [one for one in said if key(one.head) == of and by in (None, key(one.relation))]

    def naming(self, tail: str) -> list[Thought]:
        """All that was said of others with this tail, as `history` has it; white space and case do not count."""
        with self.host.lock:
            self._catch_up()
            found, wanted = self._valid, key(plain_text(tail, "tail"))
            said = self._told(found, np.flatnonzero(found.rows["tail"] == digest(wanted)))
            return [one for one in said if wanted in map(key, one.tails)]

    def _told(self, found: Validity, rows: NDArray[np.intp]) -> list[Thought]:
        """What the records say whose rows these are and count, in the order of telling."""
        rows = rows[found.counts[rows]]
        rows = rows[np.lexsort((found.rows["position"][rows], found.rows["at"][rows]))]
        records = self._records(np.concatenate([rows, found.ender[rows][found.ender[rows] >= 0]]))
        by_record: dict[int, list[int]] = {}
        for row in rows.tolist():
            by_record.setdefault(int(found.rows["position"][row]), []).append(row)
        said = (told(found, rows, records) for rows in by_record.values())
        return [one for one in said if one is not None]

    def heads(self, limit: int = 100) -> list[tuple[str, int]]:
        """Of whom something holds now, and how much: most first."""
        with self.host.lock:
            self._catch_up()
            found = self._valid
            holding = np.flatnonzero(found.holds)
            heads, first, counts = np.unique(found.rows["head"][holding], return_index=True, return_counts=True)
            order = np.lexsort((heads, -counts))[: whole_number(limit, "limit")]
            records = self._records(holding[first[order]])
            said = [records.get(int(found.rows["position"][row])) for row in holding[first[order]]]
            named = [(statement_of(record), int(n)) for record, n in zip(said, counts[order], strict=True) if record]
            return [(statement.head, n) for statement, n in named if statement is not None]

    def bucket(self, id: str) -> list[Record]:
        """The thoughts that hold now and share a bucket with this one, itself among them, in the order of writing: what
        the paper would organise together. [] for an id that is no thought with a vector."""
        with self.host.lock:
            self._catch_up()
            records = self.host.ledger.get([plain_text(id, "id")])
            found = self._valid
            positions = np.unique(found.rows["position"][found.shown])
            if not records or not np.isin(positions, records[0].position).any():
                return []
            return self.host.ledger.at(self._near.bucket(records[0].position, positions).tolist())

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Thoughts that hold now, and denials: by their cosine with the cue, and whether it names their head or tail.

        The cue's filters are left to whoever fuses; InvalidInput for a vector that is not the embedder's.
        """
        with self.host.lock:
            self._catch_up()
            found = self._valid
            rows = np.flatnonzero(found.shown | (found.stands & (found.union >= 0)))
            if not len(rows) or k <= 0:
                return []
            shown_by = np.where(found.union[rows] >= 0, found.union[rows], rows)
            positions, of = np.unique(found.rows["position"][shown_by], return_inverse=True)
            boosts = np.zeros((2, len(positions)))
            for part, (name, weight) in zip(boosts, (("head", _HEAD), ("tail", _TAIL)), strict=True):
                part[of[np.isin(found.rows[name][rows], grams(cue.text))]] = weight
            vector = self.host.asked(cue)
            cosines = self._near.best(vector, k, positions, boosts.sum(axis=0))
            if not cosines:
                return []
            chosen = np.searchsorted(positions, list(cosines))
            scored = [(cosines[int(positions[i])], *boosts[:, i].tolist(), int(positions[i])) for i in chosen]
            scored.sort(key=lambda one: (-sum(one[:3]), one[3]))
            records = {record.position: record for record in self.host.ledger.at([one[3] for one in scored[:k]])}
            hits = []
            for cosine, head, tail, position in scored[:k]:
                if position in records:
                    parts = {"cosine": cosine, "head": head, "tail": tail}
                    parts = {name: part for name, part in parts.items() if part or name == "cosine"}
                    why = verdict(found, rows[of == np.searchsorted(positions, position)])
                    hits.append(Hit(records[position], sum(parts.values()), parts, why, cue=cue.text))
            return hits

    def outdated(self) -> dict[int, str]:
        """The positions of the turns of which nothing holds any more that was read from them, and why, in words; of
        those whose thoughts ended among the last thousand that did."""
        with self.host.lock:
            self._catch_up()
            found = self._valid
            if self._outdated is None or self._outdated[0] is not found:
                self._outdated = found, self._no_longer(found)
            return self._outdated[1]

    def _no_longer(self, found: Validity) -> dict[int, str]:
        rows, sources = found.rows, self._table.sources
        ended = np.flatnonzero(found.counts & (found.ender >= 0) & (rows["flags"] & NEGATED == 0))
        ended = ended[np.argsort(rows["last"][found.ender[ended]], kind="stable")][-_ENDED:]
        records = self._records(ended)
        said: dict[str, int] = {}
        for row in ended.tolist():
            record = records.get(int(rows["position"][row]))
            said |= {source.record: row for source in record.sources if source.record} if record is not None else {}
        stands = np.isin(sources["position"], rows["position"][found.stands])
        standing = set(sources["source"][stands].tolist())
        turns = self.host.ledger.get([id for id in said if digest(id) not in standing])
        return {turn.position: no_longer(found, said[turn.id]) for turn in turns if turn.state == "live"}

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            self._catch_up()
            found, ledger = self._valid, self.host.ledger
            flags = found.rows["flags"]
            touched = self._progress.waiting(ledger, BY_RULES)
            live = {record.id for record in ledger.get(list(touched.turns)) if record.state == "live"}
            lost = {position for id in touched.turns if id not in live for position in self._table.made_from(id)}
            return {
                "thoughts": len(np.unique(found.rows["position"][found.counts])),
                "current": len(np.unique(found.rows["position"][found.holds])),
                "ended": len(np.unique(found.rows["position"][found.counts & (found.ender >= 0)])),
                "merged": int(((flags & UNION > 0) & (flags & LIVE > 0)).sum()),
                "unread": int(((flags & BARE > 0) & (flags & LIVE > 0)).sum()),
                "heads": len(np.unique(found.rows["head"][found.holds])),
                "waiting": len(live),
                "sourceless": [
                    record.id
                    for record in ledger.at(sorted(lost))
                    if (record.state == "live" or put_aside(record)) and not is_union(record)
                ],
            }

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self, head: str, relation: str | None) -> tuple[Validity, NDArray[np.intp]]:
        found = self._valid
        if relation is None:
            return found, np.flatnonzero(found.rows["head"] == digest(key(plain_text(head, "head"))))
        group = self._table.group_of(plain_text(head, "head"), plain_text(relation, "relation"))
        return found, np.flatnonzero(found.rows["group"] == group)

    def _records(self, rows: NDArray[np.intp]) -> dict[int, Record]:
        positions = np.unique(self._table.rows["position"][rows])
        return {record.position: record for record in self.host.ledger.at(positions.tolist())}
