"""What asking models costs: every call as the ledger keeps it, and the limits it is held against.

Money is counted in whole picos, the 10⁻¹² of the unit that prices are given in: a price per million tokens with up to
six decimals is a whole number of them per token, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, TypeGuard

from agentmem.records import Scope
from agentmem.values import new_id, now

__all__ = ["PICO", "Call", "Calls", "Limit", "Outcome", "Spent", "Usage", "money", "sound_count"]

PICO: Final = 10**12
_MOST_TOKENS: Final = 10**8  # of one message: ten times the largest context there is
Outcome: TypeAlias = Literal["open", "done", "failed", "refused"]


def money(picos: int) -> float:
    """In the unit that prices are given in."""
    return picos / PICO


def sound_count(told: object) -> TypeGuard[int]:
    """Whether tokens as a server counts them can be: a number below 0 would give back what others have spent."""
    return isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Call:
    """One question to one model. `tokens_in`, `tokens_out` and `picos` are estimates while it is `open`, and remain so
    when whoever asked died before the answer: it may have cost that much.

    `cause` says what it was for, in ids and not in anybody's words; `prompt` names the prompt's file and version, and
    those of the prompts that were added to it: for JSON, or to put an answer right.
    `failed`: no answer came; `refused`: one came that could not be used.
    """

    role: str
    model: str
    cause: str = ""
    prompt: str = ""
    outcome: Outcome = "open"
    tokens_in: int = 0
    tokens_out: int = 0
    picos: int = 0
    ms: float = 0.0
    error: str = ""
    id: str = field(default_factory=new_id)
    at: datetime = field(default_factory=now)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


class Limit(NamedTuple):
    """The most that may be spent since a moment in a scope and all scopes inside it; `scope` None: in the whole ledger.
    None stands for no limit."""

    scope: Scope | None
    since: datetime
    tokens: int | None = None
    picos: int | None = None


class Spent(NamedTuple):
    calls: int = 0
    tokens: int = 0
    picos: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model was asked in one role."""

    role: str
    model: str
    calls: int
    failed: int  # those that gave no answer, or none that could be used
    tokens_in: int
    tokens_out: int
    picos: int
    ms: float  # of an answer, the mean


class Calls(Protocol):
    """The calls of one scope, as its ledger keeps them. Durable when a verb returns."""

    @property
    def home(self) -> str:
        """Which ledger and scope they are of: the same for everybody who opens it."""
        ...

    def begin(self, call: Call, limits: Sequence[Limit] = ()) -> None:
        """Note an open call, if its estimate still fits into every limit; else BudgetReached, and nothing is noted.

        Whoever asks at the same time, in this process or another, is counted first or later, never together.
        """
        ...

    def end(self, call: Call) -> None:
        """Put the call, as it ended, in the place of the open one."""
        ...

    def spent(self, limit: Limit) -> Spent:
        """What was spent of a limit."""
        ...

    def listed(self, limit: int = 100, *, since: datetime | None = None) -> list[Call]:
        """The newest first."""
        ...

    def usage(self, *, since: datetime | None = None, inside: bool = False) -> list[Usage]:
        """By role and model, the dearest first; with `inside`, of the scopes inside this one too."""
        ...
