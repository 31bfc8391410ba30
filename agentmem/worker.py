"""Doing the jobs of a scope: each held on a lease that is renewed while it is at work, and never lost.

A job that fails is tried again later and in the end lies dead, with its error. One that could not be begun, since no
model can be asked now, waits, and has not failed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeAlias, cast

from agentmem.errors import AgentMemError, BadOutput, BudgetReached, InvalidInput, ModelError, NoModel
from agentmem.jobs import LEASE, Job, leave
from agentmem.memory import Memory
from agentmem.store import Models, Report
from agentmem.values import Json, new_id, now

__all__ = ["TASKS", "Rereading", "Task", "Worked", "Worker"]

log = logging.getLogger("agentmem")
Task: TypeAlias = Callable[[Memory, Mapping[str, Json]], Report]
_PAUSE: Final = timedelta(seconds=30)  # until a model that could not be asked is asked again, unless its server says


class Rereading(Protocol):
    """A store that reads single records again, of which a model's answer could not be used."""

    def reread(self, ids: Sequence[str], models: Models | None) -> Report:
        """BadOutput when it still cannot be used."""
        ...


def _consolidating(*names: str) -> Task:
    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        reports = memory.consolidate(*(name for name in names if name in memory.stores))
        return Report(
            "; ".join(report.summary for report in reports.values()),
            sum((Counter(report.counts) for report in reports.values()), Counter()),
            fault=next((report.fault for report in reports.values() if report.fault is not None), None),
        )

    return task


def _extract(memory: Memory, payload: Mapping[str, Json]) -> Report:
    turns = payload.get("turns")
    if not isinstance(turns, list) or not all(isinstance(id, str) for id in turns):
        raise InvalidInput("the job names no turns")
    thoughts = cast(Rereading, memory.stores["thoughts"])
    return thoughts.reread(cast("list[str]", turns), memory.models if memory.models else None)


TASKS: Final[Mapping[str, Task]] = {
    "think": _consolidating("thoughts"),
    "summarise": _consolidating("rolling", "chunks"),
    "extract": _extract,
}


@dataclass(frozen=True, slots=True)
class Worked:
    """A job and what came of it: `done`, `waits` (nothing failed), or `failed`, with the reason in `told`."""

    job: Job
    outcome: str
    told: str


class Worker:
    """Takes the jobs of a memory's scope. `tasks`: what each kind of job is; other kinds are left to others."""

    def __init__(
        self, memory: Memory, *, tasks: Mapping[str, Task] = TASKS, lease: timedelta = LEASE, name: str | None = None
    ) -> None:
        self._memory = memory
        self._tasks = dict(tasks)
        self._lease = lease
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"

    def run(self, most: int | None = None) -> list[Worked]:
        """Do the jobs that are due, `most` of them at most; what came of each."""
        did: list[Worked] = []
        while most is None or len(did) < most:
            job = self._memory.jobs.take(self.name, kinds=list(self._tasks), lease=self._lease)
            if job is None:
                break
            did.append(self._do(job))
        return did

    def _do(self, job: Job) -> Worked:
        jobs = self._memory.jobs
        try:
            with self._held(job):
                report = self._tasks[job.kind](self._memory, job.payload)
        except (NoModel, BudgetReached, ModelError) as error:
            if isinstance(error, BadOutput) or not (isinstance(error, NoModel | BudgetReached) or error.passing):
                return self._failed(job, error)
            return self._waits(job, error)
        except Exception as error:  # a task is anybody's: its failure is told, and the others go on
            log.info("job %s (%s) failed", job.id, job.kind, exc_info=True)
            return self._failed(job, error)
        except BaseException:  # Ctrl-C: whoever comes next need not wait until the lease ends
            jobs.postpone(job.id, self.name, "interrupted", now())
            raise
        if report.fault is not None:
            return self._waits(job, report.fault)
        jobs.done(job.id, self.name)
        if report.counts.get("waiting"):
            leave(jobs, job.kind, job.payload)
        return Worked(job, "done", report.summary)

    def _waits(self, job: Job, error: AgentMemError) -> Worked:
        wanted = error.wait if isinstance(error, ModelError) else None
        pause = max(_PAUSE, timedelta(seconds=wanted or 0.0))
        self._memory.jobs.postpone(job.id, self.name, str(error), now() + pause)
        return Worked(job, "waits", str(error))

    def _failed(self, job: Job, error: Exception) -> Worked:
        told = str(error) if isinstance(error, AgentMemError) else f"{type(error).__name__}: {error}"
        self._memory.jobs.failed(job.id, self.name, told)
        return Worked(job, "failed", told)

    @contextmanager
    def _held(self, job: Job) -> Iterator[None]:
        """Renew the lease while the job is at work."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._lease.total_seconds() / 3):
                try:
                    if not self._memory.jobs.renew(job.id, self.name, self._lease):
                        return
                except AgentMemError as error:  # it may be tried again in time
                    log.info("the lease of job %s cannot be renewed: %s", job.id, error)

        thread = threading.Thread(target=renew, name="agentmem-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
