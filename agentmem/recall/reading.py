"""What a cue says besides its words: quoted phrases, speakers and places of the scope, dates, and what kind of answer
it asks for.

One parse a question. It looks names up in the corpus and never guesses one. Nothing here is a filter: what was read
raises what fits, and what was read wrongly hides nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from agentmem.recall.bm25 import idf, scored
from agentmem.recall.corpus import Corpus, moment
from agentmem.recall.dates import Span, spans_in
from agentmem.recall.text import WORD, asked_terms

__all__ = ["Reading", "read"]

# A phrase has at most 200 characters: text full of opening quotes must not be searched to its end from each of them.
_QUOTED = re.compile(
    '"([^"]{1,200})"|\u201c([^\u201d]{1,200})\u201d|\u00ab([^\u00bb]{1,200})\u00bb|\u300c([^\u300d]{1,200})\u300d'
)
_LONGEST_NAME: Final = 5  # words
_LONGEST_CUE: Final = 16_000  # characters of a cue that are read: a pasted document names everybody
# The first that stands in the text decides.
_ANSWERS: Final = {
    "how many": r"how many|how much|how often|how long|how old",
    "when": r"when|what (?:time|day|date|month|year)|which (?:day|date|month|year)",
    "who": r"who|whom|whose",
    "where": r"where|which (?:city|country|place|town)|what (?:city|country|place|town)",
    "why": r"why|how come",
    "how": r"how",
    "summary": r"summar(?:y|i[sz]\w+)|overview|recap",
}
# What the assistant said is asked for: "what did you recommend", "your advice", "the assistant's answer".
# What "would you suggest" asks for is not yet said.
_OF_ASSISTANT = re.compile(
    r"\bdid you (?!know\b)\w+|\byour (?:\w+ )?(?:advice|answer|suggestion|recommendation|explanation|repl[yi]|response)"
    r"|\byou (?:\w+ )?(?:said|told|gave|wrote|(?:recommend|suggest|explain|mention|list|answer|advis|propos|describ)ed)"
    r"|\bthe assistant\b",
    re.I,
)
_ASKED = re.compile("|".join(rf"(?P<g{n}>\b(?:{pattern})\b)" for n, pattern in enumerate(_ANSWERS.values())), re.I)


@dataclass(frozen=True, slots=True)
class Reading:
    """Names are folded in case, as the corpus has them. `answer` is "" when the cue asks for nothing in particular.
    `of_assistant`: it asks for what the assistant said."""

    phrases: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    dates: tuple[Span, ...] = ()
    answer: str = ""
    of_assistant: bool = False


def read(text: str, corpus: Corpus, now: datetime | None = None) -> Reading:
    """What the text says, asked `now`, given who speaks, where, and when things happened in this scope."""
    text = text[:_LONGEST_CUE]
    phrases = (next(filter(None, found)).strip() for found in _QUOTED.findall(text))
    words = [word.casefold() for word in WORD.findall(text)]
    asked = list(_ANSWERS)
    found = _ASKED.search(text)
    answer = "" if found is None else asked[int((found.lastgroup or "g0")[1:])]
    return Reading(
        phrases=tuple(phrase for phrase in phrases if phrase),
        speakers=_named(words, corpus, "speaker"),
        places=_named(words, corpus, "place"),
        dates=_dates(text, corpus, datetime.now(UTC) if now is None else now),
        answer=answer,
        of_assistant=_OF_ASSISTANT.search(text) is not None,
    )


def _dates(text: str, corpus: Corpus, now: datetime) -> tuple[Span, ...]:
    if not len(corpus):
        return ()
    return tuple(spans_in(text, now, corpus.span, lambda event: _happened(event, corpus)))


def _happened(event: str, corpus: Corpus) -> datetime | None:
    """When that was which the scope's memories tell of in these words, as the best of them has it; None when none of
    them holds half of the words, rare ones counting more."""
    terms = asked_terms(event, corpus.languages())
    postings = {stems: corpus.postings(*stems) for stems in terms}
    found = {stems: held for stems, held in postings.items() if len(held[0])}
    if not found:
        return None
    best = int(scored(corpus, terms, found).argmax())
    rarity = {stems: idf(len(rows), len(corpus)) for stems, (rows, _) in postings.items()}
    held = sum(rarity[stems] for stems, (rows, _) in found.items() if best in rows)
    return moment(int(corpus.times()[best])) if held >= sum(rarity.values()) / 2 else None


def _named(words: list[str], corpus: Corpus, column: str) -> tuple[str, ...]:
    """The values of the column whose words stand in the text in a row, the longest of overlapping ones, each once."""
    names = corpus.values(column)
    found: dict[str, None] = {}
    start = 0
    while start < len(words):
        for length in range(min(_LONGEST_NAME, len(words) - start), 0, -1):
            name = " ".join(words[start : start + length])
            if name in names and len(corpus.labelled(column, name)):
                found[name] = None
                start += length - 1
                break
        start += 1
    return tuple(found)
