"""Evaluation: metrics against a naive oracle, gold that cannot reach a ranking, and the protocols on small data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.embedding import open_embedder
from agentmem.errors import AgentMemError, ImportFailed, InvalidInput
from agentmem.recall.presets import DEFAULT, PRESETS
from agentmem.records import Record, Scope
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question
from agentmem_apps.evaluate.metrics import METRICS, hit, mean, ndcg, recall, reciprocal_rank, score, whole
from agentmem_apps.evaluate.run import compare, evaluate, rank
from agentmem_apps.evaluate.table import comparison, draw, render

# Metrics

ids = st.sampled_from([f"D1:{i}" for i in range(30)])
rankings = st.lists(ids, unique=True, max_size=25)
golds = st.sets(ids, min_size=1, max_size=8)


@given(rankings, golds, st.integers(1, 25))
def test_metrics_agree_with_a_naive_oracle(ranked: list[str], gold: set[str], k: int) -> None:
    """The oracle counts with loops, by the textbook's formulas and natural logarithms."""
    found = 0
    for id in gold:
        for place in range(k):
            if place < len(ranked) and ranked[place] == id:
                found += 1
    assert recall(ranked, gold, k) == pytest.approx(found / len(gold))
    assert hit(ranked, gold, k) == (1.0 if found else 0.0)
    assert whole(ranked, gold, k) == (1.0 if found == len(gold) else 0.0)

    ranks = [place + 1 for place in range(len(ranked)) if ranked[place] in gold]
    assert reciprocal_rank(ranked, gold) == pytest.approx(1 / min(ranks) if ranks else 0)

    gain = sum(log(2) / log(1 + place) for place in ranks if place <= k)
    best = sum(log(2) / log(1 + place) for place in range(1, 1 + min(k, len(gold))))
    assert ndcg(ranked, gold, k) == pytest.approx(gain / best)


@given(rankings, golds)
def test_metrics_have_bounds_and_a_best_order(ranked: list[str], gold: set[str]) -> None:
    figures = score(ranked, gold)
    assert list(figures) == list(METRICS)
    assert all(0 <= value <= 1 + 1e-12 for value in figures.values())
    assert figures["recall@5"] <= figures["recall@10"] <= figures["recall@20"]
    best = score([*sorted(gold), *(id for id in ranked if id not in gold)], gold)
    assert best["ndcg@10"] == pytest.approx(1)
    assert best["mrr"] == best["hit@1"] == 1
    assert all(best[name] >= figures[name] - 1e-12 for name in METRICS)


@given(rankings, golds)
def test_a_turn_that_comes_twice_counts_once(ranked: list[str], gold: set[str]) -> None:
    assert score([id for id in ranked for _ in range(2)], gold) == score(ranked, gold)


def test_the_mean_counts_each_question_once() -> None:
    one, none = score(["a"], {"a"}), score(["b"], {"a"})
    assert mean([one, none, none, none])["recall@5"] == 0.25
    assert mean([]) == {}


# Datasets


def turn(dia_id: str, speaker: str, text: str) -> dict[str, str]:
    return {"dia_id": dia_id, "speaker": speaker, "text": text}


def ask(question: str, evidence: Any, category: int) -> dict[str, Any]:
    return {"question": question, "evidence": evidence, "category": category}


TOPICS = [
    "violin lessons",
    "the marathon in Porto",
    "a lost umbrella",
    "sourdough bread",
    "the night train",
    "a blue kayak",
]


def locomo_set() -> list[dict[str, Any]]:
    def conversation(name: str) -> dict[str, Any]:
        talk: dict[str, Any] = {"speaker_a": "Ana", "speaker_b": "Bo"}
        for number, topic in enumerate(TOPICS, start=1):
            talk[f"session_{number}_date_time"] = f"1:0{number} pm on {number} May, 2023"
            talk[f"session_{number}"] = [
                turn(f"D{number}:{i}", "Ana" if i % 2 else "Bo", text)
                for i, text in enumerate(
                    [f"I want to talk about {topic}.", f"Tell me about {topic}!", "Later then."], start=1
                )
            ]
        questions = [
            ask("Who spoke of violin lessons?", ["D1:1", "D1:2"], 1),
            ask("When was the marathon in Porto?", ["D:02:01; D2:1"], 2),
            ask("Is sourdough bread good?", ["D4:1", "D99:1"], 3),
            ask("What about the blue kayak?", ["D6:2"], 4),
            ask("Why did Bo lose an umbrella?", ["D3:1"], 5),
            ask("Nothing is known of this.", [], 5),
            ask("Nor of this.", ["D98:1"], 1),
        ]
        return {"sample_id": name, "conversation": talk, "qa": questions}

    return [conversation("conv-1"), conversation("conv-2")]


@pytest.fixture
def locomo_file(tmp_path: Path) -> Path:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(locomo_set()))
    return path


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (["D1:3"], ("D1:3",)),
        (["D1:3; D2:04", "D1:3"], ("D1:3", "D2:4")),
        (["D:11:26"], ("D11:26",)),
        (["D8:6 D9:17"], ("D8:6", "D9:17")),
        (["D"], ()),
        ([], ()),
        ("D30:05", ("D30:5",)),
        (None, ()),
        ([5, ["D1:1"]], ()),
    ],
)
def test_evidence_is_read_as_the_protocol_says(evidence: object, expected: tuple[str, ...]) -> None:
    assert locomo.evidence_ids(evidence) == expected


def test_locomo_questions(locomo_file: Path) -> None:
    dataset = locomo.load(locomo_file)
    assert (dataset.file, dataset.asked) == ("set.json", 14)
    assert dataset.sha256 == hashlib.sha256(locomo_file.read_bytes()).hexdigest()
    first, second = dataset.conversations
    assert [(question.category, question.gold) for question in first.questions] == [
        ("multi-hop", ("D1:1", "D1:2")),
        ("temporal", ("D2:1",)),
        ("open-domain", ("D4:1",)),
        ("single-hop", ("D6:2",)),
        ("adversarial", ("D3:1",)),
    ]
    assert (first.id, second.id) == ("conv-1", "conv-2")
    records = list(first.records(Scope("x")))
    assert [first.id_of(record) for record in records][:4] == ["D1:1", "D1:2", "D1:3", "D2:1"]


@pytest.fixture
def beam_folder(tmp_path: Path) -> Path:
    questions = {
        "abstention": [{"question": "What was never said?"}],
        "knowledge_update": [{"question": "Which bread?", "source_chat_ids": {"old": [0, 4], "new": [4, [2]]}}],
        "event_ordering": [{"question": "In which order?", "source_chat_ids": [2, 4]}],
    }
    for name in ("2", "10"):
        folder = tmp_path / "chats" / name
        folder.mkdir(parents=True)
        batches = []
        for number in (1, 2):
            said = [
                {
                    "id": 4 * (number - 1) + i,
                    "role": "assistant" if i % 2 else "user",
                    "content": f"{topic} ->-> {number},{i}",
                }
                for i, topic in enumerate(TOPICS[:4])
            ]
            batches.append({"batch_number": number, "turns": [said]})
        (folder / "chat.json").write_text(json.dumps(batches))
        (folder / "probing_questions.json").write_text(json.dumps(questions))
    return tmp_path / "chats"


def test_beam_questions(beam_folder: Path) -> None:
    dataset = beam.load(beam_folder)
    assert [conversation.id for conversation in dataset.conversations] == ["2", "10"]
    assert (dataset.file, dataset.asked) == ("chats", 6)
    assert [(question.category, question.gold) for question in dataset.conversations[0].questions] == [
        ("knowledge_update", ("0", "4", "2")),
        ("event_ordering", ("2", "4")),
    ]
    assert beam.load(beam_folder / "10").conversations[0].id == "10"
    report = evaluate(dataset, embedder="hash")
    assert report.groups["core5"]["n"] == 2
    assert set(report.categories) == {"knowledge_update", "event_ordering"}


@pytest.mark.parametrize("value", [True, None, "5", {"a": "b"}, []])
def test_only_whole_numbers_are_sources(value: object) -> None:
    assert list(beam.whole_numbers(value)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qa": {}}, "'qa' must be a list"),
        ({"qa": [{"question": 5}]}, "'question' must be text"),
        ({"qa": [{"question": "x", "category": "1"}]}, "'category' must be a whole number"),
        ({"conversation": {}}, "no session"),
    ],
)
def test_a_wrong_benchmark_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps([locomo_set()[0] | change]))
    with pytest.raises(ImportFailed, match=message):
        locomo.load(path)


def test_a_chat_without_questions_is_refused(beam_folder: Path) -> None:
    (beam_folder / "2" / "probing_questions.json").unlink()
    with pytest.raises(ImportFailed, match=r"probing_questions\.json"):
        beam.load(beam_folder)


# Runs


def dumped(dataset: Dataset, path: Path) -> list[dict[str, Any]]:
    evaluate(dataset, embedder="hash", dump=path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_gold_never_reaches_a_ranking(locomo_file: Path, tmp_path: Path) -> None:
    """Every gold is swapped for another question's: the scores differ, not one rank, score or part does."""
    dataset = locomo.load(locomo_file)

    def turned(conversation: Conversation) -> Conversation:
        golds = [question.gold for question in conversation.questions]
        swapped = zip(conversation.questions, [*golds[1:], golds[0]], strict=True)
        return replace(conversation, questions=tuple(replace(question, gold=gold) for question, gold in swapped))

    other = replace(dataset, conversations=tuple(turned(conversation) for conversation in dataset.conversations))
    rows, other_rows = dumped(dataset, tmp_path / "a.jsonl"), dumped(other, tmp_path / "b.jsonl")
    assert [row["gold"] for row in rows] != [row["gold"] for row in other_rows]
    assert [row["ranked"] for row in rows] == [row["ranked"] for row in other_rows]
    assert evaluate(dataset, embedder="hash").turn != evaluate(other, embedder="hash").turn


def test_the_dump_has_a_line_a_question_that_scores_to_the_report(locomo_file: Path, tmp_path: Path) -> None:
    dataset = locomo.load(locomo_file)
    rows = dumped(dataset, tmp_path / "dump.jsonl")
    assert [set(row) for row in rows] == [{"conversation", "question", "category", "gold", "ranked"}] * 10
    assert [row["conversation"] for row in rows] == ["conv-1"] * 5 + ["conv-2"] * 5
    for row in rows:
        assert 0 < len(row["ranked"]) <= 50
        assert all(set(hit) == {"id", "score", "parts"} for hit in row["ranked"])
        assert [hit["score"] for hit in row["ranked"]] == sorted((hit["score"] for hit in row["ranked"]), reverse=True)
        assert all(hit["score"] == pytest.approx(sum(hit["parts"].values()), abs=1e-4) for hit in row["ranked"])
    report = evaluate(dataset, embedder="hash")
    assert report.turn == pytest.approx(
        mean([score([hit["id"] for hit in row["ranked"]], set(row["gold"])) for row in rows])
    )


def test_a_session_stands_where_its_best_turn_does(locomo_file: Path) -> None:
    dataset = locomo.load(locomo_file)
    expected = []
    for conversation in dataset.conversations:
        records = list(conversation.records(Scope("x")))
        session_of = {conversation.id_of(record): str(record.session) for record in records}
        rankings = rank(records, [q.text for q in conversation.questions], open_embedder("hash"))[DEFAULT].hits
        for question, hits in zip(conversation.questions, rankings, strict=True):
            best: dict[str, int] = {}
            for place, found in enumerate(hits):
                session = str(found.record.session)
                best[session] = min(place, best.get(session, place))
            ranked = sorted(best, key=lambda session: best[session])
            expected.append(score(ranked, {session_of[id] for id in question.gold}))
    assert evaluate(dataset, embedder="hash").session == pytest.approx(mean(expected))


def test_the_report(locomo_file: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = evaluate(
        locomo.load(locomo_file), embedder="hash", progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 10) for done in range(1, 11)]
    assert (report.n, report.asked, report.conversations, report.records) == (10, 14, 2, 36)
    assert report.turn["recall@10"] > 0.5, "each question names the topic of its turns"
    assert report.session["hit@1"] > 0.5
    assert {name: part["n"] for name, part in report.categories.items()} == dict.fromkeys(
        ["adversarial", "multi-hop", "open-domain", "single-hop", "temporal"], 2
    )
    assert report.groups["without adversarial"]["n"] == 8
    weighed = sum(part["turn"]["mrr"] * part["n"] for part in map(_part, report.categories.values()))
    assert weighed / report.n == pytest.approx(report.turn["mrr"])

    out = json.loads(json.dumps(report.to_json()))
    assert (out["schema"], out["dataset"], out["file"]) == (1, "locomo", "set.json")
    assert set(out["turn"]) == set(out["session"]) == set(METRICS)
    assert set(out["versions"]) == {"python", "numpy", "agentmem"}
    assert "/" not in out["file"]


def _part(value: Any) -> dict[str, Any]:
    assert set(value) == {"n", "turn", "session"}
    return dict(value)


def test_the_table_says_percent_with_one_decimal(locomo_file: Path) -> None:
    report = evaluate(locomo.load(locomo_file), embedder="hash")
    head, turns, sessions = render(replace(report, turn=dict.fromkeys(METRICS, 0.7049))).split("\n\n")
    assert "set.json" in head
    assert "10 questions of 14" in head
    title, everything, *rest = turns.splitlines()
    shown = ["R@5", "R@10", "R@20", "MRR", "N@5", "N@10", "hit@1", "hit@5", "hit@10", "all@5", "all@10"]
    assert title.split() == ["turn", "level,", "%", "n", *shown]
    assert everything.split() == ["all", "10", *["70.5"] * 11]
    assert len({len(line) for line in (title, everything, *rest)}) == 1, "columns line up"
    assert [line.split()[0] for line in rest] == [
        "without",
        "adversarial",
        "multi-hop",
        "open-domain",
        "single-hop",
        "temporal",
    ]
    assert sessions.startswith("session level, %")


def test_engines_are_compared_over_the_same_questions(locomo_file: Path, tmp_path: Path) -> None:
    dataset, engines = locomo.load(locomo_file), ["bm25", "rrf", DEFAULT]
    seen: list[tuple[int, int]] = []
    reports = compare(
        dataset, engines, embedder="hash", dump=tmp_path / "dump", progress=lambda *told: seen.append(told)
    )
    assert [report.engine for report in reports] == engines
    assert seen == [(done, 30) for done in range(1, 31)]
    assert reports[2].turn == evaluate(dataset, embedder="hash").turn
    first = json.loads((tmp_path / "dump").read_text(encoding="utf-8").splitlines()[0])
    assert first["ranked"][0]["parts"].keys() == {"lexical"}  # the first engine's
    head, turns, sessions, parts = comparison(reports).split("\n\n")
    assert "set.json" in head
    for block, lines in ((turns, 4), (sessions, 4), (parts, 7)):
        assert len(block.splitlines()) == lines
        assert len({len(line) for line in block.splitlines()}) == 1, "columns line up"
    assert parts.splitlines()[0].split()[-3:] == engines
    draw(reports, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match="cannot be written"):
        draw(reports, tmp_path / "no" / "plot.png")


def test_the_help_names_every_engine() -> None:
    """It is written out there, because help must not wait for numpy."""
    told = (Path(__file__).parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"Of: {', '.join(PRESETS)} (the default)." in " ".join(told.split())


def test_evidence_that_is_nowhere_scores_zero() -> None:
    """A source that is no message of the chat stays gold, as the BEAM protocol has it."""

    def records(scope: Scope) -> Iterable[Record]:
        return [Record.create("The kite is red.", scope=scope, id="r1", session="s", meta={"n": "1"})]

    questions = (Question("Is the kite red?", "c", ("1",)), Question("Is the kite red?", "c", ("7",)))
    conversation = Conversation("a", records, lambda record: str(record.meta["n"]), questions)
    report = evaluate(Dataset("beam", "x", "0", (conversation,), 2), embedder="hash")
    assert report.turn["hit@1"] == report.session["hit@1"] == 0.5


def test_bad_arguments_fail_before_the_work(locomo_file: Path, tmp_path: Path) -> None:
    dataset = locomo.load(locomo_file)
    with pytest.raises(InvalidInput, match="cannot be written"):
        evaluate(dataset, embedder="hash", dump=tmp_path / "no" / "folder.jsonl")
    with pytest.raises(AgentMemError):
        evaluate(dataset, embedder="no-such-embedder")
    with pytest.raises(InvalidInput, match="no engine 'google'") as refused:
        compare(dataset, ["bm25", "google"], embedder="hash")
    assert "training-free" in refused.value.way_out
