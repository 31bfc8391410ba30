"""An embedder that is not in this process, as one scope may ask it: nothing private is sent to it and nothing over the
budget, and each question is noted in the ledger before it is sent and put right when it ends.

It gives the very vectors of the embedder inside it, under the same id. When it may not ask, nothing is sent and
NotAsked tells why: to recall that is an embedder that is down, and texts wait until it may.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from agentmem.address import without_keys
from agentmem.embedding import CueEmbedder, Embedder, TokenEmbedder, Tokens, counting_embedder, token_embedder
from agentmem.errors import AgentMemError, BudgetReached, EmbeddingError, LedgerError
from agentmem.models.calls import Call, Calls, sound_count
from agentmem.models.choice import Candidate, ModelChoice, Need, choose
from agentmem.models.settings import EMBED, ModelSettings, Terms
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Scope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BoundEmbedder", "NotAsked", "about", "candidate_of", "in_process", "withheld"]

log = logging.getLogger("agentmem")
T = TypeVar("T")
_PROBE: Final = "dimension"  # what an embedder is sent that must embed something to know how many numbers it gives


class NotAsked(EmbeddingError):
    """The embedder was not asked: nothing was sent. `fewer`: it may be asked for fewer texts at once."""

    def __init__(self, message: str, *, way_out: str = "", fewer: bool = False) -> None:
        super().__init__(message, way_out=way_out)
        self.fewer = fewer


def in_process(embedder: Embedder) -> bool:
    """Whether it embeds in this process, where asking costs nothing and nobody hears: the shipped ones that need no
    server, and one that says so."""
    return getattr(embedder, "in_process", False) is True


def candidate_of(embedder: Embedder, spec: str, settings: ModelSettings) -> Candidate:
    """An embedder as far as choosing goes, by its id. Its terms stand under that, or under how it is spelled. Where it
    is they say, else it says itself (`is_local`); one that says nothing is elsewhere."""
    told = settings.terms.get(embedder.id, settings.terms.get(spec))
    terms = told or Terms()
    local = getattr(embedder, "is_local", False) is True if terms.local is None else terms.local
    return Candidate(embedder.id, local or in_process(embedder), terms, None, priced=told is not None)


def about(embedder: Embedder, cause: str, kinds: Collection[str] | None) -> Embedder:
    """The embedder, to be asked about the words of memories of these kinds, None for any; and for what: in ids or plain
    words, and nobody's text."""
    return embedder.about(cause, kinds) if isinstance(embedder, BoundEmbedder) else embedder


def withheld(embedder: Embedder) -> frozenset[str]:
    """The kinds of memories whose words it is never sent."""
    return embedder.withheld if isinstance(embedder, BoundEmbedder) else frozenset()


class BoundEmbedder:
    """`calls` is where costs are kept, None for nowhere. Unless `about` says otherwise, the words may be of any kind:
    while one is private nothing is sent. Safe to use from several threads, as far as the embedder is.
    """

    def __init__(
        self,
        embedder: Embedder,
        candidate: Candidate,
        settings: ModelSettings,
        scope: Scope,
        calls: Calls | None,
        *,
        cause: str = "",
        kinds: Collection[str] | None = None,
    ) -> None:
        self._embedder = embedder
        self._candidate = candidate
        self._settings = settings
        self._scope = scope
        self._calls = calls
        self._cause = cause
        self._kinds = settings.private.kinds if kinds is None else frozenset(kinds)
        # Both are there only where the embedder has them: recall asks otherwise without.
        self.embed_cue = self._embedded_cue if callable(getattr(embedder, "embed_cue", None)) else None
        self.embed_tokens = self._embedded_tokens if token_embedder(embedder) is not None else None

    def __repr__(self) -> str:
        return f"BoundEmbedder({self.id!r}, {str(self._scope)!r})"

    def about(self, cause: str, kinds: Collection[str] | None) -> BoundEmbedder:
        """See `agentmem.models.embedding.about`."""
        return BoundEmbedder(
            self._embedder, self._candidate, self._settings, self._scope, self._calls, cause=cause, kinds=kinds
        )

    @property
    def id(self) -> str:
        return self._embedder.id

    @property
    def dimension(self) -> int:
        if getattr(self._embedder, "dimension_known", True):
            return self._embedder.dimension
        return self.about("its dimension", ())._asked([_PROBE], lambda count: self._embedder.dimension)

    @property
    def withheld(self) -> frozenset[str]:
        """The kinds of memories whose words are never sent."""
        return frozenset() if self._candidate.local else self._settings.private.kinds

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the embedder does. NotAsked, besides its own errors."""
        if not texts:
            return self._embedder.embed(texts)
        counting = counting_embedder(self._embedder)
        if counting is None:
            return self._asked(texts, lambda count: self._embedder.embed(texts))
        return self._asked(texts, lambda count: counting.embed_counted(texts, count))

    def _embedded_cue(self, text: str) -> NDArray[np.float32]:
        counting = counting_embedder(self._embedder)
        if counting is None:
            return self._asked([text], lambda count: cast(CueEmbedder, self._embedder).embed_cue(text))
        row: NDArray[np.float32] = self._asked([text], lambda count: counting.embed_counted([text], count, cue=True))[0]
        return row

    def _embedded_tokens(self, texts: Sequence[str]) -> Sequence[Tokens]:
        return self._asked(texts, lambda count: cast(TokenEmbedder, self._embedder).embed_tokens(texts))

    def check(self) -> None:
        """NotAsked when it may not be asked here, whatever about."""
        self._admitted(Need(EMBED))

    def choice(self, need: Need) -> ModelChoice:
        """Whether it may be asked here for what is needed, and why."""
        [choice] = choose(need, self._scope, [self._candidate], self._settings)
        return choice if choice.refused else replace(choice, why="the embedder of this memory")

    def _admitted(self, need: Need) -> None:
        if (choice := self.choice(need)).refused:
            raise NotAsked(
                f"{self.id} is not asked: {choice.why}",
                way_out=f"Name an embedder on this machine; or let go of what stands in the way under [models], where "
                f'[models.terms."{self.id}"] tells what it costs, and with local = true that it is on this machine.',
            )

    # ── the account ──────────────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, texts: Sequence[str], ask: Callable[[Callable[[int], None]], T]) -> T:
        """What `ask` gives, which is handed what takes the tokens that were counted; noted before and after."""
        call = self._begun(texts)
        since = time.monotonic()
        counted: list[int] = []
        try:
            answer = ask(counted.append)
        except BaseException as error:
            self._ended(replace(call, outcome="failed", error=without_keys(str(error))), counted or [0], since)
            raise
        self._ended(replace(call, outcome="done"), counted, since)
        return answer

    def _begun(self, texts: Sequence[str]) -> Call:
        counting = counting_embedder(self._embedder)
        tokens = sum(map(estimate_tokens, texts)) if counting is None else counting.estimate(texts)
        self._admitted(Need(EMBED, tokens, kinds=self._kinds))
        call = Call(EMBED, self.id, self._cause, tokens_in=tokens, picos=self._candidate.terms.picos(tokens, 0))
        try:
            if self._calls is not None:
                self._calls.begin(call, self._settings.limits(self._scope, call.at))
        except BudgetReached as error:
            raise NotAsked(f"{self.id} is not asked: {error}", way_out=error.way_out, fewer=True) from error
        except LedgerError as error:  # full, locked or read-only
            raise NotAsked(
                f"{self.id} is not asked, since it cannot be noted: {error}", way_out=error.way_out
            ) from error
        return call

    def _ended(self, call: Call, counted: Sequence[int], since: float) -> None:
        """Note how it went. Where nothing was counted, or nothing that can be, the estimate stands."""
        tokens = sum(counted) if counted and all(map(sound_count, counted)) else call.tokens_in
        ms, picos = 1_000 * (time.monotonic() - since), self._candidate.terms.picos(tokens, 0)
        try:
            if self._calls is not None:
                self._calls.end(replace(call, tokens_in=tokens, picos=picos, ms=ms))
        except AgentMemError as error:  # the ledger was closed, or is full: the vectors stand, and the estimate
            log.warning("what %s cost cannot be noted: %s", self.id, error)
