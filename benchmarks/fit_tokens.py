"""How token vectors are brought from the model's dimensions to 64: their principal components in English prose.

Not centred, because what is compared are directions. The books are in the public domain, and nothing of a conversation
goes in. Run it once a model: `python -m benchmarks.fit_tokens BOOKS`, where BOOKS is a folder of texts, as SORT has.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentmem.embedders import minilm
from agentmem.embedding import unit_rows

WIDTH = 64
PASSAGES = 150  # of each book
LENGTHS = (8, 15, 30, 60)  # words: from a question's to a long turn's


def passages(folder: Path) -> list[str]:
    chosen = random.Random(0)
    found = []
    for book in sorted(folder.glob("*.txt")):
        words = book.read_text(encoding="utf-8", errors="replace").split()
        for _ in range(PASSAGES):
            length = chosen.choice(LENGTHS)
            start = chosen.randrange(len(words) - length)
            found.append(" ".join(words[start : start + length]))
    return found


def projection(embedder: minilm.SentenceEmbedder, texts: Sequence[str]) -> tuple[NDArray[np.float16], float]:
    """float16[dimension, WIDTH], and the share of the energy that it keeps."""
    second = np.zeros((embedder.dimension, embedder.dimension))
    for one in embedder.passes(texts):
        rows = unit_rows(one.states[np.asarray(one.special) == 0]).astype(np.float64)
        second += rows.T @ rows
    energy, axes = np.linalg.eigh(second)
    return axes[:, ::-1][:, :WIDTH].astype(np.float16), float(energy[::-1][:WIDTH].sum() / energy.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("books", type=Path)
    parser.add_argument("--model", default="", help="as in --embedder minilm:MODEL")
    given = parser.parse_args()
    embedder = minilm.open_minilm(given.model)
    found, kept = projection(embedder, passages(given.books))
    target = minilm.PROJECTIONS / f"{embedder.id}.npy"
    target.parent.mkdir(exist_ok=True)
    np.save(target, found)
    print(f"{target.name}: {found.shape[0]} to {found.shape[1]} dimensions keep {100 * kept:.1f} % of the energy")


if __name__ == "__main__":
    main()
