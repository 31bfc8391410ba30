"""One more process on a ledger under examination: `python -m agentmem_stores.testing.worker`.

It is told by its standard input how to open the ledger and what to do. It says "ready", waits for a line, works, and
prints what was acknowledged, line by line. Not a fork: connections and threads do not survive one.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from agentmem import verbs
from agentmem.ledger import ScopedLedger, Transaction
from agentmem.records import Record, Scope

if TYPE_CHECKING:
    from agentmem_stores.testing.ledgers import LedgerRoom

__all__ = ["Other", "Worker", "count_up", "counted"]

_PATIENCE_S = 120.0


def count_up(scoped: ScopedLedger, times: int) -> None:
    """Raise the record `counter` by one, so many times, each in a transaction that reads before it writes."""

    def raised(transaction: Transaction) -> None:
        [counter] = transaction.get(["counter"])
        draft = verbs.alter("edit", counter, text=str(int(counter.text) + 1))
        assert draft is not None
        transaction.write([draft], actor="exam")

    for _ in range(times):
        scoped.transact(raised)


def counted(scoped: ScopedLedger) -> int:
    [counter] = scoped.get(["counter"])
    return int(counter.text)


def _started(module: str, task: object, opens: object) -> subprocess.Popen[bytes]:
    """A process that runs the module, and finds its task at its standard input. AssertionError when `opens`, which is
    in the task, cannot be sent."""
    try:
        said = pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            f"expected: `open` is a function that another process can import, not {opens!r}"
        ) from error
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdin is not None
    process.stdin.write(said)
    process.stdin.flush()
    return process


class Other:
    """Another process, as its examiner sees it. `opens` is what in its task must be importable there."""

    def __init__(self, module: str, task: object, opens: object) -> None:
        self._process = _started(module, task, opens)

    @property
    def _in(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line:
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode().strip().splitlines() or ["it said nothing"]
            raise AssertionError(f"the other process failed: {said[-1]}")
        return line

    def killed_after(self, acknowledged: int) -> list[str]:
        """Kill it once it has said so much, and return all that it said."""
        said = [self._line() for _ in range(acknowledged)]
        self._process.kill()
        assert self._process.stdout is not None
        rest = self._process.stdout.read().decode()
        return said + rest.splitlines()[: rest.count("\n")]  # the last line may be cut off


class Worker(Other):
    """One that works on the ledger of a room."""

    def __init__(self, room: LedgerRoom, job: str, times: int) -> None:
        task = (room.subject.open, room.folder, str(room.ana.scope), job, times)
        super().__init__("agentmem_stores.testing.worker", task, room.subject.open)

    def go(self) -> None:
        """Once it has opened the ledger, let it work."""
        self._line()
        self._in.write(b"go\n")
        self._in.flush()

    def finish(self) -> None:
        self._line()
        self._process.wait(_PATIENCE_S)


def _work() -> None:
    source, sink = sys.stdin.buffer, sys.stdout
    opened, folder, scope, job, times = pickle.load(source)
    ledger = opened(Path(folder))
    scoped = ledger.bind(Scope(scope))
    print("ready", file=sink, flush=True)  # what the examiner waits for
    source.readline()
    if job == "count up":
        count_up(scoped, times)
        print("done", file=sink, flush=True)
    for n in count() if job == "write until killed" else ():
        record = Record.create(f"text {n}", scope=scoped.scope)
        scoped.transact(
            lambda transaction, record=record: transaction.write([verbs.add(record, fresh=True)], actor="x")
        )
        print(record.id, file=sink, flush=True)
    ledger.close()


if __name__ == "__main__":
    _work()
