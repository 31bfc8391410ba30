"""A scope is closed: whatever is done in one, the others' rows stay as they were, byte for byte, and are never shown.

The rows are read from the SQLite file itself, past all of our code.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem.errors import AgentMemError, InvalidInput, RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Record, Scope, State
from tests.fakes import TinyEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
# Nested, of one root, of another, alike to a prefix match, to LIKE, and to a comparison that ignores case.
SCOPES = ["user:a", "user:a/b", "user:a/b/c", "user:ab", "user:%", "user:_", "user:a/%", "USER:A", "default"]
Rows: TypeAlias = dict[str, dict[str, list[tuple[Any, ...]]]]  # scope → table → rows


def rows(memory: Memory) -> Rows:
    """Every row of every table that has a scope, as the file holds it."""
    [file] = Path(memory.url).glob("*.sqlite3")
    found: Rows = {}
    with closing(sqlite3.connect(file)) as ledger:
        for (table,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [column[1] for column in ledger.execute(f"PRAGMA table_info({table})")]
            if "scope_id" in columns:
                for path, *row in ledger.execute(
                    f"SELECT scopes.path, t.* FROM {table} t JOIN scopes ON scopes.id = t.scope_id ORDER BY 1, 2, 3, 4"
                ):
                    found.setdefault(path, {}).setdefault(table, []).append(tuple(row))
    return found


def own(handle: Memory, records: Iterable[Record]) -> list[Record]:
    """The records, once it is sure that they are this scope's."""
    listed = list(records)
    assert {record.scope for record in listed} <= {handle.bound}
    return listed


# ── random verbs in many scopes ──────────────────────────────────────────────────────────────────────────────────

_NOON = datetime(2024, 5, 3, tzinfo=UTC)


def _fill(handle: Memory, others: list[Memory]) -> None:
    fields: dict[str, Any] = {"speaker": "Ana", "place": "harbour/pier", "tags": ["x"], "kind": "note", "at": _NOON}
    handle.add_many([{"text": f"tea at {handle.bound}", "id": "same"} | fields], existing="skip")
    handle.add("tea and cake", sources=["same"], **fields)


def _copy(handle: Memory, others: list[Memory]) -> None:
    handle.add_many((r for other in others for r in other.records(states=ALL)), existing="skip")


def _first(handle: Memory) -> str:
    return next(handle.records()).id


def _look(handle: Memory, others: list[Memory]) -> None:
    held = {record.id: record for record in own(handle, handle.records(states=ALL))}
    for filters in (
        {},
        {"speaker": "ana"},
        {"place": "harbour"},
        {"tags": ["x"]},
        {"kinds": "note"},
        {"since": _NOON},
        {"until": _NOON},
    ):
        hits = handle.recall("tea cake", 50, explain=True, **filters)
        assert all(held[record.id] == record for record in own(handle, (hit.record for hit in hits)))
    own(handle, (hit.record for hit in handle.context("tea", 10_000).hits))
    own(handle, handle.newest(50, states=ALL))
    assert sum(handle.stats().records.values()) == len(held)
    assert len(list(handle.export_lines())) == 1 + len(held)
    assert {change.record_id for change in handle.log(1_000)} >= held.keys()


_VERBS: dict[str, Callable[[Memory, list[Memory]], object]] = {
    "fill": _fill,
    "fill again": _fill,
    "copy": _copy,
    "look": _look,
    "edit": lambda handle, _: handle.edit(_first(handle), text="coffee"),
    "pin": lambda handle, _: handle.pin(_first(handle)),
    "tag": lambda handle, _: handle.tag("same", add=["y"]),
    "merge": lambda handle, _: handle.merge(*(record.id for record in handle.records())),
    "split": lambda handle, _: handle.split(_first(handle), ["tea", "at"]),
    "forget": lambda handle, _: handle.forget(*(record.id for record in handle.records())),
    "restore": lambda handle, _: handle.restore("same"),
    "erase": lambda handle, _: handle.forget("same", hard=True),
    "undo": lambda handle, _: handle.undo(2),
    "undo any step": lambda handle, _: [handle.undo(step=s, force=["same"]) for s in range(1, handle.stats().head, 3)],
    "redo": lambda handle, _: handle.redo(2),
    "reindex": lambda handle, _: handle.reindex(),
}


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(SCOPES), st.sampled_from(sorted(_VERBS))), min_size=8, max_size=25))
def test_pain_08_no_verb_touches_another_scope(done: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=TinyEmbedder()) as memory:
        handles = {name: memory.scope(*Scope(name)) for name in SCOPES}
        for name in ("user:a", "user:a/b", "user:ab", "user:_"):
            _fill(handles[name], [])
        for handle in handles.values():
            handle.flush()  # the vectors are written in the background; nothing may be left to write
        before = rows(memory)
        for name, verb in done:
            others = [handles[other] for other in SCOPES if other != name]
            with suppress(AgentMemError, StopIteration):  # what it refuses is told elsewhere
                _VERBS[verb](handles[name], others)
            handles[name].flush()
            after = rows(memory)
            assert {path: held for path, held in after.items() if path != name} == {
                path: held for path, held in before.items() if path != name
            }, f"{verb} in {name}"
            before = after
        for handle in handles.values():
            _look(handle, [])
            assert handle.verify() == []


# ── by example ───────────────────────────────────────────────────────────────────────────────────────────────────

_WITH_ID: list[Callable[[Memory, str], object]] = [
    lambda handle, id: handle.get(id),
    lambda handle, id: handle.find(id),
    lambda handle, id: handle.find(id[-8:]),
    lambda handle, id: handle.history(id),
    lambda handle, id: handle.descendants(id),
    lambda handle, id: handle.edit(id, text="mine"),
    lambda handle, id: handle.pin(id),
    lambda handle, id: handle.tag(id, add=["x"]),
    lambda handle, id: handle.merge(id, _first(handle)),
    lambda handle, id: handle.split(id, ["a", "b"]),
    lambda handle, id: handle.forget(id),
    lambda handle, id: handle.forget(_first(handle), id, hard=True),
    lambda handle, id: handle.forget(id, hard=True),
    lambda handle, id: handle.restore(id),
]


@pytest.mark.parametrize("call", _WITH_ID)
@pytest.mark.parametrize("inner", [False, True])
def test_an_id_of_another_scope_is_not_found(
    memory: Memory, call: Callable[[Memory, str], object], inner: bool
) -> None:
    theirs = memory.scope("user:a").add("theirs")
    undone = memory.scope("user:a").add("theirs, and taken back")
    memory.scope("user:a").undo()
    mine = memory.scope(*(("user:a", "b") if inner else ("user:ab",)))
    mine.add("mine")
    memory.scope("user:a").flush()
    mine.flush()
    before = rows(memory)
    for id in (theirs.id, undone.id):
        with pytest.raises(RecordNotFound):
            call(mine, id)
    assert rows(memory) == before


def test_a_source_in_another_scope_is_not_followed(memory: Memory) -> None:
    ana, bob = memory.scope("user:ana"), memory.scope("user:bob")
    told = ana.add("a secret")
    heard = bob.add("something about a secret", sources=[told.id])
    own_copy = bob.add_many([told])[0]
    ana.forget(told.id, hard=True)
    assert own(bob, bob.records()) == [heard, own_copy]
    assert [record.id for record in bob.descendants(told.id)] == [heard.id]


def test_the_same_id_may_live_in_two_scopes(memory: Memory) -> None:
    ana, bob = memory.scope("user:ana"), memory.scope("user:bob")
    ana.add_many([{"id": "same", "text": "ana's"}])
    bob.add_many([{"id": "same", "text": "bob's"}])
    ana.edit("same", text="ana's own")
    assert (ana.get("same").text, bob.get("same").text) == ("ana's own", "bob's")
    assert [len(ana.history("same")), len(bob.history("same"))] == [2, 1]
    ana.forget("same", hard=True)
    assert bob.recall("bob's")[0].record.id == "same"


def test_a_handle_narrows_only(memory: Memory) -> None:
    ana = memory.scope("user:ana")
    assert ana.bound == Scope(("user:ana",))
    assert ana.scope("agent:guide", "session:4").bound == Scope("user:ana/agent:guide/session:4")
    assert ana.scope(*Scope("agent:guide/session:4")).bound == Scope("user:ana/agent:guide/session:4")
    assert ana.scope("default").bound == Scope("user:ana/default")
    assert ana.scope("user:bob").bound == Scope("user:ana/user:bob")
    assert ana.scope("..").bound == Scope(("user:ana", ".."))
    for way in ((), ("",), ("/",), ("a", ""), ("a//b",), ("\0",), ("a\n",), ("x" * 201,)):
        with pytest.raises(InvalidInput):
            ana.scope(*way)


@pytest.mark.parametrize("name", ["ana/secret", "ana/", "/ana", "ana/../bob", "/"])
@pytest.mark.parametrize("within", [(), ("app:chat",)])
def test_a_name_with_a_slash_does_not_reach_into_anothers_scope(
    memory: Memory, within: tuple[str, ...], name: str
) -> None:
    handle = memory.scope(*within) if within else memory
    secret = handle.scope("user:ana", "secret").add("a secret")
    before = rows(memory)
    for parts in (("user:" + name,), ("users", "user:" + name)):
        with pytest.raises(InvalidInput) as refused:
            handle.scope(*parts)
        assert refused.value.way_out == 'Give several parts one by one: memory.scope("user:ana", "notes").'
    with pytest.raises(InvalidInput, match="cannot be part of a scope"):
        Memory.open(memory.url, scope=("user:" + name,), embedder=TinyEmbedder())
    assert rows(memory) == before
    assert list(handle.scope(*Scope("user:ana/secret")).records()) == [secret]  # a path of one's own, spread


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_whatever_the_names_a_scope_has_as_many_parts_as_were_given(names: list[str]) -> None:
    with suppress(InvalidInput):
        assert tuple(Scope(iter(names))) == tuple(names)


def test_a_scope_does_not_see_what_is_inside_it(memory: Memory) -> None:
    outer, inner = memory.scope("user:a"), memory.scope("user:a", "b")
    inner.add("inner tea")
    assert (list(outer.records()), outer.recall("tea"), outer.log()) == ([], [], [])
    assert outer.stats().records == {}
    outer.add("outer tea")
    assert [hit.record.text for hit in inner.recall("tea")] == ["inner tea"]


def test_a_scope_bound_at_opening_is_the_same_scope(tmp_path: Path) -> None:
    for given_scope in ("user:a/b", ("user:a", "b"), Scope("user:a/b")):
        with Memory.open(tmp_path / "m", scope=given_scope, embedder=TinyEmbedder()) as memory:
            memory.add("a")
            assert memory.bound == Scope("user:a/b")
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
        assert len(list(memory.scope("user:a", "b").records())) == 3
        assert list(memory.records()) == []
    for bad in ("", [], "a/", 5, [5], {"a": 1}, "a\0"):
        with pytest.raises(InvalidInput):
            Memory.open(tmp_path / "m", scope=bad, embedder=TinyEmbedder())  # type: ignore[arg-type]


def test_scopes_of_one_root_share_a_counter_and_nothing_else(memory: Memory) -> None:
    one, two = memory.scope("user:a"), memory.scope("user:a", "b")
    for i in range(3):
        one.add(f"one {i}")
        two.add(f"two {i}")
    assert [change.seq for change in one.log()] == [5, 3, 1]
    assert [change.seq for change in two.log()] == [6, 4, 2]
    assert one.log(step=2) == []
    with pytest.raises(InvalidInput, match="no step"):
        one.undo(step=2)
    one.undo(3)
    assert [record.text for record in two.records()] == ["two 0", "two 1", "two 2"]
