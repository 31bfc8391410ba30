"""Another embedder: the old vectors answer until the new ones are complete, then all of them change at once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Cue, InvalidInput, Memory
from agentmem.embedding import embedding_text
from agentmem.ledger import vectors_cursor
from agentmem.opened import open_ledger
from tests.fakes import TinyEmbedder

TEXTS = [f"the ferry number {n} leaves the harbour at {n % 24}" for n in range(40)]


class Newer(TinyEmbedder):
    """The same width under another name: vectors of the two would be compared without an error, and mean nothing."""

    id = "newer-8-v1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        turned: NDArray[np.float32] = super().embed(texts)[:, ::-1]
        return turned


def filled(folder: Path) -> list[str]:
    with Memory.open(folder, embedder="hash") as memory:
        memory.add_many(TEXTS)
        memory.load()
        return answers(memory)


def answers(memory: Memory) -> list[str]:
    return [f"{hit.record.id} {hit.parts.get('dense', 0):.6f}" for hit in memory.recall("ferry 17", k=10)]


def test_pain_16_recall_goes_on_with_the_old_vectors_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = filled(tmp_path / "m")
    newer = Newer()
    with caplog.at_level(logging.WARNING, "agentmem"), Memory.open(tmp_path / "m", embedder=newer) as memory:
        assert answers(memory) == before
        later = memory.add("a whale beside the ferry")
        assert memory.recall("whale", k=1)[0].record == later
        assert "dense" in memory.recall("whale", k=1)[0].parts
        assert memory.stats().embedder == "hash-512-v1"
    assert newer.asked == []
    assert caplog.text.count("agentmem reindex vectors") == 1


def test_pain_16_reindex_switches_in_one_step_and_lets_the_old_vectors_go(tmp_path: Path) -> None:
    filled(tmp_path / "m")
    with (
        Memory.open(tmp_path / "m", embedder=Newer()) as memory,
        Memory.open(tmp_path / "m", embedder="hash") as bystander,
    ):
        bystander.recall("ferry")
        seen: list[tuple[int, int]] = []
        assert memory.reindex("vectors", lambda done, total: seen.append((done, total))) == len(TEXTS)
        assert seen[-1] == (len(TEXTS), len(TEXTS))
        assert memory.stats().embedder == "newer-8-v1"
        assert "dense" in memory.recall("ferry", k=1)[0].parts
        # The bystander's embedder was replaced under its hands: it cannot open the new one, and goes by words.
        assert bystander.stats().embedder == "newer-8-v1"
        hits = bystander.recall("ferry 17")
        assert hits
        assert all("dense" not in hit.parts for hit in hits)
    ledger = open_ledger(tmp_path / "m")
    assert ledger.bind(memory.bound).embedders() == ["newer-8-v1"]
    ledger.close()


def test_what_is_written_while_it_runs_is_in_it(tmp_path: Path) -> None:
    filled(tmp_path / "m")
    holding, go_on = threading.Event(), threading.Event()

    class Slow(Newer):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            holding.set()
            assert go_on.wait(60)
            return super().embed(texts)

    with Memory.open(tmp_path / "m", embedder=Slow()) as memory:
        working = threading.Thread(target=memory.reindex)
        working.start()
        assert holding.wait(60)
        with Memory.open(tmp_path / "m", embedder="hash") as other:  # as another process would
            late = other.add("a whale, written meanwhile")
            edited = other.edit(other.recall("ferry number 3", k=1)[0].record.id, text="a rowing boat instead")
            assert "dense" in other.recall("whale", k=1)[0].parts
            assert other.stats().embedder == "hash-512-v1"
        go_on.set()
        working.join()
        assert memory.stats().embedder == "newer-8-v1"
        assert memory.stats().pending == 0
        for record in (late, edited):
            hits = memory.recall(embedding_text(record), k=3)
            assert hits[0].record.id == record.id
            assert "cosine 1.00" in hits[0].verdict


KILLED = """
import os, signal, sys
from tests.test_reembedding import Newer
from agentmem import Memory
from agentmem.recall import embeddings
embeddings._BATCH = 8
with Memory.open(sys.argv[1], embedder=Newer()) as memory:
    memory.reindex("vectors", lambda done, total: done >= 16 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_killed_one_goes_on_where_it_stopped(tmp_path: Path) -> None:
    before = filled(tmp_path / "m")
    ran = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "m")], check=False, env=os.environ)
    assert ran.returncode == -signal.SIGKILL
    newer = Newer()
    with Memory.open(tmp_path / "m", embedder=newer) as memory:
        assert answers(memory) == before
        assert memory.reindex() == len(TEXTS) - 16
        assert len(newer.asked) == len(TEXTS) - 16
        assert memory.stats().embedder == "newer-8-v1"


def test_an_embedder_that_is_gone_leaves_the_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Memory.open(tmp_path / "m", embedder=Newer()) as memory:
        memory.add_many(TEXTS)
        memory.load()
    with caplog.at_level(logging.WARNING, "agentmem"), Memory.open(tmp_path / "m", embedder="hash") as memory:
        hits = memory.recall("ferry number 17")
        assert "17" in hits[0].record.text
        assert all("dense" not in hit.parts for hit in hits)
        assert "newer-8-v1: which is not open so recall goes by words" in caplog.text
        memory.reindex()
        assert "dense" in memory.recall("ferry number 17")[0].parts


def test_a_cue_vector_of_the_new_embedder_is_not_compared_with_the_old_vectors(tmp_path: Path) -> None:
    filled(tmp_path / "m")
    with Memory.open(tmp_path / "m", embedder=Newer()) as memory:
        vector = tuple(float(x) for x in Newer().embed(["ferry"])[0])
        with pytest.raises(InvalidInput, match="hash-512-v1"):
            memory.recall(Cue(vector=vector))
        assert memory.recall(Cue(text="ferry 17", vector=vector), engine="zsum")[0].parts.keys() == {"lexical", "dense"}


def test_auto_stays_with_the_embedder_that_serves(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        memory.add("a")
        memory.load()
    with Memory.open(tmp_path / "m", embedder="auto") as memory:
        assert memory.embedder.id == "hash-512-v1"


def test_two_that_reindex_at_once_agree(tmp_path: Path) -> None:
    filled(tmp_path / "m")
    with (
        Memory.open(tmp_path / "m", embedder=Newer()) as one,
        Memory.open(tmp_path / "m", embedder=Newer()) as two,
    ):
        threads = [threading.Thread(target=memory.reindex) for memory in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers(one) == answers(two)
        assert one.stats().embedder == "newer-8-v1"
        assert one.stats().pending == 0
        assert one._ledger.cursor(vectors_cursor("hash-512-v1")) == 0
