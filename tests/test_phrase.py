"""Phrases in quotation marks: a record that holds one word for word is brought up and said to."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.records import Record


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory.open(tmp_path / "m", embedder="hash")
    memory.add_many(
        [
            {"text": "The red café by the harbour opens at nine.", "speaker": "Ana"},
            {"text": "By the harbour, the café is painted red.", "speaker": "Ben"},
            {"text": "He read The Red\n  CAFE to us.", "speaker": "Ben"},
            *({"text": f"Talk of the harbour, of cafés and of red boats, number {n}."} for n in range(80)),
        ]
    )
    return memory


@pytest.mark.parametrize("cue", ['what of "the red café"?', "what of «the red cafe»?", "what of “The RED café”?"])
def test_it_is_meant_to_the_letter(memory: Memory, cue: str) -> None:
    with memory:
        hits = memory.recall(cue, 5)
        assert {hit.record.text[:11] for hit in hits[:2]} == {"The red caf", "He read The"}
        assert all("word for word: " in hit.verdict and hit.parts["phrase"] > 0 for hit in hits[:2])
        assert all(hit.parts["phrase"] == 0 for hit in hits[2:])


def test_of_two_phrases_each_counts_half(memory: Memory) -> None:
    with memory:
        parts = {h.record.text: h.parts["phrase"] for h in memory.recall('"opens at nine" and "red café"', 90)}
        assert parts["The red café by the harbour opens at nine."] == 2 * parts["He read The Red\n  CAFE to us."] > 0


def test_filters_hold_for_it_too(memory: Memory) -> None:
    with memory:
        [hit] = memory.recall('"the red café"', 1, speaker="Ben")
        assert hit.record.text.startswith("He read")
        assert {h.record.speaker for h in memory.recall('"the red café"', 50, speaker="Ben")} == {"Ben"}


def test_of_many_phrases_few_are_looked_for(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs the reading of texts: a cue of a thousand must not read the memory so often."""
    read: list[int] = []
    sound = memory._opened.view(memory.bound).ledger.at

    def at(ledger: object, positions: list[int]) -> list[Record]:
        read.append(len(positions))
        return sound(positions)

    with memory:
        memory.route({})  # the engine alone
        monkeypatch.setattr(type(memory._opened.view(memory.bound).ledger), "at", at)
        memory.recall(" ".join(f'"red boats, number {n}"' for n in range(70)), 5)
        assert len(read) <= 8 + 1  # and the hits
        read.clear()
        memory.recall('"red boats" ' * 1_000, 5)
        assert len(read) <= 1 + 1


def test_of_huge_texts_the_newest_are_looked_at(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many("red boat " + "word " * 60_000 + f"number {n}" for n in range(3))
        told = {hit.record.text[-1]: hit.parts.get("phrase") for hit in memory.recall('"red boat"', 3)}
        assert told["2"]
        assert not told["0"]


@pytest.mark.parametrize("cue", ['"', '""', '"   "', '"the of"', '"no such words at all"', '"' + "red " * 5_000 + '"'])
def test_a_phrase_that_stands_nowhere_has_no_part(memory: Memory, cue: str) -> None:
    with memory:
        assert all("phrase" not in hit.parts for hit in memory.recall(f"{cue} harbour"))


def test_a_records_own_words_find_it(memory: Memory) -> None:
    with memory:
        for n in (0, 7, 41, 79):
            [hit] = memory.recall(f"talk of the HARBOUR, of cafés and of red boats, number {n}.", 1)
            assert hit.record.text.endswith(f"number {n}.")
            assert hit.parts["phrase"] > 0


def test_words_that_most_records_hold_are_no_phrase(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many(f"red boat number {n}" for n in range(300))
        assert all("phrase" not in hit.parts for hit in memory.recall("red boat"))
        assert memory.recall("red boat number 17", 1)[0].parts["phrase"] > 0
        assert memory.recall('"red boat"', 1)[0].parts["phrase"] > 0
