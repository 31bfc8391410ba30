"""Random hyperplanes: the laws of the hash, how much it finds, and the bookkeeping of the buckets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem_stores.lsh import Buckets, Hyperplanes
from benchmarks.stores.thoughts import hashed_recall

seeds = st.integers(0, 2**32)


def drawn(seed: int, rows: int, dimension: int = 24) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


@given(seed=seeds, power=st.integers(-20, 20), pairs=st.integers(1, 40), tables=st.integers(1, 5))
@settings(max_examples=60)
def test_scale_changes_nothing_and_the_opposite_lies_half_way_round(
    seed: int, power: int, pairs: int, tables: int
) -> None:
    planes = Hyperplanes(24, buckets=2 * pairs, tables=tables, probes=1, seed=seed)
    again = Hyperplanes(24, buckets=2 * pairs, tables=tables, probes=1, seed=seed)
    rows = drawn(seed, 30)
    codes = planes.hash(rows)
    assert codes.shape == (30, tables)
    assert ((codes >= 0) & (codes < 2 * pairs)).all()
    assert (codes == again.hash(rows)).all(), "the same seed, the same buckets"
    assert (codes == planes.hash(rows * np.float32(2.0**power))).all()
    assert (planes.hash(-rows) == (codes + pairs) % (2 * pairs)).all()


def test_it_is_the_formula() -> None:
    planes = Hyperplanes(5, buckets=6, tables=2, probes=4, seed=9)
    normal = np.random.default_rng(9).standard_normal((5, 6))
    for row in drawn(1, 50, 5):
        [codes], [probed] = planes.hash(row[None]), planes.probed(row[None])
        for table in range(2):
            r = normal[:, 3 * table : 3 * table + 3]
            columns = [*(float(row @ r[:, j]) for j in range(3)), *(float(-row @ r[:, j]) for j in range(3))]
            ranked = sorted(range(6), key=lambda j: -columns[j])
            assert codes[table] == ranked[0]
            assert probed[table].tolist() == ranked[:4]


def test_the_nearer_the_likelier_to_share_a_bucket() -> None:
    planes = Hyperplanes(48, buckets=16, tables=40, probes=1, seed=4)
    a, b = drawn(2, 400, 48), drawn(3, 400, 48)
    b -= (np.einsum("ij,ij->i", a, b) / np.einsum("ij,ij->i", a, a))[:, None] * a
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    shares = [
        float((planes.hash(a) == planes.hash(cosine * a + np.sqrt(1 - cosine**2) * b)).mean())
        for cosine in (-0.9, -0.3, 0.0, 0.3, 0.6, 0.8, 0.95)
    ]
    assert shares == sorted(shares)
    assert abs(shares[2] - 1 / 16) < 0.01, "at right angles it is chance"


@pytest.mark.parametrize(
    ("buckets", "tables", "probes", "noise", "found", "ten", "compared"),
    [
        (8, 1, 1, 0.1, 0.91, 0.42, 0.13),
        (8, 1, 1, 1.0, 0.44, 0.29, 0.13),
        (32, 1, 1, 0.5, 0.52, 0.26, 0.03),
        (32, 1, 3, 0.5, 0.87, 0.48, 0.10),
        (32, 4, 1, 1.0, 0.75, 0.53, 0.12),
        (128, 4, 1, 0.5, 0.92, 0.47, 0.04),
    ],
)
def test_it_finds_as_much_as_such_a_hash_does(
    buckets: int, tables: int, probes: int, noise: float, found: float, ten: float, compared: float
) -> None:
    """Against a table measured apart from this code, on other draws of vectors and planes."""
    measured = hashed_recall(buckets, tables, probes, noise, draws=5)
    assert measured.found == pytest.approx(found, abs=0.05)
    assert measured.overlap == pytest.approx(ten, abs=0.05)
    assert measured.compared == pytest.approx(compared, abs=0.02)


@given(seed=seeds, deeds=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 30), max_size=12)), max_size=8))
@settings(max_examples=60)
def test_buckets_are_those_of_a_dictionary(seed: int, deeds: list[tuple[bool, set[int]]]) -> None:
    planes = Hyperplanes(24, buckets=8, tables=3, probes=2, seed=seed)
    buckets, held = Buckets(planes), dict[int, NDArray[np.float32]]()
    for n, (adding, chosen) in enumerate(deeds):
        keys = np.array(sorted(chosen), np.int64)
        if adding:
            rows = drawn(seed + n, len(keys))
            buckets.add(keys, rows)
            held.update(zip(keys.tolist(), rows, strict=True))
        else:
            buckets.remove(keys)
            held = {key: row for key, row in held.items() if key not in chosen}
        assert len(buckets) == len(held)
        assert (buckets.sizes().sum(axis=1) == len(held)).all()
        for vector in drawn(seed + 100 + n, 3):
            [probed] = planes.probed(vector[None])
            expected = {
                key
                for key, row in held.items()
                if any(code in probes for code, probes in zip(planes.hash(row[None])[0], probed.tolist(), strict=True))
            }
            assert buckets.candidates(vector).tolist() == sorted(expected)


def test_bad_vectors_and_bad_numbers_are_refused() -> None:
    planes = Hyperplanes(4, buckets=4, tables=2, probes=1)
    for bad in (
        np.zeros((1, 4)),
        np.full((1, 4), np.nan),
        np.array([[1.0, np.inf, 0, 0]]),
        np.ones((1, 3)),
        np.ones(4),
        np.array([["a", "b", "c", "d"]]),
    ):
        with pytest.raises(InvalidInput):
            planes.hash(bad)
        with pytest.raises(InvalidInput):
            planes.probed(bad)
    buckets = Buckets(planes)
    with pytest.raises(InvalidInput, match="2 keys and 1 vectors"):
        buckets.add(np.array([1, 2]), np.ones((1, 4)))
    assert buckets.candidates(np.ones(4)).tolist() == []
    for numbers in ({"buckets": 7}, {"buckets": 0}, {"probes": 5, "buckets": 4}, {"tables": 0}, {"tables": 10**6}):
        with pytest.raises(InvalidInput):
            Hyperplanes(4, **{"buckets": 8, "probes": 1, **numbers})
    with pytest.raises(InvalidInput):
        Hyperplanes(0)
