"""Each thing that can go wrong with rows and vectors is made for real, through the tables, on every database; it is
told, and where it can be, repaired."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, update

from agentmem import Memory, registry
from agentmem.config import Settings
from agentmem.embedding import embedding_text, text_digest
from agentmem.errors import LedgerError
from agentmem.ledger import Vectors, vectors_cursor
from agentmem.opened import open_ledger
from agentmem.records import DEFAULT_SCOPE, Record, Scope
from agentmem_apps.doctor.examination import examine
from agentmem_apps.doctor.vectors import surveyed
from agentmem_stores.sql import engine
from agentmem_stores.sql.jobs import SqlJobs
from agentmem_stores.sql.ledger import FILE_NAME, SqlLedger
from agentmem_stores.sql.schema import cursors, key_of, records, vectors
from tests.doctoring import (
    HASH,
    OTHER,
    PLENTY,
    Run,
    amiss,
    behind_its_back,
    command,
    content,
    dense,
    examined,
    filled,
    opened,
)
from tests.fakes import TinyEmbedder


@pytest.fixture
def place(places: Callable[[], str]) -> str:
    """On every database: what a doctor says of rows must not depend on where they are."""
    return places()


def test_a_sound_memory_has_nothing_amiss_and_nothing_is_written_to_it(place: str) -> None:
    filled(place)
    before = content(place)
    assert amiss(place) == []
    assert all(finding.repair is None for finding in examined(place))
    assert content(place) == before


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _without(positions: Sequence[int]) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(delete(vectors).where(vectors.c.position.in_(positions)))


def _of_other_words(positions: Sequence[int]) -> Callable[[Connection], Any]:
    changed = update(vectors).where(vectors.c.position.in_(positions)).values(digest=b"12345678")
    return lambda connection: connection.execute(changed)


def _not_finite(positions: Sequence[int]) -> Callable[[Connection], Any]:
    row = np.full(512, np.nan, "<f4").tobytes()
    return lambda connection: connection.execute(
        update(vectors).where(vectors.c.position.in_(positions)).values(data=row)
    )


def _cut_off(positions: Sequence[int]) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(
        update(vectors).where(vectors.c.position.in_(positions)).values(data=b"12345")
    )


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_without, "3 without a vector"),
        (_of_other_words, "3 with one of older words"),
        (_not_finite, "3 with a damaged one"),
        (_cut_off, "3 with a damaged one"),
    ],
)
def test_vectors_that_are_not_what_they_should_be_are_made_again_and_no_others(
    harm: Callable[[Sequence[int]], Callable[[Connection], Any]], said: str, place: str
) -> None:
    made = filled(place)
    before, answer = content(place), dense(place, made[7].text)
    positions = [made[i].position for i in (5, 7, 30)]
    behind_its_back(place, harm(positions))
    [found] = amiss(place)
    assert (found.name, found.severity, said in found.sentence) == ("vectors", "fault", True)
    assert found.repair is not None
    assert found.repair.would == "embed 3 texts again"
    [found] = amiss(place)  # looking repairs nothing
    [mended] = amiss(place, fix=True)
    assert (mended.repaired, mended.done) == (True, "embedded 3 texts again")
    assert amiss(place) == []
    assert dense(place, made[7].text) == answer
    assert content(place) == before


def test_a_text_that_waits_for_its_vector_is_no_fault(place: str) -> None:
    filled(place)
    with opened(place) as memory:
        memory.add("a whale, later")
    [said] = [finding for finding in examined(place) if finding.name == "vectors"]
    assert (said.severity, said.sentence) == (
        "ok",
        f"{PLENTY} of {PLENTY + 1} texts embedded; the next recall embeds the other 1",
    )


def test_a_repair_that_was_broken_off_is_only_work_left_to_do(place: str) -> None:
    made = filled(place)
    behind_its_back(place, _without([record.position for record in made]))
    for finding in examine(Settings(memory=place, embedder="hash")):
        if finding.repair is not None:
            with pytest.raises(KeyboardInterrupt):
                finding.repair.run(_interrupt)
            break
    assert [finding for finding in amiss(place) if finding.severity == "fault"] == []
    assert len(dense(place, made[3].text)) == 5
    assert amiss(place) == []


def _interrupt(done: int, total: int) -> None:
    raise KeyboardInterrupt


def give_vectors(memory: Memory, made: Sequence[Record], rows: NDArray[np.float32]) -> None:
    """As if the memory's embedder had come as far as the last of these records."""
    digests = [text_digest(embedding_text(record)) for record in made]
    vectors = Vectors(np.array([record.position for record in made]), digests, rows)
    moved = 0, made[-1].position
    memory._ledger.transact(lambda transaction: transaction.put_vectors(memory.embedder.id, vectors, moved=moved))


def test_the_survey_needs_no_more_memory_for_more_records(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        with opened(tmp_path / f"{n}.mem", embedder="hash:1024") as memory:
            made = memory.add_many(f"text {i}" for i in range(n))
            give_vectors(memory, made, np.zeros((n, 1024), np.float32))
            del made
            tracemalloc.start()
            with memory._ledger.snapshot() as reader:
                survey = surveyed(reader, OTHER)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert (survey.live, survey.embedded) == (n, n)
        return used

    few, many = peak(4_000), peak(12_000)
    assert many < 1.2 * few
    assert many < 12_000 * 4 * 1024


# ── embedders ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _half_done(place: str) -> None:
    """A `reindex vectors` to another embedder that was broken off after 16 texts."""
    with opened(place, embedder="hash:1024") as memory:
        made = list(memory.records())[:16]
        give_vectors(memory, made, memory.embedder.embed([embedding_text(record) for record in made]))


def test_a_reindex_that_was_broken_off_is_told_with_how_far_it_came_and_is_kept(place: str) -> None:
    filled(place)
    _half_done(place)
    for embedder in ("hash", "hash:1024"):
        [found] = amiss(place, fix=True, embedder=embedder)
        assert (found.name, found.severity, found.repair) == ("embedder", "warning", None)
        assert f"16 of {PLENTY} texts" in found.sentence
        assert "agentmem reindex vectors" in found.way_out
    with opened(place, embedder="hash:1024") as memory:
        assert memory.reindex("vectors") == PLENTY - 16
    assert amiss(place, embedder="hash:1024") == []


def test_what_a_replaced_embedder_left_behind_is_taken_away(place: str) -> None:
    filled(place)
    with opened(place, embedder="hash:1024") as memory:
        embeddings = memory._opened.embeddings(memory.bound)
        embeddings.embed()
        left = embeddings.ledger.vectors(HASH)
        assert embeddings.take_over(HASH)
        embeddings.ledger.transact(lambda transaction: transaction.put_vectors(HASH, left))  # as another process may
    [found] = amiss(place, embedder="hash:1024")
    assert (found.severity, f"vectors of {HASH}, which {OTHER} has replaced" in found.sentence) == ("warning", True)
    [mended] = amiss(place, fix=True, embedder="hash:1024")
    assert mended.repaired
    with opened(place, embedder="hash:1024") as memory:
        assert memory._ledger.embedders() == [OTHER]
        assert memory._ledger.cursor(vectors_cursor(HASH)) == 0
    assert amiss(place, embedder="hash:1024") == []


def test_another_embedder_than_the_one_that_serves_is_told(place: str) -> None:
    filled(place)
    [found] = amiss(place, embedder="hash:1024")
    assert found.sentence == f"{HASH} still answers recalls, and {OTHER} was asked for"
    assert (found.severity, found.way_out) == ("warning", "To change over: agentmem reindex vectors")


def test_vectors_of_an_embedder_that_cannot_be_opened_are_a_fault(place: str) -> None:
    with Memory.open(place, embedder=TinyEmbedder()) as memory:
        memory.add("a whale")
        memory.load()
    found = amiss(place)
    assert [(f.name, f.severity) for f in found] == [("embedder", "fault")]
    assert "tiny-8-v1 made the vectors here and is not at hand" in found[0].sentence
    assert "agentmem reindex vectors" in found[0].way_out
    with opened(place) as memory:
        memory.reindex("vectors")
    assert amiss(place) == []


@pytest.fixture
def strangers_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """An installed embedder, `strange`, whose behaviour can be set: (what it raises or "", its dimension)."""
    site = tmp_path / "site"
    metadata = site / "strange-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: strange\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[agentmem.embedders]\nstrange = strange_embedder:Strange\n")
    (site / "strange_embedder.py").write_text(
        "import os, numpy as np\n"
        "class Strange:\n"
        "    id = 'strange-v1'\n"
        "    in_process = True\n"
        "    def __init__(self):\n"
        "        if 'opening' in os.environ['STRANGE_SAYS']:\n"
        "            from agentmem.errors import EmbeddingError\n"
        "            raise EmbeddingError('its weights are gone', way_out='Fetch them again.')\n"
        "    dimension = property(lambda self: int(os.environ['STRANGE_WIDTH']))\n"
        "    def embed(self, texts):\n"
        "        if os.environ['STRANGE_SAYS']: raise ConnectionError(os.environ['STRANGE_SAYS'])\n"
        "        return np.ones((len(texts), self.dimension), np.float32)\n"
    )
    monkeypatch.syspath_prepend(str(site))
    registry.forget_cached()

    def behave(says: str, width: int) -> None:
        monkeypatch.setenv("STRANGE_SAYS", says)
        monkeypatch.setenv("STRANGE_WIDTH", str(width))

    behave("", 8)
    yield behave
    monkeypatch.undo()
    sys.modules.pop("strange_embedder", None)
    registry.forget_cached()


def test_an_embedder_that_does_not_answer_is_a_fault(
    tmp_path: Path, strangers_embedder: Callable[[str, int], None]
) -> None:
    filled(tmp_path / "m", embedder="strange")
    assert amiss(tmp_path / "m", embedder="strange") == []
    strangers_embedder("nobody answers", 8)
    [found] = amiss(tmp_path / "m", embedder="strange")
    assert (found.name, found.severity) == ("embedder", "fault")
    assert "nobody answers" in found.sentence
    assert found.sentence.endswith("texts that are new are found by their words alone until it answers again")
    strangers_embedder("at opening", 8)
    told = amiss(tmp_path / "m", embedder="strange")  # the rest of the memory is looked at all the same
    assert "its weights are gone" in told[0].sentence
    assert [finding.severity for finding in told] == ["fault", "fault"]
    assert "vectors" in {finding.name for finding in examined(tmp_path / "m", embedder="strange")}


def test_a_model_of_another_dimension_under_the_same_name_is_a_fault(
    tmp_path: Path, strangers_embedder: Callable[[str, int], None]
) -> None:
    filled(tmp_path / "m", embedder="strange")
    strangers_embedder("", 16)
    [found] = amiss(tmp_path / "m", embedder="strange")
    assert "gives 16 dimensions, and its vectors here have 8" in found.sentence
    assert "id" in found.way_out


# ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_of_no_record_are_taken_away(place: str) -> None:
    made = filled(place)
    with opened(place, scope="user:ana") as memory:
        memory.add("another's")
        memory.flush()
    before = content(place)

    def orphan(connection: Connection) -> None:
        row = connection.execute(select(vectors).where(vectors.c.position == made[0].position)).first()
        assert row is not None
        beyond = [{**row._mapping, "position": position} for position in range(10_000, 10_007)]
        connection.execute(insert(vectors), beyond)

    behind_its_back(place, orphan)
    [found] = amiss(place)
    assert (found.name, found.severity, found.scope) == ("orphans", "warning", "default")
    assert found.sentence.startswith(f"7 vectors of {HASH} without a memory")
    [mended] = amiss(place, fix=True)
    assert mended.done == "took 7 away"
    assert amiss(place, fix=True) == []
    assert content(place) == before
    assert len(dense(place, made[0].text)) == 5


def test_a_cursor_ahead_of_the_journal_is_set_back_and_new_texts_get_their_vectors(place: str) -> None:
    made = filled(place)
    ahead = update(cursors).where(cursors.c.projection == vectors_cursor(HASH)).values(seq=10_000)
    behind_its_back(place, lambda connection: connection.execute(ahead))
    with opened(place) as memory:
        late = memory.add("a whale off the island")
        memory.flush()
        assert len(memory._ledger.vectors(HASH, [late.position]).positions) == 0
    found = amiss(place)
    assert [finding.name for finding in found] == ["cursor", "vectors"]
    assert "to change 10,000, and that ends at 41" in found[0].sentence
    assert all(finding.repaired for finding in amiss(place, fix=True))
    with opened(place) as memory:
        memory.flush()
        assert len(memory._ledger.vectors(HASH, [late.position, made[0].position]).positions) == 2
    assert amiss(place) == []


def test_rows_that_their_journal_does_not_know_are_told_and_left(place: str) -> None:
    made = filled(place)
    harm = update(records).where(records.c.id == made[3].id).values(text="never said")
    behind_its_back(place, lambda connection: connection.execute(harm))
    before = content(place)
    [found] = amiss(place, fix=True)
    assert (found.name, found.severity, found.repair) == ("ledger", "fault", None)
    assert found.sentence == f"record {made[3].id} is not what its journal says"
    assert "Restore a backup" in found.way_out
    assert ("--salvage" in found.way_out) == ("://" not in place)
    assert content(place) == before


def test_a_body_that_is_no_json_is_told(place: str) -> None:
    filled(place)
    harm = update(records).where(records.c.key == key_of(1, 3)).values(tags="[cut o")
    behind_its_back(place, lambda connection: connection.execute(harm))
    [found] = amiss(place)
    assert (found.name, found.sentence) == ("ledger", "a row of it is damaged and cannot be read")


def test_from_the_default_scope_every_scope_is_looked_at_and_from_another_those_inside_it(place: str) -> None:
    made = {}
    for scope in ("default", "user:ana", "user:ana/agent:guide", "user:bo"):
        with opened(place, scope=scope) as memory:
            made[scope] = memory.add(f"of {scope}")
            memory.flush()
    ledger = cast(SqlLedger, open_ledger(place))
    for scope in made:
        position = made[scope].position

        def forget_vector(connection: Connection, scope: str = scope, position: int = position) -> None:
            ids = ledger.ids_of(connection, Scope(scope))
            assert ids is not None
            connection.execute(delete(vectors).where(vectors.c.scope_id == ids[0], vectors.c.position == position))

        if scope != "default":
            ledger.writer.run(forget_vector)
    ledger.close()
    assert {f.scope for f in amiss(place)} == {"user:ana", "user:ana/agent:guide", "user:bo"}
    assert {f.scope for f in amiss(place, scope="user:ana")} == {"user:ana", "user:ana/agent:guide"}
    assert {f.scope for f in amiss(place, scope="user:bo", fix=True)} == {"user:bo"}
    assert {f.scope for f in amiss(place)} == {"user:ana", "user:ana/agent:guide"}


def test_jobs_that_were_given_up_are_told(place: str) -> None:
    filled(place)
    ledger = cast(SqlLedger, open_ledger(place))
    jobs = SqlJobs(ledger, DEFAULT_SCOPE)
    jobs.put("extract", {})
    job = jobs.take("worker", lease=timedelta(minutes=5))
    assert job is not None
    jobs.failed(job.id, "worker", "the model refused", attempts=1)
    ledger.close()
    [found] = amiss(place, fix=True)
    assert (found.name, found.severity, found.repair) == ("jobs", "warning", None)
    assert found.sentence == (
        "1 job given up after the last attempt: extract (the model refused); no memory is lost by it"
    )


def test_an_erasure_that_a_reader_kept_from_its_end_is_told_and_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.2)  # each attempt waits for the reader so long
    made = filled(tmp_path / "m")
    with closing(sqlite3.connect(tmp_path / "m" / FILE_NAME)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        with opened(tmp_path / "m") as memory, pytest.raises(LedgerError):
            memory.forget(made[2].id, hard=True)
        [found] = amiss(tmp_path / "m", fix=True)
        assert (found.name, found.severity, found.repaired) == ("erasure", "fault", False)
        assert "another program reads an older state" in found.sentence
        assert found.done.startswith("it failed: ")
    assert amiss(tmp_path / "m") == []
    assert b"ferry number 2 " not in b"".join(path.read_bytes() for path in (tmp_path / "m").iterdir())


def test_a_ledger_of_a_newer_version_is_told_and_left(tmp_path: Path) -> None:
    filled(tmp_path / "m")
    with closing(sqlite3.connect(tmp_path / "m" / FILE_NAME)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES ('m777_from_the_future', 0)")
    before = (tmp_path / "m" / FILE_NAME).read_bytes()
    [found] = amiss(tmp_path / "m", fix=True)
    assert (found.name, found.severity) == ("ledger", "fault")
    assert "written by a newer agentmem" in found.sentence
    assert found.way_out == "Upgrade agentmem, or export with the newer version and import here."
    assert (tmp_path / "m" / FILE_NAME).read_bytes() == before


def test_a_memory_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    [found] = amiss(tmp_path / "none", fix=True)
    assert "there is no memory at" in found.sentence
    assert "agentmem init" in found.way_out
    assert not (tmp_path / "none").exists()


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return command(tmp_path, monkeypatch)


def test_the_command_shows_counts_repairs_and_exits_by_what_stays(run: Run, tmp_path: Path) -> None:
    filled(tmp_path / "notes.mem")
    code, out, _ = run("doctor")
    assert (code, out.splitlines()[-1]) == (0, "8 checks: all is well")
    behind_its_back(str(tmp_path / "notes.mem"), _without([3, 4]))
    (tmp_path / "notes.mem").chmod(0o755)
    code, out, _ = run("doctor")
    assert code == 1
    assert out.splitlines()[-1] == "8 checks: 2 faults, 2 can be repaired: agentmem doctor --fix"
    assert re.search(r"^FAULT     vectors      of 40 texts: 2 without a vector", out, re.M)
    assert "--fix would embed 2 texts again" in out
    code, out, err = run("doctor", "--fix", "--dry-run")
    assert (code, "dry run" in err) == (1, True)
    assert "would embed 2 texts again" in out
    code, out, _ = run("doctor", "--fix", "--json")
    told = json.loads(out)
    assert (code, told["sound"]) == (0, True)
    assert {check["name"]: check["done"] for check in told["checks"] if check["repaired"]} == {
        "permissions": "nobody else can enter it now",
        "vectors": "embedded 2 texts again",
    }
    assert run("doctor")[1].splitlines()[-1] == "8 checks: all is well"


def test_the_command_says_nothing_twice(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path / "notes.mem")
    code, out, err = run("doctor", "--fix", "--embedder", "hash:1024")
    assert (code, caplog.text, err) == (0, "", "")
    assert re.search(r"^warning   embedder     hash-512-v1 still answers recalls", out, re.M)
    assert "agentmem reindex vectors" in out
