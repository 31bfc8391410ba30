"""`RehearsalMemory`: when each memory was used, what is due to be looked at again, and which cannot be found.

A use is a note in the journal: somebody found a hit useful, or said the same again. Need is derived from them
(`agentmem.dynamics`). In idle time what is due is put to the test: a few views of a memory, each of a part of what it
says, and whether the vectors bring the memory back. That is noted too, and one that is found rests longer.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final, NamedTuple

import numpy as np

from agentmem.cues import Cue, Hit
from agentmem.dynamics import SCHEDULES, Schedule, Spacing, Uses, needs
from agentmem.errors import EmbeddingError, InvalidInput
from agentmem.feedback import VERB as FEEDBACK
from agentmem.feedback import Feedback
from agentmem.ledger import Delta, Draft, Reader
from agentmem.models.embedding import withheld
from agentmem.recall.corpus import micros, moment
from agentmem.recall.text import WORD, fold
from agentmem.records import Change, Record
from agentmem.store import Due, Host, Models, Report
from agentmem.values import Json, whole_number
from agentmem.values import moment as checked_moment
from agentmem.values import now as present
from agentmem.verbs import AGAIN
from agentmem_stores.projection import WINDOW, WithoutVectors, experienced, pack, unpack
from agentmem_stores.usage import DAY, Usage

__all__ = ["REHEARSE", "RehearsalMemory", "Visit", "views_of"]

log = logging.getLogger("agentmem")

REHEARSE: Final = "rehearse"  # the verb of a note that a memory was put to the test
NOTES: Final = frozenset({FEEDBACK, AGAIN, REHEARSE})
BUDGET: Final = 32  # memories rehearsed a day: 128 texts embedded
AMONG: Final = 10  # records nearest to a view, among which it has to come back
SAMPLE: Final = 1_000  # records by which words are rare or not
RAREST: Final = 5  # words in a view
LONGEST: Final = 2_000  # characters of a view: more than any embedder reads
NEAR: Final = 64  # records near a cue, of which those that were of use are told
SHOWN: Final = 20  # records that cannot be found, as they are listed
_MOST: Final = np.iinfo("<i2").max  # views


class Visit(NamedTuple):
    """A rehearsal of one record: when (microseconds), and how many of its views brought it back."""

    at: int
    found: int
    of: int

    @staticmethod
    def cause(now: datetime, told: Mapping[int, tuple[int, int]]) -> str:
        """What the journal keeps of a step of rehearsals: by position, how many views brought it back, of how many."""
        return json.dumps({"at": now.isoformat(), "found": {str(place): list(pair) for place, pair in told.items()}})

    @classmethod
    def told(cls, change: Change, position: int) -> Visit:
        """As that change has it. A note without figures, as anybody may write it, says that the record was found."""
        try:
            said = json.loads(change.cause)
            found, of = (whole_number(n, "found") for n in said["found"][str(position)])
            at = micros(checked_moment(said["at"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls(micros(change.at), 1, 1)
        return cls(at, found, of) if found <= of <= _MOST else cls(at, 1, 1)


class RehearsalMemory(WithoutVectors):
    """The uses and rehearsals of a scope's records.

    A record counts as used when it was stored, and when it happened if that was another day; then each time that a hit
    of it was found useful, or the same was said again. What is said of a forgotten record counts once it is restored.

    At most `budget` records are rehearsed a day, those due whose ages `schedule` draws, by `views` views each, 4 at
    most. InvalidInput for numbers that are none.
    """

    name = "rehearsal"
    version: ClassVar[int] = 1

    def __init__(
        self,
        host: Host,
        *,
        spacing: Spacing | None = None,
        schedule: Schedule = SCHEDULES["power"],
        budget: int = BUDGET,
        views: int = 4,
    ) -> None:
        self._spacing = Spacing() if spacing is None else spacing
        self._schedule = schedule
        self._budget = whole_number(budget, "budget")
        self._views = whole_number(views, "views", 1)
        super().__init__(host)

    @property
    def settings(self) -> Json:
        spacing = self._spacing
        days = [one / timedelta(days=1) for one in (spacing.first, spacing.least, spacing.most)]
        return [*days, spacing.growth, spacing.shrink]

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def _due(self) -> bool:
        return self._cursor - self._kept >= max(WINDOW, len(self._usage) // 4)

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        """A fold over all records would go back to the oldest that is restored, undone or fades. Here each record's row
        depends on its own changes alone, so only those rows are derived anew."""
        usage, positions = self._usage, [record.position for record in delta.records]
        usage.drop(delta.gone)
        usage.insert([delta.records[i] for i in np.flatnonzero(usage.places(positions) < 0).tolist()])
        rows = dict(zip((record.id for record in delta.records), usage.places(positions).tolist(), strict=True))
        # Undo took a note back, or brought one or a whole record again.
        anew = {change.record_id for change in fresh if change.undoes is not None and not change.before}
        for record in delta.records:
            usage.stands(record, rows[record.id])
            if record.id in anew:
                usage.blank(record, rows[record.id])
            notes = self._standing(record.id, fresh[-1].seq) if record.id in anew else ()
            for change in notes:
                self._note(change, record.position, rows[record.id])
        known = {record.id: record.position for record in delta.records if record.id not in anew}
        for change in fresh:
            if _is_note(change) and change.record_id in known:
                self._note(change, known[change.record_id], rows[change.record_id])

    def _standing(self, id: str, until: int) -> list[Change]:
        """The record's notes that stand after the change `until`, oldest first. An undo has a change for each one that
        it takes back, so the record's own journal tells."""
        taken_back: set[int] = set()
        found = []
        for change in self.host.ledger.changes(record_id=id, before=until + 1, newest_first=True):
            if change.step not in taken_back:
                if change.undoes is not None:
                    taken_back.add(change.undoes)
                elif _is_note(change):
                    found.append(change)
        return found[::-1]

    def _note(self, change: Change, position: int, place: int) -> None:
        if change.verb == REHEARSE:
            self._usage.visited(place, *Visit.told(change, position))
        elif _is_use(change):
            self._usage.used(position, place, micros(change.at))

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        self._cursor = self._kept = 0
        self._usage = Usage(self._spacing)

    def _load(self) -> None:
        self._reset()
        try:
            for until, data in self.host.ledger.segments(self.name)[-1:]:
                told, arrays = unpack(data)
                if told != self._stamp:
                    raise ValueError("it was kept by another version, or with other settings")
                if until > self.host.ledger.head():
                    raise ValueError("it is of a journal that went further")
                self._usage.restore(arrays, until)
                self._cursor = self._kept = until
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _keep(self, *, anew: bool = False) -> None:
        if self._put_one(pack(self._stamp, **self._usage.dump()), anew=anew):
            self._kept = self._cursor

    # ── what it knows ────────────────────────────────────────────────────────────────────────────────────────────

    def uses(self, positions: Sequence[int], *, noted: bool = False) -> Uses:
        """The uses of the live records at these positions, each named once, in this order; with `noted`, those that the
        journal notes, and not when the record came into being. One that is not live here has none."""
        with self.host.lock:
            return self._usage.uses(positions, noted=noted)

    def held(self) -> tuple[list[Record], Uses]:
        """All live records that were lived, in the order of writing, and their uses: what may fade."""
        records: list[Record] = []
        while batch := self.host.ledger.scan(after=records[-1].position if records else 0, limit=10_000):
            records += batch
        lived = [record for record in records if experienced(record)]
        with self.host.lock:
            self._catch_up()
            return lived, self._usage.uses([record.position for record in lived])

    def due(self, now: datetime, k: int = 10) -> list[Due]:
        """Up to `k` records that are due to be looked at again, the least retained first."""
        at = micros(checked_moment(now, name="now"))
        with self.host.lock:
            self._catch_up()
            waiting = self._usage.due(at)
            order = np.argsort(waiting.retention, kind="stable")[: whole_number(k, "k")]
            told = dict(zip(waiting.positions[order].tolist(), order.tolist(), strict=True))
            records = self.host.ledger.at(list(told))
        rows = [told[record.position] for record in records]
        pairs = zip(records, rows, strict=True)
        return [Due(record, moment(int(waiting.since[i])), float(waiting.retention[i])) for record, i in pairs]

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Of the records near the cue those that were of use before, the most needed first."""
        whole_number(k, "k")
        asked = self.host.asked(cue)
        if asked is None or not asked.any():
            return []
        near = self.host.nearest(asked, NEAR).positions
        used = self.uses(near.tolist(), noted=True)
        counts, needed = used.counts(), needs(used, micros(present() if cue.now is None else cue.now))
        order = [i for i in np.lexsort((near, -needed)).tolist() if counts[i]]
        told = {int(near[i]): (float(needed[i]), int(counts[i])) for i in order[:k]}
        hits = []
        for record in self.host.ledger.at(list(told)):
            score, count = told[record.position]
            said = f"{self.name}: of use {count} time{'' if count == 1 else 's'} before"
            hits.append(Hit(record, score, {self.name: score}, said, cue=cue.text))
        return hits

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            rows = self._usage.rows
            live = rows["live"]
            lost = self._usage.positions[live & (rows["of"] > 0) & (rows["found"] == 0)]
            return {
                "records": int(live.sum()),
                "used": int((live & (rows["used"] > 0)).sum()),
                "uses": int(rows["used"][live].sum()),
                "rehearsed": int((live & (rows["of"] > 0)).sum()),
                "cannot be found": [record.id for record in self.host.ledger.at(lost[-SHOWN:].tolist())],
                "longest interval, days": round(float(rows["interval"][live].max(initial=0)), 2),
                "size": self._usage.size,
            }

    # ── rehearsing ───────────────────────────────────────────────────────────────────────────────────────────────

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Put what is due to the test, and note how it went: one step, or none. Within a day of `now` no more than the
        budget, however often it is called."""
        at = micros(checked_moment(now, name="now"))
        with self.host.lock:
            self._catch_up()
            visited = self._usage.rows["visited"]
            left = self._budget - int(((visited > at - DAY) & (visited <= at)).sum())
            due = self._usage.due(at).positions
            due = due[due <= self.host.reach]  # what has no vector yet cannot come back
            # The newest has age 1. The same journal draws the same.
            chosen = self._schedule.choose(np.arange(len(due), 0, -1), left, np.random.default_rng(self._cursor))
            away = withheld(self.host.embedder)  # what is never sent is found by its words alone
            records = [one for one in self.host.ledger.at(due[np.sort(chosen)].tolist()) if one.kind not in away]
        counts = {"due": len(due), "rehearsed": 0, "found": 0, "lost": 0}
        if not records:
            return Report("nothing to do", counts)
        try:
            told = self._tested(records)
        except EmbeddingError as error:
            return Report(f"{len(due)} due wait for the embedder: {error}", counts)

        def plan(reader: Reader) -> Iterable[Draft]:
            standing = reader.get([record.id for record in records])
            return [Draft(REHEARSE, one.id, {}, {}, one) for one in standing if one.state == "live"]

        self.host.write(plan, Visit.cause(now, told))
        with self.host.lock:
            self._catch_up()
        lost = [record.id for record in records if not told[record.position][0]]
        back = sum(2 * found > of for found, of in told.values())
        said = f"{len(records)} of {len(due)} due rehearsed, {back} came back"
        said += f"; by no view: {', '.join(lost[:SHOWN])}" if lost else ""
        return Report(said, {**counts, "rehearsed": len(records), "found": back, "lost": len(lost)})

    def _tested(self, records: Sequence[Record]) -> dict[int, tuple[int, int]]:
        """By position, how many of its views bring a record back, and of how many."""
        rarity: Counter[str] = Counter()
        for record in self.host.ledger.newest(SAMPLE):
            rarity.update({*_words(record.text[:LONGEST])})
        views = [(record.position, view) for record in records for view in views_of(record, rarity)[: self._views]]
        told = {record.position: (0, 0) for record in records}
        rows = self.host.embed([view for _, view in views], {record.kind for record in records})
        for (position, _), vector in zip(views, rows, strict=True):
            near = self.host.nearest(vector, AMONG).positions if vector.any() else ()
            found, of = told[position]
            told[position] = found + int(position in near), of + 1
        return told


def views_of(record: Record, rarity: Mapping[str, int]) -> list[str]:
    """Up to four unlike views of a record, each a part of it: its rarest words, its first half, its last half, and who
    said it where and when, with its rarest word. `rarity`: how many records hold a folded word."""
    text = record.text
    cut = text.rfind(" ", 0, len(text) // 2 + 1)
    cut = cut if cut > 0 else len(text) // 2
    words = dict.fromkeys(_words(text[: 2 * LONGEST]))
    rarest = sorted(words, key=lambda word: rarity.get(word, 0))[:RAREST]
    place = record.place.id if record.place is not None else ""
    source = (record.speaker or "", place, f"{record.at:%Y-%m-%d}", *rarest[:1])
    views = (" ".join(rarest), text[:cut], text[cut:], " ".join(part for part in source if part))
    return list(dict.fromkeys(view.strip()[:LONGEST] for view in views if view.strip()))


def _words(text: str) -> list[str]:
    return WORD.findall(fold(text))


def _is_note(change: Change) -> bool:
    return change.verb in NOTES and change.undoes is None and not change.erased


def _is_use(change: Change) -> bool:
    if change.verb == AGAIN:
        return True
    try:
        return change.verb == FEEDBACK and Feedback.told(change).useful
    except (InvalidInput, RecursionError):  # a forged note: the journal may come from a stranger
        return False
