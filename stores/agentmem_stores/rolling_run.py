"""One run over a scope's conversations: what of each is taken into its summary, and the records that makes.

What a record holds that others made from, and the order of versions, is told in `rolling_summaries`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from agentmem import verbs
from agentmem.errors import AgentMemError, BadOutput, NoModel
from agentmem.ledger import Delta, Draft
from agentmem.records import Record, Source
from agentmem.store import Host, Models
from agentmem.values import Json
from agentmem_stores.chunking import print_of
from agentmem_stores.conversations import Rows
from agentmem_stores.projection import experienced
from agentmem_stores.rolling import PIECE, Passage, RecurrentSummarizer, RollingMemory
from agentmem_stores.summaries import mark, or_by_hash

__all__ = ["SOURCES", "Done", "Job", "Made", "Run", "print_between", "rolls", "told"]

log = logging.getLogger("agentmem")

KIND: Final = "summary"
BY_MODEL: Final = 200  # records that one run takes in; a long one counts as several
BY_EXTRACT: Final = 1_000
SOURCES: Final = 64  # of one summary
_TURN: Final = 20_000  # characters of a record that are taken in: what is longer is a document, and not said in a talk
_EXPECTED: Final = 60  # characters around a text as it is shown: date, name, quotes
# In a summary's meta: between which positions it took in all there was, the print of that, and that the store put it
# away.
ROLLING, SINCE, UNTIL, OF, WITHDRAWN = "rolling", "since", "until", "of", "withdrawn"


class Made(NamedTuple):
    """What is known of a summary that is live, or that somebody forgot."""

    live: bool
    since: int
    until: int
    of: str

    @classmethod
    def from_record(cls, record: Record) -> Made | None:
        """None for a record that is none of those. What a person wrote into its meta is borne with."""
        meta = record.meta
        if not rolls(record) or record.state == "replaced":
            return None
        if record.state != "live" and meta.get(WITHDRAWN) is True:
            return None
        return cls(record.state == "live", *told(record))


@dataclass(frozen=True)
class Job:
    """A conversation that goes on: its `rows`, those from `start` on not taken in yet; the summary that it goes on
    from, None for a new one; those that are to go; and after which position the summary began."""

    session: str
    rows: Rows
    start: int
    base: Record | None
    away: list[Record]
    since: int


@dataclass
class _Part:
    """A summary as it was (None: there was none), what it takes in, and the memory after that."""

    record: Record | None
    memory: RollingMemory
    turns: list[Record] = field(default_factory=list)
    sources: int = 0


@dataclass(frozen=True)
class Done:
    """A conversation that was taken further, before that is written."""

    job: Job
    parts: list[_Part]

    def disturbed(self, news: Delta) -> bool:
        """Whether something happened meanwhile to what this was made of, or another process took it in."""
        job = self.job
        mine = {record.position for record in (*job.away, *([job.base] if job.base is not None else []))}
        said = {record.position: mark(record) for part in self.parts for record in part.turns}
        if not {*mine, *said}.isdisjoint(news.gone):
            return True
        for record in news.records:
            if record.position in mine or (record.session == job.session and Made.from_record(record) is not None):
                return True
            if record.position in said and not _says(record, job.session, said[record.position]):
                return True
        return False

    def drafts(self) -> Iterator[Draft]:
        job = self.job
        drafts = [verbs.alter("forget", r, state="forgotten", meta={**r.meta, WITHDRAWN: True}) for r in job.away]
        made: list[Record] = []
        for part in self.parts:
            made.append(self._record(part, made[-1] if made else None))
        for n, (part, record) in enumerate(zip(self.parts, made, strict=True), 1):
            after = made[n] if n < len(made) else None
            if after is None:
                state: dict[str, Any] = {"state": "live", "replaced_by": ()}
            else:
                state = {"state": "replaced", "replaced_by": (after.id,)}
            if part.record is None:
                drafts.append(verbs.add(replace(record, **state), fresh=True))
                continue
            verb = "replace" if after is not None else "edit" if part.record.state == "live" else "restore"
            fields = {name: getattr(record, name) for name in ("text", "at", "meta", "sources")}
            drafts.append(verbs.alter(verb, part.record, **fields, **state))
        yield from (draft for draft in drafts if draft is not None)

    def _record(self, part: _Part, before: Record | None) -> Record:
        """The summary after a part; `before` is the one whose place it takes."""
        if part.record is not None and not part.turns:
            return part.record
        old = part.record if part.record is not None else before
        memory, until = part.memory, part.turns[-1].position
        meta: dict[str, Json] = {
            **(old.meta if old is not None else {}),
            ROLLING: True,
            "sentences": list(memory.sentences),
            SINCE: self.job.since,
            UNTIL: until,
            OF: print_between(self.job.rows, self.job.since, until),
            "by": memory.by,
            "prompt": memory.prompt,
            "changes": [edit.to_json() for edit in memory.edits],
            "kinds": list(memory.kinds),
        }
        meta.pop(WITHDRAWN, None)  # somebody brought it back
        if not memory.prompt:
            del meta["prompt"]
        sources = [Source(record=turn.id, span=(0, len(turn.text))) for turn in part.turns]
        # When it begins: what was said later in the conversation, and what changed, stands behind it in a prompt.
        at = min(turn.at for turn in part.turns)
        if part.record is not None:
            every = (*part.record.sources, *sources)
            return replace(part.record, text=memory.text, at=min(at, part.record.at), meta=meta, sources=every)
        kept: dict[str, Any] = {}
        if before is not None:
            kept = {name: getattr(before, name) for name in ("tags", "pinned", "strength")}
            sources.insert(0, Source(record=before.id))
            at = min(at, before.at)
        scope = part.turns[0].scope
        return Record.create(
            memory.text, scope=scope, kind=KIND, session=self.job.session, at=at, meta=meta, sources=sources, **kept
        )


class Run:
    """One run's work: how much is left of it, and what came of it."""

    def __init__(self, host: Host, models: Models | None, words: int) -> None:
        self._host = host
        self._model = RecurrentSummarizer(models, words=words) if models else None
        self._extract = RecurrentSummarizer(words=words, embed=or_by_hash(host.embed))
        self._left = BY_MODEL if models else BY_EXTRACT
        self.fault: AgentMemError | None = None
        self.counts = dict.fromkeys(("by a model", "unusable", "cut", "refused", "ignored"), 0)

    def taken_in(self, job: Job) -> Done:
        base, at = job.base, job.start
        memory = RollingMemory() if base is None else _memory(base)
        parts = [_Part(base, memory, sources=0 if base is None else len(base.sources))]
        while at < len(job.rows) and self._left > 0 and self.fault is None:
            if parts[-1].sources >= SOURCES:
                parts.append(_Part(None, memory, sources=1))
            batch = self._batch(job, at, min(SOURCES - parts[-1].sources, self._left))
            after = self._step(memory, batch) if batch else None
            if after is None:
                break
            memory = parts[-1].memory = after
            parts[-1].turns += batch
            parts[-1].sources += len(batch)
            at += len(batch)
            self._left -= sum(1 + len(record.text[:_TURN]) // PIECE for record in batch)
        return Done(job, [part for part in parts if part.record is not None or part.turns])

    def _batch(self, job: Job, at: int, most: int) -> list[Record]:
        """The records from there on, as many as a model is shown at once; none when they are not what they were."""
        rows = job.rows[at : at + most]
        here = {record.position: record for record in self._host.ledger.at(rows["position"].tolist())}
        batch: list[Record] = []
        size = 0
        for position, said in zip(rows["position"].tolist(), rows["mark"].tolist(), strict=True):
            record = here.get(position)
            if record is None or not _says(record, job.session, said):
                break
            size += len(record.text) + _EXPECTED
            if batch and self._model is not None and size > PIECE:
                break
            batch.append(record)
        return batch

    def _step(self, memory: RollingMemory, batch: Sequence[Record]) -> RollingMemory | None:
        """The memory after these; None when it could not be made now."""
        said = [Passage(record.text[:_TURN], record.speaker, record.at) for record in batch]
        kinds, cause = {KIND, *(record.kind for record in batch)}, f"{batch[0].id} to {batch[-1].id}"
        after: RollingMemory | None = None
        try:
            if self._model is not None:
                try:
                    after = self._model.step(memory, said, kinds=kinds, cause=cause)
                except NoModel as error:
                    log.info("no model is shown %s: %s", cause, error)
                except BadOutput as error:
                    log.info("%s is taken in by extract: %s", cause, error)
                    self.counts["unusable"] += 1
            if after is not None and after.sentences:
                self.counts["by a model"] += len(batch)
            else:  # a record is not empty, and it is what says how far the conversation was taken in
                after = self._extract.step(memory, said, kinds=kinds)
        except AgentMemError as error:
            self.fault = error
            return None
        for name in ("cut", "refused", "ignored"):
            self.counts[name] += getattr(after, name)
        return after


def rolls(record: Record) -> bool:
    return record.kind == KIND and record.meta.get(ROLLING) is True and record.session is not None


def told(record: Record) -> tuple[int, int, str]:
    """A summary's `since`, `until` and `of`; of one that tells none, such as fit nothing."""
    since, until, of = (record.meta.get(name) for name in (SINCE, UNTIL, OF))
    if type(since) is int and type(until) is int and isinstance(of, str) and 0 <= since <= until < 2**63:
        return since, until, of
    return 0, 0, ""


def print_between(rows: Rows, since: int, until: int) -> str:
    first, last = np.searchsorted(rows["position"], [since, until], side="right")
    return print_of(rows["mark"][first:last])


def _says(record: Record, session: str, said: int) -> bool:
    """Whether a record stands in the session, and says what has that mark."""
    return record.state == "live" and record.session == session and experienced(record) and mark(record) == said


def _memory(record: Record) -> RollingMemory:
    """What a summary says as it stands, whoever wrote it."""
    known, kinds = ([one for one in _listed(record.meta.get(name)) if one] for name in ("sentences", "kinds"))
    return RollingMemory.of(record.text, known, kinds)


def _listed(value: Json) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []
