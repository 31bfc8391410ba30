"""Take in an export of ChatGPT, and ask it things.

python examples/chatgpt_import.py conversations.json [FOLDER] [MODEL]
"""

import sys

from agentmem import Memory
from agentmem_apps.chat import ChatAgent, conversations
from agentmem_apps.importers.run import import_file


def main(export: str, folder: str = "chatgpt.mem", model: str | None = None) -> None:
    with Memory.open(folder, models=model) as memory:
        report = import_file(memory, export, format="chatgpt")
        print(f"{report.added} messages of {len(conversations(memory))} conversations")
        with ChatAgent(memory) as agent:
            for question in sys.stdin:
                print(f"> {question.strip()}\n{agent.reply(question.strip() or '?').text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
