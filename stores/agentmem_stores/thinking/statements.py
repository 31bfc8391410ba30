"""What a thought says, (head, relation, tails), and how a record holds it: in its `meta`, beside the sentence.

It knows single records. What holds now, among all that was said, is decided in `validity.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from agentmem.errors import InvalidInput
from agentmem.records import Record
from agentmem.values import Json, many, moment, plain_text
from agentmem_stores.thinking.by_rule import extract

__all__ = [
    "FUNCTIONAL",
    "JUDGED",
    "KIND",
    "MERGED",
    "MOST",
    "SUPERSEDED",
    "UNJUDGED",
    "UNSOURCED",
    "UPDATE",
    "Statement",
    "confirmed",
    "digest",
    "is_functional",
    "is_union",
    "key",
    "merged_id",
    "put_aside",
    "sentence",
    "statement_of",
    "votes",
    "without",
]

KIND: Final = "thought"
MOST: Final = 64  # thoughts that a merge makes one: a longer list is no sentence. The next 64 make another.
MERGED: Final = "merged-"  # how the id begins of what a merge made; the rest is a digest of what it says
SUPERSEDED: Final = "superseded_by"  # in `meta` of what was put aside: the id of what ended it
JUDGED: Final = "judged"  # in `meta`, by id: what a model said of this beside another statement of the same head
UPDATE: Final = "update"  # of what it may say, the one by which the later ends the earlier
UNJUDGED: Final = "unjudged"  # in `meta` of what is still to be put beside others
UNSOURCED: Final = "unsourced"  # in `meta` of what is in the trash because its source no longer says so

# Relations that have one tail at a time: what is told later takes the place of what was told before. `*` is any ending.
FUNCTIONAL: Final = frozenset(
    {
        *("lives in", "works as", "works at", "is aged", "status", "name", "is called", "is married to", "is from"),
        *("was born in", "was born on", "favourite *"),
    }
)
_NOUNS: Final = frozenset({"name", "status", "age", "job", "birthday", "address"})  # "Ana's name is", not "Ana name"
_BASE: Final = {"has": "have", "studies": "study", "teaches": "teach"}
_THIRD_PERSON: Final = re.compile("[a-z]{3,}s")
_LONGEST: Final = 100_000  # characters of a sentence that is held against its `meta`
_MOST_TAILS: Final = 32  # of one thought; a merge has those of 64
_LONGEST_NAME: Final = 500  # characters of a head, a relation or a tail: then a merge fits into a record


class Statement(NamedTuple):
    """`negated`: it does not hold, or no longer."""

    head: str
    relation: str
    tails: tuple[str, ...]
    negated: bool = False

    @classmethod
    def of(
        cls, head: str, relation: str, tail: str | Iterable[str], negated: bool = False, *, most: int = _MOST_TAILS
    ) -> Statement:
        """A statement checked; InvalidInput for a blank or endless head, relation or tail, and for no or too many."""
        tails = [tail] if isinstance(tail, str) else list(many(tail, "tail"))
        if not 0 < len(tails) <= most:
            raise InvalidInput(f"a thought has 1 to {most} tails, not {len(tails):,}", way_out="Note several thoughts.")
        said = [_said(head, "head"), _said(relation, "relation"), *(_said(one, "tail") for one in tails)]
        by_key = {key(one): one for one in reversed(said[2:])}
        return cls(said[0], said[1], tuple(reversed(by_key.values())), negated)

    def meta(self) -> dict[str, Json]:
        """As a record's `meta` holds it."""
        tail: Json = self.tails[0] if len(self.tails) == 1 else list(self.tails)
        said: dict[str, Json] = {"head": self.head, "relation": self.relation, "tail": tail}
        return said | {"negated": True} if self.negated else said


def _said(value: object, name: str) -> str:
    text = " ".join(plain_text(value, name).split())
    if not text:
        raise InvalidInput(
            f"a thought without a {name}", way_out="Give head, relation and tail: 'Ana', 'lives in', 'Rome'."
        )
    if len(text) > _LONGEST_NAME:
        raise InvalidInput(
            f"a thought's {name} has {len(text):,} characters, and {_LONGEST_NAME} are the most",
            way_out="Keep the words as a memory of their own, and note a thought that names them.",
        )
    return text


def key(text: str) -> str:
    """What two spellings of one head, relation or tail have in common: white space and case do not count."""
    return " ".join(text.split()).casefold()


def digest(*texts: str) -> int:
    """A signed 64-bit number for these texts, the same in every process. It ranks nothing, and two texts may share it:
    what is found by it is read and held against the words."""
    said = "\x1f".join(texts).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little", signed=True)


def is_functional(relation: str, functional: Collection[str]) -> bool:
    named = key(relation)
    return named in functional or any(
        one.endswith("*") and named.startswith(one[:-1]) and len(named) >= len(one) for one in functional
    )


def sentence(statement: Statement) -> str:
    """The statement as an English sentence without its full stop; one whose relation is no English verb in the present
    as its words in their order, after "not:" if it is denied."""
    head, relation, tails, negated = statement
    tail = tails[0] if len(tails) == 1 else f"{', '.join(tails[:-1])} and {tails[-1]}"
    if key(relation) in _NOUNS or key(relation).startswith("favourite "):
        return f"{head}'s {relation} {'is not' if negated else 'is'} {tail}"
    if not negated:
        return f"{head} {relation} {tail}"
    verb, *rest = relation.split()
    if verb in ("is", "was", "are", "were", "can"):
        return " ".join([head, verb, "not", *rest, tail])
    if verb not in _BASE and not _THIRD_PERSON.fullmatch(verb):
        return f"not: {head} {relation} {tail}"
    base = _BASE.get(verb, verb.removesuffix("s"))
    return " ".join([head, "does not", base, *rest, tail])


def merged_id(text: str, meta: Mapping[str, Any]) -> str:
    """The id of a merge that says this: edited by a person it says something else, and is theirs from then on."""
    said = json.dumps([meta.get("head"), meta.get("relation"), meta.get("tail"), text], ensure_ascii=False)
    return MERGED + hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def is_union(record: Record) -> bool:
    """Whether a merge made it, and nobody has edited it since."""
    return record.id.startswith(MERGED) and record.id == merged_id(record.text, record.meta)


def statement_of(record: Record) -> Statement | None:
    """What the record says; None where its words alone are known.

    A `meta` whose tails the sentence does not hold (a person has edited it, or a stranger made it up) does not count:
    then the sentence is read by the rules, if it says just one thing.
    """
    meta: Mapping[str, Any] = record.meta
    union = is_union(record)
    if len(record.text) > _LONGEST and not union:
        return None
    most = _MOST_TAILS * (MOST if union else 1)
    try:
        said = Statement.of(meta["head"], meta["relation"], meta["tail"], meta.get("negated") is True, most=most)
    except (KeyError, InvalidInput):
        said = None
    if said is not None:
        text = key(record.text)
        if union or all(key(tail) in text for tail in said.tails):
            return said
    facts = extract(record.text)
    if len(facts) != 1:
        return None
    [fact] = facts
    return Statement(fact.head, fact.relation, (fact.tail,), fact.negated)


def confirmed(record: Record) -> datetime:
    """When it was last said: `at`, or what `meta` says of a later source."""
    said = record.meta.get("confirmed")
    try:
        return max(record.at, moment(said)) if isinstance(said, str) else record.at
    except InvalidInput:
        return record.at


def put_aside(record: Record) -> bool:
    """Whether it was merged or superseded here, and not replaced by a person."""
    merged = bool(record.replaced_by) and record.replaced_by[0].startswith(MERGED)
    return record.state == "replaced" and (merged or (not record.replaced_by and SUPERSEDED in record.meta))


def votes(record: Record) -> dict[str, str]:
    """What a model said of it beside others, by their ids."""
    said = record.meta.get(JUDGED)
    if not isinstance(said, Mapping):
        return {}
    return {str(id): vote for id, vote in said.items() if isinstance(vote, str)}


def without(meta: Mapping[str, Json], names: Sequence[str]) -> dict[str, Json]:
    return {name: value for name, value in meta.items() if name not in names}
