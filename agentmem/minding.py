"""What a memory does with its stores: opens them, asks them by name, lets them do their idle-time work.

The half of `Memory` that is about what was derived. Knows the stores by the protocols of `store.py` alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final, cast

from agentmem import values, verbs
from agentmem.browsing import Browsing
from agentmem.dynamics import BELOW, Fading, fading
from agentmem.embedding import embedding_text
from agentmem.errors import EmbeddingError, InvalidInput, PluginError
from agentmem.exposure import Share
from agentmem.jobs import Bookkeeping, Jobs, calls_of, leave
from agentmem.ledger import ScopedLedger
from agentmem.models.asking import BoundModels
from agentmem.models.calls import Calls
from agentmem.models.estimating import Estimating
from agentmem.models.pool import ModelPool
from agentmem.opened import Opened
from agentmem.recall.presets import PARTS
from agentmem.recall.stores import AllStores, Attached, Stores
from agentmem.records import Record, Scope
from agentmem.router import ROUTES, MemoryRouter, Route
from agentmem.store import (
    FAMILIAR,
    Bond,
    Completion,
    Due,
    Foreseen,
    Held,
    Host,
    Models,
    Recognising,
    Rehearsing,
    Repeating,
    Repeats,
    Report,
    Store,
    Working,
)
from agentmem.values import moment, number, plain_text, whole_number
from agentmem.writing import Writer, Writing

__all__ = ["Minding"]

_LONG: Final = 100_000  # days
_TAKEN: Final = PARTS | {"repeated", "outdated", "vectors", "words"}  # parts of a hit, and what is built anew by name


class Minding(Browsing):
    """See `Memory`."""

    def __init__(
        self, opened: Opened, scope: Scope, *, actor: str = "user", owner: bool = True, pool: ModelPool | None = None
    ) -> None:
        self._opened = opened
        self._pool = opened.models if pool is None else pool
        self._scope = scope
        self._writing = Writing(opened, scope, actor)
        self._owner = owner
        self._stores: dict[str, Attached] = {}
        self._routes: Mapping[str, Route] = ROUTES

    def check_open(self) -> None:
        """MemoryClosed when this memory was closed."""
        self._opened.check_open()

    @property
    def _ledger(self) -> ScopedLedger:
        self._opened.check_open()
        return self._opened.ledger.bind(self._scope)

    @property
    def _installed(self) -> Stores:
        return self._opened.stores(self._scope)

    def attach(self, name: str, store: Store | Callable[[Host], Store] | None = None, *, weight: float = 1.0) -> None:
        """Let a store follow this scope's journal and speak in this handle's recalls.

        None stands for the store installed under `name`; a callable makes one for this scope.
        """
        installed = self._installed
        if name in self._stores or name in _TAKEN or (name in installed and store is not None):
            raise InvalidInput(f"the name {name!r} is taken")
        host: Host = installed.host.another()
        if store is None:
            opened = installed.opened(name)
            store, host = opened.store, opened.host
        elif callable(store):
            store = store(host)
        attached = Attached(name, store, host, weight)
        attached.follow()
        self._stores[name] = attached

    def detach(self, name: str) -> None:
        """Let a store that was attached speak no more; it keeps what it derived."""
        if self._stores.pop(plain_text(name, "name"), None) is None:
            raise InvalidInput(
                f"no store {name!r} is attached", way_out=f"Attached: {', '.join(self._stores) or 'none'}."
            )

    @property
    def host(self) -> Host:
        """What this memory does for a store of its scope: to make one by hand."""
        return self._installed.host.another()

    @property
    def router(self) -> MemoryRouter:
        """What decides which stores of this scope a question is put to, which a memory concerns, and which language
        model is asked for what."""
        embedder = partial(self._opened.embedder_choice, self._scope)
        return MemoryRouter(self._ledger, lambda: self._installed, self._routes, self._pool, embedder)

    @property
    def models(self) -> BoundModels:
        """The language models, as this scope may ask them; False when there is none."""
        return BoundModels(self._pool, self._scope, self.router.models, calls_of(self._ledger))

    @property
    def jobs(self) -> Jobs:
        """What is to be done here later. PluginError where the ledger keeps no jobs."""
        return self._books.jobs

    @property
    def calls(self) -> Calls:
        """What asking models took here. PluginError where the ledger keeps no account."""
        return self._books.calls

    @property
    def _books(self) -> Bookkeeping:
        kept = self._ledger
        if not isinstance(kept, Bookkeeping):
            raise PluginError(
                "this ledger keeps neither jobs nor costs", way_out="Open the memory in a folder, or on Postgres."
            )
        return kept

    def route(self, routes: Mapping[str, Route]) -> None:
        """Let the recalls of this handle, and of those it makes, go by rules other than `agentmem.router.ROUTES`.

        A rule says when a store is asked, and what its word counts for; one that is not named is never asked.
        InvalidInput for what is no mapping of names to rules.
        """
        if not isinstance(routes, Mapping) or not all(isinstance(route, Route) for route in routes.values()):
            raise InvalidInput("routes must be a mapping from a store's name to a Route")
        self._routes = dict(routes)

    @property
    def stores(self) -> Mapping[str, Store]:
        """The stores by name: those that are installed, opened when first asked for, and those attached. What is given
        has followed the journal to its end."""
        return AllStores(self._installed, self._stores)

    def working(self) -> list[Held]:
        """What is held in mind right now, in order: pin it with `pin`, and let `memory.stores["working"]` evict or
        arrange it. PluginError when no working memory is installed."""
        return cast(Working, self.stores["working"]).held()

    def consolidate(
        self, *names: str, now: datetime | str | None = None, models: Models | None = None
    ) -> dict[str, Report]:
        """Let stores do their idle-time work, all or those named; what each did.

        What they write is of the actor `agentmem`, and undo takes it back. `models` is asked where a language model
        helps, None: the memory's own; without any, whatever can be done without is done. Records of which its answers
        could not be used are left as jobs. PluginError for a name that is not installed.
        """
        if self._writing.rehearsing:
            raise InvalidInput("consolidation cannot be rehearsed", way_out="`foresee` tells what it would do.")
        at = values.now() if now is None else moment(now, name="now")
        asked = models if models is not None else self.models if self._pool else None
        done: dict[str, Report] = {}
        for name, attached in self._resting(names):
            done[name] = attached.consolidate(at, asked)
            if isinstance(self._ledger, Bookkeeping):
                for id in done[name].unread:
                    leave(self.jobs, "extract", {"turns": [id]})
        return done

    def foresee(self, *names: str, now: datetime | str | None = None) -> dict[str, Foreseen]:
        """What `consolidate` would do now, and what it would ask models: nothing is asked, and nothing written.

        What models would be asked takes as much as is estimated, at most; what would be asked because of an answer is
        not known before it.
        """
        at = values.now() if now is None else moment(now, name="now")
        found: dict[str, Foreseen] = {}
        with self._writing.rehearse():
            for name, attached in self._resting(names):
                estimating = Estimating(self.models) if self._pool else None
                report = attached.consolidate(at, estimating)
                found[name] = Foreseen(report, tuple(estimating.calls) if estimating is not None else ())
        return found

    def _resting(self, names: Sequence[str]) -> Iterator[tuple[str, Attached]]:
        """The stores named, or all, in the order in which they do their idle-time work."""
        installed = self._installed
        installed.host.caught_up()
        for name in names or sorted(self.stores, key=lambda name: name == "gate"):  # which asks the others
            yield name, self._stores.get(name) or installed.opened(plain_text(name, "name"))

    # ── asked by name ────────────────────────────────────────────────────────────────────────────────────────────

    def complete(
        self,
        fragment: str,
        *,
        speaker: str | None = None,
        place: str | None = None,
        on: date | datetime | str | None = None,
    ) -> Completion | None:
        """The memory that a fragment is part of: some of its words, a run of them, its beginning, with a slip of the
        pen. None when nothing is familiar enough.

        Who said it, where and on which day narrow it down. Of memories that fit alike all are named. InvalidInput for
        a blank fragment.
        """
        return cast(Recognising, self.stores["recognition"]).complete(fragment, speaker=speaker, place=place, on=on)

    def familiarity(self, text: str) -> float:
        """How familiar a text is: 1 when the same is remembered, near 0 for what is like nothing. What is new to a
        memory is worth more than what it has heard."""
        return cast(Recognising, self.stores["recognition"]).familiarity([text])[0]

    def repeats(self, kind: Bond | None = None, limit: int = 20) -> list[Repeats]:
        """What was said more than once, most often first: in the same words, `exact`ly or `near`ly; or, looked for when
        it is asked, by `semantic` likeness. Nothing is dropped for it: recall brings each saying once."""
        return cast(Repeating, self.stores["repeats"]).groups(kind, limit)

    def _said_already(self, record: Record, vector: Sequence[float] | None) -> Record | None:
        """The record that says this already, once that is noted on it; None when there is none."""
        store = cast(Repeating, self.stores["repeats"])
        if vector is None and self.familiarity(record.text) >= FAMILIAR:  # else it is new, without a vector
            with suppress(EmbeddingError):  # then by its words
                vector = self.host.embed([embedding_text(record)], [record.kind])[0].tolist()
        found = store.repeated(record.text, vector, kind=record.kind, speaker=record.speaker, role=record.role)
        if found is None:
            return None
        cause = json.dumps({"text": record.text, "kind": found.kind}, ensure_ascii=False)

        def work(writer: Writer) -> Record | None:
            standing = [one for one in writer.reader.get([found.record.id]) if one.state == "live"]
            writer.write([verbs.again(one) for one in standing], cause)
            return standing[0] if standing else None

        return self._writing.run(work)

    def due(self, k: int = 10, *, now: datetime | str | None = None) -> list[Due]:
        """What is due to be looked at again, the least retained first; `consolidate` rehearses some of it."""
        at = values.now() if now is None else moment(now, name="now")
        return cast(Rehearsing, self.stores["rehearsal"]).due(at, whole_number(k, "k"))

    def fade(
        self,
        now: datetime | str | None = None,
        *,
        keep: float | None = None,
        below: float = BELOW,
        within: float = 0.0,
        policy: str = "need",
        dry_run: bool = False,
    ) -> list[Fading]:
        """Put into the trash what has faded, in one step that undo takes back; what it was, the first to fade first.

        A memory fades when its strength, times the need of it, falls `below` that: need is the sum over its uses of
        (1 + days since)^-½, and a use is that it was told, told again, or found useful. `keep` says instead what share
        of them is to stay, the first by the `policy`: need, recency, fifo, importance or uniform. With `dry_run`
        nothing is done, and what will fade `within` so many days is listed too, each with the moment and the reason.
        What is pinned never fades. Nothing fades of itself: only this does it.
        """
        at = values.now() if now is None else moment(now, name="now")
        days = number(within, "within")
        if not 0 <= days <= _LONG:
            raise InvalidInput(f"within must be a number of days from 0 to {_LONG:,}, not {within!r:.40}")
        records, uses = cast(Rehearsing, self.stores["rehearsal"]).held()
        found = fading(records, uses, at, policy=policy, keep=keep, below=below, within=timedelta(days=days))
        if dry_run:
            return found
        due = [one for one in found if one.at <= at]

        def work(writer: Writer) -> list[Fading]:
            drafts = {r.id: verbs.fade(r) for r in writer.reader.get([one.record.id for one in due])}
            writer.write(list(drafts.values()))
            return [one for one in due if drafts.get(one.record.id) is not None]

        return self._writing.run(work)

    def exposure(self) -> list[Share]:
        """What the last contexts that this process packed here were filled with, the largest share first."""
        return self._opened.exposure(self._scope).shares()
