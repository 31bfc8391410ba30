"""What was learned of models outlives the process: the ledger's calls count as if they had been seen here, once."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import event

from agentmem import Memory
from agentmem.errors import ModelError
from agentmem.models.calls import Call, Outcome
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.pool import ModelPool
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import Policy, Terms
from agentmem.values import now
from agentmem_apps.cli import app
from agentmem_stores.sql.ledger import FILE_NAME, SqlLedger
from tests.fakes import TinyEmbedder


def models(policy: Policy = "learned", *names: str, role: str = "reply", terms: float = 0.0) -> ModelPool:
    """A pool that nobody has asked yet."""
    asked = [ScriptedModel(lambda messages: "fine", name=name) for name in names or ("first", "second")]
    return ModelPool(asked, policies={role: policy}, terms={one.spec: Terms(input=terms) for one in asked})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Memory]]:
    memories: list[Memory] = []

    def open_(pool: ModelPool | None = None, scope: str = "default") -> Memory:
        memories.append(Memory.open(tmp_path / "m", embedder=TinyEmbedder(), scope=scope, models=pool))
        return memories[-1]

    yield open_
    for memory in memories:
        memory.close()


def noted(
    memory: Memory, model: str, outcome: Outcome, *, role: str = "reply", ms: float = 0.0, hours: int = 0
) -> None:
    """A call as a process leaves it in the ledger: begun, and ended unless it is open."""
    call = Call(role, model, outcome="open", ms=ms, at=now() - timedelta(hours=hours))
    memory.calls.begin(call)
    if outcome != "open":
        memory.calls.end(Call(role, model, outcome=outcome, ms=ms, id=call.id, at=call.at))


def order(memory: Memory, role: str = "reply") -> list[str]:
    return [choice.model for choice in memory.router.models(Need(role, 100, 100))]


def standing(pool: ModelPool, model: str, role: str = "reply") -> tuple[float, float]:
    """How often its answers were usable, to 1 %, and how long they took."""
    one = pool.candidate(model).standing(role)
    return round(one.success, 2), round(one.seconds, 3)


@contextmanager
def heard(memory: Memory, call: Callable[[str], object]) -> Iterator[None]:
    """`call` is called before each query of the calls that the memory puts to its database."""
    ledger = memory._opened.ledger
    assert isinstance(ledger, SqlLedger)

    def hear(connection: object, cursor: object, statement: str, *_: object) -> None:
        if "FROM calls" in statement:
            call(statement)

    event.listen(ledger._database.engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(ledger._database.engine, "before_cursor_execute", hear)


# ── another process ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_failed_in_another_process_is_not_asked_first_in_this_one(opened: Callable[..., Memory]) -> None:
    broken = ScriptedModel(lambda messages: ModelError("it is gone"), name="first")
    pool = ModelPool([broken, ScriptedModel(["fine"], name="second")])
    with opened(pool) as memory:
        assert memory.models.chat("reply", "hello").model == "second"
    memory = opened(models())
    answer = memory.models.chat("reply", "hello")
    assert (answer.model, answer.passed_over) == ("second", ())
    assert answer.why.startswith("it did best; 91% usable")


@pytest.mark.parametrize(
    ("policy", "why"), [("learned", "it did best"), ("local-first", "local, and local ones go first")]
)
def test_the_better_one_goes_first_and_why_is_told(opened: Callable[..., Memory], policy: Policy, why: str) -> None:
    with opened() as memory:
        noted(memory, "first", "done", ms=9_000.0)
        noted(memory, "second", "done", ms=100.0)
    [best, other] = opened(models(policy)).router.models(Need("reply"))
    assert (best.model, best.why) == ("second", f"{why}; 91% usable, 0.1 s an answer")
    assert other.model == "first"
    assert other.why.endswith("91% usable, 9.0 s an answer")


def test_the_cheapest_is_who_costs_least_for_an_answer_that_can_be_used(opened: Callable[..., Memory]) -> None:
    with opened() as memory:
        for _ in range(9):
            noted(memory, "first", "refused", ms=10.0)
    assert order(opened(models("cheapest", terms=1.0))) == ["second", "first"]
    assert order(opened(models("cheapest"))) == ["second", "first"], "both cost nothing, and one did better"


def test_an_order_is_never_crossed(opened: Callable[..., Memory]) -> None:
    with opened() as memory:
        noted(memory, "first", "failed")
        noted(memory, "second", "done", ms=1.0)
    choices = opened(models("order")).router.models(Need("reply"))
    assert choices == [
        ModelChoice("first", "it stands first", local=True),
        ModelChoice("second", "it stands 2. in the order given", local=True),
    ]


def test_the_list_shows_what_was_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "agentmem.toml").write_text(
        """
        model = "scripted:echo"
        [models.roles]
        reply = ["scripted:slow", "scripted:broken", "scripted:quick"]
        judge = ["scripted:slow", "scripted:quick"]
        [models.policies]
        reply = "learned"
        """
    )
    with Memory.open("m", embedder="hash") as memory:
        for role in ("reply", "judge"):
            noted(memory, "scripted:slow", "done", role=role, ms=4_000.0)
            noted(memory, "scripted:broken", "failed", role=role)
            noted(memory, "scripted:quick", "done", role=role, ms=100.0)
    result = CliRunner().invoke(app.program, ["--memory", "m", "--embedder", "hash", "--json", "models", "list"])
    assert result.exit_code == 0, result.stderr
    roles = json.loads(result.stdout)["roles"]
    assert [(one["model"], one["why"]) for one in roles["reply"]] == [
        ("scripted:quick", "it did best; 91% usable, 0.1 s an answer"),
        ("scripted:slow", "it did less well; 91% usable, 4.0 s an answer"),
        ("scripted:broken", "it did less well; 73% usable"),
    ]
    assert [one["model"] for one in roles["judge"]] == ["scripted:slow", "scripted:quick"]


# ── what counts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_call_counts_by_its_outcome_and_its_age(opened: Callable[..., Memory]) -> None:
    with opened() as memory:
        noted(memory, "first", "done", ms=4_000.0, hours=1)
        noted(memory, "first", "done", ms=1_000.0)
        noted(memory, "first", "open")
        noted(memory, "first", "done", ms=90_000.0, hours=8 * 24)  # more than a week ago
        noted(memory, "first", "done", role="judge", ms=7_000.0)
        noted(memory, "second", "refused", ms=50.0)
        noted(memory, "second", "failed", hours=1)
        noted(memory, "third", "done", ms=1.0)  # which is no more in the pool
    pool = models()
    order(opened(pool))
    assert standing(pool, "first") == (round(5.5 / 6, 2), 2.0)
    assert standing(pool, "second") == (round(4 / 6, 2), 0.0)
    assert standing(pool, "first", "judge") == (0.89, 0.0), "that goes by its order"


def test_the_newest_few_hundred_count(opened: Callable[..., Memory]) -> None:
    with opened() as memory:
        noted(memory, "second", "done", ms=1.0, hours=2)
        for _ in range(300):
            noted(memory, "first", "failed")
    pool = models()
    assert order(opened(pool)) == ["second", "first"]
    assert standing(pool, "second") == (0.89, 0.0)
    assert standing(pool, "first") == (round(4 / 304.5, 2), 0.0)


def test_a_scope_counts_when_it_is_asked_in_and_its_own_calls_alone(opened: Callable[..., Memory]) -> None:
    with opened() as memory:
        noted(memory, "first", "failed")
        noted(memory.scope("user:ana"), "second", "done", ms=2_000.0)
        noted(memory.scope("user:ana"), "second", "done", ms=2_000.0)
    pool = models()
    memory = opened(pool)
    assert order(memory) == ["second", "first"]
    assert (standing(pool, "first"), standing(pool, "second")) == ((0.73, 0.0), (0.89, 0.0))
    order(memory.scope("user:ana"))
    assert (standing(pool, "first"), standing(pool, "second")) == ((0.73, 0.0), (0.92, 2.0))


def test_what_this_pool_saw_itself_is_never_counted_again(opened: Callable[..., Memory]) -> None:
    pool = models("learned", "first")
    with opened(pool) as memory:
        for role in ("judge", "reply"):  # the one goes by its order, and reads nothing
            memory.models.chat(role, "hello")
        memory.models.chat("reply", "hello")
        order(memory)
        assert standing(pool, "first")[0] == round(6 / 6.5, 2)
    memory = opened(pool)  # once more, by the same program
    order(memory)
    order(memory.with_models(pool))
    assert standing(pool, "first")[0] == round(6 / 6.5, 2)
    other = models("learned", "first")
    order(memory.with_models(other))
    assert standing(other, "first")[0] == round(6 / 6.5, 2), "another pool has seen none of it"


def test_threads_that_ask_at_once_count_it_once_and_whoever_comes_second_waits_for_it(
    opened: Callable[..., Memory],
) -> None:
    pool = models()
    memory = opened(pool)
    for _ in range(50):
        noted(memory, "first", "failed")
    found: list[list[str]] = []
    others = [threading.Thread(target=lambda: found.append(order(memory))) for _ in range(8)]

    def meanwhile(_: str) -> None:
        for other in others:
            other.start()
        for other in others:
            other.join(0.05)  # in vain: they wait for what is just being read

    with heard(memory, meanwhile):
        found.append(order(memory))
    for other in others:
        other.join()
    assert found == [["second", "first"]] * 9
    assert standing(pool, "first") == (round(4 / 54.5, 2), 0.0)


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("policy", "queries"), [("learned", 1), ("cheapest", 1), ("order", 0)])
def test_it_takes_one_query_for_each_scope_and_none_for_an_order(
    opened: Callable[..., Memory], policy: Policy, queries: int
) -> None:
    memory = opened(models(policy))
    noted(memory, "first", "failed")
    noted(memory.scope("user:ana"), "first", "failed")
    asked: list[str] = []
    with heard(memory, asked.append):
        for scope in (memory, memory.scope("user:ana")):
            for _ in range(3):
                order(scope)
    assert len(asked) == 2 * queries


def test_a_ledger_that_cannot_be_read_keeps_nobody_from_asking(
    opened: Callable[..., Memory], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = models()
    memory = opened(pool)
    noted(memory, "first", "failed")
    with closing(sqlite3.connect(tmp_path / "m" / FILE_NAME)) as other:
        other.execute("ALTER TABLE calls RENAME TO hidden")
        with caplog.at_level(logging.WARNING, "agentmem"):
            assert order(memory) == ["first", "second"]
        assert "how models did before cannot be read" in caplog.text
        other.execute("ALTER TABLE hidden RENAME TO calls")
    assert memory.models.chat("reply", "hello").model == "first"
    assert standing(pool, "first")[0] == 0.91, "what it saw itself counts, and once"
