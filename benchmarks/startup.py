"""What a start costs: CPU time (user + system) of whole processes, side by side with an empty interpreter.

    python -m benchmarks.startup [--runs 15] [--json FILE]

CPU time rather than the clock, because other work on the machine moves the clock and hardly the CPU time. The runs
of all cases alternate, so that a change of the machine's pace meets all of them alike. PYTHONDONTWRITEBYTECODE is
taken out of the environment: with it every start would compile every module again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import keep, machine_line

LIMIT_MS = 150.0  # of `agentmem --help`
TEXTS = 200  # records of the memory that add and recall work on


def cpu_ms(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """Milliseconds of CPU that a child process took, its own children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(runs: int) -> dict[str, list[float]]:
    """`runs` measurements of each case, after one that is thrown away because it may compile modules."""
    program = str(Path(sys.executable).with_name("agentmem"))
    with tempfile.TemporaryDirectory() as folder:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("AGENTMEM_")}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ |= {"AGENTMEM_MEMORY": f"{folder}/start.mem", "AGENTMEM_EMBEDDER": "hash"}
        texts = Path(folder) / "texts.jsonl"
        lines = [json.dumps({"text": f"On day {n} the launch moved to room {n % 7}."}) for n in range(TEXTS)]
        texts.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run([program, "--quiet", "import", str(texts)], check=True, env=environ, stdout=subprocess.DEVNULL)
        cases = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "agentmem --help": [program, "--help"],
            "agentmem add": [program, "--quiet", "add", "We moved the launch to 3 May."],
            "agentmem recall": [program, "--quiet", "recall", "when is the launch?"],
        }
        took: dict[str, list[float]] = {name: [] for name in cases}
        for run in range(runs + 1):
            for name, argv in cases.items():
                spent = cpu_ms(argv, environ)
                if run:
                    took[name].append(spent)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()
    took = measure(options.runs)
    floor = statistics.median(took["python -c pass"])
    print(f"CPU ms of a process, median of {options.runs} runs; a memory of {TEXTS} texts, hash embedder")
    print(f"{'':18}{'median':>9}{'fastest':>9}{'slowest':>9}{'ratio':>8}")
    cases = {}
    for name, runs in took.items():
        median = statistics.median(runs)
        cases[name] = {
            "median_ms": round(median, 1),
            "min_ms": round(min(runs), 1),
            "max_ms": round(max(runs), 1),
            "ratio": round(median / floor, 2),
        }
        print(f"{name:18}{median:9.1f}{min(runs):9.1f}{max(runs):9.1f}{median / floor:7.1f}x")
    print(machine_line())
    met = cases["agentmem --help"]["median_ms"] < LIMIT_MS
    print(f"agentmem --help under {LIMIT_MS:.0f} ms: {'yes' if met else 'NO'}")
    result = {"runs": options.runs, "texts": TEXTS, "limit_ms": LIMIT_MS, "met": met, "cases": cases}
    keep(options.json, "startup", result)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
