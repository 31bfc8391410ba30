"""Fifty facts told among five hundred turns, twenty of them changed later: what is answered from recall is right, and
nothing that no longer holds is told."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Final

import pytest
from langchain_core.messages import BaseMessage

from agentmem.memory import Memory
from agentmem.models.answer import text_of
from agentmem.models.scripted import ScriptedModel
from agentmem_apps.chat import ChatAgent

pytestmark = pytest.mark.slow
TURNS: Final = 500
THINGS: Final = [
    "accountant",
    "allergy",
    "anniversary",
    "bank",
    "bike",
    "boat",
    "boss",
    "butcher",
    "cat",
    "coach",
    "colour",
    "cousin",
    "dentist",
    "desk",
    "doctor",
    "dog",
    "drink",
    "editor",
    "flat",
    "florist",
    "game",
    "garage",
    "gym",
    "hairdresser",
    "hobby",
    "hotel",
    "instrument",
    "island",
    "landlord",
    "lawyer",
    "library",
    "lunch",
    "mechanic",
    "movie",
    "neighbour",
    "nephew",
    "opera",
    "optician",
    "paper",
    "park",
    "password hint",
    "plumber",
    "poet",
    "pub",
    "recipe",
    "school",
    "season",
    "singer",
    "song",
    "tailor",
]
CHATTER: Final = (
    "The train was late again.",
    "I slept badly, too much coffee.",
    "What a rainy week it has been.",
    "We talked about the budget for an hour.",
    "The market was full of people this morning.",
    "Somebody left the window open.",
    "I read half a book on the way home.",
    "They painted the fence across the street.",
)
NOTHING: Final = "I do not know."


def value(thing: str, n: int) -> str:
    """A name that nothing in the question tells."""
    chance = random.Random(f"{thing} {n}")
    return "".join(chance.choice(("ba", "ko", "li", "mu", "re", "ta", "vo", "zi")) for _ in range(4)).capitalize()


def copy(messages: list[BaseMessage]) -> str:
    """What a model answers that knows nothing, and copies the latest sentence of its prompt that tells of the thing."""
    whole = "\n".join(map(text_of, messages))
    asked = re.search(r"what is my ([a-z ]+)\?", whole.rsplit("\n", 1)[-1], re.IGNORECASE)
    found = re.findall(rf"\bmy {asked[1]} is (?:now )?(\w+)", whole, re.IGNORECASE) if asked else []
    return found[-1] if found else NOTHING


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Memory, dict[str, str], dict[str, str]]]:
    """A memory of the conversation, what holds of each thing at its end, and what held before."""
    chance = random.Random(11)
    holds = {thing: value(thing, 0) for thing in THINGS}
    before: dict[str, str] = {}
    turns = [f"My {thing} is {holds[thing]}." for thing in THINGS]
    later = chance.sample(THINGS, 20)
    chatter = [f"{chance.choice(CHATTER)} ({n})" for n in range(TURNS - len(THINGS) - len(later))]
    first = [*turns, *chatter[: len(chatter) // 2]]
    chance.shuffle(first)
    for thing in later:
        before[thing], holds[thing] = holds[thing], value(thing, 1)
    second = [*(f"My {thing} is now {holds[thing]}." for thing in later), *chatter[len(chatter) // 2 :]]
    chance.shuffle(second)
    assert len(first) + len(second) == TURNS
    with Memory.open(tmp_path_factory.mktemp("planted") / "notes.mem", embedder="hash") as memory:
        with ChatAgent(memory, {"reply": ScriptedModel(lambda messages: "I see.")}, user="Ana") as agent:
            for text in [*first, *second]:
                agent.reply(text)
            agent.rest()
        yield memory, holds, before


def answers(memory: Memory, *, off: bool) -> dict[str, str]:
    """Each question in a conversation of its own."""
    found = {}
    for thing in THINGS:
        agent = ChatAgent(memory, {"reply": ScriptedModel(copy)}, user="Ana", background=False)
        agent.off = off
        found[thing] = agent.reply(f"What is my {thing}?").text
    return found


def test_what_was_told_is_answered_from_recall(told: tuple[Memory, dict[str, str], dict[str, str]]) -> None:
    memory, holds, before = told
    found = answers(memory, off=False)
    right = sum(found[thing] == holds[thing] for thing in THINGS) / len(THINGS)
    stale = [thing for thing in before if found[thing] == before[thing]]
    assert stale == []
    assert right >= 0.95, {thing: found[thing] for thing in THINGS if found[thing] != holds[thing]}


def test_with_the_memory_off_nothing_is_known(told: tuple[Memory, dict[str, str], dict[str, str]]) -> None:
    """The control: the model has what it answers from nowhere else."""
    memory, holds, _ = told
    found = answers(memory, off=True)
    assert sum(found[thing] == holds[thing] for thing in THINGS) / len(THINGS) <= 0.1
