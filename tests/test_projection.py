"""What stores stand on: bytes that a stranger may have written, checkpoints that thin out, and two processes at one
store."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import EmbeddingError, Memory
from agentmem.ledger import Segment, Transaction
from agentmem_stores import projection
from agentmem_stores.projection import WINDOW, pack, unpack
from tests.fakes import TinyEmbedder
from tests.mutant_stores import Recent

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)


@given(told=json, rows=st.integers(0, 5))
def test_what_was_packed_comes_back(told: Any, rows: int) -> None:
    matrix = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    back, arrays = unpack(pack(told, matrix=matrix, counts=np.arange(rows)))
    assert back == told
    assert arrays.keys() == {"matrix", "counts"}
    assert (arrays["matrix"] == matrix).all()
    assert arrays["matrix"].dtype == np.float32


@given(cut=st.integers(0, 400), turned=st.integers(0, 400), to=st.integers(0, 255))
def test_damaged_bytes_are_refused_or_hold_what_they_held(cut: int, turned: int, to: int) -> None:
    """A zip's names and padding may be otherwise and mean the same; the contents are under its checksum."""
    whole = pack({"events": 3}, matrix=np.eye(3))
    damaged = bytearray(whole)
    damaged[turned % len(whole)] = to
    for data in (whole[:cut], bytes(damaged)):
        try:
            told, arrays = unpack(data)
        except ValueError:
            continue
        assert told == {"events": 3}
        assert all((array == np.eye(3)).all() for array in arrays.values())


def test_a_small_file_that_would_unpack_to_a_large_one_is_refused() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, told=np.zeros(10_000_000, np.uint8))
    assert len(file.getvalue()) < 20_000
    with pytest.raises(ValueError, match="compressed"):
        unpack(file.getvalue())


def test_objects_are_not_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        inner = io.BytesIO()
        np.save(inner, np.array([{"a": 1}], object), allow_pickle=True)
        archive.writestr("told.npy", inner.getvalue())
    with pytest.raises(ValueError, match=r"[Pp]ickle|object"):
        unpack(file.getvalue())


@given(units=st.integers(1, 3_000))
def test_checkpoints_are_few_and_near_to_what_is_new(units: int) -> None:
    stack: list[Any] = []
    for unit in range(1, units + 1):
        stack = projection._thinned([*stack, projection._Checkpoint(unit, unit * WINDOW, b"")])
    kept = [one.until for one in stack]
    assert kept == sorted(set(kept))
    assert kept[-1] == units
    assert len(kept) <= 2 * math.log2(units) + 2
    for asked in range(1, units):  # to fold again from before `asked`, twice as far back as it lies is far enough
        before = max((until for until in kept if until <= asked), default=0)
        assert units - before <= 4 * (units - asked)


def told(memory: Memory, begin: int, count: int) -> None:
    memory.add_many(f"tea {n}" for n in range(begin, begin + count))
    memory.flush()


def test_two_at_one_store_keep_the_further_state(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as one, Memory.open(tmp_path / "m", embedder="hash:64") as two:
        one.attach("here", Recent)
        two.attach("here", Recent)
        told(one, 0, 3 * WINDOW)
        one.recall("tea")
        two.flush()
        told(two, 0, 2 * WINDOW)
        for memory in (two, one, two):
            memory.recall("tea")
            memory.consolidate("here")
        states = [memory.stores["here"].inspect() for memory in (one, two)]
        assert states[0] == states[1]
        kept = one.host.ledger.segments("recent")
        assert kept[-1].until >= 5 * WINDOW
        fresh = Recent(two.host)
        assert fresh.cursor == kept[-1].until


@pytest.mark.parametrize("damage", ["torn", "of another version", "of a later journal", "not a state"])
def test_what_was_kept_and_cannot_be_read_is_derived_anew(tmp_path: Path, damage: str) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.attach("here", Recent)
        told(memory, 0, WINDOW + 9)
        memory.recall("tea")
        wanted = memory.stores["here"].inspect()
        ledger = memory.host.ledger
        [kept] = ledger.segments("recent")
        state, arrays = unpack(kept.data)
        other = {
            "torn": Segment(kept.until, kept.data[:-9]),
            "of another version": Segment(kept.until, pack({**state, "stamp": ["recent", 0]}, **arrays)),
            "of a later journal": Segment(10**9, kept.data),
            "not a state": Segment(kept.until, pack({**state, "state": 7}, **arrays)),
        }[damage]
        assert ledger.transact(lambda t: t.put_segment("recent", other, standing=[kept.until], kept=0))
        fresh = Recent(memory.host)
        assert fresh.cursor == 0
        fresh.rebuild()
        assert fresh.inspect() == wanted
        assert Recent(memory.host).cursor == fresh.cursor


def test_a_checkpoint_before_the_last_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.attach("here", Recent)
        told(memory, 0, 2 * WINDOW + 9)
        memory.recall("tea")
        ledger = memory.host.ledger
        first, last = ledger.segments("recent")
        state, arrays = unpack(first.data)
        forged = Segment(first.until, pack({**state, "state": 7}, **arrays))

        def forge(transaction: Transaction) -> bool:
            transaction.put_segment("recent", forged, standing=[first.until, last.until], kept=0)
            return transaction.put_segment("recent", last, standing=[first.until], kept=1)

        assert ledger.transact(forge)
        store = Recent(memory.host)
        assert store.cursor == last.until
        later = list(memory.records())[WINDOW + 5]  # between the two
        memory.edit(later.id, text="coffee")
        memory.flush()
        store.apply(ledger.changes(after=store.cursor))
        fresh = Recent(memory.host)
        fresh.rebuild()
        assert store.inspect() == fresh.inspect()


def test_other_vectors_are_another_state(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.attach("here", Recent)
        told(memory, 0, WINDOW)
        memory.recall("tea")
        assert Recent(memory.host).cursor > 0
    with Memory.open(tmp_path / "m", embedder="hash:128") as memory:
        memory.reindex("vectors")
        memory.recall("tea")
        assert Recent(memory.host).cursor == 0
        memory.attach("here", Recent)
        memory.recall("tea")
        assert memory.stores["here"].inspect()["size"] == WINDOW


class Down(TinyEmbedder):
    """Embeds nothing until it is up."""

    up = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self.up:
            raise EmbeddingError("down")
        return super().embed(texts)


def test_a_store_waits_for_vectors(tmp_path: Path) -> None:
    embedder = Down()
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        memory.attach("here", Recent)
        record = memory.add("tea")
        assert [hit.record.id for hit in memory.recall("tea")] == [record.id]  # by its words
        store = memory.stores["here"]
        store.apply(memory.host.ledger.changes())
        assert store.cursor == 0
        embedder.up = True
        memory.flush()
        store.apply(memory.host.ledger.changes())
        assert store.cursor == record.position
