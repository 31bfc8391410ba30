"""LongMemEval's format, on a file made by hand: what is asked, what is gold, and what is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmem.errors import ImportFailed
from agentmem.records import Scope
from agentmem_apps.cli.app import program
from agentmem_apps.evaluate.longmemeval import load
from agentmem_apps.evaluate.run import evaluate

SCOPE = Scope("x")


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def question(id: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "question_id": id,
        "question_type": "single-session-user",
        "question": text,
        "answer": "Lisbon",
        "question_date": "2023/06/01 (Thu) 10:00",
        "haystack_session_ids": ["s1", "s2", "s3"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/25 (Thu) 9:05", "2023/05/30 (Tue) 23:40"],
        "haystack_sessions": [
            [turn("user", "My boat lies in the harbour of Lisbon.", has_answer=True), turn("assistant", "How nice!")],
            [turn("user", "Which tea do you recommend?"), turn("assistant", "Try Darjeeling."), turn("user", " ")],
            [turn("user", "I sold my piano.", has_answer=False), turn("assistant", "What a pity.")],
        ],
        "answer_session_ids": ["s1"],
        **more,
    }


def questions() -> list[dict[str, Any]]:
    unmarked = question("q3", "What did I sell?", answer_session_ids=["s3"], question_type="temporal-reasoning")
    del unmarked["haystack_sessions"][0][0]["has_answer"]
    return [question("q1", "Where is my boat?"), question("q2_abs", "Where is my car?"), unmarked]


def written(folder: Path, value: Any) -> Path:
    file = folder / "longmemeval_s.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_each_question_has_a_history_and_gold_of_its_own(tmp_path: Path) -> None:
    dataset = load(written(tmp_path, questions()))
    assert (dataset.name, dataset.asked, [one.id for one in dataset.conversations]) == ("longmemeval", 3, ["q1", "q3"])
    first, second = dataset.conversations
    assert [(one.text, one.category, one.gold) for one in first.questions] == [
        ("Where is my boat?", "single-session-user", ("s1#0",))
    ]
    assert second.questions[0].gold == ("s3#0", "s3#1"), "no turn is marked: all of the session that answers"
    records = list(first.records(SCOPE))
    assert [(first.id_of(record), record.session, record.role) for record in records] == [
        ("s1#0", "s1", "user"),
        ("s1#1", "s1", "assistant"),
        ("s2#0", "s2", "user"),
        ("s2#1", "s2", "assistant"),
        ("s3#0", "s3", "user"),
        ("s3#1", "s3", "assistant"),
    ]
    assert records[1].at == datetime(2023, 5, 20, 2, 21, 1, tzinfo=UTC)
    assert list(first.records(SCOPE)) != []  # as often as it is asked for
    assert not any("has_answer" in repr(record) for record in records), "the gold is for scoring"


def test_it_is_measured_and_printed(tmp_path: Path) -> None:
    file = written(tmp_path, questions())
    report = evaluate(load(file), embedder="hash")
    assert (report.asked, report.n, report.conversations) == (3, 2, 2)
    assert set(report.categories) == {"single-session-user", "temporal-reasoning"}
    assert report.session["hit@5"] == report.session["all@5"] == 1
    run = CliRunner().invoke(program, ["eval", "longmemeval", str(file), "--embedder", "hash"])
    assert run.exit_code == 0, run.output
    assert "2 questions of 3" in run.output
    assert "all@5" in run.output


def test_a_session_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    [asked] = [question("q", "Where is my boat?")]
    for name in ("haystack_session_ids", "haystack_dates", "haystack_sessions"):
        asked[name] = [*asked[name], deepcopy(asked[name][0])]
    [conversation] = load(written(tmp_path, [asked])).conversations
    assert len(list(conversation.records(SCOPE))) == 6


def broken(**more: Any) -> list[dict[str, Any]]:
    return [question("q1", "Where is my boat?", **more)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "no question in it that something answers"),
        ({}, "question_id"),
        (broken(question=5), "'question'"),
        (broken(haystack_dates=[]), "different lengths"),
        (broken(haystack_session_ids=[1, 2, 3]), "an id, a date and a list"),
        (broken(haystack_sessions=[{}, [], []]), "an id, a date and a list"),
        (broken(haystack_sessions=None), "haystack_sessions"),
        (broken(answer_session_ids=[5]), "a list of texts"),
        ([question("q_abs", "Where?")], "no question in it that something answers"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_place(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(ImportFailed, match=said):
        load(written(tmp_path, value))


@pytest.mark.parametrize(
    ("session", "date", "said"),
    [
        ([5], "2023/05/20 (Sat) 02:21", "must be an object"),
        ([turn("user", 5)], "2023/05/20 (Sat) 02:21", "'content'"),  # type: ignore[arg-type]
        ([turn("tool", "x")], "2023/05/20 (Sat) 02:21", "said by a 'tool'"),
        ([turn("user", "a\ud800")], "2023/05/20 (Sat) 02:21", "surrogate"),
        ([turn("user", "x")], "20 May 2023", "is not a time such as"),
        ([turn("user", "x")], "2023/02/30 (Thu) 02:21", "is no date"),
    ],
)
def test_a_history_that_is_broken_is_refused_when_it_is_read(
    tmp_path: Path, session: list[Any], date: str, said: str
) -> None:
    asked = question("q1", "Where?")
    asked["haystack_sessions"][1], asked["haystack_dates"][1] = session, date
    [conversation] = load(written(tmp_path, [asked])).conversations
    with pytest.raises(ImportFailed, match=said) as refused:
        list(conversation.records(SCOPE))
    assert "question 1, session s2" in str(refused.value)
