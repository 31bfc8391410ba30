"""SORT on books (Pink et al. 2024, arXiv 2410.08133): which of two segments came first, asked of a memory.

A book goes in as overlapping chunks, in the order of its text, and the text is dropped. Then pairs of segments, drawn
at four ranges of distance, are put to `Memory.order`, half of them the wrong way round. The control is the same memory
written in a shuffled order: it knows all words and no time, and has to be at chance.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias

from agentmem.embedding import Embedder, open_embedder
from agentmem.errors import InvalidInput
from agentmem.memory import Memory
from agentmem.records import Record, Scope
from agentmem.values import Json, whole_number
from agentmem_apps.importers.formats import FORMATS
from agentmem_apps.importers.reading import Options

__all__ = ["Book", "SortReport", "Trial", "books", "evaluate_sort", "trials"]

Progress: TypeAlias = Callable[[int, int], None]  # pairs asked, and of how many
_CHUNK: Final = 100  # words
_STRIDE: Final = 50
# Words between the starts of the two: the paper's ranges for an excerpt of 20,000 words.
_RANGES: Final = ((None, 1_000), (1_000, 5_000), (5_000, 10_000), (10_000, 16_000))


class Book(NamedTuple):
    name: str
    words: list[str]


class Trial(NamedTuple):
    """Two segments as they are shown; `forward` says that the first of them came first."""

    first: str
    second: str
    forward: bool
    range: int
    distance: int


@dataclass(frozen=True, slots=True)
class SortReport:
    """Shares of right answers; a tie counts half. `said_first`: how often the first that was shown is said to have come
    first, whatever is true. `control`: the same from a memory that was written in a shuffled order."""

    sha256: str
    embedder: str
    books: int
    words: int
    segment: int
    seed: int
    n: int
    accuracy: float
    by_distance: tuple[tuple[str, int, float], ...]
    said_first: float
    control: float
    control_said_first: float
    seconds: float

    def to_json(self) -> dict[str, Json]:
        return {
            "schema": 1,
            "dataset": "sort",
            **{name: getattr(self, name) for name in self.__slots__ if name != "by_distance"},
            "by_distance": [
                {"distance": distance, "n": n, "accuracy": accuracy} for distance, n, accuracy in self.by_distance
            ],
        }


def books(folder: Path) -> tuple[list[Book], str]:
    """The text files of a folder, by name, without Project Gutenberg's header and licence; and the hash of them all."""
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not files:
        raise InvalidInput(f"there are no books in {folder}", way_out="Name a folder of text files.")
    digest, found = hashlib.sha256(), []
    for file in files:
        digest.update(file.read_bytes())
        paragraphs = FORMATS["text"](file, Options(Scope("sort")))
        words = [word for item in paragraphs if isinstance(item, Record) for word in item.text.split()]
        found.append(Book(file.name, words))
    return found, digest.hexdigest()


def trials(book: Book, *, segment: int, pairs: int, seed: int) -> list[Trial]:
    """`pairs` of a book, evenly from the ranges of distance that it is long enough for, half of them turned round."""
    chance = random.Random(f"{seed}/{segment}/{book.name}")
    last = len(book.words) - segment  # where the second may start
    ranges = [(number, low or segment, high) for number, (low, high) in enumerate(_RANGES)]
    ranges = [one for one in ranges if one[1] < last]
    made = []
    for number in range(pairs if ranges else 0):
        which, low, high = ranges[number % len(ranges)]
        distance = chance.randint(low, min(high, last))
        start = chance.randint(0, last - distance)
        earlier, later = (" ".join(book.words[at : at + segment]) for at in (start, start + distance))
        forward = (number // len(ranges)) % 2 == 0
        made.append(Trial(*((earlier, later) if forward else (later, earlier)), forward, which, distance))
    return made


def evaluate_sort(
    folder: Path,
    *,
    segment: int = 20,
    pairs: int = 200,
    seed: int = 0,
    embedder: str | Embedder = "auto",
    progress: Progress | None = None,
) -> SortReport:
    """`pairs` of segments of so many words from each book. InvalidInput for a folder without books long enough."""
    whole_number(segment, "segment", 1)
    whole_number(pairs, "pairs", 1)
    read, digest = books(folder)
    asked = [(book, made) for book in read if (made := trials(book, segment=segment, pairs=pairs, seed=seed))]
    if not asked:
        raise InvalidInput(
            f"no book in {folder} is long enough for two segments of {segment} words", way_out="Ask for shorter ones."
        )
    opened, began = open_embedder(embedder), perf_counter()
    answers: dict[bool, list[tuple[Trial, float]]] = {False: [], True: []}
    total = 2 * sum(len(made) for _, made in asked)
    for book, made in asked:
        for shuffled, answered in answers.items():
            with _read_in(book, opened, seed if shuffled else None) as memory:
                for trial in made:
                    answered.append((trial, memory.order(trial.first, trial.second)))
                    if progress is not None:
                        progress(sum(map(len, answers.values())), total)
    told, control = answers[False], answers[True]
    by_distance = []
    for number, (low, high) in enumerate(_RANGES):
        of_range = [one for one in told if one[0].range == number]
        if of_range:
            by_distance.append((f"{low or segment:,} to {high:,}", len(of_range), _right(of_range)))
    return SortReport(
        sha256=digest,
        embedder=opened.id,
        books=len(asked),
        words=sum(len(book.words) for book, _ in asked),
        segment=segment,
        seed=seed,
        n=len(told),
        accuracy=_right(told),
        by_distance=tuple(by_distance),
        said_first=_said_first(told),
        control=_right(control),
        control_said_first=_said_first(control),
        seconds=perf_counter() - began,
    )


@contextmanager
def _read_in(book: Book, embedder: Embedder, shuffled_by: int | None) -> Iterator[Memory]:
    """A memory of the book's chunks, in the order of its text or in one that is shuffled by a seed."""
    starts = range(0, max(1, len(book.words) - _CHUNK + _STRIDE), _STRIDE)
    chunks = [" ".join(book.words[start : start + _CHUNK]) for start in starts]
    if shuffled_by is not None:
        random.Random(shuffled_by).shuffle(chunks)
    at = "2024-01-01T00:00Z"  # of all: what came first is told by the order of writing alone
    with (
        TemporaryDirectory(prefix="agentmem-sort-") as folder,
        Memory.open(Path(folder) / "book.mem", embedder=embedder) as memory,
    ):
        memory.add_many({"text": chunk, "kind": "paragraph", "at": at} for chunk in chunks)
        memory.flush()
        yield memory


def _right(answers: Sequence[tuple[Trial, float]]) -> float:
    return sum(_sure(first if trial.forward else 1 - first) for trial, first in answers) / len(answers)


def _said_first(answers: Sequence[tuple[Trial, float]]) -> float:
    return sum(_sure(first) for _, first in answers) / len(answers)


def _sure(probability: float) -> float:
    return 0.5 if abs(probability - 0.5) < 1e-9 else float(probability > 0.5)
