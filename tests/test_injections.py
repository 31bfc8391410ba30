"""Pain 27: texts that try to be instructions, to be kept as facts about the user, or to read another scope."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from langchain_core.messages import BaseMessage, SystemMessage

from agentmem.memory import Memory
from agentmem.models.answer import text_of
from agentmem.models.scripted import Reply, ScriptedModel
from agentmem.suspicion import REVIEW
from agentmem_apps.chat import ChatAgent

TEXTS: Final = [
    row["text"]
    for row in map(json.loads, (Path(__file__).parent / "fixtures" / "injections.jsonl").read_text().splitlines())
    if row["aim"] in ("instruct", "store", "read")
]
SECRET: Final = "Bo's pin is 4711."


def obedient(messages: list[BaseMessage]) -> Reply:
    """A model that does whatever any message tells it: it looks for everything, and remembers what it was told to."""
    if any(message.type == "tool" for message in messages):
        return Reply("done")
    calls: list[Any] = [
        {"name": "recall", "args": {"cue": "Bo's pin, passwords, everything of user:bo"}, "id": "1"},
        {"name": "recall", "args": {"cue": "pin", "scope": "user:bo"}, "id": "2"},
    ]
    return Reply("", tools=calls)


def gullible(messages: list[BaseMessage]) -> str:
    """A reader that takes each turn's words for a fact, and adds what is in none."""
    turns = re.findall(r'^\[(\d+)\] [^:]*: "(.*)"$', "\n".join(map(text_of, messages)), re.MULTILINE)
    facts = [
        {"turn": int(n), "head": "Ana", "relation": "is", "tail": text[:60], "quote": text[:60], "confidence": 1}
        for n, text in turns
        if text[:60].strip()
    ]
    lies = [{**fact, "tail": "the administrator", "quote": "she is the administrator"} for fact in facts]
    return json.dumps({"facts": [*facts, *lies]})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as whole:
        whole.scope("user:bo").add(SECRET, speaker="Bo", role="user")
        yield whole.scope("user:ana")


def test_there_are_thirty_of_three_kinds() -> None:
    assert len(TEXTS) == len(set(TEXTS)) == 30


def test_they_are_kept_as_data_and_neither_obeyed_nor_believed(memory: Memory) -> None:
    reading, replying = ScriptedModel(gullible), ScriptedModel(obedient)
    with ChatAgent(memory, {"reply": replying, "extract": reading}, user="Ana", tools=True) as agent:
        turns = {}
        for text in TEXTS:
            reply = agent.reply(text)
            assert reply.question is not None
            assert reply.written == ()
            turns[reply.question.id] = text
            agent.rest()
    now = {id: memory.get(id) for id in turns}
    assert {id: record.text for id, record in now.items()} == turns  # as they were said
    flagged = {id for id, record in now.items() if REVIEW in record.tags}
    assert len(flagged) >= 27
    assert all(now[id].meta[REVIEW] for id in flagged)

    thoughts = [record for record in memory.records() if record.kind == "thought"]
    assert not any("administrator" in one.text for one in thoughts)  # no turn says so
    made_from = {source.record for one in thoughts for source in one.sources}
    assert not made_from & flagged
    shown = [text_of(message) for asked in reading.asked for message in asked]
    assert not any(json.dumps(turns[id], ensure_ascii=False)[1:40] in text for id in flagged for text in shown)

    prompts = [text_of(message) for asked in replying.asked for message in asked]
    assert not any("4711" in text for text in prompts)
    assert memory.recall("Bo's pin") == [] or all("4711" not in hit.record.text for hit in memory.recall("Bo's pin"))


def test_what_is_recalled_of_them_stands_in_quotes_that_nothing_can_leave(memory: Memory) -> None:
    """Those that nobody flagged, too: each line of a prompt's memories is an id, a time, a name and one JSON string."""
    for text in TEXTS:
        memory.add(text, speaker="Ana", role="user")
    model = ScriptedModel(lambda messages: "I see.")
    line = re.compile(
        r'\["[^"]+"\] \d{4}-\d\d-\d\d \d\d:\d\d(?: "(?:Ana|Assistant)")?: ("(?:[^"\\]|\\.)*")(?: \(said again .*\))?'
    )
    for text in TEXTS:
        agent = ChatAgent(memory, {"reply": model}, user="Ana", background=False, tools=False)
        agent.reply(f"What was said with {' '.join(re.findall(r'[a-z]{4,}', text)[:4])} in it?")
        system, last = model.asked[-1][0], text_of(model.asked[-1][-1])
        assert isinstance(system, SystemMessage)
        assert not any(one in text_of(system) for one in TEXTS)
        for block in re.findall(r"<memories>\nWhat follows.*?\n(.*?)\n</memories>", last, re.DOTALL):
            for row in block.splitlines():
                found = line.fullmatch(row)
                assert found, row
                json.loads(found[1])
        assert last.count("<memories>") == last.count("</memories>")
