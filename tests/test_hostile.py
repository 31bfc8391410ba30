"""Hostile text in every argument of every public verb: stored exactly, or refused clearly with nothing written.

The table below names every argument that takes text and what must come back of it; a test reads the signatures, so
that a new argument without an entry fails.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import AgentMemError, Change, Cue, Memory, Models, Place, Record, Scope, Source
from agentmem.records import RecordFields, State
from tests.faces import members
from tests.fakes import TinyEmbedder
from tests.hostile import (
    TEXTS,
    clear,
    filled,
    idlike,
    jsonable,
    kindlike,
    mixed,
    never,
    partlike,
    scopelike,
    storable,
    whatever,
    wordy,
)

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
LONGEST_MESSAGE = 2_000  # characters: a refusal of a megabyte does not repeat it

# ── every argument ───────────────────────────────────────────────────────────────────────────────────────────────────


class Slot(NamedTuple):
    """`use` puts a text there and returns (what came back, what should have); `takes` says what must be taken."""

    use: Callable[[Memory, str], tuple[Any, Any]]
    takes: Callable[[str], bool | None] = storable


_numbers = count()


def one(memory: Memory) -> str:
    """The id of a live record."""
    return memory.add(f"kept {next(_numbers)}").id


def kept(memory: Memory, record: Record) -> Record:
    """The record as it is read again; and as its JSON tells it, through text and back."""
    again = memory.get(record.id)
    assert again == record
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    return again


def added(memory: Memory, **fields: Any) -> Record:
    return kept(memory, memory.add(**({"text": "kept"} | fields)))


def taken(memory: Memory, **fields: Any) -> Record:
    [record] = memory.add_many([{"text": "kept"} | fields])
    return kept(memory, record)


def edited(memory: Memory, **fields: Any) -> Record:
    return kept(memory, memory.edit(one(memory), **fields))


def tags_of(text: str) -> tuple[str, ...]:
    return tuple(sorted({text.strip(), "x"}))


def in_step(memory: Memory, cause: str, actor: str | None = None) -> Change:
    with memory.step(cause, actor=actor):
        one(memory)
    return memory.log(1)[0]


def acting(memory: Memory, actor: str) -> Change:
    with Memory.open(memory.url, embedder=TinyEmbedder(), actor=actor) as other:
        one(other)
    return memory.log(1)[0]


def asked(memory: Memory, **arguments: Any) -> list[str]:
    """The ids of what a recall finds; it must be here, and live."""
    given: dict[str, Any] = {"cue": "kept", "k": 5} | arguments
    found = [(memory.get(hit.record.id).id, hit.won) for hit in memory.recall(**given, explain=True)]
    return [id for id, won in found if won]


def narrowed(memory: Memory, filters: dict[str, Any], **fields: Any) -> tuple[Any, Any]:
    """A record with these fields is found by a filter on them, and another is not."""
    other, record = memory.add("kept"), memory.add("kept", **fields)
    found = asked(memory, k=1_000, **filters)
    return (record.id in found, other.id in found), (True, False)


def inside(memory: Memory, part: str) -> tuple[Scope, Scope]:
    handle = memory.scope(part)
    assert kept(handle, handle.add("inside")).scope == handle.bound
    return handle.bound, Scope((part,))


def opened_in(memory: Memory, **arguments: Any) -> Memory:
    """Another memory beside this one."""
    beside = Path(memory.url).with_name("beside.mem")
    given: dict[str, Any] = {"path_or_url": beside, "embedder": TinyEmbedder()} | arguments
    with Memory.open(**given) as other:
        kept(other, other.add("beside"))
        return other


def opened_at(memory: Memory, name: str) -> tuple[int, int]:
    path = f"{memory.url}-beside/{name}"
    with Memory.open(path, embedder=TinyEmbedder()) as other:
        before = sum(other.stats().records.values())
        other.add("kept")
    with Memory.open(path, embedder=TinyEmbedder(), create=False) as other:
        return sum(other.stats().records.values()), before + 1


def exported(memory: Memory, name: str) -> tuple[int, int]:
    path = f"{memory.url}-{name}"
    written = memory.export(path)
    return len(Path(path).read_text(encoding="utf-8").split("\n")) - 2, written


def detached(memory: Memory, name: str) -> tuple[None, None]:
    memory.detach(name + "?")
    return None, None


def attached(memory: Memory, name: str) -> tuple[bool, bool]:
    with Memory.open(memory.url, embedder=TinyEmbedder()) as other:
        other.attach(name, Silent())
        asked(other)
        return name in other.stores, True


class Silent:
    """A store that keeps nothing and says nothing."""

    cursor = 0

    def apply(self, changes: Sequence[Change]) -> None:
        self.cursor = changes[-1].seq

    def rebuild(self) -> None:
        self.cursor = 0

    def recall(self, cue: Cue, k: int) -> list[Any]:
        return []

    def inspect(self) -> dict[str, Any]:
        return {}

    def consolidate(self, now: datetime, models: Models | None = None) -> Any:
        raise NotImplementedError


def found_by_ending(memory: Memory, ending: str) -> tuple[str, str]:
    """What the ids themselves say: the one that is this text, or the only one that ends with it."""
    ids = [record.id for record in memory.records(states=ALL)]
    ending_so = [id for id in ids if id.endswith(ending)] if ending else []
    expected = ending if ending in ids else ending_so[0] if len(ending_so) == 1 else ""
    try:
        return memory.find(ending).id, expected
    except AgentMemError:
        if expected:
            raise AssertionError(f"{expected!r} is here and was not found") from None
        raise


def same_fields(make: Callable[..., Record], vocal: bool = True) -> dict[str, Slot]:
    """The arguments that `add`, `add_many` and `edit` share."""
    return {
        "text": Slot(lambda m, t: (make(m, text=t).text, t), wordy),
        "kind": Slot(lambda m, t: (make(m, kind=t).kind, t), kindlike),
        "session": Slot(lambda m, t: (make(m, session=t).session, t)),
        "speaker": Slot(lambda m, t: (make(m, speaker=t).speaker, t)),
        "role": Slot(lambda m, t: (make(m, role=t).role, t)),
        "at": Slot(lambda m, t: (make(m, at=t).at, datetime.fromisoformat(t)), whatever),
        "place": Slot(lambda m, t: (make(m, place=t).place, Place(t)), wordy),
        "place, with coordinates": Slot(lambda m, t: (make(m, place=Place(t, (1.0,))).place, Place(t, (1.0,)))),
        "place.extra": Slot(
            lambda m, t: (make(m, place=Place("x", extra={"y": {t: t}})).place, Place("x", extra={"y": {t: t}})),
            jsonable,
        ),
        "tags": Slot(lambda m, t: (make(m, tags=["x", t]).tags, tags_of(t)), wordy),
        "meta": Slot(lambda m, t: (make(m, meta={"key": t}).meta, {"key": t}), jsonable),
        "meta, its keys": Slot(
            lambda m, t: (make(m, meta={t: 1, "in": [{t: None}]}).meta, {t: 1, "in": [{t: None}]}), jsonable
        ),
        "sources": Slot(lambda m, t: (make(m, sources=[t]).sources, (Source(t),)), filled),
        "sources, files": Slot(lambda m, t: (make(m, sources=[Source(file=t)]).sources, (Source(file=t),)), filled),
    }


SLOTS: dict[tuple[str, str], Slot] = {
    ("open", "path_or_url"): Slot(opened_at, whatever),
    ("open", "scope"): Slot(lambda m, t: (opened_in(m, scope=t).bound, Scope(t)), scopelike),
    ("open", "embedder"): Slot(lambda m, t: (opened_in(m, embedder=t), None), never),
    ("open", "index"): Slot(lambda m, t: (opened_in(m, index=t), None), never),
    ("open", "durability"): Slot(lambda m, t: (opened_in(m, durability=t), None), never),
    ("open", "actor"): Slot(lambda m, t: (acting(m, t).actor, t)),
    ("scope", "parts"): Slot(inside, partlike),
    ("step", "cause"): Slot(lambda m, t: (in_step(m, t).cause, t)),
    ("step", "actor"): Slot(lambda m, t: (in_step(m, "", t).actor, t or "user")),
    **{("add", name): slot for name, slot in same_fields(added).items()},
    **{("add_many", name): slot for name, slot in same_fields(taken).items()},
    **{("edit", name): slot for name, slot in same_fields(edited).items()},
    ("add_many", "id"): Slot(
        lambda m, t: ([m.add_many([{"text": "x", "id": t}], existing="skip"), m.get(t).id][1], t), idlike
    ),
    ("add_many", "a Record's"): Slot(
        lambda m, t: (
            kept(m, m.add_many([Record(f"r{next(_numbers)}", Scope("x"), t, NOON, NOON, session=t)])[0]).text,
            t,
        ),
        wordy,
    ),
    ("add_many", "a Record's extra"): Slot(
        lambda m, t: (
            kept(m, m.add_many([Record(f"r{next(_numbers)}", Scope("x"), "x", NOON, NOON, extra={"y": t})])[0]).extra,
            {"y": t},
        ),
        jsonable,
    ),
    ("add_many", "an unknown field"): Slot(lambda m, t: (m.add_many([{"text": "x", t + "?": 1}]), None), never),
    ("add_many", "existing"): Slot(
        lambda m, t: (m.add_many(["x"], existing=t), None),  # type: ignore[arg-type]
        never,
    ),
    **{
        (verb, "id" if verb in ("get", "edit", "split", "history") else "ids"): Slot(use, never)
        for verb, use in {
            "get": lambda m, t: (m.get(t + "?"), None),
            "history": lambda m, t: (m.history(t + "?"), None),
            "edit": lambda m, t: (m.edit(t + "?", text="x"), None),
            "split": lambda m, t: (m.split(t + "?", ["a", "b"]), None),
            "pin": lambda m, t: (m.pin(t + "?"), None),
            "tag": lambda m, t: (m.tag(one(m), t + "?", add=["x"]), None),
            "merge": lambda m, t: (m.merge(one(m), t + "?"), None),
            "forget": lambda m, t: (m.forget(t + "?"), None),
            "restore": lambda m, t: (m.restore(t + "?"), None),
            "descendants": lambda m, t: (m.descendants(t + "?"), None),
        }.items()
    },
    ("locate", "text"): Slot(lambda m, t: (len(m.locate(t, 5)) <= 5, True), wordy),
    ("order", "one"): Slot(lambda m, t: (0 <= m.order(t, "kept") <= 1, True), wordy),
    ("order", "other"): Slot(lambda m, t: (0 <= m.order("kept", t) <= 1, True), wordy),
    ("feedback", "hit"): Slot(lambda m, t: (m.feedback(t + "?", useful=True), None), never),
    ("feedback", "cue"): Slot(
        lambda m, t: (m.feedback(one(m), useful=True, cue=t).cue, list(m.feedbacks())[-1].cue),
    ),
    ("forget", "ids, hard"): Slot(lambda m, t: (m.forget(t + "?", hard=True), None), never),
    ("find", "ending"): Slot(found_by_ending, whatever),
    ("tag", "add"): Slot(lambda m, t: (kept(m, m.tag(one(m), add=[t, "x"])[0]).tags, tags_of(t)), wordy),
    ("tag", "remove"): Slot(
        lambda m, t: (m.tag(m.add("x", tags=[t, "x", "y"]).id, remove=["y", t])[0].tags, ("x",)),
        lambda text: wordy(text) and text.strip() not in ("x", "y"),
    ),
    ("merge", "text"): Slot(lambda m, t: (kept(m, m.merge(one(m), one(m), text=t)).text, t), wordy),
    ("split", "parts"): Slot(lambda m, t: (kept(m, m.split(one(m), [t, "rest"])[0]).text, t), wordy),
    ("undo", "force"): Slot(lambda m, t: ([c.verb for c in m.undo(force=[one(m) and t])], ["undo"]), whatever),
    ("records", "states"): Slot(lambda m, t: (list(m.records(states=[t])), None), never),  # type: ignore[list-item]
    ("newest", "states"): Slot(lambda m, t: (m.newest(states=[t]), None), never),  # type: ignore[list-item]
    ("listing", "which"): Slot(lambda m, t: (len(m.listing(t)) >= 0, True), whatever),
    ("listing", "order"): Slot(lambda m, t: (m.listing(order=t), None), never),  # type: ignore[arg-type]
    ("recall", "cue"): Slot(lambda m, t: (len(asked(m, cue=t)) <= 10, True), wordy),
    ("recall", "since"): Slot(lambda m, t: (asked(m, since=t), None), whatever),
    ("recall", "until"): Slot(lambda m, t: (asked(m, until=t), None), whatever),
    ("recall", "kinds"): Slot(lambda m, t: (asked(m, kinds=[t]) and kindlike(t), []), whatever),
    ("recall", "speaker"): Slot(lambda m, t: narrowed(m, {"speaker": t}, speaker=t), whatever),
    ("recall", "place"): Slot(lambda m, t: narrowed(m, {"place": t}, place=t), whatever),
    ("recall", "tags"): Slot(lambda m, t: narrowed(m, {"tags": [t.strip()]}, tags=[t]), wordy),
    ("recall", "engine"): Slot(lambda m, t: (asked(m, engine=t), None), never),
    ("context", "engine"): Slot(lambda m, t: (m.context("kept", engine=t), None), never),
    ("context", "cue"): Slot(lambda m, t: (storable(m.context(t, 200).text), True), wordy),
    ("reindex", "name"): Slot(lambda m, t: (m.reindex(t + "?"), None), never),
    ("attach", "name"): Slot(attached, whatever),
    ("consolidate", "names"): Slot(lambda m, t: (m.consolidate(t + "?"), None), never),
    ("consolidate", "now"): Slot(lambda m, t: (sorted(m.consolidate("working", now=t)), ["working"]), whatever),
    ("foresee", "names"): Slot(lambda m, t: (m.foresee(t + "?"), None), never),
    ("foresee", "now"): Slot(lambda m, t: (sorted(m.foresee("working", now=t)), ["working"]), whatever),
    ("context", "without"): Slot(lambda m, t: (m.context("kept", 200, without=[t]).budget, 200), whatever),
    ("export", "path"): Slot(exported, whatever),
    ("export", "only"): Slot(lambda m, t: (m.export("only.jsonl", only=[t + "?"]), None), never),
    ("add", "repeats"): Slot(lambda m, t: (m.add("x", repeats=t), None), never),  # type: ignore[arg-type]
    ("detach", "name"): Slot(detached, never),
    ("complete", "fragment"): Slot(lambda m, t: (m.complete(t) is None or True, True), wordy),
    ("complete", "speaker"): Slot(lambda m, t: (m.complete("kept", speaker=t) is None or True, True), whatever),
    ("complete", "place"): Slot(lambda m, t: (m.complete("kept", place=t) is None or True, True), whatever),
    ("complete", "on"): Slot(lambda m, t: (m.complete("kept", on=t) is None or True, True), whatever),
    ("familiarity", "text"): Slot(lambda m, t: (0 <= m.familiarity(t) <= 1, True), wordy),
    ("repeats", "kind"): Slot(lambda m, t: (m.repeats(t), None), never),  # type: ignore[arg-type]
    ("due", "now"): Slot(lambda m, t: (len(m.due(now=t)) <= 10, True), whatever),
    ("fade", "now"): Slot(lambda m, t: (m.fade(t, dry_run=True) is None, False), whatever),
    ("fade", "policy"): Slot(lambda m, t: (m.fade(policy=t, dry_run=True), None), never),
}

# Arguments that take no text; the numbers among them are tried below.
NUMBERS = {
    ("edit", "revision"): lambda m, n: m.edit(one(m), revision=n, text="x"),
    ("undo", "n"): lambda m, n: m.undo(n, dry_run=True),
    ("undo", "step"): lambda m, n: m.undo(step=n, dry_run=True),
    ("undo", "since"): lambda m, n: m.undo(since=n, dry_run=True),
    ("redo", "n"): lambda m, n: m.redo(n, dry_run=True),
    ("recall", "k"): lambda m, n: m.recall("kept", n, explain=True),
    ("locate", "k"): lambda m, n: m.locate("kept", n),
    ("context", "tokens"): lambda m, n: m.context("kept", n),
    ("newest", "n"): lambda m, n: m.newest(n),
    ("listed", "positions"): lambda m, n: m.listed([n]),
    ("listing", "limit"): lambda m, n: m.listing(limit=n),
    ("log", "limit"): lambda m, n: m.log(n),
    ("log", "before"): lambda m, n: m.log(before=n),
    ("log", "step"): lambda m, n: m.log(step=n),
    ("add", "vector"): lambda m, n: m.add("x", vector=[n] * TinyEmbedder.dimension),
    ("add_many", "vector"): lambda m, n: m.add_many([{"text": "x", "vector": [n] * TinyEmbedder.dimension}]),
    ("edit", "strength"): lambda m, n: m.edit(one(m), strength=n),
    ("attach", "weight"): lambda m, n: n,  # held by the handle, never written
    ("context", "most_repeats"): lambda m, n: m.context("kept", most_repeats=n),
    ("repeats", "limit"): lambda m, n: m.repeats(limit=n),
    ("due", "k"): lambda m, n: m.due(n),
    ("fade", "keep"): lambda m, n: m.fade(keep=n, dry_run=True),
    ("fade", "below"): lambda m, n: m.fade(below=n, dry_run=True),
    ("fade", "within"): lambda m, n: m.fade(within=n, dry_run=True),
}
NEITHER = {
    ("open", "create"),
    ("open", "late_interaction"),
    ("open", "models"),  # test_models_pool tries it
    ("add_many", "items"),  # its fields are listed one by one
    ("pin", "pinned"),
    ("edit", "pinned"),
    ("forget", "hard"),
    ("undo", "dry_run"),
    ("redo", "dry_run"),
    ("recall", "explain"),
    ("context", "count"),
    ("feedback", "useful"),
    ("export", "feedback"),
    ("flush", "progress"),
    ("reindex", "progress"),
    ("attach", "store"),
    ("consolidate", "models"),
    ("with_models", "models"),
    ("route", "routes"),
    ("fade", "dry_run"),
    ("listing", "descending"),
}


def arguments() -> Iterator[tuple[str, str]]:
    """Every argument of every public method of `Memory`."""
    for name, member in members(Memory).items():
        function = getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                yield from ((name, field) for field in RecordFields.__annotations__)
            else:
                yield name, parameter.name
    yield from (
        ("add_many", name) for name in inspect.signature(Memory.add).parameters if name not in ("self", "repeats")
    )


def test_every_argument_of_every_public_verb_is_tried() -> None:
    assert set(arguments()) - SLOTS.keys() - NUMBERS.keys() - NEITHER == set()
    spelt = {name.partition(",")[0].partition(".")[0] for _, name in SLOTS}
    assert {name for _, name in arguments()} - spelt - {name for _, name in NUMBERS.keys() | NEITHER} == set()


# ── the trial ────────────────────────────────────────────────────────────────────────────────────────────────────────


def head(memory: Memory) -> int:
    return sum(change.seq for change in memory.log(1))


def trial(memory: Memory, slot: Slot, text: str) -> None:
    takes = slot.takes(text)
    before = head(memory)
    refused = None
    try:
        got, expected = slot.use(memory, text)
    except AgentMemError as error:
        refused = error
    if refused is None:
        assert takes is not False, f"taken: {text!r:.200}"
        assert got == expected
    else:
        assert not takes, f"refused: {refused!s:.200}"
        assert clear(refused), f"unclear: {refused!s:.200}"
        assert head(memory) - before <= 2  # `one` and `narrowed` may have added a record of their own, and that is all


def fresh(base: Path) -> Memory:
    return Memory.open(base / "notes.mem", embedder=TinyEmbedder())


@pytest.mark.parametrize("slot", SLOTS, ids=" ".join)
def test_text_is_stored_exactly_or_refused_clearly(slot: tuple[str, str], tmp_path: Path) -> None:
    with fresh(tmp_path) as memory:
        for name, text in TEXTS.items():
            try:
                trial(memory, SLOTS[slot], text)
            except Exception as error:
                error.add_note(f"the text was: {name}")
                raise
        assert memory.verify() == []


def test_any_characters_are_stored_exactly_or_refused_clearly(tmp_path: Path) -> None:
    with fresh(tmp_path) as memory:

        @settings(max_examples=400)
        @given(st.sampled_from(sorted(SLOTS)), mixed)
        def tried(slot: tuple[str, str], text: str) -> None:
            trial(memory, SLOTS[slot], text)

        tried()
        assert memory.verify() == []


def test_a_refusal_of_a_megabyte_is_short(memory: Memory) -> None:
    endless = set()
    for name in SLOTS:
        try:
            SLOTS[name].use(memory, TEXTS["a megabyte"] + "\0")
        except AgentMemError as refused:
            if len(f"{refused}{refused.way_out}") > LONGEST_MESSAGE:
                endless.add(name)
    assert endless == set()


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE_NUMBERS: list[Any] = [
    *(0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, True, False),
    *(0.0, -0.0, 1.5, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")),
    *("1", "", "\ud800", None, b"1", [1], {}, object()),
]


@pytest.mark.parametrize("slot", NUMBERS, ids=" ".join)
def test_any_number_is_taken_or_refused_clearly(slot: tuple[str, str], memory: Memory) -> None:
    memory.add_many(["kept one", "kept two"])
    for number in HOSTILE_NUMBERS:
        try:
            NUMBERS[slot](memory, number)
        except AgentMemError as refused:
            said = refused
            assert clear(said), f"unclear: {said!s:.200}"
        except Exception as error:
            error.add_note(f"the number was: {number!r:.50}")
            raise
    assert memory.verify() == []


# ── all at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_of_it_leaves_by_the_export_and_comes_back(tmp_path: Path) -> None:
    good = [text for text in TEXTS.values() if wordy(text) and len(text) < 1_000]
    with fresh(tmp_path / "a") as memory, fresh(tmp_path / "b") as copy:
        for text in good:
            id = {"id": text} if idlike(text) else {}
            where: dict[str, Any] = {"session": text, "speaker": text, "role": text, "place": text, "tags": [text]}
            memory.add_many([{"text": text, "meta": {text: [text]}, "sources": [text], **where, **id}])
        memory.merge(*(record.id for record in memory.newest(5)))
        memory.forget(next(memory.records()).id)
        memory.export(tmp_path / "out.jsonl")
        header, *lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        assert json.loads(header)["records"] == len(lines)  # no character in any text ends a line
        copy.add_many(Record.from_json(json.loads(line)) for line in lines)
        assert list(copy.records(states=ALL)) == list(memory.records(states=ALL))
        assert list(copy.export_lines()) == list(memory.export_lines())
        for text in good:
            assert {hit.record.id for hit in memory.recall(text[:500], 50)} <= {
                record.id for record in memory.records()
            }


def ids_of(found: Collection[Record]) -> list[str]:
    return [record.id for record in found]


def test_ids_that_look_alike_are_told_apart(memory: Memory) -> None:
    alike = ["a", "A", "\u00e9", "e\u0301", "ﬁ", "fi", "K", "\u212a", "ß", "ss", "a\u200b", "%", "_", "\\"]
    memory.add_many({"text": f"number {n}", "id": id} for n, id in enumerate(alike))
    for n, id in enumerate(alike):
        assert memory.get(id).text == memory.find(id).text == f"number {n}"
    memory.forget("A")
    assert ids_of(memory.newest(20)) == [id for id in reversed(alike) if id != "A"]
