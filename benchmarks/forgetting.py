"""What forgetting costs: the evidence that recall still finds when a memory keeps only a share of its records.

    python -m benchmarks.forgetting --locomo FILE --beam FOLDER [--json FILE] [--plot FILE.png]

For each conversation of the development halves: a half of its questions, drawn by a seed, is asked, and the turns among
the first ten hits that answer are marked useful. Then what each policy of `agentmem.dynamics` gives up is forgotten,
step by step down to a tenth of the records, and the other half is asked after each step. Figures are recall@10 of the
evidence, forgotten evidence included, plain and weighted by need: a question about what is a days old, counted from the
conversation's last turn, weighs 1 / (1 + a).

While all is kept, the store is also heard as one signal more: what feedback on one half does to the other.

No policy sees the questions that are scored. No turn was given a strength, so `importance` goes by uses alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, cast

from agentmem import Memory
from agentmem.dynamics import POLICIES, fading
from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError
from agentmem.values import now
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question
from agentmem_apps.evaluate.metrics import recall
from agentmem_apps.importers.run import write
from agentmem_stores.rehearsal import RehearsalMemory
from benchmarks.measure import keep, machine_line, options

__all__ = ["measured", "plot", "rehearsed_table", "table"]

SHARES: Final = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)
K: Final = 10
WEIGHTS: Final = (0.1, 0.3)  # of the store, when it is heard
SEED: Final = 0
RESULT: Final = Path(__file__).parent / "results" / "forgetting.json"
TITLES: Final = {"locomo": "LoCoMo", "beam": "BEAM-100K"}
Scored = list[tuple[float, float]]  # a question's recall@10, and its weight


def halves(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """Those by which a memory learns what is of use, and those that are scored."""
    mixed = list(questions)
    random.Random(SEED).shuffle(mixed)
    return mixed[::2], mixed[1::2]


def learned(memory: Memory, conversation: Conversation, questions: Sequence[Question]) -> set[str]:
    """Ask, and mark what answers; the turns that were marked."""
    marked = set()
    for question in questions:
        for hit in memory.recall(question.text, K):
            if conversation.id_of(hit.record) in question.gold:
                memory.feedback(hit, useful=True)
                marked.add(conversation.id_of(hit.record))
    return marked


def scored(
    memory: Memory,
    conversation: Conversation,
    questions: Sequence[Question],
    age: Mapping[str, float],
) -> Scored:
    """`age`: days before the last turn, by a turn's id."""
    found: Scored = []
    for question in questions:
        ids = [conversation.id_of(hit.record) for hit in memory.recall(question.text, K)]
        weight = 1 / (1 + min(age[id] for id in question.gold))
        found.append((recall(ids, frozenset(question.gold), K), weight))
    return found


class Asked(NamedTuple):
    """What one conversation gave: policy → share kept → what the questions score; how many turns were marked; of each
    question's evidence the share that was; how many records fade by default, right after; and, while all are kept,
    weight → what the questions score when the uses are heard as one signal more."""

    scores: dict[str, dict[float, Scored]]
    heard: dict[float, Scored]
    marked: int
    known: list[float]
    fading: int


def asked(conversation: Conversation, embedder: Embedder) -> Asked:
    with TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=embedder) as memory:
        write(memory, conversation.records(memory.bound), cause="evaluate")
        memory.flush()
        first, second = halves(conversation.questions)
        marked = learned(memory, conversation, first)
        store = cast(RehearsalMemory, memory.stores[RehearsalMemory.name])
        records, uses = store.held()
        last = max(record.at for record in records)
        age = {conversation.id_of(record): (last - record.at).total_seconds() / 86_400 for record in records}
        whole = scored(memory, conversation, second, age)
        heard = {}
        for weight in WEIGHTS:
            memory.attach(store.name, weight=weight)
            heard[weight] = scored(memory, conversation, second, age)
            memory.detach(store.name)
        found: dict[str, dict[float, Scored]] = {}
        for policy in POLICIES:
            found[policy], gone, steps = {1.0: whole}, set[str](), 0
            for share in SHARES[1:]:
                going = {one.record.id for one in fading(records, uses, now(), policy=policy, keep=share)} - gone
                memory.forget(*going)
                gone, steps = gone | going, steps + 1
                found[policy][share] = scored(memory, conversation, second, age)
            memory.undo(steps)
    known = [len(marked & set(question.gold)) / len(question.gold) for question in second]
    return Asked(found, heard, len(marked), known, len(fading(records, uses, now())))


def measured(dataset: Dataset, embedder: Embedder) -> dict[str, Any]:
    """Policy → share kept → recall@10, plain and weighted."""
    gathered: dict[str, dict[float, Scored]] = {policy: {share: [] for share in SHARES} for policy in POLICIES}
    heard: dict[float, Scored] = {weight: [] for weight in WEIGHTS}
    marked, fades, known = 0, 0, list[float]()
    for conversation in dataset.conversations:
        told = asked(conversation, embedder)
        marked, fades, known = marked + told.marked, fades + told.fading, known + told.known
        for weight, scores in told.heard.items():
            heard[weight] += scores
        for policy, shares in told.scores.items():
            for share, scores in shares.items():
                gathered[policy][share] += scores
        sys.stderr.write(f"{dataset.name} {conversation.id}: {told.marked} turns marked\n")
    return {
        "sha256": dataset.sha256,
        "questions": len(known),
        "marked": marked,
        "known": sum(known) / len(known),
        "fades by default": fades,
        "heard": {str(weight): _means(scores) for weight, scores in heard.items()},
        "policies": {
            policy: {str(share): _means(scores) for share, scores in shares.items()}
            for policy, shares in gathered.items()
        },
    }


def _means(scores: Scored) -> dict[str, float]:
    weights = sum(weight for _, weight in scores)
    return {
        "plain": sum(score for score, _ in scores) / len(scores),
        "weighted": sum(score * weight for score, weight in scores) / weights,
    }


def plot(sets: Mapping[str, Any], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    colours = dict(zip(POLICIES, ("#1f6f8b", "#3aa6a0", "#c8553d", "#8a8a8a", "#c9a227"), strict=True))
    figure, axes = pyplot.subplots(1, 2 * len(sets), figsize=(15, 3.8), layout="constrained")
    for axis, (name, figures) in zip(axes, [(n, f) for n in sets for f in ("plain", "weighted")], strict=True):
        for policy, shares in reversed(
            sets[name]["policies"].items()
        ):  # need on top: where it hides others, they agree
            kept = [float(share) for share in shares]
            values = [100 * told[figures] for told in shares.values()]
            axis.plot(kept, values, "o-", color=colours[policy], label=policy, markersize=3)
        axis.set(title=f"{TITLES[name]}, {figures}", xlabel="share of records kept", ylim=(0, 100))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("evidence recall@10, %")
    axes[0].legend(frameon=False, reverse=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def table() -> list[str]:
    """For docs/forgetting.md, from the committed result."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))["sets"]
    lines: list[str] = []
    for name, title in TITLES.items():
        told = found[name]
        lines += [
            f"{title}: {told['questions']} questions, asked after the other half had {told['marked']} turns marked as",
            f"useful, among them {100 * told['known']:.0f} % of the evidence that is looked for (evidence recall@{K}",
            "in percent, plain / weighted by need):",
            "",
            "| policy | " + " | ".join(f"{100 * share:.0f} % kept" for share in SHARES) + " |",
            "|---|" + "---|" * len(SHARES),
        ]
        for policy, shares in told["policies"].items():
            cells = [f"{100 * shares[str(s)]['plain']:.1f} / {100 * shares[str(s)]['weighted']:.1f}" for s in SHARES]
            lines.append(f"| {policy} | " + " | ".join(cells) + " |")
        heard = "; ".join(
            f"at a weight of {weight}, {100 * one['plain']:.1f} / {100 * one['weighted']:.1f}"
            for weight, one in told["heard"].items()
        )
        lines += [
            "",
            f"With all kept, and the store `rehearsal` attached, which brings up what was of use: {heard}.",
            "",
        ]
    return lines[:-1]


def rehearsed_table() -> list[str]:
    """The rows of `benchmarks.stores.rehearsal`, with what did not reproduce."""
    rows = json.loads(RESULT.with_name("stores.json").read_text(encoding="utf-8"))["rows"]
    lines = [
        "Which old things a fixed budget of rehearsals goes to, and how many views of one at once"
        " (`python -m benchmarks.stores rehearsal`; seeded, shares of 1 where no unit is named):",
        "",
        "| what | the source says | measured | what did not reproduce, and remarks |",
        "|---|---|---|---|",
    ]
    for row in rows:
        if row["store"] == "rehearsal":
            measured = "; ".join(f"{label} **{value:.3g}**" for label, value in row["measured"].items())
            lines.append(f"| {row['what']} | {row['source'] or '–'} | {measured} | {row['remark']} |")
    return lines


def main() -> int:
    parser = options(__doc__, "locomo", "beam")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the result here, as PNG (matplotlib)")
    given = parser.parse_args()
    sets: dict[str, Any] = {}
    try:
        embedder = open_embedder(given.embedder)
        for dataset in (locomo.load(given.locomo), beam.load(given.beam)):
            sets[dataset.name] = measured(dataset, embedder)
            print(f"{dataset.name:20}" + "".join(f"{share:>16.2f}" for share in SHARES))
            for policy, shares in sets[dataset.name]["policies"].items():
                cells = [f"{100 * told['plain']:8.1f}{100 * told['weighted']:8.1f}" for told in shares.values()]
                print(f"{policy:20}" + "".join(cells), flush=True)
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    print(machine_line())
    keep(given.json, "forgetting", {"embedder": embedder.id, "k": K, "sets": sets})
    if given.plot:
        plot(sets, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
