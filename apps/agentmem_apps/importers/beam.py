"""BEAM: long chats of a user with an assistant; a folder a chat, or a folder of such folders.

The messages of `chat.json` become records, a batch of turns (the talk of some days, with one date) a session. The
questions beside it in `probing_questions.json` are a benchmark's and are not taken in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record
from agentmem_apps.importers.dates import written_time
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Ids, Options, Skip, Spot, opened

__all__ = ["CHAT", "chats", "messages", "read"]

CHAT: Final = "chat.json"
_MARKER: Final = re.compile(r"\s*->->[^\n]*\Z")  # where the question was planned: "->-> 2,22, 24" or "->-> 2,N/A"
_ANCHOR: Final = re.compile(r"\s*(?P<month>[a-z]+)[- ](?P<day>\d{1,2}),?[- ](?P<year>\d{4})\s*", re.IGNORECASE)


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    ids = Ids()
    for folder in chats(path):
        yield from messages(folder, ids, options)


def chats(path: Path) -> list[Path]:
    """The folders with a chat.json: `path` itself, the one it is the chat.json of, or those under it, 2 before 10."""
    if path.name == CHAT and path.is_file():
        return [path.parent]
    try:
        found = [path] if (path / CHAT).is_file() else [child for child in path.iterdir() if (child / CHAT).is_file()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImportFailed(f"this is no folder that can be read: {reason}", file=str(path)) from error
    if not found:
        raise ImportFailed(
            f"there is no {CHAT} in this folder, nor in a folder right under it",
            file=str(path),
            way_out="Only a BEAM conversation is taken in by its folder; name other files one by one.",
        )
    return sorted(found, key=lambda folder: (not folder.name.isdecimal(), folder.name.zfill(9)))


def messages(folder: Path, ids: Ids, options: Options) -> Iterator[Record | Skip]:
    """The messages of one chat, in order, as records with `message_id` and `chat` in their meta."""
    path = folder / CHAT
    file, chat = str(path), folder.resolve().name
    began: datetime | None = None
    since = 0  # messages since that date was given: a second each keeps their order
    with opened(path) as stream:
        b = 0
        for b, (line, within, batch) in enumerate(pieces(stream, file), 1):
            if not within:
                raise ImportFailed("a chat is a list of batches, with at least one", file=file, line=line)
            spot = Spot(file, line, f"batch {b}")
            number = spot.needed(batch, "batch_number", int)
            spot = Spot(file, line, f"batch {number}")
            session = "/".join(filter(None, (options.session, chat, f"batch_{number}")))
            for i, message in enumerate(_flat(spot.needed(batch, "turns", list), spot), 1):
                here = spot.inside(f"message {i}")
                role, text = here.needed(message, "role", str), here.needed(message, "content", str)
                message_id = here.needed(message, "id", int)
                when = message.get("time_anchor")
                anchor = written_time(when, _ANCHOR, example="March-15-2024", file=file, where=here.where, line=line)
                began, since = (anchor, 0) if anchor is not None else (began, since + 1)
                if role == "user":
                    text = _MARKER.sub("", text)
                if not text.strip():
                    yield Skip(f"chat {chat}, {here.where}", "a message without a word")
                    continue
                given: dict[str, Any] = {
                    "kind": "turn",
                    "session": session,
                    "speaker": role,
                    "role": role,
                    "meta": {"message_id": message_id, "chat": chat},
                }
                if began is not None:
                    given["at"] = began + timedelta(seconds=since)
                yield here.made(text, given, id=ids.of("beam", chat, str(message_id)), options=options)
    if not b:
        raise ImportFailed("a chat is a list of batches, with at least one", file=file)


def _flat(turns: list[Any], spot: Spot) -> Iterator[Any]:
    """The messages of a batch: a turn is a list of them, a question with its answers."""
    for turn in turns:
        if not isinstance(turn, list):
            raise spot.fault("a turn must be a list of messages")
        yield from turn
