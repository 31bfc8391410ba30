"""Hostile JSON in `meta`: stored exactly, types and order included, or refused clearly with nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import InvalidInput, Memory, Record
from tests.fakes import TinyEmbedder
from tests.hostile import clear, mixed

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)


def nested(depth: int, kind: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = kind(value)
    return value


def exactly(got: Any, given: Any) -> bool:
    """Equal in type and value all the way down; a tuple comes back as a list, which is how JSON says it."""
    pairs = [(got, given)]
    for got, given in pairs:
        if isinstance(given, dict):
            if not isinstance(got, dict) or list(got) != list(given):
                return False
            pairs += [(got[key], value) for key, value in given.items()]
        elif isinstance(given, list | tuple):
            if not isinstance(got, list) or len(got) != len(given):
                return False
            pairs += zip(got, given, strict=True)
        elif type(got) is not type(given) or repr(got) != repr(given):
            return False
    return True


METAS: dict[str, Any] = {
    "types": {"n": None, "t": True, "f": False, "i": 1, "d": 1.0, "s": "1", "l": [], "o": {}},
    "huge whole number": {"n": 10**4_000},
    "endless whole number": {"n": 10**5_000},
    "beyond 64 bits": {"n": [2**63, -(2**64), 2**53 + 1]},
    "floats": {"n": [0.1, 1e308, 5e-324, -0.0, 1e16, 1.7976931348623157e308]},
    "nan": {"n": float("nan")},
    "infinite": {"deep": [{"n": -float("inf")}]},
    "order": {"b": 1, "a": 2, "": 3},
    "many keys": {str(n): n for n in range(5_000)},
    "deep lists": {"n": nested(100, lambda value: [value])},
    "deep objects": nested(100, lambda value: {"in": value}),
    "deeper": {"n": nested(850, lambda value: [value])},
    "too deep": {"n": nested(100_000, lambda value: [value])},
    "tuples": {"n": (1, (2,))},
    "bytes": {"n": b"x"},
    "a set": {"n": {1}},
    "a moment": {"n": NOON},
    "a number for a key": {1: "one"},
    "a number and its text for keys": {1: "one", "1": "another"},
    "None for a key": {"in": {None: 1}},
    "True for a key": {True: 1},
    "names of fields": {"text": "x", "id": "y", "__class__": "z", "revision": -1},
}


_KEYS = "a key that is no text becomes one without a word, and two keys may become one"


def deeply(depth: int, call: Callable[[], Any]) -> Any:
    """The call from so many frames further down."""
    return call() if depth == 0 else deeply(depth - 1, call)


@pytest.mark.parametrize("name", METAS)
def test_meta_is_stored_exactly_or_refused_clearly(name: str, memory: Memory) -> None:
    given = METAS[name]
    refused = None
    try:
        record = memory.add("kept", meta=given)
    except InvalidInput as error:
        refused = error
    if refused is not None:
        assert clear(refused)
        assert memory.log(1) == []
        return
    assert exactly(record.meta, given)
    # Who reads it may stand deeper in the stack than who wrote it.
    assert deeply(200, lambda: memory.get(record.id)) == record
    assert deeply(200, lambda: list(memory.records())) == [record]
    assert Record.from_json(json.loads(list(memory.export_lines())[1])) == record
    assert memory.history(record.id)[0].after is not None
    assert memory.verify() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | mixed,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(mixed, inner, max_size=3),
    max_leaves=8,
)


def test_any_meta_is_stored_exactly_or_refused_clearly(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:

        @settings(max_examples=150)
        @given(st.dictionaries(mixed, json_values, max_size=4))
        def tried(meta: dict[str, Any]) -> None:
            before = memory.log(1)
            refused = None
            try:
                record = memory.add("kept", meta=meta)
            except InvalidInput as error:
                refused = error
            if refused is None:
                assert exactly(memory.get(record.id).meta, meta)
            else:
                assert clear(refused)
                assert memory.log(1) == before

        tried()
