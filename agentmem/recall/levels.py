"""Two levels of attention: first to the chunks, then to what is in the few that were chosen.

As HCAM reads its memory (Lampinen et al. 2021, arXiv 2105.14039): the k chunks with the best scores, a softmax over
those k, a softmax inside each, and an item's weight is the product of the two. Content of a chunk that was not chosen
is never looked at, so it costs nothing and changes nothing. Scores in, weights out; no store is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentmem.errors import InvalidInput
from agentmem.values import number, whole_number

__all__ = ["Attention", "Read", "attend", "two_stage"]

Rows: TypeAlias = NDArray[np.intp]
Logs: TypeAlias = NDArray[np.float64]


class Attention(NamedTuple):
    """What was attended to, best first, and the logarithms of its weights, which sum to 1."""

    indices: Rows
    logs: Logs

    @property
    def weights(self) -> Logs:
        found: Logs = np.exp(self.logs)
        return found


class Read(NamedTuple):
    """Rows read, chunk by chunk, the best chunk first; for each its chunk, and the logarithms of the chunk's weight and
    of the row's own inside it. All are of one length."""

    rows: Rows
    chunks: Rows
    chunk_logs: Logs
    item_logs: Logs

    @property
    def weights(self) -> Logs:
        """The products; they sum to 1."""
        found: Logs = np.exp(self.chunk_logs + self.item_logs)
        return found


def attend(scores: ArrayLike, k: int, *, temperature: float = 1.0, counts: ArrayLike | None = None) -> Attention:
    """The `k` best of float[n] scores, then a softmax over those k; ties go to the lower index, -inf is masked.

    The order matters: a softmax over all n would give the k a share that shrinks as n grows. With `counts`, float[n],
    one score stands for so many items, and weighs as they would together; it does not change which are chosen.
    InvalidInput for NaN, for +inf and for a temperature of 0 or less.
    """
    asked = _scores(scores, "scores")
    heat = number(temperature, "temperature")
    if heat <= 0:
        raise InvalidInput(f"temperature must be above 0, not {heat}")
    order = np.argsort(-asked, kind="stable")[: whole_number(k, "k")]
    chosen = order[np.isfinite(asked[order])]
    logits = asked[chosen] / heat
    if counts is not None:
        held = np.asarray(counts, np.float64)
        if held.shape != asked.shape or not bool((held[chosen] > 0).all()):
            raise InvalidInput("counts must be one number for each score, above 0 where it is not masked")
        logits = logits + np.log(held[chosen])
    return Attention(chosen, logits - np.logaddexp.reduce(logits) if len(chosen) else logits)


def two_stage(
    chunk_scores: ArrayLike,
    starts: ArrayLike,
    item_scores: Callable[[Rows], ArrayLike],
    k: int,
    *,
    temperature: float = 1.0,
) -> Read:
    """Read the items of the `k` best chunks.

    `chunk_scores` is float[m]; chunk j holds the rows `starts[j]` to `starts[j + 1]`, so `starts` is int[m + 1] and
    ascending. An empty chunk is masked, as one of score -inf is. `item_scores` gives float[n] for intp[n] rows, finite;
    it is asked once, for the rows of the chosen chunks alone, or not at all when there are none.

    A chunk counts by how much it holds: HCAM's are of one size, and a softmax inside a small one would else favour
    what stands alone. Where all items of each chunk score as their chunk does and k = m, this is one flat softmax over
    all items, whatever the sizes.
    """
    bounds = np.asarray(starts, np.int64)
    scores = _scores(chunk_scores, "chunk scores")
    sizes = np.diff(bounds)
    if bounds.ndim != 1 or len(sizes) != len(scores) or bool((sizes < 0).any()):
        raise InvalidInput("starts must ascend, and be one more than there are chunks")
    chosen = attend(np.where(sizes > 0, scores, -np.inf), k, temperature=temperature, counts=sizes)
    held = sizes[chosen.indices]
    first = np.cumsum(held) - held  # of each chosen chunk among the rows read
    rows = np.arange(held.sum(), dtype=np.intp) + np.repeat(bounds[chosen.indices] - first, held)
    if not len(rows):
        return Read(rows, rows, np.empty(0), np.empty(0))
    inside = _scores(item_scores(rows), "item scores") / temperature
    if inside.shape != rows.shape or not bool(np.isfinite(inside).all()):
        raise InvalidInput("item scores must be one finite number for each row asked")
    return Read(
        rows,
        np.repeat(chosen.indices, held),
        np.repeat(chosen.logs, held),
        inside - np.repeat(np.logaddexp.reduceat(inside, first), held),
    )


def _scores(given: ArrayLike, name: str) -> Logs:
    try:
        found: NDArray[Any] = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a row of numbers: {error}") from error
    if found.ndim != 1 or bool(np.isnan(found).any()) or bool((found == np.inf).any()):
        raise InvalidInput(f"{name} must be a row of numbers, without NaN and +inf")
    return found
