"""The embedder exam: shapes, finite numbers, and that a text's vector depends on the text alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from agentmem.embedding import Embedder
from agentmem_stores.testing.exam import Exam, equal, holds

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EMBEDDERS", "EmbedderSubject"]

_TEXTS: Final = ["The launch is on 3 May.", "x", "e\u0301 👩‍👩‍👧 שלום", "word " * 300, "The launch is on 3 May."]
_ALIKE: Final = 0.999  # cosine of two vectors of one text: a model's rounding differs with the size of the batch

EMBEDDERS: Final[Exam[Embedder]] = Exam(
    "embedder", required={"core": "one finite vector a text, of the text alone"}, optional={}
)


@dataclass(frozen=True)
class EmbedderSubject:
    """An embedder that sits the exam; `open` gives one, anew each time."""

    name: str
    open: Callable[[], Embedder]
    claims: Collection[str] = field(default=frozenset({"core"}), init=False)
    exam: Exam[Embedder] = field(default=EMBEDDERS, init=False, repr=False)

    @contextmanager
    def room(self, seed: int, cases: int) -> Iterator[Embedder]:
        yield self.open()


def _alike(one: NDArray[np.float32], other: NDArray[np.float32], what: str) -> None:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = np.einsum("ij,ij->i", one, other) / np.where(norms > 0, norms, 1)
    same = (cosines >= _ALIKE) | (np.abs(one - other).max(axis=1, initial=0) == 0)
    holds(same.all(), f"{what}; the cosines are {np.round(cosines, 3).tolist()}")


@EMBEDDERS.promise("core")
def one_finite_row_a_text_of_the_dimension_it_states(embedder: Embedder) -> None:
    holds(isinstance(embedder.id, str) and embedder.id, "an id")
    for texts in (_TEXTS, _TEXTS[:1], []):
        matrix = np.asarray(embedder.embed(texts), np.float32)
        equal(matrix.shape, (len(texts), embedder.dimension), f"the shape for {len(texts)} texts")
        holds(np.isfinite(matrix).all(), "finite numbers")


@EMBEDDERS.promise("core")
def a_vector_depends_on_its_text_alone_and_not_on_its_batch(embedder: Embedder) -> None:
    whole = np.asarray(embedder.embed(_TEXTS), np.float32)
    _alike(np.asarray(embedder.embed(_TEXTS), np.float32), whole, "the same vectors when asked again")
    _alike(np.asarray(embedder.embed(_TEXTS[::-1]), np.float32)[::-1], whole, "the same vectors in another order")
    alone = np.concatenate([np.asarray(embedder.embed([text]), np.float32) for text in _TEXTS])
    _alike(alone, whole, "the same vectors one by one")
    holds(not np.allclose(whole[0], whole[1]), "different vectors for different texts")
