"""What a store may do to a recall that asks it: whatever it does, the user is answered, and told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from agentmem import Change, Cue, Hit, Memory
from agentmem.errors import InvalidInput, LedgerError
from agentmem.recall import hearing
from agentmem.recall import stores as opening
from agentmem.router import ROUTES
from agentmem.store import Host, Models, Report
from agentmem.values import Json


class Store:
    """One that says what it was made to say."""

    def __init__(self, answer: Callable[[Cue, int], Sequence[Hit]]) -> None:
        self.cursor = 0
        self._answer = answer
        self.follows: Callable[[], object] = lambda: None

    def apply(self, changes: Sequence[Change]) -> None:
        self.follows()
        self.cursor = changes[-1].seq

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return self._answer(cue, k)  # type: ignore[return-value]  # that is for the caller to find out

    def inspect(self) -> Mapping[str, Json]:
        return {}

    def rebuild(self) -> None:
        self.cursor = 0

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        return Report("nothing to do")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many([{"text": f"The ferry was late {n} times."} for n in range(5)])
        yield memory


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hearing, opening):
        monkeypatch.setattr(module, "PATIENCE_S", 1.0)


def fails(error: Exception) -> Callable[[Cue, int], Sequence[Hit]]:
    def answer(cue: Cue, k: int) -> Sequence[Hit]:
        raise error

    return answer


@pytest.mark.parametrize(
    "error", [LedgerError("it is full"), InvalidInput("it is odd"), ValueError("a fault"), KeyError(), MemoryError()]
)
def test_one_that_raises_is_left_out_and_named(memory: Memory, error: Exception) -> None:
    alone = memory.recall("ferry")
    memory.attach("odd", Store(fails(error)))
    found = memory.recall("ferry")
    assert [hit.record for hit in found] == [hit.record for hit in alone]
    [asked] = found.asked
    assert (asked.store, asked.hits) == ("odd", 0)
    assert asked.note == f"failed: {error or type(error).__name__}"
    [asked] = memory.recall("ferry").asked
    assert asked.note == "left alone for a while, after it failed"


def test_one_that_hangs_is_waited_for_so_long_and_not_asked_again_meanwhile(memory: Memory, hasty: None) -> None:
    go_on = threading.Event()
    asked: list[Cue] = []

    def answer(cue: Cue, k: int) -> Sequence[Hit]:
        asked.append(cue)
        go_on.wait(60)
        return [Hit(next(memory.records()), 1.0, verdict="at last")]

    memory.attach("slow", Store(answer))
    memory.attach("quick", Store(lambda cue, k: [Hit(next(memory.records()), 1.0, verdict="at once")]))
    found = memory.recall("ferry")
    assert len(found) == 5
    assert {one.store: (one.hits, one.note) for one in found.asked} == {
        "slow": (0, "no answer in 1 s"),
        "quick": (1, ""),
    }
    memory._stores["slow"].fault.__init__()  # type: ignore[misc]  # the pause is over; what it is at is not
    [slow] = [one for one in memory.recall("ferry").asked if one.store == "slow"]
    assert slow.note == "left alone for a while, after it failed"
    assert len(asked) == 1
    memory.add("Another one, while it hangs.")
    assert memory.recall("another one")[0].record.text == "Another one, while it hangs."
    go_on.set()
    memory._stores["slow"].fault.running.join()  # type: ignore[union-attr]
    memory._stores["slow"].fault.__init__()  # type: ignore[misc]
    found = memory.recall("ferry")
    assert [one.hits for one in found.asked] == [1, 1]
    assert "at last" in next(hit for hit in found if "slow" in hit.parts).verdict


def test_one_that_hangs_with_its_lock_held_holds_up_neither_recall_nor_erasing_nor_closing(
    tmp_path: Path, hasty: None
) -> None:
    go_on = threading.Event()

    def hanging(host: Host) -> Store:
        def answer(cue: Cue, k: int) -> Sequence[Hit]:
            with host.lock:
                go_on.wait(60)
            return []

        return Store(answer)

    memory = Memory.open(tmp_path / "m", embedder="hash:64")
    record = memory.add("The ferry was late.")
    memory.attach("slow", hanging)
    assert len(memory.recall("ferry")) == 1
    memory.add("It was early today.")
    assert len(memory.recall("ferry")) == 2
    memory.forget(record.id, hard=True)
    assert [hit.record.text for hit in memory.recall("ferry")] == ["It was early today."]
    memory.close()
    go_on.set()


def test_one_that_hangs_while_it_follows(memory: Memory, hasty: None) -> None:
    go_on = threading.Event()
    store = Store(lambda cue, k: [])
    memory.attach("slow", store)
    store.follows = lambda: go_on.wait(60)
    memory.add("The ferry was early.")
    found = memory.recall("ferry was early")
    assert found[0].record.text == "The ferry was early."
    assert found.asked[0].note == "no answer in 1 s"
    go_on.set()


def test_what_is_of_another_scope_is_refused_and_reported(memory: Memory) -> None:
    strange = memory.scope("user:eve").add("The ferry is mine.")
    forged = replace(next(memory.records()), text="The ferry sank.")
    memory.attach("odd", Store(lambda cue, k: [Hit(strange, 9.0), Hit(forged, 8.0)]))
    found = memory.recall("ferry")
    [asked] = found.asked
    assert (asked.hits, asked.note) == (1, "1 of another scope refused")
    assert strange.id not in {hit.record.id for hit in found}
    assert "The ferry sank." not in {hit.record.text for hit in found}  # what it says of a text does not count


@pytest.mark.parametrize("answer", [None, 7, [None], ["a hit"], [("id", 1.0)], {"a": 1}])
def test_what_is_no_hit_is_passed_over_and_reported(memory: Memory, answer: object) -> None:
    memory.attach("odd", Store(lambda cue, k: answer))  # type: ignore[arg-type,return-value]
    found = memory.recall("ferry")
    assert len(found) == 5
    assert found.asked[0].note == "some of its answer is no hit"


def test_no_more_is_heard_of_a_store_than_its_budget(memory: Memory) -> None:
    first, second, *_ = memory.records()
    memory.attach("long", Store(lambda cue, k: [Hit(first, 2.0)] * k + [Hit(second, 1.0)] * 100_000))
    memory.route({"chunks": ROUTES["chunks"]._replace(concerns=lambda question: "always", depth=2)})
    found = memory.recall("ferry")
    assert {one.store: (one.hits, one.note) for one in found.asked} == {"long": (1, ""), "chunks": (2, "")}


def test_reasons_that_are_no_text_are_told_as_one(memory: Memory) -> None:
    memory.attach("odd", Store(lambda cue, k: [Hit(next(memory.records()), 1.0, verdict=7)]))  # type: ignore[arg-type]
    assert any("7" in hit.verdict for hit in memory.recall("ferry") if "odd" in hit.parts)


def test_nobody_is_asked_for_nothing(memory: Memory) -> None:
    memory.attach("odd", Store(fails(ValueError("never asked"))))
    assert memory.recall("ferry", 0).asked == ()


def test_scores_that_are_no_numbers_are_passed_over(memory: Memory) -> None:
    [one, other, *_] = memory.records()
    memory.attach("odd", Store(lambda cue, k: [Hit(one, float("nan")), Hit(other, 1.0)]))
    found = memory.recall("ferry")
    assert {hit.record.id for hit in found if hit.parts.get("odd")} == {other.id}


def test_records_that_are_gone_are_no_fault_of_a_store_that_is_behind(memory: Memory) -> None:
    record = next(memory.records())
    memory.attach("behind", Store(lambda cue, k: [Hit(record, 1.0)]))
    memory.forget(record.id)
    [asked] = memory.recall("ferry").asked
    assert (asked.hits, asked.note) == (0, "")


def test_nobody_is_asked_where_nothing_is_allowed(memory: Memory) -> None:
    memory.attach("odd", Store(fails(ValueError("never asked"))))
    assert memory.recall("ferry", speaker="nobody") == []
    assert memory.recall("ferry", speaker="nobody").asked == ()


def test_a_store_that_was_attached_is_let_go(memory: Memory) -> None:
    memory.attach("odd", Store(lambda cue, k: [Hit(next(memory.records()), 1.0)]))
    assert memory.recall("ferry").asked
    memory.detach("odd")
    assert not memory.recall("ferry").asked
    with pytest.raises(InvalidInput, match="no store 'odd' is attached"):
        memory.detach("odd")
