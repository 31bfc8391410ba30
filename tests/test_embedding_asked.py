"""An embedder elsewhere: what asking it costs and may cost, how recall does without, and who names it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from agentmem import InvalidInput, Memory
from agentmem.config import Settings
from agentmem.cues import Cue
from agentmem.embedding import Tokens
from agentmem.errors import EmbeddingError
from agentmem.models.calls import PICO, Call
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.embedding import NotAsked
from agentmem.models.pool import ModelPool
from agentmem.models.settings import Budget, ModelSettings
from agentmem.records import Record, Scope
from agentmem_apps.cli import app
from tests.disks import filled_up, small_disk
from tests.elsewhere import (
    ELSEWHERE,
    TEXTS,
    Opener,
    Said,
    by_vector,
    calls,
    online,
    opened,
    private,
    sent,
    server,
    spec,
    tokens,
    words,
)
from tests.loopback import Loopback, Reply, refusal

__all__ = ["online", "opened", "server"]


# ── the account ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_request_is_noted_with_what_the_server_counts(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add_many(TEXTS)
    memory.flush()
    memory.recall("when does the ferry leave?")
    texts, cue = calls(memory)
    assert {(call.role, call.model, call.outcome) for call in (texts, cue)} == {("embed", memory.embedder.id, "done")}
    assert (texts.cause, cue.cause) == ("texts", "cue")
    assert (texts.tokens_out, cue.tokens_in) == (0, 5)
    assert tokens(memory) == server.charged
    assert [call.picos for call in (texts, cue)] == [call.tokens_in * PICO // 1_000 for call in (texts, cue)]
    assert texts.ms > 0
    [used] = memory.calls.usage()
    assert (used.role, used.calls, used.tokens_in) == ("embed", 2, server.charged)


@pytest.mark.parametrize("told", [None, -5, 10**12, True, "7", 1.5])
def test_a_count_that_cannot_be_is_not_taken(told: object, opened: Opener, server: Loopback) -> None:
    server.prompt_tokens = lambda texts: told
    memory = opened()
    memory.add("a ferry")
    memory.flush()
    [call] = calls(memory)
    assert 2 <= call.tokens_in <= 40


def test_a_request_that_fails_is_noted_as_failed(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add(TEXTS[0])
    server.script.extend([refusal(400, "no such thing")] * 2)
    with pytest.raises(EmbeddingError):
        memory.flush()
    assert {(call.outcome, call.tokens, call.picos) for call in calls(memory)} == {("failed", 0, 0)}
    assert "no such thing" in calls(memory)[0].error
    assert len(calls(memory)) == len(server.asked)
    assert memory.calls.usage()[0].failed == 2
    assert memory.flush() == 1
    assert tokens(memory) == server.charged


def test_what_was_charged_before_a_failure_is_counted(opened: Opener, server: Loopback) -> None:
    """256 texts go in four requests: the second is refused."""
    memory = opened()
    memory.add_many(f"text {n}" for n in range(100))
    right = server.answer
    answers = iter([False, True])

    def answer(asked: Any) -> Reply:
        reply = right(asked)
        return refusal(400, "not this one") if next(answers, False) else reply

    server.answer = answer  # type: ignore[method-assign]
    server.prompt_tokens = lambda texts: len(texts)
    memory.flush()
    first = calls(memory)[0]
    assert (first.outcome, first.tokens) == ("failed", 64)


def test_an_answer_that_cannot_be_used_is_charged_for(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add(TEXTS[0])
    server.script.append(Reply(body={"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 11}}))
    memory.flush()
    first = calls(memory)[0]
    assert (first.outcome, first.tokens) == ("failed", 11)


def test_a_dead_process_leaves_the_estimate(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add(TEXTS[0])
    seen: list[Call] = []

    def looked_at(texts: list[str]) -> int:
        seen.extend(memory.calls.listed())
        return 3

    server.prompt_tokens = looked_at
    memory.flush()
    [call] = seen
    assert call.outcome == "open"
    assert call.tokens_in >= words(sent(server))
    assert [call.tokens for call in calls(memory)] == [3]


def test_what_needs_nobody_is_not_noted(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash", models=ModelPool(private=private("default"))) as memory:
        memory.add_many(TEXTS)
        assert by_vector(memory.recall("ferry"))
        assert memory.calls.listed() == []
        assert memory.embedder is memory._opened.embedder
        [choice] = memory.router.models(Need("embed"))
        assert choice == ModelChoice(memory.embedder.id, "the embedder of this memory", local=True)


def test_a_rehearsal_asks_for_real_and_says_so(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add_many(TEXTS)
    with memory.rehearse():
        memory.add("never written")
        assert by_vector(memory.recall("ferry"))
    assert tokens(memory) == server.charged > 0
    assert not any("never" in text for text in sent(server))


class Wordy(Said):
    """An embedder that gives its words' vectors too, and embeds questions as texts."""

    id = "wordy-8-v1"

    def embed_tokens(self, texts: Sequence[str]) -> list[Tokens]:
        spans = np.array([[0, 3]], np.int32)
        return [Tokens(row, np.ones((1, 4), np.float32), spans) for row in self.embed(texts)]


def test_one_pass_for_a_text_and_its_words_is_one_call(tmp_path: Path) -> None:
    embedder = Wordy()
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        memory.add(TEXTS[0])
        memory.flush()
        memory.recall("ferry")
        assert [call.cause for call in calls(memory)] == ["texts", "cue"]
        assert len(embedder.texts) == 2
        assert memory._ledger.tokens(embedder.id, [1])


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_of_tokens_is_spent_and_not_overspent(
    opened: Opener, server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    made = [f"the ferry number {n} leaves the harbour" for n in range(200)]
    with caplog.at_level(logging.WARNING, "agentmem"):
        memory = opened(budgets={None: Budget(tokens=600)})
        memory.add_many(made)
        with pytest.raises(NotAsked, match="may spend since") as caught:
            memory.flush()
    assert "Raise the budget" in caught.value.way_out
    assert "Raise the budget" in caplog.text
    spent = tokens(memory)
    assert spent == server.charged
    assert 500 < spent <= 600
    assert 0 < memory.stats().pending < 200
    before = len(server.asked)
    hits = memory.recall("ferry number 199")
    assert "199" in hits[0].record.text
    assert len(server.asked) == before
    memory = opened(budgets={None: Budget(tokens=100_000)})
    hits = memory.recall("ferry number 7 leaves")
    assert by_vector(hits)
    assert memory.stats().pending == 0
    texts = [text for asked in server.asked for text in asked.texts if text.startswith("(")]
    assert len(texts) == len(set(texts)) == 200  # nothing is paid for twice
    assert tokens(memory) == server.charged


def test_what_a_budget_was_enough_for_is_found_by_its_vector(opened: Opener, server: Loopback) -> None:
    memory = opened(budgets={None: Budget(tokens=100)})
    first = memory.add("a whale")
    memory.add_many(f"the ferry number {n} leaves the harbour" for n in range(100))
    with pytest.raises(NotAsked):
        memory.flush()
    near = Cue(vector=tuple(memory.host.vectors([first.position])[0].tolist()))
    assert memory.recall(near, k=1)[0].record == first


def test_a_budget_of_money_is_exact(opened: Opener, server: Loopback) -> None:
    memory = opened(budgets={Scope("default"): Budget(money=0.05)})  # at 0.001 a token
    memory.add_many(f"text {n}" for n in range(50))
    with pytest.raises(NotAsked, match=r"of the 0\.05"):
        memory.flush()
    spent = sum(call.picos for call in calls(memory))
    assert spent == server.charged * PICO // 1_000
    assert 0 < spent <= PICO // 20


def test_a_budget_that_takes_nothing_sends_nothing(opened: Opener, server: Loopback) -> None:
    memory = opened(budgets={None: Budget(tokens=1)})
    memory.add_many(TEXTS)
    assert memory.recall("ferry")[0].record.text == TEXTS[0]
    assert server.asked == []
    assert calls(memory) == []
    assert memory.stats().pending == len(TEXTS)
    memory = opened()
    assert by_vector(memory.recall("ferry"))


def test_money_is_budgeted_and_the_price_is_not_known(opened: Opener, server: Loopback, monkeypatch: Any) -> None:
    monkeypatch.setattr("agentmem.embedders.openai.OpenAIEmbedder.is_local", False)  # no terms, so no price either
    memory = opened(terms=None, budgets={None: Budget(money=1.0)})
    memory.add(TEXTS[0])
    assert memory.recall("ferry")[0].record.text == TEXTS[0]
    assert server.asked == []
    [choice] = memory.router.models(Need("embed"))
    assert (choice.refused, choice.why) == (True, "money is budgeted, and what it costs is not known")


def test_scopes_have_their_own_account_and_share_the_ledgers_budget(opened: Opener, server: Loopback) -> None:
    memory = opened(budgets={Scope("user:ana"): Budget(tokens=20), None: Budget(tokens=1_000)})
    ana, bea = memory.scope("user:ana"), memory.scope("user:bea")
    for scope in (ana, bea):
        scope.add_many(f"the ferry number {n} leaves" for n in range(20))
    with pytest.raises(NotAsked, match="user:ana may spend"):
        ana.flush()
    assert bea.flush() == 20
    assert tokens(ana) <= 20 < tokens(bea)
    assert tokens(ana) + tokens(bea) == server.charged


def test_a_call_that_cannot_be_noted_is_not_made(tmp_path: Path, server: Loopback) -> None:
    models = ModelPool(terms={spec(server): ELSEWHERE})
    with (
        small_disk(tmp_path / "disk") as disk,
        Memory.open(disk / "m", embedder=spec(server), models=models) as memory,
    ):
        memory.add_many(TEXTS)
        memory.flush()
        with filled_up(disk):
            for n in range(50):  # until not even a line goes into what is left of the log
                before = len(server.asked)
                hits = memory.recall(f"ferry {n}")
                assert hits[0].record.text == TEXTS[0]
                if len(server.asked) == before:
                    break
            else:
                pytest.fail("the disk is not full")
            assert not by_vector(hits)
        assert len(memory.calls.listed()) == len(server.asked)


# ── the command line, settings, pools ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def run(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app.program, ["--memory", "m", *args], prog_name="agentmem")
    assert result.exit_code == code, result.output
    return result


def as_json(*args: str) -> Any:
    return json.loads(run("--json", *args).stdout)


def configured(folder: Path, server: Loopback, more: str = "") -> None:
    (folder / "agentmem.toml").write_text(
        f'[models.roles]\nembed = "{spec(server)}"\n[models.terms."{spec(server)}"]\n'
        f"input = 1000.0\nlocal = false\n{more}"
    )


def test_the_commands_go_by_the_file(folder: Path, server: Loopback) -> None:
    configured(folder, server, '[models.private]\nscopes = ["user:ana"]\n')
    run("add", TEXTS[0])
    run("recall", "ferry")
    [used] = as_json("models", "usage")["usage"]
    assert (used["role"], used["model"], used["tokens_in"]) == (
        "embed",
        f"m@{server.url[7:-3]}-8".replace("127.0.0.1", "localhost"),
        server.charged,
    )
    assert used["money"] == server.charged / 1_000
    assert run("models", "usage").stdout.split()[0] == "embed"
    [choice] = as_json("models", "list")["roles"]["embed"]
    assert (choice["model"], choice["refused"]) == (used["model"], False)
    assert "the embedder of this memory" in run("models", "list").stdout
    server.asked.clear()
    run("--scope", "user:ana", "add", TEXTS[1])
    assert TEXTS[1] in run("--scope", "user:ana", "recall", "violin").stdout
    assert "not asked: user:ana never leaves this machine" in run("--scope", "user:ana", "models", "list").stdout
    for work in (["sleep"], ["consolidate"], ["doctor"], ["doctor", "--fix"]):
        run("--scope", "user:ana", *work)
    assert server.asked == []
    run("doctor")  # of all scopes: somebody may ask
    assert sent(server) == ["is anybody there?"]


def test_the_role_embed_of_a_file_is_the_embedder(folder: Path) -> None:
    project = '[tool.agentmem.models.roles]\nembed = "hash:1024"\n'
    (folder / "pyproject.toml").write_text(project)
    settings = Settings.load(cwd=folder, environ={})
    assert settings.embedder == "hash:1024"
    assert settings.origins["embedder"].startswith("[models.roles] of [tool.agentmem] of pyproject.toml")
    assert not ModelPool(settings.models)
    assert ["embedder", "hash:1024"] in [line.split()[:2] for line in run("config", "show").stdout.splitlines()]
    assert Settings.load({"embedder": "hash"}, cwd=folder, environ={}).embedder == "hash"
    assert Settings.load(cwd=folder, environ={"AGENTMEM_EMBEDDER": "hash"}).embedder == "hash"
    (folder / "pyproject.toml").write_text('[tool.agentmem]\nembedder = "hash:512"\n' + project)
    assert Settings.load(cwd=folder, environ={}).embedder == "hash:512"
    (folder / "pyproject.toml").write_text(project)
    (folder / "agentmem.toml").write_text('embedder = "hash:256"\n')
    assert Settings.load(cwd=folder, environ={}).embedder == "hash:256"


def test_the_role_embed_goes_before_the_key_of_a_weaker_file(folder: Path) -> None:
    (folder / "agentmem.toml").write_text('[models.roles]\nembed = ["hash:1024"]\n')
    (folder / "pyproject.toml").write_text('[tool.agentmem]\nembedder = "hash:512"\n')
    settings = Settings.load(cwd=folder, environ={})
    assert settings.embedder == "hash:1024"
    assert "agentmem.toml" in settings.origins["embedder"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('[models.roles]\nembed = ["hash", "minilm"]', "models.roles.embed names 2 embedders"),
        ("[models.roles]\nembed = []", "models.roles.embed names 0 embedders"),
        ('[models.policies]\nembed = "cheapest"', "models.policies.embed decides nothing"),
    ],
)
def test_a_memory_has_one_embedder(folder: Path, table: str, told: str) -> None:
    (folder / "agentmem.toml").write_text(table)
    result = CliRunner().invoke(app.program, ["config", "validate"], prog_name="agentmem")
    assert result.exit_code == 2
    assert told in result.stderr
    assert "vectors of two" in result.stderr


def test_in_python_the_embedder_is_named_where_the_memory_is_opened(tmp_path: Path) -> None:
    tables: list[tuple[Any, Any]] = [
        ({"embed": "openai:m"}, None),
        ("scripted:echo", {"embed": "cheapest"}),
        (ModelSettings(roles={"embed": ("openai:m",)}), None),
    ]
    for models, policies in tables:
        with pytest.raises(InvalidInput) as caught:
            ModelPool(models, policies=policies)
        assert "Memory.open(…, embedder=…)" in caught.value.way_out
    with Memory.open(tmp_path / "m", embedder="hash", models="scripted:echo") as memory:
        assert not memory.models.serves("embed")
        with pytest.raises(InvalidInput, match="an embedder answers no chat"):
            memory.models.ask("embed", "a text")


def test_records_are_what_they_were(opened: Opener, server: Loopback) -> None:
    """Nothing of this touches the journal."""
    memory = opened(private=private(kinds=["note"]), budgets={None: Budget(tokens=10)})
    made: list[Record] = [*memory.add_many(TEXTS), memory.add("a secret", kind="note")]
    memory.recall("ferry")
    assert [record.id for record in memory.records()] == [record.id for record in made]
    assert len(memory.log()) == len(made)
