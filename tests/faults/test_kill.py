"""SIGKILL at random instants of a busy writer: nothing that a verb acknowledged is lost, and nothing is half done."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.campaign import campaign
from tests.faults.nursery import Nursery
from tests.faults.survey import diverging, notes, survey, verbs_ended
from tests.faults.writer import WEIGHTS

KILLS = 200
LONGEST_S = 0.15  # a writer ends some dozens of verbs in that time


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    kills = hit = acknowledged = 0
    cut: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for found in campaign(tmp_path, KILLS, seed=1, longest_s=LONGEST_S):
        assert found.lost == {}
        assert found.disagreements == {}
        assert found.diverging == []
        # Nothing was written that nobody asked for: at most what was in flight is written and not noted.
        assert found.last.unnoted <= sum(found.cut.values())
        kills, hit, acknowledged = kills + found.kills, hit + found.hit, acknowledged + found.last.acknowledged
        cut, ended = cut + found.cut, ended + found.ended
    # The kills were no formality: they came while verbs were at work, all of them, and much had been acknowledged.
    assert kills >= KILLS
    assert hit > KILLS / 2, f"{hit} of {kills} kills came while a verb was in flight"
    assert acknowledged > 10 * KILLS
    assert (cut + ended).keys() == WEIGHTS.keys() - {"several"}  # which notes the verbs it is made of


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder and the log of the one writer that was killed in it."""
    base = tmp_path_factory.mktemp("written")
    folder, log = base / "a.mem", base / "a.log"
    with Nursery() as nursery:
        pid = nursery.start(folder, log, seed=99)
        nursery.wait_until(pid, "writing")
        while verbs_ended(log).total() < 100 or not verbs_ended(log)["flush"]:
            nursery.kill(pid, 0.2)
            pid = nursery.start(folder, log, seed=99 + verbs_ended(log).total())
            nursery.wait_until(pid, "writing")
        nursery.kill(pid, 0)
    diverging(folder, [log])  # every vector is there
    return folder, log


def _last_standing(folder: Path, log: Path) -> str:
    """The id of the record noted last that has a row still: an erasure the kill cut off may have taken rows unnoted."""
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as connection:
        rows = {str(id) for (id,) in connection.execute("SELECT id FROM records")}
    told = (str(id) for note in reversed(notes(log)) for id, *_ in note.get("records", ()))
    return next(id for id in told if id in rows)


# What a careless ledger might do behind the journal's back, and what the survey says of it.
ROBBERIES: dict[str, tuple[str, Callable[[str], str]]] = {
    "a change and its row": (
        "DELETE FROM journal WHERE record_id = :id; DELETE FROM records WHERE id = :id",
        lambda id: f"{id} at revision",
    ),
    "a row": ("DELETE FROM records WHERE id = :id", lambda id: f"record {id}, which is missing"),
    "a word": (
        "UPDATE records SET text = text || '!' WHERE id = :id",
        lambda id: f"record {id} is not what its journal says",
    ),
}


@pytest.mark.parametrize("what", ROBBERIES)
def test_the_survey_would_see_what_is_missing(written: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    """The proof that the survey above is no formality: take something out behind the journal's back, and it tells."""
    folder = shutil.copytree(written[0], tmp_path / "robbed.mem")
    assert survey(folder, [written[1]]).sound
    statements, sign = ROBBERIES[what]
    id = _last_standing(folder, written[1])
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as connection, connection:
        for statement in statements.split(";"):
            assert connection.execute(statement, {"id": id}).rowcount > 0
    robbed = survey(folder, [written[1]])
    assert any(sign(id) in line for line in (*robbed.lost, *robbed.disagreements))


@pytest.mark.parametrize(
    ("statement", "sign"),
    [
        ("DELETE FROM vectors", "no vector of its words"),
        ("UPDATE vectors SET data = zeroblob(length(data))", "its vector is of other words"),
        ("UPDATE vectors SET digest = zeroblob(length(digest))", "no vector of its words"),
    ],
)
def test_the_survey_would_see_an_index_that_does_not_converge(
    written: tuple[Path, Path], tmp_path: Path, statement: str, sign: str
) -> None:
    folder = shutil.copytree(written[0], tmp_path / "robbed.mem")
    assert diverging(folder, [written[1]]) == []
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as connection, connection:
        assert connection.execute(statement).rowcount > 0
    assert any(sign in line for line in diverging(folder, [written[1]]))
