"""agentmem and its peers side by side: the same turns, questions and vectors, in one run.

    python -m benchmarks.peers --locomo FILE --beam FOLDER [--turns 5000] [--cache DIR] [--json FILE] [--plot PNG]

LangGraph's InMemoryStore and SqliteStore, chromadb, mem0 (`infer=False`) on Chroma and on Qdrant, txtai dense and
hybrid, agentmem, and the floor under all: raw SQLite and numpy. Versions: `benchmarks/peers/requirements.txt`. Each has
a process of its own with one thread for BLAS and OpenMP; the rounds alternate. One that is not installed or fails is a
row that says so.

All turns are in one collection, since that is one user's memory. Each question is asked over all of it, where the cost
shows, and filtered to its own conversation, where the answer is looked for: by tag (agentmem), namespace (LangGraph),
metadata (Chroma), run_id (mem0), SQL (txtai). Vectors are MiniLM's of "speaker: text" and given to everyone. agentmem
keeps speaker and time in their own fields and looks words up in them too; the others keep "speaker: text". (Without
the dates agentmem's hybrid hit@10 is one point lower.)

Nothing is embedded in a measured time. Exit status 1 when a target of `benchmarks/peers/targets.py` is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from agentmem.embedding import open_embedder
from agentmem.errors import AgentMemError
from benchmarks.measure import keep, machine_line, rounded
from benchmarks.peers.run import SYSTEMS, Plan, compare
from benchmarks.peers.table import draw, table
from benchmarks.peers.targets import judge, ratios
from benchmarks.peers.turns import Data, read, vectors

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "MEM0_TELEMETRY": "False",
    "ANONYMIZED_TELEMETRY": "False",
}


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    usual = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--locomo", type=Path, required=True, metavar="FILE", help="LoCoMo's JSON (snap-research/locomo)"
    )
    parser.add_argument("--beam", type=Path, required=True, metavar="FOLDER", help="BEAM's chats, a folder each")
    parser.add_argument("--turns", type=int, default=5_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="draws the questions")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--singles", type=int, default=usual.singles, help="turns that are added one by one")
    parser.add_argument(
        "--patience", type=float, default=usual.patience_s, metavar="S", help="longest step of a system"
    )
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, metavar="NAME", help=", ".join(SYSTEMS))
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the stores are made, and removed again")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where the vectors are kept for the next run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the result here, as PNG (matplotlib)")
    return parser.parse_args()


def main() -> int:
    asked = options()
    try:
        given = read(asked.locomo, asked.beam, asked.turns, asked.questions, asked.seed)
        matrix = vectors(given.texts, open_embedder(asked.embedder), asked.cache, tell)
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        print("LoCoMo and BEAM are not part of the project: --locomo and --beam say where they are.", file=sys.stderr)
        return 2
    data, turns = Data.of(given, matrix), given.turns
    os.environ |= dict.fromkeys(_ONE_THREAD, "1") | _OFFLINE  # for the processes to come
    systems = {name: SYSTEMS[name] for name in asked.systems or SYSTEMS}
    plan = Plan(asked.rounds, asked.singles, patience_s=asked.patience)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        rows = compare(systems, data, plan, Path(folder), tell)
    verdicts = judge(rows, len(turns))
    found = {
        "sha256": given.files,
        "turns": len(turns),
        "passages": sum("#" in turn.key for turn in turns),
        "conversations": len({turn.conversation for turn in turns}),
        "questions": len(given.questions),
        "rounds": plan.rounds,
        "singles": plan.singles,
        "batch": plan.batch,
        "embedder": asked.embedder,
        "systems": rows,
        "ratios": ratios(rows),
        "targets": verdicts,
    }
    print(machine_line())
    print(f"{found['turns']:,} turns of {found['conversations']} conversations, {found['questions']} questions")
    print(table(rows))
    print()
    for verdict in verdicts:
        measured = "not measured" if verdict["measured"] is None else rounded(verdict["measured"], 3)
        word = {True: "met", False: "MISSED", None: "shown"}[verdict["met"]]
        print(f"{word:7}{verdict['what']} {rounded(verdict['limit'], 3)}: {measured}")
    keep(asked.json, "peers", found)
    if asked.plot is not None:
        draw(rows, len(turns), asked.plot)
    return int(any(verdict["met"] is False for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
