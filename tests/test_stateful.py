"""Random verbs against a model in plain Python: after each, every record, every history, every undo must agree."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentmem.errors import AgentMemError, UndoBlocked
from agentmem.memory import Memory
from agentmem.records import Change, Record, State
from tests.fakes import TinyEmbedder
from tests.model import Fields, Model, Refused, plain

T = TypeVar("T")
ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
IDS = ["one", "two", "three"]  # given by the caller, so that they come again
MISSING = "nobody"

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
words = st.sampled_from(["red", "green", "blue"])
moments = st.sampled_from([datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2, 3)])
edits = {
    "text": texts,
    "kind": st.sampled_from(["turn", "note"]),
    "session": st.none() | words,
    "speaker": st.none() | words,
    "role": st.none() | words,
    "place": st.none() | words,
    "tags": st.lists(words).map(lambda tags: tuple(sorted(set(tags)))),
    "meta": st.dictionaries(words, st.integers() | texts, max_size=2),
    "strength": st.floats(0, 10),
    "at": moments,
}
some_edits = st.fixed_dictionaries({}, optional=edits)
Draw = Any  # st.DataObject: what st.data() gives


class Verbs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="agentmem-"))
        self.model = Model()
        self.memory = self.opened()
        self.seen: list[str] = []  # every id there ever was

    def opened(self) -> Memory:
        return Memory.open(self.folder, embedder=TinyEmbedder())

    def teardown(self) -> None:
        self.memory.close()
        shutil.rmtree(self.folder)

    # ── one verb, in both worlds ─────────────────────────────────────────────────────────────────────────────────

    def both(self, real: Callable[[], T], told: Callable[[T | None], object]) -> T | None:
        """Run the verb, then tell the model with what came out; both refuse alike, or neither does."""
        error: AgentMemError | None = None
        result: T | None = None
        try:
            result = real()
        except AgentMemError as said:
            error = said
        refused: Refused | None = None
        try:
            with self.model.whole():
                told(result)
        except Refused as raised:
            refused = raised
        assert type(error) is (type(None) if refused is None else refused.kind), f"{error!r}, {refused!r}"
        if isinstance(error, UndoBlocked) and refused is not None:
            assert set(error.blocked) == refused.blocked
        return result

    def stand(self, *records: Record) -> None:
        """What a verb returned is what stands after it."""
        for record in records:
            assert plain(record) == self.model.records[record.id]

    def any_id(self, data: Draw) -> str:
        # Mostly one that stands; sometimes one that an undo or an erasure took away, or that never was.
        here = sorted(self.model.records, key=self.model.born.__getitem__)
        gone = sorted({*self.seen, *IDS, MISSING} - set(here))
        return str(data.draw(st.sampled_from(here * 4 + gone), label="id"))

    def any_ids(self, data: Draw, least: int = 1) -> list[str]:
        return [self.any_id(data) for _ in range(data.draw(st.integers(least, 3), label="how many"))]

    def made(self, record: Record | None, *names: str) -> Fields:
        """What the memory chose by itself and the model cannot know: ids and times."""
        if record is None:
            return dict.fromkeys(names)
        self.seen.append(record.id)
        return {name: getattr(record, name) for name in names}

    def verb_add(self, data: Draw) -> None:
        fields: Fields = {"text": data.draw(texts)} | data.draw(some_edits)
        fields.pop("strength", None)  # not an argument of add
        sources = data.draw(st.lists(st.sampled_from([*self.seen, "elsewhere"]), max_size=2, unique=True))
        record = self.memory.add(**fields, sources=sources)
        told = {"sources": tuple((id, None, None) for id in sources)}
        self.model.add([self.made(record, "id", "stored_at", "at") | fields | told])
        self.stand(record)

    def verb_add_many(self, data: Draw) -> None:
        given = data.draw(st.lists(st.fixed_dictionaries({"id": st.sampled_from(IDS), "text": texts, "at": moments})))
        existing = data.draw(st.sampled_from(["refuse", "skip"]))

        def told(added: list[Record] | None) -> None:
            times = {record.id: record.stored_at for record in added or ()}
            ids = self.model.add([{"stored_at": times.get(item["id"])} | item for item in given], existing)
            assert ids == [record.id for record in added or ()]
            self.seen += ids

        self.both(lambda: self.memory.add_many(given, existing=existing), told)

    def verb_edit(self, data: Draw) -> None:
        id, fields = self.any_id(data), data.draw(some_edits)
        standing = self.model.records.get(id, {"revision": 1})["revision"]
        revision = data.draw(st.sampled_from([None, standing, standing + 1]))
        edited = self.both(
            lambda: self.memory.edit(id, revision=revision, **fields),
            lambda _: self.model.edit(id, revision, fields),
        )
        self.stand(*([edited] if edited else []))

    def verb_pin(self, data: Draw) -> None:
        ids, pinned = self.any_ids(data), data.draw(st.booleans())
        self.both(
            lambda: self.memory.pin(*ids, pinned=pinned),
            lambda _: self.model.change("pin", ids, lambda record: {"pinned": pinned}),
        )

    def verb_tag(self, data: Draw) -> None:
        ids, more, fewer = self.any_ids(data), data.draw(st.sets(words)), data.draw(st.sets(words))
        self.both(
            lambda: self.memory.tag(*ids, add=more, remove=fewer),
            lambda _: self.model.change(
                "tag", ids, lambda record: {"tags": tuple(sorted((set(record["tags"]) | more) - fewer))}
            ),
        )

    def verb_merge(self, data: Draw) -> None:
        ids, text = self.any_ids(data, 2), data.draw(st.none() | texts)
        self.both(
            lambda: self.memory.merge(*ids, text=text),
            lambda merged: self.model.merge(ids, text, self.made(merged, "id", "stored_at")),
        )

    def verb_split(self, data: Draw) -> None:
        id = self.any_id(data)
        text = self.model.records.get(id, {"text": "gone"})["text"]
        cut = data.draw(st.integers(1, max(1, len(text) - 1)))
        parts = data.draw(st.lists(texts, max_size=3) | st.just([text[:cut], text[cut:]]))
        if not all(part.strip() for part in parts):
            return  # an empty part is refused: test_verbs
        self.both(
            lambda: self.memory.split(id, parts),
            lambda new: self.model.split(id, parts, [self.made(part, "id", "stored_at") for part in new or ()]),
        )

    def verb_forget(self, data: Draw) -> None:
        ids = self.any_ids(data)
        self.both(lambda: self.memory.forget(*ids), lambda _: self.model.forget(ids))

    def verb_restore(self, data: Draw) -> None:
        ids = self.any_ids(data)
        self.both(lambda: self.memory.restore(*ids), lambda _: self.model.restore(ids))

    def verb_erase(self, data: Draw) -> None:
        ids = self.any_ids(data)
        standing = set(self.model.records)

        def told(gone: list[Record] | None) -> None:
            self.model.erase(ids)
            assert {record.id for record in gone or ()} == standing - set(self.model.records)

        self.both(lambda: self.memory.forget(*ids, hard=True), told)

    def undone(self, real: Callable[[], list[Change]], told: Callable[[], list[str]]) -> None:
        def compare(changes: list[Change] | None) -> None:
            assert sorted(told()) == sorted(change.record_id for change in changes or ())

        self.both(real, compare)

    def verb_undo(self, data: Draw) -> None:
        n, force = data.draw(st.sampled_from([1, 1, 1, 2, 3])), self.forced(data)
        self.undone(lambda: self.memory.undo(n, force=force), lambda: self.model.undo(n, force))

    def verb_undo_step(self, data: Draw) -> None:
        step, force = data.draw(st.integers(1, self.model.head + 1), label="step"), self.forced(data)
        self.undone(lambda: self.memory.undo(step=step, force=force), lambda: self.model.undo_step(step, force))

    def forced(self, data: Draw) -> Sequence[str]:
        return self.any_ids(data) if data.draw(st.sampled_from([False, False, True]), label="force") else []

    def verb_redo(self, data: Draw) -> None:
        n = data.draw(st.integers(1, 2))
        self.undone(lambda: self.memory.redo(n), lambda: self.model.redo(n))

    @property
    def verbs(self) -> dict[str, Callable[[Draw], None]]:
        return {name: getattr(self, name) for name in dir(self) if name.startswith("verb_")}

    def one_verb(self, data: Draw, without: str = "") -> None:
        name = data.draw(st.sampled_from([name for name in self.verbs if name != without]), label="verb")
        self.verbs[name](data)

    # ── the rules ────────────────────────────────────────────────────────────────────────────────────────────────

    @initialize(data=st.data())
    def begin(self, data: Draw) -> None:
        for _ in range(3):
            self.verb_add(data)

    @rule(data=st.data())
    def add(self, data: Draw) -> None:
        self.verb_add(data)

    @rule(data=st.data())
    def any_verb(self, data: Draw) -> None:
        self.one_verb(data, without="verb_erase")

    @rule(data=st.data())
    def undo(self, data: Draw) -> None:
        self.verb_undo(data)

    @precondition(lambda self: self.model.redoable)
    @rule(data=st.data())
    def redo(self, data: Draw) -> None:
        self.verb_redo(data)

    @precondition(lambda self: self.model.head > 15)  # rarely: each rewrites the file
    @rule(data=st.data())
    def erase(self, data: Draw) -> None:
        self.verb_erase(data)

    @rule(data=st.data(), count=st.integers(2, 4))
    def in_one_step(self, data: Draw, count: int) -> None:
        self.model.grouping = True
        with self.memory.step("several at once", actor="tester"):
            for _ in range(count):
                self.one_verb(data)
        self.model.grouping, self.model.group = False, None

    @rule(data=st.data(), count=st.integers(1, 2))
    def rehearsed(self, data: Draw, count: int) -> None:
        for _ in range(count):
            model, seen = copy.deepcopy(self.model), list(self.seen)
            with self.memory.rehearse():
                self.one_verb(data)
            self.model, self.seen = model, seen

    @rule()
    def reopened(self) -> None:
        self.memory.close()
        self.memory = self.opened()

    # ── what must hold after each ────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_records_agree(self) -> None:
        standing = list(self.memory.records(states=ALL))
        assert {record.id: plain(record) for record in standing} == self.model.records
        assert [record.id for record in standing] == sorted(self.model.records, key=self.model.born.__getitem__)
        assert [record.position for record in standing] == [self.model.born[record.id] for record in standing]

    @invariant()
    def the_journal_tells_the_same(self) -> None:
        assert self.memory.verify() == []
        log = self.memory.log(limit=1_000_000)[::-1]
        assert [change.seq for change in log] == list(range(1, self.model.head + 1))
        folded: dict[str, dict[str, Any]] = {}
        for change in log:
            if change.after is None:
                folded.pop(change.record_id, None)
            else:
                folded.setdefault(change.record_id, {}).update(change.after)
        assert {id: plain(Record.from_json(body)) for id, body in folded.items()} == self.model.records
        for step in self.model.steps.values():
            told = [(change.record_id, change.erased, change.undoes) for change in log if change.step == step.number]
            assert sorted(told) == sorted((entry.id, entry.erased, step.undoes) for entry in step.entries)
        for id in {change.record_id for change in log[-2:]}:
            assert self.memory.history(id) == [change for change in log if change.record_id == id]

    @invariant()
    def undo_and_redo_are_foretold(self) -> None:
        before = copy.deepcopy(self.model)
        for real, told in ((self.memory.undo, self.model.undo), (self.memory.redo, self.model.redo)):
            self.undone(lambda real=real: real(dry_run=True), told)  # type: ignore[misc]
            self.model.__dict__.update(copy.deepcopy(before.__dict__))


TestVerbs = pytest.mark.slow(Verbs.TestCase)
TestVerbs.settings = settings(max_examples=60, stateful_step_count=30)
