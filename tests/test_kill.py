"""SIGKILL at random instants of a busy writer: nothing that a verb acknowledged is lost, and nothing is half done."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import Memory
from tests.killing import THREADS, DigestEmbedder, Survey, acknowledgements, kill_a_writer, survey

KILLS = 10
OPENINGS = 4
LONGEST_S = 0.6  # a writer makes some hundreds of changes in that time


def killed(folder: Path, logs: Path, kills: int, once: str, longest_s: float) -> list[Survey]:
    """The survey after each of `kills` kills of writers that follow one another on one folder."""
    logs.mkdir()
    when = random.Random(folder.name)
    found = []
    for n in range(kills):
        kill_a_writer(folder, logs / f"{n}.log", seed=n, after_s=when.uniform(0, longest_s), once=once)
        found.append(survey(folder, sorted(logs.iterdir())))
    return found


def test_no_kill_loses_what_was_acknowledged(tmp_path: Path) -> None:
    surveys = killed(tmp_path / "killed.mem", tmp_path / "logs", KILLS, "writing", LONGEST_S)
    assert [(found.lost, found.torn, found.disagreements) for found in surveys] == [([], [], [])] * KILLS
    # The next writer went on each time: what was acknowledged grew. (A kill may come before a writer's first change.)
    acknowledged = [found.acknowledged for found in surveys]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] > 100
    # At most the verb that each thread was in was written and not noted: nothing was written that nobody asked for.
    assert all(found.extra <= THREADS * (n + 1) for n, found in enumerate(surveys))
    with Memory.open(tmp_path / "killed.mem", embedder=DigestEmbedder()) as memory:
        kept = memory.add("after all the kills")
        assert memory.recall("after all the kills", 1)[0].record.id == kept.id


def test_a_kill_while_the_memory_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    for n in range(OPENINGS):
        folder = tmp_path / f"{n}.mem"
        kill_a_writer(folder, tmp_path / "a.log", seed=n, after_s=0.01 * n, once="opening")
        with Memory.open(folder, embedder=DigestEmbedder()) as memory:
            assert memory.verify() == []
            assert memory.get(memory.add("here").id).text == "here"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder and the log of the one writer that was killed in it."""
    base = tmp_path_factory.mktemp("written")
    kill_a_writer(base / "a.mem", base / "a.log", seed=99, after_s=LONGEST_S)
    return base / "a.mem", base / "a.log"


def test_the_survey_would_see_a_lost_record(written: tuple[Path, Path], tmp_path: Path) -> None:
    """The proof that the survey above is no formality: take a record out behind the journal's back, and it tells."""
    folder = shutil.copytree(written[0], tmp_path / "robbed.mem")
    assert survey(folder, [written[1]]).sound
    [id, *_] = next(note for note in reversed(acknowledgements([written[1]])) if note.get("records"))["records"][0]
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM journal WHERE record_id = ?", [id])
        connection.execute("DELETE FROM records WHERE id = ?", [id])
    robbed = survey(folder, [written[1]])
    assert any(id in line for line in robbed.lost)
