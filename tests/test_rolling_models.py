"""The summaries of conversations when models fail, when others are at work too, and beside the rest of a memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.errors import BudgetReached, EmbeddingError, InvalidInput, ModelError
from agentmem.models.pool import ModelPool
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import Privacy
from agentmem.records import Record
from agentmem_stores.projection import experienced, pack
from agentmem_stores.rolling_summaries import RollingSummaries
from tests import rolled
from tests.fakes import TinyEmbedder
from tests.rolled import asked, keeping, rest, store, summary, tell, token, tokens, written

memory, opened = rolled.memory, rolled.opened

# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [BudgetReached("no more today"), ModelError("the key is wrong")])
def test_what_a_model_cannot_be_asked_of_waits_and_nothing_is_lost(
    opened: Callable[..., Memory], fault: ModelError
) -> None:
    answers: list[Any] = [keeping(), fault, *[keeping()] * 10]
    model = ScriptedModel(lambda messages: now if isinstance(now := answers.pop(0), Exception) else now(messages))
    memory = opened(model)
    told = tell(memory, 100, more=" On and on we go." * 20)
    report = rest(memory)
    assert str(report.fault) == str(fault)
    assert 10 < report.counts["turns"] < 20, "what a model is shown at once"
    assert report.counts["waiting"] == 100 - report.counts["turns"]
    assert str(fault) in report.summary
    assert summary(memory).meta["until"] == told[report.counts["turns"] - 1].position
    second = rest(memory)
    assert (second.fault, second.counts["waiting"]) == (None, 0)
    assert tokens(summary(memory)) == tokens(*told)[-8:]
    assert len({change.step for change in memory.log(1_000) if change.actor == "agentmem"}) == 2


def test_what_is_gone_is_gone_though_no_model_can_be_asked(opened: Callable[..., Memory]) -> None:
    answers: list[Any] = [keeping(), BudgetReached("no more today"), keeping()]
    memory = opened(ScriptedModel(lambda said: now if isinstance(now := answers.pop(0), Exception) else now(said)))
    told = tell(memory, 10)
    rest(memory)
    memory.forget(told[9].id)
    assert rest(memory).counts["withdrawn"] == 1
    assert store(memory).of("trip") is None
    rest(memory)
    assert tokens(summary(memory)) == tokens(*told)[1:9]


def test_where_a_models_answers_cannot_be_used_an_extract_is_taken_in(opened: Callable[..., Memory]) -> None:
    memory = opened(ScriptedModel(["no"] * 3 + ['{"drop": [], "add": []}']))
    told = tell(memory, 10)
    report = rest(memory)
    assert (report.fault, report.unread) == (None, ())
    assert (report.counts["unusable"], report.counts["by a model"], report.counts["turns"]) == (1, 0, 10)
    assert "1 answers of the model cannot be used" in report.summary
    assert summary(memory).meta["by"] == "extract"
    assert set(tokens(summary(memory))) <= set(tokens(*told))
    assert rest(memory).summary == "nothing to do", "it is not stuck"
    tell(memory, 10, session="home")
    assert rest(memory).counts["unusable"] == 0
    assert summary(memory, "home").meta["by"] == "extract", "a model that remembers nothing leaves no empty record"


def test_a_model_is_not_shown_what_it_may_not_see_nor_what_was_made_of_it(
    opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTMEM_OFFLINE", raising=False)
    memory = opened(ModelPool(Far(keeping()), private=Privacy.of(kinds=["diary"])))
    secret = tell(memory, 8, kind="diary")
    assert rest(memory).counts["turns"] == 8
    assert tokens(summary(memory)) == tokens(*secret)
    tell(memory, 2)
    rest(memory)
    assert asked(memory) == []
    assert summary(memory).meta["kinds"] == ["diary", "summary", "turn"]
    tell(memory, 8, session="home")
    rest(memory)
    assert len(asked(memory)) == 1


class Far(ScriptedModel):
    def __init__(self, script: Callable[[list[BaseMessage]], str]) -> None:
        super().__init__(script)

    @property
    def is_local(self) -> bool:
        return False


def test_an_embedder_that_is_down_loses_nothing(opened: Callable[..., Memory]) -> None:
    class Down(TinyEmbedder):
        down = False

        def embed(self, texts: Sequence[str]) -> Any:
            if self.down:
                raise EmbeddingError("it is down")
            return super().embed(texts)

    memory, embedder = opened(), Down()
    memory.attach("own", lambda host: RollingSummaries(_Host(host, embedder), words=20))
    told = tell(memory, 30)
    memory.consolidate("own")
    tell(memory, 5)
    embedder.down = True
    report = memory.consolidate("own")["own"]
    assert (str(report.fault), report.counts["waiting"]) == ("it is down", 5)
    assert summary(memory).meta["until"] == told[-1].position
    embedder.down = False
    assert memory.consolidate("own")["own"].counts["waiting"] == 0


class _Host:
    def __init__(self, host: Any, embedder: TinyEmbedder) -> None:
        self._host = host
        self._embedder = embedder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def embed(self, texts: Sequence[str], kinds: Collection[str] | None = None) -> Any:
        from agentmem.embedding import embed_checked

        return embed_checked(self._embedder, texts)


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_processes_take_the_same_in_once(opened: Callable[..., Memory]) -> None:
    memory = opened(ScriptedModel(keeping()))

    def meanwhile(messages: list[BaseMessage]) -> str:
        rest(memory)
        return keeping()(messages)

    other = opened(ScriptedModel(meanwhile))
    told, held = tell(memory, 10), store(other)
    assert rest(other).counts["turns"] == 0, "another was faster"
    assert tokens(summary(memory)) == tokens(*told)[-8:]
    told += tell(memory, 3)
    rest(memory)
    tell(memory, 9, session="home")
    rest(memory)
    assert held.of("home") == summary(memory, "home") != held.of("trip") == summary(memory)
    told += tell(memory, 1)
    assert rest(other).counts["renewed"] == 0
    assert tokens(summary(other)) == tokens(*told)[-8:]
    assert len(written(memory)) == 2
    assert len([change for change in memory.log(100) if change.actor == "agentmem"]) == 4


@pytest.mark.parametrize(
    "act",
    [
        lambda memory, turn: memory.edit(turn.id, text="We spoke of nothing."),
        lambda memory, turn: memory.forget(turn.id, hard=True),
        lambda memory, turn: memory.forget(summary(memory).id),
        lambda memory, turn: memory.edit(summary(memory).id, text="Mine."),
        lambda memory, turn: memory.edit(summary(memory).id, session="home"),
        lambda memory, turn: memory.forget(summary(memory).id, hard=True),
    ],
    ids=["edited", "erased", *(f"the summary {what}" for what in ("forgotten", "edited", "moved", "erased"))],
)
def test_what_changes_while_a_model_thinks_is_left_for_the_next_time(
    opened: Callable[..., Memory], act: Callable[[Memory, Record], object]
) -> None:
    acts: list[Callable[[], object]] = []

    def answer(messages: list[BaseMessage]) -> str:
        if acts:
            acts.pop()()
        return keeping()(messages)

    memory = opened(ScriptedModel(answer))
    tell(memory, 10)
    rest(memory)
    turn = tell(memory, 2)[1]
    acts.append(lambda: act(memory, turn))
    report = rest(memory)
    assert report.counts["turns"] == 0
    assert (report.counts["written"], report.counts["renewed"]) == (0, 0)
    memory.add("We spoke of the end.", session="trip")
    rest(memory)
    live = [record for record in memory.records() if record.kind == "turn"]
    assert set(tokens(summary(memory))) <= set(tokens(*live))
    assert rest(memory).summary == "nothing to do"


def test_what_changes_before_it_is_read_is_left_for_the_next_time(opened: Callable[..., Memory]) -> None:
    def answer(messages: list[BaseMessage]) -> str:
        if not memory.get(home[9].id).text.startswith("No"):
            memory.edit(home[9].id, text=f"No, of {token()}.")
        return keeping()(messages)

    memory = opened(ScriptedModel(answer))
    tell(memory, 10)
    home = tell(memory, 10, session="home")
    assert rest(memory).counts["turns"] == 19
    assert tokens(summary(memory, "home")) == tokens(*home)[1:9]
    assert rest(memory).counts["turns"] == 1


def test_what_is_said_while_a_model_thinks_waits_for_the_next_time(opened: Callable[..., Memory]) -> None:
    def answer(messages: list[BaseMessage]) -> str:
        if not late:
            late.extend(tell(memory, 1))
        return keeping()(messages)

    late: list[Record] = []
    memory = opened(ScriptedModel(answer))
    tell(memory, 10)
    assert rest(memory).counts["turns"] == 10
    assert rest(memory).counts["turns"] == 1
    assert tokens(*late)[0] in summary(memory).text


# ── beside recall ────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_found_as_any_record_is_and_never_read_for_facts_nor_summed_up_again(memory: Memory) -> None:
    told = tell(memory, 10)
    rest(memory)
    one = summary(memory)
    assert not experienced(one)
    assert store(memory).recall(Cue("spoke"), 5) == []
    found = [hit.record.id for hit in memory.recall(tokens(told[9])[0], kinds="summary")]
    assert found == [one.id]
    rest(memory)
    assert summary(memory).revision == 1
    with pytest.raises(InvalidInput):
        store(memory).recall(Cue("spoke"), -1)


def test_asking_for_a_summary_scans_nothing(memory: Memory) -> None:
    class Blind:
        def __init__(self, ledger: Any) -> None:
            self._ledger = ledger

        def __getattr__(self, name: str) -> Any:
            assert name in ("head", "at", "changes"), name
            return getattr(self._ledger, name)

        def changes(self, *, after: int, limit: int) -> Any:
            found = self._ledger.changes(after=after, limit=limit)
            assert found == []
            return found

    class Host:
        def __init__(self, host: Any) -> None:
            self._host = host
            self.ledger = host.ledger

        def __getattr__(self, name: str) -> Any:
            return getattr(self._host, name)

    tell(memory, 300)
    rest(memory)
    host = Host(memory.host)
    own = RollingSummaries(host)
    own.rebuild()
    host.ledger = Blind(host.ledger)
    assert own.of("trip") == summary(memory)
    assert own.of("nowhere") is None
    with pytest.raises(InvalidInput):
        own.of(3)  # type: ignore[arg-type]


def test_nothing_is_done_before_it_is_asked_for(memory: Memory) -> None:
    tell(memory, 300)
    memory.recall("spoke")
    assert written(memory) == []
    assert memory.host.ledger.segments("rolling") == []


def test_consolidating_cannot_be_rehearsed(memory: Memory) -> None:
    tell(memory, 10)
    with memory.rehearse(), pytest.raises(InvalidInput):
        memory.consolidate("rolling")
    assert written(memory) == []


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told, arrays: told.update(stamp=["rolling", 0, None]),
        lambda told, arrays: told.update(sessions=[]),
        lambda told, arrays: told.update(sessions=["a", "a"]),
        lambda told, arrays: told.update(made=[[1, "trip"]]),
        lambda told, arrays: told.update(made=[["x", "trip", True, 0, 1, ""]]),
        lambda told, arrays: told.update(made=None),
        lambda told, arrays: arrays.update(rows=arrays["rows"][::-1].copy()),
        lambda told, arrays: arrays.update(rows=arrays["rows"]["position"].copy()),
        lambda told, arrays: arrays.clear(),
        lambda told, arrays: 1_000,  # of a journal that went further
    ],
)
def test_a_segment_that_is_none_of_ours_is_derived_anew(
    memory: Memory, spoil: Callable[[dict[str, Any], dict[str, Any]], int | None]
) -> None:
    from agentmem.ledger import Segment
    from agentmem_stores.projection import unpack

    tell(memory, 20)
    rest(memory)
    memory.reindex("rolling")
    wanted = dict(store(memory).inspect())
    ledger = memory.host.ledger
    [(until, data)] = ledger.segments("rolling")
    told, arrays = unpack(data)
    until += spoil(told, arrays) or 0
    forged = Segment(until, pack(told, **arrays))
    standing = [one.until for one in ledger.segments("rolling")]
    assert ledger.transact(lambda writing: writing.put_segment("rolling", forged, standing=standing, kept=0))
    own = RollingSummaries(memory.host)
    assert own.cursor == 0
    own.rebuild()
    assert own.inspect() == wanted
