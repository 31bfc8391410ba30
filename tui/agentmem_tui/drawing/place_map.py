"""A map of places in the cells of a terminal: nodes, the ways between them as lines of dots, and names beside them.

The same places make the same map. Where a place has no coordinates, one is found for it that is near its neighbours'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from agentmem.errors import InvalidInput
from agentmem.values import number, plain_text
from agentmem_tui.drawing.plain import one_line

__all__ = ["Drawing", "Node", "drawn", "left_out", "neighbour", "placed"]

Direction: TypeAlias = Literal["left", "right", "up", "down"]
Edges: TypeAlias = Sequence[tuple[str, str]]
Points: TypeAlias = NDArray[np.float64]
Cell: TypeAlias = tuple[int, int]  # column, row

_LABEL: Final = 18  # cells of a name
_FOCUS: Final = "◉"
_SIZES: Final = "∘○●"
_LAID_OUT: Final = 400  # places that the springs hold: 0.4 s; from 500 on networkx would ask for scipy
_WIDE: Final = 2.0  # a map that is all found is wider than high, as a terminal's pane is: four dots to two
_SPIRAL: Final = math.pi * (3 - math.sqrt(5))  # the golden angle: no two of a spiral's points fall together
_FARTHEST: Final = 1e150  # of a coordinate, as in the store of places: its square is still a number
_FLAT: Final = 1e-9  # of the longer side: such a map is a line
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille cell, by row and column


@dataclass(frozen=True, slots=True)
class Node:
    """A place: where it is in any unit, y upwards, None where that is not known; its episodes; and how lately it was
    visited, from 0 to 1."""

    name: str
    x: float | None = None
    y: float | None = None
    episodes: int = 0
    recency: float = 0.0


class Drawing(NamedTuple):
    """The canvas, and the places whose names have no room on it: each with its number there, or "" where even that has
    none."""

    canvas: Text
    beside: tuple[tuple[str, str], ...]


def placed(nodes: Sequence[Node], edges: Edges = ()) -> list[Node]:
    """The nodes, each with coordinates: its own, or such that neighbours are near each other. InvalidInput for a number
    that is not finite, for a name that comes twice, and for an edge to nowhere."""
    named = sorted(nodes, key=lambda node: node.name)  # the map is the same in whatever order they come
    numbers = _checked(named)
    ways = tuple(sorted({(min(pair), max(pair)) for pair in _pairs(edges, numbers)}))
    known = [at for at, node in enumerate(named) if node.x is not None]
    if len(known) == len(nodes):
        return list(nodes)
    points, (left, bottom), span = _to_unit(_points([named[at] for at in known]))
    fixed = tuple((at, x, y) for at, (x, y) in zip(known, points.tolist(), strict=True))
    busiest = sorted(range(len(named)), key=lambda at: (named[at].x is None, -named[at].episodes))
    found = _laid_out(len(named), tuple(sorted(busiest[:_LAID_OUT])), ways, fixed)
    wide = span if known else span * _WIDE
    spots = {node.name: (left + x * wide, bottom + y * span) for node, (x, y) in zip(named, found, strict=True)}
    return [
        node if node.x is not None else replace(node, x=spots[node.name][0], y=spots[node.name][1]) for node in nodes
    ]


def neighbour(nodes: Sequence[Node], focused: str, direction: Direction) -> str:
    """The place that an arrow key walks to: the nearest in that quarter, else in that half of the plane, else itself.

    From each place the arrows lead to every other. The nodes have coordinates (`placed`); some hundreds are walked in
    a moment.
    """
    numbers = _checked(nodes)
    if focused not in numbers:
        raise InvalidInput(f"there is no place {focused!r:.80} on the map")
    points, _, _ = _to_unit(_points(nodes))
    return nodes[_arrows(points.tobytes())[direction][numbers[focused]]].name


def drawn(nodes: Sequence[Node], edges: Edges, width: int, height: int, focused: str | None = None) -> Drawing:
    """The map in `width` times `height` cells, as large as it fits with its proportions kept.

    The focused place is `◉`, the others `∘ ○ ●` by their episodes; lately visited ones are bold, old ones dim. The
    name of the focused place comes first, then those with the most episodes.
    """
    nodes = placed(nodes, edges)
    numbers = _checked(nodes)
    if focused is not None and focused not in numbers:
        raise InvalidInput(f"there is no place {focused!r:.80} on the map")
    if width < 1 or height < 1:
        return Drawing(Text(), tuple(("", node.name) for node in nodes))
    canvas = _Canvas(width, height)
    dots = _fitted(_points(nodes), width, height)
    pairs = [(a, b) for a, b in _pairs(edges, numbers) if a != b]
    at_focus = -1 if focused is None else numbers[focused]
    for a, b in sorted(pairs, key=lambda pair: at_focus in pair):
        canvas.line(dots[a], dots[b], "" if at_focus in (a, b) else "dim")

    most = max((node.episodes for node in nodes), default=0)
    ranked = sorted(range(len(nodes)), key=lambda at: (at != at_focus, -nodes[at].episodes, nodes[at].name))
    for at in ranked:
        symbol = _FOCUS if at == at_focus else _symbol(nodes[at].episodes, most)
        canvas.put(_cell(dots[at]), symbol, "bold reverse" if at == at_focus else _freshness(nodes[at].recency))
    labels = _labels(nodes)
    unnamed = [
        at
        for at in ranked
        if not canvas.label(_cell(dots[at]), one_line(labels[at], _LABEL), "bold" if at == at_focus else "")
    ]
    beside = []
    count = 0
    for at in unnamed:
        fits = canvas.label(_cell(dots[at]), str(count + 1), "italic")
        count += fits
        beside.append((str(count) if fits else "", nodes[at].name))
    return Drawing(canvas.text(), tuple(beside))


def left_out(drawing: Drawing, width: int) -> Text:
    """The places without a name on the map, a line each, to stand beside it."""
    wide = max((len(mark) for mark, _ in drawing.beside), default=0)
    lines = [
        Text.assemble((f"{mark:>{wide}} ", "italic"), one_line(name, width - wide - 1)) for mark, name in drawing.beside
    ]
    return Text("\n").join(lines)


# ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(nodes: Sequence[Node]) -> dict[str, int]:
    """The number of each name."""
    numbers: dict[str, int] = {}
    for at, node in enumerate(nodes):
        if numbers.setdefault(plain_text(node.name, "a place's name"), at) != at:
            raise InvalidInput(f"the place {node.name!r:.80} is on the map twice")
        if (node.x is None) != (node.y is None):
            raise InvalidInput(f"the place {node.name!r:.80} has one coordinate of two")
        for value in (node.x, node.y):
            if value is not None and abs(number(value, f"a coordinate of {node.name:.80}")) > _FARTHEST:
                raise InvalidInput(f"the place {node.name!r:.80} is farther away than {_FARTHEST:g}")
        number(node.recency, f"the recency of {node.name:.80}")
        number(node.episodes, f"the episodes of {node.name:.80}")
    return numbers


def _pairs(edges: Edges, numbers: Mapping[str, int]) -> list[tuple[int, int]]:
    missing = next((name for pair in edges for name in pair if name not in numbers), None)
    if missing is not None:
        raise InvalidInput(f"a way leads to {missing!r:.80}, which is not on the map")
    return [(numbers[a], numbers[b]) for a, b in edges]


def _points(nodes: Sequence[Node]) -> Points:
    """float64[nodes, 2]"""
    if any(node.x is None for node in nodes):
        raise InvalidInput("a place has no coordinates yet", way_out="placed(nodes, edges) finds some.")
    return np.array([(node.x, node.y) for node in nodes], np.float64).reshape(len(nodes), 2)


def _to_unit(points: Points) -> tuple[Points, tuple[float, float], float]:
    """The points moved and scaled into a square of side 1, and where its corner was and how long its side."""
    if not len(points):
        return points, (0.0, 0.0), 1.0
    corner = points.min(axis=0)
    span = float((points - corner).max())
    unit = (points - corner) / (span or 1.0)
    return unit, (float(corner[0]), float(corner[1])), span or 1.0


# ── where a place is that has no coordinates ─────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=16)
def _laid_out(
    count: int, held: tuple[int, ...], ways: tuple[tuple[int, int], ...], fixed: tuple[tuple[int, float, float], ...]
) -> list[tuple[float, float]]:
    """A point for each of so many nodes. Springs hold those in `held`, the others lie around a neighbour."""
    import networkx as nx  # 0.1 s, which a map with coordinates does not need

    graph = nx.Graph()
    graph.add_nodes_from(held)
    graph.add_edges_from((a, b) for a, b in ways if a in graph and b in graph)
    # A node that ties all loosely: what hangs together with nothing would drift off, and the rest shrink to a spot.
    graph.add_weighted_edges_from((-1, at, 0.1) for at in held)
    start = {at: (x, y) for at, x, y in fixed if at in graph}
    found = nx.spring_layout(graph, seed=7, **({"pos": start, "fixed": list(start)} if start else {}))
    spots = {at: (float(x), float(y)) for at, (x, y) in found.items() if at != -1} | {at: (x, y) for at, x, y in fixed}
    beside: dict[int, int] = {}
    for a, b in ways:
        for one, other in ((a, b), (b, a)):
            if one not in spots and other in spots:
                beside.setdefault(one, other)
    for turn, at in enumerate(at for at in range(count) if at not in spots):
        x, y = spots[beside[at]] if at in beside else (0.5, 0.5)
        away = 0.02 + 0.001 * math.sqrt(turn) if at in beside else 1.0
        spots[at] = (x + away * math.cos(turn * _SPIRAL), y + away * math.sin(turn * _SPIRAL))
    return [spots[at] for at in range(count)]


# ── where an arrow leads ─────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=16)
def _arrows(raw: bytes) -> Mapping[str, list[int]]:
    """By direction, where it leads from each of the points; float64[n, 2] as bytes.

    Nodes at one point are parted by their numbers: the later one lies to the right.
    """
    import networkx as nx

    points = np.frombuffer(raw, np.float64).reshape(-1, 2)
    count = len(points)
    later = np.arange(count)[:, None] < np.arange(count)
    x, y = np.moveaxis(points[None] - points[:, None], -1, 0)
    distance = np.hypot(x, y)
    found: dict[str, list[int]] = {}
    for direction, along, left in (("right", x, y), ("up", y, -x), ("left", -x, -y), ("down", -y, x)):
        # A quarter is searched before its half: no two points are 2 apart. Each diagonal is of one quarter alone; of
        # both, two points on diagonals could keep all arrows from a third.
        cost = np.where((-along < left) & (left <= along), distance, distance + 2)
        cost[along <= 0] = np.inf
        if direction in ("right", "left"):
            cost[(distance == 0) & (later if direction == "right" else later.T)] = 0
        to = cost.argmin(axis=1)
        found[direction] = np.where(np.isfinite(cost.min(axis=1)), to, np.arange(count)).tolist()
    steps = nx.DiGraph((at, to) for led in found.values() for at, to in enumerate(led))
    if not nx.is_strongly_connected(steps):  # of 20,000 maps none; then left and right pass all in a row
        row = np.lexsort((np.arange(count), points[:, 1], points[:, 0])).tolist()
        found["right"] = [to for _, to in sorted(zip(row, [*row[1:], row[-1]], strict=True))]
        found["left"] = [to for _, to in sorted(zip(row, [row[0], *row[:-1]], strict=True))]
    return found


# ── the canvas ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _fitted(points: Points, width: int, height: int) -> list[tuple[int, int]]:
    """The dot of each point, (column, row) from the top left, within the cells and in their middle."""
    unit, _, _ = _to_unit(points)
    room = np.array([2 * width - 1, 4 * height - 1], np.float64)
    extent = unit.max(axis=0) if len(unit) else np.zeros(2)
    scale = min((room[axis] / extent[axis] for axis in (0, 1) if extent[axis] > _FLAT), default=0.0)
    margin = (room - scale * extent) / 2
    dots = np.rint(margin + scale * unit).astype(int)
    return [(column, 4 * height - 1 - row) for column, row in dots.tolist()]


def _cell(dot: tuple[int, int]) -> Cell:
    return dot[0] // 2, dot[1] // 4


def _symbol(episodes: float, most: float) -> str:
    share = math.sqrt(max(episodes, 0) / most) if most > 0 else 0.0
    return _SIZES[min(int(share * len(_SIZES)), len(_SIZES) - 1)]


def _freshness(recency: float) -> str:
    return "bold green" if recency >= 2 / 3 else "green" if recency >= 1 / 3 else "dim"


def _labels(nodes: Sequence[Node]) -> list[str]:
    """The last part of each path, or the whole where another one ends alike."""
    last = [node.name.rpartition("/")[2] or node.name for node in nodes]
    return [short if last.count(short) == 1 else node.name for short, node in zip(last, nodes, strict=True)]


class _Canvas:
    """Cells in which something stands, and dots in the others."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._dots: dict[Cell, tuple[int, str]] = {}
        self._cells: dict[Cell, tuple[str, str]] = {}

    def line(self, start: tuple[int, int], end: tuple[int, int], style: str) -> None:
        """The dots between two, in whole steps of the longer side."""
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x = start[0] + round((end[0] - start[0]) * step / steps)
            y = start[1] + round((end[1] - start[1]) * step / steps)
            bits, _ = self._dots.get((x // 2, y // 4), (0, ""))
            self._dots[x // 2, y // 4] = (bits | _DOTS[y % 4][x % 2], style)

    def put(self, cell: Cell, symbol: str, style: str) -> None:
        self._cells.setdefault(cell, (symbol, style))

    def label(self, cell: Cell, words: str, style: str) -> bool:
        """`words` beside, above or below a cell, where nothing else stands; False if that is nowhere."""
        wide = cell_len(words)
        column, row = cell
        middle = column - wide // 2
        for left, top in (
            *((column + 2, row), (column - wide - 1, row), (middle, row - 1), (middle, row + 1)),
            *((column + 1, row - 1), (column + 1, row + 1), (column - wide, row - 1), (column - wide, row + 1)),
        ):
            if not (0 <= top < self._height and 0 <= left <= self._width - wide):
                continue
            around = [(at, top) for at in range(left - 1, left + wide + 1) if (at, top) != cell]
            if wide and not any(spot in self._cells for spot in around):
                for spot in around:
                    self._dots.pop(spot, None)
                self._write(left, top, words, style)
                return True
        return False

    def _write(self, left: int, top: int, words: str, style: str) -> None:
        for letter in words:
            wide = cell_len(letter)
            if not wide:  # it belongs to the letter before
                before = next((at for at in (left - 1, left - 2) if self._cells.get((at, top), ("",))[0]), None)
                if before is not None:
                    self._cells[before, top] = (self._cells[before, top][0] + letter, style)
                continue
            self._cells[left, top] = (letter, style)
            for more in range(1, wide):
                self._cells[left + more, top] = ("", style)
            left += wide

    def _at(self, cell: Cell) -> tuple[str, str]:
        if cell in self._cells:
            return self._cells[cell]
        bits, style = self._dots.get(cell, (0, ""))
        return (chr(0x2800 + bits) if bits else " "), style

    def _rows(self) -> Iterator[Iterable[tuple[str, str]]]:
        for row in range(self._height):
            yield [self._at((column, row)) for column in range(self._width)]

    def text(self) -> Text:
        text = Text(no_wrap=True)
        for number_, row in enumerate(self._rows()):
            text.append("\n" if number_ else "")
            for style, run in groupby(row, lambda one: one[1]):
                text.append("".join(letter for letter, _ in run), style)
        return text
