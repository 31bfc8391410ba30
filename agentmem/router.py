"""Which stores a cue concerns: rules from what the cue was understood to say, and what each store's word counts for.

A store that no rule concerns is not asked, and not even opened. It knows no store's inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, cast

import numpy as np

from agentmem.recall.corpus import Rows
from agentmem.recall.signal import Evidence, Question, Scores
from agentmem.recall.stores import Speaking, Stores
from agentmem.recall.weights import Weights
from agentmem.store import Dating

__all__ = ["ROUTES", "Outdated", "Route", "Routed", "routed"]


class Route(NamedTuple):
    """What a store's best hit adds to a record's score, when the store is asked, and for how many hits."""

    weight: float
    concerns: Callable[[Question], bool]
    depth: int = 64


def _tells_a_place(question: Question) -> bool:
    return bool(question.reading.places)


def _wants_an_overview(question: Question) -> bool:
    return question.reading.answer == "summary"


def _thoughts_stand(question: Question) -> bool:
    return bool(len(question.corpus.labelled("kind", "thought")))


ROUTES: Final[Mapping[str, Route]] = {
    "episodic": Route(0.5, _tells_a_place),
    "chunks": Route(0.5, _wants_an_overview),
    # As much as a turn has from its speaker, its session and its place in it, which a thought lacks: so what holds now
    # stands among the turns that said what held before. Few of them, lest they take the place of all turns.
    "thoughts": Route(2.0, _thoughts_stand, 3),
}


_DATING: Final = "thoughts"  # the store that knows what is out of date


class Routed:
    """An installed store as a signal that is heard where its route leads."""

    relative = False

    def __init__(self, name: str, route: Route, stores: Stores) -> None:
        self.name = name
        self.weights = Weights(route.weight)
        self._route = route
        self._stores = stores

    def ask(self, question: Question) -> Evidence | None:
        if not self._route.concerns(question):
            return None
        store = self._stores.heard(self.name)
        return None if store is None else store.ask(question, self._route.depth)


class Outdated:
    """What a store knows to hold no longer gives way to what holds now."""

    name = "outdated"
    relative = False
    weights = Weights(-1.0)

    def __init__(self, store: str, stores: Stores) -> None:
        self._store = store
        self._stores = stores

    def ask(self, question: Question) -> Evidence | None:
        if not ROUTES[self._store].concerns(question):
            return None
        if (heard := self._stores.heard(self._store)) is None or not heard.well:
            return None
        known = cast(Dating, heard.store).outdated()
        rows = question.corpus.rows_of(list(known)).tolist()
        return _Reasoned(dict(zip(rows, known.values(), strict=True))) if known else None


class _Reasoned:
    """1 for these rows, each with its reason; it brings up none."""

    def __init__(self, why: Mapping[int, str]) -> None:
        self._why = why

    def best(self, depth: int) -> Rows:
        return np.empty(0, np.intp)

    def scores(self, rows: Rows) -> Scores:
        return np.array([float(row in self._why) for row in rows.tolist()], np.float32)

    def reasons(self, rows: Rows) -> list[str]:
        return [self._why.get(row, "") for row in rows.tolist()]


def routed(stores: Stores) -> Iterator[Speaking]:
    """The installed stores that have a route, and what is out of date."""
    for name, route in ROUTES.items():
        if name in stores:
            yield Routed(name, route, stores)
    if _DATING in stores:
        yield Outdated(_DATING, stores)
