"""The run: who is measured, in which order, and what the figures are.

The rounds alternate between the systems, so that a change of the machine's pace meets all of them alike. First all but
the last turns go in by batches, then those one by one, into a memory that is nearly full; then the questions, each
over everything and again filtered to its conversation. A system that fails is a row that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from agentmem_apps.evaluate.metrics import hit
from benchmarks.measure import median, percentile
from benchmarks.peers.system import K
from benchmarks.peers.turns import Data
from benchmarks.peers.worker import Worker

__all__ = ["SYSTEMS", "Plan", "compare"]

_HERE = "benchmarks.peers.systems"
FLOOR = "floor: sqlite3 + numpy"
AGENTMEM, WITH_VECTOR, POWER = "agentmem", "agentmem, add with vector", "agentmem, fsync a commit"
IN_MEMORY, MEM0_CHROMA = "LangGraph InMemoryStore", "mem0 on Chroma"
SYSTEMS: Mapping[str, str] = {
    FLOOR: f"{_HERE}.floor:Floor",
    AGENTMEM: f"{_HERE}.own:AgentMem",
    WITH_VECTOR: f"{_HERE}.own:WithVector",
    POWER: f"{_HERE}.own:Power",
    IN_MEMORY: f"{_HERE}.langgraph:InMemoryStore",
    "LangGraph SqliteStore": f"{_HERE}.langgraph:SqliteStore",
    "chromadb": f"{_HERE}.chroma:Chroma",
    MEM0_CHROMA: f"{_HERE}.mem0:Mem0OnChroma",
    "mem0 on Qdrant": f"{_HERE}.mem0:Mem0OnQdrant",
    "txtai": f"{_HERE}.txtai:Txtai",
    "txtai, hybrid": f"{_HERE}.txtai:TxtaiHybrid",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: `singles` turns are added one by one, the others in batches of `batch`."""

    rounds: int = 10
    singles: int = 1_000
    batch: int = 500
    patience_s: float = 1800.0


def compare(
    systems: Mapping[str, str], data: Data, plan: Plan, folder: Path, tell: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """A row a system, by name; all of them at work on the same data, in turns."""
    workers: list[Worker] = []
    answers: dict[str, dict[str, list[Any]]] = {name: {} for name in systems}

    def everyone(what: str, *args: Any, into: str = "") -> None:
        for worker in workers:
            answer = worker.ask(what, *args)
            if answer is not None:
                answers[worker.name].setdefault(into or what, []).append(answer)

    try:
        for number, (name, spec) in enumerate(systems.items()):
            own = folder / str(number)
            own.mkdir()
            workers.append(Worker(name, spec, own, data, plan.patience_s))
            tell(f"opened {name}{': ' + workers[-1].failure if workers[-1].failure else ''}")
        singles = min(plan.singles, len(data.turns) // 2)
        loaded = len(data.turns) - singles
        for start, stop in _parts(0, loaded, plan.rounds, of=plan.batch):
            everyone("load", start, stop, plan.batch)
            tell(f"loaded {stop:,} of {loaded:,} turns in batches")
        for start, stop in _parts(loaded, len(data.turns), plan.rounds):
            everyone("add", start, stop)
            tell(f"added {stop - loaded:,} of {singles:,} turns one by one")
        modes = list(dict.fromkeys(mode for worker in workers if worker.opened for mode in worker.opened["modes"]))
        asking = [(mode, filtered) for mode in modes for filtered in (False, True)]
        for round in range(-1, plan.rounds):
            # The round before the first is one question, which loads what is loaded when it is asked for.
            numbers = [0] if round < 0 else list(range(round, len(data.questions), plan.rounds))
            for worker in workers:
                for mode, filtered in asking:
                    if worker.opened and mode in worker.opened["modes"]:
                        into = f"{'first' if round < 0 else 'search'} {mode} {'filtered' if filtered else 'whole'}"
                        answer = worker.ask("search", mode, filtered, numbers)
                        if answer is not None:
                            answers[worker.name].setdefault(into, []).append({**answer, "numbers": numbers})
            tell(f"round {round + 1} of {plan.rounds} of the questions")
        everyone("close")
    finally:
        for worker in workers:
            worker.stop()
    return {worker.name: _row(worker, answers[worker.name], data) for worker in workers}


def _parts(start: int, stop: int, parts: int, of: int = 1) -> list[tuple[int, int]]:
    """The range cut into up to so many parts, each a multiple of `of` long save the last."""
    step = of * max(1, -(-(stop - start) // (parts * of)))
    return [(begin, min(begin + step, stop)) for begin in range(start, stop, step)]


def _row(worker: Worker, answers: Mapping[str, list[Any]], data: Data) -> dict[str, Any]:
    row: dict[str, Any] = dict(worker.opened or {})
    modes = row.pop("modes", [])
    if worker.failure:
        row["failure"] = worker.failure
    if blocks := answers.get("load"):
        row["batched_adds"] = {
            "n": sum(block["turns"] for block in blocks),
            "how": row.pop("batched"),
            "per_second": median([block["turns"] / block["wall"] for block in blocks]),
            "cpu_ms": median([1e3 * block["cpu"] / block["turns"] for block in blocks]),
        }
    if blocks := answers.get("add"):
        walls = [1e3 * wall for block in blocks for wall in block["walls"]]
        row["single_adds"] = {
            "n": len(walls),
            "per_second": median([len(block["walls"]) / sum(block["walls"]) for block in blocks]),
            "mean_ms": [1e3 * fmean(block["walls"]) for block in blocks],  # a block each, to be held against another's
            "latency_p50_ms": median(walls),
            "latency_p95_ms": percentile(walls, 0.95),
            "cpu_ms": median([1e3 * block["cpu"] / len(block["walls"]) for block in blocks]),
        }
    if firsts := [answer for what, (answer, *_) in answers.items() if what.startswith("first ")]:
        row["first_search_ms"] = 1e3 * firsts[0]["walls"][0]
    row["recall"] = {
        mode: {
            where: _recall(answers[f"search {mode} {where}"], data)
            for where in ("whole", "filtered")
            if f"search {mode} {where}" in answers
        }
        for mode in modes
    }
    if closed := answers.get("close"):
        row |= closed[0]
    return row


def _recall(rounds: list[Any], data: Data) -> dict[str, Any]:
    walls = [1e3 * wall for one in rounds for wall in one["walls"]]
    cpus = [1e3 * cpu for one in rounds for cpu in one["cpus"]]
    ranked = [(data.questions[n], keys) for one in rounds for n, keys in zip(one["numbers"], one["keys"], strict=True)]
    return {
        "n": len(walls),
        "wall_p50_ms": median(walls),
        "wall_p95_ms": percentile(walls, 0.95),
        "cpu_p50_ms": median(cpus),
        "cpu_p95_ms": percentile(cpus, 0.95),
        "hit@1": fmean(hit(keys, question.gold, 1) for question, keys in ranked),
        f"hit@{K}": fmean(hit(keys, question.gold, K) for question, keys in ranked),
    }
