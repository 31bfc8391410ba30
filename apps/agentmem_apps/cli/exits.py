"""What the command's exit status says, and which error leads to which. The only place that knows both."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

import click

from agentmem.errors import (
    AgentMemError,
    BudgetReached,
    ConfigError,
    Conflict,
    EmbeddingError,
    IndexUnavailable,
    InvalidInput,
    LedgerError,
    ModelError,
    NoModel,
    PluginError,
)

__all__ = ["ExitCode", "exit_code_for"]


class ExitCode(IntEnum):
    """The command's exit statuses; `meaning` is the line the documentation shows."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    DONE = 0, "done; also when there was nothing to do"
    FAILED = 1, "failed: an id that is not there, a file that cannot be read or taken in, a fault that doctor found"
    USAGE = 2, "a wrong command line, value or setting; nothing was opened"
    UNREACHABLE = 3, "the memory, its ledger or a model cannot be opened or used"
    EXHAUSTED = 4, "a time limit or a budget was reached"
    NOTHING_FOUND = 5, "nothing was found, where --fail-empty asked to be told so"
    CONFLICT = 6, "somebody changed it first, or a later change stands in the way of an undo"
    INTERRUPTED = 130, "interrupted by the user, or a question was answered with no"


# The first class that fits decides, so a child stands before its parent.
_BY_ERROR: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (click.exceptions.Abort, ExitCode.INTERRUPTED),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (click.UsageError, ExitCode.USAGE),
    (click.ClickException, ExitCode.FAILED),
    (Conflict, ExitCode.CONFLICT),
    (InvalidInput, ExitCode.USAGE),
    (ConfigError, ExitCode.USAGE),
    (PluginError, ExitCode.USAGE),
    (LedgerError, ExitCode.UNREACHABLE),
    (EmbeddingError, ExitCode.UNREACHABLE),
    (BudgetReached, ExitCode.EXHAUSTED),
    (NoModel, ExitCode.USAGE),
    (ModelError, ExitCode.UNREACHABLE),
    (IndexUnavailable, ExitCode.UNREACHABLE),
    (AgentMemError, ExitCode.FAILED),
    (TimeoutError, ExitCode.EXHAUSTED),
    (ConnectionError, ExitCode.UNREACHABLE),
)


def exit_code_for(error: BaseException) -> ExitCode:
    """The status with which the command ends because of this error; FAILED for one that is not in the table."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
