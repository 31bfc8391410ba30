"""Every error agentmem raises on purpose, by what the user was doing.

    AgentMemError
    ├── InvalidInput       an argument, a file name, a text that cannot be stored   (also a ValueError)
    ├── ConfigError        a setting that is unknown or malformed
    ├── RecordNotFound     an id that is not in this scope                          (also a LookupError)
    ├── Conflict           somebody changed it first
    │   └── UndoBlocked    a later change stands in the way of an undo
    ├── MemoryClosed       a verb on a memory that was closed
    ├── LedgerError        opening, reading or writing the ledger
    ├── PluginError        a name that is not installed, or a plugin that does not load
    ├── EmbeddingError     an embedder that is missing, fails or gives the wrong shape
    ├── IndexUnavailable   an index that cannot be opened or asked; recall goes on without it
    ├── ModelError         a language model that is missing, cannot be reached, refuses or fails
    │   ├── NoModel        none is set for this, or none of those set may be asked
    │   ├── BudgetReached  asking would cost more than is allowed
    │   └── BadOutput      its answers could not be used, the repaired ones included
    └── ImportFailed       a file that cannot be taken in; carries file and line

Each has a `title` (a screen's heading) and, where there is one, a `way_out`: the sentence that says what to do.
The module knows nothing of exit codes; the command line maps them in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from agentmem.records import Record

__all__ = [
    "AgentMemError",
    "BadOutput",
    "BudgetReached",
    "ConfigError",
    "Conflict",
    "EmbeddingError",
    "ImportFailed",
    "IndexUnavailable",
    "InvalidInput",
    "LedgerError",
    "MemoryClosed",
    "ModelError",
    "NoModel",
    "PluginError",
    "RecordNotFound",
    "UndoBlocked",
]


_LONGEST = 1_000  # characters of a message


def _printable(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} … {text[-_LONGEST // 3 :]}"
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


class AgentMemError(Exception):
    """The root. `str(error)` is what went wrong; `error.way_out` is what to do about it ("" when nothing helps).

    Messages repeat what was given, which may be a megabyte, or hold what no terminal and no log can print: they are
    shortened in the middle, and such characters are written as escapes.
    """

    title: ClassVar[str] = "agentmem failed"

    def __init__(self, message: str, *, way_out: str = "") -> None:
        super().__init__(_printable(message))
        self.way_out = _printable(way_out)


class InvalidInput(AgentMemError, ValueError):
    title = "That cannot be taken as it is"


class ConfigError(AgentMemError):
    title = "A setting is wrong"


class RecordNotFound(AgentMemError, LookupError):
    title = "No such memory here"


class Conflict(AgentMemError):
    """An edit was made against a revision that is no longer the current one.

    `current` is the record as it stands, `yours` the one that the edit would have written.
    """

    title = "Somebody changed it first"

    def __init__(
        self,
        message: str,
        *,
        current: Record | None = None,
        yours: Record | None = None,
        way_out: str = "",
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.current = current
        self.yours = yours


class UndoBlocked(Conflict):
    """An undo was refused whole. `blocked` names the records in the way: force them, or undo later steps first."""

    title = "A later change stands in the way"

    def __init__(self, message: str, *, blocked: Sequence[str] = (), way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.blocked = tuple(blocked)


class MemoryClosed(AgentMemError):
    title = "This memory is closed"


class LedgerError(AgentMemError):
    title = "The ledger cannot be used"


class PluginError(AgentMemError):
    title = "A part is not installed"


class EmbeddingError(AgentMemError):
    title = "The embedder failed"


class IndexUnavailable(AgentMemError):
    """Nothing is lost: an index is made from the ledger, and recall searches exactly until `index` is back.

    `busy`: nothing is wrong with it, another process has it.
    """

    title = "The index cannot be used"

    def __init__(self, message: str, *, index: str = "index", way_out: str = "", busy: bool = False) -> None:
        super().__init__(message, way_out=way_out)
        self.index = index
        self.busy = busy


class ModelError(AgentMemError):
    """`passing`: it may be well when asked again, after `wait` seconds if it said so."""

    title = "The model failed"

    def __init__(self, message: str, *, way_out: str = "", passing: bool = False, wait: float | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.passing = passing
        self.wait = wait


class NoModel(ModelError):
    title = "There is no model for this"


class BudgetReached(ModelError):
    title = "The budget is used up"


class BadOutput(ModelError):
    """`answer` is the last one, whole."""

    title = "The model's answer cannot be used"

    def __init__(self, message: str, *, answer: str = "", way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.answer = answer


class ImportFailed(AgentMemError):
    """A file that cannot be taken in: nothing of it is. `line` is 1-based; None where the fault has no line.

    `what` is the fault alone, without the place that the message begins with.
    """

    title = "This file cannot be taken in"

    def __init__(self, message: str, *, file: str, line: int | None = None, way_out: str = "") -> None:
        where = file if line is None else f"{file}, line {line}"
        super().__init__(f"{where}: {message}", way_out=way_out)
        self.what = message
        self.file = file
        self.line = line
