"""The recall engine: one question through the filters, the signals, the fusion and the cut.

It knows no storage beyond a `View` and no verbs. Signals are a list; their order does not matter and their weights are
the whole of the tuning. (The parse of dates and names, neighbours, sessions and packing by diversity build on this
seam.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.embedding import embed_checked, unit_rows
from agentmem.errors import InvalidInput
from agentmem.recall.corpus import Rows
from agentmem.recall.fuse import Asked, pool, weigh
from agentmem.recall.signals import Dense, Lexical, Question, Signal
from agentmem.recall.view import View

__all__ = ["DEFAULT_SIGNALS", "recall"]

DEFAULT_SIGNALS: tuple[Signal, ...] = (Lexical(), Dense())
_DEPTH = 256  # candidates each signal may name; a question for more than 64 hits widens it


def cue_vector(view: View, cue: Cue) -> NDArray[np.float32] | None:
    """The cue's unit vector: as given, else the embedding of its text."""
    if cue.vector is not None:
        try:
            vector = np.asarray(cue.vector, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the cue's vector is not a row of numbers: {error}") from error
        if vector.shape != (view.embedder.dimension,) or not np.isfinite(vector).all():
            raise InvalidInput(
                f"the cue's vector must be {view.embedder.dimension} finite numbers for {view.embedder.id}",
                way_out="Make it with the embedder that this memory was opened with.",
            )
        return cast("NDArray[np.float32]", unit_rows(vector[None])[0])
    return embed_checked(view.embedder, [cue.text])[0] if cue.text.strip() else None


def recall(
    view: View, cue: Cue, k: int, *, signals: Sequence[Signal] = DEFAULT_SIGNALS, explain: bool = False
) -> list[Hit]:
    """The `k` best hits, ties by order of writing; with `explain`, up to `k` losers after them."""
    vector = cue_vector(view, cue)
    with view.lock:
        view.refresh()
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
        winners = _reasons(asked, rows[order[:k]])
        losers = [f"below the cut by {cut - float(total[i]):.2f}" for i in order[k:]]
        chosen = positions[order]
    found = {record.position: record for record in view.ledger.at(chosen.tolist())}
    return [
        Hit(
            record=found[int(position)],
            score=float(total[i]),
            parts={signal.name: float(parts[j, i]) for j, (signal, _) in enumerate(asked)},
            verdict=verdict,
        )
        for i, position, verdict in zip(order, chosen, winners + losers, strict=True)
        # Erased or forgotten by another process between the two reads.
        if int(position) in found and found[int(position)].state == "live"
    ]


def _reasons(asked: Asked, rows: Rows) -> list[str]:
    listed = zip(*(evidence.reasons(rows) for _, evidence in asked), strict=True)
    return ["; ".join(reason for reason in reasons if reason) for reasons in listed]
