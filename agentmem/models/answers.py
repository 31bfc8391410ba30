"""What models are asked for, as schemas: what an answer must be before any of it is looked at.

Models name turns, pairs and sentences by the numbers that the prompt gave them, and nothing by its id. Whether a number
was given, and whether a quote stands in its turn, is for the caller to check, who has the prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field

from agentmem.values import plain_text

__all__ = ["Added", "Dropped", "Fact", "Facts", "RollingEdit", "Verdict", "Vote", "Votes"]

_LONGEST: Final = 2_000  # characters of one text: a long sentence, or a short paragraph


def _told(text: str) -> str:
    text = plain_text(text, "it").strip()
    if not text:
        raise ValueError("it is empty")
    if len(text) > _LONGEST:
        raise ValueError(f"it has {len(text):,} characters, and {_LONGEST:,} are the most")
    return text


def _as_it_is(text: str) -> str:
    _told(text)
    return text


def _once(numbers: Iterable[int], what: str) -> None:
    repeated = sorted(number for number, times in Counter(numbers).items() if times > 1)
    if repeated:
        raise ValueError(f"{what} {repeated[0]} is listed more than once")


# The limits stand in functions, not in the schema: some servers refuse schemas that have a maxLength.
Told: TypeAlias = Annotated[str, AfterValidator(_told)]
Quote: TypeAlias = Annotated[str, AfterValidator(_as_it_is)]
Number: TypeAlias = Annotated[int, Field(ge=1)]
Verdict: TypeAlias = Literal["same", "update", "contradict", "unrelated"]


class Fact(BaseModel):
    """One fact, and the words of the turn that say so."""

    turn: Number
    head: Told
    relation: Told
    tail: Told
    quote: Quote
    negated: bool = False
    confidence: Annotated[float, Field(ge=0, le=1)]
    when: Told | None = None
    where: Told | None = None


class Facts(BaseModel):
    facts: list[Fact]


class Vote(BaseModel):
    pair: Number
    vote: Verdict


def _each_pair_once(votes: list[Vote]) -> list[Vote]:
    _once((vote.pair for vote in votes), "pair")
    return votes


class Votes(BaseModel):
    votes: Annotated[list[Vote], AfterValidator(_each_pair_once)]


class Dropped(BaseModel):
    """A sentence of the short memory that may go. The reason is asked for first, so that it comes before the deed."""

    reason: Told
    number: Number


class Added(BaseModel):
    reason: Told
    sentence: Told


def _each_sentence_once(dropped: list[Dropped]) -> list[Dropped]:
    _once((one.number for one in dropped), "sentence")
    return dropped


class RollingEdit(BaseModel):
    """What a short memory loses and gains."""

    drop: Annotated[list[Dropped], AfterValidator(_each_sentence_once)]
    add: list[Added]
