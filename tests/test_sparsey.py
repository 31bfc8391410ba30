"""Sparsey: the code selection against its formula in plain loops, what is recognised and how full a field may be; and
the front ends that make its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.errors import InvalidInput
from agentmem_stores.sparsey import Mac, MinHash, Sparsifier, familiarities

SIZE, ACTIVE = 1_024, 20
Input = NDArray[np.int64]

seeds = st.integers(0, 2**32)


def inputs(number: int, seed: int, size: int = SIZE, active: int = ACTIVE) -> list[Input]:
    random = np.random.default_rng(seed)
    return [np.sort(random.choice(size, active, replace=False)) for _ in range(number)]


def like(one: Input, kept: int, random: np.random.Generator, size: int = SIZE) -> Input:
    """An input that has so many bits in common with it."""
    others = np.setdiff1d(np.arange(size), one)
    drawn = random.choice(one, kept, replace=False), random.choice(others, len(one) - kept, replace=False)
    return np.sort(np.concatenate(drawn))


def taught(number: int, seed: int = 1, size: int = SIZE, active: int = ACTIVE, **settings: Any) -> tuple[Mac, Any, Any]:
    """A field, the inputs that it learned, and their codes."""
    mac, given = Mac(size, active, **settings), inputs(number, seed, size, active)
    return mac, given, np.array([mac.learn(one, i).code for i, one in enumerate(given)])


def found_again(mac: Mac, given: list[Input], codes: Any, kept: int) -> float:
    """The share of inputs whose own code is the nearest to the one that so many of their bits bring up."""
    random = np.random.default_rng(9)
    asked = [like(one, kept, random, mac.inputs) for one in given[:200]]
    nearest = [(codes == mac.recognise(one).code).sum(axis=1).argmax() for one in asked]
    return float((np.array(nearest) == np.arange(len(asked))).mean())


# ── code selection ───────────────────────────────────────────────────────────────────────────────────────────────


class Oracle:
    """The algorithm by its description, over sets of weights."""

    def __init__(self, modules: int, units: int, floor: float, expansivity: float, exponent: float) -> None:
        self.weights = [[set[int]() for _ in range(units)] for _ in range(modules)]
        self.floor, self.expansivity, self.exponent = floor, expansivity, exponent

    def values(self, on: list[int]) -> list[list[float]]:
        return [[len(unit.intersection(on)) / len(on) for unit in module] for module in self.weights]

    def familiarity(self, on: list[int]) -> float:
        return sum(max(module) for module in self.values(on)) / len(self.weights)

    def learn(self, on: list[int], seed: int) -> list[int]:
        over = max(0.0, (self.familiarity(on) - self.floor) / (1 - self.floor))
        rise = self.expansivity * over**self.exponent
        draws = [int(raw) / 2**64 for raw in np.random.PCG64(seed).random_raw(len(self.weights))]
        code = []
        for module, draw in zip(self.values(on), draws, strict=True):
            odds = [1 + rise / (1 + math.exp(14 - 28 * value)) for value in module]
            reached: list[float] = np.cumsum(odds).tolist()
            code.append(next(unit for unit, until in enumerate(reached) if until > draw * reached[-1]))
        for units, winner in zip(self.weights, code, strict=True):
            units[winner].update(on)
        return code


@given(seed=seeds, floor=st.sampled_from([0.0, 0.3, 0.6]), exponent=st.sampled_from([1.0, 2.0]))
@settings(max_examples=15)
def test_a_code_is_chosen_by_the_formula(seed: int, floor: float, exponent: float) -> None:
    mac = Mac(64, 6, modules=5, units=8, floor=floor, exponent=exponent)
    oracle = Oracle(5, 8, floor, 300.0, exponent)
    random = np.random.default_rng(seed)
    seen: list[Input] = []
    for step in range(25):
        one = (
            like(seen[step // 2], int(random.integers(7)), random, 64) if step % 2 else inputs(1, seed + step, 64, 6)[0]
        )
        seen.append(one)
        familiar = oracle.familiarity(one.tolist())
        found = mac.learn(one, seed + step)
        assert found.familiarity == pytest.approx(familiar, abs=1e-12)
        assert found.code.tolist() == oracle.learn(one.tolist(), seed + step)
        again = mac.recognise(one)
        assert again.familiarity == oracle.familiarity(one.tolist()) == 1.0
        assert again.code.tolist() == [values.index(max(values)) for values in oracle.values(one.tolist())]
    total = sum(len(unit) for module in oracle.weights for unit in module)
    assert mac.saturation == pytest.approx(total / (64 * 5 * 8))


@given(seed=seeds, number=st.integers(1, 120))
@settings(max_examples=15)
def test_what_was_stored_once_is_familiar_and_recognising_changes_nothing(seed: int, number: int) -> None:
    mac, given, _ = taught(number, seed)
    before = mac.weights.copy(), mac.capacity_report()
    assert [mac.recognise(one).familiarity for one in given] == [1.0] * number
    assert max(mac.recognise(one).familiarity for one in inputs(20, seed + 1)) < 1
    assert (mac.weights == before[0]).all()
    assert mac.capacity_report() == before[1]


def test_familiarity_grows_with_what_an_input_has_in_common_with_one_stored() -> None:
    mac, given, _ = taught(60)
    random = np.random.default_rng(2)
    means = [np.mean([mac.recognise(like(one, kept, random)).familiarity for one in given]) for kept in range(0, 21, 2)]
    assert means == sorted(means)
    assert means[-1] == 1.0


def overlaps(**settings: Any) -> list[float]:
    """Of the code that a new input would get with that of one stored, by how many of 20 bits they share."""
    shares = []
    for kept in (5, 10, 15, 18, 20):
        mac, given, codes = taught(40, **settings)
        random = np.random.default_rng(kept)
        drawn = [mac.learn(like(one, kept, random), 1_000 + i).code for i, one in enumerate(given[:20])]
        shares.append(float((np.array(drawn) == codes[:20]).mean()))
    return shares


def test_like_inputs_get_like_codes_and_that_is_the_noise_s_doing() -> None:
    found = overlaps()
    assert found[2:] == sorted(found[2:])
    assert found[0] < 0.1
    assert found[2] > 0.4
    assert found[4] > 0.8
    noise_alone = overlaps(expansivity=0.0)
    assert max(noise_alone) < 0.1, "every code by chance, also that of what is known"
    dense = {"size": 400, "active": 40}  # of which two inputs share four bits
    codes = taught(40, **dense, floor=0.0, exponent=0.001, expansivity=1e12, slope=400.0, shift=10.0)[2]
    assert (codes[21:] == codes[20:-1]).mean() > 0.9, "without noise, the same code for whatever comes"
    assert (taught(40, **dense)[2][21:] == taught(40, **dense)[2][20:-1]).mean() < 0.1


# ── how much a field holds ───────────────────────────────────────────────────────────────────────────────────────


def test_four_fifths_of_an_input_bring_up_its_code() -> None:
    mac, given, codes = taught(400)
    assert found_again(mac, given, codes, 20) == 1.0
    assert found_again(mac, given, codes, 16) == 1.0


def test_dense_inputs_and_a_low_floor_fill_a_field_that_is_not_full() -> None:
    """What happens to a field that is fed otherwise: the reason for a front end, and for the floor."""
    mac, given, codes = taught(600, size=400, active=40)
    assert found_again(mac, given, codes, 32) < 0.3
    low, low_given, low_codes = taught(1_000, floor=0.2, exponent=1.0)
    assert found_again(low, low_given, low_codes, 16) < 0.3
    assert np.mean([low.recognise(one).familiarity for one in inputs(50, 7)]) > 0.95, "everything is familiar"
    adapting, given, codes = taught(1_000, floor="auto", exponent=1.0)
    assert adapting.floor > 0.6
    assert found_again(adapting, given, codes, 16) == 1.0


def test_its_size_is_constant_and_its_report_says_how_full_it_is() -> None:
    mac = Mac(SIZE, ACTIVE)
    sizes, told = [], []
    for i, one in enumerate(inputs(300, 1)):
        mac.learn(one, i)
        if i % 100 == 99:
            sizes.append({name: getattr(held, "nbytes", 0) for name, held in vars(mac).items()})
            told.append(mac.capacity_report())
    assert sizes[0] == sizes[1] == sizes[2]
    assert not [name for name, held in vars(mac).items() if isinstance(held, list | dict | set)]
    assert [report["learned"] for report in told] == [100, 200, 300]
    for name in ("saturation", "fullest", "familiarity"):
        assert 0 < told[0][name] < told[1][name] < told[2][name] < 1
    assert told[0]["bytes"] == SIZE * 32 * 32 // 8
    assert told[0]["half_full"] == round(math.log(2) * 32 * SIZE / ACTIVE)


def test_a_full_unit_freezes_and_learns_no_more() -> None:
    mac, given, _ = taught(400, units=8, freeze=0.25)
    report = mac.capacity_report()
    assert report["frozen"] > 0
    assert report["fullest"] <= 0.25 + ACTIVE / SIZE
    assert min(mac.recognise(one).familiarity for one in given) < 1
    thawed, _, _ = taught(400, units=8)
    assert thawed.capacity_report()["frozen"] == 0
    assert thawed.saturation > mac.saturation


@given(seed=seeds, number=st.integers(0, 150), auto=st.booleans(), units=st.sampled_from([8, 16, 32, 64]))
@settings(max_examples=15)
def test_it_goes_on_from_codes_as_if_it_had_never_stopped(seed: int, number: int, auto: bool, units: int) -> None:
    floor: Any = "auto" if auto else 0.5
    mac, given, codes = taught(number, seed, floor=floor, units=units)
    actives = np.array(given, np.uint16).reshape(-1, ACTIVE)
    again = Mac(SIZE, ACTIVE, floor=floor, units=units)
    again.learn(inputs(1, seed + 1)[0], 0)  # which is gone
    again.restore(actives, np.array(codes, np.uint8).reshape(-1, 32), mac.floor)
    assert (again.weights == mac.weights).all()
    for i, one in enumerate(inputs(70, seed + 2)):
        (code, familiar), other = mac.learn(one, i), again.learn(one, i)
        assert (code == other.code).all()
        assert familiar == other.familiarity
    assert again.capacity_report() == mac.capacity_report()


def test_several_fields_are_asked_at_once() -> None:
    fields = [taught(number, number)[0] for number in (3, 30, 90)]
    for one in inputs(20, 3):
        asked = familiarities(fields, one.astype(np.uint16))
        assert asked.tolist() == pytest.approx([mac.recognise(one).familiarity for mac in fields])
    assert familiarities([], one.astype(np.uint16)).tolist() == []


# ── front ends ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(seed=seeds, rows=st.integers(1, 9), power=st.integers(-8, 8))
@settings(max_examples=25)
def test_a_vector_s_code_has_as_many_bits_and_is_its_own(seed: int, rows: int, power: int) -> None:
    sparsifier = Sparsifier(24, size=256, active=9, seed=3)
    vectors = np.random.default_rng(seed).standard_normal((rows, 24)).astype(np.float32)
    codes = sparsifier.encode(vectors)
    assert codes.shape == (rows, 9)
    assert (np.diff(codes.astype(int), axis=1) > 0).all()
    assert int(codes.max()) < 256
    for row, code in zip(vectors, codes, strict=True):
        assert (sparsifier.encode(row[None])[0] == code).all(), "whatever it is encoded with"
    assert (sparsifier.encode(vectors * np.float32(2.0**power)) == codes).all()
    normal = np.random.default_rng(3).standard_normal((256, 24)).astype(np.float32)
    for row, code in zip(vectors.astype(np.float64), codes, strict=True):
        assert set(code.tolist()) == set(np.argsort(-(normal.astype(np.float64) @ row))[:9].tolist())


def test_near_vectors_share_bits_and_what_all_share_is_taken_away() -> None:
    random = np.random.default_rng(0)
    one, other = random.standard_normal((2, 100, 64))
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    sparsifier = Sparsifier(64)
    shared = [
        float(
            np.mean([np.isin(a, b).mean() for a, b in zip(sparsifier.encode(one), sparsifier.encode(mix), strict=True)])
        )
        for mix in (one * share + other * (1 - share) for share in (0.0, 0.5, 0.8, 1.0))
    ]
    assert shared == sorted(shared)
    assert shared[0] < 0.05
    assert shared[-1] == 1.0
    common = one + 2 * np.ones(64) / 8
    bare, centred = Sparsifier(64), Sparsifier(64, centre=common.mean(axis=0))
    spread = [len(np.unique(each.encode(common))) for each in (bare, centred)]
    assert spread[0] * 2 < spread[1], "else the same bits are on for all"


def test_a_vector_s_kind_shows_in_its_code() -> None:
    """Seven nearest codes vote: what a thing is comes with how it is stored, in a single trial."""
    random = np.random.default_rng(4)
    kinds = random.standard_normal((6, 48))
    labels = random.integers(0, 6, 360)
    vectors = kinds[labels] + 0.4 * random.standard_normal((360, 48))
    bits = Sparsifier(48, size=2_048, active=32, centre=vectors[:300].mean(axis=0)).encode(vectors)
    mac = Mac(2_048, 32, floor=0.4)
    codes = np.array([mac.learn(row, i).code for i, row in enumerate(bits[:300])])
    right = 0
    for row, label in zip(bits[300:], labels[300:], strict=True):
        nearest = np.argsort(-(codes == mac.recognise(row).code).sum(axis=1), kind="stable")[:7]
        right += int(np.bincount(labels[nearest], minlength=6).argmax() == label)
    assert right >= 0.95 * 60
    same = labels[:300, None] == labels[None, :300]
    alike = (codes[:, None] == codes[None]).mean(axis=2)
    assert alike[same & ~np.eye(300, dtype=bool)].mean() > 1.5 * alike[~same].mean()


words = st.frozensets(st.text(max_size=6), min_size=1, max_size=12)


@given(one=words, other=words, seed=st.integers(0, 9))
@settings(max_examples=40)
def test_a_set_s_code_is_the_set_s_alone(one: frozenset[str], other: frozenset[str], seed: int) -> None:
    front = MinHash(size=256, active=16, seed=seed)
    code = front.encode(one)
    assert code.shape == (16,)
    assert (code // 16 == np.arange(16)).all(), "each hash function has its share of the bits"
    assert (front.encode(sorted(one, reverse=True)) == code).all()
    together = front.encode(one | other)
    either = (together == code) | (together == front.encode(other))
    assert either.all(), "the least of both is the least of one"


def test_a_large_set_is_hashed_in_pieces() -> None:
    front = MinHash(size=4_096, active=16)
    parts = [{f"{part}.{i}" for i in range(3_000)} for part in range(3)]
    codes = np.array([front.encode(part) for part in parts])
    assert ((codes == front.encode(set().union(*parts))).sum(axis=0) > 0).all()


def test_sets_share_bits_as_they_share_members() -> None:
    front = MinHash(size=8_192, active=1_000)
    for common in (0, 5, 10, 20, 40):
        one = {f"a{i}" for i in range(40)}
        other = {f"a{i}" for i in range(common)} | {f"b{i}" for i in range(40 - common)}
        share = float((front.encode(one) == front.encode(other)).mean())
        jaccard = len(one & other) / len(one | other)
        assert share == pytest.approx(jaccard + (1 - jaccard) / 8, abs=0.06)  # 8 bits a hash function: 1 in 8 by chance


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: Mac(192, 70), "too dense"),
    (lambda: Mac(2**17, 20), "131,072 bits"),
    (lambda: Mac(SIZE, 0), "active"),
    (lambda: Mac(SIZE, ACTIVE, units=12), "12 units"),
    (lambda: Mac(SIZE, ACTIVE, modules=0), "modules"),
    (lambda: Mac(SIZE, ACTIVE, floor=1.0), "floor"),
    (lambda: Mac(SIZE, ACTIVE, floor=math.nan), "floor"),
    (lambda: Mac(SIZE, ACTIVE, expansivity=-1.0), "expansivity"),
    (lambda: Mac(SIZE, ACTIVE, exponent=0.0), "exponent"),
    (lambda: Mac(SIZE, ACTIVE).learn(np.arange(ACTIVE + 1), 0), "20 of 1024 bits on"),
    (lambda: Mac(SIZE, ACTIVE).learn(np.random.default_rng(0).random(SIZE) < 0.3, 0), "20 of 1024 bits on"),
    (lambda: Mac(SIZE, ACTIVE).recognise(np.zeros(ACTIVE)), "20 of 1024 bits on"),
    (lambda: Mac(SIZE, ACTIVE).recognise(np.zeros(ACTIVE, int)), "different bits"),
    (lambda: Mac(SIZE, ACTIVE).recognise(np.arange(ACTIVE) - 1), "different bits"),
    (lambda: Mac(SIZE, ACTIVE).recognise(np.arange(ACTIVE) + SIZE), "different bits"),
    (lambda: Sparsifier(0), "dimension"),
    (lambda: Sparsifier(8, size=64, active=9), "too dense"),
    (lambda: Sparsifier(8, centre=np.zeros(7)), "vectors must be"),
    (lambda: Sparsifier(8).encode(np.zeros((1, 8))), "no direction"),
    (lambda: Sparsifier(8).encode(np.full((1, 8), np.inf)), "not finite"),
    (lambda: Sparsifier(8).encode(np.ones(8)), "vectors must be"),
    (lambda: Sparsifier(8).encode(np.array([["a"] * 8])), "vectors must be"),
    (lambda: MinHash(size=64, active=9), "too dense"),
    (lambda: MinHash().encode([]), "empty set"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_it_says_what_it_cannot_take(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        call()


def test_an_input_may_be_given_as_bits() -> None:
    [one] = inputs(1, 5)
    mac, other = Mac(SIZE, ACTIVE), Mac(SIZE, ACTIVE)
    assert (mac.learn(one, 3).code == other.learn(np.isin(np.arange(SIZE), one), 3).code).all()
    assert (mac.weights == other.weights).all()


def test_codes_of_another_field_are_not_taken() -> None:
    mac, given, codes = taught(5)
    actives = np.array(given, np.uint16)
    for bad in (
        (actives[:4], codes),
        (actives[:, 1:], codes),
        (actives, codes[:, 1:]),
        (actives + np.uint16(SIZE), codes),
        (actives, codes + np.uint8(32)),
    ):
        with pytest.raises(ValueError, match="code"):
            mac.restore(*bad)
    with pytest.raises(ValueError, match="no floor"):
        Mac(SIZE, ACTIVE, floor="auto").restore(actives, codes, 1.5)
