"""The conformance exams: everything shipped passes, everything broken fails where it should, and 2,000 cases of scope
isolation give no row of another scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem.embedders.hashing import HashEmbedder
from agentmem.errors import InvalidInput
from agentmem_stores.testing import (
    EmbedderSubject,
    IndexSubject,
    LedgerSubject,
    Promise,
    Report,
    examine,
    promises,
)
from agentmem_stores.testing import __main__ as command
from agentmem_stores.testing.shipped import CHROMA, EXACT, PLAIN, SQLITE, chroma_server, ledger_at
from tests import chroma_server as servers
from tests import mutant_indexes, mutant_ledgers
from tests.fakes import DigestEmbedder, TinyEmbedder
from tests.postgres import Server

started_server = servers.chroma_server
NOWHERE = "nowhere://"  # a subject at a server that is started when a test needs it
SUBJECTS: dict[str, LedgerSubject | IndexSubject] = {
    "sqlite": SQLITE,
    "plain": PLAIN,
    "postgres": ledger_at(NOWHERE),
    "exact": EXACT,
    "chroma": CHROMA,
    "chroma run": chroma_server(NOWHERE),
}
# How often each random promise about scopes is tried; an index makes two of them.
ISOLATION = {"sqlite": 250, "plain": 60, "postgres": 250, "exact": 600, "chroma": 60, "chroma run": 60}
RANDOM_CASES = 20


@pytest.fixture(scope="module")
def exam_url(postgres: Server) -> Iterator[str]:
    """One schema for the whole exam, which keeps to scopes of its own."""
    yield postgres.url("exam")
    postgres.execute("DROP SCHEMA IF EXISTS exam CASCADE")


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> LedgerSubject | IndexSubject:
    if request.param == "postgres":
        return ledger_at(request.getfixturevalue("exam_url"))
    if request.param == "chroma run":
        return chroma_server(request.getfixturevalue("chroma_server").url)
    return SUBJECTS[request.param]


def _isolates(promise: Promise[Any]) -> bool:
    return promise.capability == "scopes" and promise.name.startswith("no ")


def _of_each(isolating: bool) -> list[Any]:
    return [
        pytest.param(name, promise, id=f"{name}-{promise}")
        for name, subject in SUBJECTS.items()
        for promise in promises(subject)
        if _isolates(promise) is isolating
    ]


@pytest.mark.parametrize(("subject", "promise"), _of_each(isolating=False), indirect=["subject"])
def test_what_is_shipped_keeps_every_promise(subject: LedgerSubject | IndexSubject, promise: Promise[Any]) -> None:
    promise.check(subject, cases=RANDOM_CASES)


@pytest.mark.parametrize(("subject", "promise"), _of_each(isolating=True), indirect=["subject"])
def test_no_row_of_another_scope_in_two_thousand_cases(
    subject: LedgerSubject | IndexSubject, promise: Promise[Any], request: pytest.FixtureRequest
) -> None:
    assert sum(ISOLATION[param.values[0]] for param in _of_each(isolating=True)) == 2_000
    name = request.node.callspec.params["subject"]
    promise.check(subject, cases=ISOLATION[name])


# ── what is broken ───────────────────────────────────────────────────────────────────────────────────────────────

BROKEN = [
    pytest.param(subject, named, id=f"{subject.name}-{named}")
    for broken in (mutant_ledgers.BROKEN, mutant_indexes.BROKEN)
    for subject, named in broken.items()
]


def promise_of(subject: LedgerSubject | IndexSubject, name: str) -> Promise[Any]:
    [promise] = [promise for promise in promises(subject) if promise.name == name]
    return promise


@pytest.mark.parametrize(("subject", "named"), BROKEN)
def test_what_is_broken_fails_at_the_promise_it_breaks(subject: LedgerSubject | IndexSubject, named: str) -> None:
    with pytest.raises(AssertionError) as caught:
        promise_of(subject, named).check(subject)
    assert len(str(caught.value)) > 20, "a message that says what was seen"


@pytest.mark.parametrize("subject", [mutant_ledgers.SOUND, mutant_indexes.SOUND])
def test_what_they_were_made_from_keeps_every_promise(subject: LedgerSubject | IndexSubject) -> None:
    """Else a mutant would show nothing."""
    report = examine(subject, cases=3)
    assert report.ok, str(report)


# ── the report ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def report() -> Report:
    return examine(mutant_indexes.index(mutant_indexes.IgnoresAmong, "exact"), cases=5)


def test_a_report_says_what_passed_what_failed_and_what_was_not_claimed(report: Report) -> None:
    verdicts = {outcome.promise: outcome.verdict for outcome in report.outcomes}
    assert verdicts["only the positions that are allowed are answered"] == "failed"
    assert verdicts["closing twice is fine"] == "passed"
    assert verdicts["vectors and cursor are there at the next opening"] == "not claimed"
    assert not report.ok
    for text in (str(report), report.table()):
        heading, *lines = text.splitlines()
        assert heading.startswith("IgnoresAmong (index): ")
        assert any(line.split()[:2] == ["persistence", "not"] or "not claimed" in line for line in lines)
        assert any("is not among the" in line for line in lines), "the reason of a failure"
        assert max(map(len, lines)) < 140
    assert report.table().count("passed") - 1 == sum(verdict == "passed" for verdict in verdicts.values())


def test_a_report_is_json(report: Report) -> None:
    told = json.loads(json.dumps(report.to_json()))
    assert (told["subject"], told["of"], told["ok"]) == ("IgnoresAmong", "index", False)
    assert {outcome["verdict"] for outcome in told["outcomes"]} == {"passed", "failed", "not claimed"}
    failed = [outcome for outcome in told["outcomes"] if outcome["verdict"] == "failed"]
    assert all(outcome["reason"] and outcome["seconds"] >= 0 for outcome in failed)


def test_whatever_a_stranger_raises_ends_no_exam(tmp_path: Path) -> None:
    def open_badly(folder: Path) -> Any:
        raise ZeroDivisionError("in a stranger's code")

    heard: list[str] = []
    report = examine(LedgerSubject("bad", open_badly), told=lambda outcome: heard.append(outcome.verdict))
    assert {outcome.verdict for outcome in report.outcomes} == {"failed", "not claimed"}
    assert len(heard) == len(report.outcomes)
    assert report.failed[0].reason == "ZeroDivisionError: in a stranger's code"


def test_several_processes_need_an_open_that_can_be_imported() -> None:
    local = LedgerSubject("local", lambda folder: mutant_ledgers.OneFile(folder), claims=["processes"])
    with pytest.raises(AssertionError, match="another process can import"):
        promise_of(local, "a writer that is killed loses nothing acknowledged").check(local)


def test_a_claim_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no capability") as caught:
        LedgerSubject("x", mutant_ledgers.OneFile, claims=["speed"])
    assert "durability" in caught.value.way_out
    with pytest.raises(InvalidInput, match="nearest"):
        IndexSubject("exact", claims=["persistence"])


def test_required_capabilities_are_examined_whatever_is_claimed() -> None:
    asked = {promise.capability for promise in promises(LedgerSubject("x", mutant_ledgers.OneFile))}
    assert {"core", "scopes", "erasure"} <= asked
    assert "durability" not in asked


# ── embedders, and the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("opened", [HashEmbedder, DigestEmbedder, TinyEmbedder])
def test_embedders_pass_theirs(opened: Any) -> None:
    report = examine(EmbedderSubject(opened.__name__, opened))
    assert report.ok, str(report)


def test_an_embedder_that_looks_at_its_batch_fails() -> None:
    class Batched(DigestEmbedder):
        def embed(self, texts: Any) -> Any:
            rows = super().embed(texts)
            return rows - rows.mean(axis=0) if len(texts) else rows

    report = examine(EmbedderSubject("batched", Batched))
    assert [outcome.promise for outcome in report.failed] == ["a vector depends on its text alone and not on its batch"]


def test_the_command_prints_reports_and_ends_with_1_when_a_promise_was_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = EmbedderSubject("hash", HashEmbedder)
    for name in ("SQLITE", "EXACT", "CHROMA"):
        monkeypatch.setattr(command, name, sound)
    monkeypatch.setattr(command, "STORES", ())
    assert command.main(["--json"]) == 0
    assert [report["ok"] for report in json.loads(capsys.readouterr().out)] == [True, True, True]
    monkeypatch.setattr(command, "CHROMA", EmbedderSubject("broken", lambda: HashEmbedder(0)))
    assert command.main(["--all"]) == 1
    said = capsys.readouterr().out
    assert "hash (embedder): 2 passed" in said
    assert "broken (embedder): 0 passed, 2 failed" in said
