"""The embedder protocol, and how a name such as `auto`, `hash` or `minilm:/path` becomes an embedder.

An embedder turns texts into vectors and nothing else. Its `id` names model, dimension and version: vectors are kept
under it, and vectors of two ids are never compared. Opening an embedder must be cheap and must never reach the
network; weights are loaded at the first `embed`. More is optional: `embed_cue`, for models that embed a question
otherwise than a text; `embed_tokens`, for those that give each token a vector too; `embed_counted`, for those whose
server counts tokens; and `close`. `is_local = True` says that what is embedded stays on this machine, and
`in_process = True` that it stays in this process, so that nothing is noted of it. One that says neither is taken to be
elsewhere.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from agentmem.errors import EmbeddingError
from agentmem.records import Record
from agentmem.registry import EMBEDDERS, load
from agentmem.values import ODD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "WITHHELD",
    "AnyEmbedder",
    "CountingEmbedder",
    "CueEmbedder",
    "Embedder",
    "LangChainEmbeddings",
    "TokenEmbedder",
    "Tokens",
    "counting_embedder",
    "cue_embedded",
    "embed_checked",
    "embed_tokens_checked",
    "embedding_text",
    "open_embedder",
    "text_digest",
    "token_embedder",
    "unit_rows",
]


@runtime_checkable
class Embedder(Protocol):
    """`embed(texts) -> float32[len(texts), dimension]`, from any thread; rows need not have length 1."""

    @property
    def id(self) -> str:
        """Model, dimension and version, such as `hash-512-v1`; the same id always means the same vectors."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class CueEmbedder(Embedder, Protocol):
    """An embedder whose model was trained to embed a question otherwise than the texts that answer it."""

    def embed_cue(self, text: str) -> NDArray[np.float32]:
        """float32[dimension], near to the texts that answer the question."""
        ...


class Tokens(NamedTuple):
    """What one pass of a model says of a text.

    `vector`: the text's own, float32[dimension]. `tokens`: float32[n, width], one a token, of length 1; `spans`:
    int32[n, 2], where in the text each stands.
    """

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32]
    spans: NDArray[np.int32]


class TokenEmbedder(Embedder, Protocol):
    """An embedder whose recalls may go by single words in their context: late interaction, Khattab and Zaharia 2020."""

    def embed_tokens(self, texts: Sequence[str]) -> Sequence[Tokens]:
        """One for each text, whose `vector` is what `embed` gives. All tokens have one width, 255 at most."""
        ...


class CountingEmbedder(Embedder, Protocol):
    """An embedder that knows how many tokens it is charged for."""

    def estimate(self, texts: Sequence[str]) -> int:
        """The tokens that embedding them takes, on the high side, before they are sent."""
        ...

    def embed_counted(
        self, texts: Sequence[str], count: Callable[[int], None], *, cue: bool = False
    ) -> NDArray[np.float32]:
        """As `embed`, or with `cue` as `embed_cue`; `count` is given the tokens of each request that was answered, also
        when a later one fails."""
        ...


class LangChainEmbeddings(Protocol):
    """What LangChain calls an embedding model: `embedders.langchain.LangChainEmbedder` makes an embedder of it."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...

    def embed_query(self, text: str) -> list[float]: ...


AnyEmbedder: TypeAlias = Embedder | LangChainEmbeddings
WITHHELD: Final = b"-"  # in place of a digest, beside a row of zeros: the text was not sent, and may be some day
_TOKENS = 256  # of a text: what a pasted book costs in room and in time

# Not strftime: a program's locale must not change what a vector is made from.
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def embedding_text(record: Record) -> str:
    """What is embedded, and indexed word by word: the text with its date and speaker before it.

    Names and dates are what questions ask for, and the text itself seldom says them.
    """
    day = f"({record.at.day} {_MONTHS[record.at.month - 1]} {record.at.year})"
    return f"{day} {record.speaker}: {record.text}" if record.speaker else f"{day} {record.text}"


def text_digest(text: str) -> bytes:
    """8 bytes that tell whether a vector still belongs to a text."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a zero row stays zero."""
    import numpy as np

    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return cast("NDArray[np.float32]", (matrix / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False))


def embed_checked(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors for the texts, or EmbeddingError: an embedder's answer is not trusted for shape or finiteness."""
    return _checked(embedder, len(texts), lambda: embedder.embed(texts))


def cue_embedded(embedder: Embedder, text: str, *, tokens: bool = True) -> tuple[NDArray[np.float32], Tokens | None]:
    """The unit vector of a question, by the embedder's `embed_cue` where it has one, and its tokens, if there are any
    and they are wanted; or EmbeddingError."""
    ask = getattr(embedder, "embed_cue", None)
    speaking = token_embedder(embedder) if tokens else None
    if speaking is not None:
        [row], [said] = embed_tokens_checked(speaking, [text])
        return row if ask is None else _checked(embedder, 1, lambda: [ask(text)])[0], said
    return _checked(embedder, 1, lambda: embedder.embed([text]) if ask is None else [ask(text)])[0], None


def token_embedder(embedder: Embedder) -> TokenEmbedder | None:
    """The embedder, if it gives its tokens' vectors too."""
    return cast(TokenEmbedder, embedder) if callable(getattr(embedder, "embed_tokens", None)) else None


def counting_embedder(embedder: Embedder) -> CountingEmbedder | None:
    """The embedder, if it counts its tokens."""
    counts = all(callable(getattr(embedder, name, None)) for name in ("estimate", "embed_counted"))
    return cast(CountingEmbedder, embedder) if counts else None


def embed_tokens_checked(embedder: TokenEmbedder, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[Tokens]]:
    """As `embed_checked`, and the same answer's tokens, 256 of a text at most; EmbeddingError also for tokens that are
    not as promised."""
    import numpy as np

    found: list[Tokens] = []

    def answer() -> ArrayLike:
        for vector, tokens, spans in embedder.embed_tokens(texts):
            kept = np.asarray(tokens, np.float32)[:_TOKENS], np.asarray(spans, np.int32)[:_TOKENS]
            found.append(Tokens(np.asarray(vector, np.float32), *kept))
        return np.array([one.vector for one in found]) if found else np.empty((0, embedder.dimension), np.float32)

    matrix = _checked(embedder, len(texts), answer)
    checked = []
    for text, (vector, tokens, spans) in zip(texts, found, strict=True):
        if tokens.ndim != 2 or spans.shape != (len(tokens), 2) or not 0 < tokens.shape[1] < 256:
            raise EmbeddingError(f"{embedder.id} gave tokens of shape {tokens.shape} with spans of {spans.shape}")
        if not np.isfinite(tokens).all() or bool((spans < 0).any()) or bool((spans > len(text)).any()):
            raise EmbeddingError(f"{embedder.id} gave a token that is not finite, or that is outside its text")
        checked.append(Tokens(vector, unit_rows(tokens), spans))
    if len(widths := {one.tokens.shape[1] for one in checked}) > 1:
        raise EmbeddingError(f"{embedder.id} gave tokens of several widths: {sorted(widths)}")
    return matrix, checked


def _checked(embedder: Embedder, count: int, answer: Callable[[], ArrayLike]) -> NDArray[np.float32]:
    import numpy as np

    try:
        matrix = np.asarray(answer(), dtype=np.float32)
    except (*ODD, AssertionError, RuntimeError, MemoryError, OSError) as error:  # a stranger's code
        raise EmbeddingError(
            f"{embedder.id} could not embed {count} texts: {error!r}",
            way_out="Until it is mended, recall goes by the words.",
        ) from error
    if matrix.shape != (count, embedder.dimension):
        raise EmbeddingError(
            f"{embedder.id} gave shape {matrix.shape} for {count} texts of {embedder.dimension} dimensions"
        )
    if not np.isfinite(matrix).all():
        raise EmbeddingError(f"{embedder.id} gave a vector that is not finite")
    return unit_rows(matrix)


def open_embedder(spec: str | AnyEmbedder = "auto") -> Embedder:
    """An embedder from its spelling: `NAME` or `NAME:ARGUMENT`, where NAME is an installed one; or itself.

    `auto` is the best that is installed without any download: `minilm` when its weights are on this machine, else
    `hash`, which always works. A LangChain `Embeddings` object is made an embedder.
    """
    if not isinstance(spec, str):
        # Looked up without being asked: an embedder may have to embed something to know its dimension.
        if all(inspect.getattr_static(spec, name, None) is not None for name in ("id", "dimension", "embed")):
            return cast(Embedder, spec)
        if callable(getattr(spec, "embed_documents", None)) and callable(getattr(spec, "embed_query", None)):
            from agentmem.embedders.langchain import LangChainEmbedder

            return LangChainEmbedder(cast(LangChainEmbeddings, spec))
        raise EmbeddingError(
            f"{type(spec).__name__} is no embedder", way_out="It needs id, dimension and embed(texts)."
        )
    if spec == "auto":
        try:
            return open_embedder("minilm")
        except EmbeddingError:
            return open_embedder("hash")
    name, _, argument = spec.partition(":")
    factory = load(EMBEDDERS, name)
    return cast(Embedder, factory(argument) if argument else factory())
