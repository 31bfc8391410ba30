"""What a sentence-transformers model folder says of itself, read from its JSON files alone.

Knows the layout: `modules.json`, the pooling's config, `sentence_bert_config.json`, the names of weights. Loads no
weights, imports no library of models and runs nothing it finds. The digest it takes names the vectors: it depends on
what is in the folder and never on where the folder lies.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from agentmem.errors import EmbeddingError

__all__ = ["ModelFolder", "read_folder"]

_T = TypeVar("_T")

_READY: Final = ("onnx/model.onnx", "model.onnx")
_WEIGHTS: Final = ("model*.safetensors", "pytorch_model*.bin", *_READY)  # the first pattern with a file counts
_SAMPLES: Final = 64  # places of a weights file that go into the digest; fine-tuning moves the numbers in all of them
_SAMPLE_BYTES: Final = 4096
_AGAIN: Final = "Fetch the model again, or name another folder."

# Models whose config names only the one they were trained from.
_KNOWN: Final = {"912d4b0b": "all-MiniLM-L6-v2"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """`root` is what sentence-transformers opens; `core` holds the transformer, and is often the same."""

    root: Path
    core: Path
    name: str
    dimension: int
    digest: str  # 8 hex digits
    longest: int | None  # tokens of a text that are read; None: the folder does not say
    padding: int  # the token that fills a batch
    plain: bool  # one transformer and the mean of its tokens, nothing more: what the ONNX path computes

    @property
    def id(self) -> str:
        return f"{self.name}-{self.dimension}-{self.digest}"

    @property
    def ready_onnx(self) -> Path | None:
        """An ONNX file that came with the model."""
        return next((self.core / name for name in _READY if (self.core / name).is_file()), None)


def read_folder(root: Path) -> ModelFolder:
    """The folder's own account. EmbeddingError when it is missing, malformed, or holds no weights."""
    if not root.is_dir():
        raise EmbeddingError(f"there is no model folder at {root}", way_out="Name a sentence-transformers folder.")
    modules = [
        (_field(module, "type", str, "").rpartition(".")[2], root / _field(module, "path", str, ""))
        for module in _json(root / "modules.json", list)
    ]
    kinds = [kind for kind, _ in modules]
    core = modules[0][1] if modules else root
    config = _json(core / "config.json", dict)
    if not config:
        raise EmbeddingError(f"{core} holds no model: its config.json is missing or empty", way_out=_AGAIN)
    pooling = _last("Pooling", modules)
    dense = _last("Dense", modules)
    reading = _json(core / "sentence_bert_config.json", dict)
    prompts = _json(root / "config_sentence_transformers.json", dict)
    longest = _field(reading, "max_seq_length", int, 0) or min(
        _field(config, "max_position_embeddings", int, 0),
        _field(_json(core / "tokenizer_config.json", dict), "model_max_length", int, 0),
    )
    modes = _modes(pooling)
    dimension = (
        _field(dense, "out_features", int, 0)
        or len(modes) * _field(pooling, "embedding_dimension", int, _field(pooling, "word_embedding_dimension", int, 0))
        or _field(config, "hidden_size", int, 0)
    )
    if dimension < 1:
        raise EmbeddingError(f"the model at {root} does not say its dimension", way_out=_AGAIN)
    lowered, prompt = bool(reading.get("do_lower_case")), prompts.get("default_prompt_name")
    settings = repr((kinds, modes, dimension, longest, lowered, prompt and prompts.get("prompts")))
    digest = _digest(core, [path for _, path in modules if path != core], settings)
    named = _field(config, "_name_or_path", str, "") or _field(config, "model_type", str, "model")
    return ModelFolder(
        root=root,
        core=core,
        name=_KNOWN.get(digest) or re.sub(r"[^\w.-]+", "-", re.split(r"[/\\]", named.rstrip("/\\"))[-1]),
        dimension=dimension,
        digest=digest,
        longest=longest if longest > 0 else None,
        padding=_field(config, "pad_token_id", int, 0),
        plain=kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and modes == ["mean"]
        and longest > 0
        and not lowered
        and not prompt,
    )


def _last(kind: str, modules: list[tuple[str, Path]]) -> dict[str, Any]:
    """The config of the last module of this kind; empty where there is none."""
    paths = [path for found, path in modules if found == kind]
    return cast("dict[str, Any]", _json(paths[-1] / "config.json", dict)) if paths else {}


def _modes(pooling: dict[str, Any]) -> list[str]:
    """How tokens become one vector, in either of the two spellings that sentence-transformers has had."""
    said = pooling.get("pooling_mode")
    if said is not None:
        return [str(mode) for mode in said] if isinstance(said, list) else [str(said)]
    on = [key.removeprefix("pooling_mode_") for key, value in pooling.items() if value is True and "_mode_" in key]
    return ["mean" if mode == "mean_tokens" else mode for mode in on] or ["mean"]


def _digest(core: Path, heads: list[Path], settings: str) -> str:
    """What is in the weights and how they are read. Samples, because hashing 90 MB at every opening takes 0.1 s."""
    files = next((found for pattern in _WEIGHTS if (found := sorted(core.glob(pattern)))), None)
    if files is None:
        raise EmbeddingError(f"{core} holds no weights", way_out=_AGAIN)
    files += [file for head in heads for file in sorted((*head.glob("*.safetensors"), *head.glob("*.bin")))]
    digest = hashlib.blake2b(settings.encode(), digest_size=4)
    try:
        for file in files:
            size = file.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with file.open("rb") as weights:
                for sample in range(_SAMPLES):
                    weights.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                    digest.update(weights.read(_SAMPLE_BYTES))
    except OSError as error:
        raise EmbeddingError(f"the weights in {core} cannot be read: {error}", way_out=_AGAIN) from error
    return digest.hexdigest()


def _json(path: Path, kind: type[Any]) -> Any:
    """The file's value; an empty one where there is no file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return kind()
    except (OSError, ValueError, RecursionError) as error:
        raise EmbeddingError(f"{path} cannot be read: {error}", way_out=_AGAIN) from error
    if not isinstance(value, kind):
        raise EmbeddingError(f"{path} holds a {type(value).__name__}, not a {kind.__name__}", way_out=_AGAIN)
    return value


def _field(table: object, name: str, kind: type[_T], default: _T) -> _T:
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, kind) else default
