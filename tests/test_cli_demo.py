"""The demo, run whole: what it shows, that it may be run again, and that it takes back no change but its own."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import InvalidInput
from agentmem_apps.demo import run_demo


def told(folder: Path) -> str:
    lines: list[str] = []
    run_demo(
        folder=folder, embedder="hash", echo=lines.append, progress=lambda: nullcontext(lambda done, total=None: None)
    )
    return "\n".join(lines)


def test_the_demo_answers_corrects_and_undoes_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    first = told(tmp_path / "demo.mem")
    assert "asked again: They did. The big hall is ours on 10 May" in first
    assert "after undo:  They did. The big hall is ours on 3 May" in first
    assert not re.search(r"-0\.0\b", first)
    with Memory.open(tmp_path / "demo.mem", embedder="hash") as memory:
        count = memory.stats().records["live"]
        mine = memory.add("A note of my own.")
    assert "nothing was added twice" in told(tmp_path / "demo.mem")
    with Memory.open(tmp_path / "demo.mem", embedder="hash") as memory:
        assert memory.stats().records["live"] == count + 1
        memory.edit("demo-02", text="In June.")
        head = memory.stats().head
    with pytest.raises(InvalidInput, match="changed by hand"):
        told(tmp_path / "demo.mem")
    with Memory.open(tmp_path / "demo.mem", embedder="hash") as memory:
        assert (memory.stats().head, memory.get(mine.id).state) == (head, "live")
