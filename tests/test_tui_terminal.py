"""`agentmem tui` as it is installed, on a pseudo-terminal, typed at by keys; then asked from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem_apps.cli.exits import ExitCode
from tests.terminal import on_terminal

AGENTMEM = str(Path(sys.executable).with_name("agentmem"))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = str(tmp_path / "home")
    variables = {"HOME": home, "XDG_CONFIG_HOME": home, "LANG": "C.UTF-8", "AGENTMEM_EMBEDDER": "hash"}
    return {"PATH": os.environ["PATH"], "AGENTMEM_MEMORY": str(tmp_path / "notes.mem"), **variables}


@pytest.mark.parametrize("look", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-16color", "COLUMNS": "60", "LINES": "20"}])
def test_a_memory_is_corrected_by_keys_and_is_so_on_the_command_line(
    environ: dict[str, str], tmp_path: Path, look: dict[str, str]
) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        id = memory.add("Ana prefers coffee.").id
    keys = [
        ("prefers coffee", "e"),
        ("tokens", "No: \x13"),  # what stands below a text that is being written; ctrl+s
        ("No: Ana", "q"),
    ]
    screen = on_terminal([AGENTMEM, "tui"], cwd=tmp_path, environ={**environ, **look}, answers=keys)
    assert screen.code == ExitCode.DONE
    assert "No: Ana prefers coffee." in run(environ, "show", id).stdout
    assert "undid step" in run(environ, "undo").stdout


def run(environ: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AGENTMEM, *argv], env=environ, capture_output=True, text=True, check=False)


def test_the_screens_need_a_terminal_and_a_place_once(environ: dict[str, str], tmp_path: Path) -> None:
    piped = run(environ, "tui")
    assert piped.returncode == ExitCode.USAGE
    assert "need a terminal" in piped.stderr
    assert "agentmem show" in piped.stderr
    assert run(environ, "tui", "a.mem", "--memory", "b.mem").returncode == ExitCode.USAGE
    assert run(environ, "tui", "--json").returncode == ExitCode.USAGE
    assert not (tmp_path / "notes.mem").exists()


def test_preferences_that_are_wrong_are_told_before_a_screen_is_drawn(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "agentmem.toml").write_text('[tui.keys]\nedt = "e"\n')
    screen = on_terminal([AGENTMEM, "tui"], cwd=tmp_path, environ=environ)
    assert screen.code == ExitCode.USAGE
    assert "Did you mean edit?" in screen.text
    assert "\x1b[?1049h" not in screen.text, "the terminal was never taken over"
