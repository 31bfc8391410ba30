"""What every ledger promises of one handle: transactions, the journal, positions, vectors, cursors, scopes.

Each function is a promise, and its name the sentence that a report shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agentmem import verbs
from agentmem.errors import Conflict, RecordNotFound
from agentmem.ledger import Draft, ScopedLedger, Serving, Transaction, vectors_cursor
from agentmem.records import Place, Record, Source
from agentmem_stores.testing.exam import equal, holds, refuses
from agentmem_stores.testing.ledgers import (
    ALL,
    EMBEDDER,
    LEDGERS,
    LedgerRoom,
    added,
    everything,
    placed,
    put,
    removal,
    rows_of,
    vectors_of,
    write,
)

_MANY = 1_200  # more than one statement binds
_ODD = [
    "NUL is refused, \x01 is not",
    "emoji 👩‍👩‍👧 and e\u0301",
    "שלום ‏עולם",
    "'; DROP TABLE records; --",
    "100% _ \\ \"'",
    "\r\n\t",
]


class _Stop(Exception):
    pass


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("core")
def a_scope_that_nothing_was_written_to_is_empty_and_reading_it_leaves_it_so(room: LedgerRoom) -> None:
    ana = room.ana
    nothing: dict[str, Any] = {
        "scan": [],
        "newest": [],
        "changes": [],
        "steps": [],
        "counts": {},
        "ids": [],
        "embedders": [],
    }
    nothing |= {
        "serving": None,
        "vectors": {EMBEDDER: {}},
        "tokens": {EMBEDDER: {}},
        "digests": {EMBEDDER: []},
        "segments": [],
        "cursors": {EMBEDDER: 0},
    }
    for _ in range(2):
        equal(everything(ana), nothing, "an empty scope")
        equal((ana.head(), ana.verify()), (0, []), "its head, and what is wrong with it")
        equal((ana.get(["x"]), ana.at([1])), ([], []), "records that are not there")
        equal([tuple(ana.changed(0)), tuple(ana.changed(0, 5))], [([], [], 0)] * 2, "what changed in it")
        equal(len(ana.vectors(EMBEDDER, [1]).positions), 0, "vectors asked by position")
        equal(ana.transact(lambda transaction: transaction.write([], actor="ana")), [], "what writing nothing writes")
        ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))


@LEDGERS.promise("core")
def work_sees_what_it_wrote_and_what_was_acknowledged_before(room: LedgerRoom) -> None:
    before, ana = added(room.ana, "before"), room.ana

    def work(transaction: Transaction) -> list[str]:
        record = Record.create("within", scope=ana.scope)
        transaction.write([verbs.add(record, fresh=True)], actor="ana")
        equal(transaction.head(), 2, "the head within the transaction")
        return [record.text for record in transaction.get([before.id, record.id])]

    equal(ana.transact(work), ["before", "within"], "what the work saw, and `transact` returned")
    equal([record.text for record in ana.scan()], ["before", "within"], "what stands afterwards")


@LEDGERS.promise("core")
def work_that_raises_leaves_nothing_and_its_error_comes_through(room: LedgerRoom) -> None:
    ana, bea = room.ana, room.bea

    def work(transaction: Transaction) -> None:
        [change] = transaction.write([verbs.add(Record.create("never", scope=ana.scope), fresh=True)], actor="ana")
        transaction.put_vectors(EMBEDDER, vectors_of({change.seq: [1, 2, 3]}), moved=(0, change.seq))
        transaction.serve(Serving(EMBEDDER, "exam"), instead_of=None)
        raise _Stop

    def failing() -> None:
        try:
            ana.transact(work)
        except _Stop:
            return
        raise AssertionError("expected: the error of the work goes to the caller")

    empty = everything(ana)
    failing()
    # Whatever number the failed scope had for a moment may be the next one's: nothing of it may be remembered.
    theirs = added(bea, "bea's")
    equal(everything(ana), empty, "a scope whose first transaction failed")
    ours = added(ana, "ana's")
    standing = everything(ana)
    failing()
    equal(everything(ana), standing, "a scope whose second transaction failed")
    equal((ours.position, theirs.position), (1, 1), "positions after a failed transaction")
    equal([record.text for record in bea.scan()], ["bea's"], "the neighbour")


@LEDGERS.promise("core")
def an_id_that_is_here_already_is_a_conflict_and_alters_nothing(room: LedgerRoom) -> None:
    ana = room.ana
    added(ana, "first", id="one")
    standing = everything(ana)
    again = Record.create("second", scope=ana.scope, id="one")
    refuses(Conflict, lambda: write(ana, verbs.add(again, fresh=False)), "adding an id twice")
    equal(everything(ana), standing, "the scope after the conflict")


@LEDGERS.promise("core")
def a_later_draft_of_one_write_stands_on_the_earlier_ones(room: LedgerRoom) -> None:
    ana = room.ana
    record = added(ana, "old", id="one")
    write(ana, removal(record), verbs.add(Record.create("new", scope=ana.scope, id="one"), fresh=False))
    equal([(record.text, record.position) for record in ana.scan()], [("new", 1)], "the record")
    equal(ana.verify(), [], "what is wrong with it")


@LEDGERS.promise("core")
def every_field_of_a_record_comes_back_exactly(room: LedgerRoom) -> None:
    ana = room.ana
    full: dict[str, Any] = {
        "kind": "note",
        "session": "evening",
        "at": "1969-12-31T23:59:59.999999+00:00",
        "speaker": "Ana",
        "role": "guide",
        "place": Place("harbour/pier 3", (1.5, -2.25, 1e300)),
        "tags": ["b", "A", "ä"],
        "meta": {"a": [1, 2.5, None, True, {"b": "c"}], "größe": 2**53 + 1},
        "sources": [Source(record="x", span=(0, 3)), Source(file="a/b.txt")],
        "strength": 0.1,
        "pinned": True,
    }
    made = [
        Record.create(text, scope=ana.scope, id=f"odd {n} {text.strip()}"[:60].strip(), **full)
        for n, text in enumerate(["x", "x" * 100_000])
    ]
    made += [
        Record.create(f"{text}.", scope=ana.scope, speaker=text, tags=[f"#{text}"], meta={text: text}) for text in _ODD
    ]
    changes = write(ana, *(verbs.add(record, fresh=False) for record in made))
    equal(ana.scan(), made, "the records")
    equal(ana.get([record.id for record in made]), made, "the records by id")
    bodies = [change.after for change in ana.changes()]
    equal(bodies, [record.to_json() for record in made], "the bodies in the journal")
    equal(ana.changes(), changes, "the changes that `write` returned")


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("core")
def changes_are_cut_by_seq_record_step_and_limit(room: LedgerRoom) -> None:
    ana = room.ana
    records = [added(ana, str(n)) for n in range(4)]
    write(ana, *(verbs.pin(record, True) for record in records), undoes=2)
    seqs: Callable[..., list[int]] = lambda **cut: [change.seq for change in ana.changes(**cut)]  # noqa: E731
    for cut, wanted in (
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"after": 3, "before": 6}, [4, 5]),
        ({"newest_first": True, "limit": 3}, [8, 7, 6]),
        ({"after": 2, "limit": 2}, [3, 4]),
        ({"record_id": records[1].id}, [2, 6]),
        ({"step": 5, "newest_first": True, "before": 8}, [7, 6, 5]),
        ({"limit": 0}, []),
        ({"record_id": "nobody"}, []),
        ({"step": 6}, []),
    ):
        equal(seqs(**cut), wanted, f"changes({cut})")
    equal({change.undoes for change in ana.changes(step=5)}, {2}, "what the step says that it undoes")
    equal({(change.actor, change.cause) for change in ana.changes()}, {("ana", "why")}, "actor and cause")


@LEDGERS.promise("core")
def steps_come_newest_first_and_only_before_the_one_named(room: LedgerRoom) -> None:
    ana = room.ana
    one, two = added(ana, "one"), added(ana, "two")
    write(ana, verbs.forget(one), verbs.forget(two))  # one step of two changes: 3 and 4
    write(ana, verbs.pin(two, True))  # 5
    last = write(ana, verbs.pin(one, True), step=3)
    equal([(change.seq, change.step) for change in last], [(6, 3)], "a change that joins an earlier step")
    equal([change.seq for change in ana.steps(limit=10)], [5, 3, 2, 1], "all steps")
    equal([change.seq for change in ana.steps()], [5], "the newest step")
    equal([change.seq for change in ana.steps(before=3, limit=1)], [2], "the step before 3")
    equal([change.seq for change in ana.changes(step=3)], [3, 4, 6], "the changes of a step that was joined later")
    equal(ana.steps(before=1, limit=10), [], "steps before the first")


@LEDGERS.promise("core")
def a_position_is_kept_over_undo_and_redo_and_never_given_to_another(room: LedgerRoom) -> None:
    ana = room.ana
    first, second = added(ana, "first", id="one"), added(ana, "second")
    write(ana, removal(first))
    third = added(ana, "third")
    equal([record.position for record in ana.scan()], [2, 4], "positions while the first is gone")
    write(ana, Draft("redo", first.id, None, first.to_json(), first))
    equal([record.id for record in ana.scan()], [first.id, second.id, third.id], "the order after the redo")
    write(ana, removal(first))
    equal(added(ana, "another", id="one").position, first.position, "the position of a new memory under an old id")
    equal([record.position for record in ana.scan()], [1, 2, 4], "positions at the end")


@LEDGERS.promise("core")
def scan_newest_and_counts_look_at_states(room: LedgerRoom) -> None:
    ana = room.ana
    records = [added(ana, str(n)) for n in range(6)]
    write(ana, verbs.forget(records[1]), verbs.forget(records[4]))
    write(ana, verbs.alter("merge", records[2], state="replaced", replaced_by=(records[3].id,)))
    equal(ana.counts(), {"live": 3, "forgotten": 2, "replaced": 1}, "counts")
    equal([record.text for record in ana.scan()], ["0", "3", "5"], "what is live")
    equal([record.text for record in ana.scan(after=1, limit=1)], ["3"], "the first live one after position 1")
    equal([r.text for r in ana.scan(states=("forgotten", "replaced"))], ["1", "2", "4"], "what is out of sight")
    equal([record.text for record in ana.newest(2)], ["5", "3"], "the newest two")
    equal([record.text for record in ana.newest(9, states=("forgotten",))], ["4", "1"], "the newest in the trash")
    equal(ana.get([records[4].id])[0].state, "forgotten", "the state of one in the trash, by id")


@LEDGERS.promise("core")
def an_unknown_id_is_left_out_and_the_order_asked_is_kept(room: LedgerRoom) -> None:
    ana = room.ana
    made = [Record.create(str(n), scope=ana.scope) for n in range(_MANY)]
    write(ana, *(verbs.add(record, fresh=True) for record in made))
    backwards = made[::-1]
    asked = [record.id for record in backwards]
    equal(ana.get([*asked[:600], "nobody", *asked[600:]]), backwards, "many records by id")
    positions = [record.position for record in ana.scan()][::-1]
    equal(placed(ana.at([*positions[:600], 10 * _MANY, *positions[600:]])), placed(ana.get(asked)), "by position")
    refuses(RecordNotFound, lambda: verbs.required(ana, ["nobody"]), "requiring an id that is not here")


@LEDGERS.promise("core")
def an_ending_is_taken_letter_by_letter(room: LedgerRoom) -> None:
    ana = room.ana
    ids = ("A_B", "a%", "a/", "a\\", "a_b", "axb", "façade-ç")
    for id in ids:
        added(ana, id, id=id)
    added(room.bea, "b", id="a neighbour's b")
    for suffix, wanted in (
        ("%", ["a%"]),
        ("_b", ["a_b"]),
        ("\\", ["a\\"]),
        ("/", ["a/"]),
        ("b", ["a_b", "axb"]),
        ("B", ["A_B"]),
        ("ç", ["façade-ç"]),
        ("", list(ids)),
        ("a%b", []),
    ):
        equal(sorted(ana.ids_ending(suffix, limit=20)), wanted, f"ids that end with {suffix!r}")
        equal(len(ana.ids_ending(suffix, limit=1)), min(1, len(wanted)), f"one id that ends with {suffix!r}")


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("vectors")
def vectors_are_kept_by_position_and_replaced(room: LedgerRoom) -> None:
    ana = room.ana
    a, b, c = (added(ana, text).position for text in "abc")
    put(ana, {c: [0, 0, 1], a: [1, 0, 0]})
    put(ana, {a: [0.5, 0.1, 1e-30], b: [0, 1, 0]})
    kept = ana.vectors(EMBEDDER)
    equal(kept.positions.tolist(), [a, b, c], "positions, ascending")
    equal(kept.digests, [position.to_bytes(8, "big") for position in (a, b, c)], "digests")
    equal(kept.matrix.tolist(), np.array([[0.5, 0.1, 1e-30], [0, 1, 0], [0, 0, 1]], np.float32).tolist(), "rows")
    equal(str(kept.matrix.dtype), "float32", "the matrix's type")
    some = ana.vectors(EMBEDDER, [c, 99, a])
    equal(some.positions.tolist(), [a, c], "positions of some, ascending")
    equal(len(ana.vectors(EMBEDDER, []).positions), 0, "vectors of no position")


@LEDGERS.promise("vectors")
def vectors_of_rows_that_are_gone_are_skipped_and_go_with_their_rows(room: LedgerRoom) -> None:
    ana = room.ana
    here, gone = added(ana, "here"), added(ana, "gone")
    write(ana, removal(gone))
    put(ana, {gone.position: [1, 0, 0], here.position: [0, 1, 0], 99: [0, 0, 1]})
    equal(ana.vectors(EMBEDDER).positions.tolist(), [here.position], "positions with a vector")
    write(ana, removal(here))
    equal(len(ana.vectors(EMBEDDER).positions), 0, "vectors once the row is gone")
    write(ana, Draft("redo", here.id, None, here.to_json(), here))
    equal(len(ana.vectors(EMBEDDER).positions), 0, "vectors once the row is back")


@LEDGERS.promise("vectors")
def a_vector_stays_with_a_record_that_is_forgotten_or_edited(room: LedgerRoom) -> None:
    record, ana = added(room.ana, "here"), room.ana
    put(ana, {record.position: [1, 0, 0]})
    write(ana, verbs.alter("edit", record, text="there", state="forgotten"))
    equal(rows_of(ana.vectors(EMBEDDER)), {record.position: [1, 0, 0]}, "vectors")


@LEDGERS.promise("vectors")
def two_embedders_are_never_mixed(room: LedgerRoom) -> None:
    ana = room.ana
    a, b = (added(ana, text).position for text in "ab")
    put(ana, {a: [1, 0, 0], b: [0, 1, 0]})
    put(ana, {a: [1, 1]}, embedder="exam-2-v1")
    equal(sorted(ana.embedders()), ["exam-2-v1", EMBEDDER], "embedders")
    equal(rows_of(ana.vectors("exam-2-v1")), {a: [1, 1]}, "the vectors of one")
    ana.transact(lambda transaction: transaction.drop_vectors("exam-2-v1"))
    equal((ana.embedders(), len(ana.vectors("exam-2-v1").positions)), ([EMBEDDER], 0), "embedders once one is dropped")
    equal(rows_of(ana.vectors(EMBEDDER)), {a: [1, 0, 0], b: [0, 1, 0]}, "the vectors of the other")


@LEDGERS.promise("vectors")
def tokens_come_and_go_with_their_vectors(room: LedgerRoom) -> None:
    ana = room.ana
    a, b, c = (added(ana, text) for text in "abc")
    there = [a.position, b.position, c.position]
    put(ana, {a.position: [1, 0, 0], b.position: [0, 1, 0], 99: [0, 0, 1]}, tokens=[b"of a \x00\xff", b"", b"of none"])
    equal(ana.tokens(EMBEDDER, [*there, 99]), {a.position: b"of a \x00\xff"}, "tokens")
    equal((ana.tokens(EMBEDDER, []), ana.tokens("exam-2-v1", there)), ({}, {}), "tokens of none, and of another")
    equal(room.bea.tokens(EMBEDDER, there), {}, "a neighbour's tokens")
    put(ana, {a.position: [1, 0, 0], b.position: [0, 1, 0]}, tokens=[b"new", b"of b"])
    put(ana, {b.position: [0, 1, 0]})
    equal(ana.tokens(EMBEDDER, there), {a.position: b"new"}, "tokens, when a vector was replaced by one without")
    write(ana, removal(a))
    put(ana, {b.position: [0, 1, 0], c.position: [0, 0, 1]}, tokens=[b"of b", b"of c"])
    equal(ana.tokens(EMBEDDER, there), {b.position: b"of b", c.position: b"of c"}, "tokens once a row is gone")
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER, [b.position]))
    equal(ana.tokens(EMBEDDER, there), {c.position: b"of c"}, "tokens once a vector is dropped")
    ana.transact(lambda transaction: transaction.erase([c.id], actor="ana"))
    ana.reclaim()
    equal(ana.tokens(EMBEDDER, there), {}, "tokens once a row is erased")
    put(ana, {b.position: [0, 1, 0]}, tokens=[b"of b"])
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))
    equal(ana.tokens(EMBEDDER, there), {}, "tokens once all vectors are dropped")


# ── compare and set ──────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("compare-and-set")
def a_cursor_moves_only_from_where_it_is_believed_to_stand(room: LedgerRoom) -> None:
    ana, name = room.ana, vectors_cursor(EMBEDDER)
    row = {added(ana, "a").position: [1.0, 0.0, 0.0]}
    for moved, stands in (((3, 5), 0), ((0, 5), 5), ((0, 9), 5), ((4, 9), 5), (None, 5), ((5, 8), 8)):
        put(ana, row, moved=moved)
        equal(ana.cursor(name), stands, f"the cursor after moved={moved}")
    equal(ana.cursor("another"), 0, "another projection's cursor")
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))
    equal((ana.cursor(name), ana.embedders()), (0, []), "the cursor once the vectors are dropped")
    put(ana, row, moved=(8, 9))
    equal(ana.cursor(name), 0, "the cursor, moved from where it no longer stands")
    equal(rows_of(ana.vectors(EMBEDDER)), {}, "the vectors, when the cursor stood elsewhere")
    two = {**row, added(ana, "b").position: [0.0, 1.0, 0.0]}
    put(ana, two)
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER, list(row)))
    equal(list(rows_of(ana.vectors(EMBEDDER))), [p for p in two if p not in row], "the vectors, when one was dropped")
    put(ana, row, moved=(0, 2))
    equal(ana.cursor(name), 2, "the cursor, moved again")


@LEDGERS.promise("compare-and-set")
def an_embedder_serves_only_instead_of_the_one_believed_to_serve(room: LedgerRoom) -> None:
    ana, notes = room.ana, room.notes
    letters, pairs = Serving(EMBEDDER, "letters"), Serving("exam-2-v1", "pairs:/a/model")

    def serve(scoped: ScopedLedger, serving: Serving, instead_of: str | None) -> bool:
        return scoped.transact(lambda transaction: transaction.serve(serving, instead_of=instead_of))

    equal((serve(ana, letters, pairs.embedder), ana.serving()), (False, None), "instead of one that does not serve")
    equal((serve(ana, letters, None), ana.serving()), (True, letters), "the first one")
    equal((serve(ana, pairs, None), serve(ana, pairs, pairs.embedder)), (False, False), "not instead of what serves")
    equal(ana.serving(), letters, "what serves still")
    equal((serve(ana, pairs, EMBEDDER), ana.serving()), (True, pairs), "instead of what serves")
    equal(serve(ana, pairs._replace(spec=""), pairs.embedder), True, "the same, spelt otherwise")
    equal((ana.serving(), notes.serving()), (pairs._replace(spec=""), None), "what serves here, and next door")
    ana.transact(lambda transaction: transaction.drop_vectors(pairs.embedder))
    equal(ana.serving(), pairs._replace(spec=""), "what serves once its vectors are dropped")
    equal(
        (ana.head(), ana.changes()), (2, []), "the head, moved once for each that was replaced, with no change to show"
    )
    equal(added(notes, "b").position, 3, "the next change")


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@LEDGERS.promise("scopes")
def scopes_of_one_root_count_together_and_others_apart(room: LedgerRoom) -> None:
    ana, notes, bea = room.ana, room.notes, room.bea
    positions = [added(scoped, "text").position for scoped in (ana, notes, bea, ana, bea, notes)]
    equal(positions, [1, 2, 1, 3, 2, 4], "positions")
    equal((ana.head(), notes.head(), bea.head()), (4, 4, 2), "heads")
    equal([[c.seq for c in scoped.changes()] for scoped in (ana, notes, bea)], [[1, 3], [2, 4], [1, 2]], "seqs")


@LEDGERS.promise("scopes")
def one_id_and_one_position_may_live_in_two_scopes(room: LedgerRoom) -> None:
    ana, bea = room.ana, room.bea
    ours, theirs = added(ana, "ana's", id="same"), added(bea, "bea's", id="same")
    put(ana, {1: [1, 0, 0]}, moved=(0, 1))
    equal((bea.embedders(), bea.cursor(vectors_cursor(EMBEDDER))), ([], 0), "a neighbour's vectors and cursor")
    put(bea, {1: [0, 1, 0]})
    write(ana, verbs.alter("edit", ours, text="ana's own"))
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))
    equal((ana.get(["same"])[0].text, bea.get(["same"])), ("ana's own", [theirs]), "the record of each")
    equal(rows_of(bea.vectors(EMBEDDER)), {1: [0, 1, 0]}, "the neighbour's vectors, when ours are dropped")
    standing = everything(bea)
    ana.transact(lambda transaction: transaction.erase(["same"], actor="ana"))
    ana.reclaim()
    equal(everything(bea), standing, "the neighbour, when ours is erased")
    equal((ana.scan(states=ALL), [change.erased for change in ana.changes()]), ([], [True] * 3), "ours, erased")
    holds(not bea.verify() and not ana.verify(), "both verify")
