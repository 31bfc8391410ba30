"""What each signal counts for: tables of weights by a signal's name, set by hand or learned.

A learned table is as plain as one set by hand: the score is a sum of weighted values, and every hit's parts show it. It
has two ends, one learned on conversations between people and one on chats with an assistant, and lies between them by
how much of a scope an assistant said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from agentmem.recall.signal import Question

__all__ = [
    "BY_HAND",
    "COVERAGE",
    "LEARNED",
    "PRIOR",
    "Table",
    "Weighting",
    "Weights",
    "assistant_share",
    "beside",
    "fixed",
    "inheriting",
    "learned",
    "of_itself",
]

LEARNED: Final = Path(__file__).with_name("learned.json")


class Weights(NamedTuple):
    """What a signal's value counts for: that of the record itself, of the turn before it in its session, of the turn
    after it, and of the two turns two away. Of the coverage: each better record of its session, a better turn before,
    and one after."""

    own: float
    before: float = 0.0
    after: float = 0.0
    further: float = 0.0


Table: TypeAlias = Mapping[str, Weights]
# The weights that fit a question; a signal that has none counts for nothing.
Weighting: TypeAlias = "Callable[[Question], Table]"


def inheriting(own: float) -> Weights:
    """With a record's due of the turns beside it: its answer often stands next to the words of its question."""
    return Weights(own, 0.4 * own, 0.25 * own, 0.1 * own)


COVERAGE: Final = "coverage"  # the part that a record loses to better ones of its session, and beside it
# The signals that tell how well a record's words fit those of a question.
_OF_WORDS: Final = frozenset({"lexical", "dense", "late", "late window", "phrase"})
_ITSELF: Final = 0.3  # of the due of the record that the words tell of, when what stood beside it is asked for


def beside(table: Table, where: str) -> Table:
    """The same for a question that asks for what stood right after, or before, what its words tell of: the record
    beside the one that fits has its due."""
    found = {}
    for name, weights in table.items():
        if name in _OF_WORDS:
            due = weights.own + weights.before + weights.after
            own = _ITSELF * weights.own
            found[name] = Weights(own, due, 0.0) if where == "after" else Weights(own, 0.0, due)
        elif name == COVERAGE:  # it may stand next to a better one
            found[name] = Weights(weights.own)
        else:
            found[name] = weights
    return found


def fixed(table: Table) -> Weighting:
    """The same for all questions."""
    return lambda question: table


def of_itself(weighting: Weighting) -> Weighting:
    """The same, but nothing is inherited from the turns beside a record."""
    return lambda question: {name: Weights(weights.own) for name, weights in weighting(question).items()}


# A tie-break: of two records that fit a question alike the stronger and the later stands first. It may not count for
# more: learned freely, recency turns round, because benchmarks ask for what is long past.
PRIOR: Final = Weights(0.03)
# LoCoMo and BEAM, development halves: any weight may be half or twice as large for a point of recall@10 or less.
BY_HAND: Final[Table] = {
    "lexical": inheriting(1),
    "dense": inheriting(1),
    "late": inheriting(1),
    "late window": Weights(0.7),
    "session": Weights(1),
    "speaker": Weights(0.8),
    "place": Weights(0.8),
    "date": Weights(1),
    "phrase": Weights(3),
    "role": Weights(-4),
    "prior": PRIOR,
    "asking": Weights(-0.8),
}


def assistant_share(question: Question) -> float:
    """From 0, when no assistant speaks in the scope, to 1, when every other turn or more is its."""
    said = len(question.corpus.labelled("role", "assistant"))
    return min(1.0, 2 * said / max(1, len(question.corpus)))


def learned(question: Question) -> Table:
    """The table that `benchmarks/train_ranker.py` made, for a question with token vectors or without.

    It was made of questions in words: a cue of a vector alone, or of words that say nothing, goes by hand.
    """
    if not question.terms:
        return BY_HAND
    people, assistant = _ends()["without tokens" if question.said is None else "with tokens"]
    share = assistant_share(question)
    mixed = {}
    for name, one in people.items():
        other = assistant[name]
        mixed[name] = Weights(*((1 - share) * here + share * there for here, there in zip(one, other, strict=True)))
    return mixed


@cache
def _ends() -> Mapping[str, tuple[Table, Table]]:
    told: Mapping[str, Any] = json.loads(LEARNED.read_text(encoding="utf-8"))["weights"]
    return {kind: (_table(ends["people"]), _table(ends["assistant"])) for kind, ends in told.items()}


def _table(told: Mapping[str, list[float]]) -> Table:
    return {name: Weights(*numbers) for name, numbers in told.items()}
