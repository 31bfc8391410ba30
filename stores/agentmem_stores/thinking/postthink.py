"""Post-think: what was said since the last time is read for facts, beside and never before the answers.

How far it has come stands in the journal, in the cause of a `think` entry: to undo the step is to have its turns read
again. A turn that was edited, forgotten, undone or brought back since is read again too, and what it no longer says
goes to the trash. A turn whose reading failed for good is told by an `unread` entry in its own history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from agentmem.errors import AgentMemError, ConfigError, PluginError
from agentmem.ledger import Draft, Reader
from agentmem.records import Change, Record, Source
from agentmem.store import Models
from agentmem.undo import stands
from agentmem.values import Json
from agentmem_stores.projection import experienced
from agentmem_stores.thinking.by_model import Unread, ask
from agentmem_stores.thinking.by_rule import Extracted, extract
from agentmem_stores.thinking.organise import Drafting
from agentmem_stores.thinking.statements import (
    KIND,
    SUPERSEDED,
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

__all__ = ["BY_MODEL", "BY_RULES", "Progress", "Thoughts", "Waiting", "read", "revise"]

THINK: Final = "think"
UNREAD: Final = "unread"
BY_RULES: Final = 10_000  # turns that one run reads: it is one step, which is held in memory
BY_MODEL: Final = 200
_READS: Final = frozenset({"text", "speaker", "role", "kind", "state", "at"})
_BATCH: Final = 100  # turns read from the ledger at once: a model may take a minute for them
_WINDOW: Final = 1_000  # changes read at once
_CAUSE = re.compile(r"thought about up to change (\d{1,18})")


@dataclass
class Waiting:
    """Turns to read, by id, each with the `seq` of its first change; the changes after `begun` and up to `until` are
    accounted for."""

    begun: int
    turns: dict[str, int]
    until: int
    more: bool  # there are others after `until`


class Reading(NamedTuple):
    """A turn's words when they were read ("" for one that is gone), and what they say; None where reading failed for
    good."""

    text: str
    facts: list[Extracted] | None


@dataclass
class Thoughts:
    """What was read, by turn; `faults` are sentences for a person."""

    turns: dict[str, Reading] = field(default_factory=dict)
    refused: int = 0
    until: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def cause(self) -> str:
        return f"thought about up to change {self.until}"


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
    while changes := reader.changes(before=before, newest_first=True, limit=_WINDOW):
        before = changes[-1].seq
        for change in changes:
            said = _CAUSE.fullmatch(change.cause) if change.verb == THINK else None
            if said and int(said[1]) < change.seq and stands(reader, change.step):
                return int(said[1])
    return 0


def _matters(change: Change) -> bool:
    return change.before is None or change.after is None or bool(_READS & {*change.before, *change.after})


def read(reader: Reader, found: Waiting, models: Models | None) -> Thoughts:
    """Read the turns: by the model, if there is one that extracts, else by rules. Nothing is held meanwhile.

    When the model cannot be asked, what was read by then counts, and the rest waits.
    """
    thoughts = Thoughts(until=found.until)
    for start in range(0, len(found.turns), _BATCH):
        ids = list(found.turns)[start : start + _BATCH]
        here = {record.id: record for record in reader.get(ids) if record.state == "live"}
        for id in ids:
            turn = here.get(id)
            if turn is None:
                thoughts.turns[id] = Reading("", [])
                continue
            facts: list[Extracted] | None = None
            try:
                if models is not None:
                    asked = ask(models, turn)
                    facts, thoughts.refused = asked.facts, thoughts.refused + asked.refused
            except Unread as error:
                thoughts.faults.append(str(error))
            except (ConfigError, PluginError):
                models = None  # there is none for this
            except AgentMemError as error:
                thoughts.faults.append(f"the model cannot be asked: {error}")
                thoughts.until = found.turns[id] - 1
                return thoughts
            if models is None:
                # Not what an assistant says of people: it was told, or makes it up for a letter.
                facts = [] if turn.role == "assistant" else extract(turn.text, turn.speaker)
            thoughts.turns[id] = Reading(turn.text, facts)
    return thoughts


def revise(drafting: Drafting, thoughts: Thoughts) -> None:
    """Draft what was read, into the thoughts as they stand."""
    last: Record | None = None
    for id, (text, facts) in thoughts.turns.items():
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
        if turn.text != text:
            continue  # edited since it was read: a change of its own, which is read the next time
        last = turn
        if facts is None:
            drafting.drafts.append(Draft(UNREAD, turn.id, {}, {}, turn))
            drafting.counts["unread"] += 1
            continue
        said = [Statement.of(fact.head, fact.relation, fact.tail, fact.negated) for fact in facts]
        sources = [
            Source(record=turn.id, span=fact.span, extra={"quote": turn.text[slice(*fact.span)]}) for fact in facts
        ]
        for record in mine:
            _check(drafting, record, turn, dict(zip(map(_same, said), sources, strict=True)))
        for statement, source in zip(said, sources, strict=True):
            _insert(drafting, turn, statement, source)
    if last is not None:
        drafting.drafts.append(Draft(THINK, last.id, {}, {}, last))


def _same(said: Statement) -> tuple[str, ...]:
    """What two statements of the same have in common."""
    return key(said.head), key(said.relation), str(said.negated), *sorted(key(tail) for tail in said.tails)


def _check(drafting: Drafting, record: Record, turn: Record, said: Mapping[tuple[str, ...], Source]) -> None:
    """Hold a thought against the turn it was made from, which may have been edited."""
    [source, *_] = (source for source in record.sources if source.record == turn.id)
    quote = source.extra.get("quote")  # none where a person named the source: then it stands
    statement = statement_of(record)
    now = said.get(_same(statement)) if statement else None
    if isinstance(quote, str) and now is None:
        start = turn.text.find(quote)
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


def _insert(drafting: Drafting, turn: Record, said: Statement, source: Source) -> None:
    """A thought of its own, unless the turn has it already, or it stands: then the turn confirms it."""
    table = drafting.table
    rows = table.group(table.group_of(said.head, said.relation))
    alike = (rows["tail"] == digest(key(said.tails[0]))) & ((rows["flags"] & NEGATED > 0) == said.negated)
    alike &= rows["flags"] & UNION == 0
    if np.isin(rows["position"][alike], table.made_from(turn.id)).any():
        drafting.counts["unchanged"] += 1
        return
    found = derive(rows)
    standing = np.flatnonzero(alike & found.stands)
    standing = standing[np.argsort(rows["last"][standing], kind="stable")]
    known = drafting.at(rows["position"][standing[-1:]])
    if known and known[0].at <= turn.at:
        [record] = known
        meta: dict[str, Json] = dict(record.meta)
        if turn.at > confirmed(record):
            meta["confirmed"] = turn.at.isoformat()
        drafting.alter("source", record, sources=(*record.sources, source), meta=meta)
        shown_by = found.union[standing[-1]]
        for union in drafting.at(rows["position"][[shown_by]]) if shown_by >= 0 else ():
            drafting.alter("source", union, sources=(*union.sources, source))
        drafting.counts["confirmed"] += 1
        return
    meta = said.meta()
    new = Record.create(sentence(said), scope=turn.scope, kind=KIND, at=turn.at, meta=meta, sources=[source])
    drafting.add("add", new)
    drafting.counts["inserted"] += 1
