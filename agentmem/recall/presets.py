"""Presets: which signals an engine asks, with what weights. Adding a signal is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentmem.errors import InvalidInput
from agentmem.recall.fuse import NEIGHBOURS, Inheritance
from agentmem.recall.signal import Signal
from agentmem.recall.signals.asking import Asking
from agentmem.recall.signals.dense import Dense
from agentmem.recall.signals.lexical import Lexical
from agentmem.recall.signals.place import Place
from agentmem.recall.signals.role import Role
from agentmem.recall.signals.session import Session
from agentmem.recall.signals.speaker import Speaker

__all__ = ["DEFAULT", "PARTS", "PRESETS", "Preset", "preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """What `recall` goes by. The order of the signals does not matter. `by_rank`: not scores are fused, but ranks."""

    signals: tuple[Signal, ...]
    inheritance: Inheritance | None = None
    by_rank: bool = False


DEFAULT: Final = "training-free"
PRESETS: Final[Mapping[str, Preset]] = {
    "bm25": Preset((Lexical(),)),
    "dense": Preset((Dense(),)),
    "rrf": Preset((Lexical(), Dense()), by_rank=True),
    "zsum": Preset((Lexical(), Dense())),
    DEFAULT: Preset((Lexical(), Dense(), Session(), Speaker(), Place(), Role(), Asking()), Inheritance()),
}
# What a hit's parts may be called, by whichever engine.
PARTS: Final = frozenset(signal.name for one in PRESETS.values() for signal in one.signals) | {NEIGHBOURS}


def preset(name: str | Preset) -> Preset:
    """By its name, or itself. InvalidInput, with the names there are, for one that is not among them."""
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str) or name not in PRESETS:
        raise InvalidInput(f"there is no engine {name!r}", way_out=f"One of: {', '.join(PRESETS)}.")
    return PRESETS[name]
