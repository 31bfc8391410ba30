"""From how a model is spelled to the model: by entry point, by address, or the object itself.

Knows LangChain's interface and no model by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from agentmem.errors import InvalidInput
from agentmem.registry import MODELS, load

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["open_model", "spec_of"]

_SPELLED = (
    "Hand over one of LangChain's chat models, or write openai:MODEL, http://HOST:PORT/v1#MODEL, local:FOLDER, or "
    "another NAME:ARGUMENT that is installed."
)


def open_model(model: str | BaseChatModel) -> BaseChatModel:
    """The model of a spec, or the object itself. PluginError for a name that is not installed, InvalidInput else."""
    from langchain_core.language_models import BaseChatModel

    if isinstance(model, BaseChatModel):
        return model
    if not isinstance(model, str) or not model.strip():
        raise InvalidInput(f"a model is a spec or a chat model, not {type(model).__name__}", way_out=_SPELLED)
    name, _, rest = model.partition(":")
    if name in ("http", "https"):
        address, hash_, named = model.partition("#")
        if not hash_ or not named:
            raise InvalidInput(f"the address names no model: {address}", way_out=_SPELLED)
        name, rest = "openai", f"{named}@{address}"
    opened = cast("Callable[[str], Any]", load(MODELS, name))(rest)
    if not isinstance(opened, BaseChatModel):
        raise InvalidInput(f"{name!r} gave a {type(opened).__name__}, which is no chat model")
    return opened


def spec_of(model: BaseChatModel) -> str:
    """How an object is called in accounts and settings: by its own spec, else by its class and its model's name."""
    spec = getattr(model, "spec", None)
    if isinstance(spec, str) and spec:
        return spec
    named = next(
        (name for field in ("model_name", "model") if isinstance(name := getattr(model, field, None), str)), ""
    )
    return f"{type(model).__name__}:{named}" if named else type(model).__name__
