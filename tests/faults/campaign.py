"""Many kills, in rounds of one folder each, and what they came to: shared by the tests and `benchmarks/kill.py`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.nursery import Nursery
from tests.faults.survey import Survey, diverging, in_flight, survey, verbs_ended
from tests.faults.writer import Aim

ROUND = 8  # kills in one folder
AT_OPENING = 0.15  # of the kills come while the memory is opened, and in a new folder made
TWO_AT_ONCE = 0.2  # of the writers have a second process beside them, which goes on when the first is killed
LONGEST_OPENING_S = 0.04
AIMED = 0.3  # of the other writers are killed in the middle of a commit
FIRST_COMMITS = 40
COMMIT_S = 0.0003


@dataclass(slots=True)
class Round:
    """The kills of one folder, and what stood after them. `lost` says after which kill each was first missed."""

    kills: int = 0
    aimed: int = 0  # kills in the middle of a commit
    hit: int = 0  # kills that came while a verb was in flight
    cut: Counter[str] = field(default_factory=Counter)  # verbs in flight at a kill
    ended: Counter[str] = field(default_factory=Counter)  # verbs acknowledged
    last: Survey = field(default_factory=Survey)
    lost: dict[str, int] = field(default_factory=dict)
    disagreements: dict[str, int] = field(default_factory=dict)
    diverging: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.disagreements or self.diverging)


def campaign(base: Path, kills: int, *, seed: int, longest_s: float) -> Iterator[Round]:
    """`kills` kills in folders under `base`; a round as soon as its folder was killed often enough."""
    chance = random.Random(seed)
    writers = 0
    with Nursery() as nursery:
        while kills > 0:
            found = Round()
            folder, logs = base / f"{seed}-{writers}.mem", []
            while found.kills < min(ROUND, kills):
                opening = chance.random() < AT_OPENING
                several = 2 if not opening and found.kills and chance.random() < TWO_AT_ONCE else 1
                aim = None
                if not opening and several == 1 and chance.random() < AIMED:
                    aim = Aim(chance.randint(1, FIRST_COMMITS), chance.uniform(1e-6, COMMIT_S))
                    found.aimed += 1
                new = [base / f"{seed}-{writers + n}.log" for n in range(several)]
                pids = [nursery.start(folder, log, 1_000 * seed + writers + n, aim) for n, log in enumerate(new)]
                writers += several
                logs += new
                if aim is not None:
                    nursery.wait_until_dead(pids[0])
                else:
                    for pid in pids:
                        nursery.wait_until(pid, "opening" if opening else "writing")
                    for pid in pids:
                        nursery.kill(pid, chance.uniform(0, LONGEST_OPENING_S if opening else longest_s))
                _take_stock(found, folder, logs, new)
            found.diverging = diverging(folder, logs)
            kills -= found.kills
            yield found


def _take_stock(found: Round, folder: Path, logs: list[Path], new: list[Path]) -> None:
    found.kills += len(new)
    for log in new:
        cut = in_flight(log)
        found.hit += bool(cut)
        found.cut.update(cut)
        found.ended.update(verbs_ended(log))
    found.last = survey(folder, logs)
    for line in (*found.last.lost, *found.last.torn):
        found.lost.setdefault(line, found.kills)
    for line in found.last.disagreements:
        found.disagreements.setdefault(line, found.kills)
