"""Jobs (see `agentmem.jobs`) as rows of the ledger. Taking locks the row it finds and skips those that others have
locked, so two workers never hold the same job, and where the database has row locks they do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select, update

from agentmem.errors import InvalidInput
from agentmem.jobs import ATTEMPTS, LEASE, Job, JobState
from agentmem.records import Scope
from agentmem.values import Json, new_id, now, plain_json, plain_text, storable
from agentmem_stores.sql.schema import NO_SCOPE, dump, from_micros, jobs, parse, to_micros

if TYPE_CHECKING:
    from agentmem_stores.sql.ledger import SqlLedger

__all__ = ["SqlJobs"]

FIRST_PAUSE = timedelta(seconds=2)  # before the second attempt; doubled before each further one


class SqlJobs:
    """The jobs of one scope."""

    def __init__(self, ledger: SqlLedger, scope: Scope) -> None:
        self._ledger = ledger
        self._scope = scope
        self._writer = ledger.jobs_writer

    def put(self, kind: str, payload: Mapping[str, Json], *, due: datetime | None = None) -> str:
        """Leave a job; its id. It may be taken at once, or from `due` on. InvalidInput for what JSON cannot hold."""
        plain_text(kind, "kind")
        plain_json(payload, "payload")
        id = new_id()
        scope_id = self._ledger.made(self._scope)

        def run(connection: Connection) -> None:
            connection.execute(
                insert(jobs).values(
                    id=id,
                    scope_id=scope_id,
                    kind=kind,
                    payload=dump(payload),
                    state="waiting",
                    attempts=0,
                    due=to_micros(due or now()),
                )
            )

        self._writer.run(run)
        return id

    def take(self, worker: str, *, kinds: Sequence[str] | None = None, lease: timedelta = LEASE) -> Job | None:
        """The job that has been due longest, held until the lease ends; None when none is due."""

        def run(connection: Connection) -> Job | None:
            at = now()
            due = and_(jobs.c.scope_id == self._scope_id(connection), jobs.c.due <= to_micros(at))
            # A taken job whose lease ran out is due again: its worker died or hangs.
            ready = select(jobs.c.id).where(due, or_(jobs.c.state == "waiting", jobs.c.state == "taken"))
            if kinds is not None:
                ready = ready.where(jobs.c.kind.in_(kinds))
            id = connection.scalar(ready.order_by(jobs.c.due, jobs.c.id).limit(1).with_for_update(skip_locked=True))
            if id is None:
                return None
            taken = (
                update(jobs)
                .where(jobs.c.id == id)
                .values(state="taken", worker=worker, attempts=jobs.c.attempts + 1, due=to_micros(at + lease))
                .returning(*jobs.c)
            )
            return _job(connection.execute(taken).one())

        return self._writer.run(run)

    def renew(self, id: str, worker: str, lease: timedelta = LEASE) -> bool:
        """Hold a job for so long from now: its worker is at it still. False as in `done`."""

        def run(connection: Connection) -> bool:
            held = update(jobs).where(self._held(connection, id, worker)).values(due=to_micros(now() + lease))
            return connection.execute(held).rowcount > 0

        return self._writer.run(run)

    def done(self, id: str, worker: str) -> bool:
        """False when the lease had run out and another worker holds the job by now: its result counts, not this one."""

        def run(connection: Connection) -> bool:
            settled = (
                update(jobs).where(self._held(connection, id, worker)).values(state="done", error=None, worker=None)
            )
            return connection.execute(settled).rowcount > 0

        return self._writer.run(run)

    def failed(self, id: str, worker: str, error: str, *, attempts: int = ATTEMPTS) -> bool:
        """Wait and try again, or after so many attempts be dead. False as in `done`.

        `error` is kept for people to read: what no database holds of it is replaced.
        """
        said = storable(error)

        def run(connection: Connection) -> bool:
            held = select(jobs.c.attempts).where(self._held(connection, id, worker))
            tried = connection.scalar(held.with_for_update())  # its lease may run out, and another worker be waiting
            if tried is None:
                return False
            dead = tried >= attempts
            due = now() + FIRST_PAUSE * 2 ** (tried - 1)
            state = "dead" if dead else "waiting"
            connection.execute(
                update(jobs).where(jobs.c.id == id).values(state=state, worker=None, error=said, due=to_micros(due))
            )
            return True

        return self._writer.run(run)

    def postpone(self, id: str, worker: str, error: str, until: datetime) -> bool:
        """Wait until then, and count no attempt. False as in `done`."""
        said = storable(error)

        def run(connection: Connection) -> bool:
            waiting = (
                update(jobs)
                .where(self._held(connection, id, worker))
                .values(state="waiting", worker=None, error=said, due=to_micros(until), attempts=jobs.c.attempts - 1)
            )
            return connection.execute(waiting).rowcount > 0

        return self._writer.run(run)

    def retry(self, id: str) -> None:
        """Give a dead job its attempts back."""

        def run(connection: Connection) -> bool:
            dead = and_(jobs.c.id == id, jobs.c.scope_id == self._scope_id(connection), jobs.c.state == "dead")
            revived = update(jobs).where(dead).values(state="waiting", attempts=0, due=to_micros(now()))
            return connection.execute(revived).rowcount > 0

        if not self._writer.run(run):
            raise InvalidInput(f"there is no dead job {id!r} in this scope")

    def listed(self, *states: JobState) -> list[Job]:
        """The jobs in these states (none given: in all), the one due first first."""
        with self._ledger.reading() as connection:
            query = select(jobs).where(jobs.c.scope_id == self._scope_id(connection))
            if states:
                query = query.where(jobs.c.state.in_(states))
            return [_job(row) for row in connection.execute(query.order_by(jobs.c.due, jobs.c.id))]

    def counts(self) -> dict[str, int]:
        with self._ledger.reading() as connection:
            here = jobs.c.scope_id == self._scope_id(connection)
            rows = connection.execute(select(jobs.c.state, func.count()).where(here).group_by(jobs.c.state))
            return {state: n for state, n in rows}  # noqa: C416  # rows, not pairs

    def _scope_id(self, connection: Connection) -> int:
        ids = self._ledger.ids_of(connection, self._scope)
        return NO_SCOPE if ids is None else ids[0]

    def _held(self, connection: Connection, id: str, worker: str) -> ColumnElement[bool]:
        here = jobs.c.scope_id == self._scope_id(connection)
        return and_(here, jobs.c.id == id, jobs.c.worker == worker, jobs.c.state == "taken")


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        payload=parse(row.payload),
        state=cast(JobState, row.state),
        attempts=row.attempts,
        due=from_micros(row.due),
        worker=row.worker,
        error=row.error,
    )
