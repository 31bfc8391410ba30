"""The tables of the README, written from the committed results: no figure in it is typed by hand.

python -m benchmarks.report [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN = "<!-- results: made by `python -m benchmarks.report`, from benchmarks/results -->\n"
END = "<!-- end of results -->\n"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def recall_table() -> list[str]:
    """Turn recall on the development halves, in percent."""
    lines = [
        "Finding the turns that hold the answer, without a language model (percent; development half of each set,",
        "every question with evidence, k counts single turns or messages; protocols in `agentmem_apps/evaluate`):",
        "",
        "| data | embedder | questions | recall@5 | recall@10 | recall@20 | MRR | session hit@1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, title in (("locomo", "LoCoMo"), ("beam", "BEAM-100K")):
        for embedder in ("hash", "minilm"):
            found = result(f"{data}-{embedder}")
            turn, session = found["turn"], found["session"]
            cells = [100 * turn[name] for name in ("recall@5", "recall@10", "recall@20", "mrr")]
            cells.append(100 * session["hit@1"])
            row = " | ".join(f"{cell:.1f}" for cell in cells)
            lines.append(f"| {title} | `{embedder}` | {found['n']:,} | {row} |")
    return lines


def speed_table() -> list[str]:
    floor, start, kill = result("floor"), result("startup"), result("kill")
    single, batched = floor["single"], floor["batched"]["rows"]
    recall, vectors = floor["recall"]["rows"]["recall"], floor["vectors"]
    add = single["rows"]["add"]
    machine = floor["machine"]
    total = kill["total"]
    rows = [
        (
            "a durable add against a raw SQLite commit of the same text",
            f"{single['ratio']['mean']:.1f}× on average, {single['ratio']['latency_p50']:.1f}× at the median; "
            f"{add['per_second']:,.0f} a second",
        ),
        ("adds in batches of 1,000, vectors given", f"{batched['numpy rows']['per_second']:,.0f} a second"),
        (
            "recall among 5,000 memories, cue embedded by `hash`",
            f"{recall['cpu_p50_ms']:.1f} ms of CPU at the median, {recall['cpu_p95_ms']:.1f} at p95",
        ),
        (
            "exact vector search among 20,000 against numpy alone",
            f"{vectors['ratio']['cpu']:.2f}× its CPU time",
        ),
        ("`agentmem --help`", f"{start['cases']['agentmem --help']['median_ms']:.0f} ms of CPU"),
        (
            "`kill -9` of a busy writer",
            f"{total['kills']} times, {total['acknowledged']:,} acknowledged changes, {total['lost']} lost",
        ),
    ]
    return [
        f"Speed and safety ({machine['cores']} shared cores, {machine['system']}; ratios are of one run):",
        "",
        "| what | measured |",
        "|---|---|",
        *(f"| {what} | {measured} |" for what, measured in rows),
    ]


def report() -> str:
    return "\n".join(["", *recall_table(), "", *speed_table(), "", ""])


def renewed(readme: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + report() + END + after


def main() -> int:
    file = ROOT / "README.md"
    old = file.read_text(encoding="utf-8")
    new = renewed(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            print("README.md does not say what benchmarks/results say: python -m benchmarks.report", file=sys.stderr)
        return int(old != new)
    file.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
