"""What most tests start from: a memory on a real file, with an embedder that needs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agentmem.memory import Memory
from tests.fakes import TinyEmbedder

# No deadline: a busy machine is no failure. No database: a test must not depend on an earlier run.
settings.register_profile("agentmem", deadline=None, database=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("agentmem")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", embedder=TinyEmbedder()) as memory:
        yield memory
