"""A ledger and its handles: the identity it keeps, and what several handles see of each other's writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from agentmem import verbs
from agentmem.opened import open_ledger
from agentmem_stores.testing.ledgers import added
from tests.ledgers import ANA, LETTERS, InMemory, serve, write

Places = Callable[[], str]

# ── identity ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ledger_keeps_its_identity_and_another_has_another(places: Places) -> None:
    first, ids = places(), []
    for place in (first, first, places()):
        ledger = open_ledger(place)
        ids.append(ledger.identity)
        assert ledger.identity == ids[-1]
        assert ledger.folder == (None if "://" in place else Path(place))
        ledger.close()
    assert ids[0] == ids[1] != ids[2]


def test_a_copy_of_a_ledgers_files_has_its_identity(tmp_path: Path) -> None:
    ids = []
    for folder in ("a.mem", "copy.mem"):
        ledger = open_ledger(tmp_path / folder)
        ids.append(ledger.identity)
        ledger.close()
        if folder == "a.mem":
            shutil.copytree(tmp_path / folder, tmp_path / "copy.mem")
    assert ids[0] == ids[1]


def test_a_plain_ledger_is_given_an_identity_once_whether_it_is_asked_or_written_to_first() -> None:
    asked = InMemory()
    first = asked.identity
    added(asked.bind(ANA), "text")
    assert asked.identity == InMemory(asked.load()).identity == first
    written = InMemory()
    added(written.bind(ANA), "text")
    assert written.identity == InMemory(written.load()).identity != first
    assert asked.folder is None


def test_a_plain_state_of_the_first_version_is_read_and_given_what_it_lacks() -> None:
    ledger = InMemory()
    record = added(ledger.bind(ANA), "text")
    state = json.loads(ledger.load() or "")
    del state["identity"], state["scopes"][str(ANA)]["serving"]
    old = InMemory(json.dumps(state))
    ana = old.bind(ANA)
    assert (ana.serving(), ana.scan()) == (None, [record])
    assert serve(ana, LETTERS, None)
    assert (InMemory(old.load()).identity, InMemory(old.load()).bind(ANA).serving()) == (old.identity, LETTERS)


# ── many handles ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_stands_still_while_others_write(places: Places) -> None:
    place = places()
    ledger, other = open_ledger(place), open_ledger(place)
    try:
        ana = ledger.bind(ANA)
        record = added(ana, "before")
        with ana.snapshot() as reader:
            assert reader.head() == 1
            added(other.bind(ANA), "after")
            write(ana, verbs.forget(record))
            assert (reader.head(), reader.scan(), len(reader.changes())) == (1, [record], 1)
        assert (ana.head(), ana.counts()) == (3, {"live": 1, "forgotten": 1})
    finally:
        ledger.close()
        other.close()


def test_what_one_handle_wrote_another_sees_at_once_and_a_new_one_later(places: Places) -> None:
    place = places()
    first, second = open_ledger(place), open_ledger(place)
    assert second.bind(ANA).head() == 0
    record = added(first.bind(ANA), "text")
    assert second.bind(ANA).scan() == [record]
    assert added(second.bind(ANA), "more").position == 2
    assert first.bind(ANA).head() == 2
    for ledger in (first, second):
        ledger.close()
        ledger.close()
    third = open_ledger(place, create=False)
    assert [record.text for record in third.bind(ANA).scan()] == ["text", "more"]
    assert third.size() >= 8192  # a page or two
    third.close()
