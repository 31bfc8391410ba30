"""Postgres under load: many processes at once, and the server killed while it is written to."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import Conflict, LedgerError
from agentmem.opened import open_ledger
from agentmem.records import Record, Scope, State
from tests.postgres import Server, opened

FRESH_PROCESS = multiprocessing.get_context("spawn")  # a fork would inherit the parent's connections
PATIENCE_S = 60.0
ALL: tuple[State, ...] = ("live", "forgotten", "replaced")

ANA, NOTES = "user:ana", "user:ana/notes"  # one root, two scopes
ROOTS = [ANA, "user:bea", "user:cy", NOTES]
THE_END = "the end"
WRITERS, READERS = 4, 4
THREADS, VERBS = 3, 24  # in each writer, and of each of its threads


# ── many processes ───────────────────────────────────────────────────────────────────────────────────────────────────

_together: Barrier


def _wait_for_all(barrier: Barrier) -> None:
    global _together
    _together = barrier


@dataclass(slots=True)
class Written:
    edits: int = 0
    ids: dict[str, list[str]] = field(default_factory=lambda: {scope: [] for scope in ROOTS})


def write(url: str, seed: int) -> Written:
    """Threads that add to several roots, so that their commits hold several locks, and edit one record together."""
    _together.wait(PATIENCE_S)
    with opened(url) as memory:
        _make_counted(memory)
        with ThreadPoolExecutor(THREADS) as pool:
            parts = list(pool.map(lambda n: _write(memory, random.Random(seed * THREADS + n)), range(THREADS)))
        memory.scope(ANA).add(THE_END)
    whole = Written()
    for part in parts:
        whole.edits += part.edits
        for scope, ids in part.ids.items():
            whole.ids[scope] += ids
    return whole


def _make_counted(memory: Memory) -> None:
    memory.scope(ANA).add_many([{"id": "counted", "text": "0"}], existing="skip")


def _write(memory: Memory, chance: random.Random) -> Written:
    done = Written()
    for n in range(VERBS):
        if n % 4 == 0:
            _count(memory.scope(ANA))
            done.edits += 1
        else:
            scope = chance.choice(ROOTS)
            done.ids[scope].append(memory.scope(*Scope(scope)).add(f"text {n}").id)
    return done


def _count(ana: Memory) -> None:
    """One more, on whatever the others have counted meanwhile."""
    while True:
        standing = ana.get("counted")
        try:
            ana.edit("counted", revision=standing.revision, text=str(int(standing.text) + 1))
            return
        except Conflict:
            continue  # another was faster


def follow(url: str, _: int) -> dict[str, list[int]]:
    """The seqs of each scope of one root as a projection sees them: each look begins where the last one ended."""
    _together.wait(PATIENCE_S)
    ledger = open_ledger(url)
    scoped = {name: ledger.bind(Scope(name)) for name in (ANA, NOTES)}
    cursors, seen = dict.fromkeys(scoped, 0), {name: list[int]() for name in scoped}
    ended, deadline = 0, time.monotonic() + PATIENCE_S
    while ended < WRITERS:
        assert time.monotonic() < deadline, "the writers do not end"
        for name, scope in scoped.items():
            with scope.snapshot() as reader:
                changes, head = reader.changes(after=cursors[name]), reader.head()
                standing = reader.scan(states=ALL)
                adds = [change for change in reader.changes() if change.verb == "add"]
            assert len(standing) == len(adds), "rows and journal are of one snapshot"
            seen[name] += [change.seq for change in changes]
            ended += sum((change.after or {}).get("text") == THE_END for change in changes)
            cursors[name] = head
    ledger.close()
    return seen


@pytest.mark.slow
def test_four_processes_write_and_four_read_what_none_had_made(postgres_url: str) -> None:
    """All eight open an empty database at once. No edit is lost, and no reader misses a change: seqs come in order."""
    at_once = FRESH_PROCESS.Barrier(WRITERS + READERS)
    with ProcessPoolExecutor(WRITERS + READERS, FRESH_PROCESS, _wait_for_all, (at_once,)) as pool:
        writing = [pool.submit(write, postgres_url, n) for n in range(WRITERS)]
        reading = [pool.submit(follow, postgres_url, n) for n in range(READERS)]
        written = [future.result() for future in writing]
        followed = [future.result() for future in reading]
    with opened(postgres_url, create=False) as memory:
        ana = memory.scope(ANA)
        edits = sum(part.edits for part in written)
        assert edits == WRITERS * THREADS * VERBS // 4
        counted = ana.get("counted")
        assert (counted.text, counted.revision) == (str(edits), edits + 1)
        for scope in ROOTS:
            bound = memory.scope(*Scope(scope))
            ids = sorted(id for part in written for id in part.ids[scope])
            assert sorted(record.id for record in bound.records() if record.text.startswith("text")) == ids
            assert bound.verify() == []
        head = ana.stats().head
        alone = [change.seq for change in reversed(memory.scope("user:bea").log(10_000))]
    assert alone == list(range(1, len(alone) + 1))
    for seen in followed:
        assert all(seqs == sorted(seqs) for seqs in seen.values())
        assert sorted([*seen[ANA], *seen[NOTES]]) == list(range(1, head + 1))


def test_many_threads_may_make_the_same_memory_at_once(postgres: Server, postgres_urls: Any) -> None:
    at_once = 8
    for _ in range(5):
        url, together = postgres_urls(), threading.Barrier(at_once)

        def make(_: int, url: str = url, together: threading.Barrier = together) -> str:
            together.wait(PATIENCE_S)
            ledger = open_ledger(url)
            ledger.close()
            return ledger.identity

        with ThreadPoolExecutor(at_once) as pool:
            assert len(set(pool.map(make, range(at_once)))) == 1


# ── kills ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """Adds and edits until told to stop, whatever befalls the server; notes what was acknowledged after it was."""

    def __init__(self, memory: Memory, seed: int, progress: threading.Condition, stop: threading.Event) -> None:
        self._memory = memory
        self._random = random.Random(seed)
        self._progress = progress
        self._stop = stop
        self._own: list[Record] = []
        self.acknowledged: list[Record] = []
        self.errors: list[LedgerError] = []
        self.odd: list[BaseException] = []

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._note(self._verb())
                except LedgerError as error:
                    self.errors.append(error)
                    self._stop.wait(0.02)  # as a caller would who tries again
        except BaseException as error:
            self.odd.append(error)
            raise

    def _verb(self) -> list[Record]:
        text = f"{self._random.random()}"
        if self._own and self._random.random() < 0.4:
            n = self._random.randrange(len(self._own))
            # What stands is asked for: a write that was not acknowledged may have been kept.
            standing = self._memory.get(self._own[n].id)
            return [self._memory.edit(standing.id, revision=standing.revision, text=text)]
        if self._random.random() < 0.2:
            return self._memory.add_many([f"{text} {n}" for n in range(20)])
        return [self._memory.add(text)]

    def _note(self, records: list[Record]) -> None:
        self._own += [record for record in records if record.revision == 1]
        with self._progress:
            self.acknowledged += records
            self._progress.notify_all()


@pytest.mark.slow
def test_ten_kills_of_the_server_lose_nothing_acknowledged_and_writers_go_on(durable_postgres: Server) -> None:
    url, chance = durable_postgres.url(), random.Random(2026)
    progress, stop = threading.Condition(), threading.Event()
    memories = [opened(url), opened(url)]  # as two processes would: each with connections and locks of its own
    writers = [Writer(memories[n % 2], n, progress, stop) for n in range(6)]
    threads = [threading.Thread(target=writer.run) for writer in writers]

    def count() -> int:
        return sum(len(writer.acknowledged) for writer in writers)

    def all_went_on(before: list[int]) -> bool:
        return all(len(writer.acknowledged) > n for writer, n in zip(writers, before, strict=True))

    def wait_for_more(n: int) -> None:
        with progress:
            target = count() + n
            assert progress.wait_for(lambda: count() >= target, PATIENCE_S), [writer.odd for writer in writers]

    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            wait_for_more(chance.randint(20, 200))
            durable_postgres.kill()
            durable_postgres.start()
            before = [len(writer.acknowledged) for writer in writers]
            with progress:
                assert progress.wait_for(partial(all_went_on, before), PATIENCE_S), [writer.odd for writer in writers]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    errors = [error for writer in writers for error in writer.errors]
    assert len(errors) >= 10
    assert all(error.way_out for error in errors)
    assert not any(writer.odd for writer in writers)
    for memory in memories:
        assert memory.verify() == []
        versions = {
            (change.record_id, (change.after or {}).get("revision", 1)): (change.after or {}).get("text")
            for change in memory.log(1_000_000)
        }
        rows = {record.id: record for record in memory.records()}
        for record in (record for writer in writers for record in writer.acknowledged):
            assert versions[record.id, record.revision] == record.text
            assert rows[record.id].revision >= record.revision
        assert memory.recall(rows[writers[0].acknowledged[0].id].text, 1)
        memory.close()
