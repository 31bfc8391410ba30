"""The ledger: whether its file is whole, whether journal and rows agree, and what was left lying in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from agentmem.errors import AgentMemError
from agentmem.index import Progress
from agentmem.ledger import ScopedLedger, Transaction, vectors_cursor
from agentmem.records import Scope
from agentmem.values import ODD
from agentmem.verify import disagreements
from agentmem_apps.cli.output import plural
from agentmem_apps.doctor.finding import Finding, Repair, plenty
from agentmem_apps.doctor.patient import Patient
from agentmem_apps.doctor.tables import Tables

__all__ = ["NO_TEXT", "backup", "cursors", "erasure", "jobs", "orphans", "soundness"]

_BATCH = 5_000  # vectors taken away in one transaction
NO_TEXT: Final = b""  # a digest that is no text's, so that what bears it is embedded again


def backup(in_a_folder: bool) -> str:
    """What to do when a ledger is damaged."""
    if not in_a_folder:
        return "Restore a backup."
    return (
        "Restore a backup. Without one, `agentmem doctor --salvage FILE` writes down what can still be read; take "
        "that into a new memory: agentmem import FILE --memory NEW"
    )


def soundness(patient: Patient) -> Iterator[Finding]:
    """The file's pages, then journal and rows of each scope."""
    way_out = backup(patient.opened.ledger.folder is not None)
    sound = True
    for number, scope in enumerate(patient.each("journal and rows")):
        ledger = patient.ledger(scope)
        try:
            if number == 0:  # the pages are all scopes' together
                wrong = ledger.verify()
            else:
                with ledger.snapshot() as reader:
                    wrong = disagreements(reader)
        except AgentMemError as error:
            yield Finding("ledger", "fault", f"{error}; not all of it can be read", way_out, str(scope))
            return
        except ODD:  # a value that is no JSON, or not of its kind
            yield Finding("ledger", "fault", "a row of it is damaged and cannot be read", way_out, str(scope))
            return
        if wrong:
            sound = False
            yield Finding("ledger", "fault", plenty(wrong), way_out, str(scope))
    if sound:
        scopes = f" in {len(patient.scopes):,} scopes" if len(patient.scopes) > 1 else ""
        yield Finding("ledger", "ok", f"journal and rows agree{scopes}")


def erasure(patient: Patient) -> Iterator[Finding]:
    """Words that were erased, and whose bytes are still in a file. Every opening tries to finish this."""
    if patient.tables is None or not patient.tables.unreclaimed():
        return
    ledger = patient.ledger(patient.bound)

    def reclaim(_: Progress) -> str:
        ledger.reclaim()
        return "the last copy is gone"

    yield Finding(
        "erasure",
        "fault",
        "words that were erased for good are still in the ledger's files, because another program reads an older "
        "state of them",
        "Close the other program; the next opening of this memory clears the last copy.",
        repair=Repair("clear the last copy", reclaim),
    )


def cursors(patient: Patient) -> Iterator[Finding]:
    """A cursor that is ahead of the journal, as after half of a backup was restored: new texts would be passed over."""
    for scope in patient.each("cursors"):
        ledger = patient.ledger(scope)
        head = ledger.head()
        for embedder in ledger.embedders():
            cursor = ledger.cursor(vectors_cursor(embedder))
            if cursor > head:
                yield Finding(
                    "cursor",
                    "fault",
                    f"{embedder} is said to have followed the journal to change {cursor:,}, and that ends at {head:,}: "
                    "new texts would get no vector",
                    "agentmem doctor --fix",
                    str(scope),
                    Repair(f"let {embedder} follow again", partial(_set_back, patient, scope, embedder)),
                )


def _set_back(patient: Patient, scope: Scope, embedder: str, _: Progress) -> str:
    """What has its vector is passed over when the embedder comes by."""
    ledger = patient.ledger(scope)
    nothing = ledger.vectors(embedder, [])

    def back(transaction: Transaction) -> None:
        standing = transaction.cursor(vectors_cursor(embedder))
        if standing > transaction.head():
            transaction.put_vectors(embedder, nothing, moved=(standing, 0))

    ledger.transact(back)
    return "it follows the journal from its start"


def orphans(patient: Patient) -> Iterator[Finding]:
    """Vectors that belong to no record."""
    if patient.tables is None:
        return
    for scope in patient.each("vectors of no memory"):
        for embedder in patient.ledger(scope).embedders():
            found = len(patient.tables.orphans(scope, embedder, _BATCH))
            if found:
                many = f"{plural(found, 'vector')}{' or more' if found == _BATCH else ''}"
                yield Finding(
                    "orphans",
                    "warning",
                    f"{many} of {embedder} without a memory: they only take room",
                    "agentmem doctor --fix",
                    str(scope),
                    Repair("take them away", partial(_take_away, patient.tables, patient.ledger(scope), embedder)),
                )


def _take_away(tables: Tables, ledger: ScopedLedger, embedder: str, _: Progress) -> str:
    done = 0
    while positions := tables.orphans(ledger.scope, embedder, _BATCH):
        ledger.transact(partial(_drop, embedder, positions))
        done += len(positions)
    return f"took {done:,} away"


def _drop(embedder: str, positions: Sequence[int], transaction: Transaction) -> None:
    transaction.drop_vectors(embedder, positions)


def jobs(patient: Patient) -> Iterator[Finding]:
    """Work that was given up after its last attempt."""
    if patient.tables is None:
        return
    for scope in patient.each("jobs"):
        dead = patient.tables.dead_jobs(scope)
        if dead:
            why = plenty(sorted({f"{job.kind} ({job.error or 'no reason was given'})" for job in dead}))
            yield Finding(
                "jobs",
                "warning",
                f"{plural(len(dead), 'job')} given up after the last attempt: {why}; no memory is lost by it",
                "Put the cause right; then whoever left the job has to leave it again, or retry it.",
                str(scope),
            )
