"""BEAM's probing questions and the messages they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record, Scope
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question, digest_of
from agentmem_apps.importers.beam import CHAT, chats, messages
from agentmem_apps.importers.reading import Ids, Options, document, member

__all__ = ["load"]

QUESTIONS: Final = "probing_questions.json"
CORE: Final = frozenset(
    {
        "information_extraction",
        "knowledge_update",
        "temporal_reasoning",
        "multi_session_reasoning",
        "contradiction_resolution",
    }
)


def load(path: Path) -> Dataset:
    """The chats in a folder, or one chat's; questions without a source (abstention) are dropped."""
    folders, conversations, asked = chats(path), [], 0
    for folder in folders:
        questions = list(_questions(folder / QUESTIONS))
        asked += len(questions)
        answerable = tuple(question for question in questions if question.gold)
        conversations.append(Conversation(folder.resolve().name, partial(_records, folder), _id_of, answerable))
    sha256 = digest_of(folder / name for folder in folders for name in (CHAT, QUESTIONS))
    return Dataset("beam", path.resolve().name, sha256, tuple(conversations), asked, {"core5": CORE})


def whole_numbers(value: Any) -> Iterator[int]:
    """All ints in nested objects and lists, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from whole_numbers(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def _questions(path: Path) -> Iterator[Question]:
    file, value = str(path), document(path)
    if not isinstance(value, dict):
        raise ImportFailed("the questions must be an object: category and list", file=file)
    for category in value:
        for i, item in enumerate(member(value, category, list, file=file, where="the file")):
            text = member(item, "question", str, file=file, where=f"{category}, question {i + 1}")
            gold = dict.fromkeys(str(id) for id in whole_numbers(item.get("source_chat_ids")))
            yield Question(text, category, tuple(gold))


def _records(folder: Path, scope: Scope) -> Iterator[Record]:
    return (item for item in messages(folder, Ids(), Options(scope)) if isinstance(item, Record))


def _id_of(record: Record) -> str:
    return str(record.meta["message_id"])
