"""Reconciling: what a model read is put beside what is known of the same head, and a model says how they stand.

Code chooses the pairs and acts; the model only votes on those listed, by their numbers. Its votes are kept in the
`meta` of the new statement, by the id of the other, so that what holds is derived from them like from all that was
said (`validity.py`), no pair is asked about twice, and to undo the step is to take them back.

`update`: the later of the two ends the earlier, as with relations that have one tail at a time. `same`: the later
confirms the earlier, and is put aside in its favour. `contradict`: both stay, and the later waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import embedding_text
from agentmem.errors import AgentMemError, BadOutput, ConfigError, EmbeddingError, NoModel, PluginError
from agentmem.recall.pack import quote
from agentmem.records import Record
from agentmem.store import Host, Models
from agentmem.suspicion import REVIEW
from agentmem.values import Json
from agentmem_stores.thinking.organise import Drafting
from agentmem_stores.thinking.postthink import confirm, revise
from agentmem_stores.thinking.reading import Ballot, Thoughts
from agentmem_stores.thinking.statements import JUDGED, KIND, UNJUDGED, UPDATE, confirmed, digest, votes, without
from agentmem_stores.thinking.validity import NEGATED, ONE, OPEN, UNION, Table, Validity, derive

__all__ = ["act", "judged", "undecided"]

ROLE: Final = "judge"
BESIDE: Final = 3  # statements that one new one is put beside: the nearest ones, of what may be thousands of a head
PAIRS: Final = 16  # of a call: their votes take a quarter of an answer's 1,024 tokens
_NEW: Final = 500  # statements of a run: 200 turns give 300 at most, and the rest was left by runs that failed
_KNOWN: Final = 1_000  # statements of a head that are compared: the newest
_LAST: Final = 1 << 62  # stands for the position of what is not written yet
_SHOWN: Final = 500  # characters of a statement
_BY: Final = "judged_by"  # in `meta`: the model and the prompt of the last votes


Rows = NDArray[Any]  # of validity.ROW


class Pair(NamedTuple):
    """A statement that is new here, and one that it is put beside. `kinds`: of all that their words come from."""

    new: Record
    known: Record
    kinds: tuple[str, ...]

    @property
    def in_order(self) -> tuple[Record, Record]:
        return in_order(self.new, self.known)


def in_order(one: Record, other: Record) -> tuple[Record, Record]:
    """The one that was said first, first."""
    first, second = sorted((one, other), key=lambda record: (confirmed(record), record.position or _LAST, record.id))
    return first, second


def undecided(table: Table) -> bool:
    """Whether an earlier run left statements that are still to be put beside others."""
    return bool((table.rows["flags"] & OPEN).any())


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def judged(host: Host, table: Table, cursor: int, thoughts: Thoughts, models: Models) -> Ballot:
    """What the model says of the pairs that `thoughts` would bring up, if they were noted now. Nothing is written."""
    ballot = Ballot()
    with host.ledger.snapshot() as reader:
        now = table.copy()
        now.take_in(reader.changed(cursor))
        drafting = Drafting(reader, now)
        revise(drafting, thoughts)
        pairs = _pairs(drafting, host, ballot)
    pairs.sort(key=lambda pair: pair.kinds)
    for _, alike in groupby(pairs, key=lambda pair: pair.kinds):
        listed = list(alike)
        for start in range(0, len(listed), PAIRS):
            _vote(ballot, listed[start : start + PAIRS], models)
    ballot.more = ballot.more and ballot.asked > 0
    return ballot


def _vote(ballot: Ballot, pairs: Sequence[Pair], models: Models) -> None:
    """Have these pairs voted on; where that cannot be, their new statements wait for the next run."""
    if ballot.fault is not None:
        ballot.waits |= {pair.new.id for pair in pairs}
        return
    from agentmem.models.answers import Votes

    asked = models.prompt(ROLE)
    lines = []
    for number, pair in enumerate(pairs, 1):
        old, new = (f"{one.at:%Y-%m-%d} {quote(one.text[:_SHOWN])}" for one in pair.in_order)
        lines.append(f"[{number}] old: {old}\n    new: {new}")
    try:
        answer = models.structured(
            ROLE,
            Votes,
            asked.fill(pairs="\n".join(lines)),
            kinds=pairs[0].kinds,
            cause=" ".join(dict.fromkeys(id for pair in pairs for id in (pair.new.id, pair.known.id))),
            prompt=asked.id,
        )
    except AgentMemError as error:
        ballot.waits |= {pair.new.id for pair in pairs}
        if isinstance(error, BadOutput):
            ballot.faults.append(f"{len(pairs)} pairs of statements could not be judged: {error}")
        elif not isinstance(error, NoModel | ConfigError | PluginError):
            ballot.fault = error
            ballot.faults.append(f"the judge cannot be asked: {error}")
        return
    given = {vote.pair: vote.vote for vote in answer.value.votes}
    ballot.ignored += sum(number > len(pairs) for number in given)
    ballot.asked += len(pairs)
    for number, pair in enumerate(pairs, 1):
        # One that says nothing of a pair sees nothing in it: "if in doubt, choose unrelated".
        ballot.votes[pair.new.id][pair.known.id] = given.get(number, "unrelated")
        ballot.by[pair.new.id] = f"{answer.model} {asked.id}".strip()


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pairs(drafting: Drafting, host: Host, ballot: Ballot) -> list[Pair]:
    """The pairs of new statements and others that hold, and that nobody has judged yet. What was said of the same
    statement when another turn made it counts for this one too: it goes to the ballot at once."""
    table = drafting.table
    rows, found = table.rows, derive(table.rows, table.updates)
    opened = np.unique(rows["position"][rows["flags"] & OPEN > 0])
    ballot.more, opened = len(opened) > _NEW, opened[:_NEW]
    new = drafting.at(opened)
    near = _Nearness(host, new)
    pairs: list[Pair] = []
    taken: set[frozenset[str]] = set()
    for position, record in zip(opened.tolist(), new, strict=True):
        said = ballot.votes[record.id] = {}
        known = drafting.at(_candidates(rows, found, position))
        verdicts = _said_elsewhere(drafting, rows, position)
        fresh = []
        for one in known:
            if one.id in votes(record) or record.id in votes(one) or {record.id, one.id} in taken:
                continue
            if one.id in verdicts:
                said[one.id] = verdicts[one.id]
            else:
                fresh.append(one)
        for one in near.nearest(record, fresh, BESIDE - len(votes(record))):
            taken.add(frozenset((record.id, one.id)))
            pairs.append(Pair(record, one, _kinds(drafting, (record, one))))
    return pairs


def _candidates(rows: Rows, found: Validity, position: int) -> list[int]:
    """The statements that hold of the same head, and may concern this one: by another relation, or another tail of one
    that has several. The newest; none, when it does not hold itself."""
    mine = np.flatnonzero(rows["position"] == position)[0]
    if not found.holds[mine]:
        return []
    beside = found.holds & (rows["head"] == rows["head"][mine]) & (rows["position"] != position)
    beside &= (rows["flags"] & (UNION | NEGATED) == 0) & (
        (rows["group"] != rows["group"][mine]) | (rows["flags"] & ONE == 0)
    )
    newest: list[int] = np.unique(rows["position"][beside])[-_KNOWN:].tolist()
    return newest


def _said_elsewhere(drafting: Drafting, rows: Rows, position: int) -> dict[str, str]:
    """What was said of the same statement when another turn made it."""
    mine = rows[rows["position"] == position][0]
    same = (rows["group"] == mine["group"]) & (rows["value"] == mine["value"]) & (rows["position"] != position)
    same &= rows["flags"] & (UNION | NEGATED) == 0
    verdicts: dict[str, str] = {}
    for record in drafting.at(np.unique(rows["position"][same])):
        verdicts |= votes(record)
    return verdicts


def _kinds(drafting: Drafting, records: Iterable[Record]) -> tuple[str, ...]:
    ids = [source.record for record in records for source in record.sources if source.record is not None]
    return tuple(sorted({KIND, *(one.kind for one in drafting.get(ids) if one is not None)}))


class _Nearness:
    """Which statements are nearest to a new one: by their vectors, else by the words that they share."""

    def __init__(self, host: Host, new: Sequence[Record]) -> None:
        self._host = host
        self._new = {record.id: record for record in new}
        self._vectors: dict[str, NDArray[np.float32]] | None = None

    def nearest(self, record: Record, known: Sequence[Record], most: int) -> list[Record]:
        if len(known) <= most:
            return list(known)
        rows = self._rows(known)
        if rows is not None and self._embedded:
            near = rows @ self._embedded[record.id]
        else:
            words = _words(record)
            near = np.array([len(words & _words(one)) / len(words | _words(one)) for one in known])
        return [known[i] for i in np.lexsort((-np.arange(len(known)), -near))[: max(most, 0)].tolist()]

    def _rows(self, known: Sequence[Record]) -> NDArray[np.float32] | None:
        """Their vectors; None where one has none."""
        rows = self._host.vectors([0 if one.id in self._new else one.position for one in known])
        for row, one in zip(rows, known, strict=True):
            if one.id in self._embedded:
                row[:] = self._embedded[one.id]
        return rows if rows.shape[1] and rows.any(axis=1).all() else None

    @property
    def _embedded(self) -> dict[str, NDArray[np.float32]]:
        """The new ones' vectors: the ledger has none of what is not written yet."""
        if self._vectors is None:
            try:
                new = self._new.values()
                rows = self._host.embed([embedding_text(record) for record in new], {record.kind for record in new})
                self._vectors = dict(zip(self._new, rows, strict=True))
            except EmbeddingError:
                self._vectors = {}
        return self._vectors


def _words(record: Record) -> set[str]:
    return set(record.text[:_SHOWN].casefold().split())


# ── acting ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def act(drafting: Drafting, ballot: Ballot) -> None:
    """Draft what the votes bring about, among the thoughts as they stand now."""
    folded: dict[str, str] = {}  # of what is put aside: in whose favour
    for id, said in ballot.votes.items():
        for other in (other for other, vote in said.items() if vote == "same"):
            _fold(drafting, folded, _last(folded, id), _last(folded, other))
    for id, said in ballot.votes.items():
        [record] = drafting.get([id])
        if record is None:
            continue
        _note(drafting, record, said, ballot.by.get(id, ""), open=id in ballot.waits)
        for other, vote in said.items():
            holder, beside = drafting.get([_last(folded, id), _last(folded, other)])
            if holder is None or beside is None or holder.id == beside.id:
                continue
            if vote == UPDATE and (holder.id, beside.id) != (id, other):
                _note(drafting, holder, {beside.id: vote}, ballot.by.get(id, ""), open=True)
            elif vote == "contradict":
                first, second = in_order(holder, beside)
                meta: dict[str, Json] = {**second.meta, "contradicts": first.id}
                drafting.counts["contradicting"] += drafting.alter(
                    "review", second, tags=tuple(sorted({*second.tags, REVIEW})), meta=meta
                )


def _last(folded: dict[str, str], id: str) -> str:
    while id in folded:
        id = folded[id]
    return id


def _note(drafting: Drafting, record: Record, said: dict[str, str], by: str, *, open: bool) -> None:
    """Keep the votes with the statement; unless it stays `open`, it waits for no others."""
    meta = dict(record.meta) if open else without(record.meta, [UNJUDGED])
    if said:
        meta[JUDGED] = {**votes(record), **said}
        meta |= {_BY: by} if by else {}
    drafting.alter("judge", record, meta=meta)


def _fold(drafting: Drafting, folded: dict[str, str], one: str, other: str) -> None:
    """Put the later of two that say the same aside, in favour of the earlier, which it confirms."""
    records = [record for record in drafting.get([one, other]) if record is not None]
    if len(records) < 2 or one == other:
        return
    table = drafting.table
    found = derive(table.rows, table.updates)
    rows = [_holding(table.rows, found, record) for record in records]
    if any(row < 0 for row in rows):
        return  # one has ended, or was put away, since
    first, second = in_order(*records)
    union = found.union[rows[records.index(first)]]
    unions = drafting.at(table.rows["position"][[union]]) if union >= 0 else []
    confirm(drafting, first, unions, second.sources, confirmed(second))
    drafting.alter("merge", second, state="replaced", replaced_by=(first.id,), meta=without(second.meta, [UNJUDGED]))
    drafting.counts["confirmed"] += 1
    folded[second.id] = first.id


def _holding(rows: Rows, found: Validity, record: Record) -> int:
    """A row of the record that holds; -1 when none does."""
    held: list[int] = np.flatnonzero(found.holds & (rows["id"] == digest(record.id))).tolist()
    return held[0] if held else -1
