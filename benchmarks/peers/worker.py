"""One system in a process of its own: the process that measures it, and the handle by which it is told what to do.

Only one of all is ever told to work at a time. What a system prints goes to a log in its folder; when it dies, its last
words are the reason that the result gives. It knows nothing of what the figures mean.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.measure import timed
from benchmarks.peers.system import System
from benchmarks.peers.turns import Data, Floats

__all__ = ["Worker"]

_LOG = "what it said.log"
_PAGES = Path("/proc/self/statm")


class Worker:
    """A handle on a system's process. Once it has failed, every `ask` answers None."""

    def __init__(self, name: str, spec: str, folder: Path, data: Data, patience_s: float) -> None:
        """`spec` is `module:Class`; the folder must be new and is the system's own."""
        self.name = name
        self.failure = ""
        self._folder = folder
        self._patience_s = patience_s
        context = multiprocessing.get_context("spawn")
        self._line, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(spec, folder, data, far), daemon=True)
        self._process.start()
        far.close()
        self.opened: Any = self._answer("to open")

    def ask(self, what: str, *args: Any) -> Any:
        """What `_Served.what(*args)` returns there; None from the moment the process cannot answer."""
        if self.failure:
            return None
        self._line.send((what, args))
        return self._answer(f"to {what}")

    def _answer(self, what: str) -> Any:
        try:
            if self._line.poll(self._patience_s):
                return self._line.recv()
            self.failure = f"took longer than {self._patience_s:.0f} s {what}"
            self._process.kill()
        except (EOFError, ConnectionResetError):
            self._process.join()
            log = self._folder / _LOG
            said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
            last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
            self.failure = f"failed {what} (exit code {self._process.exitcode}): {last}"
        return None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._line.close()
        self._process.kill()
        self._process.join()


def _serve(spec: str, folder: Path, data: Data, line: Connection) -> None:
    log = os.open(folder / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    alone = _resident_mb()
    module, _, name = spec.partition(":")
    made: type[System] = getattr(import_module(module), name)
    served = _Served(made(folder, data.turn_vectors.shape[1]), data, alone)
    line.send(served.about())
    while True:
        what, args = line.recv()
        line.send(getattr(served, what)(*args))


class _Served:
    """What a handle may ask for. Times are seconds; CPU is the whole process's, all its threads included."""

    def __init__(self, system: System, data: Data, alone: float | None) -> None:
        self._system = system
        self._data = data
        self._alone = alone

    def about(self) -> dict[str, Any]:
        system = self._system
        return {
            "versions": {package: version(package) for package in system.packages},
            "survives": system.survives,
            "batched": system.batched,
            "note": system.note,
            "modes": list(system.modes),
        }

    def _prepared(self, start: int, stop: int) -> list[Any]:
        rows = zip(self._data.turns[start:stop], self._data.turn_vectors[start:stop], strict=True)
        return [self._system.prepared(turn, vector) for turn, vector in rows]

    def load(self, start: int, stop: int, batch: int) -> dict[str, Any]:
        """Turns in batches."""
        wall = cpu = 0.0
        for begin in range(start, stop, batch):
            items = self._prepared(begin, min(begin + batch, stop))
            took = timed(lambda: self._system.add_batch(items))  # noqa: B023  # called here and now
            wall, cpu = wall + took.wall, cpu + took.cpu
            self._system.given.clear()
        return {"turns": stop - start, "wall": wall, "cpu": cpu + timed(self._system.settle).cpu}

    def add(self, start: int, stop: int) -> dict[str, Any]:
        """Turns one by one."""
        items = self._prepared(start, stop)
        walls, cpu = [], time.process_time()
        for item in items:
            began = time.perf_counter()
            self._system.add(item)
            walls.append(time.perf_counter() - began)
        self._system.settle()
        cpu = time.process_time() - cpu
        self._system.given.clear()
        return {"walls": walls, "cpu": cpu}

    def search(self, mode: str, filtered: bool, numbers: Sequence[int]) -> dict[str, Any]:
        """Questions by their numbers, and the keys that each brought up."""
        walls, cpus, keys = [], [], []
        for number in numbers:
            question = self._data.questions[number]
            vector: Floats = self._data.question_vectors[number]
            asked = self._system.asked(mode, question, vector, question.conversation if filtered else None)
            cpu, wall = time.process_time(), time.perf_counter()
            found = self._system.search(asked)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            keys.append(self._system.keys(found))
            self._system.given.clear()
        return {"walls": walls, "cpus": cpus, "keys": keys}

    def close(self) -> dict[str, Any]:
        """What it holds: resident memory beyond that of the process without the system; bytes on disk, once closed."""
        resident = _resident_mb()
        self._system.close()
        files = (file for file in self._system.folder.rglob("*") if file.is_file() and file.name != _LOG)
        return {
            "memory_mb": None if resident is None or self._alone is None else resident - self._alone,
            "disk_mb": sum(file.stat().st_size for file in files) / 1e6,
        }


def _resident_mb() -> float | None:
    """None where the system does not say."""
    if not _PAGES.is_file():
        return None
    return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
