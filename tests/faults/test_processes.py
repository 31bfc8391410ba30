"""Four writing and four reading processes on one folder: no error, no lost update, and never a word of a lock."""

from __future__ import annotations

import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import pytest

from agentmem import Conflict, Memory
from tests.fakes import DigestEmbedder

FRESH_PROCESS = multiprocessing.get_context("spawn")  # a fork would inherit the parent's connections
PATIENCE_S = 60.0
SECONDS = 20.0
SHARED = ("counter-a", "counter-b", "counter-c")


@dataclass
class Account:
    """What one process did and met. `complaints`: whatever was logged as a warning, or raised."""

    added: list[str] = field(default_factory=list)
    edits: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    looks: int = 0
    complaints: list[str] = field(default_factory=list)


class Complaints(logging.Handler):
    """The embedding thread cannot raise to anybody: it warns."""

    def __init__(self, account: Account) -> None:
        super().__init__(logging.WARNING)
        self._account = account

    def emit(self, record: logging.LogRecord) -> None:
        self._account.complaints.append(record.getMessage())


def _process(pipe: Pipe, work: Callable[[Memory, Account, random.Random], None], folder: Path, number: int) -> None:
    account = Account()
    logging.getLogger("agentmem").addHandler(Complaints(account))
    chance = random.Random(number)
    with Memory.open(folder, embedder=DigestEmbedder(), create=False) as memory:
        pipe.send("ready")
        until = pipe.recv()
        try:
            while time.time() < until:
                work(memory, account, chance)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what this test looks for
            account.complaints.append(repr(error))
    pipe.send(account)


def _write(memory: Memory, account: Account, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 5)):
        id = chance.choice(SHARED)
        seen = memory.get(id)
        try:
            memory.edit(id, revision=seen.revision, text=f"{id} stands at {int(seen.text.split()[-1]) + 1}")
            account.edits[id] += 1
        except Conflict as conflict:
            if conflict.current is None or conflict.current.revision <= seen.revision:
                account.complaints.append(f"a conflict with nothing newer: {conflict}")
            account.conflicts += 1
    account.added.append(memory.add(f"a single word, number {len(account.added)}").id)
    batch = memory.add_many(f"one of a batch, number {len(account.added)}" for _ in range(chance.randint(2, 30)))
    account.added += [record.id for record in batch]
    memory.tag(batch[0].id, add=["seen"])
    memory.forget(batch[1].id)
    memory.restore(batch[1].id)
    if chance.random() < 0.1:
        memory.flush()


def _read(memory: Memory, account: Account, chance: random.Random) -> None:
    head = memory.stats().head
    revisions = {id: memory.get(id).revision for id in SHARED}
    newest = memory.newest(5)
    hits = memory.recall("counter stands", 20, engine="bm25")  # what a digest's vector says is noise
    assert set(SHARED) <= {hit.record.id for hit in hits}
    assert all(hit.record.revision >= revisions.get(hit.record.id, 1) for hit in hits)
    assert all(record.position <= memory.stats().head for record in newest)
    log = memory.log(20)
    assert [change.seq for change in log] == list(range(log[0].seq, log[-1].seq - 1, -1))
    assert log[0].seq >= head
    assert all(memory.get(id).revision >= revision for id, revision in revisions.items())
    account.looks += 1


@pytest.mark.slow
def test_four_writers_and_four_readers_for_twenty_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "a.mem"
    with Memory.open(folder, embedder=DigestEmbedder()) as memory:
        memory.add_many({"id": id, "text": f"{id} stands at 0"} for id in SHARED)
    pipes, children = [], []
    for number, work in enumerate([_write] * 4 + [_read] * 4):
        ours, theirs = FRESH_PROCESS.Pipe()
        child = FRESH_PROCESS.Process(target=_process, args=(theirs, work, folder, number))
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        for pipe in pipes:
            assert _heard(pipe) == "ready"
        until = time.time() + SECONDS
        for pipe in pipes:
            pipe.send(until)
        accounts: list[Account] = [_heard(pipe, SECONDS) for pipe in pipes]
    finally:
        for pipe, child in zip(pipes, children, strict=True):
            pipe.close()
            child.join(PATIENCE_S)
            child.close()
    assert [account.complaints for account in accounts] == [[]] * 8
    edits = sum((account.edits for account in accounts), Counter[str]())
    assert all(sum(account.edits.values()) > 10 for account in accounts[:4])  # nobody was starved
    assert all(account.looks > 10 for account in accounts[4:])
    assert sum(account.conflicts for account in accounts) > 0  # they did meet
    with Memory.open(folder, embedder=DigestEmbedder(), create=False) as memory:
        for id in SHARED:
            assert memory.get(id).revision == 1 + edits[id]
            assert memory.get(id).text == f"{id} stands at {edits[id]}"
        added = {id for account in accounts for id in account.added}
        assert {record.id for record in memory.records()} == added | set(SHARED)
        assert memory.verify() == []
        seqs = [change.seq for change in memory.log(limit=1_000_000)]
        assert seqs == list(range(len(seqs), 0, -1))


def _heard(pipe: Pipe, seconds: float = 0.0) -> Any:
    assert pipe.poll(seconds + PATIENCE_S), "nothing was heard of a process"
    return pipe.recv()
