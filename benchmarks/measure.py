"""What the benchmarks share: clocks, medians, who measured with what, and how a result is kept.

A result names the versions and the kind of machine, never the machine itself. It knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("agentmem-framework", "numpy", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and seconds of CPU of the whole process, all its threads included."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """One run of `work`. On a shared machine only the CPU time, and ratios within one run, are to be trusted."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def alternating(repetitions: int, cases: Mapping[str, Callable[[], Took]]) -> dict[str, list[Took]]:
    """Each case `repetitions` times, in turns, so that a change of the machine's pace meets all of them alike."""
    took: dict[str, list[Took]] = {name: [] for name in cases}
    for _ in range(repetitions):
        for name, run in cases.items():
            took[name].append(run())
    return took


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def versions(*packages: str) -> dict[str, str]:
    """Of the interpreter, of SQLite, and of the packages that do the work."""
    named = {name: version(name) for name in packages or PACKAGES}
    return {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **named}


def machine() -> dict[str, Any]:
    """The kind of machine. Load is the average of the last minute: above the cores, the clock times are not quiet."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def machine_line() -> str:
    listed = "  ".join(f"{name} {number}" for name, number in versions().items())
    kind = machine()
    return f"{listed}\n{kind['system']} {kind['processor']}, {kind['cores']} cores, load {kind['load']}"


def rounded(value: Any, digits: int = 4) -> Any:
    """`value` with every float in it rounded to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value


def options(about: str | None, *sets: str) -> argparse.ArgumentParser:
    """The arguments of a benchmark on these of LoCoMo and BEAM, which are not part of the project."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in sets:
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE" if name == "locomo" else "FOLDER")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    return parser


def keep(file: Path | None, benchmark: str, result: Mapping[str, Any], packages: Sequence[str] = PACKAGES) -> None:
    """Write a result as JSON with versions and machine; nothing when there is no file to write."""
    if file is None:
        return
    whole = {
        "schema": 1,
        "benchmark": benchmark,
        **rounded(result),
        "versions": versions(*packages),
        "machine": machine(),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
