"""All places of a scope at once, to be drawn: what is known of each, the ways between them, and who was where when."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import moment
from agentmem_stores.places import PlaceMap

__all__ = ["Atlas", "Spot", "Stay", "atlas_of"]


class Spot(NamedTuple):
    """A place: how much of what happened there is in memory, how often it was entered, and the mean of its coordinates,
    None where none are known."""

    place: str
    episodes: int
    visits: int
    coordinates: tuple[float, ...] | None


class Stay(NamedTuple):
    """So many episodes in a row at one place, the first of them at `since`, the last at `until`."""

    place: str
    since: datetime
    until: datetime
    episodes: int


class Atlas(NamedTuple):
    """`ways` lead from a place to what it is inside, and to where somebody went next; `stays` are in the order in which
    they happened, whoever's they were."""

    spots: list[Spot]
    ways: list[tuple[str, str]]
    stays: list[Stay]


def atlas_of(places: PlaceMap, items: NDArray[Any]) -> Atlas:
    """Of the map and what is in memory, with its `place`, `at` and `position`."""
    names = places.names
    held = np.bincount(items["place"], minlength=len(places)).tolist()
    known = zip(names, held, places.visits.tolist(), places.points(), strict=True)
    ways = [(names[one], names[other]) for one, other in places.graph().edges()]
    items = items[np.lexsort((items["position"], items["at"]))]
    starts = np.flatnonzero(np.diff(items["place"], prepend=-1)).tolist()
    stays = []
    for start, end in zip(starts, [*starts[1:], len(items)], strict=False):
        since, until = (moment(int(items["at"][row])) for row in (start, end - 1))
        stays.append(Stay(names[int(items["place"][start])], since, until, end - start))
    return Atlas([Spot(*one) for one in known], ways, stays)
