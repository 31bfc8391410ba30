"""What a scope holds, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentmem.records import Scope, State

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """A scope in numbers. `bytes`: the whole ledger's size on disk; `pending`: texts that may await a vector.

    `embedder` is the one whose vectors answer recalls, `index` what searches them.
    """

    url: str
    scope: Scope
    records: Mapping[State, int]
    head: int
    embedder: str
    pending: int
    index: str
    bytes: int
