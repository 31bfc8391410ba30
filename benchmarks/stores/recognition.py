"""Recognition: what a content-addressed memory and a field of sparse codes hold, and what both make of sentences.

The sentences are those of a novel in the public domain: a thousand are stored, and others of a later part of it are the
strangers, with the same names and the same common words. `python -m benchmarks.stores.recognition` prints the rows.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.embedding import open_embedder, unit_rows
from agentmem.recall.stores import Attached
from agentmem_stores.ca3 import BinaryCAM, SparseCAM
from agentmem_stores.recognition import RecognitionMemory
from agentmem_stores.sparsey import Mac, Sparsifier
from benchmarks.stores.row import Row

__all__ = ["measure"]

SIZE, ACTIVE = 1_024, 20
STORED: Final = 1_000  # sentences
ASKED: Final = 300  # of them, and of strangers
SIZES: Final = (1_000, 10_000, 100_000)
BOOK: Final = "tom-swift-and-his-talking-pictures.txt"

Inputs = list[NDArray[np.int64]]


# ── sparse codes ─────────────────────────────────────────────────────────────────────────────────────────────────


def _inputs(number: int, seed: int, size: int = SIZE, active: int = ACTIVE) -> Inputs:
    random = np.random.default_rng(seed)
    return [np.sort(random.choice(size, active, replace=False)) for _ in range(number)]


def _like(one: NDArray[np.int64], share: float, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """An input that has that share of its bits in common with it."""
    kept = round(share * len(one))
    others = np.setdiff1d(np.arange(size), one)
    drawn = random.choice(one, kept, replace=False), random.choice(others, len(one) - kept, replace=False)
    return np.sort(np.concatenate(drawn))


def _field(number: int, size: int = SIZE, active: int = ACTIVE, **settings: Any) -> dict[str, float]:
    mac, given, random = Mac(size, active, **settings), _inputs(number, 1, size, active), np.random.default_rng(2)
    codes = np.array([mac.learn(one, i).code for i, one in enumerate(given)])

    def again(share: float) -> float:
        found = [mac.recognise(_like(one, share, size, random)).code for one in given]
        nearest = [int((codes == code).sum(axis=1).argmax()) for code in found]
        return float((np.array(nearest) == np.arange(number)).mean())

    old = np.array([mac.recognise(one).familiarity for one in given])
    new = np.array([mac.recognise(one).familiarity for one in _inputs(number, 3, size, active)])
    return {
        "whole cue": again(1.0),
        "80 % cue": again(0.8),
        "AUC of G": float((old[:, None] > new[None]).mean() + (old[:, None] == new[None]).mean() / 2),
        "G of new": round(float(new.mean()), 3),
        "weights set": round(mac.saturation, 3),
    }


def _overlaps(**settings: Any) -> dict[str, float]:
    """Of a stored input's code with the one that a like input would be stored by."""
    shares = {}
    for share in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0):
        mac, given, random = Mac(SIZE, ACTIVE, **settings), _inputs(100, 1), np.random.default_rng(5)
        codes = [mac.learn(one, i).code for i, one in enumerate(given)]
        drawn = [mac.learn(_like(one, share, SIZE, random), 1_000 + i).code for i, one in enumerate(given)]
        shares[f"{share:g}"] = round(float((np.array(drawn) == np.array(codes)).mean()), 3)
    return shares


def _digits() -> dict[str, float]:
    """A thousand digits stored once each, 300 others recognised: the seven nearest codes vote, by winners shared."""
    images, labels = import_module("sklearn.datasets").load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))[:1_300]
    images, labels = images[order].astype(np.float32), labels[order]
    bits = Sparsifier(64, size=4_096, active=40, centre=images[:1_000].mean(axis=0)).encode(images)
    found = {}
    for units in (32, 64):
        mac = Mac(4_096, 40, units=units, floor=0.85)
        codes = np.array([mac.learn(row, i).code for i, row in enumerate(bits[:1_000])])
        shared = [(codes == mac.recognise(row).code).sum(axis=1) for row in bits[1_000:]]
        nearest = [np.argsort(-one, kind="stable")[:7] for one in shared]
        votes = [np.bincount(labels[rows], one[rows], 10).argmax() for one, rows in zip(shared, nearest, strict=True)]
        found[f"right, {units} units"] = float((np.array(votes) == labels[1_000:]).mean())
    return found


def _sparsey() -> Iterator[Row]:
    published = "single-trial storage and recognition at a constant cost"
    for number in (100, 400, 1_000):
        yield Row("sparsey", f"{number} inputs of 20 of 1,024 bits", _field(number), published)
    yield Row("sparsey", "1,000 inputs, floor .2, exponent 1", _field(1_000, floor=0.2, exponent=1.0), "", "collapses")
    yield Row("sparsey", "1,000 inputs, floor auto, exponent 1", _field(1_000, floor="auto", exponent=1.0))
    yield Row("sparsey", "400 inputs of 40 of 400 bits", _field(400, 400, 40), "", "dense inputs fill a field")
    yield Row("sparsey", "code overlap by input overlap", _overlaps(), "like inputs get like codes")
    yield Row("sparsey", "the same with noise alone", _overlaps(expansivity=0.0))
    if find_spec("sklearn") is not None:
        yield Row("sparsey", "digits, sparse codes of 40 of 4,096 bits", _digits())


# ── contents ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _ca3() -> Iterator[Row]:
    random = np.random.default_rng(4)
    contents = [np.flatnonzero(row).tolist() for row in random.random((200, 64)) < 0.15]
    contents = [content if len(content) >= 5 else [*range(5)] for content in contents]
    cam, oracle = SparseCAM(64), BinaryCAM(200, 64)
    for cue, content in enumerate(contents):
        cam.learn(cue, content)
        oracle.learn(cue, content)
    for mode in ("all", "any"):
        found = {}
        for bits in (1, 2, 3, 5):
            asked = [random.choice(content, bits, replace=False).tolist() for content in contents]
            answers = [cam.recall_content(fragment, mode) for fragment in asked]
            same = [oracle.recall_content(fragment, mode) for fragment in asked]
            assert all(np.array_equal(a, b) for a, b in zip(answers, same, strict=True))
            assert all(cue in answer for cue, answer in enumerate(answers))
            found[f"{bits} bits"] = round(float(np.mean([len(answer) for answer in answers])), 1)
        yield Row("ca3", f"cues that a fragment brings back of 200, {mode} bits", found, "any, in the source's code")
    for cue in range(50):
        cam.learn(cue, contents[cue + 100])
    exact = sum(cam.recall_cue(cue).tolist() == contents[cue] for cue in range(50, 200))
    new = sum(cam.recall_cue(cue).tolist() == contents[cue + 100] for cue in range(50))
    yield Row("ca3", "after 50 of 200 are overwritten", {"exact of the 150": exact, "exact of the 50": new})


# ── sentences ────────────────────────────────────────────────────────────────────────────────────────────────────


def _sentences() -> list[str]:
    book = resources.files("agentmem_apps").joinpath("data", BOOK).read_text("utf-8")
    text = re.sub(r"\s+", " ", book[5_000:-19_000])
    found = [part.strip() for part in re.split(r"(?<=[.!?”])\s+", text)]
    return list(dict.fromkeys(part for part in found if 6 <= len(part.split()) <= 40))


class _Flat:
    """An embedder that costs nothing and says nothing: recognition goes by words."""

    id = "flat-2-v1"
    dimension = 2
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 2), np.float32)


@contextmanager
def _holding(texts: Sequence[str]) -> Iterator[tuple[RecognitionMemory, float, Memory]]:
    """A store that has taken them in, and the seconds that took."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m", embedder=_Flat()) as memory:
        for start in range(0, len(texts), 2_000):
            memory.add_many(texts[start : start + 2_000])
        store = RecognitionMemory(memory.host)
        start_at = time.perf_counter()
        Attached("recognition", store, memory.host, 1.0).follow()
        yield store, time.perf_counter() - start_at, memory


def _slipped(text: str, number: int, random: np.random.Generator) -> str:
    """With a letter wrong in so many of its longer words."""
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word) >= 5]
    for i in random.permutation(long)[:number]:
        letters, j = list(words[i]), int(random.integers(1, len(words[i]) - 1))
        change = int(random.integers(4))
        letters[j : j + 2] = {
            0: letters[j + 1 : j + 2],
            1: letters[j : j + 2][::-1],
            2: ["e" if letters[j] != "e" else "a", *letters[j + 1 : j + 2]],
            3: ["o", *letters[j : j + 2]],
        }[change]
        words[i] = "".join(letters)
    return " ".join(words)


def _some(text: str, share: float, random: np.random.Generator) -> str:
    words = text.split()
    return " ".join(words[i] for i in random.choice(len(words), max(1, round(share * len(words))), replace=False))


def _rarest(text: str, counted: Mapping[str, int]) -> str:
    words = list(dict.fromkeys(re.findall(r"[\w’-]+", text)))
    return " ".join(sorted(words, key=lambda word: counted.get(word.lower(), 0))[:3])


def _fragments(counted: Mapping[str, int]) -> dict[str, Callable[[str], str]]:
    random = np.random.default_rng(6)
    half: Callable[[str], int] = lambda text: len(text.split()) // 2  # noqa: E731
    return {
        "all words": lambda text: text,
        "80 % of the words, in any order": lambda text: _some(text, 0.8, random),
        "50 % of the words, in any order": lambda text: _some(text, 0.5, random),
        "the first half": lambda text: " ".join(text.split()[: half(text)]),
        "the last half": lambda text: " ".join(text.split()[half(text) :]),
        "the three rarest words": lambda text: _rarest(text, counted),
        "one slip": lambda text: _slipped(text, 1, random),
        "two slips": lambda text: _slipped(text, 2, random),
        "half of it with a slip": lambda text: _slipped(" ".join(text.split()[: half(text)]), 1, random),
    }


def _completing(stored: Sequence[str], strangers: Sequence[str]) -> Iterator[Row]:
    words, numbers = np.unique(
        [word for text in stored for word in re.findall(r"[\w’-]+", text.lower())], return_counts=True
    )
    counted = dict(zip(words.tolist(), numbers.tolist(), strict=True))
    with _holding(stored) as (store, _, _memory):
        for kind, fragment in _fragments(counted).items():
            right, named, sure = 0, 0, 0.0
            for text in stored[:ASKED]:
                completion = store.complete(fragment(text))
                if completion is not None:
                    right += completion.record.text == text
                    named += text in (completion.record.text, *(record.text for record in completion.others))
                    sure += completion.confidence
            wrong = sum(store.complete(fragment(text)) is not None for text in strangers[:ASKED])
            measured = {
                "it": right / ASKED,
                "it or among its equals": named / ASKED,
                "confidence": round(sure / ASKED, 3),
                "strangers completed": round(wrong / ASKED, 3),
            }
            yield Row("recognition", f"a sentence of {len(stored):,} from {kind}", measured)


def _familiar(stored: Sequence[str], strangers: Sequence[str]) -> Iterator[Row]:
    random = np.random.default_rng(7)
    kinds = {
        "stored": list(stored[:ASKED]),
        "one slip": [_slipped(text, 1, random) for text in stored[:ASKED]],
        "two slips": [_slipped(text, 2, random) for text in stored[:ASKED]],
        "half": [_some(text, 0.5, random) for text in stored[:ASKED]],
        "new": list(strangers[:ASKED]),
    }
    with _holding(stored) as (store, _, _memory):
        found = {kind: np.array(store.familiarity(texts)) for kind, texts in kinds.items()}
        yield Row("recognition", "G of words, mean", {kind: round(float(g.mean()), 3) for kind, g in found.items()})
        yield Row("recognition", "G of words, above what 95 % of new have", _hits(found))
    yield from _by_meaning(stored, strangers)


def _hits(found: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    limit = float(np.quantile(found["new"], 0.95))
    return {kind: round(float((g > limit).mean()), 3) for kind, g in found.items()} | {"limit": round(limit, 3)}


def _by_meaning(stored: Sequence[str], strangers: Sequence[str]) -> Iterator[Row]:
    """The same field over the vectors of a sentence model, of which a record's has its date before it."""
    embedder, few = open_embedder("minilm"), 400

    def vectors(texts: Sequence[str], day: str) -> NDArray[np.float32]:
        parts = [embedder.embed([f"{day}{text}" for text in texts[i : i + 64]]) for i in range(0, len(texts), 64)]
        return unit_rows(np.vstack(parts))

    known = vectors(stored[:few], "(1 May 2024) Ana: ")
    asked = {
        "stored": known,
        "on another day": vectors(stored[:few], "(7 July 2025) Ana: "),
        "undated": vectors(stored[:few], ""),
        "new": vectors(strangers[:few], "(1 May 2024) Ana: "),
    }
    for centre, said in ((known.mean(axis=0), "centred"), (None, "not centred")):
        sparsifier, mac = Sparsifier(embedder.dimension, size=16_384, active=32, centre=centre), Mac(16_384, 32)
        for i, row in enumerate(sparsifier.encode(known)):
            mac.learn(row, i)
        found = {
            kind: np.array([mac.recognise(row).familiarity for row in sparsifier.encode(rows)])
            for kind, rows in asked.items()
        }
        means = {kind: round(float(g.mean()), 3) for kind, g in found.items()}
        yield Row("recognition", f"G of MiniLM's vectors, {said}, mean", means)
        yield Row("recognition", f"G of MiniLM's vectors, {said}, above what 95 % of new have", _hits(found))


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────────


def _median(call: Callable[[int], object], times: int = 40) -> float:
    taken = []
    for i in range(times):
        start = time.perf_counter()
        call(i)
        taken.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(taken)), 2)


def _costs(sentences: Sequence[str]) -> Iterator[Row]:
    words = " ".join(sentences).split()
    random = np.random.default_rng(8)
    names = ["".join(random.choice(list("bdfgklmnprstvaeiou"), 7)) for _ in range(30_000)]
    for size in SIZES:
        starts = random.integers(0, len(words) - 25, size)
        texts = [
            " ".join(words[start : start + 8 + i % 14]) + " " + names[int(random.integers(len(names)))]
            for i, start in enumerate(starts.tolist())
        ]
        with _holding(texts) as (store, taken, memory):
            store.rebuild()
            kept = sum(len(segment.data) for segment in memory.host.ledger.segments(store.name))
            halves = [" ".join(text.split()[len(text.split()) // 2 :]) for text in texts[: 40 * 20 : 20]]
            measured = {
                "ms to add one": round(1e3 * taken / size, 2),
                "ms to complete half": _median(lambda i, halves=halves: store.complete(halves[i])),  # type: ignore[misc]
                "ms to complete common words": _median(lambda i: store.complete("and the man said to them")),
                "ms for G": _median(lambda i, texts=texts: store.familiarity([texts[i]])),  # type: ignore[misc]
                "bytes a record, kept": round(kept / size),
            }
            start = time.perf_counter()
            RecognitionMemory(memory.host)
            measured["s to open"] = round(time.perf_counter() - start, 2)
            yield Row("recognition", f"cost at {size:,} records", measured)


def measure() -> list[Row]:
    sentences = _sentences()
    stored, strangers = sentences[:STORED], sentences[STORED + 200 :]
    return [
        *_sparsey(),
        *_ca3(),
        *_completing(stored, strangers),
        *_familiar(stored, strangers),
        *_costs(sentences),
    ]


def main(rows: Sequence[Row]) -> None:
    for row in rows:
        print(f"{row.what}: " + ", ".join(f"{name} {figure:g}" for name, figure in row.measured.items()))


if __name__ == "__main__":
    main(measure())
