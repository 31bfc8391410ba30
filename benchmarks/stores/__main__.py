"""What the cognitive stores do, each measured on the tasks of its source: the rows of docs/stores.md.

    python -m benchmarks.stores [NAME ...] [--json FILE]

NAME is pmi, places, chunks, thoughts, links, recognition, repeats or rehearsal; all when none is given. Every figure is
seeded; some minutes on one core. What each adds to recall is measured apart, by `benchmarks.stores.recall`.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.measure import keep, machine_line
from benchmarks.stores.row import Row

MODULES: Final = ("pmi", "places", "chunks", "thoughts", "links", "recognition", "repeats", "rehearsal")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MODULES, []], metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.names or MODULES:
        measured: list[Row] = import_module(f"benchmarks.stores.{name}").measure()
        for row in measured:
            said = ", ".join(f"{label} {value:g}" for label, value in row.measured.items())
            print(f"{row.store:10} {row.what}: {said}" + (f" ({row.remark})" if row.remark else ""))
        rows += measured
    print(machine_line())
    keep(given.json, "stores", {"rows": [row._asdict() for row in rows]}, ("agentmem-framework", "numpy", "networkx"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
