"""A short memory that rolls along a stream: a few sentences, from which each new text drops some and adds some.

RecurrentGPT's hidden state and its two gates, in words (Zhou et al. 2023, arXiv 2305.13304), over a stream that is
given instead of written: a model says which sentences go and which come, and why, and code does it. Without a model
those stay that say most of what all say. However long the stream, what is shown at once is bounded. The module knows
no ledger: what was heard is archived by whoever owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

from agentmem.errors import InvalidInput
from agentmem.recall.pack import quote
from agentmem.store import Models
from agentmem.values import Decoders, Json, Value, many, plain_text, text_of, whole_number, words
from agentmem_stores.summaries import (
    EXTRACT,
    LONGEST,
    SENTENCES,
    Embed,
    by_hash,
    central,
    line,
    sentences,
    telling,
    unheard,
    words_in,
)

if TYPE_CHECKING:
    from agentmem.models.answers import RollingEdit

__all__ = ["PIECE", "WORDS", "Edit", "Passage", "RecurrentSummarizer", "RollingMemory"]

WORDS: Final = 200  # of a short memory: a screen, and a tenth of the turns that a chat shows beside it
PIECE: Final = 6_000  # characters, as they are shown, of the text that one step takes: about 40 turns of a chat
_PART: Final = PIECE // 2 - 200  # characters of a long text in one line: two lines, with date and name, make a piece
_EDITS: Final = 32  # of a step that are told; of a long text the last ones
_REASON: Final = 200  # characters
_ENDS: Final = (". ", "! ", "? ", "\n", "。", "！", "？")
_NAME: Final = 80  # characters of a speaker's name before a sentence


def _texts(name: str) -> Callable[[Any], tuple[str, ...]]:
    return lambda value: words(many(value, name), name)


class Passage(NamedTuple):
    """Something that was said, by whom and when, as far as it is known."""

    text: str
    speaker: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edit(Value):
    """A sentence that was dropped or added (`deed`: `drop` or `add`), and why."""

    deed: str
    sentence: str
    reason: str
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {name: text_of(name) for name in ("deed", "sentence", "reason")}


@dataclass(frozen=True, slots=True)
class RollingMemory(Value):
    """A short memory after a step. It is plain JSON, and never altered: a step that fails leaves it as it was.

    Of the last step: its `edits`, the last 32; how many sentences were `cut`, since the memory had no room; `refused`,
    since they told numbers that nobody said, or had no room by themselves; and `ignored`, since they named a sentence
    that there is not, or said what the memory says. `by` is the model that was asked, `prompt` what it was asked; or
    `by` is `extract`. `kinds` are those of all that was ever taken in.
    """

    sentences: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    cut: int = 0
    refused: int = 0
    ignored: int = 0
    by: str = ""
    prompt: str = ""
    kinds: tuple[str, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict, repr=False)

    _decode: ClassVar[Decoders] = {
        **{name: partial(whole_number, name=name) for name in ("cut", "refused", "ignored")},
        **{name: text_of(name) for name in ("by", "prompt")},
        **{name: _texts(name) for name in ("sentences", "kinds")},
        "edits": lambda value: tuple(Edit.from_json(one) for one in many(value, "edits")),
    }

    @property
    def text(self) -> str:
        """The sentences, one a line."""
        return "\n".join(self.sentences)

    @classmethod
    def of(cls, text: str, known: Collection[str] = (), kinds: Collection[str] = ()) -> Self:
        """A memory that says this: a line that is `known` is one sentence, and others are cut into theirs."""
        lines = ([one] if one in known else sentences(one) for one in text.split("\n"))
        return cls(tuple(dict.fromkeys(one for listed in lines for one in listed)), kinds=tuple(sorted(kinds)))


class RecurrentSummarizer:
    """The loop: `step` takes in a text, and gives the memory after it.

    `words` are the most that a memory ever has. Without models, `embed` makes the vectors that sentences are chosen by,
    float32[n, dimension] of length 1; None: of hashed words. The same steps give the same memory, as far as the model
    gives the same answers.
    """

    def __init__(self, models: Models | None = None, *, words: int = WORDS, embed: Embed | None = None) -> None:
        self._models = models
        self.words = whole_number(words, "words", 1)
        self._embed = embed if embed is not None else by_hash

    def step(
        self,
        memory: RollingMemory,
        text: str | Iterable[Passage],
        *,
        kinds: Collection[str] = (),
        cause: str = "",
    ) -> RollingMemory:
        """The memory after a text, or after what several people said. One that is longer than a model is shown at once
        is taken in piece by piece.

        `kinds` are those of the memories that it stands in, and `cause` is what it is for, in ids, as `Models` takes
        them. AgentMemError when the model cannot be asked, BadOutput when its answers cannot be used: nothing came of
        the step then. EmbeddingError.
        """
        passages = [Passage(text)] if isinstance(text, str) else list(many(text, "text"))
        for passage in passages:
            if not isinstance(passage, Passage):
                raise InvalidInput(f"a text must be one, or a list of Passage, not of {type(passage).__name__}")
            plain_text(passage.text, "text")
        told = list(filter(None, (" ".join(sentence.split()) for sentence in memory.sentences)))
        begun = self._within(replace(memory, edits=(), cut=0, refused=0, ignored=0), told)
        kinds = {*memory.kinds, *words(kinds, "kinds")}
        after = self._by_model(begun, passages, kinds, cause) if self._models else self._by_extract(begun, passages)
        return replace(after, edits=after.edits[-_EDITS:], kinds=tuple(sorted(kinds)))

    def _within(self, memory: RollingMemory, told: Sequence[str], edits: Sequence[Edit] = ()) -> RollingMemory:
        """The memory with these sentences in it, as many of the last ones as it has room for, and what was done."""
        sizes = [words_in(sentence) for sentence in told]
        first, total = 0, sum(sizes)
        while total > self.words:
            total -= sizes[first]
            first += 1
        why = f"there is room for {self.words} words"
        cut, kept = [Edit("drop", sentence, why) for sentence in told[:first]], tuple(told[first:])
        done = [edit for edit in edits if edit.deed == "drop" or edit.sentence in kept]
        return replace(memory, sentences=kept, edits=(*memory.edits, *cut, *done), cut=memory.cut + len(cut))

    # ── by a model ───────────────────────────────────────────────────────────────────────────────────────────────

    def _by_model(
        self, memory: RollingMemory, passages: Sequence[Passage], kinds: Collection[str], cause: str
    ) -> RollingMemory:
        from agentmem.models.answers import RollingEdit

        assert self._models is not None
        ask = self._models.prompt("rolling")
        for text in _pieces(passages):
            numbered = "\n".join(f"{n}. {quote(told)}" for n, told in enumerate(memory.sentences, 1))
            asked = ask.fill(words=self.words, memory=numbered or "(nothing yet)", text=text)
            answer = self._models.structured(ask.role, RollingEdit, asked, kinds=kinds, cause=cause, prompt=ask.id)
            memory = replace(self._edited(memory, answer.value, text), by=answer.model, prompt=ask.id)
        return memory

    def _edited(self, memory: RollingMemory, edit: RollingEdit, text: str) -> RollingMemory:
        """What the model voted for, as far as it holds up."""
        dropped = {one.number - 1: one.reason for one in edit.drop if one.number <= len(memory.sentences)}
        kept = [told for n, told in enumerate(memory.sentences) if n not in dropped]
        done = [Edit("drop", memory.sentences[n], _short(reason)) for n, reason in sorted(dropped.items())]
        known, ignored, refused = {told.casefold() for told in kept}, len(edit.drop) - len(dropped), 0
        for one in edit.add:
            sentence = " ".join(one.sentence.split())
            for told in [sentence] if len(sentence) <= LONGEST else sentences(sentence):
                if words_in(told) > self.words or unheard(told, text, *memory.sentences):
                    refused += 1
                elif told.casefold() in known:
                    ignored += 1
                else:
                    known.add(told.casefold())
                    kept.append(told)
                    done.append(Edit("add", told, _short(one.reason)))
        after = self._within(memory, kept, done)
        return replace(after, ignored=memory.ignored + ignored, refused=memory.refused + refused)

    # ── without one ──────────────────────────────────────────────────────────────────────────────────────────────

    def _by_extract(self, memory: RollingMemory, passages: Sequence[Passage]) -> RollingMemory:
        parts = ((one.speaker, part) for one in passages for part in _parts(one.text, LONGEST * SENTENCES))
        every = [((speaker or "")[:_NAME], told) for speaker, part in parts for told in sentences(part)]
        # What says little is kept when there is nothing else: a memory of something is not empty.
        said = telling(every) or ([] if memory.sentences else list(dict.fromkeys(every)))
        for start in range(0, len(said), SENTENCES):
            told = [f"{who}: {sentence}" if who else sentence for who, sentence in said[start : start + SENTENCES]]
            new = dict.fromkeys(map(self._shortened, told))
            memory = self._chosen(memory, [one for one in new if one not in memory.sentences])
        return replace(memory, by=EXTRACT, prompt="")

    def _shortened(self, sentence: str) -> str:
        """One that has no room by itself as far as it has: what was said is not nothing."""
        while words_in(sentence) > self.words:
            sentence = sentence[: len(sentence) // 2].rstrip()
        return sentence

    def _chosen(self, memory: RollingMemory, new: Sequence[str]) -> RollingMemory:
        """The memory with those of its sentences and the new ones that say most of what all say."""
        every = [*memory.sentences, *new]
        sizes = [words_in(one) for one in every]
        if sum(sizes) <= self.words:
            taken: Sequence[int] = range(len(every))
        else:
            taken = central(self._embed(every), lambda rows: sum(sizes[row] for row in rows) <= self.words)
        old, stays = len(memory.sentences), set(taken)
        done = [Edit("drop", every[row], "others say more of what was said") for row in range(old) if row not in stays]
        done += [Edit("add", every[row], "it says much of what was said") for row in taken if row >= old]
        return self._within(memory, [every[row] for row in taken], done)


def _short(reason: str) -> str:
    return " ".join(reason.split())[:_REASON]


def _pieces(passages: Sequence[Passage]) -> Iterator[str]:
    """What was said, as lines of data: as many in a piece as PIECE characters hold."""
    piece: list[str] = []
    size = 0
    for said in (one for passage in passages for one in _lines(passage)):
        if piece and size + len(said) > PIECE:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(said)
        size += len(said) + 1
    if piece:
        yield "\n".join(piece)


def _lines(passage: Passage) -> Iterator[str]:
    """One line, or of a text that takes more than PIECE, one for each of its parts."""
    for part in _parts(passage.text, _PART):
        said = line(part, passage.speaker, passage.at)
        if len(said) <= PIECE:
            yield said
        else:  # of signs that are quoted as up to 12 characters each
            yield from (line(one, passage.speaker, passage.at) for one in _parts(part, PIECE // 16))


def _parts(text: str, longest: int) -> Iterator[str]:
    """A text in parts of up to so many characters, cut between two sentences where there are any, else between two
    words; none of a blank one."""
    start, text = 0, text.strip()
    while (last := start + longest) < len(text):
        ends = [at + len(sign) for sign in _ENDS if (at := text.rfind(sign, start + longest // 2, last)) >= 0]
        end = max(ends) if ends else text.rfind(" ", start + longest // 2, last) + 1 or last
        yield text[start:end]
        start = end
    if rest := text[start:].strip():
        yield rest
