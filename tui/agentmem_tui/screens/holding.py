"""What others write is held until a person approves it: it bears the tag `review`, and no context quotes it."""

from __future__ import annotations

import asyncio
from typing import Final

from agentmem.aio import AsyncMemory
from agentmem.errors import RecordNotFound
from agentmem.filters import Filter
from agentmem.records import Change
from agentmem.suspicion import REVIEW, REVIEWED

__all__ = ["Hold"]

_PAGE: Final = 1_000  # changes that are looked at in one step
_CAUSE: Final = "held until it is approved"


class Hold:
    """The hold of one scope, off at first. Call `look` whenever something was written."""

    def __init__(self, memory: AsyncMemory) -> None:
        self.on = False
        self._memory = memory
        self._since = 0  # the last change that was looked at

    async def begin(self) -> None:
        """Hold what is written from now on."""
        self._since = await self._memory.head()
        self.on = True

    def end(self) -> None:
        """Hold nothing more. What waits goes on waiting."""
        self.on = False

    async def look(self) -> None:
        """While it is on, let the records wait that others than this memory's own actor made. AgentMemError: what was
        not held then is when this is called again."""
        while self.on:
            changes = await asyncio.to_thread(self._memory.sync.host.ledger.changes, after=self._since, limit=_PAGE)
            if not changes:
                return
            await self._held([change.record_id for change in changes if self._others(change)])
            self._since = changes[-1].seq

    async def _held(self, ids: list[str]) -> None:
        while wanted := await asyncio.to_thread(self._free, ids):
            try:
                with self._memory.step(_CAUSE):
                    await self._memory.tag(*wanted, add=[REVIEW], remove=[REVIEWED])
            except RecordNotFound:  # one of them was taken back this moment: the others are here still
                continue
            return

    def _free(self, ids: list[str]) -> list[str]:
        """Those of them that are here and do not wait."""
        found = self._memory.sync.host.ledger.get(list(dict.fromkeys(ids)))
        return [record.id for record in found if record.state == "live" and REVIEW not in record.tags]

    def _others(self, change: Change) -> bool:
        """Whether by it somebody else made a record."""
        return change.before is None and change.after is not None and change.actor != self._memory.actor

    async def waiting(self) -> set[str]:
        """The ids of all that waits here, whoever lets it wait."""
        positions = await self._memory.listing(Filter(tags=(REVIEW,)))
        return {record.id for record in await self._memory.listed(positions)}

    async def approve(self, id: str) -> None:
        """Let a record into contexts, as `agentmem review --accept` does."""
        await self._memory.tag(id, add=[REVIEWED], remove=[REVIEW])
