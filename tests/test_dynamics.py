"""Need, fading, spacing and schedules: against plain loops, closed forms and counted frequencies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from agentmem import InvalidInput, Record, Scope
from agentmem.dynamics import (
    BELOW,
    FLOOR,
    POLICIES,
    SCHEDULES,
    Schedule,
    Spacing,
    Uses,
    fading,
    need,
    needs,
    strengths,
    when_below,
)
from agentmem.recall.corpus import micros

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ago = st.floats(-400, 40_000)  # days; below 0 after now, as when a clock jumped back


def at(days: float) -> datetime:
    return NOW - days * DAY


def looped(days: Sequence[float], decay: float = 0.5) -> float:
    total = 0.0
    for one in days:
        total += (1 + max(0.0, one)) ** -decay
    return total


def record(n: int, strength: float = 1.0, *, pinned: bool = False) -> Record:
    made = Record.create(f"record {n}", scope=Scope("s"), id=f"id-{n}", strength=strength, pinned=pinned)
    object.__setattr__(made, "position", n + 1)
    return made


# ── need ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(ago, max_size=20), st.sampled_from([0.2, 0.5, 1.0, 1.7]))
def test_need_is_the_sum_of_powers_and_a_use_after_now_counts_as_now(days: list[float], decay: float) -> None:
    found = need([at(one) for one in days], NOW, decay=decay)
    assert found == pytest.approx(looped(days, decay), rel=1e-9)
    assert 0 <= found <= len(days)


@given(st.lists(st.lists(ago, max_size=5), min_size=1, max_size=8))
def test_many_records_have_each_their_own(days: list[list[float]]) -> None:
    found = needs(Uses.of([[at(one) for one in uses] for uses in days]), micros(NOW))
    assert found == pytest.approx([looped(uses) for uses in days], rel=1e-9)


@given(st.lists(ago, min_size=1, max_size=10), st.lists(st.floats(0, 5_000), min_size=2, max_size=6))
def test_need_never_rises_while_nothing_is_used(days: list[float], later: list[float]) -> None:
    found = [need([at(one) for one in days], NOW + day * DAY) for day in sorted(later)]
    assert found == sorted(found, reverse=True)


def test_in_other_units_it_is_another_need() -> None:
    uses = [at(3), at(70)]
    assert need(uses, NOW, unit=timedelta(days=7)) == pytest.approx(looped([3 / 7, 10]))
    for bad in ({"unit": timedelta(0)}, {"decay": 0.0}, {"decay": math.nan}):
        with pytest.raises(InvalidInput):
            need(uses, NOW, **bad)
    with pytest.raises(InvalidInput, match="time zone"):
        need([datetime(2024, 1, 1)], NOW)  # noqa: DTZ001  # refused for just that


def summed_up(days: Sequence[float], known: int) -> Uses:
    """The `known` latest by their times, the others by their number."""
    kept, dropped = sorted(days)[:known], sorted(days)[known:]
    whole = Uses.of([[at(one) for one in kept]])
    ends = [micros(at(max(days))), micros(at(max(kept)))]
    return replace(whole, older=np.array([len(dropped)]), span=np.array([ends]))


@given(st.lists(st.floats(0, 2_000), min_size=9, max_size=60), st.integers(1, 8), st.sampled_from([0.3, 0.5, 1.0, 1.5]))
def test_of_uses_known_by_number_each_errs_by_less_than_its_span(days: list[float], known: int, decay: float) -> None:
    uses = summed_up(days, known)
    found = needs(uses, micros(NOW), decay=decay)[0]
    far, near = 1 + max(days), 1 + sorted(days)[known - 1]
    bound = int(uses.older[0]) * (near**-decay - far**-decay)
    assert abs(found - looped(days, decay)) <= bound + 1e-6


def test_uses_spread_evenly_are_summed_up_within_half_a_percent() -> None:
    days = np.linspace(3, 900, 400).tolist()
    assert needs(summed_up(days, 8), micros(NOW))[0] == pytest.approx(looped(days), rel=5e-3)


def test_strength_in_time_has_a_floor_and_a_ceiling() -> None:
    uses = Uses.of([[at(1)], [at(10)], [at(3_600_000 / 365)], [NOW]])
    found = strengths(np.array([1e308, 0.0, 1e-300, 2.0]), uses, micros(NOW))
    assert found.tolist() == [100.0, FLOOR, FLOOR, 2.0]


@given(
    st.lists(st.floats(-30, 3_000), min_size=1, max_size=8),
    st.floats(0.0, 50.0),
    st.floats(0.011, 3.0),
)
def test_when_it_falls_below_is_exact_to_the_microsecond(days: list[float], strength: float, threshold: float) -> None:
    uses = [at(one) for one in days]
    when = when_below(uses, strength, threshold, NOW)

    def standing(moment: datetime) -> float:
        return float(strengths(np.array([strength]), Uses.of([uses]), micros(moment))[0])

    if when is None:
        assert standing(datetime(9999, 12, 30, tzinfo=UTC)) >= threshold
    else:
        assert standing(when) < threshold
        assert when == NOW or standing(when - timedelta(microseconds=1)) >= threshold


def test_when_it_falls_below_by_the_closed_form_of_one_use() -> None:
    when = when_below([NOW], 1.0, BELOW, NOW)
    assert when is not None
    assert when - NOW == pytest.approx((1 / BELOW**2 - 1) * DAY, abs=timedelta(milliseconds=1))
    assert when_below([NOW], 1.0, FLOOR, NOW) is None  # the floor holds
    assert when_below([at(500)], 1.0, BELOW, NOW) == NOW


# ── fading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

HELD = st.lists(
    st.tuples(st.lists(st.floats(0, 900), min_size=1, max_size=4), st.sampled_from([0.1, 1.0, 3.0]), st.booleans()),
    max_size=14,
)
Held = list[tuple[list[float], float, bool]]


def made(held: Held) -> tuple[list[Record], Uses]:
    records = [record(n, strength, pinned=pinned) for n, (_, strength, pinned) in enumerate(held)]
    return records, Uses.of([[at(day) for day in days] for days, _, _ in held])


ORACLES: dict[str, Any] = {
    "need": lambda n, days, strength: max(FLOOR, strength * looped(days)),
    "recency": lambda n, days, strength: -min(days),
    "fifo": lambda n, days, strength: n,
    "importance": lambda n, days, strength: (strength, len(days)),
}


@pytest.mark.parametrize("policy", ORACLES)
@settings(max_examples=40)
@given(held=HELD, keep=st.floats(0, 1))
def test_with_a_share_kept_the_lowest_fade_and_pinned_ones_never(policy: str, held: Held, keep: float) -> None:
    records, uses = made(held)
    found = fading(records, uses, NOW, policy=policy, keep=keep)
    loose = [n for n, (_, _, pinned) in enumerate(held) if not pinned]
    rounded = {n: [round(day * 864e8) for day in held[n][0]] for n in loose}  # to the microsecond, as times are
    order = sorted(loose, key=lambda n: (ORACLES[policy](n, [t / 864e8 for t in rounded[n]], held[n][1]), n))
    fades = min(len(loose), len(held) - round(keep * len(held)))
    near = [ORACLES["need"](n, held[n][0], held[n][1]) for n in order[:fades]] if policy == "need" else []
    if policy == "need":  # two that are alike to the last bit of a float may change places
        assert [one.strength for one in found] == pytest.approx(near, rel=1e-6)
    else:
        assert [one.record.id for one in found] == [f"id-{n}" for n in order[:fades]]
    assert len(found) == fades
    assert all(one.at == NOW and one.why and not one.record.pinned for one in found)


@settings(max_examples=60)
@given(held=HELD, within=st.floats(0, 400), below=st.floats(0.02, 1.5))
def test_without_a_share_what_is_weak_fades_and_what_will_be_is_foretold(
    held: Held, within: float, below: float
) -> None:
    records, uses = made(held)
    found = fading(records, uses, NOW, below=below, within=within * DAY)
    wanted = {}
    for n, (days, strength, pinned) in enumerate(held):
        when = when_below([at(day) for day in days], strength, below, NOW)
        if not pinned and when is not None and when <= NOW + within * DAY:
            wanted[f"id-{n}"] = when
    assert {one.record.id: one.at for one in found} == wanted
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_what_fades_first_stands_first_though_it_is_the_stronger_today() -> None:
    records, uses = made([([99.0], 1.0, False), ([0.0], 0.11, False)])  # 0.1 and falling slowly; 0.11 and fast
    found = fading(records, uses, NOW, within=365 * DAY)
    assert [one.record.id for one in found] == ["id-1", "id-0"]
    assert [(one.at - NOW) / DAY for one in found] == pytest.approx([2.2**2 - 1, 300])
    assert found[0].strength > found[1].strength


def test_by_lot_it_is_the_same_lot_each_time_and_no_order_of_writing() -> None:
    records, uses = made([([float(n)], 1.0, False) for n in range(200)])
    first = [one.record.id for one in fading(records, uses, NOW, policy="uniform", keep=0.5)]
    back = [one.record.id for one in fading(records[::-1], uses, NOW + DAY, policy="uniform", keep=0.5)]
    assert first == back
    assert 25 < sum(int(id[3:]) < 100 for id in first) < 75, "half of them of the first half, or nearly"


def test_it_says_why() -> None:
    records, uses = made([([412.0, 500.0], 1.0, False)])
    [one] = fading(records, uses, NOW, below=0.5)
    assert "used 2 times, last 412 days ago" in one.why
    assert all(fading(records, uses, NOW, policy=policy, keep=0)[0].why for policy in POLICIES)
    assert fading([], Uses.of([]), NOW) == []


def test_what_cannot_be_done_is_refused() -> None:
    records, uses = made([([1.0], 1.0, False)])
    for bad in (
        {"policy": "lottery"},
        {"policy": ["need"]},
        {"policy": "fifo"},
        {"keep": 1.5},
        {"keep": math.nan},
        {"below": math.nan},
    ):
        with pytest.raises(InvalidInput):
            fading(records, uses, NOW, **bad)
    with pytest.raises(InvalidInput, match="time zone"):
        fading(records, uses, datetime(2024, 1, 1))  # noqa: DTZ001  # refused for just that


# ── spacing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_intervals_expand_while_it_is_found_and_are_clipped() -> None:
    spacing = Spacing(first=DAY, growth=3, shrink=0.25, least=DAY / 2, most=30 * DAY)
    intervals = [spacing.first]
    for found in (True, True, True, True, True, False, False, False, False):
        intervals.append(spacing.after(intervals[-1], found=found))
    days = [one / DAY for one in intervals]
    assert days == pytest.approx([1, 3, 9, 27, 30, 30, 7.5, 1.875, 0.5, 0.5])


@given(st.floats(0.1, 400), st.floats(0.1, 3))
def test_retention_is_whole_at_once_and_what_is_due_when_the_interval_is_over(interval: float, decay: float) -> None:
    spacing = Spacing(decay=decay)
    since = np.array([-1, 0, interval / 2, interval, 3 * interval])
    found = spacing.retention(since, np.full(5, interval))
    assert found[[0, 1, 3]] == pytest.approx([1, 1, 0.8])
    assert found[2] > 0.8 > found[4] > 0


def test_spacings_that_are_none_are_refused() -> None:
    for bad in (
        {"first": timedelta(0)},
        {"first": DAY / 2},
        {"most": DAY / 2},
        {"growth": 0.9},
        {"shrink": 0.0},
        {"shrink": 1.1},
        {"decay": 0.0},
        {"growth": math.inf},
    ):
        with pytest.raises(InvalidInput):
            Spacing(**bad)


# ── schedules ────────────────────────────────────────────────────────────────────────────────────────────────────────

AGES = np.arange(1, 13)
LAWS = [
    (Schedule("power", 1.0), AGES**-1.0),
    (Schedule("power", 2.5), AGES**-2.5),
    (Schedule("exponential", 0.4), np.exp(-0.4 * AGES)),
    (SCHEDULES["uniform"], np.ones(12)),
]


@pytest.mark.parametrize(("schedule", "shares"), LAWS)
def test_ages_are_drawn_by_the_law_and_the_budget_is_exact(schedule: Schedule, shares: Any) -> None:
    random = np.random.default_rng(7)
    drawn = schedule.draw(AGES, 20_000, random)
    assert len(drawn) == 20_000
    expected = 20_000 * shares / shares.sum()
    assert chisquare(np.bincount(drawn, minlength=12), expected).pvalue > 1e-3
    assert schedule.chances(AGES) == pytest.approx(shares / shares.sum())
    first = Counter(int(schedule.choose(AGES, 1, random)[0]) for _ in range(20_000))
    assert chisquare([first[i] for i in range(12)], expected).pvalue > 1e-3


def test_without_bound_it_is_the_most_recent_alone() -> None:
    random = np.random.default_rng(3)
    ages = np.array([4, 2, 9, 1, 5])
    assert set(SCHEDULES["recent"].draw(ages, 50, random).tolist()) == {3}
    assert SCHEDULES["recent"].choose(ages, 3, random).tolist() == [3, 1, 0]  # then the youngest of the others


@given(st.lists(st.integers(1, 10_000), max_size=30), st.integers(0, 40), st.sampled_from([*SCHEDULES]))
def test_what_is_chosen_is_as_many_as_there_are_at_most_and_each_once(ages: list[int], budget: int, name: str) -> None:
    chosen = SCHEDULES[name].choose(np.array(ages, np.int64), budget, np.random.default_rng(0)).tolist()
    assert len(chosen) == len(set(chosen)) == min(budget, len(ages))
    assert set(chosen) <= set(range(len(ages)))


def test_schedules_that_are_none_are_refused() -> None:
    for law, b in (("linear", 1.0), ("power", -1.0), ("power", math.nan), ("power", True)):
        with pytest.raises(InvalidInput):
            Schedule(law, b)  # type: ignore[arg-type]
