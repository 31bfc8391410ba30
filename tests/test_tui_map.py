"""The drawing of places: where they stand, where an arrow leads, and what there is no room for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import networkx as nx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from agentmem import InvalidInput
from agentmem_tui.drawing.place_map import Direction, Node, drawn, left_out, neighbour, placed

GRID = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=25).map(
    lambda rows: [Node(f"place {at}", x, y) for at, (x, y) in enumerate(rows)]
)
DIRECTIONS: Final[tuple[Direction, ...]] = ("left", "right", "up", "down")
COORDINATE = st.integers(-3, 3).map(float) | st.floats(-1e150, 1e150)
NODES = st.lists(st.tuples(COORDINATE, COORDINATE, st.integers(0, 50)), max_size=25).map(
    lambda rows: [Node(f"place {at}", x, y, episodes) for at, (x, y, episodes) in enumerate(rows)]
)


def _lines(text: Text) -> list[str]:
    return text.plain.split("\n")


@given(NODES, st.integers(1, 60), st.integers(1, 20))
def test_a_map_fills_its_cells_and_names_each_place_once(nodes: list[Node], width: int, height: int) -> None:
    edges = [(one.name, other.name) for one, other in pairwise(nodes)]
    drawing = drawn(nodes, edges, width, height)
    assert [cell_len(line) for line in _lines(drawing.canvas)] == [width] * height
    for node in nodes:
        on_map = drawing.canvas.plain.count(node.name)
        listed = [mark for mark, name in drawing.beside if name == node.name]
        assert len(listed) <= 1
        assert listed or on_map
    marks = [int(mark) for mark, _ in drawing.beside if mark]
    assert marks == list(range(1, len(marks) + 1))
    assert drawing == drawn(nodes, edges, width, height)


def test_a_map_as_it_looks() -> None:
    nodes = [Node("harbour", 0, 0, 9, 1.0), Node("town/market", 30, 10, 3), Node("inn", 30, 0, 0)]
    drawing = drawn(nodes, [("harbour", "inn"), ("inn", "town/market")], 36, 4, focused="inn")
    assert drawing.beside == ()
    assert _lines(drawing.canvas) == [
        "                      market ○      ",
        "                             ⡇      ",
        "                             ⡇      ",
        "      ● harbour ⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀◉ inn  ",
    ]


def test_the_largest_places_keep_their_names_and_the_rest_is_listed_by_number() -> None:
    nodes = [Node(f"place {number}", 0, 0, number) for number in range(12)]
    drawing = drawn(nodes, [], 40, 3)
    named = [node.name for node in nodes if node.name not in [name for _, name in drawing.beside]]
    assert named == ["place 8", "place 9", "place 10", "place 11"]
    focused = drawn(nodes, [], 40, 3, focused="place 0")
    assert "place 0" in focused.canvas.plain
    assert "◉" in focused.canvas.plain
    listed = left_out(drawn([Node("a" * 30, 0, 0, 2), Node("b" * 30, 0, 0, 1)], [], 9, 1), 12)
    assert _lines(listed) == ["1 aaaaaaaaa…", "2 bbbbbbbbb…"]


def test_places_are_told_by_size_and_by_how_lately_they_were_visited() -> None:
    canvas = drawn([Node("a", 0, 0, 100, 1.0), Node("b", 1, 0, 30, 0.5), Node("c", 2, 0, 1, 0.0)], [], 40, 3).canvas
    assert [letter for letter in canvas.plain if letter in "∘○●"] == ["●", "○", "∘"]
    styles = {canvas.plain[span.start]: str(span.style) for span in canvas.spans}
    assert "bold" in styles["●"]
    assert "dim" in styles["∘"]


def test_a_map_keeps_its_proportions() -> None:
    """Dots are square: 10 by 10 units are as many dots wide as high, whatever the canvas."""
    for width, height in ((80, 10), (20, 40)):
        lines = _lines(drawn([Node("a", 0, 0, 1), Node("b", 10, 10, 1)], [], width, height).canvas)
        spots = [(column, row) for row, line in enumerate(lines) for column, letter in enumerate(line) if letter == "●"]
        (right, top), (left, bottom) = spots
        assert abs(2 * (right - left) - 4 * (bottom - top)) <= 4


def test_no_place_one_place_and_five_hundred() -> None:
    assert drawn([], [], 5, 2).canvas.plain == "     \n     "
    assert "∘ alone" in drawn([Node("alone")], [], 20, 3).canvas.plain
    nodes = [Node(f"room {number}", episodes=number % 9) for number in range(500)]
    edges = [(f"room {number}", f"room {number // 3}") for number in range(1, 500)]
    drawing = drawn(nodes, edges, 80, 24)
    assert [cell_len(line) for line in _lines(drawing.canvas)] == [80] * 24
    spots = placed(nodes, edges)
    assert len({(node.x, node.y) for node in spots}) == 500
    assert placed(nodes, edges) == spots
    assert drawn(nodes, edges, 0, 5).canvas.plain == ""


def test_a_map_stays_as_it_is_while_episodes_are_added() -> None:
    edges = [("a", "b"), ("b", "c"), ("d", "b")]
    spots = {node.name: (node.x, node.y) for node in placed([Node(name) for name in "abcd"], edges)}
    later = placed([Node(name, episodes=ord(name), recency=0.5) for name in "dbca"], edges[::-1])
    assert {node.name: (node.x, node.y) for node in later} == spots


def test_neighbours_are_laid_out_near_each_other_and_given_coordinates_are_kept() -> None:
    names = [f"{side}{number}" for side in "ab" for number in range(6)]
    edges = [(f"{side}{one}", f"{side}{other}") for side in "ab" for one in range(6) for other in range(one)]
    spots = {node.name: (node.x or 0.0, node.y or 0.0) for node in placed([Node(name) for name in names], edges)}

    def mean(pairs: Sequence[tuple[str, str]]) -> float:
        return sum(math.dist(spots[one], spots[other]) for one, other in pairs) / len(pairs)

    across = [(f"a{one}", f"b{other}") for one in range(6) for other in range(6)]
    assert mean(edges) < mean(across) / 2

    for node in placed([Node("a", -1e150, 1e150), Node("b", 1e150, 0), Node("c")], [("a", "c")]):
        assert node.x is not None
        assert math.isfinite(node.x)
    known = [Node("a", 100, 200), Node("b", 300, 250), Node("between")]
    one, other, between = placed(known, [("a", "between"), ("between", "b")])
    assert [one, other] == known[:2]
    assert between.x is not None
    assert between.y is not None
    assert math.isfinite(between.x)
    assert math.dist((between.x, between.y), (200, 225)) < 400


@given(NODES.filter(len) | GRID)
@settings(max_examples=200)
def test_arrows_lead_from_each_place_to_every_other(nodes: list[Node]) -> None:
    steps = nx.DiGraph()
    for node in nodes:
        for direction in DIRECTIONS:
            steps.add_edge(node.name, neighbour(nodes, node.name, direction))
    assert nx.is_strongly_connected(steps)


@given(GRID, st.data())
def test_an_arrow_never_leads_backwards(nodes: list[Node], data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(nodes))
    direction = data.draw(st.sampled_from(DIRECTIONS))
    end = next(node for node in nodes if node.name == neighbour(nodes, start.name, direction))
    assert start.x is not None and start.y is not None and end.x is not None and end.y is not None  # noqa: PT018
    if direction in ("left", "right"):
        assert (end.x >= start.x) if direction == "right" else (end.x <= start.x)
    else:
        assert (end.y >= start.y) if direction == "up" else (end.y <= start.y)


def test_an_arrow_leads_to_the_nearest_place_that_way() -> None:
    nodes = [Node("here", 0, 0), Node("near", 2, 1), Node("far", 5, 0), Node("above", 1, 4), Node("below", -1, -3)]
    walked = {direction: neighbour(nodes, "here", direction) for direction in DIRECTIONS}
    assert walked == {"right": "near", "up": "above", "down": "below", "left": "below"}
    assert neighbour(nodes, "far", "right") == "far"


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        drawn([Node("a", math.nan, 0)], [], 10, 3)
    with pytest.raises(InvalidInput, match="finite"):
        neighbour([Node("a", math.inf, 0)], "a", "up")
    with pytest.raises(InvalidInput, match="finite"):
        placed([Node("a", 0, 0, recency=math.nan)])
    with pytest.raises(InvalidInput, match="farther"):
        placed([Node("a", 0, -1e151)])
    with pytest.raises(InvalidInput, match="one coordinate"):
        placed([Node("a", 1, None)])
    with pytest.raises(InvalidInput, match="twice"):
        placed([Node("a"), Node("a")])
    with pytest.raises(InvalidInput, match="not on the map"):
        drawn([Node("a")], [("a", "b")], 10, 3)
    with pytest.raises(InvalidInput, match="no place"):
        neighbour([Node("a", 0, 0)], "b", "up")
    with pytest.raises(InvalidInput, match="no coordinates"):
        neighbour([Node("a")], "a", "up")


@given(st.lists(st.text(min_size=1, max_size=20), max_size=8, unique=True))
def test_names_that_somebody_else_gave_cannot_break_the_map(names: list[str]) -> None:
    nodes = [Node(name.replace("\0", ""), at, at % 3, at) for at, name in enumerate(names)]
    assume(len({node.name for node in nodes}) == len(nodes))
    try:
        drawing = drawn(nodes, [], 30, 6)
    except InvalidInput:  # half of a surrogate pair
        return
    assert [cell_len(line) for line in _lines(drawing.canvas)] == [30] * 6
