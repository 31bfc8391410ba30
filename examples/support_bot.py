"""A support bot with two customers, who never see each other's memory: each has a scope of their own.

python examples/support_bot.py [FOLDER] [MODEL]
"""

import re
import sys

from langchain_core.messages import BaseMessage

from agentmem import Memory
from agentmem.models.scripted import ScriptedModel
from agentmem_apps.chat import ChatAgent

PERSONA = "You are the support of a bicycle shop. Go by what you remember of this customer, and by nothing else."


def parrot(messages: list[BaseMessage]) -> str:
    """Stands in for a model: it says what it was shown of the customer's own words."""
    shown = [
        line.split(": ", 1)[1] for line in messages[-1].text.splitlines() if re.match(r'\["\w+"\].*(Ana|Bo)"', line)
    ]
    return f"You said: {' '.join(shown)}" if shown else "Noted."


def main(folder: str, model: str | None = None) -> None:
    with Memory.open(folder, models=model or ScriptedModel(parrot)) as memory:
        ana, bo = (
            ChatAgent(memory.scope(f"customer:{name}"), user=name.title(), persona=PERSONA, background=False)
            for name in ("ana", "bo")
        )
        ana.reply("My order is 4711, a red bicycle.")
        bo.reply("My order is 815, a child's seat.")
        for agent in (ana, bo):
            again = ChatAgent(agent.memory, user=agent.user, persona=PERSONA, background=False)  # the next day
            print(f"{agent.user}: {again.reply('What did I order?').text}")
        print("seen in Ana's scope:", [hit.record.text for hit in ana.memory.recall("order number", kinds="turn")][:2])


if __name__ == "__main__":
    main(*sys.argv[1:3] or ["support.mem"])
