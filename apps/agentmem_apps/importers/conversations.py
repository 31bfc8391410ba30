"""What the exports of chat services share: a session a conversation, and the branch of it that was read to its end.

An answer that was made again, or a question that was put differently, stays in an export beside the one that took its
place. What a person calls the conversation is the branch they saw last, so that is what becomes memories; the others
are skipped, and counted. Knows nothing of any service's fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agentmem.errors import ImportFailed
from agentmem_apps.importers.archive import parts
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Options, Spot

__all__ = ["REPLACED", "branch", "conversations", "session_name"]

REPLACED: Final = "replaced by another answer or wording"


def conversations(path: Path) -> Iterator[tuple[Any, Spot]]:
    """The conversations of an export, one at a time and unchecked, each with its spot; at least one."""
    number = 0
    for part in parts(path):
        for line, _, value in pieces(part.stream, part.name):
            number += 1
            yield value, Spot(part.name, line, f"conversation {number}")
    if not number:
        raise ImportFailed("there is no conversation in it", file=str(path))


def session_name(title: str | None, id: str, options: Options) -> str:
    """`Trip to Lyon (6995e870)`: titles come twice, and two conversations must not become one."""
    name = f"{' '.join((title or '').split()) or 'untitled'} ({id[:8]})"
    return "/".join(filter(None, (options.session, name)))


def branch(parents: Mapping[str, str | None], times: Mapping[str, float], leaf: str | None, spot: Spot) -> list[str]:
    """The ids from the first message to `leaf`; where none is named, to the newest that nothing answers.

    `parents` says what each message answers, in the file's order: None, or an id that is not there, for a first one.
    `times` are seconds, for those that have one. ImportFailed if the messages answer each other in a circle.
    """
    if leaf is None or leaf not in parents:
        answered = set(parents.values())
        ends = [id for id in parents if id not in answered]
        newest = max((times.get(id, 0.0) for id in ends), default=0.0)
        leaf = next((id for id in reversed(ends) if times.get(id, 0.0) == newest), None)
    path: dict[str, None] = {}
    at = leaf if leaf is not None else next(iter(parents), None)
    while at is not None and at in parents:
        if at in path:
            raise spot.fault("its messages answer each other in a circle")
        path[at] = None
        at = parents[at]
    return list(reversed(path))
