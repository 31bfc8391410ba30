"""Resonance against its formula: half-life, bounds, what counts as one recall; spreading against dense matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem_stores.resonance import (
    DEGREE,
    ETA,
    HALF_LIFE,
    LEAST,
    MOST,
    WINDOW,
    Edges,
    Note,
    Resonance,
    spread,
)

DAY = 86_400_000_000  # microseconds
times = st.integers(0, 400 * DAY)


def notes_of(said: Sequence[tuple[int, int, bool, int]]) -> list[Note]:
    """(record, cue, useful, time) → notes, each of a step of its own."""
    return [Note(n, n, at, node, useful, cue) for n, (node, cue, useful, at) in enumerate(said, 1)]


# ── a tie ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(by=st.floats(LEAST, 2.0), at=times, later=st.integers(0, 300 * DAY))
def test_a_tie_halves_in_thirty_days_exactly(by: float, at: int, later: int) -> None:
    resonance = Resonance()
    resonance.change(1, 2, by, at)
    wanted = min(MOST, by) * 0.5 ** (later / (30 * DAY))
    if abs(wanted - LEAST) > 1e-9:
        assert resonance.weight(2, 1, at + later) == pytest.approx(wanted if wanted > LEAST else 0.0, abs=1e-9)
        assert resonance.of(1, at + later) == ({2: resonance.weight(1, 2, at + later)} if wanted > LEAST else {})
    assert HALF_LIFE == 30 * DAY


@given(steps=st.lists(st.tuples(st.floats(-0.4, 0.6), times), max_size=30), now=times)
def test_a_tie_is_what_its_formula_says(steps: list[tuple[float, int]], now: int) -> None:
    """Also where a clock was set back: then no time went by."""
    resonance = Resonance()
    weight, since = 0.0, 0
    for by, at in steps:
        resonance.change(3, 7, by, at)
        faded = weight * 0.5 ** (max(0, at - since) / HALF_LIFE)
        weight, since = min(1.0, max(0.0, (faded if faded >= LEAST else 0.0) + by)), at
        weight = weight if weight >= LEAST else 0.0
        if abs(weight - LEAST) < 1e-9 or abs(faded - LEAST) < 1e-9:
            return  # the last digit decides whether it is dropped
    faded = weight * 0.5 ** (max(0, now - since) / HALF_LIFE)
    if abs(faded - LEAST) > 1e-9:
        assert resonance.weight(3, 7, now) == pytest.approx(faded if faded > LEAST else 0.0, abs=1e-9)


def test_a_hundred_thousand_changes_stay_within_their_bounds() -> None:
    random = np.random.default_rng(3)
    number = 100_000
    pairs = random.integers(1, 120, (number, 2)).tolist()
    changes = random.choice([ETA, ETA, ETA, -ETA], number).tolist()
    clock = np.cumsum(random.integers(-DAY // 40, DAY // 20, number)).tolist()  # it is set back every third time
    resonance = Resonance()
    degrees = [0]
    for n, ((one, other), by, at) in enumerate(zip(pairs, changes, clock, strict=True)):
        resonance.change(one, other, by, at)
        if n % 100 == 0:
            degrees += [len(resonance.of(one, at)), len(resonance.of(other, at))]
    ties = list(resonance.ties(clock[-1]))
    assert max(degrees) == DEGREE, "the bound was met, and held"
    assert all(LEAST <= weight <= MOST for _, _, weight in ties)
    assert all(one < other for one, other, _ in ties), "none with itself"
    held = {node: resonance.of(node, clock[-1]) for node in range(1, 120)}
    assert all(len(of) <= DEGREE for of in held.values())
    assert {(a, b): w for a, b, w in ties} == {(a, b): w for a, of in held.items() for b, w in of.items() if a < b}
    assert all(held[b][a] == w for a, b, w in ties), "the same from both ends"
    assert len(resonance) <= 120 * DEGREE // 2


def test_of_too_many_ties_the_weakest_goes() -> None:
    resonance = Resonance()
    for other in range(2, DEGREE + 2):
        resonance.change(1, other, 0.5, 0)
    resonance.change(1, 9, -0.2, 0)
    resonance.change(1, 100, 0.4, 0)
    assert set(resonance.of(1, 0)) == {*range(2, DEGREE + 2), 100} - {9}
    assert 9 not in resonance, "nor is it known from its other end"
    resonance.change(1, 101, 0.1, 0)
    assert (101 in resonance, resonance.weight(1, 101, 0)) == (False, 0.0), "be it the one that just came"


def test_a_tie_that_has_faded_away_is_dropped_when_it_is_touched() -> None:
    resonance = Resonance()
    resonance.change(1, 2, 0.25, 0)
    resonance.change(1, 2, -0.1, 400 * DAY)
    assert (len(resonance), 1 in resonance) == (0, False)


# ── what is one recall ───────────────────────────────────────────────────────────────────────────────────────────


def pairs_of(notes: Sequence[Note]) -> list[tuple[int, int, float, int]]:
    """Which ties are changed, by the words of the description: for each note, of each other memory the last note of the
    same recall among the last 64; but that it helped does not count where it was spoken of in that recall since."""
    found = []
    for i, note in enumerate(notes):
        before = [
            one
            for one in notes[max(0, i - WINDOW) : i]
            if one.step == note.step or (note.cue != 0 and one.cue == note.cue)
        ]
        for other in sorted({one.node for one in before} - {note.node}):
            last = max(one.seq for one in before if one.node == other)
            if not note.useful or not any(one.node == note.node and one.seq > last for one in before):
                useful = note.useful and next(one.useful for one in before if one.seq == last)
                found.append((note.node, other, ETA if useful else -ETA, note.at))
    return found


said = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 2), st.booleans(), st.integers(0, 60 * DAY)), min_size=2, max_size=90
)


@settings(max_examples=60)
@given(said=said, joined=st.booleans())
def test_notes_of_one_recall_tie_what_they_are_of(said: list[tuple[int, int, bool, int]], joined: bool) -> None:
    notes = notes_of(said)
    if joined:
        notes = [note._replace(step=note.seq // 3) for note in notes]
    wanted = Resonance()
    for change in pairs_of(notes):
        wanted.change(*change)
    found = Resonance(notes)
    for one, other in itertools.combinations(range(1, 6), 2):
        assert found.weight(one, other, 60 * DAY) == pytest.approx(wanted.weight(one, other, 60 * DAY), abs=1e-9)


def test_what_was_said_without_a_cue_is_of_no_recall() -> None:
    assert len(Resonance(notes_of([(1, 0, True, 0), (2, 0, True, 0)]))) == 0
    assert len(Resonance(notes_of([(1, 5, True, 0), (2, 5, True, 0)]))) == 1


def test_what_was_said_long_before_is_of_another_recall() -> None:
    between = [(10 + n, 0, True, 0) for n in range(WINDOW - 1)]
    assert len(Resonance(notes_of([(1, 5, True, 0), *between, (2, 5, True, 0)]))) == 1
    assert len(Resonance(notes_of([(1, 5, True, 0), *between, (99, 0, True, 0), (2, 5, True, 0)]))) == 0


def test_saying_it_again_of_one_does_not_count_for_the_other() -> None:
    once = Resonance(notes_of([(1, 5, True, 0), (2, 5, True, 0)]))
    again = Resonance(notes_of([(1, 5, True, 0), (2, 5, True, 0), *[(2, 5, True, 0)] * 10]))
    assert again.weight(1, 2, 0) == once.weight(1, 2, 0) == ETA


# ── spreading ────────────────────────────────────────────────────────────────────────────────────────────────────


class Dense:
    """A graph as a matrix whose row is where a node's activation goes."""

    def __init__(self, shares: NDArray[np.float64]) -> None:
        self.shares = shares
        self.followed: list[int] = []

    def degrees(self, nodes: NDArray[np.int64]) -> NDArray[np.intp]:
        found: NDArray[np.intp] = (self.shares[nodes] > 0).sum(axis=1)
        return found

    def edges(self, nodes: NDArray[np.int64]) -> Edges:
        owners, targets = np.nonzero(self.shares[nodes])
        self.followed.append(len(owners))
        return Edges(owners, targets.astype(np.int64), self.shares[nodes][owners, targets])


def random_graph(random: np.random.Generator, size: int) -> NDArray[np.float64]:
    shares = random.random((size, size)) * (random.random((size, size)) < 0.3)
    found: NDArray[np.float64] = shares / np.maximum(1.0, shares.sum(axis=1, keepdims=True))
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32), size=st.integers(1, 25), steps=st.integers(0, 6), least=st.sampled_from([0, 1e-3, 0.02])
)
def test_activation_is_that_of_dense_matrices(seed: int, size: int, steps: int, least: float) -> None:
    random = np.random.default_rng(seed)
    graph = Dense(random_graph(random, size))
    seeds = random.permutation(size)[: max(1, size // 3)].astype(np.int64)
    values = random.random(len(seeds)) / len(seeds)
    start = np.zeros(size)
    start[seeds] = values
    wanted = start
    degrees = np.maximum((graph.shares > 0).sum(axis=1), 1)
    for _ in range(steps):
        going = np.where(wanted >= least * degrees, wanted, 0.0)
        wanted = 0.4 * start + 0.6 * graph.shares.T @ going
    reached, active = spread(graph, seeds, values, through=0.6, steps=steps, least=least)
    found = np.zeros(size)
    found[reached] = active
    assert np.allclose(found, wanted, atol=1e-12)
    assert (np.diff(reached) > 0).all()
    assert active.sum() <= start.sum() + 1e-12, "nothing comes from nowhere"


@given(seed=st.integers(0, 2**32), least=st.floats(1e-3, 0.1))
def test_a_step_follows_few_edges_however_many_there_are(seed: int, least: float) -> None:
    random = np.random.default_rng(seed)
    graph = Dense(random_graph(random, 200))
    spread(graph, np.array([5, 9], np.int64), np.array([0.5, 0.5]), least=least)
    assert max(graph.followed) <= 1 / least + 1e-9


def test_nothing_spreads_from_nothing() -> None:
    reached, active = spread(Dense(np.eye(3)), np.empty(0, np.int64), np.empty(0))
    assert (len(reached), len(active)) == (0, 0)
    assert math.isclose(float(active.sum()), 0.0)
