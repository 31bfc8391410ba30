"""An agent on a model of your own machine: no key, no server, no network; its context is read twice, as small models
like it.

python examples/local_agent.py local:/path/to/model [FOLDER]    needs torch and the extra `local`
"""

import sys

from agentmem import Memory
from agentmem_apps.chat import ChatAgent
from agentmem_apps.chat.prompting import Room


def main(model: str, folder: str = "local.mem") -> None:
    with Memory.open(folder, models=model) as memory:
        memory.add("The ferry leaves at nine from pier two.", speaker="Ana", role="user")
        small = Room(persona=200, recalled=400, in_mind=100, summary=100, recent=400, question=400)
        with ChatAgent(memory, user="Ana", room=small, read_twice=True, most_out=48, background=False) as agent:
            with agent.stream("When does the ferry leave?") as stream:
                for piece in stream:
                    print(piece, end="", flush=True)
            print(f"\n{stream.reply.line}: {stream.reply.model}, {stream.reply.usage.tokens_in} tokens read")


if __name__ == "__main__":
    main(*sys.argv[1:3])
