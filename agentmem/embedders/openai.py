"""Embeddings from any server that speaks OpenAI's `/v1/embeddings`: OpenAI, Ollama, vLLM, llama.cpp, LM Studio, ...

Knows what a text must be to be sent, how many go into a request, and how an answer is read without trusting it: the
order of its vectors, their dimension, their encoding. Refuses to know how a server is reached (`endpoint`). Opening
reaches no network and imports no client; the first text does.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from agentmem.address import model_name, model_spelled
from agentmem.endpoint import Answer, Endpoint, TooLong
from agentmem.errors import EmbeddingError, InvalidInput
from agentmem.models.calls import sound_count
from agentmem.recall.pack import estimate_tokens

if TYPE_CHECKING:
    import openai

__all__ = ["OpenAIEmbedder", "known_dimension", "open_openai"]

_OPENAI: Final = {"text-embedding-3-large": 3072, "text-embedding-3-small": 1536, "text-embedding-ada-002": 1536}
_KNOWN: Final = {
    **_OPENAI,
    "all-minilm": 384,
    "all-minilm-l6-v2": 384,
    "bge-base-en-v1.5": 768,
    "bge-large-en-v1.5": 1024,
    "bge-m3": 1024,
    "bge-small-en-v1.5": 384,
    "embeddinggemma": 768,
    "embeddinggemma-300m": 768,
    "multilingual-e5-base": 768,
    "multilingual-e5-large": 1024,
    "multilingual-e5-small": 384,
    "mxbai-embed-large": 1024,
    "mxbai-embed-large-v1": 1024,
    "nomic-embed-text": 768,
    "nomic-embed-text-v1": 768,
    "nomic-embed-text-v1.5": 768,
    "qwen3-embedding-0.6b": 1024,
    "qwen3-embedding-4b": 2560,
    "qwen3-embedding-8b": 4096,
    "snowflake-arctic-embed2": 1024,
}
_LARGEST: Final = 65_536

# OpenAI takes 8,192 tokens a text and 300,000 a request. No token is shorter than a byte, so the second holds for
# certain; prose has 3 to 5 bytes a token, so the first holds nearly always, and what is still too long is halved.
_TEXT_BYTES: Final = 24_000
_REQUEST_BYTES: Final = 300_000
_SHORTEST: Final = 200  # characters; a text that is refused as too long at this length is refused for something else

_PATIENCE_S: Final = 60.0
_CUE_PATIENCE_S: Final = 5.0  # somebody waits

_SHAPE: Final = "openai:MODEL, openai:MODEL@http://HOST:PORT/v1 or openai:MODEL@http://HOST:PORT/v1#DIMENSION"


def open_openai(spelling: str = "") -> OpenAIEmbedder:
    """The embedder that `openai:MODEL[@URL][#DIMENSION]` spells, such as `openai:bge-m3@http://127.0.0.1:8000/v1`.

    Without a URL it is OPENAI_BASE_URL, else OpenAI's own server. The key comes from OPENAI_API_KEY and never from the
    spelling, which is written to settings and ledgers; for the same reason a URL with a password is refused here.
    """
    named, hash_sign, dimension = spelling.partition("#")
    model, url = model_spelled(named, _SHAPE)
    if hash_sign and not re.fullmatch("[0-9]{1,5}", dimension):
        raise InvalidInput(f"{dimension!r} is no dimension", way_out=f"Write a number after the #: {_SHAPE}.")
    return OpenAIEmbedder(model, base_url=url, dimension=int(dimension) if hash_sign else None)


def known_dimension(model: str) -> int | None:
    """How many numbers a vector of this model has, by its name; None for a model that is not known here.

    `nomic-ai/nomic-embed-text-v1.5`, `nomic-embed-text:latest` and LM Studio's `text-embedding-nomic-embed-text-v1.5`
    are all found.
    """
    name = _plain(model)
    return _KNOWN.get(name) or _KNOWN.get(name.removeprefix("text-embedding-"))


def _plain(model: str) -> str:
    """The name without its owner and its tag."""
    return re.split("[:@]", model.rpartition("/")[2].lower())[0]


class OpenAIEmbedder:
    """Vectors by one model of one server. Threads may share it.

    `dimension` is what its vectors have. It must be known before any is made, because opening reaches no network, and
    because it belongs to the id: it may be left out for OpenAI's models and some widely used open ones, and must be
    given for others. A wrong one is told by the first answer, with the right one. OpenAI's `text-embedding-3` models
    are asked for shorter vectors when it is smaller than theirs. `shorten=True` asks another server's model too (the
    API's `dimensions`); do so only for a model trained for it, because some servers just cut any vector off.

    A text counts up to its first 24,000 bytes, and when the server says that it is still too long, up to the first
    half, quarter, ... that the server takes. A text without any sign but spaces is not sent and gives a row of zeros.

    `base_url` None is OPENAI_BASE_URL, else OpenAI's own; `api_key` None is OPENAI_API_KEY, and a server of one's own
    needs none. `batch` is how many texts go into a request (OpenAI takes up to 2,048), `timeout` how many seconds the
    server may be silent, `retries` how often a rate limit, a failure of the server, a timeout or a dropped connection
    is asked again: with growing pauses, or those that the server asks for, for a minute at most.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        shorten: bool | None = None,
        batch: int = 64,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        self._model = model_name(model)
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 2048:
            raise InvalidInput(f"a batch has 1 to 2048 texts, not {batch!r}")
        self._endpoint = Endpoint(base_url, api_key, timeout=timeout, retries=retries)
        self._dimension = _settled(model, dimension)
        if shorten is None:
            shorten = self._dimension != known_dimension(model) and _plain(model).startswith("text-embedding-3-")
        self._shorten = shorten
        self._batch = batch
        self._encoding: Literal["base64", "float"] = (
            "base64"  # a third of the bytes, and exact; servers that do not know it send numbers
        )

    @property
    def id(self) -> str:
        """Model, server and dimension, such as `text-embedding-3-small@api.openai.com-1536`; never a key."""
        return f"{self._model}@{self._endpoint.place}-{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def is_local(self) -> bool:
        """Whether its server is on this machine."""
        return self._endpoint.is_local

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.id!r})"

    def close(self) -> None:
        """Close the connections; the next text opens them again."""
        self._endpoint.close()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension], as the server made them. EmbeddingError, with the way out, if it does not."""
        return self._embedded(texts, _PATIENCE_S, _uncounted)

    def embed_cue(self, text: str) -> NDArray[np.float32]:
        """float32[dimension]: the same vector, but given up sooner, because somebody waits for an answer."""
        row: NDArray[np.float32] = self._embedded([text], _CUE_PATIENCE_S, _uncounted)[0]
        return row

    def estimate(self, texts: Sequence[str]) -> int:
        """The tokens of what would be sent, on the high side."""
        return sum(estimate_tokens(text) for _, batch in self._batches(texts) for text in batch)

    def embed_counted(
        self, texts: Sequence[str], count: Callable[[int], None], *, cue: bool = False
    ) -> NDArray[np.float32]:
        """As `embed` or `embed_cue`. `count` is given the tokens of each request that was answered: as the server
        counts them, or else as estimated."""
        return self._embedded(texts, _CUE_PATIENCE_S if cue else _PATIENCE_S, count)

    def _embedded(self, texts: Sequence[str], patience: float, count: Callable[[int], None]) -> NDArray[np.float32]:
        matrix = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for rows, batch in self._batches(texts):
            matrix[rows] = self._asked(batch, patience, count)
        return matrix

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
        rows: list[int] = []
        batch: list[str] = []
        size = 0
        for row, text in enumerate(texts):
            # Half a surrogate pair, as JSON can smuggle in, is no text to a server; nor is half a letter after the cut.
            data = text.strip().encode("utf-8", "replace")[:_TEXT_BYTES]
            if not data:
                continue
            if batch and (len(batch) == self._batch or size + len(data) > _REQUEST_BYTES):
                yield rows, batch
                rows, batch, size = [], [], 0
            rows.append(row)
            batch.append(data.decode("utf-8", "ignore"))
            size += len(data)
        if batch:
            yield rows, batch

    def _asked(self, texts: list[str], patience: float, count: Callable[[int], None]) -> NDArray[np.float32]:
        try:
            answer = self._request(texts, patience)
            count(_tokens_of(answer, texts))  # before it is read: one that cannot be used is charged for too
            return self._read(answer, len(texts))
        except TooLong:
            if len(texts) == 1 and len(texts[0]) <= _SHORTEST:
                raise
        if len(texts) == 1:
            return self._asked([texts[0][: len(texts[0]) // 2]], patience, count)
        half = len(texts) // 2
        return np.concatenate([self._asked(part, patience, count) for part in (texts[:half], texts[half:])])

    def _request(self, texts: list[str], patience: float) -> Any:
        def call(client: openai.OpenAI) -> Answer:
            # The raw answer: what the client makes of one that is not as it should be differs between releases.
            return client.embeddings.with_raw_response.create(
                model=self._model,
                input=texts,
                encoding_format=self._encoding,
                extra_body={"dimensions": self._dimension} if self._shorten else None,
            )

        try:
            return self._endpoint.ask(call, what=f"model {self._model}", patience=patience)
        except EmbeddingError as error:
            if self._encoding == "float" or not re.search("base64|encoding_format", str(error)):
                raise
        self._encoding = "float"
        return self._endpoint.ask(call, what=f"model {self._model}", patience=patience)

    def _read(self, answer: Any, count: int) -> NDArray[np.float32]:
        """The vectors of an answer in the order of the texts."""
        data = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
            raise self._odd("without vectors", "Look whether it serves embeddings by this model.")
        if len(data) != count:
            raise self._odd(f"with {len(data)} vectors for {count} texts", "Open it with batch=1.")
        places = [item.get("index") for item in data]
        # By rank, since some servers go on counting over several requests. Without any index it is the order sent.
        if all(isinstance(place, int) for place in places) and len(set(places)) == count:
            data = sorted(data, key=lambda item: item["index"])
        elif any(place is not None for place in places):
            raise self._odd("with vectors that do not say whose they are", "Open it with batch=1.")
        vectors = [self._vector(item.get("embedding")) for item in data]
        for vector in vectors:
            if len(vector) != self._dimension:
                raise EmbeddingError(
                    f"{self._model} at {self._endpoint.place} gave vectors of {len(vector)} dimensions, "
                    f"not {self._dimension}",
                    way_out=f"Write #{len(vector)} after the model and address, or dimension={len(vector)}.",
                )
        return np.stack(vectors)

    def _vector(self, given: object) -> NDArray[np.float32]:
        try:
            if isinstance(given, str):
                vector = np.frombuffer(base64.b64decode(given, validate=True), "<f4").astype(np.float32)
            else:
                with np.errstate(over="ignore"):
                    vector = np.array(given, np.float32)
        except (ValueError, TypeError, OverflowError):
            vector = np.full(1, np.nan, np.float32)
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise self._odd("with a vector that is not made of numbers", "Look at the server's log.")
        return vector

    def _odd(self, how: str, way_out: str) -> EmbeddingError:
        return EmbeddingError(f"{self._endpoint.place} answered for {self._model} {how}", way_out=way_out)


def _uncounted(tokens: int) -> None:
    """For whoever does not ask."""


def _tokens_of(answer: Any, texts: Sequence[str]) -> int:
    """The tokens that an answer is charged for."""
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    told = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return told if sound_count(told) else sum(map(estimate_tokens, texts))


def _settled(model: str, given: int | None) -> int:
    """The dimension given, if it can be, else the model's own."""
    own = known_dimension(model)
    if given is None:
        if own is None:
            raise InvalidInput(
                f"the dimension of {model} is not known here",
                way_out="Its page says it; write it after a #, as in openai:MODEL@http://127.0.0.1:8000/v1#768.",
            )
        return own
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _LARGEST:
        raise InvalidInput(
            f"a dimension is a number from 1 to {_LARGEST}, not {given!r}", way_out="The model's page says it."
        )
    most = _OPENAI.get(_plain(model), _LARGEST)
    if given > most:
        raise InvalidInput(f"{model} has {most} dimensions, not {given}", way_out="Give a smaller number, or none.")
    return given
