"""The tables of the README and of the pages under docs, written from the committed results: no figure is typed by hand.

python -m benchmarks.report [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import forgetting
from benchmarks.stores import tables

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN = "<!-- results: made by `python -m benchmarks.report`, from benchmarks/results -->\n"
END = "<!-- end of results -->\n"
SETS = (("locomo", "LoCoMo"), ("beam", "BEAM-100K"))


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


# Kind of embedder → the one that stands for it.
KINDS = {"without tokens": "hash", "with tokens": "minilm"}


def held_out(kind: str, data: str) -> Any:
    """What the default engine finds by weights that were learned without the conversation that is asked."""
    return result("train_ranker")[kind]["figures"]["held out"][data]


def recall_table() -> list[str]:
    """Turn recall on the development halves, in percent."""
    lines = [
        "Finding the turns that hold the answer, without a language model (percent; development half of each set, each",
        "conversation asked by weights that were learned without it, every question with evidence; k counts single",
        "turns or messages; protocols in `agentmem_apps/evaluate`):",
        "",
        "| data | embedder | questions | recall@5 | recall@10 | recall@20 | MRR | session hit@1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, title in SETS:
        for kind, embedder in KINDS.items():
            found = held_out(kind, data)["all"]
            named = ("recall@5", "recall@10", "recall@20", "mrr", "session hit@1")
            row = " | ".join(f"{100 * found[name]:.1f}" for name in named)
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
            f"{total['kills']:,} times, {total['acknowledged']:,} acknowledged changes, {total['lost']} lost",
        ),
    ]
    return [
        f"Speed and safety ({machine['cores']} shared cores, {machine['system']}; ratios are of one run):",
        "",
        "| what | measured |",
        "|---|---|",
        *(f"| {what} | {measured} |" for what, measured in rows),
    ]


# System → how the table calls it. The floor is no memory: what SQLite and numpy cost by themselves.
PEERS = {
    "agentmem": "**agentmem**",
    "LangGraph SqliteStore": "LangGraph SqliteStore",
    "LangGraph InMemoryStore": "LangGraph InMemoryStore",
    "chromadb": "Chroma",
    "mem0 on Chroma": "mem0 on Chroma, `infer=False`",
    "mem0 on Qdrant": "mem0 on Qdrant, `infer=False`",
    "txtai": "txtai",
    "txtai, hybrid": "txtai, hybrid",
    "floor: sqlite3 + numpy": "floor: SQLite and numpy",
}


def peers_table() -> list[str]:
    """Side by side, at two sizes, of one run each."""
    small, large = result("peers-5000"), result("peers-20000")
    lines = [
        "Beside other memories: the same turns of LoCoMo's and BEAM's development halves, the same precomputed MiniLM",
        "vectors, one run for each size (`make peers`). Adds one by one, and what outlives a killed process or a power",
        "cut; milliseconds of CPU of a search at the median; the share of questions whose turn is among the first ten",
        "of its conversation:",
        "",
        "| system | adds/s | outlives | search | CPU ms, 5,000 | CPU ms, 20,000 | hit@10 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in PEERS.items():
        standing = small["systems"][name]
        for mode, found in standing["recall"].items():
            more = large["systems"][name]["recall"][mode]
            adds = f"{standing['single_adds']['per_second']:,.0f}"
            cells = [title, adds, standing["survives"], mode]
            cells += [f"{found['whole']['cpu_p50_ms']:.1f}", f"{more['whole']['cpu_p50_ms']:.1f}"]
            lines.append("| " + " | ".join([*cells, f"{found['filtered']['hit@10']:.3f}"]) + " |")
    return lines


def scale_table() -> list[str]:
    first = {row["records"]: row["first"]["open_s"] for row in result("scale")["rows"]}
    lines = [
        "One scope from a thousand records to a million (`benchmarks/scale.py`; words and vectors together, vector",
        "given; [plot](benchmarks/results/scale.png)). A process finds the words that an earlier one kept; the very",
        f"first reads every text: {first[100_000]:.1f} s at 100,000 and {first[1_000_000]:.0f} s at a million.",
        "",
        "| records | adds/s | opened to first answer | index | recall p50 / p95, ms | nearest found | resident MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result("scale")["rows"]:
        for index in ("exact", "chroma"):
            told = row[index]
            recall = f"{told['recall']['p50_ms']:.1f} / {told['recall']['p95_ms']:.1f}"
            found = "all" if index == "exact" else f"{100 * row['found']:.1f} %"
            cells = [f"{row['records']:,}", f"{row['add']['rate']:,.0f}", f"{told['open_s']:.1f} s", index, recall]
            lines.append("| " + " | ".join([*cells, found, f"{told['rss_mb']:,.0f}"]) + " |")
    return lines


_FIGURES = ("recall@5", "recall@10", "recall@20", "mrr", "session hit@1", "session ndcg@5")


def engines_table() -> list[str]:
    """Engines over the same memories, in one run a set."""
    lines = [
        "Engines over the same memories, MiniLM vectors (percent of the gold turns; `learned`, the default, held out;"
        " pictures of the others: "
        + ", ".join(f"[{title}](../benchmarks/results/{data}-engines.png)" for data, title in SETS)
        + "):",
        "",
        "| data | engine | recall@5 | recall@10 | recall@20 | MRR | session hit@1 | session NDCG@5 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, title in SETS:
        told = {}
        for one in result(f"{data}-engines")["engines"]:
            told[one["engine"]] = {
                **one["turn"],
                **{f"session {name}": one["session"][name] for name in one["session"]},
            }
        told["learned"] = held_out("with tokens", data)["all"]
        for engine, found in told.items():
            lines.append(f"| {title} | `{engine}` | " + " | ".join(f"{100 * found[n]:.1f}" for n in _FIGURES) + " |")
    return lines


def ablation_table() -> list[str]:
    """What is lost without each signal."""
    found = result("train_ranker")["with tokens"]["figures"]
    whole = found["held out"]
    lines = [
        "What leaving a signal out does to recall@5 and recall@10 when the weights are learned anew without it, in"
        " points (MiniLM, held out; `everything` in percent):",
        "",
        "| engine | " + " | ".join(f"{title} @5 | {title} @10" for _, title in SETS) + " |",
        "|---|" + "---|" * (2 * len(SETS)),
    ]
    metrics = [(data, metric) for data, _ in SETS for metric in ("recall@5", "recall@10")]
    lines.append("| everything | " + " | ".join(f"{100 * whole[d]['all'][m]:.1f}" for d, m in metrics) + " |")
    for name, one in found.items():
        if name.startswith("without "):
            cells = [f"{100 * (one[d]['all'][m] - whole[d]['all'][m]):+.1f}" for d, m in metrics]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def transfer_table() -> list[str]:
    """What the weights of one kind of conversation are worth on the other."""
    lines = [
        "Weights learned on one set and used on the other, against those set by hand (recall@10, percent):",
        "",
        "| embedder | asked | learned on the other set alone | by hand | learned on both, held out |",
        "|---|---|---|---|---|",
    ]
    for kind, embedder in KINDS.items():
        figures = result("train_ranker")[kind]["figures"]
        for (data, title), (other, _) in zip(SETS, reversed(SETS), strict=True):
            named = (f"learned on {other} alone", "by hand", "held out")
            cells = [f"{100 * figures[name][data]['all']['recall@10']:.1f}" for name in named]
            lines.append(f"| `{embedder}` | {title} | " + " | ".join(cells) + " |")
    return lines


def tried_table() -> list[str]:
    """What was tried for questions over several memories."""
    found = result("tried")["attempts"]
    shown = [(data, category) for data, categories in next(iter(found.values())).items() for category in categories]
    titles = dict(SETS)
    lines = [
        "What was tried for questions over several memories, each with the weights learned anew (`benchmarks/tried.py`;"
        " MiniLM, held out, recall@10 in percent):",
        "",
        "| attempt | " + " | ".join(f"{titles[data]}: {name.replace('_', ' ')}" for data, name in shown) + " |",
        "|---|" + "---|" * len(shown),
    ]
    for attempt, told in found.items():
        cells = [f"{100 * told[data][category]['recall@10']:.1f}" for data, category in shown]
        lines.append(f"| {attempt} | " + " | ".join(cells) + " |")
    return lines


def latency_table() -> list[str]:
    """What a recall costs, the embedding of the cue shown apart."""
    told = result("latency")
    lines = [
        "A recall from one scope, with the embedding of the cue by MiniLM shown apart (`benchmarks/latency.py`;"
        " milliseconds):",
        "",
        "| memories | what | CPU p50 | CPU p95 | clock p50 | clock p95 |",
        "|---|---|---|---|---|---|",
    ]
    for size in told["sizes"]:
        for name, row in size["rows"].items():
            cells = [f"{row[figure]:.1f}" for figure in ("cpu_p50_ms", "cpu_p95_ms", "p50_ms", "p95_ms")]
            lines.append(f"| {size['records']:,} | {name} | " + " | ".join(cells) + " |")
    return lines


def by_category_table() -> list[str]:
    """Recall@10 of the default engine by category."""
    lines = [
        "The default engine by category (held out, recall@10, percent; questions):",
        "",
        "| data | category | questions | `hash` | `minilm` |",
        "|---|---|---|---|---|",
    ]
    for data, title in SETS:
        least, best = (held_out(kind, data) for kind in KINDS)
        for name, part in best.items():
            cells = [f"{100 * one[name]['recall@10']:.1f}" for one in (least, best)]
            lines.append(f"| {title} | {name.replace('_', ' ')} | {part['n']} | " + " | ".join(cells) + " |")
    return lines


def assistant_table() -> list[str]:
    """Questions about what the assistant said."""
    told = result("assistant")
    lines = [
        f"{told['n']} questions about what the assistant said, in BEAM's chats (`benchmarks/assistant.py`; MiniLM,"
        " percent whose message is found):",
        "",
        "| engine | first | among 5 | among 10 | the assistant's words first |",
        "|---|---|---|---|---|",
    ]
    for name, shares in told["engines"].items():
        cells = [f"{100 * shares[what]:.1f}" for what in ("hit@1", "hit@5", "hit@10", "assistant first")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def packs_table() -> list[str]:
    """How much of the evidence a packed context holds."""
    found = result("packs")
    lines = [
        "The evidence in a packed context (`benchmarks/packs.py`; MiniLM, `training-free`, percent of the gold turns;"
        " tokens by the estimate):",
        "",
        "| data | budget | evidence in it | all of it in | memories quoted |",
        "|---|---|---|---|---|",
    ]
    for data, title in SETS:
        for budget, shares in found[data]["budgets"].items():
            cells = [f"{int(budget):,} tokens", f"{100 * shares['evidence']:.1f}", f"{100 * shares['whole']:.1f} %"]
            lines.append("| " + " | ".join([title, *cells, f"{shares['quoted']:.1f}"]) + " |")
    return lines


def sort_table() -> list[str]:
    """Which of two segments of a book came first."""
    found = result("sort")
    lines = [
        f"Which of two segments of {found['segment']} words came first, in {found['books']} books of"
        f" {found['words']:,} words (SORT, `agentmem eval sort`; `hash`, percent right of {found['n']:,} pairs):",
        "",
        "| words between them | pairs | right |",
        "|---|---|---|",
    ]
    rows = [(part["distance"], part["n"], part["accuracy"]) for part in found["by_distance"]]
    rows += [("all", found["n"], found["accuracy"]), ("all, written in a shuffled order", found["n"], found["control"])]
    return lines + [f"| {distance} | {n:,} | {100 * share:.1f} |" for distance, n, share in rows]


# Page → the tables between its two marks.
PAGES: dict[str, tuple[Callable[[], list[str]], ...]] = {
    "README.md": (recall_table, speed_table, peers_table, scale_table),
    "docs/recall.md": (
        engines_table,
        ablation_table,
        tried_table,
        transfer_table,
        by_category_table,
        assistant_table,
        packs_table,
        sort_table,
        latency_table,
    ),
    "docs/stores.md": (tables.measured_table, tables.recall_table, tables.routing_table),
    "docs/forgetting.md": (forgetting.table, forgetting.rehearsed_table),
}


def renewed(page: str) -> str:
    """The page's text with its tables as the results have them."""
    before, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = [table() for table in PAGES[page]]
    report = "\n".join(["", *(line for table in tables for line in [*table, ""]), ""])
    return before + BEGIN + report + END + after


def main() -> int:
    stale = [page for page in PAGES if (ROOT / page).read_text(encoding="utf-8") != renewed(page)]
    if "--check" in sys.argv[1:]:
        for page in stale:
            print(f"{page} does not say what benchmarks/results say: python -m benchmarks.report", file=sys.stderr)
        return int(bool(stale))
    for page in stale:
        (ROOT / page).write_text(renewed(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
