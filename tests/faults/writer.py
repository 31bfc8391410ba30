"""A writer that is there to be killed: threads that use every verb on one memory, and note what they were told.

Each thread notes the verb before it calls it and what the verb acknowledged after it returned, by one `write` each to
an append-only log. A verb that was begun and not ended was in flight when the kill came. Knows nothing of kills.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from agentmem import Memory
from agentmem.errors import Conflict, InvalidInput, LedgerError, RecordNotFound
from agentmem.recall import segments
from agentmem.records import Record
from tests.commits import tell_commits
from tests.fakes import DigestEmbedder, given_vector

THREADS = 4
KNOWN = 200  # of the records that earlier writers left, so many are worked on
WORDS = ("harbour", "pier", "boat", "rain", "tide")
PEOPLE = ("Ana", "Ben", None)

# Verbs and how often each is chosen; a hard forget rewrites the whole file.
WEIGHTS = {
    "add": 30,
    "add_many": 8,
    "edit": 14,
    "tag": 6,
    "pin": 4,
    "merge": 6,
    "split": 6,
    "forget": 8,
    "restore": 6,
    "undo": 7,
    "redo": 5,
    "recall": 6,
    "flush": 3,
    "several": 4,
    "erase": 1,
}


def fingerprint(record: Record) -> str:
    """Every field of a record in 16 characters."""
    body = json.dumps(record.to_json(), sort_keys=True).encode()
    return hashlib.blake2b(body, digest_size=8).hexdigest()


class Writer:
    """One thread's endless mix of verbs. Ids are shared, so threads meet each other's changes and their conflicts."""

    def __init__(self, memory: Memory, log: int, number: int, seed: int, ids: list[str], trash: list[str]) -> None:
        self._memory = memory
        self._log = log
        self._number = number
        self._random = random.Random(f"{seed}/{number}")
        self._name = f"{seed:x}t{number}"
        self._ids = ids
        self._trash = trash
        self._count = 0
        self._last: Record | None = None

    def run(self, go_on: Callable[[], bool]) -> None:
        while go_on():
            [verb] = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            try:
                getattr(self, f"_{verb}")()
            except (Conflict, InvalidInput, RecordNotFound) as refused:  # another thread was faster
                self._note(refused=type(refused).__name__)

    # ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, **said: Any) -> None:
        os.write(self._log, (json.dumps({"by": self._number, **said}) + "\n").encode())

    def _begins(self, verb: str, **intent: Any) -> None:
        self._note(begins=verb, **intent)

    def _ends(self, records: Iterable[Record] = (), *, given: bool = False, **more: Any) -> None:
        listed = list(records)
        self._note(records=[[r.id, r.revision, fingerprint(r), given] for r in listed], **more)
        if listed:
            self._last = listed[-1]

    def _text(self) -> str:
        """Words of which every second one is nobody else's: what is split from it can still be told and found."""
        self._count += 1
        words = self._random.choices(WORDS, k=self._random.randint(2, 6))
        return " ".join(f"{word} {self._name}n{self._count}w{n}" for n, word in enumerate(words))

    def _some(self, k: int) -> list[str]:
        return self._random.sample(self._ids, min(k, len(self._ids)))

    # ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self) -> None:
        text, given = self._text(), self._random.random() < 0.5
        self._begins("add", given=[text] if given else [])
        record = self._memory.add(
            text,
            vector=given_vector(text) if given else None,
            speaker=self._random.choice(PEOPLE),
            place="harbour/pier 3" if self._count % 5 == 0 else None,
            meta={"count": self._count} if self._count % 3 == 0 else None,
        )
        self._ends([record], given=given)
        self._ids.append(record.id)

    def _add_many(self) -> None:
        texts = [self._text() for _ in range(self._random.randint(2, 40))]
        self._begins("add_many", given=texts)
        with self._memory.step(f"batch of {len(texts)}"):
            records = self._memory.add_many({"text": text, "vector": given_vector(text)} for text in texts)
        self._ends(records, given=True)
        self._ids += [record.id for record in records]

    def _edit(self) -> None:
        for id in self._some(1):
            standing = self._memory.get(id)
            self._begins("edit")
            edited = self._memory.edit(id, text=self._text(), speaker="Eve", revision=standing.revision)
            self._ends([edited])

    def _tag(self) -> None:
        ids = self._some(3)
        self._begins("tag")
        self._ends(self._memory.tag(*ids, add=[self._random.choice(WORDS)], remove=[self._random.choice(WORDS)]))

    def _pin(self) -> None:
        ids = self._some(2)
        self._begins("pin")
        self._ends(self._memory.pin(*ids, pinned=self._random.random() < 0.7))

    def _merge(self) -> None:
        ids = self._some(3)
        self._begins("merge")
        with self._memory.step(f"batch of {len(ids) + 1}"):
            merged = self._memory.merge(*ids)
        self._ends([merged])
        self._ids.append(merged.id)

    def _split(self) -> None:
        for id in self._some(1):
            words = self._memory.get(id).text.split()
            cut = 2 * self._random.randint(0, len(words) // 2)
            parts = [part for part in (" ".join(words[:cut]), " ".join(words[cut:])) if part]
            self._begins("split")
            with self._memory.step(f"batch of {len(parts) + 1}"):
                made = self._memory.split(id, parts)
            self._ends(made)
            self._ids += [record.id for record in made]

    def _forget(self) -> None:
        ids = self._some(2)
        self._begins("forget")
        self._ends(self._memory.forget(*ids))
        self._trash += ids

    def _restore(self) -> None:
        if not self._trash:
            return
        id = self._random.choice(self._trash)
        self._begins("restore")
        self._ends(self._memory.restore(id))

    def _undo(self) -> None:
        self._begins("undo")
        changes = self._memory.undo(self._random.choice((1, 1, 2)))
        self._ends(changes=[[change.seq, change.record_id] for change in changes])

    def _redo(self) -> None:
        self._begins("redo")
        self._ends(changes=[[change.seq, change.record_id] for change in self._memory.redo()])

    def _recall(self) -> None:
        self._begins("recall")
        self._memory.recall(self._text(), 3)
        self._ends()

    def _flush(self) -> None:
        last = self._last
        self._begins("flush")
        self._memory.flush()
        self._ends(flushed=None if last is None else [last.id, last.revision])

    def _several(self) -> None:
        """Several verbs as one step: each is durable by itself, and one undo takes back what there is of them."""
        with self._memory.step("several"):
            self._add()
            self._tag()
            self._edit()

    def _erase(self) -> None:
        id = self._memory.add(self._text()).id if self._random.random() < 0.5 else "".join(self._some(1))
        self._begins("erase", erasing=id)
        try:
            gone = [record.id for record in self._memory.forget(id, hard=True)]
        except LedgerError as error:  # another process was in the way of rewriting the file: that is said, and true
            if "the words are erased" not in str(error):
                raise
            gone = [id]
        self._ends(erased=gone)


@dataclass(frozen=True)
class Aim:
    """A kill in the middle of a commit, which random instants seldom hit: a commit's writes take some 0.1 ms.

    A timer is set when the commit begins, and nobody handles its signal: as sudden an end as SIGKILL.
    """

    commit: int
    after_s: float

    def take(self) -> None:
        begun = count(1)

        def commit() -> None:
            if next(begun) == self.commit:
                signal.setitimer(signal.ITIMER_REAL, self.after_s)

        tell_commits(commit)


def write(
    say: Callable[[str], None], location: str, log: Path, seed: int, aim: Aim | None, go_on: Callable[[], bool]
) -> None:
    """Open the memory and use it from several threads as long as `go_on` says; `say` hears "opening" and "writing"."""

    def die(args: threading.ExceptHookArgs) -> None:
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
        os._exit(3)

    threading.excepthook = die
    if aim is not None:
        aim.take()
    segments._DUE = 20  # changes after which words are kept: of 2,000, no writer lives to see it
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    say("opening")
    with Memory.open(location, embedder=DigestEmbedder()) as memory:
        ids = [record.id for record in memory.newest(KNOWN)]
        trash = [record.id for record in memory.newest(20, states=("forgotten",))]
        writers = [Writer(memory, handle, number, seed, ids, trash) for number in range(THREADS)]
        threads = [threading.Thread(target=writer.run, args=(go_on,)) for writer in writers]
        say("writing")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
