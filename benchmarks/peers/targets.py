"""What agentmem must reach among its peers, held against one run. A target whose measure is missing is not met.

Times are the clock's where a durable write is compared, since waiting for the disk is what it is about, and CPU where
a search is: both sides compute, and other work on the machine moves the clock. An add is judged by the median of all:
when the disk of a shared machine stalls, whole rounds of anybody's adds take thrice as long. The means are shown beside
it. A peer counts as durable when an add it acknowledged survives a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from benchmarks.peers.run import AGENTMEM, FLOOR, IN_MEMORY, MEM0_CHROMA, POWER, WITH_VECTOR

__all__ = ["judge", "ratios"]

Rows = Mapping[str, Mapping[str, Any]]
SMALL, LARGE = 5_000, 20_000  # turns


def ratios(rows: Rows) -> dict[str, dict[str, float]]:
    """Each system's times over the floor's and over agentmem's; above 1 it is the slower."""
    found: dict[str, dict[str, float]] = {}
    for name, row in rows.items():
        mine: dict[str, float] = {}
        for base, label in ((FLOOR, "floor"), (AGENTMEM, "agentmem")):
            if name == base or base not in rows:
                continue
            if single := _single(row, rows[base]):
                mine[f"single add / {label}"] = single
            for mode in row["recall"]:
                over = mode if mode in rows[base]["recall"] else "dense"
                for kind in ("cpu", "wall"):
                    measured = _search(row, mode, kind), _search(rows[base], over, kind)
                    if measured[0] and measured[1]:
                        mine[f"{mode} recall / {label} {over}, {kind}"] = measured[0] / measured[1]
        found[name] = mine
    return found


def _single(row: Mapping[str, Any], base: Mapping[str, Any]) -> float | None:
    """The median over the rounds of one's mean time over the other's."""
    if "single_adds" not in row or "single_adds" not in base:
        return None
    blocks = zip(row["single_adds"]["mean_ms"], base["single_adds"]["mean_ms"], strict=False)
    return float(median([one / other for one, other in blocks]))


def _search(row: Mapping[str, Any], mode: str, kind: str = "cpu") -> float | None:
    found = row["recall"].get(mode, {}).get("whole")
    return None if found is None else float(found[f"{kind}_p50_ms"])


def judge(rows: Rows, turns: int) -> list[dict[str, Any]]:
    """A verdict a target that applies at this size: what, the limit, the measure, and whether it is met.

    None is shown and not judged: what agentmem's other ways of adding come to beside the fastest durable peer, which
    makes its fsyncs where agentmem by default makes none.
    """
    own, floor = rows.get(AGENTMEM), rows.get(FLOOR)
    if own is None or floor is None:
        return []
    verdicts: list[dict[str, Any]] = []

    def must(
        what: str, measure: float | None, limit: float, holds: Callable[[float, float], bool], judged: bool = True
    ) -> None:
        met = None if not judged else measure is not None and holds(measure, limit)
        verdicts.append({"what": what, "limit": limit, "measured": measure, "met": met})

    def at_most(a: float, b: float) -> bool:
        return a <= b

    def at_least(a: float, b: float) -> bool:
        return a >= b

    mine, raw = _latency(own), _latency(floor)
    over = mine / raw if mine and raw else None
    must("a durable add over a raw SQLite commit, at the median by the clock, at most", over, 8, at_most)
    must("the same, mean of a round, at most", _single(own, floor), 8, at_most, judged=False)
    must("durable adds a second, at least", _rate(own, "single_adds"), 500, at_least)
    durable = {
        name: latency
        for name, row in rows.items()
        if name not in (AGENTMEM, WITH_VECTOR, POWER, FLOOR)
        and row.get("survives", "nothing") != "nothing"
        and (latency := _latency(row)) is not None
    }
    if durable:
        best = min(durable, key=lambda name: durable[name])
        for name in (AGENTMEM, WITH_VECTOR, POWER):
            mine = _latency(rows.get(name, {}))
            times = None if mine is None else durable[best] / mine
            what = f"{name}: times as fast an add as the fastest durable peer's ({best}), at the median, at least"
            must(what, times, 8, at_least, judged=name == AGENTMEM)
        rates = _rate(own, "single_adds"), _rate(rows[best], "single_adds")
        share = rates[0] / rates[1] if rates[0] and rates[1] else None
        must(f"{AGENTMEM}: the same, mean of a round, at least", share, 8, at_least, judged=False)
    must("adds a second in batches, vectors given, at least", _rate(own, "batched_adds"), 10_000, at_least)
    if turns <= SMALL:
        must("hybrid recall, CPU ms at the median, at most", _search(own, "hybrid"), 5, at_most)
    if turns >= LARGE:
        over = _over(own, "dense", floor)
        must("dense recall over numpy and ten rows, CPU at the median, at most", over, 1.5, at_most)
        for peer, share in ((MEM0_CHROMA, 15), (IN_MEMORY, 80)):
            for mode in ("hybrid", "dense"):
                over = None if peer not in rows else _over(own, mode, rows[peer])
                what = f"{mode} recall over that of {peer}, CPU at the median, at most"
                must(what, over, 1 / share, at_most)
    return verdicts


def _latency(row: Mapping[str, Any]) -> float | None:
    return float(row["single_adds"]["latency_p50_ms"]) if "single_adds" in row else None


def _rate(row: Mapping[str, Any], what: str) -> float | None:
    return float(row[what]["per_second"]) if what in row else None


def _over(own: Mapping[str, Any], mode: str, other: Mapping[str, Any]) -> float | None:
    mine, theirs = _search(own, mode), _search(other, "dense")
    return mine / theirs if mine and theirs else None
