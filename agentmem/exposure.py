"""What the last contexts were filled with, and how one memory is kept from filling them all.

A model that is shown the same again and again goes by it, as one trained on a few texts a hundred times copies them: a
tenth of repeated data harmed most (Hernandez et al. 2022, arXiv 2205.10487). Who asks for contexts can see it here, and
let what was shown often give its place to what was not.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agentmem.cues import Context, Hit
from agentmem.recall.pack import estimate_tokens
from agentmem.values import whole_number

__all__ = ["Capped", "Exposure", "Share"]

WINDOW: Final = 50  # contexts
TOO_MUCH: Final = 0.1  # of their tokens
_FEWEST: Final = 10  # contexts before anything is said of them: of one each memory fills a large part


class Share(NamedTuple):
    """What one memory took of the last contexts: the share of their tokens, and in how many of them it stood."""

    record: str
    share: float
    contexts: int


@dataclass(frozen=True, slots=True)
class Capped:
    """Hits in the order in which they may go into a context, and why some stand behind where their score puts them, in
    words, by id."""

    hits: tuple[Hit, ...]
    stepped_back: Mapping[str, str]

    def told(self, context: Context) -> Context:
        """The context that was packed from these hits: what found no room because it stepped back is left out so."""
        return replace(context, left_out=tuple(self._instead(line) for line in context.left_out))

    def _instead(self, line: str) -> str:
        id, found, _ = line.partition(": no room")
        return f"{id}: {self.stepped_back[id]}" if found and id in self.stepped_back else line


class Exposure:
    """The last `window` contexts of one scope in this process: ids and numbers, no words. Safe to use from several
    threads."""

    def __init__(self, window: int = WINDOW) -> None:
        """InvalidInput for a window of less than one."""
        self._contexts: deque[dict[str, int]] = deque(maxlen=whole_number(window, "window", 1))
        self._tokens: Counter[str] = Counter()
        self._stood: Counter[str] = Counter()
        self._lock = threading.Lock()

    def saw(self, context: Context) -> None:
        """Take note of a context that was handed out. Tokens are counted as `estimate_tokens` does, of the texts."""
        held = {hit.record.id: estimate_tokens(hit.record.text) for hit in context.hits}
        with self._lock:
            if len(self._contexts) == self._contexts.maxlen:
                oldest = self._contexts.popleft()
                self._tokens.subtract(oldest)
                self._stood.subtract(oldest.keys())
                for id in [id for id in oldest if not self._stood[id]]:
                    del self._tokens[id], self._stood[id]
            self._contexts.append(held)
            self._tokens.update(held)
            self._stood.update(held.keys())

    def shares(self) -> list[Share]:
        """What each memory took, the largest share first."""
        return self._shares()[0]

    def _shares(self) -> tuple[list[Share], int]:
        with self._lock:
            tokens, stood, seen = dict(self._tokens), dict(self._stood), len(self._contexts)
        total = sum(tokens.values()) or 1
        found = [Share(id, taken / total, stood[id]) for id, taken in tokens.items()]
        return sorted(found, key=lambda one: (-one.share, one.record)), seen

    def warnings(self) -> list[str]:
        """A sentence for each memory that fills more than a tenth of the last contexts, once there were ten."""
        with self._lock:
            seen, most = len(self._contexts), max(self._tokens.values(), default=0)
            if seen < _FEWEST or most <= TOO_MUCH * self._tokens.total():
                return []
        shares, seen = self._shares()
        return [
            f"{one.record} fills {one.share:.0%} of the last {seen} contexts and stood in {one.contexts} of them: "
            "most_repeats lets others have its place"
            for one in shares
            if one.share > TOO_MUCH
        ]

    def capped(self, hits: Sequence[Hit], most: int) -> Capped:
        """The hits, best first, of which those that stood in more than `most` of the last contexts step back behind all
        others: they come in where there is room. The best hit never does, nor does what is pinned. InvalidInput for a
        `most` below 0."""
        whole_number(most, "most_repeats")
        with self._lock:
            stood, seen = {hit.record.id: self._stood[hit.record.id] for hit in hits}, len(self._contexts)
        back = [hit for hit in hits[1:] if stood[hit.record.id] > most and not hit.record.pinned]
        if not back:
            return Capped(tuple(hits), {})
        why = {
            hit.record.id: f"gave its place to others, it stood in {stood[hit.record.id]} of the last {seen} contexts"
            for hit in back
        }
        return Capped((*(hit for hit in hits if hit.record.id not in why), *back), why)
