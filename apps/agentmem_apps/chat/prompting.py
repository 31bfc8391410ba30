"""The prompt of a turn: of bounded length, however long the conversation and whatever is remembered.

What changes least stands first, so that a local model need not read it again: the persona, then the turns before, then
what is recalled for this question, and the question. Whatever is remembered is quoted as data by `pack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agentmem.cues import Context
from agentmem.errors import InvalidInput
from agentmem.models.prompts import Prompt
from agentmem.recall.pack import estimate_tokens, quote
from agentmem.records import Record

__all__ = ["Room", "Said", "Shown", "compose", "shortened", "taken"]

_NOTHING: Final = Context()
_CUT: Final = "\n[… {} characters left out …]\n"
_LEAST: Final = 40  # tokens of a turn that is cut down to fit; with less room it is left out


@dataclass(frozen=True, slots=True)
class Room:
    """The most tokens, as estimated, that each part of a prompt takes."""

    persona: int = 1_000
    recalled: int = 1_280  # 32 short memories: as many as one search brings up
    in_mind: int = 300
    summary: int = 400
    recent: int = 1_500
    question: int = 2_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InvalidInput(f"the room for {name} must be a number of tokens, not {value!r:.40}")

    @property
    def total(self) -> int:
        """Of all parts together."""
        return sum(getattr(self, name) for name in self.__slots__)

    def scaled(self, share: float) -> Room:
        """The same with less room for all but the persona and the question."""
        part = {name: int(getattr(self, name) * share) for name in ("recalled", "in_mind", "summary", "recent")}
        return Room(persona=self.persona, question=self.question, **part)


class Said(NamedTuple):
    """A turn before the question: its role is `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What goes into the prompt beside the question. `now` is when it is asked."""

    now: datetime
    recalled: Context = _NOTHING
    in_mind: Context = _NOTHING
    recent: Sequence[Said] = ()
    summary: str = ""
    reminders: Sequence[Record] = ()


def compose(
    prompt: Prompt, persona: str, question: str, shown: Shown, room: Room, *, read_twice: bool = False
) -> list[BaseMessage]:
    """The messages. With `read_twice` the question stands before and after what is recalled, and that stands there
    twice: models that read from front to back and keep little find more (JRT, Arora et al. 2024, arXiv 2407.05483)."""
    if estimate_tokens(persona) > room.persona:
        raise InvalidInput(f"the persona takes more than {room.persona:,} tokens", way_out="Say it in fewer words.")
    asked = shortened(question, room.question)
    beside = "\n\n".join(_beside(shown, room))
    last = f"{asked}\n\n{beside}\n\n{beside}\n\n{asked}" if read_twice else f"{beside}\n\n{asked}"
    window = _window(shown.recent, room.recent)
    if window and isinstance(window[-1], HumanMessage):  # it was never answered
        last = f"{window.pop().text}\n\n{last}"
    return [SystemMessage(prompt.fill(persona=persona)), *window, HumanMessage(last)]


def taken(prompt: Prompt, persona: str, question: str, shown: Shown, room: Room) -> dict[str, int]:
    """The tokens, as estimated, of each part of the prompt that `compose` makes of this; `system` is all that is said
    beside them."""
    told = {
        "persona": estimate_tokens(persona),
        "recalled": shown.recalled.tokens,
        "in mind": shown.in_mind.tokens,
        "recent": sum(estimate_tokens(turn.text) for turn in _window(shown.recent, room.recent)),
        "summary": estimate_tokens(shortened(shown.summary, room.summary)),
        "question": estimate_tokens(shortened(question, room.question)),
    }
    whole = sum(estimate_tokens(message.text) for message in compose(prompt, persona, question, shown, room))
    return {"system": max(whole - sum(told.values()), 0), **told}


def _beside(shown: Shown, room: Room) -> list[str]:
    parts = [f"It is {shown.now:%A, %Y-%m-%d %H:%M %Z}."]
    if shown.summary:
        parts.append(f"Earlier in this conversation, in short: {quote(shortened(shown.summary, room.summary))}")
    if shown.in_mind.text:
        parts.append(f"What is in your mind:\n{shown.in_mind.text}")
    if shown.recalled.text:
        parts.append(f"What you recall:\n{shown.recalled.text}")
    for record in shown.reminders:
        parts.append(f"A reminder is due, tell of it: {quote(shortened(record.text, 100))}")
    return parts


def _window(recent: Sequence[Said], tokens: int) -> list[BaseMessage]:
    """The newest turns that fit, oldest first: a person's first, and never two of one role in a row, which some servers
    refuse."""
    kept: list[Said] = []
    for turn in reversed(recent):
        if tokens < _LEAST:
            break
        text = shortened(turn.text, tokens)
        tokens -= estimate_tokens(text)
        if kept and kept[-1].role == turn.role:
            kept[-1] = Said(turn.role, f"{text}\n\n{kept[-1].text}")
        else:
            kept.append(Said(turn.role, text))
    if kept and kept[-1].role == "assistant":
        kept.pop()
    return [AIMessage(text) if role == "assistant" else HumanMessage(text) for role, text in reversed(kept)]


def shortened(text: str, tokens: int) -> str:
    """The beginning and the end of a text that takes more tokens, with what was left out told between them."""
    if estimate_tokens(text) <= tokens:
        return text
    mark = _CUT.format(len(text))
    left = max(tokens - estimate_tokens(mark), 0)
    low, high = 0, len(text)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        if estimate_tokens(_ends(text, middle)) <= left:
            low = middle
        else:
            high = middle - 1
    return _CUT.format(len(text) - low).join((text[: low - low // 3], text[len(text) - low // 3 :]))


def _ends(text: str, n: int) -> str:
    return text[: n - n // 3] + text[len(text) - n // 3 :]
