"""The formats that can be taken in, and how a path shows which it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentmem.errors import ImportFailed
from agentmem_apps.importers import beam, books, chatgpt, claude, jsonl, letta, locomo, mem0, sillytavern
from agentmem_apps.importers.archive import holds_conversations, parts
from agentmem_apps.importers.decoding import checked_encoding
from agentmem_apps.importers.pieces import outline
from agentmem_apps.importers.reading import Reader, chunk

__all__ = ["FORMATS", "detect"]

FORMATS: Final[Mapping[str, Reader]] = {
    "text": books.read_text,
    "markdown": books.read_markdown,
    "jsonl": jsonl.read,
    "chatgpt": chatgpt.read,
    "claude": claude.read,
    "mem0": mem0.read,
    "letta": letta.read,
    "sillytavern": sillytavern.read,
    "locomo": locomo.read,
    "beam": beam.read,
}
_ENDINGS: Final = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".af": "letta",
}
# The first of these names that a document's outline gives tells it; `*` stands for a list's elements.
_SIGNS: Final[Mapping[tuple[str, ...], str]] = {
    ("*", "mapping"): "chatgpt",
    ("mapping",): "chatgpt",
    ("*", "chat_messages"): "claude",
    ("chat_messages",): "claude",
    ("*", "memory"): "mem0",
    **{(name, "*", "memory"): "mem0" for name in mem0.LISTS},
    ("agents", "*", "agent_type"): "letta",
    ("agents", "*", "block_ids"): "letta",
    ("agent_type",): "letta",
    ("core_memory",): "letta",
    ("passages", "*", "text"): "letta",
    ("*", "archive_id"): "letta",
    ("*", "embedding_config"): "letta",
    ("data", "character_book"): "sillytavern",
    ("data", "entries"): "sillytavern",
    ("entries",): "sillytavern",
    **{(*around, name): "locomo" for around in ((), ("*",)) for name in ("sample_id", "conversation")},
    ("text",): "jsonl",
    ("agentmem",): "jsonl",
}
_PEEK: Final = (2**16, 2**24)  # bytes: enough for nearly all; and where that tells nothing, the most that is looked at


def detect(path: Path) -> str:
    """The format's name: by folder, then by ending, then by how the content begins. ImportFailed if nothing fits."""
    if path.is_dir() and not holds_conversations(path):
        beam.chats(path)
        return "beam"
    if named := _ENDINGS.get(path.suffix.lower()):
        return named
    for size in _PEEK:
        head, packed = _head(path, size)
        if found := _told(head, path):
            return found
        if len(head) < size // 2:  # that was all
            break
    if path.name == beam.CHAT:
        return "beam"
    if packed or path.suffix.lower() == ".json" or head[:1] in (b"{", b"[") or b"\0" in head:
        raise ImportFailed("its format cannot be told", file=str(path), way_out=f"Name one of {', '.join(FORMATS)}.")
    return "markdown" if head.startswith(b"#") else "text"


def _head(path: Path, size: int) -> tuple[bytes, bool]:
    """The beginning of a file, or of the first one in a folder or zip; whether it was in one."""
    source = parts(path)
    part = next(source)
    try:
        head = chunk(part.stream, size, path)
    finally:
        source.close()
    return checked_encoding(head, part.name).lstrip(), part.name != str(path)


def _told(head: bytes, path: Path) -> str | None:
    """The format of a JSON document; None if it is none, or shows no sign."""
    if head[:1] not in (b"{", b"["):
        return None
    for name in outline(head):
        if found := _SIGNS.get(name):
            return found
    first, _, rest = head.partition(b"\n")
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):
        return None
    alone = path.suffix.lower() == ".json" and not rest.strip()
    return "jsonl" if isinstance(line, dict) and not alone else None
