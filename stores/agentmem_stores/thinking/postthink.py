"""Post-think: what was said since the last time is read for facts, beside and never before the answers.

How far it has come stands in the journal, in the cause of a `think` entry: to undo the step is to have its turns read
again. A turn that was edited, forgotten, undone or brought back since is read again too, and what it no longer says
goes to the trash. A turn whose reading failed for good is told by an `unread` entry in its own history, and one that
waits for review by a tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from agentmem.ledger import Draft, Reader
from agentmem.records import Change, Record, Source
from agentmem.suspicion import REVIEW, REVIEWED
from agentmem.undo import stands
from agentmem.values import Json
from agentmem_stores.projection import experienced
from agentmem_stores.thinking.by_rule import Extracted
from agentmem_stores.thinking.organise import Drafting
from agentmem_stores.thinking.reading import Reading, Thoughts
from agentmem_stores.thinking.statements import (
    KIND,
    SUPERSEDED,
    UNJUDGED,
    UNSOURCED,
    Statement,
    confirmed,
    digest,
    is_union,
    key,
    put_aside,
    sentence,
    statement_of,
    without,
)
from agentmem_stores.thinking.validity import NEGATED, UNION, derive

__all__ = ["BY_RULES", "Progress", "Waiting", "confirm", "revise"]

THINK: Final = "think"
UNREAD: Final = "unread"
BY_RULES: Final = 10_000  # turns that one run reads: it is one step, which is held in memory
_READS: Final = frozenset({"text", "speaker", "role", "kind", "state", "at"})
_WINDOW: Final = 1_000  # changes read at once
_FIRST_WINDOW: Final = 16  # the last entry stands near the end: 1,000 changes take 100 ms to read
_CAUSE = re.compile(r"thought about up to change (\d{1,18})")


@dataclass
class Waiting:
    """Turns to read, by id, each with the `seq` of its first change; the changes after `begun` and up to `until` are
    accounted for."""

    begun: int
    turns: dict[str, int]
    until: int
    more: bool  # there are others after `until`


class Progress:
    """How far reading has come, as the journal has it: read once, and followed from then on."""

    def __init__(self) -> None:
        self._followed = 0
        self._until = 0
        self._idle = 0  # up to here there is nothing to read since `_until`

    def until(self, reader: Reader) -> int:
        """The `seq` up to which all that was said is thought about; 0 at first."""
        anew = not self._followed
        while not anew and (changes := reader.changes(after=self._followed, limit=_WINDOW)):
            self._followed = changes[-1].seq
            anew = any(change.verb == THINK or change.undoes is not None for change in changes)
        if anew:
            self._followed, self._idle = reader.head(), 0
            self._until = _noted(reader)
        return self._until

    def waiting(self, reader: Reader, most: int) -> Waiting:
        """What was touched since, of what might be a turn; no more than `most`."""
        begun = self.until(reader)
        after, turns = max(begun, self._idle), dict[str, int]()
        while changes := reader.changes(after=after, limit=_WINDOW):
            touched = [change.record_id for change in changes]
            thoughts = {record.id for record in reader.get(touched) if not experienced(record)}
            for change in changes:
                if change.record_id not in thoughts and change.record_id not in turns and _matters(change):
                    if len(turns) == most:
                        return Waiting(begun, turns, after, True)
                    turns[change.record_id] = change.seq
                after = change.seq
        if not turns:
            self._idle = after
        return Waiting(begun, turns, after, False)


def _noted(reader: Reader) -> int:
    before: int | None = None
    window = _FIRST_WINDOW
    while changes := reader.changes(before=before, newest_first=True, limit=window):
        before, window = changes[-1].seq, min(2 * window, _WINDOW)
        for change in changes:
            said = _CAUSE.fullmatch(change.cause) if change.verb == THINK else None
            if said and int(said[1]) < change.seq and stands(reader, change.step):
                return int(said[1])
    return 0


def _matters(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None or after is None or _READS & {*before, *after}:
        return True
    return (REVIEWED in _tags(before)) != (REVIEWED in _tags(after))


def _tags(fields: Mapping[str, Any]) -> list[Any]:
    tags = fields.get("tags")
    return tags if isinstance(tags, list) else []


def revise(drafting: Drafting, thoughts: Thoughts) -> None:
    """Draft what was read, into the thoughts as they stand."""
    last: Record | None = None
    for id, reading in thoughts.turns.items():
        [turn] = drafting.get([id])
        mine = [
            record
            for record in drafting.at(drafting.table.made_from(id))
            if not is_union(record) and any(s.record == id for s in record.sources)
        ]
        if turn is None or turn.state != "live" or not experienced(turn):
            for record in mine:
                _withdraw(drafting, record, id)
            continue
        if turn.text != reading.text:
            continue  # edited since it was read: a change of its own, which is read the next time
        turn = last = _reviewed(drafting, turn, reading.held)
        facts = reading.facts
        if facts is None:
            if thoughts.until is not None:  # else its history says so already
                drafting.drafts.append(Draft(UNREAD, turn.id, {}, {}, turn))
            drafting.counts["unread"] += 1
            continue
        said = [Statement.of(fact.head, fact.relation, fact.tail, fact.negated) for fact in facts]
        sources = [
            Source(record=turn.id, span=fact.span, extra={"quote": turn.text[slice(*fact.span)]}) for fact in facts
        ]
        for record in mine:
            _check(drafting, record, turn, reading.words, dict(zip(map(_same, said), sources, strict=True)))
        for statement, fact, source in zip(said, facts, sources, strict=True):
            _insert(drafting, thoughts, turn, statement, source, _told(fact, turn, reading))
    if last is not None and thoughts.until is not None:
        drafting.drafts.append(Draft(THINK, last.id, {}, {}, last))


def _reviewed(drafting: Drafting, turn: Record, held: str) -> Record:
    """The turn as it stands then: waiting for a person, or no longer when an edit took away why it did."""
    if held:
        drafting.counts["review"] += 1
        meta = {**turn.meta, REVIEW: held}
        drafting.alter("review", turn, tags=tuple(sorted({*turn.tags, REVIEW})), meta=meta)
    elif REVIEW in turn.meta and REVIEWED not in turn.tags:
        tags = tuple(tag for tag in turn.tags if tag != REVIEW)
        drafting.alter("review", turn, tags=tags, meta=without(turn.meta, [REVIEW]))
    [now] = drafting.get([turn.id])
    return now or turn


def _told(fact: Extracted, turn: Record, reading: Reading) -> dict[str, Json]:
    """What a thought has in its `meta` beside what it says: all that a model told of it, and of whom and where it was
    heard. Nothing of what the rules read."""
    if not reading.by:
        return {}
    place = None if turn.place is None else turn.place.id or list(turn.place.coordinates or ())
    told: dict[str, Json] = {
        "confidence": fact.confidence,
        "when": fact.when,
        "where": fact.where,
        "said_by": turn.speaker,
        "place": place,  # where it was told, which need not be where it is
        "by": reading.by,
        "prompt": reading.prompt,
    }
    return {name: value for name, value in told.items() if value is not None}


def _same(said: Statement) -> tuple[str, ...]:
    """What two statements of the same have in common."""
    return key(said.head), key(said.relation), str(said.negated), *sorted(key(tail) for tail in said.tails)


def _check(
    drafting: Drafting, record: Record, turn: Record, words: str, said: Mapping[tuple[str, ...], Source]
) -> None:
    """Hold a thought against the turn it was made from, which may have been edited: against the words of it that are
    read."""
    [source, *_] = (source for source in record.sources if source.record == turn.id)
    quote = source.extra.get("quote")  # none where a person named the source: then it stands
    statement = statement_of(record)
    now = said.get(_same(statement)) if statement else None
    if isinstance(quote, str) and now is None:
        start = words.find(quote)
        if start < 0:
            _withdraw(drafting, record, turn.id)
            return
        now = replace(source, span=(start, start + len(quote)))
    if record.state == "forgotten":
        if record.meta.get(UNSOURCED) is True:
            drafting.alter("restore", record, state="live", meta=without(record.meta, [UNSOURCED]))
            drafting.counts["restored"] += 1
    elif isinstance(quote, str) and now != source:
        drafting.alter("source", record, sources=tuple(now if one == source else one for one in record.sources if now))


def _withdraw(drafting: Drafting, record: Record, id: str) -> None:
    """Take a source away from a thought: it goes to the trash, unless it has others that stand."""
    rest = tuple(source for source in record.sources if source.record != id)
    others = drafting.get([source.record for source in rest if source.record is not None])
    if any(source.file for source in rest) or any(one.state == "live" for one in others if one is not None):
        [turn] = drafting.get([id])
        if turn is not None and turn.state == "live":  # it stands, and says something else
            drafting.alter("source", record, sources=rest)
    elif record.state == "live" or put_aside(record):
        meta = {**without(record.meta, [SUPERSEDED]), UNSOURCED: True}
        drafting.alter("forget", record, state="forgotten", replaced_by=(), meta=meta)
        drafting.counts["trashed"] += 1


def _insert(
    drafting: Drafting, thoughts: Thoughts, turn: Record, said: Statement, source: Source, told: dict[str, Json]
) -> None:
    """A thought of its own, unless the turn has it already, or it stands: then the turn confirms it."""
    table = drafting.table
    group = table.group_of(said.head, said.relation)
    rows = table.around(group)
    alike = (rows["group"] == group) & (rows["tail"] == digest(key(said.tails[0])))
    alike &= ((rows["flags"] & NEGATED > 0) == said.negated) & (rows["flags"] & UNION == 0)
    if np.isin(rows["position"][alike], table.made_from(turn.id)).any():
        drafting.counts["unchanged"] += 1
        return
    found = derive(rows, table.updates)
    standing = np.flatnonzero(alike & found.stands)
    standing = standing[np.argsort(rows["last"][standing], kind="stable")]
    known = drafting.at(rows["position"][standing[-1:]])
    if known and known[0].at <= turn.at:
        shown_by = found.union[standing[-1]]
        unions = drafting.at(rows["position"][[shown_by]]) if shown_by >= 0 else []
        confirm(drafting, known[0], unions, [source], turn.at)
        drafting.counts["confirmed"] += 1
        return
    id = thoughts.id_of(turn.id, *_same(said))
    meta = {**said.meta(), **told}
    ballot = thoughts.ballot
    if told and not said.negated and (ballot is None or id not in ballot.votes or id in ballot.waits):
        meta[UNJUDGED] = True
    new = Record.create(sentence(said), scope=turn.scope, id=id, kind=KIND, at=turn.at, meta=meta, sources=[source])
    drafting.add("add", new)
    drafting.counts["inserted"] += 1


def confirm(
    drafting: Drafting, record: Record, unions: Sequence[Record], sources: Sequence[Source], at: datetime
) -> None:
    """Note that a thought was said again, and in the merges that show it."""
    meta: dict[str, Json] = dict(record.meta)
    if at > confirmed(record):
        meta["confirmed"] = at.isoformat()
    drafting.alter("source", record, sources=_with(record, sources), meta=meta)
    for union in unions:
        drafting.alter("source", union, sources=_with(union, sources))


def _with(record: Record, sources: Sequence[Source]) -> tuple[Source, ...]:
    return (*record.sources, *(source for source in sources if source not in record.sources))
