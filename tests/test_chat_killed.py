"""The agent killed, fifty times: in the middle of an answer, and while a model reads what was said."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import pytest

from agentmem.memory import Memory
from agentmem.worker import Worker
from agentmem_apps.chat import ChatAgent
from tests.chat_server import ChatServer, Said

KILLS: Final = 50
SESSION: Final = "the conversation"
LEASE: Final = timedelta(seconds=0.2)  # of a job: so that what the dead held is free again soon


class Server(ChatServer):
    """Finds a fact in each turn that it is to read."""

    def respond(self, body: Mapping[str, Any]) -> Said:
        told = str(body["messages"][-1]["content"])
        if "List the lasting facts" not in told:
            return "one two three four"
        lines = [line for line in told.splitlines() if "I own boat" in line and line.startswith("[")]
        facts = [
            {
                "turn": int(line[1 : line.index("]")]),
                "head": "Ana",
                "relation": "owns",
                "tail": line[line.index("boat ") : -2],
                "quote": line[line.index("I own") : -2],
                "confidence": 1,
            }
            for line in lines
        ]
        return json.dumps({"facts": facts})


def talk(place: str, url: str, text: str, told: Connection) -> None:
    """In a process of its own: say something, telling each piece of the answer as it comes."""
    with Memory.open(place, embedder="hash", models=f"{url}#m") as memory:
        agent = ChatAgent(memory, user="Ana", session=SESSION, background=False, tools=False)
        for piece in agent.stream(text):
            told.send(piece)
        told.send("end")


def think(place: str, url: str, told: Connection) -> None:
    with Memory.open(place, embedder="hash", models=f"{url}#m") as memory:
        memory.jobs.put("think", {})
        told.send("begun")
        Worker(memory, lease=LEASE).run()
        told.send("end")


@pytest.mark.slow
def test_killed_fifty_times_it_resumes_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(tmp_path / "notes.mem")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # by which the server of forks finds what it preloads
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.test_chat_killed", "agentmem.models.openai", "agentmem.models.structured"])
    Memory.open(place, embedder="hash").close()
    said: list[str] = []
    with Server() as server:
        for n in range(KILLS):
            server.pause = threading.Event()  # never set: what was begun hangs before its last word
            mine, theirs = processes.Pipe()
            if n % 2:
                child = processes.Process(target=think, args=(place, server.url, theirs))
                asked = len(server.asked)
                child.start()
                assert mine.recv() == "begun"
                while len(server.asked) == asked:  # until the model is at it
                    assert child.is_alive()
            else:
                said.append(f"I own boat {n}.")
                child = processes.Process(target=talk, args=(place, server.url, said[-1], theirs))
                child.start()
                assert mine.recv() == "one"
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            assert child.exitcode == -signal.SIGKILL
        server.pause = None

        with Memory.open(place, embedder="hash", models=f"{server.url}#m") as memory:
            assert memory.verify() == []
            agent = ChatAgent(memory, user="Ana", session=SESSION, background=False, tools=False)
            assert [turn.text for turn in agent.path()] == said
            assert agent.reply("And now?").text == "one two three four"
            while memory.jobs.listed("waiting", "taken"):  # those of the dead come free when their lease ends
                Worker(memory).run()
            assert memory.jobs.counts().keys() == {"done"}
            facts = [record.text for record in memory.records() if record.kind == "thought"]
            union = " ".join(facts)
            assert [union.count(text.removeprefix("I own ").removesuffix(".")) >= 1 for text in said] == [True] * len(
                said
            )
            assert memory.verify() == []
