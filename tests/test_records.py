"""The words as values: JSON there and back with nothing lost, and nothing but InvalidInput from hostile JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import agentmem
from agentmem import records as words
from agentmem.cues import Asked, Context, Cue, Hit
from agentmem.errors import InvalidInput
from agentmem.feedback import Feedback
from agentmem.memory import Memory
from agentmem.records import Change, Place, Record, Scope, Source, State
from agentmem.values import LONGEST_TEXT, moment, new_id

Value: TypeAlias = Change | Context | Cue | Feedback | Hit | Place | Record | Source
VALUES: list[type[Value]] = [Change, Context, Cue, Feedback, Hit, Place, Record, Source]
STATES: list[State] = ["live", "forgotten", "replaced"]
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)

# ── strategies ───────────────────────────────────────────────────────────────────────────────────────────────────

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
full = texts.filter(lambda text: text.strip() != "")
ids = full.map(str.strip)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
bodies = st.dictionaries(texts, plain, max_size=3)
# Fields that a later release may add, at every level.
futures = st.dictionaries(
    st.sampled_from(["mood", "weight", "", "_", "Text"]) | texts.map("x-".__add__), plain, max_size=2
)

places = st.builds(Place, full, st.none() | st.lists(numbers, max_size=3).map(tuple), futures)
spans = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: (min(pair), max(pair)))
sources = st.builds(Source, ids, st.none(), st.none() | spans, futures) | st.builds(
    Source, st.none(), full, st.none() | spans, futures
)
scopes = st.lists(st.from_regex(r"[a-z%_:ß漢]{1,9}", fullmatch=True), min_size=1, max_size=3).map(Scope)
maybe = st.none() | texts
records = st.builds(
    Record,
    id=ids,
    scope=scopes,
    text=full,
    at=times,
    stored_at=times,
    kind=st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True),
    session=maybe,
    speaker=maybe,
    role=maybe,
    place=st.none() | places,
    sources=st.lists(sources, max_size=2).map(tuple),
    strength=st.floats(0, 1e300),
    pinned=st.booleans(),
    tags=st.sets(ids, max_size=3).map(sorted).map(tuple),
    meta=bodies,
    revision=st.integers(1, 2**31 - 1),
    state=st.sampled_from(STATES),
    replaced_by=st.lists(ids, max_size=2).map(tuple),
    extra=futures,
)
whole = st.integers(0, 2**63 - 1)
changes = st.builds(
    Change,
    whole,
    times,
    texts,
    texts,
    texts,
    st.none() | bodies,
    st.none() | bodies,
    texts,
    whole,
    st.none() | whole,
    futures,
)
labels = st.none() | st.lists(texts, max_size=2).map(tuple)
vectors = st.none() | st.lists(numbers, max_size=3).map(tuple)
maybe_at = st.none() | times
cues = st.builds(Cue, texts, vectors, maybe_at, maybe_at, labels, maybe, maybe, labels, maybe_at, futures)
parts = st.dictionaries(texts, numbers, max_size=2)
hits = st.builds(Hit, records, numbers, parts, texts, st.booleans(), texts, futures)
feedback = st.builds(Feedback, texts, st.booleans(), times, texts, whole, texts, parts, futures)
asked = st.builds(Asked, texts, texts, whole, numbers, texts, futures)
contexts = st.builds(
    Context,
    texts,
    st.lists(hits, max_size=2).map(tuple),
    whole,
    whole,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(asked, max_size=2).map(tuple),
    futures,
)
anything: st.SearchStrategy[Value] = places | sources | records | changes | cues | hits | contexts | feedback


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────


@given(anything)
def test_every_value_survives_json(value: Value) -> None:
    written = json.dumps(value.to_json(), ensure_ascii=False, allow_nan=False)
    written.encode()
    back = type(value).from_json(json.loads(written))
    assert back == value
    assert back.extra == value.extra
    assert json.dumps(back.to_json(), ensure_ascii=False) == written


@given(scopes)
def test_a_scope_survives_json_and_its_own_spelling(scope: Scope) -> None:
    assert Scope.from_json(json.loads(json.dumps(scope.to_json()))) == scope
    assert Scope(str(scope)) == scope
    assert scope.root == scope[0]
    assert repr(scope) == f"Scope({str(scope)!r})"


def test_unknown_fields_are_kept_at_every_level() -> None:
    data: dict[str, Any] = {
        "record": {
            "id": "a",
            "scope": ["user:ana"],
            "text": "hello",
            "at": "2024-05-03T12:00:00+00:00",
            "stored_at": "2024-05-03T12:00:00+00:00",
            "place": {"id": "harbour", "altitude": 3},
            "sources": [{"record": "b", "confidence": 0.5}],
            "mood": {"calm": True},
        },
        "score": 1.5,
        "rank": 1,
    }
    hit = Hit.from_json(data)
    assert hit.record.extra == {"mood": {"calm": True}}
    assert hit.record.place is not None
    assert hit.record.place.extra == {"altitude": 3}
    assert hit.record.sources[0].extra == {"confidence": 0.5}
    assert hit.to_json() == data
    context = Context.from_json({"text": "t", "hits": [data], "colour": None})
    assert context.to_json() == {"text": "t", "hits": [data], "colour": None}


def test_what_is_at_its_default_is_not_written_and_null_says_the_same() -> None:
    bare = {"id": "a", "scope": ["x"], "text": "t", "at": NOON.isoformat(), "stored_at": NOON.isoformat()}
    record = Record.from_json(bare)
    assert record.to_json() == bare
    optional = [f.name for f in dataclasses.fields(Record) if f.name not in (*bare, "extra", "position")]
    assert Record.from_json(bare | dict.fromkeys(optional)) == record
    for name in bare:
        with pytest.raises(InvalidInput, match=name):
            Record.from_json(bare | {name: None})
        with pytest.raises(InvalidInput):
            Record.from_json({key: value for key, value in bare.items() if key != name})


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_frozen_and_slotted(kind: type[Value]) -> None:
    value = {
        Change: Change(1, NOON, "a", "add", "r"),
        Context: Context("t"),
        Cue: Cue("t"),
        Feedback: Feedback("r", True, NOON, "a", 1),
        Hit: Hit(Record.create("t", scope=Scope("x")), 1.0),
        Place: Place("x"),
        Record: Record.create("t", scope=Scope("x")),
        Source: Source("r"),
    }[kind]
    assert not hasattr(value, "__dict__")
    for name in (dataclasses.fields(kind)[0].name, "something_new"):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
            setattr(value, name, "x")


def test_the_position_belongs_to_a_ledger_and_not_to_the_record() -> None:
    record = Record.create("t", scope=Scope("x"))
    there = dataclasses.replace(record, position=7)
    assert there == record
    assert "position" not in there.to_json()


# ── hostile JSON ─────────────────────────────────────────────────────────────────────────────────────────────────

hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, 10**400, -1, 1e308, float("nan"), float("inf")])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "a\0b", "live", "2024-05-03T12:00:00+00:00", "turn", " ", "a/b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "record", "text", "span"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_GOOD: Mapping[type[Value], dict[str, Any]] = {
    Change: {"seq": 1, "at": NOON.isoformat(), "actor": "a", "verb": "add", "record_id": "r"},
    Context: {"text": "t"},
    Cue: {},
    Feedback: {"record": "a", "useful": True, "at": NOON.isoformat(), "actor": "a", "step": 1},
    Hit: {"record": Record("a", Scope("x"), "t", NOON, NOON).to_json(), "score": 1},
    Place: {"id": "x"},
    Record: Record("a", Scope("x"), "t", NOON, NOON).to_json(),
    Source: {"record": "x"},
}


def accepts(kind: type[Value], data: Any) -> None:
    """InvalidInput, or a value that can be written as JSON, in UTF-8, and read back the same."""
    try:
        value = kind.from_json(data)
    except InvalidInput:
        return
    written = json.dumps(value.to_json(), ensure_ascii=False, allow_nan=False)
    written.encode()
    assert kind.from_json(json.loads(written)) == value


@settings(max_examples=300)
@given(data=st.data(), kind=st.sampled_from(VALUES))
def test_hostile_json_is_refused_as_invalid_input_or_taken_whole(data: st.DataObject, kind: type[Value]) -> None:
    accepts(kind, data.draw(hostile))
    name = data.draw(st.sampled_from([f.name for f in dataclasses.fields(kind)] + ["unknown"]))
    accepts(kind, _GOOD[kind] | {name: data.draw(hostile)})


@given(hostile)
@example(5)
@example({"a": 1})
@example([])
def test_hostile_scopes(data: Any) -> None:
    try:
        scope = Scope.from_json(data)
    except InvalidInput:
        return
    assert Scope.from_json(json.loads(json.dumps(scope.to_json()))) == scope
    str(scope).encode()


# What each field refuses, of everything JSON can say.
_WRONG: list[Any] = [True, 5, 1.5, "a\0b", "\ud800", [5], {"a": 5}, [[]], [None], float("nan"), 10**400]
_TAKES: dict[tuple[type[Value], str], list[int]] = {  # the numbers of those that are right after all
    (Record, "pinned"): [0],
    (Record, "revision"): [1],
    (Record, "strength"): [1, 2],
    (Record, "meta"): [6],
    (Record, "extra"): list(range(11)),
    (Change, "seq"): [1],
    (Change, "step"): [1],
    (Change, "undoes"): [1],
    (Change, "before"): [6],
    (Change, "after"): [6],
    (Hit, "score"): [1, 2],
    (Hit, "parts"): [6],
    (Hit, "won"): [0],
    (Feedback, "useful"): [0],
    (Feedback, "step"): [1],
    (Feedback, "parts"): [6],
    (Cue, "vector"): [5],
    (Place, "coordinates"): [5],
    (Context, "tokens"): [1],
    (Context, "budget"): [1],
}


@pytest.mark.parametrize("kind", VALUES)
def test_every_field_refuses_every_wrong_type(kind: type[Value]) -> None:
    for field in dataclasses.fields(kind):
        if field.name in ("extra", "position"):
            continue
        for number, wrong in enumerate(_WRONG):
            if number in _TAKES.get((kind, field.name), []):
                kind.from_json(_GOOD[kind] | {field.name: wrong})
            else:
                with pytest.raises(InvalidInput):
                    pytest.fail(f"{field.name} took it: {kind.from_json(_GOOD[kind] | {field.name: wrong})}")
    for wrong in (None, *_WRONG[:6], []):
        with pytest.raises(InvalidInput):
            kind.from_json(wrong)


def test_a_field_hidden_in_extra_does_not_come_out_as_the_field() -> None:
    for name in ("extra", "position"):
        record = Record.from_json(_GOOD[Record] | {name: {"pinned": True}})
        assert record.extra == {name: {"pinned": True}}
        assert (record.position, record.pinned) == (0, False)
        assert Record.from_json(record.to_json()) == record


def test_deep_json_is_refused_and_does_not_break_the_interpreter() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for name in ("meta", "unknown", "tags", "place"):
        with pytest.raises(InvalidInput):
            Record.from_json(_GOOD[Record] | {name: {"a": deep} if name == "meta" else deep})


# ── times and ids ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_a_moment_is_the_same_instant_in_utc(at: datetime) -> None:
    assert moment(at) == at.astimezone(UTC)  # not `at` itself: in the hour that a clock skips it equals nothing
    assert moment(at).tzinfo is UTC
    assert moment(at.isoformat()) == moment(at)


def test_a_time_without_a_zone_is_refused_with_a_way_out() -> None:
    for bad in (NOON.replace(tzinfo=None), "2024-05-03T12:00:00", "2024-05-03"):
        with pytest.raises(InvalidInput) as refused:
            moment(bad)
        assert refused.value.way_out
    with pytest.raises(InvalidInput):
        moment(datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))


def test_ids_ascend() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))


# ── the public face ──────────────────────────────────────────────────────────────────────────────────────────────


def test_all_is_the_public_face_sorted_and_every_name_is_there() -> None:
    assert agentmem.__all__ == sorted(agentmem.__all__)
    assert len(set(agentmem.__all__)) == len(agentmem.__all__)
    for name in agentmem.__all__:
        assert getattr(agentmem, name) is not None
    script = "import agentmem; from agentmem import *; print(sorted(n for n in dir() if not n.startswith('__')))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(sorted({*agentmem.__all__, "agentmem"} - {"__version__"}))
    assert dir(agentmem) == agentmem.__all__
    with pytest.raises(AttributeError, match="nothing"):
        agentmem.nothing  # noqa: B018
    here = {name for name, value in vars(agentmem).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert here - set(agentmem.__all__) <= {"Any", "TYPE_CHECKING", "annotations", "import_module"}


def test_every_word_is_public() -> None:
    assert {kind.__name__ for kind in VALUES} | {"Scope"} <= set(agentmem.__all__)
    assert words.__all__ == sorted(words.__all__, key=lambda name: (name[0].islower(), name))


def test_a_text_may_be_as_long_as_a_book_and_no_longer(memory: Memory) -> None:
    longest = "ä" * (LONGEST_TEXT // 2)
    assert memory.get(memory.add(longest).id).text == longest
    with pytest.raises(InvalidInput, match="8 MiB") as refused:
        memory.add(longest + "!")
    assert "Import" in refused.value.way_out
