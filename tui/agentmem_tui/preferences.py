"""How a person wants the screens: the table `[tui]` of agentmem.toml, read strictly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from agentmem.errors import ConfigError
from agentmem_tui.actions import ACTIONS

__all__ = ["Preferences"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """`keys`: what an action is done by, as Textual names keys, several with commas; `theme`: by its name."""

    theme: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, table: object, where: str, themes: Iterable[str]) -> Self:
        """ConfigError names the file, the key and the nearest known one."""
        given = _table(table, where, "tui", ("theme", "keys"))
        theme = given.get("theme", "")
        if theme and theme not in (known := list(themes)):
            raise ConfigError(f"{where}: there is no theme {theme!r:.40}", way_out=_nearest(str(theme), known))
        keys = _table(given.get("keys", {}), where, "tui.keys", ACTIONS)
        for action, key in keys.items():
            if not isinstance(key, str) or not key.strip():
                raise ConfigError(
                    f"{where}: tui.keys.{action} must be a key", way_out='Write it as "e" or "ctrl+s,f2".'
                )
        return cls(str(theme), {action: str(key) for action, key in keys.items()})


def _table(value: object, where: str, name: str, known: Iterable[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {name} must be a table", way_out=f"Write [{name}] and the keys below it.")
    names = list(known)
    for key in value:
        if key not in names:
            raise ConfigError(f"{where}: there is no setting {name}.{key}", way_out=_nearest(str(key), names))
    return value


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
