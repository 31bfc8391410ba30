"""Every example runs as its first lines say, without a key and without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import exports

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parent.parent / "examples"


def run(tmp_path: Path, example: str, *arguments: str, said: str = "") -> list[str]:
    """What it prints, line by line."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{example}.py"), *arguments],
        cwd=tmp_path,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_example_is_run_here() -> None:
    here = Path(__file__).read_text()
    assert [path.stem for path in FOLDER.glob("*.py") if f'"{path.stem}"' not in here] == []


def test_quickstart(tmp_path: Path) -> None:
    lines = run(tmp_path, "quickstart")
    assert "Ana: We moved the launch to 3 May." in lines[0]
    assert lines[-2:] == [
        "seen from Ana's scope: ['I would rather not fly.']",
        "seen from outside it: ['Peanuts put me in hospital, please tell the kitchen.']",
    ]


def test_async_chat(tmp_path: Path) -> None:
    assert run(tmp_path, "async_chat") == ["Ana: The ferry leaves at nine."]


def test_chat_agent(tmp_path: Path) -> None:
    (tmp_path / "answers.txt").write_text("Noted, tea.\nYou like tea.\n")
    said = "I like tea.\nWhat do I like?\n"
    assert run(tmp_path, "chat_agent", "chat.mem", "scripted:answers.txt", said=said)[:1] == ["Noted, tea."]
    without = run(tmp_path, "chat_agent", "chat.mem", said="What do I like?\n")
    assert any("I like tea." in line for line in without)
    assert any("No language model is set" in line for line in without)


def test_a_chat_agent_takes_fifteen_lines() -> None:
    lines = (FOLDER / "chat_agent.py").read_text().split('"""', 2)[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


def test_support_bot(tmp_path: Path) -> None:
    ana, bo, seen = run(tmp_path, "support_bot")
    assert "4711" in ana
    assert "815" not in ana
    assert "815" in bo
    assert "4711" not in bo
    assert "815" not in seen


def test_rooms(tmp_path: Path) -> None:
    assert run(tmp_path, "rooms") == [
        "in the kitchen: A kettle is on, and a letter lies on the table.",
        "the red umbrella: cellar",
        "in the study: ['The window is open, and the safe is not.']",
    ]


def test_langchain_history(tmp_path: Path) -> None:
    lines = run(tmp_path, "langchain_history")
    assert "monday: When is it? -> It leaves at nine, you said." in lines
    assert lines[-1] == "remembered of tuesday: I am allergic to peanuts."


def test_chatgpt_import(tmp_path: Path) -> None:
    (tmp_path / "conversations.json").write_text(json.dumps(exports.chatgpt()))
    lines = run(tmp_path, "chatgpt_import", "conversations.json", said="when does the train leave?\n")
    assert lines[0] == "5 messages of 2 conversations"
    assert lines[1] == "> when does the train leave?"
    assert any(line.endswith("assistant: At seven.") for line in lines[2:])


def test_local_agent(tmp_path: Path) -> None:
    tiny = pytest.importorskip("tests.tiny_model", reason="a local model needs torch and transformers")
    tokenizer = tiny.build_tokenizer()
    tiny.untrained(tokenizer, max_position_embeddings=4_096).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    lines = run(tmp_path, "local_agent", "local:./model", "local.mem")
    assert lines[-1].startswith("recalled 1 · ")
    assert "local:./model, " in lines[-1]
    assert lines[-1].endswith(" tokens read")
