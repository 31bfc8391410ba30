"""The benchmark of the router, on a small town: what it claims holds there too, and its wrong rules are wrong."""

from __future__ import annotations

import pytest

from agentmem.router import ROUTES
from benchmarks.mixed import World, suite
from benchmarks.routing import Found, answered, arms, learning, town, turned


@pytest.fixture(scope="module")
def world() -> World:
    return suite(7, people=8, days=24, each=12)


def test_what_is_routed_beats_each_store_alone_and_costs_less_than_everything(world: World) -> None:
    with town(world, "hash") as memory:
        found = {name: answered(world.questions, asks) for name, asks in arms(memory)}
    routed, everything = found["routed"], found["everything"]
    assert found.keys() - {"engine", "routed", "everything"} == ROUTES.keys()
    assert all(routed.mean > found[name].mean for name in ROUTES)
    assert routed.mean > found["engine"].mean
    assert routed.mean >= everything.mean
    assert routed.asked <= everything.asked / 2


def test_every_rule_is_turned_to_another_store() -> None:
    wrong = turned()
    assert wrong.keys() == ROUTES.keys()
    assert sorted(map(id, (route.concerns for route in wrong.values()))) == sorted(
        map(id, (route.concerns for route in ROUTES.values()))
    )
    for name in ("episodic", "chunks", "recognition", "links", "thoughts"):
        assert wrong[name].concerns is not ROUTES[name].concerns
        assert wrong[name].weight == ROUTES[name].weight


def test_lessons_move_wrong_rules(world: World) -> None:
    found = learning(world, "hash")
    wrong, taught = found["wrong rules"], found["wrong rules, taught"]
    assert isinstance(wrong, Found)
    assert isinstance(taught, Found)
    assert found["lessons"]
    assert taught.mean >= wrong.mean
    assert taught.kinds != wrong.kinds
