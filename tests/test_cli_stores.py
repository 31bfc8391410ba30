"""The commands of the cognitive stores, on a memory with something in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmem import Memory
from agentmem_apps.cli.app import program
from agentmem_apps.cli.exits import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("AGENTMEM_MEMORY", str(tmp_path / "my.mem"))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "hash")
    with Memory.open(tmp_path / "my.mem", embedder="hash") as memory:
        said = [
            ("I live in Lisbon.", "2024-05-01T09:00:00+00:00", "office"),
            ("I like tea.", "2024-05-02T09:00:00+00:00", "harbour/pier 3"),
            ("I like figs.", "2024-05-03T09:00:00+00:00", "harbour/pier 4"),
            ("I moved to Porto.", "2024-05-04T09:00:00+00:00", "office"),
        ]
        memory.add_many(
            {"text": text, "at": at, "place": place, "speaker": "Ana", "session": "trip"} for text, at, place in said
        )
    return lambda *argv: CliRunner().invoke(program, argv)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_what_is_true_now_and_what_was(run: Run) -> None:
    nothing = run("about", "Ana")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "agentmem consolidate" in nothing.stderr
    reports = told(run("consolidate", "--json"))["reports"]
    assert reports["thoughts"]["counts"]["inserted"] == 4
    assert set(reports) == {
        *("chunks", "episodic", "gate", "links", "longterm", "recognition", "rehearsal", "repeats"),
        *("rolling", "thoughts", "working"),
    }
    now = {one["relation"]: one["tails"] for one in told(run("about", "ana", "--json"))["thoughts"]}
    assert now == {"lives in": ["Porto"], "likes": ["tea", "figs"]}
    [old, new] = told(run("about", "Ana", "lives in", "--history", "--json"))["thoughts"]
    assert (old["tails"], new["tails"]) == (["Lisbon"], ["Porto"])
    assert old["until"] == new["since"] == "2024-05-04T09:00:00+00:00"
    assert old["superseded_by"] == new["record"]["id"]
    assert new["until"] is None
    assert "Porto" in run("about", "Ana").stdout
    assert "Lisbon" not in run("about", "Ana").stdout
    assert run("about", "Ana", "--history").exit_code == ExitCode.USAGE


def test_undo_takes_back_what_was_thought(run: Run) -> None:
    before = told(run("show", "--json"))["records"]
    run("consolidate", "thoughts")
    assert run("undo").exit_code == 0
    assert told(run("about", "Ana", "--json"))["thoughts"] == []
    assert [one["text"] for one in told(run("show", "--json"))["records"]] == [one["text"] for one in before]


def test_what_happened_here_and_near(run: Run) -> None:
    here = told(run("at", "harbour", "--json"))["records"]
    assert [one["text"] for one in here] == ["I like tea.", "I like figs."]
    assert [one["text"] for one in told(run("at", "pier 4", "-n", "1", "--json"))["records"]] == ["I like figs."]
    near = {one["place"]: one["hops"] for one in told(run("at", "harbour/pier 3", "--near", "2", "--json"))["places"]}
    assert near == {"harbour": 1, "harbour/pier 4": 1, "office": 1}
    assert "pier 4" in run("at", "harbour/pier 3", "--near", "1").stdout
    nowhere = run("at", "the moon")
    assert (nowhere.exit_code, nowhere.stdout) == (0, "")
    assert "the moon" in nowhere.stderr
    assert run("at", "the moon", "--near", "1").stdout == ""


def test_what_is_in_mind_can_be_rearranged_and_that_undone(run: Run) -> None:
    def order() -> list[list[str]]:
        return [[one["text"] for one in slot["records"]] for slot in told(run("working", "--json"))["working"]]

    before = order()
    texts = [text for slot in before for text in slot]
    assert sorted(texts) == sorted(["I live in Lisbon.", "I like tea.", "I like figs.", "I moved to Porto."])
    ids = {one["text"]: one["id"] for one in told(run("show", "--json"))["records"]}
    last = before[-1][0]
    assert run("working", "--first", ids[last], "--dry-run").exit_code == 0
    assert order() == before
    assert run("working", "--first", ids[last]).exit_code == 0
    assert last in order()[0]
    assert run("working", "--evict", ids[last]).exit_code == 0
    assert last not in [text for slot in order() for text in slot]
    assert run("working", "--evict", ids[last]).exit_code != 0
    log = run("log").stdout
    assert "taken out of mind" in log
    assert "put in front in mind" in log
    run("undo")
    assert last in order()[0]
    run("undo")
    assert order() == before
    shown = run("working")
    assert "cosine" in shown.stdout
    assert "slot" in shown.stderr


def test_the_stores_are_shown_and_built_anew(run: Run) -> None:
    shown = told(run("stores", "--json"))["stores"]
    assert shown["episodic"]["size"] == 4
    assert shown["chunks"]["records"] == 4
    assert shown["working"]["perceived"] == 4
    assert told(run("reindex", "episodic", "--json"))["count"] == 4
    assert told(run("stores", "--json"))["stores"] == shown
    assert "derived anew" in run("reindex", "working").stdout
    assert run("stores", "nonsense").exit_code == ExitCode.USAGE
    assert run("consolidate", "nonsense").exit_code == ExitCode.USAGE
    assert "pier 3" in run("stores", "episodic").stdout
