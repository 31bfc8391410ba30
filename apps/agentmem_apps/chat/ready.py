"""What a turn begins with: the turns before it, what is in mind, the short memory of what slipped out of sight.

Reading it takes milliseconds, so it is read after the turn before, when nobody waits, and again only if the memory was
written to since.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, cast

from agentmem.cues import Context, Hit
from agentmem.errors import MemoryClosed, PluginError
from agentmem.jobs import Bookkeeping
from agentmem.memory import Memory
from agentmem.recall.pack import estimate_tokens, pack
from agentmem.records import Record
from agentmem_apps.chat.prompting import Room, Said, Shown
from agentmem_apps.chat.tools import REMIND

__all__ = ["WINDOW", "Ready", "looked_up", "ready", "standing"]

log = logging.getLogger("agentmem")

WINDOW: Final = 40  # turns before the question that are looked at


class _Summing(Protocol):
    def of(self, session: str) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Ready:
    """As it stood at the journal's `head`. `ids`: the last turns of the branch, of which `path` are live. `reminds`:
    whether any reminder waits to be due."""

    head: int
    session: str
    ids: tuple[str, ...]
    path: tuple[Record, ...]
    in_mind: tuple[Hit, ...]
    summary: str
    reminds: bool

    def holds(self, memory: Memory, session: str, ids: tuple[str, ...]) -> bool:
        """Whether it is so still."""
        return (self.session, self.ids) == (session, ids) and memory.host.ledger.head() == self.head


def ready(memory: Memory, session: str, ids: tuple[str, ...]) -> Ready:
    ledger = memory.host.ledger
    head = ledger.head()  # first: what is written from here on makes it out of date
    in_mind: list[Hit] = []
    with _unharmed("what is in mind"):
        for slot in memory.working():
            in_mind += [Hit(one, slot.strength, verdict=slot.why) for one in reversed(slot.records)]
    summary: Record | None = None
    with _unharmed("what was summed up"):
        summary = cast(_Summing, memory.stores["rolling"]).of(session)
    reminds = isinstance(ledger, Bookkeeping) and any(
        job.kind == REMIND for job in memory.jobs.listed("waiting", "taken")
    )
    path = tuple(standing(memory, ids))
    text = summary.text if summary is not None and _of_turns(summary) else ""
    return Ready(head, session, ids, path, tuple(in_mind), text, reminds)


def looked_up(
    memory: Memory,
    begun: Ready,
    text: str,
    room: Room,
    now: datetime,
    *,
    question: Record | None = None,
    abandoned: Collection[str] = (),
) -> tuple[Shown, bool]:
    """What goes into the prompt beside the question, which is `question` once it is stored; and whether turns before it
    stand outside the prompt. `abandoned`: the turns of other branches, by id. Nothing is written."""
    recent = begun.path[-WINDOW:]
    here = [*recent, *([] if question is None else [question])]
    recalled = memory.context(text, room.recalled, without=[*here, *abandoned]) if text.strip() else Context()
    known = {turn.id for turn in here} | set(abandoned) | {hit.record.id for hit in recalled.hits}
    slipped = len(begun.path) > WINDOW or sum(estimate_tokens(turn.text) for turn in recent) > room.recent
    shown = Shown(
        now=now,
        recalled=recalled,
        in_mind=pack([hit for hit in begun.in_mind if hit.record.id not in known], room.in_mind),
        recent=[Said(turn.role or "user", turn.text) for turn in recent],
        summary=begun.summary if slipped else "",
    )
    return shown, slipped


def _of_turns(summary: Record) -> bool:
    """Whether it was made of turns alone: of other kinds it may hold what must not leave this machine."""
    kinds = summary.meta.get("kinds")
    return isinstance(kinds, list) and {str(kind) for kind in kinds} <= {"turn", summary.kind}


@contextmanager
def _unharmed(what: str) -> Iterator[None]:
    """A turn goes on without a store that is not installed, or that fails: it is anybody's."""
    try:
        yield
    except PluginError:
        pass
    except MemoryClosed:
        raise
    except Exception as error:  # noqa: BLE001  # a store may raise anything
        log.warning("the chat goes on without %s: %s", what, error)


def standing(memory: Memory, ids: tuple[str, ...]) -> list[Record]:
    """Those of the turns that are live, as they stand, in this order."""
    records = {record.id: record for record in memory.host.ledger.get(ids)}
    return [records[id] for id in ids if id in records and records[id].state == "live"]
