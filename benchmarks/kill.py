"""What a SIGKILL costs: a mixed writer killed again and again at random instants, and a survey after each.

    python -m benchmarks.kill [--n 50] [--json FILE]

Several threads of one process, or of two at once, use every verb: add, add in batches, edit, tag, pin, merge, split,
forget, restore, erase, undo, redo, flush and recall. The parent kills it at a random instant, or a timer does in the
middle of a commit; then it opens the folder and holds every acknowledgement against the journal, the rows and the
vectors, and the next writer goes on where the last one was cut off. After eight kills or nine the indexes must
converge with ones built anew, and a new folder begins. Exit status 1 when anything was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import keep, machine_line
from tests.faults.campaign import Round, campaign
from tests.faults.writer import THREADS

LONGEST_S = 0.3
LINES = 10  # rows of the table, however many kills


def counted(rounds: Sequence[Round]) -> dict[str, Any]:
    """What several folders came to."""
    return {
        "kills": sum(found.kills for found in rounds),
        "folders": len(rounds),
        "acknowledged": sum(found.last.acknowledged for found in rounds),
        "changes": sum(found.last.changes for found in rounds),
        "lost": sum(len(found.lost) for found in rounds),
        "kills_aimed_at_a_commit": sum(found.aimed for found in rounds),
        "kills_in_flight": sum(found.hit for found in rounds),
        "verbs_cut": sum(sum(found.cut.values()) for found in rounds),
        "cut_after_the_commit": sum(found.last.unnoted for found in rounds),
        "disagreements": sum(len(found.disagreements) for found in rounds),
        "converged": sum(not found.diverging for found in rounds),
    }


def line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['kills']:6,}{row['acknowledged']:14,}{row['lost']:6}{row['kills_in_flight']:11,}"
        f"{row['disagreements']:16}{row['converged']:8} of {row['folders']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50, metavar="KILLS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()
    rounds: list[Round] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as base:
        for found in campaign(Path(base), options.n, seed=options.seed, longest_s=LONGEST_S):
            rounds.append(found)
            so_far = counted(rounds)
            progress = f"\r{so_far['kills']}/{options.n} kills, {so_far['acknowledged']:,} acknowledged"
            print(progress, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    total = counted(rounds)
    print(f"SIGKILL within {LONGEST_S} s of a writer of {THREADS} threads; a row is several folders, the last all")
    print(f"{'kills':>6}{'acknowledged':>14}{'lost':>6}{'in flight':>11}{'disagreements':>16}{'converged':>14}")
    each = -(-len(rounds) // LINES)
    for start in range(0, len(rounds), each):
        print(line(counted(rounds[start : start + each])))
    print(line(total))
    print(
        f"{total['acknowledged']:,} acknowledged record versions, {total['lost']} lost or torn; "
        f"{total['verbs_cut']:,} verbs were cut off in {total['kills_in_flight']:,} of {total['kills']:,} kills, "
        f"{total['cut_after_the_commit']:,} of them between their commit and their acknowledgement; "
        f"{total['kills_aimed_at_a_commit']:,} kills were aimed at a commit"
    )
    for found in rounds:
        for said, kill in {**found.lost, **found.disagreements}.items():
            print(f"after kill {kill} of a folder: {said}")
        for said in found.diverging:
            print(said)
    print(machine_line())
    result = {
        "seed": options.seed,
        "threads": THREADS,
        "longest_s": LONGEST_S,
        "seconds": time.monotonic() - began,
        "total": total,
        "verbs_acknowledged": dict(sum((found.ended for found in rounds), Counter())),
        "verbs_cut": dict(sum((found.cut for found in rounds), Counter())),
        "faults": [said for found in rounds for said in (*found.lost, *found.disagreements, *found.diverging)],
    }
    keep(options.json, "kill", result)
    return 0 if all(found.sound for found in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
