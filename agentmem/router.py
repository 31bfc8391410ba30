"""Which stores a question is put to, which a memory concerns, what each store's word counts for, and which language
model is asked in which role.

Rules come first, from what the cue was understood to say; a gate that has learned from feedback moves them. A store
that neither concerns is not asked, and not even opened. The recall engine itself is always asked. It knows the inside
of no store and of no model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple, cast

from agentmem.cues import Cue
from agentmem.gate import SURE, Choice, Gate, traits
from agentmem.jobs import calls_of
from agentmem.ledger import ScopedLedger
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.pool import ModelPool
from agentmem.models.settings import EMBED
from agentmem.recall.hearing import Fault, Said, Voice
from agentmem.recall.signal import Question
from agentmem.recall.signals.repeated import Repeated, once
from agentmem.recall.stores import Stores
from agentmem.recall.text import WORD
from agentmem.recall.weights import Weights
from agentmem.records import Record
from agentmem.store import Dating, Gating, Repeating

_LONGEST: Final = 2_000  # characters of a cue that are looked at
_TORN: Final = 4  # words of a fragment at least: fewer are a search for words, and words are always looked for
_RELATION: Final = re.compile(r"['’]s \w+|\bof (?:the|my|our|his|her|their|[A-Z]\w*)\b")
_ASKING: Final = ("?", "？", "؟", "՞")

__all__ = ["GATED", "ROUTES", "MemoryRouter", "Route"]


class Route(NamedTuple):
    """A store's part in recall: what its best hit adds to a score, for how many hits; the rule for when to ask it, and
    for which records it is there, each giving the reason in words, "" for no."""

    weight: float
    concerns: Callable[[Question], str]
    keeps: Callable[[Record], str]
    depth: int = 64


def _tells_a_place(question: Question) -> str:
    return "it names a place" if question.reading.places else ""


def _wants_an_overview(question: Question) -> str:
    return "it asks for an overview" if question.reading.answer == "summary" else ""


def _thoughts_stand(question: Question) -> str:
    return "there are thoughts" if len(question.corpus.labelled("kind", "thought")) else ""


def _tells_a_fragment(question: Question) -> str:
    cue = question.cue.text.rstrip()
    asks = question.reading.answer or cue[-1:] in _ASKING or len(WORD.findall(cue[:_LONGEST])) < _TORN
    return "" if asks else "it is no question"


def _goes_by_another(question: Question) -> str:
    """ "The sister of Bea's boss": whom it asks of is not named, but somebody is who leads there."""
    return "it goes from one to another" if len(_RELATION.findall(question.cue.text[:_LONGEST])) > 1 else ""


def _never(question: Question) -> str:
    return ""


def _lived(record: Record) -> str:
    return "" if record.kind in ("thought", "summary", "chunk", "fact") else "it tells of what happened"


def _placed(record: Record) -> str:
    return "it happened somewhere" if record.place is not None else ""


def _any(record: Record) -> str:
    return "it is a memory"


ROUTES: Final[Mapping[str, Route]] = {
    "working": Route(0.1, _never, _lived),
    "longterm": Route(0.1, _never, _lived),
    "episodic": Route(3.0, _tells_a_place, _placed),
    "recognition": Route(2.0, _tells_a_fragment, _any),
    "links": Route(4.0, _goes_by_another, _any),
    "chunks": Route(0.5, _wants_an_overview, _lived),
    # As much as a turn has from its speaker, its session and its place in it, which a thought lacks: so what holds now
    # stands among the turns that said what held before. Few of them, lest they take the place of all turns.
    "thoughts": Route(2.0, _thoughts_stand, _lived, 3),
}
GATED: Final = tuple(ROUTES)  # the stores that the gate may choose, whatever the rules say of them
_SURELY: Final = 1 / (1 + math.exp(-SURE))  # the share of a store of which a rule says yes
_GATE: Final = "gate"  # the store that keeps what was learned


class _Asking:
    """An installed store that is to be asked."""

    def __init__(self, name: str, why: str, weight: float, depth: int, stores: Stores) -> None:
        self.name = name
        self.why = why
        self.weights = Weights(weight)
        self._depth = depth
        self._stores = stores

    @property
    def fault(self) -> Fault:
        return self._stores.fault(self.name)

    def say(self, cue: Cue) -> Said:
        return self._stores.opened(self.name).say(cue, self._depth)


class _Correcting:
    """What a store knows to give way to others: it brings up nothing, and takes a little from what others bring."""

    def __init__(self, name: str, store: str, why: str, weight: float, stores: Stores) -> None:
        self.name = name
        self.why = why
        self.weights = Weights(weight)
        self._store = store
        self._stores = stores

    @property
    def fault(self) -> Fault:
        return self._stores.fault(self._store)

    def say(self, cue: Cue) -> Said:
        known = cast(Dating, self._stores.opened(self._store).caught_up()).outdated()
        return Said(dict.fromkeys(known, 1.0), {at: str(why) for at, why in known.items()}, brings=False)


class _Once:
    """What a store knows to be said more than once is brought up once."""

    name = "repeats"
    why = "some was said more than once"
    weights = Weights(0.0)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @property
    def fault(self) -> Fault:
        return self._stores.fault(self.name)

    def say(self, cue: Cue) -> Said:
        positions, firsts = cast(Repeating, self._stores.opened(self.name).caught_up()).together()
        repeated = Repeated(lambda: (positions, firsts))
        return Said({}, {}, changes=lambda chosen: once(chosen, repeated))


class MemoryRouter:
    """The router of the ledger's scope. `stores` gives those of it; `routes` are its rules, by a store's name; `models`
    those that may be asked here, and `embedder` tells of the memory's own whether it may be."""

    def __init__(
        self,
        ledger: ScopedLedger,
        stores: Callable[[], Stores],
        routes: Mapping[str, Route] = ROUTES,
        models: ModelPool | None = None,
        embedder: Callable[[Need], ModelChoice] | None = None,
    ) -> None:
        self._ledger = ledger
        self._given = stores
        self.routes = routes
        self._models = models
        self._embedder = embedder

    @cached_property
    def _stores(self) -> Stores:
        """Looked for when they are asked: which model to ask, they do not tell."""
        return self._given()

    def models(self, need: Need) -> list[ModelChoice]:
        """Whom to put what is needed to, in order, and why; then those that may not be asked: for privacy, for want of
        room in their context, or because they failed of late. [] when no model is set for the role. That of the role
        `embed` is the memory's embedder."""
        if need.role == EMBED:
            return [] if self._embedder is None else [self._embedder(need)]
        if self._models is None:
            return []
        return self._models.choose(need, self._ledger.scope, calls_of(self._ledger))

    def voices(self, question: Question, *, everything: bool = False) -> Iterator[Voice]:
        """Whom to put this question to, and why; with `everything`, every store that can be."""
        stores = self._stores
        if not self.routes:
            return
        for choice, why in self._chosen(question, everything):
            route = self.routes[choice.store]
            # Chosen by its rule alone, a store counts for what its route says.
            weight = route.weight * (1.0 if everything else choice.share / _SURELY)
            yield _Asking(choice.store, why, weight, route.depth, stores)
        if "thoughts" in stores and _thoughts_stand(question):
            yield _Correcting("outdated", "thoughts", "there are thoughts", -1.0, stores)
        repeats = stores.standing(_Once.name)
        if repeats is not None and cast(Repeating, repeats).repetitive:
            yield _Once(stores)

    def _chosen(self, question: Question, everything: bool) -> Sequence[tuple[Choice, str]]:
        said = {name: route.concerns(question) for name, route in self.routes.items() if name in self._stores}
        if everything:
            return [(Choice(name, 1.0), "everything is asked") for name in said]
        gate = self._gate()
        if gate is None:
            return [(Choice(name, _SURELY), why) for name, why in said.items() if why]
        prior = {name: SURE if why else -SURE for name, why in said.items()}
        chosen = gate.choose(traits(question.cue.text), prior)
        # A store that the gate does not know goes by its rule alone.
        chosen += [Choice(name, _SURELY) for name, why in said.items() if why and name not in gate.stores]
        return [(one, said[one.store] or f"it helped with such questions: {one.share:.2f}") for one in chosen]

    def _gate(self) -> Gate | None:
        """What was learned, None for nothing."""
        store = self._stores.standing(_GATE)
        gate = None if store is None else cast(Gating, store).gate()
        return gate if gate is not None and gate.seen else None

    def keeps(self, record: Record) -> dict[str, str]:
        """The stores that a memory concerns, and why."""
        found = {name: route.keeps(record) for name, route in self.routes.items() if name in self._stores}
        return {name: why for name, why in found.items() if why}
