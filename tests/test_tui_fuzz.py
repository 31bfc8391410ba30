"""Keys at random over all screens while another process writes: nothing fails, and every step can be taken back."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem_tui.actions import ACTIONS
from tests.memory_app import app_on
from tests.screens import awaited

pytestmark = pytest.mark.slow

KEYS = 200  # of each seed
# What would leave the program, erase for good, or wait for another program.
LEFT_OUT = {"q", "D", "ctrl+e", "ctrl+q", "ctrl+c"}
TYPED = ("a", "e", "space", "enter", "tab", "shift+tab", "up", "down", "left", "right", "backspace", "y", "n", "1", "x")

WRITER = """
import random, sys, time
from agentmem import Memory
chance = random.Random(7)
with Memory.open(sys.argv[1], embedder="hash", actor="agent") as memory:
    print("ready", flush=True)
    while True:
        records = memory.newest(20)
        one = chance.choice(records) if records else None
        deed = chance.choice(["add", "edit", "tag", "forget"])
        try:
            if deed == "add" or one is None:
                memory.add(f"The ferry {chance.randrange(99)} leaves.", place=chance.choice(["harbour", "market"]))
            elif deed == "edit":
                memory.edit(one.id, text=f"{one.text[:60]} Again.")
            elif deed == "tag":
                memory.tag(one.id, add=["seen"])
            else:
                memory.forget(one.id)
        except Exception as error:
            if type(error).__name__ not in ("Conflict", "RecordNotFound", "InvalidInput"):
                raise
        time.sleep(0.05)
"""


@pytest.mark.parametrize("seed", [1, 2])
@awaited
async def test_any_keys_while_an_agent_writes(tmp_path: Path, seed: int) -> None:
    place = tmp_path / "notes.mem"
    with Memory.open(place, embedder="hash") as memory:
        memory.add_many(
            {"text": f"Ana said {n}.", "session": f"s{n % 3}", "speaker": "Ana", "place": "home"} for n in range(40)
        )
        first = memory.log(1)[0].step + 1
        before = [record.to_json() for record in memory.records()]
    keys = sorted({key for action in ACTIONS.values() for key in action.keys} - LEFT_OUT) + list(TYPED)
    chance = random.Random(seed)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        try:
            async with app_on(place, size=(100, 30)) as pilot:
                for n in range(KEYS):
                    await pilot.press(chance.choice(keys))
                    if n % 100 == 99:
                        await pilot.resize_terminal(*chance.choice([(60, 20), (80, 24), (130, 40)]))
                    if not pilot.app.is_running:
                        break
            assert writer.poll() is None, "the writer went on to the end"
        finally:
            writer.kill()
    with Memory.open(place, embedder="hash") as memory:
        assert memory.verify() == []
        memory.undo(since=first)
        restored = [{**record.to_json(), "revision": 1} for record in memory.records()]
        assert restored == [{**one, "revision": 1} for one in before], "back to the start"
