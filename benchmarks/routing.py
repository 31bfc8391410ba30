"""The router on questions of six kinds: whom it asks, what that finds and costs, and what it learns from feedback.

    python -m benchmarks.routing [--embedder NAME ...] [--json FILE]

The town of `benchmarks.mixed`. First, who finds how much: each store alone, the engine alone, what the router asks, and
everything asked of everybody. The cost is what stores were asked, and how long they took together; the engine's own
time is the same for all. Then a router whose rules were turned round, so that each kind of question goes to a wrong
store: it is told of 200 questions of another year which memory helped, and asked this year's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentmem import Memory
from agentmem.cues import Cue, Hit
from agentmem.recall.presets import DEFAULT, preset
from agentmem.router import ROUTES, Route
from benchmarks.measure import keep, machine_line
from benchmarks.mixed import KINDS, Q, World, credited, suite

K: Final = 10
LESSONS: Final = 200
_WHOLE: Final = preset(DEFAULT)
ENGINE: Final = replace(_WHOLE, stores=False)
EVERYTHING: Final = replace(_WHOLE, everything=True)


class Found(NamedTuple):
    """Recall@10 by kind; of a question, the stores asked, the milliseconds that they took, and those of it all."""

    kinds: dict[str, float]
    asked: float = 0.0
    stores_ms: float = 0.0
    whole_ms: float = 0.0

    @property
    def mean(self) -> float:
        return sum(self.kinds.values()) / len(self.kinds)

    def told(self) -> dict[str, Any]:
        return {**self._asdict(), "mean": self.mean}


@contextmanager
def town(world: World, embedder: str) -> Iterator[Memory]:
    """Remembered, and thought over."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        memory.add_many(world.records)
        memory.flush()
        memory.consolidate("thoughts")
        memory.flush()
        yield memory


def answered(questions: Iterable[Q], asks: Callable[[Cue], Iterable[Hit]]) -> Found:
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    asked: list[tuple[int, float, float]] = []
    for q in questions:
        began = time.perf_counter()
        hits = asks(q.cue)
        whole = 1000 * (time.perf_counter() - began)
        told = getattr(hits, "asked", ())
        asked.append((len({one.store for one in told}), sum(one.ms for one in told), whole))
        shares[q.kind].append(len(q.gold.intersection(credited(hits))) / len(q.gold))
    stores, spent, whole = (sum(column) / len(asked) for column in zip(*asked, strict=True))
    return Found({kind: sum(of) / len(of) for kind, of in shares.items() if of}, stores, spent, whole)


def arms(memory: Memory) -> Iterator[tuple[str, Callable[[Cue], Iterable[Hit]]]]:
    """Who is asked → how."""
    for name, store in memory.stores.items():
        if name in ROUTES:
            yield name, lambda cue, store=store: store.recall(cue, K)  # type: ignore[misc]
    yield "engine", lambda cue: memory.recall(cue, K, engine=ENGINE)
    yield "routed", lambda cue: memory.recall(cue, K)
    yield "everything", lambda cue: memory.recall(cue, K, engine=EVERYTHING)


def turned() -> dict[str, Route]:
    """Every rule at the next store's, whatever that is good for."""
    names = [name for name, route in ROUTES.items() if route.weight]
    rules = [ROUTES[name].concerns for name in names]
    return {name: ROUTES[name]._replace(concerns=rule) for name, rule in zip(names, rules[1:] + rules[:1], strict=True)}


def taught(memory: Memory, questions: Iterable[Q]) -> int:
    """Tell it which memory helped with each; how many were told."""
    count = 0
    for q in questions:
        for id in q.gold:
            if count < LESSONS:
                memory.feedback(id, useful=True, cue=q.cue.text)
                count += 1
    while memory.consolidate("gate")["gate"].counts:
        pass
    return count


def learning(world: World, embedder: str) -> dict[str, Found | int]:
    """Half of the questions teach, the other half is asked."""
    lessons, asked = world.questions[::2], world.questions[1::2]
    with town(world, embedder) as memory:
        found: dict[str, Found | int] = {"rules": answered(asked, lambda cue: memory.recall(cue, K))}
        memory.route(turned())
        found["wrong rules"] = answered(asked, lambda cue: memory.recall(cue, K))
        found["lessons"] = taught(memory, lessons)
        found["wrong rules, taught"] = answered(asked, lambda cue: memory.recall(cue, K))
        memory.route(ROUTES)
        found["rules, taught"] = answered(asked, lambda cue: memory.recall(cue, K))
        return found


def measured(embedder: str) -> dict[str, Any]:
    world = suite()
    with town(world, embedder) as memory:
        found = {name: answered(world.questions, asks) for name, asks in arms(memory)}
    taught_ = learning(suite(days=90, each=80), embedder)
    return {
        "arms": {name: one.told() for name, one in found.items()},
        "learning": {name: one if isinstance(one, int) else one.told() for name, one in taught_.items()},
    }


def _line(name: str, told: Mapping[str, Any]) -> str:
    shares = "".join(f"{100 * told['kinds'].get(kind, 0):10.1f}" for kind in KINDS)
    return (
        f"{name:20}{100 * told['mean']:7.1f}{shares}{told['asked']:8.2f}{told['stores_ms']:9.2f}{told['whole_ms']:9.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", action="append", help="hash and minilm, unless given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args()
    result: dict[str, Any] = {}
    for embedder in given.embedder or ("hash", "minilm"):
        result[embedder] = found = measured(embedder)
        head = f"{embedder:20}{'mean':>7}" + "".join(f"{kind:>10}" for kind in KINDS)
        print(f"{head}{'asked':>8}{'stores':>9}{'ms':>9}")
        for name, told in found["arms"].items():
            print(_line(name, told))
        for name, told in found["learning"].items():
            print(f"{name}: {told}" if isinstance(told, int) else _line(name, told))
    print(machine_line())
    keep(given.json, "routing", {"embedders": result}, ("agentmem-framework", "numpy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
