"""The embedder and its vectors: whether it answers, whose vectors serve, and whether every text has one of its own.

Vectors are compared with the texts by the digests kept beside them, a batch at a time, so that a million records need
no more memory than a thousand. A text that was written since the embedder last came by is no fault: the next recall
embeds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import WITHHELD, Embedder, embed_checked, embedding_text, text_digest
from agentmem.errors import AgentMemError, LedgerError
from agentmem.index import Progress
from agentmem.ledger import Reader, ScopedLedger, Transaction, Vectors, vectors_cursor
from agentmem.models.choice import Need
from agentmem.models.embedding import NotAsked, about, withheld
from agentmem.models.settings import EMBED
from agentmem.records import Scope
from agentmem_apps.cli.output import plural
from agentmem_apps.doctor.contents import NO_TEXT
from agentmem_apps.doctor.finding import Finding, Repair, failed
from agentmem_apps.doctor.patient import Patient

__all__ = ["Survey", "embedder", "others", "surveyed", "touched_since", "vectors"]

_BATCH = 2_000  # records and vectors held at a time: 12 MB of 1,536 dimensions
_STEP = 10_000  # changes followed between two words of how far a repair is
_OFF = 0.01  # from length 1 at which a vector is not what an embedder left
_REINDEX = "agentmem reindex vectors"


@dataclass(slots=True)
class Survey:
    """Positions of live records that await their vector, have none though they should, one of other words, or one
    that no embedder made (not of length 1 or 0, or not of its dimension). `withheld`: those that are not sent."""

    live: int = 0
    waiting: int = 0
    withheld: int = 0
    missing: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return len(self.missing) + len(self.stale) + len(self.damaged)

    @property
    def embedded(self) -> int:
        return self.live - self.waiting - self.withheld - self.wrong


def embedder(patient: Patient) -> Iterator[Finding]:
    """Whether the embedder asked for, and each that serves, answers, and with vectors like those kept."""
    if patient.embedder_fault is not None:
        yield failed("embedder", patient.embedder_fault)
    asked = {} if patient.embedder_fault else {patient.opened.embedder.id: patient.opened.embedder_of(patient.bound)}
    scopes = sorted(patient.scopes, key=lambda scope: _refused(patient, scope) == "")  # one that may ask speaks for all
    used = {**asked, **{one.id: one for one in (patient.view(scope).embeddings.embedder for scope in scopes)}}
    for one in used.values():
        try:
            if not one.dimension:  # absent: `others` tells what that means
                continue
            embed_checked(about(one, "doctor", ()), ["is anybody there?"])
        except NotAsked as error:
            means = "what has no vector is found by its words alone"
            yield Finding("embedder", "warning", f"{error}; {means}", error.way_out)
            continue
        except AgentMemError as error:
            means = "texts that are new are found by their words alone until it answers again"
            yield Finding("embedder", "fault", f"{error}; {means}", error.way_out)
            continue
        kept = patient.ledger(patient.bound).vectors(one.id, []).matrix.shape[1]
        if kept and kept != one.dimension:
            yield Finding(
                "embedder",
                "fault",
                f"{one.id} gives {one.dimension} dimensions, and its vectors here have {kept}: it is another model "
                "under the same name, and nothing new can be embedded",
                "Open the memory with the model that made them, or give the new one another id.",
            )
        else:
            yield Finding("embedder", "ok", f"{one.id} answers with {one.dimension} dimensions")


def _refused(patient: Patient, scope: Scope) -> str:
    """Why the embedder asked for may not be asked in a scope; "" when it may."""
    choice = patient.opened.embedder_choice(scope, Need(EMBED))
    return choice.why if choice.refused else ""


def others(patient: Patient) -> Iterator[Finding]:
    """Whose vectors answer, where that is not the embedder asked for, and what others have left."""
    asked = patient.opened.embedder.id
    for scope in patient.each("embedders"):
        view, ledger = patient.view(scope), patient.ledger(scope)
        serving = view.embeddings.embedder
        held = [name for name in ledger.embedders() if name != serving.id]
        if not serving.dimension:
            spec = view.embeddings.serving.spec
            yield Finding(
                "embedder",
                "fault",
                f"{serving.id} made the vectors here and is not at hand, so that recall goes by words alone",
                f"{f'Name it: --embedder {spec}' if spec else 'Open the memory with it'}; or embed all again by "
                f"{asked}: {_REINDEX}",
                str(scope),
            )
        elif serving.id != asked and patient.embedder_fault is None:
            done = ""
            if asked in held:
                with ledger.snapshot() as reader:
                    survey = surveyed(reader, asked, withheld(patient.opened.embedder_of(scope)))
                done = f" (so far {survey.embedded:,} of {survey.live:,} texts, which are kept)"
            yield Finding(
                "embedder",
                "warning",
                f"{serving.id} still answers recalls, and {asked} was asked for{done}",
                f"To change over: {_REINDEX}",
                str(scope),
            )
        for name in held:
            if name != asked or patient.embedder_fault is not None:
                yield _left(patient, scope, name, serving)


def _left(patient: Patient, scope: Scope, name: str, serving: Embedder) -> Finding:
    """Vectors that answer nothing: of an embedder that was replaced, or the first ones of its successor."""
    order = patient.tables.embedders() if patient.tables else []
    ledger = patient.ledger(scope)
    # The ledger does not say which came first here. One known before the embedder that serves was replaced by it; if
    # this is wrong, for a memory that goes back to an older embedder, its texts are embedded once more.
    if serving.id in order and name in order and order.index(name) < order.index(serving.id):
        return Finding(
            "embedder",
            "warning",
            f"vectors of {name}, which {serving.id} has replaced, are still here; they only take room",
            "agentmem doctor --fix",
            str(scope),
            Repair(f"take the vectors of {name} away", partial(_drop, ledger, name)),
        )
    with ledger.snapshot() as reader:
        survey = surveyed(reader, name)
    return Finding(
        "embedder",
        "warning",
        f"a reindex to {name} was broken off: {survey.embedded:,} of {survey.live:,} texts are done, and "
        f"{serving.id} answers meanwhile",
        f"Go on with it, from there: {_REINDEX} --embedder NAME",
        str(scope),
    )


def _drop(ledger: ScopedLedger, name: str, _: Progress) -> str:
    def unless_it_serves(transaction: Transaction) -> bool:
        standing = transaction.serving()
        if standing is not None and standing.embedder == name:
            return False
        transaction.drop_vectors(name)
        return True

    return "took them away" if ledger.transact(unless_it_serves) else "left them: they serve by now"


def vectors(patient: Patient) -> Iterator[Finding]:
    """Whether each text has its vector, from the embedder that serves."""
    live = waiting = kept = wrong = 0
    for scope in patient.each("vectors"):
        serving = patient.view(scope).embeddings.embedder
        with patient.ledger(scope).snapshot() as reader:
            survey = surveyed(reader, serving.id, withheld(serving))
        live, wrong = live + survey.live, wrong + survey.wrong
        refused = serving.id == patient.opened.embedder.id and bool(_refused(patient, scope))
        kept += survey.withheld + (survey.waiting if refused else 0)
        waiting += 0 if refused else survey.waiting
        if survey.wrong:
            yield _wanting(patient, scope, survey)
    if not wrong:
        later = f"; the next recall embeds the other {waiting:,}" if waiting else ""
        later += f"; {kept:,} may not be sent to the embedder, and are found by their words alone" if kept else ""
        yield Finding("vectors", "ok", f"{live - waiting - kept:,} of {plural(live, 'text')} embedded{later}")


def _wanting(patient: Patient, scope: Scope, survey: Survey) -> Finding:
    told = [
        f"{positions:,} {what}"
        for positions, what in (
            (len(survey.missing), "without a vector"),
            (len(survey.stale), "with one of older words"),
            (len(survey.damaged), "with a damaged one"),
        )
        if positions
    ]
    able = bool(patient.view(scope).embeddings.embedder.dimension) and not _refused(patient, scope)
    again = Repair(f"embed {plural(survey.wrong, 'text')} again", partial(_embed_again, patient, scope, survey))
    return Finding(
        "vectors",
        "fault",
        f"of {plural(survey.live, 'text')}: {', '.join(told)}; recall finds those by their words at best",
        "agentmem doctor --fix" if able else _REINDEX,
        str(scope),
        again if able else None,
    )


def _embed_again(patient: Patient, scope: Scope, survey: Survey, progress: Progress) -> str:
    """Set the embedder back to before the first of them; it passes over what has its vector."""
    embeddings = patient.view(scope).embeddings
    name = embeddings.embedder.id
    positions = np.array(survey.damaged, np.int64)
    blank = np.zeros((len(positions), patient.ledger(scope).vectors(name, []).matrix.shape[1]), np.float32)
    first = min([*survey.missing, *survey.stale, *survey.damaged])

    def back(transaction: Transaction) -> None:
        # A digest that is no text's, or what is damaged would be passed over too.
        standing = transaction.cursor(vectors_cursor(name))
        to = min(standing, first - 1)
        transaction.put_vectors(name, Vectors(positions, [NO_TEXT] * len(positions), blank), moved=(standing, to))

    patient.ledger(scope).transact(back)
    done, head = 0, patient.ledger(scope).head()
    for reached in range(first - 1, head, _STEP):
        done += embeddings.embed(min(reached + _STEP, head))
        progress(min(done, survey.wrong), survey.wrong)
    return f"embedded {plural(done, 'text')} again"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def surveyed(reader: Reader, embedder: str, away: Collection[str] = ()) -> Survey:
    """Hold every live record against its vector. Of the kinds that are kept away from the embedder none is missed."""
    survey = Survey()
    waiting = touched_since(reader, reader.cursor(vectors_cursor(embedder)))
    after = 0
    while records := reader.scan(after=after, limit=_BATCH):
        after = records[-1].position
        positions = np.array([record.position for record in records], np.int64)
        late = np.isin(positions, waiting)
        wanted = {
            r.position: text_digest(embedding_text(r)) for r, waits in zip(records, late, strict=True) if not waits
        }
        survey.live += len(records)
        survey.waiting += int(late.sum())
        kept = _kept(reader, embedder, list(wanted), survey.damaged)
        unsent = {record.position for record in records if record.kind in away}
        for position, digest in wanted.items():
            if kept.get(position) == WITHHELD:
                if position in unsent:
                    survey.withheld += 1
                else:
                    survey.missing.append(position)
            elif position in kept and kept[position] != digest:
                survey.stale.append(position)
            elif position not in kept and position not in survey.damaged[-_BATCH:]:
                survey.missing.append(position)
    return survey


def touched_since(reader: Reader, seq: int) -> NDArray[np.int64]:
    """Positions, ascending, of the records that changed after `seq`."""
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    head = reader.head()
    while seq < head:
        delta = reader.changed(seq, _BATCH)
        seq = delta.head
        found.append(np.array([record.position for record in delta.records] + delta.gone, np.int64))
    return np.unique(np.concatenate(found))


def _kept(reader: Reader, embedder: str, positions: Sequence[int], damaged: list[int]) -> dict[int, bytes]:
    """The digests by position; what is not of length 1 or 0 goes to `damaged` instead."""
    if not positions:
        return {}
    try:
        held = reader.vectors(embedder, positions)
    except LedgerError:  # one is cut off: found by halving
        if len(positions) == 1:
            damaged.append(positions[0])
            return {}
        middle = len(positions) // 2
        return _kept(reader, embedder, positions[:middle], damaged) | _kept(
            reader, embedder, positions[middle:], damaged
        )
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(held.matrix, axis=1)
        whole = (lengths == 0) | (np.abs(lengths - 1) < _OFF)
    damaged += held.positions[~whole].tolist()
    good = zip(held.positions.tolist(), held.digests, whole.tolist(), strict=True)
    return {position: digest for position, digest, is_whole in good if is_whole}
