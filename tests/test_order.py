"""Which of two texts came first: `locate`, `order`, and SORT on books that are made here."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agentmem.cues import Hit
from agentmem.errors import InvalidInput
from agentmem.memory import Memory
from agentmem.recall.order import before, located
from agentmem.records import Record, Scope
from agentmem_apps.cli.app import program
from agentmem_apps.evaluate.sort import Book, books, evaluate_sort, trials

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
PLACES = ["harbour", "market", "tower", "bridge", "school", "island", "church", "station", "garden", "theatre"]
DEEDS = ["saw", "bought", "lost", "found", "painted", "sold", "hid", "carried", "broke", "mended"]
THINGS = ["lamp", "boat", "letter", "clock", "coat", "horse", "ring", "map", "violin", "basket", "ladder", "mirror"]


def story(words: int, seed: int = 0) -> list[str]:
    chance, told = random.Random(seed), list[str]()
    while len(told) < words:
        day = f"On day {len(told)} Ana {chance.choice(DEEDS)} a {chance.choice(THINGS)} at the {chance.choice(PLACES)}"
        told += day.split()
        told += f"and Ben {chance.choice(DEEDS)} the {chance.choice(THINGS)} at the {chance.choice(PLACES)}.".split()
    return told[:words]


def record(text: str, position: int = 0, hours: int = 0) -> Record:
    made = Record.create(text, scope=Scope("x"), at=NOON + timedelta(hours=hours))
    object.__setattr__(made, "position", position)
    return made


# ── locate and order ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_is_located_by_its_words(memory: Memory) -> None:
    added = memory.add_many(["We went to the harbour, and then to the old market.", "We ate in the market hall."])
    [first, second] = memory.locate("then to the old market")
    assert (first.record, first.start) == (added[0], 6)
    assert first.probability > 0.99
    assert first.probability + second.probability == pytest.approx(1)
    assert memory.locate("before that we went to the harbour")[0].start == -2  # it began before the record did
    assert memory.locate("xyzzy") != []
    assert memory.scope("user:bea").locate("market") == []


def test_what_happened_earlier_comes_first_then_what_was_written_first(memory: Memory) -> None:
    memory.add("The ferry left the harbour at dawn.", at=NOON)
    memory.add("We bought three lamps. Then the clock fell from the tower.", at=NOON - timedelta(days=1))
    memory.add("A letter came from Lisbon.", at=NOON)
    assert memory.order("the clock fell from the tower", "the ferry left the harbour") > 0.99
    assert memory.order("a letter came from Lisbon", "the ferry left the harbour") < 0.01
    assert memory.order("we bought three lamps", "the clock fell from the tower") > 0.99
    assert memory.order("three lamps", "three lamps") == pytest.approx(0.5)
    assert memory.scope("user:bea").order("one", "other") == 0.5


def test_a_pasted_book_is_located_by_its_first_pages(memory: Memory) -> None:
    pages = [f"word{number}" for number in range(1_200)]
    memory.add(" ".join(pages[:300]))
    memory.add(" ".join(pages[300:600]))
    [first, *_] = memory.locate(" ".join(pages) + " xyzzy" * 100_000)
    assert first.start in (0, -300)
    assert memory.locate(" ".join(pages[350:400]))[0].start == 50


@pytest.mark.parametrize("odd", ["", " ", "\0", "\ud800", 5])
def test_a_text_that_is_none_is_refused(memory: Memory, odd: str) -> None:
    memory.add("tea")
    with pytest.raises(InvalidInput):
        memory.locate(odd)
    with pytest.raises(InvalidInput):
        memory.order("tea", odd)


@given(
    texts=st.lists(st.lists(st.sampled_from(["tea", "cake", "boat", "red"]), min_size=1).map(" ".join), min_size=1),
    scores=st.lists(st.floats(-50, 50), min_size=8, max_size=8),
    asked=st.lists(st.text(max_size=12), min_size=2, max_size=2),
)
def test_either_came_first_or_the_other(texts: list[str], scores: list[float], asked: list[str]) -> None:
    hits = [
        Hit(record(text, number, number % 3), score)
        for number, (text, score) in enumerate(zip(texts, scores, strict=False))
    ]
    one, other = located(asked[0], hits[::2]), located(asked[1], hits[1::2])
    for found in (one, other):
        assert not found or sum(place.probability for place in found) == pytest.approx(1)
        assert [place.probability for place in found] == sorted((place.probability for place in found), reverse=True)
    assert 0 <= before(one, other) <= 1 + 1e-9
    assert before(one, other) + before(other, one) == pytest.approx(1)


# ── SORT ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(words=st.integers(30, 20_000), segment=st.integers(1, 60), pairs=st.integers(1, 50), seed=st.integers(0, 99))
def test_pairs_do_not_overlap_and_are_shown_either_way_round(words: int, segment: int, pairs: int, seed: int) -> None:
    book = Book("b", [str(number) for number in range(words)])
    made = trials(book, segment=segment, pairs=pairs, seed=seed)
    assert len(made) == (pairs if words - segment > segment else 0)
    assert made == trials(book, segment=segment, pairs=pairs, seed=seed)
    low = (segment, 1_000, 5_000, 10_000)
    high = (1_000, 5_000, 10_000, 16_000)
    for trial in made:
        one, other = (list(map(int, text.split())) for text in (trial.first, trial.second))
        assert len(one) == len(other) == segment
        assert abs(one[0] - other[0]) == trial.distance >= segment
        assert trial.forward == (one[0] < other[0])
        assert low[trial.range] <= trial.distance <= max(high[trial.range], low[trial.range])
    of_range = {trial.range for trial in made}
    for number in of_range:
        ways = [trial.forward for trial in made if trial.range == number]
        assert abs(2 * sum(ways) - len(ways)) <= 1


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("books")
    for number in range(2):
        words = story(4_000, number)
        lines = "\n".join(" ".join(words[at : at + 12]) for at in range(0, len(words), 12))
        (folder / f"{number}.txt").write_text(lines, encoding="utf-8")
    return folder


def test_a_memory_knows_the_order_and_one_without_time_does_not(shelf: Path) -> None:
    report = evaluate_sort(shelf, pairs=60, embedder="hash")
    assert (report.books, report.words, report.n) == (2, 8_000, 120)
    assert report.accuracy >= 0.98
    assert [n for _, n, _ in report.by_distance] == [60, 60]  # neither book is long enough for more
    assert report.accuracy == pytest.approx(sum(n * share for _, n, share in report.by_distance) / report.n)
    assert 0.35 < report.control < 0.65
    assert 0.4 < report.said_first < 0.6


def test_the_command_prints_a_table_and_json(shelf: Path) -> None:
    run = CliRunner().invoke(program, ["eval", "sort", str(shelf), "--pairs", "8", "--embedder", "hash"])
    assert run.exit_code == 0, run.output
    assert "written in a shuffled order" in run.output
    assert "20 to 1,000" in run.output
    run = CliRunner().invoke(program, ["eval", "sort", str(shelf), "--pairs", "8", "--embedder", "hash", "--json"])
    told = json.loads(run.stdout)
    assert (told["dataset"], told["n"], told["segment"]) == ("sort", 16, 20)
    assert sum(part["n"] for part in told["by_distance"]) == 16


def test_bad_shelves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no books"):
        books(tmp_path)
    with pytest.raises(InvalidInput, match="no books"):
        books(tmp_path / "nowhere")
    (tmp_path / "short.txt").write_text("Once upon a time.", encoding="utf-8")
    with pytest.raises(InvalidInput, match="long enough"):
        evaluate_sort(tmp_path, embedder="hash")
    for segment, pairs in ((0, 1), (1, 0), (-1, 5)):
        with pytest.raises(InvalidInput):
            evaluate_sort(tmp_path, segment=segment, pairs=pairs, embedder="hash")
