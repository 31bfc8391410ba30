"""MinHash estimates what sets share, and its bands find what shares much."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_stores.minhash import BYTES, SHINGLE, Bands, estimate, jaccard, shingles, signature


def overlapping(size: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of that size with that Jaccard index, as nearly as whole numbers allow."""
    both = round(2 * size * share / (1 + share))
    drawn = np.unique(np.random.default_rng(seed).integers(1 << 63, size=2 * size - both, dtype=np.uint64))
    assert len(drawn) == 2 * size - both
    np.random.default_rng(seed + 1).shuffle(drawn)
    return np.sort(drawn[:size]), np.sort(np.concatenate([drawn[:both], drawn[size:]]))


# ── the hashes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(max_size=60))
def test_a_text_has_as_many_shingles_as_different_runs_of_five_characters(text: str) -> None:
    runs = {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}
    found = shingles(text)
    assert len(found) == len(runs)
    assert (np.diff(found.astype(object)) > 0).all()


@given(st.text("ab", max_size=30), st.text("ab", max_size=30))
def test_jaccard_is_that_of_the_runs(one: str, other: str) -> None:
    mine, theirs = ({t[i : i + SHINGLE] for i in range(len(t) - SHINGLE + 1)} for t in (one, other))
    expected = len(mine & theirs) / len(mine | theirs) if mine | theirs else 1.0
    assert jaccard(shingles(one), shingles(other)) == pytest.approx(expected)


def test_lone_surrogates_are_characters_too() -> None:
    assert len(shingles("\ud800 once more")) == 7


def test_what_is_kept_of_a_text_means_the_same_in_every_release() -> None:
    """Signatures lie in segments: if this fails, raise the version of who keeps them."""
    signed = signature(shingles("the ferry was late again, and nobody said why"))
    assert signed.tobytes()[:12].hex() == "eae98411b46b1ab5cf0e190a"
    assert int(shingles("ferry")[0]) == 15967609111853089246


# ── the estimate ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_the_error_is_that_of_128_draws(share: float) -> None:
    errors = []
    for seed in range(60):
        one, other = overlapping(200, share, 2 * seed)
        errors.append(float(estimate(signature(one), signature(other))) - jaccard(one, other))
    same = share + (1 - share) / 256  # of bytes
    chance = (same * (1 - same) / 128) ** 0.5
    # With 60 of them the mean is off by a quarter of a deviation at most, and the deviation by a third.
    assert abs(float(np.mean(errors))) <= 0.4 * chance + 0.002
    assert float(np.std(errors)) <= 1.35 * chance + 0.008
    assert max(map(abs, errors)) < 4 * (0.25 / 128) ** 0.5


@settings(max_examples=50)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=50, unique=True), st.randoms())
def test_a_signature_is_of_the_set(numbers: list[int], chance: random.Random) -> None:
    shuffled = chance.sample(numbers, len(numbers))
    whole = signature(np.array(numbers, np.uint64))
    assert (signature(np.array(shuffled, np.uint64)) == whole).all()
    assert float(estimate(whole, whole)) == 1.0


def test_a_long_text_is_signed_in_blocks_as_if_at_once() -> None:
    elements = np.random.default_rng(5).integers(1 << 63, size=10_000, dtype=np.uint64)
    parts = [signature(part) for part in (elements[:4_096], elements[4_096:])]
    agreeing = (signature(elements) == parts[0]) | (signature(elements) == parts[1])
    assert agreeing.all()


# ── the bands ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_resembles_is_found_and_what_does_not_is_not_compared() -> None:
    bands = Bands()
    pairs = [overlapping(120, 0.85, seed) for seed in range(300)]
    for one, _ in pairs:
        bands.add(7, signature(one))
    found = [bands.alike(7, signature(other), 0.6).tolist() for _, other in pairs]
    missed = [n for n, some in enumerate(found) if n not in some]
    assert len(missed) <= 3, "a pair of .85 meets in some band but for one in a million, and is estimated .72 or more"
    assert sum(map(len, found)) <= 303, "and strangers do not meet"


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=30),
    st.integers(0, 2),
    st.integers(0, 5),
    st.integers(1, 5),
)
def test_however_many_are_sorted_in_the_answer_is_that_of_comparing_with_each(
    texts: list[tuple[int, int]], key: int, wanted: int, tail: int
) -> None:
    signed = [signature(shingles(f"the quick brown fox jumps over {'lazy ' * n} dogs {n}")) for n in range(6)]
    bands, again = Bands(), Bands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentmem_stores.minhash._TAIL", tail)
        for of, n in texts:
            bands.add(of, signed[n])
            found = bands.alike(key, signed[wanted], 0.5, 99).tolist()
    again = Bands.of(bands.keys, bands.signatures)
    held = [(i, float(estimate(signed[n], signed[wanted]))) for i, (of, n) in enumerate(texts) if of == key]
    met = [(signed[texts[i][1]].view("<u4") == signed[wanted].view("<u4")).any() for i, _ in held]
    expected = [
        i for (i, share), meets in sorted(zip(held, met, strict=True), key=lambda x: -x[0][1]) if meets and share >= 0.5
    ]
    assert again.alike(key, signed[wanted], 0.5, 99).tolist() == expected
    if texts:
        assert found == expected


def test_what_meets_in_a_band_and_resembles_less_is_left_out() -> None:
    bands = Bands()
    pairs = [overlapping(120, 0.4, seed) for seed in range(100)]
    for one, _ in pairs:
        bands.add(7, signature(one))
    met = [n for n, (_, other) in enumerate(pairs) if n in bands.alike(7, signature(other), 0.0)]
    assert len(met) > 30, "more than one in two is expected to"
    assert not any(n in bands.alike(7, signature(pairs[n][1]), 0.65) for n in met)


def test_texts_made_from_one_pattern_are_not_each_compared_with_all() -> None:
    bands = Bands()
    signed = signature(shingles("the same words each time, over and over"))
    for _ in range(2_000):
        bands.add(1, signed)
    assert bands.alike(1, signed, 0.8).tolist() == list(range(16))
    assert bands.alike(2, signed, 0.8).tolist() == []


@pytest.mark.parametrize(
    ("keys", "signatures"),
    [
        (np.zeros(2, np.int64), np.zeros((2, BYTES), np.uint8)),
        (np.zeros(2, np.uint64), np.zeros((2, BYTES), np.int8)),
        (np.zeros(2, np.uint64), np.zeros((2, 64), np.uint8)),
        (np.zeros(2, np.uint64), np.zeros((3, BYTES), np.uint8)),
    ],
)
def test_arrays_that_are_no_signatures_are_refused(keys: np.ndarray, signatures: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no signatures"):
        Bands.of(keys, signatures)
