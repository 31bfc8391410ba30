"""What a signal is: it looks at a question from one side, scores records, and says why.

A signal answers with an `Evidence`: rows it would bring up, a score for any row it is asked about, and reasons. How the
answers of several become one number is `fuse`'s to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Corpus, Rows
from agentmem.recall.text import asked_terms

if TYPE_CHECKING:
    from agentmem.cues import Cue
    from agentmem.index import Index
    from agentmem.recall.reading import Reading
    from agentmem.recall.tokens import Matches

__all__ = ["Evidence", "Question", "Said", "Scores", "Signal"]

Scores: TypeAlias = NDArray[np.float32]
Postings: TypeAlias = tuple[NDArray[np.intc], NDArray[np.intc]]


class Said(NamedTuple):
    """A cue's tokens: where each stands in its text, int32[n, 2], and how near they come to any record's."""

    spans: NDArray[np.int32]
    matches: Matches


@dataclass(frozen=True)
class Question:
    """What every signal is asked with: the cue, what it was understood to say, its unit vector if it has one, the rows
    its filters allow, in order of writing, how a few rows' texts are read, and its tokens, where there are any."""

    cue: Cue
    reading: Reading
    vector: NDArray[np.float32] | None
    corpus: Corpus
    index: Index
    allowed: Rows
    texts: Callable[[Rows], list[str]]
    said: Said | None = None
    partly: bool = False  # whether others are left out than those that the cue's filters keep out

    @cached_property
    def found(self) -> Mapping[tuple[str, ...], Postings]:
        """The cue's words that some record holds, and which hold each."""
        postings = {stems: self.corpus.postings(*stems) for stems in self.terms}
        return {stems: found for stems, found in postings.items() if len(found[0])}

    @cached_property
    def terms(self) -> Mapping[tuple[str, ...], int]:
        """Each word of the cue, as the terms it may be in the scope's languages, and how often it stands there."""
        return asked_terms(self.cue.text, self.corpus.languages())

    @property
    def filtered(self) -> bool:
        return len(self.allowed) < len(self.corpus)


class Evidence(Protocol):
    """One signal's view of one question."""

    def best(self, depth: int) -> Rows:
        """Up to `depth` allowed rows that this signal would bring up, in no order; none, if it only weighs others'."""
        ...

    def scores(self, rows: Rows) -> Scores:
        """float32[len(rows)]; NaN where the signal knows nothing of a row."""
        ...

    def reasons(self, rows: Rows) -> list[str]:
        """Why each of these rows scored, in a few words; "" where there is nothing to say."""
        ...


class Signal(Protocol):
    """`relative`: scores are on a scale of the signal's own, and count by how far they stand from those of the other
    candidates; else they count as they are. What they count for is a `Table`'s to say."""

    @property
    def name(self) -> str: ...

    @property
    def relative(self) -> bool: ...

    def ask(self, question: Question) -> Evidence | None:
        """None when the cue says nothing to this signal."""
        ...
