"""Whoever waits for the doctor on a terminal sees what is being checked; a pipe, a script and --quiet see nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.config import Settings
from agentmem_apps.doctor.examination import CHECKS, examine
from tests.terminal import on_terminal

# The doctor with one check more, which takes its time in each scope: until a key is pressed, or else until there is a
# line to draw, if there ever is: its thread is over then, and a line that was begun is drawn at the latest at its end.
_SLOWLY = """
import sys, threading
from agentmem_apps.cli.app import program
from agentmem_apps.doctor import examination

def slow(patient):
    for scope in patient.each('a slow thing'):
        if sys.argv[1] == 'until a key':
            sys.stdin.readline()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    return iter(())

examination.CHECKS = (('slow', slow), *examination.CHECKS)
program(sys.argv[2:])
"""
SLOWLY = [sys.executable, "-c", _SLOWLY]
BESIDE = "user:[red]\u202eana"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of a person with a memory of two scopes, one of them named to take over a terminal."""
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("a whale")
        memory.scope(BESIDE).add("another whale")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AGENTMEM_MEMORY": str(tmp_path / "notes.mem"),
        "AGENTMEM_EMBEDDER": "hash",
    }


def test_each_check_is_told_before_it_begins_and_each_scope_by_name(environ: dict[str, str]) -> None:
    told: list[str] = []
    place = environ["AGENTMEM_MEMORY"]
    with closing(examine(Settings(memory=place, embedder="hash"), told.append)) as examination:
        for finding in examination:
            if finding.name == "ledger":
                assert told[-1] == f"journal and rows in {BESIDE} (2 of 2)"
    assert told[:3] == ["the folder", "the ledger", "journal and rows in default (1 of 2)"]
    assert {name for name, _ in CHECKS} <= set(told)
    for what in ("cursors", "vectors of no memory", "embedders", "vectors", "index", "jobs"):
        assert f"{what} in {BESIDE} (2 of 2)" in told


def test_a_terminal_shows_what_is_checked_and_wipes_it(environ: dict[str, str], tmp_path: Path) -> None:
    doctor = [*SLOWLY, "until a key", "doctor"]
    lines = [f"checking a slow thing in {scope}" for scope in ("default (1 of 2)", "user:[red]ana (2 of 2)")]
    keys = [(line, "\n") for line in lines]
    screen = on_terminal(doctor, cwd=tmp_path, environ=environ, answers=keys)
    assert screen.code == 0
    before, _, during = screen.text.partition(lines[0])
    assert "journal and rows agree in 2 scopes" in before  # findings come as they are made
    shown, _, after = during.rpartition("\x1b[2K")  # the line is wiped
    assert lines[1] in shown
    assert "all is well" in after
    assert "checking" not in after
    assert "\u202e" not in screen.text


@pytest.mark.parametrize("argv", [["--json"], ["--quiet"]])
def test_a_script_on_a_terminal_is_shown_nothing_of_it(
    environ: dict[str, str], tmp_path: Path, argv: list[str]
) -> None:
    screen = on_terminal([*SLOWLY, "", "doctor", *argv], cwd=tmp_path, environ=environ)
    assert (screen.code, "checking" in screen.text, "\x1b[2K" in screen.text) == (0, False, False)


def test_a_pipe_is_shown_nothing_of_it(environ: dict[str, str], tmp_path: Path) -> None:
    argv = [*SLOWLY, "", "doctor"]
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stderr, "checking" in done.stdout) == ("", False)
