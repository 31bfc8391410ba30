"""Jobs: taken once, taken again after a lease ran out, paused after a failure, kept when dead, bound to a scope."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from agentmem.errors import InvalidInput
from agentmem.jobs import leave
from agentmem.opened import open_ledger
from agentmem.records import Scope
from agentmem.values import now
from agentmem_stores.sql.jobs import FIRST_PAUSE, SqlJobs
from agentmem_stores.sql.ledger import SqlLedger

EXPIRED = timedelta(seconds=-1)


@pytest.fixture
def jobs(ledger: SqlLedger) -> SqlJobs:
    return SqlJobs(ledger, Scope("user:ana"))


def test_a_job_is_taken_once_and_oldest_first(jobs: SqlJobs) -> None:
    first, second = jobs.put("extract", {"record": "a"}), jobs.put("extract", {"record": "b"})
    taken = [jobs.take("one"), jobs.take("two"), jobs.take("three")]
    assert [job and job.id for job in taken] == [first, second, None]
    assert taken[0] is not None
    assert taken[0].payload == {"record": "a"}
    assert taken[0].attempts == 1


def test_a_job_that_is_not_due_is_not_taken(jobs: SqlJobs) -> None:
    jobs.put("extract", {}, due=datetime(2999, 1, 1, tzinfo=UTC))
    assert jobs.take("one") is None


def test_kinds_narrow_what_is_taken(jobs: SqlJobs) -> None:
    jobs.put("extract", {})
    wanted = jobs.put("summarise", {})
    job = jobs.take("one", kinds=["summarise"])
    assert job is not None
    assert job.id == wanted


def test_a_lease_that_ran_out_hands_the_job_on_and_its_late_result_does_not_count(jobs: SqlJobs) -> None:
    id = jobs.put("extract", {})
    assert jobs.take("dies", lease=EXPIRED) is not None
    again = jobs.take("lives")
    assert again is not None
    assert (again.id, again.attempts) == (id, 2)
    assert not jobs.done(id, "dies")
    assert jobs.done(id, "lives")
    assert jobs.counts() == {"done": 1}


def test_failures_pause_ever_longer_then_the_job_is_dead_with_its_error_and_can_be_retried(
    jobs: SqlJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = jobs.put("extract", {})
    clock = now()
    monkeypatch.setattr("agentmem_stores.sql.jobs.now", lambda: clock)
    pauses = []
    for attempt in range(1, 4):
        job = jobs.take("one")
        assert job is not None
        assert jobs.failed(id, "one", f"attempt {attempt} said no", attempts=3)
        listed = jobs.listed()[0]
        pauses.append(listed.due - clock)
        clock = listed.due
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    dead = jobs.listed("dead")
    assert [(job.id, job.error) for job in dead] == [(id, "attempt 3 said no")]
    assert jobs.take("one") is None
    jobs.retry(id)
    assert jobs.take("one") is not None


def test_a_postponed_job_comes_again_and_no_attempt_is_counted(jobs: SqlJobs) -> None:
    id = jobs.put("extract", {})
    for _ in range(20):
        taken = jobs.take("one")
        assert taken is not None
        assert taken.attempts == 1
        assert jobs.postpone(id, "one", "no model answers", now())
    assert jobs.take("one") is not None
    assert jobs.postpone(id, "one", "no model answers", datetime(2999, 1, 1, tzinfo=UTC))
    assert jobs.take("one") is None
    assert not jobs.postpone(id, "one", "late", now())


def test_jobs_of_another_scope_are_out_of_reach(ledger: SqlLedger, jobs: SqlJobs) -> None:
    id = jobs.put("extract", {})
    stranger = SqlJobs(ledger, Scope("user:bob"))
    assert stranger.take("one") is None
    assert stranger.listed() == []
    assert jobs.take("shared-name") is not None
    assert not stranger.done(id, "shared-name")
    assert not stranger.failed(id, "shared-name", "no")
    with pytest.raises(InvalidInput):
        stranger.retry(id)
    assert [job.state for job in jobs.listed()] == ["taken"]


def test_many_workers_take_every_job_once(place: str, jobs: SqlJobs) -> None:
    """Two ledgers, so that workers meet in the database and not only in one queue; the oldest are taken first."""
    ids = [jobs.put("extract", {"n": n}) for n in range(60)]
    other = cast(SqlLedger, open_ledger(place))
    taken: list[list[str]] = [[] for _ in range(6)]

    def work(n: int) -> None:
        mine = SqlJobs(other, Scope("user:ana")) if n % 2 else jobs
        while (job := mine.take(f"worker {n}")) is not None:
            assert mine.done(job.id, f"worker {n}")
            taken[n].append(job.id)

    threads = [threading.Thread(target=work, args=[n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(id for some in taken for id in some) == ids
    assert all(some == sorted(some) for some in taken)
    assert jobs.counts() == {"done": 60}


def test_a_scope_that_jobs_made_is_the_one_that_records_go_to(ledger: SqlLedger, jobs: SqlJobs) -> None:
    id = jobs.put("extract", {})
    assert ledger.bind(Scope("user:ana")).head() == 0
    again = SqlJobs(ledger, Scope("user:ana"))
    assert [job.id for job in again.listed()] == [id]
    assert again.put("extract", {}) != id
    assert again.counts() == {"waiting": 2}


def test_what_no_database_holds_is_refused_and_an_error_is_kept_as_far_as_it_can_be(jobs: SqlJobs) -> None:
    for kind, payload in (("\0", {}), ("\ud800", {}), ("extract", {"text": "\ud800"})):
        with pytest.raises(InvalidInput):
            jobs.put(kind, payload)
    jobs.put("extract", {"text": "a\0b"})  # JSON has a way to write it
    job = jobs.take("one")
    assert job is not None
    assert job.payload == {"text": "a\0b"}
    assert jobs.failed(job.id, "one", "it said \0 and \ud800")
    assert [job.error for job in jobs.listed()] == ["it said \N{REPLACEMENT CHARACTER} and ?"]


def test_a_lease_is_renewed_by_whoever_holds_the_job_and_by_nobody_else(jobs: SqlJobs) -> None:
    id = jobs.put("extract", {})
    assert jobs.take("dies", lease=EXPIRED) is not None
    assert not jobs.renew(id, "stranger")
    assert jobs.renew(id, "dies")
    assert jobs.take("next") is None
    assert jobs.renew(id, "dies", EXPIRED)
    assert jobs.take("next") is not None
    assert not jobs.renew(id, "dies")


def test_the_same_job_is_left_once_as_long_as_it_waits(jobs: SqlJobs) -> None:
    first = leave(jobs, "think")
    assert first is not None
    assert leave(jobs, "think") is None
    assert leave(jobs, "think", {"turns": ["a"]}) is not None
    assert jobs.take("one", kinds=["think"]) is not None
    assert leave(jobs, "think") is not None  # what comes while it is at work is not in it
