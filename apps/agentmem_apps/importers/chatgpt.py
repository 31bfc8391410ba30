"""ChatGPT's data export: conversations.json or the numbered files that replaced it, their folder, or the whole zip.

A conversation is a session, and what the user and the assistant said to each other in it are turns. Its messages form
a tree; the branch that leads to `current_node` is the conversation as the app shows it, and is taken. Skipped, with
the reason: the other branches, what the app hides, instructions, the model's thoughts, and the calls and answers of
tools, which are nobody's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agentmem.records import Record
from agentmem_apps.importers.conversations import REPLACED, branch, conversations, session_name
from agentmem_apps.importers.dates import epoch_time
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot

__all__ = ["read"]

_NO_WORDS: Final = {
    "thoughts": "the model's thoughts",
    "reasoning_recap": "the model's thoughts",
    "user_editable_context": "custom instructions",
    "model_editable_context": "custom instructions",
    "system_error": "an error of the service",
}
_ATTACHED: Final = {
    "image_asset_pointer": "a picture",
    "audio_asset_pointer": "a recording",
    "video_container_asset_pointer": "a video",
    "real_time_user_audio_video_asset_pointer": "a recording",
}


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    ids = Ids()
    for value, spot in conversations(path):
        yield from _conversation(value, spot, ids, options)


def _conversation(value: Any, spot: Spot, ids: Ids, options: Options) -> Iterator[Record | Skip]:
    nodes = spot.needed(value, "mapping", dict)
    id = spot.maybe(value, "conversation_id", str) or spot.maybe(value, "id", str) or next(iter(nodes), "")
    session = session_name(spot.maybe(value, "title", str), id, options)
    began = epoch_time(value.get("create_time"), spot, name="create_time")
    messages = {key: spot.inside(key).maybe(node, "message", dict) or {} for key, node in nodes.items()}
    parents = {key: spot.inside(key).maybe(node, "parent", str) for key, node in nodes.items()}
    times = {key: epoch_time(m.get("create_time"), spot.inside(key), name="create_time") for key, m in messages.items()}
    path = branch(
        parents,
        {key: time.timestamp() for key, time in times.items() if time is not None},
        spot.maybe(value, "current_node", str),
        spot,
    )
    if not any(messages.values()):
        yield Skip(session, "a conversation without a message")
    at = began
    for key in path:
        message, here = messages[key], spot.inside(f"message {key}")
        if not message:
            continue  # the root, which only holds the tree together
        at = times[key] or at
        role, text, why = _said(message, here)
        if why:
            yield Skip(f"{session}, message {key}", why)
            continue
        if (record_id := ids.once("chatgpt", id, key)) is None:
            yield Skip(f"{session}, message {key}", "it came before")
            continue
        author, more = message["author"], here.maybe(message, "metadata", dict) or {}
        given: dict[str, Any] = {
            "kind": "turn",
            "session": session,
            "speaker": here.maybe(author, "name", str) or role,
            "role": role,
            "meta": {"conversation": id, "message": key},
        }
        if at is not None:
            given["at"] = at
        if model := here.maybe(more, "model_slug", str):
            given["meta"]["model"] = model
        files = [here.maybe(file, "name", str) for file in here.maybe(more, "attachments", list) or []]
        if names := list(filter(None, files)):
            given["meta"]["attachments"] = names
        yield here.made(text, given, id=record_id, options=options)
    on_it = set(path)
    for key, message in messages.items():
        if message and key not in on_it:
            yield Skip(f"{session}, message {key}", REPLACED)


def _said(message: dict[str, Any], spot: Spot) -> tuple[str, str, str]:
    """(role, words, why they are not taken); the reason is "" when they are."""
    role: str = spot.needed(spot.needed(message, "author", dict), "role", str)
    content = spot.maybe(message, "content", dict) or {}
    kind = spot.maybe(content, "content_type", str) or "text"
    to = spot.maybe(message, "recipient", str) or "all"
    hidden = (spot.maybe(message, "metadata", dict) or {}).get("is_visually_hidden_from_conversation") is True
    if kind in _NO_WORDS:
        return role, "", _NO_WORDS[kind]
    if role == "tool":
        return role, "", "what a tool answered"
    if role not in ("user", "assistant"):
        return role, "", "an instruction of the service"
    if hidden:
        return role, "", "hidden in the app"
    if role == "assistant" and to != "all":
        return role, "", f"a call of the tool {to}"
    words, others = _words(content, spot)
    text = "\n".join(words)
    if text.strip():
        return role, text, ""
    return role, "", f"nothing but {', '.join(sorted(others))}" if others else "a message without a word"


def _words(content: dict[str, Any], spot: Spot) -> tuple[list[str], set[str]]:
    """The texts of a message, and what else it holds, such as a picture."""
    words, others = [], set()
    for part in spot.maybe(content, "parts", list) or []:
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, dict):
            said = spot.maybe(part, "text", str)  # of a voice message, what was understood
            if said is None:
                kind = spot.maybe(part, "content_type", str) or "an attachment"
                others.add(_ATTACHED.get(kind, kind))
            else:
                words.append(said)
        elif part is not None:
            raise spot.fault("a part of a message must be text or an object")
    if (said := spot.maybe(content, "text", str)) is not None:
        words.append(said)
    return words, others
