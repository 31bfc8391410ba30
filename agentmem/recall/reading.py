"""What a cue says besides its words: quoted phrases, speakers and places of the scope, dates, and what kind of answer
it asks for.

One parse a question. It looks names up in the corpus and never guesses one. Nothing here is a filter: what was read
raises what fits, and what was read wrongly hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
_SAME_NAME: Final = 16  # places of one name: "room 1" of every house is nowhere
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
# What stands right beside something in its conversation is asked for, not the thing itself. "What did she do after the
# race?" does not: that may be told anywhere.
_AT_ONCE: Final = r"\b(?:right|just|immediately|directly|straight)"
_BESIDE: Final = {
    "before": rf"{_AT_ONCE} before\b|\bwhat (?:came|comes) before\b|\bled up to\b",
    "after": rf"{_AT_ONCE} after\b|\bwhat (?:followed|was next|(?:came|comes) after)\b"
    r"|\b(?:came|comes|happened|was said|was told) next\b",
}
_NEXT_TO = {where: re.compile(pattern, re.I) for where, pattern in _BESIDE.items()}
_ASKED = re.compile("|".join(rf"(?P<g{n}>\b(?:{pattern})\b)" for n, pattern in enumerate(_ANSWERS.values())), re.I)


@dataclass(frozen=True, slots=True)
class Reading:
    """Names are folded in case, as the corpus has them. `answer` is "" when the cue asks for nothing in particular.
    `of_assistant`: it asks for what the assistant said. `beside`: it asks for what stood right "after" or "before" what
    its words tell of."""

    phrases: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    dates: tuple[Span, ...] = ()
    answer: str = ""
    of_assistant: bool = False
    beside: str = ""


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
        speakers=_named(
            words, lambda name: _live([name] if name in corpus.values("speaker") else [], "speaker", corpus)
        ),
        places=_named(words, lambda name: _live(corpus.places_called(name), "place", corpus)),
        dates=_dates(text, corpus, datetime.now(UTC) if now is None else now),
        answer=answer,
        of_assistant=_OF_ASSISTANT.search(text) is not None,
        beside=next((where for where, pattern in _NEXT_TO.items() if pattern.search(text)), ""),
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


def _live(names: Sequence[str], column: str, corpus: Corpus) -> list[str]:
    return [name for name in names if len(corpus.labelled(column, name))]


def _named(words: list[str], called: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """The names whose words stand in the text in a row, the longest of overlapping ones, each once."""
    found: dict[str, None] = {}
    start = 0
    while start < len(words):
        for length in range(min(_LONGEST_NAME, len(words) - start), 0, -1):
            names = called(" ".join(words[start : start + length]))
            if 0 < len(names) <= _SAME_NAME:
                found.update(dict.fromkeys(names))
                start += length - 1
                break
        start += 1
    return tuple(found)
