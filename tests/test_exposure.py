"""What fills the contexts of a process is counted, told, and kept from filling them all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import InvalidInput, Memory, Record, Scope
from agentmem.cues import Context, Hit
from agentmem.exposure import WINDOW, Exposure, Share
from agentmem.recall.pack import estimate_tokens, pack

MAY = datetime(2024, 5, 1, 9, tzinfo=UTC)


def record(id: str, text: str = "", *, pinned: bool = False) -> Record:
    return Record(id, Scope("test"), text or f"what {id} says", MAY, MAY, pinned=pinned)


def hits(*records: Record) -> list[Hit]:
    return [Hit(one, float(len(records) - n)) for n, one in enumerate(records)]


def context(*records: Record) -> Context:
    return pack(hits(*records), 10_000)


# ── what was shown ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    seen=st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5), max_size=30),
    window=st.integers(1, 12),
)
def test_shares_are_of_the_tokens_of_the_last_contexts(seen: list[list[str]], window: int) -> None:
    exposure = Exposure(window)
    for ids in seen:
        exposure.saw(context(*(record(id, f"{id} " * (3 + ord(id) % 5)) for id in ids)))
    last = seen[-window:]
    tokens = {id: estimate_tokens(f"{id} " * (3 + ord(id) % 5)) for id in "abcdef"}
    total = sum(tokens[id] for ids in last for id in ids)
    expected = {id: sum(id in ids for ids in last) for id in "abcdef"}
    shares = exposure.shares()
    assert {one.record: one.contexts for one in shares} == {id: n for id, n in expected.items() if n}
    for one in shares:
        assert one.share == pytest.approx(tokens[one.record] * one.contexts / total)
    assert [one.share for one in shares] == sorted((one.share for one in shares), reverse=True)
    assert sum(one.share for one in shares) == pytest.approx(1.0 if shares else 0.0)


def test_what_fills_more_than_a_tenth_is_told_once_there_were_ten_contexts() -> None:
    exposure = Exposure()
    long = record("long", "the same old story " * 4)
    for n in range(9):
        exposure.saw(context(long, *(record(f"{n}-{i}") for i in range(8))))
    assert exposure.warnings() == []
    exposure.saw(context(long, *(record(f"9-{i}") for i in range(8))))
    [told] = exposure.warnings()
    assert told.startswith("long fills ")
    assert "of the last 10 contexts and stood in 10 of them" in told
    share = exposure.shares()[0]
    assert f"{share.share:.0%}" in told
    for n in range(WINDOW):  # it grows rare, and is no longer told of
        exposure.saw(context(*(record(f"x{n}-{i}") for i in range(11))))
    assert exposure.warnings() == []
    assert all(one.record != "long" for one in exposure.shares())


def test_a_tenth_itself_is_no_warning() -> None:
    exposure = Exposure()
    for n in range(10):
        exposure.saw(context(record("a", "worda"), *(record(f"{n}{i}", f"word{'bcdefghij'[i]}") for i in range(9))))
    assert exposure.shares()[0] == Share("a", 0.1, 10)
    assert exposure.warnings() == []


def test_a_context_of_nothing_counts_and_fills_nothing() -> None:
    exposure = Exposure(2)
    assert exposure.shares() == []
    exposure.saw(Context(""))
    assert exposure.shares() == []
    exposure.saw(context(record("a")))
    exposure.saw(Context(""))
    assert exposure.shares() == [Share("a", 1.0, 1)]
    exposure.saw(Context(""))
    assert exposure.shares() == []


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_is_at_least_one(window: int) -> None:
    with pytest.raises(InvalidInput, match="window"):
        Exposure(window)


def test_threads_lose_no_context() -> None:
    exposure, window = Exposure(16), 16
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    shown = [context(record("a"), record(f"b{n}")) for n in range(8)]
    start = threading.Barrier(8)

    def show(one: Context) -> None:
        start.wait()
        for _ in range(200):
            exposure.saw(one)
            exposure.shares()

    threads = [threading.Thread(target=show, args=(one,)) for one in shown]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    stood = {one.record: one.contexts for one in exposure.shares()}
    assert stood.pop("a") == window
    assert sum(stood.values()) == window


# ── who gives way ────────────────────────────────────────────────────────────────────────────────────────────────────


def shown(exposure: Exposure, *times: tuple[Record, int]) -> None:
    for one, number in times:
        for _ in range(number):
            exposure.saw(context(one))


def ids(found: Sequence[Hit]) -> list[str]:
    return [hit.record.id for hit in found]


def test_what_was_shown_often_steps_back_and_the_best_never_does() -> None:
    exposure = Exposure()
    a, b, c, d = (record(id) for id in "abcd")
    shown(exposure, (a, 4), (b, 4), (c, 3), (d, 5))
    capped = exposure.capped(hits(a, b, c, d), 3)
    assert ids(capped.hits) == ["a", "c", "b", "d"], "in their order among themselves"
    assert dict(capped.stepped_back) == {
        "b": "gave its place to others, it stood in 4 of the last 16 contexts",
        "d": "gave its place to others, it stood in 5 of the last 16 contexts",
    }
    assert ids(exposure.capped(hits(d, a), 0).hits) == ["d", "a"]
    assert ids(exposure.capped(hits(a, b, c, d), 5).hits) == ["a", "b", "c", "d"], "more than so many, not as many"
    assert exposure.capped([], 0).hits == ()


def test_what_is_pinned_stays() -> None:
    exposure = Exposure()
    best, pinned, other = record("best"), record("pinned", pinned=True), record("other")
    shown(exposure, (pinned, 9), (best, 9))
    assert ids(exposure.capped(hits(best, pinned, other), 0).hits) == ["best", "pinned", "other"]
    assert ids(exposure.capped(hits(other, best, pinned), 0).hits) == ["other", "pinned", "best"]


@given(
    order=st.permutations("abcdef"),
    times=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    most=st.integers(0, 4),
)
def test_nobody_is_lost_and_whoever_did_not_step_back_keeps_the_order(
    order: list[str], times: list[int], most: int
) -> None:
    exposure = Exposure()
    shown(exposure, *((record(id), n) for id, n in zip("abcdef", times, strict=True)))
    capped = exposure.capped(hits(*(record(id) for id in order)), most)
    found = ids(capped.hits)
    assert found[0] == order[0]
    back = [id for id in order[1:] if times["abcdef".index(id)] > most]
    assert found == [id for id in order if id not in back] + back
    assert list(capped.stepped_back) == back


def test_a_number_below_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="most_repeats"):
        Exposure().capped([], -1)


def test_who_gave_way_is_left_out_in_words_unless_there_is_room(tmp_path: Path) -> None:
    """As `Memory.context` is to use it."""
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        held = memory.add_many(
            {"text": f"The {thing} stands in the cellar, wrapped in paper.", "at": MAY + timedelta(days=n)}
            for n, thing in enumerate(("lamp", "rope", "globe", "drum", "kite", "cello"))
        )
        exposure = Exposure()
        cue, room = "what stands in the cellar?", 170

        def asked(tokens: int, most: int) -> Context:
            capped = exposure.capped(memory.recall(cue, 64), most)
            packed = capped.told(pack(capped.hits, tokens))
            exposure.saw(packed)
            return packed

        first = asked(room, 0)
        best = memory.recall(cue, 1)[0].record.id
        assert 1 < len(first.hits) < len(held)
        second = asked(room, 0)
        assert best in ids(second.hits), "a good match is never hidden"
        assert set(ids(second.hits)) & set(ids(first.hits)) == {best}
        told = {line.split(": ")[0]: line for line in second.left_out}
        for hit in first.hits:
            if hit.record.id != best:
                assert "gave its place to others, it stood in 1 of the last 1 contexts" in told[hit.record.id]
        assert set(told) == {one.id for one in held} - set(ids(second.hits)), "each once"
        everything = asked(10_000, 0)
        assert set(ids(everything.hits)) == {one.id for one in held}
        assert everything.left_out == ()
