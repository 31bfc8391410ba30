"""Answers that models gave, by what they were asked: the same words to the same model cost nothing again.

In this process alone and not on disk, so that nothing of what was erased stays.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from agentmem.models.answer import Answer

__all__ = ["AnswerCache"]

_KEPT: Final = 256


class AnswerCache:
    """The last answers; the one used longest ago goes first. Safe to use from several threads."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Answer | None:
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: bytes, answer: Answer) -> None:
        with self._lock:
            self._answers[key] = answer
            if len(self._answers) > self._kept:
                self._answers.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
