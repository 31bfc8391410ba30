"""Resonance: ties between memories that helped together, which fade, and activation that spreads over a graph.

A labelled reconstruction, not a port: of Synaptic Resonance (Applegarth et al. 2025) no equations could be had. What
is here is a Hebbian rule with a half-life and bounds, and the spreading activation of Collins and Loftus (1975) in the
form of a random walk with restart. It knows no store, and no text: nodes are whole numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEGREE", "ETA", "HALF_LIFE", "LEAST", "MOST", "Edges", "Graph", "Note", "Resonance", "spread"]

ETA: Final = 0.25  # what one time together adds to a tie
HALF_LIFE: Final = 30 * 86_400_000_000  # microseconds
MOST: Final = 1.0  # the weight of a tie
LEAST: Final = 1e-3  # a tie below it is none: ten half-lives after it was at its strongest
DEGREE: Final = 16  # ties of one memory
WINDOW: Final = 64  # notes among which two may be of one recall

Nodes = NDArray[np.int64]
Values = NDArray[np.float64]


class Note(NamedTuple):
    """That somebody said whether a memory helped. `at` counts microseconds since 1970; `cue` stands for what was asked,
    0 for nothing; notes of one `step`, or with one cue, are of one recall."""

    seq: int
    step: int
    at: int
    node: int
    useful: bool
    cue: int


class Resonance:
    """Ties and their weights: `w ← min(MOST, w · 2^(−Δt / HALF_LIFE) + ETA · r)`, with r = 1 when both were useful and
    −1 when one was not.

    A weight is kept with the time at which it changed, and fades when it is read: nothing sweeps. A clock that was set
    back counts as one that stood still. A tie below `LEAST` is dropped, and so is the weakest of a memory that comes to
    have more than `DEGREE`.
    """

    def __init__(self, notes: Iterable[Note] = ()) -> None:
        self._ties: dict[int, dict[int, tuple[float, int]]] = {}
        self._recent: deque[Note] = deque(maxlen=WINDOW)
        for note in notes:
            self.hear(note)

    def __len__(self) -> int:
        """How many ties there are."""
        return sum(map(len, self._ties.values())) // 2

    def __contains__(self, node: object) -> bool:
        return node in self._ties

    def hear(self, note: Note) -> None:
        """Notes come in the order of `seq`. One is taken together with the last that was said, in the same recall, of
        each other memory. That one of them helped, said once more, does not count again for those of which nothing was
        said since; that it did not always counts."""
        met: set[int] = set()
        for other in reversed(self._recent):
            if other.step == note.step or (note.cue and other.cue == note.cue):
                if other.node == note.node:
                    if note.useful:
                        break
                elif other.node not in met:
                    met.add(other.node)
                    self.change(note.node, other.node, ETA if note.useful and other.useful else -ETA, note.at)
        self._recent.append(note)

    def change(self, one: int, other: int, by: float, at: int) -> None:
        """Add to a tie, at that time; a tie of a node with itself is none."""
        weight = min(MOST, self.weight(one, other, at) + by)
        if one == other:
            return
        if weight < LEAST:
            self._drop(one, other)
            return
        for here, there in ((one, other), (other, one)):
            self._ties.setdefault(here, {})[there] = weight, at
        for here in (one, other):
            if len(ties := self._ties.get(here, {})) > DEGREE:
                # The younger of equals stays.
                self._drop(here, min(ties, key=lambda there: (_faded(*ties[there], at), ties[there][1], there)))

    def _drop(self, one: int, other: int) -> None:
        for here, there in ((one, other), (other, one)):
            ties = self._ties.get(here, {})
            ties.pop(there, None)
            if not ties:
                self._ties.pop(here, None)

    def weight(self, one: int, other: int, now: int) -> float:
        """From 0, for none, to `MOST`."""
        tie = self._ties.get(one, {}).get(other)
        return 0.0 if tie is None else _faded(*tie, now)

    def of(self, node: int, now: int) -> dict[int, float]:
        """The ties of a node, in no order."""
        faded = {other: _faded(*tie, now) for other, tie in self._ties.get(node, {}).items()}
        return {other: weight for other, weight in faded.items() if weight}

    def ties(self, now: int) -> Iterator[tuple[int, int, float]]:
        """Each tie once, the lower node first."""
        for one in sorted(self._ties):
            yield from ((one, other, weight) for other, weight in sorted(self.of(one, now).items()) if one < other)


def _faded(weight: float, since: int, now: int) -> float:
    found = weight * 2.0 ** (-max(0, now - since) / HALF_LIFE)
    return float(found) if found >= LEAST else 0.0


# ── spreading ────────────────────────────────────────────────────────────────────────────────────────────────────


class Edges(NamedTuple):
    """Of several nodes: for each edge the place of the one it comes from among them, where it leads, and what share of
    that node's activation goes this way. The shares of a node sum to 1 at most."""

    owners: NDArray[np.intp]
    targets: Nodes
    shares: Values


class Graph(Protocol):
    def degrees(self, nodes: Nodes) -> NDArray[np.intp]:
        """About how many edges each has: what it costs to go on from it."""
        ...

    def edges(self, nodes: Nodes) -> Edges:
        """Those of these nodes, which are ascending."""
        ...


def spread(
    graph: Graph,
    nodes: Nodes,
    values: Values,
    *,
    through: float = 0.5,
    steps: int = 4,
    least: float = 2e-4,
) -> tuple[Nodes, Values]:
    """So many steps of `a ← (1 − through) · a₀ + through · Wᵀ a`, from `a₀`: these values, of 0 or more, at these
    nodes, which sum to 1 at most. The nodes reached, ascending, and their activation.

    A node whose activation is below `least` for each of its edges passes nothing on (the local push of Andersen, Chung
    and Lang 2006): so a step follows at most `1 / least` edges, however large the graph is and however many a node has.
    """
    order = np.argsort(nodes, kind="stable")
    seeds, given = nodes[order], values[order]
    reached, active = seeds, given
    for _ in range(steps):
        going = active >= least * np.maximum(graph.degrees(reached), 1)
        edges = graph.edges(reached[going])
        passed = through * active[going][edges.owners] * edges.shares
        reached, place = np.unique(np.concatenate([seeds, edges.targets]), return_inverse=True)
        active = np.bincount(place, np.concatenate([(1 - through) * given, passed]), len(reached)).astype(np.float64)
    return reached, active
