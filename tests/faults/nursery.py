"""Writers by the hundred: one process that has imported everything forks them, and each is killed from outside.

Starting Python with all of agentmem takes 0.5 s, a fork of a process that has started some milliseconds. The forking
process closes its own memory before the first fork: no connection to a database may cross one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from agentmem import Memory
from tests.fakes import DigestEmbedder
from tests.faults.writer import Aim, write

PATIENCE_S = 60.0  # for a process to start, on a machine that is busy with other work
_FRESH = multiprocessing.get_context("spawn")  # the tests' own process has connections open
_FORKED = multiprocessing.get_context("fork")


class Nursery:
    """Starts writers and kills them. A context manager: whoever is left is killed at its end."""

    def __init__(self) -> None:
        self._orders, theirs = _FRESH.Pipe()
        self._nurse = _FRESH.Process(target=_serve, args=(theirs,))
        self._nurse.start()
        theirs.close()
        self._said: dict[int, list[str | int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.close()
        self._nurse.join(PATIENCE_S)
        self._nurse.close()

    def start(self, location: str | Path, log: Path, seed: int, aim: Aim | None = None) -> int:
        """The pid of a new writer on this memory, which notes in this log; with `aim`, one that dies by itself."""
        self._orders.send((str(location), log, seed, aim))
        known = set(self._said)
        while not (new := set(self._said) - known):
            self._hear()
        return new.pop()

    def wait_until(self, pid: int, word: str) -> None:
        """Until the writer is "opening" or "writing"."""
        while word not in self._said[pid]:
            assert not self._ended(pid), f"the writer ended by itself with {self._said[pid]}"
            self._hear()

    def kill(self, pid: int, after_s: float) -> None:
        """SIGKILL the writer so many seconds from now, and wait until it is dead."""
        until = time.monotonic() + after_s
        while self._orders.poll(max(0.0, until - time.monotonic())):
            self._hear()
        assert not self._ended(pid), f"the writer ended by itself with {self._said[pid]}"
        os.kill(pid, signal.SIGKILL)
        self._see_dead(pid, signal.SIGKILL)

    def wait_until_dead(self, pid: int) -> None:
        """Until a writer that was started with an aim has met it."""
        self._see_dead(pid, signal.SIGALRM)

    def _see_dead(self, pid: int, of: signal.Signals) -> None:
        while not self._ended(pid):
            self._hear()
        ended = self._said.pop(pid)
        assert ended[-1] == -of, f"the writer ended by itself with {ended}"

    def _ended(self, pid: int) -> bool:
        return any(isinstance(word, int) for word in self._said[pid])

    def _hear(self) -> None:
        """Take in one message: a writer's word, or at its end its exit code."""
        assert self._orders.poll(PATIENCE_S), "nothing was heard of a writer"
        pid, word = self._orders.recv()
        self._said.setdefault(pid, []).append(word)


def _serve(orders: Pipe) -> None:
    """Fork a writer at each order; report what each says and, once it is dead, its exit code."""
    _import_everything()
    children: dict[Pipe, BaseProcess] = {}
    while True:
        for ready in cast(list[Pipe], wait([orders, *children])):
            if ready is orders:
                try:
                    order = orders.recv()
                except EOFError:
                    for child in children.values():
                        child.kill()
                        child.join()
                    return
                ours, theirs = _FORKED.Pipe(duplex=False)
                child = _FORKED.Process(target=_write, args=(theirs, os.getpid(), *order))
                child.start()
                theirs.close()
                children[ours] = child
                orders.send((child.pid, "started"))
            else:
                child = children[ready]
                try:
                    word = ready.recv()
                except EOFError:
                    del children[ready]
                    child.join()
                    word = child.exitcode
                orders.send((child.pid, word))


def _import_everything() -> None:
    """What a first use loads and compiles, so that no writer has to."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=DigestEmbedder()) as memory:
        one, two = memory.add_many(["one", "two"])
        merged = memory.merge(one.id, two.id)
        memory.tag(merged.id, add=["x"])
        memory.recall("one")
        memory.undo()
        memory.forget(merged.id, hard=True)


def _write(say: Pipe, nurse: int, location: str, log: Path, seed: int, aim: Aim | None) -> None:
    # A writer whose nurse was killed would write for ever.
    write(say.send, location, log, seed, aim, lambda: os.getppid() == nurse)
