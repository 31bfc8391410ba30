"""What was tried for questions over several memories, and what it is worth.

    python -m benchmarks.tried --locomo FILE --beam FOLDER [--json FILE]

Each attempt is a signal more, and the weights are learned anew with it, held out as in `train_ranker`. None of these is
in the engine; they stand here so that anybody can try again. The last line is the engine when an assistant's words
count against a record in summaries, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import AgentMemError
from agentmem.recall.bm25 import scored
from agentmem.recall.corpus import Corpus, Rows
from agentmem.recall.engine import asked_of
from agentmem.recall.fuse import Candidates, fuse
from agentmem.recall.presets import DEFAULT, PRESETS, TRAINING_FREE
from agentmem.recall.signal import Evidence, Question, Signal
from agentmem.recall.signals.dense import Dense
from agentmem.recall.signals.labelled import Labelled
from agentmem.recall.signals.late import Late
from agentmem.recall.signals.lexical import Lexical
from agentmem.recall.signals.session import Session
from agentmem.recall.signals.weighing import Weighing
from agentmem.recall.text import asked_terms
from agentmem.recall.weights import BY_HAND
from agentmem_apps.evaluate import beam, locomo
from benchmarks.measure import keep, machine_line, options
from benchmarks.train_ranker import OWN, PLANES, by_dataset, held_out, samples

SEEDS: Final = 20  # first hits that a walk begins at
FEEDING: Final = 3  # first hits whose words are asked for, too
RARE: Final = 0.1  # a word that more of the records hold links nothing
STAYS: Final = 0.5  # a walk's chance to go back to its seeds, at each step
STEPS: Final = 10


def first_hits(question: Question, number: int) -> tuple[Rows, NDArray[np.float64]]:
    """The training-free engine's, and their scores."""
    preset = PRESETS[TRAINING_FREE]
    found: Candidates = fuse(question, asked_of(question, preset, BY_HAND), number, BY_HAND)
    order = np.argsort(-found.total, kind="stable")[:number]
    return found.rows[order], found.total[order]


class Walk:
    """Personalised PageRank (Haveliwala 2002) from the first hits, from record to word to record and back; rare words
    are the likelier ways. The logarithm of how often the walk is at a record, besides where it began."""

    name = "walk over shared words"
    relative = True

    def __init__(self) -> None:
        self._known: tuple[Corpus, sparse.csr_matrix] | None = None

    def ask(self, question: Question) -> Evidence | None:
        rows, scores = first_hits(question, SEEDS)
        if not len(rows):
            return None
        seeds = np.zeros(question.corpus.rows)
        seeds[rows] = np.exp((scores - scores[0]) / 4)
        seeds /= seeds.sum()
        ways, there = self._ways(question.corpus), seeds
        for _ in range(STEPS):
            there = (1 - STAYS) * (ways @ there) + STAYS * seeds
        away = np.log(np.maximum(there - STAYS * seeds, 0) + 1e-5)
        return Weighing(lambda rows: away[rows])

    def _ways(self, corpus: Corpus) -> sparse.csr_matrix:
        if self._known is None or self._known[0] is not corpus:
            listed = [corpus.postings(word)[0] for word in corpus._words]
            kept = [rows for rows in listed if 2 <= len(rows) <= RARE * len(corpus)]
            words = np.repeat(np.arange(len(kept)), [len(rows) for rows in kept])
            weight = np.concatenate([np.full(len(rows), np.log(len(corpus) / len(rows))) for rows in kept])
            held = sparse.csr_matrix((weight, (np.concatenate(kept), words)), (corpus.rows, len(kept)))
            from_record = sparse.diags(1 / np.maximum(held.sum(axis=1).A1, 1e-9)) @ held
            from_word = sparse.diags(1 / np.maximum(held.sum(axis=0).A1, 1e-9)) @ held.T
            self._known = corpus, (from_record @ from_word).T.tocsr()
        return self._known[1]


class Again:
    """Iterative recall: BM25 by the words that the first hits add to the question (as RM3, Lavrenko and Croft 2001)."""

    name = "the first hits' words"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        rows, _ = first_hits(question, FEEDING)
        corpus, terms = question.corpus, dict[tuple[str, ...], int]()
        for text in question.texts(rows):
            for stems in asked_terms(text, corpus.languages()):
                if stems not in question.terms:
                    terms[stems] = terms.get(stems, 0) + 1
        found = {stems: held for stems in terms if len((held := corpus.postings(*stems))[0])}
        total = scored(corpus, terms, found)
        return Weighing(lambda rows: total[rows]) if found else None


class WithoutNames:
    """Decomposition by rule: the question without the names of those who speak."""

    name = "the question without names"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        names = asked_terms(" ".join(question.reading.speakers), question.corpus.languages())
        found = {stems: held for stems, held in question.found.items() if stems not in names}
        total = scored(question.corpus, question.terms, found)
        return Weighing(lambda rows: total[rows]) if found and names else None


class When:
    """Another signal, heard once more for some questions, so that it weighs otherwise for them."""

    def __init__(self, signal: Signal, name: str, of: Callable[[Question], bool]) -> None:
        self._signal = signal
        self._of = of
        self.name = name
        self.relative = signal.relative

    def ask(self, question: Question) -> Evidence | None:
        return self._signal.ask(question) if self._of(question) else None


class Early:
    """How early a record was told."""

    name = "early"
    relative = True

    def ask(self, question: Question) -> Evidence | None:
        return Weighing(lambda rows: -question.corpus.positions(rows))


class AlwaysRole:
    """1 for an assistant's words, in summaries too."""

    name = "role"
    relative = False

    def ask(self, question: Question) -> Evidence | None:
        other = "user" if question.reading.of_assistant else "assistant"
        rows = question.corpus.labelled("role", other)
        return Labelled(rows, "") if len(rows) else None


def lists(question: Question) -> bool:
    """ "What activities …", "which of my books …": a plural is asked for."""
    words = question.cue.text.lower().split()
    return any(
        asks in ("what", "which") and any(word.endswith("s") and len(word) > 3 for word in words[i + 1 : i + 4])
        for i, asks in enumerate(words)
    )


def orders(question: Question) -> bool:
    return " order" in question.cue.text.lower() and question.reading.answer != "summary"


ATTEMPTS: Final[Mapping[str, tuple[Signal, ...]]] = {
    "walk over shared words": (Walk(),),
    "the first hits' words": (Again(),),
    "the question without names": (WithoutNames(),),
    "lists weighed apart": tuple(
        When(signal, f"lists: {signal.name}", lists) for signal in (Lexical(), Dense(), Late(), Session())
    ),
    "early first, for an order": (When(Early(), "early", orders),),
}
SHOWN: Final = {
    "locomo": ("all", "multi-hop"),
    "beam": ("all", "multi_session_reasoning", "event_ordering", "summarization"),
}
FIGURES: Final = ("recall@5", "recall@10", "recall@20")


def main(opened: Callable[[str], Embedder] = open_embedder) -> int:
    asked = options(__doc__, "locomo", "beam").parse_args()
    more = [signal for signals in ATTEMPTS.values() for signal in signals]
    names = {signal.name for signal in more}
    usual = PRESETS[DEFAULT].signals
    try:
        datasets = [locomo.load(asked.locomo), beam.load(asked.beam)]
        embedder = opened(asked.embedder)
        PLANES.update(dict.fromkeys(sorted(names), OWN))
        given = [one for dataset in datasets for one in samples(dataset, embedder, (*usual, *more))]
        always = tuple(signal for signal in usual if signal.name != "role")
        otherwise = [one for dataset in datasets for one in samples(dataset, embedder, (*always, AlwaysRole()))]
    except AgentMemError as error:
        print(f"{error}. {error.way_out}", file=sys.stderr)
        return 2
    groups = {dataset.name: dataset.groups for dataset in datasets}
    runs = {"the engine": (given, names)}
    runs |= {attempt: (given, names - {signal.name for signal in added}) for attempt, added in ATTEMPTS.items()}
    runs |= {"a reply counts less in summaries, too": (otherwise, names)}
    found: dict[str, Any] = {}
    for attempt, (of, without) in runs.items():
        told = by_dataset(held_out(of, without), groups)
        found[attempt] = {
            data: {category: {name: told[data][category][name] for name in FIGURES} for category in categories}
            for data, categories in SHOWN.items()
        }
        print(attempt)
        for data, categories in found[attempt].items():
            for category, figures in categories.items():
                print(f"  {data:7} {category:24}", *(f"{100 * one:5.1f}" for one in figures.values()), flush=True)
    print(machine_line())
    keep(asked.json, "tried", {"embedder": embedder.id, "attempts": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
