"""`ExactIndex` against an oracle that does the same naively: one dictionary, one sort."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from agentmem.index import Among, Matches
from agentmem_stores.vectors import exact
from agentmem_stores.vectors.exact import ExactIndex

DIMENSION = 4
# Unit vectors whose products are exact in float32 whatever the order of summing, so that equal cosines are equal.
AXES = np.concatenate([np.eye(DIMENSION), -np.eye(DIMENSION)])
CORNERS = np.array([[a, b, c, d] for a in (0.5, -0.5) for b in (0.5, -0.5) for c in (0.5, -0.5) for d in (0.5, -0.5)])
EXACT = np.concatenate([AXES, CORNERS]).astype(np.float32)

positions = st.integers(1, 60)
vectors = st.integers(0, len(EXACT) - 1).map(lambda row: EXACT[row])


def stacked(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(len(rows), DIMENSION)


class Oracle:
    def __init__(self) -> None:
        self.held: dict[int, NDArray[np.float32]] = {}

    def search(self, vector: NDArray[np.float32], k: int, among: Sequence[int] | None) -> Matches:
        asked = sorted(self.held if among is None else set(among) & self.held.keys())
        scores = {position: float(self.held[position] @ vector) for position in asked}
        best = sorted(asked, key=lambda position: (-scores[position], position))[:k]
        return Matches(np.array(best, np.int64), np.array([scores[position] for position in best], np.float32))


class Interleaved(RuleBasedStateMachine):
    """Any order of applies and clears; after each, every search agrees with the oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ExactIndex(DIMENSION)
        self.oracle = Oracle()
        self.cursor = 0

    @rule(put=st.dictionaries(positions, vectors, max_size=12), gone=st.lists(positions, max_size=6))
    def apply(self, put: dict[int, NDArray[np.float32]], gone: list[int]) -> None:
        """Positions come in no order, new ones among them below those that are held."""
        self.cursor += len(put) + len(gone)
        for _ in range(2):  # the second time alters nothing
            self.index.apply(np.array(list(put), np.int64), stacked(list(put.values())), gone, self.cursor)
        self.oracle.held.update(put)
        for position in gone:
            self.oracle.held.pop(position, None)

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.oracle.held.clear()
        self.cursor = 0

    @rule(vector=vectors, k=st.integers(0, 70), among=st.none() | st.sets(positions))
    def search(self, vector: NDArray[np.float32], k: int, among: set[int] | None) -> None:
        asked = None if among is None else Among(np.array(sorted(among), np.int64))
        found = self.index.search(vector, k, asked)
        wanted = self.oracle.search(vector, k, None if among is None else sorted(among))
        assert found.positions.tolist() == wanted.positions.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()
        assert found.positions.dtype == np.int64
        assert found.scores.dtype == np.float32

    @rule(vector=vectors, asked=st.sets(positions))
    def cosines(self, vector: NDArray[np.float32], asked: set[int]) -> None:
        listed = sorted(asked)
        found = self.index.cosines(vector, np.array(listed, np.int64))
        held = self.oracle.held
        wanted = [float(held[position] @ vector) if position in held else np.nan for position in listed]
        np.testing.assert_array_equal(found, np.array(wanted, np.float32))

    @invariant()
    def counts(self) -> None:
        assert len(self.index) == len(self.oracle.held)
        assert self.index.cursor == self.cursor


TestInterleaved = Interleaved.TestCase


@given(
    rows=st.integers(1, 400),
    k=st.integers(1, 50),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_usual_vectors_are_ranked_as_in_double_precision(rows: int, k: int, share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, 24)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    held = np.sort(random.choice(10 * rows, rows, replace=False)).astype(np.int64)
    index = ExactIndex(24)
    shuffled = random.permutation(rows)
    for part in np.array_split(shuffled, 3):
        index.apply(held[part], matrix[part], [], 1)
    vector = matrix[random.integers(rows)]
    among = held[random.random(rows) < share]
    cosines = matrix.astype(np.float64) @ vector.astype(np.float64)
    for asked, scores in ((None, cosines), (Among(among), cosines[np.isin(held, among)])):
        found = index.search(vector, k, asked)
        assert len(found.positions) == len(set(found.positions.tolist())) == min(k, len(scores))
        np.testing.assert_allclose(found.scores, np.sort(scores)[::-1][:k], atol=2e-6)
        np.testing.assert_allclose(found.scores, cosines[np.searchsorted(held, found.positions)], atol=2e-6)


def leaning(random: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Unit vectors of 24 dimensions that differ along few of them, as those of a language model do."""
    matrix = random.normal(size=(rows, 24)) * np.geomspace(1, 1e-4, 24)
    unit: NDArray[np.float32] = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return unit


@given(
    verbs=st.lists(st.tuples(st.sampled_from(["new", "old", "gone", "early"]), st.integers(1, 60)), max_size=6),
    k=st.integers(1, 12),
    share=st.sampled_from([0.3, 0.9, None]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_with_a_sketch_nothing_is_missed_whatever_came_and_went(
    verbs: list[tuple[str, int]], k: int, share: float | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_SKETCH_FROM", 64)
        index, held = ExactIndex(24), dict[int, NDArray[np.float32]]()
        for cursor, (verb, n) in enumerate([("new", 200), *verbs], 1):
            there = list(held)
            match verb:
                case "new":
                    put = 100 + max(there, default=0) + random.permutation(n)
                case "early":  # below all that are held, as a redo brings them back
                    put = max(0, min(there, default=1) - n) + np.arange(min(n, min(there, default=1)))
                case _:
                    put = random.choice(there, min(n, len(there) - 1), replace=False)
            rows = leaning(random, 0 if verb == "gone" else len(put))
            gone = put.tolist() if verb == "gone" else []
            index.apply(put.astype(np.int64)[: len(rows)], rows, gone, cursor)
            held |= dict(zip(put.tolist()[: len(rows)], rows, strict=True))
            for position in gone:
                del held[position]
        assert index._sketch is not None
        positions = np.array(sorted(held), np.int64)
        matrix = np.array([held[position] for position in positions.tolist()])
        [vector] = leaning(random, 1)
        among = positions if share is None else positions[random.random(len(positions)) < share]
        cosines = (matrix.astype(np.float64) @ vector)[np.isin(positions, among)]
        found = index.search(vector, k, None if share is None else Among(among))
        np.testing.assert_allclose(found.scores, np.sort(cosines)[::-1][:k], atol=2e-6)
        np.testing.assert_allclose(found.scores, cosines[np.searchsorted(among, found.positions)], atol=2e-6)


def test_a_sketch_that_does_not_pay_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_SKETCH_FROM", 64)
    random = np.random.default_rng(0)
    for rows, kept in ((leaning(random, 300), True), (random.normal(size=(300, 24)).astype(np.float32), False)):
        index = ExactIndex(24)
        index.apply(np.arange(len(rows)), rows / np.linalg.norm(rows, axis=1, keepdims=True), [], 1)
        assert (index._sketch is not None) == kept


def test_ties_fall_to_the_earliest_however_many_there_are() -> None:
    index = ExactIndex(DIMENSION)
    index.apply(np.arange(1000, 0, -1), np.tile(EXACT[0], (1000, 1)), [], 1)
    assert index.search(EXACT[0], 7).positions.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert index.search(EXACT[0], 3, Among(np.arange(500, 900))).positions.tolist() == [500, 501, 502]


@pytest.mark.parametrize("among", [None, [], [5]])
def test_an_empty_index_finds_nothing(among: list[int] | None) -> None:
    asked = None if among is None else Among(np.array(among, np.int64))
    found = ExactIndex(DIMENSION).search(EXACT[0], 5, asked)
    assert (len(found.positions), len(found.scores)) == (0, 0)


def test_it_starts_and_clears_at_cursor_zero_and_may_be_fed_again() -> None:
    index = ExactIndex(DIMENSION)
    assert (index.cursor, len(index)) == (0, 0)
    index.apply(np.array([3]), EXACT[:1], [], 7)
    assert (index.cursor, len(index)) == (7, 1)
    index.apply(np.empty(0, np.int64), stacked([]), [], 9)
    assert (index.cursor, len(index)) == (9, 1)
    index.clear()
    assert (index.cursor, len(index)) == (0, 0)
    index.apply(np.array([3, 1]), EXACT[:2], [], 2)
    assert index.search(EXACT[0], 1).positions.tolist() == [3]


def test_what_it_is_fed_and_what_it_gives_are_copies() -> None:
    index = ExactIndex(DIMENSION)
    fed = EXACT[:2].copy()
    index.apply(np.array([1, 2]), fed, [], 1)
    fed[:] = 0
    found = index.search(EXACT[0], 2)
    assert found.scores[0] == 1
    found.positions[:] = 99
    found.scores[:] = 99
    assert index.search(EXACT[0], 2).positions.tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(1, DIMENSION + 1), (2, DIMENSION), (0, DIMENSION), (DIMENSION,)])
def test_a_matrix_of_another_shape_is_refused_whole(shape: tuple[int, ...]) -> None:
    index = ExactIndex(DIMENSION)
    with pytest.raises(ValueError, match="dimension"):
        index.apply(np.array([1]), np.zeros(shape, np.float32), [], 5)
    assert (len(index), index.cursor) == (0, 0)


def test_growing_one_by_one_does_not_copy_everything_each_time() -> None:
    """Room is reserved by a factor: 2,000 inserts must not allocate 2,000 matrices."""
    index = ExactIndex(64)
    row = np.ones((1, 64), np.float32)
    tracemalloc.start()
    try:
        for position in range(1, 2_001):
            index.apply(np.array([position]), row, [], position)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == 2_000
    assert peak < 4 * 2_000 * 64 * 4
