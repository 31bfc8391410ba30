"""txtai with its contents in SQLite and its vectors in Faiss; hybrid adds its BM25.

Nothing is on disk until `save`. A filter is SQL over what the similarity search brought up, so it is given 1,000
candidates to filter among; without a filter it gets its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn

_ALL = f"SELECT id, text, score FROM txtai WHERE similar(:text) LIMIT {K}"
_ONE = f"SELECT id, text, score FROM txtai WHERE similar(:text, 1000) AND conversation = :conversation LIMIT {K}"


class Txtai(System):
    packages = ("txtai", "faiss-cpu")
    batched = "upsert"
    note = "its default index: flat, grown by upserts"
    hybrid = False

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)

        def transform(texts: Sequence[str]) -> Floats:  # it takes a plain function and nothing else
            return np.array([self.given[text] for text in texts], np.float32)

        config = {"method": "external", "transform": transform, "content": True, "hybrid": self.hybrid}
        self._embeddings: Any = import_module("txtai").Embeddings(config)

    def offer(self, text: str, vector: Floats) -> None:
        self.given[text] = vector

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        self.offer(turn.said, vector)
        return turn.key, {"text": turn.said, "conversation": turn.conversation}

    def add(self, item: Any) -> None:
        self._embeddings.upsert([item])

    def add_batch(self, items: list[Any]) -> None:
        self._embeddings.upsert(items)

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        self.offer(question.text, vector)
        if conversation is None:
            return _ALL, {"text": question.text}
        return _ONE, {"text": question.text, "conversation": conversation}

    def search(self, asked: Any) -> Any:
        query, parameters = asked
        return self._embeddings.search(query, limit=K, parameters=parameters)

    def keys(self, found: Any) -> list[str]:
        return [hit["id"] for hit in found]

    def close(self) -> None:
        self._embeddings.config.pop("transform", None)
        self._embeddings.save(str(self.folder / "txtai"))


class TxtaiHybrid(Txtai):
    hybrid = True
    modes = ("hybrid",)
