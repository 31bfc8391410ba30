"""Sentence vectors by ONNX Runtime: tokenise, run the transformer in batches of like length, take the mean.

Knows one graph (token ids and mask in, a vector a token out), one tokenizer, and how to make both once from a torch
model. Refuses to know which models may come this way; `minilm` decides. No library is imported before the first text
is embedded, and torch only while a graph is made.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.embedders.folder import ModelFolder
from agentmem.embedding import unit_rows
from agentmem.errors import EmbeddingError
from agentmem.foreign import bars_hidden, foreign, warnings_hidden

__all__ = ["OnnxEncoder", "Pass", "export"]

_BATCH: Final = 32  # texts a run; 8 and 64 are no faster on 2 cores
_WINDOW: Final = 4096  # texts that are sorted by length together
_AGREE: Final = 1e-4  # a graph whose vectors stray further than this from torch's is not used
_PROBES: Final = ("a", "The launch was moved to 3 May.", "one two three four five six seven eight nine ten " * 20)


class Pass(NamedTuple):
    """One text's way through the network: float32[tokens, dimension], where each token stands in the text, and which of
    them stand for nothing in it (1)."""

    row: int
    states: NDArray[np.float32]
    spans: list[tuple[int, int]]
    special: list[int]


class OnnxEncoder:
    """Unit vectors of texts. May be called from any thread: session and tokenizer are only read after opening."""

    def __init__(self, graph: Path, tokenizer: Path, model: ModelFolder) -> None:
        with foreign(f"open {graph.name} with ONNX Runtime"), warnings_hidden():
            import onnxruntime
            from tokenizers import Tokenizer

            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = os.cpu_count() or 1
            # Its threads would spin for milliseconds after each text: recall took twice as long beside them.
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
            settings.log_severity_level = 3  # its warnings go past Python, straight to stderr
            self._session = onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            self._tokenizer.no_padding()  # the file may ask for all texts to be filled up to 128
            self._tokenizer.enable_truncation(model.longest or 512)
        self._inputs = {given.name for given in self._session.get_inputs()}
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise EmbeddingError(
                f"{graph.name} wants inputs that a sentence does not give: {', '.join(sorted(unknown))}"
            )
        self._output = self._session.get_outputs()[0].name
        self._dimension = model.dimension
        self._padding = model.padding

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dimension]"""
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        with foreign(f"embed {len(texts)} texts with ONNX Runtime"):
            for rows, read, states in self._batches(texts):
                lengths = np.array([len(found.ids) for found in read])
                mask = np.arange(states.shape[1]) < lengths[:, None]
                vectors[rows] = np.einsum("bsd,bs->bd", states, mask.astype(np.float32)) / lengths[:, None]
        return unit_rows(vectors)

    def passes(self, texts: Sequence[str]) -> Iterator[Pass]:
        """What the network says of each text, in any order: texts of like length go together."""
        with foreign(f"embed {len(texts)} texts with ONNX Runtime"):
            for rows, read, states in self._batches(texts):
                for row, found, state in zip(rows, read, states, strict=True):
                    yield Pass(row, state[: len(found.ids)], found.offsets, found.special_tokens_mask)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[Any], NDArray[np.float32]]]:
        """Numbers of texts, how each was read, and float32[texts, tokens, dimension]."""
        for start in range(0, len(texts), _WINDOW):
            read = self._tokenizer.encode_batch(list(texts[start : start + _WINDOW]))
            order = sorted(range(len(read)), key=lambda row: len(read[row].ids))
            for first in range(0, len(order), _BATCH):
                rows = order[first : first + _BATCH]
                yield [start + row for row in rows], [read[row] for row in rows], self._states([read[r] for r in rows])

    def _states(self, read: list[Any]) -> NDArray[np.float32]:
        lengths = np.array([len(found.ids) for found in read])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self._padding, dtype=np.int64)
        ids[mask] = np.concatenate([found.ids for found in read])
        feeds = {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": np.zeros_like(ids)}
        (states,) = self._session.run([self._output], {name: feeds[name] for name in self._inputs})
        return cast("NDArray[np.float32]", states)


def export(model: ModelFolder, graph: Path, tokenizer: Path) -> None:
    """Write the model's graph and tokenizer to these two files, whole or not at all.

    The graph is traced by torch, so it is run and compared with torch on texts of several lengths before it takes its
    place. EmbeddingError when any of that fails. Takes about 8 s and, for MiniLM, 90 MB.
    """
    with foreign(f"export {model.name} to ONNX"), warnings_hidden():
        import torch
        from transformers import AutoModel, AutoTokenizer

        with bars_hidden():
            source = str(model.core)
            words = AutoTokenizer.from_pretrained(source, local_files_only=True, use_fast=True)
            network = AutoModel.from_pretrained(source, local_files_only=True, attn_implementation="eager").eval()
        graph.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=graph.parent) as folder:
            new_graph, new_tokenizer = Path(folder, "graph"), Path(folder, "tokenizer")
            ready = model.core / "tokenizer.json"
            if ready.is_file():
                new_tokenizer.write_bytes(ready.read_bytes())
            else:
                words.backend_tokenizer.save(str(new_tokenizer))
            with torch.inference_mode():
                _trace(torch, network, new_graph)
                expected = _torch_means(torch, network, words, model)
            error = float(np.abs(OnnxEncoder(new_graph, new_tokenizer, model)(_PROBES) - expected).max())
            if error > _AGREE:
                raise EmbeddingError(f"the exported {model.name} differs from torch by {error:.1e}")
            new_tokenizer.replace(tokenizer)  # first: a graph in its place means that both are there
            new_graph.replace(graph)


def _trace(torch: Any, network: Any, target: Path) -> None:
    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.network(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.full((2, 8), 5)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(
        States().eval(),  # else the exporter hands the network back in training mode
        (ids, mask),
        str(target),
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "states": axes},
        opset_version=17,
        dynamo=False,  # the newer exporter needs onnxscript as well and takes four times as long
    )


def _torch_means(torch: Any, network: Any, words: Any, model: ModelFolder) -> NDArray[np.float32]:
    batch = words(list(_PROBES), padding=True, truncation=True, max_length=model.longest, return_tensors="pt")
    states = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
    return unit_rows(((states * mask).sum(1) / mask.sum(1)).float().numpy())
