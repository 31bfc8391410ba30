"""The store protocol: a projection of the journal that can also recall, and what its memory does for it.

A store follows the journal through `apply`, keeps whatever it derives, and answers a cue with hits. What it derives
is never the truth: it can be thrown away and rebuilt. Installed ones are in `memory.stores`; others are attached with
`memory.attach(name, store)`. Either's hits count as one more signal of a recall.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import RLock
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar

from agentmem.cues import Cue, Hit
from agentmem.errors import AgentMemError
from agentmem.index import Matches
from agentmem.ledger import Draft, Reader, ScopedLedger
from agentmem.records import Change, Record
from agentmem.values import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from agentmem.dynamics import Uses
    from agentmem.embedding import Embedder
    from agentmem.gate import Gate
    from agentmem.models.answer import Answer
    from agentmem.models.calls import Call
    from agentmem.models.prompts import Prompt
    from agentmem.models.structured import Structured

__all__ = [
    "FAMILIAR",
    "Bond",
    "Completion",
    "Dating",
    "Due",
    "Foreseen",
    "Gating",
    "Held",
    "Host",
    "Models",
    "Recognising",
    "Rehearsing",
    "Repeat",
    "Repeating",
    "Repeats",
    "Report",
    "Store",
    "Working",
]

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True, slots=True)
class Report:
    """What idle-time work did: a sentence for a person, and the counts behind it.

    `unread` are the ids of records of which a model's answers could not be used: each is tried again as a job of its
    own. `fault` is why a model could not be asked, None when it could: the rest waits, and nothing has failed.
    """

    summary: str
    counts: Mapping[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    fault: AgentMemError | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What idle-time work would do, and the questions that it would put to models, as estimated."""

    report: Report
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A slot of working memory: the records in it, the newest last, and why they are there, in words.

    `age` counts the steps since it was last written; `strength` lies between 0 and 1; `tokens` is what its texts take.
    """

    records: tuple[Record, ...]
    tokens: int
    age: int
    strength: float
    pinned: bool
    why: str


@dataclass(frozen=True, slots=True)
class Completion:
    """The memory that a fragment is part of.

    `confidence`, 0 to 1: the share of the fragment that the record holds, its rare words counting more, divided by the
    number of records that hold as much. `others`: those, up to 8, in order of writing; `record` is the newest of all.
    """

    record: Record
    confidence: float
    others: tuple[Record, ...] = ()


Bond: TypeAlias = Literal["exact", "near", "semantic"]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The record that says something already, and how near it comes to it."""

    record: Record
    kind: Bond


@dataclass(frozen=True, slots=True)
class Repeats:
    """What was said more than once: the records that say it, oldest first; how often in all, the times that were only
    noted among them; and when last. `kind` is the loosest bond between them."""

    kind: Bond
    records: tuple[Record, ...]
    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A record that is due to be looked at again since then, and how much of it is retained by now, from 0 to 1."""

    record: Record
    since: datetime
    retention: float


class Models(Protocol):
    """The language models that a store may ask, by what they are asked for: `summarise`, `extract`, `judge`.

    `kinds` are the kinds of memories whose words are shown, `cause` is what it is for, in ids, and `prompt` the name
    and version of what is asked, the `id` of a `Prompt`. An AgentMemError when there is no model, or it fails.
    """

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name, as the user has it: a store that fills another reads past what the user wrote."""
        ...

    def chat(
        self,
        role: str,
        messages: str,
        *,
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
    ) -> Answer:
        """What the model of that role answers."""
        ...

    def structured(
        self,
        role: str,
        schema: type[M],
        messages: str,
        *,
        kinds: Collection[str] = (),
        cause: str = "",
        prompt: str = "",
    ) -> Structured[M]:
        """The answer as an object of a pydantic schema. BadOutput when it could not be made one."""
        ...


class Host(Protocol):
    """What a memory does for a store, in the one scope that the store serves.

    `lock` is held by whoever asks a store or lets it follow; a store that is called in other ways holds it itself.
    """

    @property
    def ledger(self) -> ScopedLedger: ...

    @property
    def embedder(self) -> Embedder:
        """The one whose vectors `vectors`, `embed` and `nearest` speak of."""
        ...

    @property
    def lock(self) -> RLock:
        """The store's own: held for long, it holds up nobody but those who ask this store."""
        ...

    @property
    def reach(self) -> int:
        """The `seq` up to which every live record has its vector, if its embedder can make one."""
        ...

    def vectors(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """float32[n, dimension], of length 1, in the order asked; a row of zeros where there is none."""
        ...

    def embed(self, texts: Sequence[str], kinds: Collection[str] | None = None) -> NDArray[np.float32]:
        """float32[n, dimension], of length 1. EmbeddingError; of an embedder that may not be sent this, NotAsked.

        `kinds` are those of the memories whose words are in the texts. None stands for any: then an embedder elsewhere
        is not asked while any kind is private.
        """
        ...

    def asked(self, cue: Cue) -> NDArray[np.float32] | None:
        """The cue's vector, given or made, of length 1; None when it has no text, or the embedder is down."""
        ...

    def nearest(self, vector: NDArray[np.float32], k: int) -> Matches:
        """The live records nearest to a vector of length 1."""
        ...

    def write(self, plan: Callable[[Reader], Iterable[Draft]], cause: str) -> list[Change]:
        """Journal what `plan` makes of the scope as it stands, as one step that undo takes back. Without the lock."""
        ...

    def note(self, verb: str, said: Iterable[tuple[str, str]]) -> list[Change]:
        """As `write`, changes that alter nothing: of each record, by its id, a note with its own cause. A record that
        is not here any more is passed over."""
        ...

    def store(self, name: str) -> Store:
        """Another of the scope's stores, having followed the journal. PluginError."""
        ...


class Store(Protocol):
    """The caller serialises calls, and hands changes over in the order of `seq`, each at least once."""

    @property
    def cursor(self) -> int:
        """The `seq` of the last change applied; 0 at first."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Follow the journal. Idempotent: a change seen before alters nothing.

        A store that keeps what it derives moves its cursor in the transaction that keeps it. One that cannot go on (it
        waits for vectors) leaves its cursor where it is, and is handed the same changes later.
        """
        ...

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        """Up to `k` hits, best first; scores on any scale, higher is better."""
        ...

    def inspect(self) -> Mapping[str, Json]:
        """What a screen shows of the store."""
        ...

    def rebuild(self) -> None:
        """Throw away what was derived, and derive it anew from the journal.

        One that does not read the journal itself sets its cursor to 0: all changes are handed over again.
        """
        ...

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        """Idle-time work; without models whatever can be done without. Never called while a recall waits."""
        ...


class Dating(Store, Protocol):
    """A store that knows what is out of date."""

    def outdated(self) -> Mapping[int, str]:
        """The positions of live records that say nothing any more that holds, and why, in words."""
        ...


# Of records that say by meaning what an earlier one says, 96 % were as familiar as this by their words, and of others
# 18 % (BEAM, development half, 24 of the former): what is less so is taken for new.
FAMILIAR: Final = 0.4


class Recognising(Store, Protocol):
    """A store that knows what it has seen before."""

    def complete(
        self,
        fragment: str,
        *,
        speaker: str | None = None,
        place: str | None = None,
        on: date | datetime | str | None = None,
    ) -> Completion | None:
        """The memory that a fragment is part of; None when nothing is familiar. InvalidInput for a blank one."""
        ...

    def familiarity(self, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, which says that the same was stored."""
        ...


class Repeating(Store, Protocol):
    """A store that knows what was said more than once."""

    @property
    def repetitive(self) -> bool:
        """Whether there is anything of the kind, as far as it has followed. Takes no lock."""
        ...

    def together(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The positions of all records that say by words what another says too, ascending, and of each the position of
        the first that said it."""
        ...

    def groups(self, kind: Bond | None = None, limit: int = 20) -> list[Repeats]:
        """Most often said first. With `kind`, by that bond; None: by words, exact or near."""
        ...

    def repeated(
        self,
        text: str,
        vector: Sequence[float] | None = None,
        *,
        kind: str = "turn",
        speaker: str | None = None,
        role: str | None = None,
    ) -> Repeat | None:
        """The last live record that says this already; with a vector of the text, by that too."""
        ...


class Rehearsing(Store, Protocol):
    """A store that knows when memories were used."""

    def held(self) -> tuple[list[Record], Uses]:
        """What may fade, and its uses, row by row."""
        ...

    def due(self, now: datetime, k: int = 10) -> list[Due]:
        """Up to `k` records that are due to be looked at again, the least retained first."""
        ...


class Gating(Store, Protocol):
    """A store that has learned which stores a question is best put to."""

    def gate(self) -> Gate:
        """As it stands; the caller does not change it."""
        ...


class Working(Store, Protocol):
    """A store that holds a few things in mind, which a person may arrange. What they do is journaled, and undone."""

    def held(self) -> list[Held]:
        """What is in mind, in the order arranged, else the strongest first."""
        ...

    def evict(self, *ids: str) -> None:
        """Take these records out of mind; they stay in the memory. RecordNotFound, or InvalidInput if not held."""
        ...

    def arrange(self, ids: Sequence[str]) -> None:
        """Show the slots of these records first, in this order."""
        ...
