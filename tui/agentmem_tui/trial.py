"""A trial of other weights: what a recall brought up, in the order it would have if a part counted for more or less.

Nothing is searched anew. The parts are those that the recall gave, and what fell before it is not here to rise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentmem.cues import Hit

__all__ = ["Placed", "Trial"]

_STEP: Final = 0.25  # exact in binary: what was moved and moved back is 1 again
_MOST: Final = 4.0


class Placed(NamedTuple):
    """A hit at its `place` under the weights, from 0 on, and where it `was` without; whether it is in, or fell."""

    place: int
    was: int
    inside: bool
    hit: Hit


class Trial:
    """`weights` has those that were moved, by a part's name."""

    def __init__(self) -> None:
        self._hits: Sequence[Hit] = ()
        self.weights: dict[str, float] = {}

    def show(self, hits: Sequence[Hit]) -> None:
        """Take these, best first; what was moved stays so."""
        self._hits = hits

    def weight(self, name: str) -> float:
        return self.weights.get(name, 1.0)

    def move(self, name: str, steps: int) -> None:
        """Let a part count for a quarter more or less, for nothing at least and fourfold at most."""
        moved = min(max(self.weight(name) + steps * _STEP, 0.0), _MOST)
        self.weights[name] = moved
        if moved == 1.0:
            del self.weights[name]

    def reset(self) -> None:
        self.weights.clear()

    def parts(self, hit: Hit) -> dict[str, float]:
        return {name: self.weight(name) * part for name, part in hit.parts.items()}

    def score(self, hit: Hit) -> float:
        """Exactly the hit's own while nothing is moved."""
        return hit.score + sum((weight - 1.0) * hit.parts.get(name, 0.0) for name, weight in self.weights.items())

    def ranked(self) -> list[Placed]:
        """All of them, the best first; as many are in as won."""
        won = sum(hit.won for hit in self._hits)
        order = sorted(enumerate(self._hits), key=lambda one: -self.score(one[1])) if self.weights else []
        listed = order or list(enumerate(self._hits))
        return [Placed(place, was, place < won, hit) for place, (was, hit) in enumerate(listed)]
