"""What a process had freed stays in no file of Chroma's: room that its graph does not use is zero once it is closed."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.embedding import embedding_text
from agentmem_stores.vectors.chroma_room import zero_room
from tests.answers import texts
from tests.indexed import index_of, put_away

SECRET = b"the numbers of a vector that was erased"
LIVE = 50


def opened(folder: Path) -> Memory:
    return Memory.open(folder, embedder="hash", index="chroma")


def holding(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("*") if file.is_file() and SECRET in file.read_bytes()}


def file_of(folder: Path, name: str) -> Path:
    [path] = (folder / "chroma").rglob(name)
    return path


def plant(folder: Path) -> None:
    """Write the secret over the end of both files that have room, and leave their times as they were."""
    for name in ("data_level0.bin", "length.bin"):
        path = file_of(folder, name)
        before = path.stat()
        with path.open("r+b") as file:
            file.seek(-len(SECRET), os.SEEK_END)
            file.write(SECRET)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert holding(folder) == {"data_level0.bin", "length.bin"}


def bins(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "chroma").rglob("*.bin")}


def filled(folder: Path) -> None:
    with opened(folder) as memory:
        memory.add_many(texts(LIVE))
        put_away(memory)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """One whose graph is on disk with room left: it was written a thousand times, above Chroma's sync_threshold.

    One of fewer writes is on disk as empty room, which Chroma itself writes anew when it is first asked.
    """
    filled(tmp_path / "m")
    with opened(tmp_path / "m") as memory:
        index = index_of(memory)
        positions, vectors = index.held(range(1, LIVE + 1))
        for _ in range(1_000 // LIVE):
            index._collection.upsert(ids=[str(position) for position in positions], embeddings=vectors)
    assert struct.unpack_from("<i3Q", file_of(tmp_path / "m", "header.bin").read_bytes())[3] == LIVE
    return tmp_path / "m"


def all_found(memory: Memory) -> bool:
    put_away(memory)
    assert index_of(memory).stored() == LIVE
    found = [memory.recall(embedding_text(record), k=3) for record in memory.records()]
    assert memory.stats().index == "chroma"
    # Among three, and not the first: the day of the date may be another ferry's number.
    same = [{hit.record.id for hit in hits if "cosine 1.00" in hit.verdict} for hits in found]
    return same == [{record.id} for record in memory.records()]


# ── through a memory ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_zeroes_what_chroma_left_there(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(LIVE))
        put_away(memory)
        plant(tmp_path / "m")
    assert holding(tmp_path / "m") == set()
    assert not any(any(content) for name, content in bins(tmp_path / "m").items() if name != "header.bin")
    with opened(tmp_path / "m") as memory:
        assert all_found(memory)


def test_opening_zeroes_it_too_and_neither_tries_nor_fills_the_index_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant(kept)
    monkeypatch.setattr(sys, "executable", str(kept / "none"))  # a trial in another process would fail
    for _ in range(2):  # and what is noted at the close is as it was left
        with opened(kept) as memory:
            index = index_of(memory)
            assert holding(kept) == set()
            assert (index.cursor, index.stored()) == (memory.stats().head, LIVE)
            assert all_found(memory)
    assert caplog.text == ""


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_chroma_room import opened, plant, put_away
folder = Path(sys.argv[1])
memory = opened(folder)
put_away(memory)
plant(folder)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("many", [False, True], ids=["never written", "written"])
def test_after_a_kill_the_next_opening_zeroes_it(many: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "m"
    request.getfixturevalue("kept") if many else filled(folder)
    ran = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert holding(folder)
    with opened(folder) as memory:
        assert index_of(memory).stored() == LIVE
        assert holding(folder) == set()
        assert all_found(memory)


def test_files_of_an_unknown_layout_are_left_as_they_are(kept: Path) -> None:
    with file_of(kept, "data_level0.bin").open("ab") as file:
        file.write(bytes(1_000_000) + SECRET)  # more than there is room for, which Chroma does not read
    for state in kept.rglob("agentmem.json"):
        state.unlink()
    before = bins(kept)
    with opened(kept) as memory:
        assert index_of(memory).stored() == LIVE
        assert bins(kept) == before
        assert all_found(memory)
    assert bins(kept) == before


@pytest.mark.parametrize("erased", [True, False])
def test_an_unknown_layout_is_filled_anew_only_where_something_was_erased(erased: bool, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    filled(folder)
    with opened(folder) as memory:
        if erased:
            memory.forget(memory.add("the code of the safe is 4711").id, hard=True)
        else:
            memory.reindex("chroma")
        put_away(memory)
        file_of(folder, "length.bin").with_name("vectors.bin").write_bytes(SECRET)
    assert holding(folder) == (set() if erased else {"vectors.bin"})
    assert bool(bins(folder)) == (not erased)
    with opened(folder) as memory:
        assert all_found(memory)


# ── byte by byte ─────────────────────────────────────────────────────────────────────────────────────────────────────


def graph(folder: Path, count: int, room: int, rows: int, links: int = 2, dimension: int = 3) -> Path:
    """A graph of elements of ones, with room of ones for `rows` in all on disk."""
    vector_at = 4 + 4 * links
    label_at = vector_at + 4 * dimension
    size = label_at + 8
    path = folder / "segment"
    path.mkdir()
    fields = (1, 0, room, count, size, label_at, vector_at, 0, 0, 1, links, 1, 1.0, 100)
    (path / "header.bin").write_bytes(struct.pack("<i6QiI3QdQ", *fields))
    (path / "data_level0.bin").write_bytes(b"\1" * (rows * size))
    (path / "length.bin").write_bytes(b"\1" * (rows * 4))
    (path / "link_lists.bin").write_bytes(b"\1" * 9)
    return path


@given(
    sizes=st.lists(st.integers(0, 40), min_size=3, max_size=3).map(sorted),
    links=st.integers(1, 40),
    dimension=st.sampled_from([1, 3, 20_000]),  # the last: elements of 80 kB, so the room is longer than a block
)
def test_all_behind_the_last_element_becomes_zero_and_nothing_before(
    sizes: list[int], links: int, dimension: int
) -> None:
    count, rows, room = sizes
    with TemporaryDirectory() as folder:
        path = graph(Path(folder), count, room, rows, links, dimension)
        size = 4 + 4 * links + 4 * dimension + 8
        untouched = {name: (path / name).read_bytes() for name in ("header.bin", "link_lists.bin")}
        for _ in range(2):
            assert zero_room(Path(folder))
            assert (path / "data_level0.bin").read_bytes() == b"\1" * (count * size) + bytes((rows - count) * size)
            assert (path / "length.bin").read_bytes() == b"\1" * (count * 4) + bytes((rows - count) * 4)
        assert {name: (path / name).read_bytes() for name in untouched} == untouched


def test_room_that_is_zero_is_not_written(tmp_path: Path) -> None:
    path = graph(tmp_path, 2, 9, 7)
    assert zero_room(tmp_path)
    os.utime(path / "data_level0.bin", ns=(1, 1))
    assert zero_room(tmp_path)
    assert (path / "data_level0.bin").stat().st_mtime_ns == 1


def field(at: int, form: str, value: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        header = bytearray((path / "header.bin").read_bytes())
        struct.pack_into(form, header, at, value)
        (path / "header.bin").write_bytes(header)

    return change


def linked(path: Path) -> None:
    (path / "data_level0.bin").rename(path.parent / "elsewhere")
    (path / "data_level0.bin").symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(field(0, "<i", 2), id="version"),
        pytest.param(field(4, "<Q", 4), id="offset of level 0"),
        pytest.param(field(12, "<Q", 6), id="more than there is room for"),
        pytest.param(field(20, "<Q", 8), id="elements that are not there"),
        pytest.param(field(20, "<Q", 2**64 - 1), id="elements without number"),
        pytest.param(field(28, "<Q", 20), id="size"),
        pytest.param(field(28, "<Q", 0), id="no size"),
        pytest.param(field(36, "<Q", 12), id="no vector"),
        pytest.param(field(44, "<Q", 16), id="vector elsewhere"),
        pytest.param(lambda path: os.truncate(path / "header.bin", 99), id="header cut off"),
        pytest.param(lambda path: (path / "header.bin").unlink(), id="no header"),
        pytest.param(lambda path: os.truncate(path / "data_level0.bin", 2 * 32 - 1), id="torn"),
        pytest.param(lambda path: os.truncate(path / "length.bin", 2 * 4 - 1), id="lengths torn"),
        pytest.param(linked, id="link"),
    ],
)
def test_whatever_is_not_as_known_is_not_touched(change: Callable[[Path], None], tmp_path: Path) -> None:
    path = graph(tmp_path, 2, 9, 7)
    change(path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert not zero_room(tmp_path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_one_that_is_not_known_keeps_no_other_from_being_zeroed(tmp_path: Path) -> None:
    path = graph(tmp_path, 0, 9, 7)
    for name in ("another", "zebra"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vectors.bin").write_bytes(SECRET)
    (tmp_path / "empty").mkdir()
    assert not zero_room(tmp_path)
    assert not any((path / "data_level0.bin").read_bytes())
