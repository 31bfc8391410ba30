"""What ledgers promise when more than one looks at them: snapshots, erasure, reopening, threads, processes, files."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agentmem import verbs
from agentmem.ledger import Serving
from agentmem.records import Record
from agentmem_stores.testing.exam import equal, holds
from agentmem_stores.testing.ledgers import (
    ALL,
    EMBEDDER,
    LEDGERS,
    LedgerRoom,
    added,
    everything,
    put,
    removal,
    rows_of,
    write,
)
from agentmem_stores.testing.worker import Worker, count_up, counted

_PATIENCE_S = 120.0  # for threads that a deadlock would hold for ever
_RESTLESS_S = 1e-5  # between two threads' turns, of usually 5 ms: what can meet, meets
_THREADS, _PROCESSES, _EACH = 4, 2, 25
_MARK = "Zürich-péché-7731"  # not ASCII, and nothing else says it


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("snapshot")
def a_snapshot_stands_still_while_others_write(room: LedgerRoom) -> None:
    ana = room.ana
    record = added(ana, "before")
    put(ana, {1: [1, 0, 0]}, moved=(0, 1))
    with ana.snapshot() as reader:
        standing, head = everything(reader), reader.head()
        added(room.ana, "after")
        write(ana, verbs.forget(record))
        put(ana, {1: [0, 1, 0], 2: [0, 0, 1]}, moved=(1, 3))
        equal(everything(reader), standing, "the scope within the snapshot")
        equal((reader.head(), head), (1, 1), "the head within the snapshot")
        delta = reader.changed(0)
        equal((delta.records, delta.gone, delta.head), ([record], [], 1), "what changed, within the snapshot")
    equal((ana.head(), ana.counts()), (3, {"live": 1, "forgotten": 1}), "the scope after it")


# ── erasing ──────────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("erasure")
def erasing_leaves_an_entry_without_a_body_and_nothing_else(room: LedgerRoom) -> None:
    ana = room.ana
    kept, gone = added(ana, "kept"), added(ana, "gone")
    write(ana, verbs.alter("edit", gone, text="gone, edited"))
    put(ana, {kept.position: [1, 0, 0], gone.position: [0, 1, 0]})
    [entry] = ana.transact(lambda transaction: transaction.erase([gone.id], actor="ana", cause="asked to"))
    ana.reclaim()
    said = (entry.verb, entry.record_id, entry.actor, entry.cause, entry.seq)
    equal(said, ("erase", gone.id, "ana", "asked to", 4), "the entry")
    bodies = [(change.seq, change.verb, change.erased) for change in ana.changes(record_id=gone.id)]
    equal(bodies, [(2, "add", True), (3, "edit", True), (4, "erase", True)], "what the journal keeps of it")
    equal(ana.scan(states=ALL), [kept], "what stands")
    equal(rows_of(ana.vectors(EMBEDDER)), {kept.position: [1, 0, 0]}, "vectors")
    equal(tuple(ana.changed(3)), ([], [gone.position], 4), "what a projection is told")
    equal(ana.verify(), [], "what is wrong")


@LEDGERS.promise("erasure")
def what_an_undo_took_away_can_still_be_erased(room: LedgerRoom) -> None:
    ana = room.ana
    gone = added(ana, f"I was in {_MARK}")
    write(ana, removal(gone))
    ana.transact(lambda transaction: transaction.erase([gone.id], actor="ana"))
    ana.reclaim()
    holds(_MARK not in repr(ana.changes()), "the journal holds no word of it")
    equal([change.verb for change in ana.changes()], ["add", "undo", "erase"], "the entries")
    equal(ana.verify(), [], "what is wrong")


@LEDGERS.promise("reclaim")
def after_reclaiming_no_file_holds_a_byte_of_erased_words(room: LedgerRoom) -> None:
    ana = room.ana
    for n in range(50):
        added(ana, f"An ordinary day, number {n}. " * 20)
    secret = added(ana, f"I was in {_MARK}. " * 50, speaker=_MARK, tags=[_MARK], meta={_MARK: _MARK})
    write(ana, verbs.alter("edit", secret, text="I was at home."))
    forms = [_MARK.encode(), json.dumps(_MARK)[1:-1].encode(), _MARK.encode("utf-16-le")]

    def files() -> list[str]:
        held = [path for path in room.folder.rglob("*") if path.is_file()]
        return [path.name for path in held if any(form in path.read_bytes() for form in forms)]

    holds(files(), "the words are in some file of the folder before they are erased; else nothing can be shown here")
    ana.transact(lambda transaction: transaction.erase([secret.id], actor="ana"))
    ana.reclaim()
    equal(files(), [], "the files that hold the erased words")
    equal((len(ana.scan()), ana.verify()), (50, []), "the rest")


# ── opening again ────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("durability")
def whatever_was_acknowledged_is_there_after_opening_again(room: LedgerRoom) -> None:
    first, second = added(room.ana, "first"), added(room.ana, "second")
    write(room.ana, verbs.alter("edit", first, text="first, edited"))
    write(room.ana, removal(second))
    put(room.ana, {first.position: [0.1, 0.2, 0.3]}, moved=(0, 3))
    room.ana.transact(lambda transaction: transaction.serve(Serving(EMBEDDER, "exam"), instead_of=None))
    added(room.bea, "next door")
    identity = room.ledger.identity
    for last in ("third", "fourth"):
        added(room.ana, last)
        standing = [everything(scoped) for scoped in (room.ana, room.bea, room.notes)]
        head = room.ana.head()
        room.reopen()
        equal(room.ana.head(), head, "the head")
        equal([everything(scoped) for scoped in (room.ana, room.bea, room.notes)], standing, "the scopes")
        equal((room.ana.verify(), room.ledger.identity), ([], identity), "what is wrong, and the ledger's identity")
    equal(added(room.ana, "fifth").position, head + 1, "the next position")


@LEDGERS.promise("core")
def closing_twice_is_fine_and_a_ledger_says_where_it_is(room: LedgerRoom) -> None:
    added(room.ana, "text")
    ledger = room.ledger
    holds(isinstance(ledger.url, str) and ledger.url, "a url")
    holds(ledger.size() > 0, "a size in bytes above 0")
    equal(ledger.identity, ledger.identity, "the identity, asked twice")
    ledger.close()
    ledger.close()


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def _together(work: Callable[[int], object], threads: int) -> None:
    ready = threading.Barrier(threads)

    def started(thread: int) -> None:
        ready.wait(_PATIENCE_S)
        work(thread)

    pool = ThreadPoolExecutor(threads)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_RESTLESS_S)
    try:
        for done in [pool.submit(started, thread) for thread in range(threads)]:
            done.result(_PATIENCE_S)
    except TimeoutError as error:
        raise AssertionError(f"expected: {threads} threads are done within {_PATIENCE_S:.0f} s") from error
    finally:
        sys.setswitchinterval(interval)
        pool.shutdown(wait=False, cancel_futures=True)


@LEDGERS.promise("threads")
def no_update_of_several_threads_is_lost(room: LedgerRoom) -> None:
    ana = room.ana
    added(ana, "0", id="counter")
    _together(lambda thread: count_up(ana, _EACH), _THREADS)
    equal(counted(ana), _THREADS * _EACH, "a counter that each raised in transactions of its own")
    equal(ana.head(), 1 + _THREADS * _EACH, "the head")
    equal(ana.verify(), [], "what is wrong")


@LEDGERS.promise("threads")
def readers_beside_writers_see_whole_transactions(room: LedgerRoom) -> None:
    ana = room.ana

    def work(thread: int) -> None:
        for n in range(_EACH):
            if thread % 2:
                pair = [Record.create(f"{thread}-{n}", scope=ana.scope) for _ in range(2)]
                write(ana, *(verbs.add(record, fresh=True) for record in pair))
            else:
                with ana.snapshot() as reader:
                    texts = [record.text for record in reader.scan()]
                    equal((texts[::2], 2 * len(reader.steps(limit=1_000))), (texts[1::2], len(texts)), "pairs")

    _together(work, _THREADS)
    equal(ana.counts(), {"live": _THREADS * _EACH}, "records in the end")


@LEDGERS.promise("processes")
def no_update_of_several_processes_is_lost_and_each_sees_the_others(room: LedgerRoom) -> None:
    ana = room.ana
    added(ana, "0", id="counter")
    with Worker(room, "count up", _EACH) as one, Worker(room, "count up", _EACH) as two:
        for worker in (one, two):
            worker.go()
        count_up(ana, _EACH)
        for worker in (one, two):
            worker.finish()
    equal(counted(ana), (_PROCESSES + 1) * _EACH, "a counter that each raised in transactions of its own")
    equal([change.seq for change in ana.changes()], list(range(1, 2 + (_PROCESSES + 1) * _EACH)), "the seqs")
    equal(ana.verify(), [], "what is wrong")


@LEDGERS.promise("processes")
def a_writer_that_is_killed_loses_nothing_acknowledged(room: LedgerRoom) -> None:
    with Worker(room, "write until killed", 0) as worker:
        worker.go()
        acknowledged = worker.killed_after(20)
    ana = room.ana
    here = {record.id for record in ana.scan(states=ALL)}
    equal([id for id in acknowledged if id not in here], [], "what was acknowledged and is missing")
    equal(ana.verify(), [], "what is wrong")
    holds(added(ana, "more").position > len(acknowledged), "writing goes on")
    room.reopen()
    holds(set(acknowledged) <= {record.id for record in room.ana.scan()}, "all of it is there after opening again")
