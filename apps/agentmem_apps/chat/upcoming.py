"""What the next call of a conversation would hold, part by part: asked by a person who looks on. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentmem.memory import Memory
from agentmem.values import now
from agentmem_apps.chat.agent import PERSONA
from agentmem_apps.chat.conversation import conversations, path_of, turns_of
from agentmem_apps.chat.prompting import Room, Shown, taken
from agentmem_apps.chat.ready import WINDOW, looked_up, ready
from agentmem_apps.chat.turn import ROLE

__all__ = ["Upcoming", "upcoming"]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """`session` is the conversation that goes on, "" when there is none yet. `tokens`, as estimated, are those of each
    part of the prompt, of the `budget` of all."""

    session: str
    shown: Shown
    tokens: Mapping[str, int]
    budget: int


def upcoming(memory: Memory, question: str = "", *, persona: str = PERSONA, room: Room | None = None) -> Upcoming:
    """Of the conversation that was last spoken in, if this were asked next. InvalidInput as `ChatAgent` has it."""
    room = Room() if room is None else room
    latest = conversations(memory, 1)
    session = latest[0].session if latest else ""
    turns = turns_of(memory, session) if latest else []
    path = [turn.id for turn in path_of(turns)]
    begun = ready(memory, session, tuple(path[-WINDOW - 1 :]))
    abandoned = {turn.id for turn in turns} - set(path)
    shown, _ = looked_up(memory, begun, question, room, now(), abandoned=abandoned)
    tokens = taken(memory.models.prompt(ROLE), persona, question, shown, room)
    return Upcoming(session, shown, tokens, room.total + tokens["system"])
