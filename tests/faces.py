"""What a class offers, whichever of its bases it has it from."""

from __future__ import annotations

from typing import Any

__all__ = ["members"]


def members(cls: type) -> dict[str, Any]:
    """Its public members, by name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):  # without object
        found.update({name: member for name, member in vars(base).items() if not name.startswith("_")})
    return found
