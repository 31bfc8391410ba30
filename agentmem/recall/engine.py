"""The recall engine: one question through the filters, the signals, the fusion and the cut.

It knows no storage beyond a `View`, no verbs, and no signal by name.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit
from agentmem.embedding import unit_rows
from agentmem.errors import IndexUnavailable, InvalidInput
from agentmem.recall.corpus import Rows
from agentmem.recall.fuse import Asked, fuse, fuse_ranks
from agentmem.recall.presets import Preset
from agentmem.recall.reading import read
from agentmem.recall.signal import Question
from agentmem.recall.view import View

__all__ = ["recall"]


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


def recall(view: View, cue: Cue, k: int, *, preset: Preset, explain: bool = False) -> list[Hit]:
    """The `k` best hits, ties by order of writing; with `explain`, up to `k` losers after them."""
    vector = cue_vector(view, cue)
    with view.lock:
        view.refresh()
        try:
            judged = _judged(view, cue, vector, k, preset, explain)
            view.answered()
        except IndexUnavailable as error:
            view.fall_back(error)
            judged = _judged(view, cue, vector, k, preset, explain)
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
    view: View, cue: Cue, vector: NDArray[np.float32] | None, k: int, preset: Preset, explain: bool
) -> list[_Judged]:
    """Winners, then with `explain` losers, by position alone."""
    corpus = view.corpus
    question = Question(cue, read(cue.text, corpus), vector, corpus, view.index, corpus.allowed(cue))
    if not len(question.allowed) or k == 0:
        return []
    asked: Asked = [(s, evidence) for s in preset.signals if (evidence := s.ask(question)) is not None]
    if not asked:
        return []
    wanted = 2 * k if explain else k
    found = fuse_ranks(asked, wanted) if preset.by_rank else fuse(question, asked, wanted, preset.inheritance)
    total, positions = found.total, corpus.positions(found.rows)
    order = np.lexsort((positions, -total))[: 2 * k if explain else k]
    cut = float(total[order[k - 1]]) if len(order) >= k else 0.0
    verdicts = _reasons(asked, found.rows[order[:k]])
    verdicts += [f"below the cut by {cut - float(total[i]):.2f}" for i in order[k:]]
    return [
        _Judged(
            int(positions[i]),
            float(total[i]),
            {name: float(part) for name, part in zip(found.names, found.parts[:, i], strict=True)},
            verdict,
        )
        for i, verdict in zip(order, verdicts, strict=True)
    ]


def _reasons(asked: Asked, rows: Rows) -> list[str]:
    listed = zip(*(evidence.reasons(rows) for _, evidence in asked), strict=True)
    return ["; ".join(reason for reason in reasons if reason) for reasons in listed]
