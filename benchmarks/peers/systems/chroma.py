"""Chroma by itself, embedded: one collection, the conversation in the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings

from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn


class Chroma(System):
    packages = ("chromadb",)
    survives = "power cut"
    batched = "collection.add"

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)
        client = chromadb.PersistentClient(folder / "chroma", settings=Settings(anonymized_telemetry=False))
        self._collection = client.create_collection(
            "memories", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        return turn.key, vector, turn.said, {"conversation": turn.conversation}

    def add(self, item: Any) -> None:
        self.add_batch([item])

    def add_batch(self, items: list[Any]) -> None:
        ids, vectors, documents, metadatas = zip(*items, strict=True)
        self._collection.add(
            ids=list(ids), embeddings=list(vectors), documents=list(documents), metadatas=list(metadatas)
        )

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        return vector, None if conversation is None else {"conversation": conversation}

    def search(self, asked: Any) -> Any:
        vector, where = asked
        return self._collection.query(query_embeddings=[vector], n_results=K, where=where)

    def keys(self, found: Any) -> list[str]:
        return list(found["ids"][0])
