"""What a person is shown of thoughts: what holds of somebody together, what was said once, and why it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agentmem.records import Record, Source
from agentmem_stores.thinking.statements import digest, key, statement_of
from agentmem_stores.thinking.validity import NEGATED, Validity

__all__ = ["Thought", "together", "told", "verdict"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Records = Mapping[int, Record]  # by position


@dataclass(frozen=True, slots=True)
class Thought:
    """What was said of `head`. Of `current`: all that holds by one relation; of `history`: one record's statement.

    It held from `since` until `until` (None: it holds still, or nothing says when it ended), when `superseded_by`, a
    record's id, was said. `negated`: it says that this does not hold, or no longer. `record` is the one that says it.
    """

    head: str
    relation: str
    tails: tuple[str, ...]
    sources: tuple[Source, ...]
    since: datetime
    until: datetime | None
    superseded_by: str | None
    record: Record
    negated: bool = False

    @property
    def tail(self) -> str:
        return ", ".join(self.tails)


def together(found: Validity, rows: Sequence[int], records: Records, unions: Records) -> Thought | None:
    """What these rows of one group say, which hold and are in order of telling; shown by the merge that shows the last,
    else by the record that says the last. None when the ledger has none of them any more."""
    position = found.rows["position"]
    placed = [records[p] for p in dict.fromkeys(position[list(rows)].tolist()) if p in records]
    said = [(record, statement) for record in placed if (statement := statement_of(record)) is not None]
    if not said:
        return None
    holding = set(found.rows["tail"][list(rows)].tolist())
    tails: dict[str, str] = {}
    sources: list[Source] = []
    for record, statement in said:
        for tail in statement.tails:
            if digest(key(tail)) in holding:
                tails.setdefault(key(tail), tail)
        sources += [source for source in record.sources if source not in sources]
    (last, _), (_, first), union = said[-1], said[0], int(found.union[rows[-1]])
    shown = unions.get(int(position[union]), last) if union >= 0 else last
    since = _moment(found.rows["at"][list(rows)].min())
    return Thought(first.head, first.relation, tuple(tails.values()), tuple(sources), since, None, None, shown)


def told(found: Validity, rows: Sequence[int], records: Records) -> Thought | None:
    """What one record says, whose rows these are; None when the ledger has it no more. Of several tails it ended when
    the last did."""
    record = records.get(int(found.rows["position"][rows[0]]))
    said = statement_of(record) if record is not None else None
    if record is None or said is None:
        return None
    enders = found.ender[list(rows)]
    until, by = None, None
    if (enders >= 0).all():
        last = enders[np.lexsort((found.rows["position"][enders], found.rows["last"][enders]))[-1]]
        until = _moment(found.rows["last"][last])
        ender = records.get(int(found.rows["position"][last]))
        by = ender.id if ender is not None else None
    return Thought(said.head, said.relation, said.tails, record.sources, record.at, until, by, record, said.negated)


def verdict(found: Validity, rows: NDArray[np.intp]) -> str:
    """Why the record whose rows these are is shown. Days are in UTC."""
    said = rows[found.stands[rows]]
    if not len(said):
        return "a thought by its words alone"
    day = _moment(found.rows["at"][said].min()).date().isoformat()
    if not found.holds[said].any():
        return f"denied since {day}"
    ended = (found.rows["group"] == found.rows["group"][said[0]]) & found.counts & (found.ender >= 0)
    older = len(np.unique(found.rows["position"][ended & (found.rows["flags"] & NEGATED == 0)]))
    return f"current since {day}" + (f"; {older} older value{'s' * (older > 1)}" if older else "")


def no_longer(found: Validity, row: int) -> str:
    """Why the turn that said this is out of date. Days are in UTC."""
    return f"holds no longer, since {_moment(found.rows['last'][found.ender[row]]).date().isoformat()}"


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(micros))
