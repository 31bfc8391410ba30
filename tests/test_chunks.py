"""Chunks: where they end, what stands above them, and what a recall reads of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue, Hit
from agentmem.embedding import embedding_text, unit_rows
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.records import Record
from agentmem.store import Host
from agentmem_stores.chunks import ChunkMemory
from benchmarks.stores.chunks import ballet
from tests.chunked import (
    LATER,
    MINUTE,
    NOON,
    TOPICS,
    Counting,
    Topics,
    chunked,
    closed,
    leaves,
    opened,
    said,
    sizes,
    tell,
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with opened(tmp_path) as memory:
        yield memory


# ── where a chunk ends ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_chunk_closes_when_it_is_full(memory: Memory) -> None:
    tell(memory, said("sea", 70), session="trip")
    assert sizes(chunked(memory)) == [32, 32, 6]
    assert closed(chunked(memory)) == [True, True, False]
    tell(memory, said("sea", 26), at=NOON + 70 * MINUTE, session="trip")
    assert sizes(chunked(memory)) == [32, 32, 32]
    assert closed(chunked(memory)) == [True, True, True], "without waiting for the next record"


def test_a_chunk_closes_when_time_has_passed(memory: Memory) -> None:
    tell(memory, said("sea", 5), session="trip")
    tell(memory, said("sea", 3), at=NOON + 4 * MINUTE + timedelta(hours=6), session="trip")
    assert sizes(chunked(memory)) == [8], "six hours to the minute are no gap"
    tell(memory, said("sea", 3), at=NOON + timedelta(hours=13), session="trip")
    assert sizes(chunked(memory)) == [8, 3]
    tell(memory, said("sea", 2), at=NOON - timedelta(days=2), session="trip")
    assert sizes(chunked(memory)) == [8, 3, 2], "nor does what is told of long before go on from it"


def test_a_chunk_closes_when_the_topic_shifts_before_what_shifted_it(memory: Memory) -> None:
    tell(memory, [*said("sea", 12), *said("cake", 10)], session="trip")
    store = chunked(memory)
    first, second = sizes(store)
    assert 9 <= first <= 12, "with the first of the four that stand further off"
    assert second == 22 - first
    cake = next(record for record in memory.records() if record.text.startswith("cake"))
    assert store.chunk_of(cake.id).id == f"trip/0/{memory.newest(second)[-1].position}"


def test_an_aside_is_no_shift(memory: Memory) -> None:
    tell(memory, [*said("sea", 12), "cake word", *said("sea", 9)], session="trip")
    assert sizes(chunked(memory)) == [22]


def test_hashed_words_neither_cut_one_talk_to_pieces_nor_miss_another(tmp_path: Path) -> None:
    talk = [f"the boat sails over the harbour with wind {n} and the old sail" for n in range(30)]
    other = [f"bake a cake with {n} eggs in your oven until its crust browns" for n in range(20)]
    with opened(tmp_path, embedder="hash") as memory:
        tell(memory, talk, session="one")
        assert sizes(chunked(memory)) == [30]
        tell(memory, [*talk[:15], *other], session="two")
        whole, first, second = sizes(chunked(memory))
        assert (whole, first + second) == (30, 35)
        assert 12 <= first <= 15


def test_sessions_do_not_mix_and_what_has_none_is_one_stream(memory: Memory) -> None:
    for i in range(12):
        memory.add("sea", session=("a", "b", None)[i % 3], at=NOON + i * MINUTE)
    store = chunked(memory)
    assert sizes(store) == [4, 4, 4]
    assert {store.chunk_of(record.id).session for record in memory.records()} == {"a", "b", None}
    assert [r.session for r in store.replay(store.chunk_of(memory.newest(1)[0].id).id)] == [None] * 4


def test_an_episode_ends_when_somebody_says_so_and_undo_takes_it_back(memory: Memory) -> None:
    first = tell(memory, said("sea", 5), session="trip")
    store = chunked(memory)
    assert store.end_episode("trip").id == first[-1].id
    assert closed(chunked(memory)) == [True]
    tell(memory, said("sea", 4), at=NOON + 9 * MINUTE, session="trip")
    assert sizes(chunked(memory)) == [5, 4]
    head = len(memory.log(100))
    assert chunked(memory).end_episode("trip").text == "sea word3"
    store.end_episode("trip")
    assert len(memory.log(100)) == head + 1, "once is enough"
    memory.undo(2)
    assert sizes(chunked(memory)) == [5]
    assert closed(chunked(memory)) == [True], "the undone records are gone, and the first note stands"
    memory.undo()
    assert closed(chunked(memory)) == [False]
    memory.redo(3)
    assert sizes(chunked(memory)) == [5, 4]
    memory.forget(first[-1].id)
    assert sizes(chunked(memory)) == [8], "it is the record that ended an episode"
    memory.restore(first[-1].id)
    assert sizes(chunked(memory)) == [5, 4]


def test_an_episode_ends_with_what_was_written_last_even_if_the_store_has_not_seen_it(memory: Memory) -> None:
    tell(memory, said("sea", 2), session="trip")
    store = chunked(memory)
    [last] = tell(memory, ["sea breeze"], at=NOON + 5 * MINUTE, session="trip")
    assert store.end_episode("trip").id == last.id
    assert sizes(chunked(memory)) == [3]


@pytest.mark.parametrize("session", ["nowhere", None])
def test_what_holds_nothing_cannot_end(memory: Memory, session: str | None) -> None:
    tell(memory, ["sea"], session="trip")
    tell(memory, ["sea"], kind="thought")
    with pytest.raises(InvalidInput, match="nothing in the session"):
        chunked(memory).end_episode(session)


def test_what_was_made_from_other_memories_is_in_no_chunk(memory: Memory) -> None:
    [lived] = tell(memory, ["sea"], session="trip")
    made = tell(memory, ["sea", "sea", "sea"], kind="thought", session="trip")
    assert sizes(chunked(memory)) == [1]
    with pytest.raises(RecordNotFound, match="is in no chunk"):
        chunked(memory).chunk_of(made[0].id)
    assert chunked(memory).chunk_of(lived.id).records == 1


def test_what_an_edit_brings_near_joins_the_chunk_before(memory: Memory) -> None:
    tell(memory, said("sea", 5), session="trip")
    [late] = tell(memory, ["sea end"], at=NOON + timedelta(hours=10), session="trip")
    assert sizes(chunked(memory)) == [5, 1]
    memory.edit(late.id, at=NOON + 5 * MINUTE)
    assert sizes(chunked(memory)) == [6]


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────────────────────


@given(number=st.integers(1, 90), fan_out=st.integers(2, 4), size=st.integers(1, 5))
@settings(max_examples=8)
def test_chunks_of_chunks_hold_each_record_once_at_every_height(
    number: int, fan_out: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make = partial(ChunkMemory, size=size, fan_out=fan_out)
    with opened(tmp_path_factory.mktemp("tree"), make) as memory:
        records = tell(memory, said("sea", number), session="a/b")
        store = chunked(memory)
        level: Any = store.tree()["children"]
        assert len(level) == 1, "the session"
        depth = 0
        while level:
            depth += 1
            told = [record for node in level for record in store.replay(node["id"])]
            assert [record.id for record in told] == [record.id for record in records]
            for node in level:
                below = node["children"]
                assert node["records"] == sum(child["records"] for child in below) or not below
                assert len(below) <= fan_out
                assert node["closed"] == (
                    len(below) == fan_out and all(child["closed"] for child in below)
                    if below
                    else node["records"] == size
                )
                assert store.chunk(node["id"])._asdict().items() <= {**node, **_times(node)}.items()
            level = [child for node in level for child in node["children"]]
        assert depth == store.inspect()["depth"]
        assert depth == 1 + next(n for n in itertools.count() if fan_out**n >= -(-number // size))


def _times(node: Any) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(node[name]) for name in ("since", "until")}


def test_a_chunk_keeps_its_id_while_the_session_goes_on(memory: Memory) -> None:
    records = tell(memory, said("sea", 40), session="trip")
    ids = [leaf["id"] for leaf in leaves(chunked(memory).tree())]
    tell(memory, said("sea", 400), at=NOON + 40 * MINUTE, session="trip")
    memory.edit(records[3].id, text="sea change")
    memory.forget(records[5].id)
    assert [leaf["id"] for leaf in leaves(chunked(memory).tree())][: len(ids)][0] == ids[0]
    assert chunked(memory).chunk_of(records[0].id).id == ids[0] == f"trip/0/{records[0].position}"


@pytest.mark.parametrize("id", ["", "x", "trip/0/1/2", "trip/0/99", "trip/1/1", "trip/0/2", "other/0/1", "trip/-1/1",
                                "trip/0/١", "trip/0/" + "9" * 40, "trip/7/1", "//"])  # fmt: skip
def test_what_is_no_chunk_is_said_to_be_none(memory: Memory, id: str) -> None:
    tell(memory, said("sea", 3), session="trip")
    with pytest.raises(RecordNotFound, match="there is no chunk"):
        chunked(memory).replay(id)


# ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────────


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    raised: NDArray[np.float64] = np.exp(values - values.max())
    return np.asarray(raised / raised.sum())


def oracle(store: ChunkMemory, cue: Cue, vector: NDArray[Any], admits: Callable[[Record], bool]) -> dict[str, float]:
    """HCAM's read over the chunks as the tree has them, written out with the vectors of the texts themselves."""
    chunks = [store.replay(leaf["id"]) for leaf in leaves(store.tree()) if leaf["id"]]
    embed = store.host.embedder.embed
    vectors = [unit_rows(embed([embedding_text(record) for record in chunk])) for chunk in chunks]
    scores = np.array([unit_rows(rows.mean(axis=0)[None])[0] @ vector for rows in vectors])
    held = [[i for i, record in enumerate(chunk) if admits(record)] for chunk in chunks]
    order = [j for j in np.argsort(-scores, kind="stable") if held[j]][: store.chosen]
    if not order:
        return {}
    outer = softmax(scores[order] / store.temperature + np.log([len(held[j]) for j in order]))
    found: dict[str, float] = {}
    for weight, j in zip(outer, order, strict=True):
        inner = softmax((vectors[j] @ vector)[held[j]] / store.temperature)
        found |= {chunks[j][i].id: weight * share for i, share in zip(held[j], inner, strict=True)}
    return found


def weights(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.record.id: float(np.exp(hit.score)) for hit in hits}


FILTERS: list[tuple[dict[str, Any], Callable[[Record], bool]]] = [
    ({}, lambda record: True),
    ({"kinds": ("turn", "note")}, lambda record: record.kind in ("turn", "note")),
    ({"kinds": ()}, lambda record: False),
    ({"speaker": "ANA"}, lambda record: (record.speaker or "").casefold() == "ana"),
    ({"place": "harbour"}, lambda record: record.place is not None and record.place.path[0] == "Harbour"),
    ({"place": "harb"}, lambda record: False),
    ({"tags": ("salt", "none")}, lambda record: "salt" in record.tags),
    ({"since": NOON + 20 * MINUTE}, lambda record: record.at >= NOON + 20 * MINUTE),
    ({"until": NOON + 20 * MINUTE}, lambda record: record.at < NOON + 20 * MINUTE),
    ({"speaker": "Bo", "since": NOON + 3 * MINUTE}, lambda r: r.speaker == "Bo" and r.at >= NOON + 3 * MINUTE),
]


@given(seed=st.integers(0, 2**32 - 1), chosen=st.integers(1, 5))
@settings(max_examples=6)
def test_recall_is_the_two_stage_read_of_what_the_filters_admit(
    seed: int, chosen: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)

    def any_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    with opened(tmp_path_factory.mktemp("read"), partial(ChunkMemory, size=5, chosen=chosen)) as memory:
        memory.add_many(
            {
                "text": f"{any_of(*TOPICS)} word{rng.integers(40)}",
                "at": NOON + i * MINUTE,
                "session": any_of("a", "b", None),
                "speaker": any_of("Ana", "Bo", None),
                "place": any_of("Harbour/pier 3", "Harbour", "Harbourside", None),
                "kind": any_of("turn", "note", "plan"),
                "tags": any_of((), ("salt",), ("salt", "wind")),
            }
            for i in range(45)
        )
        store = chunked(memory)
        for fields, admits in FILTERS:
            cue = Cue("sea word3 choir", **fields)
            vector = unit_rows(Topics().embed([cue.text]))[0]
            hits = store.recall(cue, 100)
            assert weights(hits) == pytest.approx(oracle(store, cue, vector, admits), rel=1e-4)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            assert all(hit.score == sum(hit.parts.values()) for hit in hits)
            assert store.recall(cue, 3) == hits[:3]


def test_content_of_a_chunk_that_was_not_chosen_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, partial(ChunkMemory, chosen=1)) as memory:
        for topic in TOPICS:
            tell(memory, said(topic, 9), session=topic)
        before = chunked(memory).recall(Cue("cake word1"), 50)
        assert {hit.record.session for hit in before} == {"cake"}
        train = [record for record in memory.records() if record.session == "train"]
        memory.edit(train[0].id, text="train cake word1")  # its best match, in a chunk that is of something else
        memory.forget(train[1].id)
        tell(memory, ["train cake cake"], at=NOON + 30 * MINUTE, session="train")
        after = chunked(memory).recall(Cue("cake word1"), 50)
        assert [(hit.record.id, hit.score) for hit in after] == [(hit.record.id, hit.score) for hit in before]
        memory.edit(before[-1].record.id, text="cake word1")  # and in the one that was chosen it counts
        assert chunked(memory).recall(Cue("cake word1"), 50) != before


@pytest.mark.parametrize("sessions", [8, 120])
def test_the_second_stage_costs_the_same_however_many_chunks_there_are(tmp_path: Path, sessions: int) -> None:
    counted: list[Counting] = []

    def make(host: Host) -> ChunkMemory:
        counted.append(Counting(host))
        return ChunkMemory(counted[0], size=8, chosen=4)

    with opened(tmp_path, make) as memory:
        for i in range(sessions):
            tell(memory, said(TOPICS[i % 4], 8), session=str(i))
        store = chunked(memory)
        assert store.inspect()["chunks"] == sessions
        counted[0].looked_up = 0
        store.recall(Cue("sea"), 10)
        assert counted[0].looked_up == 4 * 8


def test_in_ballet_chunks_tell_a_dance_long_past_that_single_frames_do_not() -> None:
    found = ballet(8, 48, episodes=3)
    assert found["two stages"] >= found["flat"] + 15
    assert found["flat"] >= found["window of 64"] + 15
    assert found["window of 64"] == 12.5, "chance: it sees the last event alone"


def test_a_cue_without_a_vector_or_without_direction_finds_nothing(memory: Memory) -> None:
    tell(memory, said("sea", 5), session="trip")
    store = chunked(memory)
    assert store.recall(Cue(kinds=("turn",)), 5) == []
    assert store.recall(Cue(vector=(0.0,) * 16), 5) == []
    assert store.attend(Cue()) == []
    assert store.recall(Cue("sea"), 0) == []


def test_nothing_is_found_in_nothing(memory: Memory) -> None:
    store = chunked(memory)
    assert store.recall(Cue("sea"), 5) == []
    assert store.attend(Cue("sea"), level=2) == []
    assert store.tree() == {"id": "", "records": 0, "children": []}
    assert store.inspect()["chunks"] == store.inspect()["depth"] == 0
    assert ChunkMemory(store.host, summaries=True).consolidate(LATER).counts["written"] == 0


@pytest.mark.parametrize("vector", [(1.0, 2.0), (np.nan,) * 16, (np.inf,) * 16, "abc"])
def test_a_vector_that_does_not_fit_is_refused(memory: Memory, vector: Any) -> None:
    tell(memory, ["sea"], session="trip")
    with pytest.raises(InvalidInput, match="vector"):
        chunked(memory).recall(Cue(vector=vector), 5)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"fan_out": 1}, {"chosen": 0}, {"temperature": 0.0}, {"temperature": np.nan}, {"shift": np.nan},
     {"gap": timedelta(-1)}, {"gap": 6}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with Memory.open(tmp_path / "m", embedder=Topics()) as memory, pytest.raises(InvalidInput):
        memory.attach("chunked", partial(ChunkMemory, **options))


def test_the_verdict_says_which_chunk_of_which_session(memory: Memory) -> None:
    tell(memory, said("sea", 12), session="trip")
    tell(memory, said("cake", 3), at=NOON + timedelta(days=1), session="trip")
    [hit] = chunked(memory).recall(Cue("cake word2"), 1)
    assert hit.verdict == "in chunk 2 of session trip: 3 records on 2024-05-02"
    assert hit.parts.keys() == {"chunk", "item"}
    # And so the engine hears it: a signal more, which brings up what it names.
    [best, *_] = memory.recall("cake word2", 3)
    assert best.record.id == hit.record.id
    assert "in chunk 2 of session trip" in best.verdict


def test_chunks_of_any_height_can_be_attended_to(tmp_path: Path) -> None:
    with opened(tmp_path, partial(ChunkMemory, size=4, fan_out=2)) as memory:
        for topic in TOPICS:
            tell(memory, said(topic, 24), session=topic)
        store = chunked(memory)
        for level, most in ((0, 4), (1, 8), (2, 16), (3, 24), (9, 24)):
            found = store.attend(Cue("train"), 3, level=level)
            assert found[0][0].session == "train"
            assert found[0][0].records == most
            assert sum(weight for _, weight in found) == pytest.approx(1)
        assert {chunk.session for chunk, _ in store.attend(Cue("train", since=LATER), 3)} == set()


def test_a_record_without_a_vector_is_in_a_chunk_and_moves_no_topic(memory: Memory) -> None:
    tell(memory, [*said("sea", 9), "...", *said("sea", 9)])
    assert sizes(chunked(memory)) == [19]
    hits = chunked(memory).recall(Cue("sea"), 50)
    assert len(hits) == 19
    assert hits[-1].record.text == "..."
    tell(memory, [*said("sea", 10), "...", "...", *said("sea", 8)], session="trip")
    assert sizes(chunked(memory)) == [19, 20], "half of what is said now is silence, and the rest is of the sea"
