"""Two levels of attention: what the weights are, and that nothing is looked at which was not chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem.recall.levels import attend, two_stage

scores = st.lists(st.floats(-3, 3), min_size=1, max_size=24)
temperatures = st.floats(0.1, 4)


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The textbook's, as an oracle."""
    raised: NDArray[np.float64] = np.exp(values - values.max())
    total: NDArray[np.float64] = raised / raised.sum()
    return total


@given(scores=scores, k=st.integers(1, 30), temperature=temperatures)
def test_the_best_are_chosen_first_and_weighed_among_themselves(
    scores: list[float], k: int, temperature: float
) -> None:
    found = attend(scores, k, temperature=temperature)
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    assert found.indices.tolist() == best, "ties go to the lower index"
    assert found.weights == pytest.approx(softmax(np.array(scores)[best] / temperature))
    # A softmax over all of them, of which the best are kept, would give these less than all.
    assert found.weights.sum() == pytest.approx(1)


@given(scores=scores, worse=st.lists(st.floats(-9, -3.5), max_size=20), k=st.integers(1, 6))
def test_what_is_not_chosen_takes_no_weight(scores: list[float], worse: list[float], k: int) -> None:
    alone, among = attend(scores, min(k, len(scores))), attend([*scores, *worse], min(k, len(scores)))
    assert alone.indices.tolist() == among.indices.tolist()
    assert alone.logs.tolist() == among.logs.tolist()


@given(scores=scores, k=st.integers(1, 30), temperature=temperatures)
def test_chunks_of_one_item_that_are_all_chosen_are_plain_attention(
    scores: list[float], k: int, temperature: float
) -> None:
    values = np.array(scores)
    read = two_stage(
        values, np.arange(len(values) + 1), lambda rows: values[rows], len(values), temperature=temperature
    )
    flat = softmax(values / temperature)
    assert sorted(read.rows.tolist()) == list(range(len(values)))
    assert read.weights == pytest.approx(flat[read.rows])


@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=9), data=st.data(), temperature=temperatures)
def test_a_chunk_of_like_items_weighs_as_its_items_would_in_one_softmax(
    sizes: list[int], data: st.DataObject, temperature: float
) -> None:
    chunk = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=len(sizes), max_size=len(sizes))))
    items = np.repeat(chunk, sizes)
    read = two_stage(chunk, np.cumsum([0, *sizes]), lambda rows: items[rows], len(sizes), temperature=temperature)
    assert sorted(read.rows.tolist()) == list(range(len(items)))
    if len(items):
        assert read.weights == pytest.approx(softmax(items / temperature)[read.rows])


@given(sizes=st.lists(st.integers(1, 6), min_size=3, max_size=9), k=st.integers(1, 2), seed=st.integers(0, 999))
def test_an_item_weighs_the_product_of_its_chunk_and_its_place_in_it(sizes: list[int], k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes])
    chunk, items = rng.normal(size=len(sizes)), rng.normal(size=starts[-1])
    read = two_stage(chunk, starts, lambda rows: items[rows], k)
    best = np.argsort(-chunk, kind="stable")[:k]
    # HCAM for chunks of unlike sizes, written out: each counts by how much it holds.
    outer = softmax(chunk[best] + np.log(np.array(sizes)[best]))
    expected = {
        row: weight * inner
        for j, weight in zip(best, outer, strict=True)
        for row, inner in zip(range(starts[j], starts[j + 1]), softmax(items[starts[j] : starts[j + 1]]), strict=True)
    }
    assert dict(zip(read.rows.tolist(), read.weights, strict=True)) == pytest.approx(expected)
    assert all(starts[j] <= row < starts[j + 1] for row, j in zip(read.rows, read.chunks, strict=True))
    assert read.weights.sum() == pytest.approx(1)


@given(sizes=st.lists(st.integers(1, 6), min_size=3, max_size=9), k=st.integers(1, 2), seed=st.integers(0, 999))
def test_content_that_was_not_chosen_changes_nothing_and_content_that_was_does(
    sizes: list[int], k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes])
    chunk, items = rng.normal(size=len(sizes)), rng.normal(size=starts[-1])
    before = two_stage(chunk, starts, lambda rows: items[rows], k)
    other = np.full_like(items, 1e300)  # which any softmax that saw it would give all
    other[before.rows] = items[before.rows]
    after = two_stage(chunk, starts, lambda rows: other[rows], k)
    assert before.rows.tolist() == after.rows.tolist()
    assert before.weights.tolist() == after.weights.tolist()
    [widest] = [max(np.unique(before.chunks), key=lambda j: sizes[j])]
    if sizes[widest] > 1:
        items[starts[widest]] += 1
        changed = two_stage(chunk, starts, lambda rows: items[rows], k)
        assert changed.weights.tolist() != before.weights.tolist()


@pytest.mark.parametrize("chunks", [10, 1_000, 20_000])
def test_the_second_stage_looks_at_as_much_however_many_chunks_there_are(chunks: int) -> None:
    rng = np.random.default_rng(chunks)
    asked: list[int] = []

    def scored(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        asked.append(len(rows))
        return np.zeros(len(rows))

    two_stage(rng.normal(size=chunks), np.arange(chunks + 1) * 32, scored, 4)
    assert asked == [4 * 32]


def test_items_have_no_order_and_chunks_have_none() -> None:
    rng = np.random.default_rng(7)
    chunk, items = rng.normal(size=5), rng.normal(size=20)
    read = two_stage(chunk, np.arange(6) * 4, lambda rows: items[rows], 3)
    inside, between = rng.permutation(4), rng.permutation(5)
    moved = (between[:, None] * 4 + inside).ravel()
    again = two_stage(chunk[between], np.arange(6) * 4, lambda rows: items[moved][rows], 3)
    weights = dict(zip(read.rows.tolist(), read.weights.tolist(), strict=True))
    assert dict(zip(moved[again.rows].tolist(), again.weights.tolist(), strict=True)) == pytest.approx(weights)


def test_what_is_masked_or_empty_is_never_chosen() -> None:
    def never(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        raise AssertionError("there is nothing to score")

    assert attend([], 3).weights.tolist() == []
    assert attend([-np.inf, -np.inf], 3).indices.tolist() == []
    assert attend([1.0, 2.0], 0).indices.tolist() == []
    assert len(two_stage([], [0], never, 4).rows) == 0
    assert len(two_stage([-np.inf, 5.0], [0, 3, 3], never, 4).weights) == 0
    read = two_stage([9.0, 1.0, -np.inf, 0.0], [0, 0, 2, 4, 5], lambda rows: np.zeros(len(rows)), 4)
    assert read.rows.tolist() == [0, 1, 4], "the empty one holds nothing, and the masked one is not looked at"
    assert read.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("bad", [[1.0, np.nan], [np.inf], [[1.0]], ["a"], None])
def test_scores_that_are_none_are_refused(bad: object) -> None:
    with pytest.raises(InvalidInput):
        attend(bad, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [-1, 1.5, True, None])
def test_how_many_must_be_a_number(k: object) -> None:
    with pytest.raises(InvalidInput, match="k"):
        attend([1.0], k)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, "warm"])
def test_a_temperature_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(InvalidInput, match="temperature"):
        attend([1.0], 1, temperature=temperature)


@pytest.mark.parametrize("starts", [[0], [0, 2, 1], [[0, 1], [1, 2]], [0, 1]])
def test_chunks_that_do_not_fit_their_items_are_refused(starts: list[int]) -> None:
    with pytest.raises(InvalidInput, match="starts"):
        two_stage([1.0, 2.0], starts, lambda rows: np.zeros(len(rows)), 1)


@pytest.mark.parametrize("answer", [[0.0], [0.0, np.nan], [0.0, -np.inf], [[0.0, 0.0]]])
def test_item_scores_that_are_none_are_refused(answer: list[float]) -> None:
    with pytest.raises(InvalidInput, match="item scores"):
        two_stage([1.0], [0, 2], lambda rows: answer, 1)


def test_counts_that_are_none_are_refused() -> None:
    for counts in ([1.0], [0.0, 1.0], [-1.0, 1.0]):
        with pytest.raises(InvalidInput, match="counts"):
            attend([1.0, 2.0], 2, counts=counts)
    assert attend([-np.inf, 2.0], 2, counts=[0, 3]).weights.tolist() == [1.0]
