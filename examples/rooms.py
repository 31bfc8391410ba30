"""An agent that walks through rooms, and remembers what it saw where.

python examples/rooms.py [FOLDER]
"""

import sys
from datetime import UTC, datetime, timedelta

from agentmem import Memory, Place

HOUSE = {
    "hall": (0.0, 0.0, "A red umbrella leans against the mirror."),
    "kitchen": (4.0, 0.0, "A kettle is on, and a letter lies on the table."),
    "study": (4.0, 3.0, "The window is open, and the safe is not."),
    "cellar": (0.0, -3.0, "It smells of apples; the red umbrella is here now."),
}


def main(folder: str) -> None:
    begun = datetime(2026, 5, 3, 9, tzinfo=UTC)
    with Memory.open(folder) as memory:
        for minutes, (room, (x, y, seen)) in enumerate(HOUSE.items()):
            at = begun + timedelta(minutes=minutes)
            memory.add(seen, kind="episode", place=Place(room, (x, y)), at=at, session="the walk")

        [best] = memory.recall("what did I see in the kitchen?", k=1)
        print("in the kitchen:", best.record.text)
        found = memory.recall("where is the red umbrella?", k=2)
        last = max((hit.record for hit in found), key=lambda record: record.at)
        print("the red umbrella:", last.place.id if last.place else "?")
        print("in the study:", [hit.record.text for hit in memory.recall("what is here?", place="study")])


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["rooms.mem"])
