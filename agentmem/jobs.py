"""Jobs: work for later, done at least once, by whichever process takes it; never lost and never silent.

A job is `waiting` until a worker takes it on a lease. A worker that dies lets its lease run out, and the job is taken
again. One that fails waits twice as long each time, and after the last attempt is `dead`: it stays, with its error, to
be seen and retried by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from agentmem.models.calls import Calls
from agentmem.values import Json

if TYPE_CHECKING:
    from agentmem.ledger import ScopedLedger

__all__ = ["ATTEMPTS", "LEASE", "Bookkeeping", "Job", "JobState", "Jobs", "calls_of", "leave"]

JobState: TypeAlias = Literal["waiting", "taken", "done", "dead"]
LEASE = timedelta(minutes=5)
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Job:
    """`due` is when it may be taken: after a pause when waiting, when the lease ends when taken."""

    id: str
    kind: str
    payload: Mapping[str, Json]
    state: JobState
    attempts: int
    due: datetime
    worker: str | None
    error: str | None


class Jobs(Protocol):
    """The jobs of one scope. Safe to use from several threads and processes."""

    def put(self, kind: str, payload: Mapping[str, Json], *, due: datetime | None = None) -> str:
        """Leave a job; its id. It may be taken at once, or from `due` on. InvalidInput for what JSON cannot hold."""
        ...

    def take(self, worker: str, *, kinds: Sequence[str] | None = None, lease: timedelta = LEASE) -> Job | None:
        """The job that has been due longest, held until the lease ends; None when none is due."""
        ...

    def renew(self, id: str, worker: str, lease: timedelta = LEASE) -> bool:
        """Hold a job for so long from now: its worker is at it still. False as in `done`."""
        ...

    def done(self, id: str, worker: str) -> bool:
        """False when the lease had run out and another worker holds the job by now: its result counts, not this one."""
        ...

    def failed(self, id: str, worker: str, error: str, *, attempts: int = ATTEMPTS) -> bool:
        """Wait and try again, or after so many attempts be dead. False as in `done`."""
        ...

    def postpone(self, id: str, worker: str, error: str, until: datetime) -> bool:
        """Wait until then, and count no attempt: what it needs is not there, which is no fault of its own. False as in
        `done`."""
        ...

    def retry(self, id: str) -> None:
        """Give a dead job its attempts back. InvalidInput when there is none of this id."""
        ...

    def listed(self, *states: JobState) -> list[Job]:
        """The jobs in these states (none given: in all), the one due first first."""
        ...

    def counts(self) -> dict[str, int]:
        """How many there are in each state."""
        ...


@runtime_checkable
class Bookkeeping(Protocol):
    """A scoped ledger that also keeps what is to be done and what was spent."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def calls(self) -> Calls: ...


def calls_of(ledger: ScopedLedger) -> Calls | None:
    """What asking models took there; None where the ledger keeps no account."""
    return ledger.calls if isinstance(ledger, Bookkeeping) else None


def leave(jobs: Jobs, kind: str, payload: Mapping[str, Json] | None = None) -> str | None:
    """Leave a job, unless the same waits already; its id, or None. Two processes that do so at once may leave it twice,
    which is twice the work and not twice the result."""
    payload = payload or {}
    if any(job.kind == kind and job.payload == payload for job in jobs.listed("waiting")):
        return None
    return jobs.put(kind, payload)
