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
    """What a store's best hit adds to a record's score, and when the store is asked."""

    weight: float
    concerns: Callable[[Question], bool]


def _tells_a_place(question: Question) -> bool:
    return bool(question.reading.places)


def _wants_an_overview(question: Question) -> bool:
    return question.reading.answer == "summary"


def _thoughts_stand(question: Question) -> bool:
    return bool(len(question.corpus.labelled("kind", "thought")))


ROUTES: Final[Mapping[str, Route]] = {
    "episodic": Route(0.5, _tells_a_place),
    "chunks": Route(0.5, _wants_an_overview),
    "thoughts": Route(0.5, _thoughts_stand),
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
        return self._stores.opened(self.name).ask(question) if self._route.concerns(question) else None


def routed(stores: Stores) -> Iterator[Routed]:
    """The installed stores that have a route."""
    return (Routed(name, route, stores) for name, route in ROUTES.items() if name in stores)
