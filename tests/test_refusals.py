"""What is refused: bad input to every verb, with nothing written; and every verb on a memory that was closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from agentmem.cues import Cue
from agentmem.errors import AgentMemError, InvalidInput, MemoryClosed, RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Place, Record, Scope, Source, State
from tests.faces import members
from tests.fakes import DIMENSION, TinyEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)
TOO_EARLY = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))  # in UTC, the year before the first
SURROGATE = "\ud800"


def head(memory: Memory) -> int:
    return memory.stats().head


def standing(memory: Memory) -> list[Record]:
    return list(memory.records(states=ALL))


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────

_COORDINATES: list[Any] = [("north",), (None,), "12", 5, (True,), (float("nan"),), (10**400,)]
_SPANS: list[Any] = [(3, 1), (-1, 2), (1,), (1, 2, 3), (0.5, 2), "12", 5, (0, 2**63)]
_EXTRAS: list[Any] = [5, {"a": SURROGATE}, {"a": float("inf")}]
_BAD: dict[str, list[Any]] = {
    "text": ["", " \n\t ", None, 5, b"bytes", "a\0b", f"half {SURROGATE}", ["text"]],
    "kind": ["", "Turn", "two words", "a/b", None, 5, "k" * 65],
    "session": [5, "a\0b", SURROGATE],
    "speaker": [5, "a\0b", SURROGATE],
    "role": [5, ["user"], SURROGATE],
    "at": ["yesterday", "", 5, NAIVE, "2024-05-03", "2024-05-03T12:00:00", TOO_EARLY],
    "place": [
        *("", "  ", 5, "a\0b", Place(), Place("x", extra={"coordinates": "x"})),
        *(Place("x", bad) for bad in _COORDINATES),
        *(Place("x", extra=bad) for bad in _EXTRAS),
    ],
    "tags": ["word", 5, None, [""], ["  "], [5], ["a\0b"], {"a": 1}, [SURROGATE]],
    "meta": [5, "text", [], [("a", 1)], {"a": float("nan")}, {"a": {1, 2}}, {"a": SURROGATE}, {("a", "b"): 1}],
    "sources": [
        *("id", 5, None, [5], [""], [Source()], [Source("a", "b")], {"a": 1}, [Source("a", extra={"span": 1})]),
        *([Source("a", span=bad)] for bad in _SPANS),
        *([Source("a", extra=bad)] for bad in _EXTRAS),
    ],
}
_BAD_TOO: dict[str, list[Any]] = {  # fields that add does not take
    "strength": [-1, float("nan"), float("inf"), "strong", None, True, 10**400],
    "pinned": [1, "yes", None],
}
_BAD_BY_HAND: dict[str, list[Any]] = {  # fields that nobody may set
    "id": ["", " padded ", "a\0b", SURROGATE, 5, None, "i" * 201],
    "stored_at": [None, "never", NAIVE],
    "revision": [0, -1, 2**31, True, "1", None, 1.0],
    "state": ["gone", None, 5, []],
    "replaced_by": ["id", 5, [""], [5], None],
    "extra": [*_EXTRAS, {"pinned": True}],
}


def pairs(*tables: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for table in tables for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), pairs(_BAD))
def test_a_bad_field_is_refused_by_every_verb_that_takes_it(memory: Memory, name: str, value: Any) -> None:
    record = memory.add("kept")
    before = head(memory)
    fields: dict[str, Any] = {"text": "fine"} | {name: value}
    if value is not None or name == "text":  # for add, None is the default
        with pytest.raises(InvalidInput):
            memory.add(**fields)
    with pytest.raises(InvalidInput, match="item 2"):
        memory.add_many(["fine", fields])
    with pytest.raises(InvalidInput):
        memory.edit(record.id, **cast("Any", {name: value}))
    assert head(memory) == before
    assert standing(memory) == [record]


@pytest.mark.parametrize(
    ("name", "value"),
    [*pairs(_BAD_TOO), ("scope", "another"), ("colour", "red"), ("state", "live"), ("stored_at", NOON)],
)
def test_a_field_that_cannot_be_edited_so_is_refused(memory: Memory, name: str, value: Any) -> None:
    record = memory.add("kept")
    fields: dict[str, Any] = {name: value}
    with pytest.raises(InvalidInput):
        memory.edit(record.id, **fields)
    with pytest.raises(InvalidInput):
        memory.add_many([{"text": "fine"} | fields])
    assert standing(memory) == [record]


def by_hand(**fields: Any) -> Record:
    """A constructor takes anything."""
    given: dict[str, Any] = {"id": "by-hand", "scope": Scope("x"), "text": "by hand", "at": NOON, "stored_at": NOON}
    return Record(**(given | fields))


@pytest.mark.parametrize(("name", "value"), pairs(_BAD, _BAD_TOO, _BAD_BY_HAND))
def test_a_record_built_by_hand_is_checked_like_anything_else(memory: Memory, name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="item 1"):
        memory.add_many([by_hand(**{name: value})])
    assert head(memory) == 0


@pytest.mark.parametrize("items", [None, 5, "one text", b"bytes", {"text": "a"}])
def test_add_many_takes_a_list(memory: Memory, items: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add_many(items)
    assert head(memory) == 0


@pytest.mark.parametrize(
    "item",
    [5, None, b"bytes", {}, {"speaker": "Ana"}, {"text": "a", "colour": "red"}, {"text": "a", "id": ""}, {5: "text"}],
)
def test_add_many_names_the_bad_item_by_its_number(memory: Memory, item: Any) -> None:
    with pytest.raises(InvalidInput, match="item 3"):
        memory.add_many(["a", "b", item])
    assert head(memory) == 0


@pytest.mark.parametrize(
    "vector",
    [
        [1.0] * (DIMENSION - 1),
        [1.0] * (DIMENSION + 1),
        [],
        [[1.0] * DIMENSION],
        [1.0] * (DIMENSION - 1) + [float("nan")],
        [float("inf")] * DIMENSION,
        ["x"] * DIMENSION,
        [None] * DIMENSION,
        [10**400] * DIMENSION,
        "abcdefgh",
        5,
    ],
)
def test_a_vector_that_does_not_fit_is_refused(memory: Memory, vector: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add("a", vector=vector)
    with pytest.raises(InvalidInput):
        memory.add_many([{"text": "a", "vector": [1.0] * DIMENSION}, {"text": "b", "vector": vector}])
    assert head(memory) == 0


_BAD_IDS: list[Any] = [5, None, ["a"], b"bytes", "a\0b", SURROGATE]
_BY_ID: dict[str, Callable[[Memory, Any], object]] = {
    "edit": lambda memory, id: memory.edit(id, text="new"),
    "pin": lambda memory, id: memory.pin(id),
    "tag": lambda memory, id: memory.tag(id, add=["x"]),
    "merge": lambda memory, id: memory.merge(id, next(memory.records()).id),
    "split": lambda memory, id: memory.split(id, ["a", "b"]),
    "forget": lambda memory, id: memory.forget(id),
    "erase": lambda memory, id: memory.forget(id, hard=True),
    "restore": lambda memory, id: memory.restore(id),
    "get": lambda memory, id: memory.get(id),
    "find": lambda memory, id: memory.find(id),
    "history": lambda memory, id: memory.history(id),
    "descendants": lambda memory, id: memory.descendants(id),
}


@pytest.mark.parametrize("verb", _BY_ID)
def test_an_id_that_is_not_here_or_is_no_id(memory: Memory, verb: str) -> None:
    record = memory.add("kept")
    before = head(memory)
    with pytest.raises(RecordNotFound):
        _BY_ID[verb](memory, "nobody")
    for id in _BAD_IDS:
        with pytest.raises((InvalidInput, RecordNotFound)):
            _BY_ID[verb](memory, id)
    assert head(memory) == before
    assert standing(memory) == [record]


@pytest.mark.parametrize("verb", ["pin", "tag", "forget", "restore", "descendants", "merge"])
def test_no_id_at_all_is_refused(memory: Memory, verb: str) -> None:
    with pytest.raises(InvalidInput):
        getattr(memory, verb)()
    with pytest.raises(InvalidInput):
        memory.forget(hard=True)


# As text, because a failing one must be told from the others. `m` is the memory, `one` and `two` are ids in it.
_OTHERS = """
m.merge(one)
m.merge(one, one)
m.merge(one, two, text='')
m.merge(one, two, text=5)
m.split(one, ['only one'])
m.split(one, 'one')
m.split(one, 5)
m.split(one, ['one', ''])
m.split(one, ['one', 5])
m.split(one, ['one', SURROGATE])
m.edit(one, revision='1', text='x')
m.edit(one, revision=0, text='x')
m.edit(one, revision=True, text='x')
m.pin(one, pinned='yes')
m.tag(one, add=[''])
m.tag(one, add='word')
m.tag(one, remove='word')
m.tag(one, add=5)
m.add_many(['a'], existing='perhaps')
m.step('a' + chr(0)).__enter__()
m.step('cause', actor=SURROGATE).__enter__()
m.reindex('nothing')
list(m.records(states=('gone',)))
list(m.records(states='live'))
m.newest(-1)
m.newest('3')
m.log(-1)
m.log('3')
m.find('')
m.undo('1')
m.undo(step='1')
m.redo(None)
m.scope()
m.scope(5)
m.scope('')
m.scope('a/b')
m.scope('a', 'b/c')
m.scope('a' + chr(10) + 'b')
m.scope(' a')
m.scope(SURROGATE)
Scope(5)
Scope([])
Scope({'a': 1})
m.recall('')
m.recall(' ')
m.recall(5)
m.recall(SURROGATE)
m.recall(Cue(text=5))
m.recall(Cue(SURROGATE))
m.recall(Cue('a', since=NOON.replace(tzinfo=None)))
m.recall(Cue('a', vector=(1.0,)))
m.recall(Cue('a', vector=('x',) * 8))
m.recall('a', -1)
m.recall('a', '3')
m.recall('a', tags=5)
m.recall('a', kinds=[5])
m.recall('a', speaker=5)
m.recall('a', place=5)
m.recall('a', since='yesterday')
m.recall('a', until=NOON.replace(tzinfo=None))
m.context('a', -1)
m.context('a', 'many')
"""


@pytest.mark.parametrize("call", _OTHERS.strip().splitlines())
def test_other_bad_arguments(memory: Memory, call: str) -> None:
    one, two = memory.add_many(["one", "two"])
    before = head(memory)
    names = {
        "m": memory,
        "one": one.id,
        "two": two.id,
        "Scope": Scope,
        "Cue": Cue,
        "NOON": NOON,
        "SURROGATE": SURROGATE,
    }
    with pytest.raises(InvalidInput):
        eval(call, names)
    assert head(memory) == before
    assert standing(memory) == [one, two]


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.add("a", at=NAIVE),
        lambda memory: memory.add("a", tags="word"),
        lambda memory: memory.add("a\0b"),
        lambda memory: memory.add(SURROGATE),
        lambda memory: memory.add("a", kind="Two Words"),
        lambda memory: memory.add("a", vector=[1.0]),
        lambda memory: memory.add_many([5]),
        lambda memory: memory.edit("nobody", text="a"),
        lambda memory: memory.undo(force="id"),
        lambda memory: memory.undo(step=5),
    ],
)
def test_the_refusals_that_have_a_way_out_say_it(memory: Memory, call: Callable[[Memory], object]) -> None:
    with pytest.raises(AgentMemError) as refused:
        call(memory)
    assert refused.value.way_out


# ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────────

_ON_CLOSED: dict[str, Callable[[Memory], object]] = {
    "models": lambda memory: memory.models,
    "jobs": lambda memory: memory.jobs,
    "calls": lambda memory: memory.calls,
    "add": lambda memory: memory.add("a"),
    "add_many": lambda memory: memory.add_many(["a"]),
    "add_many of nothing": lambda memory: memory.add_many([]),
    "edit": lambda memory: memory.edit("id", text="a"),
    "pin": lambda memory: memory.pin("id"),
    "tag": lambda memory: memory.tag("id", add=["x"]),
    "merge": lambda memory: memory.merge("id", "id2"),
    "split": lambda memory: memory.split("id", ["a", "b"]),
    "forget": lambda memory: memory.forget("id"),
    "erase": lambda memory: memory.forget("id", hard=True),
    "restore": lambda memory: memory.restore("id"),
    "undo": lambda memory: memory.undo(),
    "redo": lambda memory: memory.redo(),
    "dry run": lambda memory: memory.undo(dry_run=True),
    "recall": lambda memory: memory.recall("a"),
    "recall of nothing": lambda memory: memory.recall("a", 0),
    "context": lambda memory: memory.context("a"),
    "locate": lambda memory: memory.locate("a"),
    "order": lambda memory: memory.order("a", "b"),
    "feedback": lambda memory: memory.feedback("id", useful=True),
    "feedbacks": lambda memory: list(memory.feedbacks()),
    "feedback_lines": lambda memory: list(memory.feedback_lines()),
    "get": lambda memory: memory.get("id"),
    "find": lambda memory: memory.find("id"),
    "records": lambda memory: list(memory.records()),
    "newest": lambda memory: memory.newest(),
    "listing": lambda memory: memory.listing(),
    "listed": lambda memory: memory.listed([1]),
    "kinds": lambda memory: memory.kinds(),
    "head": lambda memory: memory.head(),
    "descendants": lambda memory: memory.descendants("id"),
    "history": lambda memory: memory.history("id"),
    "log": lambda memory: memory.log(),
    "stats": lambda memory: memory.stats(),
    "verify": lambda memory: memory.verify(),
    "flush": lambda memory: memory.flush(),
    "load": lambda memory: memory.load(),
    "reindex": lambda memory: memory.reindex(),
    "export": lambda memory: memory.export(Path(memory.url).parent / "out.jsonl"),
    "export_lines": lambda memory: list(memory.export_lines()),
    "scope": lambda memory: memory.scope("inner").add("a"),
    "consolidate": lambda memory: memory.consolidate(),
    "foresee": lambda memory: memory.foresee(),
    "with_models": lambda memory: memory.with_models("scripted:echo").add("a"),
    "working": lambda memory: memory.working(),
    "router": lambda memory: memory.router,
    "complete": lambda memory: memory.complete("a"),
    "familiarity": lambda memory: memory.familiarity("a"),
    "repeats": lambda memory: memory.repeats(),
    "due": lambda memory: memory.due(),
    "fade": lambda memory: memory.fade(),
    "exposure": lambda memory: memory.exposure(),
}


@pytest.mark.parametrize("verb", _ON_CLOSED)
def test_a_closed_memory_says_so(tmp_path: Path, verb: str) -> None:
    memory = Memory.open(tmp_path / "m", embedder=TinyEmbedder())
    memory.add("a")
    inner = memory.scope("inner")
    inner.close()  # a handle made by scope() leaves the others open
    memory.add("b")
    memory.close()
    memory.close()
    for handle in (memory, inner):
        with pytest.raises(MemoryClosed) as refused:
            _ON_CLOSED[verb](handle)
        assert refused.value.way_out
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


def test_every_public_verb_was_tried_on_a_closed_memory() -> None:
    harmless = {
        "actor",
        "attach",
        "detach",
        "bound",
        "check_open",
        "close",
        "embedder",
        "host",
        "is_owner",
        "open",
        "rehearse",
        "route",
        "step",
        "stores",
        "url",
    }
    public = set(members(Memory))
    assert public - harmless - _ON_CLOSED.keys() == set()
