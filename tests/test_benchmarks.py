"""The comparison with the peers, on a handful of made-up turns: what is given to all, that rows tell of failures, that
figures come out. Only what the project itself needs is installed here; the peers are benchmarks' own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem.embedding import unit_rows
from agentmem.errors import InvalidInput
from benchmarks.measure import keep
from benchmarks.peers.run import AGENTMEM, FLOOR, SYSTEMS, Plan, compare
from benchmarks.peers.system import System
from benchmarks.peers.table import draw, table
from benchmarks.peers.targets import judge, ratios
from benchmarks.peers.turns import Data, Question, Turn, read, vectors
from benchmarks.peers.worker import Worker
from tests.fakes import TinyEmbedder

SAID = 24  # turns of each dialogue, and messages of the chat
PASSAGES = 3  # in a message


@pytest.fixture
def locomo(tmp_path: Path) -> Path:
    samples = []
    for name, speakers in (("one", ("Ana", "Ben")), ("two", ("Cleo", "Dan"))):
        talk = [
            {
                "speaker": speakers[n % 2],
                "dia_id": f"D1:{n + 1}",
                "text": f"{name}: the {n}th word of the day is {n * n}",
            }
            for n in range(SAID)
        ]
        talk[-1]["text"] = talk[-3]["text"]  # somebody repeats himself: two turns with one text and one vector
        qa: list[dict[str, Any]] = [
            {"question": f"What is the {n}th word?", "evidence": [f"D1:{n + 1}"], "category": 1 + n % 5}
            for n in range(10)
        ]
        qa.append({"question": "What was never said?", "evidence": [], "category": 1})
        conversation = {"session_1": talk, "session_1_date_time": "1:56 pm on 8 May, 2023"}
        samples.append({"sample_id": name, "conversation": conversation, "qa": qa})
    file = tmp_path / "locomo.json"
    file.write_text(json.dumps(samples), encoding="utf-8")
    return file


@pytest.fixture
def beam(tmp_path: Path) -> Path:
    chat = tmp_path / "beam" / "1"
    chat.mkdir(parents=True)
    messages = [
        {"role": "user", "id": n, "content": "\n\n".join(f"Passage {p} of message {n}" for p in range(PASSAGES))}
        for n in range(SAID)
    ]
    (chat / "chat.json").write_text(json.dumps([{"batch_number": 1, "turns": [messages]}]), encoding="utf-8")
    (chat / "probing_questions.json").write_text("{}", encoding="utf-8")
    return chat.parent


@pytest.fixture
def data(locomo: Path, beam: Path) -> Data:
    given = read(locomo, beam, 3 * SAID, 8, seed=0)
    return Data.of(given, vectors(given.texts, TinyEmbedder(), None, print))


# ── what is given to all ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [SAID, 2 * SAID, 2 * SAID + 5, 3 * SAID, 3 * SAID + 1, 1_000])
def test_turns_are_cut_or_split_to_the_count(locomo: Path, beam: Path, count: int) -> None:
    given = read(locomo, beam, count, 100, seed=0)
    turns, questions = given.turns, given.questions
    assert len(turns) == min(count, (2 + PASSAGES) * SAID)
    assert len({turn.key for turn in turns}) == len(turns)
    assert any("#" in turn.key for turn in turns) is (count > 3 * SAID)
    spoken = {turn.key: turn for turn in turns}
    for question in questions:  # the evidence is there, in the conversation that the question is filtered to
        assert {spoken[key].conversation for key in question.gold} == {question.conversation}
    dialogues = 1 if count == SAID else 2
    assert len(questions) == 8 * dialogues  # of ten with evidence, two are adversarial


def test_questions_without_their_evidence_are_refused(locomo: Path, beam: Path) -> None:
    with pytest.raises(InvalidInput, match="evidence") as refused:
        read(locomo, beam, 0, 10, seed=0)
    assert "--turns" in refused.value.way_out


class Counting(TinyEmbedder):
    """Counts the texts it was asked for."""

    asked = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += len(texts)
        return super().embed(texts)


def test_vectors_are_made_once(tmp_path: Path) -> None:
    embedder, texts = Counting(), [f"text {n}" for n in range(300)]
    first = vectors(texts, embedder, tmp_path / "new", print)
    assert embedder.asked == len(texts)
    assert np.allclose(first, unit_rows(TinyEmbedder().embed(texts)))
    assert np.array_equal(vectors(texts, embedder, tmp_path / "new", print), first)
    assert embedder.asked == len(texts)
    vectors([*texts[:-1], "another"], embedder, tmp_path / "new", print)
    assert embedder.asked == 2 * len(texts)


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Dies(System):
    """Opens, and fails at the first batch."""

    def prepared(self, turn: Turn, vector: NDArray[np.float32]) -> Any:
        return turn

    def add(self, item: Any) -> None:
        raise OSError("never reached")

    def add_batch(self, items: list[Any]) -> None:
        raise OSError("the disk was eaten by a dog")

    def asked(self, mode: str, question: Question, vector: NDArray[np.float32], conversation: str | None) -> Any:
        return question

    def search(self, asked: Any) -> Any:
        return []

    def keys(self, found: Any) -> list[str]:
        return []


def test_a_run_measures_who_is_there_and_names_who_is_not(data: Data, tmp_path: Path) -> None:
    absent, broken = "not installed", "broken"
    systems = {name: SYSTEMS[name] for name in (FLOOR, AGENTMEM, "chromadb")}
    systems |= {absent: "benchmarks.peers.systems.nowhere:Nothing", broken: "tests.test_benchmarks:Dies"}
    work = tmp_path / "work"
    work.mkdir()
    rows = compare(systems, data, Plan(rounds=2, singles=8, batch=20, patience_s=120), work, print)

    assert list(rows) == list(systems)
    assert "nowhere" in rows[absent]["failure"]
    assert "the disk was eaten by a dog" in rows[broken]["failure"]
    for name in (FLOOR, AGENTMEM, "chromadb"):
        row = rows[name]
        assert "failure" not in row, row
        assert row["single_adds"]["n"] == 8
        assert row["batched_adds"]["n"] == len(data.turns) - 8
        assert row["single_adds"]["per_second"] > 0
        for found in row["recall"].values():
            for where in ("whole", "filtered"):
                assert found[where]["n"] == len(data.questions)
                assert 0 < found[where]["wall_p50_ms"] <= found[where]["wall_p95_ms"]
    exact, dense = rows[FLOOR]["recall"]["dense"], rows[AGENTMEM]["recall"]["dense"]
    for where in ("whole", "filtered"):  # both are exact: the same vectors bring up the same turns
        assert exact[where]["hit@10"] == dense[where]["hit@10"]
        assert exact[where]["hit@1"] == dense[where]["hit@1"]

    printed = table(rows)
    assert all(name in printed for name in systems)
    assert "eaten by a dog" in printed
    over = ratios(rows)
    assert over[AGENTMEM]["single add / floor"] > 0
    assert over["chromadb"]["single add / agentmem"] > 0
    assert all(verdict["met"] in (True, False, None) for verdict in judge(rows, len(data.turns)))
    keep(tmp_path / "kept.json", "peers", {"systems": rows, "ratios": over})
    assert set(json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))["systems"]) == set(systems)
    pytest.importorskip("matplotlib")
    draw(rows, len(data.turns), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_system_that_takes_too_long_is_ended(data: Data, tmp_path: Path) -> None:
    worker = Worker("slow", SYSTEMS[FLOOR], tmp_path, data, patience_s=0)
    assert "took longer than 0 s to open" in worker.failure
    assert worker.ask("add", 0, 1) is None
    worker.stop()


def test_missing_data_is_told(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "benchmarks.peers", "--locomo", str(tmp_path / "no.json"), "--beam", str(tmp_path)]
    run = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    assert run.returncode == 2
    assert "no.json" in run.stderr
    assert "--locomo" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_target_without_its_measure_is_not_met() -> None:
    nothing: dict[str, Any] = {"recall": {}}
    verdicts = judge({FLOOR: nothing, AGENTMEM: nothing, "LangGraph InMemoryStore": nothing}, 20_000)
    assert verdicts
    assert not any(verdict["met"] for verdict in verdicts)
    assert judge({}, 5_000) == []
