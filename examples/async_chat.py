"""Two people talk at once; the memory never blocks the event loop.

python examples/async_chat.py [FOLDER]
"""

from __future__ import annotations

import asyncio
import sys

from agentmem import AsyncMemory


async def talk(memory: AsyncMemory, speaker: str, lines: list[str]) -> None:
    for line in lines:
        await memory.add(line, speaker=speaker, session="breakfast")
        await asyncio.sleep(0)


async def main(folder: str) -> None:
    async with await AsyncMemory.open(folder) as memory:
        await asyncio.gather(
            talk(memory, "Ana", ["Coffee?", "The ferry leaves at nine."]),
            talk(memory, "Bo", ["Tea, please.", "Then I pack now."]),
        )
        for hit in await memory.recall("when does the ferry leave?", k=1):
            print(f"{hit.record.speaker}: {hit.record.text}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "breakfast.mem"))
