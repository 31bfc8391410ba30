"""A row of the table in docs/stores.md: what the source claims, what was measured, what did not reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Row"]


class Row(NamedTuple):
    """`measured`: label → figure, in the order shown. `source`: what the paper or its code claims, "" for nothing."""

    store: str
    what: str
    measured: Mapping[str, float]
    source: str = ""
    remark: str = ""
