"""Undo and redo over the journal: which step comes next, and the drafts that take it back.

There is no undo stack to lose: the journal alone says what stands. A step is undone while an undo step that names it
stands; an undo step no longer stands once a redo step names it. Redoing is undoing an undo.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from agentmem.errors import Conflict, InvalidInput, UndoBlocked
from agentmem.ledger import Draft, Reader
from agentmem.records import Change, Record, patch_between
from agentmem.values import whole_number

__all__ = ["next_redo", "next_undo", "resolve", "standing_since", "stands", "take_back", "undone"]

_ERASED = "was erased for good"


def _steps(reader: Reader) -> Iterator[Change]:
    """The first change of every step, newest step first, read in growing helpings: most undos need the first."""
    before, helping = None, 1
    while found := reader.steps(before=before, limit=helping):
        yield from found
        before, helping = found[-1].step, min(2 * helping, 256)


def _standing(reader: Reader) -> Iterator[tuple[Change, bool]]:
    """Each step, newest first, with whether it stands."""
    taken_back: set[int] = set()
    for change in _steps(reader):
        stands = change.step not in taken_back
        if stands and change.undoes is not None:
            taken_back.add(change.undoes)
        yield change, stands


def stands(reader: Reader, step: int) -> bool:
    """Whether a step was written and is not taken back."""
    return next((stands for change, stands in _standing(reader) if change.step == step), False)


def undone(reader: Reader) -> set[int]:
    """The steps that are taken back."""
    return {change.step for change, stands in _standing(reader) if not stands}


def standing_since(reader: Reader, step: int) -> int:
    """How many steps from this one on can be undone."""
    count = 0
    for change, stands in _standing(reader):
        if change.step < step:
            break
        count += stands and change.undoes is None
    return count


def next_undo(reader: Reader) -> int | None:
    """The newest step that stands and is itself no undo or redo."""
    for change, stands in _standing(reader):
        if change.undoes is None and stands:
            return change.step
    return None


def next_redo(reader: Reader) -> int | None:
    """The newest standing undo step, unless something new was done since: then there is nothing to redo."""
    for change, stands in _standing(reader):
        if not stands or change.verb == "redo":
            continue
        return change.step if change.verb == "undo" else None
    return None


def resolve(reader: Reader, step: int) -> tuple[str, int]:
    """(verb, step to take back) for a step that a person names.

    Undoing an undo is a redo of it; undoing a redo undoes the original step again. Conflict when it is already undone.
    """
    whole_number(step, "step", 1)
    target = step
    for change, stands in _standing(reader):
        if change.step == target:
            if not stands:
                raise Conflict(f"step {step} is already taken back", way_out="`agentmem log` shows what stands.")
            if change.verb != "redo":
                return ("redo" if change.verb == "undo" else "undo"), target
            assert change.undoes is not None
            undone = reader.changes(step=change.undoes, limit=1)[0]
            assert undone.undoes is not None
            target = undone.undoes  # which is older, and may have been taken back again since
        elif change.step < target:
            break
    raise InvalidInput(f"there is no step {step} in this scope", way_out="`agentmem log` lists the steps.")


def take_back(reader: Reader, step: int, verb: str, force: Collection[str] = ()) -> list[Draft]:
    """The drafts that take a step back, last change first.

    Raises UndoBlocked, naming every record in the way, when a later change touched what the step set. Records in
    `force` are set back all the same, as far as their journal still tells.
    """
    changes = reader.changes(step=step, newest_first=True)
    ids = list(dict.fromkeys(change.record_id for change in changes))
    current: dict[str, Record] = {record.id: record for record in reader.get(ids)}
    drafts: list[Draft] = []
    blocked: dict[str, str] = {}
    for change in changes:
        id = change.record_id
        if id in blocked:
            continue
        standing = current.get(id)
        if change.erased:
            if id not in force:
                blocked[id] = _ERASED
            continue
        if not _untouched(change, standing) and id not in force:
            blocked[id] = _what_happened(reader, change)
            continue
        draft = _reverse(change, standing, verb)
        if draft is not None:
            drafts.append(draft)
            if draft.record is None:
                current.pop(id, None)
            else:
                current[id] = draft.record
    if blocked:
        id, reason = next(iter(blocked.items()))
        others = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
        raise UndoBlocked(
            f"step {step} cannot be taken back: {id} {reason}{others}",
            blocked=list(blocked),
            way_out="Earlier steps can still be undone by their numbers: `agentmem log`."
            if _ERASED in blocked.values()
            else "Undo the later step first, or force these records by their ids.",
        )
    return drafts


def _untouched(change: Change, standing: Record | None) -> bool:
    """True when what the change set is still what stands, revisions aside."""
    if change.after is None:
        return standing is None
    if standing is None:
        return False
    after = {name: value for name, value in change.after.items() if name != "revision"}
    if change.before is None:
        born = replace(Record.from_json(change.after), revision=standing.revision)
        return born == standing
    return standing.patched(after) == standing


def _reverse(change: Change, standing: Record | None, verb: str) -> Draft | None:
    id = change.record_id
    if change.before is None:  # it came into being: it ceases to be
        return None if standing is None else Draft(verb, id, standing.to_json(), None, None)
    if change.after is None and standing is None:  # it ceased to be: it comes back
        gone = Record.from_json(change.before)
        back = replace(gone, revision=gone.revision + 1)
        return Draft(verb, id, None, back.to_json(), back)
    if standing is None:  # forced, but there is nothing left to set back
        return None
    if change.after is None:  # forced over another record that bears the id by now
        gone = Record.from_json(change.before)
        back = replace(gone, revision=standing.revision, position=standing.position, extra=standing.extra)
    else:
        back = standing.patched({name: value for name, value in change.before.items() if name != "revision"})
    if not change.before and not change.after:  # feedback: that it is taken back is all there is to say
        return Draft(verb, id, {}, {}, standing)
    if back == standing:
        return None
    back = replace(back, revision=standing.revision + 1)
    was, becomes = patch_between(standing, back)
    return Draft(verb, id, was, becomes, back)


def _what_happened(reader: Reader, change: Change) -> str:
    later = reader.changes(after=change.seq, record_id=change.record_id, newest_first=True, limit=1)
    if not later:
        return "is not as the step left it"
    return f"was changed since by {later[0].actor} ({later[0].verb}, step {later[0].step})"
