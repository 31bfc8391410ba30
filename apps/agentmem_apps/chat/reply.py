"""What an agent's turn was made of: the words, the memories behind them, what was written, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from agentmem.cues import Asked, Context, Hit
from agentmem.models.choice import ModelChoice
from agentmem.records import Record
from agentmem.values import Json
from agentmem_apps.chat.conversation import STOPPED

__all__ = ["Reply", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one reply took, all rounds of tools together; `cost` is in the money that prices are given in."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    ms: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost + other.cost,
            self.ms + other.ms,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """`question` and `answer` are the turns as they were stored; None while nothing is kept.

    `recalled` are the memories that the model was shown, with reasons, and `in_mind` those that it was shown for being
    in working memory. `written` is what it remembered by its tools. Two decisions were the router's: `asked`, which
    stores the question was put to, with `keeps`, which stores the turn concerns; and `models`, whom it might ask, in
    order, of which `model` answered. `cut` is why the answer ends before its end, "" when it is whole. `notes` are
    sentences about what was left out or went wrong.
    """

    text: str
    question: Record | None = None
    answer: Record | None = None
    context: Context = field(default_factory=Context)
    in_mind: tuple[Record, ...] = ()
    written: tuple[Record, ...] = ()
    reminders: tuple[Record, ...] = ()
    keeps: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelChoice, ...] = ()
    model: str = ""
    why: str = ""
    passed_over: tuple[str, ...] = ()
    usage: Usage = Usage()
    cut: str = ""
    notes: tuple[str, ...] = ()

    @property
    def recalled(self) -> tuple[Hit, ...]:
        return self.context.hits

    @property
    def asked(self) -> tuple[Asked, ...]:
        return self.context.asked

    @property
    def stopped(self) -> bool:
        """Whether whoever listened broke it off."""
        return self.cut == STOPPED

    def to_json(self) -> dict[str, Json]:
        """As plain JSON. Turns are named by their ids, and memories stand there whole."""
        return {
            "text": self.text,
            "session": None if self.question is None else self.question.session,
            "question": None if self.question is None else self.question.id,
            "answer": None if self.answer is None else self.answer.id,
            "recalled": [hit.to_json(full=True) for hit in self.recalled],
            "in_mind": [record.to_json(full=True) for record in self.in_mind],
            "written": [record.to_json(full=True) for record in self.written],
            "reminders": [record.to_json(full=True) for record in self.reminders],
            "asked": [one.to_json(full=True) for one in self.asked],
            "keeps": dict(self.keeps),
            "models": [asdict(choice) for choice in self.models],
            "model": self.model,
            "why": self.why,
            "passed_over": list(self.passed_over),
            "usage": asdict(self.usage),
            "cut": self.cut,
            "notes": list(self.notes),
        }

    @property
    def line(self) -> str:
        """One line for a person: `recalled 4 · remembered 2 · /why`."""
        parts = [f"recalled {len(self.recalled)}"]
        if self.written:
            parts.append(f"remembered {len(self.written)}")
        if self.cut:
            parts.append("cut short")
        return " · ".join([*parts, "/why"])
