"""The formats that can be taken in, and how a path shows which it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentmem.errors import ImportFailed
from agentmem_apps.importers import beam, books, jsonl, locomo
from agentmem_apps.importers.reading import Reader, chunk, opened

__all__ = ["FORMATS", "detect"]

FORMATS: Final[Mapping[str, Reader]] = {
    "text": books.read_text,
    "markdown": books.read_markdown,
    "jsonl": jsonl.read,
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
}
_PEEK = 65_536  # bytes: a first line longer than this is not looked at whole


def detect(path: Path) -> str:
    """The format's name: by folder, then by ending, then by how the content begins. ImportFailed if nothing fits."""
    if path.is_dir() or path.name == beam.CHAT:
        beam.chats(path)
        return "beam"
    if named := _ENDINGS.get(path.suffix.lower()):
        return named
    with opened(path) as file:
        head = chunk(file, _PEEK, path).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith((b"{", b"[")):
        try:
            first = json.loads(head.splitlines()[0])
        except (ValueError, RecursionError):
            return "locomo"  # the one format whose first line is not whole; its reader says what is wrong with it
        return "jsonl" if isinstance(first, dict) and "conversation" not in first else "locomo"
    if path.suffix.lower() == ".json" or b"\0" in head:
        raise ImportFailed("its format cannot be told", file=str(path), way_out=f"Name one of {', '.join(FORMATS)}.")
    return "markdown" if head.startswith(b"#") else "text"
