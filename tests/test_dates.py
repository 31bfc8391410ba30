"""Dates that a cue names: which times they are, and that they raise what happened then and hide nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Cue, Memory
from agentmem.recall.dates import spans_in

NOW = datetime(2023, 10, 20, 12, 30, tzinfo=UTC)  # a Friday
HELD = (datetime(2022, 3, 1, tzinfo=UTC), NOW)
OPEN = "0001-01-01", "9999-12-31"


@pytest.mark.parametrize(
    ("cue", "spans"),
    [
        ("What did we do on 3 June, 2023?", [("2023-06-03", "2023-06-04")]),
        ("the 3rd of June 2023", [("2023-06-03", "2023-06-04")]),
        ("on December 1,2022", [("2022-12-01", "2022-12-02")]),
        ("2023-07-15 and 10/07/2023", [("2023-07-15", "2023-07-16"), ("2023-07-10", "2023-07-11")]),
        ("which trip in July 2022?", [("2022-07-01", "2022-08-01")]),
        ("in December of 2022", [("2022-12-01", "2023-01-01")]),
        ("where did I live in 2021?", [("2021-01-01", "2022-01-01")]),
        ("last week", [("2023-10-09", "2023-10-16")]),
        ("two weeks ago", [("2023-10-02", "2023-10-09")]),
        ("Yesterday, or today?", [("2023-10-19", "2023-10-20"), ("2023-10-20", "2023-10-21")]),
        ("last Friday", [("2023-10-13", "2023-10-14")]),
        ("last month", [("2023-09-01", "2023-10-01")]),
        ("last year", [("2022-01-01", "2023-01-01")]),
        ("last May", [("2023-05-01", "2023-06-01")]),
        ("last december", [("2022-12-01", "2023-01-01")]),
        ("next May", [("2024-05-01", "2024-06-01")]),
        ("next november", [("2023-11-01", "2023-12-01")]),
        ("this october", [("2023-10-01", "2023-11-01")]),
        ("camping in July", [("2022-07-01", "2022-08-01"), ("2023-07-01", "2023-08-01")]),
        ("before 2022-05-01", [(OPEN[0], "2022-05-01")]),
        ("since July 2023", [("2023-08-01", OPEN[1])]),
        ("until last week", [(OPEN[0], "2023-10-09")]),
        ("the week after 3 June 2023", [("2023-06-06", "2023-06-13")]),
        ("two days before 2023-07-15, a Saturday", [("2023-07-13", "2023-07-14")]),
        ("the day after tomorrow", [("2023-10-22", "2023-10-23")]),
        ("a month after the wedding", []),  # nobody knows when that was
        ("what did May say?", []),
        ("may I ask how many apples are in 12 bags?", []),
        ("the march through the park", []),
        ("on 31 June 2023", []),
        ("room 2023-A, version 1.2.2023.4", []),
        ("", []),
    ],
)
def test_a_phrase_is_a_time(cue: str, spans: list[tuple[str, str]]) -> None:
    found = spans_in(cue, NOW, HELD)
    assert [(f"{span.start:%Y-%m-%d}".zfill(10), f"{span.end:%Y-%m-%d}") for span in found] == spans
    assert all(span.phrase in cue for span in found)


@given(text=st.text(max_size=60) | st.from_regex(r"(last|in|on|[0-9]{1,4}|May|ago|[-/. ]){1,9}", fullmatch=True))
def test_any_text_is_read(text: str) -> None:
    for now in (NOW, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)):
        for span in spans_in(text, now, (now, now)):
            assert span.start < span.end


def test_a_long_text_is_read_in_bounded_time() -> None:
    assert len(spans_in("on 3 June 2023 " * 100_000, NOW, HELD)) == 8


def test_what_happened_then_is_raised_and_nothing_is_hidden(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        days = [datetime(2023, month, 3, 9, tzinfo=UTC) for month in (5, 6, 7)]
        may, june, july = memory.add_many([{"text": "We sailed to the island.", "at": day} for day in days])
        hits = memory.recall("sailing in June 2023")
        assert [hits[0].record, len(hits)] == [june, 3]
        assert "when: June 2023" not in hits[1].verdict
        assert "when: June 2023" in hits[0].verdict
        assert {hit.record.id: hit.parts["date"] for hit in hits}[june.id] == max(hit.parts["date"] for hit in hits)
        asked = Cue("sailing last month", now=days[2] + timedelta(days=5))
        assert memory.recall(asked, 1)[0].record == june
        assert memory.recall(Cue("sailing last month", now=days[1] + timedelta(days=1)), 1)[0].record == may
        near = {hit.record.id: hit.parts["date"] for hit in memory.recall("sailing on 1 July 2023")}
        assert near[july.id] > near[june.id] > near[may.id] > 0


def test_an_event_dates_what_was_so_long_before_or_after_it(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        trip = datetime(2023, 5, 3, 9, tzinfo=UTC)
        memory.add("Our trip to Lisbon begins today!", at=trip)
        for days in (-30, 1, 14, 60):
            memory.add("We met the lawyer about the lease.", at=trip + timedelta(days=days))
        memory.add_many([{"text": f"Note {n} about the garden.", "at": trip} for n in range(5)])
        for asked, days in (
            ("Whom did we meet two weeks after the trip to Lisbon?", 14),
            ("Whom did we meet the day after our Lisbon trip?", 1),
            ("a month before the trip to Lisbon, whom did we meet?", -30),
            ("whom did we meet 2 months after our trip to Lisbon", 60),
        ):
            for engine in ("learned", "training-free"):
                hits = memory.recall(asked, 20, engine=engine)
                met = [hit for hit in hits if "lawyer" in hit.record.text]
                assert met[0].record.at == trip + timedelta(days=days), (asked, engine)
                assert "when: " in met[0].verdict
                assert len(hits) == 10, "nothing is hidden"
        unknown = memory.recall("whom did we meet two weeks after the elephant parade?", 20)
        assert not any("when: " in hit.verdict for hit in unknown)
        named = memory.recall("two weeks after 3 May 2023 " * 50_000, 3)  # bounded
        assert named
