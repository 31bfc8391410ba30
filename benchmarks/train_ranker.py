"""Learns the default engine's weights, and measures them on conversations that they were not learned from.

    python -m benchmarks.train_ranker --locomo FILE --beam FOLDER [--write] [--ablate] [--json FILE]

A conditional logit (McFadden 1974): of each question's candidates the gold ones are to be chosen before the others, by
a sum of weighted values. A ridge holds the weights, each on the scale of its values, near those of the training-free
engine, so that what the data do not show keeps the weight it was given by hand. Every question counts the same, and so
do both data sets. What is learned for the one end (conversations between people) and the other (chats with an
assistant) is told apart by how much of a scope an assistant said, never by the data set. Nothing is drawn at random.

What is written (`--write`, to agentmem/recall/learned.json) is the table for both kinds of embedder: MiniLM, which
gives token vectors, and `hash`, which does not. Figures are leave-one-conversation-out; `--ablate` learns them anew
without each signal. LoCoMo (CC BY-NC 4.0) and BEAM (CC BY-SA 4.0) are not part of the project; the table holds a few
numbers a signal of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from agentmem import Memory
from agentmem.cues import Cue
from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError
from agentmem.recall.engine import asked_of, embedded, question_of
from agentmem.recall.fuse import NEIGHBOURS, again, outdone, values
from agentmem.recall.presets import DEFAULT, PRESETS
from agentmem.recall.signal import Signal
from agentmem.recall.weights import BY_HAND, COVERAGE, LEARNED, PRIOR, Weights, assistant_share
from agentmem_apps.evaluate import beam, locomo
from agentmem_apps.evaluate.dataset import Dataset
from agentmem_apps.evaluate.metrics import score
from agentmem_apps.importers.run import write
from benchmarks.measure import keep, machine_line, options

RIDGE: Final = 30.0  # 10 to 100 move recall by less than a point
# For each better record of the session: -0.05 to -0.3 gain as much, -0.5 takes from LoCoMo. For a better turn beside a
# record: -0.2 to -0.5 gain as much.
COVERING: Final = Weights(-0.1, -0.3, -0.3)
DIGITS: Final = 3
FIGURES: Final = ("recall@5", "recall@10", "recall@20", "mrr")
SESSION_FIGURES: Final = ("hit@1", "ndcg@5")
LICENCES: Final = {"locomo": "CC BY-NC 4.0", "beam": "CC BY-SA 4.0, as a derivative has it"}
ALL: Final = (True, True, True, True)
NEAR: Final = (True, True, True, False)
OWN: Final = (True, False, False, False)
# Which of a signal's weights are learned: of a record itself, of the turn before it, after it, and those two away.
PLANES: Final = {
    "lexical": ALL,
    "dense": ALL,
    "late": ALL,
    "late window": ALL,
    "session": OWN,
    "speaker": NEAR,
    "place": OWN,  # no data has any: it keeps what it was given by hand
    "date": OWN,
    "phrase": OWN,
    "role": OWN,
    "asking": NEAR,
    "length": NEAR,
    "opening": OWN,
    "timed": OWN,
    "when": OWN,
    "number": OWN,
    "standing": OWN,
    "preference": OWN,
}
# Signals that tell how well a record fits, and of what they say of a record the most that its neighbours may count for.
FITTING: Final = ("lexical", "dense", "late", "late window", "session")
SHARES: Final = (1.0, 1.0, 0.8, 0.4)
AT_LEAST: Final = {
    **dict.fromkeys(FITTING, 0.0),
    "phrase": 1.0,
}  # what stands in quotation marks is meant to the letter


@dataclass(frozen=True)
class Sample:
    """One question: its candidates by id, what the signals say of each, float32[planes, signals, candidates], and where
    the turns before and after each stand among them, intp[candidates, 2]."""

    dataset: str
    conversation: str
    category: str
    gold: frozenset[str]
    ids: list[str]
    said: NDArray[np.float32]
    share: float
    session: NDArray[np.intc]
    beside: NDArray[np.intp]
    gold_sessions: frozenset[int]

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.array([id in self.gold for id in self.ids], np.bool_)


def samples(
    dataset: Dataset, embedder: Embedder, signals: tuple[Signal, ...] = PRESETS[DEFAULT].signals
) -> Iterator[Sample]:
    """Each question's candidates, as the engine sees them."""
    preset = replace(PRESETS[DEFAULT], signals=signals)
    for conversation in dataset.conversations:
        with (
            TemporaryDirectory() as folder,
            Memory.open(Path(folder) / "m", embedder=embedder, index="exact") as memory,
        ):
            write(memory, conversation.records(memory.bound), cause="train")
            memory.flush()
            view = memory._opened.view(memory.bound)
            view.refresh()
            ids = {record.position: conversation.id_of(record) for record in view.ledger.scan()}
            rows = view.corpus.rows_of(list(ids))
            session_of = dict(zip(ids.values(), view.corpus.sessions.of[rows].tolist(), strict=True))
            for asked in conversation.questions:
                cue = Cue(asked.text)
                question = question_of(view, cue, embedded(view, cue))
                answering = asked_of(question, preset, dict.fromkeys(PLANES, Weights(1.0)))
                valued = values(question, answering)
                said = np.zeros((4, len(PLANES), len(valued.rows)), np.float32)
                places = [list(PLANES).index(signal.name) if signal.name in PLANES else -1 for signal, _ in answering]
                told = np.concatenate([valued.of(valued.rows)[None], valued.beside()])
                for i, place in enumerate(places):
                    if place >= 0:
                        said[:, place] = told[:, i]
                found = [ids[position] for position in view.corpus.positions(valued.rows).tolist()]
                gold = frozenset(asked.gold)
                share = assistant_share(question)
                session = view.corpus.sessions.of[valued.rows]
                told_in = frozenset(session_of[id] for id in gold if id in session_of)
                yield Sample(
                    dataset.name,
                    conversation.id,
                    asked.category,
                    gold,
                    found,
                    said,
                    share,
                    session,
                    valued.next_to(),
                    told_in,
                )


# ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Learned(NamedTuple):
    """float64[planes, signals] for each end."""

    people: NDArray[np.float64]
    assistant: NDArray[np.float64]

    def scores(self, sample: Sample, covering: Weights = COVERING) -> NDArray[np.float64]:
        mixed = (1 - sample.share) * self.people + sample.share * self.assistant
        scores: NDArray[np.float64] = np.einsum("psc,ps->c", sample.said, mixed)
        all_count = np.ones(len(scores), np.bool_)
        told = again(sample.session, scores, all_count)
        shown = np.vstack([told, outdone(sample.beside, scores, all_count)])
        covered: NDArray[np.float64] = scores + np.array(covering[:3]) @ shown
        return covered


def learn(given: Sequence[Sample], without: Iterable[str] = ()) -> Learned:
    """The weights under which the gold of these questions is likeliest to be chosen."""
    basis, at_least = _basis(set(without))
    usable = [sample for sample in given if 0 < sample.right.sum() < len(sample.ids)]
    rows = np.concatenate([_rows(sample, basis) for sample in usable])
    spread = rows.std(axis=0)
    spread[spread < 1e-9] = 1.0
    rows /= spread
    right = np.concatenate([sample.right for sample in usable])
    sizes = np.array([len(sample.ids) for sample in usable])
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of = np.repeat(np.arange(len(usable)), sizes)
    counts = {name: sum(sample.dataset == name for sample in usable) for name in {s.dataset for s in usable}}
    each = np.array([len(usable) / len(counts) / counts[sample.dataset] for sample in usable])
    weight = (each / np.add.reduceat(right, start, dtype=float))[of]

    def loss(given: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = rows @ given
        scores -= np.maximum.reduceat(scores, start)[of]
        odds = np.exp(scores)
        wrong = np.add.reduceat(np.where(right, 0, odds), start)[of]
        chosen = odds / (odds + wrong)
        total = -(weight[right] * np.log(np.maximum(chosen[right], 1e-300))).sum()
        missed = np.where(right, weight * (1 - chosen), 0.0)
        pushed = np.where(right, -missed, np.add.reduceat(missed, start)[of] * odds / wrong)
        return float(total), pushed @ rows

    by_hand = np.tile(np.linalg.lstsq(basis.reshape(len(basis), -1).T, _by_hand().ravel(), rcond=None)[0], 2) * spread
    scale = _least(lambda one: loss(one, (rows @ by_hand)[:, None]), np.zeros(1), [0.0])
    prior = scale * by_hand

    def held(given: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, pushed = loss(given, rows)
        away = given - prior
        return total + RIDGE / 2 * away @ away, pushed + RIDGE * away

    low = np.tile(at_least, 2) * spread
    found = (_least(held, np.maximum(prior, low), low) / spread).reshape(2, -1)
    people, assistant = (np.tensordot(one, basis, 1) for one in found)
    return Learned(people, assistant)


def _least(
    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    start: NDArray[np.float64],
    at_least: Iterable[float],
) -> NDArray[np.float64]:
    bounds = [(low, np.inf) for low in at_least]
    done = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    found: NDArray[np.float64] = done.x
    return found


def _by_hand() -> NDArray[np.float64]:
    """float64[planes, signals]: the training-free engine's weights."""
    return np.array([BY_HAND.get(name, Weights(0.0)) for name in PLANES]).T


def _basis(without: Set[str]) -> tuple[NDArray[np.float64], list[float]]:
    """float64[numbers, planes, signals]: what each number that is learned adds to the weights; and the least it may be.

    Of a signal that tells how well a record fits, all are 0 at least, and a neighbour's share never exceeds what a
    record has of itself: else a record that says just what was asked would stand behind the one after it.
    """
    patterns: list[NDArray[np.float64]] = []
    at_least: list[float] = []
    for i, (name, planes) in enumerate(PLANES.items()):
        if name in without:
            continue
        for plane in np.flatnonzero(planes):
            if plane and NEIGHBOURS in without:
                continue
            pattern = np.zeros((4, len(PLANES)))
            pattern[plane, i] = 1.0
            if plane and name in FITTING:
                pattern[:, i] *= SHARES[plane]
                pattern[0, i] = 1.0
            patterns.append(pattern)
            at_least.append(AT_LEAST.get(name, -np.inf))
    return np.array(patterns), at_least


def _rows(sample: Sample, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[candidates, 2 · numbers]: for the one end, then for the other."""
    values = np.tensordot(sample.said.astype(np.float64), basis, ([0, 1], [1, 2]))
    return np.hstack([(1 - sample.share) * values, sample.share * values])


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────

Figures = dict[str, Any]


def figures(scored: Iterable[tuple[Sample, NDArray[np.float64]]], groups: Mapping[str, frozenset[str]]) -> Figures:
    """Of these questions, and of each category and group; recall in turns."""
    told: dict[str, list[dict[str, float]]] = {}
    for sample, scores in scored:
        order = np.argsort(-scores, kind="stable")[:50]
        one = {name: score([sample.ids[i] for i in order], sample.gold)[name] for name in FIGURES}
        sessions = score(map(str, sample.session[order].tolist()), frozenset(map(str, sample.gold_sessions)))
        one |= {f"session {name}": sessions[name] for name in SESSION_FIGURES}
        named = [name for name, members in groups.items() if sample.category in members]
        for name in ("all", sample.category, *named):
            told.setdefault(name, []).append(one)
    return {
        name: {
            "n": len(ones),
            **{figure: float(np.mean([one[figure] for one in ones])) for figure in ones[0]},
        }
        for name, ones in sorted(told.items())
    }


def held_out(given: Sequence[Sample], without: Collection[str] = ()) -> list[tuple[Sample, NDArray[np.float64]]]:
    """Each question scored by weights learned without its conversation."""
    scored = []
    for dataset, conversation in dict.fromkeys((sample.dataset, sample.conversation) for sample in given):
        here = [s for s in given if (s.dataset, s.conversation) == (dataset, conversation)]
        others = [s for s in given if (s.dataset, s.conversation) != (dataset, conversation)]
        weights = learn(others, without)
        covering = Weights(0.0) if COVERAGE in without else COVERING
        scored += [(sample, weights.scores(sample, covering)) for sample in here]
    return scored


def by_dataset(
    scored: Sequence[tuple[Sample, NDArray[np.float64]]], groups: Mapping[str, Mapping[str, frozenset[str]]]
) -> dict[str, Figures]:
    return {
        name: figures([one for one in scored if one[0].dataset == name], members) for name, members in groups.items()
    }


def _line(name: str, told: Mapping[str, Figures]) -> str:
    parts = [f"{name:24}"]
    for dataset, found in told.items():
        listed = [100 * found["all"][figure] for figure in ("recall@5", "recall@10", "recall@20")]
        more = "multi-hop" if "multi-hop" in found else "core5"
        parts.append(f"{dataset} " + " ".join(f"{one:5.1f}" for one in listed))
        parts.append(f"{more} {100 * found[more]['recall@10']:5.1f}" if more in found else "")
    return "  ".join(parts)


def table(weights: Learned) -> dict[str, dict[str, list[float]]]:
    """By end and signal, as `agentmem.recall.weights` reads it."""
    told: dict[str, dict[str, list[float]]] = {}
    for end, numbers in weights._asdict().items():
        rows = {name: [round(float(one), DIGITS) for one in numbers[:, i]] for i, name in enumerate(PLANES)}
        rows["prior"] = list(PRIOR)
        rows[COVERAGE] = list(COVERING)
        told[end] = rows
    return told


def _written(weights: Mapping[str, Learned], datasets: Sequence[Dataset], embedders: Mapping[str, str]) -> str:
    """The file, with a line a signal, so that it can be read and compared."""
    about = {
        "about": "Weights of the default engine, learned by benchmarks/train_ranker.py on development halves. By "
        "signal: of a record itself, of the turn before it, of the turn after it, of the two that are two away.",
        "learned from": {
            one.name: {"file": one.file, "sha256": one.sha256, "licence": LICENCES[one.name.partition("-")[0].lower()]}
            for one in datasets
        },
        "embedders": dict(embedders),
        "ridge": RIDGE,
        "seed": "none: nothing is drawn at random",
    }
    kinds = []
    for kind, learned in weights.items():
        ends = []
        for end, rows in table(learned).items():
            lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in rows.items())
            ends.append(f"   {json.dumps(end)}: {{\n{lines}\n   }}")
        kinds.append(f"  {json.dumps(kind)}: {{\n" + ",\n".join(ends) + "\n  }")
    head = json.dumps(about, indent=1)[:-2]
    return f'{head},\n "weights": {{\n' + ",\n".join(kinds) + "\n }\n}\n"


def main(opened: Callable[[str], Embedder] = open_embedder) -> int:
    parser = options(__doc__, "locomo", "beam")
    parser.add_argument("--write", action="store_true", help=f"write {LEARNED.name}")
    parser.add_argument("--ablate", action="store_true", help="learn anew without each signal")
    asked = parser.parse_args()
    weights, embedders, result = dict[str, Learned](), dict[str, str](), dict[str, Any]()
    try:
        datasets = [locomo.load(asked.locomo), beam.load(asked.beam)]
        for kind, name in (("with tokens", asked.embedder), ("without tokens", "hash")):
            embedder = opened(name)
            given = [sample for dataset in datasets for sample in samples(dataset, embedder)]
            groups = {dataset.name: dataset.groups for dataset in datasets}
            told = result[kind] = {"embedder": embedder.id}
            hand = Learned(_by_hand(), _by_hand())
            found = {
                "held out": by_dataset(held_out(given), groups),
                "by hand": by_dataset([(sample, hand.scores(sample, Weights(0.0))) for sample in given], groups),
            }
            for dataset in datasets:
                alone = learn([sample for sample in given if sample.dataset == dataset.name])
                end = alone.people if dataset is datasets[0] else alone.assistant
                crossed = Learned(end, end)
                others = [(s, crossed.scores(s)) for s in given if s.dataset != dataset.name]
                name = f"learned on {dataset.name} alone"
                found[name] = by_dataset(others, {n: g for n, g in groups.items() if n != dataset.name})
            if asked.ablate and not weights:  # of the first kind alone: it hears every signal
                heard = [name for i, name in enumerate(PLANES) if any(sample.said[:, i].any() for sample in given)]
                for name in (*heard, NEIGHBOURS, COVERAGE):
                    found[f"without {name}"] = by_dataset(held_out(given, [name]), groups)
            print(f"{kind} ({embedder.id}), recall@5, @10 and @20 in percent")
            for name, one in found.items():
                print("  " + _line(name, one), flush=True)
            told["figures"] = found
            weights[kind], embedders[kind] = learn(given), embedder.id
            told["weights"] = table(weights[kind])
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    if asked.write:
        LEARNED.write_text(_written(weights, datasets, embedders), encoding="utf-8")
        print(f"written: {LEARNED.name}, {LEARNED.stat().st_size:,} bytes")
    print(machine_line())
    keep(asked.json, "train_ranker", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
