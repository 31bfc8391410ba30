"""What texts and records name, against examples and any text; the columns of mentions, against dicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.records import Place, Record, Scope
from agentmem_stores.mentions import Mentions
from agentmem_stores.naming import KINDS, MAYBE, MOST, Named, asked_names, key, named_by, names_in, spelt


def sure(text: str) -> set[str]:
    return {one.said for one in names_in(text) if one.kind != MAYBE}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("we met Bob at the Louvre", {"Bob", "Louvre"}),
        ("it was Ana's idea, and I'll tell Joe’s dad", {"Ana", "Joe"}),
        ("Yesterday it rained. Maybe we stay in.", set()),
        ("Ana said so. Everyone said so. Let's go.", {"Ana"}),
        ("Ana's boat is late", {"Ana"}),
        ("Hey Mel! how are you", {"Mel"}),
        ("in May or on Monday I go to the University of Lisbon", {"University of Lisbon"}),
        ("we moor at Pier 3 with Dr. Smith", {"Pier 3", "Pier", "Dr Smith"}),
        ("he read “The Great Gatsby” and 「雪国」", {"The Great Gatsby", "Great Gatsby", "雪国"}),
        ('she said "no way." and "oh"', set()),
        ("ask @bob_k about #garden at https://www.example.org/Foo?x=Bar now", {"bob_k", "garden", "example.org"}),
        ("THE FERRY IS LATE AND NOBODY HERE KNOWS WHY", set()),
        ("mail o.brien@example.org for O'Brien", {"O'Brien"}),
        ("Kapitän Müller und Jürgen", {"Müller", "Jürgen"}),
        ("в Москве живёт Иван", {"Москве", "Иван"}),
        ("東京へ行った", set()),
        ("", set()),
    ],
)
def test_names_are_told_by_their_capitals(text: str, names: set[str]) -> None:
    assert sure(text) == names


def test_a_record_names_its_speaker_its_places_its_tags_and_what_its_text_names() -> None:
    record = Record.create(
        "we met Zoë",
        scope=Scope("a"),
        speaker="Ana Silva",
        place=Place("Harbour/Pier 3"),
        tags=["boats"],
    )
    named = {one.name: KINDS[one.kind] for one in named_by(record)}
    assert named == {
        **{"ana silva": "speaker", "ana": "maybe", "silva": "maybe", "pier 3": "place", "harbour": "place"},
        **{"boats": "tag", "zoe": "name"},
    }


@given(st.text(max_size=300) | st.text("Aa \n\"'@#:/.-“”«", max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    for one in names_in(text):
        assert key(one.name) == one.name
        assert 0 <= one.kind < len(KINDS)
        assert len(one.name) <= 80
    if text.strip() and "\0" not in text:
        record = Record.create("x", scope=Scope("a"), tags=["t"])
        named = named_by(Record(record.id, record.scope, text, record.at, record.at, speaker=text, tags=(text,)))
        assert len(named) <= MOST
        assert len({one.name for one in named}) == len(named)
        assert all(one.name for one in named)
        assert all(spelt(one.name, record) for one in named)
    assert all(length > 0 for names in asked_names(text) for length, _ in names)


@pytest.mark.parametrize("text", ['"' * 100_000, "A" * 100_000, "A'" * 50_000, "A " * 50_000, "https://" * 12_500,
                                  "@a" * 50_000, "Ab-" * 33_000, "( «" * 33_000, "Aa. " * 25_000])  # fmt: skip
def test_a_long_text_is_read_as_far_as_names_go(text: str) -> None:
    """Every pattern is bounded; one that goes back and forth would not end in the time that a suite has."""
    record = Record.create(f"{text} then Zora came", scope=Scope("a"))
    assert len(named_by(record)) <= MOST
    assert "zora" not in {one.name for one in names_in(record.text)}, "what stands behind 32,000 characters is not read"


def test_a_record_names_so_many_at_most() -> None:
    text = " and ".join(f"N{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(100))
    assert len({one.name for one in names_in(f"we saw {text}")}) == 100
    assert len(named_by(Record.create(f"we saw {text}", scope=Scope("a"), speaker="Ana"))) == MOST


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────


mentioned = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.none()
        | st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 6)), max_size=4, unique_by=lambda one: one[0]),
    ),
    max_size=40,
)


@given(mentioned)
def test_the_columns_are_what_was_put_last_whatever_came_before(deeds: list[tuple[int, Any]]) -> None:
    mentions, held = Mentions(), dict[int, list[tuple[str, int]]]()
    for position, named in deeds:
        if named is None:
            mentions.remove(position)
            held.pop(position, None)
        else:
            mentions.put(position, [Named(name, name, kind) for name, kind in named])
            held[position] = named
    again = Mentions.restored(*mentions.dump(), until=12)
    for found in (mentions, again):
        counts = {name: [kind for named in held.values() for one, kind in named if one == name] for name in "abcde"}
        known = {name for name, kinds in counts.items() if kinds and 5 * kinds.count(MAYBE) <= 4 * len(kinds)}
        wanted = {
            (position, name)
            for position, named in held.items()
            for name, kind in named
            if kind != MAYBE or name in known
        }
        positions, numbers = found.all()
        assert {(p, found.name(n)) for p, n in zip(positions.tolist(), numbers.tolist(), strict=True)} == wanted
        assert len(found) == len(held)
        for name in "abcde":
            number = found.number(name)
            there = sorted(position for position, one in wanted if one == name)
            if any(kind != MAYBE for kind in counts[name]):
                assert number is not None
                assert found.records(number) == there
                assert found.kind(number) == KINDS[min(kind for kind in counts[name] if kind)]
                assert found.spread_over(np.array([number])).tolist() == [len(there)]
            else:
                assert number is None


def test_columns_that_no_mentions_have_are_refused() -> None:
    mentions = Mentions()
    for position in (3, 5):
        mentions.put(position, [Named("a", "A", 1), Named("b", "B", 4)])
    names, arrays = mentions.dump()
    assert len(Mentions.restored(names, arrays, until=5)) == 2
    bad: dict[str, tuple[list[str], dict[str, NDArray[Any]], int]] = {
        "a name twice": (names, {"codes": np.array([1, 1, 1, 12], np.int32)}, 5),
        "a name that is not there": (names, {"codes": np.array([1, 12, 1, 20], np.int32)}, 5),
        "a kind that is none": (names, {"codes": np.array([1, 12, 1, 15], np.int32)}, 5),
        "a negative code": (names, {"codes": np.array([1, 12, 1, -4], np.int32)}, 5),
        "positions twice": (names, {"positions": np.array([3, 3], np.int64)}, 5),
        "no position": (names, {"positions": np.array([0, 3], np.int64)}, 5),
        "positions ahead of the journal": (names, {}, 4),
        "too few codes": (names, {"lengths": np.array([2, 3], np.uint8)}, 5),
        "names that are equal": (["a", "a"], {}, 5),
        "a name without letters": (["a", ""], {}, 5),
    }
    for what, (told, columns, until) in bad.items():
        with pytest.raises(ValueError, match=r"its|it|a name"):
            pytest.fail(f"{what}: {len(Mentions.restored(told, arrays | columns, until=until))} taken")
