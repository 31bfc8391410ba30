"""The commands about fragments, links, and what lasts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
        memory.add("Yesterday Ana met Odile at the pier.", speaker="Bea")
        memory.add("We saw Odile with a red kite.", speaker="Ben")
        memory.add("The ferry was late.", speaker="Ana", place="harbour/pier 3")
        past = datetime.now(UTC) - timedelta(days=3_000)
        memory.add_many([replace(memory.newest(1)[0], id="long-ago", text="It rained.", at=past, stored_at=past)])
    return lambda *argv: CliRunner().invoke(program, argv)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_fragment(run: Run) -> None:
    assert "We saw Odile with a red kite." in run("complete", "odile with a red").stdout
    found = told(run("complete", "odile with a red", "--json"))
    assert (len(found["records"]), found["confidence"]) == (1, 1.0)
    nothing = run("complete", "quarterly revenue forecast", "--fail-empty")
    assert (nothing.exit_code, nothing.stdout) == (ExitCode.NOTHING_FOUND, "")
    assert "nothing is familiar" in nothing.stderr
    assert run("complete", " ").exit_code == ExitCode.USAGE
    assert "The ferry was late." in run("complete", "ferry", "--place", "harbour", "--speaker", "ana").stdout
    assert told(run("complete", "ferry", "--place", "office", "--json"))["records"] == []


def test_of_two_that_fit_both_are_shown(run: Run) -> None:
    run("add", "The ferry was late.", "--speaker", "Ben")
    shown = run("complete", "the ferry was late")
    assert shown.stdout.count("The ferry was late.") == 2
    assert "confidence 0.50; 2 fit alike" in shown.stderr


def test_what_goes_together(run: Run) -> None:
    names = {one["to"]: one["why"] for one in told(run("links", "Odile", "--json"))["links"]}
    assert names["Ana"] == "in 1 memory together"
    [record] = [one for one in told(run("show", "--json"))["records"] if "kite" in one["text"]]
    linked = told(run("links", record["id"][-8:], "--json"))["links"]
    assert [one["to"]["text"] for one in linked] == ["Yesterday Ana met Odile at the pier."]
    assert linked[0]["why"] == "by Odile"
    assert "by Odile" in run("links", record["id"][-8:]).stdout
    strange = run("links", "Zora")
    assert strange.exit_code != 0
    assert "neither a live memory nor a name" in strange.stderr


def test_what_fades(run: Run) -> None:
    shown = run("fade", "--dry-run")
    assert "It rained." in shown.stdout
    assert "1 memory would fade" in shown.stderr
    assert len(told(run("show", "--json"))["records"]) == 4
    soon = told(run("fade", "--dry-run", "--within", "1000", "--json"))["fading"]
    assert soon[0]["record"]["text"] == "It rained."
    assert len(soon) == 4
    assert run("fade", "--within", "3").exit_code == ExitCode.USAGE
    assert run("fade", "--policy", "fifo").exit_code == ExitCode.USAGE
    assert told(run("fade", "--json"))["fading"][0]["record"]["id"] == "long-ago"
    assert len(told(run("show", "--json"))["records"]) == 3
    assert run("undo").exit_code == 0
    assert len(told(run("show", "--json"))["records"]) == 4
    assert "2 memories faded" in run("fade", "--keep", "0.5", "--policy", "recency").stderr


def test_what_is_due(run: Run) -> None:
    [due] = told(run("due", "--json"))["due"]
    assert due["record"]["id"] == "long-ago"
    assert 0 < due["retention"] < 0.8
    assert "It rained." in run("due").stdout
    assert run("consolidate", "rehearsal").exit_code == 0
    again = run("due")
    assert (again.stdout, "nothing is due" in again.stderr) == ("", True)


def test_what_was_said_again(run: Run) -> None:
    assert "nothing was said more than once" in run("repeats").stderr
    first = run("add", "I live in Lisbon.", "--speaker", "Ana").stdout.strip()
    again = run("add", "i live in Lisbon", "--speaker", "Ana", "--once").stdout.strip()
    assert again == first
    [group] = told(run("repeats", "--json"))["repeats"]
    assert (group["kind"], group["count"], len(group["records"])) == ("exact", 2, 1)
    assert "2×" in run("repeats").stdout
    assert "said again: i live in Lisbon (exact)" in run("history", first[-8:]).stdout  # the words are kept
    assert run("add", "x", "--once", "--pin").exit_code == ExitCode.USAGE


def test_notes_are_told_in_words_whatever_they_say(run: Run, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "my.mem", embedder="hash") as memory:
        forged = [
            ("again", "{"),
            ("again", "[]"),
            ("route", "[" * 5_000),
            ("route", '{"brought": 7}'),
            ("feedback", "x"),
        ]
        for verb, cause in [*forged, ("route", '{"cue": "who?", "brought": {"links": true}}'), ("rehearse", "")]:
            memory.host.note(verb, [("long-ago", cause)])
    shown = run("history", "long-ago").stdout
    for said in ("said again:", '"who?" put to all stores: brought up by links', "put to the test", "cannot be read"):
        assert said in shown
    assert run("log").exit_code == 0


def test_why_tells_whom_it_asked(run: Run) -> None:
    shown = run("recall", "What happened at pier 3?", "--why").stdout
    assert "asked episodic" in shown
    assert "it names a place" in shown
    [asked] = told(run("recall", "What happened at pier 3?", "--json"))["asked"]
    assert (asked["store"], asked["hits"], asked["note"]) == ("episodic", 2, "")
    assert "no store was asked" in run("recall", "ferry", "--why").stderr
