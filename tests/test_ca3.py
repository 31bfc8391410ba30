"""Content-addressed memory: both forms against a dictionary, whatever is learned, forgotten and asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem.errors import InvalidInput
from agentmem_stores.ca3 import BinaryCAM, SparseCAM

CUES, BITS = 12, 24
CAM = BinaryCAM | SparseCAM
FORMS: list[Callable[[], CAM]] = [lambda: BinaryCAM(CUES, BITS), lambda: SparseCAM(BITS)]

cues = st.integers(0, CUES - 1)
contents = st.frozensets(st.integers(0, BITS - 1), max_size=8)
fragments = st.frozensets(st.integers(0, BITS - 1), min_size=1, max_size=6)
operations = st.lists(
    st.tuples(st.just("learn"), cues, contents) | st.tuples(st.just("forget"), cues, st.just(frozenset[int]())),
    max_size=40,
)


def found_by(held: dict[int, frozenset[int]], fragment: frozenset[int], mode: str) -> list[int]:
    """What a fragment brings back, by the words of the three modes."""
    shared = {cue: len(fragment & content) for cue, content in held.items()}
    least = {"all": len(fragment), "any": 1, "wta": max([1, *shared.values()])}[mode]
    return sorted(cue for cue, number in shared.items() if number >= least)


@given(operations=operations, asked=st.lists(fragments, min_size=1, max_size=5))
@settings(max_examples=60)
def test_both_forms_do_what_a_dictionary_does(
    operations: list[tuple[str, int, frozenset[int]]], asked: list[frozenset[int]]
) -> None:
    binary, sparse, held = BinaryCAM(CUES, BITS), SparseCAM(BITS), dict[int, frozenset[int]]()
    for verb, cue, content in operations:
        for cam in (binary, sparse):
            cam.learn(cue, content) if verb == "learn" else cam.forget(cue)
        held.pop(cue, None)
        if verb == "learn" and content:
            held[cue] = content
    assert len(sparse) == len(held)
    for cam in (binary, sparse):
        for cue in range(CUES):
            assert cam.recall_cue(cue).tolist() == sorted(held.get(cue, ()))
        for fragment in asked:
            for mode in ("all", "any", "wta"):
                assert cam.recall_content(fragment, mode).tolist() == found_by(held, fragment, mode)
    for bit in range(BITS):
        assert sparse.holding(bit).tolist() == found_by(held, frozenset([bit]), "any")
        assert sparse.held_by(bit) == len(sparse.holding(bit))


@given(operations=operations)
@settings(max_examples=40)
def test_the_order_of_learning_leaves_no_trace(operations: list[tuple[str, int, frozenset[int]]]) -> None:
    last = {cue: content for _, cue, content in operations}
    for make in FORMS:
        whole, sorted_ = make(), make()
        for _, cue, content in operations:
            whole.learn(cue, content)
        for cue in sorted(last, reverse=True):
            sorted_.learn(cue, last[cue])
        for cue in range(CUES):
            assert whole.recall_cue(cue).tolist() == sorted_.recall_cue(cue).tolist()
        for bit in range(BITS):
            assert whole.recall_content([bit]).tolist() == sorted_.recall_content([bit]).tolist()


def patterns(number: int, bits: int, share: float, seed: int) -> list[list[int]]:
    drawn = np.random.default_rng(seed).random((number, bits)) < share
    return [np.flatnonzero(row).tolist() for row in drawn]


@pytest.mark.parametrize("make", [lambda: BinaryCAM(200, 64), lambda: SparseCAM(64)])
def test_overwriting_is_exact_and_no_recall_changes_anything(make: Callable[[], CAM]) -> None:
    cam, first, second = make(), patterns(200, 64, 0.15, 1), patterns(50, 64, 0.15, 2)
    for cue, content in enumerate(first):
        cam.learn(cue, content)
    for cue, content in enumerate(second):
        cam.learn(cue, content)
    wanted = second + first[50:]
    random = np.random.default_rng(3)
    for _ in range(1_000):
        cam.recall_content(random.choice(64, 3, replace=False).tolist(), "wta")
        cam.recall_cue(int(random.integers(200)))
    assert [cam.recall_cue(cue).tolist() for cue in range(200)] == wanted, "no residue, and the others bit by bit"
    for cue in range(200):
        cam.forget(cue)
    assert not len(cam.recall_content(range(64), "any")), "forgotten in one operation each"
    if isinstance(cam, SparseCAM):
        assert [*cam._forth, *cam._back] == [], "and no room is taken"


def test_orthogonal_contents_never_answer_for_each_other() -> None:
    for make in FORMS:
        cam = make()
        for cue in range(CUES):
            cam.learn(cue, [2 * cue, 2 * cue + 1])
        for bit in range(BITS):
            for mode in ("all", "any", "wta"):
                assert cam.recall_content([bit], mode).tolist() == [bit // 2]


def test_a_fragment_of_five_bits_isolates_one_of_two_hundred() -> None:
    cam, held = SparseCAM(64), [content for content in patterns(250, 64, 0.15, 4) if len(content) >= 5][:200]
    for cue, content in enumerate(held):
        cam.learn(cue, content)
    random = np.random.default_rng(5)
    asked = {cue: random.choice(content, 5, replace=False).tolist() for cue, content in enumerate(held)}
    found = {cue: cam.recall_content(fragment).tolist() for cue, fragment in asked.items()}
    assert all(cue in answer for cue, answer in found.items()), "the true one always"
    assert np.mean([len(answer) for answer in found.values()]) < 1.1


# ── kept, and refused ────────────────────────────────────────────────────────────────────────────────────────────


@given(held=st.dictionaries(cues, contents, max_size=CUES))
@settings(max_examples=40)
def test_what_was_learned_can_be_given_at_once(held: dict[int, frozenset[int]]) -> None:
    one, other = SparseCAM(BITS), SparseCAM(BITS)
    other.learn(3, [1, 2])  # which goes
    for cue, content in held.items():
        one.learn(cue, content)
    bits = [bit for content in held.values() for bit in content]
    other.restore(*(np.array(x, np.int64) for x in (list(held), [len(content) for content in held.values()], bits)))
    assert len(one) == len(other)
    for cue in range(CUES):
        assert one.recall_cue(cue).tolist() == other.recall_cue(cue).tolist()
    other.learn(0, [5, 7])
    one.learn(0, [5, 7])
    for bit in range(BITS):
        assert one.holding(bit).tolist() == other.holding(bit).tolist()


@pytest.mark.parametrize(
    ("cues", "counts", "bits"),
    [
        ([0, 1], [1], [3]),
        ([0], [2], [3]),
        ([0], [-1], []),
        ([0], [1], [BITS]),
        ([0], [1], [-1]),
        ([2**32], [1], [1]),
        ([0, 0], [1, 1], [3, 4]),
        ([0], [2], [3, 3]),
    ],
)
def test_what_nobody_learned_is_not_taken(cues: list[int], counts: list[int], bits: list[int]) -> None:
    with pytest.raises(ValueError, match=r"its cues|out of range|two contents"):
        SparseCAM(BITS).restore(np.array(cues), np.array(counts), np.array(bits, np.int64))


@pytest.mark.parametrize("make", FORMS)
def test_it_says_what_it_cannot_take(make: Callable[[], CAM]) -> None:
    cam = make()
    cam.learn(1, [2, 3])
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: cam.recall_content([]), "empty"),
        (lambda: cam.recall_content([BITS]), "out of range"),
        (lambda: cam.recall_content([1], "most"), "all, any, wta"),  # type: ignore[arg-type]
        (lambda: cam.learn(0, [-1]), "whole number"),
        (lambda: cam.learn(0, "12"), "must be a list"),  # type: ignore[arg-type]
        (lambda: cam.learn(2**32, [1]), "out of range"),
        (lambda: cam.recall_cue(-1), "whole number"),
        (lambda: cam.forget(2**32), "out of range"),
        (lambda: BinaryCAM(0, 3), "cues"),
        (lambda: SparseCAM(2**33), "8,589,934,592 bits"),
    ]
    for call, words in refused:
        with pytest.raises(InvalidInput, match=words):
            call()
    assert cam.recall_cue(1).tolist() == [2, 3], "what is refused changes nothing"
    assert cam.recall_content([2]).tolist() == [1]
