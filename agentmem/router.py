"""Which stores a cue concerns: rules from what the cue was understood to say, and what each store's word counts for.

A store that no rule concerns is not asked, and not even opened. It knows no store's inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from agentmem.recall.signal import Evidence, Question
from agentmem.recall.stores import Stores
from agentmem.recall.weights import Weights

__all__ = ["ROUTES", "Route", "Routed", "routed"]


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
        return self._stores.opened(self.name).ask(question, self._route.depth)


def routed(stores: Stores) -> Iterator[Routed]:
    """The installed stores that have a route."""
    return (Routed(name, route, stores) for name, route in ROUTES.items() if name in stores)
