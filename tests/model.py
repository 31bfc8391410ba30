"""What the verbs mean, told a second time in plain Python: dictionaries of records, and a list of steps.

Written from the descriptions of the verbs and not from their code. It keeps whole snapshots where the ledger keeps
patches, and two stacks where the ledger reads its journal, so that the two can only agree by being right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agentmem.errors import AgentMemError, Conflict, InvalidInput, RecordNotFound, UndoBlocked
from agentmem.records import Record

Fields: TypeAlias = dict[str, Any]
Set: TypeAlias = tuple[str, Fields | None]  # a record, and what it is from now on

DEFAULTS: Fields = {
    "kind": "turn",
    "session": None,
    "speaker": None,
    "role": None,
    "place": None,
    "sources": (),
    "strength": 1.0,
    "pinned": False,
    "tags": (),
    "meta": {},
    "revision": 1,
    "state": "live",
    "replaced_by": (),
}


def plain(record: Record) -> Fields:
    """A record as the model keeps it."""
    place = None if record.place is None else record.place.id
    sources = tuple((source.record, source.file, source.span) for source in record.sources)
    names = ("id", "text", "at", "stored_at", *DEFAULTS)
    return {name: getattr(record, name) for name in names} | {"place": place, "sources": sources}


class Refused(Exception):
    def __init__(self, kind: type[AgentMemError], blocked: Iterable[str] = ()) -> None:
        super().__init__(kind.__name__)
        self.kind = kind
        self.blocked = set(blocked)


@dataclass
class Entry:
    id: str
    before: Fields | None
    after: Fields | None
    erased: bool = False


@dataclass
class Step:
    number: int
    entries: list[Entry]
    undoes: int | None = None
    verb: str = ""


@dataclass
class Model:
    """One scope. Every verb either raises Refused and changes nothing, or changes it as the verb should."""

    records: dict[str, Fields] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)  # steps that stand and are no undo or redo
    redoable: list[int] = field(default_factory=list)  # undo steps since something new was done
    undone_by: dict[int, int] = field(default_factory=dict)  # step → the undo step that holds it down
    born: dict[str, int] = field(default_factory=dict)  # id → its place in the order of writing, for good
    head: int = 0
    grouping: bool = False
    group: int | None = None

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All that happens inside, or nothing."""
        before = copy.deepcopy(self.__dict__)
        try:
            yield
        except Refused:
            self.__dict__.update(before)
            raise

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, verb: str, sets: Sequence[Set], undoes: int | None = None) -> Step | None:
        if not sets:
            return None
        joins = undoes is None and self.grouping and self.group is not None
        number = self.group if joins and self.group is not None else self.head + 1
        step = self.steps.setdefault(number, Step(number, [], undoes, verb))
        for id, after in sets:
            self.head += 1
            self.born.setdefault(id, self.head)
            step.entries.append(Entry(id, copy.deepcopy(self.records.get(id)), copy.deepcopy(after)))
            if after is None:
                self.records.pop(id, None)
            else:
                self.records[id] = copy.deepcopy(after)
        if undoes is not None:
            self.group = None
        elif not joins:
            self.done.append(number)
            self.redoable.clear()
            self.group = number if self.grouping else None
        return step

    def named(self, ids: Sequence[str]) -> list[Fields]:
        if not ids:
            raise Refused(InvalidInput)
        if any(id not in self.records for id in ids):
            raise Refused(RecordNotFound)
        return [self.records[id] for id in dict.fromkeys(ids)]

    def change(self, verb: str, ids: Sequence[str], alter: Callable[[Fields], Fields]) -> None:
        sets: list[Set] = []
        for record in self.named(ids):
            altered = record | alter(record)
            if altered != record:
                sets.append((record["id"], altered | {"revision": record["revision"] + 1}))
        self.write(verb, sets)

    def add(self, items: Sequence[Fields], existing: str = "refuse") -> list[str]:
        new: dict[str, Fields] = {}
        for item in items:
            if item["id"] not in self.records and item["id"] not in new:
                new[item["id"]] = DEFAULTS | item
            elif existing == "refuse":
                raise Refused(Conflict)
        self.write("add", list(new.items()))
        return list(new)

    def edit(self, id: str, revision: int | None, fields: Fields) -> None:
        [record] = self.named([id])
        if revision is not None and revision != record["revision"]:
            raise Refused(Conflict)
        if record["state"] != "live":
            raise Refused(InvalidInput)
        self.change("edit", [id], lambda record: fields)

    def forget(self, ids: Sequence[str]) -> None:
        self.change("forget", ids, lambda record: {"state": "forgotten"})

    def restore(self, ids: Sequence[str]) -> None:
        if any(record["state"] == "replaced" for record in self.named(ids)):
            raise Refused(InvalidInput)
        self.change("restore", ids, lambda record: {"state": "replaced" if record["replaced_by"] else "live"})

    def replace(self, verb: str, old: Sequence[Fields], new: Sequence[Fields]) -> None:
        sets: list[Set] = [(made["id"], DEFAULTS | made) for made in new]
        ids = tuple(made["id"] for made in new)
        for record in old:
            gone = {"state": "replaced", "replaced_by": ids, "revision": record["revision"] + 1}
            sets.append((record["id"], record | gone))
        self.write(verb, sets)

    def merge(self, ids: Sequence[str], text: str | None, made: Fields) -> None:
        """`made`: the id and `stored_at` that the new record got."""
        records = self.named(ids)
        if len(records) < 2 or any(record["state"] != "live" for record in records):
            raise Refused(InvalidInput)
        records.sort(key=lambda record: (record["at"], self.born[record["id"]]))
        agreed = {
            name: records[0][name] if all(record[name] == records[0][name] for record in records) else None
            for name in ("kind", "session", "speaker", "role", "place")
        }
        agreed["kind"] = agreed["kind"] or records[-1]["kind"]
        meta: Fields = {}
        for record in records:
            meta |= record["meta"]
        joined = "\n".join(record["text"] for record in records)
        merged = agreed | {
            "text": joined if text is None else text,
            "at": records[-1]["at"],
            "tags": tuple(sorted({tag for record in records for tag in record["tags"]})),
            "meta": meta,
            "sources": tuple((record["id"], None, (0, len(record["text"]))) for record in records),
            "strength": max(record["strength"] for record in records),
            "pinned": any(record["pinned"] for record in records),
        }
        self.replace("merge", records, [merged | made])

    def split(self, id: str, parts: Sequence[str], made: Sequence[Fields]) -> None:
        [record] = self.named([id])
        if len(parts) < 2 or record["state"] != "live":
            raise Refused(InvalidInput)
        assert len(made) == len(parts)
        new, start = [], 0
        for part, given in zip(parts, made, strict=True):
            found = record["text"].find(part, start)
            span = (0, len(record["text"])) if found < 0 else (found, found + len(part))
            start = start if found < 0 else span[1]
            fresh = {"text": part, "sources": ((id, None, span),), "revision": 1}
            new.append(record | fresh | given)
        self.replace("split", [record], new)

    def erase(self, ids: Sequence[str]) -> None:
        going, freed = self.erasure(ids)
        sets: list[Set] = [(id, None) for id in going]
        step = self.write("erase", [*freed, *sets])
        assert step is not None
        for entry in (entry for step in self.steps.values() for entry in step.entries if entry.id in going):
            entry.before, entry.after, entry.erased = None, None, True

    def erasure(self, ids: Sequence[str]) -> tuple[list[str], list[Set]]:
        """All that goes with these, and what comes back because nothing hides it any more."""
        ghosts: dict[str, Fields] = {}
        for step in sorted(self.steps.values(), key=lambda step: step.number):
            ghosts.update({e.id: e.before for e in step.entries if e.after is None and e.before and not e.erased})
        held = ghosts | self.records
        if any(id not in held for id in ids):
            raise Refused(RecordNotFound)
        named = set(ids)
        while more := {id for id, record in held.items() if named & set(record["replaced_by"])} - named:
            named |= more
        barred = {part for id in named - set(ids) for part in held[id]["replaced_by"]} - named
        going = set(named)
        while (
            more := (
                {id for id, record in held.items() if going & {source[0] for source in record["sources"]}}
                | {new for id in going for new in held[id]["replaced_by"] if new in held}
            )
            - going
            - barred
        ):
            going |= more
        freed: list[Set] = []
        for id, record in sorted(self.records.items(), key=lambda item: self.born[item[0]]):
            left = tuple(new for new in record["replaced_by"] if new not in going)
            if id not in going and left != record["replaced_by"]:
                state = "live" if record["state"] == "replaced" and not left else record["state"]
                back = {"state": state, "replaced_by": left, "revision": record["revision"] + 1}
                freed.append((id, record | back))
        return sorted(going), freed

    # ── undo and redo ────────────────────────────────────────────────────────────────────────────────────────────

    def undo(self, n: int = 1, force: Iterable[str] = ()) -> list[str]:
        """The ids of the records it touched, once for each change."""
        touched: list[str] = []
        for _ in range(n if self.done else 0):
            touched += self.take_back(self.done[-1], "undo", set(force)) if self.done else []
        return touched

    def redo(self, n: int = 1) -> list[str]:
        touched: list[str] = []
        for _ in range(n):
            touched += self.take_back(self.redoable[-1], "redo", set()) if self.redoable else []
        return touched

    def undo_step(self, number: int, force: Iterable[str] = ()) -> list[str]:
        step = self.steps.get(number)
        if step is None:
            raise Refused(InvalidInput)
        if step.verb == "redo":  # undoing a redo undoes the step it brought back
            assert step.undoes is not None
            step = self.steps[self.steps[step.undoes].undoes or 0]
        if step.verb == "undo":
            assert step.undoes is not None
            if self.undone_by.get(step.undoes) != step.number:
                raise Refused(Conflict)
            return self.take_back(step.number, "redo", set(force))
        if step.number not in self.done:
            raise Refused(Conflict)
        return self.take_back(step.number, "undo", set(force))

    def take_back(self, number: int, verb: str, force: set[str]) -> list[str]:
        now = {entry.id: copy.deepcopy(self.records.get(entry.id)) for entry in self.steps[number].entries}
        blocked: set[str] = set()
        sets: list[Set] = []
        for entry in reversed(self.steps[number].entries):
            id, standing = entry.id, now[entry.id]
            if id in blocked:
                continue
            if entry.erased or not _stands(entry, standing):
                if id not in force:
                    blocked.add(id)
                    continue
                if entry.erased:
                    continue
            back = _back(entry, standing)
            if back != standing:
                now[id] = back
                sets.append((id, back))
        if blocked:
            raise Refused(UndoBlocked, blocked)
        made = self.write(verb, sets, undoes=number)
        if made is not None and verb == "undo":
            self.done.remove(number)
            self.undone_by[number] = made.number
            self.redoable.append(made.number)
        elif made is not None:
            original = self.steps[number].undoes
            assert original is not None
            del self.undone_by[original]
            self.done = sorted([*self.done, original])
            if number in self.redoable:
                self.redoable.remove(number)
        return [id for id, _ in sets]


def _differing(entry: Entry) -> Iterable[str]:
    """The fields that a change set, its revision aside."""
    before, after = entry.before or {}, entry.after or {}
    return [name for name in after if name != "revision" and before.get(name, ...) != after[name]]


def _stands(entry: Entry, standing: Fields | None) -> bool:
    if entry.after is None or standing is None:
        return entry.after is None and standing is None
    return all(standing[name] == entry.after[name] for name in _differing(entry))


def _back(entry: Entry, standing: Fields | None) -> Fields | None:
    if entry.before is None:
        return None
    if standing is None:
        return None if entry.after is not None else entry.before | {"revision": entry.before["revision"] + 1}
    names = entry.before if entry.after is None else _differing(entry)
    back = standing | {name: entry.before[name] for name in names if name != "revision"}
    return standing if back == standing else back | {"revision": standing["revision"] + 1}
