"""The files of a causal language model: where they lie, what they say of it, and the tokenizer and network they hold.

Finding them reads a few JSON files and imports no model library. A hub name means the copy in the Hugging Face cache,
or, unless AGENTMEM_OFFLINE is on, one that is fetched at the first use. No code that comes with a model is ever run.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from agentmem.address import offline
from agentmem.errors import InvalidInput, ModelError
from agentmem.foreign import bars_hidden, foreign, installed, warnings_hidden

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

__all__ = ["ModelFiles", "bordered", "located", "quantized"]

_log = logging.getLogger(__name__)

_INSTALL: Final = "pip install --upgrade 'agentmem-framework[local]'"
_AGAIN: Final = "Fetch the model again, or name another folder."
_OLDEST: Final = (5, 24)  # of transformers: it keeps control tokens in a message apart from the template's own
_HUB_NAME: Final = re.compile(r"\w[\w.-]{0,95}(?:/\w[\w.-]{0,95})?", re.ASCII)
# The context window, in the spellings that architectures have for it.
_WINDOWS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
)
_WEIGHTS: Final = ("*.safetensors", "*.bin")


class bordered(foreign):
    """`foreign` for ModelError. A want of memory is one that may pass; what the failed call held is let go."""

    def __init__(self, doing: str, *, way_out: str = "") -> None:
        super().__init__(doing, way_out=way_out, error=ModelError)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and _short_of_memory(error):
            traceback.clear_frames(trace)  # they hold the tensors that were in the way
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(
                f"there was not enough memory to {self._doing}: {first}",
                way_out="Free some, shorten the prompt, or take a smaller model or quantize='4bit'.",
                passing=True,
            ) from None
        super().__exit__(kind, error, trace)


def _short_of_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError is a RuntimeError of CUDA's; the CPU's allocator raises a plain one.
    said = isinstance(error, RuntimeError) and re.search(r"out of memory|can't allocate memory", str(error))
    return isinstance(error, MemoryError) or bool(said)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """`folder` None: a hub name of which nothing is on this machine yet."""

    name: str
    folder: Path | None

    def profile(self) -> ModelProfile:
        """What the files say before any library has read them; without the window where there are no files yet."""
        if self.folder is None:
            return _profile(self.name, {}, None)
        template: object = _read(self.folder / "tokenizer_config.json").get("chat_template")
        jinja = self.folder / "chat_template.jinja"
        with bordered(f"read {jinja}", way_out=_AGAIN):
            template = jinja.read_text(encoding="utf-8") if jinja.is_file() else template
        return _profile(self.name, _read(self.folder / "config.json"), template)

    def tokenizer(self) -> tuple[Any, ModelProfile]:
        """The tokenizer, and the profile of the model as its libraries read it. ModelError when there is none."""
        self._libraries()
        with bordered(f"load the tokenizer of {self.name}", way_out=_AGAIN), warnings_hidden():
            from transformers import AutoConfig, AutoTokenizer

            with bars_hidden():
                config = AutoConfig.from_pretrained(self._source, **self._asked)
                tokenizer = AutoTokenizer.from_pretrained(self._source, **self._asked)
        return tokenizer, _profile(self.name, config.to_dict(), tokenizer.chat_template)

    def network(self, device: str, dtype: str, quantize: str | None) -> Any:
        """The network on its device, ready to be asked. ModelError when it cannot be, with what is in the way."""
        self._libraries()
        where = _device(device)
        number = _dtype(dtype, where)
        with bordered(f"load the weights of {self.name}", way_out=_AGAIN), warnings_hidden():
            from transformers import AutoConfig, AutoModelForCausalLM

            with bars_hidden():
                config = AutoConfig.from_pretrained(self._source, **self._asked)
                self._check_kind(config)
                placed = quantized(quantize, where, number)
                network, report = AutoModelForCausalLM.from_pretrained(
                    self._source, config=config, dtype=number, output_loading_info=True, **placed, **self._asked
                )
                if missing := report["missing_keys"]:  # transformers fills them with random numbers
                    raise ModelError(
                        f"the weights of {self.name} lack {len(missing)} tensors, {min(missing)} among them",
                        way_out=_AGAIN,
                    )
                network = network.eval() if placed else network.to(where).eval()
        _log.info("%s runs on %s in %s", self.name, where, str(quantize or number).removeprefix("torch."))
        return network

    @property
    def _source(self) -> str:
        return self.name if self.folder is None else str(self.folder)

    @property
    def _asked(self) -> dict[str, Any]:
        return {"local_files_only": self.folder is not None or offline(), "trust_remote_code": False}

    def _libraries(self) -> None:
        if not installed("torch", "transformers"):
            raise ModelError(f"torch and transformers, which run {self.name}, are not installed", way_out=_INSTALL)
        found = version("transformers")
        if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < _OLDEST:
            raise ModelError(f"transformers {found} is too old to run {self.name}", way_out=_INSTALL)

    def _check_kind(self, config: Any) -> None:
        # AutoModelForCausalLM would make a language model of BERT, with a head of random numbers.
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        kinds = config.architectures or []
        if kinds and not set(kinds) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
            raise ModelError(
                f"{self.name} is no causal language model but a {kinds[0]}",
                way_out="Name one that continues text, such as Qwen or Llama.",
            )


def located(name: str) -> ModelFiles:
    """Where the model is that a path or a hub name means. ModelError when it is nowhere."""
    with bordered(f"look for the model {name}", way_out="Look at the path."):
        folder = Path(name).expanduser()
        is_folder, is_file = folder.is_dir(), folder.is_file()
    if is_folder:
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name} holds no model: there is no config.json", way_out=_AGAIN)
        return ModelFiles(name, folder)
    if is_file:
        raise ModelError(
            f"{name} is a file, not the folder of a model",
            way_out="Name the folder with config.json; serve a GGUF file with Ollama or llama.cpp and name its URL.",
        )
    if not _HUB_NAME.fullmatch(name):
        raise ModelError(f"there is no model folder at {name}", way_out="Look at the path, or name a model of the hub.")
    cached = _in_cache(name)
    if cached is None and offline():
        raise ModelError(
            f"{name} is neither a folder nor in the Hugging Face cache, and AGENTMEM_OFFLINE is on",
            way_out=f"Fetch it while it is off: hf download {name}",
        )
    return ModelFiles(name, cached)


def _in_cache(name: str) -> Path | None:
    """The folder of the hub's model in the cache, if its weights are there too."""
    if not installed("huggingface_hub"):
        return None
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError):  # not there; no name that the hub would take
        return None
    whole = (folder / "config.json").is_file() and any(any(folder.glob(pattern)) for pattern in _WEIGHTS)
    return folder if whole else None


def _read(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is no file."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {error}", way_out=_AGAIN) from error
    if not isinstance(value, dict):
        raise ModelError(f"{file} holds a {type(value).__name__}, not an object", way_out=_AGAIN)
    return value


def _profile(name: str, config: Mapping[str, Any], template: object) -> ModelProfile:
    """`template` is text, or several by name. Tools: one that renders them and has calls as JSON between tags."""
    words = config.get("text_config")  # of a model that also sees or hears
    sizes = [part[key] for part in (config, words) if isinstance(part, Mapping) for key in _WINDOWS if key in part]
    window = next((size for size in sizes if isinstance(size, int) and size > 0), None)
    tools = all(sign in str(template) for sign in ("tools", "<tool_call>", '"arguments'))
    profile: ModelProfile = {
        "name": name,
        "open_weights": True,
        "text_inputs": True,
        "text_outputs": True,
        "temperature": True,
        "tool_calling": tools,
        "tool_choice": tools,
        "tool_call_streaming": False,
        "structured_output": False,
    }
    if window is not None:
        profile["max_input_tokens"] = window
    return profile


def _device(wanted: str) -> Any:
    """`auto`, or a device as torch spells it."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            wanted = "cuda"
        else:
            wanted = "mps" if torch.backends.mps.is_available() else "cpu"
    with foreign(f"read the device {wanted!r}", way_out="Write auto, cpu, mps, cuda or cuda:1.", error=InvalidInput):
        device = torch.device(wanted)
    with bordered(f"use the device {wanted}", way_out="Write device='auto', or 'cpu'."):
        torch.empty(1, device=device)
    return device


def _dtype(wanted: str, device: Any) -> Any:
    """`auto`: bfloat16 where the device computes with it, float16 on other accelerators, float32 on a CPU."""
    import torch

    if wanted != "auto":
        return getattr(torch, wanted)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float16
    return torch.float32


def quantized(quantize: str | None, device: Any, number: Any) -> dict[str, Any]:
    """What `from_pretrained` wants for weights of 4 or 8 bits; nothing for whole ones."""
    if quantize is None:
        return {}
    if device.type != "cuda":
        raise ModelError(
            f"weights of {quantize} need a CUDA GPU, and the model would run on {device.type}",
            way_out="Leave quantize out; for a CPU, serve a GGUF file with Ollama or llama.cpp and name its URL.",
        )
    if not installed("bitsandbytes", "accelerate"):
        raise ModelError(
            f"weights of {quantize} need bitsandbytes, which is not installed",
            way_out="pip install bitsandbytes accelerate, or leave quantize out.",
        )
    from transformers import BitsAndBytesConfig

    if quantize == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=number)
    return {"quantization_config": config, "device_map": {"": device}}
