"""A writer that is killed, and the survey of what it left: shared by the kill tests and `benchmarks/kill.py`.

The writer runs in a process of its own (`python -m tests.killing FOLDER LOG SEED`). Several threads use every writing
verb on one memory; each notes what a verb acknowledged, by one `write` to an append-only log, after the verb returned.
The survey then holds the log against the journal and the rows. It trusts neither the writer's memory nor its exit.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.errors import Conflict, InvalidInput, RecordNotFound
from agentmem.opened import open_ledger
from agentmem.records import DEFAULT_SCOPE, Change, Record

ROOT = Path(__file__).resolve().parents[1]
THREADS = 4
WORDS = ("harbour", "pier", "boat", "rain", "tide")
PATIENCE_S = 60.0  # for a child to start, on a machine that is busy with other work


class DigestEmbedder:
    """A text's digest as its vector: deterministic, meaningless, and quick enough not to be what is measured."""

    id = "digest-16-v1"
    dimension = 16

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(len(texts), 16).astype(np.float32) - 127.5


def given_vector(text: str) -> list[float]:
    """A vector that the embedder would not make for the text, so that one given with it can be told from one made."""
    return (-DigestEmbedder().embed([text])[0]).tolist()  # type: ignore[no-any-return]


# ── the writer ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """One thread's endless mix of verbs. Ids are shared, so threads meet each other's changes and their conflicts."""

    def __init__(self, memory: Memory, log: int, seed: int, ids: list[str]) -> None:
        self._memory = memory
        self._log = log
        self._random = random.Random(seed)
        self._name = f"{seed:x}"
        self._ids = ids
        self._count = 0

    def run(self) -> None:
        verbs = {
            self.add: 40,
            self.add_many: 8,
            self.edit: 20,
            self.forget: 8,
            self.merge: 6,
            self.undo: 8,
            self.recall: 8,
            self.erase: 1,
        }
        while True:
            [verb] = self._random.choices(list(verbs), list(verbs.values()))
            try:
                verb()
            except (Conflict, InvalidInput, RecordNotFound):
                continue  # another thread was faster: nothing was acknowledged, so nothing is noted

    def _note(self, **acknowledged: Any) -> None:
        os.write(self._log, (json.dumps(acknowledged) + "\n").encode())

    def _note_records(self, *records: Record, given: bool = False) -> None:
        self._note(records=[[record.id, record.revision, record.text, given] for record in records])

    def _text(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count} {' '.join(self._random.choices(WORDS, k=9))}"

    def _some(self, k: int) -> list[str]:
        return self._random.sample(self._ids, min(k, len(self._ids)))

    def add(self) -> None:
        text, given = self._text(), self._random.random() < 0.5
        record = self._memory.add(text, vector=given_vector(text) if given else None)
        self._note_records(record, given=given)
        self._ids.append(record.id)

    def add_many(self) -> None:
        texts = [self._text() for _ in range(self._random.randint(2, 60))]
        with self._memory.step(f"batch of {len(texts)}"):
            records = self._memory.add_many({"text": text, "vector": given_vector(text)} for text in texts)
        self._note_records(*records, given=True)
        self._ids += [record.id for record in records]

    def edit(self) -> None:
        for id in self._some(1):
            standing = self._memory.get(id)
            self._note_records(self._memory.edit(id, text=self._text(), revision=standing.revision))

    def forget(self) -> None:
        self._note_records(*self._memory.forget(*self._some(2)))

    def merge(self) -> None:
        ids = self._some(3)
        with self._memory.step(f"batch of {len(ids) + 1}"):
            merged = self._memory.merge(*ids)
        self._note_records(merged)

    def undo(self) -> None:
        self._note(changes=[[change.seq, change.record_id] for change in self._memory.undo()])

    def recall(self) -> None:
        self._memory.recall(self._text(), 3)

    def erase(self) -> None:
        record = self._memory.add(self._text())
        self._note(erasing=record.id)
        self._memory.forget(record.id, hard=True)
        self._note(erased=record.id)


def _write_until_killed(folder: str, log: str, seed: int) -> None:
    def die(args: threading.ExceptHookArgs) -> None:
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
        os._exit(3)

    threading.excepthook = die
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _say("opening")
    memory = Memory.open(folder, embedder=DigestEmbedder())
    ids = [record.id for record in memory.newest(200)]
    writers = [Writer(memory, handle, seed * THREADS + n, ids) for n in range(THREADS)]
    threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
    _say("writing")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


# ── the kill ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def kill_a_writer(folder: Path, log: Path, *, seed: int, after_s: float, once: str = "writing") -> None:
    """Start a writer, wait until it is `opening` or `writing`, and SIGKILL it `after_s` seconds later."""
    argv = [sys.executable, "-m", "tests.killing", str(folder), str(log), str(seed)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            said = next((line for line in child.stdout if line.strip() == once), None)
            if said is None:
                raise AssertionError(f"the writer ended before it was {once}:\n{child.stderr.read()}")
            try:
                code = child.wait(after_s)
            except subprocess.TimeoutExpired:
                return  # it writes, as it should
            raise AssertionError(f"the writer ended by itself with {code}:\n{child.stderr.read()}")
        finally:
            child.kill()


# ── the survey ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Survey:
    """What stands after a kill. `acknowledged` counts record versions; `extra` the steps written, but cut off before
    they were noted: work that a caller must be ready to find done."""

    acknowledged: int = 0
    records: int = 0
    changes: int = 0
    extra: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.torn or self.disagreements)


def acknowledgements(logs: Sequence[Path]) -> list[dict[str, Any]]:
    """The whole lines of the logs; a last one that the kill cut off was never acknowledged."""
    lines: list[str] = []
    for log in logs:
        if log.exists():  # a writer killed at once had no time to make it
            lines += log.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def survey(folder: Path, logs: Sequence[Path]) -> Survey:
    """Hold everything ever acknowledged in this folder against its journal and rows."""
    noted = acknowledgements(logs)
    found = Survey()
    with Memory.open(folder, embedder=DigestEmbedder(), create=False) as memory:
        journal = list(reversed(memory.log(limit=10_000_000)))
        rows = {record.id: record for record in memory.records(states=("live", "forgotten", "replaced"))}
        found.disagreements = memory.verify()
    found.records, found.changes = len(rows), len(journal)
    told, erased = _versions(journal)
    vectors = _stored_vectors(folder)
    _check_erasures(noted, rows, erased, found)
    _check_steps(journal, erased, found)
    seqs = {(change.seq, change.record_id) for change in journal}
    for note in noted:
        found.lost += [f"change {seq} of {id}" for seq, id in note.get("changes", ()) if (seq, id) not in seqs]
        for id, revision, text, given in note.get("records", ()):
            found.acknowledged += 1
            if id in erased:
                continue
            body = told.get(id, {}).get(revision)
            if body is None or body.get("text") != text:
                found.lost.append(f"{id} at revision {revision}")
                continue
            row = rows.get(id)
            if row is not None and row.revision < revision:
                found.lost.append(f"{id}: the row is at revision {row.revision}, acknowledged was {revision}")
            if given and row is not None and row.revision == 1 and not _holds(vectors.get(row.position), text):
                found.lost.append(f"{id}: the vector given with it")
    found.extra = _unacknowledged(noted, journal, seqs)
    return found


def _unacknowledged(noted: Sequence[dict[str, Any]], journal: Sequence[Change], seqs: set[tuple[int, str]]) -> int:
    """Steps of the journal none of whose changes was noted."""
    versions = {(id, revision) for note in noted for id, revision, *_ in note.get("records", ())}
    taken_back = {(seq, id) for note in noted for seq, id in note.get("changes", ())} & seqs
    named = {note[word] for note in noted for word in ("erasing", "erased") if word in note}
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


def _versions(journal: Sequence[Change]) -> tuple[dict[str, dict[int, dict[str, Any]]], set[str]]:
    """Every version of every record as the journal tells it, by id and revision; and the ids erased for good."""
    told: dict[str, dict[int, dict[str, Any]]] = {}
    bodies: dict[str, dict[str, Any]] = {}
    erased = {change.record_id for change in journal if change.verb == "erase"}
    for change in journal:
        id = change.record_id
        if id in erased or change.after is None:
            bodies.pop(id, None)
            continue
        body: dict[str, Any] = dict(change.after) if change.before is None else {**bodies.get(id, {}), **change.after}
        bodies[id] = body
        told.setdefault(id, {})[int(body.get("revision", 1))] = body
    return told, erased


def _stored_vectors(folder: Path) -> dict[int, NDArray[np.float32]]:
    ledger = open_ledger(folder, create=False)
    try:
        kept = ledger.bind(DEFAULT_SCOPE).vectors(DigestEmbedder.id)
    finally:
        ledger.close()
    return dict(zip(kept.positions.tolist(), kept.matrix, strict=True))


def _holds(stored: NDArray[np.float32] | None, text: str) -> bool:
    if stored is None:
        return False
    wanted = np.array(given_vector(text), np.float32)
    return bool(np.allclose(stored, wanted / np.linalg.norm(wanted), atol=1e-6))


def _check_erasures(noted: Sequence[dict[str, Any]], rows: dict[str, Record], erased: set[str], found: Survey) -> None:
    intended = {note["erasing"] for note in noted if "erasing" in note}
    acknowledged = {note["erased"] for note in noted if "erased" in note}
    found.lost += [f"{id}: erased, and nobody asked for it" for id in sorted(erased - intended)]
    found.lost += [f"{id}: its erasure" for id in sorted(acknowledged - erased)]
    found.disagreements += [f"{id} is erased and still here" for id in sorted(erased & rows.keys())]


def _check_steps(journal: Sequence[Change], erased: set[str], found: Survey) -> None:
    """A step that was announced with its size has all of its changes or none."""
    sizes: dict[int, tuple[str, int]] = {}
    for change in journal:
        if change.cause.startswith("batch of ") and change.undoes is None:
            sizes[change.step] = (change.cause, sizes.get(change.step, ("", 0))[1] + 1)
    found.torn += [f"step {step}: {cause} has {n}" for step, (cause, n) in sizes.items() if cause != f"batch of {n}"]


if __name__ == "__main__":
    _write_until_killed(sys.argv[1], sys.argv[2], int(sys.argv[3]))
