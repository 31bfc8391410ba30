"""A question for what stood right beside something in its conversation: the turn beside it comes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.recall.corpus import Corpus
from agentmem.recall.reading import read
from agentmem.recall.weights import COVERAGE, Weights, beside

MORNING = ["We packed the lamps.", "Then we missed the bus to Porto.", "Bea found a red kite.", "It began to snow."]
EVENING = ["The soup was cold.", "Somebody sang of a bus.", "A violin was played.", "We went home."]


@pytest.fixture(params=["hash", "hash:64"])
def memory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder=request.param) as memory:
        for session, texts in (("morning", MORNING), ("evening", EVENING)):
            memory.add_many({"text": text, "session": session} for text in texts)
        yield memory


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("What was said right after we missed the bus?", "after"),
        ("What came next, once we missed the bus?", "after"),
        ("What happened immediately before we missed the bus?", "before"),
        ("what came before the snow", "before"),
        ("What did we do after we missed the bus?", ""),  # that may be told anywhere
        ("Is the right one before the door?", ""),
        ("What are we doing next week?", ""),
        ("", ""),
    ],
)
def test_what_asks_for_the_turn_beside(text: str, where: str) -> None:
    assert read(text, Corpus()).beside == where


@pytest.mark.parametrize("engine", ["learned", "training-free"])
@pytest.mark.parametrize(
    ("cue", "first"),
    [
        ("we missed the bus to Porto", MORNING[1]),
        ("What was said right after we missed the bus to Porto?", MORNING[2]),
        ("What came before we missed the bus to Porto?", MORNING[0]),
        ("What was said right after a violin was played?", EVENING[3]),
    ],
)
def test_the_turn_beside_the_one_that_fits_comes_first(memory: Memory, engine: str, cue: str, first: str) -> None:
    hit = memory.recall(cue, engine=engine)[0]
    assert hit.record.text == first
    assert hit.score == pytest.approx(sum(hit.parts.values()))


def test_of_another_session_it_is_not(memory: Memory) -> None:
    """The last of a session has nothing after it, and then it is shown itself."""
    texts = [hit.record.text for hit in memory.recall("What was said right after it began to snow?")]
    assert texts.index(MORNING[3]) < texts.index(EVENING[0])


def test_what_is_moved_is_the_due_of_the_words_alone() -> None:
    table = {"lexical": Weights(1, 0.4, 0.2, 0.1), "speaker": Weights(0.8, -0.1), COVERAGE: Weights(-0.1, -0.3, -0.3)}
    after, before = beside(table, "after"), beside(table, "before")
    assert after["lexical"] == pytest.approx((0.3, 1.6, 0.0, 0.0))
    assert before["lexical"] == pytest.approx((0.3, 0.0, 1.6, 0.0))
    assert after["speaker"] == before["speaker"] == table["speaker"]
    assert after[COVERAGE] == Weights(-0.1)
