"""From a thousand records to a million in one scope: what adding, opening and recalling cost, exact against Chroma.

    python -m benchmarks.scale [--sizes 1000,10000,100000,1000000] [--folder DIR] [--json FILE] [--plot FILE.png]

For each size: a memory of made-up turns (words by Zipf's law, about 20 to a text) with vectors of 384 dimensions given,
in clusters, sqrt(n) of them, as texts about the same things lie. Then, each in a fresh process, so that memory and
first answers are honest: the first question ever, recall by the exact index, Chroma's index built (`reindex chroma`),
recall by Chroma.

  add       records a second, in batches of 1,000, durable, vectors given
  first     from Memory.open to the first answer, when nobody has asked before: every text is read
  open      the same in every later process, which finds the words kept
  recall    words and vectors together, vector given, k = 10, p50 and p95 of 100 questions; filtered: one kind in ten
  dense     the index alone, asked for 256: what changes between the two
  found     the share of the exact ten nearest that the index finds
  RSS       of the process that recalls, at its highest; disk: the ledger, and what Chroma adds

Clock times on a shared machine are not quiet: compare the two indexes, which ran one after the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem import Among, Cue, Memory
from benchmarks.floor import Talk
from benchmarks.measure import keep, machine_line, median, percentile, timed

DIMENSION, BATCH, QUESTIONS, K, DEPTH = 384, 1_000, 100, 10, 256
SIZES = (1_000, 10_000, 100_000, 1_000_000)
Floats = NDArray[np.float32]


class Given:
    """Vectors are given with every text and every question; nothing is left to embed."""

    id = f"given-{DIMENSION}-v1"
    dimension = DIMENSION
    in_process = True

    def embed(self, texts: Sequence[str]) -> Floats:
        raise RuntimeError("every vector is given")


def vectors(n: int) -> Iterator[Floats]:
    """Unit vectors in batches: sqrt(n) centres on the sphere, and about them noise of the same length."""
    random = np.random.default_rng(n)
    centres = random.standard_normal((max(1, round(n**0.5)), DIMENSION), np.float32)
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        rows = centres[random.integers(len(centres), size=size)] + random.standard_normal((size, DIMENSION), np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def questions(n: int) -> list[Cue]:
    """Each about one turn: a few of its words, and its vector with noise of half its length."""
    random = np.random.default_rng(1)
    step = max(1, n // QUESTIONS)
    talk, turns = Talk(n), Talk(n).turns(n)
    cues: list[Cue] = []
    rows = (row for batch in vectors(n) for row in batch)
    for i, (turn, row) in enumerate(zip(turns, rows, strict=True)):
        if i % step == 0 and len(cues) < QUESTIONS:
            near = row + 0.5 * random.standard_normal(DIMENSION).astype(np.float32) / DIMENSION**0.5
            cues.append(Cue(text=talk.question(turn), vector=tuple((near / np.linalg.norm(near)).tolist())))
    return cues


def opened(folder: Path, index: str) -> Memory:
    return Memory.open(folder, embedder=Given(), index=index)


# ── what a fresh process does ────────────────────────────────────────────────────────────────────────────────────


def add(folder: Path, n: int) -> dict[str, Any]:
    turns = Talk(n).turns(n)
    spent_wall = spent_cpu = 0.0
    with opened(folder, "exact") as memory:
        for start, rows in zip(range(0, n, BATCH), vectors(n), strict=True):
            batch = [
                {**next(turns), "vector": row, "kind": "turn" if (start + i) % 10 else "note"}
                for i, row in enumerate(rows)
            ]
            took = timed(lambda: memory.add_many(batch))  # noqa: B023  # run at once
            spent_wall, spent_cpu = spent_wall + took.wall, spent_cpu + took.cpu
        memory.flush()
        size = memory.stats().bytes
    return {"rate": n / spent_wall, "cpu_ms": 1e3 * spent_cpu / n, "ledger_mb": size / 1e6}


def first(folder: Path, n: int) -> dict[str, Any]:
    cue = questions(n)[0]
    start = time.perf_counter(), time.process_time()
    with opened(folder, "exact") as memory:
        memory.recall(cue, k=K)
        wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        closing = time.perf_counter()
    return {"open_s": wall, "open_cpu_s": cpu, "close_s": time.perf_counter() - closing}


def ask(folder: Path, n: int, index: str) -> dict[str, Any]:
    cues = questions(n)
    before = time.perf_counter(), time.process_time()
    with opened(folder, index) as memory:
        memory.recall(cues[0], k=K)
        open_wall, open_cpu = time.perf_counter() - before[0], time.process_time() - before[1]
        figures: dict[str, Any] = {"open_s": open_wall, "open_cpu_s": open_cpu, "index": memory.stats().index}
        view = memory._opened.view(memory.bound)  # the index alone has no face of its own
        asked = [np.array(cue.vector, np.float32) for cue in cues]
        notes = view.corpus.positions(view.corpus.allowed(Cue(text="x", kinds=("note",))))
        among = Among(notes, ("note",), whole=True)
        runs: dict[str, Callable[[int], object]] = {
            "recall": lambda i: memory.recall(cues[i], k=K),
            "filtered": lambda i: memory.recall(cues[i], k=K, kinds="note"),
            "dense": lambda i: view.index.search(asked[i], DEPTH),
            "dense_filtered": lambda i: view.index.search(asked[i], DEPTH, among),
        }
        for name, run in runs.items():
            took = [timed(lambda i=i, run=run: run(i)) for i in range(len(cues))]  # type: ignore[misc]
            figures[name] = {
                "p50_ms": 1e3 * median([one.wall for one in took]),
                "p95_ms": 1e3 * percentile([one.wall for one in took], 0.95),
                "cpu_p50_ms": 1e3 * median([one.cpu for one in took]),
            }
        figures["nearest"] = [view.index.search(vector, K).positions.tolist() for vector in asked]
    figures["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return figures


def build(folder: Path, n: int) -> dict[str, Any]:
    with opened(folder, "chroma") as memory:
        took = timed(lambda: memory.reindex("chroma"))
    size = sum(file.stat().st_size for file in (folder / "chroma").rglob("*") if file.is_file())
    return {"rate": n / took.wall, "seconds": took.wall, "disk_mb": size / 1e6}


PHASES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "add": add,
    "first": first,
    "exact": lambda folder, n: ask(folder, n, "exact"),
    "build": build,
    "chroma": lambda folder, n: ask(folder, n, "chroma"),
}


# ── the parent ───────────────────────────────────────────────────────────────────────────────────────────────────


def measured(folder: Path, n: int) -> dict[str, Any]:
    """All phases of one size, each in a process of its own."""
    row: dict[str, Any] = {"records": n}
    for phase in PHASES:
        print(f"{n:>9,} {phase} …", file=sys.stderr, flush=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.scale",
            "--phase",
            phase,
            "--sizes",
            str(n),
            "--folder",
            str(folder),
        ]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row[phase] = json.loads(ran.stdout)
    exact, approximate = row["exact"].pop("nearest"), row["chroma"].pop("nearest")
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(approximate, exact, strict=True)]
    row["found"] = sum(shares) / len(shares)
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    heads = (
        *("records", "add/s", "index", "build/s", "first s", "open s", "recall p50/p95 ms", "filtered", "dense p50"),
        *("found", "RSS MB", "disk MB"),
    )
    lines = []
    for row in rows:
        for index in ("exact", "chroma"):
            told = row[index]
            chroma = index == "chroma"
            lines.append(
                (
                    f"{row['records']:,}" if not chroma else "",
                    f"{row['add']['rate']:,.0f}" if not chroma else "",
                    index,
                    f"{row['build']['rate']:,.0f}" if chroma else "",
                    f"{row['first']['open_s']:.2f}" if not chroma else "",
                    f"{told['open_s']:.2f}",
                    f"{told['recall']['p50_ms']:.1f} / {told['recall']['p95_ms']:.1f}",
                    f"{told['filtered']['p50_ms']:.1f}",
                    f"{told['dense']['p50_ms']:.2f}",
                    f"{row['found']:.3f}" if chroma else "1",
                    f"{told['rss_mb']:,.0f}",
                    f"{row['build']['disk_mb'] if chroma else row['add']['ledger_mb']:,.0f}",
                )
            )
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [heads, *lines]
    )


def plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = [row["records"] for row in rows]
    figure, axes = pyplot.subplots(1, 4, figsize=(15, 3.8), layout="constrained")
    colours = {"exact": "#1f6f8b", "chroma": "#c8553d"}
    for index, colour in colours.items():
        told = [row[index] for row in rows]
        axes[0].plot(sizes, [t["recall"]["p50_ms"] for t in told], "o-", color=colour, label=index)
        axes[0].plot(sizes, [t["recall"]["p95_ms"] for t in told], ":", color=colour)
        axes[1].plot(sizes, [t["dense"]["p50_ms"] for t in told], "o-", color=colour, label=index)
        axes[1].plot(
            sizes, [t["dense_filtered"]["p50_ms"] for t in told], "o--", color=colour, label=f"{index}, 1 in 10"
        )
        axes[2].plot(sizes, [t["open_s"] for t in told], "o-", color=colour, label=index)
        if index == "exact":
            axes[2].plot(sizes, [row["first"]["open_s"] for row in rows], ":", color="#666", label="for the first time")
        axes[3].plot(sizes, [t["rss_mb"] for t in told], "o-", color=colour, label=index)
    titles = (
        "recall, p50 (dotted: p95), ms",
        "the index alone, p50, ms",
        "open to first answer, s",
        "resident memory, MB",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", yscale="log", title=title, xlabel="records in the scope")
        axis.grid(alpha=0.3, which="both")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description="One scope from a thousand records to a million.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="records, separated by commas")
    parser.add_argument("--folder", type=Path, help="where the memories are made; a temporary folder by default")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    parser.add_argument("--phase", choices=list(PHASES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.phase:
        print(json.dumps(PHASES[args.phase](args.folder / str(sizes[0]), sizes[0])))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measured(args.folder or Path(temporary), n) for n in sizes]
    print(table(rows))
    print(machine_line())
    keep(args.json, "scale", {"rows": rows}, ("agentmem-framework", "numpy", "sqlalchemy", "chromadb"))
    if args.plot:
        plot(rows, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
