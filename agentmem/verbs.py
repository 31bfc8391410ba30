"""What each verb means: from records as they stand to the drafts that a ledger journals.

Plain functions over a transaction's reads; nothing here writes, and nothing knows how a ledger keeps its rows. Undo
has a file of its own (`undo.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from agentmem.errors import Conflict, InvalidInput, RecordNotFound
from agentmem.ledger import Draft, Reader
from agentmem.records import Record, RecordFields, Scope, Source, State, checked, patch_between
from agentmem.values import plain_text, whole_number

__all__ = [
    "AGAIN",
    "Erasure",
    "add",
    "again",
    "alter",
    "descendants",
    "edit",
    "fade",
    "forget",
    "merge",
    "pin",
    "plan_erasure",
    "required",
    "restore",
    "split",
    "tag",
]

AGAIN: Final = "again"


def required(reader: Reader, ids: Sequence[str]) -> list[Record]:
    """The records with these ids, each once, or RecordNotFound that names the first one missing."""
    wanted = _named(ids)
    found = reader.get(wanted)
    if len(found) < len(wanted):
        raise _missing(wanted, {record.id for record in found})
    return found


def _named(ids: Sequence[str]) -> list[str]:
    if not ids:
        raise InvalidInput("no id was given")
    return list(dict.fromkeys(plain_text(id, "id") for id in ids))


def _missing(wanted: Sequence[str], here: Collection[str]) -> RecordNotFound:
    missing = next(id for id in wanted if id not in here)
    return RecordNotFound(
        f"no memory {missing!r} in this scope", way_out="`agentmem show` lists them; check the scope."
    )


def add(record: Record, *, fresh: bool) -> Draft:
    return Draft("add", record.id, None, record.to_json(), record, fresh=fresh)


def alter(verb: str, record: Record, **values: Any) -> Draft | None:
    """A draft that sets some fields and counts the revision up; None when nothing would differ."""
    changed = replace(record, **values)
    if changed == record:
        return None
    changed = replace(changed, revision=record.revision + 1)
    before, after = patch_between(record, changed)
    return Draft(verb, record.id, before, after, changed)


def edit(record: Record, revision: int | None, fields: RecordFields) -> Draft | None:
    """Conflict when `revision` is given and is not the current one."""
    values = checked({**fields})
    if revision is not None and whole_number(revision, "revision", 1) != record.revision:
        yours = replace(record, **values, revision=revision + 1)
        raise Conflict(
            f"{record.id} is at revision {record.revision}, not {revision}",
            current=record,
            yours=yours,
            way_out="Look at both versions (history), then edit the current one.",
        )
    if record.state != "live":
        raise InvalidInput(f"{record.id} is {record.state}", way_out="Restore it before you edit it.")
    return alter("edit", record, **values)


def pin(record: Record, pinned: bool) -> Draft | None:
    return alter("pin", record, **checked({"pinned": pinned}))


def tag(record: Record, add: Iterable[str], remove: Iterable[str]) -> Draft | None:
    tags = (set(record.tags) | set(checked({"tags": add})["tags"])) - set(checked({"tags": remove})["tags"])
    return alter("tag", record, tags=tuple(sorted(tags)))


def forget(record: Record) -> Draft | None:
    return alter("forget", record, state="forgotten")


def again(record: Record) -> Draft:
    """A change that leaves the record as it is: what it says was said again, and its cause has the words."""
    return Draft(AGAIN, record.id, {}, {}, record)


def fade(record: Record) -> Draft | None:
    """None for what is pinned, or out of sight already."""
    return None if record.pinned or record.state != "live" else alter("fade", record, state="forgotten")


def restore(record: Record) -> Draft | None:
    if record.state == "replaced":
        by = f" by {', '.join(record.replaced_by)}" if record.replaced_by else ""
        raise InvalidInput(
            f"{record.id} was replaced{by}",
            way_out="Undo that instead: `agentmem history ID` shows its step.",
        )
    # One that was forgotten when it was already out of sight goes back there: what replaced it stands.
    return alter("restore", record, state="replaced" if record.replaced_by else "live")


def _same(records: Sequence[Record], read: Callable[[Record], Any]) -> Any:
    """What all records agree on, else None."""
    values = [read(record) for record in records]
    return values[0] if all(value == values[0] for value in values) else None


def _all_live(records: Sequence[Record]) -> None:
    for record in records:
        if record.state != "live":
            raise InvalidInput(f"{record.id} is {record.state}", way_out="Restore it first.")


def merge(records: Sequence[Record], text: str | None, scope: Scope) -> tuple[Record, list[Draft]]:
    """One record in place of several: the newest `at`, every tag, and whatever they agree on."""
    if len(records) < 2:
        raise InvalidInput("a merge needs two memories or more")
    _all_live(records)
    by_time = sorted(records, key=lambda record: (record.at, record.position))
    meta: dict[str, Any] = {}
    for record in by_time:
        meta.update(record.meta)
    merged = Record.create(
        "\n".join(record.text for record in by_time) if text is None else text,
        scope=scope,
        kind=_same(records, lambda record: record.kind) or by_time[-1].kind,
        session=_same(records, lambda record: record.session),
        at=by_time[-1].at,
        speaker=_same(records, lambda record: record.speaker),
        role=_same(records, lambda record: record.role),
        place=_same(records, lambda record: record.place),
        tags={tag for record in records for tag in record.tags},
        meta=meta,
        sources=[Source(record=record.id, span=(0, len(record.text))) for record in by_time],
        strength=max(record.strength for record in records),
        pinned=any(record.pinned for record in records),
    )
    return merged, _replacing("merge", records, [merged])


def split(record: Record, parts: Sequence[str], scope: Scope) -> tuple[list[Record], list[Draft]]:
    """Several records in place of one. Parts found in the text, in order, get their span; others the whole text's."""
    if isinstance(parts, str) or not isinstance(parts, Sequence) or len(parts) < 2:
        raise InvalidInput("a split needs a list of two parts or more")
    for part in parts:
        plain_text(part, "a part")
    _all_live([record])
    made, start = [], 0
    for part in parts:
        found = record.text.find(part, start)
        span = (found, found + len(part)) if found >= 0 else (0, len(record.text))
        start = span[1] if found >= 0 else start
        made.append(
            Record.create(
                part,
                scope=scope,
                kind=record.kind,
                session=record.session,
                at=record.at,
                speaker=record.speaker,
                role=record.role,
                place=record.place,
                tags=record.tags,
                meta=record.meta,
                sources=[Source(record=record.id, span=span)],
                strength=record.strength,
                pinned=record.pinned,
            )
        )
    return made, _replacing("split", [record], made)


def _replacing(verb: str, old: Sequence[Record], new: Sequence[Record]) -> list[Draft]:
    made = [Draft(verb, record.id, None, record.to_json(), record, fresh=True) for record in new]
    ids = tuple(record.id for record in new)
    replaced = [alter(verb, record, state="replaced", replaced_by=ids) for record in old]
    return made + [draft for draft in replaced if draft is not None]


def _everything(reader: Reader) -> Iterable[Record]:
    after = 0
    while batch := reader.scan(after=after, limit=1000, states=("live", "forgotten", "replaced")):
        yield from batch
        after = batch[-1].position


def _remembered(reader: Reader) -> tuple[dict[str, Record], list[tuple[str, str]]]:
    """What only the journal still holds: records that an undo took away, as they last were; and of others the sources
    that they had once (source, record), whose words may stand in their earlier versions."""
    after, bodies, once = 0, {}, list[tuple[str, str]]()
    while changes := reader.changes(after=after, limit=1000):
        after = changes[-1].seq
        bodies.update({change.record_id: change.before for change in changes if change.after is None and change.before})
        for change in changes:
            listed = change.before.get("sources", ()) if change.before and change.after else ()
            had = [Source.from_json(source) for source in listed]  # type: ignore[union-attr, arg-type]
            once += [(source.record, change.record_id) for source in had if source.record is not None]
    for record in reader.get(list(bodies)):
        del bodies[record.id]
    return {id: Record.from_json(body) for id, body in bodies.items()}, once


class Lineage:
    """Who was made from whom, over one scope as it stands; with `undone`, over what its journal remembers as well."""

    def __init__(self, reader: Reader, *, undone: bool = False) -> None:
        self.records = {r.id: r for r in _everything(reader) if r.sources or r.replaced_by}
        self.undone, once = _remembered(reader) if undone else ({}, [])
        self.children: dict[str, list[str]] = {}
        self.originals: dict[str, list[str]] = {}  # what a merge or split put out of sight, by what replaced it
        for source_id, id in once:
            self.children.setdefault(source_id, []).append(id)
        for record in (*self.records.values(), *self.undone.values()):
            for source in record.sources:
                if source.record is not None:
                    self.children.setdefault(source.record, []).append(record.id)
            for id in record.replaced_by:  # whatever sources somebody gave it since
                self.children.setdefault(record.id, []).append(id)
                self.originals.setdefault(id, []).append(record.id)

    def descendants(self, ids: Iterable[str], *, never: Iterable[str] = ()) -> list[str]:
        """Everything made from these, directly or not, in order of discovery; `never` is not entered."""
        seen = dict.fromkeys(ids)
        barred = set(never)
        queue = list(seen)
        for id in queue:
            for child in self.children.get(id, ()):
                if child not in seen and child not in barred:
                    seen[child] = None
                    queue.append(child)
        return queue[len(dict.fromkeys(ids)) :]


def descendants(reader: Reader, ids: Sequence[str]) -> list[Record]:
    """The records made from these, directly or not."""
    required(reader, ids)
    return reader.get(Lineage(reader).descendants(ids))


class Erasure:
    """What erasing some records for good takes with it.

    `ids`: the named ones; the hidden originals of a merge or split among them, which hold the same words; and all that
    was made from either, except the other parts of a split. What an undo took away counts: the journal still holds its
    words, and it may be named too. `freed`: drafts for originals that stay and were hidden
    only by something that goes: they come back live, so that nothing vanishes unnamed.
    """

    def __init__(self, ids: list[str], freed: list[Draft]) -> None:
        self.ids = ids
        self.freed = freed


def plan_erasure(reader: Reader, named: Sequence[str]) -> Erasure:
    wanted = _named(named)
    lineage = Lineage(reader, undone=True)

    def known(ids: Sequence[str]) -> set[str]:
        return {record.id for record in reader.get(ids)} | lineage.undone.keys()

    here = known(wanted)
    if not here.issuperset(wanted):
        raise _missing(wanted, here)
    queue, seen = list(wanted), set(wanted)
    for id in queue:
        for original in lineage.originals.get(id, ()):
            if original not in seen:
                seen.add(original)
                queue.append(original)
    held = lineage.records | lineage.undone
    # An original that was named takes all of its parts along; one that hides behind a part takes that part alone.
    siblings = {id for original in queue[len(wanted) :] for id in held[original].replaced_by} - seen
    ids = queue + lineage.descendants(queue, never=siblings)
    going = known(ids) & set(ids)
    ids = [id for id in ids if id in going]  # what replaced a record may itself be erased by now
    freed = []
    for record in lineage.records.values():
        if record.id not in going and going & set(record.replaced_by):
            left = tuple(id for id in record.replaced_by if id not in going)
            state: State = "live" if record.state == "replaced" and not left else record.state
            draft = alter("restore", record, state=state, replaced_by=left)
            if draft is not None:
                freed.append(draft)
    return Erasure(ids, freed)
