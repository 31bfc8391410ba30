"""What the screens remember from one day to the next: searches that were saved, and the last ones typed.

A small file among the user's state, of no memory's words but those that were typed to find some. It is read as it
comes: what cannot be read counts as nothing, and is put aside rather than written over.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from agentmem.errors import LedgerError
from agentmem.export import whole_file
from agentmem.values import plain_text

__all__ = ["Remembered", "state_file"]

log = logging.getLogger("agentmem")
_RECENT: Final = 50
_LONGEST: Final = 1_000  # characters of a search


def state_file() -> Path:
    """Where it is kept (XDG_STATE_HOME)."""
    from platformdirs import user_state_path

    return user_state_path("agentmem", appauthor=False) / "tui.json"


@dataclass
class Remembered:
    """`searches`: what was saved, by name; `recent`: what was typed, the last first. `file` None keeps nothing."""

    file: Path | None = None
    searches: dict[str, str] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, file: Path | None) -> Self:
        if file is None:
            return cls()
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            return cls(file, _texts(data["searches"]), list(_texts(dict(enumerate(data["recent"]))).values())[:_RECENT])
        except FileNotFoundError:
            return cls(file)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            log.warning("%s cannot be read, and is put aside: %s", file, error)
            with suppress(OSError):
                file.replace(file.with_suffix(".broken"))
            return cls(file)

    def typed(self, search: str) -> None:
        """A search was used: it stands first among the recent ones."""
        search = search.strip()[:_LONGEST]
        if search and self.recent[:1] != [search]:
            self.recent = [search, *(one for one in self.recent if one != search)][:_RECENT]
            self._save()

    def save(self, name: str, search: str) -> None:
        """Keep a search by a name; an empty one takes it out."""
        if search.strip():
            self.searches[name.strip()] = search.strip()[:_LONGEST]
        else:
            self.searches.pop(name.strip(), None)
        self._save()

    def _save(self) -> None:
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.file) as file:
                json.dump({"searches": self.searches, "recent": self.recent}, file, ensure_ascii=False, indent=1)
        except (OSError, LedgerError) as error:  # read-only, or full: it is only convenience
            log.warning("what was typed is not remembered: %s", error)


def _texts(given: dict[Any, Any]) -> dict[Any, str]:
    return {key: plain_text(value, "a search")[:_LONGEST] for key, value in given.items()}
