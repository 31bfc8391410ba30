"""What the ledger protocol does not tell and a doctor must know, read from the tables of a SQL ledger.

The only place of the doctor that names tables. It reads; whatever is repaired is repaired through the protocol.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Select, cast, select

from agentmem.jobs import Job
from agentmem.records import Scope
from agentmem_stores.sql.jobs import SqlJobs
from agentmem_stores.sql.ledger import SqlLedger
from agentmem_stores.sql.schema import TO_RECLAIM, cursors, embedders, key_of, records, scopes, vectors

__all__ = ["Tables"]


class Tables:
    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def _column(self, query: Select[Any]) -> list[Any]:
        with self._ledger.reading() as connection:
            return list(connection.scalars(query))

    def scopes(self) -> list[Scope]:
        """Every scope that was ever written to, by name."""
        return [Scope(path) for path in self._column(select(scopes.c.path).order_by(scopes.c.path))]

    def embedders(self) -> list[str]:
        """The embedders in the order in which they made their first vector anywhere in this ledger."""
        return self._column(select(embedders.c.name).order_by(embedders.c.id))

    def orphans(self, scope: Scope, embedder: str, limit: int) -> list[int]:
        """Positions, ascending, at which there is a vector of this embedder and no record in any state."""
        key = cast(vectors.c.scope_id, BigInteger) * key_of(1, 0) + vectors.c.position
        record = select(records.c.key).where(records.c.key == key)
        here = (
            select(vectors.c.position)
            .join(scopes, scopes.c.id == vectors.c.scope_id)
            .join(embedders, embedders.c.id == vectors.c.embedder_id)
            .where(scopes.c.path == str(scope), embedders.c.name == embedder, ~record.exists())
        )
        return self._column(here.order_by(vectors.c.position).limit(limit))

    def unreclaimed(self) -> bool:
        """Whether the space of erased words has still to be given back."""
        return bool(self._column(select(cursors.c.seq).where(TO_RECLAIM)))

    def dead_jobs(self, scope: Scope) -> list[Job]:
        return SqlJobs(self._ledger, scope).listed("dead")
