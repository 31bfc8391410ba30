"""LoCoMo's questions and their evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from agentmem.records import Record, Scope
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question, digest_of
from agentmem_apps.importers.locomo import samples, turns
from agentmem_apps.importers.reading import Ids, Options, member

__all__ = ["load"]

# As the benchmark's own evaluation numbers them.
CATEGORIES: Final = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_EVIDENCE: Final = re.compile(r"D:?(\d+):(\d+)")


def load(path: Path) -> Dataset:
    """The file's conversations and questions; a question whose evidence names no turn that exists is dropped."""
    conversations, asked = [], 0
    for sample in samples(path):
        questions = list(_questions(sample, str(path)))
        asked += len(questions)
        records = partial(_records, sample, str(path))
        there = {_id_of(record) for record in records(Scope("evaluation"))}
        kept = (Question(q.text, q.category, tuple(id for id in q.gold if id in there)) for q in questions)
        answerable = tuple(question for question in kept if question.gold)
        conversations.append(Conversation(sample["sample_id"], records, _id_of, answerable))
    groups = {"without adversarial": frozenset(CATEGORIES.values()) - {"adversarial"}}
    return Dataset("locomo", path.name, digest_of([path]), tuple(conversations), asked, groups)


def evidence_ids(evidence: object) -> tuple[str, ...]:
    """`["D1:3; D:02:04"]` → `("D1:3", "D2:4")`: each id once, zeros in front stripped, in the order given."""
    listed = evidence if isinstance(evidence, list) else [evidence]
    found = (match for item in listed if isinstance(item, str) for match in _EVIDENCE.finditer(item))
    return tuple(dict.fromkeys(f"D{int(match[1])}:{int(match[2])}" for match in found))


def _questions(sample: Mapping[str, Any], file: str) -> Iterator[Question]:
    name = sample["sample_id"]
    for i, item in enumerate(member(sample, "qa", list, file=file, where=name)):
        where = f"{name}, question {i + 1}"
        text = member(item, "question", str, file=file, where=where)
        number = member(item, "category", int, file=file, where=where)
        yield Question(text, CATEGORIES.get(number, f"category {number}"), evidence_ids(item.get("evidence")))


def _records(sample: Mapping[str, Any], file: str, scope: Scope) -> Iterator[Record]:
    return (item for item in turns(sample, Ids(), Options(scope), file) if isinstance(item, Record))


def _id_of(record: Record) -> str:
    return str(record.meta["dia_id"])
