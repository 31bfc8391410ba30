"""LoCoMo: very long conversations of two people, as JSON; one sample or a list of them.

Turns become records. The questions, the summaries and the observations in the file are a benchmark's and are not
taken in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem.records import Record
from agentmem_apps.importers.dates import written_time
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Ids, Options, Skip, made, member, opened

__all__ = ["read", "samples", "turns"]

_SESSION: Final = re.compile(r"session_(\d+)")
_WHEN: Final = re.compile(
    r"\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})\s*(?P<half>[ap])\.?m\.?\s+on\s+"
    r"(?P<day>\d{1,2})\s+(?P<month>[a-z]+),?\s+(?P<year>\d{4})\s*",
    re.IGNORECASE,
)


def read(path: Path, options: Options) -> Iterator[Record | Skip]:
    ids = Ids()
    for sample in _samples(path):
        yield from turns(sample, ids, options, str(path))


def samples(path: Path) -> list[Mapping[str, Any]]:
    """The conversations of the file, each with `sample_id` and `conversation`, or ImportFailed."""
    return list(_samples(path))


def _samples(path: Path) -> Iterator[Mapping[str, Any]]:
    file, number, talked = str(path), 0, False
    with opened(path) as stream:
        for line, _, sample in pieces(stream, file):
            number += 1
            where = f"sample {number}"
            if not isinstance(sample, dict) or "conversation" not in sample:
                raise ImportFailed(f"{where} has no conversation: this is not LoCoMo", file=file, line=line)
            member(sample, "sample_id", str, file=file, where=where, line=line)
            talked |= bool(_sessions(member(sample, "conversation", dict, file=file, where=where, line=line)))
            yield sample
    if not talked:
        raise ImportFailed("there is no session in it" if number else "there is nothing in it", file=file)


def turns(sample: Mapping[str, Any], ids: Ids, options: Options, file: str) -> Iterator[Record | Skip]:
    """The turns of one sample, in order, as records with `dia_id` and `sample_id` in their meta."""
    name, conversation = sample["sample_id"], sample["conversation"]
    for number in _sessions(conversation):
        where = f"{name}, session_{number}"
        said = member(conversation, f"session_{number}", list, file=file, where=name)
        when = conversation.get(f"session_{number}_date_time")
        began = written_time(when, _WHEN, example="1:56 pm on 8 May, 2023", file=file, where=where)
        session = "/".join(filter(None, (options.session, name, f"session_{number}")))
        for i, turn in enumerate(said):
            here = f"{where}, turn {i + 1}"
            text = member(turn, "text", str, file=file, where=here)
            dia_id = member(turn, "dia_id", str, file=file, where=here)
            if "blip_caption" in turn:
                text = f"{text} [shares {member(turn, 'blip_caption', str, file=file, where=here)}]"
            if not text.strip():
                yield Skip(here, "a turn without a word")
                continue
            given: dict[str, Any] = {
                "kind": "turn",
                "session": session,
                "speaker": member(turn, "speaker", str, file=file, where=here),
                "meta": {"dia_id": dia_id, "sample_id": name},
            }
            if began is not None:
                given["at"] = began + timedelta(seconds=i)
            yield made(text.strip(), given, id=ids.of("locomo", name, dia_id), options=options, file=file, where=here)


def _sessions(conversation: Mapping[str, Any]) -> list[int]:
    return sorted(int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key)))
