"""The drawings of the screens: what they say is exact, fits, and is told without colour."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from agentmem import InvalidInput
from agentmem_tui.drawing.ages import age, when
from agentmem_tui.drawing.bars import (
    ORIGINS,
    Legend,
    budget_bar,
    budget_legend,
    score_bar,
    sparkline,
    stacked,
)
from agentmem_tui.drawing.difference import Piece, merged, shown, words_changed
from agentmem_tui.drawing.place_map import Node, drawn
from agentmem_tui.drawing.plain import block, one_line, visible

# ── words that changed ───────────────────────────────────────────────────────────────────────────────────────────────

PROSE = st.text(alphabet="ab .,\n\t漢é'", max_size=40) | st.text(max_size=40)


def _before(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces if piece.kind != "new")


def _after(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces if piece.kind != "gone")


@given(PROSE, PROSE)
def test_the_pieces_are_both_texts_exactly(before: str, after: str) -> None:
    pieces = words_changed(before, after)
    assert _before(pieces) == before
    assert _after(pieces) == after
    assert all(piece.text for piece in pieces)
    kinds = [piece.kind for piece in pieces]
    assert all(one != other for one, other in pairwise(kinds))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("She lives in Paris.", "She lives in Rome.", "She lives in [-Paris-]{+Rome+}."),
        ("the cat sleeps here", "the dog slept here", "the [-cat sleeps-]{+dog slept+} here"),
        ("it costs 3.14 now", "it costs 3.15 now", "it costs [-3.14-]{+3.15+} now"),
        ("near the old crane", "near the crane", "near the [-old -]crane"),
        ("One.", "One.\nTwo.", "One.{+\nTwo.+}"),
        ("I went. One.", "He went. One.\nTwo.", "[-I-]{+He+} went. One.{+\nTwo.+}"),
        ("我住在巴黎很久了", "我住在罗马很久了", "我住在[-巴黎-]{+罗马+}很久了"),
        ("", "new", "{+new+}"),
        ("same", "same", "same"),
    ],
)
def test_words_are_replaced_as_a_reader_would_say_it(before: str, after: str, expected: str) -> None:
    assert shown(words_changed(before, after)).plain == expected


def test_what_changed_is_told_by_attributes_beside_colour() -> None:
    text = shown(words_changed("a [red]old[/red] \x1b[2J", "a new \x1b[2J"))
    assert text.plain == "a [-[red]old[/red]-]{+new+} ␛[2J"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert "strike" in styles["[red]old[/red]"]
    assert "underline" in styles["new"]
    assert "bold" in styles["new"]


def _long(salt: str, lines: int = 4_000) -> str:
    return "".join(
        f"The {salt} {number} went to the market, and {number % 7} of them came back.\n" for number in range(lines)
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_long("ship"), _long("boat")),
        ("a " * 100_000, "b a " * 50_000),
        ("x\n" * 100_000, "y\nx\n" * 60_000),
        (" ".join(f"s{n} u{n}" for n in range(15_000)), " ".join(f"s{n} v{n}" for n in range(15_000))),
        (". " * 100_000, ", . " * 50_000),
        (" " * 200_000, "\n" * 200_000),
        ("ab" * 100_000, "ba" * 100_000),
    ],
)
def test_texts_of_200_kilobytes_that_differ_everywhere_are_compared(before: str, after: str) -> None:
    """None of these ends in hours, as a comparison of all words with all would; and none loses a letter."""
    pieces = words_changed(before, after)
    assert (_before(pieces), _after(pieces)) == (before, after)
    result = merged(before, after, before + "end")
    assert result is None or result.endswith("end")


def test_two_changed_words_of_a_long_text_are_found() -> None:
    before = _long("ship")
    after = before.replace("ship 17 went", "ship 17 sailed").replace("ship 3999 went", "ship 3999 sailed")
    changes = [piece for piece in words_changed(before, after) if piece.kind != "same"]
    assert changes == [Piece("gone", "went"), Piece("new", "sailed")] * 2


@given(PROSE, PROSE)
def test_a_merge_with_one_side_changed_is_that_side(base: str, changed: str) -> None:
    assert merged(base, changed, base) == changed
    assert merged(base, base, changed) == changed
    assert merged(base, changed, changed) == changed


@given(PROSE, PROSE, PROSE)
def test_a_merge_does_not_depend_on_whose_change_it_is(base: str, mine: str, theirs: str) -> None:
    assert merged(base, mine, theirs) == merged(base, theirs, mine)


WORDS = st.lists(st.sampled_from(("cat", "dog", "the", "a", "harbour", "3.14")), min_size=1, max_size=12)


@given(WORDS, st.data())
def test_changes_of_different_words_are_both_in_the_merge(words: list[str], data: st.DataObject) -> None:
    whose = data.draw(st.lists(st.sampled_from("-mt"), min_size=len(words), max_size=len(words)))

    def said(by: str) -> str:  # every word once, so that no other alignment is as good
        return " ".join(
            f"{who}{at}" if who in by else f"{word}{at}"
            for at, (who, word) in enumerate(zip(whose, words, strict=True))
        )

    assert merged(said(""), said("m"), said("t")) == said("mt")


def test_an_insertion_and_a_change_elsewhere_are_both_in() -> None:
    base = "Ana lives in Paris. She has a cat."
    mine = "Ana lives in Rome. She has a cat."
    theirs = "Ana lives in Paris. She has a cat and a dog."
    assert merged(base, mine, theirs) == "Ana lives in Rome. She has a cat and a dog."


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [
        ("in Paris", "in Rome", "in Oslo"),
        ("in Paris", "in Paris now", "in Paris then"),  # both put something at one place
        ("one two three", "one three", "one zwei three"),  # one deletes what the other changes
        ("old", "", "older"),
    ],
)
def test_overlapping_changes_are_not_merged(base: str, mine: str, theirs: str) -> None:
    assert merged(base, mine, theirs) is None


def test_a_long_text_is_merged_by_its_sentences() -> None:
    base = _long("ship")
    mine, theirs = base.replace("ship 17 ", "boat 17 "), base.replace("ship 2000 ", "raft 2000 ")
    assert merged(base, mine, theirs) == mine.replace("ship 2000 ", "raft 2000 ")


# ── bars ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

SIGNALS = st.dictionaries(
    st.text(min_size=1, max_size=12), st.floats(allow_nan=False, allow_infinity=False), max_size=12
)


@given(st.lists(SIGNALS, min_size=1, max_size=4), st.integers(-1, 90))
def test_a_stacked_bar_is_as_wide_as_asked(rows: list[dict[str, float]], width: int) -> None:
    legend = Legend(rows)
    for row in rows:
        assert stacked(row, width, legend).cell_len == max(width, 0)
        assert stacked(row, width).cell_len == max(width, 0)
    for line in legend.text(40, rows[0]).plain.split("\n"):
        assert cell_len(line) <= 40
    letters = [mark.letter for mark in legend.marks.values()]
    assert len(set(letters)) == len(letters)


def test_a_stacked_bar_tells_its_parts_by_letter_and_pattern() -> None:
    row = {"meaning": 0.5, "words": 0.25, "rerank": -0.25}
    legend = Legend([row])
    assert stacked(row, 41, legend).plain == "R▓▓▓▓▓▓▓▓▓│M▉▉▉▉▉▉▉▉▉▉▉▉▉▉▉▉▉▉▉W▒▒▒▒▒▒▒▒▒"
    assert legend.text(80, row).plain == "M▉ meaning +0.50  R▓ rerank -0.25  W▒ words +0.25"
    assert legend.text(20).plain == "M▉ meaning\nR▓ rerank  W▒ words"


def test_bars_of_a_table_share_their_axis_and_their_scale() -> None:
    rows = [{"meaning": 0.6, "rerank": -0.2}, {"meaning": 0.3}, {}]
    legend = Legend(rows)
    bars = [stacked(row, 41, legend).plain for row in rows]
    assert [bar.index("│") for bar in bars] == [10, 10, 10]
    assert [bar.count("M") + bar.count("▉") for bar in bars] == [30, 15, 0]


def test_tiny_parts_are_gathered_as_other() -> None:
    row = {"meaning": 1.0, "words": 0.5, "tiny": 0.01, "small": 0.004}
    legend = Legend([row])
    assert list(legend.marks) == ["meaning", "words"]
    assert legend.others == ("tiny", "small")
    assert "+· other +0.01" in legend.text(80, row).plain
    many = {f"signal {number}": 1.0 for number in range(20)}
    assert len(Legend([many]).marks) == 5
    assert stacked(many, 81).plain.endswith("·")


def test_signals_with_like_names_have_letters_of_their_own() -> None:
    assert [mark.letter for mark in Legend([{"words": 3.0, "wow": 2.0, "w": 1.0}]).marks.values()] == ["W", "O", "A"]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_part_that_is_no_number_is_refused(odd: float) -> None:
    with pytest.raises(InvalidInput):
        stacked({"meaning": odd}, 20)
    with pytest.raises(InvalidInput):
        stacked({"meaning": odd}, 20, Legend([{"meaning": 1.0}]))


@given(
    st.dictionaries(st.sampled_from(list(ORIGINS)), st.integers(0, 2**62)), st.integers(0, 2**62), st.integers(-1, 90)
)
def test_a_budget_bar_is_as_wide_as_asked(tokens: Mapping[str, int], budget: int, width: int) -> None:
    assert budget_bar(tokens, budget, width).cell_len == max(width, 0)
    over = sum(tokens.values()) > budget
    assert ("┃" in budget_bar(tokens, budget, 90).plain) == over
    assert ("over" in budget_legend(tokens, budget).plain) == over
    assert ("free" in budget_legend(tokens, budget).plain) != over


def test_a_budget_bar_says_who_takes_how_much() -> None:
    tokens = {"recalled": 500, "system": 250, "question": 1}
    assert budget_bar(tokens, 1_000, 20).plain == "S▉▉▉▉R▒▒▒▒▒▒▒▒▒·····"
    assert budget_legend(tokens, 1_000).plain.split("\n") == [
        "S▉ system   250   25 %",
        "R▒ recalled 500   50 %",
        "Q╳ question   1   <1 %",
        "·· free     249   25 %",
    ]


def test_a_budget_that_is_overrun_is_shown() -> None:
    tokens = {"system": 500, "recalled": 1_500}
    assert budget_bar(tokens, 1_000, 21).plain == "S▉▉▉▉R▒▒▒▒┃▒▒▒▒▒▒▒▒▒▒"
    assert budget_legend(tokens, 1_000).plain.split("\n")[-1] == "┃! over     1,000  100 %"


def test_an_origin_that_is_not_known_and_tokens_below_none_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no origin"):
        budget_bar({"sytem": 1}, 10, 10)
    with pytest.raises(InvalidInput):
        budget_legend({"system": -1}, 10)


def test_each_origin_is_told_without_colour() -> None:
    assert len({mark.letter for mark in ORIGINS.values()}) == len({mark.pattern for mark in ORIGINS.values()}) == 8


@given(st.floats(), st.integers(-1, 40), st.floats())
def test_a_score_bar_is_as_wide_as_asked(score: float, width: int, most: float) -> None:
    assert score_bar(score, width, most).cell_len == max(width, 0)


@pytest.mark.parametrize(
    ("score", "expected"), [(0, "    "), (0.5, "██  "), (1, "████"), (9, "████"), (0.28125, "█▏  "), (math.nan, "–   ")]
)
def test_a_score_bar_counts_in_eighths(score: float, expected: str) -> None:
    assert score_bar(score, 4).plain == expected


@given(st.lists(st.floats(), max_size=60), st.integers(-1, 40))
def test_a_sparkline_is_as_wide_as_asked(values: list[float], width: int) -> None:
    assert sparkline(values, width).cell_len == max(width, 0)


def test_a_sparkline_shows_what_is_no_number_too() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8).plain == "▁▂▃▄▅▆▇█"
    assert sparkline([1, math.nan, 3, math.inf, -math.inf], 6).plain == "▁·█↑↓ "
    assert sparkline([2, 2], 2).plain == "▄▄"
    assert sparkline([0, 9, 1, 0], 2).plain == "█▁"
    assert sparkline([-1.7e308, 1.7e308], 2).plain == "▁█"


# ── ages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

NOW: Final = datetime(2026, 5, 20, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "now"),
        (0.9, "now"),
        (3, "3 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (7_200, "2 h"),
        (86_399, "23 h"),
        (5 * 86_400, "5 d"),
        (59 * 86_400, "59 d"),
        (100 * 86_400, "3 mo"),
        (800 * 86_400, "2 y"),
        (-7_300, "in 2 h"),
    ],
)
def test_how_long_ago_in_few_letters(seconds: float, expected: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == expected


MOMENTS = st.datetimes(
    timezones=st.just(UTC) | st.integers(-1_439, 1_439).map(lambda m: timezone(timedelta(minutes=m)))
)


@given(MOMENTS, MOMENTS)
def test_every_moment_has_a_short_age_and_a_short_date(at: datetime, now: datetime) -> None:
    try:
        at.astimezone(UTC), now.astimezone(UTC)
    except OverflowError:
        with pytest.raises(InvalidInput, match="out of range"):
            age(at, now)
        return
    assert len(age(at, now).removeprefix("in ")) <= 6
    assert 5 <= len(when(at, now)) <= 12


def test_when_says_no_more_than_is_needed_and_in_the_zone_of_now() -> None:
    assert when(NOW - timedelta(hours=2), NOW) == "11:30"
    assert when(NOW - timedelta(days=17), NOW) == "3 May 13:30"
    assert when(NOW - timedelta(days=300), NOW) == "2025-07-24"
    elsewhere = NOW.astimezone(timezone(timedelta(hours=11)))  # half past midnight of the next day
    assert when(NOW - timedelta(hours=2), elsewhere) == "20 May 22:30"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        age(datetime(2026, 5, 20), NOW)  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="no time zone"):
        when(NOW, datetime(2026, 5, 20))  # noqa: DTZ001


# ── untrusted text ───────────────────────────────────────────────────────────────────────────────────────────────────

WILD = st.text(
    st.characters()
    | st.sampled_from("[]/\\@=#$'\"()b \n\r\t\x1b\x9b\x07\u202e\u2066\u200d\ufe0f漢é👍🏽")
    | st.characters(categories=["Cs"])
)
HARMFUL: Final = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))}


@given(WILD, st.integers(-1, 30))
def test_a_line_fits_and_holds_nothing_that_a_terminal_obeys(text: str, width: int) -> None:
    line = one_line(text, width)
    assert cell_len(line) <= max(width, 0)
    assert not HARMFUL & set(line)
    line.encode()


@given(WILD)
def test_a_line_that_is_read_as_markup_says_the_same(text: str) -> None:
    content = pytest.importorskip("textual.content")
    line = one_line(text, 40)
    assert content.Content.from_markup(line).plain == line
    assert Text.from_markup(line, emoji=False).plain == line


def test_a_line_is_cut_where_it_is_too_wide() -> None:
    assert one_line("harbour", 7) == "harbour"
    assert one_line("harbours", 7) == "harbou…"
    assert one_line("漢字漢字", 8) == "漢字漢字"
    assert one_line("漢字漢字", 6) == "漢字…"
    assert one_line("one\n two\t\x1b[31mthree\x1b[0m \u202efour", 40) == "one two three four"
    assert one_line("long " * 2_000_000, 9) == "long lon…"
    assert one_line("word", 0) == ""


@given(WILD)
def test_a_block_keeps_its_lines_and_shows_every_other_control(text: str) -> None:
    shown_ = block(text)
    assert shown_.plain == visible(text)
    assert shown_.spans == []
    assert not (HARMFUL - {"\n"}) & set(shown_.plain)
    assert shown_.plain.count("\n") == text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def test_a_block_names_what_cannot_be_seen() -> None:
    assert block("a\x1b[2J\x07\n[bold]b[/bold]\u202e\x7f\x9b").plain == "a␛[2J␇\n[bold]b[/bold]⟨202E⟩␡⟨9B⟩"


def test_drawings_reach_the_screen_as_they_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an app too, where a str would be read as markup and colours be taken away."""
    pytest.importorskip("textual")
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    monkeypatch.setenv("NO_COLOR", "1")
    row = {"meaning": 0.5, "[red]": 0.25, "rerank": -0.25}
    texts = [
        stacked(row, 40),
        Legend([row]).text(40, row),
        budget_bar({"system": 30, "recalled": 100}, 100, 40),
        sparkline([1, math.nan, 3], 40),
        shown(words_changed("[b]old[/b]", "[b]new[/b]")),
        drawn([Node("[b]a", 0, 0, 1), Node("漢字", 1, 0, 1)], [("[b]a", "漢字")], 40, 1).canvas,
        block("[red]no[/red]\x1b"),
    ]

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            for text in texts:
                yield Static(text)

    async def look() -> list[str]:
        app = Shown()
        async with app.run_test(size=(60, 30)) as pilot:
            await pilot.pause()
            return [
                "\n".join(widget.render_line(line).text.rstrip() for line in range(widget.size.height))
                for widget in app.query(Static)
            ]

    expected = ["\n".join(line.rstrip() for line in text.plain.split("\n")) for text in texts]
    assert asyncio.run(look()) == expected
