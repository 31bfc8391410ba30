"""What somebody said of a hit: how the journal keeps it, and how it is read again.

It is a change that alters nothing, and what was said stands in its cause: so it is undone as everything is, and goes
with a record that is erased.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final, Self

from agentmem.cues import Hit, parts_of
from agentmem.errors import InvalidInput
from agentmem.ledger import Draft, Reader
from agentmem.records import Change, Record
from agentmem.undo import undone
from agentmem.values import Decoders, Json, Value, moment, plain_text, text_of, truth, whole_number

__all__ = ["VERB", "Feedback", "draft", "standing"]

VERB: Final = "feedback"
_CHUNK = 1_000  # changes read by one statement


@dataclass(frozen=True, slots=True)
class Feedback(Value):
    """What somebody said of a hit: a row to train a ranker with. `parts` are the hit's; none if only an id was given.

    `record` is its id, `step` what an undo takes back.
    """

    record: str
    useful: bool
    at: datetime
    actor: str
    step: int
    cue: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: text_of(name) for name in ("record", "actor", "cue")},
        "useful": truth("useful"),
        "at": partial(moment, name="at"),
        "step": partial(whole_number, name="step"),
        "parts": parts_of,
    }

    @staticmethod
    def cause(hit: Hit, *, useful: bool, cue: str) -> str:
        """What the journal keeps of it, as the cause of a change. InvalidInput."""
        said = {
            "useful": truth("useful")(useful),
            "cue": plain_text(cue, "cue"),
            "parts": parts_of(hit.parts),
        }
        return plain_text(json.dumps(said, ensure_ascii=False), "feedback")

    @classmethod
    def told(cls, change: Change) -> Self:
        """As it was said by that change."""
        try:
            said = json.loads(change.cause)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the feedback of step {change.step} cannot be read: {error}") from error
        return cls.from_json(
            {
                **(said if isinstance(said, dict) else {}),
                "record": change.record_id,
                "at": change.at,
                "actor": change.actor,
                "step": change.step,
            }
        )


def draft(record: Record) -> Draft:
    """A change that leaves the record as it is."""
    return Draft(VERB, record.id, {}, {}, record)


def standing(reader: Reader) -> Iterator[Feedback]:
    """What is neither taken back nor erased, oldest first."""
    gone, after = undone(reader), 0
    while changes := reader.changes(after=after, limit=_CHUNK):
        after = changes[-1].seq
        for change in changes:
            if change.verb == VERB and not change.erased and change.step not in gone:
                yield Feedback.told(change)
