"""Small exports of other services, as they write them: what the importers' tests take in, and then spoil."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = Any

LYON, PARIS = "6995e870-eafc-83a6-ab22-d89ad9e2b447", "68c13686-4a3c-8329-940b-479ccb6a079f"


def said(role: str, text: str | None, at: float | None = None, **more: Json) -> Json:
    """A message of ChatGPT's; `more` are its own fields, and `content` replaces the text."""
    return {
        "author": {"role": role, "name": more.pop("name", None), "metadata": {}},
        "create_time": at,
        "content": more.pop("content", {"content_type": "text", "parts": [text]}),
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": more.pop("metadata", {}),
        "recipient": more.pop("recipient", "all"),
        **more,
    }


def tree(messages: Mapping[str, tuple[str | None, Json]]) -> Json:
    """A mapping: each node's key with the parent it answers and its message."""
    return {
        key: {
            "id": key,
            "message": message and {"id": key, **message},
            "parent": parent,
            "children": [child for child, (above, _) in messages.items() if above == key],
        }
        for key, (parent, message) in messages.items()
    }


def chatgpt() -> Json:
    """Two conversations: one with all that is skipped in it, and one from before messages had a time."""
    hidden = {"is_visually_hidden_from_conversation": True}
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1", "width": 8}
    file = {"attachments": [{"id": "file-1", "name": "map.png"}]}
    code = {"content_type": "code", "language": "python", "text": "print(1)"}
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Hm."}], "source_analysis": "x"}
    voice = {"content_type": "audio_transcription", "text": "And by ferry?", "direction": "in"}
    return [
        {
            "title": "Trip to\nLyon",
            "create_time": 1714731600.5,
            "update_time": 1714731700.0,
            "mapping": tree(
                {
                    "root": (None, None),
                    "sys": ("root", said("system", "", metadata=hidden)),
                    "q1": ("sys", said("user", "When does the train leave?", 1714731601.25)),
                    "a0": ("q1", said("assistant", "At six.", 1714731602.0)),
                    "t1": ("q1", said("assistant", None, 1714731603.0, content=thoughts)),
                    "c1": ("t1", said("assistant", None, 1714731604.0, content=code, recipient="python")),
                    "o1": (
                        "c1",
                        said(
                            "tool",
                            None,
                            1714731605.0,
                            name="python",
                            content={"content_type": "execution_output", "text": "1"},
                        ),
                    ),
                    "a1": ("o1", said("assistant", "At seven.", 1714731606.0, metadata={"model_slug": "gpt-4o"})),
                    "q2": (
                        "a1",
                        said(
                            "user",
                            None,
                            content={"content_type": "multimodal_text", "parts": [picture, "Is this it?", voice]},
                            metadata=file,
                        ),
                    ),
                    "q3": (
                        "q2",
                        said(
                            "user", None, 1714731608.0, content={"content_type": "multimodal_text", "parts": [picture]}
                        ),
                    ),
                    "a2": ("q3", said("assistant", " \n", 1714731609.0)),
                }
            ),
            "moderation_results": [],
            "current_node": "a2",
            "conversation_id": LYON,
            "id": LYON,
        },
        {
            "title": None,
            "create_time": 1684000000,
            "mapping": tree(
                {"r": (None, None), "x": ("r", said("user", "Hallo?")), "y": ("x", said("assistant", "Hallo!"))}
            ),
            "current_node": None,
            "id": PARIS,
        },
    ]


def claude() -> Json:
    """Two conversations: a new one with branches and tools, and an old one that has texts only."""

    def message(id: str, sender: str, text: str, at: str, parent: str | None = None, **more: Json) -> Json:
        return {
            "uuid": id,
            "text": text,
            "content": [{"type": "text", "text": text, "citations": []}],
            "sender": sender,
            "created_at": f"2024-05-03T{at}.504762Z",
            "updated_at": f"2024-05-03T{at}.504762Z",
            "attachments": [],
            "files": [],
            "parent_message_uuid": parent,
            **more,
        }

    tools = [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "At seven."},
        {"type": "tool_use", "name": "search", "input": {}},
        {"type": "text", "text": "From Perrache."},
    ]
    paper = {"file_name": "ticket.txt", "file_type": "txt", "file_size": 20, "extracted_content": "Coach 7, seat 12."}
    root = "00000000-0000-4000-8000-000000000000"
    return [
        {
            "uuid": LYON,
            "name": "Trip to Lyon",
            "summary": "",
            "created_at": "2024-05-03T10:00:00.000000Z",
            "updated_at": "2024-05-03T10:10:00.000000Z",
            "account": {"uuid": "acc"},
            "chat_messages": [
                message("m1", "human", "When does it leave?", "10:00:01", root, attachments=[paper]),
                message("m2", "assistant", "At six.", "10:00:02", "m1"),
                message("m3", "assistant", "unsupported", "10:00:03", "m1", content=tools),
                message("m4", "human", "", "10:00:04", "m3", content=[], files=[{"file_name": "a.png"}]),
                message("m5", "human", "Thanks.", "10:00:05", "m4", files=[{"file_name": "b.png"}]),
            ],
        },
        {
            "uuid": PARIS,
            "name": "",
            "created_at": "2023-05-03T10:00:00.000000+00:00",
            "chat_messages": [
                {"uuid": "n1", "text": "Hallo?", "sender": "human", "created_at": "2023-05-03T10:00:00+02:00"},
                {"uuid": "n2", "text": "Hallo!", "sender": "assistant"},
            ],
        },
    ]


def mem0() -> Json:
    return {
        "results": [
            {
                "id": "0bd5e4e6-8d1a-4a8b-9d69-6a7b7f0d9a11",
                "memory": "Likes rye bread",
                "hash": "5a3b",
                "metadata": {"source": "chat"},
                "categories": ["food", " "],
                "created_at": "2024-07-26T10:29:36.630547-07:00",
                "updated_at": None,
                "user_id": "ana",
                "agent_id": "guide",
                "run_id": "run-1",
                "role": "user",
            },
            {"id": 2, "memory": "Recommended Lyon", "agent_id": "guide", "user_id": "ana", "role": "assistant"},
            {"id": 3, "memory": " ", "user_id": "ana"},
        ],
        "relations": [{"source": "ana", "relationship": "likes", "target": "bread"}],
    }


def letta() -> Json:
    """An agent of today, with one of the first beside it that speaks through send_message."""

    def text(words: str) -> Json:
        return [{"type": "text", "text": words, "signature": None}]

    def message(role: str, content: Json, second: int, **more: Json) -> Json:
        at = f"2025-10-31T22:56:{second:02}.459100+00:00"
        return {"type": "message", "role": role, "content": content, "name": None, "created_at": at, **more}

    def call(name: str, arguments: str) -> Json:
        return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}

    envelope = json.dumps({"type": "user_message", "message": "Hi there.", "time": "2025-10-31 10:56:56 PM"}, indent=2)
    login = json.dumps({"type": "login", "last_login": "Never"})
    return {
        "agents": [
            {
                "name": "Evie",
                "memory_blocks": [],
                "block_ids": ["block-0", "block-1"],
                "agent_type": "letta_v1_agent",
                "id": "agent-0",
                "messages": [
                    message("system", text("You are."), 1, id="message-0"),
                    message("user", text('{"not": "an envelope"}'), 2, id="message-1", model="gpt-4o"),
                    message(
                        "assistant", [{"type": "reasoning", "reasoning": "Hm."}, *text("Braces!")], 3, tool_calls=None
                    ),
                    message("tool", text('{"status": "OK"}'), 4),
                ],
            },
            {
                "name": "Sam",
                "agent_type": "memgpt_agent",
                "messages": [
                    message("user", text(login), 5),
                    message("user", text(envelope), 6, name="Chad"),
                    message(
                        "assistant",
                        text("He seems kind."),
                        7,
                        tool_calls=[call("send_message", '{"message": "Hello!"}'), call("memory_insert", "{}")],
                    ),
                    message("assistant", "Quiet thoughts.", 8, tool_calls=[]),
                ],
            },
        ],
        "groups": [],
        "blocks": [
            {"id": "block-0", "label": "human", "value": "First name: Chad", "description": "The user.", "limit": 5000},
            {"id": "block-1", "label": "persona", "value": " ", "description": None, "limit": 5000},
        ],
        "tools": [],
        "metadata": {},
    }


def letta_first() -> Json:
    agent = letta()["agents"][1]
    return {
        "agent_type": "memgpt_agent",
        "core_memory": [
            {
                "created_at": "2025-04-01T03:47:27",
                "updated_at": "2025-04-02T03:47:27",
                "label": "human",
                "value": "Chad",
            }
        ],
        "in_context_message_indices": [0, 1],
        "messages": agent["messages"],
        "name": "Sam",
        "version": "0.6.47",
    }


def passages() -> Json:
    return [
        {
            "embedding": [0.5, 0.25],
            "embedding_config": {"embedding_dim": 2},
            "archive_id": "archive-1",
            "metadata": {"page": 2},
            "tags": ["trip"],
            "created_at": "2025-10-31T22:56:56Z",
            "id": "passage-1",
            "text": "The ferry runs on Sundays.",
        }
    ]


def world() -> Json:
    def entry(uid: int, title: str, content: str, *keys: str, **more: Json) -> Json:
        plain = {"uid": uid, "key": list(keys), "keysecondary": [], "comment": title, "content": content}
        return {**plain, "constant": False, "selective": True, "order": 100, "position": 0, "disable": False, **more}

    return {
        "entries": {
            "0": entry(0, "Eldoria", "A forest where time stands still.", "eldoria", " wood ", keysecondary=["glade"]),
            "1": entry(1, "", "The power ended in 2167.", "power", disable=True),
            "2": entry(2, "Void", " \n", "void"),
        }
    }


def card() -> Json:
    """A character card (v2) with its own book."""
    entries = [
        {
            "keys": ["lamp"],
            "content": "The lamp never goes out.",
            "extensions": {},
            "enabled": True,
            "insertion_order": 10,
            "name": "The lamp",
            "constant": True,
        },
        {"keys": [], "content": "Off.", "extensions": {}, "enabled": False, "insertion_order": 20},
    ]
    book = {"extensions": {}, "entries": entries}
    return {
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {"name": "Maren", "tags": [], "character_book": book},
    }


DOCUMENTS: dict[str, Any] = {
    "chatgpt": chatgpt,
    "claude": claude,
    "mem0": mem0,
    "letta": letta,
    "sillytavern": world,
}


def zipped(path: Path, members: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]], **how: Any) -> Path:
    """A zip with these members; `how` as for zipfile.ZipFile."""
    with zipfile.ZipFile(path, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as archive:
        for name, content in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, content)
    return path
