"""What the doctor's tests share: a memory that something is done to, and what is found in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from agentmem import Memory
from agentmem.config import Settings
from agentmem.opened import open_ledger
from agentmem.records import Record, State
from agentmem_apps.cli.app import program
from agentmem_apps.doctor.examination import examine
from agentmem_apps.doctor.finding import Finding
from agentmem_stores.sql.ledger import SqlLedger

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
HASH, OTHER = "hash-512-v1", "hash-1024-v1"
PLENTY = 40


def quiet(done: int, total: int) -> None:
    """Nobody is told how far it is."""


def examined(place: str | Path, *, fix: bool = False, **settings: str) -> list[Finding]:
    """Every finding, mended before the next is looked for."""
    given: Any = {"embedder": "hash", "index": "auto", **settings}
    with closing(examine(Settings(memory=str(place), **given))) as examination:
        return [finding.mended(quiet) if fix else finding for finding in examination]


def amiss(place: str | Path, *, fix: bool = False, **settings: str) -> list[Finding]:
    return [finding for finding in examined(place, fix=fix, **settings) if finding.severity != "ok"]


def opened(place: str | Path, **more: Any) -> Memory:
    return Memory.open(place, **{"embedder": "hash", **more})


def filled(place: str | Path, n: int = PLENTY, **more: Any) -> list[Record]:
    with opened(place, **more) as memory:
        made = memory.add_many(f"the ferry number {i} leaves the harbour at {i % 24}" for i in range(n))
        memory.load()
        return made


def behind_its_back(place: str, work: Callable[[Connection], Any]) -> None:
    """Change the tables as no verb would."""
    ledger = cast(SqlLedger, open_ledger(place))
    try:
        ledger.writer.run(work)
    finally:
        ledger.close()


def content(place: str | Path) -> tuple[list[Any], list[Any]]:
    """What must never change: records and journal, of every scope."""
    with opened(place) as memory:
        return list(memory.records(states=ALL)), memory.log(10_000)


def dense(place: str | Path, cue: str) -> list[str]:
    with opened(place) as memory:
        return [hit.record.id for hit in memory.recall(cue, k=5) if "dense" in hit.parts]


Run = Callable[..., tuple[int, str, str]]


def command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`agentmem` in this folder, on a memory at notes.mem in it: exit status, stdout, stderr."""
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(folder / "home"))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "hash")

    def call(*argv: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(program, ["--memory", "notes.mem", *argv])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return call
