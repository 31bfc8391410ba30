"""Remember, ask, correct, undo: the whole of agentmem in twenty lines.

python examples/quickstart.py [FOLDER]
"""

from __future__ import annotations

import sys

from agentmem import Memory


def main(folder: str) -> None:
    with Memory.open(folder) as memory:
        memory.add("We moved the launch to 3 May.", speaker="Ana", place="Lisbon office")
        memory.add("Peanuts put me in hospital, please tell the kitchen.", speaker="Bo")

        for hit in memory.recall("when is the launch?", k=2):
            print(f"{hit.score:5.2f}  {hit.record.speaker}: {hit.record.text}  ({hit.verdict})")

        best = memory.recall("when is the launch?", k=1)[0].record
        memory.edit(best.id, text="We moved the launch to 4 May.")
        memory.undo()
        print([change.verb for change in memory.history(best.id)])

        print(memory.context("what may Bo not eat?", tokens=200).text)

        ana = memory.scope("user:ana")  # another namespace in the same folder, closed to every other
        ana.add("I would rather not fly.")
        print("seen from Ana's scope:", [hit.record.text for hit in ana.recall("fly")])
        print("seen from outside it:", [hit.record.text for hit in memory.recall("fly", speaker="Bo")])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "quickstart.mem")
