"""Episodic memory and its allocator: what each strategy retains, what the bandit learns, and what places are for.

The episodes are the source's multi-task setting without its pictures: 18 visits to 8 rooms, memory for 9 of them, and
four tasks of which each needs something else of the past. `python -m benchmarks.stores.places` prints the rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.embedders.hashing import HashEmbedder
from agentmem.records import Place
from agentmem_stores.allocator import STRATEGIES, AdaptiveMemoryAllocator, Buffer
from agentmem_stores.episodic import EpisodicMemory
from agentmem_stores.places import PlaceMap
from benchmarks.stores.row import Row

__all__ = ["NEEDS", "TASKS", "episodes", "measure", "retained", "trained"]

VISITS: Final = (7, 3, 2, 2, 1, 1, 1, 1)  # to each room, in random order
CAPACITY: Final = 9
NEEDS: Final = ("fifo", "lifo", "lvfo", "mvfo")  # the task's name is that of the strategy made for it
# How somebody may say each task; the last of each is only asked, never learned from.
TASKS: Final[Mapping[str, tuple[str, ...]]] = {
    "fifo": ("what happened most recently?", "tell me the latest news", "what were the most recent latest events?"),
    "lifo": ("how did it all begin?", "what was there at the very beginning?", "at the beginning, how did it begin?"),
    "lvfo": (
        "what goes on in the room we visit most?",
        "describe our usual favourite room",
        "what is usual in the favourite room we visit most?",
    ),
    "mvfo": (
        "what did we see last in each single place?",
        "list every place, even those rarely seen",
        "for every single place, rarely seen or not, what did we see?",
    ),
}
MORNING: Final = datetime(2024, 5, 1, 9, tzinfo=UTC)
NOTHING: Final = np.zeros(1, np.float32)


def episodes(number: int, seed: int) -> NDArray[np.bool_]:
    """bool[number, tasks, strategies]: whether what the task needs is still in memory under each strategy."""
    random = np.random.default_rng(seed)
    return np.array([_episode(random) for _ in range(number)])


def _episode(random: np.random.Generator) -> NDArray[np.bool_]:
    rooms = random.permutation(np.repeat(np.arange(len(VISITS)), VISITS))
    needed = [
        random.integers(len(rooms) - CAPACITY, len(rooms)),
        random.integers(CAPACITY),
        random.choice(np.flatnonzero(rooms == 0)),
        np.flatnonzero(rooms == random.integers(len(VISITS)))[-1],
    ]
    buffer, visits = Buffer(dict.fromkeys(NEEDS, CAPACITY), None), np.zeros(len(VISITS), np.int64)
    for position, room in enumerate(rooms.tolist()):
        visits[room] += 1
        buffer.take(_item(position, room), NOTHING, visits)
    held = [buffer.items["position"][buffer.held_by(name)] for name in NEEDS]
    return np.array([[bool((there == position).any()) for there in held] for position in needed])


def _item(position: int, place: int) -> dict[str, float]:
    return {
        **{"position": position, "place": place, "at": position, "used": position},
        **{"uses": 0, "strength": 1.0, "familiar": -1.0},
    }


def trained(
    allocator: AdaptiveMemoryAllocator,
    held: NDArray[np.bool_],
    say: Callable[[int, int], str],
    *,
    shuffled: bool = False,
    seed: int = 0,
) -> AdaptiveMemoryAllocator:
    """Let it play: one episode and one task a time, -0.02 when what was needed is there and -ln 8 when it is not (the
    loss of a guess among eight). `say(task, episode)`: the task in words. `shuffled`: rewards of another task."""
    random = np.random.default_rng(seed)
    for episode, kept in enumerate(held):
        task = int(random.integers(len(NEEDS)))
        strategy = allocator.choose(say(task, episode), explore=True)
        rewarded = int(random.integers(len(NEEDS))) if shuffled else task
        allocator.observe(
            say(task, episode), strategy, -0.02 if kept[rewarded, NEEDS.index(strategy)] else -float(np.log(8))
        )
    return allocator


def retained(allocator: AdaptiveMemoryAllocator, held: NDArray[np.bool_], say: Callable[[int], str]) -> float:
    """How often what is needed is there, all tasks alike, with the strategies that it chooses."""
    chosen = [NEEDS.index(allocator.choose(say(task))) for task in range(len(NEEDS))]
    return float(held[:, np.arange(len(NEEDS)), chosen].mean())


def _allocation() -> Iterator[Row]:
    learned, asked = episodes(8_000, seed=1), episodes(2_000, seed=2)
    rates = asked.mean(axis=0)
    source = "its protocol; no table of results was at hand"
    for task, row in zip(NEEDS, rates, strict=True):
        named = dict(zip(NEEDS, np.round(row, 3).tolist(), strict=True))
        yield Row("episodic", f"what the task made for {task} needs is in memory, by strategy", named, source)
    named_task = [f"task {task}" for task in NEEDS]
    tabular = trained(AdaptiveMemoryAllocator(NEEDS), learned, lambda task, _: named_task[task])
    control = trained(AdaptiveMemoryAllocator(NEEDS), learned, lambda task, _: named_task[task], shuffled=True)
    embedder = HashEmbedder()
    spoken = trained(
        AdaptiveMemoryAllocator(NEEDS, embed=embedder.embed),
        learned,
        lambda task, episode: TASKS[NEEDS[task]][episode % 2],
    )
    figures = {
        "best fixed": float(rates.mean(axis=0).max()),
        "a strategy at random": float(rates.mean()),
        "tabular": retained(tabular, asked, lambda task: named_task[task]),
        "LinUCB, sayings not learned from": retained(spoken, asked, lambda task: TASKS[NEEDS[task]][2]),
        "rewards of other tasks": retained(control, asked, lambda task: named_task[task]),
        "the best for each": float(rates.max(axis=1).mean()),
    }
    yield Row(
        "episodic",
        "what is needed is in memory, after 8,000 episodes",
        {name: round(figure, 3) for name, figure in figures.items()},
        "one choice a task, learned from the loss, beats any fixed one",
        "9 of 18 visits are kept; hash embedder; greedy when asked",
    )


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _short_stay() -> Row:
    """A walk through 5 x 5 rooms in 1,280 steps, memory for 320 of them: how many rooms are still known."""
    random, known = np.random.default_rng(3), {"one buffer": 0.0, "by place": 0.0}
    purity = []
    for _ in range(20):
        at, rooms = np.array([2, 2]), []
        for _ in range(1_280):
            step = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)][int(random.integers(4))])
            at = np.clip(at + step, 0, 4)
            rooms.append(int(at[0] * 5 + at[1]))
        chunks = np.array(rooms).reshape(-1, 32)
        purity += [np.bincount(chunk).max() / 32 for chunk in chunks]
        for name, quota in (("one buffer", None), ("by place", "equal")):
            buffer, visits = Buffer({"fifo": 320}, quota), np.zeros(25, np.int64)  # type: ignore[arg-type]
            for position, room in enumerate(rooms):
                visits[room] += 1
                buffer.take(_item(position, room), NOTHING, visits)
            counts = np.bincount(buffer.items["place"], minlength=25)
            known[name] += float((counts >= min(12, visits.min())).mean()) / 20
    return Row(
        "episodic",
        "rooms of which a dozen steps are held, a quarter of a walk through 25 in memory",
        {
            **{name: round(rate, 3) for name, rate in known.items()},
            "a run of 32 steps of one room": round(float(np.mean(purity)), 3),
        },
        "memory by place beats one buffer in time order",
        "the last figure: the share of the commonest room in 32 consecutive steps; by place it is 1",
    )


@contextmanager
def _memory(embedder: str, **settings: Any) -> Iterator[tuple[Memory, EpisodicMemory]]:
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        yield memory, EpisodicMemory(memory.host, **settings)


def _elsewhere() -> Row:
    """Ten rooms, one thing said in each; then ten times the capacity said in others; then each room is asked about."""
    capacity, found = 100, {}
    things = [f"the {colour} {thing} lies here" for colour in ("red", "blue") for thing in _THINGS]
    for name, quota in (("fifo, one buffer", None), ("by place", "sqrt_visits")):
        with _memory("hash", capacity=capacity, quota=quota) as (memory, store):
            told = [
                {"text": thing, "place": f"house/room {n}", "at": MORNING + timedelta(minutes=n)}
                for n, thing in enumerate(things)
            ]
            told += [
                {
                    "text": f"the {_THINGS[n % 5]} number {n} passed",
                    "place": f"street/corner {n % 7}",
                    "at": MORNING + timedelta(hours=1, minutes=n),
                }
                for n in range(10 * capacity)
            ]
            memory.add_many(told)
            memory.flush()
            store.rebuild()
            right = 0
            for n, thing in enumerate(things):
                hits = store.recall(Cue("what lies here?", place=f"house/room {n}"), 1)
                right += bool(hits) and hits[0].record.text == thing
            found[name] = right / len(things)
    return Row(
        "episodic",
        "a room asked about after ten times the capacity of visits elsewhere is answered",
        found,
        "memory by place keeps what a buffer in time order lost",
        "10 rooms, 100 items, hash embedder",
    )


_THINGS: Final = ("kettle", "violin", "ladder", "parcel", "lantern")


_ROOMS: Final = (
    *("kitchen", "attic", "garden", "cellar", "study", "hall", "garage", "nursery", "library", "greenhouse"),
    *("harbour/pier 3", "office/meeting room"),
)
_NAMES: Final = ("Ana", "Bea", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jill", "Kurt", "Lena")
_EVENTS: Final = (  # what happened, and how it is asked for in other words
    ("painted the walls green", "who changed the colour of the walls"),
    ("broke a window with a ball", "who smashed the glass"),
    ("found an old letter", "who discovered a piece of mail"),
    ("fell asleep on the floor", "who took a nap"),
    ("hid the birthday present", "who concealed a gift"),
    ("repaired the lamp", "who fixed the light"),
    ("spilled coffee on the rug", "who stained the carpet"),
    ("sang an opera", "who performed music"),
)


def _ablation() -> Row:
    """The same eight things happen in twelve rooms, which their words do not name: only the place tells them apart."""
    random, right = np.random.default_rng(5), {}
    with _memory("minilm") as (memory, store):
        happened = [(event, asked, room) for room in _ROOMS for event, asked in _EVENTS]
        happened = [happened[n] for n in random.permutation(len(happened))]
        told = memory.add_many(
            {"text": f"{random.choice(_NAMES)} {event}", "place": room, "at": MORNING + timedelta(minutes=11 * n)}
            for n, (event, _, room) in enumerate(happened)
        )
        memory.flush()
        store.rebuild()
        for name, weight in (("by content, place and time", 0.5), ("without the place", 0.0)):
            store.configure(place=weight)
            cues = [Cue(f"{asked} in the {room.rpartition('/')[2]}?", now=MORNING) for _, asked, room in happened]
            found = [store.recall(cue, 1)[0].record.id for cue in cues]
            right[name] = round(float(np.mean([id == record.id for id, record in zip(found, told, strict=True)])), 3)
    return Row(
        "episodic",
        "asked in other words what happened in a room, the right one of 96 comes first",
        right,
        "without the place's part it falls to what content alone can do",
        "eight events in each of twelve rooms, MiniLM; a guess among the rooms: 0.083",
    )


def _times() -> Row:
    random, figures = np.random.default_rng(4), {}
    for name, sizes in (
        ("fifo", {"fifo": 10_000}),
        ("mvfo", {"mvfo": 10_000}),
        ("eight strategies", dict.fromkeys(STRATEGIES, 1_250)),
    ):
        buffer, places = Buffer(sizes, "sqrt_visits"), PlaceMap()
        begun = 0.0
        for position in range(11_000):
            if position == 10_500:
                begun = time.perf_counter()
            entered = places.enter(Place(f"house/room {random.zipf(1.3) % 500}"), "walk")
            assert entered is not None
            buffer.take(_item(position, entered.place), NOTHING, places.visits)
        figures[f"{name}, µs"] = round((time.perf_counter() - begun) / 500 * 1e6)
    return Row("episodic", "time to take one event in, 10,000 in memory", figures)


def measure() -> list[Row]:
    """About a minute on one core."""
    return [*_allocation(), _short_stay(), _elsewhere(), _ablation(), _times()]


def main(rows: Sequence[Row]) -> None:
    for row in rows:
        print(f"{row.what}: " + ", ".join(f"{name} {figure:g}" for name, figure in row.measured.items()))


if __name__ == "__main__":
    main(measure())
