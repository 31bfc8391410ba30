"""Letta's agents: the agent file (.af) of today and of the first release, and the list of passages its API gives.

Messages are turns, in a session named for the agent. The first agents spoke through a tool, `send_message`, and
thought aloud in their messages: there the words of that call are the turn. Memory blocks are notes with their label
as a tag, as new as the newest message; archival passages are notes too. Skipped, with the reason: instructions,
thoughts, events, and the calls and answers of other tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record
from agentmem_apps.importers.dates import iso_time
from agentmem_apps.importers.pieces import Piece, pieces
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot, opened

__all__ = ["read"]

_LISTS: Final = ("agents", "blocks", "passages")
_FIRST: Final = ("name", "agent_type", "core_memory", "messages")  # of an agent in the first release's file
_SAY: Final = "send_message"
_SILENT: Final = ("memgpt", "sleeptime")  # kinds of agent that are heard through that call alone
_BULK: Final = frozenset({"text", "created_at", "tags", "embedding", "embedding_config"})


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    file = _File(str(path), options)
    with opened(path) as stream:
        yield from file.read(pieces(stream, str(path), into=_LISTS))


class _File:
    """What is kept while a file goes by: the newest time it tells, and an agent that is given in its own pieces."""

    def __init__(self, name: str, options: Options) -> None:
        self._name, self._options, self._ids = name, options, Ids()
        self._newest: datetime | None = None

    def read(self, document: Iterator[Piece]) -> Iterator[Record | Skip]:
        first: dict[str, Piece] = {}
        known = False
        for line, path, value in document:
            if path[0] in _LISTS and not isinstance(path[-1], int):
                if value is None:
                    continue
                raise ImportFailed(f"{path[0]!r} must be a list", file=self._name, line=line)
            if isinstance(path[0], int) or path[0] == "passages":
                yield self._passage(value, Spot(self._name, line, f"passage {int(path[-1]) + 1}"))
            elif path[0] == "agents":
                yield from self._agent(value, Spot(self._name, line, f"agent {int(path[-1]) + 1}"))
            elif path[0] == "blocks":
                yield self._block(value, Spot(self._name, line, f"block {int(path[-1]) + 1}"))
            elif path[0] in _FIRST:
                first[path[0]] = Piece(line, path, value)
                continue
            else:
                continue
            known = True
        if "core_memory" in first:
            agent = {name: piece.value for name, piece in first.items()}
            yield from self._agent(agent, Spot(self._name, first["core_memory"].line, "the agent"))
        elif not known:
            raise ImportFailed("there is no agent in it, no block and no passage", file=self._name)

    def _agent(self, value: Any, spot: Spot) -> Iterator[Record | Skip]:
        name = spot.maybe(value, "name", str) or "agent"
        silent = (spot.maybe(value, "agent_type", str) or "").startswith(_SILENT)
        for number, message in enumerate(spot.maybe(value, "messages", list) or [], 1):
            yield from self._message(message, spot.inside(f"message {number}"), name, silent)
        blocks = [*(spot.maybe(value, key, list) or [] for key in ("memory_blocks", "core_memory"))]
        for number, block in enumerate([block for listed in blocks for block in listed], 1):
            yield self._block(block, spot.inside(f"block {number}"))

    def _message(self, value: Any, spot: Spot, agent: str, silent: bool) -> Iterator[Record | Skip]:
        role: str = spot.needed(value, "role", str)
        if role not in ("user", "assistant"):
            yield Skip(spot.where, "an instruction" if role == "system" else "what a tool answered")
            return
        at = iso_time(spot.maybe(value, "created_at", str), spot, name="created_at")
        self._newest = max(filter(None, (at, self._newest)), default=None)
        text, others = _words(value, spot)
        if role == "user":
            text, event = _unwrapped(text)
            if event:
                yield Skip(spot.where, f"an event, {event}")
                return
        else:
            said, calls = _calls(value, spot)
            if text.strip() and (said or silent):
                others.add("thoughts")
                text = ""
            others.update(calls)
            text = "\n\n".join(filter(str.strip, [text, *said]))
        if others:
            yield Skip(spot.where, f"left out of it: {', '.join(sorted(others))}")
        if not text.strip():
            if not others:
                yield Skip(spot.where, "a message without a word")
            return
        given: dict[str, Any] = {
            "kind": "turn",
            "session": "/".join(filter(None, (self._options.session, agent))),
            "speaker": agent if role == "assistant" else spot.maybe(value, "name", str) or "user",
            "role": role,
            "meta": {name: value[name] for name in ("id", "model") if value.get(name) is not None},
        }
        if at is not None:
            given["at"] = at
        id = self._ids.of("letta", agent, at.isoformat() if at else "", role, text)
        yield spot.made(text, given, id=id, options=self._options)

    def _block(self, value: Any, spot: Spot) -> Record | Skip:
        text, label = spot.needed(value, "value", str), spot.maybe(value, "label", str) or "block"
        if not text.strip():
            return Skip(f"{spot.where} ({label})", "a block without a word")
        about = spot.maybe(value, "description", str)
        given = {"kind": "note", "tags": spot.texts({"label": [label]}, "label"), "meta": {"block": label}}
        if about:
            given["meta"] = {"block": label, "description": about}
        return self._note(text, given, iso_time(value.get("updated_at"), spot, name="updated_at"), spot, label)

    def _passage(self, value: Any, spot: Spot) -> Record | Skip:
        text: str = spot.needed(value, "text", str)
        if not text.strip():
            return Skip(spot.where, "a passage without a word")
        meta = {name: item for name, item in value.items() if name not in _BULK and item is not None}
        given = {"kind": "note", "tags": ["archival", *spot.texts(value, "tags")], "meta": meta}
        at = iso_time(value.get("created_at"), spot, name="created_at")
        return self._note(text, given, at, spot, str(value.get("id")))

    def _note(self, text: str, given: dict[str, Any], at: datetime | None, spot: Spot, key: str) -> Record:
        if self._options.session:
            given["session"] = self._options.session
        if at or self._newest:
            given["at"] = at or self._newest
        return spot.made(text, given, id=self._ids.of("letta", key, text), options=self._options)


def _words(value: Any, spot: Spot) -> tuple[str, set[str]]:
    """The text of a message, and the kinds of what else it holds, such as reasoning."""
    content = value.get("content")
    if isinstance(content, str):
        return content, set()
    words, others = [], set()
    for part in spot.maybe(value, "content", list) or []:
        kind: str = spot.needed(part, "type", str)
        if kind == "text":
            words.append(spot.needed(part, "text", str))
        else:
            others.add(kind)
    return "\n\n".join(words), others


def _unwrapped(text: str) -> tuple[str, str]:
    """(what the user said, "") or ("", what happened): a message may come in an envelope of JSON."""
    envelope = _object(text)
    kind, inside = envelope.get("type"), envelope.get("message")
    if kind == "user_message" and isinstance(inside, str):
        return inside, ""
    if kind in ("login", "heartbeat", "system_alert"):
        return "", str(kind)
    return text, ""


def _calls(value: Any, spot: Spot) -> tuple[list[str], list[str]]:
    """What was said by `send_message`, and the other calls."""
    said, others = [], []
    for call in spot.maybe(value, "tool_calls", list) or []:
        function = spot.needed(call, "function", dict)
        name: str = spot.needed(function, "name", str)
        words = _object(spot.maybe(function, "arguments", str) or "").get("message") if name == _SAY else None
        if isinstance(words, str):
            said.append(words)
        else:
            others.append(f"a call of {name}")
    return said, others


def _object(text: str) -> dict[str, Any]:
    """A text that is a JSON object; {} for any other."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
