"""The worker: a job is done, waits for what is not there, or fails and in the end lies dead; it is never lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from agentmem.errors import BadOutput, BudgetReached, LedgerError, ModelError, NoModel
from agentmem.jobs import ATTEMPTS
from agentmem.memory import Memory
from agentmem.store import Report
from agentmem.values import Json, now
from agentmem.worker import TASKS, Task, Worker


def fails(error: Exception) -> Task:
    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        raise error

    return task


def let_time_pass(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the job is due."""
    due = memory.jobs.listed()[0].due
    monkeypatch.setattr("agentmem_stores.sql.jobs.now", lambda: due)


def test_jobs_are_done_in_order_and_what_each_did_is_told(memory: Memory) -> None:
    seen: list[Json] = []

    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        seen.append(payload["n"])
        return Report(f"did {payload['n']}")

    for n in range(3):
        memory.jobs.put("count", {"n": n})
    memory.jobs.put("of another program", {})
    worker = Worker(memory, tasks={"count": task})
    assert [did.told for did in worker.run(2)] == ["did 0", "did 1"]
    assert [(did.outcome, did.told) for did in worker.run()] == [("done", "did 2")]
    assert seen == [0, 1, 2]
    assert [job.kind for job in memory.jobs.listed("waiting")] == ["of another program"]


@pytest.mark.parametrize(
    "error",
    [
        ModelError("down", passing=True),
        ModelError("wait", passing=True, wait=400.0),
        NoModel("none may be asked"),
        BudgetReached("the day's tokens are spent"),
    ],
)
def test_pain_24_an_outage_of_any_length_never_marks_a_job_as_failed(memory: Memory, error: ModelError) -> None:
    """Background consolidation that strands or dead-letters facts while a provider is down."""
    memory.jobs.put("ask", {})
    worker = Worker(memory, tasks={"ask": fails(error)})
    [did] = worker.run()
    [job] = memory.jobs.listed()
    assert (did.outcome, did.told) == ("waits", str(error))
    assert (job.state, job.attempts, job.error) == ("waiting", 0, str(error))
    pause = (job.due - now()).total_seconds()
    assert pause == pytest.approx(max(30.0, getattr(error, "wait", None) or 0.0), abs=5.0)


def test_pain_24_what_waits_is_done_when_the_provider_is_back(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.jobs.put("ask", {})
    for _ in range(3 * ATTEMPTS):
        [did] = Worker(memory, tasks={"ask": fails(ModelError("down", passing=True))}).run()
        assert did.outcome == "waits"
        let_time_pass(memory, monkeypatch)
    [did] = Worker(memory, tasks={"ask": lambda memory, payload: Report("done")}).run()
    assert (did.outcome, memory.jobs.counts()) == ("done", {"done": 1})


@pytest.mark.parametrize(
    "error", [BadOutput("no facts", answer="x"), ModelError("401: wrong key"), LedgerError("full"), ZeroDivisionError()]
)
def test_a_failure_is_tried_again_and_after_the_last_attempt_lies_dead_with_its_error(
    memory: Memory, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = memory.jobs.put("ask", {})
    for attempt in range(ATTEMPTS):
        [did] = Worker(memory, tasks={"ask": fails(error)}).run()
        assert did.outcome == "failed", attempt
        let_time_pass(memory, monkeypatch)
    assert Worker(memory, tasks={"ask": fails(error)}).run() == []
    [dead] = memory.jobs.listed("dead")
    assert dead.error == did.told
    assert (str(error) or "ZeroDivisionError") in dead.error
    memory.jobs.retry(id)
    [did] = Worker(memory, tasks={"ask": lambda memory, payload: Report("well")}).run()
    assert did.outcome == "done"


def test_a_report_of_a_fault_waits_and_one_of_more_goes_on(memory: Memory) -> None:
    left = [3]

    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        left[0] -= 1
        return Report(f"{left[0]} left", {"waiting": left[0]})

    memory.jobs.put("some", {"of": "it"})
    worker = Worker(memory, tasks={"some": task})
    assert [did.told for did in worker.run()] == ["2 left", "1 left", "0 left"]
    assert memory.jobs.counts() == {"done": 3}

    fault = ModelError("down", passing=True)
    memory.jobs.put("some", {})
    [did] = Worker(memory, tasks={"some": lambda memory, payload: Report("half", fault=fault)}).run()
    assert (did.outcome, did.told) == ("waits", "down")


def test_a_lease_is_renewed_while_a_job_is_at_work(memory: Memory) -> None:
    """With a lease of 0.3 s the job runs until three others looked for it after its first lease had ended."""
    begun, go_on = threading.Event(), threading.Event()

    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        begun.set()
        assert go_on.wait(60)
        return Report("done")

    memory.jobs.put("long", {})
    lease = timedelta(seconds=0.3)
    thread = threading.Thread(target=Worker(memory, tasks={"long": task}, lease=lease).run)
    thread.start()
    assert begun.wait(60)
    first = memory.jobs.listed("taken")[0].due
    while memory.jobs.listed("taken")[0].due <= first + lease:
        assert memory.jobs.take("another") is None
    go_on.set()
    thread.join()
    assert memory.jobs.counts() == {"done": 1}


def test_ctrl_c_hands_the_job_on_at_once(memory: Memory) -> None:
    def task(memory: Memory, payload: Mapping[str, Json]) -> Report:
        raise KeyboardInterrupt

    memory.jobs.put("long", {})
    with pytest.raises(KeyboardInterrupt):
        Worker(memory, tasks={"long": task}).run()
    [did] = Worker(memory, tasks={"long": lambda memory, payload: Report("done")}).run()
    assert did.job.attempts == 1


_DIES = """
import os, sys
from datetime import timedelta
from agentmem.memory import Memory
from agentmem.worker import Worker
memory = Memory.open(sys.argv[1], embedder="hash")
Worker(memory, tasks={"long": lambda memory, payload: os.kill(os.getpid(), 9)}, lease=timedelta(seconds=0.2)).run()
"""


def test_a_worker_that_is_killed_lets_another_do_its_job(tmp_path: Path) -> None:
    place = tmp_path / "notes.mem"
    with Memory.open(place, embedder="hash") as memory:
        memory.jobs.put("long", {})
        killed = subprocess.run([sys.executable, "-c", _DIES, str(place)], check=False)
        assert killed.returncode == -9
        worker = Worker(memory, tasks={"long": lambda memory, payload: Report("done")})
        while not (did := worker.run()):  # until its lease ends
            continue
        assert (did[0].outcome, did[0].job.attempts) == ("done", 2)


def test_a_job_that_names_no_turns_fails_and_says_so(memory: Memory) -> None:
    memory.jobs.put("extract", {"turns": "all of them"})
    [did] = Worker(memory).run()
    assert (did.outcome, did.told) == ("failed", "the job names no turns")
    assert set(TASKS) == {"think", "summarise", "extract"}


def test_thinking_is_a_job_that_reads_what_was_said(memory: Memory) -> None:
    memory.add("I live in Porto.", speaker="Ana", role="user")
    memory.jobs.put("think", {})
    [did] = Worker(memory).run()
    assert did.outcome == "done"
    assert [record.text for record in memory.records() if record.kind == "thought"] == ["Ana lives in Porto"]
