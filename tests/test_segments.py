"""Words that are kept: what is loaded is what would be made anew, whatever was done and whatever stands there."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentmem import Cue, Memory, UndoBlocked
from agentmem.recall import segments
from agentmem.recall.corpus import Corpus
from agentmem.recall.segments import decode, encode
from agentmem.recall.view import View
from agentmem.records import Record, Scope
from tests.answers import texts


def opened(folder: Path) -> Memory:
    return Memory.open(folder, embedder="hash")


def view_of(memory: Memory) -> View:
    return memory._opened.view(memory.bound)


def kept(memory: Memory) -> list[int]:
    return [segment.until for segment in memory._ledger.segments("words")]


def told(corpus: Corpus) -> dict[str, Any]:
    """What a corpus says of each live record, however its rows are numbered."""
    rows = corpus.rows_of(corpus.standing())
    position = dict(zip(rows.tolist(), corpus.standing().tolist(), strict=True))
    words = {}
    for term in corpus._words:
        listed, counts = corpus.postings(term)
        assert (np.diff(listed) > 0).all()
        if len(listed):
            words[term] = {position[row]: count for row, count in zip(listed.tolist(), counts.tolist(), strict=True)}
    labels = {
        (column, value): sorted(position[row] for row in corpus.labelled(column, value).tolist() if row in position)
        for column in corpus._labels
        for value in corpus.values(column)
    }
    beside = corpus.beside(rows, 2)
    return {
        "standing": corpus.standing().tolist(),
        "lengths": {position[row]: int(corpus.lengths()[row]) for row in rows.tolist()},
        "mean": corpus.mean_length,
        "words": words,
        "labels": {label: listed for label, listed in labels.items() if listed},
        "sessions": (corpus.sessions.number, corpus.sessions.mean_length),
        "beside": {
            position[row]: [position.get(o) for o in near]
            for row, near in zip(rows.tolist(), beside.tolist(), strict=True)
        },
        "since": [position[int(row)] for row in corpus.allowed(Cue("x", since=datetime(2024, 5, 3, tzinfo=UTC)))],
    }


def anew(memory: Memory) -> Corpus:
    corpus = Corpus()
    delta = memory._ledger.changed(0)
    corpus.apply(delta.records, delta.gone)
    return corpus


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of changes is worth a segment, and a few rows a sweep."""
    monkeypatch.setattr(segments, "_DUE", 3)
    monkeypatch.setattr("agentmem.recall.corpus._SWEEP_FROM", 8)


# ── what is loaded ───────────────────────────────────────────────────────────────────────────────────────────────


DAY = datetime(2024, 5, 3, tzinfo=UTC)
DEEDS = ["add", "add", "add", "edit", "edit", "forget", "restore", "erase", "undo", "keep", "keep", "reopen", "other"]


@pytest.mark.usefixtures("few")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=20), seed=st.integers(0, 1 << 16))
@example(deeds=["keep", "add", "other", "edit"], seed=0)  # rows in another order, which a sum must not tell
def test_what_is_loaded_is_what_would_be_made_anew(
    deeds: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept") / "m"
    chance = random.Random(seed)
    memory, other = opened(folder), opened(folder)
    try:
        for deed in deeds:
            records = list(memory.records(states=("live", "forgotten")))
            one = chance.choice(records) if records else None
            if deed == "add":
                day = f"2024-05-0{chance.randint(1, 9)}T12:00Z"
                shared = {
                    "tags": chance.sample(["a", "b\n", 'c"'], 2),
                    "at": day,
                    "session": chance.choice(["x", "y", None]),
                }
                memory.add_many({"text": text, **shared} for text in chance.sample(texts(40), 3))
            elif deed == "edit" and one is not None and one.state == "live":
                memory.edit(one.id, text=f"{one.text} edited", speaker="Ana")
            elif deed == "forget" and one is not None and one.state == "live":
                memory.forget(one.id)
            elif deed == "restore" and one is not None and one.state == "forgotten":
                memory.restore(one.id)
            elif deed == "erase" and one is not None:
                memory.forget(one.id, hard=True)
            elif deed == "undo":
                with suppress(UndoBlocked):  # of what was erased
                    memory.undo()
            elif deed == "keep":
                memory.recall("ferry")
                view_of(memory).keep()
            elif deed == "other":  # another process, which follows at its own pace
                other.recall("ferry")
                view_of(other).keep()
            elif deed == "reopen":
                memory.close()
                memory = opened(folder)
        memory.recall("ferry")
        assert told(view_of(memory).corpus) == told(anew(memory))
        view_of(memory).keep()
        with opened(folder) as fresh:
            fresh.recall("ferry")
            assert told(view_of(fresh).corpus) == told(anew(memory))
            assert fresh.recall("the ferry harbour", k=5) == memory.recall("the ferry harbour", k=5)
    finally:
        memory.close()
        other.close()


def test_a_second_process_reads_no_text_that_the_first_took_in(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(2_500))
        memory.recall("ferry")  # and closing keeps the words
    with opened(tmp_path / "m") as memory:
        assert kept(memory) == [2_500]
        corpus, until = view_of(memory)._segments.load(memory.stats().head)
        assert (len(corpus), until) == (2_500, 2_500)
        assert told(corpus) == told(anew(memory))


@pytest.mark.usefixtures("few")
def test_small_segments_are_merged_and_large_ones_left(tmp_path: Path) -> None:
    counts = []
    with opened(tmp_path / "m") as memory:
        for start in range(0, 400, 4):
            memory.add_many(f"number {n}" for n in range(start, start + 4))
            memory.recall("number")
            view_of(memory).keep()
            counts.append(len(kept(memory)))
        assert max(counts) <= 8  # of 100 keeps: each row is written log2(100) times at most
        assert kept(memory)[-1] == 400
    with opened(tmp_path / "m") as memory:
        memory.recall("number")
        assert told(view_of(memory).corpus) == told(anew(memory))


# ── erasure ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("few")
def test_an_erased_word_is_in_no_segment_of_any_process(tmp_path: Path) -> None:
    """Nor brought back by one that took the text in before it was erased, and keeps its words after."""
    folder = tmp_path / "m"
    with opened(folder) as memory, opened(folder) as late:
        memory.add_many(texts(20))
        secret = memory.add("the password is xyzzyplugh")
        memory.recall("password")
        late.recall("password")
        view_of(memory).keep()
        assert any(b"xyzzyplugh" in segment.data for segment in memory._ledger.segments("words"))
        memory.forget(secret.id, hard=True)
        assert kept(memory) == []
        view_of(late).keep()  # its corpus still holds the word, and stands before the erasure
        assert kept(memory) == []
        late.recall("password")
        view_of(late).keep()
        memory.add_many(texts(20))
        memory.recall("password")
        view_of(memory).keep()
        assert kept(memory) != []
    for file in folder.rglob("*"):
        assert not file.is_file() or b"xyzzyplugh" not in file.read_bytes(), file


# ── what may stand there ─────────────────────────────────────────────────────────────────────────────────────────


def filled(folder: Path) -> bytes:
    with opened(folder) as memory:
        memory.add_many({"text": text, "tags": ["t"], "speaker": "Ana"} for text in texts(30))
        memory.recall("ferry")
        view_of(memory).keep()
        [segment] = memory._ledger.segments("words")
    return segment.data


def rewrite(folder: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as file:
        assert file.execute(sql, values).rowcount > 0
        file.commit()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("what", ["torn", "empty", "of another version", "beyond the journal"])
def test_words_that_cannot_be_used_are_taken_in_anew_and_replaced(what: str, tmp_path: Path) -> None:
    data = filled(tmp_path / "m")
    if what == "beyond the journal":
        rewrite(tmp_path / "m", "UPDATE segments SET until = 1000")
    else:
        body = data[4:].replace(b'"words-', b'"wards-')
        stands = {
            "torn": data[: len(data) // 2],
            "empty": b"",
            "of another version": zlib.crc32(body).to_bytes(4, "little") + body,
        }
        rewrite(tmp_path / "m", "UPDATE segments SET data = ?", stands[what])
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(10))
        assert "words: ferri" in memory.recall("ferry", k=1)[0].verdict
        assert told(view_of(memory).corpus) == told(anew(memory))
        view_of(memory).keep()
        assert kept(memory) == [memory.stats().head]
    with opened(tmp_path / "m") as memory:
        corpus, until = view_of(memory)._segments.load(memory.stats().head)
        assert until == memory.stats().head
        assert told(corpus) == told(anew(memory))


@pytest.mark.usefixtures("few")
def test_any_bytes_are_refused_or_fit_together(tmp_path: Path) -> None:
    data = filled(tmp_path / "m")
    assert encode(decode(data)) == data

    @settings(max_examples=400, deadline=None)
    @given(st.data())
    def changed(draw: st.DataObject) -> None:
        body = bytearray(data[4:])
        for _ in range(draw.draw(st.integers(1, 4))):
            at = draw.draw(st.integers(0, len(body) - 1))
            body[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=3))
        try:
            cut = decode(zlib.crc32(body).to_bytes(4, "little") + bytes(body))
        except ValueError:
            return
        corpus = Corpus()
        corpus.append(cut)
        told(corpus)

    changed()
    for n in range(0, len(data), 97):
        with pytest.raises(ValueError, match="damaged"):
            decode(data[:n])


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([1 << 63, 1 << 200, -1]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.usefixtures("few")
def test_any_header_is_refused_or_fits(tmp_path: Path) -> None:
    """A ledger may be a stranger's, and its checksums are right then."""
    data = filled(tmp_path / "m")
    length = int.from_bytes(data[4:12], "little")
    sound, rest = json.loads(data[12 : 12 + length]), data[12 + length :]

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(sorted(sound)), _ANY_JSON, st.integers(0, 9))
    def changed(name: str, value: Any, at: int) -> None:
        told_otherwise = dict(sound)
        if name == "stamp" or not isinstance(sound[name], list) or not at:
            told_otherwise[name] = value
        else:
            told_otherwise[name] = [*sound[name][: at - 1], value, *sound[name][at:]]
        header = json.dumps(told_otherwise).encode()
        body = len(header).to_bytes(8, "little") + header + rest
        with suppress(ValueError):
            Corpus().append(decode(zlib.crc32(body).to_bytes(4, "little") + body))

    changed()
    for header in (b"[]", b"1", b"[" * 100_000, b"\xff", b""):
        body = len(header).to_bytes(8, "little") + header + rest
        with pytest.raises(ValueError, match=r"it is not as|decode|Expecting"):
            decode(zlib.crc32(body).to_bytes(4, "little") + body)


@pytest.mark.usefixtures("few")
def test_a_memory_that_cannot_be_written_to_is_recalled_from(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(30))
    with opened(tmp_path / "m") as memory:
        memory.recall("ferry")
        with closing(sqlite3.connect(tmp_path / "m" / "ledger.sqlite3")) as file:
            file.execute("DROP TABLE segments")
        view_of(memory).keep()  # fails, and is no error to whoever recalls
        assert memory.recall("ferry", k=1)[0].record.text
        with closing(sqlite3.connect(tmp_path / "m" / "ledger.sqlite3")) as file:
            file.execute(
                "CREATE TABLE segments (scope_id INTEGER, projection TEXT, until BIGINT, piece INTEGER, data BLOB,"
                " PRIMARY KEY (scope_id, projection, until, piece))"
            )


def test_the_command_line_keeps_the_words_of_a_large_memory(tmp_path: Path) -> None:
    with opened(tmp_path / "m") as memory:
        memory.add_many(texts(2_500))
    command = [sys.executable, "-c", "from agentmem_apps.cli import main; main()", "--memory", str(tmp_path / "m")]
    command += ["--embedder", "hash"]
    subprocess.run([*command, "recall", "ferry"], check=True, capture_output=True)
    with opened(tmp_path / "m") as memory:
        assert kept(memory) == [2_500]
    told = subprocess.run([*command, "reindex", "words"], check=True, capture_output=True, text=True)
    assert told.stdout == "words: 2,500 texts taken in\n"


# ── who stands beside whom ───────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["a", "b", None, "gone"])), max_size=30), max_size=8
    )
)
def test_who_stands_beside_whom_is_known_after_any_change(batches: list[list[tuple[int, str | None]]]) -> None:
    corpus, now = Corpus(), dict[int, str | None]()
    for batch in batches:
        said = {position: session for position, session in batch if session != "gone"}
        gone = {position for position, session in batch if session == "gone"} - said.keys()
        now = {position: session for position, session in {**now, **said}.items() if position not in gone}
        records = [
            Record(id=str(p), scope=Scope("s"), text="tea", at=DAY, stored_at=DAY, session=session, position=p)
            for p, session in said.items()
        ]
        corpus.apply(records, gone)
        rows = corpus.rows_of(sorted(now))
        found = corpus.positions(np.maximum(corpus.beside(rows, 2), 0))
        told = np.where(corpus.beside(rows, 2) >= 0, found, -1).tolist() if now else []
        for position, near in zip(sorted(now), told, strict=True):
            mine = [p for p in sorted(now) if now[p] == now[position]] if now[position] else [position]
            at = mine.index(position)
            padded = [-1, -1, *mine, -1, -1]
            assert near == [padded[at + 1], padded[at], padded[at + 3], padded[at + 4]]
