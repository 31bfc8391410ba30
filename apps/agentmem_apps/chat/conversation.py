"""Conversations as they stand in the memory: turns of one session, each with the turn that it came after.

A turn's `meta["after"]` is the id of the one before it. Two turns after the same one are two branches; all are kept,
and the conversation is the path that ends in the turn written last. Turns without it, such as imported ones, come
after the one that was written before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Record
from agentmem.values import Json

__all__ = ["AFTER", "STOPPED", "Conversation", "conversation", "conversations", "mark", "path_of", "search", "turns_of"]

AFTER: Final = "after"
STOPPED: Final = "it was stopped"  # the turn's `meta["cut"]`, when whoever listened broke it off
ROLES: Final = ("user", "assistant")
_LOOKED_AT: Final = 5_000  # of the records written last, for a list of conversations or the turns of one
_TITLE: Final = 60  # characters


@dataclass(frozen=True, slots=True)
class Conversation:
    """`title` is how it begins, `turns` how many of its turns were looked at, all branches together."""

    session: str
    title: str
    turns: int
    last: datetime

    def to_json(self) -> dict[str, Json]:
        return {"session": self.session, "title": self.title, "turns": self.turns, "last": self.last.isoformat()}


def conversations(memory: Memory, limit: int = 20) -> list[Conversation]:
    """The conversations among the 5,000 records written last, the one that was last spoken in first."""
    by_session: dict[str, list[Record]] = {}
    for record in _said(memory.newest(_LOOKED_AT)):
        if record.session is not None:
            by_session.setdefault(record.session, []).append(record)
    return [_told(session, turns) for session, turns in list(by_session.items())[:limit]]


def conversation(memory: Memory, ending: str) -> Conversation:
    """The one whose session's name is, or alone ends with, this text. RecordNotFound, or InvalidInput for several."""
    if not ending.strip():
        raise InvalidInput("no conversation was named")
    known = conversations(memory, _LOOKED_AT)
    found = [one for one in known if one.session == ending] or [one for one in known if one.session.endswith(ending)]
    if not found:
        raise RecordNotFound(f"no conversation {ending!r:.80} here", way_out="`agentmem chat --list` lists them.")
    if len(found) > 1:
        raise InvalidInput(f"{ending!r:.80} ends the ids of several", way_out="Give more of its characters.")
    return found[0]


def search(memory: Memory, query: str, limit: int = 20) -> list[Conversation]:
    """The conversations in which something fits the query, the one with the best of it first."""
    known = {one.session: one for one in conversations(memory, _LOOKED_AT)}
    found: dict[str, list[Record]] = {}
    for hit in memory.recall(query, 5 * limit, kinds="turn"):
        if hit.record.session is not None:
            found.setdefault(hit.record.session, []).append(hit.record)
    return [known.get(session) or _told(session, turns) for session, turns in list(found.items())[:limit]]


def _said(records: Iterable[Record]) -> Iterable[Record]:
    return (record for record in records if record.kind == "turn" and record.role in ROLES)


def _told(session: str, turns: Sequence[Record]) -> Conversation:
    """`turns`: newest first, or best first."""
    text = " ".join(turns[-1].text.split())
    title = text if len(text) <= _TITLE else text[: _TITLE - 1] + "…"
    return Conversation(session, title, len(turns), max(turn.at for turn in turns))


def mark(turn: Record) -> str:
    """What a person is shown after a turn that is not whole; "" for one that is."""
    cut = turn.meta.get("cut")
    return "" if not cut else " (stopped)" if cut == STOPPED else " (cut short)"


def turns_of(memory: Memory, session: str) -> list[Record]:
    """The turns of a conversation, all branches and what is in the trash, in the order of writing; of the 5,000 records
    written last."""
    written = memory.newest(_LOOKED_AT, states=("live", "forgotten", "replaced"))
    return [turn for turn in _said(reversed(written)) if turn.session == session]


def path_of(turns: Sequence[Record], leaf: str | None = None) -> list[Record]:
    """The live turns that lead to one of them, and itself; None: to the live one written last. [] when there is none.

    RecordNotFound for a leaf that is not among them.
    """
    at = {turn.id: place for place, turn in enumerate(turns)}
    if leaf is not None and leaf not in at:
        raise RecordNotFound(f"no turn {leaf!r} in this conversation")
    live = [place for place, turn in enumerate(turns) if turn.state == "live"]
    place: int | None = at[leaf] if leaf is not None else live[-1] if live else None
    path: list[Record] = []
    while place is not None:
        path.append(turns[place])
        place = _before(turns, at, place)
    return [turn for turn in reversed(path) if turn.state == "live"]


def _before(turns: Sequence[Record], at: dict[str, int], place: int) -> int | None:
    if AFTER not in turns[place].meta:
        return place - 1 if place else None
    after = turns[place].meta[AFTER]
    if after is None:
        return None
    # One that was erased leaves a gap, and the turn written before stands in. A turn is written after the one it
    # follows: what names a later one was meddled with, and would go round and round.
    found = at.get(str(after), place - 1)
    return found if 0 <= found < place else None
