"""The command line on a terminal and in a pipe: hostile texts, questions, the editor, progress, early leavers."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.memory import Memory
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.output import clean, escaped, one_line
from agentmem_apps.cli.progress import LOG_EVERY, PATIENCE, Progress
from tests.terminal import Screen, on_terminal

AGENTMEM = str(Path(sys.executable).with_name("agentmem"))
ID = "00000000-0000-7000-8000-00008c02f1aa"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m[red]alarm[/red]\x1b[0m \x9b5mblink \u202egnirts\u202c \x1bPq#0\x1b\\end\x07"
HARMLESS = "[red]alarm[/red] blink gnirts end"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of a person who has nothing set but a memory."""
    home = str(tmp_path / "home")
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LANG": "C.UTF-8",
        "AGENTMEM_MEMORY": str(tmp_path / "notes.mem"),
        "AGENTMEM_EMBEDDER": "hash",
    }


@pytest.fixture
def hostile(tmp_path: Path, environ: dict[str, str]) -> dict[str, str]:
    """A memory whose every text was written to take over a terminal."""
    with Memory.open(tmp_path / "notes.mem", embedder="hash", actor=HOSTILE) as memory, memory.step(HOSTILE):
        memory.add_many([{"id": ID, "text": HOSTILE, "speaker": HOSTILE, "session": HOSTILE, "place": HOSTILE}])
        memory.add("something plain, about an alarm", tags=[HOSTILE], meta={"note": HOSTILE})
        memory.edit(ID, text=HOSTILE + " again")
    return environ


def test_a_prompt_goes_into_a_file_as_it_is_and_is_harmless_on_a_terminal(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "prompts").mkdir()
    own = tmp_path / "prompts" / "reply.md"
    own.write_text(f"---\nversion: 1\nrole: reply\n---\n{{{{persona}}}}\n{HOSTILE}\n", encoding="utf-8")
    (tmp_path / "agentmem.toml").write_text('[models]\nprompts = "prompts"\n')
    argv = [AGENTMEM, "models", "prompts", "reply"]
    piped = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert piped.stdout == own.read_bytes()
    screen = on_terminal(argv, cwd=tmp_path, environ=environ)
    assert HARMLESS in screen.text
    assert clean(screen.text.replace("\r\n", "\n")) == screen.text.replace("\r\n", "\n")


READS = (
    ["recall", "alarm", "--explain"],
    ["recall", "alarm", "--why"],
    ["show"],
    ["show", ID],
    ["history", ID],
    ["log"],
    ["undo", "--dry-run"],
)


@pytest.mark.parametrize("argv", READS, ids=" ".join)
def test_no_text_can_speak_to_the_terminal(hostile: dict[str, str], tmp_path: Path, argv: list[str]) -> None:
    screen = on_terminal([AGENTMEM, *argv], cwd=tmp_path, environ=hostile)
    assert screen.code == 0
    assert "[red]alarm" in screen.text
    ours = re.sub(r"\x1b\[[\d;]*m", "", screen.text)  # colours and weights are our own
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", ours)
    assert "owned" not in ours
    assert "\x1b[31m[red]" not in screen.text


@pytest.mark.parametrize("argv", [*READS, ["show", "--json"], ["export", "-"]], ids=" ".join)
def test_nor_does_it_reach_a_pipe_unescaped(hostile: dict[str, str], tmp_path: Path, argv: list[str]) -> None:
    done = subprocess.run([AGENTMEM, *argv], capture_output=True, text=True, cwd=tmp_path, env=hostile, timeout=60)
    assert (done.returncode, "alarm" in done.stdout) == (0, True)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout + done.stderr)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_cleaning_leaves_no_control_and_takes_nothing_else(text: str) -> None:
    cleaned = clean(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)
    assert clean(cleaned) == cleaned
    plain = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", "", text)
    if "\x1b" not in text and not re.search(r"[\x90-\x9f]", text):
        assert cleaned == plain
    assert "\n" not in one_line(text)


def test_what_cleaning_makes_of_a_hostile_text() -> None:
    assert one_line(HOSTILE) == HARMLESS
    assert one_line("a\r\nb\rc\td") == "a b c d"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert escaped('{"a": "\x9b\u202e"}') == r'{"a": "\u009b\u202e"}'


def ask(environ: dict[str, str], tmp_path: Path, answer: str, *argv: str) -> Screen:
    asked = [("for good?", answer)]
    return on_terminal([AGENTMEM, "forget", "--hard", ID, *argv], cwd=tmp_path, environ=environ, answers=asked)


def lives(tmp_path: Path) -> bool:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        return any(record.id == ID for record in memory.records())


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x03"], ids=["no", "nothing", "Ctrl-C"])
def test_erasing_asks_and_anything_but_yes_stops_it(hostile: dict[str, str], tmp_path: Path, answer: str) -> None:
    screen = ask(hostile, tmp_path, answer)
    assert screen.code == ExitCode.INTERRUPTED
    assert "Traceback" not in screen.text
    assert ("nothing was changed" in screen.text) == (answer != "\x03")
    assert lives(tmp_path)


def test_erasing_goes_on_after_a_yes_and_never_asks_with_no_input(hostile: dict[str, str], tmp_path: Path) -> None:
    assert ask(hostile, tmp_path, "", "--no-input").code == ExitCode.USAGE
    assert lives(tmp_path)
    assert ask(hostile, tmp_path, "y\n").code == 0
    assert not lives(tmp_path)


def test_an_edit_without_fields_opens_the_editor(hostile: dict[str, str], tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "written by hand" > "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    screen = on_terminal([AGENTMEM, "edit", ID], cwd=tmp_path, environ={**hostile, "EDITOR": str(editor)})
    assert screen.code == 0
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        assert memory.get(ID).text == "written by hand"


def test_tables_have_headings_on_a_terminal_and_colours_only_when_wanted(
    hostile: dict[str, str], tmp_path: Path
) -> None:
    def history(**more: str) -> str:
        return on_terminal([AGENTMEM, "history", ID], cwd=tmp_path, environ={**hostile, **more}).text

    assert "\x1b[32m{+" in history()
    assert "\x1b[32m" not in history(NO_COLOR="1")
    assert "\x1b" not in history(TERM="dumb")
    assert "speaker" in on_terminal([AGENTMEM, "show"], cwd=tmp_path, environ=hostile).text
    piped = subprocess.run([AGENTMEM, "show"], capture_output=True, text=True, cwd=tmp_path, env=hostile, timeout=60)
    assert "speaker" not in piped.stdout


@pytest.mark.parametrize("argv", ["export -", "show -n 4000", "--help"])
def test_a_reader_who_leaves_early_is_not_complained_about(environ: dict[str, str], tmp_path: Path, argv: str) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add_many(f"number {n} " + "with many words " * 20 for n in range(1500))
    pipeline = f"set -o pipefail; {AGENTMEM} {argv} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", pipeline], capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], ExitCode.DONE),
        ([], ExitCode.DONE),
        (["show"], ExitCode.UNREACHABLE),
        (["nonsense"], ExitCode.USAGE),
        (["recall", "x", "--memory", "/proc/none"], ExitCode.UNREACHABLE),
        (["add", "x", "--memory", "/proc/none"], ExitCode.UNREACHABLE),
        (["add", b"\xff".decode(errors="surrogateescape")], ExitCode.USAGE),
    ],
    ids=str,
)
def test_the_installed_command_ends_with_its_status_and_no_traceback(
    environ: dict[str, str], tmp_path: Path, argv: list[str], code: ExitCode
) -> None:
    done = subprocess.run([AGENTMEM, *argv], capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=60)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code != ExitCode.DONE)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_stops_nothing(environ: dict[str, str], tmp_path: Path, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{AGENTMEM} add hello {closed} && {AGENTMEM} show {closed}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        timeout=60,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_stop_from_outside_is_an_interruption(environ: dict[str, str], tmp_path: Path) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add_many(f"number {n} " + "with many words " * 20 for n in range(1500))
    with subprocess.Popen(
        [AGENTMEM, "export", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environ
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it is at work, and will wait for us: the pipe is full long before the end
        child.send_signal(signal.SIGTERM)
        _, told = child.communicate(timeout=60)
    assert (child.returncode, b"Traceback" in told) == (ExitCode.INTERRUPTED, False)


def test_a_table_on_a_terminal_shows_the_beginning_of_a_long_text_and_no_empty_column(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("word " * 2000 + "end")
    text = on_terminal([AGENTMEM, "recall", "word"], cwd=tmp_path, environ=environ).text
    assert ("…" in text, "end" in text, "speaker" in text) == (True, False, False)
    assert len(text.splitlines()) < 12
    piped = subprocess.run(
        [AGENTMEM, "recall", "word"], capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=60
    )
    assert "word end" in piped.stdout


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_is_silent_when_short_and_a_line_now_and_then_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress("embedding", clock=clock) as progress:
        progress(1, 1000)
        clock.now += PATIENCE
        progress(10, 1000)
        assert capsys.readouterr().err == ""
        clock.now = 100 + LOG_EVERY
        progress(100, 1000)
        progress(101, 1000)
        assert capsys.readouterr().err == "embedding: 100 of 1,000, about 90 s left (10 a second)\n"
        clock.now += LOG_EVERY
        progress(300, None)
        assert capsys.readouterr().err == "embedding: 300 (15 a second)\n"


def test_progress_says_nothing_when_told_to_be_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress("embedding", quiet=True, clock=clock) as progress:
        clock.now += 100
        progress(5, 10)
    assert capsys.readouterr().err == ""


_BAR = """
import sys
from agentmem_apps.cli.progress import Progress
now = [0.0]
with Progress('a [red]label', clock=lambda: now[0]) as progress:
    progress(1, 10)
    print('early', flush=True)
    now[0] = 2.0
    progress(4, 10)
"""


def test_on_a_terminal_the_bar_appears_after_a_while_and_goes_away(environ: dict[str, str], tmp_path: Path) -> None:
    run: Callable[..., Screen] = on_terminal
    screen = run([sys.executable, "-c", _BAR], cwd=tmp_path, environ=environ)
    early, late = screen.text.split("early")
    assert "label" not in early
    assert "a [red]label" in late
    assert "4/10" in late
    assert "2/s" in late
    assert late.rstrip().endswith("\x1b[2K")  # the line is wiped
