"""What is let go: each strategy against one written as a sentence, budgets and quotas, and the bandit that chooses."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.embedders.hashing import HashEmbedder
from agentmem.errors import InvalidInput
from agentmem_stores.allocator import FIELDS, QUOTAS, STRATEGIES, AdaptiveMemoryAllocator, Buffer, Quota, budgets
from benchmarks.stores.places import NEEDS, TASKS, episodes, retained, trained

NOTHING = np.zeros(2, np.float32)
Item = dict[str, float]
quotas = st.sampled_from([None, *QUOTAS])
# What happens: something in a place with a strength and a familiarity, or the n-th of all is found useful.
happenings = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 4), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([-1.0, 0.0, 0.5])),
        st.integers(0, 30),
    ),
    max_size=60,
)


def played(buffer: Buffer, stream: Sequence[Any], after_each: Any = None) -> Counter[int]:
    """Everything that happens, in order; how often each place was visited."""
    visits: Counter[int] = Counter()
    written = 0
    for change, one in enumerate(stream):
        if isinstance(one, int):
            buffer.use(one, change)
        else:
            place, strength, familiar = one
            visits[place] += 1
            item = {"position": written, "place": place, "at": written, "used": change, "uses": 0}
            counted = np.array([visits[n] for n in range(max(visits) + 1)])
            buffer.take({**item, "strength": strength, "familiar": familiar}, NOTHING, counted)
            written += 1
        if after_each is not None:
            after_each()
    return visits


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────

POWER = {"equal": 0.0, "sqrt_visits": 0.5, "visits": 1.0}


def first_to_go(strategy: str, held: list[Item]) -> Item:
    in_place = Counter(item["place"] for item in held)
    keys: Mapping[str, Any] = {
        "fifo": lambda item: item["position"],
        "lifo": lambda item: -item["position"],
        "lvfo": lambda item: in_place[item["place"]],
        "mvfo": lambda item: -in_place[item["place"]],
        "lru": lambda item: item["used"],
        "lfu": lambda item: item["uses"],
        "importance": lambda item: item["strength"],
        "surprise": lambda item: -item["familiar"],
    }
    return min(held, key=lambda item: (keys[strategy](item), item["position"]))


def expected(strategy: str, quota: str | None, capacity: int, stream: Sequence[Any]) -> list[float]:
    """The positions held in the end."""
    held: list[Item] = []
    visits: Counter[int] = Counter()
    written = 0
    for change, one in enumerate(stream):
        if isinstance(one, int):
            for item in held:
                if item["position"] == one:
                    item["uses"] += 1
                    item["used"] = change
            continue
        place, strength, familiar = one
        visits[place] += 1
        held.append(
            {"position": written, "place": place, "used": change, "uses": 0, "strength": strength, "familiar": familiar}
        )
        written += 1
        if len(held) > capacity:
            among = held
            if quota is not None:
                in_place = Counter(item["place"] for item in held)
                over = {place: (n - 1) / visits[int(place)] ** POWER[quota] for place, n in in_place.items()}
                among = [item for item in held if over[item["place"]] == max(over.values())]
            held.remove(first_to_go(strategy, among))
    return sorted(item["position"] for item in held)


def positions(buffer: Buffer, strategy: str | None = None) -> list[float]:
    rows = range(len(buffer)) if strategy is None else buffer.held_by(strategy).tolist()
    return sorted(buffer.items["position"][list(rows)].tolist())


@settings(max_examples=150)
@given(stream=happenings, strategy=st.sampled_from([*STRATEGIES]), quota=quotas, capacity=st.integers(1, 8))
def test_each_strategy_lets_go_what_it_says(
    stream: list[Any], strategy: str, quota: Quota | None, capacity: int
) -> None:
    buffer = Buffer({strategy: capacity}, quota)
    played(buffer, stream)
    assert positions(buffer) == expected(strategy, quota, capacity, stream)


@settings(max_examples=100)
@given(
    stream=happenings,
    shares=st.dictionaries(st.sampled_from([*STRATEGIES]), st.integers(1, 9), min_size=1),
    quota=quotas,
    capacity=st.integers(1, 20),
)
def test_a_split_is_what_each_would_keep_by_itself_and_never_too_much(
    stream: list[Any], shares: dict[str, float], quota: Quota | None, capacity: int
) -> None:
    sizes = budgets(capacity, shares)
    assert sum(sizes.values()) == capacity
    buffer = Buffer(sizes, quota)

    def fits() -> None:
        assert len(buffer) <= capacity
        assert all(len(buffer.held_by(name)) <= size for name, size in sizes.items())

    played(buffer, stream, fits)
    alone = {name: expected(name, quota, size, stream) for name, size in sizes.items()}
    assert {name: positions(buffer, name) for name in sizes} == alone
    assert positions(buffer) == sorted({position for held in alone.values() for position in held})


@given(stream=happenings, quota=quotas, capacity=st.integers(1, 9))
def test_with_one_place_a_place_memory_is_a_queue(stream: list[Any], quota: Quota | None, capacity: int) -> None:
    alike = [one if isinstance(one, int) else (0, *one[1:]) for one in stream]
    buffer = Buffer({"fifo": capacity}, quota)
    written = played(buffer, alike)[0]
    assert positions(buffer) == list(range(max(0, written - capacity), written))


def test_a_budget_is_split_whole() -> None:
    assert budgets(10, {"fifo": 1.0, "lifo": 1.0, "lru": 1.0}) == {"fifo": 4, "lifo": 3, "lru": 3}
    assert budgets(1, {"fifo": 1.0, "lifo": 2.0}) == {"lifo": 1}, "who has no room is left out"
    assert budgets(7, {"fifo": 1.7e308, "lifo": 1.7e308}) == {"fifo": 4, "lifo": 3}


def test_shares_follow_the_visits() -> None:
    random = np.random.default_rng(1)
    often = (512, 128, 32, 8, 2)
    stream = [(int(place), 1.0, -1.0) for place in random.permutation(np.repeat(range(5), often))]
    held = {}
    for quota in QUOTAS:
        buffer = Buffer({"fifo": 60}, quota)
        played(buffer, stream)
        held[quota] = np.bincount(buffer.items["place"], minlength=5)
        assert held[quota].sum() == 60
    assert np.ptp(held["equal"][:3]) <= 1
    assert held["equal"].tolist()[3:] == [8, 2], "who has less than its share keeps it all"
    np.testing.assert_allclose(held["visits"], 60 * np.array(often) / sum(often), atol=1.5)
    roots = np.sqrt(often)
    np.testing.assert_allclose(held["sqrt_visits"], 60 * roots / roots.sum(), atol=1.5)


@given(stream=happenings, quota=st.sampled_from(QUOTAS), strategy=st.sampled_from([*STRATEGIES]))
def test_no_place_loses_its_last_while_another_has_two(stream: list[Any], quota: Quota, strategy: str) -> None:
    buffer = Buffer({strategy: 5}, quota)  # as many as there are places
    visits = played(buffer, stream)
    assert {int(place) for place in buffer.items["place"]} == set(visits)


def test_vectors_stay_with_their_items() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(80, 2)).astype(np.float32)
    for loaded_at in (0, 3, 30):
        buffer = Buffer({"lru": 7}, "equal")
        for n in range(80):
            if n == loaded_at:
                buffer.vectors(lambda positions: rows[positions].reshape(-1, 2))
            item = {"position": n, "place": n % 3, "at": n, "used": n, "uses": 0, "strength": 1.0, "familiar": -1.0}
            buffer.take(item, rows[n], np.array([1, 1, 1]))
        found = buffer.vectors(lambda positions: pytest.fail("they are there already"))
        np.testing.assert_array_equal(found, rows[buffer.items["position"]])


def test_items_that_cannot_have_been_held_are_not_taken_back() -> None:
    buffer = Buffer({"fifo": 3}, None)
    played(buffer, [(0, 1.0, -1.0), (1, 1.0, -1.0)])
    good = buffer.items.copy()
    fresh = Buffer({"fifo": 3}, None)
    fresh.restore(good, 2)
    assert positions(fresh) == [0, 1]
    wrong: list[tuple[str, float]] = [("place", 2), ("place", -1), ("holders", 0), ("holders", 2), ("position", 1)]
    for field, value in [*wrong, ("strength", math.nan), ("familiar", math.inf)]:
        bad = good.copy()
        bad[field] = value
        with pytest.raises(ValueError, match="item"):
            Buffer({"fifo": 3}, None).restore(bad, 2)
    with pytest.raises(ValueError, match="more items"):
        Buffer({"fifo": 1}, None).restore(good, 2)
    with pytest.raises(ValueError, match="fit"):
        Buffer({"fifo": 3}, None).restore(np.zeros((2, len(FIELDS)), np.float64), 2)  # type: ignore[arg-type]


# ── the bandit ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def held() -> NDArray[np.bool_]:
    """Whether what each task needs is in memory, by episode, task and strategy: the source's protocol, in small."""
    return episodes(1_500, seed=11)


def named(task: int) -> str:
    return f"task {NEEDS[task]}"


def test_each_strategy_keeps_what_its_task_needs(held: NDArray[np.bool_]) -> None:
    rates = held.mean(axis=0)
    assert (rates.diagonal() >= 0.98).all()
    assert rates.mean(axis=0).max() <= 0.60, "no fixed one serves all"
    assert rates[0, 1] == rates[1, 0] == 0, "the last nine and the first nine have nothing in common"


def test_it_learns_the_strategy_of_each_task_and_beats_any_fixed_one(held: NDArray[np.bool_]) -> None:
    allocator = trained(AdaptiveMemoryAllocator(NEEDS), held, lambda task, _: named(task))
    assert [allocator.choose(named(task)) for task in range(4)] == list(NEEDS)
    fixed = held.mean(axis=0).mean(axis=0).max()
    assert retained(allocator, held, named) >= 0.98
    assert fixed <= 0.60


def test_with_the_rewards_of_other_tasks_it_learns_nothing(held: NDArray[np.bool_]) -> None:
    allocator = trained(AdaptiveMemoryAllocator(NEEDS), held, lambda task, _: named(task), shuffled=True)
    assert [allocator.choose(named(task)) for task in range(4)] != list(NEEDS)
    spread = [
        max(allocator.values(named(task)).values()) - min(allocator.values(named(task)).values()) for task in range(4)
    ]
    real = trained(AdaptiveMemoryAllocator(NEEDS), held, lambda task, _: named(task)).values(named(0))
    assert max(spread) < (max(real.values()) - min(real.values())) / 2


def test_from_the_words_of_a_task_it_knows_others_like_it(held: NDArray[np.bool_]) -> None:
    allocator = AdaptiveMemoryAllocator(NEEDS, embed=HashEmbedder().embed)
    trained(allocator, held, lambda task, episode: TASKS[NEEDS[task]][episode % 2])
    assert retained(allocator, held, lambda task: TASKS[NEEDS[task]][2]) >= 0.98, "sayings that it never learned from"


def test_the_value_of_words_is_ridge_regression() -> None:
    """A⁻¹b, with A and b summed up and solved at the end."""
    random = np.random.default_rng(3)
    rows = {f"task {n}": random.normal(size=(1, 5)).astype(np.float32) for n in range(6)}
    allocator = AdaptiveMemoryAllocator(["fifo", "lru"], embed=lambda texts: rows[texts[0]], seed=4)
    heard: list[tuple[str, float]] = []
    for _ in range(60):
        task, reward = f"task {random.integers(5)}", float(random.normal())
        allocator.observe(task, "lru", reward)
        heard.append((task, reward))
    x = {task: allocator._features(task) for task in rows}
    assert all(abs(float(v @ v) - 1) < 1e-9 for v in x.values())
    a = np.eye(65) + sum(np.outer(x[task], x[task]) for task, _ in heard)
    theta = np.linalg.solve(a, sum(reward * x[task] for task, reward in heard))
    for task in rows:
        assert allocator.values(task)["lru"] == pytest.approx(float(theta @ x[task]), abs=1e-9)
        assert allocator.values(task)["fifo"] == 0.0
    assert allocator.choose("task 5") == "lru", "what was tried goes before what was not"
    assert allocator.choose("task 5", explore=True) == "fifo", "of which nothing is known"


def test_while_it_explores_it_tries_all_and_less_and_less() -> None:
    allocator = AdaptiveMemoryAllocator(NEEDS, seed=5, explored=400)
    tried: list[str] = []
    assert allocator.epsilon == 1.0
    for _ in range(2_000):
        tried.append(allocator.choose("one", explore=True))
        allocator.observe("one", tried[-1], float(tried[-1] == "lvfo"))
    assert allocator.epsilon == pytest.approx(0.2)
    assert all(35 < count < 90 for name, count in Counter(tried[:400]).items() if name != "lvfo"), "ε is 0.6 on average"
    assert Counter(tried[400:])["lvfo"] / 1_600 == pytest.approx(0.8 + 0.2 / 4, abs=0.03)
    assert {allocator.choose("one") for _ in range(200)} == {"lvfo"}, "asked, it does not explore"


def test_what_was_tried_and_failed_goes_before_what_was_not_tried() -> None:
    allocator = AdaptiveMemoryAllocator(["fifo", "lifo"])
    allocator.observe("one", "lifo", -2.0)
    assert allocator.choose("one") == "lifo"


def test_shares_for_a_task_that_is_not_known(held: NDArray[np.bool_]) -> None:
    allocator = trained(AdaptiveMemoryAllocator(NEEDS), held, lambda task, _: named(task))
    usual = allocator.shares(temperature=1.0)
    means = {name: sum(allocator.values(named(task))[name] for task in range(4)) / 4 for name in NEEDS}
    weights = {name: math.exp(value) for name, value in means.items()}
    assert usual == pytest.approx({name: weight / sum(weights.values()) for name, weight in weights.items()})
    assert allocator.shares("never heard of", temperature=1.0) == usual
    known = allocator.shares(named(1))
    assert max(known, key=known.__getitem__) == "lifo"
    assert known["lifo"] > 0.99
    assert allocator.shares(named(2), temperature=5e-324) == {name: float(name == "lvfo") for name in NEEDS}
    assert sum(budgets(100, usual).values()) == 100


def test_it_goes_on_where_it_was_kept() -> None:
    embed = HashEmbedder().embed
    for words in (None, embed):
        one = AdaptiveMemoryAllocator(NEEDS, embed=words, seed=6)
        for n in range(50):
            one.observe(f"ask {n % 3}", one.choose(f"ask {n % 3}", explore=True), n % 7 / 7)
        told, arrays = one.dump()
        other = AdaptiveMemoryAllocator(NEEDS, embed=words, seed=6)
        other.restore(json.loads(json.dumps(told)), arrays)
        one.observe("ask 1", "fifo", 1.0)
        other.observe("ask 1", "fifo", 1.0)
        assert [one.choose(f"ask {n % 3}", explore=True) for n in range(40)] == [
            other.choose(f"ask {n % 3}", explore=True) for n in range(40)
        ]
        assert one.values("ask 1") == other.values("ask 1")
        with pytest.raises(ValueError, match="learned about"):
            AdaptiveMemoryAllocator(["fifo"], embed=words).restore(told, arrays)
        with pytest.raises(ValueError, match="the seed 6"):
            AdaptiveMemoryAllocator(NEEDS, embed=words, seed=7).restore(told, arrays)
        for name in arrays:
            with pytest.raises(ValueError, match=name):
                other.restore(told, {**arrays, name: arrays[name][:-1]})
            with pytest.raises(ValueError, match=name):
                other.restore(told, {**arrays, name: arrays[name] * np.float64("nan")})


def test_what_cannot_be_is_refused() -> None:
    allocator = AdaptiveMemoryAllocator(NEEDS)
    with pytest.raises(InvalidInput, match="no strategy is called 'random'"):
        AdaptiveMemoryAllocator(["random"])
    with pytest.raises(InvalidInput, match="needs a strategy"):
        AdaptiveMemoryAllocator([])
    with pytest.raises(InvalidInput, match="not weighed"):
        allocator.observe("one", "lru", 1.0)
    for reward in (math.nan, math.inf, "much"):
        with pytest.raises(InvalidInput, match="reward"):
            allocator.observe("one", "fifo", reward)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="a task"):
        allocator.choose(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="temperature"):
        allocator.shares(temperature=0)
    for vectors in (np.array([[math.nan]], np.float32), np.zeros((2, 3), np.float32), np.zeros(3, np.float32)):
        with pytest.raises(InvalidInput, match="one row of finite numbers"):
            AdaptiveMemoryAllocator(embed=lambda texts, vectors=vectors: vectors).choose("one")  # type: ignore[misc]
    assert allocator.values("one") == dict.fromkeys(NEEDS, 0.0), "nothing was learned from any of it"
