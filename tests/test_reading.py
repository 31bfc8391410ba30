"""What a cue is read to say, and what that does to a recall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given

from agentmem import InvalidInput, Memory
from agentmem.recall.reading import Reading, read
from tests.fakes import TinyEmbedder
from tests.hostile import mixed

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
SPEAKERS = ["Ana", "Ana Maria", "Bo", "Élodie", "小林"]
PLACES = ["Lisbon office", "harbour/pier 3"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("reading") / "m", embedder=TinyEmbedder()) as memory:
        memory.add_many({"text": "tea", "speaker": speaker} for speaker in SPEAKERS)
        memory.add_many({"text": "tea", "place": place} for place in PLACES)
        memory.forget(memory.add("tea", speaker="Cy").id)
        yield memory


def reading(memory: Memory, text: str) -> Reading:
    memory.load()
    return read(text, memory._opened.view(memory.bound).corpus)


CUES = {
    'who said "tea is ready"?': Reading(phrases=("tea is ready",), answer="who"),
    "“tea” and «thé» and 「茶」": Reading(phrases=("tea", "thé", "茶")),
    "What did ANA drink?": Reading(speakers=("ana",)),
    "what did ana maria drink": Reading(speakers=("ana maria",)),
    "Ana and Bo and Ana": Reading(speakers=("ana", "bo")),
    "Did élodie call?": Reading(speakers=("élodie",)),
    "Cy is forgotten": Reading(),
    "what is at the Lisbon office": Reading(places=("lisbon office",)),
    "banana bobsleigh": Reading(),
    "When did it rain?": Reading(answer="when"),
    "In which year was that?": Reading(answer="when"),
    "on what day did Bo come": Reading(speakers=("bo",), answer="when"),
    "how many boats": Reading(answer="how many"),
    "Where, and why?": Reading(answer="where"),
    "how does it work": Reading(answer="how"),
    "Can you summarize how I built the roof?": Reading(answer="summary"),
    "a short overview of the trip": Reading(answer="summary"),
    "the summer of the trip": Reading(),
    "What did you recommend for the roof?": Reading(of_assistant=True),
    "your earlier suggestion about tea": Reading(of_assistant=True),
    "the plan you suggested": Reading(of_assistant=True),
    "What would you suggest I cook?": Reading(),
    "Can you list what I told you?": Reading(),
    "": Reading(),
}


@pytest.mark.parametrize("cue", CUES)
def test_what_a_cue_says(house: Memory, cue: str) -> None:
    assert reading(house, cue) == CUES[cue]


@given(mixed)
def test_any_text_is_read(house: Memory, text: str) -> None:
    found = reading(house, text)
    assert set(found.speakers) <= {speaker.casefold() for speaker in SPEAKERS}
    assert all(phrase in text for phrase in found.phrases)


@pytest.mark.parametrize("sign", ['"', "“", "「", "your ", "did you ", "a ", "Ana ", "when "])
def test_a_megabyte_of_anything_is_read_in_a_moment(house: Memory, sign: str) -> None:
    """A pattern that looked for an end from each beginning would be at it for minutes."""
    assert len(reading(house, sign * (2**20 // len(sign))).speakers) <= 1


def test_a_named_speaker_a_named_place_and_a_session_weigh(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        same = {"text": "we had tea", "at": NOON}
        by_bo, by_ana = memory.add_many([{**same, "speaker": "Bo"}, {**same, "speaker": "Ana"}])
        here = memory.add("we had tea", at=NOON, place="harbour")
        assert memory.recall("tea with Ana", 1)[0].record.id == by_ana.id
        hits = {hit.record.id: hit for hit in memory.recall("tea at the harbour")}
        assert hits[here.id].parts["place"] > hits[by_bo.id].parts["place"] == 0
        assert "at harbour" in hits[here.id].verdict


def test_a_turn_inherits_from_those_beside_it_in_its_session_alone(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        others = [{"text": f"something else, number {n}", "at": NOON, "session": "noise"} for n in range(40)]
        memory.add_many(others)
        asked, told = memory.add_many(
            [
                {"text": "where did the kayak come from?", "at": NOON, "session": "monday"},
                {"text": "my aunt", "at": NOON, "session": "monday"},
            ]
        )
        alone = memory.add("my aunt", at=NOON, session="tuesday")
        hits = {hit.record.id: hit for hit in memory.recall("kayak", 50)}
        assert memory.recall("kayak", 2)[1].record.id == told.id
        assert hits[told.id].parts["neighbours"] > 1 > hits[alone.id].parts["neighbours"]
        assert hits[asked.id].parts["asking"] < 0


def test_what_the_assistant_said_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        user, assistant = memory.add_many(
            [
                {"text": "I want slate on the roof of the cabin", "at": NOON, "role": "user"},
                {"text": "For the roof of the cabin I recommend slate", "at": NOON, "role": "assistant"},
            ]
        )
        assert memory.recall("the roof of the cabin", 1)[0].record.id == user.id
        assert memory.recall("what did you recommend for the roof of the cabin?", 1)[0].record.id == assistant.id


def test_a_summary_is_of_what_both_said(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add_many(
            [
                {"text": "I want slate on the roof of the cabin", "at": NOON, "role": "user"},
                {"text": "For the roof of the cabin I recommend slate", "at": NOON, "role": "assistant"},
            ]
        )
        assert all("role" in hit.parts for hit in memory.recall("the roof of the cabin"))
        assert not any("role" in hit.parts for hit in memory.recall("a summary of the roof of the cabin"))


def test_a_number_is_heard_when_it_is_asked_how_many(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        counted = memory.add("Three geese came to the pond", at=NOON)
        memory.add("The geese came to the pond", at=NOON)
        parts = {hit.record.id: hit.parts["number"] for hit in memory.recall("how many geese came?")}
        assert parts.pop(counted.id) > 0
        assert set(parts.values()) == {0}
        assert not any("number" in hit.parts for hit in memory.recall("which geese came?"))


def test_an_engine_that_there_is_not_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="no engine 'google'") as refused:
        memory.recall("tea", engine="google")
    assert "training-free" in refused.value.way_out
