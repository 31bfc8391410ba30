"""mem0 with `infer=False`: no model is asked, the text is kept as it is. The conversation is its `run_id`.

It cannot be made without a key, so it gets one that opens nothing, and its embedder is replaced by the look-up. It has
no batch without a model: what is loaded before the measured adds goes in below its interface, in the same form that
`Memory.add` gives to the same vector store. Its history database, which no search reads, gets the measured adds only.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn

_USER = "user"


class Mem0OnChroma(System):
    packages = ("mem0ai", "chromadb")
    survives = "power cut"
    batched = "below its interface: vector_store.insert"

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)
        os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "mem0"), "OPENAI_API_KEY": "none"}
        memory = import_module("mem0").Memory
        self._memory: Any = memory.from_config(
            {"vector_store": self.vector_store(), "history_db_path": str(folder / "history.sqlite3")}
        )
        self._memory.embedding_model = self
        self._keys: dict[str, str] = {}  # its id → ours

    def vector_store(self) -> dict[str, Any]:
        return {"provider": "chroma", "config": {"path": str(self.folder / "chroma"), "collection_name": "memories"}}

    def embed(self, texts: Any, memory_action: object = None) -> Any:
        """mem0's embedders take one text."""
        return self.given[texts]

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        self.offer(turn.said, vector)
        return turn

    def add(self, item: Any) -> None:
        added = self._memory.add(item.said, user_id=_USER, run_id=item.conversation, infer=False)
        self._keys[added["results"][0]["id"]] = item.key

    def add_batch(self, items: list[Any]) -> None:
        ids, payloads = [str(uuid.uuid4()) for _ in items], []
        for turn in items:
            now = datetime.now(UTC).isoformat()
            payloads.append(
                {
                    "user_id": _USER,
                    "run_id": turn.conversation,
                    "role": "user",
                    "data": turn.said,
                    "hash": hashlib.md5(turn.said.encode()).hexdigest(),
                    "created_at": now,
                    "updated_at": now,
                    "text_lemmatized": turn.said,
                }
            )
        vectors = [self.given[turn.said] for turn in items]
        self._memory.vector_store.insert(vectors=vectors, ids=ids, payloads=payloads)
        self._keys.update(zip(ids, (turn.key for turn in items), strict=True))

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        self.offer(question.text.strip(), vector)
        return question.text, {"user_id": _USER} | ({} if conversation is None else {"run_id": conversation})

    def search(self, asked: Any) -> Any:
        text, filters = asked
        return self._memory.search(text, filters=filters, top_k=K, threshold=0.0)

    def keys(self, found: Any) -> list[str]:
        return [self._keys[hit["id"]] for hit in found["results"]]


class Mem0OnQdrant(Mem0OnChroma):
    packages = ("mem0ai", "qdrant-client")
    note = "Qdrant's embedded local mode"

    def vector_store(self) -> dict[str, Any]:
        config = {"path": str(self.folder / "qdrant"), "collection_name": "memories", "on_disk": True}
        return {"provider": "qdrant", "config": {**config, "embedding_model_dims": self.dimension}}

    def close(self) -> None:
        self._memory.vector_store.client.close()
