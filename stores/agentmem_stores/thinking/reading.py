"""Reading what was said for facts: which turns, which of their words, and by whom.

What a person told is read. What an assistant, a system or a tool says is not, nor what was recalled into a turn: it is
known already, or made up. What reads like an order to a model waits until a person has looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

from agentmem.errors import AgentMemError, ConfigError, NoModel, PluginError
from agentmem.ledger import Reader
from agentmem.recall.pack import unquoted
from agentmem.records import Record
from agentmem.store import Models
from agentmem.suspicion import REVIEWED, suspicion
from agentmem.values import new_id
from agentmem_stores.projection import experienced
from agentmem_stores.thinking.by_model import TURNS, Told, ask, batches, cut
from agentmem_stores.thinking.by_rule import Extracted, extract

__all__ = ["BY_MODEL", "Ballot", "Reading", "Thoughts", "read", "readable"]

BY_MODEL: Final = 200  # turns that models are asked about in one run: it is one step, and may take minutes
_WINDOW: Final = 13 * TURNS  # turns read from the ledger at once
_TELLS: Final = frozenset({"assistant", "ai", "bot", "model", "system", "developer", "tool", "function"})


class Reading(NamedTuple):
    """A turn's words when they were read ("" for one that is gone), and those of them that are read, at the same
    places. `facts`: what they say, None where reading failed for good. `held`: why it waits for review."""

    text: str
    words: str = ""
    facts: list[Extracted] | None = []  # noqa: RUF012  # never written to
    held: str = ""
    by: str = ""
    prompt: str = ""


@dataclass
class Ballot:
    """What a model said of new statements: of each, by its id, the verdicts on others, by theirs. `waits`: those that
    are to be asked about again."""

    votes: dict[str, dict[str, str]] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)  # of each, which model and prompt
    waits: set[str] = field(default_factory=set)
    asked: int = 0
    ignored: int = 0
    more: bool = False
    faults: list[str] = field(default_factory=list)
    fault: AgentMemError | None = None


@dataclass
class Thoughts:
    """What was read, by turn, up to the change `until`, None when it was turns that were named; `faults` are sentences
    for a person."""

    until: int | None = 0
    turns: dict[str, Reading] = field(default_factory=dict)
    told: int = 0  # turns that models were asked about
    refused: int = 0
    unread: list[str] = field(default_factory=list)
    waits: bool = False  # other turns wait for the next time
    faults: list[str] = field(default_factory=list)
    fault: AgentMemError | None = None
    ballot: Ballot | None = None
    _ids: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def cause(self) -> str:
        return "turns read again" if self.until is None else f"thought about up to change {self.until}"

    @property
    def by_model(self) -> bool:
        return any(reading.by and reading.facts for reading in self.turns.values())

    def id_of(self, *said: str) -> str:
        """The id that what a turn says has, if it is noted: the same whenever it is drafted."""
        return self._ids.setdefault(said, new_id())


def readable(turn: Record) -> tuple[str, str]:
    """The words of a turn that are read, each at its place; and why none are, if it waits for review."""
    if not experienced(turn) or (turn.role or "").strip().casefold() in _TELLS:
        return "", ""
    words = unquoted(turn.text)
    held = "" if REVIEWED in turn.tags else suspicion(words)
    return ("" if held else words), held


def read(reader: Reader, turns: Mapping[str, int], models: Models | None, *, until: int | None) -> Thoughts:
    """Read the turns, each given with the `seq` of its first change: by a model if there is one for it, else by rules.
    Nothing is held meanwhile.

    When a model cannot be asked, what was read by then counts, and the rest waits; so it does when models were asked
    about `BY_MODEL` turns. `until` None: turns that are named, of which there may be any number.
    """
    thoughts = Thoughts(until)
    ids = list(turns)
    for start in range(0, len(ids), _WINDOW):
        some = ids[start : start + _WINDOW]
        here = {record.id: record for record in reader.get(some) if record.state == "live"}
        asked: list[tuple[Record, str]] = []
        for id in some:
            turn = here.get(id)
            words, held = readable(turn) if turn is not None else ("", "")
            if turn is None or not words.strip():
                thoughts.turns[id] = Reading("" if turn is None else turn.text, held=held)
            elif models is None:
                thoughts.turns[id] = _by_rules(turn, words)
            else:
                asked.append((turn, words))
        while asked and models is not None:
            room = len(asked) if until is None else BY_MODEL - thoughts.told
            models, waits = _by_models(thoughts, asked[:room], models) if room else (models, asked[0][0].id)
            if waits:
                _stop_before(thoughts, turns, waits)
                return thoughts
            asked = asked[room:]
        thoughts.turns |= {turn.id: _by_rules(turn, words) for turn, words in asked}
    return thoughts


def _by_rules(turn: Record, words: str) -> Reading:
    return Reading(turn.text, words, extract(words, turn.speaker))


def _by_models(
    thoughts: Thoughts, turns: Sequence[tuple[Record, str]], models: Models
) -> tuple[Models | None, str | None]:
    """Ask about turns, in order. The models, None when there are none for this, and then all were read by rules; and
    the first turn that was not read, since no model could be asked."""
    parts = {turn.id: list(cut(turn, words)) for turn, words in turns}
    told: dict[str, list[Told | None]] = {turn.id: [] for turn, _ in turns}
    ruled: set[str] = set()  # of which no model may be asked
    asked: Models | None = models
    for batch in batches(chain.from_iterable(parts.values())):
        try:
            for part, said in ask(models, batch):
                told[part.turn.id].append(said)
        except NoModel:
            ruled.update(part.turn.id for part in batch)
        except (ConfigError, PluginError):
            asked = None
            break
        except AgentMemError as error:
            thoughts.fault = error
            thoughts.faults.append(f"the model cannot be asked: {error}")
            break
    for turn, words in turns:
        said_of = told[turn.id]
        if turn.id in ruled or (asked is None and len(said_of) < len(parts[turn.id])):
            thoughts.turns[turn.id] = _by_rules(turn, words)
        elif len(said_of) < len(parts[turn.id]):
            return asked, turn.id
        else:
            thoughts.turns[turn.id] = _by_what_was_told(thoughts, turn, words, said_of)
    return asked, None


def _by_what_was_told(thoughts: Thoughts, turn: Record, words: str, told: Sequence[Told | None]) -> Reading:
    thoughts.told += 1
    whole = [one for one in told if one is not None]
    thoughts.refused += sum(one.refused for one in whole)
    if len(whole) < len(told):
        thoughts.unread.append(turn.id)
        return Reading(turn.text, words, None)
    facts = list(dict.fromkeys(fact for one in whole for fact in one.facts))
    return Reading(turn.text, words, facts, by=whole[0].by, prompt=whole[0].prompt)


def _stop_before(thoughts: Thoughts, turns: Mapping[str, int], id: str) -> None:
    """Let this turn, and all that were touched after it, wait."""
    thoughts.waits = True
    if thoughts.until is not None:
        until = thoughts.until = turns[id] - 1
        thoughts.turns = {other: reading for other, reading in thoughts.turns.items() if turns[other] <= until}
