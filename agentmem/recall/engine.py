"""The recall engine: one question through the filters, the signals, the fusion and the cut.

It knows no storage beyond a `View` and no verbs. Signals are a list; their order does not matter and their weights are
the whole of the tuning. (The parse of dates and names, neighbours, sessions and packing by diversity build on this
seam.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.embedding import unit_rows
from agentmem.errors import IndexUnavailable, InvalidInput
from agentmem.recall.corpus import Rows
from agentmem.recall.fuse import Asked, pool, weigh
from agentmem.recall.signals import Dense, Lexical, Question, Signal
from agentmem.recall.view import View

__all__ = ["DEFAULT_SIGNALS", "recall"]

DEFAULT_SIGNALS: tuple[Signal, ...] = (Lexical(), Dense())
_DEPTH = 256  # candidates each signal may name; a question for more than 64 hits widens it


def cue_vector(view: View, cue: Cue) -> NDArray[np.float32] | None:
    """The cue's unit vector: as given, else the embedding of its text."""
    embedder = view.embeddings.embedder
    if cue.vector is not None:
        try:
            vector = np.asarray(cue.vector, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the cue's vector is not a row of numbers: {error}") from error
        if vector.shape != (embedder.dimension,) or not np.isfinite(vector).all():
            raise InvalidInput(
                f"the cue's vector must be {embedder.dimension} finite numbers for {embedder.id}",
                way_out="Make it with the embedder that this memory was opened with.",
            )
        return cast("NDArray[np.float32]", unit_rows(vector[None])[0])
    return view.embed_cue(cue.text) if cue.text.strip() else None


def recall(
    view: View, cue: Cue, k: int, *, signals: Sequence[Signal] = DEFAULT_SIGNALS, explain: bool = False
) -> list[Hit]:
    """The `k` best hits, ties by order of writing; with `explain`, up to `k` losers after them."""
    vector = cue_vector(view, cue)
    with view.lock:
        view.refresh()
        try:
            judged = _judged(view, cue, vector, k, signals, explain)
            view.answered()
        except IndexUnavailable as error:
            view.fall_back(error)
            judged = _judged(view, cue, vector, k, signals, explain)
    found = {record.position: record for record in view.ledger.at([one.position for one in judged])}
    return [
        Hit(record=found[one.position], score=one.score, parts=one.parts, verdict=one.verdict)
        for one in judged
        # Erased or forgotten by another process between the two reads.
        if one.position in found and found[one.position].state == "live"
    ]


class _Judged(NamedTuple):
    position: int
    score: float
    parts: dict[str, float]
    verdict: str


def _judged(
    view: View, cue: Cue, vector: NDArray[np.float32] | None, k: int, signals: Sequence[Signal], explain: bool
) -> list[_Judged]:
    """Winners, then with `explain` losers, by position alone."""
    question = Question(cue, vector, view.corpus, view.index, view.corpus.allowed(cue))
    if not len(question.allowed) or k == 0:
        return []
    asked: Asked = [(signal, evidence) for signal in signals if (evidence := signal.ask(question)) is not None]
    if not asked:
        return []
    rows = pool(asked, max(_DEPTH, 4 * k))
    parts = weigh(asked, rows)
    total = parts.sum(axis=0)
    positions = view.corpus.positions(rows)
    order = np.lexsort((positions, -total))[: 2 * k if explain else k]
    cut = float(total[order[k - 1]]) if len(order) >= k else 0.0
    verdicts = _reasons(asked, rows[order[:k]])
    verdicts += [f"below the cut by {cut - float(total[i]):.2f}" for i in order[k:]]
    return [
        _Judged(
            int(positions[i]),
            float(total[i]),
            {signal.name: float(parts[j, i]) for j, (signal, _) in enumerate(asked)},
            verdict,
        )
        for i, verdict in zip(order, verdicts, strict=True)
    ]


def _reasons(asked: Asked, rows: Rows) -> list[str]:
    listed = zip(*(evidence.reasons(rows) for _, evidence in asked), strict=True)
    return ["; ".join(reason for reason in reasons if reason) for reasons in listed]
