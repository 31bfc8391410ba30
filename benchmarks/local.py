"""What a language model in this process takes: to be loaded, to its first token, and for a conversation of ten turns.

    python -m benchmarks.local [FOLDER] [--device auto] [--repetitions 3] [--json FILE]

FOLDER is a causal language model as transformers keeps one; without it, one of 23 million random parameters is built,
whose answers are as long as they may be. The same conversation is held in three ways, in turns within one run: by
`LocalChat`, which computes only what is new; by `LocalChat` when another question came between any two turns, so that
nothing is kept; and by transformers' own `generate`, which keeps nothing either. Each conversation begins with words of
its own. Milliseconds by the clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agentmem.foreign import bars_hidden
from agentmem.models.local import LocalChat
from agentmem.models.local_loading import located
from benchmarks.measure import PACKAGES, keep, machine_line, median

TURNS = 10
KEPT, FORGOTTEN, PLAIN = "kept between turns", "nothing kept", "transformers' generate"
WORDS = "the boat garden of a winter letter and seven small lamps near old water under stone with bread"


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds to the first token and of the whole turn; how many tokens were in its answer, computed and reused."""

    first: float
    whole: float
    answer: int
    computed: int
    reused: int


Answer = Callable[[Sequence[BaseMessage]], tuple[str, Turn]]


def streamed(chat: LocalChat, most: int, before: Callable[[], object]) -> Answer:
    """A turn of a LocalChat, after `before`, which is not timed."""

    def answer(said: Sequence[BaseMessage]) -> tuple[str, Turn]:
        before()
        begun, first, text, last = time.perf_counter(), 0.0, "", AIMessage("")
        for piece in chat.stream(list(said), max_tokens=most):
            text, last = text + piece.text, piece
            first = first or (time.perf_counter() - begun if text else 0.0)
        whole = time.perf_counter() - begun
        usage: dict[str, Any] = dict(last.usage_metadata or {})
        told = last.response_metadata
        return text, Turn(first, whole, usage["output_tokens"], told["tokens_computed"], told["tokens_reused"])

    return answer


def generated(tokenizer: Any, network: Any, most: int) -> Answer:
    """A turn of transformers alone."""
    roles = {"human": "user", "ai": "assistant"}

    def answer(said: Sequence[BaseMessage]) -> tuple[str, Turn]:
        begun = time.perf_counter()
        turns = [{"role": roles.get(one.type, one.type), "content": one.text} for one in said]
        given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt").to(network.device)
        size = given["input_ids"].shape[1]
        made = network.generate(**given, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        told = made[0, size:].tolist()
        text = tokenizer.decode(told, skip_special_tokens=True)
        return text, Turn(0.0, time.perf_counter() - begun, len(told), size + len(told) - 1, 0)

    return answer


def conversation(number: int, words: int, answer: Answer) -> Iterator[Turn]:
    chance = Random(number)
    said: list[BaseMessage] = [SystemMessage(f"{number}. " + " ".join(chance.choices(WORDS.split(), k=words)))]
    for _ in range(TURNS):
        said.append(HumanMessage(" ".join(chance.choices(WORDS.split(), k=words))))
        text, turn = answer(said)
        yield turn
        said.append(AIMessage(text))


def loaded(chat: LocalChat) -> float:
    """Seconds to the first token when only the libraries are loaded, and the files are in the system's memory."""
    chat.unload()
    begun = time.perf_counter()
    chat.invoke("Hello", max_tokens=1)
    return time.perf_counter() - begun


def built(folder: Path) -> Path:
    from tests.tiny_model import build_tokenizer, untrained

    tokenizer = build_tokenizer()
    sizes = {"hidden_size": 512, "intermediate_size": 1_408, "num_hidden_layers": 8, "num_attention_heads": 8}
    untrained(tokenizer, **sizes, max_position_embeddings=4_096).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measured(folder: Path, device: str, repetitions: int) -> dict[str, Any]:
    chat = LocalChat(model=str(folder), device=device)
    window = (chat.profile or {}).get("max_input_tokens") or 4_096
    words, most = min(60, window // 100), min(32, window // 64)
    files = located(str(folder))
    network = files.network(device, "auto", None)
    answers = {
        KEPT: streamed(chat, most, lambda: None),
        FORGOTTEN: streamed(chat, most, lambda: chat.invoke("Something else.", max_tokens=1)),
        PLAIN: generated(files.tokenizer()[0], network, most),
    }
    loads = [loaded(chat) for _ in range(repetitions)]
    held: dict[str, list[list[Turn]]] = {name: [] for name in answers}
    for number in range(repetitions + 1):
        for name, answer in answers.items():
            held[name].append(list(conversation(number, words, answer)))
    rows: dict[str, dict[str, Any]] = {}
    for name, conversations in held.items():
        warm = conversations[1:]
        later = [turn for turns in warm for turn in turns[1:]]
        rows[name] = {
            "turn_ms": 1e3 * median([turn.whole for turn in later]),
            "tokens_per_second": median([turn.answer / turn.whole for turn in later]),
            "answer_tokens": sum(turn.answer for turn in warm[0]),
            "computed": sum(turn.computed for turn in warm[0]),
            "reused": sum(turn.reused for turn in warm[0]),
        }
        if name != PLAIN:
            rows[name]["first_token_ms"] = 1e3 * median([turn.first for turn in later])
            rows[name]["first_token_of_last_turn_ms"] = 1e3 * median([turns[-1].first for turns in warm])
    return {
        "model": folder.name,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "device": network.device.type,
        "dtype": str(network.dtype).removeprefix("torch."),
        "turns": TURNS,
        "load_to_first_token_ms": 1e3 * median(loads),
        "rows": rows,
        "ratio": {
            "first token, nothing kept": rows[FORGOTTEN]["first_token_ms"] / rows[KEPT]["first_token_ms"],
            "turn, nothing kept": rows[FORGOTTEN]["turn_ms"] / rows[KEPT]["turn_ms"],
            "turn, generate": rows[PLAIN]["turn_ms"] / rows[KEPT]["turn_ms"],
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    asked = parser.parse_args()
    with TemporaryDirectory() as made, bars_hidden():
        folder = asked.folder or built(Path(made) / "random weights")
        result = measured(folder, asked.device, asked.repetitions)
    print(f"{result['model']}, {result['parameters']:,} parameters, {result['dtype']} on {result['device']}")
    print(f"loaded, to the first token: {result['load_to_first_token_ms']:.0f} ms")
    print(f"{TURNS} turns, medians of the turns behind the first:")
    print(f"  {'':24} first token  of last turn      turn   tokens/s  computed    reused")
    for name, row in result["rows"].items():
        firsts = (row.get(figure) for figure in ("first_token_ms", "first_token_of_last_turn_ms"))
        told = "".join(f"{'':>13}" if one is None else f"{one:10.1f} ms" for one in firsts)
        print(f"  {name:24}{told}{row['turn_ms']:8.0f} ms{row['tokens_per_second']:10.1f}", end="")
        print(f"{row['computed']:10,}{row['reused']:10,}")
    print("  ".join(f"{name}: {ratio:.2f}×" for name, ratio in result["ratio"].items()))
    print(machine_line())
    keep(asked.json, "local", result, (*PACKAGES, "torch", "transformers", "langchain-core"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
