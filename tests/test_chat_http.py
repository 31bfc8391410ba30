"""A thousand turns over real HTTP, with a fault in every tenth request: nothing said is lost, and nothing is twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from agentmem.errors import ModelError
from agentmem.memory import Memory
from agentmem.models.pool import ModelPool
from agentmem.models.settings import Budget, Terms
from agentmem.values import now
from agentmem.worker import Worker
from agentmem_apps.chat import ChatAgent
from tests.chat_server import ChatServer, Fault, Said, fault_schedule, pieces_of

TURNS: Final = 1_000
PLACES: Final = ("Porto", "Lisbon", "Faro", "Braga")


class Server(ChatServer):
    """Answers a chat with the words of the question, and what is to be read with the facts in it. `drawn` is what went
    wrong with each request."""

    def __init__(self) -> None:
        self.drawn: list[Fault | None] = []
        super().__init__(faults=self._draw())

    def _draw(self) -> Iterator[Fault | None]:
        for fault in fault_schedule(7, 0.1):
            self.drawn.append(fault)
            yield fault

    def usage_of(self, body: Mapping[str, Any]) -> tuple[int, int]:
        """In words, as it counts them."""
        prompt = " ".join(json.dumps(message, ensure_ascii=False) for message in body["messages"])
        said = self.respond(body)
        assert isinstance(said, str)
        return len(prompt.split()), len(pieces_of(said))

    def respond(self, body: Mapping[str, Any]) -> Said:
        told = body["messages"][-1]["content"]
        lines = re.findall(r'^\[(\d+)\] \S+ "[^"]*": "(.*)"$', told, re.MULTILINE)
        if "List the lasting facts" not in told:
            return f"you said {told.splitlines()[-1]}"
        facts = [
            {
                "turn": int(number),
                "head": "Ana",
                "relation": "was in",
                "tail": found[1],
                "quote": found[0],
                "confidence": 1,
            }
            for number, text in lines
            if (found := re.search(r"I was in (\w+) on day \d+", text))
        ]
        return json.dumps({"facts": facts})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.slow
def test_a_thousand_turns_with_faults(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [f"{server.url}#{model}" for model in ("first", "second")]  # the one, when the other is left alone
    terms = dict.fromkeys(specs, Terms(input=1.0, output=2.0, context=200_000))
    pool = ModelPool(specs, terms=terms, budgets={None: Budget(money=100.0)})
    shown: dict[str, str] = {}
    unanswered: list[str] = []
    with Memory.open(tmp_path / "notes.mem", embedder="hash", scope=("user:ana",), models=pool) as memory:
        talking = ChatAgent(memory, user="Ana", tools=False, background=False)
        for n in range(TURNS):
            text = f"I was in {PLACES[n % 4]} on day {n}."
            pieces: list[str] = []
            try:
                with talking.stream(text) as stream:
                    pieces.extend(stream)
            except ModelError:
                unanswered.append(text)
                assert pieces == []
            else:
                shown[text] = "".join(pieces)
        turns = [record for record in memory.records() if record.kind == "turn"]
        asked = [turn.text for turn in turns if turn.role == "user"]
        assert asked == [f"I was in {PLACES[n % 4]} on day {n}." for n in range(TURNS)]
        answers = {turn.meta["after"]: turn.text for turn in turns if turn.role == "assistant"}
        assert len(answers) == sum(turn.role == "assistant" for turn in turns)  # none twice
        kept = {turn.text: answers[turn.id] for turn in turns if turn.id in answers}
        assert kept == {text: answer for text, answer in shown.items() if answer}
        assert len(shown) + len(unanswered) == TURNS
        assert len(unanswered) < TURNS // 50  # three tries each
        cut = [turn for turn in turns if "cut" in turn.meta]
        assert 0 < len(cut) < TURNS // 20
        for text, answer in shown.items():
            assert f"you said {text}".startswith(answer)

        _drained(memory, monkeypatch)
        assert set(memory.jobs.counts()) <= {"done", "dead"}
        read = {
            source.record
            for record in memory.records(states=("live", "replaced"))
            if record.kind == "thought"
            for source in record.sources
        }
        lying = {id for job in memory.jobs.listed("dead") for id in _turns(job.payload)}
        users = {turn.id for turn in turns if turn.role == "user"}
        assert users <= read | lying
        assert memory.verify() == []
        _exact(memory, server)


def _turns(payload: Mapping[str, Any]) -> list[str]:
    return list(payload.get("turns", []))


def _drained(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs be done, time and again, until none waits."""
    worker, ahead = Worker(memory), timedelta()
    for _ in range(1_000):
        worker.run()
        if not memory.jobs.listed("waiting", "taken"):
            return
        ahead += timedelta(minutes=5)
        monkeypatch.setattr("agentmem_stores.sql.jobs.now", lambda ahead=ahead: now() + ahead)
    pytest.fail(f"jobs still wait: {memory.jobs.listed('waiting')[:3]}")


def _exact(memory: Memory, server: Server) -> None:
    """Each request is a row of the ledger, with the tokens that the server says it took, and their price."""
    calls = memory.calls.listed(100_000)[::-1]
    assert len(calls) == len(server.asked) == len(server.drawn)
    for call, asked, fault in zip(calls, server.asked, server.drawn, strict=True):
        if fault is None:
            told = server.usage_of(asked.body)
            assert (call.tokens_in, call.tokens_out) == told, asked.body
            assert call.outcome in ("done", "refused")  # a judge's question, which this server answers like any other
        elif call.outcome == "failed" and fault != "half":
            assert call.tokens == 0
        assert call.picos == 1_000_000 * call.tokens_in + 2_000_000 * call.tokens_out
    [limit] = memory.models.limits()
    spent = memory.calls.spent(limit)
    assert (spent.calls, spent.picos) == (len(calls), sum(call.picos for call in calls))
    assert sum(used.picos for used in memory.calls.usage()) == spent.picos
