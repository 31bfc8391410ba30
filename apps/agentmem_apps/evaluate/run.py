"""Running a benchmark: rank first, knowing nothing of the gold; score afterwards.

Each conversation gets a fresh memory of its own in a temporary folder, its turns come in as the importer brings them,
and every question is one `recall`. `rank` is given texts and nothing else, so no gold can reach a ranking.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import MappingProxyType
from typing import IO, NamedTuple, Self, TypeAlias

from agentmem import __version__
from agentmem.cues import Hit
from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import InvalidInput
from agentmem.memory import Memory
from agentmem.recall.presets import DEFAULT, PRESETS, Preset, preset
from agentmem.records import Record, Scope
from agentmem.values import Json
from agentmem_apps.evaluate.dataset import Conversation, Dataset, Question
from agentmem_apps.evaluate.metrics import METRICS, mean, score
from agentmem_apps.importers.run import write

__all__ = ["EvalReport", "compare", "evaluate", "rank"]

Progress: TypeAlias = Callable[[int, int], None]  # questions done, and of how many
# Turns in a ranking; gold beyond them counts as not found. A session stands where its best turn does, and of the whole
# ranking nothing more is needed: on LoCoMo's development half it gives the same session figures save recall@20, which
# is 0.3 points higher, and takes 6 times as long.
_DEPTH = 50


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Averages over the `n` questions that have gold, at the level of turns and of sessions (by their best turn).

    `categories` and `groups` hold, by name, the same three: n, turn, session.
    """

    dataset: str
    file: str
    sha256: str
    embedder: str
    engine: str
    conversations: int
    records: int
    asked: int
    n: int
    turn: Mapping[str, float]
    session: Mapping[str, float]
    categories: Mapping[str, Mapping[str, Json]]
    groups: Mapping[str, Mapping[str, Json]]
    seconds: float
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Json]:
        return {
            "schema": 1,
            "dataset": self.dataset,
            "file": self.file,
            "sha256": self.sha256,
            "embedder": self.embedder,
            "engine": self.engine,
            "conversations": self.conversations,
            "records": self.records,
            "asked": self.asked,
            "n": self.n,
            "depth": _DEPTH,
            "turn": dict(self.turn),
            "session": dict(self.session),
            "per_category": {name: dict(part) for name, part in self.categories.items()},
            "groups": {name: dict(part) for name, part in self.groups.items()},
            "seconds": round(self.seconds, 3),
            "versions": dict(self.versions),
        }


@dataclass(frozen=True, slots=True)
class _Scored:
    category: str
    turn: Mapping[str, float]
    session: Mapping[str, float]


def evaluate(
    dataset: Dataset,
    *,
    embedder: str | Embedder = "auto",
    dump: str | Path | None = None,
    progress: Progress | None = None,
) -> EvalReport:
    """Rank every question of the dataset, then score. `dump` receives a JSON line a question, as it is ranked."""
    [report] = compare(dataset, [DEFAULT], embedder=embedder, dump=dump, progress=progress)
    return report


def compare(
    dataset: Dataset,
    engines: Sequence[str] | Mapping[str, Preset],
    *,
    embedder: str | Embedder = "auto",
    dump: str | Path | None = None,
    progress: Progress | None = None,
) -> list[EvalReport]:
    """As `evaluate`, by each of these engines over the same memories; the lines of the first are dumped."""
    by_name = engines if isinstance(engines, Mapping) else {name: preset(name) for name in engines}
    opened = open_embedder(embedder)
    total = sum(len(conversation.questions) for conversation in dataset.conversations) * len(engines)
    scored: dict[str, list[_Scored]] = {engine: [] for engine in by_name}
    seconds = dict.fromkeys(by_name, 0.0)
    records = done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    with _Dump(dump) as out:
        for conversation in dataset.conversations:
            turns = list(conversation.records(Scope("evaluation")))
            records += len(turns)
            session_of = {conversation.id_of(turn): turn.session or "" for turn in turns}
            questions = [question.text for question in conversation.questions]

            for number, (engine, rankings) in enumerate(rank(turns, questions, opened, by_name, advance).items()):
                seconds[engine] += rankings.seconds
                for question, hits in zip(conversation.questions, rankings.hits, strict=True):
                    ids = [conversation.id_of(hit.record) for hit in hits]
                    scored[engine].append(_score(question, ids, session_of))
                    if not number:
                        out.write(conversation, question, ids, hits)
    return [_report(dataset, opened.id, engine, records, scored[engine], seconds[engine]) for engine in scored]


def _report(
    dataset: Dataset, embedder: str, engine: str, records: int, scored: list[_Scored], seconds: float
) -> EvalReport:
    return EvalReport(
        dataset=dataset.name,
        file=dataset.file,
        sha256=dataset.sha256,
        embedder=embedder,
        engine=engine,
        conversations=len(dataset.conversations),
        records=records,
        asked=dataset.asked,
        n=len(scored),
        turn=mean([one.turn for one in scored]),
        session=mean([one.session for one in scored]),
        categories={name: _part(scored, {name}) for name in sorted({one.category for one in scored})},
        groups={name: _part(scored, members) for name, members in dataset.groups.items()},
        seconds=seconds,
        versions=_versions(),
    )


class Rankings(NamedTuple):
    """The first 50 hits of each question, and how long asking them took; taking the records in counts for the first."""

    hits: Sequence[Sequence[Hit]]
    seconds: float


def rank(
    records: Iterable[Record],
    questions: Sequence[str],
    embedder: Embedder,
    engines: Mapping[str, Preset] = MappingProxyType({DEFAULT: PRESETS[DEFAULT]}),
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Rankings]:
    """By each engine, over a fresh memory that holds just these records."""
    rankings: dict[str, Rankings] = {}
    began = perf_counter()
    with (
        TemporaryDirectory(prefix="agentmem-eval-") as folder,
        Memory.open(Path(folder) / "conversation.mem", embedder=embedder) as memory,
    ):
        write(memory, records, cause="evaluate")
        memory.flush()
        for name, engine in engines.items():
            found = []
            for question in questions:
                found.append(memory.recall(question, k=_DEPTH, engine=engine))
                advance()
            rankings[name] = Rankings(found, perf_counter() - began)
            began = perf_counter()
    return rankings


def _part(scored: Sequence[_Scored], categories: Iterable[str]) -> dict[str, Json]:
    wanted = set(categories)
    chosen = [one for one in scored if one.category in wanted]
    return {
        "n": len(chosen),
        "turn": mean([one.turn for one in chosen]),
        "session": mean([one.session for one in chosen]),
    }


def _score(question: Question, ids: Sequence[str], session_of: Mapping[str, str]) -> _Scored:
    gold = frozenset(question.gold)
    sessions = frozenset(session_of[id] for id in gold if id in session_of)
    nothing = dict.fromkeys(METRICS, 0.0)
    by_session = score([session_of[id] for id in ids], sessions) if sessions else nothing
    return _Scored(question.category, score(ids, gold), by_session)


class _Dump:
    """The file that receives a JSON line a question; opened before the work begins, so a bad path fails at once."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            with self._named():
                self._file = Path(self._path).open("w", encoding="utf-8")
        return self

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, conversation: Conversation, question: Question, ids: Sequence[str], hits: Sequence[Hit]) -> None:
        if self._file is None:
            return
        ranked = [{"id": id, "score": hit.score, "parts": dict(hit.parts)} for id, hit in zip(ids, hits, strict=True)]
        line = {
            "conversation": conversation.id,
            "question": question.text,
            "category": question.category,
            "gold": list(question.gold),
            "ranked": ranked,
        }
        with self._named():
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or error
            raise InvalidInput(f"{self._path} cannot be written: {reason}", way_out="Name another file.") from error


def _versions() -> dict[str, str]:
    import numpy as np

    return {"python": platform.python_version(), "numpy": np.__version__, "agentmem": __version__}
