"""The ledger protocol, promise by promise, on each ledger that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem import verbs
from agentmem.errors import Conflict, EmbeddingError, RecordNotFound
from agentmem.ledger import Draft, Ledger, ScopedLedger, Serving, Transaction, Vectors, vectors_cursor
from agentmem.opened import open_ledger
from agentmem.records import Record, State
from agentmem_stores.testing.ledgers import added, removal
from tests.ledgers import ANA, ANAS_NOTES, BEA, EMBEDDER, LETTERS, PAIRS, InMemory, put, serve, write

Places = Callable[[], str]
ALL: tuple[State, ...] = ("live", "forgotten", "replaced")


@pytest.fixture(params=["sqlite", "plain", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made: Ledger
    if request.param == "plain":
        made = InMemory()
    elif request.param == "sqlite":
        made = open_ledger(tmp_path / "a.mem")
    else:
        made = open_ledger(request.getfixturevalue("postgres_url"))
    yield made
    made.close()


@pytest.fixture
def ana(ledger: Ledger) -> ScopedLedger:
    return ledger.bind(ANA)


# ── an empty scope ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_scope_that_nothing_was_written_to_is_empty_and_reading_it_leaves_it_so(ana: ScopedLedger) -> None:
    for _ in range(2):
        assert (ana.head(), ana.counts(), ana.embedders(), ana.cursor("any")) == (0, {}, [], 0)
        assert ana.changed(0) == ana.changed(0, 5) == ([], [], 0)
        assert ana.get(["x"]) == ana.at([1]) == ana.scan() == ana.newest(3) == []
        assert ana.changes() == ana.steps() == []
        assert ana.ids_ending("x") == ana.verify() == []
        assert len(ana.vectors(EMBEDDER).positions) == len(ana.vectors(EMBEDDER, [1]).positions) == 0
        assert ana.serving() is None
        assert ana.transact(lambda transaction: transaction.write([], actor="ana")) == []
        ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_work_sees_what_it_wrote_and_what_was_acknowledged_before(ana: ScopedLedger) -> None:
    before = added(ana, "before")

    def work(transaction: Transaction) -> list[str]:
        record = Record.create("within", scope=ANA)
        transaction.write([verbs.add(record, fresh=True)], actor="ana")
        assert transaction.head() == 2
        return [record.text for record in transaction.get([before.id, record.id])]

    assert ana.transact(work) == ["before", "within"]


def test_work_that_raises_leaves_nothing_not_even_its_scope(ledger: Ledger) -> None:
    class Stop(Exception):
        pass

    def work(transaction: Transaction) -> None:
        record = Record.create("never", scope=ANA)
        [change] = transaction.write([verbs.add(record, fresh=True)], actor="ana")
        vectors = Vectors(np.array([change.seq], np.int64), [bytes(8)], np.ones((1, 3), np.float32))
        transaction.put_vectors(EMBEDDER, vectors, moved=(0, change.seq))
        raise Stop

    ana, bea = ledger.bind(ANA), ledger.bind(BEA)
    with pytest.raises(Stop):
        ana.transact(work)
    # Whatever number the failed scope had for a moment may be the next one's: nothing of it may be remembered.
    theirs = added(bea, "bea's")
    assert (ana.head(), ana.scan(states=ALL), ana.changes(), ana.embedders()) == (0, [], [], [])
    ours = added(ana, "ana's")
    assert ([r.text for r in ana.scan()], [r.text for r in bea.scan()]) == (["ana's"], ["bea's"])
    assert (ours.position, theirs.position) == (1, 1)


def test_an_id_that_is_here_already_is_a_conflict_and_alters_nothing(ana: ScopedLedger) -> None:
    record = added(ana, "first", id="one")
    again = Record.create("second", scope=ANA, id="one")
    with pytest.raises(Conflict):
        write(ana, verbs.add(again, fresh=False))
    assert (ana.scan(), ana.head()) == ([record], 1)


def test_a_later_draft_of_one_write_stands_on_the_earlier_ones(ana: ScopedLedger) -> None:
    record = added(ana, "old", id="one")
    write(ana, removal(record), verbs.add(Record.create("new", scope=ANA, id="one"), fresh=False))
    assert [(record.text, record.position) for record in ana.scan()] == [("new", 1)]
    assert ana.verify() == []


# ── seqs, steps, positions ───────────────────────────────────────────────────────────────────────────────────────────


def test_scopes_of_one_root_count_together_and_others_apart(ledger: Ledger) -> None:
    ana, notes, bea = (ledger.bind(scope) for scope in (ANA, ANAS_NOTES, BEA))
    positions = [added(scoped, "text").position for scoped in (ana, notes, bea, ana, bea, notes)]
    assert positions == [1, 2, 1, 3, 2, 4]
    assert (ana.head(), notes.head(), bea.head()) == (4, 4, 2)
    assert [[change.seq for change in scoped.changes()] for scoped in (ana, notes, bea)] == [[1, 3], [2, 4], [1, 2]]
    assert [record.position for record in notes.scan()] == [2, 4]


def test_a_second_scope_that_was_rolled_back_leaves_the_count_as_it_was(ledger: Ledger) -> None:
    ana, notes = ledger.bind(ANA), ledger.bind(ANAS_NOTES)

    def given_up(transaction: Transaction) -> None:
        record = Record.create("never", scope=ANAS_NOTES)
        [change] = transaction.write([verbs.add(record, fresh=True)], actor="ana")
        assert change.seq == len(ana_wrote) + 1
        raise KeyError

    ana_wrote = [added(ana, "one").position]
    for _ in range(2):
        with pytest.raises(KeyError):
            notes.transact(given_up)
        ana_wrote.append(added(ana, "more").position)
    assert ana_wrote == [1, 2, 3]
    assert added(notes, "at last").position == 4
    assert added(ana, "and on").position == 5
    assert (ana.head(), notes.head()) == (5, 5)
    assert [ana.verify(), notes.verify()] == [[], []]


@pytest.mark.parametrize("odd", [2**36 - 1, 2**36, 2**36 + 1, 2**37 + 2, 2**40, 2**62])
def test_no_number_however_large_reaches_into_another_scope(ledger: Ledger, odd: int) -> None:
    around = [ledger.bind(scope) for scope in (BEA, ANA, ANAS_NOTES)]
    for scoped in around:
        added(scoped, "one"), added(scoped, "two")
    for scoped in around:
        mine = scoped.changes()
        assert scoped.at([odd, -odd]) == []
        assert scoped.changes(after=odd) == scoped.changes(before=-odd) == scoped.changes(step=odd) == []
        assert scoped.changes(after=-odd) == scoped.changes(before=odd) == mine
        assert scoped.scan(after=odd) == []
        assert scoped.scan(after=-odd) == scoped.scan()
        assert scoped.steps(before=odd, limit=10) == mine[::-1]
        assert scoped.changed(odd) == ([], [], scoped.head())


def test_steps_come_newest_first_and_only_before_the_one_named(ana: ScopedLedger) -> None:
    one, two = added(ana, "one"), added(ana, "two")
    write(ana, verbs.forget(one), verbs.forget(two))  # one step of two changes: 3 and 4
    write(ana, verbs.pin(two, True))  # 5
    pinned = verbs.pin(one, True)
    assert pinned is not None
    last = ana.transact(lambda transaction: transaction.write([pinned], actor="ana", step=3))
    assert [(change.seq, change.step) for change in last] == [(6, 3)]
    assert [change.seq for change in ana.steps(limit=10)] == [5, 3, 2, 1]
    assert [change.seq for change in ana.steps()] == [5]
    assert [change.seq for change in ana.steps(before=3, limit=1)] == [2]
    assert [change.seq for change in ana.changes(step=3)] == [3, 4, 6]
    assert ana.steps(before=1, limit=10) == []


def test_changes_are_cut_by_seq_record_and_step(ana: ScopedLedger) -> None:
    records = [added(ana, str(n)) for n in range(4)]
    write(ana, *(verbs.pin(record, True) for record in records), undoes=2)
    seqs: Callable[..., list[int]] = lambda **cut: [change.seq for change in ana.changes(**cut)]  # noqa: E731
    assert seqs() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert seqs(after=3, before=6) == [4, 5]
    assert seqs(newest_first=True, limit=3) == [8, 7, 6]
    assert seqs(after=2, limit=2) == [3, 4]
    assert seqs(record_id=records[1].id) == [2, 6]
    assert seqs(step=5, newest_first=True, before=8) == [7, 6, 5]
    assert seqs(limit=0) == seqs(record_id="nobody") == seqs(step=6) == []
    assert {change.undoes for change in ana.changes(step=5)} == {2}
    assert {(change.actor, change.cause) for change in ana.changes()} == {("ana", "why")}


def test_a_position_is_kept_over_undo_and_redo_and_never_given_to_another(ana: ScopedLedger) -> None:
    first, second = added(ana, "first", id="one"), added(ana, "second")
    write(ana, removal(first))
    third = added(ana, "third")
    assert [record.position for record in ana.scan()] == [second.position, third.position] == [2, 4]
    write(ana, Draft("redo", first.id, None, first.to_json(), first))
    assert [record.id for record in ana.scan()] == [first.id, second.id, third.id]
    write(ana, removal(first))
    # Even a new memory under the same id stands where the old one stood.
    assert added(ana, "another", id="one").position == first.position
    assert [record.position for record in ana.scan()] == [1, 2, 4]
    assert ana.at([4, 3, 1]) == ana.get([third.id, "nobody", "one"])


def test_scan_newest_and_counts_look_at_states(ana: ScopedLedger) -> None:
    records = [added(ana, str(n)) for n in range(6)]
    write(ana, verbs.forget(records[1]), verbs.forget(records[4]))
    write(ana, verbs.alter("merge", records[2], state="replaced", replaced_by=(records[3].id,)))
    assert ana.counts() == {"live": 3, "forgotten": 2, "replaced": 1}
    assert [record.text for record in ana.scan()] == ["0", "3", "5"]
    assert [record.text for record in ana.scan(after=1, limit=1)] == ["3"]
    assert [record.text for record in ana.scan(states=("forgotten", "replaced"))] == ["1", "2", "4"]
    assert [record.text for record in ana.newest(2)] == ["5", "3"]
    assert [record.text for record in ana.newest(9, states=("forgotten",))] == ["4", "1"]
    assert ana.get([records[4].id])[0].state == "forgotten"


def test_an_unknown_id_is_left_out_and_the_order_asked_is_kept(ana: ScopedLedger) -> None:
    made = [Record.create(str(n), scope=ANA) for n in range(1_200)]  # more than one statement binds
    write(ana, *(verbs.add(record, fresh=True) for record in made))
    records = ana.scan()
    asked = [record.id for record in reversed(records)]
    assert ana.get([*asked[:600], "nobody", *asked[600:]]) == records[::-1]
    assert ana.at([record.position for record in records[::-1]]) == records[::-1]
    with pytest.raises(RecordNotFound):
        verbs.required(ana, ["nobody"])


# ── catching up ──────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(data=st.data())
def test_any_windows_of_changes_lead_to_what_stands(data: st.DataObject, places: Places) -> None:
    """Several followers, each with limits of its own, looking in between the writes to scopes of one root."""
    ledger = open_ledger(places())
    try:
        scopes = [ledger.bind(ANA), ledger.bind(ANAS_NOTES)]
        followers = [Follower(scoped) for scoped in scopes for _ in range(2)]
        for _ in range(data.draw(st.integers(1, 20))):
            _write_something(data, data.draw(st.sampled_from(scopes)))
            follower = data.draw(st.sampled_from(followers))
            follower.look(data.draw(st.none() | st.integers(1, 5)))
        for follower in followers:
            while follower.cursor < follower.scoped.head():
                follower.look(data.draw(st.none() | st.integers(1, 5)))
            assert follower.rows == {record.position: record for record in follower.scoped.scan(states=ALL)}
            assert follower.scoped.verify() == []
    finally:
        ledger.close()


class Follower:
    """A projection that keeps whole rows."""

    def __init__(self, scoped: ScopedLedger) -> None:
        self.scoped = scoped
        self.cursor = 0
        self.rows: dict[int, Record] = {}

    def look(self, limit: int | None) -> None:
        delta = self.scoped.changed(self.cursor, limit)
        assert delta.head >= self.cursor
        assert delta.head > self.cursor or self.cursor == self.scoped.head()
        assert limit is None or len(delta.records) + len(delta.gone) <= limit
        assert not {record.position for record in delta.records} & set(delta.gone)
        self.rows.update((record.position, record) for record in delta.records)
        for position in delta.gone:
            self.rows.pop(position, None)
        self.cursor = delta.head


def _write_something(data: st.DataObject, scoped: ScopedLedger) -> None:
    standing = scoped.scan(states=ALL)
    what = data.draw(st.sampled_from(["add", "add several", "edit", "forget", "remove", "bring back", "erase"]))
    if what.startswith("add") or not standing:
        count = 1 if what == "add" else data.draw(st.integers(2, 7))
        write(scoped, *(verbs.add(Record.create(f"text {n}", scope=scoped.scope), fresh=True) for n in range(count)))
        return
    record = data.draw(st.sampled_from(standing))
    if what == "edit":
        write(scoped, verbs.alter("edit", record, text=f"{record.text}, edited"))
    elif what == "forget":
        write(scoped, verbs.alter("forget", record, state="forgotten"))
    elif what == "remove":
        write(scoped, removal(record))
    elif what == "bring back":
        write(scoped, removal(record))
        write(scoped, Draft("redo", record.id, None, record.to_json(), replace(record, position=0)))
    else:
        scoped.transact(lambda transaction: transaction.erase([record.id], actor="ana"))


def test_a_window_says_up_to_where_it_is_complete(ledger: Ledger) -> None:
    ana, notes = ledger.bind(ANA), ledger.bind(ANAS_NOTES)
    records = [added(ana, str(n)) for n in range(3)]
    added(notes, "a neighbour's")
    assert ana.changed(0, 2) == (records[:2], [], 2)
    assert ana.changed(2, 2) == (records[2:], [], 4)  # fewer than the limit: complete up to the root's head
    assert ana.changed(4, 2) == ana.changed(4) == ([], [], 4)
    write(ana, removal(records[0]))
    assert ana.changed(3, 10) == ([], [1], 5)
    assert (ana.changed(0).records, ana.changed(0).head) == (records[1:], 5)


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_are_kept_by_position_and_replaced(ana: ScopedLedger) -> None:
    a, b, c = (added(ana, text).position for text in "abc")
    put(ana, [c, a], [[0, 0, 1], [1, 0, 0]])
    put(ana, [a, b], [[0.5, 0.5, 0], [0, 1, 0]])
    kept = ana.vectors(EMBEDDER)
    assert kept.positions.tolist() == [a, b, c]
    assert kept.digests == [bytes([p] * 8) for p in (a, b, c)]
    assert kept.matrix.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    assert kept.matrix.dtype == np.float32
    some = ana.vectors(EMBEDDER, [c, 99, a])
    assert (some.positions.tolist(), some.matrix.tolist()) == ([a, c], [[0.5, 0.5, 0], [0, 0, 1]])
    assert len(ana.vectors(EMBEDDER, []).positions) == 0


def test_vectors_of_rows_that_are_gone_are_skipped_and_go_with_their_rows(ana: ScopedLedger) -> None:
    here, gone = added(ana, "here"), added(ana, "gone")
    write(ana, removal(gone))
    put(ana, [gone.position, here.position, 99], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert ana.vectors(EMBEDDER).positions.tolist() == [here.position]
    write(ana, removal(here))
    assert len(ana.vectors(EMBEDDER).positions) == 0
    write(ana, Draft("redo", here.id, None, here.to_json(), here))
    assert len(ana.vectors(EMBEDDER).positions) == 0


def test_a_vector_stays_with_a_record_that_is_forgotten_or_edited(ana: ScopedLedger) -> None:
    record = added(ana, "here")
    put(ana, [record.position], [[1, 0, 0]])
    write(ana, verbs.forget(record))
    assert ana.vectors(EMBEDDER).positions.tolist() == [record.position]


def test_two_embedders_are_never_mixed(ana: ScopedLedger) -> None:
    positions = [added(ana, text).position for text in "ab"]
    put(ana, positions, [[1, 0, 0], [0, 1, 0]])
    put(ana, positions[:1], [[1, 1]], embedder="pairs-2-v1")
    assert sorted(ana.embedders()) == [EMBEDDER, "pairs-2-v1"]
    assert ana.vectors(EMBEDDER).matrix.shape == (2, 3)
    assert ana.vectors("pairs-2-v1").matrix.tolist() == [[1, 1]]
    ana.transact(lambda transaction: transaction.drop_vectors("pairs-2-v1"))
    assert ana.embedders() == [EMBEDDER]
    assert ana.vectors(EMBEDDER).matrix.shape == (2, 3)


def test_vectors_of_another_dimension_are_refused_and_alter_nothing(places: Places) -> None:
    ledger = open_ledger(places())
    try:
        ana = ledger.bind(ANA)
        position = added(ana, "a").position
        put(ana, [position], [[1, 0, 0]])
        with pytest.raises(EmbeddingError, match="dimension"):
            put(ana, [position], [[1, 0]])
        assert ana.vectors(EMBEDDER).matrix.tolist() == [[1, 0, 0]]
    finally:
        ledger.close()


def test_vectors_are_of_one_scope(ledger: Ledger) -> None:
    ana, bea = ledger.bind(ANA), ledger.bind(BEA)
    assert added(ana, "a").position == added(bea, "b").position == 1
    put(ana, [1], [[1, 0, 0]], moved=(0, 1))
    assert (bea.embedders(), len(bea.vectors(EMBEDDER).positions), bea.cursor(vectors_cursor(EMBEDDER))) == ([], 0, 0)
    put(bea, [1], [[0, 1, 0]])
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))
    assert (ana.embedders(), bea.vectors(EMBEDDER).matrix.tolist()) == ([], [[0, 1, 0]])


def test_a_cursor_moves_only_from_where_it_is_believed_to_stand(ana: ScopedLedger) -> None:
    name = vectors_cursor(EMBEDDER)
    position = added(ana, "a").position
    for moved, stands in (((3, 5), 0), ((0, 5), 5), ((0, 9), 5), ((4, 9), 5), (None, 5), ((5, 8), 8)):
        put(ana, [position], [[1, 0, 0]], moved=moved)
        assert ana.cursor(name) == stands
    assert ana.cursor("another") == 0
    ana.transact(lambda transaction: transaction.drop_vectors(EMBEDDER))
    assert (ana.cursor(name), ana.embedders()) == (0, [])
    put(ana, [position], [[1, 0, 0]], moved=(8, 9))
    assert ana.cursor(name) == 0
    put(ana, [position], [[1, 0, 0]], moved=(0, 2))
    assert ana.cursor(name) == 2


# ── the serving embedder ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_embedder_serves_only_instead_of_the_one_believed_to_serve(ledger: Ledger) -> None:
    ana, notes = ledger.bind(ANA), ledger.bind(ANAS_NOTES)
    assert not serve(ana, LETTERS, PAIRS.embedder)
    assert ana.serving() is None
    assert serve(ana, LETTERS, None)  # which makes the scope
    assert ana.head() == 0
    assert not serve(ana, PAIRS, None)
    assert not serve(ana, PAIRS, PAIRS.embedder)
    assert ana.serving() == LETTERS
    assert serve(ana, PAIRS, EMBEDDER)
    assert serve(ana, PAIRS._replace(spec=""), PAIRS.embedder)
    with ana.snapshot() as reader:
        assert reader.serving() == ana.serving() == Serving(PAIRS.embedder, "")
    assert notes.serving() is None
    # Twice another one was replaced, so twice whoever follows the head had something to look at.
    assert (ana.head(), added(ana, "a").position, added(notes, "b").position) == (2, 3, 4)
    assert ana.verify() == []
    ana.transact(lambda transaction: transaction.drop_vectors(PAIRS.embedder))
    assert ana.serving() == Serving(PAIRS.embedder, "")


def test_work_that_raises_leaves_the_serving_embedder(ana: ScopedLedger) -> None:
    def work(transaction: Transaction) -> None:
        assert transaction.serve(PAIRS, instead_of=transaction.serving() and EMBEDDER)
        assert transaction.serving() == PAIRS
        raise RecordNotFound("not here")

    for standing in (None, LETTERS):
        if standing is not None:
            assert serve(ana, standing, None)
        with pytest.raises(RecordNotFound):
            ana.transact(work)
        assert ana.serving() == standing


# ── ids by their end ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("suffix", "found"),
    [
        ("%", ["a%"]),
        ("_b", ["a_b"]),
        ("\\", ["a\\"]),
        ("/", ["a/"]),
        ("b", ["a_b", "axb"]),
        ("B", ["A_B"]),  # letters of another case are another id
        ("ç", ["façade-ç"]),
        ("", ["A_B", "a%", "a/", "a\\", "a_b", "axb", "façade-ç"]),
        ("a%b", []),
    ],
)
def test_an_ending_is_taken_letter_by_letter(suffix: str, found: list[str], ledger: Ledger) -> None:
    ana = ledger.bind(ANA)
    for id in ("a%", "a_b", "axb", "A_B", "a\\", "a/", "façade-ç"):
        added(ana, id, id=id)
    added(ledger.bind(BEA), "b", id="a neighbour's b")
    assert sorted(ana.ids_ending(suffix, limit=20)) == found
    assert len(ana.ids_ending(suffix, limit=1)) == min(1, len(found))


# ── erasing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_erasing_leaves_an_entry_without_a_body_and_nothing_else(ana: ScopedLedger) -> None:
    kept, gone = added(ana, "kept"), added(ana, "gone")
    write(ana, verbs.alter("edit", gone, text="gone, edited"))
    put(ana, [kept.position, gone.position], [[1, 0, 0], [0, 1, 0]])
    [entry] = ana.transact(lambda transaction: transaction.erase([gone.id], actor="ana", cause="asked to"))
    ana.reclaim()
    assert (entry.verb, entry.record_id, entry.actor, entry.cause, entry.seq) == (
        "erase",
        gone.id,
        "ana",
        "asked to",
        4,
    )
    assert [(change.seq, change.verb, change.erased) for change in ana.changes(record_id=gone.id)] == [
        (2, "add", True),
        (3, "edit", True),
        (4, "erase", True),
    ]
    assert ana.scan(states=ALL) == [kept]
    assert ana.vectors(EMBEDDER).positions.tolist() == [kept.position]
    assert ana.changed(3) == ([], [gone.position], 4)
    assert ana.verify() == []
