"""What reading in two stages is worth: ballet without training, and what it costs as the past grows.

    python -m benchmarks.stores.chunks

Ballet as in HCAM (Lampinen et al. 2021): dancers dance one after the other, 16 frames each, with a delay of empty
frames after each, and then a cue shows one of the dances: whose was it? Here a frame is a vector (the code of a step
and the one before it, with noise), a cue the mean of a dance without noise, and nothing is learned. Dances share steps,
so a single frame seldom tells. A reader answers with the event of its best frame, or with the one that has the most
weight in all; the second must be told where events begin, and reads in one stage what it would in two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.embedding import unit_rows
from agentmem.store import Host
from agentmem_stores.chunks import ChunkMemory
from benchmarks.stores.row import Row

__all__ = ["ballet", "measure"]

_DIMENSION: Final = 64
_STEPS: Final = 16
# The length of what is added to a frame's code, of length 1. With 2, 3 and 4 two stages find 88, 81 and 73 % of 8
# events with delay 48, and flat reading 68, 57 and 42 %.
_NOISE: Final = 3.0
_WINDOW: Final = 64  # frames that a reader with a short memory has
_EPISODES: Final = 12
_TEMPERATURE: Final = 0.2  # the store's own
_BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
# Steps by compass, over and over: pairs of dances differ in their order alone.
_DANCES: Final = (
    "N E S W", "W S E N", "N S", "E W", "NE SW", "NW SE", "N S E W", "N S N S E W E W",
)  # fmt: skip


class _Frames:
    """An embedder whose vectors always come with the records."""

    id = "frames-64"
    dimension = _DIMENSION
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), _DIMENSION), np.float32)


class _Counting:
    """A host that counts the vectors that a store asks for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.vectors_read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def vectors(self, positions: Sequence[int]) -> NDArray[np.float32]:
        self.vectors_read += len(positions)
        return self._host.vectors(positions)


def _dance(steps: str, codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[16, dimension], of length 1."""
    compass = ["N", "E", "S", "W", "NE", "SE", "SW", "NW"]
    told = [compass.index(step) for step in steps.split()]
    return np.array([codes[before, now] for before, now in pairwise((told * _STEPS)[: _STEPS + 1])])


def _noisy(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.normal(size=frames.shape) * _NOISE / np.sqrt(_DIMENSION)
    return unit_rows((frames + noise).astype(np.float32))


def _episode(events: int, delay: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frames float32[events · (16 + delay), dimension] and cues float32[events, dimension], in order of events."""
    codes = unit_rows(rng.normal(size=(64, _DIMENSION)).astype(np.float32)).reshape(8, 8, _DIMENSION)
    blank = unit_rows(rng.normal(size=(1, _DIMENSION)).astype(np.float32))
    dances = [_dance(_DANCES[i], codes) for i in rng.permutation(len(_DANCES))[:events]]
    frames = np.concatenate([np.concatenate([dance, np.repeat(blank, delay, axis=0)]) for dance in dances])
    return _noisy(frames, rng), unit_rows(np.array([dance.mean(axis=0) for dance in dances]))


def _remember(memory: Memory, frames: NDArray[np.float32], session: str = "ballet") -> None:
    memory.add_many(
        {"text": f"frame {i}", "vector": frame.tolist(), "session": session, "at": _BEGIN + timedelta(seconds=i)}
        for i, frame in enumerate(frames)
    )
    memory.load()


def ballet(events: int, delay: int, *, episodes: int = _EPISODES, seed: int = 0) -> dict[str, float]:
    """The share of cues whose event was found, by each way of reading."""
    rng = np.random.default_rng([seed, events, delay])
    right = dict.fromkeys(("two stages", "best chunk alone", "flat", "flat, summed by event", "window of 64"), 0)
    for _ in range(episodes):
        frames, cues = _episode(events, delay, rng)
        of = np.arange(len(frames)) // (_STEPS + delay)
        with TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=_Frames()) as memory:
            _remember(memory, frames)
            for name, chosen in (("two stages", 8), ("best chunk alone", 1)):
                memory.attach(name, partial(ChunkMemory, chosen=chosen))
            first = next(memory.records()).position
            for event, cue in enumerate(cues):
                asked = Cue(vector=tuple(cue.tolist()))
                for name in ("two stages", "best chunk alone"):
                    [hit] = memory.stores[name].recall(asked, 1)
                    right[name] += of[hit.record.position - first] == event
                near = (frames @ cue).astype(np.float64)
                right["flat"] += of[np.argmax(near)] == event
                right["window of 64"] += of[-_WINDOW:][np.argmax(near[-_WINDOW:])] == event
                weights = np.bincount(of, weights=np.exp(near / _TEMPERATURE))
                right["flat, summed by event"] += int(np.argmax(weights)) == event
    return {name: 100 * float(found) / (episodes * events) for name, found in right.items()}


def _cost(chunks: int) -> dict[str, float]:
    """Vectors read by one recall, and its milliseconds (median of 20), with so many chunks of 32."""
    rng = np.random.default_rng(chunks)
    counting: list[_Counting] = []

    def make(host: Host) -> ChunkMemory:
        counting.append(_Counting(host))
        return ChunkMemory(counting[0])

    with TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=_Frames()) as memory:
        for session in range(chunks):
            topic = rng.normal(size=_DIMENSION)
            _remember(
                memory, unit_rows((topic + rng.normal(size=(32, _DIMENSION)) / 2).astype(np.float32)), str(session)
            )
        memory.attach("chunked", make)
        store = memory.stores["chunked"]
        cue = Cue(vector=tuple(rng.normal(size=_DIMENSION).tolist()))
        store.recall(cue, 10)
        counting[0].vectors_read = 0
        store.recall(cue, 10)
        read, times = counting[0].vectors_read, []
        for _ in range(20):
            begun = perf_counter()
            store.recall(cue, 10)
            times.append(perf_counter() - begun)
    return {f"{chunks} chunks: vectors read": read, f"{chunks} chunks: ms": round(1000 * float(np.median(times)), 2)}


def measure() -> list[Row]:
    """About a minute on one core; the same figures every time but for the milliseconds."""
    rows = [
        Row(
            "chunks",
            f"ballet, {events} events, delay {delay}: % of cues whose event was found",
            {name: round(share, 1) for name, share in ballet(events, delay).items()} | {"chance": 100 / events},
            source="its code plays 2, 4 and 8 dances with delays of 16 and 48, to an agent that is trained",
            remark="nothing is trained here",
        )
        for delay in (16, 48)
        for events in (2, 4, 8)
    ]
    costs: dict[str, float] = {}
    for chunks in (50, 200, 800):
        costs |= _cost(chunks)
    return [*rows, Row("chunks", "cost of a recall", costs, "O(M + kC) for M chunks of C, not O(MC)")]


def _printed(rows: Iterable[Row]) -> None:
    for row in rows:
        print(row.what)
        for label, figure in row.measured.items():
            print(f"    {label:32} {figure:10.2f}")


if __name__ == "__main__":
    _printed(measure())
