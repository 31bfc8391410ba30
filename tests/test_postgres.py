"""Postgres where it differs from SQLite, and the way between the two.

What a ledger does on either is in `test_ledger.py`; faults are in `test_postgres_faults.py`, loads and kills in
`test_postgres_load.py`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import text

from agentmem import Memory
from agentmem.errors import InvalidInput
from agentmem.opened import open_ledger
from agentmem.records import DEFAULT_SCOPE, Record, Scope
from agentmem_stores.sql.jobs import SqlJobs
from agentmem_stores.sql.ledger import SqlLedger
from tests.postgres import Server, holding_open, opened, schema_of
from tests.test_stateful import Verbs

MARK = "Zürich-péché-7731"


# ── what is promised ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("asked", "is_so"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
def test_a_commit_waits_for_the_disk_whatever_the_servers_habit(postgres_url: str, asked: str, is_so: str) -> None:
    ledger = cast(SqlLedger, open_ledger(f"{postgres_url}&options=-csynchronous_commit%3D{asked}"))
    found = ledger.writer.run(lambda connection: connection.scalar(text("SHOW synchronous_commit")))
    ledger.close()
    assert found == is_so


def test_a_job_is_taken_past_those_that_others_are_taking_and_past_every_writer(
    postgres: Server, postgres_ledger: SqlLedger, postgres_url: str
) -> None:
    jobs = SqlJobs(postgres_ledger, Scope("user:ana"))
    first, second, third = (jobs.put("extract", {}) for _ in range(3))
    with psycopg.connect(host=str(postgres.folder), dbname="agentmem", user="agentmem") as other:
        other.execute(f"SELECT 1 FROM {schema_of(postgres_url)}.jobs WHERE id = %s FOR UPDATE", [first])
        with holding_open(postgres_ledger.bind(Scope("user:ana"))):
            taken = [jobs.take("one"), jobs.take("two"), jobs.take("three")]
            assert [job and job.id for job in taken] == [second, third, None]
            assert jobs.done(third, "two")
            fourth = jobs.put("extract", {})
    assert [job and job.id for job in (jobs.take("three"), jobs.take("four"))] == [first, fourth]


def test_an_erased_word_is_in_no_row_and_an_erasure_that_was_cut_short_is_finished_at_the_next_opening(
    postgres: Server, postgres_url: str
) -> None:
    schema = schema_of(postgres_url)

    def holding() -> list[str]:
        tables = [
            name for (name,) in postgres.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")
        ]
        rows = [(name, str(row)) for name in tables for row in postgres.execute(f"SELECT * FROM {schema}.{name}")]
        return [name for name, row in rows if MARK in row]

    with opened(postgres_url) as memory:
        record = memory.add(f"I was in {MARK}.", tags=[MARK], meta={MARK: 1})
        memory.edit(record.id, text=f"I stayed in {MARK}.")
        memory.add("I came back.")
        memory.flush()
        assert set(holding()) == {"records", "journal"}
        memory.forget(record.id, hard=True)
        assert holding() == []
        assert postgres.execute(f"SELECT * FROM {schema}.cursors WHERE projection = 'reclaim'") == []
        again = memory.add(f"I was in {MARK} again.")
        scoped = memory._opened.ledger.bind(DEFAULT_SCOPE)
        scoped.transact(lambda transaction: transaction.erase([again.id], actor="ana"))  # and no reclaim after it
        assert len(postgres.execute(f"SELECT * FROM {schema}.cursors WHERE projection = 'reclaim'")) == 1
    with opened(postgres_url) as memory:
        assert postgres.execute(f"SELECT * FROM {schema}.cursors WHERE projection = 'reclaim'") == []
        assert (holding(), memory.verify()) == ([], [])


def test_a_size_is_that_of_the_tables(memory: Memory) -> None:
    before = memory.stats().bytes
    memory.add_many("word " * 200 for _ in range(500))
    assert memory.stats().bytes > before + 100_000


def test_a_scope_that_no_index_can_hold_is_refused_alone(places: Callable[[], str]) -> None:
    with opened(places()) as memory:
        with pytest.raises(InvalidInput, match="too long"):
            memory.scope(*["語" * 200] * 5).add("deep")
        deep = memory.scope(*["語" * 200] * 4)
        deep.add_many([{"id": "語" * 200, "text": "as long as an id may be"}])
        assert deep.find("語").text == "as long as an id may be"


# ── from one to the other ────────────────────────────────────────────────────────────────────────────────────────────

letters = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(str.strip)
odd = st.sampled_from(["👩🏽\u200d🚀 e\u0301 ﷽", "\u202eاردو\u202c \u2028", "\ufffe\uffff\U0010ffff", "'; DROP TABLE records; --", "%s %(x)s \\x00 \\", "\x1b[31m\x7f\r\n\t.", "İıſß", "x" * 9_000])  # fmt: skip  # noqa: E501
words = letters | odd
metas = st.dictionaries(words, words | st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=2)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_memory_goes_to_postgres_and_back_without_losing_a_letter(
    data: st.DataObject, postgres_urls: Callable[[], str]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        folders = [f"{base}/there.mem", postgres_urls(), f"{base}/back.mem"]
        with opened(folders[0]) as memory:
            live_through(data, memory)
            lines = list(memory.export_lines())
        for folder in folders[1:]:
            with opened(folder) as copy:
                copy.add_many(Record.from_json(json.loads(line)) for line in lines[1:])
                assert list(copy.export_lines()) == lines
                assert copy.verify() == []
                path = Path(base) / "all.jsonl"
                copy.export(path)
                assert path.read_bytes() == "".join(line + "\n" for line in lines).encode()


def live_through(data: st.DataObject, memory: Memory) -> None:
    """A memory with a past: records in every state, merged, split, edited, taken back."""
    for _ in range(data.draw(st.integers(1, 12))):
        live = list(memory.records())
        verb = data.draw(st.sampled_from(["add", "edit", "forget", "merge", "split", "undo"])) if live else "add"
        known = st.sampled_from([record.id for record in live])
        ids = data.draw(st.lists(known, min_size=1, max_size=3, unique=True)) if live else []
        if verb == "add":
            speaker, session = data.draw(st.none() | words), data.draw(st.none() | words)
            tags = data.draw(st.lists(letters, max_size=2))
            memory.add(data.draw(words), speaker=speaker, session=session, tags=tags, meta=data.draw(metas))
        elif verb == "edit":
            memory.edit(ids[0], text=data.draw(words), strength=data.draw(st.floats(0, 10)), meta=data.draw(metas))
        elif verb == "forget":
            memory.forget(*ids)
        elif verb == "merge" and len(ids) > 1:
            memory.merge(*ids)
        elif verb == "split":
            memory.split(ids[0], [data.draw(words), data.draw(words)])
        elif verb == "undo":
            memory.undo()


@pytest.mark.slow
def test_random_verbs_agree_with_the_model_on_postgres(postgres_urls: Callable[[], str]) -> None:
    class OnPostgres(Verbs):
        def __init__(self) -> None:
            self.url = postgres_urls()
            super().__init__()

        def opened(self) -> Memory:
            return opened(self.url)

    run_state_machine_as_test(OnPostgres, settings=settings(max_examples=8, stateful_step_count=25, deadline=None))


def test_recall_finds_the_same_with_the_same_scores_on_both(memory: Memory, tmp_path: Path) -> None:
    texts = [f"We moved the {what} to {day} May." for what in ("launch", "dinner", "boat") for day in range(1, 20)]
    memory.add_many(texts)

    def told(asked: Memory) -> Sequence[tuple[str, float]]:
        return [(hit.record.text, hit.score) for hit in asked.recall("when is the launch in May?", 10)]

    with opened(str(tmp_path / "a.mem")) as other:
        other.add_many(Record.from_json(json.loads(line)) for line in list(memory.export_lines())[1:])
        assert told(other) == told(memory)
