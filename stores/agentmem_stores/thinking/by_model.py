"""Facts read from what was said by a language model, whose answer is checked before any of it is believed.

It sees some turns at a time, or parts of long ones, each quoted as data under a number of this prompt. A fact that
names another number, or quotes words that do not stand there letter by letter, is refused, whatever else it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from agentmem.errors import BadOutput, InvalidInput
from agentmem.recall.pack import estimate_tokens, quote
from agentmem.records import Record
from agentmem.store import Models
from agentmem_stores.summaries import line
from agentmem_stores.thinking.by_rule import Extracted
from agentmem_stores.thinking.statements import Statement, key

if TYPE_CHECKING:
    from agentmem.models.answers import Fact

__all__ = ["MOST", "TOKENS", "TURNS", "Part", "Told", "ask", "batches", "cut"]

ROLE: Final = "extract"
TURNS: Final = 8  # of a batch: small models lose their way among more, and one that is unusable costs the others less
TOKENS: Final = 1_500  # of a batch, as estimated: with the prompt and the answer it fits into a context of 4,096
MOST: Final = 12  # facts of a batch: at 80 tokens each they fit into the 1,024 of an answer
_LONGEST: Final = 20_000  # characters of a turn that are read: what is longer was pasted
_NUMBERED: Final = 40  # tokens of a line beside its words: number, date, and a name
_SILENCE: Final = re.compile(r"\s{80,}")  # what was blanked out, or nothing: it is not shown
_SENTENCE_ENDS: Final = re.compile(r"[.!?。！？]+[\"'”’)]*\s*|\n\s*")
_WORD_ENDS: Final = re.compile(r"\s+")
# Whoever speaks, as models call them that do not heed the prompt.
_FIRST: Final = frozenset(
    {
        *(
            "i",
            "me",
            "my",
            "myself",
            "mine",
            "speaker",
            "the speaker",
            "user",
            "the user",
            "ich",
            "je",
            "moi",
            "yo",
            "eu",
        ),
        *("我", "私", "僕", "俺"),
    }
)
_OWN: Final = re.compile(r"(?:my|the (?:user|speaker)'s) (?=\S)", re.IGNORECASE)


class Part(NamedTuple):
    """What is shown of a turn at once: its words from `start` on."""

    turn: Record
    start: int
    words: str


class Told(NamedTuple):
    """The facts of a part that hold up, and how many were refused; `by` the model, by its spec, and by which prompt."""

    facts: list[Extracted]
    refused: int
    by: str
    prompt: str


def cut(turn: Record, words: str) -> Iterator[Part]:
    """A turn's readable words as parts of `TOKENS` at most, cut behind sentences where there are any: nearly always
    one. Nothing is shown of where there is nothing."""
    words = words[:_LONGEST]
    start = 0
    for end, begins in [*(gap.span() for gap in _SILENCE.finditer(words)), (len(words), len(words))]:
        while start < end:
            stop = _stop(words, start, end)
            if words[start:stop].strip():
                yield Part(turn, start, words[start:stop])
            start = stop
        start = begins


def _stop(words: str, start: int, end: int) -> int:
    stop = end
    while stop - start > 1 and estimate_tokens(quote(words[start:stop])) > TOKENS - _NUMBERED:
        stop = start + (stop - start) * 3 // 4
    if stop == end:
        return end
    for ends in (_SENTENCE_ENDS, _WORD_ENDS):
        found = [match.end() for match in ends.finditer(words, start + (stop - start) // 2, stop)]
        if found:
            return found[-1]
    return stop


def batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts that are asked about together, in their order. Of one kind, for what may be shown to whom goes by kinds.

    So a conversation of n turns and t tokens takes n / 8 + t / 750 + 1 batches at most: of two that follow each other
    one has 8 turns, or both together more than 1,500 tokens.
    """
    batch: list[Part] = []
    tokens = 0
    for part in parts:
        cost = estimate_tokens(quote(part.words)) + _NUMBERED
        full = len(batch) == TURNS or tokens + cost > TOKENS
        if batch and (full or part.turn.kind != batch[0].turn.kind):
            yield batch
            batch, tokens = [], 0
        batch.append(part)
        tokens += cost
    if batch:
        yield batch


def ask(models: Models, parts: Sequence[Part]) -> Iterator[tuple[Part, Told | None]]:
    """What each part says; None for one of which no answer can be used.

    When an answer cannot be used each half is asked about alone, down to one part: 2n - 1 questions for n parts at
    most. Whatever else `models.structured` raises comes after what was told by then.
    """
    try:
        told = _told(models, parts)
    except BadOutput:
        if len(parts) == 1:
            yield parts[0], None
            return
        half = len(parts) // 2
        yield from ask(models, parts[:half])
        yield from ask(models, parts[half:])
    else:
        yield from zip(parts, told, strict=True)


def _told(models: Models, parts: Sequence[Part]) -> list[Told]:
    from agentmem.models.answers import Facts  # pydantic takes its time, and most runs ask no model

    asked = models.prompt(ROLE)
    turns = [f"[{number}] {line(part.words, part.turn.speaker, part.turn.at)}" for number, part in enumerate(parts, 1)]
    answer = models.structured(
        ROLE,
        Facts,
        asked.fill(most=MOST, turns="\n".join(turns)),
        kinds={part.turn.kind for part in parts},
        cause=" ".join(dict.fromkeys(part.turn.id for part in parts)),
        prompt=asked.id,
    )
    given = answer.value.facts
    facts: list[list[Extracted]] = [[] for _ in parts]
    refused = [0 for _ in parts]
    refused[0] = max(len(given) - MOST, 0)
    for fact in given[:MOST]:
        at = fact.turn - 1
        found = _checked(fact, parts[at]) if at < len(parts) else None
        if found is None:
            refused[at if at < len(parts) else 0] += 1
        else:
            facts[at].append(found)
    return [
        Told(list(dict.fromkeys(found)), number, answer.model, asked.id)
        for found, number in zip(facts, refused, strict=True)
    ]


def _checked(fact: Fact, part: Part) -> Extracted | None:
    words, speaker = part.words, part.turn.speaker
    start = words.find(fact.quote)
    head = fact.head
    if start < 0:
        return None
    if key(head) in _FIRST or _OWN.match(head):
        if not speaker:
            return None
        owned = _OWN.sub("", head, count=1)
        head = speaker if key(head) in _FIRST else f"{speaker}'s {owned}"
    try:
        said = Statement.of(head, fact.relation, fact.tail, fact.negated)
    except InvalidInput:  # it is endless
        return None
    start += part.start
    return Extracted(
        said.head,
        said.relation,
        said.tails[0],
        (start, start + len(fact.quote)),
        fact.negated,
        fact.confidence,
        fact.when if fact.when and fact.when in words else None,
        fact.where if fact.where and fact.where in words else None,
    )
