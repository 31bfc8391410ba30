"""Presets: which signals an engine asks, and by what weights. Adding a signal is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentmem.errors import InvalidInput
from agentmem.recall import forms
from agentmem.recall.fuse import NEIGHBOURS
from agentmem.recall.signal import Signal
from agentmem.recall.signals.date import Date
from agentmem.recall.signals.dense import Dense
from agentmem.recall.signals.form import Form
from agentmem.recall.signals.late import Late
from agentmem.recall.signals.length import Length
from agentmem.recall.signals.lexical import Lexical
from agentmem.recall.signals.opening import Opening
from agentmem.recall.signals.phrase import Phrase
from agentmem.recall.signals.place import Place
from agentmem.recall.signals.prior import Prior
from agentmem.recall.signals.role import Role
from agentmem.recall.signals.session import Session
from agentmem.recall.signals.speaker import Speaker
from agentmem.recall.weights import BY_HAND, COVERAGE, Weighting, Weights, fixed, learned

__all__ = ["DEFAULT", "PARTS", "PRESETS", "TRAINING_FREE", "Preset", "preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """What `recall` goes by. The order of the signals does not matter. `by_rank`: not scores are fused, but ranks.
    `stores`: the scope's stores are asked what the router thinks they know; with `everything`, all of them whatever is
    asked, to compare."""

    signals: tuple[Signal, ...]
    weighting: Weighting
    by_rank: bool = False
    stores: bool = False
    everything: bool = False


_PLAIN: Final = (
    Lexical(),
    Dense(),
    Late(),
    Late(window=True),
    Session(),
    Speaker(),
    Place(),
    Date(),
    Phrase(),
    Role(),
    Prior(),
    Form("asking", forms.QUESTION),
)
# Too weak, or too particular, to be weighed by hand.
_SUBTLE: Final = (
    Length(),
    Opening(),
    Form("timed", forms.TIME),
    Form("when", forms.TIME, answer="when", reason="tells a time"),
    Form("number", forms.NUMBER, answer="how many", reason="tells a number"),
    Form("standing", forms.STANDING, reason="says how things are to be done"),
    Form("preference", forms.PREFERENCE, reason="says what is preferred"),
)

_BOTH: Final = fixed({"lexical": Weights(1), "dense": Weights(1)})

DEFAULT: Final = "learned"
TRAINING_FREE: Final = "training-free"
PRESETS: Final[Mapping[str, Preset]] = {
    "bm25": Preset((Lexical(),), _BOTH),
    "dense": Preset((Dense(),), _BOTH),
    "rrf": Preset((Lexical(), Dense()), _BOTH, by_rank=True),
    "zsum": Preset((Lexical(), Dense()), _BOTH),
    TRAINING_FREE: Preset(
        _PLAIN,
        fixed(BY_HAND),
        stores=True,
    ),
    DEFAULT: Preset((*_PLAIN, *_SUBTLE), learned, stores=True),
}
# What a hit's parts may be called, by whichever engine.
PARTS: Final = frozenset(signal.name for one in PRESETS.values() for signal in one.signals) | {
    NEIGHBOURS,
    COVERAGE,
}


def preset(name: str | Preset) -> Preset:
    """By its name, or itself. InvalidInput, with the names there are, for one that is not among them."""
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str) or name not in PRESETS:
        raise InvalidInput(f"there is no engine {name!r}", way_out=f"One of: {', '.join(PRESETS)}.")
    return PRESETS[name]
