"""Claude's data export: conversations.json, its folder, or the whole zip.

A conversation is a session, what was said in it are turns, and the text that the service read out of an attached file
is a note beside the turn. The export lists every wording of a question and every answer to it, and newer ones say what
each answers; then only the branch that was spoken last is taken, as the app shows it. Skipped, with the reason: the
other branches, the model's thoughts, and the calls and answers of tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agentmem.records import Record
from agentmem_apps.importers.conversations import REPLACED, branch, conversations, session_name
from agentmem_apps.importers.dates import iso_time
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot

__all__ = ["read"]

_ROLES: Final = {"human": "user", "assistant": "assistant"}


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    ids = Ids()
    for value, spot in conversations(path):
        yield from _conversation(value, spot, ids, options)


def _conversation(value: Any, spot: Spot, ids: Ids, options: Options) -> Iterator[Record | Skip]:
    listed = spot.needed(value, "chat_messages", list)
    id: str = spot.needed(value, "uuid", str)
    session = session_name(spot.maybe(value, "name", str), id, options)
    if not listed:
        yield Skip(session, "a conversation without a message")
    messages: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, message in enumerate(listed, 1):
        key: str = spot.inside(f"message {number}").needed(message, "uuid", str)
        if key in messages:
            raise spot.fault(f"message {number} has the uuid of {names[key]}")
        messages[key], names[key] = message, f"message {number}"
    times = {key: _time(message, spot.inside(names[key])) for key, message in messages.items()}
    path = _path(value, messages, times, spot)
    at = _time(value, spot)
    for key in path:
        at = times[key] or at
        given: dict[str, Any] = {"session": session, "meta": {"conversation": id, "message": key}}
        if at is not None:
            given["at"] = at
        if (record_id := ids.once("claude", id, key)) is None:
            yield Skip(f"{session}, {names[key]}", "it came before")
        else:
            where = f"{session}, {names[key]}"
            yield from _message(messages[key], given, record_id, where, spot.inside(names[key]), ids, options)
    on_it = set(path)
    for key in messages:
        if key not in on_it:
            yield Skip(f"{session}, {names[key]}", REPLACED)


def _time(holder: Any, spot: Spot) -> datetime | None:
    return iso_time(spot.maybe(holder, "created_at", str), spot, name="created_at")


def _path(value: Any, messages: Mapping[str, Any], times: Mapping[str, datetime | None], spot: Spot) -> list[str]:
    parents = {key: spot.maybe(message, "parent_message_uuid", str) for key, message in messages.items()}
    if not any(parents.values()):  # an older export: nobody can say what answers what
        return list(messages)
    seconds = {key: time.timestamp() for key, time in times.items() if time is not None}
    return branch(parents, seconds, spot.maybe(value, "current_leaf_message_uuid", str), spot)


def _message(
    message: Any, given: dict[str, Any], id: str, where: str, spot: Spot, ids: Ids, options: Options
) -> Iterator[Record | Skip]:
    sender: str = spot.needed(message, "sender", str)
    given |= {"speaker": sender, "role": _ROLES.get(sender, sender)}
    words, others = [], set()
    blocks = spot.maybe(message, "content", list) or []
    for block in blocks:
        kind: str = spot.needed(block, "type", str)
        if kind == "text":
            words.append(spot.maybe(block, "text", str) or "")
        else:
            others.add(kind)
    text = "\n\n".join(filter(None, words)) if blocks else spot.maybe(message, "text", str) or ""
    files = [spot.maybe(file, "file_name", str) for file in spot.maybe(message, "files", list) or []]
    turn = {"kind": "turn", **given}
    if names := list(filter(None, files)):
        turn["meta"] = {**given["meta"], "files": names}
    if text.strip():
        yield spot.made(text, turn, id=id, options=options)
    elif not others:
        yield Skip(where, "a message without a word")
    if others:
        yield Skip(where, f"left out of it: {', '.join(sorted(others))}")
    for number, file in enumerate(spot.maybe(message, "attachments", list) or [], 1):
        read_out = spot.maybe(file, "extracted_content", str) or ""
        name = spot.maybe(file, "file_name", str) or f"attachment {number}"
        if not read_out.strip():
            yield Skip(f"{where}, {name}", "an attachment without a word")
            continue
        note = {"kind": "note", **given, "meta": {**given["meta"], "file": name}}
        key = ("claude", given["meta"]["conversation"], given["meta"]["message"], name)
        yield spot.made(read_out, note, id=ids.of(*key), options=options)
