"""`agentmem models`, the setting `model`, and the line of `recall --why` that says who would be asked."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmem import Memory
from agentmem.models.calls import PICO, Call
from agentmem.values import now
from agentmem_apps.cli import app


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTMEM_OFFLINE")  # nothing is asked here
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Memory.open("m", embedder="hash") as memory:
        memory.add("We moved the launch to 3 May.")
        memory.calls.begin(
            Call("reply", "openai:a", outcome="done", tokens_in=10, tokens_out=5, picos=PICO // 4, ms=8.0)
        )
        memory.calls.begin(Call("reply", "openai:a", outcome="failed", error="429"))
        memory.calls.begin(Call("extract", "local:b", tokens_in=100, at=now() - timedelta(days=3)))
    return tmp_path


def run(*args: str) -> Result:
    result = CliRunner().invoke(app.program, ["--memory", "m", "--embedder", "hash", *args], prog_name="agentmem")
    assert result.exit_code == 0, result.stderr
    return result


def as_json(*args: str) -> Any:
    return json.loads(run("--json", *args).stdout)


def test_without_a_model_the_list_says_that_none_is_needed(folder: Path) -> None:
    result = run("models", "list")
    assert "none is needed" in result.stderr
    assert result.stdout.splitlines()[0].split() == ["reply", "-", "none", "is", "set"]


def test_the_list_gives_the_order_and_the_reasons(folder: Path) -> None:
    (folder / "agentmem.toml").write_text(
        """
        model = "openai:any"
        [models.roles]
        reply = ["openai:a", "http://localhost:1/v1#b"]
        [models.private]
        scopes = ["default"]
        """
    )
    roles = as_json("models", "list")["roles"]
    assert [(one["model"], one["refused"]) for one in roles["reply"]] == [
        ("http://localhost:1/v1#b", False),
        ("openai:a", True),
    ]
    assert roles["judge"][0]["why"] == "default never leaves this machine"
    assert roles["embed"][0]["model"].startswith("hash")
    assert "not asked: default never leaves this machine" in run("models", "list").stdout


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_one_model_is_set_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    flags = ["--model", "openai:x"] if how == "flag" else []
    if how == "variable":
        monkeypatch.setenv("AGENTMEM_MODEL", "openai:x")
    if how == "file":
        (folder / "pyproject.toml").write_text('[tool.agentmem]\nmodel = "openai:x"')
    assert as_json(*flags, "models", "list")["roles"]["reply"][0]["model"] == "openai:x"


def test_a_mistake_in_the_table_is_told(folder: Path) -> None:
    (folder / "agentmem.toml").write_text("[models.rolls]\nreply = 'x'")
    result = CliRunner().invoke(app.program, ["config", "validate"], prog_name="agentmem")
    assert result.exit_code == 2
    assert "agentmem.toml: there is no setting models.rolls" in result.stderr
    assert "Did you mean roles?" in result.stderr


def test_what_is_set_is_shown_and_counted(folder: Path) -> None:
    before = as_json("config", "validate")["set"]
    assert "models." not in run("config", "show").stdout
    (folder / "agentmem.toml").write_text(
        """
        [models.roles]
        reply = "http://ana:s3cret@localhost:1/v1#b"
        [models.terms."http://ana:s3cret@localhost:1/v1#b"]
        input = 0.4
        """
    )
    shown, told = as_json("config", "show")["settings"], run("config", "show").stdout
    said = {"value": "0.4", "origin": f"agentmem.toml in the current folder ({folder / 'agentmem.toml'})"}
    assert shown['models.terms."http://ana:***@localhost:1/v1#b".input'] == said
    assert shown["models.roles.reply"]["value"] == "http://ana:***@localhost:1/v1#b"
    assert "models.roles.reply" in told
    assert "s3cret" not in told + json.dumps(shown)
    assert as_json("config", "validate")["set"] == before + 2


def test_usage_is_shown_by_role_and_model(folder: Path) -> None:
    usage = as_json("models", "usage")["usage"]
    assert [(one["role"], one["model"], one["calls"], one["failed"], one["money"]) for one in usage] == [
        ("reply", "openai:a", 2, 1, 0.25),
        ("extract", "local:b", 1, 0, 0.0),
    ]
    assert [one["role"] for one in as_json("models", "usage", "--days", "1")["usage"]] == ["reply"]
    result = run("models", "usage")
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "reply 2 1 10 5 0.25 8 openai:a",
        "extract 1 0 100 0 0 0 local:b",
    ]
    assert "3 calls, 0.25 in all" in result.stderr


def test_usage_says_what_is_left_of_a_budget(folder: Path) -> None:
    (folder / "agentmem.toml").write_text('[models.budgets]\n"*" = { money = 2.0 }\n"default" = { tokens = 90 }')
    assert [
        (one["scope"], one["money"]["spent"], one["tokens"]["of"]) for one in as_json("models", "usage")["budgets"]
    ] == [
        (None, 0.25, None),
        ("default", 0.25, 90),
    ]
    said = run("models", "usage").stderr
    assert "today in the whole memory: 0.25 of 2" in said
    assert "today in default: 15 of 90 tokens" in said


def test_why_says_who_would_be_asked(folder: Path) -> None:
    said = run("recall", "launch", "--why", "--model", "http://localhost:1/v1#b").stderr
    assert "a reply would ask http://localhost:1/v1#b: it stands first" in said
    assert "a reply" not in run("recall", "launch", "--why").stderr
    told = as_json("recall", "launch", "--why", "--model", "http://localhost:1/v1#b")
    assert [one["model"] for one in told["models"]] == ["http://localhost:1/v1#b"]


def test_offline_is_a_setting_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "on")  # which the setting would set, and leave behind
    (folder / "agentmem.toml").write_text('offline = "on"')
    [choice] = as_json("models", "list", "--model", "openai:x")["roles"]["reply"]
    assert (choice["refused"], choice["why"]) == (True, "it is not on this machine, and AGENTMEM_OFFLINE is on")
