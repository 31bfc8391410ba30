"""What is done after an answer, while nobody waits: the jobs of the scope, and the stores brought up to date."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from agentmem.errors import AgentMemError
from agentmem.jobs import leave
from agentmem.memory import Memory
from agentmem.worker import Worker

__all__ = ["Afterwards"]

log = logging.getLogger("agentmem")
_LEAVING_S: Final = 10.0  # that closing waits for the job under way; one that is broken off is taken again later


class Afterwards:
    """One thread, begun when there is first something to do. What it does not come to is left in the ledger."""

    def __init__(self, memory: Memory, settle: Callable[[], object]) -> None:
        """`settle` is called when the jobs are done."""
        self._memory = memory
        self._settle = settle
        self._worker = Worker(memory)
        self._wanted: set[str] = set()
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, kinds: Iterable[str]) -> None:
        """Leave these kinds of jobs, and do what is due."""
        with self._changed:
            if self._closed:
                return
            self._wanted.update(kinds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="agentmem-afterwards", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self) -> None:
        """Until all that was begun is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._wanted or self._busy))

    def close(self) -> None:
        """Begin nothing more; twice is fine."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LEAVING_S)

    def _run(self) -> None:
        try:
            self._work()
        finally:  # whatever it ended by, nobody waits for it any more
            with self._changed:
                self._busy, self._closed = False, True
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._wanted)
                wanted, self._wanted = sorted(self._wanted), set()
                self._busy = True
                closed = self._closed
            try:
                for kind in wanted:
                    leave(self._memory.jobs, kind)
                if closed:
                    return
                while not self._closed and self._worker.run(1):
                    continue
                self._settle()
            except AgentMemError as error:  # the ledger was closed, or is full: the jobs stand, or the next turn's do
                log.warning("what was said is not thought about: %s", error)
                if closed:
                    return
