"""The documentation of the command line cannot lie: it is fresh, it is whole, and its examples work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agentmem.config import MEANINGS
from agentmem.memory import Memory
from agentmem.models.calls import Call
from agentmem_apps.cli.app import SECTIONS, program
from agentmem_apps.cli.command import Command, Group
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.cli.reference import page
from agentmem_apps.importers.beam import CHAT

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
A = "00000000-0000-7000-8000-00008c02f1aa"
B = "00000000-0000-7000-8000-000051d0be77"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every shipped command and, inside it, every command of a group, by what is typed for it."""

    def inside(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                yield from inside(f"{path} {name}", child)

    context = click.Context(program)
    yield "agentmem", program
    for _, names in SECTIONS:
        for name in names:
            command = program.get_command(context, name)
            assert command is not None, f"{name} is not installed; run pip install -e ."
            yield from inside(f"agentmem {name}", command)


def examples() -> list[str]:
    found: list[str] = []
    for _, command in commands():
        assert isinstance(command, Command | Group)
        found += command.examples
    return list(dict.fromkeys(found))


def test_the_page_is_what_the_program_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m agentmem_apps.cli.reference"


def test_the_check_tells_a_stale_page(tmp_path: Path) -> None:
    def check(path: Path, *flags: str) -> int:
        argv = [sys.executable, "-m", "agentmem_apps.cli.reference", str(path), *flags]
        return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode

    stale = tmp_path / "cli.md"
    assert check(stale, "--check") == 1
    stale.write_text(page() + "\nand more")
    assert check(stale, "--check") == 1
    assert check(stale) == 0
    assert check(stale, "--check") == 0


def test_every_command_option_code_variable_and_key_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^###? `(agentmem[^`]*)`\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    for path, command in commands():
        assert path in sections
        for param in command.params:
            if isinstance(param, click.Option):
                for name in (*param.opts[:1], *param.secondary_opts):
                    assert name in sections[path], f"{path} {name}"
    for code in ExitCode:
        assert f"| {code.value} | {code.name} | {code.meaning} |" in text
    for key in MEANINGS:
        assert f"| `{key}` | `AGENTMEM_{key.upper()}` |" in text


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_help_starts_with_two_examples_of_itself(path: str) -> None:
    ran = CliRunner().invoke(program, [*path.split()[1:], "--help"])
    title, first, second, *_ = ran.stdout.splitlines()
    assert (ran.exit_code, title) == (0, "Examples:")
    assert first != second
    assert all(line.startswith(f"  {path} ") or line == f"  {path}" for line in (first, second))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds everything the examples speak of."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("AGENTMEM_MEMORY", str(tmp_path / "my.mem"))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "hash")
    (tmp_path / "notes.txt").write_text("The keys are under the mat.")
    (tmp_path / "book.md").write_text("# Walden\n\n## Economy\n\nI lived alone, in the woods.\n")
    (tmp_path / "memories.jsonl").write_text('{"text": "The keys are under the mat."}\n')
    said = [{"speaker": "Ana", "dia_id": "D1:1", "text": "We moved the launch."}]
    asked = [{"question": "What was moved?", "answer": "the launch", "evidence": ["D1:1"], "category": 4}]
    talk = {"speaker_a": "Ana", "speaker_b": "Bo", "session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": said}
    sample = {"sample_id": "conv-1", "conversation": talk, "qa": asked}
    (tmp_path / "locomo10.json").write_text(json.dumps([sample]))
    history = {
        "haystack_session_ids": ["s1"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21"],
        "haystack_sessions": [[{"role": "user", "content": "We moved the launch.", "has_answer": True}]],
    }
    one = {"question_id": "q1", "question_type": "recall", "question": "What was moved?", **history}
    (tmp_path / "longmemeval_s.json").write_text(json.dumps([one]))
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "walden.txt").write_text(" ".join(f"On day {n} I hoed my {n} beans." for n in range(60)))
    (tmp_path / "chats" / "1").mkdir(parents=True)
    turns = [[{"id": 0, "role": "user", "content": "We moved the launch."}]]
    (tmp_path / "chats" / "1" / CHAT).write_text(json.dumps([{"batch_number": 1, "turns": turns}]))
    questions = {"recall": [{"question": "What was moved?", "source_chat_ids": [0]}]}
    (tmp_path / "chats" / "1" / "probing_questions.json").write_text(json.dumps(questions))
    with Memory.open(tmp_path / "my.mem", embedder="hash") as memory:
        for n in range(12):
            memory.add(f"Step {n}.")
        memory.add_many(
            [
                {"id": A, "text": "The launch is on 3 May. The venue is in Lisbon.", "speaker": "Ana"},
                {"id": B, "text": "We moved the launch to 4 May."},
            ]
        )
        memory.add("I live in Porto.", speaker="Ana", session="trip", place="Porto")
        memory.add("Nice weather.", session="trip", place="Lisbon")
        memory.consolidate("thoughts")
        memory.add("Nice weather.", session="trip", place="Lisbon")
        past = datetime.now(UTC) - timedelta(days=3_000)
        memory.add_many([replace(memory.newest(1)[0], id="long-ago", text="It rained.", at=past, stored_at=past)])
        memory.tag(B, add=["review"])
        memory.jobs.put("think", {})
        with monkeypatch.context() as patch:
            patch.setattr("agentmem_stores.sql.jobs.new_id", lambda: B)
            memory.jobs.put("extract", {"turns": [A]}, due=past)
        memory.jobs.take("one", kinds=["extract"])
        memory.jobs.failed(B, "one", "no facts", attempts=1)
        memory.calls.begin(Call("reply", "openai:gpt-4.1-mini", tokens_in=12))
        memory.add("The last step.")
        memory.undo()
    return tmp_path


# The demo takes in a whole book, a chat wants somebody to talk to, the screens a terminal: they have their own tests.
ELSEWHERE = ("agentmem demo", "agentmem chat -c", "agentmem tui")


@pytest.mark.parametrize("example", [line for line in examples() if not line.startswith(ELSEWHERE)])
def test_every_example_works_as_it_stands(desk: Path, example: str) -> None:
    command = example.partition(" | ")[0].partition(" >> ")[0].partition(" > ")[0]
    command, _, stdin = command.partition(" < ")
    argv = shlex.split(command)
    ran = CliRunner().invoke(program, argv[1:], input=(desk / stdin).read_bytes() if stdin else None)
    assert ran.exit_code == 0, ran.stderr
    assert argv[0] == "agentmem"
    assert ran.stdout
