"""A chat agent that remembers, in fifteen lines. Without a model it answers with what it recalls.

python examples/chat_agent.py [FOLDER] [MODEL]    such as openai:gpt-4.1-mini or http://localhost:11434/v1#llama3.2
"""

import sys

from agentmem import Memory
from agentmem_apps.chat import ChatAgent


def main(folder: str, model: str | None = None) -> None:
    with Memory.open(folder, models=model) as memory, ChatAgent(memory, user="Ana") as agent:
        for line in sys.stdin:
            for piece in agent.stream(line.strip() or "…"):
                print(piece, end="", flush=True)
            print()


if __name__ == "__main__":
    main(*sys.argv[1:3] or ["chat.mem"])
