"""A full disk under the chat: before the question, and while the model answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agentmem import LedgerError, Memory
from agentmem.models.scripted import Reply, ScriptedModel
from agentmem_apps.chat import ChatAgent
from tests.disks import filled_up, small_disk
from tests.fakes import DigestEmbedder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def said(memory: Memory) -> list[str]:
    return [record.text for record in memory.records()]


def test_before_the_question_it_is_told_and_no_model_is_asked(folder: Path) -> None:
    model = ScriptedModel(["fine"])
    with Memory.open(folder / "a.mem", embedder=DigestEmbedder()) as memory:
        agent = ChatAgent(memory, {"reply": model}, background=False)
        with filled_up(folder), pytest.raises(LedgerError):
            agent.reply("long " * 20_000)
        assert model.asked == []
        assert said(memory) == []
        assert agent.reply("Hello?").text == "fine"
        assert said(memory) == ["Hello?", "fine"]
        assert memory.verify() == []


def test_while_the_model_answers_the_question_stands_and_may_be_put_again(folder: Path) -> None:
    answer = "word " * 20_000
    with ExitStack() as full, Memory.open(folder / "a.mem", embedder=DigestEmbedder()) as memory:
        filling = Reply(answer, before=lambda: full.enter_context(filled_up(folder)))
        agent = ChatAgent(memory, {"reply": ScriptedModel([filling, "short"])}, background=False)
        shown: list[str] = []
        with pytest.raises(LedgerError):
            shown.extend(agent.stream("Hello?"))
        assert "".join(shown).startswith("word word")
        full.close()
        assert said(memory) == ["Hello?"]
        assert "".join(agent.retry()) == "short"
        assert said(memory) == ["Hello?", "short"]
        assert memory.verify() == []
