"""A few sentences that stand for many: extracted without a model, or asked of one and not trusted.

The extract takes the sentences nearest the centroid of all (Radev et al. 2004) that do not say what was taken already
(maximal marginal relevance, Carbonell and Goldstein 1998). It knows no store.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem import verbs
from agentmem.embedders.hashing import HashEmbedder
from agentmem.embedding import embed_checked, embedding_text, unit_rows
from agentmem.errors import AgentMemError, InvalidInput, NoModel
from agentmem.ledger import Draft, Reader
from agentmem.models.embedding import NotAsked
from agentmem.recall.pack import estimate_tokens, quote
from agentmem.recall.text import UNSPACED
from agentmem.records import Record, RecordFields, Source
from agentmem.store import Models
from agentmem.values import Json, plain_text
from agentmem_stores.chunking import print_of

__all__ = [
    "EXTRACT",
    "KIND",
    "LONGEST",
    "OF",
    "SENTENCES",
    "TOKENS",
    "Embed",
    "Made",
    "Summariser",
    "by_hash",
    "central",
    "extract",
    "line",
    "mark",
    "or_by_hash",
    "rewritten",
    "sentences",
    "telling",
    "unheard",
    "withdrawn",
    "words_in",
]

log = logging.getLogger("agentmem")
T = TypeVar("T")
Embed: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]

KIND: Final = "chunk"  # of the records that summarise one
OF: Final = "chunk"  # in their meta: the print of what they were made of
EXTRACT: Final = "extract"  # in their meta, by whom: nobody but an embedder
TOKENS: Final = 120  # of a summary, as estimated: a tenth of 32 turns of a chat
LONGEST: Final = 400  # characters of a sentence
SENTENCES: Final = 256  # looked at; a pasted book is no turn
_NAME: Final = 80  # characters of a speaker's name that a model is shown
_ALIKE: Final = 0.5  # what a sentence loses for being like one that was taken, against what it gains by the centroid
_WORDS: Final = 4  # of a sentence that says something
_LETTERS: Final = 16  # of a word: what is longer, as an address is, counts as several
_WRITTEN: Final = 6 * TOKENS  # characters of a model's summary: twice what it was asked for
_TRIES: Final = 2
_NEARLY: Final = 0.75
_BREAK: Final = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")  # between two sentences
_NUMBER: Final = re.compile(r"\d+")
_AGAIN: Final = "\n\nA summary that was given before cannot be used: {}. Give another."


@cache
def _hashing() -> HashEmbedder:
    return HashEmbedder()


def by_hash(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of hashed words, float32[n, 512] of length 1: they need nobody."""
    return embed_checked(_hashing(), texts)


def or_by_hash(embed: Embed) -> Embed:
    """The same, for texts that are compared with each other: by hashed words when the embedder may not be asked."""

    def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
        try:
            return embed(texts)
        except NotAsked as error:
            log.info("sentences are chosen by hashed words: %s", error)
            return by_hash(texts)

    return embedded


def extract(records: Sequence[Record], embed: Embed, tokens: int = TOKENS) -> str:
    """The sentences of the records that say most of what all say, in order of telling, each speaker named before the
    first of theirs; about `tokens` at most, and never empty. EmbeddingError."""
    every = [(record.speaker or "", sentence) for record in records for sentence in sentences(record.text)]
    said = (telling(every) or list(dict.fromkeys(every)))[:SENTENCES]
    vectors = embed([sentence for _, sentence in said])
    return _told(said, central(vectors, lambda taken: estimate_tokens(_told(said, taken)) <= tokens))


def sentences(text: str) -> list[str]:
    """The text's sentences, white space within them made one space; each up to LONGEST characters, SENTENCES of them
    at most."""
    parts = (" ".join(part.split())[:LONGEST] for part in _BREAK.split(text.strip()[: LONGEST * SENTENCES]))
    return [part for part in parts if part]


def telling(said: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of sentences, each with its speaker, those that say something, each once."""
    return list(dict.fromkeys(one for one in said if words_in(one[1]) >= _WORDS))


def words_in(text: str) -> int:
    """How many words a text has: of a script that puts no spaces between them, half as many as signs, and of one that
    is longer than 16 letters, as many as fit into it."""
    unspaced = len(UNSPACED.findall(text))
    spaced = sum(-(-len(word) // _LETTERS) for word in UNSPACED.sub(" ", text).split())
    return spaced + -(-unspaced // 2)


def central(vectors: NDArray[np.float32], fits: Callable[[Sequence[int]], bool]) -> list[int]:
    """The rows that are nearest to the mean of all and unlike each other, in order: the best one, and more of them
    while they fit together. `vectors` are of length 1."""
    near = vectors @ unit_rows(vectors.mean(axis=0, dtype=np.float32)[None])[0]
    alike = np.zeros(len(vectors))
    taken: list[int] = []
    while len(taken) < len(vectors):
        worth = near - _ALIKE * alike
        worth[taken] = -np.inf
        best = int(np.argmax(worth))
        if taken and not fits([*taken, best]):
            break
        taken.append(best)
        alike = np.maximum(alike, vectors @ vectors[best])
    return sorted(taken)


def _told(said: Sequence[tuple[str, str]], taken: Sequence[int]) -> str:
    parts: list[str] = []
    last = ""
    for speaker, sentence in (said[i] for i in sorted(taken)):
        parts.append(f"{speaker}: {sentence}" if speaker and speaker != last else sentence)
        last = speaker
    return " ".join(parts)


def line(text: str, speaker: str | None = None, at: datetime | None = None) -> str:
    """What somebody said as one line of data for a model: `2024-05-03 "Ana": "text"`, as far as it is known."""
    said = quote(text) if speaker is None else f"{quote(speaker[:_NAME])}: {quote(text)}"
    return said if at is None else f"{at:%Y-%m-%d} {said}"


def unheard(text: str, *heard: str) -> list[str]:
    """The numbers in a text that stand in nothing of what was heard: a model made them up. 3 is the 03 of a date."""
    known = {number for one in heard for number in _numbers(one)}
    return [number for number in _numbers(text) if number not in known]


def _numbers(text: str) -> list[str]:
    return [number.lstrip("0") for number in _NUMBER.findall(text)]


class Made(NamedTuple):
    """A summary of some records: `of` is their print. `prompt` is what the model `by` was asked, "" if none was."""

    of: str
    records: Sequence[Record]
    text: str
    by: str = EXTRACT
    prompt: str = ""

    @property
    def fields(self) -> RecordFields:
        """What its record says: when the last of its sources happened, and whatever they agree on."""
        return {
            "text": self.text,
            "session": _same([record.session for record in self.records]),
            "at": max(record.at for record in self.records),
            "speaker": _same([record.speaker for record in self.records]),
            "role": _same([record.role for record in self.records]),
            "place": _same([record.place for record in self.records]),
            "sources": [Source(record=record.id, span=(0, len(record.text))) for record in self.records],
            "meta": {OF: self.of, "by": self.by} | ({"prompt": self.prompt} if self.prompt else {}),
        }

    @property
    def record(self) -> Record:
        return Record.create(scope=self.records[0].scope, kind=KIND, **self.fields)


def _same(values: Sequence[T]) -> T | None:
    return values[0] if all(value == values[0] for value in values) else None


def mark(record: Record) -> int:
    """64 bits that tell a record that says what it says: a summary is current while it was made of these."""
    said = hashlib.blake2b(f"{record.id}\0{embedding_text(record)}".encode(), digest_size=8)
    return int.from_bytes(said.digest(), "little")


def rewritten(reader: Reader, made: Sequence[Made], stale: Sequence[int], after: int) -> Iterator[Draft]:
    """The summaries as records, each in place of the stale one that is of most of the same, if there is one.

    What was edited, forgotten or summarised since the change `after` is left for the next run.
    """
    news = _written_since(reader, after)
    old = [record for record in _standing(reader, stale) if record.meta.get(OF) not in news]
    for one in made:
        ids = [record.id for record in one.records]
        now = [record for record in reader.get(ids) if record.state == "live"]
        if one.of in news or print_of(np.array([mark(record) for record in now], np.uint64)) != one.of:
            continue
        shared = [len({source.record for source in record.sources} & set(ids)) for record in old]
        if any(shared):
            draft = verbs.edit(old.pop(shared.index(max(shared))), None, one.fields)
            if draft is not None:
                yield draft
        else:
            yield verbs.add(one.record, fresh=True)


def withdrawn(reader: Reader, stale: Sequence[int], after: int, waiting: Set[int]) -> Iterator[Draft]:
    """Forget the stale summaries that none took the place of, unless what they are of stands `waiting` (positions)."""
    news = _written_since(reader, after)
    for record in _standing(reader, stale):
        sources = reader.get([source.record for source in record.sources if source.record is not None])
        if record.meta.get(OF) not in news and waiting.isdisjoint(source.position for source in sources):
            # Without its print: should an undo bring the chunk back, it may be summarised again.
            draft = verbs.alter("forget", record, state="forgotten", meta={**record.meta, OF: ""})
            if draft is not None:
                yield draft


def _standing(reader: Reader, positions: Sequence[int]) -> list[Record]:
    return [record for record in reader.at(positions) if record.state == "live" and record.kind == KIND]


def _written_since(reader: Reader, after: int) -> set[Json]:
    """The prints of what was summarised since: by this run, or by another process."""
    records = reader.changed(after).records
    return {record.meta[OF] for record in records if record.kind == KIND and isinstance(record.meta.get(OF), str)}


class Summariser:
    """Summaries of one run of idle-time work. `fault` is why no model could be asked: from then on there are none.
    `unusable` counts those for which an extract stands, since the model's answers could not be used."""

    def __init__(self, embed: Embed, models: Models | None) -> None:
        self._embed = embed
        self._models = models
        self.fault: AgentMemError | None = None
        self.unusable = 0

    def summarised(self, of: str, records: Sequence[Record], vectors: NDArray[np.float32]) -> Made | None:
        """A summary of the records; None when a model is to write it and cannot be asked now, since an extract would
        stand for good. `vectors` are the records' own, float32[n, dimension]. EmbeddingError."""
        made = self._asked(of, records, vectors) if self._models is not None and self.fault is None else None
        if made is None and self.fault is None:
            made = Made(of, records, extract(records, or_by_hash(self._embed)))
        return made

    def _asked(self, of: str, records: Sequence[Record], vectors: NDArray[np.float32]) -> Made | None:
        assert self._models is not None
        ask = self._models.prompt("summarise")
        lines = "\n".join(line(one.text[: 2 * LONGEST], one.speaker or "someone", one.at) for one in records)
        kinds, cause = {record.kind for record in records}, f"{records[0].id} to {records[-1].id}"
        asked = ask.fill(tokens=TOKENS, turns=lines)
        wrong = ""
        for _ in range(_TRIES):
            try:
                # With what is wrong: the same words would be answered as before, from what is kept of answers.
                shown = asked + _AGAIN.format(wrong) if wrong else asked
                answer = self._models.chat(ask.role, shown, kinds=kinds, cause=cause, prompt=ask.id)
            except NoModel as error:  # there is none for this, nor will there be one in a while
                log.info("no model summarises: %s", error)
                return None
            except AgentMemError as error:
                self.fault = error
                return None
            text, wrong = _checked(answer.text, lines)
            if not wrong and self._is_about(made := Made(of, records, text, answer.model, ask.id), vectors):
                return made
            wrong = wrong or "it tells of something else"
        log.info("a summary of %s is an extract: what the model wrote cannot be used, %s", cause, wrong)
        self.unusable += 1
        return None

    def _is_about(self, made: Made, vectors: NDArray[np.float32]) -> bool:
        """Whether a summary is at least nearly as near to the mean of its sources as the furthest of them.

        It tells another subject, not another talk: of 33 stretches of LoCoMo by MiniLM all summaries of their own pass,
        none of market news, and four in five of those of other conversations."""
        mean = unit_rows(vectors.mean(axis=0, dtype=np.float32)[None])[0]
        try:
            [told] = self._embed([embedding_text(made.record)])
        except NotAsked as error:  # then it stands by what else was checked
            log.info("what a summary is about is not checked: %s", error)
            return True
        return float(told @ mean) >= _NEARLY * float((vectors @ mean).min())


def _checked(answer: str, lines: str) -> tuple[str, str]:
    """The answer as one line, and what is wrong with it: a model's word is not taken for what can be checked."""
    try:
        text = " ".join(plain_text(answer, "it").split())
    except InvalidInput as error:
        return "", str(error)
    if not text:
        return "", "it is empty"
    if len(text) > _WRITTEN:
        return "", f"it has {len(text):,} characters, and {_WRITTEN:,} are the most"
    new = unheard(text, lines)
    return text, f"it has the number {new[0][:20]}, which is not said there" if new else ""
