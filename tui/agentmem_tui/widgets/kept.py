"""What a list has read of its records: a bounded number, whatever the length of the list."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from agentmem.records import Record

__all__ = ["KeptRecords"]

_MOST: Final = 1_000  # records


class KeptRecords:
    """Records by position; those looked at longest ago go first. A position that was asked for and holds none is gone.

    What may have changed is stale: it is still shown, so that a list does not flicker, and is read again.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[int, Record | None] = OrderedDict()
        self._stale: set[int] = set()

    def __len__(self) -> int:
        return len(self._records)

    def get(self, position: int) -> Record | None:
        return self._records.get(position)

    def is_gone(self, position: int) -> bool:
        return position in self._records and self._records[position] is None

    def to_read(self, positions: Sequence[int]) -> list[int]:
        """Those of them that were not read, or are stale. The others are looked at by this."""
        wanted = []
        for position in positions:
            if position in self._records:
                self._records.move_to_end(position)
            if position not in self._records or position in self._stale:
                wanted.append(position)
        return wanted

    def keep(self, asked: Sequence[int], records: Iterable[Record], *, stale: bool, needed: int) -> None:
        """What a read of the positions `asked` gave; `stale` if it may have changed meanwhile. Room is made for as many
        as are `needed` at once, or reading some would push out others without end."""
        found = {record.position: record for record in records}
        for position in asked:
            self._records[position] = found.get(position)
            self._records.move_to_end(position)
        (self._stale.update if stale else self._stale.difference_update)(asked)
        while len(self._records) > max(_MOST, needed + len(asked)):
            self._stale.discard(self._records.popitem(last=False)[0])

    def outdate(self, positions: Iterable[int] | None = None) -> None:
        """These may have changed; or all."""
        self._stale.update(self._records if positions is None else self._records.keys() & set(positions))
