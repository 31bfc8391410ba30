"""The benchmark of questions about what the assistant said: its questions, and what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentmem.embedding import open_embedder
from agentmem.errors import InvalidInput
from agentmem.recall.corpus import Corpus
from agentmem.recall.reading import read
from agentmem_apps.evaluate import beam
from benchmarks.assistant import Asked, found, questions


def test_there_are_thirty_questions_and_all_ask_for_the_assistants_words() -> None:
    asked = questions()
    assert len(asked) == len({one.text for one in asked}) == len({(one.chat, one.message) for one in asked}) == 30
    assert all(read(one.text, Corpus()).of_assistant for one in asked)


def test_each_is_counted_where_its_message_stands(tmp_path: Path) -> None:
    said = ["Where shall I sail?", "Sail to the island of Hven.", "I sold my boat.", "What a pity about the boat."]
    turns = [{"id": i, "role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "chat.json").write_text(json.dumps([{"batch_number": 1, "turns": [turns]}]))
    (tmp_path / "1" / "probing_questions.json").write_text("{}")
    dataset, embedder = beam.load(tmp_path), open_embedder("hash")
    asked = [Asked("1", "1", "Which island did you recommend?"), Asked("1", "2", "What did you say of the boat?")]
    shares = found(dataset, asked, embedder)
    assert set(shares) == {"training-free", "without role", "bm25", "dense"}
    assert shares["training-free"] == {"hit@1": 0.5, "hit@5": 1.0, "hit@10": 1.0, "assistant first": 1.0}
    assert found(dataset, [Asked("1", "99", "What did you say?")], embedder)["training-free"]["hit@10"] == 0
    with pytest.raises(InvalidInput, match="no chat 9"):
        found(dataset, [Asked("9", "1", "?")], embedder)
