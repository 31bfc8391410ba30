"""agentmem, as its users would: one scope, the conversation a tag, speaker and time in their fields.

Words are looked up in date, speaker and text, as always; the vectors are those that all others get. A single add is
`add(text)`: the embedder, here a look-up, is asked afterwards, and its CPU time is counted. Two rows more show the same
add with its vector in the same transaction, and with durability="power", an fsync a commit, which several peers make.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agentmem import Cue, Memory, Record
from agentmem.embedding import embedding_text
from agentmem.ledger import Durability
from agentmem.recall.presets import DEFAULT
from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn


class LookUp:
    """An embedder that knows the vector of every text it may be asked for."""

    in_process = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.id = f"given-{dimension}-v1"
        self.rows: dict[str, Floats] = {}

    def embed(self, texts: Sequence[str]) -> Floats:
        return np.array([self.rows[text] for text in texts], np.float32)


class AgentMem(System):
    packages = ("agentmem-framework", "sqlalchemy", "numpy")
    survives = "process kill"
    batched = "add_many, vectors given"
    modes: ClassVar[tuple[str, ...]] = ("hybrid", "dense")
    durability: Durability = "process"

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)
        self._embedder = LookUp(dimension)
        self._memory = Memory.open(
            folder / "peers.mem", embedder=self._embedder, index="exact", durability=self.durability
        )

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        item: dict[str, Any] = {
            "text": turn.text,
            "speaker": turn.speaker,
            "session": turn.session,
            "at": turn.at,
            "tags": (turn.conversation,),
            "meta": {"key": turn.key},
        }
        self._embedder.rows[embedding_text(Record.create(**item, scope=self._memory.bound))] = vector
        return item, vector

    def add(self, item: Any) -> None:
        self._memory.add(**item[0])

    def add_batch(self, items: list[Any]) -> None:
        self._memory.add_many([{**item, "vector": vector} for item, vector in items])

    def settle(self) -> None:
        self._memory.flush()
        self._embedder.rows.clear()

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        if mode == "hybrid":
            return Cue(question.text, tuple(vector.tolist())), conversation, DEFAULT
        return Cue(vector=tuple(vector.tolist())), conversation, "dense"

    def search(self, asked: Any) -> Any:
        cue, conversation, engine = asked
        return self._memory.recall(cue, K, tags=conversation, engine=engine)

    def keys(self, found: Any) -> list[str]:
        return [hit.record.meta["key"] for hit in found]

    def close(self) -> None:
        self._memory.close()


class WithVector(AgentMem):
    """Adds only: the vector is in the add's own transaction."""

    modes = ()

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        item, _ = super().prepared(turn, vector)
        return {**item, "vector": vector.tolist()}, vector


class Power(AgentMem):
    """Adds only: an fsync a commit."""

    survives = "power cut"
    modes = ()
    durability: Durability = "power"
