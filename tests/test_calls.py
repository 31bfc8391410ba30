"""Calls of models as the ledger keeps them: counted before they are made, put right when they end, bound by budgets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from agentmem.errors import BudgetReached
from agentmem.memory import Memory
from agentmem.models.calls import PICO, Call, Limit, Spent, Usage, money
from agentmem.opened import open_ledger
from agentmem.records import Scope
from agentmem_stores.sql.calls import SqlCalls
from agentmem_stores.sql.ledger import SqlLedger
from tests.fakes import TinyEmbedder

TODAY = datetime(2024, 5, 6, tzinfo=UTC)
NOON = TODAY + timedelta(hours=12)
ANA = Scope("user:ana")


@pytest.fixture
def calls(ledger: SqlLedger) -> SqlCalls:
    return ledger.bind(ANA).calls


def call(tokens: int, **more: object) -> Call:
    return replace(Call("reply", "m", tokens_in=tokens, picos=tokens * 1_000, at=NOON), **more)  # type: ignore[arg-type]


def test_a_call_is_kept_as_it_began_and_as_it_ended(calls: SqlCalls) -> None:
    begun = call(100, cause="a record", prompt="reply/1")
    calls.begin(begun)
    assert calls.listed() == [begun]
    ended = replace(begun, outcome="done", tokens_in=90, tokens_out=20, picos=110_000, ms=12.5)
    calls.end(ended)
    assert calls.listed() == [ended]


def test_a_call_of_another_scope_is_out_of_reach(ledger: SqlLedger, calls: SqlCalls) -> None:
    begun = call(100)
    calls.begin(begun)
    ledger.bind(Scope("user:bea")).calls.end(replace(begun, outcome="done", tokens_in=0))
    ledger.bind(Scope("user:ana/inside")).calls.end(replace(begun, outcome="done", tokens_in=0))
    assert calls.listed() == [begun]


def test_what_no_database_holds_is_replaced_in_an_error(calls: SqlCalls) -> None:
    calls.begin(call(1, error="\0 and \ud800"))
    assert calls.listed()[0].error == "\ufffd and ?"


def test_an_estimate_that_does_not_fit_is_refused_and_not_noted(calls: SqlCalls) -> None:
    limit = Limit(ANA, TODAY, tokens=150)
    calls.begin(call(100), [limit])
    with pytest.raises(BudgetReached, match="51 tokens, and 100 tokens of the 150"):
        calls.begin(call(51), [limit])
    assert calls.spent(limit) == Spent(1, 100, 100_000)
    calls.begin(call(50), [limit])  # to the last token
    assert calls.spent(limit) == Spent(2, 150, 150_000)


def test_money_is_a_limit_of_its_own(calls: SqlCalls) -> None:
    limit = Limit(ANA, TODAY, picos=PICO // 100)
    calls.begin(call(1, picos=PICO // 100), [limit])
    with pytest.raises(BudgetReached, match=r"0\.01"):
        calls.begin(call(1, picos=1), [limit])
    assert money(calls.spent(limit).picos) == 0.01


def test_what_a_call_did_not_take_is_given_back_when_it_ends(calls: SqlCalls) -> None:
    limit = Limit(ANA, TODAY, tokens=100)
    begun = call(100)
    calls.begin(begun, [limit])
    calls.end(replace(begun, outcome="done", tokens_in=30))
    calls.begin(call(70), [limit])


def test_yesterday_does_not_count(calls: SqlCalls) -> None:
    calls.begin(call(100, at=TODAY - timedelta(microseconds=1)))
    limit = Limit(ANA, TODAY, tokens=100)
    assert calls.spent(limit) == Spent()
    calls.begin(call(100), [limit])


def test_a_limit_holds_for_what_is_inside_its_scope_and_for_nobody_beside(ledger: SqlLedger) -> None:
    for path, tokens in (("user:ana", 1), ("user:ana/a", 2), ("user:ana/a/b", 4), ("user:anabel", 8), ("user:bea", 16)):
        ledger.bind(Scope(path)).calls.begin(call(tokens))
    calls = ledger.bind(Scope("user:bea")).calls
    assert calls.spent(Limit(ANA, TODAY)).tokens == 7
    assert calls.spent(Limit(Scope("user:ana/a"), TODAY)).tokens == 6
    assert calls.spent(Limit(None, TODAY)).tokens == 31
    with pytest.raises(BudgetReached, match="this memory"):
        calls.begin(call(2), [Limit(Scope("user:bea"), TODAY, tokens=99), Limit(None, TODAY, tokens=32)])
    assert [one.tokens for one in calls.listed()] == [16]


def test_who_asks_at_once_is_never_counted_together(place: str) -> None:
    """Forty threads on two handles of one ledger, and a budget for half of them: exactly half get it."""
    limit = Limit(None, TODAY, tokens=20)
    outcomes: list[bool] = []
    ledgers = [cast(SqlLedger, open_ledger(place)) for _ in range(2)]

    def ask(number: int) -> None:
        try:
            ledgers[number % 2].bind(Scope(f"user:{number % 3}")).calls.begin(call(1), [limit])
        except BudgetReached:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 20 + [True] * 20
    assert ledgers[0].bind(ANA).calls.spent(limit).tokens == 20
    for ledger in ledgers:
        ledger.close()


def test_usage_is_by_role_and_model_and_the_dearest_first(ledger: SqlLedger) -> None:
    calls = ledger.bind(ANA).calls
    calls.begin(call(10, outcome="done", ms=4.0))
    calls.begin(call(10, outcome="done", ms=8.0, tokens_out=5))
    calls.begin(call(0, outcome="failed", error="gone", ms=999.0))
    calls.begin(call(1, role="extract", picos=PICO, outcome="refused"))
    ledger.bind(Scope("user:ana/inside")).calls.begin(call(100, at=NOON - timedelta(days=2)))
    assert calls.usage() == [
        Usage("extract", "m", 1, 1, 1, 0, PICO, 0.0),
        Usage("reply", "m", 3, 1, 20, 5, 20_000, 6.0),
    ]
    assert [one.tokens_in for one in calls.usage(inside=True)] == [1, 120]
    assert [one.tokens_in for one in calls.usage(inside=True, since=TODAY)] == [1, 20]


def test_what_a_server_quoted_goes_with_an_erasure(places: Callable[[], str]) -> None:
    with Memory.open(places(), embedder=TinyEmbedder()) as memory:
        record = memory.add("the secret harbour")
        ledger = memory._ledger
        assert isinstance(ledger.calls, SqlCalls)  # type: ignore[attr-defined]
        ledger.calls.begin(call(1, outcome="failed", error="it said: the secret harbour"))  # type: ignore[attr-defined]
        ledger.jobs.put("extract", {"record": record.id})  # type: ignore[attr-defined]
        job = ledger.jobs.take("one")  # type: ignore[attr-defined]
        ledger.jobs.failed(job.id, "one", "no fact: the secret harbour", attempts=1)  # type: ignore[attr-defined]
        memory.forget(record.id, hard=True)
        assert [one.error for one in ledger.calls.listed()] == [""]  # type: ignore[attr-defined]
        assert [one.error for one in ledger.jobs.listed()] == [None]  # type: ignore[attr-defined]
