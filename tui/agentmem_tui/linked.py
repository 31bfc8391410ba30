"""What hangs together: of one name or one memory, what leads to it and where it leads; and the ways between two.

Asked of `thoughts` (what is true of whom, now and before) and of `links` (what stands in one memory together). It is
read one step at a time, so that it costs what one name has, whatever the size of the memory. Knows no screen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, cast

from agentmem.cues import Cue
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.memory import Memory
from agentmem.records import Record
from agentmem_stores.links import Link, LinkGraph
from agentmem_stores.naming import key
from agentmem_stores.thinking.statements import statement_of
from agentmem_stores.thoughts import Thought, ThoughtMemory

__all__ = ["Around", "Centre", "Said", "Step", "Tie", "around", "candidates", "first", "path"]

_TOGETHER: Final = 20  # names, or memories, that go together with one
_MENTIONS: Final = 20  # memories that name it, where no thought is about it
_HEADS: Final = 1_000  # names among which words are looked for
_FOUND: Final = 20
_LOOKED_AT: Final = 400  # names that are gone through on the way from one to another: 2 s


@dataclass(frozen=True)
class Centre:
    """A name, or with `id` a memory, of which `words` is the text. It is the same whatever its case and accents."""

    words: str
    id: str = ""

    @property
    def key(self) -> str:
        return f"id {self.id}" if self.id else f"name {key(self.words)}"

    @classmethod
    def of(cls, record: Record) -> Centre:
        return cls(record.text, record.id)


class Tie(NamedTuple):
    """A link to something: of which type, how strong, from 0 to 1, where that is known; and since when it holds no
    longer, if so."""

    to: Centre
    type: str
    weight: float | None = None
    ended: datetime | None = None
    denied: bool = False


class Said(NamedTuple):
    """A memory that says something of it, and since when that holds no longer, if so."""

    record: Record
    ended: datetime | None = None


class Around(NamedTuple):
    """A centre, what is said of it, what leads to it (`before`), where it leads (`after`), and what goes together with
    it for no other reason than that both stand in one memory, or helped together."""

    centre: Centre
    said: list[Said]
    before: list[Tie]
    after: list[Tie]
    together: list[Tie]

    @property
    def known(self) -> bool:
        return bool(self.said or self.before or self.after or self.together)


class Step(NamedTuple):
    """A step of a path, and whether it was gone along the link or against it."""

    tie: Tie
    along: bool


def _thoughts(memory: Memory) -> ThoughtMemory:
    return cast(ThoughtMemory, memory.stores["thoughts"])


def _links(memory: Memory) -> LinkGraph:
    return cast(LinkGraph, memory.stores["links"])


# ── one step ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def first(memory: Memory) -> Centre | None:
    """Of whom most is known; None when nothing is known of anybody."""
    heads = _thoughts(memory).heads(1)
    if heads:
        return Centre(heads[0][0])
    names = cast(list[dict[str, str]], _links(memory).inspect()["names"])
    return Centre(names[0]["name"]) if names else None


def around(memory: Memory, centre: Centre) -> Around:
    """RecordNotFound for a memory that is gone; of a name that is not known, nothing."""
    return _around_memory(memory, centre.id) if centre.id else _around_name(memory, centre.words)


def _around_name(memory: Memory, name: str) -> Around:
    thoughts = _thoughts(memory)
    told = thoughts.history(name)
    said = [Said(one.record, one.until) for one in told]
    said.sort(key=lambda one: one.ended is not None)
    if not said:
        said = [Said(record) for record in _links(memory).mentions(name, _MENTIONS)]
    before = [_tie(Centre(one.head), one) for one in thoughts.naming(name)]
    after = [_tie(Centre(tail), one) for one in told for tail in one.tails]
    return Around(Centre(name), said, _each(before), _each(after), _together(memory, name))


def _around_memory(memory: Memory, id: str) -> Around:
    record = memory.get(id)
    before = [Tie(Centre.of(one), "made from") for one in _sources(memory, record)]
    after: list[Tie] = []
    ended = None
    statement = statement_of(record) if record.kind == "thought" else None
    if statement is not None:
        after.append(Tie(Centre(statement.head), "is about"))
        after += [Tie(Centre(tail), statement.relation, denied=statement.negated) for tail in statement.tails]
        for one in _thoughts(memory).history(statement.head, statement.relation):
            if one.record.id == id and one.until is not None:
                ended = one.until
                with suppress(RecordNotFound):
                    after.append(Tie(Centre.of(memory.get(one.superseded_by or "")), "replaced by", None, None))
            elif one.superseded_by == id:
                before.append(Tie(Centre.of(one.record), "replaces", None, one.until))
    else:
        with suppress(RecordNotFound):  # one that is not live names nothing
            after += [Tie(Centre(name), "names") for name in _links(memory).entities(id)]
        after += [Tie(Centre.of(one), f"made into a {one.kind}") for one in memory.descendants(id)[:_TOGETHER]]
    return Around(Centre.of(record), [Said(record, ended)], before, after, _together(memory, id))


def _sources(memory: Memory, record: Record) -> Iterator[Record]:
    for source in record.sources:
        if source.record is not None:
            with suppress(RecordNotFound):  # it was erased
                yield memory.get(source.record)


def _tie(to: Centre, thought: Thought) -> Tie:
    return Tie(to, thought.relation, thought.record.strength, thought.until, thought.negated)


def _each(ties: list[Tie]) -> list[Tie]:
    """Each link once, as it was told last; those that hold come first."""
    found: dict[tuple[str, str, bool], Tie] = {}
    for tie in ties:
        which = (tie.to.key, key(tie.type), tie.denied)
        if tie.ended is None or which not in found or found[which].ended is not None:
            found[which] = tie
    return sorted(found.values(), key=lambda tie: tie.ended is not None)


def _together(memory: Memory, what: str) -> list[Tie]:
    try:
        linked: list[Link] = _links(memory).neighbours(what, _TOGETHER)
    except (RecordNotFound, InvalidInput):  # it stands in no live memory
        return []
    return [
        Tie(Centre(one.to) if isinstance(one.to, str) else Centre.of(one.to), one.why, one.weight) for one in linked
    ]


# ── by words, and from one to another ────────────────────────────────────────────────────────────────────────────────


def candidates(memory: Memory, words: str) -> list[Centre]:
    """Names that the words stand in, those of whom most is known first; the words themselves if they are a name; then
    thoughts that are like them."""
    thoughts, wanted = _thoughts(memory), key(words)
    names = [name for name, _ in thoughts.heads(_HEADS)]
    if not wanted:
        return [Centre(name) for name in names[:_FOUND]]
    alike = [hit.record for hit in thoughts.recall(Cue(words), _FOUND)]
    for said in filter(None, map(statement_of, alike)):
        names += [said.head, *said.tails]
    found = [Centre(name) for name in names if wanted in key(name)][:_FOUND]
    if _around_name(memory, words).known:
        found.append(Centre(words.strip()))
    found += [Centre.of(record) for record in alike]
    return list({one.key: one for one in reversed(found)}.values())[::-1]


def path(memory: Memory, start: Centre, end: Centre) -> list[Step] | None:
    """The fewest steps from one to the other by links that hold, whichever way they point, of like ones those that say
    more than that both go together; None where there is no way within the 400 that are nearest. RecordNotFound when
    nothing is known of one of them."""
    for one in (start, end):
        if not around(memory, one).known:
            raise RecordNotFound(f"nothing is known of {one.words!r:.80}", way_out="/ looks for names by words.")
    came: dict[str, tuple[str, Step] | None] = {start.key: None}
    waiting = deque([start])
    for _ in range(_LOOKED_AT):
        if not waiting or end.key in came:
            break
        here = waiting.popleft()
        found = around(memory, here)
        along = [Step(tie, True) for tie in found.after]
        for step in (*along, *(Step(tie, False) for tie in found.before), *(Step(tie, True) for tie in found.together)):
            if step.tie.ended is None and not step.tie.denied and step.tie.to.key not in came:
                came[step.tie.to.key] = here.key, step
                waiting.append(step.tie.to)
    if end.key not in came:
        return None
    back: list[Step] = []
    at = came[end.key]
    while at is not None:
        back.append(at[1])
        at = came[at[0]]
    return back[::-1]
