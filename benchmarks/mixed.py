"""Questions of six kinds over one invented town: what is each kind best asked of?

    python -m benchmarks.mixed [--embedder NAME ...] [--seed N] [--json FILE]

Twelve friends meet sixty times in nine months and say 1,500 things. There are forty questions of each kind:

  temporal  "What did Bea do two weeks after the regatta?", "in May", "on 12 May"
  place     "What was dropped at pier 3?": no text names the place where it was said
  person    "Where does Bea live now?": it changed since, and others talk of it too
  multihop  "What does the sister of Bea's boss collect?": three records, by different people, that share names
  next      "What was said right after we missed the bus?": the gold is the record that follows in the session
  fragment  four or five words from the middle of a record, more often than not with a slip of the pen

No single word of a question leads to its gold: whatever they share stands in other records too. Everything is drawn
from a seed, and nothing is read from anywhere.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentmem import Memory
from agentmem.cues import Cue, Hit
from agentmem.embedding import open_embedder
from agentmem.errors import InvalidInput
from agentmem.recall.presets import DEFAULT, preset
from agentmem.recall.text import terms
from agentmem.values import whole_number
from benchmarks.measure import keep, machine_line
from benchmarks.mixed_words import (
    ACTIVITIES,
    ANCHORS,
    CHATTER,
    CIRCLE,
    ECHOES,
    FACTS,
    HAPPENINGS,
    KIN,
    OUTER,
    PLACES,
    SCENES,
    SLOTS,
    TIES,
    TRAITS,
)

__all__ = ["KINDS", "Q", "World", "credited", "recalled", "suite", "tabled"]

KINDS: Final = ("temporal", "place", "person", "multihop", "next", "fragment")
START: Final = datetime(2023, 3, 4, tzinfo=UTC)
PER_SESSION: Final = 25
K: Final = 10
_NUMBERS: Final = ("one", "two", "three", "four")
_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905


class Q(NamedTuple):
    """`cue` says when it is asked; `gold` are the ids of all records that it takes to answer."""

    kind: str
    cue: Cue
    gold: frozenset[str]


class World(NamedTuple):
    """What `Memory.add_many` takes, in the order in which it was said, and what is asked about it afterwards."""

    records: list[dict[str, Any]]
    questions: list[Q]


def suite(seed: int = 0, people: int = 12, days: int = 60, each: int = 40) -> World:
    """A town of so many people who meet on so many days, and up to `each` questions of every kind, as many of one as of
    another. InvalidInput for fewer than 4 or more than 12 people, or fewer than 8 days."""
    if not 4 <= whole_number(people, "people") <= len(CIRCLE) or whole_number(days, "days") < 8:
        raise InvalidInput(f"{people} people on {days} days make no town", way_out="Take 4 to 12, and 8 days or more.")
    town = _Town(random.Random(seed), people, days)
    found = {kind: town.fair(asked()) for kind, asked in town.kinds().items()}
    number = min([each, *map(len, found.values())])
    return World(town.records(), [q for kind in KINDS for q in found[kind][:number]])


# ── the town ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class _Said:
    text: str
    speaker: str
    place: str | None = None  # None: wherever they are just then
    id: str = ""
    at: datetime = START


@dataclass(eq=False)
class _Session:
    start: datetime
    people: list[str]
    places: list[str]
    said: list[_Said] = field(default_factory=list)


Ask = Callable[[], Iterator[Q]]


class _Town:
    def __init__(self, chance: random.Random, people: int, days: int) -> None:
        self.chance = chance
        self.circle = list(CIRCLE[:people])
        self.sessions: list[_Session] = []
        start = START
        for _ in range(days):
            met = chance.sample(self.circle, min(len(self.circle), chance.choice((3, 3, 4, 4, 5))))
            at = start + timedelta(hours=chance.randrange(9, 20), minutes=chance.randrange(60))
            self.sessions.append(_Session(at, met, chance.sample(PLACES, 4)))
            start += timedelta(days=chance.choice((3, 4, 4, 5, 6)))
        self._used: set[str] = set()
        self.activities = self._activities()
        self.anchors = self._anchors()
        self.happenings = self._happenings()
        self.facts = self._facts()
        self.chains = self._chains()
        self.scenes = self._scenes()
        for number, session in enumerate(self.sessions):
            self._arrange(number, session)
        self.now = self.sessions[-1].start + timedelta(days=1)
        self._holding = Counter(term for said in self._all() for term in set(terms(said.text)))

    def _all(self) -> Iterator[_Said]:
        return (said for session in self.sessions for said in session.said)

    def records(self) -> list[dict[str, Any]]:
        return [
            {
                "id": said.id,
                "text": said.text,
                "speaker": said.speaker,
                "at": said.at,
                "place": said.place,
                "session": f"{session.start:%Y-%m-%d}",
            }
            for session in self.sessions
            for said in session.said
        ]

    # ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────

    def _fill(self, template: str, fixed: dict[str, str], speaker: str = "") -> str:
        """The template with its slots filled; what was drawn is put into `fixed`."""

        def value(match: re.Match[str]) -> str:
            slot = match[1]
            if slot not in fixed:
                others = [one for one in self.circle if one not in (speaker, *fixed.values())]
                values: Sequence[str] = {"who": others, "other": others, "outer": OUTER}.get(slot) or SLOTS[slot]
                fixed[slot] = self.chance.choice(values)
            return fixed[slot]

        return re.sub(r"\{(\w+)\}", value, template)

    def _say(
        self,
        session: _Session,
        templates: Sequence[str],
        fixed: Mapping[str, str] = {},
        *,
        speaker: str | None = None,
        place: str | None = None,
        once: bool = True,
    ) -> _Said:
        who = self.chance.choice(session.people) if speaker is None else speaker
        for _ in range(200):
            text = self._fill(self.chance.choice(templates), dict(fixed), who)
            if not once or text not in self._used:
                break
        self._used.add(text)
        said = _Said(text, who, place)
        session.said.append(said)
        return said

    def _activities(self) -> list[tuple[_Session, _Said]]:
        found = []
        for session in self.sessions:
            found += [(session, self._say(session, ACTIVITIES, speaker=person)) for person in session.people]
        return found

    def _anchors(self) -> list[tuple[str, _Session]]:
        """What everybody remembers the day of; spoken of once more the time before."""
        number = min(len(ANCHORS), len(self.sessions) // 3)
        found = []
        for event, at in zip(
            self.chance.sample(ANCHORS, number), self._spread(number, 1, len(self.sessions)), strict=True
        ):
            self._say(self.sessions[at - 1], (f"are you all coming to {event}?", f"what does one wear to {event}"))
            session = self.sessions[at]
            self._say(session, (f"{event} was today and my ears still ring", f"well, that was {event}, dry at least"))
            found.append((event, session))
        return found

    def _spread(self, number: int, first: int, last: int) -> list[int]:
        return sorted(self.chance.sample(range(first, last), number))

    def _happenings(self) -> list[tuple[str, str, _Said]]:
        """Each kind of thing at ten places or so, once at each."""
        found = []
        for kind, happening in HAPPENINGS.items():
            taken: set[str] = set()
            for session in self.chance.sample(self.sessions, len(self.sessions)):
                place = self.chance.choice(session.places)
                if place not in taken and len(taken) < min(10, len(self.sessions)):
                    taken.add(place)
                    found.append((kind, place, self._say(session, happening.told, place=place)))
        return found

    def _facts(self) -> list[tuple[str, str, _Said]]:
        """Of each person, what was said last of each thing that changes."""
        found = []
        for person in self.circle:
            attended = [session for session in self.sessions if person in session.people]
            for name, fact in FACTS.items():
                number = min(self.chance.choice((2, 3, 3)), len(attended))
                values = self.chance.sample(list(fact.values), number)
                for at, value in zip(self._spread(number, 0, len(attended)), values, strict=True):
                    said = self._say(attended[at], fact.told, {"value": value}, speaker=person)
                if number > 1:
                    found.append((name, person, said))
                    others = [session for session in self.sessions if set(session.people) - {person}]
                    session = self.chance.choice(others)
                    speaker = self.chance.choice([one for one in session.people if one != person])
                    self._say(session, ECHOES, {"who": person, "value": self.chance.choice(values)}, speaker=speaker)
        return found

    def _chains(self) -> list[tuple[str, list[_Said]]]:
        """The question, and the three records that it takes."""
        names = iter(self.chance.sample(OUTER, len(OUTER)))
        bonds = [(person, tie) for tie in TIES for person in self.circle]
        found = []
        for person, tie in self.chance.sample(bonds, min(len(bonds), len(OUTER) // 2)):
            near, far = next(names), next(names)
            kin, trait = self.chance.choice(KIN), self.chance.choice(TRAITS)
            own = self.chance.choice([session for session in self.sessions if person in session.people])
            steps = [
                self._say(own, tie.told, {"b": near}, speaker=person),
                self._say(self.chance.choice(self.sessions), kin.told, {"a": near, "b": far}),
                self._say(self.chance.choice(self.sessions), trait.told, {"b": far}),
            ]
            found.append((trait.asked.replace("{chain}", f"the {kin.named} of {person}'s {tie.named}"), steps))
        return found

    def _scenes(self) -> list[tuple[str, _Said]]:
        found: list[tuple[str, _Said]] = []
        for session in self.sessions:
            fixed: dict[str, str] = {}
            scene = self.chance.choice(SCENES)
            speaker = self.chance.choice(session.people)
            asked = self._fill(scene.asked, fixed, speaker)
            if all(asked != one for one, _ in found):
                found.append((asked, self._say(session, [scene.told], fixed, speaker=speaker)))
                later = self.sessions[self.sessions.index(session) + 1 :]
                if later:  # it is remembered, in the words in which it will be asked
                    self._say(self.chance.choice(later), (f"remember when {asked}?", f"I told them how {asked}"))
        return found

    def _arrange(self, number: int, session: _Session) -> None:
        """Small talk in between; then who was where, and when."""
        while len(session.said) < PER_SESSION:
            self._say(session, CHATTER, once=False)
        parts: dict[str, list[_Said]] = {place: [] for place in session.places}
        for said in self.chance.sample(session.said, len(session.said)):
            said.place = said.place or self.chance.choice(session.places)
            parts[said.place].append(said)
        session.said = [said for place in session.places for said in parts[place]]
        at = session.start
        for n, said in enumerate(session.said):
            said.id, said.at = f"s{number:03}-{n:02}", at
            at += timedelta(seconds=self.chance.randrange(20, 240))

    # ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────

    def kinds(self) -> dict[str, Ask]:
        asked = (self._temporal, self._place, self._person, self._multihop, self._next, self._fragment)
        return dict(zip(KINDS, asked, strict=True))

    def fair(self, asked: Iterable[Q]) -> list[Q]:
        """In an order of chance, without those that a single word gives away."""
        texts = {said.id: said.text for said in self._all()}
        found = []
        for q in asked:
            shared = set(terms(q.cue.text)) & {term for id in q.gold for term in terms(texts[id])}
            if all(self._holding[term] > len(q.gold) for term in shared):
                found.append(q)
        return self.chance.sample(found, len(found))

    def _q(self, kind: str, text: str, gold: Iterable[_Said]) -> Q:
        return Q(kind, Cue(text, now=self.now), frozenset(said.id for said in gold))

    def _temporal(self) -> Iterator[Q]:
        done = [(said.speaker, session.start, said) for session, said in self.activities]
        for event, anchor in self.anchors:
            for weeks in range(1, 5):
                middle = anchor.start + timedelta(weeks=weeks)
                person = self.chance.choice(self.circle)
                gold = [s for who, at, s in done if who == person and abs(at - middle) <= timedelta(days=3)]
                unit = "a week" if weeks == 1 else f"{_NUMBERS[weeks - 1]} weeks"
                if gold:
                    yield self._q("temporal", f"What did {person} do {unit} after {event}?", gold)
        for person in self.circle:
            of_month: dict[int, list[_Said]] = {}
            for who, at, said in done:
                if who == person:
                    of_month.setdefault(at.month, []).append(said)
            month = self.chance.choice(sorted(of_month))
            if len(of_month[month]) <= 3:
                yield self._q("temporal", f"What was {person} up to in {_MONTHS[month - 1]}?", of_month[month])
            at, said = self.chance.choice([(at, said) for who, at, said in done if who == person])
            yield self._q("temporal", f"How did {person} spend {at.day} {_MONTHS[at.month - 1]}?", [said])

    def _place(self) -> Iterator[Q]:
        """Every second one names the place as its friends do, by the last of its name."""
        for kind, place, said in self.happenings:
            path = place.split("/")
            name = " ".join(path) if self.chance.random() < 0.5 else f"the {path[-1]}"
            asked = self.chance.choice(HAPPENINGS[kind].asked)
            yield self._q("place", asked.replace("{at}", f"at {name}"), [said])

    def _person(self) -> Iterator[Q]:
        for name, person, said in self.facts:
            asked = self.chance.choice(FACTS[name].asked)
            yield self._q("person", asked.replace("{who}", person), [said])

    def _multihop(self) -> Iterator[Q]:
        for asked, steps in self.chains:
            yield self._q("multihop", asked, steps)

    def _next(self) -> Iterator[Q]:
        places = {said: (session, n) for session in self.sessions for n, said in enumerate(session.said)}
        for asked, said in self.scenes:
            session, n = places[said]
            if n + 1 < len(session.said):
                form = self.chance.choice(("What was said right after {}?", "What came next, once {}?"))
                yield self._q("next", form.format(asked), [session.said[n + 1]])

    def _fragment(self) -> Iterator[Q]:
        everything = list(self._all())
        whole = " | ".join(" ".join(_words(said.text)) for said in everything)
        for said in self.chance.sample(everything, len(everything) // 3):
            words = _words(said.text)
            length = self.chance.choice((4, 4, 5))
            if len(words) < length + 3:
                continue
            first = self.chance.randrange(1, len(words) - length)
            torn = words[first : first + length]
            if whole.count(" ".join(torn)) > 1:
                continue
            if self.chance.random() < 0.6:
                torn = self._slipped(torn)
            yield self._q("fragment", " ".join(torn), [said])

    def _slipped(self, words: Sequence[str]) -> list[str]:
        """One letter is left out of the longest word, or changes places with the next."""
        longest = max(words, key=len)
        at = self.chance.randrange(1, max(2, len(longest) - 2))
        swapped = longest[:at] + longest[at : at + 2][::-1] + longest[at + 2 :]
        slip = self.chance.choice((swapped, longest[:at] + longest[at + 1 :]))
        return [slip if word == longest else word for word in words]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────────────

Recalls = Callable[[Cue], list[Hit]]


def credited(hits: Iterable[Hit]) -> list[str]:
    """The ids that hits stand for, best first: a thought's are the records that it was made from."""
    ids: dict[str, None] = {}
    for hit in hits:
        sources = [source.record for source in hit.record.sources if source.record is not None]
        ids.update(dict.fromkeys(sources if hit.record.kind == "thought" else [hit.record.id]))
    return list(ids)


def recalled(world: World, asks: Recalls) -> dict[str, float]:
    """By kind, the mean share of a question's golds among the first ten."""
    shares: dict[str, list[float]] = {}
    for q in world.questions:
        ids = credited(asks(q.cue)[:K])
        shares.setdefault(q.kind, []).append(len(q.gold.intersection(ids)) / len(q.gold))
    return {kind: sum(of) / len(of) for kind, of in shares.items()}


def tabled(world: World, embedder: str) -> dict[str, dict[str, float]]:
    """Who is asked → kind → recall@10: the engine alone, as routed, and each installed store alone."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        memory.add_many(world.records)
        memory.flush()
        alone = replace(preset(DEFAULT), stores=False)
        found = {"engine": recalled(world, lambda cue: memory.recall(cue, K, engine=alone))}
        memory.consolidate("thoughts")
        memory.flush()
        found["routed"] = recalled(world, lambda cue: memory.recall(cue, K))
        for name, store in memory.stores.items():
            found[name] = recalled(world, lambda cue, store=store: store.recall(cue, K))  # type: ignore[misc]
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", action="append", help="hash and minilm, unless given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args()
    world = suite(given.seed)
    counts = Counter(q.kind for q in world.questions)
    print(f"{len(world.records)} records; " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS))
    result: dict[str, Any] = {"records": len(world.records), "questions": dict(counts), "recall@10": {}}
    for name in given.embedder or ("hash", "minilm"):
        result["recall@10"][open_embedder(name).id] = found = tabled(world, name)
        print(f"{name:12}" + "".join(f"{kind:>10}" for kind in KINDS))
        for who, by_kind in found.items():
            print(f"{who:12}" + "".join(f"{100 * by_kind[kind]:10.1f}" for kind in KINDS))
    print(machine_line())
    keep(given.json, "mixed", result, ("agentmem-framework", "numpy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
