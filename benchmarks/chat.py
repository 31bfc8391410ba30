"""What an agent's turn costs beside the model's own time, and how long a piece of a stream is held up.

    python -m benchmarks.chat [--sizes 1000,10000] [--turns 200] [--json FILE]

For each size a memory of made-up turns in one scope, with the hash embedder, and a model that answers at once. Then, in
turns within one run: a whole reply; adding the question and the answer alone; and recalling for the question alone. A
reply is timed when what the one before it left to think about is done, as between the turns of a person. Forwarding is
the time from when the model gives a piece to when the caller has it. Milliseconds by the clock and of CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from agentmem import Memory
from agentmem_apps.chat import ChatAgent
from benchmarks.floor import Talk
from benchmarks.measure import keep, machine_line, median, percentile, timed

TOKENS: Final = 1_500
PIECES: Final = 20
REPLY, ADDING, RECALLING, FORWARDING = "reply", "adding two turns alone", "recalling alone", "forwarding a piece"


class Clocked(BaseChatModel):
    """Answers at once, in pieces, and notes when it gave each."""

    gave: list[float] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "clocked"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for _ in range(PIECES):
            self.gave.append(time.perf_counter())
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
            time.sleep(0.002)  # a fast model; so that no piece waits for the one before it


class Whole(Clocked):
    """As the other, in one piece."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="fine"))


def measured(records: int, turns: int) -> dict[str, Any]:
    talk = Talk(records)
    told = list(talk.turns(records))
    asked = [talk.question(turn) for turn in told[:: max(1, records // turns)][:turns]]
    rows: dict[str, list[Any]] = {name: [] for name in (REPLY, ADDING, RECALLING)}
    held: list[float] = []
    with TemporaryDirectory() as folder, Memory.open(Path(folder) / "a.mem", embedder="hash", index="exact") as memory:
        memory.add_many(told)
        memory.load()
        memory.working()
        streaming = Clocked()
        with (
            ChatAgent(memory, {"reply": Whole()}, user="Ana") as agent,
            ChatAgent(memory, {"reply": streaming}, user="Ana", background=False) as streamed,
        ):
            for question in asked:
                rows[REPLY].append(timed(lambda: agent.reply(question)))  # noqa: B023  # run at once
                agent.rest()
                rows[RECALLING].append(timed(lambda: memory.context(question, TOKENS)))  # noqa: B023
                rows[ADDING].append(timed(lambda: [memory.add(question), memory.add("fine")]))  # noqa: B023
                agent.ready()  # as after each of its own turns
            for question in asked[:20]:
                streaming.gave.clear()
                for at, _ in enumerate(streamed.stream(question)):
                    held.append(time.perf_counter() - streaming.gave[at])
    return {
        "records": records,
        "rows": {
            name: {
                "p50_ms": 1e3 * median([one.wall for one in times]),
                "p95_ms": 1e3 * percentile([one.wall for one in times], 0.95),
                "cpu_p50_ms": 1e3 * median([one.cpu for one in times]),
            }
            for name, times in rows.items()
        }
        | {FORWARDING: {"p50_ms": 1e3 * median(held), "p95_ms": 1e3 * percentile(held, 0.95)}},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000", help="memories of so many records")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    asked = parser.parse_args()
    sizes = []
    for records in map(int, asked.sizes.split(",")):
        sizes.append(result := measured(records, asked.turns))
        print(f"{records:,} records: clock p50 / p95, CPU p50, ms")
        for name, row in result["rows"].items():
            print(f"  {name:26}", *(f"{one:7.2f}" for one in row.values()), flush=True)
    print(machine_line())
    keep(asked.json, "chat", {"sizes": sizes})
    return 0


if __name__ == "__main__":
    sys.exit(main())
