"""What stands after a kill, held against what the writers noted: nothing acknowledged lost, nothing half done.

`survey` reads journal, rows and vectors; `diverging` lets the projections catch up and compares them with those of a
memory that was built anew from the same records. Neither trusts the writers' memory or their exit.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import Change, Cue, Hit, Memory, Record
from agentmem.embedding import embedding_text, text_digest
from agentmem.opened import open_ledger
from agentmem.records import DEFAULT_SCOPE, State
from tests.fakes import DigestEmbedder, given_vector
from tests.faults.writer import fingerprint

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
ASKED = 40  # records asked for when an index is held against one built anew
HITS = 5  # and the hits that must be the same


@dataclass(slots=True)
class Survey:
    """What stands after a kill. `acknowledged` counts record versions; `unnoted` the steps written, but cut off before
    they were noted: work that a caller must be ready to find done."""

    acknowledged: int = 0
    records: int = 0
    changes: int = 0
    unnoted: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.torn or self.disagreements)


# ── the logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Note = dict[str, Any]


def notes(log: Path) -> list[Note]:
    """The whole lines of a log; a last one that the kill cut off was never acknowledged."""
    if not log.exists():  # a writer killed at once had no time to make it
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n")[:-1]]


def in_flight(log: Path) -> list[str]:
    """The verbs that were begun in this log and never ended, one of a thread at most."""
    last = {note["by"]: note for note in notes(log)}
    return [note["begins"] for note in last.values() if "begins" in note]


def verbs_ended(log: Path) -> Counter[str]:
    """How often each verb was acknowledged in this log."""
    running: dict[int, str] = {}
    ended: Counter[str] = Counter()
    for note in notes(log):
        if "begins" in note:
            running[note["by"]] = note["begins"]
        elif (verb := running.pop(note["by"], None)) and "refused" not in note:
            ended[verb] += 1
    return ended


# ── nothing lost ─────────────────────────────────────────────────────────────────────────────────────────────────────


def survey(location: str | Path, logs: Sequence[Path]) -> Survey:
    """Hold everything ever acknowledged in this memory against its journal, rows and vectors."""
    noted = [note for log in logs for note in notes(log)]
    found = Survey()
    making = not any("records" in note for note in noted)  # killed so early, it may have left an empty file
    with Memory.open(location, embedder=DigestEmbedder(), create=making) as memory:
        journal = list(reversed(memory.log(limit=10_000_000)))
        rows = {record.id: record for record in memory.records(states=ALL)}
        found.disagreements = memory.verify()
    found.records, found.changes = len(rows), len(journal)
    told, erased = _versions(journal)
    vectors = _stored_vectors(location)
    seqs = {(change.seq, change.record_id) for change in journal}
    _check_erasures(noted, journal, rows, erased, found)
    _check_steps(journal, found)
    _check_vectors(noted, rows, vectors, found)
    for note in noted:
        found.lost += [f"change {seq} of {id}" for seq, id in note.get("changes", ()) if (seq, id) not in seqs]
        for id, revision, print, given in note.get("records", ()):
            found.acknowledged += 1
            if id in erased:
                continue
            if told.get(id, {}).get(revision) != print:
                found.lost.append(f"{id} at revision {revision}")
                continue
            row = rows.get(id)
            if row is not None and row.revision < revision:
                found.lost.append(f"{id}: the row is at revision {row.revision}, acknowledged was {revision}")
            if given and row is not None and row.revision == 1:
                stored = vectors.get(row.position)
                if stored is None or not _alike(stored.row, given_vector(row.text)):
                    found.lost.append(f"{id}: the vector given with it")
    found.unnoted = _unnoted(noted, journal, seqs)
    return found


def _versions(journal: Sequence[Change]) -> tuple[dict[str, dict[int, str]], set[str]]:
    """The fingerprint of every version of every record as the journal tells it, by id and revision; the erased ids."""
    told: dict[str, dict[int, str]] = {}
    bodies: dict[str, dict[str, Any]] = {}
    erased = {change.record_id for change in journal if change.verb == "erase"}
    for change in journal:
        id = change.record_id
        if id in erased or change.after is None:
            bodies.pop(id, None)
            continue
        body: dict[str, Any] = dict(change.after) if change.before is None else {**bodies.get(id, {}), **change.after}
        bodies[id] = body
        record = Record.from_json(body)
        told.setdefault(id, {})[record.revision] = fingerprint(record)
    return told, erased


def _unnoted(noted: Sequence[Note], journal: Sequence[Change], seqs: set[tuple[int, str]]) -> int:
    """Steps of the journal none of whose changes was noted."""
    versions = {(id, revision) for note in noted for id, revision, *_ in note.get("records", ())}
    taken_back = {(seq, id) for note in noted for seq, id in note.get("changes", ())} & seqs
    named = {id for note in noted for id in (note.get("erasing"), *note.get("erased", ()))}
    steps: dict[int, bool] = {}
    for change in journal:
        revision = (change.after or {}).get("revision", 1)
        seen = (
            (change.seq, change.record_id) in taken_back
            or change.record_id in named
            or (change.undoes is None and (change.record_id, revision) in versions)
        )
        steps[change.step] = steps.get(change.step, False) or seen
    return sum(not seen for seen in steps.values())


def _check_erasures(
    noted: Sequence[Note], journal: Sequence[Change], rows: Mapping[str, Record], erased: set[str], found: Survey
) -> None:
    """Each erasure holds a record that somebody named: what else goes with it is its family, by `plan_erasure`."""
    named = {note["erasing"] for note in noted if "erasing" in note}
    acknowledged = {id for note in noted for id in note.get("erased", ())}
    steps: dict[int, set[str]] = {}
    for change in journal:
        if change.verb == "erase":
            steps.setdefault(change.step, set()).add(change.record_id)
    found.lost += [f"erased in step {step}, and nobody asked for it" for step, ids in steps.items() if not ids & named]
    found.lost += [f"{id}: its erasure" for id in sorted(acknowledged - erased)]
    found.disagreements += [f"{id} is erased and still here" for id in sorted(erased & rows.keys())]


def _check_steps(journal: Sequence[Change], found: Survey) -> None:
    """A step that was announced with its size has all of its changes or none."""
    sizes: dict[int, tuple[str, int]] = {}
    for change in journal:
        if change.cause.startswith("batch of ") and change.undoes is None:
            sizes[change.step] = (change.cause, sizes.get(change.step, ("", 0))[1] + 1)
    erased = {change.step for change in journal if change.erased and change.verb != "erase"}  # their causes are gone
    found.torn += [
        f"step {step}: {cause} has {n}"
        for step, (cause, n) in sizes.items()
        if cause != f"batch of {n}" and step not in erased
    ]


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Stored(NamedTuple):
    digest: bytes
    row: NDArray[np.float32]


def _stored_vectors(location: str | Path) -> dict[int, Stored]:
    ledger = open_ledger(location, create=False)
    try:
        kept = ledger.bind(DEFAULT_SCOPE).vectors(DigestEmbedder.id)
    finally:
        ledger.close()
    pairs = (Stored(digest, row) for digest, row in zip(kept.digests, kept.matrix, strict=True))
    return dict(zip(kept.positions.tolist(), pairs, strict=True))


def _alike(stored: NDArray[np.float32], wanted: Sequence[float] | NDArray[np.float32]) -> bool:
    row = np.asarray(wanted, np.float32)
    return bool(np.allclose(stored, row / np.linalg.norm(row), atol=1e-6))


def _fits(record: Record, stored: Stored, given: set[str]) -> bool:
    """Whether a vector under the digest of the record's words was made from them, or given with them."""
    made = DigestEmbedder().embed([embedding_text(record)])[0]
    return _alike(stored.row, made) or (record.text in given and _alike(stored.row, given_vector(record.text)))


def _is_current(record: Record, stored: Stored | None) -> bool:
    return stored is not None and stored.digest == text_digest(embedding_text(record))


def _given(noted: Iterable[Note]) -> set[str]:
    return {text for note in noted for text in note.get("given", ())}


def _check_vectors(
    noted: Sequence[Note], rows: Mapping[str, Record], vectors: Mapping[int, Stored], found: Survey
) -> None:
    """A vector belongs to a row and says what it says of it; what was flushed has one."""
    given = _given(noted)
    by_position = {record.position: record for record in rows.values()}
    for position, stored in vectors.items():
        record = by_position.get(position)
        if record is None:
            found.disagreements.append(f"the vector at {position} belongs to no record")
        elif _is_current(record, stored) and not _fits(record, stored, given):
            found.disagreements.append(f"{record.id}: its vector is of other words")
    for note in noted:
        if note.get("flushed"):
            id, revision = note["flushed"]
            row = rows.get(id)
            stands = row is not None and (row.revision, row.state) == (revision, "live")
            if row is not None and stands and not _is_current(row, vectors.get(row.position)):
                found.lost.append(f"{id}: the vector that a flush acknowledged")


# ── convergence ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Told(DigestEmbedder):
    """The digest embedder, but for the texts whose vector was given."""

    def __init__(self, given: Mapping[str, NDArray[np.float32]]) -> None:
        self._given = given

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        made = super().embed(texts)
        for i, text in enumerate(texts):
            made[i] = self._given.get(text, made[i])
        return made


def diverging(location: str | Path, logs: Sequence[Path]) -> list[str]:
    """Where the projections, once they caught up, differ from ones built anew; sentences, [] when they converged."""
    given = _given(note for log in logs for note in notes(log))
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as fresh,
        Memory.open(location, embedder=DigestEmbedder()) as memory,
    ):
        memory.flush()
        if pending := memory.stats().pending:
            wrong.append(f"{pending} texts wait after a flush")
        vectors = _stored_vectors(location)
        live = list(memory.records())
        kept: dict[str, NDArray[np.float32]] = {}
        for record in live:
            stored = vectors.get(record.position)
            if stored is None or not _is_current(record, stored):
                wrong.append(f"{record.id} has no vector of its words after a flush")
            elif not _fits(record, stored, given):
                wrong.append(f"{record.id}: its vector is of other words")
            else:
                kept[embedding_text(record)] = stored.row
        if wrong:  # other vectors would make other scores
            return wrong
        for name in memory.stores:
            seen = dict(memory.stores[name].inspect())
            memory.reindex(name)
            if dict(memory.stores[name].inspect()) != seen:
                wrong.append(f"{name} is not what building it anew gives")
        with Memory.open(fresh, embedder=Told(kept)) as anew:
            anew.add_many(memory.records(states=ALL))
            anew.flush()
            for handle in (memory, anew):  # the stores were compared by themselves
                handle.route({})
            for record in live[:: max(1, len(live) // ASKED)]:
                # Asked for by its own words and its own vector it is first, whatever else is there.
                cue = Cue(record.text, vector=tuple(kept[embedding_text(record)].tolist()))
                hits = memory.recall(cue, HITS)
                if not hits or hits[0].record.id != record.id or "cosine 1.00" not in hits[0].verdict:
                    wrong.append(f"{record.id} is not found by its own text")
                found, expected = _scores(hits), _scores(anew.recall(cue, HITS))
                if not _agree(found, expected):
                    told = f"{found}, not {expected}"
                    wrong.append(f"{record.id}: asked for by its text, an index built anew answers otherwise: {told}")
    return wrong


def _agree(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    """The same hits with the same scores, save that of those which tie for the last place any may be there."""
    last, ids = min(found.values(), default=0.0), found.keys() | expected.keys()
    near = all(abs(found.get(id, last) - expected.get(id, last)) <= 1e-3 for id in ids)
    return near and len(found) == len(expected)


def _scores(hits: Iterable[Hit]) -> dict[str, float]:
    return {hit.record.id: hit.score for hit in hits}
