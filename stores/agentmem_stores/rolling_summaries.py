"""`RollingSummaries`: of each conversation one short memory that goes on with it, as a record of kind `summary`.

How far one has come stands in the record itself, with a print of all that it took in, so that whoever undoes a step
has taken that back too. A record names the turns it was made from, 64 at most, and the summary it went on from: the
next 64 turns make another in its place, which has it as its source. So whatever holds words of a turn is among its
descendants, earlier versions included, and erasing a turn erases those. And when a turn was edited, forgotten or
brought back, the conversation goes on from the last summary that had not heard of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Final

import numpy as np

from agentmem.cues import Cue, Hit
from agentmem.errors import AgentMemError
from agentmem.ledger import Delta, Draft, Reader
from agentmem.records import Change, Record
from agentmem.store import Host, Models, Report
from agentmem.values import Json, plain_text, whole_number
from agentmem_stores.conversations import Conversations, Rows
from agentmem_stores.projection import WINDOW, WithoutVectors, experienced, pack, unpack
from agentmem_stores.rolling import WORDS
from agentmem_stores.rolling_run import Done, Job, Made, Run, print_between, rolls, told
from agentmem_stores.summaries import mark

__all__ = ["RollingSummaries"]

log = logging.getLogger("agentmem")

LEAST: Final = 8  # records of a conversation, from which a summary is shorter than it


class RollingSummaries(WithoutVectors):
    """The summaries of a scope's conversations: of each session of `least` records or more, one of up to `words` words.

    A summary is edited as any record is, and the next step goes on from what it says then. One that somebody forgot
    stays away until the conversation goes on, and then begins with what is new. Nothing is done until `consolidate`.
    """

    name: ClassVar[str] = "rolling"

    def __init__(self, host: Host, *, words: int = WORDS, least: int = LEAST) -> None:
        self._words = whole_number(words, "words", 1)
        self._least = whole_number(least, "least", 1)
        super().__init__(host)

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        self._cursor = self._kept = 0
        self._head = -1  # of the journal, when it was last looked at
        self._talks = Conversations()
        self._made: dict[str, dict[int, Made]] = {}  # by session and position
        self._home: dict[int, str] = {}

    def _due(self) -> bool:
        return self._cursor - self._kept >= max(WINDOW, len(self._talks) // 4)

    def _catch_up(self) -> None:
        head = self.host.ledger.head()
        if head != self._head:
            super()._catch_up()
            self._head = head

    def _follow(self, fresh: Sequence[Change], delta: Delta) -> None:
        positions = [*delta.gone, *(record.position for record in delta.records)]
        for position in positions:
            self._put(position, self._home.get(position, ""), None)
        lived: list[tuple[int, str, int]] = []
        for record in delta.records:
            if record.session is None:
                continue
            if record.state == "live" and experienced(record):
                lived.append((record.position, record.session, mark(record)))
            self._put(record.position, record.session, Made.from_record(record))
        self._talks.alter(positions, lived)

    def _put(self, position: int, session: str, made: Made | None) -> None:
        if made is not None:
            self._home[position] = session
            self._made.setdefault(session, {})[position] = made
        elif self._home.pop(position, None) is not None:
            del self._made[session][position]
            if not self._made[session]:
                del self._made[session]

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self) -> None:
        self._reset()
        try:
            for until, data in self.host.ledger.segments(self.name)[-1:]:
                kept, arrays = unpack(data)
                if kept["stamp"] != self._stamp:
                    raise ValueError("it was kept by another version")
                if until > self.host.ledger.head():
                    raise ValueError("it is of a journal that went further")
                self._talks.restore(kept["sessions"], arrays, until)
                for position, session, live, *others in kept["made"]:
                    since, end, of = others
                    made = Made(bool(live), whole_number(since, "since"), whole_number(end, "until"), str(of))
                    self._put(whole_number(position, "position"), plain_text(session, "session"), made)
                self._cursor = self._kept = until
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.info("%s of %s is derived anew: %s", self.name, self.host.ledger.scope, error)
            self._reset()

    def _keep(self, *, anew: bool = False) -> None:
        names, arrays = self._talks.dump()
        made: list[Json] = [[at, session, *self._made[session][at]] for at, session in self._home.items()]
        if self._put_one(pack({"stamp": self._stamp, "sessions": names, "made": made}, **arrays), anew=anew):
            self._kept = self._cursor

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def of(self, session: str) -> Record | None:
        """The summary of a session as it stands; None when there is none."""
        with self.host.lock:
            self._catch_up()
            live = self._live(plain_text(session, "session"))
            found = self.host.ledger.at(live[-1:])
        return found[0] if found and found[0].state == "live" else None

    def _live(self, session: str) -> list[int]:
        """The positions of the session's live summaries; what counts is the last, which has come furthest."""
        made = self._made.get(session, {})
        return sorted((one for one in made if made[one].live), key=lambda one: (made[one].until, one))

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Nothing: summaries are records, and recall finds them as it finds all others."""
        whole_number(k, "k")
        return []

    def inspect(self) -> dict[str, Json]:
        with self.host.lock:
            return {
                "records": len(self._talks),
                "conversations": sum(len(rows) >= self._least for _, rows in self._talks.sessions()),
                "summaries": sum(one.live for made in self._made.values() for one in made.values()),
                "waiting": sum(len(job.rows) - job.start for job in self._jobs()),
            }

    # ── what is to be done ───────────────────────────────────────────────────────────────────────────────────────

    def _jobs(self) -> list[Job]:
        talks = dict(self._talks.sessions())
        nothing = Conversations().rows
        jobs = (self._job(session, talks.get(session, nothing)) for session in dict.fromkeys([*talks, *self._made]))
        return [job for job in jobs if job is not None]

    def _job(self, session: str, rows: Rows) -> Job | None:
        """None when there is nothing to do."""
        made, live = self._made.get(session, {}), self._live(session)
        if len(live) == 1:
            one = made[live[0]]
            if not (rows["position"][-1:] > one.until).any() and print_between(rows, one.since, one.until) == one.of:
                return None
        records = {record.position: record for record in self.host.ledger.at([*made])} if made else {}
        away = [records[position] for position in live[:-1] if position in records]
        base, since, until = None, 0, 0
        for record in self._back_from(records.get(live[-1]) if live else None):
            found = self._holds(record, rows)
            if found is not None:
                base, (since, until) = record, found
                break
            away += [record] if record.state == "live" else []
        if base is None:  # what somebody forgot is not told again
            since = until = max((self._end(r) for r in records.values() if r.state == "forgotten"), default=0)
        start = int(np.searchsorted(rows["position"], until, side="right"))
        if base is None and len(rows) < self._least:
            start = len(rows)
        return Job(session, rows, start, base, away, since) if away or start < len(rows) else None

    def _back_from(self, record: Record | None) -> Iterator[Record]:
        """A summary, the one it went on from, and so on."""
        met: set[str] = set()
        while record is not None and record.id not in met:
            met.add(record.id)
            yield record
            before = self.host.ledger.get([source.record for source in record.sources[:1] if source.record])
            record = next((one for one in before if rolls(one) and one.state == "replaced"), None)

    def _holds(self, record: Record, rows: Rows) -> tuple[int, int] | None:
        """Between which positions a summary took in what stands there still, and nothing else; None if it does not."""
        since, until, of = told(record)
        if print_between(rows, since, until) == of:
            return since, until
        until = self._end(record)  # in a copy of another ledger the records stand elsewhere
        return (0, until) if not since and print_between(rows, 0, until) == of else None

    def _end(self, record: Record) -> int:
        last = [source.record for source in record.sources if source.record is not None][-1:]
        return next((found.position for found in self.host.ledger.get(last)), told(record)[1])

    # ── doing it ─────────────────────────────────────────────────────────────────────────────────────────────────

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Take in what was said since the last time, in one step, or none: by a model 200 records a run, and 1,000 by
        extract; what waits is told in `waiting`.

        A model that cannot be asked now leaves the rest for the next time. Where its answers cannot be used, or it may
        not be shown what was said, an extract of that is taken in.
        """
        with self.host.lock:
            self._catch_up()
            cursor, jobs = self._cursor, self._jobs()
        if not jobs:
            return Report("nothing to do")
        run = Run(self.host, models, self._words)
        jobs.sort(key=lambda job: int(job.rows["position"][job.start]) if job.start < len(job.rows) else 0)
        done = [run.taken_in(job) for job in jobs]
        written: list[Done] = []

        def plan(reader: Reader) -> Iterator[Draft]:
            nonlocal written
            news = reader.changed(cursor)
            written = [one for one in done if not one.disturbed(news)]
            for one in written:
                yield from one.drafts()

        changes = self.host.write(plan, "summaries of conversations")
        with self.host.lock:
            self._catch_up()
        did = [change.verb for change in changes]
        turns = sum(len(part.turns) for one in written for part in one.parts)
        counts = {
            "written": did.count("add"),
            "renewed": did.count("edit") + did.count("restore"),
            "withdrawn": did.count("forget"),
            "turns": turns,
            "waiting": sum(len(job.rows) - job.start for job in jobs) - turns,
            **run.counts,
        }
        return Report("; ".join(_sentences(counts, run.fault)), counts, fault=run.fault)


def _sentences(counts: dict[str, int], fault: AgentMemError | None) -> Iterator[str]:
    yield f"{counts['turns']} records of conversations taken in, {counts['by a model']} by a model"
    if counts["withdrawn"]:
        yield f"{counts['withdrawn']} summaries of what was said otherwise are gone"
    if counts["unusable"]:
        yield f"{counts['unusable']} answers of the model cannot be used: extracts stand"
    if counts["cut"]:
        yield f"{counts['cut']} sentences were cut, for want of room"
    if fault is not None:
        yield f"no model can be asked: {fault}"
    if counts["waiting"]:
        yield f"{counts['waiting']} records wait"
