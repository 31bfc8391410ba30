"""What users of other memory systems complained about, one test a complaint, and what agentmem does instead.

The numbers are those of the list the tests were written from. Each docstring says the pain in a sentence, then the
cure; each test fails when the cure is taken out.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, event

import agentmem
from agentmem import (
    AsyncMemory,
    Change,
    Conflict,
    Cue,
    EmbeddingError,
    Hit,
    InvalidInput,
    LedgerError,
    Memory,
    Models,
    Place,
    Record,
    RecordNotFound,
    Source,
)
from agentmem.records import Scope, State
from agentmem_stores.sql.jobs import SqlJobs
from agentmem_stores.sql.ledger import FILE_NAME, open_sqlite
from tests.commits import tell_commits
from tests.faces import members
from tests.fakes import TinyEmbedder

ALL: tuple[State, ...] = ("live", "forgotten", "replaced")
FRESH_PROCESS = multiprocessing.get_context("spawn")  # a fork would inherit the parent's connections
PATIENCE_S = 60.0
FROZEN = Path(__file__).parent / "fixtures" / "public_names.txt"


def opened(folder: Path, **more: Any) -> Memory:
    return Memory.open(folder, **({"embedder": TinyEmbedder()} | more))


def everything(memory: Memory) -> list[str]:
    """A scope's records and its journal, as text."""
    return [*memory.export_lines(), *(json.dumps(change.to_json()) for change in memory.log(1_000_000))]


@contextmanager
def another_process(work: Callable[..., None], *args: Any) -> Iterator[tuple[Any, Pipe]]:
    """A process that runs `work(pipe, *args)`, and our end of its pipe; killed at the end."""
    ours, theirs = FRESH_PROCESS.Pipe()
    child = FRESH_PROCESS.Process(target=work, args=(theirs, *args))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        ours.close()
        child.kill()
        child.join(PATIENCE_S)
        child.close()


def heard(pipe: Pipe) -> Any:
    assert pipe.poll(PATIENCE_S)
    return pipe.recv()


# ── 5 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Rubbish(TinyEmbedder):
    """A model whose answers cannot be used, until it is mended."""

    answers: Sequence[Any] = ("facts: none", [[float("nan")] * 8], [[1.0]], None, [])

    def __init__(self) -> None:
        self.mended = False
        self._asked = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.mended:
            return super().embed(texts)
        self._asked += 1
        return self.answers[self._asked % len(self.answers)]  # type: ignore[no-any-return]


def test_pain_05_what_a_model_cannot_answer_for_is_not_lost(tmp_path: Path) -> None:
    """Elsewhere a model's answer that did not parse meant silent loss: nothing was stored and nothing was said.

    Here the words are written first, with no model in the way; what the model still owes is counted and raised to
    who asks, is made up for later, and a job that fails for good is kept with its error and can be tried again.
    """
    rubbish = Rubbish()
    with opened(tmp_path / "m", embedder=rubbish) as memory:
        records = [memory.add(f"the ferry leaves at {n}") for n in range(10)]
        with pytest.raises(EmbeddingError):
            memory.flush()
        assert memory.stats().pending == len(records)
        assert list(memory.records()) == records
        rubbish.mended = True
        assert memory.flush() == len(records)
        assert {hit.record.id for hit in memory.recall("ferry", 20)} == {record.id for record in records}
        scope = memory.bound
    ledger = open_sqlite(str(tmp_path / "m"), create=False, durability="process")
    with closing(ledger):
        jobs = SqlJobs(ledger, scope)
        id = jobs.put("extract", {"record": records[0].id})
        assert jobs.take("worker") is not None
        with pytest.raises(json.JSONDecodeError) as unparsed:
            json.loads("Sure! Here are the facts: [")
        assert jobs.failed(id, "worker", str(unparsed.value), attempts=1)
        [dead] = jobs.listed("dead")
        assert (dead.id, dead.payload) == (id, {"record": records[0].id})
        assert "Expecting value" in str(dead.error)
        jobs.retry(id)
        again = jobs.take("worker")
        assert again is not None
        assert again.id == id
    with opened(tmp_path / "m", create=False) as memory:
        assert list(memory.records()) == records


# ── 6 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pain_06_deleting_all_of_one_user_leaves_every_other_byte_identical(tmp_path: Path) -> None:
    """Elsewhere `delete_all(user_id=…)` dropped the whole collection, for every user.

    Here nothing is deleted but by explicit ids, inside one scope: no call means "all", no id of another scope is
    known, and what the others have stays as it was to the byte, also when the words are erased for good.
    """
    scopes = ["user:ana", "user:ana/agent:guide", "user:an", "user:anabel", "user:%", "user:_na", "USER:ANA", "default"]
    with opened(tmp_path / "m") as memory:
        handles = {name: memory.scope(*Scope(name)) for name in scopes}
        for handle in handles.values():
            first, second = handle.add_many(["we met at the harbour", "it rained"])
            handle.merge(first.id, second.id)
            handle.flush()
        before = {name: everything(handle) for name, handle in handles.items()}
        ana, others = handles["user:ana"], [name for name in scopes if name != "user:ana"]
        ids = [record.id for record in ana.records(states=ALL)]
        theirs = next(handles["user:an"].records()).id
        for bad in ([], [*ids, theirs], [""]):
            with pytest.raises((InvalidInput, RecordNotFound)):
                ana.forget(*bad)
            with pytest.raises((InvalidInput, RecordNotFound)):
                ana.forget(*bad, hard=True)
        assert {name: everything(handle) for name, handle in handles.items()} == before
        ana.forget(*ids)
        assert list(ana.records()) == []
        assert ana.undo() != []
        assert [record.text for record in ana.records()] == ["we met at the harbour\nit rained"]
        ana.forget(*ids, hard=True)
        assert list(ana.records(states=ALL)) == []
        assert {name: everything(handles[name]) for name in others} == {name: before[name] for name in others}
        for name in others:
            assert len(handles[name].recall("harbour")) == 1


# ── 12 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

ASYNC_VERBS: dict[str, Callable[[AsyncMemory, list[str], Path], Awaitable[Any]]] = {
    "add": lambda m, ids, out: m.add("four"),
    "add_many": lambda m, ids, out: m.add_many(["five", "six"]),
    "edit": lambda m, ids, out: m.edit(ids[0], text="one, edited"),
    "pin": lambda m, ids, out: m.pin(ids[0]),
    "tag": lambda m, ids, out: m.tag(ids[0], add=["x"]),
    "recall": lambda m, ids, out: m.recall("one"),
    "context": lambda m, ids, out: m.context("one"),
    "locate": lambda m, ids, out: m.locate("one"),
    "order": lambda m, ids, out: m.order("one", "two"),
    "feedback": lambda m, ids, out: m.feedback(ids[0], useful=True),
    "get": lambda m, ids, out: m.get(ids[0]),
    "find": lambda m, ids, out: m.find(ids[0]),
    "newest": lambda m, ids, out: m.newest(),
    "listing": lambda m, ids, out: m.listing(),
    "listed": lambda m, ids, out: m.listed([1]),
    "kinds": lambda m, ids, out: m.kinds(),
    "head": lambda m, ids, out: m.head(),
    "descendants": lambda m, ids, out: m.descendants(ids[0]),
    "history": lambda m, ids, out: m.history(ids[0]),
    "log": lambda m, ids, out: m.log(),
    "stats": lambda m, ids, out: m.stats(),
    "verify": lambda m, ids, out: m.verify(),
    "load": lambda m, ids, out: m.load(),
    "flush": lambda m, ids, out: m.flush(),
    "reindex": lambda m, ids, out: m.reindex(),
    "attach": lambda m, ids, out: m.attach("forgetful", Forgetful()),
    "export": lambda m, ids, out: m.export(out),
    "consolidate": lambda m, ids, out: m.consolidate("thoughts"),
    "foresee": lambda m, ids, out: m.foresee("thoughts"),
    "working": lambda m, ids, out: m.working(),
    "complete": lambda m, ids, out: m.complete("three"),
    "familiarity": lambda m, ids, out: m.familiarity("four"),
    "repeats": lambda m, ids, out: m.repeats(),
    "due": lambda m, ids, out: m.due(),
    "fade": lambda m, ids, out: m.fade(),
    "forget": lambda m, ids, out: m.forget(ids[0]),
    "restore": lambda m, ids, out: m.restore(ids[0]),
    "merge": lambda m, ids, out: m.merge(ids[0], ids[1]),
    "undo": lambda m, ids, out: m.undo(),
    "redo": lambda m, ids, out: m.redo(),
    "split": lambda m, ids, out: m.split(ids[2], ["th", "ree"]),
}


class Tracked(TinyEmbedder):
    """Notes the threads that wait for it."""

    def __init__(self, threads: set[int]) -> None:
        self._threads = threads

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._threads.add(threading.get_ident())
        return super().embed(texts)


def test_pain_12_no_verb_works_on_the_event_loops_thread(tmp_path: Path) -> None:
    """Elsewhere an "async" client did its storage and its models on the event loop, and everything else stood still.

    Here every verb runs on a thread: not one statement and not one embedding is seen on the loop's own. No clock is
    read, so that a busy machine cannot fail this.
    """
    busy: set[int] = set()

    def connected(driver: sqlite3.Connection, _: object) -> None:
        driver.set_trace_callback(lambda _: busy.add(threading.get_ident()))

    async def story() -> set[str]:
        met = set()
        async with await AsyncMemory.open(tmp_path / "m", embedder=Tracked(busy)) as memory:
            assert threading.get_ident() not in busy, "open"
            ids = [record.id for record in await memory.add_many(["one", "two", "three"])]
            for name, call in ASYNC_VERBS.items():
                busy.clear()
                await call(memory, ids, tmp_path / "out")
                assert threading.get_ident() not in busy, name
                if busy:
                    met.add(name)
        return met

    event.listen(Engine, "connect", connected)
    try:
        met = asyncio.run(story())
    finally:
        event.remove(Engine, "connect", connected)
    assert met == ASYNC_VERBS.keys()  # each did work that would have been seen
    public = {name for name, member in members(AsyncMemory).items() if inspect.iscoroutinefunction(member)}
    assert {name for name in public if not name.startswith("_")} - {"close"} == ASYNC_VERBS.keys()


def test_pain_12_the_loop_goes_on_while_a_write_waits(tmp_path: Path) -> None:
    """The same, seen from the loop: it is the loop that lets go of what the verb waits for."""

    async def story() -> None:
        async with await AsyncMemory.open(tmp_path / "m", embedder=TinyEmbedder()) as memory:
            await memory.add("one")
            with closing(sqlite3.connect(tmp_path / "m" / FILE_NAME)) as other:
                other.execute("BEGIN IMMEDIATE")
                adding = asyncio.create_task(memory.add("two"))
                for _ in range(100):
                    await asyncio.sleep(0.001)
                assert not adding.done()
                other.rollback()
            assert (await adding).text == "two"

    asyncio.run(story())


# ── 13 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pain_13_a_second_writer_waits_and_a_reader_does_not(tmp_path: Path) -> None:
    """Elsewhere two writers met `database is locked`: the default journal mode, and a busy timeout of nothing.

    Here readers see the last commit while somebody writes, writers wait for their turn, and a verb that reads before
    it writes takes its turn before it reads.
    """
    with opened(tmp_path / "m") as memory, opened(tmp_path / "m") as stranger, ThreadPoolExecutor(4) as pool:
        kept = memory.add("0")
        memory.flush()
        with closing(sqlite3.connect(tmp_path / "m" / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            waiting = [pool.submit(each.add, "waited") for each in (memory, stranger)]
            assert memory.get(kept.id) == stranger.get(kept.id) == kept
            assert [hit.record for hit in memory.recall("0")] == [kept]
            assert wait(waiting, timeout=0.3).done == set()  # neither refused nor written
            other.execute("ROLLBACK")
        assert [future.result(PATIENCE_S).text for future in waiting] == ["waited"] * 2

        def count_up(each: Memory) -> None:
            for _ in range(40):
                while True:
                    seen = each.get(kept.id)
                    try:
                        each.edit(kept.id, revision=seen.revision, text=str(int(seen.text) + 1))
                        break
                    except Conflict:
                        continue

        for future in [pool.submit(count_up, each) for each in (memory, stranger) * 2]:
            future.result(PATIENCE_S)
        assert memory.get(kept.id).text == "160"


# ── 14 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stop_before_the_commit(pipe: Pipe, folder: Path) -> None:
    def stop() -> None:
        pipe.send("in the middle of a write")
        pipe.recv()  # for ever

    with opened(folder, create=False) as memory:
        memory.recall("kept")
    tell_commits(stop)
    with opened(folder, create=False) as memory:
        memory.add("never acknowledged")


def test_pain_14_a_dead_worker_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Elsewhere a second embedded database, the graph, kept a lock that a dead worker still held.

    Here there is one file, links are rows in it, and its lock is the system's: it dies with the process.
    """
    with opened(tmp_path / "m") as memory:
        kept = memory.add("kept")
    with another_process(_stop_before_the_commit, tmp_path / "m") as (child, pipe):
        assert heard(pipe) == "in the middle of a write"
        os.kill(child.pid, signal.SIGKILL)
        child.join(PATIENCE_S)
        with opened(tmp_path / "m", create=False) as memory:
            merged = memory.merge(kept.id, memory.add("written at once").id)
            assert [record.id for record in memory.descendants(kept.id)] == [merged.id]
            assert memory.verify() == []
            assert {path.name.removeprefix(FILE_NAME) for path in (tmp_path / "m").iterdir()} <= {"", "-wal", "-shm"}


# ── 19 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _follow_links_alone(pipe: Pipe, folder: Path) -> None:
    reached: list[str] = []

    def hook(what: str, _: tuple[Any, ...]) -> None:
        if what.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")):
            reached.append(what)

    sys.addaudithook(hook)
    with opened(folder) as memory:
        ana, ben = memory.add_many(["Ana met Ben at the pier", "Ben lives in Lisbon"])
        fact = memory.add("Ana knows Ben", kind="fact", sources=[ana.id, Source(record=ben.id, span=(0, 3))])
        merged = memory.merge(ana.id, ben.id)
        parts = memory.split(merged.id, ["Ana met Ben", "at the pier"])
        links = {record.id for record in memory.descendants(ana.id)}
        memory.recall("who knows Ben?")
        gone = {record.id for record in memory.forget(ana.id, hard=True)}
    expected = {fact.id, merged.id, *(part.id for part in parts)}
    pipe.send((links == expected, gone >= {ana.id, fact.id, merged.id}, reached))


def test_pain_19_links_need_no_server(tmp_path: Path) -> None:
    """Elsewhere links between memories needed a graph server, or an embedded one that was given up by its makers.

    Here they are rows of the one ledger: made, followed and erased with no socket opened and no process started.
    """
    with another_process(_follow_links_alone, tmp_path / "m") as (_, pipe):
        assert heard(pipe) == (True, True, [])
    with opened(tmp_path / "m", create=False) as memory:
        assert memory.verify() == []


# ── 21 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pain_21_everything_leaves_in_plain_lines_and_comes_back(tmp_path: Path) -> None:
    """Elsewhere there was no way out: no export, or one that loses fields.

    Here a scope is exported as lines of JSON that any program reads, every field and every state in them, and an
    import of it is the same memory again.
    """
    noon = datetime(2024, 5, 3, 12, 30, 15, 123_456, UTC)
    with opened(tmp_path / "a", scope="user:ana") as memory, opened(tmp_path / "b", scope="user:ana") as copy:
        rich = memory.add(
            "We moved the launch to 3 May.\nשלום 🚀\u2028",
            kind="note",
            session="s1",
            at=noon,
            speaker="Ana",
            role="user",
            place=Place("Lisbon/office", (38.7, -9.1)),
            tags=["launch", "moved"],
            meta={"deep": [{"n": 2**70, "x": 0.1, "none": None}]},
            sources=[Source(file="chat.txt", span=(3, 9))],
        )
        memory.edit(rich.id, strength=0.25, pinned=True)
        memory.merge(*(record.id for record in memory.add_many(["one", "two"])))
        memory.split(memory.add("left right").id, ["left", "right"])
        memory.forget(memory.add("in the trash").id)
        assert memory.export(tmp_path / "out.jsonl") == len(list(memory.records(states=ALL)))
        header, *lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        assert json.loads(header)["scope"] == ["user:ana"]
        assert {json.loads(line).get("state", "live") for line in lines} == set(ALL)
        plain = next(found for line in lines if (found := json.loads(line))["id"] == rich.id)
        assert (plain["text"], plain["speaker"], plain["at"]) == (rich.text, "Ana", noon.isoformat())
        copy.add_many(Record.from_json(json.loads(line)) for line in lines)
        copy.export(tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
        assert list(copy.records(states=ALL)) == list(memory.records(states=ALL))


# ── 25 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_until_killed(pipe: Pipe, folder: Path) -> None:
    memory = opened(folder)
    while True:
        pipe.send(memory.add("acknowledged").id)


def test_pain_25_what_was_stored_is_there_after_a_restart_or_a_kill(tmp_path: Path) -> None:
    """Elsewhere memories were gone after a restart: opening reset them, or fell back to a store that nobody keeps.

    Here a memory says where it is, opening never empties it, one that was expected and is not there is refused and
    not made, and what a verb returned outlives a kill.
    """
    folder = tmp_path / "m"
    with another_process(_add_until_killed, folder) as (child, pipe):
        acknowledged = [heard(pipe) for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        child.join(PATIENCE_S)
        while pipe.poll(0):  # what was sent before the kill was acknowledged too
            try:
                acknowledged.append(pipe.recv())
            except EOFError:
                break
    for _ in range(3):  # to open it, with the defaults, changes nothing
        with opened(folder) as memory:
            assert memory.url == str(folder)
            assert {record.id for record in memory.records()} >= set(acknowledged)
            assert memory.verify() == []
    missing = tmp_path / "elsewhere"
    with pytest.raises(LedgerError, match="elsewhere"):
        opened(missing, create=False)
    assert not missing.exists()
    garbage = tmp_path / "garbage"
    garbage.mkdir()
    (garbage / FILE_NAME).write_bytes(b"no database" * 1_000)
    with pytest.raises(LedgerError, match="garbage"):
        opened(garbage)
    assert (garbage / FILE_NAME).read_bytes() == b"no database" * 1_000
    with pytest.raises(LedgerError):
        opened(garbage / FILE_NAME)  # a file where a folder should be


# ── 26 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Forgetful:
    """A store that kept nothing, and claims to be wherever it is told."""

    def __init__(self, cursor: int = 0) -> None:
        self.cursor = cursor

    def rebuild(self) -> None:
        self.cursor = 0

    def apply(self, changes: Sequence[Change]) -> None:
        self.cursor = changes[-1].seq

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return []

    def inspect(self) -> dict[str, str]:
        return {}

    def consolidate(self, now: datetime, models: Models | None = None) -> Any:
        raise NotImplementedError


def test_pain_26_nothing_from_elsewhere_empties_a_memory(tmp_path: Path) -> None:
    """Elsewhere a sync with a server that had less overwrote what was here: 79 files became 8.

    Here the local journal is the truth and only grows: an older, smaller copy taken in removes nothing, a projection
    that lost everything is filled again and never the other way round, and no verb rewrites an entry that stands.
    """
    with opened(tmp_path / "m") as memory, opened(tmp_path / "old") as old:
        records = memory.add_many(f"number {n}" for n in range(79))
        memory.edit(records[0].id, text="edited")
        old.add_many([*records[:7], Record.from_json({**records[7].to_json(), "text": "older words"})])
        grown: list[Change] = []

        def only_grew() -> None:
            log = memory.log(1_000_000)[::-1]
            assert log[: len(grown)] == grown
            grown[:] = log
            assert len(list(memory.records())) >= 79

        only_grew()
        assert memory.add_many(old.records(), existing="skip") == []
        with pytest.raises(Conflict):
            memory.add_many(old.records())
        only_grew()
        assert memory.get(records[7].id).text == "number 7"
        for cursor in (0, 10**9):
            memory.attach(f"forgetful from {cursor}", Forgetful(cursor))
            memory.recall("number")
            memory.reindex(f"forgetful from {cursor}")
        memory.reindex("vectors")
        assert len(memory.recall("number", 100)) == 79
        only_grew()
        memory.merge(records[1].id, memory.add("one more").id)
        memory.forget(records[2].id)
        memory.undo(2)
        memory.redo()
        memory.undo()
        only_grew()
        assert [record.text for record in memory.records()][1:79] == [f"number {n}" for n in range(1, 79)]


# ── 28 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _shown(parameter: inspect.Parameter) -> str:
    sign = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    noted = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{sign}{parameter.name}{noted}{default}"


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    shown: list[str] = []
    keyword_only = False
    for parameter in list(signature.parameters.values())[1:]:  # without self
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if not any(each.startswith("*") for each in shown):
                shown.append("*")
        shown.append(_shown(parameter))
    return f"({', '.join(shown)}) -> {signature.return_annotation}"


def public_names() -> list[str]:
    """What a program may have written against: one line a name, with its arguments and their defaults."""
    lines = ["# agentmem", *sorted(agentmem.__all__)]
    for face in (Memory, AsyncMemory):
        lines += ["", f"# {face.__name__}"]
        for name, member in sorted(members(face).items()):
            if isinstance(member, property):
                lines.append(f"{name}: {inspect.signature(member.fget).return_annotation}")  # type: ignore[arg-type]
                continue
            function = getattr(member, "__func__", member)
            signature = _signature(function)
            awaited = inspect.iscoroutinefunction(function)
            same = awaited and signature == _signature(getattr(Memory, name))
            lines.append(("await " if awaited else "") + name + (": as Memory's" if same else signature))
    return lines


def test_pain_28_the_face_changes_only_on_purpose() -> None:
    """Elsewhere arguments moved and were renamed between releases, and programs broke without a word.

    Here the public names, their arguments and defaults stand in a file. Whoever changes one changes the file too, says
    so in the changelog, and keeps the old spelling for a release.
    """
    frozen = FROZEN.read_text(encoding="utf-8").splitlines()
    differences = list(difflib.unified_diff(frozen, public_names(), FROZEN.name, "as it is", lineterm="", n=0))
    assert not differences, (
        "\n".join(differences) + f"\nIf it is meant: python -m tests.test_pains > {FROZEN.relative_to(Path.cwd())}"
    )


if __name__ == "__main__":
    sys.stdout.write("\n".join(public_names()) + "\n")
