"""Lists narrowed by what stands in records: as typed, as meant, and the same from every ledger."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import InvalidInput, Memory, Scope
from agentmem.embedding import open_embedder
from agentmem.export import ALL_STATES
from agentmem.filters import ORDERS, Filter, Listing, Order, listed
from agentmem.opened import Opened
from agentmem.records import Source
from tests.ledgers import InMemory

AT = datetime(2026, 5, 3, 12, tzinfo=UTC)
WORDS = ["tea", "Tea_50%", "ÉLAN élan", "Straße", 'say "so"', "100%", "/root", "İstanbul", "a\\b", "茶"]
rooms = itertools.count()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("filters") / "m", embedder="hash") as memory:
        yield memory


# ── as typed ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", Filter()),
        ("harbour boat", Filter(containing=("harbour", "boat"))),
        ('"the harbour" boat', Filter(containing=("the harbour", "boat"))),
        ('"not closed', Filter(containing=("not closed",))),
        ("kind:fact kind:thought", Filter(kinds=("fact", "thought"))),
        ('session:"the trip" by:Ana', Filter(sessions=("the trip",), speaker="Ana")),
        ("at:harbour tag:a tag:b", Filter(place="harbour", tags=("a", "b"))),
        ("pin:yes", Filter(pinned=True)),
        ("pin:no in:trash", Filter(pinned=False, states=("forgotten",))),
        ("in:all", Filter(states=ALL_STATES)),
        ("since:7d", Filter(since=AT - timedelta(days=7))),
        ("until:2024-05-03", Filter(until=datetime(2024, 5, 3, tzinfo=UTC))),
        ("since:2024-05-03T10:00+02:00", Filter(since=datetime(2024, 5, 3, 8, tzinfo=UTC))),
        ("source:novel.md shown:0198", Filter(source="novel.md", shown="0198")),
        ("kind:", Filter()),  # still being typed
        ("http://localhost", Filter(containing=("http://localhost",))),
        ("12:30", Filter(containing=("12:30",))),
        ("ratio:3", Filter(containing=("ratio:3",))),
    ],
)
def test_a_filter_is_read_as_it_is_typed(typed: str, meant: Filter) -> None:
    assert Filter.parse(typed, AT) == meant


@pytest.mark.parametrize(
    ("typed", "told", "way_out"),
    [
        ("kinds:fact", "no kinds: to filter by", "Did you mean kind:?"),
        ("pin:maybe", "pin: 'maybe' is none of yes", ""),
        ("in:bin", "none of live, trash", ""),
        ("since:soon", "since: 'soon' is no time", "since:2024-05-03"),
        ("since:99999y", "before all time", ""),
        ("x" * 2_000, "1,000 are the most", ""),
        ("x " * 60, "60 containing are looked for at once, and 50 are the most", ""),
        ("a\0b", "NUL", ""),
    ],
)
def test_what_cannot_be_meant_is_told(house: Memory, typed: str, told: str, way_out: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        house.listing(typed)
    assert way_out in caught.value.way_out


@pytest.mark.parametrize(
    "fields", [{"states": ("gone",)}, {"kinds": [1]}, {"pinned": "yes"}, {"since": "soon"}, {"speaker": None}]
)
def test_a_filter_is_checked_when_it_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Filter(**fields)


@pytest.mark.parametrize(("which", "order"), [(3, "written"), ("", "by chance")])
def test_a_list_needs_a_filter_and_an_order(house: Memory, which: Any, order: Any) -> None:
    with pytest.raises(InvalidInput):
        house.listing(which, order=order)


# ── as meant ─────────────────────────────────────────────────────────────────────────────────────────────────────

text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
records = st.fixed_dictionaries(
    {"text": text},
    optional={
        "kind": st.sampled_from(["turn", "note"]),
        "session": st.sampled_from(["one", "Two"]),
        "speaker": st.sampled_from(["Ana", "ANA", "Élan"]),
        "place": st.sampled_from(["harbour", "Harbour/pier 3", "harbours"]),
        "tags": st.lists(st.sampled_from(['a"b', "A", "a", "%"]), max_size=2),
        "at": st.integers(-2, 2).map(lambda day: AT + timedelta(days=day)),
        "sources": st.lists(st.sampled_from([Source(file="novel_1.md"), Source(record="0198")]), max_size=2),
        "meta": st.sampled_from([{}, {"shown": ["0198", "0199"]}, {"note": "0198"}]),
    },
)
filters = st.builds(
    Filter,
    containing=st.lists(st.sampled_from([*WORDS, "e", "É", "TEA", "ß", "%", "_", "straßE", "i̇"]), max_size=2).map(
        tuple
    ),
    kinds=st.sampled_from([(), (), ("turn",), ("turn", "note"), ("none",)]),
    sessions=st.sampled_from([(), (), ("one",), ("Two",)]),
    tags=st.sampled_from([(), (), ("a",), ('a"b', "%")]),
    speaker=st.sampled_from(["", "", "ana", "élan"]),
    place=st.sampled_from(["", "", "harbour", "HARBOUR/pier 3"]),
    source=st.sampled_from(["", "", "novel", "0198", "%"]),
    shown=st.sampled_from(["", "", "0198"]),
    pinned=st.sampled_from([None, None, True, False]),
    since=st.sampled_from([None, AT]),
    until=st.sampled_from([None, AT + timedelta(days=1)]),
    states=st.sampled_from([("live",), ("forgotten",), ALL_STATES]),
)


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(records, max_size=8),
    which=st.lists(filters, min_size=1, max_size=6),
    order=st.sampled_from(get_args(Order)),
    descending=st.booleans(),
    gone=st.sets(st.integers(0, 7), max_size=3),
)
def test_a_ledger_lists_what_the_filter_admits(
    house: Memory, items: list[dict[str, Any]], which: list[Filter], order: Order, descending: bool, gone: set[int]
) -> None:
    memory = house.scope(f"room:{next(rooms)}")
    written = memory.add_many(items)
    for at in gone & set(range(len(written))):
        memory.forget(written[at].id) if at % 2 else memory.pin(written[at].id)
    standing = list(memory.records(states=ALL_STATES))
    for one in which:
        found = memory.listing(one, order=order, descending=descending)
        assert found == listed(standing, one, order, descending=descending)
        assert memory.listing(one, order=order, descending=descending, limit=2) == found[:2]
        assert [record.position for record in memory.listed(found)] == found


def test_records_of_one_rank_stand_in_the_order_of_writing_either_way(house: Memory) -> None:
    memory = house.scope("ranks")
    kept = memory.add_many(
        [{"text": "b", "kind": "note"}, {"text": "a", "kind": "note"}, {"text": "c", "kind": "fact"}]
    )
    one, two, three = (record.position for record in kept)
    assert memory.listing(order="kind") == [one, two, three]
    assert memory.listing(order="kind", descending=False) == [three, one, two]
    assert memory.listing() == [three, two, one]
    assert {order: len(memory.listing(order=order)) for order in get_args(Order)} == dict.fromkeys(ORDERS, 3)


def test_a_list_shows_nothing_of_a_neighbour(house: Memory) -> None:
    ana, bea = house.scope("closed", "ana"), house.scope("closed", "bea")
    mine = ana.add("tea", kind="note")
    bea.add("coffee")
    assert ana.listing() == [mine.position]
    assert [record.text for record in ana.listed([mine.position, mine.position + 1, 10**9])] == ["tea"]
    ana.scope("notes").add("inside", kind="note")
    ana.forget(mine.id)
    assert [tuple(one) for one in ana.kinds()] == [
        (Scope("closed/ana"), "forgotten", "note", 1),
        (Scope("closed/ana/notes"), "live", "note", 1),
    ]
    assert {str(one.scope) for one in house.kinds()} >= {"closed/ana", "closed/bea"}
    empty = house.scope("never written to")
    assert (empty.listing(), empty.kinds()) == ([], [])


def test_another_head_means_that_something_was_written(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory, Memory.open(tmp_path / "m", embedder="hash") as other:
        before = memory.head()
        assert memory.head() == before
        other.add("tea")
        assert memory.head() > before


def test_a_ledger_that_cannot_list_is_read_from_end_to_end() -> None:
    opened = Opened(InMemory(), open_embedder("hash"), "hash", "exact")
    with Memory(opened, Scope("default")) as memory:
        assert not isinstance(memory.host.ledger, Listing)
        tea, note = memory.add("tea"), memory.add("Tea again", kind="note")
        assert memory.listing("TEA") == [note.position, tea.position]
        memory.forget(tea.id)
        assert memory.listed(memory.listing("in:trash")) == memory.newest(states=["forgotten"])
        assert [(one.state, one.kind, one.n) for one in memory.kinds()] == [
            ("forgotten", "turn", 1),
            ("live", "note", 1),
        ]
