"""A whole ledger copied: backup, restore, and the move between a folder and a server. Nothing is lost on the way."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from agentmem import LedgerError, Memory, Scope
from agentmem.models.calls import Call
from agentmem.opened import open_ledger
from agentmem_apps.cli import app
from agentmem_stores.sql.copying import copy_ledger
from agentmem_stores.sql.ledger import SqlLedger, SqlScope
from agentmem_stores.sql.schema import identity, metadata, migrations, segments
from tests.fakes import TinyEmbedder

SCOPES = ["default", "user:ana", "user:ana/agent:guide", "user:bea"]


def opened(place: str) -> SqlLedger:
    ledger = open_ledger(place)
    assert isinstance(ledger, SqlLedger)
    return ledger


def lived_in(place: str) -> None:
    with Memory.open(place, embedder=TinyEmbedder()) as memory:
        for path in SCOPES:
            scoped = memory if path == "default" else memory.scope(*Scope(path))
            first, second, third = scoped.add_many(
                [f"{path} one 🛶", f"{path} two \u202ertl", {"text": "three", "tags": ["x"]}]
            )
            scoped.edit(first.id, text="edited", meta={"deep": [1, {"a": None}]})
            merged = scoped.merge(second.id, third.id)
            scoped.forget(merged.id)
            scoped.undo()
            scoped.pin(first.id)
            scoped.flush()
            kept = cast(SqlScope, memory._opened.ledger.bind(scoped.bound))
            kept.jobs.put("extract", {"id": first.id})
            kept.calls.begin(Call("extract", "a model", cause=first.id, tokens_in=12))


def contents(place: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, save what each ledger has of its own."""
    ledger = opened(place)
    with ledger.reading() as connection:
        rows = {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            if table not in (identity, migrations, segments)
        }
    ledger.close()
    return rows


def copied(source: str, target: str) -> dict[str, int]:
    outof, into = opened(source), opened(target)
    try:
        return copy_ledger(outof, into)
    finally:
        outof.close()
        into.close()


def test_there_and_back_nothing_is_lost(places: Callable[[], str], tmp_path: Path) -> None:
    folder, elsewhere, back = str(tmp_path / "start.mem"), places(), str(tmp_path / "back.mem")
    lived_in(folder)
    counts = copied(folder, elsewhere)
    assert copied(elsewhere, back) == counts
    start = contents(folder)
    assert counts == {name: len(rows) for name, rows in start.items()}
    assert contents(elsewhere) == start
    assert contents(back) == start
    for place in (elsewhere, back):
        with Memory.open(place, embedder=TinyEmbedder()) as memory:
            for path in SCOPES:
                scoped = memory if path == "default" else memory.scope(*Scope(path))
                assert scoped.verify() == []
                assert "edited" in {hit.record.text for hit in scoped.recall("edited")}
                scoped.undo(3)  # the history came along
                added = scoped.add("life goes on")  # and new rows take no number that is taken
                assert scoped.get(added.id).position == scoped.stats().head
            fresh = memory.scope("user:new")
            fresh.add("a new scope")
            assert fresh.stats().records == {"live": 1}


def test_a_copy_is_another_memory(tmp_path: Path) -> None:
    lived_in(str(tmp_path / "a"))
    copied(str(tmp_path / "a"), str(tmp_path / "b"))
    one, two = opened(str(tmp_path / "a")), opened(str(tmp_path / "b"))
    assert one.identity != two.identity
    one.close()
    two.close()


def test_a_place_that_holds_a_memory_is_left_as_it_is(places: Callable[[], str], tmp_path: Path) -> None:
    target = places()
    lived_in(str(tmp_path / "a"))
    with Memory.open(target, embedder=TinyEmbedder()) as memory:
        memory.add("here first")
    before = contents(target)
    with pytest.raises(LedgerError, match="already") as told:
        copied(str(tmp_path / "a"), target)
    assert told.value.way_out
    assert contents(target) == before


def test_what_is_written_meanwhile_is_in_it_whole_or_not_at_all(places: Callable[[], str], tmp_path: Path) -> None:
    """Steps of three adds each: no copy holds a part of one."""
    source = places()
    stop = threading.Event()
    with Memory.open(source, embedder=TinyEmbedder()) as memory:
        memory.add_many(["a", "b", "c"])

        def write() -> None:
            while not stop.is_set():
                memory.add_many(["one", "two", "three"])

        writing = threading.Thread(target=write)
        writing.start()
        try:
            for n in range(5):
                target = str(tmp_path / f"copy{n}")
                copied(source, target)
                with Memory.open(target, embedder=TinyEmbedder()) as held:
                    assert held.verify() == []
                    assert sum(1 for _ in held.records()) % 3 == 0
        finally:
            stop.set()
            writing.join()


KILLED = """
import os, signal, sys
from agentmem.models.calls import Call
from agentmem.opened import open_ledger
from agentmem_stores.sql import copying
copying._ROWS = 10
def progress(done, total):
    if done > 60:
        os.kill(os.getpid(), signal.SIGKILL)
copying.copy_ledger(open_ledger(sys.argv[1]), open_ledger(sys.argv[2]), progress)
"""


def test_one_that_is_killed_leaves_nothing_and_can_be_done_again(places: Callable[[], str], tmp_path: Path) -> None:
    source, target = str(tmp_path / "a"), places()
    with Memory.open(source, embedder=TinyEmbedder()) as memory:
        memory.add_many(f"number {n}" for n in range(100))
    assert subprocess.run([sys.executable, "-c", KILLED, source, target], check=False).returncode == -9
    assert contents(target) == {name: [] for name in contents(target)}
    copied(source, target)
    assert contents(target) == contents(source)


def test_the_command_backs_up_and_restores(tmp_path: Path) -> None:
    lived_in(str(tmp_path / "a"))
    runner = CliRunner()
    ran = runner.invoke(app.program, ["copy", str(tmp_path / "b"), "--memory", str(tmp_path / "a")])
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.strip() == str(tmp_path / "b")
    assert "copied 16 records" in ran.stderr
    assert "4 scopes" in ran.stderr
    assert contents(str(tmp_path / "b")) == contents(str(tmp_path / "a"))
    again = runner.invoke(app.program, ["copy", str(tmp_path / "b"), "--memory", str(tmp_path / "a")])
    assert again.exit_code == 3
    assert "already" in again.stderr
    nothing = runner.invoke(app.program, ["copy", str(tmp_path / "c"), "--memory", str(tmp_path / "none")])
    assert nothing.exit_code == 3
    assert not (tmp_path / "c").exists()


def test_it_is_a_sound_sqlite_file(tmp_path: Path) -> None:
    lived_in(str(tmp_path / "a"))
    copied(str(tmp_path / "a"), str(tmp_path / "b"))
    with sqlite3.connect(tmp_path / "b" / "ledger.sqlite3") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()
