"""LangChain's message history kept as memories: two conversations, and what is remembered of both.

python examples/langchain_history.py [FOLDER] [--model SPEC]
"""

import argparse
import tempfile
import warnings

from langchain_core.runnables.history import RunnableWithMessageHistory

from agentmem import Memory
from agentmem.models.opening import open_model
from agentmem.models.scripted import ScriptedModel
from agentmem_apps.langchain import AgentMemChatHistory

ANSWERS = {"leaves": "I will wake you at eight.", "When": "It leaves at nine, you said.", "allergic": "No peanuts."}
QUESTIONS = {"monday": ["My ferry leaves at nine.", "When is it?"], "tuesday": ["I am allergic to peanuts."]}


def main(folder: str, spec: str | None) -> None:
    model = open_model(spec) if spec else ScriptedModel(ANSWERS)
    warnings.simplefilter("ignore", DeprecationWarning)  # of the class below, which many programs are built on
    with Memory.open(folder) as memory:
        chat = RunnableWithMessageHistory(model, lambda session: AgentMemChatHistory(memory, session, user="Ana"))
        for session, questions in QUESTIONS.items():
            for question in questions:
                answer = chat.invoke(question, {"configurable": {"session_id": session}})
                print(f"{session}: {question} -> {answer.text}")
        [hit] = memory.recall("what must Ana not eat?", k=1)
        print(f"remembered of {hit.record.session}: {hit.record.text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", help="a temporary one if none is given")
    parser.add_argument("--model", help="such as openai:gpt-4.1-mini; without one, answers are made up")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(given.folder or temporary, given.model)
