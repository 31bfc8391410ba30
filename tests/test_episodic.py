"""Episodic memory on a real ledger: what is held, what recall makes of place and time, and what can be asked of it."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.errors import InvalidInput
from agentmem.ledger import Segment
from agentmem.recall.stores import Attached
from agentmem.records import Place, Record
from agentmem_stores.allocator import QUOTAS, STRATEGIES, AdaptiveMemoryAllocator
from agentmem_stores.episodic import EpisodicMemory
from agentmem_stores.projection import pack, unpack
from agentmem_stores.testing import StoreSubject, examine
from tests.test_allocator import expected

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
numbers = itertools.count()


class Words:
    """A text's words, each at a place of its own, whatever its date: equal words, equal vectors."""

    id = "words-64-v1"
    dimension = 64
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            said = text.partition(") ")[2] if text.startswith("(") else text
            for word in said.casefold().split():
                row[zlib.crc32(word.encode()) % self.dimension] += 1
        return rows


class House:
    """A memory with an episodic store that has followed it."""

    def __init__(self, memory: Memory, **settings: Any) -> None:
        self.memory = memory
        self.store = EpisodicMemory(memory.host, **settings)
        self._attached = Attached("places", self.store, memory.host, 1.0)
        self.follow()

    def follow(self) -> None:
        self.memory.flush()
        self._attached.follow()

    def tell(self, *items: tuple[str, Any], session: str | None = None, **fields: Any) -> list[Record]:
        """(text, place) an hour apart."""
        begin = next(numbers)
        told = self.memory.add_many(
            {"text": text, "place": place, "session": session, "at": NOON + (begin + n) * HOUR, **fields}
            for n, (text, place) in enumerate(items)
        )
        for _ in items[1:]:
            next(numbers)
        self.follow()
        return told

    def held(self) -> list[str]:
        """The texts in memory, in the order of writing."""
        items = self.store._state.buffer.items
        return [record.text for record in self.memory.host.ledger.at(sorted(items["position"].tolist()))]

    def anew(self) -> House:
        """The same, derived from the journal alone."""
        self.store.rebuild()
        return self

    def recall(self, text: str = "", k: int = 10, **cue: Any) -> list[tuple[str, str]]:
        found = self.store.recall(Cue(text, **{"now": NOON, **cue}), k)
        return [(hit.record.text, hit.verdict) for hit in found]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("street") / "m", embedder=Words()) as memory:
        yield memory


def house(street: Memory, **settings: Any) -> House:
    return House(street.scope(f"house:{next(numbers)}"), **settings)


# ── what is held ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quota", [*QUOTAS, None])
def test_a_room_is_known_after_ten_times_the_capacity_elsewhere(street: Memory, quota: str | None) -> None:
    mine = house(street, capacity=20, quota=quota)
    mine.tell(("the violin hangs on the wall", "home/music room"), ("the stove is cold", "home/kitchen"))
    mine.tell(*((f"tram {n} passed", f"city/stop {n % 5}") for n in range(200)))
    told = mine.store.recall(Cue("what hangs there?", place="home/music room"), 1)
    lasting = quota is not None
    assert [hit.record.text for hit in told if hit.verdict == "here"] == ["the violin hangs on the wall"] * lasting
    assert [record.text for record in mine.store.at("music room")] == ["the violin hangs on the wall"] * lasting
    assert mine.store.inspect()["size"] == 20
    assert mine.store.inspect()["evicted"] == 182
    assert len(list(mine.memory.records())) == 202, "the ledger keeps every record"


@settings(max_examples=25)
@given(
    stream=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0]), st.just(-1.0)),
            st.integers(0, 12),
        ),
        max_size=25,
    ),
    strategy=st.sampled_from(sorted(STRATEGIES.keys() - {"surprise"})),
    quota=st.sampled_from([*QUOTAS, None]),
    capacity=st.integers(1, 6),
)
def test_it_holds_what_its_strategy_says_and_never_too_much(
    street: Memory, stream: list[Any], strategy: str, quota: Any, capacity: int
) -> None:
    mine = house(street, capacity=capacity, quota=quota, strategy=strategy)
    told: list[Record] = []
    heard: list[Any] = []
    for one in stream:
        if not isinstance(one, int):
            told += mine.tell((f"{len(told)}", f"place {one[0]}"), strength=one[1])
        elif one < len(told):
            mine.memory.feedback(told[one].id, useful=True, cue="which?")
            mine.memory.feedback(told[0].id, useful=False, cue="which?")  # which is no use
            mine.follow()
        else:
            continue
        heard.append(one)
        assert mine.store.inspect()["size"] == min(len(told), capacity)
    assert mine.held() == [str(int(n)) for n in expected(strategy, quota, capacity, heard)]
    assert mine.held() == mine.anew().held()


def test_what_could_be_foretold_goes_first(street: Memory) -> None:
    mine = house(street, capacity=3, quota=None, strategy="surprise")
    mine.tell(("tea at five", "kitchen"), ("tea at five", "kitchen"), ("a bear came in", "kitchen"))
    mine.tell(("tea at five", "garden"))  # nothing like it was in the garden
    assert mine.held() == ["tea at five", "a bear came in", "tea at five"]
    mine.tell(("a bear came in", "kitchen"))
    assert mine.held() == ["tea at five", "a bear came in", "tea at five"]
    assert [record.text for record in mine.store.at("garden")] == ["tea at five"]


def test_several_strategies_share_the_room(street: Memory) -> None:
    allocator = AdaptiveMemoryAllocator(["fifo", "lifo"])
    allocator.observe("how did it begin?", "lifo", 1.0)
    allocator.observe("what was last?", "fifo", 1.0)
    mine = house(street, capacity=6, quota=None, strategy=allocator.shares(temperature=1.0))
    mine.tell(*((f"{n}", "hall") for n in range(30)))
    assert mine.held() == ["0", "1", "2", "27", "28", "29"]
    assert mine.store.inspect()["strategy"] == {"fifo": 0.5, "lifo": 0.5}


def test_only_what_was_lived_somewhere_is_kept(street: Memory) -> None:
    mine = house(street)
    mine.tell(("here", "hall"), ("nowhere", None))
    mine.tell(("made of others", "hall"), kind="summary")
    assert mine.held() == ["here"]


def test_coordinates_make_areas_and_what_does_not_fit_is_counted(street: Memory) -> None:
    mine = house(street, capacity=4, areas=2, quota="equal")
    mine.tell(("no way to tell", Place("", (1.0, 2.0, 3.0))))
    assert mine.store.inspect()["areas"] == 1
    mine = house(street, capacity=4, areas=2, quota="equal")
    mine.tell(
        ("by the sea", Place("", (0.0, 0.0))), ("odd", Place("", (0.0, 0.0, 1.0))), ("far", Place("", (1e300, 0.0)))
    )
    mine.tell(*((f"hill {n}", Place("", (100.0 + n, 100.0))) for n in range(30)))
    shown = mine.store.inspect()
    assert (shown["unfit"], shown["areas"], shown["size"]) == (2, 2, 4)
    assert [record.text for record in mine.store.at((1, 1))] == ["by the sea"]
    assert [record.text for record in mine.store.at((120, 90), last=2)] == ["hill 28", "hill 29"]
    assert {text.split()[0] for text, _ in mine.recall("hill", 2)} == {"hill"}


def test_what_happened_in_an_area_goes_with_it(street: Memory) -> None:
    mine = house(street, areas=2)
    mine.tell(*((text, Place("", (x, 0.0))) for text, x in (("a", 0.0), ("b", 1.0), ("c", 50.0))))
    assert [record.text for record in mine.store.at((0, 0))] == ["a", "b"], "two became one, to make room"
    assert [record.text for record in mine.store.at((60, 0))] == ["c"]


def test_with_areas_that_become_one_it_is_still_a_function_of_the_journal(street: Memory) -> None:
    random = np.random.default_rng(8)
    mine = house(street, capacity=50, areas=3, quota="equal")
    for _ in range(6):
        spots = random.normal(scale=random.choice([1, 100]), size=(60, 2)).tolist()
        mine.tell(*((f"spot {n}", Place("", tuple(spot))) for n, spot in enumerate(spots)), session="walk")
    followed = mine.store.inspect(), mine.held(), mine.store.near((0, 0))
    assert mine.store.inspect()["size"] == 50
    mine.anew()
    assert (mine.store.inspect(), mine.held(), mine.store.near((0, 0))) == followed
    other = House(mine.memory, capacity=50, areas=3, quota="equal")
    assert other.store.inspect() == followed[0]


# ── what changes in the past ─────────────────────────────────────────────────────────────────────────────────────


def test_an_edited_place_moves_what_happened_there(street: Memory) -> None:
    mine = house(street, capacity=3, quota="equal")
    told = mine.tell(("a", "hall"), ("b", "hall"), ("c", "attic"), ("d", "attic"))
    assert mine.held() == ["b", "c", "d"], "the hall has its two, the attic the third: the older of it goes"
    mine.memory.edit(told[0].id, place="cellar")
    mine.follow()
    assert [record.text for record in mine.store.at("cellar")] == ["a"]
    assert mine.held() == ["a", "b", "d"]
    mine.memory.undo()
    mine.follow()
    assert mine.held() == ["b", "c", "d"]
    assert mine.store.at("cellar") == []
    mine.memory.edit(told[2].id, place=None)
    mine.follow()
    assert mine.held() == ["a", "b", "d"]
    mine.memory.forget(told[3].id)
    mine.follow()
    assert mine.held() == ["a", "b"]


def test_strength_and_use_count_as_they_stand_now(street: Memory) -> None:
    for strategy in ("importance", "lfu", "lru"):
        mine = house(street, capacity=2, quota=None, strategy=strategy)
        told = mine.tell(("a", "hall"), ("b", "hall"))
        if strategy == "importance":
            mine.memory.edit(told[0].id, strength=5.0)
        else:
            mine.memory.feedback(told[0].id, useful=True, cue="which?")
        mine.tell(("c", "hall"))
        assert mine.held() == ["a", "c"], strategy
        mine.tell(("d", "hall"))
        assert mine.held() == (["c", "d"] if strategy == "lru" else ["a", "d"]), strategy
        mine.memory.undo(3)
        mine.tell(("c", "hall"))
        assert mine.held() == ["b", "c"], strategy


def test_it_keeps_what_a_store_promises() -> None:
    made = partial(EpisodicMemory, capacity=30, strategy={"surprise": 1, "lru": 2, "mvfo": 1})
    report = examine(StoreSubject("episodic", made, claims=["persistence", "bounded"], bound=30))
    assert report.ok, str(report)


def test_what_was_kept_by_a_stranger_is_derived_anew(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Words()) as memory:
        mine = House(memory, capacity=10)
        mine.tell(*((f"{n}", f"room {n % 3}") for n in range(40)))
        mine.anew()  # which keeps it
        held = mine.held()
        [segment] = memory.host.ledger.segments("episodic")
        told, arrays = unpack(segment.data)
        for broken in (
            {"items": np.concatenate([arrays["items"]] * 2)},
            {"items": arrays["items"][["position"]]},
            {"visits": arrays["visits"][:-1]},
            {"items": arrays["items"] * 0 if arrays["items"].dtype.names is None else arrays["items"]["position"]},
        ):
            data = pack(told, **{**arrays, **broken})
            memory.host.ledger.transact(
                lambda t, data=data: t.put_segment(  # type: ignore[misc]
                    "episodic", Segment(segment.until, data), standing=[segment.until], kept=0
                )
            )
            again = EpisodicMemory(memory.host, capacity=10)
            assert again.cursor == 0, "nothing of it was taken"
            assert House(memory, capacity=10).held() == held


# ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_place_decides_between_the_same_words(street: Memory) -> None:
    mine = house(street)
    mine.tell(("the kettle was mended", "home/kitchen"), ("the kettle was mended", "boat/galley"))

    def first(text: str, **cue: Any) -> str:
        record = mine.store.recall(Cue(text, now=NOON, **cue), 1)[0].record
        assert record.place is not None
        return record.place.id

    for place in ("home/kitchen", "boat/galley", "home", "boat", "Galley"):
        assert place.casefold() in first("the kettle was mended", place=place)
    assert first("what was mended in the kitchen?") == "home/kitchen", "a place that the text names"
    assert first("what was mended in the galley?") == "boat/galley"
    mine.store.configure(place=0.0, time=0.0)
    asked = {first("the kettle was mended", place=place) for place in ("home/kitchen", "boat/galley")}
    assert asked == {"boat/galley"}, "by content alone they are alike, and the later one comes first"


def test_a_score_is_what_it_says(street: Memory) -> None:
    """Against the equation in plain Python: a walk down a corridor of six rooms, so that hops are differences."""
    random = np.random.default_rng(9)
    words = ["tea", "violin", "ladder", "snow"]
    mine = house(street, content=0.7, place=0.4, time=0.3, length=2.0, days=3.0, breadth=6)
    told: list[tuple[str, int]] = [
        (" ".join(random.choice(words, 2)), room) for room in (0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2)
    ]
    records = mine.tell(*((text, f"room {room}") for text, room in told), session="walk")
    now = records[-1].at + 5 * DAY
    [vector] = Words().embed(["snow tea"])
    for since, until, here in ((None, None, 3), (records[4].at, records[7].at, 0), (None, records[2].at, None)):
        cue = Cue("snow tea", now=now, since=since, until=until, place=None if here is None else f"room {here}")
        wanted: dict[str, tuple[float, float, float]] = {}
        for (text, room), record in zip(told, records, strict=True):
            [held] = Words().embed([text])
            cosine = float(held @ vector) / float(np.linalg.norm(held) * np.linalg.norm(vector))
            near = 0.0 if here is None else math.exp(-abs(room - here) / 2)
            if since is None and until is None:
                off = (now - record.at) / DAY
            else:
                off = max(0.0, ((since or record.at) - record.at) / DAY, (record.at - (until or record.at)) / DAY)
            wanted[record.id] = (0.7 * cosine, 0.4 * near, 0.3 * math.exp(-off / 3))
        hits = mine.store.recall(cue, 100)
        assert len(hits) == len(told)
        for hit in hits:
            assert list(hit.parts) == ["content", "place", "time"]
            assert tuple(hit.parts.values()) == pytest.approx(wanted[hit.record.id], abs=2e-6)
            assert hit.score == sum(hit.parts.values())
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert [hit.record.id for hit in mine.store.recall(cue, 4)] == [hit.record.id for hit in hits[:4]]


def test_time_is_seen_from_now(street: Memory) -> None:
    scores = []
    for shift in (timedelta(0), timedelta(days=4_000), timedelta(days=-9_000)):
        mine = house(street)
        told = mine.memory.add_many(
            {"text": f"bell {n % 3}", "place": f"room {n % 4}", "session": "x", "at": NOON + shift + n * DAY}
            for n in range(12)
        )
        mine.follow()
        number = {record.id: n for n, record in enumerate(told)}
        hits = mine.store.recall(Cue("bell 2", place="room 1", now=NOON + shift + 13 * DAY), 12)
        span = Cue("bell", since=NOON + shift + 2 * DAY, until=NOON + shift + 4 * DAY)
        scores.append([(number[h.record.id], h.score) for h in [*hits, *mine.store.recall(span, 12)]])
    assert scores[0] == scores[1] == scores[2]


def test_the_most_promising_places_are_looked_into(street: Memory) -> None:
    mine = house(street, breadth=1, time=0.0, place=0.8)
    mine.tell(("red boat", "pier"), ("grey gull", "pier"), ("red kite", "hill"), ("red barn", "farm"))
    assert mine.recall("red boat") == [("red boat", "at pier"), ("grey gull", "at pier")]
    assert mine.recall("red kite") == [("red kite", "at hill")]
    assert [text for text, _ in mine.recall("red boat", place="farm")] == ["red barn"], "its nearness counts"
    mine.store.configure(breadth=2)
    assert len(mine.recall("red boat")) == 3


def test_a_verdict_says_where_and_when(street: Memory) -> None:
    mine = house(street)
    a, b, c = mine.tell(("one", "harbour/pier 3"), ("two", "harbour/pier 4"), ("three", "moon"))
    assert dict(mine.recall(place="harbour/pier 3")) == {
        "one": "here",
        "two": "2 hops from harbour/pier 3",
        "three": "at moon, far from harbour/pier 3",
    }
    assert dict(mine.recall(place="harbour")) == {"one": "here", "two": "here", "three": "at moon, far from harbour"}
    assert dict(mine.recall(since=a.at, until=b.at)) == {
        "one": "at harbour/pier 3, then",
        "two": "at harbour/pier 4, 0.0 days off",
        "three": "at moon, 0.0 days off",
    }
    assert dict(mine.recall(place="nowhere"))["one"] == "at harbour/pier 3"
    assert c.place == Place("moon")


def test_between_coordinates_it_is_as_far_as_it_is(street: Memory) -> None:
    mine = house(street, distance="euclidean", time=0.0, content=0.0, place=1.0)
    mine.tell(("a", Place("kitchen", (0.0, 0.0))), ("b", Place("hall", (3.0, 4.0))), ("c", Place("attic", (0.0, 10.0))))
    mine.tell(("d", "cellar"))
    hits = mine.store.recall(Cue(place="kitchen", now=NOON), 10)
    assert [(hit.record.text, hit.verdict) for hit in hits] == [
        ("a", "here"),
        ("b", "5 from kitchen"),
        ("c", "10 from kitchen"),
        ("d", "at cellar, far from kitchen"),
    ]
    spacing = (5 + 5 + math.hypot(3, 6)) / 3
    wanted = [1.0, math.exp(-5 / spacing), math.exp(-10 / spacing), 0.0]
    assert [hit.parts["place"] for hit in hits] == pytest.approx(wanted)
    mine.store.configure(length=2.5)
    assert mine.store.recall(Cue(place="kitchen", now=NOON), 2)[1].score == pytest.approx(math.exp(-2))


def test_kind_speaker_and_tags_are_filters(street: Memory) -> None:
    mine = house(street)
    mine.tell(*((f"turn {n}", "hall") for n in range(100)), speaker="Ana")
    mine.tell(("remark", "attic"), speaker="Bea", kind="note", tags=["x", "y"])
    assert [text for text, _ in mine.recall("turn", speaker="bea")] == ["remark"]
    assert [text for text, _ in mine.recall("turn", kinds=("note",))] == ["remark"]
    assert [text for text, _ in mine.recall("turn", tags=("y", "z"))] == ["remark"]
    assert mine.recall("turn", tags=("z",)) == []
    assert len(mine.recall("turn", k=7, speaker="Ana")) == 7
    mine.store.configure(breadth=1)
    assert [text for text, _ in mine.recall("turn", speaker="Bea")] == ["remark"], "in whatever place"


def test_a_wrong_vector_is_refused_and_none_is_needed(street: Memory) -> None:
    mine = house(street)
    mine.tell(("one", "hall"), ("two", "attic"))
    for vector in ((1.0, 2.0), (math.nan,) * 64, ("x",) * 64):
        with pytest.raises(InvalidInput, match="vector"):
            mine.store.recall(Cue(vector=vector), 3)  # type: ignore[arg-type]
    hits = mine.store.recall(Cue(place="attic", now=NOON), 3)
    assert [(hit.record.text, hit.parts["content"]) for hit in hits] == [("two", 0.0), ("one", 0.0)]
    [vector] = Words().embed(["one"])
    assert mine.store.recall(Cue(vector=tuple(vector.tolist())), 1)[0].record.text == "one"


def test_a_memory_hears_it(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Words()) as memory:
        memory.attach("places", partial(EpisodicMemory, capacity=10))
        memory.add_many(
            {"text": "the lamp is broken", "place": place, "at": NOON} for place in ("home/hall", "home/attic")
        )
        first = memory.recall("is the lamp in the attic broken?", 2)[0]
        assert first.record.place == Place("home/attic")
        assert first.parts["places"] == 1.0
        assert "here" in first.verdict


# ── settings and advice ──────────────────────────────────────────────────────────────────────────────────────────


def test_configuring_derives_anew_what_must_be(street: Memory) -> None:
    mine = house(street, capacity=5, quota=None)
    mine.tell(*((f"{n}", f"room {n % 2}") for n in range(9)))
    assert mine.held() == ["4", "5", "6", "7", "8"]
    mine.store.configure(strategy="lifo", capacity=3)
    assert mine.held() == ["0", "1", "2"]
    mine.store.configure(capacity=100)
    assert mine.held() == [str(n) for n in range(9)], "what was let go comes back"
    mine.tell(("9", "room 1"))
    assert len(mine.held()) == 10
    state = mine.store._state
    mine.store.configure(place=2.0, days=1.0)
    assert mine.store._state is state, "how recall weighs is no reason"
    assert mine.store.options.place == 2.0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"capacity": 0}, "capacity"),
        ({"capacity": 2.5}, "capacity"),
        ({"quota": "half"}, "quota cannot be 'half'"),
        ({"strategy": "random"}, "no strategy is called 'random'"),
        ({"strategy": {}}, "no strategy has a share"),
        ({"strategy": {"fifo": 0.0}}, "no strategy has a share"),
        ({"strategy": {"fifo": -1.0, "lifo": 2.0}}, "share of fifo"),
        ({"strategy": {"fifo": math.nan}}, "share of fifo"),
        ({"strategy": 7}, "must be a name"),
        ({"areas": 0}, "areas"),
        ({"areas": 5_000}, "areas"),
        ({"breadth": 0}, "breadth"),
        ({"distance": "miles"}, "distance"),
        ({"length": 0.0}, "length"),
        ({"days": -1.0}, "days"),
        ({"place": -0.5}, "place"),
        ({"content": math.inf}, "content"),
        ({"size": 3}, "no setting 'size'"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_change_nothing(
    street: Memory, wrong: dict[str, Any], told: str
) -> None:
    mine = house(street, capacity=5)
    options = mine.store.options
    with pytest.raises(InvalidInput, match=told):
        mine.store.configure(**{"time": 0.9, **wrong})
    assert mine.store.options == options
    with pytest.raises(InvalidInput, match=told):
        EpisodicMemory(mine.memory.host, **wrong)


def test_feedback_teaches_which_strategy_would_have_served(street: Memory) -> None:
    mine = house(street, capacity=6, quota=None)
    first = mine.tell(*((f"beginning {n}", "hall") for n in range(4)))
    assert mine.store.advise("how did it begin?") == "fifo", "the one in use, as long as nothing was said"
    assert mine.store.consolidate(NOON).counts == {}
    mine.tell(*((f"then {n}", "hall") for n in range(20)))
    late = mine.tell(*((f"late {n}", "hall") for n in range(3)))
    for record in first:
        mine.memory.feedback(record.id, useful=True, cue="how did it all begin?")
    for record in late:
        mine.memory.feedback(record.id, useful=True, cue="what is the latest news")
        mine.memory.feedback(first[0].id, useful=False, cue="what is the latest news")
    mine.memory.feedback(first[0].id, useful=True, cue="")  # which says no task
    mine.follow()
    lessons = mine.store.lessons()
    assert len(lessons) == 7 * len(STRATEGIES)
    served = {name: sum(one.reward for one in lessons if one.strategy == name) for name in STRATEGIES}
    assert served["lifo"] == 4
    assert served["fifo"] == 3
    for saying, task, best in (
        ("how did it begin?", "how did it all begin?", 4),
        ("latest news", "what is the latest news", 3),
    ):
        advised = mine.store.advise(saying)
        assert sum(one.reward for one in lessons if (one.task, one.strategy) == (task, advised)) == best
    assert served["lifo"] + served["fifo"] == 7, "each for one of them"
    report = mine.store.consolidate(NOON)
    assert report.counts["useful"] == 7
    assert report.counts["lifo"] == 4
    assert mine.store.inspect()["strategy"] == "fifo", "advice changes nothing"
    mine.memory.undo(8)
    mine.follow()
    assert mine.store.consolidate(NOON).counts.get("useful", 0) < 7


def test_a_note_that_cannot_be_read_says_nothing(street: Memory) -> None:
    mine = house(street, capacity=2, quota=None, strategy="lfu")
    told = mine.tell(("a", "hall"), ("b", "hall"))
    ledger = mine.memory.host.ledger
    from agentmem.feedback import draft

    for cause in ("{", "[]", '{"useful": 1}', ""):
        ledger.transact(lambda t, cause=cause: t.write([draft(told[0])], actor="stranger", cause=cause))  # type: ignore[misc]
    mine.tell(("c", "hall"))
    assert mine.held() == ["b", "c"]
    assert mine.store.lessons() == []


# ── the atlas ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_atlas_has_all_places_the_ways_between_them_and_the_stays_in_order_of_time(street: Memory) -> None:
    mine = house(street)
    first, *_ = mine.tell(("a", Place("dock/crane", (1.0, 2.0))), ("b", "dock/crane"), ("c", "mill"), session="s")
    mine.tell(("before all that", "mill"), at=NOON - DAY)
    atlas = mine.store.atlas()
    assert {spot.place: (spot.episodes, spot.visits, spot.coordinates) for spot in atlas.spots} == {
        "dock": (0, 0, None),
        "dock/crane": (2, 2, (1.0, 2.0)),
        "mill": (2, 2, None),
    }
    assert {frozenset(way) for way in atlas.ways} == {
        frozenset(("dock", "dock/crane")),
        frozenset(("dock/crane", "mill")),
    }
    assert [(stay.place, stay.episodes) for stay in atlas.stays] == [("mill", 1), ("dock/crane", 2), ("mill", 1)]
    assert (atlas.stays[1].since, atlas.stays[1].until) == (first.at, first.at + HOUR)
    assert house(street).store.atlas() == ([], [], [])
