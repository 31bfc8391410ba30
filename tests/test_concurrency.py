"""Many threads and many processes on one folder, and the faults of the disk under them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from agentmem import Memory
from agentmem.errors import AgentMemError, Conflict, LedgerError
from agentmem.ledger import Durability, Reader
from agentmem.opened import Opened, open_ledger
from agentmem.records import DEFAULT_SCOPE, Record
from agentmem_stores.sql import engine as engine_module
from agentmem_stores.sql.ledger import FILE_NAME, SqlLedger
from tests.commits import commits
from tests.fakes import DigestEmbedder

FRESH_PROCESS = multiprocessing.get_context("spawn")  # a fork would inherit the parent's connections
NOBODY = 65534
PATIENCE_S = 60.0


def opened(folder: Path, **more: Any) -> Memory:
    return Memory.open(folder, embedder=DigestEmbedder(), **more)


def by_words(memory: Memory, words: str, k: int) -> list[str]:
    """Found by their words alone: what a digest's vector says is noise."""
    return [hit.record.id for hit in memory.recall(words, k, engine="bm25")]


def in_a_process(work: Callable[..., None], *args: Any) -> Any:
    """What `work(pipe, *args)` sends, from a process of its own."""
    ours, theirs = FRESH_PROCESS.Pipe()
    child = FRESH_PROCESS.Process(target=work, args=(theirs, *args))
    child.start()
    theirs.close()
    try:
        with ours:
            assert ours.poll(PATIENCE_S)
            return ours.recv()
    finally:
        child.join(PATIENCE_S)
        child.close()


# ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_single_adds_of_many_threads_are_all_there(tmp_path: Path) -> None:
    threads, each = 16, 50
    with opened(tmp_path / "a.mem") as memory:

        def add(thread: int) -> list[Record]:
            return [memory.add(f"{thread}-{n}") for n in range(each)]

        with ThreadPoolExecutor(threads) as pool:
            added = [record for records in pool.map(add, range(threads)) for record in records]
        assert list(memory.records()) == sorted(added, key=lambda record: record.position)
        assert len({record.position for record in added}) == threads * each
        assert {change.seq for change in memory.log(limit=10_000)} == {record.position for record in added}
        assert memory.verify() == []


def test_a_verb_that_fails_leaves_the_others_in_its_commit_alone(tmp_path: Path) -> None:
    """A slow leader holds the commit until all others wait behind it; then they share the next one."""
    threads = 12
    with ExitStack() as stack:
        seen = stack.enter_context(commits())
        ledger = open_ledger(tmp_path / "a.mem")
        memory = stack.enter_context(Memory(Opened(ledger, DigestEmbedder(), "", "exact"), DEFAULT_SCOPE))
        stale = memory.add("stale")
        memory.edit(stale.id, text="fresh")
        about_to_write = threading.Barrier(threads + 1)

        def write(thread: int) -> Record | Conflict:
            about_to_write.wait(PATIENCE_S)
            if thread % 3:
                return memory.add(f"from {thread}")
            try:
                return memory.edit(stale.id, revision=stale.revision, text=f"from {thread}")
            except Conflict as conflict:
                return conflict

        def lead(reader: Reader) -> None:
            about_to_write.wait(PATIENCE_S)
            until = time.monotonic() + 0.2  # the others need microseconds from the barrier to the queue
            while time.monotonic() < until:
                reader.get([stale.id])

        seen.clear()
        with ThreadPoolExecutor(threads + 1) as pool:
            leader = pool.submit(ledger.bind(DEFAULT_SCOPE).transact, lead)
            answers = list(pool.map(write, range(threads)))
            leader.result()
        assert 2 <= len(seen) <= threads // 2  # the leader's, and the others'
        for thread, answer in enumerate(answers):
            if thread % 3:
                assert isinstance(answer, Record)
                assert memory.get(answer.id).text == f"from {thread}"
            else:
                assert isinstance(answer, Conflict)
                assert answer.current == memory.get(stale.id)
        assert memory.get(stale.id).text == "fresh"
        assert memory.stats().records == {"live": 1 + sum(bool(thread % 3) for thread in range(threads))}
        assert memory.verify() == []


def test_one_record_edited_by_many_threads_counts_every_edit(tmp_path: Path) -> None:
    threads, each = 8, 20
    with opened(tmp_path / "a.mem") as memory:
        id = memory.add("0").id

        def count_up(_: int) -> None:
            for _ in range(each):
                while True:  # optimistic: read, edit at that revision, and again when somebody was faster
                    seen = memory.get(id)
                    try:
                        memory.edit(id, revision=seen.revision, text=str(int(seen.text) + 1))
                        break
                    except Conflict:
                        continue

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(count_up, range(threads)))
        assert (memory.get(id).text, memory.get(id).revision) == (str(threads * each), threads * each + 1)
        assert memory.verify() == []


def test_threads_that_recall_while_others_write_see_only_whole_records(tmp_path: Path) -> None:
    with opened(tmp_path / "a.mem") as memory:
        first = memory.add("the lighthouse keeper")
        done = threading.Event()

        def write() -> None:
            for n in range(150):
                record = memory.add(f"the lighthouse keeper, again {n}")
                if n % 3 == 0:
                    memory.edit(record.id, text=f"the lighthouse keeper, for the {n}th time")
                if n % 5 == 0:
                    memory.forget(record.id)
            done.set()

        def read() -> int:
            seen = 0
            while not done.is_set():
                hits = memory.recall("lighthouse keeper", 500)
                assert first.id in {hit.record.id for hit in hits}
                assert all("lighthouse keeper" in hit.record.text for hit in hits)
                seen += 1
            return seen

        with ThreadPoolExecutor(5) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            writers = [pool.submit(write)]
            for writer in writers:
                writer.result()
            assert all(reader.result() for reader in readers)
        live = {record.id for record in memory.records()}
        assert {hit.record.id for hit in memory.recall("lighthouse keeper", 500)} == live


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_one_by_one(pipe: Pipe, folder: Path, name: str, count: int) -> None:
    with opened(folder) as memory:
        pipe.send([memory.add(f"{name} {n}").id for n in range(count)])


def test_an_open_reader_sees_what_another_process_added_edited_and_took_back(tmp_path: Path) -> None:
    folder = tmp_path / "a.mem"
    with opened(folder) as memory:
        mine = memory.add("a first word of mine")
        assert [hit.record.id for hit in memory.recall("word")] == [mine.id]
        theirs = in_a_process(_add_one_by_one, folder, "zebra", 40)
        assert set(by_words(memory, "zebra", 40)) == set(theirs)
        assert {hit.record.id for hit in memory.recall("zebra", 100)} == {mine.id, *theirs}
        with opened(folder) as other:
            other.edit(theirs[0], text="a quagga now")
            other.forget(theirs[1])
            other.undo(2)
            other.redo(1)
            other.edit(theirs[2], text="an okapi now")
        assert by_words(memory, "quagga", 1) == [theirs[0]]
        assert by_words(memory, "okapi", 1) == [theirs[2]]
        assert theirs[1] in {hit.record.id for hit in memory.recall("zebra", 100)}
        assert memory.verify() == []


def _mixed_work(pipe: Pipe, folder: Path, name: str, seconds: float) -> None:
    """For so long: single adds, batches, edits, forgets, undos and recalls, in a memory that nobody made before."""
    written: list[str] = []
    until = time.monotonic() + seconds
    try:
        with opened(folder) as memory:
            while time.monotonic() < until:
                record = memory.add(f"{name} added {len(written)}")
                written.append(record.id)
                written += [r.id for r in memory.add_many(f"{name} batched {n}" for n in range(20))]
                words = f"{name} edited word{len(written)}of{name}"
                memory.edit(record.id, text=words, revision=1)
                memory.forget(written[-1])
                memory.restore(written[-1])
                assert by_words(memory, words, 1) == [record.id]
            pipe.send((written, None))
    except (AgentMemError, sqlite3.Error, OSError) as error:
        pipe.send((written, repr(error)))


def test_four_processes_write_and_read_at_once_and_none_is_ever_told_of_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "a.mem"  # not there yet: the processes also race to make it
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: in_a_process(_mixed_work, folder, f"process{n}", 2.0), range(4)))
    assert [error for _, error in answers] == [None] * 4
    written = {id for ids, _ in answers for id in ids}
    with opened(folder, create=False) as memory:
        assert {record.id for record in memory.records()} == written
        assert memory.verify() == []
        seqs = [change.seq for change in memory.log(limit=1_000_000)]
        assert seqs == list(range(len(seqs), 0, -1))  # no gap, none twice, however many counted


def test_many_may_make_the_same_memory_at_once(tmp_path: Path) -> None:
    """Each opens connections of its own: to SQLite these are as strange to each other as processes."""
    at_once = 8
    together = threading.Barrier(at_once)

    def make(folder: Path) -> None:
        together.wait(PATIENCE_S)
        open_ledger(folder).close()

    with ThreadPoolExecutor(at_once) as pool:
        for n in range(60):
            list(pool.map(make, [tmp_path / f"{n}.mem"] * at_once))


def test_a_lock_that_is_never_let_go_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_S", 0.05)
    folder = tmp_path / "a.mem"
    with opened(folder) as memory:
        id = memory.add("early").id
        with closing(sqlite3.connect(folder / FILE_NAME)) as other:
            other.execute("BEGIN IMMEDIATE")
            for verb in (lambda: memory.add("now"), lambda: memory.forget(id), lambda: memory.forget(id, hard=True)):
                with pytest.raises(LedgerError, match="locked") as caught:
                    verb()
                assert caught.value.way_out
            assert memory.recall("early")[0].record.id == id  # readers do not wait for writers
            other.rollback()
        assert memory.add("after").text == "after"
        assert memory.verify() == []


def test_vectors_dropped_by_another_process_are_all_made_again(tmp_path: Path) -> None:
    """A reindex that was killed after its first step, while a second process had the memory open and went on."""
    folder = tmp_path / "a.mem"
    with opened(folder) as other:
        other.add_many(f"text {n}" for n in range(5))
        other.recall("text")
        ledger = open_ledger(folder)
        ledger.bind(DEFAULT_SCOPE).transact(lambda transaction: transaction.drop_vectors(DigestEmbedder.id))
        other.add("text 5")
        other.recall("text")
    with opened(folder) as memory:
        memory.recall("text")
        held = ledger.bind(DEFAULT_SCOPE).vectors(DigestEmbedder.id).positions.tolist()
        ledger.close()
        assert held == [record.position for record in memory.records()]


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fill_the_disk(pipe: Pipe, folder: Path) -> None:
    """Writes under a limit on the size of files: what each verb met, then what stands after the limit is lifted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    met: list[str] = []
    with opened(folder) as memory:
        written = [memory.add("x" * 1_000).id for _ in range(50)]

        def add_until_it_fails() -> None:
            for _ in range(1_000):
                written.append(memory.add("y" * 1_000).id)

        def add_from_many_threads() -> None:
            with ThreadPoolExecutor(8) as pool:
                for failed in [pool.submit(add_until_it_fails) for _ in range(8)]:
                    failed.result()

        size = max(file.stat().st_size for file in folder.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
        try:
            for verb in (
                add_until_it_fails,
                add_from_many_threads,
                lambda: memory.add_many(["z" * 1_000] * 1_000),
            ):
                try:
                    verb()
                    met.append("nothing")
                except LedgerError as error:
                    met.append(f"LedgerError: {error} {error.way_out}")
                except (AgentMemError, sqlite3.Error, OSError) as error:
                    met.append(repr(error))
            with suppress(LedgerError):  # needs little room, and may find it
                memory.forget(written[0], hard=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        after = {record.id for record in memory.records(states=("live", "forgotten"))} | {written[0]}
        written.append(memory.add("there is room again").id)
        assert by_words(memory, "room", 1) == [written[-1]]
        pipe.send((met, set(written[:-1]) == after, memory.verify()))


def test_a_full_disk_is_an_error_and_no_corruption(tmp_path: Path) -> None:
    met, all_there, disagreements = in_a_process(_fill_the_disk, tmp_path / "a.mem")
    assert all(answer.startswith("LedgerError") for answer in met), met
    assert all_there, "what was acknowledged and nothing else is there"
    assert disagreements == []
    with opened(tmp_path / "a.mem", create=False) as memory:
        assert memory.verify() == []


def test_a_database_that_may_not_grow_says_that_the_disk_is_full(tmp_path: Path) -> None:
    def limit(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA max_page_count = 60")

    event.listen(Engine, "connect", limit)
    try:
        with opened(tmp_path / "a.mem") as memory:
            kept = memory.add("kept")
            with pytest.raises(LedgerError, match="disk is full"):
                memory.add_many(["x" * 1_000] * 1_000)
            with pytest.raises(LedgerError, match="disk is full"):
                memory.add("x" * 1_000_000)
            assert list(memory.records()) == [kept]
            assert memory.add("a short one").text == "a short one"
            assert memory.verify() == []
    finally:
        event.remove(Engine, "connect", limit)


def _write_where_it_is_forbidden(pipe: Pipe, folder: Path) -> None:
    """Root may write everywhere, so that root becomes nobody first, once everything is imported."""
    with tempfile.TemporaryDirectory() as other, opened(Path(other) / "a.mem") as memory:
        memory.recall(memory.add("so that every module is loaded").text)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    met = []
    for target in (folder, folder / "new.mem", folder.parent / "closed" / "a.mem"):
        try:
            with opened(target) as memory:
                memory.add("forbidden")
            met.append("nothing")
        except LedgerError as error:
            met.append(f"LedgerError: {error} {error.way_out}")
        except (AgentMemError, sqlite3.Error, OSError) as error:
            met.append(repr(error))
    pipe.send(met)


def test_a_folder_that_may_not_be_written_is_a_clear_error() -> None:
    base = Path(tempfile.mkdtemp())  # not tmp_path: nobody else may look into that
    try:
        base.chmod(0o755)
        folder = base / "a.mem"
        with opened(folder) as memory:
            memory.add("kept")
        before = (folder / FILE_NAME).read_bytes()
        (folder / FILE_NAME).chmod(0o444)
        (base / "closed").mkdir(0o700 if os.geteuid() == 0 else 0o000)
        folder.chmod(0o555)
        met = in_a_process(_write_where_it_is_forbidden, folder)
        assert all(answer.startswith("LedgerError") for answer in met), met
        assert (folder / FILE_NAME).read_bytes() == before
    finally:
        for path in (base, *base.glob("*")):
            path.chmod(0o700)
        shutil.rmtree(base)


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path / "a.mem") as memory:
            memory.add("private")
            assert stat.S_IMODE((tmp_path / "a.mem").stat().st_mode) == 0o700
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "a.mem").iterdir()}
            assert modes == dict.fromkeys((FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"), 0o600)
    finally:
        os.umask(before)


# ── what cannot be opened ────────────────────────────────────────────────────────────────────────────────────────────


def _garbage(folder: Path) -> Path:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"this is no database, whatever its name says\n" * 200)
    return folder


def _truncated(folder: Path) -> Path:
    with opened(folder) as memory:
        memory.add_many(["some words"] * 500)
    whole = (folder / FILE_NAME).read_bytes()
    (folder / FILE_NAME).write_bytes(whole[: len(whole) // 3])
    return folder


def _a_file(path: Path) -> Path:
    path.write_text("a file")
    return path


def _below_a_file(path: Path) -> Path:
    return _a_file(path) / "a.mem"


def _a_folder_for_a_file(path: Path) -> Path:
    (path / FILE_NAME).mkdir(parents=True)
    return path


def _too_long(path: Path) -> Path:
    return path.with_name("x" * 300)


def _with_nul(path: Path) -> Path:
    return path.with_name("a\0b")


@pytest.mark.parametrize(
    "make", [_garbage, _truncated, _a_file, _below_a_file, _a_folder_for_a_file, _too_long, _with_nul]
)
@pytest.mark.parametrize("create", [True, False])
def test_what_is_no_memory_is_refused(make: Callable[[Path], Path], create: bool, tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    listed = sorted(tmp_path.rglob("*"))

    def use() -> None:
        with opened(path, create=create) as memory:
            memory.add("not here")
            assert not memory.verify()

    with pytest.raises(AgentMemError) as caught:
        use()
    assert caught.value.way_out
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in listed and p.suffix not in ("-wal", "-shm")] == []


def test_without_create_a_missing_memory_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no memory") as caught:
        opened(tmp_path / "a.mem", create=False)
    assert "init" in caught.value.way_out
    assert list(tmp_path.iterdir()) == []


# ── durability ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
def test_durability_is_what_sqlite_is_told(durability: Durability, synchronous: int, tmp_path: Path) -> None:
    """1 is NORMAL: a commit is in the operating system's hands. 2 is FULL: it is on the disk."""
    with opened(tmp_path / "a.mem", durability=durability) as memory:
        memory.add("durable")
        ledger = memory._opened.ledger
        assert isinstance(ledger, SqlLedger)
        asked = ("PRAGMA synchronous", "PRAGMA journal_mode")
        told = ledger.writer.run(lambda writing: [writing.exec_driver_sql(pragma).scalar() for pragma in asked], None)
    assert told == [synchronous, "wal"]


def test_an_emptied_ledger_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "a.mem"
    with opened(folder) as memory:
        memory.add("kept")
    (folder / FILE_NAME).write_bytes(b"")
    for other in folder.glob(f"{FILE_NAME}-*"):
        other.unlink()
    with pytest.raises(LedgerError, match="empty"):
        open_ledger(folder, create=False)
    assert (folder / FILE_NAME).stat().st_size == 0


def test_a_damaged_text_is_told_without_its_words(tmp_path: Path) -> None:
    folder = tmp_path / "a.mem"
    with opened(folder) as memory:
        memory.add("swordfish " * 20)
    file = folder / FILE_NAME
    file.write_bytes(file.read_bytes().replace(b"swordfish swordfish", b"swordfis\xff swordfish"))
    with opened(folder) as memory, pytest.raises(LedgerError, match="damaged") as caught:
        list(memory.records())
    assert "sword" not in f"{caught.value}{caught.value.way_out}"
