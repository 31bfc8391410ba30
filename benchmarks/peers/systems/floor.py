"""The floor: one commit of raw SQLite an add, one numpy product and ten rows by primary key a search."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from agentmem.values import new_id
from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn

_INSERT = "INSERT INTO turns (id, key, conversation, text, vector) VALUES (?, ?, ?, ?, ?)"
_TEN = ", ".join("?" * K)


class Floor(System):
    packages = ("numpy",)
    survives = "process kill"
    batched = "executemany in one transaction"
    note = "not a memory: what SQLite (WAL, synchronous=NORMAL) and numpy cost by themselves"

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)
        self._connection = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE turns (position INTEGER PRIMARY KEY, id TEXT, key TEXT, conversation TEXT, text TEXT,"
            " vector BLOB)"
        )
        self._matrix: Floats | None = None
        self._rows: dict[str, Any] = {}

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        return turn.key, turn.conversation, turn.said, vector

    def add(self, item: Any) -> None:
        key, conversation, said, vector = item
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(_INSERT, (new_id(), key, conversation, said, vector.tobytes()))
        self._connection.execute("COMMIT")

    def add_batch(self, items: list[Any]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            _INSERT,
            ((new_id(), key, conversation, said, vector.tobytes()) for key, conversation, said, vector in items),
        )
        self._connection.execute("COMMIT")

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        return vector, conversation

    def search(self, asked: Any) -> Any:
        vector, conversation = asked
        if self._matrix is None:
            self._load()
        assert self._matrix is not None
        rows = None if conversation is None else self._rows[conversation]
        scores = (self._matrix if rows is None else self._matrix[rows]) @ vector
        best = (
            np.argpartition(scores, len(scores) - K)[len(scores) - K :] if len(scores) > K else np.arange(len(scores))
        )
        best = best[np.argsort(-scores[best])]
        positions = (best if rows is None else rows[best]) + 1
        query = f"SELECT position, key, text FROM turns WHERE position IN ({_TEN})"
        held = {row[0]: row for row in self._connection.execute(query, [*positions.tolist(), *[0] * (K - len(best))])}
        return [held[position] for position in positions.tolist()]

    def _load(self) -> None:
        rows = self._connection.execute("SELECT conversation, vector FROM turns ORDER BY position").fetchall()
        self._matrix = np.frombuffer(b"".join(blob for _, blob in rows), np.float32).reshape(len(rows), self.dimension)
        conversations = np.array([conversation for conversation, _ in rows])
        self._rows = {str(name): np.flatnonzero(conversations == name) for name in np.unique(conversations)}

    def keys(self, found: Any) -> list[str]:
        return [key for _, key, _ in found]

    def close(self) -> None:
        self._connection.close()
