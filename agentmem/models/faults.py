"""What a model raised, as a ModelError: ours as they are, others by the status and the headers that they carry.

Model clients share no error classes, but most keep the HTTP status they were refused with.
"""

from __future__ import annotations

from typing import Any, Final

from agentmem.address import without_keys
from agentmem.endpoint import wanted_wait
from agentmem.errors import AgentMemError, ModelError

__all__ = ["as_model_error"]

_PASSING: Final = frozenset({408, 409, 425, 429})
_QUOTED: Final = 200  # characters of what a library said
_WORDS: Final = ("timeout", "timed out", "connection", "temporarily", "unavailable", "overloaded")


def as_model_error(error: Exception, model: str) -> ModelError:
    """The error of a model, by its spec. What it raised itself is not chained: it may hold keys."""
    if isinstance(error, ModelError):
        return error
    if isinstance(error, AgentMemError):
        return ModelError(f"{model}: {error}", way_out=error.way_out)
    said = without_keys(" ".join(str(error).split()))[:_QUOTED] or type(error).__name__
    status: Any = getattr(error, "status_code", None)
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    known = isinstance(status, int)
    passing = status in _PASSING or status >= 500 if known else _passes(error)
    return ModelError(f"{model}: {said}", passing=passing, wait=wanted_wait(headers) if passing else None)


def _passes(error: Exception) -> bool:
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    named = f"{type(error).__name__} {error}".lower()
    return any(word in named for word in _WORDS)
