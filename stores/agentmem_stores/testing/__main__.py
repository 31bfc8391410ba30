"""`python -m agentmem_stores.testing [WHAT ...]`: examine what is shipped, or what is named, and print the reports.

WHAT is a ledger's URL (an empty database: the exam leaves its rows there), or `chroma:http://host:8000`. The exit code
is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from agentmem_stores.testing import IndexSubject, LedgerSubject, Subject, examine
from agentmem_stores.testing.exam import CASES
from agentmem_stores.testing.shipped import CHROMA, EXACT, SQLITE, STORES, chroma_server, ledger_at


def _named(what: str) -> LedgerSubject | IndexSubject:
    return chroma_server(what.removeprefix("chroma:")) if what.startswith("chroma:") else ledger_at(what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine, print, and say by the exit code whether all was kept."""
    parser = argparse.ArgumentParser(
        "python -m agentmem_stores.testing", description="Examine ledgers, indexes and stores."
    )
    parser.add_argument("what", nargs="*", help="a ledger's URL (of an empty database), or chroma:http://host:8000")
    parser.add_argument("--all", action="store_true", help="a line for every promise")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cases", type=int, default=CASES, help=f"how often a random promise is tried ({CASES})")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    reports = []
    shipped: list[Subject[Any]] = [SQLITE, EXACT, CHROMA, *STORES]
    for subject in [_named(what) for what in given.what] or shipped:
        report = examine(subject, seed=given.seed, cases=given.cases)
        reports.append(report)
        if not given.json:
            sys.stdout.write(f"{report.table() if given.all else report}\n\n")
            sys.stdout.flush()
    if given.json:
        json.dump([report.to_json() for report in reports], sys.stdout, indent=2)
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
