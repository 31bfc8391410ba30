"""The attempts that are not in the engine do what they are named for, so that their figures mean something; and the
latencies are measured of what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agentmem import Cue, Memory
from agentmem.recall.engine import embedded, question_of
from agentmem.recall.signal import Evidence, Question, Signal
from benchmarks.latency import EMBEDDING, PLAIN, VECTOR, WHOLE, measured
from benchmarks.tried import ATTEMPTS, Again, AlwaysRole, Early, Walk, When, WithoutNames, lists, orders

SAID = [
    ("Ana", "I left the violin with Marguerite"),
    ("Bo", "Marguerite lives in Trieste"),
    ("Ana", "the ferry was late"),
    ("Bo", "Ana, the soup is cold"),
    *(("Cy", f"item {n} of the list is ready") for n in range(30)),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many([{"text": text, "speaker": speaker} for speaker, text in SAID])
        memory.flush()
        yield memory


def question(memory: Memory, text: str) -> Question:
    view = memory._opened.view(memory.bound)
    view.refresh()
    return question_of(view, Cue(text), embedded(view, Cue(text)))


def scores(memory: Memory, signal: Signal, text: str) -> list[float]:
    evidence: Evidence | None = signal.ask(question(memory, text))
    return [] if evidence is None else evidence.scores(np.arange(len(SAID))).tolist()


@pytest.mark.parametrize("signal", [Walk(), Again()])
def test_a_second_hop_reaches_what_shares_a_rare_word_with_the_first(memory: Memory, signal: Signal) -> None:
    told = scores(memory, signal, "the violin")
    assert told[1] > told[2]
    assert told[1] > np.median(told[4:])  # the words of three are asked for, and one of these may be a third


def test_a_walk_begins_anew_in_another_scope(memory: Memory, tmp_path: Path) -> None:
    walk = Walk()
    scores(memory, walk, "the violin")
    with Memory.open(tmp_path / "other", embedder="hash") as other:
        other.add_many([text for _, text in reversed(SAID)])
        told = scores(other, walk, "the violin")
    assert len(told) == len(SAID)
    assert int(np.argmax(told[:-1])) == len(SAID) - 2


def test_names_are_left_out(memory: Memory) -> None:
    told = scores(memory, WithoutNames(), "what soup did Ana cook")
    assert told[3] > 0 == told[0]
    assert scores(memory, WithoutNames(), "which soup") == []


def test_an_attempt_is_heard_for_its_questions_alone(memory: Memory) -> None:
    early = When(Early(), "early", orders)
    assert np.argmax(scores(memory, early, "in which order did they come")) == 0
    assert scores(memory, early, "when did they come") == []
    assert [lists(question(memory, cue)) for cue in ("What hobbies has Ana?", "What is this?")] == [True, False]


def test_replies_count_less_in_summaries_too(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many([{"text": text, "role": "assistant"} for _, text in SAID])
        assert set(scores(memory, AlwaysRole(), "a summary of it")) == {1.0}


def test_each_attempt_has_a_name_of_its_own() -> None:
    names = [signal.name for signals in ATTEMPTS.values() for signal in signals]
    assert len(set(names)) == len(names)


def test_the_latencies_are_of_all_four() -> None:
    found = measured(30, 5, "hash")
    assert set(found["rows"]) == {EMBEDDING, VECTOR, WHOLE, PLAIN}
    assert all(row["cpu_p95_ms"] >= row["cpu_p50_ms"] > 0 for row in found["rows"].values())
