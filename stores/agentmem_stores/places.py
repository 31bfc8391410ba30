"""Places: which one a record was made in, what lies inside and beside it, and how far away another is.

A place is a path (`harbour/pier 3`, `repo/src/main.py`, a channel), or, where only coordinates are known, an area that
is found in them. The map only ever learns from `enter`; every question leaves it as it was. It knows no records.

Names are compared folded in case, and a place is inside those that its path begins with, as everywhere in agentmem.
Empty parts of a path say nothing and are left out. Parts may come again: `a/b/a` is a place in `a/b`. `..` is not
resolved, since a name need not be a file's: such a place is one by itself, inside no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem.recall.text import WORD
from agentmem.records import Place
from agentmem.values import Json, many, number

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Distances", "Entered", "PlaceMap", "Where", "parts_of"]

Where: TypeAlias = "str | Place | Sequence[float]"  # how a place is named by whoever asks: by name, or by coordinates

_DEEPEST: Final = 32  # parts of a path; what is below stays one part, so that a hostile one costs no square of it
_FARTHEST: Final = 1e150  # of a coordinate: its square is still a number
_WALKERS: Final = 1_024  # sessions whose last place is remembered
_LONGEST_NAME: Final = 5  # words of a name that are looked for in a text
_LONGEST_TEXT: Final = 16_000  # characters of a text in which names are looked for


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a place's path, at most 32; none for a name of blanks and slashes."""
    parts = [part.strip() for part in name.split("/") if part.strip()]
    if ".." in parts:
        return (name.strip(),)
    return (*parts[: _DEEPEST - 1], "/".join(parts[_DEEPEST - 1 :])) if len(parts) >= _DEEPEST else tuple(parts)


class Entered(NamedTuple):
    """The place's number; and, when two areas became one for it, which number's items belong to which now."""

    place: int
    moved: tuple[int, int] | None = None


class Distances(NamedTuple):
    """float64[places], infinite where there is no way; and which of the places asked is the nearest, intp[places]."""

    values: NDArray[np.float64]
    source: NDArray[np.intp]


class PlaceMap:
    """The places of one scope by number, from 0 on.

    Coordinates without a name are clustered while they come in. The first `areas` distinct points are centres; from
    then on a point moves its nearest centre by 1/n towards it (online k-means; MacQueen 1967), unless it is farther
    from it than the two closest centres are from each other: then those two become one and it begins a new area. (With
    MacQueen's rule alone a walk would spend all centres on the first room it crosses.) The first coordinates fix the
    dimension; those of another one, or beyond 1e150, are passed over and counted in `unfit`.
    """

    def __init__(self, areas: int = 32) -> None:
        self.names: list[str] = []
        self.unfit = 0
        self.dimension = 0  # until coordinates are known
        self._most = areas
        self._areas: list[int] = []
        self._opened = 0
        self._numbers: dict[str, int] = {}
        self._visits = np.zeros(8, np.int64)
        self._parents = np.full(8, -1, np.int64)
        self._located = np.zeros(8, np.int64)  # of how many coordinates a centre is the mean
        self._centres = np.zeros((8, 0))
        self._beside: dict[tuple[int, int], int] = {}  # how often one came right after the other in a session
        self._last: dict[str, int] = {}
        self._graph: nx.Graph | None = None
        self._spoken: dict[str, set[int]] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def visits(self) -> NDArray[np.int64]:
        """int64[places]: how often each was entered, whatever is remembered of it."""
        return self._visits[: len(self)]

    @property
    def areas(self) -> int:
        return len(self._areas)

    # ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────

    def enter(self, place: Place, session: str | None = None) -> Entered | None:
        """Somebody was there, in this session after the place it names last. None when it cannot be told where."""
        point, moved = self._fitting(place.coordinates), None
        parts = parts_of(place.id)
        if parts:
            number = self._number(parts)
            if point is not None:
                self._towards(number, point)
        elif point is not None:
            number, moved = self._area(point)
        else:
            return None
        self._visits[number] += 1
        if session is not None:
            self._walk(session, number)
        return Entered(number, moved)

    def _fitting(self, coordinates: tuple[float, ...] | None) -> NDArray[np.float64] | None:
        if not coordinates:
            return None
        point = np.array(coordinates, np.float64)
        if len(point) != (self.dimension or len(point)) or not (np.abs(point) <= _FARTHEST).all():
            self.unfit += 1
            return None
        if not self.dimension:
            self.dimension = len(point)
            self._centres = np.zeros((len(self._visits), self.dimension))
        return point

    def _number(self, parts: Sequence[str]) -> int:
        number = -1
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            known = self._numbers.get(name.casefold())
            number = self._add(name, number) if known is None else known
        return number

    def _add(self, name: str, parent: int = -1) -> int:
        number = len(self.names)
        if number == len(self._visits):
            for column in _COLUMNS:
                setattr(self, column, _grown(getattr(self, column), 2 * number))
        self._parents[number] = parent
        self._name(number, name)
        if self._graph is not None:
            self._graph.add_node(number)
            if parent >= 0:
                self._graph.add_edge(number, parent)
        return number

    def _name(self, number: int, name: str) -> None:
        self.names[number : number + 1] = [name]
        self._numbers[name.casefold()] = number
        if self._spoken is not None:
            for said in _spoken(name):
                self._spoken.setdefault(said, set()).add(number)

    def _towards(self, number: int, point: NDArray[np.float64]) -> None:
        self._located[number] += 1
        self._centres[number] += (point - self._centres[number]) / self._located[number]

    def _area(self, point: NDArray[np.float64]) -> tuple[int, tuple[int, int] | None]:
        moved = None
        if self._areas:
            away = _lengths(self._centres[self._areas] - point)
            gap, pair = (0.0, None) if len(self._areas) < self._most else self._closest()
            if away.min() <= gap:
                number = self._areas[int(away.argmin())]
                self._towards(number, point)
                return number, None
            moved = pair
        self._opened += 1
        while (name := f"area {self._opened}") in self._numbers:
            self._opened += 1
        if moved is None:
            number = self._add(name)
            self._areas.append(number)
        else:
            number = self._merge(*moved)
            self._name(number, name)
        self._towards(number, point)
        return number, moved

    def _closest(self) -> tuple[float, tuple[int, int] | None]:
        """How far apart the two closest areas are, and which they are; a single one is as far as can be."""
        if len(self._areas) < 2:
            return np.inf, None
        centres = self._centres[self._areas]
        gaps = _lengths(centres[:, None] - centres[None])
        gaps[np.tril_indices(len(gaps))] = np.inf
        one, other = divmod(int(gaps.argmin()), len(gaps))
        return float(gaps[one, other]), (self._areas[other], self._areas[one])

    def _merge(self, gone: int, stays: int) -> int:
        """Give all that is known of one area to the other. Its number is free for a new one, which knows no way."""
        share = self._located[gone] / (self._located[gone] + self._located[stays])
        self._centres[stays] += (self._centres[gone] - self._centres[stays]) * share
        self._located[stays] += self._located[gone]
        self._visits[stays] += self._visits[gone]
        self._visits[gone] = self._located[gone] = 0
        self._centres[gone] = 0.0
        self._parents[self._parents == gone] = stays
        self._last = {session: stays if at == gone else at for session, at in self._last.items()}
        beside: dict[tuple[int, int], int] = {}
        for pair, times in self._beside.items():
            one, other = sorted(stays if at == gone else at for at in pair)
            if one != other:
                beside[one, other] = beside.get((one, other), 0) + times
        self._beside = beside
        del self._numbers[self.names[gone].casefold()]
        self._graph = self._spoken = None
        return gone

    def _walk(self, session: str, number: int) -> None:
        last = self._last.pop(session, number)
        self._last[session] = number
        if len(self._last) > _WALKERS:
            del self._last[next(iter(self._last))]
        if last != number:
            pair = min(last, number), max(last, number)
            self._beside[pair] = self._beside.get(pair, 0) + 1
            if self._graph is not None:
                self._graph.add_edge(*pair)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def locate(self, place: Place) -> int | None:
        """The place of exactly this name, or else the one nearest to the coordinates; None when there is none."""
        if parts := parts_of(place.id):
            return self._numbers.get("/".join(parts).casefold())
        located = np.flatnonzero(self._located[: len(self)])
        if not len(located) or len(place.coordinates or ()) != self.dimension:
            return None
        point = np.clip(np.array(place.coordinates, np.float64), -_FARTHEST, _FARTHEST)
        return int(located[_lengths(self._centres[located] - point).argmin()])

    def find(self, where: Where) -> list[int]:
        """The place that is called so, else those whose last part is; the one nearest to coordinates. Empty when it is
        not known. InvalidInput for what is no place, and for coordinates of another dimension than those here."""
        place = Place.of(where if isinstance(where, str | Place) else Place("", _point(where)))
        parts = parts_of(place.id)
        if not parts and not place.coordinates:
            raise InvalidInput(f"{place.id!r} names no place", way_out="Give a name, a path, or coordinates.")
        if not parts and self.dimension not in (0, len(place.coordinates or ())):
            raise InvalidInput(
                f"coordinates here are {self.dimension} numbers, not {len(place.coordinates or ())}",
                way_out="Give them as the memories of this scope have them.",
            )
        found = self.locate(place)
        return sorted(self._called().get(_said("/".join(parts)), ())) if found is None else [found]

    def named(self, text: str) -> list[int]:
        """The places whose name, or its last part, stands in the text; the longest of overlapping ones."""
        words = [word.casefold() for word in WORD.findall(text[:_LONGEST_TEXT])]
        called, found, start = self._called(), set[int](), 0
        while start < len(words):
            for length in range(min(_LONGEST_NAME, len(words) - start), 0, -1):
                if numbers := called.get(" ".join(words[start : start + length])):
                    found |= numbers
                    start += length - 1
                    break
            start += 1
        return sorted(found)

    def _called(self) -> Mapping[str, set[int]]:
        if self._spoken is None:
            self._spoken = {}
            for number, name in enumerate(self.names):
                for said in _spoken(name):
                    self._spoken.setdefault(said, set()).add(number)
        return self._spoken

    def inside(self, numbers: Sequence[int]) -> NDArray[np.bool_]:
        """bool[places]: these, and what is in them."""
        found = np.zeros(len(self) + 1, np.bool_)  # the last is the parent of those that have none
        found[list(numbers)] = True
        parents = self._parents[: len(self)]
        for _ in range(_DEEPEST):
            found[:-1] |= found[parents]
        return found[:-1]

    def graph(self) -> nx.Graph:
        """Numbers as nodes; an edge between a place and what it is inside, and between those visited in a row."""
        if self._graph is None:
            import networkx as nx  # 0.1 s, which whoever asks for no way need not wait for

            self._graph = nx.Graph()
            self._graph.add_nodes_from(range(len(self)))
            parents = self._parents[: len(self)]
            self._graph.add_edges_from((int(child), int(parents[child])) for child in np.flatnonzero(parents >= 0))
            self._graph.add_edges_from(self._beside)
        return self._graph

    def hops(self, sources: Sequence[int], within: int | None = None) -> Distances:
        """The fewest edges from any of these; farther than `within` counts as no way."""
        if not sources:
            return _nearest(np.zeros((0, len(self))), sources)
        import networkx as nx

        found = np.full((len(sources), len(self)), np.inf)
        for row, source in zip(found, sources, strict=True):
            reached = nx.single_source_shortest_path_length(self.graph(), source, cutoff=within)
            row[list(reached)] = list(reached.values())
        return _nearest(found, sources)

    def euclidean(self, sources: Sequence[int]) -> Distances:
        """Between the means of the coordinates; infinite where either has none."""
        known = self._located[: len(self)] > 0
        found = np.full((len(sources), len(self)), np.inf)
        for row, source in zip(found, sources, strict=True):
            if known[source]:
                row[known] = _lengths(self._centres[: len(self)][known] - self._centres[source])
        return _nearest(found, sources)

    def points(self) -> list[tuple[float, ...] | None]:
        """The mean of each place's coordinates; None where none are known."""
        known = zip(self._located[: len(self)].tolist(), self._centres[: len(self)].tolist(), strict=True)
        return [tuple(centre) if located else None for located, centre in known]

    def spacing(self) -> float:
        """How far it is from a place to the next, on average; 1 where fewer than two have coordinates."""
        located = np.flatnonzero(self._located[: len(self)])[:256]  # enough to tell, and 0.5 MB of gaps
        if len(located) < 2:
            return 1.0
        gaps = _lengths(self._centres[located][:, None] - self._centres[located][None])
        np.fill_diagonal(gaps, np.inf)
        return float(gaps.min(axis=1).mean()) or 1.0

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> tuple[Json, dict[str, NDArray[Any]]]:
        number = len(self)
        told: Json = {
            "names": self.names,
            "areas": self._areas,
            "opened": self._opened,
            "unfit": self.unfit,
            "last": [[session, at] for session, at in self._last.items()],  # the order tells who came last
        }
        beside = [[*pair, times] for pair, times in self._beside.items()]
        return told, {
            "visits": self._visits[:number],
            "parents": self._parents[:number],
            "located": self._located[:number],
            "centres": self._centres[:number],
            "beside": np.array(beside, np.int64).reshape(-1, 3),
        }

    @classmethod
    def restored(cls, areas: int, told: Any, arrays: Mapping[str, NDArray[Any]]) -> PlaceMap:
        """From what `dump` gave; ValueError, KeyError or TypeError for anything else."""
        made = cls(areas)
        names, number = [str(name) for name in told["names"]], len(told["names"])
        for column in _COLUMNS:
            held = arrays[column.strip("_")]
            like = getattr(made, column)
            if held.shape[:1] != (number,) or held.dtype != like.dtype or held.ndim != like.ndim:
                raise ValueError(f"{column} does not fit")
            setattr(made, column, _grown(held, max(8, number)))
        made._areas = [int(area) for area in told["areas"]]
        made._last = {str(session): int(at) for session, at in told["last"]}
        made._beside = {(int(one), int(other)): int(times) for one, other, times in arrays["beside"]}
        pointed = [*made._areas, *made._last.values(), *(at for pair in made._beside for at in pair)]
        if not all(0 <= at < number for at in pointed) or len(made._areas) > areas:
            raise ValueError("it speaks of places that it does not have")
        parents = arrays["parents"]
        if made._visits.min() < 0 or made._located.min() < 0 or not ((parents >= -1) & (parents < number)).all():
            raise ValueError("the numbers of a place are out of range")
        if not (np.abs(made._centres) <= _FARTHEST).all():
            raise ValueError("a centre is out of range")
        made.dimension = made._centres.shape[1]
        made.names, made._opened, made.unfit = names, int(told["opened"]), int(told["unfit"])
        made._numbers = {name.casefold(): at for at, name in enumerate(names)}
        return made


_COLUMNS: Final = ("_visits", "_parents", "_located", "_centres")


def _grown(held: NDArray[Any], room: int) -> NDArray[Any]:
    """The same rows, and zeros up to so many."""
    grown = np.zeros((room, *held.shape[1:]), held.dtype)
    grown[: len(held)] = held
    return grown


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the last axis. Coordinates are within 1e150, so that no square overflows."""
    found: NDArray[np.float64] = np.sqrt(np.square(vectors).sum(axis=-1))
    return found


def _nearest(found: NDArray[np.float64], sources: Sequence[int]) -> Distances:
    """Of float64[sources, places] the least of each place."""
    if not len(sources):
        return Distances(np.full(found.shape[1], np.inf), np.full(found.shape[1], -1, np.intp))
    return Distances(found.min(axis=0), np.array(sources, np.intp)[found.argmin(axis=0)])


def _point(value: Any) -> tuple[float, ...]:
    return tuple(number(x, "a coordinate") for x in many(value, "a place"))


def _said(name: str) -> str:
    return " ".join(word.casefold() for word in WORD.findall(name))


def _spoken(name: str) -> Iterator[str]:
    """How a text may name it: by its whole path, or by its last part."""
    return filter(None, (_said(name), _said(name.rpartition("/")[2])))
