"""What somebody says of a hit: journaled, taken back, erased with its record, and handed out to train with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentmem.cues import Hit
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.feedback import Feedback
from agentmem.memory import Memory
from agentmem.records import Record, Scope
from agentmem_apps.cli.app import program


def told(memory: Memory) -> list[tuple[str, bool, str]]:
    return [(said.record, said.useful, said.cue) for said in memory.feedbacks()]


@pytest.fixture
def hits(memory: Memory) -> list[Hit]:
    memory.add_many(["tea in the harbour", "tea in town", "the boat"])
    return memory.recall("tea harbour", 2)


def test_a_hit_tells_what_it_was_asked_for(memory: Memory, hits: list[Hit]) -> None:
    said = memory.feedback(hits[0], useful=True)
    assert (said.record, said.useful, said.cue) == (hits[0].record.id, True, "tea harbour")
    assert said.parts == hits[0].parts != {}
    memory.feedback(hits[1], useful=False)
    memory.feedback(hits[1].record.id, useful=False, cue="boats\n\u2028 \U0001f6a2")
    assert told(memory) == [
        (hits[0].record.id, True, "tea harbour"),
        (hits[1].record.id, False, "tea harbour"),
        (hits[1].record.id, False, "boats\n\u2028 \U0001f6a2"),
    ]
    assert next(memory.feedbacks()) == said
    assert Feedback.from_json(json.loads(json.dumps(said.to_json()))) == said


def test_the_record_stays_as_it_is(memory: Memory, hits: list[Hit]) -> None:
    before = memory.get(hits[0].record.id)
    memory.feedback(hits[0], useful=True)
    memory.undo()
    assert memory.get(before.id) == before
    assert [change.verb for change in memory.history(before.id)] == ["add", "feedback", "undo"]
    assert memory.verify() == []
    assert memory.recall("tea harbour", 2) == hits


def test_it_is_taken_back_and_said_again_like_everything(memory: Memory, hits: list[Hit]) -> None:
    memory.feedback(hits[0], useful=True)
    memory.feedback(hits[1], useful=True)
    memory.undo()
    assert told(memory) == [(hits[0].record.id, True, "tea harbour")]
    memory.redo()
    assert len(told(memory)) == 2
    memory.undo(3)  # both, and what was added
    assert told(memory) == []
    assert list(memory.records()) == []
    memory.redo()
    memory.redo()
    assert len(told(memory)) == 1
    assert memory.verify() == []


def test_it_belongs_to_the_step_it_is_said_in_and_a_rehearsal_says_nothing(memory: Memory, hits: list[Hit]) -> None:
    with memory.step("review", actor="ben"):
        memory.tag(hits[0].record.id, add=["seen"])
        said = memory.feedback(hits[0], useful=True)
    assert said.actor == "ben"
    assert len(told(memory)) == 1
    with memory.rehearse():
        memory.feedback(hits[1], useful=True)
    assert len(told(memory)) == 1
    memory.undo()
    assert told(memory) == []
    assert memory.get(hits[0].record.id).tags == ()


def test_an_edit_after_it_stands_in_nobodys_way(memory: Memory, hits: list[Hit]) -> None:
    said = memory.feedback(hits[0], useful=True)
    memory.edit(hits[0].record.id, text="coffee")
    memory.undo(step=said.step)
    assert told(memory) == []
    assert memory.get(hits[0].record.id).text == "coffee"


def test_it_goes_with_a_record_that_is_erased(memory: Memory, hits: list[Hit]) -> None:
    memory.feedback(hits[0], useful=True, cue="my secret question")
    memory.forget(hits[0].record.id, hard=True)
    assert told(memory) == []
    for file in Path(memory.url).rglob("*"):
        assert not file.is_file() or b"secret question" not in file.read_bytes(), file


def test_it_stays_in_its_scope(memory: Memory, hits: list[Hit]) -> None:
    other = memory.scope("user:bea")
    with pytest.raises(RecordNotFound):
        other.feedback(hits[0], useful=True)
    memory.feedback(hits[0], useful=True)
    assert told(other) == []


def test_nonsense_is_refused_and_nothing_is_said(memory: Memory, hits: list[Hit]) -> None:
    stranger = Hit(Record.create("tea", scope=Scope("default")), 1.0)
    for hit, useful, cue in (
        (hits[0], 1, None),
        (hits[0], True, "\0"),
        (hits[0], True, "\ud800"),
        (hits[0], True, 5),
        (Hit(hits[0].record, 1.0, {"lexical": float("nan")}), True, None),
        (5, True, None),
        ("", True, None),
        (stranger, True, None),
    ):
        with pytest.raises((InvalidInput, RecordNotFound)):
            memory.feedback(hit, useful=useful, cue=cue)  # type: ignore[arg-type]
    assert told(memory) == []


def test_it_is_handed_out_as_rows(memory: Memory, hits: list[Hit], tmp_path: Path) -> None:
    memory.feedback(hits[0], useful=True)
    memory.feedback(hits[1], useful=False)
    assert memory.export(tmp_path / "rows.jsonl", feedback=True) == 2
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["cue"], row["useful"]) for row in rows] == [("tea harbour", True), ("tea harbour", False)]
    assert [row["parts"] for row in rows] == [dict(hit.parts) for hit in hits]
    assert [Feedback.from_json(row) for row in rows] == list(memory.feedbacks())


def test_the_command_line_notes_shows_takes_back_and_exports(tmp_path: Path) -> None:
    place = ["--memory", str(tmp_path / "m"), "--embedder", "hash"]

    def run(*argv: str) -> str:
        done = CliRunner().invoke(program, [*place, *argv])
        assert done.exit_code == 0, done.output
        return done.stdout

    id = run("add", "We moved the launch to 3 May.").strip()
    assert run("feedback", id[-8:], "--useful", "--cue", "when is the launch?").strip() == id
    run("feedback", id, "--useless")
    assert 'useful for "when is the launch?"' in run("log")
    assert "of no use" in run("history", id)
    assert "what was said of it" in run("undo")
    [row] = [json.loads(line) for line in run("export", "--feedback", "-").splitlines()]
    assert (row["record"], row["useful"], row["cue"], row["parts"]) == (id, True, "when is the launch?", {})
    file = tmp_path / "rows.jsonl"
    run("export", "--feedback", str(file))
    assert json.loads(file.read_text(encoding="utf-8")) == row
    assert json.loads(run("feedback", id, "--useful", "--json"))["feedback"]["record"] == id
    assert CliRunner().invoke(program, [*place, "feedback", id]).exit_code == 2  # useful or not must be said
