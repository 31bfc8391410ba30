"""Parts found by entry point: ledgers, indexes, stores, embedders, models and commands.

The core never imports a backend. A shipped one registers exactly as a stranger's does, in its distribution's
metadata. Listing names imports none of them.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from agentmem.errors import PluginError

__all__ = ["COMMANDS", "EMBEDDERS", "INDEXES", "LEDGERS", "MODELS", "STORES", "load", "names"]

LEDGERS: Final = "agentmem.ledgers"
INDEXES: Final = "agentmem.indexes"
STORES: Final = "agentmem.stores"
EMBEDDERS: Final = "agentmem.embedders"
MODELS: Final = "agentmem.models"
COMMANDS: Final = "agentmem.commands"


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> list[str]:
    """The installed names of a group, sorted, without importing any."""
    return sorted(_installed(group))


def load(group: str, name: str) -> Any:
    """The object registered under `name`. PluginError names what is installed when it is unknown or fails to load."""
    point = _installed(group).get(name)
    what = group.removeprefix("agentmem.").removesuffix("s")
    if point is None:
        listed = ", ".join(names(group)) or "none"
        raise PluginError(f"no {what} is called {name!r}", way_out=f"Installed: {listed}.")
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{what} {name!r} ({point.value}) does not load: {error}",
            way_out=f"Installed: {', '.join(names(group))}.",
        ) from error


def forget_cached() -> None:
    """Look again at what is installed; for programs that install parts while they run."""
    importlib.invalidate_caches()
    _installed.cache_clear()
