"""What a check has to say: a sentence in a user's words, what to do about it, and the repair where there is one.

Knows no memory and no screen: whoever shows findings decides whether a repair is run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from agentmem.errors import AgentMemError

if TYPE_CHECKING:
    from agentmem.index import Progress

__all__ = ["Finding", "Repair", "Severity", "failed", "plenty"]

# A fault costs something already or can; a warning is worth knowing, and nothing is broken.
Severity: TypeAlias = Literal["ok", "warning", "fault"]
_LISTED = 3  # things that a sentence names before it says how many more there are


class Repair(NamedTuple):
    """`would` completes "--fix would …"; `run` does it, again if need be, and returns what was done.

    It writes nothing but what is derived from the records, and raises AgentMemError or OSError when it fails.
    """

    would: str
    run: Callable[[Progress], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """`scope` is "" for what concerns the whole memory. `done` is what a repair did, or why it failed."""

    name: str
    severity: Severity
    sentence: str
    way_out: str = ""
    scope: str = ""
    repair: Repair | None = None
    done: str = ""
    repaired: bool = False

    @property
    def stands(self) -> bool:
        """Whether it is a fault that has not been repaired."""
        return self.severity == "fault" and not self.repaired

    def mended(self, progress: Progress) -> Finding:
        """The finding after its repair was run; without one, as it is."""
        if self.repair is None:
            return self
        try:
            return replace(self, done=self.repair.run(progress), repaired=True)
        except AgentMemError as error:
            return replace(self, done=f"it failed: {error}", way_out=error.way_out or self.way_out)
        except OSError as error:
            return replace(self, done=f"it failed: {error.filename or ''}: {error.strerror or error}")

    def to_json(self) -> dict[str, Any]:
        """`fault`: whether it is one that stands."""
        return {
            "name": self.name,
            "severity": self.severity,
            "fault": self.stands,
            "scope": self.scope,
            "sentence": self.sentence,
            "way_out": self.way_out,
            "fixable": self.repair is not None,
            "would": self.repair.would if self.repair else "",
            "done": self.done,
            "repaired": self.repaired,
        }


def failed(name: str, error: AgentMemError, *, scope: str = "") -> Finding:
    """The fault that an error tells of."""
    return Finding(name, "fault", f"{error.title}: {error}", error.way_out, scope)


def plenty(things: list[str]) -> str:
    """The first of many, and how many more."""
    more = f" and {len(things) - _LISTED:,} more" if len(things) > _LISTED else ""
    return ", ".join(things[:_LISTED]) + more
