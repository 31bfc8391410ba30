"""What a memory answers, to be compared between indexes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agentmem import Hit, Memory

CUES = ["ferry 17 to island 17", "which ferry leaves at 5?", "island 44"]


class Answers:
    """The ten hits of each cue.

    Equal to others when whoever is clearly above the last is in both, and is there for the same reasons: the words and
    the cosine. An approximate index may name other candidates of those that all but tie, and by the candidates the
    scores are scaled.
    """

    def __init__(self, memory: Memory, **filters: object) -> None:
        self.hits = [memory.recall(cue, 10, **filters) for cue in CUES]  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Answers)
        return all(map(_alike, self.hits, other.hits)) and all(map(_alike, other.hits, self.hits))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "\n".join(" ".join(f"{hit.record.id[-6:]}:{hit.score:.3f}" for hit in hits) for hits in self.hits)


def _alike(ours: Sequence[Hit], theirs: Sequence[Hit]) -> bool:
    reasons = {hit.record.id: hit.verdict for hit in theirs}
    if len(ours) != len(theirs) or any(reasons.get(hit.record.id, hit.verdict) != hit.verdict for hit in ours):
        return False
    clear = ours[-1].score + 0.2 * (ours[0].score - ours[-1].score) if ours else 0.0
    return {hit.record.id for hit in ours if hit.score > clear} <= reasons.keys()


def texts(n: int, start: int = 0) -> Sequence[str]:
    return [f"the ferry number {i} leaves at {i % 24} for island {i % 97}" for i in range(start, start + n)]


def exact_answers(place: str | Path, **filters: object) -> Answers:
    with Memory.open(place, embedder="hash", index="exact") as memory:
        return Answers(memory, **filters)
