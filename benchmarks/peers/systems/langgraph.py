"""LangGraph's stores: a namespace a conversation, searched by its prefix or by the one above it.

Three traps. SqliteStore's documentation says `fields`, its code reads `text_fields` and otherwise embeds the whole
value as JSON (3.1.2). It loads an extension, which many Pythons are built without: there pysqlite3 stands in for
sqlite3. And InMemoryStore refuses a batch in which two values have the same text (4.3.2): the repeats go in after it.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.system import Floats, K, System
from benchmarks.peers.turns import Question, Turn


class InMemoryStore(System):
    packages: ClassVar[tuple[str, ...]] = ("langgraph", "langgraph-checkpoint")
    batched = "batch of PutOp"

    def __init__(self, folder: Path, dimension: int) -> None:
        super().__init__(folder, dimension)
        self._closing = ExitStack()
        self._put: Any = import_module("langgraph.store.base").PutOp
        self._store: Any = self._open()

    def _open(self) -> Any:
        index = {"dims": self.dimension, "embed": self.embed, "fields": ["text"]}
        return import_module("langgraph.store.memory").InMemoryStore(index=index)

    def prepared(self, turn: Turn, vector: Floats) -> Any:
        self.offer(turn.said, vector)
        return self._put(("memories", turn.conversation), turn.key, {"text": turn.said})

    def add(self, item: Any) -> None:
        self._store.put(item.namespace, item.key, item.value)

    def add_batch(self, items: list[Any]) -> None:
        once = {item.value["text"]: item for item in items}
        self._store.batch(list(once.values()))
        if len(once) < len(items):
            self.add_batch([item for item in items if once[item.value["text"]] is not item])

    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        self.offer(question.text, vector)
        return ("memories",) if conversation is None else ("memories", conversation), question.text

    def search(self, asked: Any) -> Any:
        namespace, text = asked
        return self._store.search(namespace, query=text, limit=K)

    def keys(self, found: Any) -> list[str]:
        return [item.key for item in found]

    def close(self) -> None:
        self._closing.close()


class SqliteStore(InMemoryStore):
    packages = ("langgraph", "langgraph-checkpoint-sqlite", "sqlite-vec")
    survives = "power cut"

    def _open(self) -> Any:
        if not hasattr(sqlite3.Connection, "enable_load_extension"):
            sys.modules["sqlite3"] = import_module("pysqlite3")
        made: Any = import_module("langgraph.store.sqlite").SqliteStore
        index = {"dims": self.dimension, "embed": self.embed, "text_fields": ["text"]}
        store = self._closing.enter_context(made.from_conn_string(str(self.folder / "langgraph.sqlite3"), index=index))
        store.setup()
        return store
