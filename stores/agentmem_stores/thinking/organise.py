"""Forget and merge, as Think-in-Memory has them (Liu et al. 2023, arXiv 2311.08719): the drafts that put aside what no
longer holds, and make one record of what is said of one head by one relation.

What is written is a function of all that was said: the order in which it was organised does not matter, and doing it
again writes nothing. The paper organises within a bucket of its hash table; groups of one head and relation reach
thoughts in other buckets too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import verbs
from agentmem.errors import LedgerError
from agentmem.ledger import Draft, Reader
from agentmem.records import Record, Source
from agentmem.values import Json
from agentmem_stores.thinking.statements import (
    KIND,
    MOST,
    SUPERSEDED,
    Statement,
    confirmed,
    digest,
    key,
    merged_id,
    sentence,
    statement_of,
    without,
)
from agentmem_stores.thinking.validity import ASIDE, LIVE, UNION, Table, Validity, derive

__all__ = ["Drafting", "organise"]

_SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")
_PLANNED: Final = 1 << 62  # positions of records that are drafted and not yet written: later than all that are


class Drafting:
    """Drafts of one step, and the scope as it stands with them. Within a transaction."""

    def __init__(self, reader: Reader, table: Table) -> None:
        self.drafts: list[Draft] = []
        self.counts: Counter[str] = Counter()
        self._reader = reader
        self._table = table
        self._now: dict[int, Record] = {}  # by position
        self._places: dict[str, int | None] = {}  # by id; None for one that is not here
        self._fresh: dict[int, Record] = {}  # drafted, and not yet in the table

    @property
    def table(self) -> Table:
        """The thoughts as the drafts leave them."""
        if self._fresh:
            self._table.put(list(self._fresh.items()))
            self._fresh = {}
        return self._table

    def at(self, positions: Iterable[int]) -> list[Record]:
        """The records at these positions, as the drafts leave them, in the order asked; LedgerError for none there."""
        wanted = [int(position) for position in positions]
        self._know(self._reader.at([position for position in wanted if position not in self._now]))
        if any(position not in self._now for position in wanted):
            raise LedgerError(
                "what is kept of the thoughts is not of this ledger", way_out="Run `agentmem reindex thoughts`."
            )
        return [self._now[position] for position in wanted]

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        """The records with these ids, as the drafts leave them; None for one that is not here."""
        unknown = [id for id in ids if id not in self._places]
        self._places |= dict.fromkeys(unknown)
        self._know(self._reader.get(unknown))
        places = [self._places[id] for id in ids]
        return [None if place is None else self._now[place] for place in places]

    def _know(self, records: Iterable[Record]) -> None:
        for record in records:
            self._now.setdefault(record.position, record)
            self._places[record.id] = record.position

    def add(self, verb: str, record: Record) -> None:
        # Not fresh: what a merge makes has its id from what it says, and may have been here before.
        self.drafts.append(Draft(verb, record.id, None, record.to_json(), record))
        self._places[record.id] = _PLANNED + len(self.drafts)
        self._stands(record)

    def alter(self, verb: str, record: Record, **values: Any) -> bool:
        """Whether there was anything to alter."""
        draft = verbs.alter(verb, record, **values)
        if draft is None or draft.record is None:
            return False
        self.drafts.append(draft)
        self._stands(draft.record)
        return True

    def _stands(self, record: Record) -> None:
        position = record.position or self._places[record.id]
        assert position is not None
        self._now[position] = self._fresh[position] = record


class _Chunk(NamedTuple):
    """What one record should show: a row of each member, in order of first telling; `partly`: one of them holds with a
    part of its tails only."""

    members: NDArray[np.intp]
    partly: bool


def organise(drafting: Drafting, *, forget: bool = True, merge: bool = True) -> None:
    """Put aside what ended, bring back what holds again, merge what belongs together; each in the drafts' counts."""
    found = derive(drafting.table.rows, drafting.table.updates)
    rows, flags = found.rows, found.rows["flags"]
    if forget:
        _supersede(drafting, found)
    chunks, settled = _chunks(found) if merge else ([], found.whole)
    if not merge:
        alone = found.stands & (flags & ASIDE > 0) & (found.union < 0)
        _restored(drafting, drafting.at(np.unique(rows["position"][alone])))
    planned = _planned(drafting, found, chunks)
    made: set[str] = set()
    instead: dict[int, list[str]] = {}  # what takes the place of an older merge: its digest → ids
    for chunk, records, union in planned:
        shown = _restored(drafting, records) if union is None else _merged(drafting, records, union)
        made.update(shown)
        for by in set(rows["by"][chunk.members].tolist()):
            instead.setdefault(by, []).extend(shown)
    stale = (flags & UNION > 0) & (flags & LIVE > 0) & ~settled
    for digested, record in zip(rows["id"][stale].tolist(), drafting.at(rows["position"][stale]), strict=True):
        if record.id not in made:
            drafting.alter("merge", record, state="replaced", replaced_by=tuple(instead.get(digested, ())))


def _planned(
    drafting: Drafting, found: Validity, chunks: Sequence[_Chunk]
) -> list[tuple[_Chunk, list[Record], Record | None]]:
    """For each chunk its records, and the one in place of them; None when they show themselves."""
    rows = found.rows
    positions = rows["position"]
    drafting.at(np.concatenate([positions[chunk.members] for chunk in chunks]) if chunks else [])
    order = np.argsort(positions, kind="stable")
    planned = []
    for chunk in chunks:
        records, union = drafting.at(positions[chunk.members]), None
        if len(records) > 1 or chunk.partly:
            starts, ends = (np.searchsorted(positions, positions[chunk.members], side, sorter=order) for side in _SIDES)
            theirs = np.concatenate([order[start:end] for start, end in zip(starts, ends, strict=True)])
            union = _union(records, set(rows["tail"][theirs[found.holds[theirs]]].tolist()))
        planned.append((chunk, records, union))
    drafting.get([union.id for _, _, union in planned if union is not None])  # read at once
    return planned


def _supersede(drafting: Drafting, found: Validity) -> None:
    rows = found.rows
    # A record of several tails goes when all of them have ended.
    kept = np.unique(rows["position"][found.stands])
    ended = found.counts & (found.ender >= 0) & (rows["flags"] & LIVE > 0) & ~np.isin(rows["position"], kept)
    position, first = np.unique(rows["position"][ended], return_index=True)
    by = rows["position"][found.ender[np.flatnonzero(ended)[first]]]
    for record, ender in zip(drafting.at(position), drafting.at(by), strict=True):
        # Not `replaced_by`, which says that the other holds the same words: to erase either would erase both.
        meta = {**record.meta, SUPERSEDED: ender.id}
        drafting.counts["forgotten"] += drafting.alter("supersede", record, state="replaced", replaced_by=(), meta=meta)


def _chunks(found: Validity) -> tuple[list[_Chunk], NDArray[np.bool_]]:
    """What one record should show and none does; and bool[rows], the merges that show just what they should."""
    rows, settled = found.rows, np.zeros(len(found.rows), np.bool_)
    standing = np.flatnonzero(found.stands)
    standing = standing[np.unique(rows["position"][standing], return_index=True)[1]]  # one row a record
    denial = ~found.holds[standing]  # shown by itself
    group = rows["group"][standing]
    order = np.lexsort((rows["position"][standing], rows["at"][standing], group, denial))
    members, group, denial = standing[order], group[order], denial[order]
    opens = denial.copy()
    opens[:1] = True
    opens[1:] |= group[1:] != group[:-1]
    begins = np.maximum.accumulate(np.where(opens, np.arange(len(opens)), 0))
    starts = np.flatnonzero((np.arange(len(opens)) - begins) % MOST == 0)
    ends = np.append(starts[1:], len(opens))[: len(starts)]
    ended = found.counts & (found.ender >= 0)
    partly = ~denial & np.isin(rows["position"][members], rows["position"][ended])
    done = (ends - starts == 1) & (rows["flags"][members[starts]] & LIVE > 0) & ~partly[starts]

    # How many records each merge shows.
    shown = np.unique(np.stack([found.union, rows["position"]])[:, found.union >= 0], axis=1)[0]
    size = np.bincount(shown, minlength=len(rows))
    chunks = []
    for start, end in zip(starts[~done], ends[~done], strict=True):
        by = np.unique(found.union[members[start:end]])
        some = bool(partly[start:end].any())
        if (end - start > 1 or some) and len(by) == 1 and by[0] >= 0 and size[by[0]] == end - start:
            settled[by[0]] = True
        else:
            chunks.append(_Chunk(members[start:end], some))
    return chunks, settled


def _restored(drafting: Drafting, records: Sequence[Record]) -> list[str]:
    for record in records:
        meta = without(record.meta, [SUPERSEDED])
        drafting.counts["restored"] += drafting.alter("restore", record, state="live", replaced_by=(), meta=meta)
    return [record.id for record in records]


def _merged(drafting: Drafting, records: Sequence[Record], union: Record) -> list[str]:
    """The one in place of these."""
    [known] = drafting.get([union.id])
    if known is None:
        drafting.add("merge", union)
    else:
        again = {"sources": union.sources, "at": union.at, "tags": union.tags}
        drafting.alter("merge", known, state="live", replaced_by=(), **again)
    for record in records:
        meta = without(record.meta, [SUPERSEDED])
        drafting.alter("merge", record, state="replaced", replaced_by=(union.id,), meta=meta)
    drafting.counts["merged"] += 1
    return [union.id]


def _union(records: Sequence[Record], holding: Collection[int]) -> Record | None:
    """What says what these say, in order of first telling, with those of their tails that hold (digests)."""
    said = [statement for record in records if (statement := statement_of(record)) is not None]
    if len({(key(one.head), key(one.relation)) for one in said}) > 1:
        return None  # two groups that share a digest
    tails: dict[str, str] = {}
    for statement in said:
        for tail in statement.tails:
            if digest(key(tail)) in holding:
                tails.setdefault(key(tail), tail)
    whole = Statement(said[0].head, said[0].relation, tuple(tails.values()))
    text = sentence(whole)
    meta: dict[str, Json] = {**whole.meta(), "tail": list(whole.tails)}
    told = [source for record in records for source in record.sources]
    # Those it was made of are sources too: to erase one is to erase what repeats its words.
    made_of = [Source(record=record.id) for record in records]
    return Record.create(
        text,
        scope=records[0].scope,
        id=merged_id(text, meta),
        kind=KIND,
        at=max(confirmed(record) for record in records),
        meta=meta,
        sources=[source for i, source in enumerate([*told, *made_of]) if source not in [*told, *made_of][:i]],
        tags={tag for record in records for tag in record.tags},
        strength=max(record.strength for record in records),
        pinned=any(record.pinned for record in records),
    )
