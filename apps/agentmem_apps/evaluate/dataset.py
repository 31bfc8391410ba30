"""What a benchmark is, whichever it is: conversations, questions about them, and the gold that only scoring may see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentmem.records import Record, Scope
from agentmem_apps.importers.reading import chunk, opened

__all__ = ["Conversation", "Dataset", "Question", "digest_of"]


@dataclass(frozen=True, slots=True)
class Question:
    """`gold` holds the ids of the turns that answer it, in the dataset's own numbering."""

    text: str
    category: str
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """`records` makes its turns, as the importer does; `id_of` reads a turn's id in the dataset from its record."""

    id: str
    records: Callable[[Scope], Iterable[Record]]
    id_of: Callable[[Record], str]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """`asked` counts the questions in the file; those without gold are dropped before. `groups` are sets of categories
    that are reported together."""

    name: str
    file: str
    sha256: str
    conversations: tuple[Conversation, ...]
    asked: int
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the files' bytes, one after the other; of one file, what `sha256sum` prints."""
    digest = hashlib.sha256()
    for path in paths:
        with opened(path) as file:
            while block := chunk(file, 2**20, path):
                digest.update(block)
    return digest.hexdigest()
