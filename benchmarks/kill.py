"""What a SIGKILL costs: a mixed writer killed again and again at random instants, and a survey after each.

    python -m benchmarks.kill [--n 50] [--json FILE]

Several threads of one process add, add in batches, edit, forget, merge, undo, recall and erase. The parent kills it,
opens the folder, and holds every acknowledgement against the journal and the rows; the next writer goes on where the
last one was cut off. Every tenth kill begins a new folder. Exit status 1 when anything was lost.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import keep, machine_line
from tests.killing import THREADS, kill_a_writer, survey

ROUND = 10  # kills in one folder
LONGEST_S = 1.0


def measure(kills: int, seed: int) -> list[dict[str, Any]]:
    """A row a folder: how many kills it met, and the survey after the last of them, with the losses of all."""
    when = random.Random(seed)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as base:
        logs: list[Path] = []
        lost: dict[str, int] = {}  # what, and the kill after which it was first missed
        for n in range(kills):
            if n % ROUND == 0:
                logs, lost = [], {}
                rows.append({})
            folder = Path(base) / f"{n // ROUND}.mem"
            logs.append(Path(base) / f"{n}.log")
            kill_a_writer(folder, logs[-1], seed=seed + n, after_s=when.uniform(0, LONGEST_S))
            found = survey(folder, logs)
            lost = dict.fromkeys((*found.lost, *found.torn, *found.disagreements), n) | lost
            rows[-1] = {"kills": len(logs), **asdict(found), "lost": [f"kill {n}: {line}" for line, n in lost.items()]}
            progress = f"\r{n + 1}/{kills} kills, {found.acknowledged} acknowledged here, {len(lost)} lost"
            print(progress, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50, metavar="KILLS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()
    rows = measure(options.n, options.seed)
    print(f"SIGKILL within {LONGEST_S:.0f} s of a writer of {THREADS} threads; a row a folder, killed {ROUND} times")
    print(f"{'kills':>6}{'acknowledged':>14}{'changes':>9}{'records':>9}{'unnoted steps':>15}{'lost':>6}")
    for row in rows:
        print(
            f"{row['kills']:6}{row['acknowledged']:14,}{row['changes']:9,}{row['records']:9,}"
            f"{row['extra']:15,}{len(row['lost']):6}"
        )
    totals = {
        "kills": sum(row["kills"] for row in rows),
        "acknowledged": sum(row["acknowledged"] for row in rows),
        "changes": sum(row["changes"] for row in rows),
        "extra": sum(row["extra"] for row in rows),
        "lost": sum(len(row["lost"]) for row in rows),
    }
    print(
        f"{totals['kills']} kills, {totals['acknowledged']:,} acknowledged record versions, {totals['lost']} lost, "
        "torn or at odds with the journal"
    )
    for row in rows:
        for line in row["lost"]:
            print(line)
    print(machine_line())
    keep(options.json, "kill", {"seed": options.seed, "threads": THREADS, "total": totals, "folders": rows})
    return 1 if totals["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
