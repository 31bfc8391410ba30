"""What a model may do by itself: look into the memory, remember, note a place, set a reminder.

A model's call is a stranger's: its arguments are checked, it reaches this scope alone, and what it writes is marked as
the agent's, has the turn as its source, and is undone like anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final

from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agentmem.errors import AgentMemError
from agentmem.memory import Memory
from agentmem.models.tolerant import in_words
from agentmem.records import Record
from agentmem.values import moment, now, plain_text

__all__ = ["REMIND", "TOOLS", "Toolbox", "described"]

REMIND: Final = "remind"  # the kind of job that a reminder is
BY_AGENT: Final = "by-agent"  # the tag of what an agent wrote of its own accord
_LONGEST: Final = 2_000  # characters of a text
_MOST: Final = 8  # calls of one answer


def _text(text: str) -> str:
    text = plain_text(text, "it").strip()
    if not text or len(text) > _LONGEST:
        raise ValueError(f"it must have 1 to {_LONGEST:,} characters")
    return text


Text = Annotated[str, AfterValidator(_text)]


class Recall(BaseModel):
    """Look into the memory for what was said or noted before."""

    model_config = ConfigDict(title="recall", extra="forbid")
    cue: Annotated[Text, Field(description="what to look for, in a few words or as a question")]


class Remember(BaseModel):
    """Remember something lasting that the user said in this conversation, in the user's language."""

    model_config = ConfigDict(title="remember", extra="forbid")
    text: Annotated[Text, Field(description="one sentence that is clear on its own")]


class NotePlace(BaseModel):
    """Note what happened or stands somewhere."""

    model_config = ConfigDict(title="note_place", extra="forbid")
    text: Annotated[Text, Field(description="what happened or is there")]
    place: Annotated[Text, Field(description="the name of the place")]


class SetReminder(BaseModel):
    """Remind the user of something at a time."""

    model_config = ConfigDict(title="set_reminder", extra="forbid")
    text: Annotated[Text, Field(description="what to remind of")]
    when: Annotated[Text, Field(description="when, as ISO 8601 with a time zone: 2026-05-03T09:00:00+02:00")]


TOOLS: Final[Mapping[str, type[BaseModel]]] = {
    "recall": Recall,
    "remember": Remember,
    "note_place": NotePlace,
    "set_reminder": SetReminder,
}


@cache
def described() -> tuple[dict[str, Any], ...]:
    """The tools as models are told of them; made once, since that takes 5 ms."""
    return tuple(convert_to_openai_tool(tool) for tool in TOOLS.values())


@dataclass
class Toolbox:
    """The tools of one turn. `written` is what they wrote, `shown` the ids that they showed."""

    memory: Memory
    session: str
    turn: Record
    tokens: int = 600
    written: list[Record] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    calls: int = 0

    def run(self, name: str, args: Mapping[str, Any]) -> str:
        """What the tool says to the model, faults included: it may do better the next time."""
        self.calls += 1
        if self.calls > _MOST:
            return f"Refused: {_MOST} calls are the most for one answer. Answer now."
        if name not in TOOLS:
            return f"Refused: there is no tool {name!r:.40}. Tools: {', '.join(TOOLS)}."
        try:
            return self._run(TOOLS[name].model_validate(dict(args)))
        except ValidationError as error:
            return f"Refused: {in_words(error)}."
        except AgentMemError as error:
            return f"Refused: {error}"

    def _run(self, call: BaseModel) -> str:
        match call:
            case Recall():
                found = self.memory.context(call.cue, self.tokens, without=[self.turn.id])
                self.shown += [hit.record.id for hit in found.hits]
                return found.text or "Nothing of that is remembered."
            case Remember():
                return self._wrote(call.text, kind="note")
            case NotePlace():
                return self._wrote(call.text, kind="episode", place=call.place)
            case SetReminder():
                due = moment(call.when, name="when")
                return self._remind(call.text, due)
            case _:
                raise AssertionError("every tool has its case")

    def _wrote(self, text: str, **fields: Any) -> str:
        record = self.memory.add(
            text,
            role="assistant",
            session=self.session,
            tags=[BY_AGENT],
            sources=[self.turn.id],
            **fields,
        )
        self.written.append(record)
        return f"Done: it is remembered as {json.dumps(record.id[-8:])}."

    def _remind(self, text: str, due: datetime) -> str:
        if due <= now():
            return "Refused: that time is over."
        said = self._wrote(text, kind="reminder", meta={"due": due.isoformat()})
        self.memory.jobs.put(REMIND, {"record": self.written[-1].id}, due=due)
        return f"{said} It is due {due.isoformat()}."
