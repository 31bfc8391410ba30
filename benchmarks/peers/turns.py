"""What every system is given: the same turns, the same questions, the same vectors; computed once, by nobody measured.

The turns are the messages of BEAM and then those of LoCoMo, in the order they were said, as the importers read them.
There are 5,694 in the development halves. For fewer, BEAM is cut; for more, BEAM's long messages are split at blank
lines, which gives 31,262 passages and turns. The questions are LoCoMo's with evidence, adversarial ones left out,
drawn by seed. A vector is MiniLM's of "speaker: text", for turns; of the question as it stands, for questions.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import Embedder, embed_checked
from agentmem.errors import InvalidInput
from agentmem.records import Scope
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Conversation, Dataset

__all__ = ["Data", "Given", "Question", "Turn", "read", "vectors"]

Floats = NDArray[np.float32]
_BATCH = 256  # texts between two reports of progress


@dataclass(frozen=True, slots=True)
class Turn:
    """`key` is unique in the run; `conversation` is what a question may be filtered to."""

    key: str
    conversation: str
    session: str | None
    speaker: str
    at: datetime
    text: str

    @property
    def said(self) -> str:
        """What was embedded, and what a system without a field for the speaker keeps."""
        return f"{self.speaker}: {self.text}"


@dataclass(frozen=True, slots=True)
class Question:
    """`gold` holds the keys of the turns that answer it."""

    text: str
    conversation: str
    gold: frozenset[str]


@dataclass(frozen=True, slots=True)
class Given:
    """What was read. `files` says of which bytes, by their SHA-256."""

    turns: list[Turn]
    questions: list[Question]
    files: Mapping[str, str]

    @property
    def texts(self) -> list[str]:
        """The texts to embed: of the turns first."""
        return [*(turn.said for turn in self.turns), *(question.text for question in self.questions)]


@dataclass(frozen=True, slots=True)
class Data:
    """Turns and questions with a unit vector each: float32[turns, d] and float32[questions, d]."""

    turns: list[Turn]
    questions: list[Question]
    turn_vectors: Floats
    question_vectors: Floats

    @classmethod
    def of(cls, given: Given, matrix: Floats) -> Self:
        """`matrix` holds the vectors of `given.texts`."""
        count = len(given.turns)
        return cls(given.turns, given.questions, matrix[:count], matrix[count:])


def read(locomo_file: Path, beam_folder: Path, count: int, questions: int, seed: int) -> Given:
    """`count` turns, or all there are, and `questions` of the questions whose evidence is among them."""
    dialogues, chats = locomo.load(locomo_file), beam.load(beam_folder)
    said = [turn for conversation in dialogues.conversations for turn in _turns("locomo", conversation)][:count]
    messages = [turn for conversation in chats.conversations for turn in _turns("beam", conversation)]
    room = count - len(said)
    if room > len(messages):
        messages = [passage for message in messages for passage in _passages(message)]
    turns = messages[:room] + said
    asked = _questions(dialogues, {turn.key for turn in turns}, questions, seed)
    return Given(turns, asked, {data.name: data.sha256 for data in (dialogues, chats)})


def _turns(name: str, conversation: Conversation) -> Iterator[Turn]:
    where = f"{name}-{conversation.id}"
    for record in conversation.records(Scope("benchmark")):
        key = f"{where}/{conversation.id_of(record)}"
        yield Turn(key, where, record.session, record.speaker or "", record.at, record.text)


def _passages(message: Turn) -> Iterator[Turn]:
    pieces = (piece.strip() for piece in message.text.split("\n\n"))
    for number, piece in enumerate(filter(None, pieces), 1):
        key = f"{message.key}#{number}"
        yield Turn(key, message.conversation, message.session, message.speaker, message.at, piece)


def _questions(dialogues: Dataset, there: set[str], count: int, seed: int) -> list[Question]:
    judged = dialogues.groups["without adversarial"]
    found = []
    for conversation in dialogues.conversations:
        where = f"locomo-{conversation.id}"
        for asked in conversation.questions:
            gold = frozenset(f"{where}/{id}" for id in asked.gold)
            if asked.category in judged and gold <= there:
                found.append(Question(asked.text, where, gold))
    if not found:
        raise InvalidInput("no question has its evidence among the turns", way_out="Take more turns: --turns 5000.")
    return random.Random(seed).sample(found, min(count, len(found)))


def vectors(texts: Sequence[str], embedder: Embedder, cache: Path | None, tell: Callable[[str], None]) -> Floats:
    """Unit vectors of the texts, from the cache folder when they were made before with the same embedder."""
    digest = hashlib.sha256(embedder.id.encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    file = None if cache is None else cache / f"{digest.hexdigest()[:32]}.npy"
    if file is not None and file.is_file():
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]
    rest, made = iter(texts), []
    while batch := list(islice(rest, _BATCH)):
        made.append(embed_checked(embedder, batch))
        tell(f"embedded {sum(map(len, made)):,} of {len(texts):,} texts")
    matrix = np.concatenate(made)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, matrix)
    return matrix
