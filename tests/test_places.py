"""Places: paths, areas found in coordinates, the map of what lies inside and beside what, and what is asked of it."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.records import Place
from agentmem_stores.episodic import Sighting
from agentmem_stores.places import PlaceMap, parts_of
from tests.test_episodic import DAY, HOUR, NOON, Words, house

PARTS = ["a", "b", "A", "", " ", "pier 3", "..", "ß"]
paths = st.lists(st.sampled_from(PARTS), max_size=5).map("/".join)
steps = st.lists(st.tuples(paths, st.sampled_from(["monday", "tuesday", None])), max_size=25)
points = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=1, max_size=60)


def walked(stream: list[tuple[str, str | None]]) -> PlaceMap:
    places = PlaceMap()
    for name, session in stream:
        places.enter(Place(name), session)
    return places


def located(stream: list[tuple[float, ...]], areas: int) -> tuple[PlaceMap, list[int]]:
    """The map, and for each point the number of the area whose it is in the end."""
    places, of = PlaceMap(areas), list[int]()
    for point in stream:
        entered = places.enter(Place("", tuple(map(float, point))))
        assert entered is not None
        if entered.moved is not None:
            gone, stays = entered.moved
            of = [stays if at == gone else at for at in of]
        of.append(entered.place)
    return places, of


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("harbour/pier 3", ("harbour", "pier 3")),
        ("/repo//src/ main.py /", ("repo", "src", "main.py")),
        ("https://example.org/page", ("https:", "example.org", "page")),
        ("a/b/a", ("a", "b", "a")),
        ("a/../b", ("a/../b",)),
        ("..", ("..",)),
        ("a../..b", ("a..", "..b")),
        (" / /", ()),
        ("", ()),
    ],
)
def test_a_path_has_parts(name: str, parts: tuple[str, ...]) -> None:
    assert parts_of(name) == parts


def test_a_path_of_a_million_parts_costs_as_much_as_one_of_thirty_two() -> None:
    name = "a/" * 1_000_000 + "b"
    places = PlaceMap()
    places.enter(Place(name))
    assert len(places) == 32
    assert places.locate(Place(name)) == 31
    assert places.find("a/a") == [1]


def test_a_path_that_comes_back_to_a_name_is_no_cycle() -> None:
    places = walked([("a/b/a", None)])
    assert places.names == ["a", "a/b", "a/b/a"]
    assert places.inside([1]).tolist() == [False, True, True]
    assert places.inside([0]).tolist() == [True, True, True]
    assert sorted(places.graph().edges) == [(0, 1), (1, 2)]


def test_dots_are_not_resolved() -> None:
    places = walked([("a/b", None), ("a/../b", None)])
    assert places.find("a/../b") != places.find("a/b")
    assert places.inside(places.find("a")).tolist() == [True, True, False]


def test_case_does_not_make_another_place() -> None:
    places = walked([("Straße/Haus", "x"), ("STRASSE/haus", "x")])
    assert places.names == ["Straße", "Straße/Haus"]
    assert places.visits.tolist() == [0, 2]
    assert not places.graph().has_edge(1, 1)


@given(stream=steps)
def test_what_lies_inside_is_what_the_path_begins_with(stream: list[tuple[str, str | None]]) -> None:
    places = walked(stream)
    paths = [parts_of(name.casefold()) for name in places.names]
    assert len(set(paths)) == len(paths)
    for number, path in enumerate(paths):
        inside = [other[: len(path)] == path for other in paths]
        assert places.inside([number]).tolist() == inside
        assert places.locate(Place(places.names[number])) == number
    for number, name in enumerate(places.names):
        entered = sum(parts_of(at.casefold()) == paths[number] for at, _ in stream)
        assert places.visits[number] == entered, name


# ── the graph ────────────────────────────────────────────────────────────────────────────────────────────────────


def hops_by_hand(stream: list[tuple[str, str | None]], names: list[str], source: int) -> list[float]:
    """Breadth first, over parents and over those that came one after the other in a session."""
    number = {name.casefold(): n for n, name in enumerate(names)}
    beside: dict[int, set[int]] = {n: set() for n in range(len(names))}
    for name in names:
        *above, _ = parts_of(name)
        if above:
            beside[number[name.casefold()]].add(number["/".join(above).casefold()])
    last: dict[str, int] = {}
    for name, session in stream:
        if parts_of(name) and session is not None:
            here = number["/".join(parts_of(name)).casefold()]
            beside[here].add(last.get(session, here))
            last[session] = here
    for one, others in list(beside.items()):
        for other in others:
            beside[other].add(one)
    found = {source: 0.0}
    queue = deque([source])
    while queue:
        one = queue.popleft()
        for other in beside[one] - found.keys():
            found[other] = found[one] + 1
            queue.append(other)
    return [found.get(n, math.inf) for n in range(len(names))]


@given(stream=steps, more=steps)
def test_hops_are_the_fewest_steps(stream: list[tuple[str, str | None]], more: list[tuple[str, str | None]]) -> None:
    places = walked(stream)
    places.graph()  # it grows with what comes later
    for name, session in more:
        places.enter(Place(name), session)
    by_hand = [hops_by_hand([*stream, *more], places.names, source) for source in range(len(places))]
    for source, expected in enumerate(by_hand):
        assert places.hops([source]).values.tolist() == expected
        near = [away if away <= 1 else math.inf for away in expected]
        assert places.hops([source], within=1).values.tolist() == near
    both = [0, len(places) - 1] if len(places) else []
    away = places.hops(both)
    assert away.values.tolist() == [min(by_hand[at][n] for at in both) for n in range(len(places))]
    assert all(by_hand[int(at)][n] == away.values[n] for n, at in enumerate(away.source))


def test_without_a_session_nothing_is_beside_anything() -> None:
    places = walked([("kitchen", None), ("garden", None)])
    assert places.hops([0]).values.tolist() == [0, math.inf]
    assert places.hops([]).values.tolist() == [math.inf, math.inf]


def test_only_so_many_walks_are_remembered() -> None:
    places = PlaceMap()
    places.enter(Place("kitchen"), "first")
    places.enter(Place("cellar"), "second")
    for n in range(1_022):
        places.enter(Place("hall"), f"session {n}")
    places.enter(Place("kitchen"), "first")
    places.enter(Place("hall"), "one more")
    places.enter(Place("garden"), "first")
    places.enter(Place("garden"), "second")
    assert places.names == ["kitchen", "cellar", "hall", "garden"]
    assert places.hops([3]).values.tolist() == [1, math.inf, math.inf, 0], "the one that said nothing longest is gone"
    told: Any = places.dump()[0]
    assert len(told["last"]) == 1_024


# ── names in a text ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_names_places_by_their_path_or_their_last_part() -> None:
    places = walked(
        [(name, None) for name in ("harbour/pier 3", "harbour/pier", "home", "office/kitchen", "home/Kitchen")]
    )

    def named(text: str) -> list[str]:
        return [places.names[number] for number in places.named(text)]

    assert named("What did we see at Pier 3?") == ["harbour/pier 3"], "the longest one"
    assert named("the pier in the harbour") == ["harbour", "harbour/pier"]
    assert named("in the kitchen") == ["office/kitchen", "home/Kitchen"]
    assert named("home, kitchen") == ["home/Kitchen"], "the whole path stands in it"
    assert named("homes and piers") == []
    assert places.find("KITCHEN") == places.named("kitchen")
    assert places.find("nowhere") == []
    places.enter(Place("attic/old chest"))
    assert named("in the old chest?") == ["attic/old chest"], "one that came later"


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_areas_are_the_clusters_of_what_is_seen() -> None:
    random = np.random.default_rng(7)
    centres = np.array([(0, 0), (100, 0), (0, 100), (100, 100)])
    truth = [*([0] * 30), *random.integers(4, size=400).tolist()]  # a long while in one room, then all over the house
    seen = centres[truth] + random.normal(scale=3, size=(len(truth), 2))
    places, of = located([tuple(point) for point in seen.tolist()], 4)
    assert places.areas == 4
    assert len(set(zip(truth, of, strict=True))) == 4, "an area for each room"
    for room, area in set(zip(truth, of, strict=True)):
        mean = seen[np.array(truth) == room].mean(axis=0)
        np.testing.assert_allclose(places.dump()[1]["centres"][area], mean, atol=1e-9)
        assert places.visits[area] == truth.count(room)


@given(stream=points, areas=st.integers(1, 5))
def test_areas_account_for_every_point(stream: list[tuple[float, ...]], areas: int) -> None:
    places, of = located(stream, areas)
    assert places.areas == min(areas, len(set(stream)))
    assert len(places) == places.areas
    centres = places.dump()[1]["centres"]
    for area in range(len(places)):
        members = np.array([point for point, at in zip(stream, of, strict=True) if at == area])
        assert places.visits[area] == len(members)
        np.testing.assert_allclose(centres[area], members.mean(axis=0), atol=1e-9)
    assert located(stream, areas)[0].dump()[0] == places.dump()[0], "the same points give the same areas"


def test_the_map_follows_when_areas_become_one() -> None:
    places = PlaceMap(2)
    for point in ((0.0, 0.0), (1.0, 0.0)):
        places.enter(Place("", point), "walk")
    places.enter(Place("area 2/desk"))
    assert places.hops([0]).values.tolist() == [0, 1, 2]
    entered = places.enter(Place("", (50.0, 0.0)), "walk")
    assert entered is not None
    assert entered.moved == (1, 0)
    assert places.names == ["area 1", "area 3", "area 2/desk"]
    assert places.visits.tolist() == [2, 1, 1]
    assert places.hops([0]).values.tolist() == [0, 1, 1], "the desk is in what its area has become"
    np.testing.assert_allclose(places.euclidean([0]).values, [0, 49.5, math.inf])
    assert places.find("area 2") == []
    assert places.find((40, 1)) == [1]
    assert places.spacing() == 49.5


def test_an_area_is_not_called_as_a_place_is() -> None:
    places = PlaceMap()
    places.enter(Place("Area 1"))
    places.enter(Place("", (0.0,)))
    assert places.names == ["Area 1", "area 2"]
    places.enter(Place("area 2"))
    assert places.visits.tolist() == [1, 2], "who names an area is there"


def test_a_place_with_a_name_is_where_it_was_seen_on_average() -> None:
    places = PlaceMap()
    places.enter(Place("kitchen", (0.0, 0.0)))
    places.enter(Place("kitchen", (2.0, 0.0)))
    places.enter(Place("garden", (1.0, 3.0)))
    places.enter(Place("cellar"))
    assert places.euclidean([0]).values.tolist() == [0, 3, math.inf]
    assert places.euclidean([2]).values.tolist() == [math.inf] * 3
    assert places.areas == 0
    assert places.find((1.2, 2)) == [1]


def test_coordinates_that_do_not_fit_are_passed_over_and_counted() -> None:
    places = PlaceMap()
    assert places.enter(Place("", (1.0, 2.0))) is not None
    assert places.enter(Place("", (1.0, 2.0, 3.0))) is None
    assert places.enter(Place("", (1e300, 0.0))) is None
    assert places.enter(Place("", (math.nan, 0.0))) is None
    kitchen = places.enter(Place("kitchen", (5.0,)))
    assert kitchen is not None
    assert places.names[kitchen.place] == "kitchen", "its name is good"
    assert places.euclidean([kitchen.place]).values.tolist() == [math.inf, math.inf]
    assert places.unfit == 4
    assert places.visits.tolist() == [1, 1]
    assert places.enter(Place("  ")) is None
    assert places.unfit == 4


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "needs a name or coordinates"),
        ("///", "names no place"),
        ((1.0, math.nan), "finite"),
        ((1.0, math.inf), "finite"),
        ((), "needs a name or coordinates"),
        ((1.0, 2.0, 3.0), "coordinates here are 2 numbers, not 3"),
        (Place("", (1.0,)), "coordinates here are 2 numbers, not 1"),
        ((1.0, "x"), "finite"),
        (7, "must be a list"),
        ("a\0b", "NUL"),
    ],
)
def test_who_asks_for_no_place_is_told_so(where: Any, told: str) -> None:
    places = PlaceMap()
    places.enter(Place("", (1.0, 2.0)))
    with pytest.raises(InvalidInput, match=told):
        places.find(where)


def test_coordinates_before_any_are_known() -> None:
    assert PlaceMap().find((1.0, 2.0)) == []
    assert PlaceMap().spacing() == 1.0
    assert PlaceMap().named("anything") == []


# ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────────

strolls = st.lists(
    st.tuples(
        st.one_of(paths.map(Place), points.map(lambda some: Place("", tuple(map(float, some[0]))))),
        st.sampled_from(["x", "y", None]),
    ),
    max_size=30,
)


@given(before=strolls, after=strolls)
@example(before=[], after=[])
def test_what_was_kept_goes_on_as_if_it_had_never_stopped(before: list[Any], after: list[Any]) -> None:
    one = PlaceMap(3)
    for place, session in before:
        one.enter(place, session)
    told, arrays = one.dump()
    other = PlaceMap.restored(3, json.loads(json.dumps(told)), {name: array.copy() for name, array in arrays.items()})
    for place, session in after:
        assert one.enter(place, session) == other.enter(place, session)
    assert one.dump()[0] == other.dump()[0]
    for name, array in one.dump()[1].items():
        np.testing.assert_array_equal(array, other.dump()[1][name])
    for source in range(len(one)):
        np.testing.assert_array_equal(one.hops([source]).values, other.hops([source]).values)


def test_what_no_map_would_keep_is_refused() -> None:
    places = walked([("a/b", "x"), ("c", "x")])
    places.enter(Place("", (1.0, 2.0)), "x")
    told: Any = places.dump()[0]
    arrays = places.dump()[1]
    bad_told: list[dict[str, Any]] = [
        {**told, "areas": [9]},
        {**told, "areas": [0, 1, 2, 3]},
        {**told, "last": [["x", -1]]},
        {**told, "names": told["names"][:-1]},
        {**told, "opened": None},
        {key: value for key, value in told.items() if key != "unfit"},
    ]
    for wrong in bad_told:
        with pytest.raises((ValueError, KeyError, TypeError)):
            PlaceMap.restored(3, wrong, arrays)
    bad_arrays = {
        "visits": [arrays["visits"] - 9, arrays["visits"].astype(float), arrays["visits"][None]],
        "parents": [arrays["parents"] + 9, arrays["parents"] - 1],
        "located": [arrays["located"] - 9],
        "centres": [arrays["centres"] * math.nan, arrays["centres"][:, 0], arrays["centres"] + 1e300],
        "beside": [arrays["beside"] + 9, arrays["beside"][:, :2]],
    }
    for name, several in bad_arrays.items():
        for array in several:
            with pytest.raises((ValueError, KeyError, TypeError)):
                PlaceMap.restored(3, told, {**arrays, name: array})
    assert len(PlaceMap.restored(3, told, arrays)) == len(places)


# ── what an episodic memory answers ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("street") / "m", embedder=Words()) as memory:
        yield memory


def test_what_happened_here_is_told_in_the_order_it_happened(street: Memory) -> None:
    mine = house(street)
    mine.memory.add_many(
        {"text": text, "place": place, "at": NOON + hours * HOUR}
        for text, place, hours in [
            ("b", "home/hall", 2),
            ("a", "home/hall", 1),
            ("c", "home/attic", 3),
            ("d", "inn", 4),
        ]
    )
    mine.follow()

    def at(place: Any, last: int = 10) -> list[str]:
        return [record.text for record in mine.store.at(place, last)]

    assert at("home/hall") == ["a", "b"]
    assert at("HALL", last=1) == ["b"]
    assert at("home") == at(Place("home/")) == ["a", "b", "c"]
    assert at("home", last=2) == ["b", "c"]
    assert at("home", last=0) == at("nowhere") == at((1.0, 2.0)) == []
    with pytest.raises(InvalidInput, match="last"):
        mine.store.at("home", last=-1)
    with pytest.raises(InvalidInput, match="names no place"):
        mine.store.at("/ /")


def test_what_was_near(street: Memory) -> None:
    mine = house(street)
    mine.tell(("a", Place("hall", (0.0, 0.0))), ("b", Place("stair", (0.0, 3.0))), session="walk")
    mine.tell(("c", "attic"), ("d", "attic"), ("e", Place("roof", (0.0, 9.0))), session="walk")

    def near(*asked: Any, **more: Any) -> list[tuple[str, float, list[str]]]:
        return [
            (place, away, [record.text for record in records])
            for place, away, records in mine.store.near(*asked, **more)
        ]

    assert near("hall") == [("stair", 1, ["b"])]
    names = mine.store.places.names
    ways = {(names[one], names[other]) for one, other in mine.store.places.graph().edges}
    assert ways == {("hall", "stair"), ("stair", "attic"), ("attic", "roof")}
    assert near("hall", within=2, last=1) == [("stair", 1, ["b"]), ("attic", 2, ["d"])]
    assert near("hall", radius=5.0) == [("stair", 3, ["b"])]
    assert near((0, 1), radius=100) == [("stair", 3, ["b"]), ("roof", 9, ["e"])], "from the place that is there"
    assert near("nowhere") == near("nowhere", radius=2) == near("hall", within=0) == []
    with pytest.raises(InvalidInput, match="no coordinates are known of 'attic'"):
        near("attic", radius=3)
    with pytest.raises(InvalidInput, match="coordinates here are 2 numbers"):
        near((1, 2, 3))
    with pytest.raises(InvalidInput, match="radius"):
        near("hall", radius=math.nan)


def test_where_somebody_was_when(street: Memory) -> None:
    mine = house(street)
    a, b, c = mine.memory.add_many(
        {"text": text, "place": place, "at": NOON + days * DAY}
        for text, place, days in [
            ("sold the boat", "harbour", 0),
            ("snow fell", "inn", 3),
            ("bought a boat", "yard", 9),
        ]
    )
    mine.follow()
    assert mine.store.where(NOON + 4 * DAY) == [Sighting("inn", b)]
    assert mine.store.where((NOON + 3 * DAY).isoformat(), k=5) == [Sighting("inn", b), Sighting("harbour", a)]
    assert mine.store.where(NOON - DAY) == []
    assert mine.store.where("when snow fell") == [Sighting("inn", b)]
    assert mine.store.where("bought a boat", k=2) == [Sighting("yard", c), Sighting("harbour", a)]
    assert mine.store.where("the boat on 1 May 2024") == [Sighting("harbour", a)]
    assert mine.store.where("a boat, on 10 May 2024", k=5) == [Sighting("yard", c)], "on that day nothing else was"
    assert mine.store.where("a boat, on 8 May 2024", k=5)[0] == Sighting("yard", c), "nothing was on that day"
    assert house(street).store.where("anything") == house(street).store.where(NOON) == []
    with pytest.raises(InvalidInput, match="time zone"):
        mine.store.where("2024-05-04T12:00:00")
    with pytest.raises(InvalidInput, match="when"):
        mine.store.where(7)  # type: ignore[arg-type]


def test_what_came_after_and_where_it_led_miss_nothing_that_was_let_go(street: Memory) -> None:
    mine = house(street, capacity=2)
    told = mine.tell(("wake", "bed"), ("dress", None), ("eat", "kitchen"), session="day")
    mine.tell(("elsewhere", "office"), session="other")
    told += mine.tell(("more", "Kitchen"), ("sleep", "bed"), session="day")
    mine.tell(("of the day", "bed"), session="day", kind="summary")
    mine.tell(("alone", "inn"), ("alone again", "inn"))
    assert len(mine.held()) == 2
    assert [record.text for record in mine.store.after(told[0].id)] == ["dress", "eat", "more", "sleep"]
    assert [record.text for record in mine.store.after(told[1].id, 2)] == ["eat", "more"]
    assert mine.store.after(told[-1].id) == []
    route = mine.store.route("day")
    assert [(visit.place, [record.text for record in visit.records]) for visit in route] == [
        ("bed", ["wake", "dress"]),
        ("kitchen", ["eat", "more"]),
        ("bed", ["sleep"]),
    ]
    assert [(visit.since, visit.until) for visit in route] == [
        (told[0].at, told[1].at),
        (told[2].at, told[3].at),
        (told[4].at, told[4].at),
    ]
    assert mine.store.route("no such day") == []
    mine.memory.add_many(
        {"text": f"{n}", "place": "inn", "session": "diary", "at": NOON + days * DAY}
        for n, days in enumerate((2, 3, 1))
    )
    [stay] = mine.store.route("diary")
    assert (stay.since, stay.until) == (NOON + DAY, NOON + 3 * DAY), "though it was not written in that order"
    mine.follow()
    alone = mine.memory.newest(5)[4]
    assert [record.text for record in mine.store.after(alone.id)] == ["alone again"], "outside any session"
    with pytest.raises(RecordNotFound):
        mine.store.after("nobody")
