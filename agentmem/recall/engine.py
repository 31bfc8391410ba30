"""The recall engine: one question through the filters, the signals, the fusion and the cut.

It knows no storage beyond a `View`, no verbs, and no signal by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agentmem.cues import Cue, Hit, Hits
from agentmem.embedding import unit_rows
from agentmem.errors import IndexUnavailable, InvalidInput
from agentmem.recall.corpus import Rows
from agentmem.recall.fuse import Asked, Candidates, fuse, fuse_ranks
from agentmem.recall.hearing import Heard, Voice, hear, with_heard
from agentmem.recall.presets import Preset
from agentmem.recall.reading import read
from agentmem.recall.signal import Question, Said
from agentmem.recall.view import PATIENCE_S, View
from agentmem.recall.weights import Table, beside

if TYPE_CHECKING:
    from agentmem.records import Record

__all__ = ["asked_of", "embedded", "question_of", "recall"]

Embedded: TypeAlias = "tuple[NDArray[np.float32] | None, Said | None]"  # a cue's vector and tokens


def embedded(view: View, cue: Cue) -> Embedded:
    """The cue's unit vector: as given, else the embedding of its text, and then its tokens too."""
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
        return cast("NDArray[np.float32]", unit_rows(vector[None])[0]), None
    return view.embed_cue(cue.text) if cue.text.strip() else (None, None)


def recall(
    view: View,
    cue: Cue,
    k: int,
    *,
    preset: Preset,
    voices: Callable[[Question], Sequence[Voice]],
    explain: bool = False,
    without: Collection[int] = (),
) -> Hits:
    """The `k` best hits, ties by order of writing; with `explain`, up to `k` losers after them, and up to `k` of those
    that the cue's filters kept out. `voices` says which stores the question is put to: no lock is held meanwhile.

    What stands at the positions `without` is passed over. Who leaves out what was said last waits neither for its
    words nor for vectors.
    """
    patience = 0.0 if without else PATIENCE_S
    made = embedded(view, cue)
    with view.lock:
        view.refresh(patience, without)
        question, stood = question_of(view, cue, made, without), view.followed
        called, heard = voices(question) if k and len(question.allowed) else (), Heard()
        if not called:
            judged = _answered(view, question, k, preset, explain)
    if called:
        heard = hear(called, cue if made[0] is None else replace(cue, vector=tuple(made[0].tolist())))
        with view.lock:
            view.refresh(patience, without)
            if (view.followed, view.corpus, view.index) != (stood, question.corpus, question.index):
                question = question_of(view, cue, made, without)
            judged = _answered(view, question, k, with_heard(preset, heard), explain)
    found = {record.position: record for record in view.ledger.at([one.position for one in judged])}
    hits = (
        Hit(
            record=record,
            score=one.score,
            parts=one.parts,
            verdict=_kept_out(cue, record) if one.verdict is None else one.verdict,
            won=one.won,
            cue=cue.text,
        )
        for one in judged
        # Erased or forgotten by another process between the two reads.
        if (record := found.get(one.position)) is not None and record.state == "live"
    )
    return Hits(hits, heard.asked)


def _answered(view: View, question: Question, k: int, preset: Preset, explain: bool) -> list[_Judged]:
    """Hold the view's lock."""
    try:
        judged = _judged(question, k, preset, explain)
        view.answered()
    except IndexUnavailable as error:
        view.fall_back(error)
        judged = _judged(replace(question, index=view.index), k, preset, explain)
    return judged


class _Judged(NamedTuple):
    position: int
    score: float
    parts: dict[str, float]
    verdict: str | None  # None: the filters kept it out, and the record tells which
    won: bool


def _judged(question: Question, k: int, preset: Preset, explain: bool) -> list[_Judged]:
    """Winners, then with `explain` losers and those kept out, by position alone."""
    if k == 0:
        return []
    wanted = 2 * k if explain else k
    ranking = _ranking(question, preset, wanted)
    order = ranking.order[:wanted]
    cut = float(ranking.totals[order[k - 1]]) if len(order) >= k else 0.0
    judged = ranking.judged(order[:k], ranking.reasons(order[:k]), won=True)
    fell = [f"below the cut by {cut - total:.2f}" for total in ranking.totals[order[k:]].tolist()]
    judged += ranking.judged(order[k:], fell, won=False)
    if explain and question.filtered:
        whole = replace(question, cue=Cue(question.cue.text), allowed=question.corpus.allowed(Cue()))
        ranking = _ranking(whole, preset, wanted)
        outside = ~np.isin(ranking.found.rows, question.allowed)
        order = ranking.order[outside[ranking.order]][:k]
        judged += ranking.judged(order, [None] * len(order), won=False)
    return judged


def question_of(view: View, cue: Cue, made: Embedded, without: Collection[int] = ()) -> Question:
    """What the signals are asked. Hold the view's lock."""
    corpus = view.corpus
    vector, said = made
    reading = read(cue.text, corpus, cue.now)

    def texts(rows: Rows) -> list[str]:
        positions = corpus.positions(rows).tolist()
        found = {record.position: record.text for record in view.ledger.at(positions)}
        return [found.get(position, "") for position in positions]

    allowed = corpus.allowed(cue)
    if without:
        allowed = allowed[np.isin(corpus.positions(allowed), list(without), invert=True)]
    return Question(cue, reading, vector, corpus, view.index, allowed, texts, said, partly=bool(without))


def asked_of(question: Question, preset: Preset, table: Table) -> Asked:
    """The preset's signals that count for something here, and have something to say."""
    if not len(question.allowed):
        return []
    counting = [signal for signal in preset.signals if any(table.get(signal.name, ()))]
    return [(signal, evidence) for signal in counting if (evidence := signal.ask(question)) is not None]


class _Ranking(NamedTuple):
    """Candidates, and their places in it from the best on; ties by order of writing."""

    asked: Asked
    found: Candidates
    positions: NDArray[np.int64]
    totals: NDArray[np.float64]
    order: Rows

    def reasons(self, places: Rows) -> list[str]:
        listed = zip(*(evidence.reasons(self.found.rows[places]) for _, evidence in self.asked), strict=True)
        return ["; ".join(reason for reason in reasons if reason) for reasons in listed]

    def judged(self, places: Rows, verdicts: Sequence[str | None], *, won: bool) -> list[_Judged]:
        names, parts = self.found.names, self.found.parts[:, places].T.tolist()
        listed = zip(self.positions[places].tolist(), self.totals[places].tolist(), parts, verdicts, strict=True)
        return [
            _Judged(position, total, dict(zip(names, each, strict=True)), verdict, won)
            for position, total, each, verdict in listed
        ]


def _ranking(question: Question, preset: Preset, wanted: int) -> _Ranking:
    """`wanted` of them at least, if there are so many."""
    table = preset.weighting(question)
    if question.reading.beside:
        table = beside(table, question.reading.beside)
    asked = asked_of(question, preset, table)
    if not asked:
        found = Candidates(np.empty(0, np.intp), [], np.empty((0, 0)))
    else:
        found = fuse_ranks(asked, wanted, table) if preset.by_rank else fuse(question, asked, wanted, table)
    positions, totals = question.corpus.positions(found.rows), found.total
    return _Ranking(asked, found, positions, totals, np.lexsort((positions, -totals)))


def _kept_out(cue: Cue, record: Record) -> str:
    """Which of the cue's filters the record does not pass, in words."""
    said = []
    if (cue.since is not None and record.at < cue.since) or (cue.until is not None and record.at >= cue.until):
        said.append("outside the time asked")
    if cue.kinds is not None and record.kind not in cue.kinds:
        said.append(f"a {record.kind}, which was not asked")
    if cue.speaker is not None and (record.speaker or "").casefold() != cue.speaker.casefold():
        said.append(f"not said by {cue.speaker}")
    if cue.place is not None and not _within(record, cue.place):
        said.append(f"not at {cue.place}")
    if cue.tags is not None and not set(cue.tags) & set(record.tags):
        said.append("without a tag asked")
    return ", ".join(said)


def _within(record: Record, place: str) -> bool:
    where = "" if record.place is None else record.place.id.casefold()
    return where == place.casefold() or where.startswith(f"{place.casefold()}/")
