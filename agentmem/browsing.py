"""What a memory holds, as it stands: records by id, in lists, in the order of writing; and its journal.

The half of `Memory` that reads and asks nobody: no vector, no store, no model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence

from agentmem import verbs
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.export import ALL_STATES, checked_states, every
from agentmem.filters import ORDERS, Counted, Filter, Listing, Order, listed
from agentmem.ledger import ScopedLedger
from agentmem.records import DEFAULT_SCOPE, Change, Record, State
from agentmem.values import many, plain_text, whole_number

__all__ = ["Browsing"]


class Browsing(ABC):
    """See `Memory`."""

    @property
    @abstractmethod
    def _ledger(self) -> ScopedLedger: ...

    def get(self, id: str) -> Record:
        """The record with this id, in any state."""
        return verbs.required(self._ledger, [id])[0]

    def find(self, ending: str) -> Record:
        """The record whose id is, or alone ends with, this text."""
        if not plain_text(ending, "id"):
            raise InvalidInput("no id was given")
        exact = self._ledger.get([ending])
        if exact:
            return exact[0]
        found = self._ledger.ids_ending(ending)
        if len(found) > 1:
            raise InvalidInput(f"{ending!r} ends more than one id", way_out="Give more of its characters.")
        if not found:
            raise RecordNotFound(f"no memory {ending!r} in this scope", way_out="`agentmem show` lists them.")
        return self.get(found[0])

    def records(self, *, states: Sequence[State] = ("live",)) -> Iterator[Record]:
        """Every record in these states, in the order of writing."""
        return every(lambda: self._ledger, checked_states(states))

    def newest(self, n: int = 10, *, states: Sequence[State] = ("live",)) -> list[Record]:
        """The `n` records written last, newest first."""
        return self._ledger.newest(whole_number(n, "n"), states=checked_states(states))

    def listing(
        self,
        which: str | Filter = "",
        *,
        order: Order = "written",
        descending: bool = True,
        limit: int | None = None,
    ) -> list[int]:
        """The positions of all records that a filter admits, or of the first `limit`, in an order: a list to be read
        page by page, by `listed`.

        `which` is a `Filter`, or one as it is typed: `kind:fact since:7d pin:yes "an exact phrase" word`
        (`agentmem.filters.KEYS`). Records of one rank stand in the order of writing. At 100,000 records 30 to 80 ms.
        """
        given = Filter.parse(which) if isinstance(which, str) else which
        if not isinstance(given, Filter):
            raise InvalidInput(f"a filter must be a text or a Filter, not {type(which).__name__}")
        if order not in ORDERS:
            raise InvalidInput(f"there is no order {order!r:.40}", way_out=f"One of: {', '.join(ORDERS)}.")
        if limit is not None:
            whole_number(limit, "limit")
        ledger = self._ledger
        if isinstance(ledger, Listing):
            return ledger.positions(given, order, descending=bool(descending), limit=limit)
        return listed(every(lambda: ledger, given.states), given, order, descending=bool(descending), limit=limit)

    def listed(self, positions: Sequence[int]) -> list[Record]:
        """The records at these positions, in this order; those that hold none any more are left out."""
        return self._ledger.at([whole_number(one, "a position") for one in many(positions, "positions")])

    def kinds(self) -> list[Counted]:
        """How many records there are of each kind and state, in this scope and those inside it; from the default scope,
        in all."""
        ledger = self._ledger
        if isinstance(ledger, Listing):
            return ledger.kinds(everywhere=ledger.scope == DEFAULT_SCOPE)
        counts = Counter((record.state, record.kind) for record in every(lambda: ledger, ALL_STATES))
        return sorted(Counted(ledger.scope, state, kind, n) for (state, kind), n in counts.items())

    def head(self) -> int:
        """The number of the newest change under this scope's root. Cheap enough to be asked several times a second:
        another number means that something was written, here or by another process."""
        return self._ledger.head()

    def descendants(self, *ids: str) -> list[Record]:
        """The records that were made from these, directly or not."""
        return verbs.descendants(self._ledger, ids)

    def history(self, id: str) -> list[Change]:
        """Every change of one record, oldest first; also of one that an undo took away."""
        changes = self._ledger.changes(record_id=plain_text(id, "id"))
        if not changes:
            raise RecordNotFound(f"no memory {id!r} in this scope")
        return changes

    def log(self, limit: int = 50, *, before: int | None = None, step: int | None = None) -> list[Change]:
        """The newest changes of this scope, newest first; those with `seq < before`, or of one step alone."""
        whole_number(limit, "limit")
        for name, seq in (("before", before), ("step", step)):
            if seq is not None:
                whole_number(seq, name)
        return self._ledger.changes(step=step, before=before, newest_first=True, limit=limit)
