"""Every check in its order: each presupposes those before it, and finds what they have repaired.

Findings come as they are made. Whoever takes them may run a finding's repair before taking the next one, as
`agentmem doctor --fix` does. Nothing is written meanwhile but what every opening of a memory writes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

from agentmem.config import Settings
from agentmem.errors import AgentMemError
from agentmem_apps.doctor import contents, indexes, place, vectors
from agentmem_apps.doctor.finding import Finding, failed
from agentmem_apps.doctor.patient import Patient

__all__ = ["examine"]

CHECKS: Final[tuple[tuple[str, Callable[[Patient], Iterator[Finding]]], ...]] = (
    ("erasure", contents.erasure),
    ("cursor", contents.cursors),
    ("orphans", contents.orphans),
    ("embedder", vectors.embedder),
    ("embedder", vectors.others),
    ("vectors", vectors.vectors),
    ("index", indexes.index),
    ("chroma", indexes.folders),
    ("jobs", contents.jobs),
)


def _nobody(_: str) -> None:
    """Nobody waits to be told."""


def examine(settings: Settings, tell: Callable[[str], None] = _nobody) -> Generator[Finding, None, None]:
    """What is to be said of the memory that these settings name, and of every scope that theirs may open.

    Before each long look, `tell` hears what is looked at. Close the generator (`contextlib.closing`) when it is not
    taken to its end: it holds the memory open.
    """
    yield _in_force(settings)
    tell("the folder")
    folder = place.folder_of(settings.memory)
    unwritable = False
    for finding in place.examined(folder) if folder is not None else ():
        unwritable |= finding.name == "read-only"
        yield finding
    tell("the ledger")
    try:
        patient = Patient.open(settings, tell)
    except AgentMemError as error:
        if not unwritable:  # else it was said why
            damaged = "damaged" in str(error)
            yield Finding(
                "ledger", "fault", str(error), contents.backup(folder is not None) if damaged else error.way_out
            )
        return
    with patient:
        sound = True
        for finding in contents.soundness(patient):
            sound &= finding.severity != "fault"
            yield finding
        if not sound:  # whatever is made from it would be wrong as well
            return
        for name, check in CHECKS:
            tell(name)
            try:
                yield from check(patient)
            except AgentMemError as error:
                yield failed(name, error)


def _in_force(settings: Settings) -> Finding:
    """Where each setting comes from, but for those that nobody set."""
    set_by: dict[str, list[str]] = {}
    for key, value, origin in settings.items():
        if origin != "default":
            set_by.setdefault(origin, []).append(f"{key} {value}")
    told = [f"{', '.join(values)} (by {origin})" for origin, values in set_by.items()]
    if "memory" not in {key for key, _, origin in settings.items() if origin != "default"}:
        told.insert(0, f"memory {settings.memory} (where nothing else is said)")
    return Finding("settings", "ok", "; ".join(told))
