"""LangChain's `Embeddings` objects as embedders.

Knows the two methods that LangChain asks of them and the names under which they keep what they were made with. Imports
nothing of LangChain: whoever hands an object over has it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentmem.address import address_of, without_keys
from agentmem.embedders.openai import known_dimension
from agentmem.embedding import LangChainEmbeddings, text_digest
from agentmem.errors import EmbeddingError, InvalidInput
from agentmem.foreign import foreign

__all__ = ["LangChainEmbedder"]

_T = TypeVar("_T")

# Where LangChain's own integrations keep them, the most telling first.
_MODEL: Final = ("model", "model_name", "model_id", "repo_id", "model_path", "deployment", "endpoint_name")
_SERVER: Final = ("base_url", "openai_api_base", "azure_endpoint", "endpoint_url", "endpoint")
_DIMENSION: Final = ("dimensions", "output_dimensionality", "size")


class LangChainEmbedder:
    """Vectors by a LangChain `Embeddings` object: `embed_documents` for texts, `embed_query` for questions.

    The id is made of the object's class, its model, its server's host and the dimension asked of it, where it has
    them (`OllamaEmbeddings-nomic-embed-text@localhost:11434`), so that an object made the same way tomorrow finds
    today's vectors. Give an `id` of your own when that does not tell two of yours apart, such as two objects of one
    class with different instructions.

    Such an object seldom says its dimension. Give `dimension`, or let it be read off the model's name, or off the
    first vector: then whatever asks for it first waits for one text to be embedded. The id does not depend on it.

    A text without any sign but spaces is not handed on and gives a row of zeros. Threads may share it if they may
    share the object.
    """

    def __init__(self, embeddings: LangChainEmbeddings, *, id: str | None = None, dimension: int | None = None) -> None:
        if dimension is not None and (isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1):
            raise InvalidInput(f"a dimension is a number from 1, not {dimension!r}")
        if id is not None and not (isinstance(id, str) and id.isprintable() and id.strip()):
            raise InvalidInput(f"an embedder's id is a line of text, not {id!r}")
        self._embeddings = embeddings
        self._id = id or _described(embeddings)
        self._dimension = dimension or _declared(embeddings)
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self._id

    @property
    def dimension(self) -> int:
        """As given or known; else that of a first vector. EmbeddingError when none can be made."""
        with self._lock:
            if self._dimension is None:
                made = self._called(lambda: self._embeddings.embed_documents(["dimension"]))
                if made.ndim != 2 or not made.size:
                    raise self._odd(made)
                self._dimension = made.shape[1]
            return self._dimension

    @property
    def dimension_known(self) -> bool:
        """Whether `dimension` can be told without a text being embedded."""
        return self._dimension is not None

    @property
    def is_local(self) -> bool:
        """Whether the object says so, or names a server that is on this machine; one that says nothing is elsewhere."""
        said, server = getattr(self._embeddings, "is_local", None), _first(self._embeddings, _SERVER, str)
        if said is not None or server is None:
            return said is True
        try:
            return address_of(server).is_local
        except InvalidInput:
            return False

    def __repr__(self) -> str:
        return f"LangChainEmbedder({self._id!r})"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension], as the object made them."""
        matrix = np.zeros((len(texts), self.dimension), dtype=np.float32)
        clean = {row: _clean(text) for row, text in enumerate(texts) if text.strip()}
        if clean:
            made = self._called(lambda: self._embeddings.embed_documents(list(clean.values())))
            if made.shape != (len(clean), self.dimension):
                raise self._odd(made)
            matrix[list(clean)] = made
        return matrix

    def embed_cue(self, text: str) -> NDArray[np.float32]:
        """float32[dimension]: a question as the model wants one embedded."""
        if not text.strip():
            return np.zeros(self.dimension, dtype=np.float32)
        made = self._called(lambda: self._embeddings.embed_query(_clean(text)))
        if made.shape != (self.dimension,):
            raise self._odd(made)
        return made

    def _called(self, call: Callable[[], ArrayLike]) -> NDArray[np.float32]:
        try:
            with foreign(f"embed with {self._id}"), np.errstate(over="ignore"):
                return np.asarray(call(), np.float32)
        except EmbeddingError as error:
            said, way_out = str(error), error.way_out
        for value in getattr(self._embeddings, "__dict__", {}).values():
            if callable(reveal := getattr(value, "get_secret_value", None)):
                said = without_keys(said, reveal())
        # Not chained: what an integration raises may quote the key.
        raise EmbeddingError(
            without_keys(said), way_out=way_out or f"Look at what {type(self._embeddings).__name__} needs."
        )

    def _odd(self, made: NDArray[np.float32]) -> EmbeddingError:
        wanted = "" if self._dimension is None else f", not vectors of {self._dimension} dimensions"
        return EmbeddingError(
            f"{self._id} gave an array of shape {made.shape}{wanted}",
            way_out="Give the dimension that it has: LangChainEmbedder(embeddings, dimension=...).",
        )


def _clean(text: str) -> str:
    """Half a surrogate pair, as JSON can smuggle in, is no text to a tokenizer or a server."""
    return text.encode("utf-8", "replace").decode()


def _first(embeddings: LangChainEmbeddings, names: Sequence[str], kind: type[_T]) -> _T | None:
    found = (getattr(embeddings, name, None) for name in names)
    return next((value for value in found if isinstance(value, kind) and value), None)


def _declared(embeddings: LangChainEmbeddings) -> int | None:
    size = _first(embeddings, _DIMENSION, int)
    if size is not None and size > 0:
        return size
    model = _first(embeddings, _MODEL, str)
    return None if model is None else known_dimension(model)


def _described(embeddings: LangChainEmbeddings) -> str:
    words = type(embeddings).__name__
    if model := _first(embeddings, _MODEL, str):
        words += f"-{model}"
    if server := _first(embeddings, _SERVER, str):
        try:
            words += f"@{address_of(server).place}"
        except InvalidInput:  # no URL, or one with a query: told apart all the same
            words += f"@{text_digest(server).hex()}"
    if size := _first(embeddings, _DIMENSION, int):
        words += f"-{size}"
    return re.sub(r"[^\w.:/@\[\]-]+", "-", words)[:200]
