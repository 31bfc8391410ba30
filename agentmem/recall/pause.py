"""How long to leave something alone that has just failed, and how often to speak of it: once an outage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["Pause"]

log = logging.getLogger("agentmem")
_LONGEST_S = 60.0


class Pause:
    """Doubles with each failure in a row, from `first` seconds to a minute."""

    def __init__(self, first: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = self._next = first
        self._clock = clock
        self._until = -float("inf")
        self._said: str | None = None

    @property
    def over(self) -> bool:
        """Whether it may be tried (again)."""
        return self._clock() >= self._until

    def failed(self, message: str, *values: object) -> None:
        """Begin a pause; the message is logged at the first failure of this kind since it last worked."""
        self._until = self._clock() + self._next
        self._next = min(2 * self._next, _LONGEST_S)
        if message != self._said:
            self._said = message
            log.warning(message, *values)

    def worked(self) -> None:
        """It is well again: no pause, and the next failure is news."""
        if self._said is not None:
            self.__init__(self._first, self._clock)  # type: ignore[misc]  # the beginning has one description
