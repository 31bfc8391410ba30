"""What a recall costs at the median, with the embedding of the cue by a language model shown apart.

    python -m benchmarks.latency [--sizes 5000,100000] [--questions 100] [--embedder minilm] [--json FILE]

For each size a memory of made-up turns in one scope, embedded for real, late interaction included. Then, in turns
within one run, for each question: the cue's embedding alone; recall with its vector given; recall by its text, with
every signal; and the same without token vectors. Milliseconds of CPU and of the clock, p50 and p95.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from agentmem import Cue, Memory
from benchmarks.floor import Talk
from benchmarks.measure import alternating, keep, machine_line, median, percentile, timed

K = 10
VECTOR, EMBEDDING, WHOLE, PLAIN = "vector given", "the cue's embedding alone", "by text", "by text, no token vectors"


def measured(records: int, questions: int, embedder: str) -> dict[str, Any]:
    talk = Talk(records)
    turns = list(talk.turns(records))
    asked = [talk.question(turn) for turn in turns[:: max(1, records // questions)][:questions]]
    rows: dict[str, list[Any]] = {name: [] for name in (EMBEDDING, VECTOR, WHOLE, PLAIN)}
    with TemporaryDirectory() as folder:
        whole, plain = Path(folder) / "whole.mem", Path(folder) / "plain.mem"
        with Memory.open(whole, embedder=embedder, index="exact") as memory:
            memory.add_many(turns)
            memory.flush()
            name = memory.embedder.id
        copytree(whole, plain)
        with (
            Memory.open(whole, embedder=embedder, index="exact") as memory,
            Memory.open(plain, embedder=embedder, index="exact", late_interaction=False) as without,
        ):
            view = memory._opened.view(memory.bound)
            for question in asked:
                vector = tuple(memory.embedder.embed([question])[0].tolist())
                runs: dict[str, Callable[[], object]] = {
                    EMBEDDING: lambda: view.embed_cue(question),  # noqa: B023  # run at once
                    VECTOR: lambda: memory.recall(Cue(question, vector=vector), k=K),  # noqa: B023
                    WHOLE: lambda: memory.recall(question, k=K),  # noqa: B023
                    PLAIN: lambda: without.recall(question, k=K),  # noqa: B023
                }
                took = alternating(3, {name: lambda run=run: timed(run) for name, run in runs.items()})  # type: ignore[misc]
                for run, times in took.items():
                    rows[run] += times[1:]  # the first finds nothing in any cache
    return {
        "records": records,
        "embedder": name,
        "rows": {
            run: {
                "cpu_p50_ms": 1e3 * median([one.cpu for one in times]),
                "cpu_p95_ms": 1e3 * percentile([one.cpu for one in times], 0.95),
                "p50_ms": 1e3 * median([one.wall for one in times]),
                "p95_ms": 1e3 * percentile([one.wall for one in times], 0.95),
            }
            for run, times in rows.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="5000,100000", help="memories of so many records")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    asked = parser.parse_args()
    sizes = []
    for records in map(int, asked.sizes.split(",")):
        sizes.append(result := measured(records, asked.questions, asked.embedder))
        print(f"{records:,} records, {result['embedder']}: CPU p50 / p95, clock p50 / p95, ms")
        for name, row in result["rows"].items():
            figures = (row[figure] for figure in ("cpu_p50_ms", "cpu_p95_ms", "p50_ms", "p95_ms"))
            print(f"  {name:28}", *(f"{one:6.2f}" for one in figures), flush=True)
    print(machine_line())
    keep(asked.json, "latency", {"sizes": sizes})
    return 0


if __name__ == "__main__":
    sys.exit(main())
