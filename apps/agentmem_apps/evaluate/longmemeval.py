"""LongMemEval's questions, each with a history of its own (Wu et al., ICLR 2025, arXiv 2410.10813).

A file is a list of questions: `question_id`, `question_type`, `question`, `haystack_session_ids`, `haystack_dates` and
`haystack_sessions` side by side, and in the sessions the turns that hold the answer with `has_answer`. Such a file has
up to 3 GB, so the histories are put by, one a file in a temporary folder, and read when their turn comes.
"""

from __future__ import annotations

import json
import re
import shutil
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, NamedTuple

from agentmem.errors import ImportFailed
from agentmem.records import Record, Scope
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question, digest_of
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Ids, Options, Spot, opened

__all__ = ["load"]

_ABSTENTION: Final = "_abs"  # at the end of an id: nothing answers it
_DATE: Final = re.compile(r"(\d{4})/(\d\d?)/(\d\d?) \(\w+\) (\d\d?):(\d\d)")
_ROLES: Final = ("user", "assistant")


class _Session(NamedTuple):
    id: str
    date: str
    turns: list[Any]


class _PutBy:
    """A temporary folder that goes when nobody holds this any more."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="agentmem-longmemeval-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def load(path: Path) -> Dataset:
    """The questions that something answers; those that want abstention are counted and dropped."""
    put_by = _PutBy()
    conversations, asked = [], 0
    with opened(path) as stream:
        for asked, (line, _, value) in enumerate(pieces(stream, str(path)), 1):
            spot = Spot(str(path), line, f"question {asked}")
            id = spot.needed(value, "question_id", str)
            text, category = spot.needed(value, "question", str), spot.needed(value, "question_type", str)
            sessions = list(_sessions(value, spot))
            gold = tuple(_gold(value, sessions, spot))
            if id.endswith(_ABSTENTION) or not gold:
                continue
            history = put_by.folder / f"{asked}.json"
            history.write_text(json.dumps(sessions), encoding="utf-8")
            records = partial(_records, history, spot, put_by)
            conversations.append(Conversation(id, records, _id_of, (Question(text, category, gold),)))
    if not conversations:
        raise ImportFailed("there is no question in it that something answers", file=str(path))
    return Dataset("longmemeval", path.name, digest_of([path]), tuple(conversations), asked)


def _sessions(value: Any, spot: Spot) -> Iterator[_Session]:
    """ImportFailed unless ids, dates and sessions fit each other; a session that comes twice is one."""
    names = ("haystack_session_ids", "haystack_dates", "haystack_sessions")
    columns = [spot.needed(value, name, list) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise spot.fault(f"{', '.join(names)} are of different lengths")
    seen = set[str]()
    for number, (id, date, turns) in enumerate(zip(*columns, strict=True), 1):
        here = spot.inside(f"session {number}")
        if not isinstance(id, str) or not isinstance(date, str) or not isinstance(turns, list):
            raise here.fault("a session is an id, a date and a list of turns")
        if id not in seen:
            seen.add(id)
            yield _Session(id, date, turns)


def _gold(value: Any, sessions: list[_Session], spot: Spot) -> Iterator[str]:
    """The turns that are said to hold the answer; where none is, all of the sessions that are said to."""
    said = set(spot.texts(value, "answer_session_ids"))
    turns = [(session, number, turn) for session in sessions for number, turn in enumerate(session.turns)]
    marked = [(s, number) for s, number, turn in turns if isinstance(turn, dict) and turn.get("has_answer") is True]
    for session, number in marked or [(s, number) for s, number, _ in turns if s.id in said]:
        yield f"{session.id}#{number}"


def _records(history: Path, spot: Spot, _: _PutBy, scope: Scope) -> Iterator[Record]:
    """The turns of a history, seconds apart, so that they keep their order. Who can ask for them holds the folder."""
    ids, options = Ids(), Options(scope)
    for id, date, turns in json.loads(history.read_text(encoding="utf-8")):
        here = spot.inside(f"session {id}")
        began = _time(date, here)
        for number, turn in enumerate(turns):
            text = here.needed(turn, "content", str)
            role = here.needed(turn, "role", str)
            if role not in _ROLES:
                raise here.fault(f"turn {number + 1} is said by a {role!r:.40}, and not by {' or '.join(_ROLES)}")
            if not text.strip():
                continue
            given = {
                "at": began + timedelta(seconds=number),
                "session": id,
                "role": role,
                "speaker": role,
                "meta": {"turn": f"{id}#{number}"},
            }
            yield here.made(text, given, id=ids.of("longmemeval", id, str(number)), options=options)


def _time(date: str, spot: Spot) -> datetime:
    found = _DATE.fullmatch(date)
    if found is None:
        raise spot.fault(f"{date!r:.40} is not a time such as '2023/05/30 (Tue) 23:40'")
    try:
        year, month, day, hour, minute = map(int, found.groups())
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError as error:
        raise spot.fault(f"{date!r} is no date: {error}") from error


def _id_of(record: Record) -> str:
    return str(record.meta["turn"])
